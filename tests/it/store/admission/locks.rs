//! Locks, files and keys: taken in the claim, freed by whatever ends an attempt.

use std::{collections::BTreeSet, future::poll_fn, pin::pin, task::Poll, time::Duration};

use hostler::{
    domain::{
        admission::NeedKind,
        record::WaitKind,
        task::{TaskEvent, TaskState},
    },
    store::{admission, hosts, tasks},
};
use jiff::Timestamp;
use uuid::Uuid;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn plain_claims_leave_tasks_that_need_something() {
    let world = World::new().await;
    let ids = world.submit_needing(&["repo", "", "@alice"]).await;
    let plain = world.claim(9).await;
    assert_eq!(plain.iter().map(|one| one.task).collect::<Vec<_>>(), [ids[1]]);
    let chosen = world.choose(9).await;
    assert_eq!(chosen.iter().map(|one| one.task).collect::<Vec<_>>(), [ids[0], ids[2]]);
    assert!(chosen.iter().all(|one| one.frees) && !plain[0].frees);
    let record = tasks::get(&world.db, ids[2]).await.unwrap().unwrap();
    assert_eq!(record.needs, needs("@alice"));
    assert_eq!((record.state, record.host), (TaskState::Running, Some(world.host)));
}

#[tokio::test]
async fn all_or_none_in_the_order_of_priority_and_age() {
    let world = World::new().await;
    let mut batch: Vec<_> = ["a", "a b", "b", "", "w:src/**", "r:src/http/auth.rs", "c"]
        .iter()
        .map(|text| needing(&world.queue, text))
        .collect();
    batch[6].priority = 5;
    let ids = world.submit_all(&batch).await;
    assert_eq!(world.chosen(&ids, 9).await, [6, 0, 2, 3, 4], "plain ones stand between the others");
    assert_eq!(world.held().await, 4);
    assert_eq!(world.chosen(&ids, 9).await, [] as [usize; 0]);
}

/// Whatever ends an attempt frees what it held, and nothing else does.
#[tokio::test]
async fn every_end_of_an_attempt_frees_what_it_held() {
    let world = World::new().await;
    let ids = world.submit_needing(&["repo @alice w:src/**"]).await;
    for event in [TaskEvent::Released, TaskEvent::FailedForNow, TaskEvent::FailedForGood] {
        let given = world.choose(1).await;
        assert_eq!((given.len(), world.held().await), (1, 3), "{event:?}");
        let wait = Duration::ZERO;
        let ended =
            hostler::domain::task::Settlement { retry_after: wait, ..end(&given[0], event) };
        world.settle(&[ended]).await;
        assert_eq!(world.held().await, 0, "{event:?}");
        tasks::promote_due(&world.db).await.unwrap();
    }
    tasks::retry(&world.db, ids[0]).await.unwrap();
    let given = world.choose(1).await;
    assert_eq!(world.held().await, 3);
    // An agent that asks a question goes on holding.
    let asks = "UPDATE hostler.tasks SET state = 'awaiting_input', version = version + 1";
    world.db.execute(asks, &[]).await.unwrap();
    assert_eq!(world.held().await, 3);
    tasks::cancel(&world.db, ids[0]).await.unwrap();
    assert_eq!(world.held().await, 3, "its agent has not let go yet");
    world.settle(&[end(&given[0], TaskEvent::Cancelled)]).await;
    assert_eq!(world.held().await, 0);
    world.db.execute("DELETE FROM hostler.tasks", &[]).await.unwrap();
    assert_eq!(count(&world.db, "SELECT count(*) FROM hostler.task_needs").await, 0);
}

#[tokio::test]
async fn what_a_lost_host_held_is_free_once_it_is_taken_over_and_kept_by_its_successor() {
    let world = World::new().await;
    let ids = world.submit_needing(&["repo", "repo", "other"]).await;
    let slot = Uuid::new_v4();
    let lost = register(&world.db, slot, Duration::from_secs(60)).await;
    let queues = [world.queue.clone()];
    let theirs = choose(&world.store, &order(lost, &queues, super::super::agents(9))).await;
    assert_eq!(theirs.assignments.len(), 2);
    assert_eq!(world.chosen(&ids, 9).await, [] as [usize; 0]);
    // A host that starts again on the same directory goes on with one of them.
    let next = super::super::new_host(slot, Duration::ZERO);
    let hold =
        hostler::domain::adoption::Hold { task: ids[0], attempt: theirs.assignments[0].attempt };
    let resumed = hosts::resume(&world.db, &next, &[(hold, theirs.assignments[0].agent.clone())])
        .await
        .unwrap();
    assert_eq!((resumed.resumed.len(), resumed.returned.len()), (1, 1));
    assert!(resumed.resumed[0].assignment.frees);
    assert_eq!(world.held().await, 1);
    assert_eq!(world.chosen(&ids, 9).await, [2]);
    assert_eq!(hosts::take_over(&world.db).await.unwrap().returned.len(), 1);
    assert_eq!(world.chosen(&ids, 9).await, [0]);
}

#[tokio::test]
async fn the_database_refuses_a_lock_that_is_held_already() {
    let world = World::new().await;
    let ids = world.submit_needing(&["repo", "repo"]).await;
    assert_eq!(world.choose(9).await.len(), 1);
    // Whoever claims without a look.
    let claim = "UPDATE hostler.tasks SET state = 'running', version = version + 1, attempt = 1,
        host_id = gen_random_uuid(), agent = 'x-1', started_at = now() WHERE id = $1";
    let refused = world.db.execute(claim, &[&ids[1].as_uuid()]).await.unwrap_err();
    let refused = refused.as_db_error().unwrap();
    assert_eq!(refused.constraint(), Some("task_holds_exclusive"));
    assert_eq!(world.state(ids[1]).await, TaskState::Pending);
}

#[tokio::test]
async fn a_task_that_waits_says_for_whom_and_the_lock_says_who_waits() {
    let world = World::new().await;
    let ids = world.submit_needing(&["repo", "~repo r:docs/*", "free"]).await;
    let given = world.choose(9).await;
    assert_eq!(given.len(), 2);
    let waits = async |id| {
        let task = tasks::get(&world.db, id).await.unwrap().unwrap();
        admission::waits_for(&world.db, &task, &[], PATIENCE).await.unwrap()
    };
    let found = waits(ids[1]).await;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].kind, found[0].name.as_str()), (WaitKind::Lock, "repo"));
    assert_eq!(found[0].holder, Some(ids[0]));
    let since = found[0].since.unwrap();
    assert!(since <= Timestamp::now() && since.as_second() > 0);
    assert_eq!(waits(ids[0]).await, [], "it runs");
    let locks = admission::locks(&world.db, PATIENCE).await.unwrap();
    let shown: Vec<_> = locks
        .iter()
        .map(|it| (it.kind, it.name.as_str(), it.holder, it.waiters.as_slice()))
        .collect();
    let none: &[TaskId] = &[];
    let expected = [
        (NeedKind::Exclusive, "free", ids[2], none),
        (NeedKind::Exclusive, "repo", ids[0], &ids[1..2]),
    ];
    assert_eq!(shown, expected);
    assert_eq!(locks[0].host, Some(world.host));
    assert_eq!(locks[0].agent.as_ref(), Some(&given[1].agent));
    world.complete(&given).await;
    assert_eq!(admission::locks(&world.db, PATIENCE).await.unwrap(), []);
    assert_eq!(waits(ids[1]).await, [], "it waits for an agent alone");
}

#[tokio::test]
async fn what_was_passed_over_for_the_patience_is_next_wherever_it_waits() {
    let world = World::new().await;
    let other = ensure(&world.db, "other").await;
    let ids = world.submit_needing(&["~repo", "repo", "~repo", "~repo"]).await;
    assert_eq!(world.chosen(&ids, 2).await, [0, 2], "it is passed over");
    let since = "UPDATE hostler.task_waits SET since = now() - interval '11 seconds'";
    assert_eq!(world.db.execute(since, &[]).await.unwrap(), 1);
    // For every host and every fleet, whatever queues it serves.
    let theirs = world.submit_all(&[needing(&other, "~repo")]).await;
    let queues = [other.clone()];
    let asked = order(world.host, &queues, super::super::agents(9));
    assert_eq!(choose(&world.store, &asked).await.assignments, []);
    assert_eq!(world.chosen(&ids, 9).await, [] as [usize; 0]);
    let waits = async |id| {
        let task = tasks::get(&world.db, id).await.unwrap().unwrap();
        let found = admission::waits_for(&world.db, &task, &[], PATIENCE).await.unwrap();
        found.into_iter().map(|it| it.holder.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(waits(theirs[0]).await, [ids[1]]);
    // A reservation that nobody renews lapses.
    world.db.execute("UPDATE hostler.task_waits SET until = now()", &[]).await.unwrap();
    assert_eq!(waits(theirs[0]).await, [] as [TaskId; 0]);
    // A task that is called off reserves nothing.
    tasks::cancel(&world.db, ids[1]).await.unwrap();
    let left = world.db.query("SELECT task_id FROM hostler.task_waits", &[]).await.unwrap();
    assert!(left.iter().all(|row| row.get::<_, Uuid>(0) != *ids[1].as_uuid()), "{left:?}");
    assert_eq!(choose(&world.store, &asked).await.assignments.len(), 1);
}

/// A long line in front of one lock does not hide who stands behind it.
#[tokio::test]
async fn a_task_is_found_however_many_wait_before_it() {
    let world = World::new().await;
    let mut batch: Vec<_> = (0..2_000).map(|_| needing(&world.queue, "repo")).collect();
    batch.push(needing(&world.queue, "free"));
    let ids = world.submit_all(&batch).await;
    assert_eq!(world.chosen(&ids, 9).await, [0, 2_000]);

    // And if each of them stands in a lane of its own, it is found within a few looks.
    let world = World::new().await;
    let mut batch: Vec<_> =
        (0..1_500).map(|n| needing(&world.queue, &format!("repo x{n}"))).collect();
    batch.push(needing(&world.queue, "free"));
    let ids = world.submit_all(&batch).await;
    let asked = order(world.host, std::slice::from_ref(&world.queue), super::super::agents(9));
    let (mut memory, mut found, mut looks) = (Memory::default(), Vec::new(), 0);
    loop {
        let begun = world.store.pipeline_within(Duration::from_secs(20), async |db| {
            admission::begin(db, &asked, &BTreeSet::new(), memory).await
        });
        let begun = begun.await.unwrap();
        found.extend(begun.assignments.iter().map(|one| one.task));
        looks += 1;
        memory = begun.memory;
        if !begun.more {
            break;
        }
    }
    assert_eq!(found, [ids[0], ids[1_500]]);
    assert!((5..=8).contains(&looks), "{looks} looks, and then none before something changes");
}

#[tokio::test]
async fn a_key_that_is_taken_gives_the_task_that_has_it_with_its_needs() {
    let world = World::new().await;
    let mut first = needing(&world.queue, "repo");
    first.idempotency_key = Some("k".to_owned());
    let again = hostler::domain::task::NewTask { id: task(&world.queue).id, ..first.clone() };
    let ids = world.submit_all(&[first.clone()]).await;
    assert_eq!(world.submit_all(&[again]).await, ids);
    assert_eq!(count(&world.db, "SELECT count(*) FROM hostler.task_needs").await, 1);
}

/// A host that falls silent while it chooses does not hold up the others for long.
#[tokio::test]
async fn whoever_chooses_and_falls_silent_loses_its_turn() {
    let world = World::new().await;
    let silent = world.store.client().await.unwrap();
    let asked = order(world.host, std::slice::from_ref(&world.queue), super::super::agents(1));
    let none = BTreeSet::new();
    // Its statements are prepared with that: the next choice sends all it asks for at its first poll.
    let theirs = admission::begin(&silent, &asked, &none, Memory::default()).await.unwrap();
    assert_eq!(theirs.assignments, []);
    world.submit_needing(&["repo"]).await;
    let mut theirs = pin!(admission::begin(&silent, &asked, &none, Memory::default()));
    assert!(poll_fn(|cx| Poll::Ready(theirs.as_mut().poll(cx).is_pending())).await);
    let turns = "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database \
        WHERE datname = current_database() AND locktype = 'advisory' AND granted";
    while count(&world.db, turns).await == 0 {
        tokio::task::yield_now().await;
    }
    // Nothing is said any more, and nothing was committed: the next one waits, and gets the task.
    assert_eq!(world.choose(1).await.len(), 1);
    assert!(theirs.await.is_err());
}

/// Agents that claim by SQL get what plain claims get.
#[tokio::test]
async fn claims_in_sql_leave_tasks_that_need_something_and_what_is_limited() {
    let world = World::new().await;
    let limited = ensure(&world.db, "limited").await;
    let limit = "UPDATE hostler.queues SET concurrency = 0 WHERE name = 'limited'";
    world.db.execute(limit, &[]).await.unwrap();
    let mut batch: Vec<_> =
        ["repo", "", "@k"].iter().map(|text| needing(&world.queue, text)).collect();
    batch.push(task(&limited));
    let ids = world.submit_all(&batch).await;
    let claim = "SELECT task_id FROM hostler.claim_task('outside')";
    let claimed = world.db.query(claim, &[]).await.unwrap();
    let claimed: Vec<Uuid> = claimed.iter().map(|row| row.get(0)).collect();
    assert_eq!(claimed, [*ids[1].as_uuid()]);
    assert!(world.db.query(claim, &[]).await.unwrap().is_empty());
}
