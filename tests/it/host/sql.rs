//! Programs that speak SQL, beside a host.

use serde_json::{Value, json};
use tokio_postgres::{NoTls, Row};

use crate::support::{
    cluster::on_a_runtime,
    host::{Host, WORKER},
    processes::eventually,
    wire::Ask,
};

/// The rows of one statement, by a session of its own.
fn query(host: &Host, sql: &str) -> Vec<Row> {
    let config = host.database().config();
    on_a_runtime(async {
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client.query(sql, &[]).await.unwrap()
    })
}

/// Submits by SQL, and returns the task's id as the API has it.
fn enqueue(host: &Host, queue: &str, input: &Value) -> String {
    let call = format!("SELECT hostler.enqueue('{queue}', 'test', '{input}')");
    let id: uuid::Uuid = query(host, &call)[0].get(0);
    format!("tsk_{}", id.simple())
}

/// The poll is as slow as can be: what is done here was heard of.
#[test]
fn a_host_hears_of_what_sql_submits() {
    let host = Host::new(&format!("{WORKER}count = 2")).set("tasks.poll", "10m").up();
    host.until_agent("quick-1", "idle");
    host.until_agent("quick-2", "idle");
    for n in 0..5 {
        let id = enqueue(&host, "default", &json!({"op": "echo", "value": n}));
        assert_eq!(host.wait(&id)["output"], n);
    }
    // A burst, of which one speaks for all, from more sessions than one.
    let burst = |_| enqueue(&host, "default", &json!({"op": "echo"}));
    let ids: Vec<String> = std::thread::scope(|scope| {
        let submit = || (0..5).map(burst).collect::<Vec<_>>();
        let crowd: Vec<_> = (0..4).map(|_| scope.spawn(submit)).collect();
        crowd.into_iter().flat_map(|one| one.join().unwrap()).collect()
    });
    for id in ids {
        assert_eq!(host.wait(&id)["state"], "completed");
    }
}

/// `jsonb` takes more than readers of JSON do. Nobody may stop a queue, or a listing, by that.
#[test]
fn what_no_program_can_read_fails_alone_and_is_shown_as_text() {
    let host = Host::new(WORKER).up();
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let by_hand = |input: &str| {
        // As somebody would who writes the tables: the function looks at what it is given.
        let ids = query(
            &host,
            &format!(
                "WITH made AS (
                    INSERT INTO hostler.tasks (id, queue, kind, state, max_attempts)
                    VALUES (hostler.task_id_at((extract(epoch FROM clock_timestamp())
                        * 1000000)::bigint), 'default', 'test', 'pending', 3)
                    RETURNING id
                ), inputs AS (INSERT INTO hostler.task_inputs SELECT id, '{input}' FROM made)
                SELECT id FROM made"
            ),
        );
        format!("tsk_{}", ids[0].get::<_, uuid::Uuid>(0).simple())
    };
    let huge = by_hand("{\"n\": 1e400}");
    let deep = by_hand(&nested(200));
    let good = enqueue(&host, "default", &json!({"op": "echo", "value": 7}));
    assert_eq!(host.wait(&good)["output"], 7, "the one behind them");
    for (id, why) in [(&huge, "number out of range"), (&deep, "recursion limit")] {
        let task = host.wait(id);
        assert_eq!((&task["state"], &task["error"]["class"]), (&json!("failed"), &json!("input")));
        let told = task["error"]["message"].as_str().unwrap();
        assert!(told.contains(why) && told.contains("can't be read"), "{told}");
        assert!(task["input"].is_string(), "its text: {}", task["input"]);
    }
    assert_eq!(host.cli_json(&["task", "list"])["items"].as_array().unwrap().len(), 3);

    // An agent's result can be read by itself, and not inside of what a dependent is handed.
    let value = nested(125);
    let first = by_hand(&format!("{{\"op\": \"echo\", \"value\": {value}}}"));
    assert_eq!(host.wait(&first)["output"], json!(value), "in an answer it is text");
    assert_eq!(host.cli_json(&["task", "show", &first])["task"]["output"], json!(value));
    let body = json!({"depends_on": [first], "template": true,
        "input": {"op": "echo", "value": format!("{{{{ deps['{first}'].output }}}}")}});
    let made = host.ask(&Ask::new("POST", "/api/v1/tasks").json(&body)).expect(201);
    let second = host.wait(made["id"].as_str().unwrap());
    assert_eq!(second["error"]["class"], "input", "{second}");
    let told = second["error"]["message"].as_str().unwrap();
    assert!(told.contains("the results that the input uses"), "{told}");
}

#[test]
fn agents_that_are_not_ours_work_beside_a_host() {
    let host = Host::new(WORKER).up();
    query(&host, "INSERT INTO hostler.queues (name) VALUES ('elsewhere')");
    let id = enqueue(&host, "elsewhere", &json!({"n": 1}));
    let claim = "SELECT task_id FROM hostler.claim_task('bot-1', 'swarm', '{elsewhere}',
        lease => '3 seconds')";
    assert_eq!(query(&host, claim).len(), 1);
    let task = host.task(&id);
    assert_eq!((&task["state"], &task["agent"]), (&json!("running"), &json!("bot-1")));
    // It does not beat: the host takes it for lost.
    eventually("it is put back", || host.task(&id)["state"] == "pending");
    let claimed = query(&host, "SELECT task_id, attempt FROM hostler.claim_task('bot-2')");
    let (task, attempt): (uuid::Uuid, i32) = (claimed[0].get(0), claimed[0].get(1));
    assert_eq!(attempt, 2);
    // It is no host, and is told as what it is.
    let leases = host.get("/api/v1/hosts")["items"].clone();
    let agents: Vec<_> = leases.as_array().unwrap().iter().map(|it| &it["agent"]).collect();
    assert!(agents.contains(&&json!("bot-2")) && agents.contains(&&Value::Null), "{leases}");
    let done = format!("SELECT hostler.complete_task('{task}', '\"done\"', {attempt})");
    assert!(query(&host, &done)[0].get::<_, bool>(0));
    let task = host.wait(&id);
    assert_eq!((&task["output"], &task["failures"]), (&json!("done"), &json!(0)));
    // The settings of the host are the defaults of SQL.
    let terms = "SELECT (retry ->> 'backoff_max_ms')::integer FROM hostler.queue_terms
        WHERE queue IN ('', 'default')";
    let terms = query(&host, terms);
    assert_eq!(terms.iter().map(|row| row.get(0)).collect::<Vec<i32>>(), [50, 50]);
}

/// Whoever may connect to the database can send a notice, and may do nothing else, perhaps.
#[test]
fn a_notice_alone_ends_no_attempt() {
    let host = Host::new(WORKER).up();
    let running = |ms: u32| {
        let id = enqueue(&host, "default", &json!({"op": "sleep", "ms": ms}));
        eventually("it runs", || host.task(&id)["state"] == "running");
        let uuid = id.strip_prefix("tsk_").unwrap().to_owned();
        (id, uuid)
    };
    let (id, uuid) = running(1_500);
    query(&host, &format!("SELECT pg_notify('hostler_cancel', '{uuid}')"));
    assert_eq!(host.wait(&id)["state"], "completed");
    // With what stands in the table it does, at once.
    let (id, uuid) = running(600_000);
    query(&host, "UPDATE hostler.tasks SET cancel_requested = true WHERE state = 'running'");
    query(&host, &format!("SELECT pg_notify('hostler_cancel', '{uuid}')"));
    assert_eq!(host.wait(&id)["state"], "cancelled");
}

#[test]
fn the_roles_are_printed_or_made() {
    let host = Host::embedded(WORKER).up();
    let printed = host.cli(&["db", "roles"]);
    assert_eq!((printed.code, printed.stdout.contains("CREATE ROLE")), (0, true), "{printed:?}");
    // Beside the host that runs, by the superuser of its Postgres.
    let made = host.cli_json(&["db", "roles", "--apply"]);
    assert_eq!(made["roles"][0], "hostler_submit");
    assert_eq!(host.cli(&["db", "roles", "--apply"]).code, 0, "and again");
}
