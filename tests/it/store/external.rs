//! Agents that are not ours: `hostler.claim_task` and what ends a claim.

use std::time::Duration;

use deadpool_postgres::Client;
use hostler::{
    domain::{
        TaskId,
        task::{TaskEvent, TaskState},
    },
    store::{hosts, log, queues as queue_rows, tasks},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{World, end, ensure};

/// A task as `claim_task` tells it.
#[derive(Debug, PartialEq)]
struct Claimed {
    task: TaskId,
    attempt: i32,
    input: Value,
}

/// Calls `claim_task` with these parameters.
async fn claim(db: &Client, parameters: &str) -> Option<Claimed> {
    let call = format!("SELECT * FROM hostler.claim_task({parameters})");
    let row = db.query_opt(&call, &[]).await.unwrap()?;
    Some(Claimed {
        task: TaskId::from_uuid(row.get("task_id")),
        attempt: row.get("attempt"),
        input: row.get("input_data"),
    })
}

/// Calls a function that answers whether it counted.
async fn counts(db: &Client, function: &str, task: TaskId, rest: &str) -> bool {
    let call = format!("SELECT hostler.{function}('{}', {rest})", task.as_uuid());
    db.query_one(&call, &[]).await.unwrap().get(0)
}

/// What a heartbeat tells: tasks, and whether they were called off.
async fn beat(db: &Client, parameters: &str) -> Vec<(TaskId, bool)> {
    let call = format!("SELECT * FROM hostler.heartbeat({parameters})");
    let rows = db.query(&call, &[]).await.unwrap();
    rows.iter()
        .map(|row| (TaskId::from_uuid(row.get("task_id")), row.get("cancel_requested")))
        .collect()
}

/// Lets the lease of every agent that is not ours end.
async fn let_leases_end(world: &World) {
    let past = "UPDATE hostler.hosts SET lease_ends_at = now() - interval '1 s'
        WHERE kind = 'external'";
    world.db.execute(past, &[]).await.unwrap();
}

async fn holders(world: &World) -> i64 {
    let count = "SELECT count(*) FROM hostler.hosts WHERE kind = 'external'";
    world.db.query_one(count, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn an_agent_claims_in_order_and_completes() {
    let world = World::new().await;
    assert_eq!(claim(&world.db, "'bot-1'").await, None);
    assert_eq!(holders(&world).await, 0, "who found nothing wrote nothing");
    let ids = world.submit(2).await;
    let urgent = "SELECT hostler.enqueue('default', 'say', '{\"n\": 9}', priority => 5)";
    let urgent = TaskId::from_uuid(world.db.query_one(urgent, &[]).await.unwrap().get(0));

    let first = claim(&world.db, "'bot-1', 'swarm'").await.unwrap();
    assert_eq!(first, Claimed { task: urgent, attempt: 1, input: json!({"n": 9}) });
    let second = claim(&world.db, "'bot-1', 'swarm'").await.unwrap();
    assert_eq!(second.task, ids[0], "then the oldest");
    assert_eq!(holders(&world).await, 1);
    let record = tasks::get(&world.db, urgent).await.unwrap().unwrap();
    assert_eq!(record.agent.unwrap().as_str(), "bot-1");

    assert!(counts(&world.db, "complete_task", urgent, "'{\"ok\": 1}', 1").await);
    let record = tasks::get(&world.db, urgent).await.unwrap().unwrap();
    assert_eq!((record.state, record.output), (TaskState::Completed, Some(json!({"ok": 1}))));
    let attempts = tasks::attempts(&world.db, urgent).await.unwrap();
    assert_eq!((attempts.len(), attempts[0].outcome.as_str()), (1, "completed"));
    world.check_events(urgent).await;
    // Twice is late, and so is a number that is not the newest.
    assert!(!counts(&world.db, "complete_task", urgent, "'2', 1").await);
    assert!(!counts(&world.db, "complete_task", second.task, "'2', 7").await);
    // The name of the agent does in place of the number; that of another does not.
    let named = |agent: &str, control: &str| {
        format!("'3', agent_name => '{agent}', control_agent => '{control}'")
    };
    assert!(!counts(&world.db, "complete_task", second.task, &named("bot-1", "external")).await);
    assert!(!counts(&world.db, "complete_task", second.task, &named("bot-2", "swarm")).await);
    assert!(counts(&world.db, "complete_task", second.task, &named("bot-1", "swarm")).await);
}

#[tokio::test]
async fn a_claim_takes_from_its_queues_and_never_from_a_paused_one() {
    let world = World::new().await;
    let other = ensure(&world.db, "other").await;
    world.submit(1).await;
    assert_eq!(claim(&world.db, "'bot-1', queues => '{other}'").await, None);
    queue_rows::pause(
        &world.db,
        &world.queue,
        "upkeep",
        hostler::domain::admission::Until::Resumed,
    )
    .await
    .unwrap();
    assert_eq!(claim(&world.db, "'bot-1'").await, None);
    // A pause that has ended holds nothing back, and is shown no more, though no host took it down.
    let paused = "SELECT paused, paused_reason, paused_until IS NOT NULL
        FROM hostler.queue_overview WHERE queue = 'default'";
    let shown = async || {
        let row = world.db.query_one(paused, &[]).await.unwrap();
        (row.get::<_, bool>(0), row.get::<_, Option<String>>(1), row.get::<_, bool>(2))
    };
    assert_eq!(shown().await, (true, Some("upkeep".to_owned()), false));
    let until = "UPDATE hostler.queues SET paused_until = now() + interval '1 hour' * $1
        WHERE name = 'default'";
    world.db.execute(until, &[&1_f64]).await.unwrap();
    assert_eq!(shown().await, (true, Some("upkeep".to_owned()), true));
    world.db.execute(until, &[&-1_f64]).await.unwrap();
    assert_eq!(shown().await, (false, None, false));
    queue_rows::resume(&world.db, &world.queue).await.unwrap();
    let mut elsewhere = super::task(&other);
    elsewhere.priority = 1;
    let elsewhere = tasks::submit(&world.db, &[elsewhere]).await.unwrap()[0].id;
    assert_eq!(claim(&world.db, "'bot-1'").await.unwrap().task, elsewhere);
    assert!(claim(&world.db, "'bot-1', queues => '{default,other}'").await.is_some());
}

#[tokio::test]
async fn what_another_session_is_claiming_is_passed_over() {
    let world = World::new().await;
    let ids = world.submit(2).await;
    let mut one = world.store.client().await.unwrap();
    let open = one.transaction().await.unwrap();
    let row = open.query_one("SELECT * FROM hostler.claim_task('bot-1')", &[]).await.unwrap();
    assert_eq!(row.get::<_, Uuid>("task_id"), *ids[0].as_uuid());
    assert_eq!(claim(&world.db, "'bot-2'").await.unwrap().task, ids[1]);
    assert_eq!(claim(&world.db, "'bot-3'").await, None);
    open.rollback().await.unwrap();
    assert_eq!(claim(&world.db, "'bot-3'").await.unwrap().task, ids[0]);
}

#[tokio::test]
async fn claim_work_and_end_may_be_one_transaction() {
    let world = World::new().await;
    let id = world.submit(1).await[0];
    let mut one = world.store.client().await.unwrap();
    for commit in [false, true] {
        let work = one.transaction().await.unwrap();
        work.batch_execute("CREATE TABLE IF NOT EXISTS public.effects (task uuid)").await.unwrap();
        let all = "SELECT hostler.complete_task(task_id, attempt => attempt)
            FROM hostler.claim_task('bot-1')";
        assert!(work.query_one(all, &[]).await.unwrap().get::<_, bool>(0));
        work.batch_execute("INSERT INTO public.effects SELECT id FROM hostler.tasks")
            .await
            .unwrap();
        if commit {
            work.commit().await.unwrap();
        } else {
            work.rollback().await.unwrap();
            assert_eq!(world.state(id).await, TaskState::Pending);
        }
    }
    assert_eq!(world.state(id).await, TaskState::Completed);
    assert_eq!(world.check_events(id).await.len(), 3);
    let effects = world.db.query("SELECT FROM public.effects", &[]).await.unwrap();
    assert_eq!(effects.len(), 1, "the work of the first went with it");
}

#[tokio::test]
async fn a_failure_is_tried_again_after_a_wait_and_in_the_end_kept() {
    let world = World::new().await;
    let id = world.submit(1).await[0];
    for attempt in 1..=3 {
        let given = claim(&world.db, "'bot-1'").await.unwrap();
        assert_eq!((given.task, given.attempt), (id, attempt));
        let rest = format!("'no luck', {attempt}, detail => '{{\"code\": 4}}'");
        assert!(counts(&world.db, "fail_task", id, &rest).await);
        let record = tasks::get(&world.db, id).await.unwrap().unwrap();
        let error = record.error.unwrap();
        assert_eq!((error.message.as_str(), &error.detail), ("no luck", &json!({"code": 4})));
        assert_eq!(record.failures, attempt.unsigned_abs());
        if attempt < 3 {
            assert_eq!(record.state, TaskState::Scheduled);
            assert_eq!(claim(&world.db, "'bot-1'").await, None, "not before its time");
            let due = "UPDATE hostler.tasks SET run_at = now()";
            world.db.execute(due, &[]).await.unwrap();
            tasks::promote_due(&world.db).await.unwrap();
        } else {
            assert_eq!(record.state, TaskState::Failed);
        }
    }
    let letters = world.db.query("SELECT * FROM hostler.dead_letters", &[]).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].get::<_, &str>("error"), "no luck");
    world.check_events(id).await;
}

#[tokio::test]
async fn a_released_task_uses_up_no_try() {
    let world = World::new().await;
    let id = world.submit(1).await[0];
    claim(&world.db, "'bot-1'").await.unwrap();
    assert!(counts(&world.db, "release_task", id, "'going home', 1").await);
    let record = tasks::get(&world.db, id).await.unwrap().unwrap();
    assert_eq!((record.state, record.failures), (TaskState::Pending, 0));
    let attempts = tasks::attempts(&world.db, id).await.unwrap();
    assert_eq!(attempts[0].reason.as_deref(), Some("going home"));
}

#[tokio::test]
async fn who_does_not_beat_is_lost_and_its_task_goes_back() {
    let world = World::new().await;
    let id = world.submit(1).await[0];
    claim(&world.db, "'bot-1', lease => '20 s'").await.unwrap();
    assert_eq!(beat(&world.db, "'bot-1'").await, [(id, false)]);
    assert_eq!(beat(&world.db, "'bot-2'").await, [], "that one holds nothing");
    assert_eq!(hosts::take_over(&world.db).await.unwrap().returned, []);
    // Late, but before anybody took over: it is still its own.
    let_leases_end(&world).await;
    assert_eq!(beat(&world.db, "'bot-1'").await, [(id, false)]);
    assert_eq!(hosts::take_over(&world.db).await.unwrap().returned, []);

    let_leases_end(&world).await;
    assert_eq!(hosts::take_over(&world.db).await.unwrap().returned.len(), 1);
    assert_eq!(beat(&world.db, "'bot-1'").await, [], "it hears that it must stop");
    assert!(!counts(&world.db, "complete_task", id, "'1', 1").await);
    let record = tasks::get(&world.db, id).await.unwrap().unwrap();
    assert_eq!((record.state, record.failures), (TaskState::Pending, 0));

    // Where no host of ours lives, the next claim takes over.
    claim(&world.db, "'bot-1'").await.unwrap();
    let_leases_end(&world).await;
    assert_eq!(claim(&world.db, "'bot-2'").await, None, "the one that lives will see to it");
    let dead = "UPDATE hostler.hosts SET lease_ends_at = now() - interval '1 s'
        WHERE kind = 'host'";
    world.db.execute(dead, &[]).await.unwrap();
    let again = claim(&world.db, "'bot-2'").await.unwrap();
    assert_eq!((again.task, again.attempt), (id, 3));
    assert!(!counts(&world.db, "complete_task", id, "'1', 2").await, "the lost one is late");
    assert!(counts(&world.db, "complete_task", id, "'1', 3").await);
    assert_eq!(holders(&world).await, 1, "the lost one is out");
    world.check_events(id).await;
}

#[tokio::test]
async fn a_beat_tells_what_was_called_off() {
    let world = World::new().await;
    let id = world.submit(1).await[0];
    claim(&world.db, "'bot-1'").await.unwrap();
    tasks::cancel(&world.db, id).await.unwrap();
    assert_eq!(beat(&world.db, "'bot-1'").await, [(id, true)]);
    assert!(counts(&world.db, "fail_task", id, "'stopped', 1").await);
    assert_eq!(world.state(id).await, TaskState::Cancelled, "and is not tried again");
    world.check_events(id).await;
    // Nor is it failed, where that was the last try.
    let last = "SELECT hostler.enqueue('default', 'say', max_attempts => 1)";
    let last = TaskId::from_uuid(world.db.query_one(last, &[]).await.unwrap().get(0));
    claim(&world.db, "'bot-1'").await.unwrap();
    tasks::cancel(&world.db, last).await.unwrap();
    assert!(counts(&world.db, "fail_task", last, "'stopped', 1").await);
    assert_eq!(world.state(last).await, TaskState::Cancelled);
    world.check_events(last).await;
}

/// Its transaction may last as long as its work.
#[tokio::test]
async fn a_claim_touches_no_task_but_its_own() {
    let world = World::new().await;
    let mut waited: Vec<_> = (0..3).map(|_| super::task(&world.queue)).collect();
    for task in &mut waited {
        task.run_at = Some("2100-01-01T00:00:00Z".parse().unwrap());
    }
    waited[2].priority = 1;
    let lost = world.submit(1).await[0];
    claim(&world.db, "'bot-0'").await.unwrap();
    let ids: Vec<_> = waited.iter().map(|task| task.id).collect();
    tasks::submit(&world.db, &waited).await.unwrap();
    let due = "UPDATE hostler.tasks SET run_at = now() - interval '1 s' WHERE state = 'scheduled'";
    world.db.execute(due, &[]).await.unwrap();
    let_leases_end(&world).await;

    let mut one = world.store.client().await.unwrap();
    let open = one.transaction().await.unwrap();
    let row = open.query_one("SELECT * FROM hostler.claim_task('bot-1')", &[]).await.unwrap();
    assert_eq!(row.get::<_, Uuid>("task_id"), *ids[2].as_uuid(), "the first of those that are due");
    // While it works: another agent gets the next of them, a host what is left, and what was lost.
    assert_eq!(claim(&world.db, "'bot-2'").await.unwrap().task, ids[0]);
    tasks::promote_due(&world.db).await.unwrap();
    assert_eq!(world.state(ids[1]).await, TaskState::Pending);
    let returned = hosts::take_over(&world.db).await.unwrap().returned;
    assert_eq!(returned.iter().map(|one| one.task).collect::<Vec<_>>(), [lost]);
    open.commit().await.unwrap();
    for id in ids.into_iter().chain([lost]) {
        world.check_events(id).await;
    }
}

#[tokio::test]
async fn what_a_host_of_ours_runs_is_not_ended_by_sql() {
    let world = World::new().await;
    let given = world.running().await;
    for (function, rest) in
        [("complete_task", "'1', 1"), ("fail_task", "'x', 1"), ("release_task", "'x', 1")]
    {
        assert!(!counts(&world.db, function, given.task, rest).await, "{function}");
    }
    let named = format!("'1', agent_name => '{}'", given.agent);
    assert!(!counts(&world.db, "complete_task", given.task, &named).await);
    assert_eq!(world.settle(&[end(&given, TaskEvent::Completed)]).await.len(), 1);
    // And the other way round.
    let id = world.submit(1).await[0];
    claim(&world.db, "'bot-1'").await.unwrap();
    let mut theirs = given;
    (theirs.task, theirs.attempt.0) = (id, 1);
    assert_eq!(world.settle(&[end(&theirs, TaskEvent::Completed)]).await, []);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_name() {
    let world = World::new().await;
    let id = world.submit(1).await[0];
    let task = id.as_uuid();
    let rows = [
        ("claim_task('Bot 1')".to_owned(), "parameter \"agent_name\": \"Bot 1\""),
        ("claim_task(NULL)".to_owned(), "parameter \"agent_name\""),
        ("claim_task('b', '')".to_owned(), "parameter \"control_agent\" of agent \"b\""),
        ("claim_task('b', lease => '0')".to_owned(), "parameter \"lease\" of agent \"b\""),
        ("claim_task('b', lease => '2 days')".to_owned(), "parameter \"lease\""),
        (
            "claim_task('b', queues => '{default,nope}')".to_owned(),
            "parameter \"queues\": there is no queue \"nope\"",
        ),
        ("heartbeat('b', NULL)".to_owned(), "parameter \"control_agent\""),
        (format!("complete_task('{task}')"), "give parameter \"attempt\""),
        (format!("fail_task('{task}', 'x')"), "give parameter \"attempt\""),
        (format!("release_task('{task}', 'x')"), "give parameter \"attempt\""),
    ];
    for (call, said) in rows {
        let sql = format!("SELECT * FROM hostler.{call}");
        let error = world.db.query(&sql, &[]).await.expect_err(&call);
        let error = error.as_db_error().unwrap();
        assert_eq!(error.code().code(), "22023", "{call}: {error}");
        assert!(error.message().contains(said), "{call}: {error}");
    }
    assert_eq!(world.state(id).await, TaskState::Pending);
    let unknown = "SELECT * FROM hostler.task_result(gen_random_uuid())";
    let row = world.db.query_one(unknown, &[]).await.unwrap();
    assert_eq!(row.get::<_, Option<&str>>("state"), None);
}

/// Appends plain tasks to the log, as a host on `slot` does.
async fn append(world: &World, slot: Uuid, count: usize) -> Vec<TaskId> {
    let lanes = log::lanes(&world.db, slot, std::slice::from_ref(&world.queue)).await.unwrap();
    let tasks: Vec<_> = (0..count).map(|_| super::task(&world.queue)).collect();
    let ids = tasks.iter().map(|task| task.id).collect();
    let ready = log::Ready::all(tasks).unwrap();
    let placed: Vec<_> = ready.iter().map(|task| (lanes[&world.queue], task)).collect();
    log::submit(&world.db, &placed, None).await.unwrap();
    ids
}

#[tokio::test]
async fn plain_tasks_are_taken_in_their_turn() {
    let world = World::new().await;
    let slot = Uuid::new_v4();
    let plain = append(&world, slot, 4).await;
    let tracked = world.submit(1).await[0];
    let urgent = "SELECT hostler.enqueue('default', 'say', priority => 1)";
    let urgent = TaskId::from_uuid(world.db.query_one(urgent, &[]).await.unwrap().get(0));
    let shown = "SELECT pending FROM hostler.queue_overview WHERE queue = 'default'";
    assert_eq!(world.db.query_one(shown, &[]).await.unwrap().get::<_, i64>(0), 6);
    let listed = world.db.query("SELECT FROM hostler.task_overview", &[]).await.unwrap();
    assert_eq!(listed.len(), 6, "all of them, wherever they are kept");

    assert_eq!(claim(&world.db, "'bot-1'").await.unwrap().task, urgent);
    let first = claim(&world.db, "'bot-1'").await.unwrap();
    assert_eq!((first.task, first.attempt), (plain[0], 1));
    // A host takes its part of the log; neither gets what the other has.
    let queues = std::slice::from_ref(&world.queue);
    let range = log::claim(&world.db, world.host, slot, &"agent".parse().unwrap(), queues, 2)
        .await
        .unwrap()
        .range()
        .unwrap();
    let ours: Vec<_> = range.tasks.iter().map(|task| task.task).collect();
    assert_eq!(ours, plain[1..3]);
    let running = world.db.query("SELECT FROM hostler.running_tasks", &[]).await.unwrap();
    assert_eq!(running.len(), 4);
    assert_eq!(claim(&world.db, "'bot-1'").await.unwrap().task, plain[3]);
    assert_eq!(claim(&world.db, "'bot-1'").await.unwrap().task, tracked);
    assert_eq!(claim(&world.db, "'bot-1'").await, None);

    assert!(counts(&world.db, "complete_task", plain[0], "'1', 1").await);
    let result = "SELECT state, output FROM hostler.task_result($1)";
    for (task, state) in [(plain[0], "completed"), (plain[1], "running"), (plain[3], "running")] {
        let row = world.db.query_one(result, &[task.as_uuid()]).await.unwrap();
        assert_eq!(row.get::<_, &str>("state"), state, "{task}");
        world.check_events(task).await;
    }
}

#[tokio::test]
async fn a_crowd_claims_each_task_once() {
    let world = World::new().await;
    let mut ids = append(&world, Uuid::new_v4(), 30).await;
    ids.extend(world.submit(30).await);
    ids.extend(append(&world, Uuid::new_v4(), 30).await);
    let crowd = (1..=6).map(|number| {
        let store = world.store.clone();
        tokio::spawn(async move {
            let db = store.client().await.unwrap();
            let mut taken = Vec::new();
            while let Some(given) = claim(&db, &format!("'bot-{number}'")).await {
                assert_eq!(given.attempt, 1);
                assert!(counts(&db, "complete_task", given.task, "'1', 1").await);
                taken.push(given.task);
            }
            taken
        })
    });
    let mut taken: Vec<TaskId> = Vec::new();
    for one in crowd.collect::<Vec<_>>() {
        taken.extend(tokio::time::timeout(Duration::from_secs(60), one).await.unwrap().unwrap());
    }
    taken.sort();
    assert_eq!(taken, ids);
}

/// There may be no host that fails what is late, and that gives out what was to wait.
#[tokio::test]
async fn an_agent_does_without_a_host() {
    let world = World::new().await;
    let ids = world.submit(3).await;
    let late = "UPDATE hostler.tasks SET deadline = now() - interval '1 s' WHERE id = $1";
    world.db.execute(late, &[&ids[0]]).await.unwrap();
    let soon = "UPDATE hostler.tasks SET deadline = now() + interval '1 min' WHERE id = $1";
    world.db.execute(soon, &[&ids[1]]).await.unwrap();
    let claim_it = "SELECT task_id, extract(epoch FROM timeout)::double precision AS seconds
        FROM hostler.claim_task('bot-1')";
    let claimed = world.db.query_one(claim_it, &[]).await.unwrap();
    assert_eq!(claimed.get::<_, Uuid>("task_id"), *ids[1].as_uuid(), "the late one is passed over");
    let seconds: f64 = claimed.get("seconds");
    assert!((50.0..=60.0).contains(&seconds), "no longer than its deadline lasts: {seconds}");

    let put_off = "UPDATE hostler.tasks SET state = 'scheduled', version = version + 1,
        run_at = now() + interval '1 hour' WHERE id = $1";
    world.db.execute(put_off, &[&ids[2]]).await.unwrap();
    assert_eq!(claim(&world.db, "'bot-1'").await, None, "its time is to come");
    let due = "UPDATE hostler.tasks SET run_at = now() - interval '1 s' WHERE id = $1";
    world.db.execute(due, &[&ids[2]]).await.unwrap();
    assert_eq!(claim(&world.db, "'bot-1'").await.unwrap().task, ids[2]);
    world.check_events(ids[2]).await;
}
