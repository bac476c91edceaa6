//! Schedules: made, changed, and fired once per due time whoever fires.

use std::{collections::BTreeSet, time::Duration};

use hostler::{
    domain::{
        TaskId,
        record::TaskFilter,
        retry::{AllQueueTerms, Growth, QueueTerms, RetryPolicy},
        schedule::{
            Cadence, CatchUp, FiringOutcome, FiringRecord, Origin, Overlap, Schedule,
            ScheduleRecord, Zone,
        },
        task::{TaskEvent, TaskState},
    },
    store::{
        StoreError,
        schedules::{self, DueTime, Fired},
        tasks,
    },
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{World, end};

const HOUR: Duration = Duration::from_secs(3600);

fn schedule(name: &str, overlap: Overlap) -> Schedule {
    Schedule {
        name: name.parse().unwrap(),
        description: "a test".to_owned(),
        cadence: Cadence::Every(HOUR),
        queue: "default".parse().unwrap(),
        kind: "tick".to_owned(),
        input: json!({"at": "{{ scheduled_for }}", "by": "{{ schedule }}"}),
        priority: 7,
        max_attempts: None,
        timeout: Some(Duration::from_secs(90)),
        deadline: Some(HOUR),
        stale_after: Some(Duration::from_secs(7)),
        overlap,
        catch_up: CatchUp::Last,
        catch_up_max: 10,
    }
}

fn terms() -> AllQueueTerms {
    let retry = RetryPolicy {
        kind: Growth::Fixed,
        backoff_min: HOUR,
        backoff_max: HOUR,
        jitter: 0.0,
        retry_on: Vec::new(),
        never_on: Vec::new(),
    };
    let fallback = QueueTerms { timeout: None, max_attempts: 5, retry };
    AllQueueTerms { fallback, queues: std::collections::BTreeMap::new() }
}

impl World {
    async fn put(&self, schedule: &Schedule) -> bool {
        self.store
            .transact(async |db| schedules::put(db, schedule, Origin::Api, None).await)
            .await
            .unwrap()
    }

    async fn schedule(&self, name: &str) -> ScheduleRecord {
        schedules::get(&self.db, &name.parse().unwrap()).await.unwrap().unwrap()
    }

    async fn fire(&self) -> Fired {
        self.store.transact(async |db| schedules::fire_due(db, &terms()).await).await.unwrap()
    }

    /// Has a schedule be due since so many seconds ago; returns since when.
    async fn make_due(&self, name: &str, seconds: i32) -> Timestamp {
        let due = "UPDATE hostler.schedules
            SET next_at = date_trunc('second', now()) - $2 * interval '1 second',
                anchor = date_trunc('second', now()) - ($2 + 3600000) * interval '1 second'
            WHERE name = $1 RETURNING next_at";
        self.db.query_one(due, &[&name, &f64::from(seconds)]).await.unwrap().get(0)
    }

    async fn firings(&self, name: &str) -> Vec<FiringRecord> {
        schedules::firings(&self.db, &name.parse().unwrap(), 1000).await.unwrap()
    }

    async fn all_tasks(&self) -> Vec<TaskId> {
        let filter = TaskFilter { limit: 1000, ..TaskFilter::default() };
        tasks::list(&self.db, &filter).await.unwrap().into_iter().map(|task| task.id).collect()
    }
}

#[tokio::test]
async fn a_schedule_is_made_changed_paused_and_taken_out() {
    let world = World::new().await;
    let hourly = schedule("hourly", Overlap::Skip);
    assert!(world.put(&hourly).await);
    let made = world.schedule("hourly").await;
    assert_eq!(made.schedule(), Ok(hourly.clone()));
    assert_eq!((made.every_ms, made.origin, made.paused), (Some(3_600_000), Origin::Api, false));
    assert_eq!(made.next_at, Some(made.since + HOUR));

    let described = Schedule { description: "other".to_owned(), ..hourly.clone() };
    assert!(!world.put(&described).await);
    let same = world.schedule("hourly").await;
    assert_eq!((same.since, same.next_at), (made.since, made.next_at), "its times are the same");
    let zone: Zone = "Europe/Berlin".parse().unwrap();
    let cadence = Cadence::Cron("*/5 * * * *".parse().unwrap(), zone);
    let moved = Schedule { cadence, ..described };
    world.put(&moved).await;
    let other = world.schedule("hourly").await;
    assert_eq!(other.schedule(), Ok(moved));
    assert!(other.since > made.since && other.next_at < made.next_at);

    let name = "hourly".parse().unwrap();
    assert!(schedules::pause(&world.db, &name, "quota").await.unwrap());
    let paused = world.schedule("hourly").await;
    assert_eq!((paused.paused_reason.as_deref(), paused.next_at), (Some("quota"), None));
    world.put(&hourly).await;
    assert!(world.schedule("hourly").await.paused, "a change does not resume it");
    assert_eq!(schedules::next(&world.db).await.unwrap(), None);
    assert!(schedules::resume(&world.db, &name).await.unwrap());
    let resumed = world.schedule("hourly").await;
    assert!(!resumed.paused && resumed.next_at.is_some() && resumed.paused_reason.is_none());
    assert!(schedules::next(&world.db).await.unwrap().unwrap() <= HOUR);

    assert_eq!(schedules::list(&world.db).await.unwrap().len(), 1);
    assert!(schedules::remove(&world.db, &name).await.unwrap());
    for gone in [
        schedules::remove(&world.db, &name).await.unwrap(),
        schedules::pause(&world.db, &name, "x").await.unwrap(),
        schedules::resume(&world.db, &name).await.unwrap(),
    ] {
        assert!(!gone);
    }
    let nowhere = Schedule { queue: "nowhere".parse().unwrap(), ..hourly };
    let refused = world
        .store
        .transact(async |db| schedules::put(db, &nowhere, Origin::Api, None).await)
        .await
        .unwrap_err();
    assert!(matches!(refused, StoreError::UnknownQueue { .. }), "{refused}");
}

#[tokio::test]
async fn schedules_of_a_config_file_are_brought_up_to_date_and_stay_as_operators_left_them() {
    let world = World::new().await;
    let ensure = async |schedule: &Schedule, paused: bool| {
        let one = [(schedule.clone(), paused)];
        world.store.transact(async |db| schedules::ensure(db, &one).await).await.unwrap();
    };
    let hourly = schedule("hourly", Overlap::Skip);
    ensure(&hourly, true).await;
    let made = world.schedule("hourly").await;
    assert_eq!((made.origin, made.paused), (Origin::Config, true));
    let name = "hourly".parse().unwrap();
    world.store.transact(async |db| schedules::resume(db, &name).await).await.unwrap();
    ensure(&hourly, true).await;
    let resumed = world.schedule("hourly").await;
    assert!(!resumed.paused);
    assert_eq!(resumed.changed_at, made.changed_at, "nothing to change");
    world.put(&Schedule { kind: "theirs".to_owned(), ..hourly.clone() }).await;
    ensure(&hourly, true).await;
    let again = world.schedule("hourly").await;
    assert_eq!((again.origin, again.kind.as_str(), again.paused), (Origin::Config, "tick", false));
}

#[tokio::test]
async fn a_due_time_becomes_one_task_and_the_next_is_planned() {
    let world = World::new().await;
    world.put(&schedule("hourly", Overlap::Queue)).await;
    assert_eq!(world.fire().await, Fired::default(), "nothing is due");
    let due = world.make_due("hourly", 5).await;
    assert_eq!(schedules::next(&world.db).await.unwrap(), Some(Duration::ZERO));
    let fired = world.fire().await;
    let id = fired.submitted[0].1;
    let (schedule, outcome) = ("hourly".parse().unwrap(), FiringOutcome::Fired);
    assert_eq!(fired.outcomes, [DueTime { schedule, outcome, task: Some(id) }]);
    let task = tasks::get(&world.db, id).await.unwrap().unwrap();
    assert_eq!((task.kind.as_str(), task.priority, task.max_attempts), ("tick", 7, 5));
    assert_eq!(task.input, json!({"at": Zone::UTC.show(due), "by": "hourly"}));
    assert_eq!((task.state, task.timeout_ms), (TaskState::Pending, Some(90_000)));
    assert_eq!((task.deadline, task.stale_after_ms), (Some(due + HOUR), Some(7_000)));
    world.check_events(id).await;

    let record = world.schedule("hourly").await;
    assert_eq!((record.last_due, record.last_task), (Some(due), Some(id)));
    assert_eq!(record.last_task_state, Some(TaskState::Pending));
    assert!(record.next_at.unwrap() > Timestamp::now());
    let firings = world.firings("hourly").await;
    assert_eq!((firings[0].scheduled_for, firings[0].task), (due, Some(id)));
    assert_eq!(world.fire().await, Fired::default(), "it is not due any more");

    // Whatever moves it back: what has fired does not fire again.
    let back = "UPDATE hostler.schedules SET next_at = $1 WHERE name = 'hourly'";
    world.db.execute(back, &[&due]).await.unwrap();
    let again = world.fire().await;
    assert_eq!((again.submitted.len(), again.outcomes.len()), (0, 0));
    assert_eq!(world.all_tasks().await, [id]);
    assert!(world.schedule("hourly").await.next_at.unwrap() > Timestamp::now());
    assert_eq!(world.schedule("hourly").await.last_task, Some(id));
}

#[tokio::test]
async fn two_leaders_in_the_same_moment_fire_each_due_time_once() {
    let world = World::new().await;
    let names: Vec<String> = (0..20).map(|n| format!("s{n}")).collect();
    for name in &names {
        world.put(&schedule(name, Overlap::Queue)).await;
    }
    for round in 0..5 {
        for name in &names {
            world.make_due(name, 30 - round).await;
        }
        let terms = terms();
        let fire = || world.store.transact(async |db| schedules::fire_due(db, &terms).await);
        let (a, b, c) = tokio::join!(fire(), fire(), fire());
        let fired: Vec<_> =
            [a, b, c].into_iter().flat_map(|fired| fired.unwrap().outcomes).collect();
        // One may have gone past a row that another held and that is still due.
        let rest = world.fire().await.outcomes;
        let fired: Vec<_> = fired.into_iter().chain(rest).map(|due| due.schedule).collect();
        let distinct: BTreeSet<_> = fired.iter().collect();
        assert_eq!((fired.len(), distinct.len()), (20, 20), "{fired:?}");
    }
    assert_eq!(world.all_tasks().await.len(), 100);
    for name in &names {
        let firings = world.firings(name).await;
        assert_eq!(firings.len(), 5, "{firings:?}");
    }
}

#[tokio::test]
async fn the_overlap_policy_looks_at_what_has_become_of_the_last_task() {
    let world = World::new().await;
    for (name, overlap) in
        [("skip", Overlap::Skip), ("queue", Overlap::Queue), ("replace", Overlap::Replace)]
    {
        world.put(&schedule(name, overlap)).await;
        world.make_due(name, 20).await;
    }
    let fire = async |name: &str, seconds| {
        world.make_due(name, seconds).await;
        let fired = world.fire().await;
        let outcomes: Vec<_> = fired.outcomes.iter().map(|due| due.outcome).collect();
        (outcomes, fired.submitted.first().map(|(_, task)| *task), fired.cancelled)
    };
    assert_eq!(world.fire().await.submitted.len(), 3);
    let first = async |name: &str| world.schedule(name).await.last_task.unwrap();
    let (skip, replace) = (first("skip").await, first("replace").await);

    assert_eq!(fire("skip", 10).await, (vec![FiringOutcome::Skipped], None, vec![]));
    let note = world.firings("skip").await.remove(0).note.unwrap();
    assert_eq!(note, format!("{skip} is pending"));
    assert_eq!(world.schedule("skip").await.last_task, Some(skip));
    let (outcomes, second, _) = fire("queue", 10).await;
    assert_eq!((outcomes, second.is_some()), (vec![FiringOutcome::Fired], true));
    let (_, replacing, cancelled) = fire("replace", 10).await;
    assert_eq!(cancelled, [replace]);
    assert_eq!(world.state(replace).await, TaskState::Cancelled);
    assert_eq!(world.firings("replace").await[0].replaced, Some(replace));

    // One that runs is asked to end.
    let given = world.claim(4).await;
    let replacing = replacing.unwrap();
    assert!(given.iter().any(|one| one.task == replacing));
    let (_, third, cancelled) = fire("replace", 5).await;
    assert!(third.is_some() && cancelled.is_empty());
    let called_off = tasks::get(&world.db, replacing).await.unwrap().unwrap();
    assert!(called_off.cancel_requested && called_off.state == TaskState::Running);

    // One that has ended is no reason any more.
    let ran = given.iter().find(|one| one.task == skip).unwrap();
    world.settle(&[end(ran, TaskEvent::Completed)]).await;
    assert_eq!(fire("skip", 5).await.0, [FiringOutcome::Fired]);
}

#[tokio::test]
async fn the_overlap_policy_looks_at_what_was_asked_for_by_hand_and_is_not_the_last() {
    let world = World::new().await;
    let run = async |name: &str| {
        let name = name.parse().unwrap();
        let run = world.store.transact(async |db| schedules::run_now(db, &name, &terms()).await);
        run.await.unwrap().unwrap().1.id
    };
    for (name, overlap) in [("skip", Overlap::Skip), ("replace", Overlap::Replace)] {
        world.put(&schedule(name, overlap)).await;
        let (older, newer) = (run(name).await, run(name).await);
        world.store.transact(async |db| tasks::cancel(db, newer).await).await.unwrap();
        world.make_due(name, 5).await;
        let fired = world.fire().await;
        let firings = world.firings(name).await;
        let firing = firings.into_iter().find(|one| one.outcome != FiringOutcome::ByHand).unwrap();
        if overlap == Overlap::Skip {
            assert_eq!((fired.submitted.len(), fired.cancelled.len()), (0, 0));
            assert_eq!(firing.note, Some(format!("{older} is pending")));
        } else {
            assert_eq!((fired.submitted.len(), &*fired.cancelled), (1, &[older][..]));
            assert_eq!(firing.replaced, Some(older));
        }
    }
    // All that is not finished makes room, not the newest alone.
    let by_hand = [run("replace").await, run("replace").await];
    world.make_due("replace", 3).await;
    let mut cancelled = world.fire().await.cancelled;
    cancelled.sort_unstable();
    assert_eq!((cancelled.len(), cancelled.ends_with(&by_hand)), (3, true));
}

#[tokio::test]
async fn what_was_missed_is_made_up_for_and_told() {
    let world = World::new().await;
    let policies = [("none", CatchUp::None), ("last", CatchUp::Last), ("all", CatchUp::All)];
    for (name, catch_up) in policies {
        let made = Schedule { catch_up, catch_up_max: 3, ..schedule(name, Overlap::Queue) };
        world.put(&made).await;
        world.make_due(name, 10 * 3600 + 600).await;
    }
    world.fire().await;
    let told = async |name: &str| {
        let firings = world.firings(name).await;
        let words: Vec<_> = firings.iter().map(|firing| firing.outcome.as_str()).collect();
        let notes: Vec<_> = firings.into_iter().filter_map(|firing| firing.note).collect();
        (words.join(" "), notes.join(" "))
    };
    let rows = [
        ("none", "missed", "11"),
        ("last", "fired missed", "10"),
        ("all", "fired fired fired missed", "8"),
    ];
    for (name, words, missed) in rows {
        let (outcomes, notes) = told(name).await;
        assert_eq!(outcomes, words, "{name}");
        assert!(notes.contains(&format!("looked at {missed} due times")), "{name}: {notes}");
    }
    assert_eq!(world.all_tasks().await.len(), 4);
    let inputs =
        world.db.query("SELECT DISTINCT input FROM hostler.task_inputs", &[]).await.unwrap();
    let inputs: Vec<Value> = inputs.iter().map(|row| row.get(0)).collect();
    assert_eq!(inputs.len(), 4, "each has its own due time: {inputs:?}");
}

#[tokio::test]
async fn a_schedule_runs_at_once_when_somebody_asks() {
    let world = World::new().await;
    world.put(&schedule("hourly", Overlap::Skip)).await;
    let name = "hourly".parse().unwrap();
    let next = world.schedule("hourly").await.next_at;
    let run = async || {
        world
            .store
            .transact(async |db| schedules::run_now(db, &name, &terms()).await)
            .await
            .unwrap()
    };
    let first = run().await.unwrap().1;
    let second = run().await.unwrap().1;
    assert_ne!(first.id, second.id, "whatever the last task does");
    schedules::pause(&world.db, &name, "upkeep").await.unwrap();
    let third = run().await.unwrap().1;
    let record = world.schedule("hourly").await;
    assert_eq!((record.last_task, record.last_due), (Some(third.id), None));
    assert!(record.paused && next.is_some());
    let outcomes: Vec<_> =
        world.firings("hourly").await.iter().map(|firing| firing.outcome).collect();
    assert_eq!(outcomes, [FiringOutcome::ByHand; 3]);
    let unknown = "unknown".parse().unwrap();
    assert_eq!(
        world
            .store
            .transact(async |db| schedules::run_now(db, &unknown, &terms()).await)
            .await
            .unwrap(),
        None
    );
}

#[tokio::test]
async fn what_can_not_be_fired_is_told_and_holds_up_no_other() {
    let world = World::new().await;
    for name in ["lost", "strange", "sound"] {
        world.put(&schedule(name, Overlap::Skip)).await;
        world.make_due(name, 5).await;
    }
    let change = "UPDATE hostler.schedules SET queue = 'gone' WHERE name = 'lost';
        UPDATE hostler.schedules SET cron = '* * * * *', every_ms = NULL, zone = 'Mars/Olympus'
        WHERE name = 'strange'";
    world.db.batch_execute(change).await.unwrap();
    let fired = world.fire().await;
    assert_eq!(fired.submitted.len(), 1);
    assert_eq!(fired.unreadable.len(), 1);
    let lost = world.firings("lost").await.remove(0);
    assert_eq!(lost.outcome, FiringOutcome::Failed);
    assert_eq!(lost.note.as_deref(), Some("there is no queue `gone`"));
    let strange = world.schedule("strange").await;
    assert!(strange.paused && strange.paused_reason.unwrap().contains("Mars/Olympus"));
    let name = "strange".parse().unwrap();
    let refused =
        world.store.transact(async |db| schedules::resume(db, &name).await).await.unwrap_err();
    assert!(matches!(refused, StoreError::UnreadableSchedule { .. }), "{refused}");
}

#[tokio::test]
async fn the_record_of_firings_stays_short() {
    let world = World::new().await;
    world.put(&schedule("hourly", Overlap::Queue)).await;
    let old = "INSERT INTO hostler.schedule_firings (schedule, due_at, outcome)
        SELECT 'hourly', now() - n * interval '1 hour', 'skipped' FROM generate_series(1, 500) AS n";
    world.db.batch_execute(old).await.unwrap();
    world.make_due("hourly", 5).await;
    world.fire().await;
    let firings = world.firings("hourly").await;
    assert_eq!((firings.len(), firings[0].outcome), (200, FiringOutcome::Fired));
}

/// After a long time without a host a hundred schedules may have a thousand due times each.
#[tokio::test]
async fn one_transaction_catches_up_on_so_much_and_the_next_on_the_rest() {
    let world = World::new().await;
    for name in ["a", "b", "c"] {
        let catch_up = CatchUp::All;
        world
            .put(&Schedule { catch_up, catch_up_max: 1000, ..schedule(name, Overlap::Queue) })
            .await;
        world.make_due(name, 999 * 3600).await;
    }
    let first = world.fire().await;
    assert_eq!((first.submitted.len(), first.more), (2000, true));
    let second = world.fire().await;
    assert_eq!((second.submitted.len(), second.more), (1000, false));
    assert!(world.fire().await.outcomes.is_empty());
}
