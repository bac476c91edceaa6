//! Many tasks at once, and those that failed.

use std::{collections::BTreeSet, time::Duration};

use hostler::{
    domain::{
        QueueName, TaskId,
        bulk::{Deed, Selection},
        task::{FailureClass, NewTask, Outcome, Settlement, TaskEvent, TaskState},
    },
    store::{Store, StoreError, ends, log, tasks},
};
use jiff::Timestamp;

use super::{World, end, ensure, states::put_in, task};

fn all(deed: &Deed) -> Selection {
    Selection { states: deed.possible(), ..Selection::default() }
}

const RETRY: Deed = Deed::Retry { to: None, rate: None };
const AT_ONCE: (Duration, Duration) = (Duration::ZERO, Duration::ZERO);

/// Finds all that a selection means, `look_at` tasks at a time; each step is within bounds.
async fn find_all(world: &World, selection: &Selection, look_at: u32) -> Vec<TaskId> {
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let step = tasks::find(&world.db, selection, after, look_at).await.unwrap();
        assert!(step.tasks.len() <= look_at as usize);
        found.extend(step.tasks);
        match step.go_on_after {
            Some(next) => {
                assert!(after.is_none_or(|after| after < next), "it goes on");
                after = Some(next);
            }
            None => return found,
        }
    }
}

async fn cancel_many(
    store: &Store,
    ids: &[TaskId],
    states: &[TaskState],
) -> Result<Vec<(TaskId, bool)>, StoreError> {
    store.transact(async |db| tasks::cancel_many(db, ids, states).await).await
}

async fn retry_many(
    store: &Store,
    ids: &[TaskId],
    states: &[TaskState],
    to: Option<&QueueName>,
    pace: (Duration, Duration),
) -> Result<Vec<tasks::Retried>, StoreError> {
    tasks::retry_many(&store.client().await.unwrap(), ids, states, to, pace).await
}

async fn submit(world: &World, batch: &[NewTask]) -> Vec<TaskId> {
    let made = world.store.transact(async |db| tasks::submit(db, batch).await).await.unwrap();
    made.into_iter().map(|one| one.id).collect()
}

/// Fails a task of the world's queue for good.
async fn fail(world: &World, class: FailureClass) -> TaskId {
    let given = world.running().await;
    let outcome = Outcome::failed(class, format!("of class {class}"));
    let end = Settlement { outcome, ..end(&given, TaskEvent::FailedForGood) };
    world.settle(&[end]).await;
    given.task
}

#[tokio::test]
async fn a_selection_finds_what_it_says_and_no_more() {
    let world = World::new().await;
    let other = ensure(&world.db, "other").await;
    let mut batch: Vec<_> = (0..9).map(|_| task(&world.queue)).collect();
    batch[1].queue = other.clone();
    batch[2].kind = "special".to_owned();
    for nth in [3, 4] {
        batch[nth].terms.group = Some("g".parse().unwrap());
    }
    batch[4].kind = "special".to_owned();
    batch[5].run_at = Some("2100-01-01T00:00:00Z".parse().unwrap());
    let ids = submit(&world, &batch).await;
    let age = "UPDATE hostler.tasks SET created_at = now() - interval '1 day' WHERE id = $1";
    world.db.execute(age, &[ids[6].as_uuid()]).await.unwrap();
    tasks::cancel(&world.db, ids[7]).await.unwrap();
    let hour_ago = Some(Timestamp::now() - Duration::from_secs(3600));

    let all = all(&Deed::Cancel);
    let special = Some("special".to_owned());
    let group = Some("g".parse().unwrap());
    let rows: Vec<(Selection, &[usize])> = vec![
        (all.clone(), &[0, 1, 2, 3, 4, 5, 6, 8]),
        (Selection { queue: Some(other), ..all.clone() }, &[1]),
        (Selection { kind: special.clone(), ..all.clone() }, &[2, 4]),
        (Selection { group: group.clone(), ..all.clone() }, &[3, 4]),
        (Selection { group: group.clone(), kind: special, ..all.clone() }, &[4]),
        (Selection { states: vec![TaskState::Scheduled], ..all.clone() }, &[5]),
        (Selection { states: vec![TaskState::Cancelled], ..all.clone() }, &[7]),
        (Selection { created_before: hour_ago, ..all.clone() }, &[6]),
        (Selection { created_after: hour_ago, ..all.clone() }, &[0, 1, 2, 3, 4, 5, 8]),
        (Selection { tasks: Some(vec![ids[8], ids[0], ids[7], ids[8]]), ..all.clone() }, &[0, 8]),
        (Selection { tasks: Some(vec![ids[0], ids[3]]), group, ..all.clone() }, &[3]),
        (Selection { class: Some(FailureClass::Exit), ..all }, &[]),
    ];
    for (selection, expected) in rows {
        let expected: Vec<_> = expected.iter().map(|nth| ids[*nth]).collect();
        for look_at in [1, 2, 1000] {
            let found = find_all(&world, &selection, look_at).await;
            assert_eq!(found, expected, "{look_at} at a time: {selection:?}");
        }
    }
}

#[tokio::test]
async fn many_are_called_off_as_one_is() {
    let world = World::new().await;
    let mut tasks_in = Vec::new();
    for state in TaskState::ALL {
        tasks_in.push((state, put_in(&world, state).await));
    }
    let ids: Vec<TaskId> = tasks_in.iter().map(|(_, id)| *id).collect();
    let states = Deed::Cancel.possible();
    let done = cancel_many(&world.store, &ids, &states).await.unwrap();
    let done: BTreeSet<_> = done.into_iter().collect();
    for (state, id) in tasks_in {
        let record = tasks::get(&world.db, id).await.unwrap().unwrap();
        let expected =
            if state.is_held() || state.is_final() { state } else { TaskState::Cancelled };
        assert_eq!(record.state, expected, "{state}");
        assert_eq!(record.cancel_requested, state.is_held(), "{state}");
        assert_eq!(done.contains(&(id, state.is_held())), !state.is_final(), "{state}");
        world.check_events(id).await;
    }
    // Whoever was asked before is not asked, nor counted, again.
    assert_eq!(cancel_many(&world.store, &ids, &states).await.unwrap(), []);
    assert_eq!(find_all(&world, &all(&Deed::Cancel), 10).await, []);
    // Only those that are still in the states that were asked for.
    let pending = world.submit(1).await;
    let none = cancel_many(&world.store, &pending, &[TaskState::Scheduled]).await.unwrap();
    assert_eq!(none, []);
}

#[tokio::test]
async fn many_are_tried_again_at_once_or_one_after_the_other() {
    let world = World::new().await;
    let other = ensure(&world.db, "other").await;
    let mut failed = Vec::new();
    for _ in 0..4 {
        failed.push(fail(&world, FailureClass::Exit).await);
    }
    let cancelled = put_in(&world, TaskState::Cancelled).await;
    let completed = put_in(&world, TaskState::Completed).await;
    let all = [failed.clone(), vec![cancelled, completed]].concat();
    let states = RETRY.usual();
    let retried = retry_many(&world.store, &all[..1], &states, None, AT_ONCE).await.unwrap();
    assert_eq!((retried[0].task, retried[0].state), (failed[0], TaskState::Pending));
    // The others go to another queue, the first at once, then one every ten seconds.
    let paced = (Duration::ZERO, Duration::from_secs(10));
    let retried = retry_many(&world.store, &all, &states, Some(&other), paced).await.unwrap();
    assert_eq!(retried.len(), 3, "not what is pending, called off or completed");
    let mut run_at = Vec::new();
    for (nth, id) in failed[1..].iter().enumerate() {
        let record = tasks::get(&world.db, *id).await.unwrap().unwrap();
        let state = if nth == 0 { TaskState::Pending } else { TaskState::Scheduled };
        assert_eq!((record.state, &record.queue), (state, &other));
        assert_eq!((record.failures, record.attempt.0, record.finished_at), (0, 1, None));
        assert!(record.error.is_some(), "its history goes on");
        run_at.push(record.run_at);
        world.check_events(*id).await;
    }
    for pair in run_at.windows(2) {
        assert_eq!(pair[1].duration_since(pair[0]), jiff::SignedDuration::from_secs(10));
    }
    let paced = (Duration::from_secs(5), Duration::from_secs(1));
    let states = [TaskState::Cancelled];
    let retried = retry_many(&world.store, &all, &states, None, paced).await.unwrap();
    assert_eq!((retried[0].task, retried[0].state), (cancelled, TaskState::Scheduled));
}

#[tokio::test]
async fn dead_letters_say_why_and_what_was_done() {
    let world = World::new().await;
    let classes = [FailureClass::Exit, FailureClass::Timeout, FailureClass::Exit];
    let mut ids = Vec::new();
    for class in classes {
        ids.push(fail(&world, class).await);
    }
    world.submit(2).await;
    let failed = Selection { states: vec![TaskState::Failed], ..Selection::default() };
    let list = async |of: &Selection, before, limit| {
        let letters = tasks::dead_letters(&world.db, of, before, limit).await.unwrap();
        letters.iter().map(|letter| letter.task.id).collect::<Vec<_>>()
    };
    assert_eq!(list(&failed, None, 10).await, [ids[2], ids[1], ids[0]]);
    assert_eq!(list(&failed, Some(ids[2]), 1).await, [ids[1]]);
    let timeouts = Selection { class: Some(FailureClass::Timeout), ..failed.clone() };
    assert_eq!(list(&timeouts, None, 10).await, [ids[1]]);
    let nowhere = Selection { queue: Some("nowhere".parse().unwrap()), ..failed.clone() };
    assert_eq!(list(&nowhere, None, 10).await, []);
    let letter = tasks::dead_letter(&world.db, ids[1]).await.unwrap().unwrap();
    let error = letter.task.error.as_ref().unwrap();
    assert_eq!((error.class, &*error.message), (FailureClass::Timeout, "of class timeout"));
    assert_eq!((letter.redrives, letter.discarded_at), (0, None));

    // Given up: kept, but neither listed nor redriven unless somebody says so.
    let done = tasks::discard_many(&world.db, &ids[..1], "no use").await.unwrap();
    assert_eq!(done, [ids[0]]);
    assert_eq!(list(&failed, None, 10).await, [ids[2], ids[1]]);
    let discarded = Selection { discarded: true, ..failed.clone() };
    assert_eq!(list(&discarded, None, 10).await.len(), 3);
    assert_eq!(find_all(&world, &failed, 10).await, [ids[1], ids[2]]);
    assert_eq!(find_all(&world, &discarded, 10).await, ids);
    let letter = tasks::dead_letter(&world.db, ids[0]).await.unwrap().unwrap();
    assert_eq!(letter.discard_reason.as_deref(), Some("no use"));

    // Tried again, by whatever way, and failed again: counted, and no longer given up.
    for round in 1..=2 {
        tasks::retry(&world.db, ids[0]).await.unwrap();
        assert_eq!(tasks::dead_letter(&world.db, ids[0]).await.unwrap(), None);
        put_first(&world, ids[0]).await;
        let given = world.claim(1).await.pop().unwrap();
        assert_eq!(given.task, ids[0]);
        world.settle(&[end(&given, TaskEvent::FailedForGood)]).await;
        let letter = tasks::dead_letter(&world.db, ids[0]).await.unwrap().unwrap();
        assert_eq!((letter.redrives, letter.discarded_at), (round, None));
        assert!(letter.redriven_at.is_some());
        assert_eq!(letter.task.attempt.0, round + 1, "attempts go on");
    }
    let delete = "DELETE FROM hostler.tasks WHERE id = $1";
    world.db.execute(delete, &[ids[0].as_uuid()]).await.unwrap();
    let left = world.db.query("SELECT FROM hostler.dead_letter_notes", &[]).await.unwrap();
    assert_eq!(left.len(), 0, "it goes with its task");
}

async fn put_first(world: &World, id: TaskId) {
    let first = "UPDATE hostler.tasks SET priority = 1 WHERE id = $1";
    world.db.execute(first, &[id.as_uuid()]).await.unwrap();
}

/// Bulk cancels, bulk retries, claims and settles of the same tasks at the same time.
#[tokio::test]
async fn nobody_deadlocks_and_no_task_is_lost() {
    let world = World::new().await;
    let batch: Vec<_> = (0..60)
        .map(|number| {
            let mut task = task(&world.queue);
            task.terms.group = Some(format!("g{}", number % 3).parse().unwrap());
            task
        })
        .collect();
    let ids = submit(&world, &batch).await;
    let workers = (0..6).map(|number| {
        let (store, queue, host) = (world.store.clone(), world.queue.clone(), world.host);
        let (mut ids, names) = (ids.clone(), super::agents(10));
        tokio::spawn(async move {
            let mut dice = fastrand::Rng::with_seed(number);
            let db = store.client().await.unwrap();
            for _ in 0..20 {
                dice.shuffle(&mut ids);
                match number % 3 {
                    0 => {
                        let states = [TaskState::Pending, TaskState::Running];
                        cancel_many(&store, &ids[..30], &states).await.unwrap();
                    }
                    1 => {
                        let states = RETRY.possible();
                        let to = retry_many(&store, &ids[..30], &states, None, AT_ONCE);
                        to.await.unwrap();
                    }
                    _ => {
                        let queues = [queue.clone()];
                        let given =
                            tasks::claim(&db, host, &queues, &names, i16::MIN).await.unwrap();
                        let ends: Vec<_> =
                            given.iter().map(|one| end(one, TaskEvent::FailedForGood)).collect();
                        tasks::settle(&db, host, &ends).await.unwrap();
                    }
                }
            }
        })
    });
    for worker in futures_util::future::join_all(workers).await {
        worker.unwrap();
    }
    for id in ids {
        world.check_events(id).await;
    }
    let wrong = "SELECT scope, state FROM (
            SELECT 'group ' || m.group_name AS scope, t.state, count(*) AS tasks
            FROM hostler.task_members m JOIN hostler.tasks t ON t.id = m.task_id GROUP BY 1, 2
        ) AS real FULL JOIN (
            SELECT scope, state, sum(tasks) AS tasks FROM hostler.task_tally GROUP BY 1, 2
        ) AS counted USING (scope, state)
        WHERE coalesce(real.tasks, 0) <> coalesce(counted.tasks, 0)";
    assert_eq!(world.db.query(wrong, &[]).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_search_reads_by_index_whatever_was_when_it_was_planned() {
    let world = World::new().await;
    world.db.batch_execute("SET plan_cache_mode = force_generic_plan").await.unwrap();
    for (name, text, nulls) in [
        (
            "find",
            include_str!("../../../sql/queries/tasks/find.sql"),
            "'{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, '00000000-0000-0000-0000-000000000000', 10",
        ),
        (
            "letters",
            include_str!("../../../sql/queries/dead_letter_notes/list.sql"),
            "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 10, false",
        ),
        (
            "of_group",
            include_str!("../../../sql/queries/task_members/of_group.sql"),
            "'{}', NULL, NULL, 'g', NULL, 10, NULL, NULL, NULL",
        ),
        (
            "plain",
            include_str!("../../../sql/queries/log/find.sql"),
            "'{}', NULL, NULL, NULL, NULL, NULL, 10",
        ),
        ("grouped", include_str!("../../../sql/queries/task_tally/groups.sql"), "'g', 2"),
        ("cancelling", include_str!("../../../sql/queries/tasks/cancel_many.sql"), "'{}', '{}'"),
        (
            "retrying",
            include_str!("../../../sql/queries/tasks/retry_many.sql"),
            "'{}', '{}', NULL, 0, 0",
        ),
        (
            "batch",
            include_str!("../../../sql/queries/batches/list.sql"),
            "'00000000-0000-0000-0000-000000000000', 1, false",
        ),
        ("unfinished", include_str!("../../../sql/queries/batches/list.sql"), "NULL, 9, true"),
    ] {
        world.db.batch_execute(&format!("PREPARE {name} AS {text}")).await.unwrap();
        let explain = format!("EXPLAIN EXECUTE {name}({nulls})");
        let rows = world.db.query(&explain, &[]).await.unwrap();
        let plan: String = rows.iter().map(|row| row.get::<_, String>(0) + "\n").collect();
        for table in ["tasks", "task_members", "attempts", "task_tally", "batches"] {
            assert!(!plan.contains(&format!("Seq Scan on {table}")), "{name}:\n{plan}");
        }
    }
}

/// Plain tasks are not in `tasks`: what waits and what runs of them is found apart, and called off
/// once it has moved there; what has completed, or moved, is no longer found.
#[tokio::test]
async fn plain_tasks_are_found_in_the_log() {
    let world = World::new().await;
    let (slot, queues) = (uuid::Uuid::new_v4(), [world.queue.clone()]);
    let lane = log::lanes(&world.db, slot, &queues).await.unwrap()[&world.queue];
    let mut batch: Vec<_> = (0..6).map(|_| task(&world.queue)).collect();
    batch[4].kind = "special".to_owned();
    let ready = log::Ready::all(batch.clone()).unwrap();
    let placed: Vec<_> = ready.iter().map(|task| (lane, task)).collect();
    log::submit(&world.db, &placed, None).await.unwrap();
    let ids: Vec<TaskId> = batch.iter().map(|task| task.id).collect();
    let range = log::claim(&world.db, world.host, slot, &"agent".parse().unwrap(), &queues, 2)
        .await
        .unwrap()
        .range()
        .unwrap();
    let done = [end(&range.tasks[0], TaskEvent::Completed)];
    ends::settle(&world.db, world.host, &done, &[]).await.unwrap();

    let all = all(&Deed::Cancel);
    let hour_ago = Some(Timestamp::now() - Duration::from_secs(3600));
    let rows: Vec<(Selection, &[usize])> = vec![
        (all.clone(), &[1, 2, 3, 4, 5]),
        (Selection { states: vec![TaskState::Running], ..all.clone() }, &[1]),
        (Selection { states: vec![TaskState::Pending], ..all.clone() }, &[2, 3, 4, 5]),
        (Selection { states: vec![TaskState::Scheduled], ..all.clone() }, &[]),
        (Selection { queue: Some("other".parse().unwrap()), ..all.clone() }, &[]),
        (Selection { kind: Some("special".to_owned()), ..all.clone() }, &[4]),
        (Selection { tasks: Some(vec![ids[0], ids[1], ids[5]]), ..all.clone() }, &[1, 5]),
        (Selection { created_before: hour_ago, ..all.clone() }, &[]),
        (Selection { group: Some("g".parse().unwrap()), ..all.clone() }, &[]),
        (Selection { class: Some(FailureClass::Exit), ..all.clone() }, &[]),
    ];
    for (selection, expected) in rows {
        let mut expected: Vec<_> = expected.iter().map(|nth| ids[*nth]).collect();
        expected.sort_unstable();
        let count = expected.len() as u64;
        let found = tasks::find_plain(&world.db, &selection, Some(100)).await.unwrap();
        assert_eq!(found, (count, expected), "{selection:?}");
        let counted = tasks::find_plain(&world.db, &selection, None).await.unwrap();
        assert_eq!(counted, (count, Vec::new()), "{selection:?}");
    }
    assert_eq!(tasks::find_plain(&world.db, &all, Some(2)).await.unwrap().0, 2);

    let moving: Vec<_> = ids.iter().map(|id| (*id, None)).collect();
    log::track(&world.db, &moving).await.unwrap();
    assert_eq!(tasks::find_plain(&world.db, &all, None).await.unwrap().0, 0);
    let held = cancel_many(&world.store, &ids, &all.states).await.unwrap();
    assert_eq!(held.iter().filter(|task| task.1).count(), 1, "the one that runs");
    assert_eq!(held.len(), 5);
    for id in &ids[2..] {
        assert_eq!(world.state(*id).await, TaskState::Cancelled);
    }
}
