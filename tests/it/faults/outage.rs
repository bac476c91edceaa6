//! The database goes away and comes back, and hosts that can't renew their lease.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{history_is_whole, nothing_was_lost, submit_many, until_all_are_final};
use crate::support::{
    host::{Host, WORKER},
    processes::{eventually, is_live, now, send},
    wire::Ask,
};

/// Workers, and processes of one task each that write down what they did.
const FLEETS: &str = r#"
[fleets.quick]
protocol = "worker"
command = ["python3", "worker.py"]
count = 2

[fleets.once]
protocol = "exec"
command = ["sh", "-c", "sleep $1; echo \"$HOSTLER_TASK_ID $HOSTLER_ATTEMPT x\" >>$EFFECTS_FILE; echo @NAME@", "sh", "{{ input.seconds }}"]
queues = ["once"]
"#;

/// One task at work on each fleet, for so long. Workers need a while to start, and the other task would not wait.
fn at_work(host: &Host, ms: u64) -> [String; 2] {
    for worker in ["quick-1", "quick-2"] {
        host.until_agent(worker, "idle");
    }
    let worker = host.submit(&json!({"input": {"op": "sleep", "ms": ms}}));
    let seconds = Duration::from_millis(ms).as_secs_f64();
    let once = host.submit(&json!({"queue": "once", "input": {"seconds": seconds}}));
    at_work_pids(host);
    [worker, once]
}

/// The pids of both agents at work, once both have been told of their task: a database
/// that goes away as soon as it says `running` may take the answer to the claim with it.
fn at_work_pids(host: &Host) -> [i32; 2] {
    let mut pids = Vec::new();
    eventually("both are at work", || {
        let agents = host.get("/api/v1/agents");
        let busy = agents["items"].as_array().unwrap().iter().filter(|one| one["state"] == "busy");
        pids = busy.filter_map(|one| i32::try_from(one["pid"].as_i64()?).ok()).collect();
        pids.len() == 2
    });
    [pids[0], pids[1]]
}

#[test]
fn what_ends_during_an_outage_is_not_lost() {
    let host = Host::new(FLEETS).up();
    let mut ids = at_work(&host, 1500).to_vec();
    host.database().cut();
    eventually("the host says that it is not ready", || !host.is_ready());
    eventually("it says why", || {
        let checks = host.ask(&Ask::new("GET", "/readyz")).expect(503)["checks"].clone();
        let queue = checks.as_array().unwrap().iter().find(|check| check["name"] == "queue");
        queue.unwrap()["detail"].as_str().is_some_and(|why| why.contains("Postgres"))
    });
    host.ask(&Ask::new("GET", "/livez")).expect(200);
    let submit = host.ask(&Ask::new("POST", "/api/v1/tasks").text("{}"));
    assert_eq!(submit.expect(503)["type"], "urn:hostler:problem:unavailable");
    assert!(submit.header("Retry-After").is_some());
    assert_eq!(host.cli(&["task", "list"]).code, 3);
    assert_eq!(host.ask(&Ask::new("GET", "/metrics")).status, 200);
    eventually("both are done", || host.effects().len() == 2);
    host.database().mend();
    eventually("the host is ready again", || host.is_ready());
    for id in &ids {
        let task = host.wait(id);
        assert_eq!((&task["state"], &task["attempt"]), (&json!("completed"), &json!(1)), "{task}");
    }
    ids.extend(submit_many(&host, 20));
    until_all_are_final(&host);
    nothing_was_lost(&host, &ids);
}

#[test]
fn short_outages_one_after_the_other_lose_nothing() {
    let host = Host::new(FLEETS).up();
    let ids = submit_many(&host, 600);
    for round in 1..=4 {
        let done = host.effects().len();
        eventually("it goes on", || host.effects().len() > done + 20 || done >= 500);
        host.database().cut();
        eventually("it is noticed", || host.log().contains("failed") || round > 1);
        host.database().mend();
        eventually("the host is ready again", || host.is_ready());
    }
    until_all_are_final(&host);
    nothing_was_lost(&host, &ids);
}

/// Writes `count` tasks of this kind as the newest of the only lane, without a word to its host.
fn unheard(count: usize, kind: &str) -> String {
    format!(
        "WITH lane AS (
            SELECT lane, max(number) AS newest FROM hostler.log_tasks GROUP BY lane
        ), made AS (
            INSERT INTO hostler.log_tasks (lane, number, id, kind, input, max_attempts)
            SELECT lane, newest + nth,
                hostler.task_id_at((extract(epoch FROM clock_timestamp()) * 1000000)::bigint + nth),
                '{kind}', '{{\"op\": \"echo\", \"value\": 1}}', 3
            FROM lane, generate_series(1, {count}) AS nth
        )
        INSERT INTO hostler.log_feed (step, lane, first, last)
        SELECT 1, lane, newest + 1, newest + {count} FROM lane"
    )
}

/// A batch was written, and its host never heard of it: what is submitted next goes behind it, and both are done.
#[test]
fn what_was_written_unheard_is_not_in_the_way_of_what_comes_next() {
    let host = Host::new(FLEETS).up();
    let mut ids = submit_many(&host, 3);
    until_all_are_final(&host);
    for (count, kind) in [(1, "alone"), (250, "many")] {
        host.database().execute(&[&unheard(2, kind)]);
        ids.extend(submit_many(&host, count));
        until_all_are_final(&host);
        let all = super::all_tasks(&host);
        let unheard = all.iter().filter(|task| task["kind"] == kind);
        ids.extend(unheard.map(|task| task["id"].as_str().unwrap().to_owned()));
    }
    assert_eq!(ids.len(), 3 + 1 + 250 + 4);
    nothing_was_lost(&host, &ids);
}

/// Batches that follow each other on one connection, while others are written unheard in between, again and again: each
/// time those that are under way are refused. Everybody is answered, and there is no gap.
#[test]
fn batches_behind_one_that_is_refused_leave_no_gap() {
    let host = Host::new(FLEETS).up();
    submit_many(&host, 1);
    // So that none is handed out as it is submitted: those do not follow each other.
    host.cli_json(&["queue", "pause", "default"]);
    // So slow that there is always one behind another.
    let slow = "CREATE FUNCTION hostler.slow() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN PERFORM pg_sleep(0.01); RETURN NULL; END $$;
        CREATE TRIGGER slow AFTER INSERT ON hostler.log_feed
            FOR EACH STATEMENT EXECUTE FUNCTION hostler.slow()";
    host.database().execute(&[slow]);
    let between = format!(
        "DO $$ BEGIN
        FOR round IN 1..20 LOOP
            LOCK TABLE hostler.log_tasks IN SHARE ROW EXCLUSIVE MODE;
            {};
            COMMIT;
            PERFORM pg_sleep(0.1);
        END LOOP;
    END $$",
        unheard(1, "unheard")
    );
    let done = AtomicBool::new(false);
    let submitted: usize = std::thread::scope(|scope| {
        let submit = || {
            let mut submitted = 0;
            while !done.load(Ordering::Relaxed) {
                submitted += submit_many(&host, 3).len();
            }
            submitted
        };
        let submitters: Vec<_> = (0..12).map(|_| scope.spawn(submit)).collect();
        host.database().execute(&[&between]);
        done.store(true, Ordering::Relaxed);
        submitters.into_iter().map(|one| one.join().unwrap()).sum()
    });
    host.database().execute(&["DROP TRIGGER slow ON hostler.log_feed"]);
    host.cli_json(&["queue", "resume", "default"]);
    until_all_are_final(&host);
    let all = super::all_tasks(&host);
    assert_eq!(all.len(), submitted + 20 + 1);
    let ids: Vec<_> = all.iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect();
    nothing_was_lost(&host, &ids);
    host.database().execute(&["DO $$ BEGIN
        ASSERT (SELECT max(number) = count(*) FROM hostler.log_tasks), 'there is a gap';
    END $$"]);
}

#[test]
fn without_a_lease_nobody_goes_on_working() {
    let lease = Duration::from_secs(4);
    let host = Host::new(FLEETS).set("host.lease", "4s").up();
    let ids = at_work(&host, 6000);
    let pids = at_work_pids(&host);
    host.database().cut();
    let cut = now();
    eventually("the agents at work are gone", || pids.iter().all(|pid| !is_live(*pid)));
    assert!(cut.elapsed() < lease, "only after {:?}", cut.elapsed());
    let checks = host.ask(&Ask::new("GET", "/readyz")).expect(503);
    assert!(checks.to_string().contains("lease"), "{checks}");
    assert!(host.effects().is_empty());
    host.database().mend();
    eventually("the host is ready again", || host.is_ready());
    until_all_are_final(&host);
    nothing_was_lost(&host, &ids);
    for id in &ids {
        let task = host.task(id);
        assert_eq!((&task["attempt"], &task["failures"]), (&json!(2), &json!(0)), "{task}");
        assert_eq!(host.history(id, "attempts")[0]["outcome"], "released");
    }
}

#[test]
fn a_database_that_hangs_is_as_bad_as_one_that_is_away() {
    let host = Host::embedded(FLEETS).set("host.lease", "3s").up();
    let mut ids = at_work(&host, 4000).to_vec();
    let later = json!({"input": {"op": "echo"}, "delay": "500ms"});
    ids.push(host.submit(&later));
    let pids = at_work_pids(&host);
    let servers = host.processes().into_iter().filter(|one| one.command.contains("postgres"));
    let servers: Vec<_> = servers.map(|one| one.pid).filter(|pid| *pid != host.pid()).collect();
    assert!(servers.len() > 3, "{:#?}", host.processes());
    servers.iter().for_each(|pid| send(*pid, Signal::SIGSTOP));
    eventually("the agents at work are gone", || pids.iter().all(|pid| !is_live(*pid)));
    assert!(!host.is_ready());
    servers.iter().for_each(|pid| send(*pid, Signal::SIGCONT));
    eventually("the host is ready again", || host.is_ready());
    until_all_are_final(&host);
    nothing_was_lost(&host, &ids);
}

#[test]
fn a_late_answer_of_a_host_that_was_taken_for_lost_changes_nothing() {
    let fleets = |name: &str| FLEETS.replace("@NAME@", name);
    let slow = Host::new(&fleets("slow")).set("host.lease", "4s").up();
    let ids = at_work(&slow, 3000);
    send(slow.pid(), Signal::SIGSTOP);
    let quick = slow.beside(&fleets("quick")).set("host.lease", "4s").up();
    for id in &ids {
        eventually("it runs on the other host", || quick.task(id)["attempt"] == 2);
    }
    eventually("the first answers wait to be read", || slow.effects().len() == 2);
    let ended: Vec<_> = ids.iter().map(|id| quick.wait(id)).collect();
    send(slow.pid(), Signal::SIGCONT);
    eventually("the first host is back", || slow.is_ready());
    assert_eq!(ended[1]["output"], "quick");
    for (id, before) in ids.iter().zip(&ended) {
        assert_eq!((&before["state"], &before["attempt"]), (&json!("completed"), &json!(2)));
        assert_eq!(slow.task(id), *before, "it changed nothing");
        history_is_whole(&slow, before);
        assert_eq!(slow.history(id, "attempts")[0]["outcome"], "released");
    }
    // It works on, as another host.
    let more = slow.submit(&json!({"queue": "once", "input": {"seconds": 0}}));
    assert_eq!(slow.wait(&more)["state"], "completed");
}

#[test]
fn a_lost_hosts_tasks_run_elsewhere() {
    let mut first = Host::new(WORKER).set("host.lease", "2s").up();
    let id = first.submit(&json!({"input": {"op": "sleep", "ms": 600_000}}));
    first.until_task(&id, "running");
    let second = first.beside(WORKER).set("host.lease", "2s").up();
    first.kill9();
    eventually("it runs on the other host", || second.task(&id)["attempt"] == 2);
    let task: Value = second.task(&id);
    assert_eq!((&task["failures"], &task["state"]), (&json!(0), &json!("running")), "{task}");
    let attempt = &second.history(&id, "attempts")[0];
    assert_eq!(attempt["outcome"], "released", "{attempt}");
}

/// The end of a task on which very many wait takes longer than a host usually waits for an answer:
/// it is not given up each time.
#[test]
fn an_end_that_takes_long_by_right_is_written() {
    let host = Host::new(WORKER).set("host.lease", "2s").up();
    host.database().execute(&[
        "CREATE FUNCTION public.linger() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN PERFORM pg_sleep(1.5); RETURN NULL; END $$",
        "CREATE TRIGGER linger AFTER UPDATE ON hostler.tasks FOR EACH ROW
         WHEN (NEW.state = 'completed') EXECUTE FUNCTION public.linger()",
    ]);
    let id = host.submit(&json!({"input": {"op": "echo"}, "priority": 1}));
    let task = host.wait(&id);
    assert_eq!((&task["state"], &task["attempt"]), (&json!("completed"), &json!(1)), "{task}");
    history_is_whole(&host, &task);
}
