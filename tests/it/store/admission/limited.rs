//! Limits: how many run, how many begin, whose turn it is, what is held back.

use std::time::Duration;

use hostler::{
    domain::{
        admission::{Limit, LimitChange, Limited, QueueChange, Rate, Until},
        record::WaitKind,
    },
    settings,
    store::{admission, limits, log, queues, tasks},
};
use jiff::Timestamp;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

fn at_once(count: u32) -> LimitChange {
    LimitChange { concurrency: Some(Some(count)), rate: None }
}

fn per(count: u32, per: u64) -> LimitChange {
    let rate = Rate { count, per: Duration::from_millis(per) };
    LimitChange { concurrency: None, rate: Some(Some(rate)) }
}

impl World {
    async fn limit(&self, change: QueueChange) {
        assert!(queues::limit(&self.db, &self.queue, &change).await.unwrap());
    }

    async fn gate(&self) -> admission::Gate {
        let fleet = "agent".parse().unwrap();
        let queues = std::slice::from_ref(&self.queue);
        admission::gate(&self.db, &fleet, queues).await.unwrap()
    }

    async fn waits(&self, id: TaskId) -> Vec<(WaitKind, String)> {
        let task = tasks::get(&self.db, id).await.unwrap().unwrap();
        let found = admission::waits_for(&self.db, &task, &[], PATIENCE).await.unwrap();
        found.into_iter().map(|it| (it.kind, it.name)).collect()
    }
}

#[tokio::test]
async fn a_queue_a_fleet_and_all_run_no_more_than_they_may() {
    let world = World::new().await;
    let ids = world.submit(20).await;
    let lifted = LimitChange { concurrency: Some(None), rate: None };
    let fleet = || Limited::Fleet("agent".parse().unwrap());
    limits::set(&world.db, &Limited::All, &at_once(7)).await.unwrap();
    limits::set(&world.db, &fleet(), &at_once(5)).await.unwrap();
    world.limit(QueueChange { limit: at_once(3), ..QueueChange::default() }).await;
    assert_eq!(world.claim(9).await, [], "a plain claim gives nothing of it");
    let gate = world.gate().await;
    assert!(gate.waiting && gate.limited.contains(&world.queue), "{gate:?}");
    let mut given = world.choose(9).await;
    assert_eq!(given.len(), 3);
    assert_eq!(world.waits(ids[9]).await, [(WaitKind::Concurrency, "default".to_owned())]);
    world.limit(QueueChange { limit: lifted, ..QueueChange::default() }).await;
    assert_eq!(world.claim(9).await, [], "its fleet is limited");
    given.extend(world.choose(9).await);
    assert_eq!(given.len(), 5);
    // One that is at a task may have another behind it: not one more runs.
    let behind = given[0].agent.clone();
    let more = world.choose_for(vec![behind.clone(), behind.clone()]).await;
    assert!(more.len() == 2 && more.iter().all(|one| one.agent == behind), "{more:?}");
    world.complete(&more).await;
    limits::set(&world.db, &fleet(), &lifted).await.unwrap();
    assert_eq!(world.claim(9).await, [], "everything is limited");
    given.extend(world.choose(9).await);
    assert_eq!(given.len(), 7);
    assert_eq!(world.waits(ids[19]).await, [(WaitKind::Concurrency, "all".to_owned())]);
    world.complete(&given[..2]).await;
    assert_eq!(world.choose(9).await.len(), 2);
    limits::set(&world.db, &Limited::All, &lifted).await.unwrap();
    assert_eq!(world.claim(20).await.len(), 9);
    assert_eq!(limits::list(&world.db).await.unwrap(), []);
}

#[tokio::test]
async fn keys_are_limited_each_and_within_a_queue() {
    let world = World::new().await;
    let pattern = Limited::Key("account:*".parse().unwrap());
    limits::set(&world.db, &pattern, &at_once(2)).await.unwrap();
    let texts =
        ["@account:a", "@account:a", "@account:a", "@account:b", "@account:b @x", "@x", "@x", "@x"];
    let ids = world.submit_needing(&texts).await;
    assert_eq!(world.chosen(&ids, 20).await, [0, 1, 3, 4, 5, 6, 7]);
    assert_eq!(world.waits(ids[2]).await, [(WaitKind::Concurrency, "account:a".to_owned())]);
    let more = world.submit_needing(&["@x", "@y", "@y", ""]).await;
    world.limit(QueueChange { key_limit: at_once(1), ..QueueChange::default() }).await;
    assert_eq!(world.chosen(&more, 20).await, [1, 3]);
}

#[tokio::test]
async fn no_more_begin_within_a_window_than_may() {
    let world = World::new().await;
    world.submit(40).await;
    world.limit(QueueChange { limit: per(3, 1_500), ..QueueChange::default() }).await;
    let asked = order(world.host, std::slice::from_ref(&world.queue), super::super::agents(2));
    let mut begun: Vec<Timestamp> = Vec::new();
    while begun.len() < 9 {
        let claimed = choose(&world.store, &asked).await;
        for one in &claimed.assignments {
            let task = tasks::get(&world.db, one.task).await.unwrap().unwrap();
            begun.push(task.started_at.unwrap());
        }
        if claimed.blocked {
            // It says when it is worth to look again.
            let opens = claimed.opens.expect("a rate opens by itself");
            assert!(opens <= Duration::from_millis(1_500), "{opens:?}");
            tokio::time::sleep(opens + Duration::from_millis(2)).await;
        }
    }
    for window in begun.windows(4) {
        let took = window[3].duration_since(window[0]).as_millis();
        assert!(took >= 1_490, "four began within {took} ms");
    }
    assert!(count(&world.db, "SELECT count(*) FROM hostler.rate_starts").await <= 6, "old ones go");
}

#[tokio::test]
async fn a_window_of_many_keeps_few_rows() {
    let world = World::new().await;
    world.submit(600).await;
    world.limit(QueueChange { limit: per(500, 3_600_000), ..QueueChange::default() }).await;
    for _ in 0..10 {
        world.choose(60).await;
    }
    let running = "SELECT count(*) FROM hostler.tasks WHERE state = 'running'";
    assert_eq!(count(&world.db, running).await, 500);
    assert!(count(&world.db, "SELECT count(*) FROM hostler.rate_starts").await <= 2);
}

/// Keys may be as many as there are tasks, and be used once.
#[tokio::test]
async fn what_no_rate_counts_any_more_is_forgotten_whoever_needs_it() {
    let world = World::new().await;
    let key_limit = per(5, 600_000);
    world.limit(QueueChange { key_limit, ..QueueChange::default() }).await;
    world.submit_needing(&["@order:1", "@order:2", "@order:3"]).await;
    assert_eq!(world.choose(3).await.len(), 3);
    let rows = "SELECT count(*) FROM hostler.rate_starts";
    assert_eq!(count(&world.db, rows).await, 3);
    let age = |key: u32, age: &str| {
        let scope = format!("scope LIKE '%order:{key}'");
        format!("UPDATE hostler.rate_starts SET at = now() - interval '{age}' WHERE {scope}")
    };
    world.db.batch_execute(&age(1, "12 minutes")).await.unwrap();
    world.db.batch_execute(&age(2, "9 minutes")).await.unwrap();
    assert_eq!(limits::forget_starts(&world.db).await.unwrap(), 1, "the windows of others last");
    assert_eq!(count(&world.db, rows).await, 2);
    // Where there is no rate any more, nothing counts.
    let key_limit = LimitChange { concurrency: None, rate: Some(None) };
    world.limit(QueueChange { key_limit, ..QueueChange::default() }).await;
    assert_eq!(limits::forget_starts(&world.db).await.unwrap(), 1);
    assert_eq!(count(&world.db, rows).await, 1, "the one of this minute");
}

#[tokio::test]
async fn a_pause_ends_by_itself_and_uses_up_no_attempt() {
    let world = World::new().await;
    let ids = world.submit_needing(&["", "@account:a"]).await;
    // Long enough for all that is looked at meanwhile.
    let short = Until::For(Duration::from_secs(4));
    assert!(queues::pause(&world.db, &world.queue, "quota", short).await.unwrap());
    assert_eq!((world.claim(9).await, world.choose(9).await), (vec![], vec![]));
    assert_eq!(world.waits(ids[0]).await, [(WaitKind::Paused, "default".to_owned())]);
    let queue = &queues::list(&world.db).await.unwrap()[0];
    assert_eq!((queue.paused, queue.paused_reason.as_deref()), (true, Some("quota")));
    assert!(queue.paused_until.unwrap() > Timestamp::now() - Duration::from_secs(1));
    let gate = world.gate().await;
    assert!(!gate.waiting);
    tokio::time::sleep(gate.resumes.unwrap()).await;
    // Before anybody took it down.
    assert_eq!(world.claim(9).await.len(), 1);
    assert!(!queues::list(&world.db).await.unwrap()[0].paused);

    let key = "account:*".parse().unwrap();
    let until = Until::At(Timestamp::now() + Duration::from_secs(4));
    let paused = limits::pause_key(&world.db, &key, "quota", until).await.unwrap().unwrap();
    assert_eq!((paused.key, paused.reason.as_deref()), (key.clone(), Some("quota")));
    let claimed = choose(
        &world.store,
        &order(world.host, std::slice::from_ref(&world.queue), super::super::agents(9)),
    )
    .await;
    assert_eq!(claimed.assignments, []);
    assert_eq!(world.waits(ids[1]).await, [(WaitKind::Paused, "account:a".to_owned())]);
    tokio::time::sleep(claimed.opens.unwrap()).await;
    let given = world.choose(9).await;
    assert_eq!((given.len(), given[0].attempt.0, given[0].failures), (1, 1, 0));

    let ended = queues::end_pauses(&world.db).await.unwrap();
    assert_eq!((ended.queues, ended.keys), (vec![world.queue.clone()], vec![key.clone()]));
    assert_eq!(ended.next, None);
    assert!(!limits::resume_key(&world.db, &key).await.unwrap());
    limits::pause_key(&world.db, &key, "x", Until::Resumed).await.unwrap();
    assert_eq!(limits::paused_keys(&world.db).await.unwrap().len(), 1);
    assert!(limits::resume_key(&world.db, &key).await.unwrap());
}

#[tokio::test]
async fn queues_take_turns_by_weight_and_keys_of_a_fair_queue_in_a_row() {
    let world = World::new().await;
    let heavy = ensure(&world.db, "heavy").await;
    world.submit(40).await;
    let batch: Vec<_> = (0..40).map(|_| task(&heavy)).collect();
    tasks::submit(&world.db, &batch).await.unwrap();
    let change = QueueChange { weight: Some(3), ..QueueChange::default() };
    assert!(queues::limit(&world.db, &heavy, &change).await.unwrap());
    let both = [world.queue.clone(), heavy.clone()];
    let plain = tasks::claim(&world.db, world.host, &both, &super::super::agents(4), i16::MIN)
        .await
        .unwrap();
    assert_eq!(plain, [], "turns are not for plain claims");
    assert_eq!(world.claim(1).await.len(), 1, "who serves one of them has nothing to weigh");
    let given = choose(&world.store, &order(world.host, &both, super::super::agents(20))).await;
    let of_heavy = given.assignments.iter().filter(|one| one.queue == heavy).count();
    assert_eq!((given.assignments.len(), of_heavy), (20, 15));

    let fair = ensure(&world.db, "fair").await;
    let change = QueueChange { fair: Some(true), ..QueueChange::default() };
    assert!(queues::limit(&world.db, &fair, &change).await.unwrap());
    let mut batch: Vec<_> = (0..500).map(|_| needing(&fair, "@alice")).collect();
    batch.extend((0..5).map(|_| needing(&fair, "@bob")));
    let ids = world.submit_all(&batch).await;
    let given = choose(&world.store, &order(world.host, &[fair], super::super::agents(10))).await;
    let bobs = given.assignments.iter().filter(|one| ids[500..].contains(&one.task)).count();
    assert_eq!((given.assignments.len(), bobs), (10, 5));
}

#[tokio::test]
async fn the_config_is_heard_when_it_says_something_else_and_operators_otherwise() {
    let world = World::new().await;
    let say = async |concurrency: Option<u32>, description: &str| {
        let queue = settings::Queue {
            limit: Limit { concurrency, rate: None },
            description: description.to_owned(),
            ..settings::Queue::default()
        };
        queues::ensure(&world.db, &[(world.queue.clone(), queue)]).await.unwrap();
        queues::list(&world.db).await.unwrap()[0].limits.concurrency
    };
    assert_eq!(say(Some(3), "").await, Some(3));
    world.limit(QueueChange { limit: at_once(9), ..QueueChange::default() }).await;
    assert_eq!(say(Some(3), "a restart").await, Some(9));
    assert_eq!(say(Some(4), "").await, Some(4));
    assert_eq!(say(None, "").await, None);
    let rate = QueueChange { key_limit: per(2, 5), fair: Some(true), ..QueueChange::default() };
    world.limit(rate).await;
    let limits = queues::list(&world.db).await.unwrap()[0].limits.clone();
    assert_eq!(
        (limits.concurrency, limits.rate, limits.weight, limits.fair),
        (None, None, 1, true)
    );
    assert_eq!(limits.key_rate.map(|rate| (rate.count, rate.per_ms)), Some((2, 5)));
}

/// An agent that is not ours may have a plain task in hand for as long as its transaction lasts. All
/// hosts wait for the one that chooses, so that one must not wait for it.
#[tokio::test]
async fn who_chooses_waits_for_no_agent_at_work() {
    let world = World::new().await;
    let slot = uuid::Uuid::new_v4();
    let lanes = log::lanes(&world.db, slot, std::slice::from_ref(&world.queue)).await.unwrap();
    let batch: Vec<_> = (0..3).map(|_| task(&world.queue)).collect();
    let ready = log::Ready::all(batch.clone()).unwrap();
    let placed: Vec<_> = ready.iter().map(|task| (lanes[&world.queue], task)).collect();
    log::submit(&world.db, &placed, None).await.unwrap();
    world.limit(QueueChange { fair: Some(true), ..QueueChange::default() }).await;
    let mut theirs = world.store.client().await.unwrap();
    let open = theirs.transaction().await.unwrap();
    let claimed = open.query_one("SELECT * FROM hostler.claim_task('bot-1')", &[]).await.unwrap();
    assert_eq!(claimed.get::<_, uuid::Uuid>("task_id"), *batch[0].id.as_uuid());
    let other = world.submit_needing(&["@account:a"]).await;
    assert_eq!(world.chosen(&other, 4).await, [0], "whatever else there is");
    assert!(world.gate().await.waiting, "the others are left, and looked for again");
    open.commit().await.unwrap();
    let rest: Vec<_> = world.choose(4).await.iter().map(|one| one.task).collect();
    assert_eq!(rest, [batch[1].id, batch[2].id]);
}

/// Plain tasks stand in the log: what is limited of them is moved out of it as it is chosen.
#[tokio::test]
async fn plain_tasks_of_a_limited_queue_are_chosen_out_of_the_log() {
    let world = World::new().await;
    let slot = uuid::Uuid::new_v4();
    let host = register(&world.db, slot, Duration::from_secs(60)).await;
    let queues = [world.queue.clone()];
    let lanes = log::lanes(&world.db, slot, &queues).await.unwrap();
    let batch: Vec<_> = (0..40).map(|_| task(&world.queue)).collect();
    let ready = log::Ready::all(batch.clone()).unwrap();
    let placed: Vec<_> = ready.iter().map(|task| (lanes[&world.queue], task)).collect();
    log::submit(&world.db, &placed, None).await.unwrap();
    let fleet = "agent".parse().unwrap();
    // Claimed before there was a limit: it counts.
    let range =
        log::claim(&world.db, host, slot, &fleet, &queues, 2).await.unwrap().range().unwrap();
    assert_eq!(range.tasks.len(), 2);
    world.limit(QueueChange { limit: at_once(5), ..QueueChange::default() }).await;
    assert_eq!(
        log::claim(&world.db, host, slot, &fleet, &queues, 9).await.unwrap(),
        log::Claimed::Nothing
    );
    let head = log::lanes(&world.db, slot, &queues).await.unwrap()[&world.queue];
    let direct = log::Direct { host, most: [(head.lane, 9)].into() };
    let late = log::Ready::all(vec![task(&world.queue)]).unwrap();
    let appended = log::submit(&world.db, &[(head, &late[0])], Some(&direct)).await;
    assert_eq!(appended.unwrap()[&head.lane].claimed, 0);
    assert!(world.gate().await.waiting);

    let chosen: Vec<_> = world.choose(4).await.iter().map(|one| one.task).collect();
    let ids: Vec<_> = batch.iter().map(|task| task.id).collect();
    assert_eq!(chosen, ids[2..5], "in their order, and no more than may run");
    let tracked = "SELECT count(*) FROM hostler.tasks";
    assert_eq!(count(&world.db, tracked).await, 4, "no more move than agents could take");
    assert_eq!(world.choose(4).await, []);
    assert_eq!(count(&world.db, tracked).await, 7);
    assert_eq!(world.choose(4).await, []);
    assert_eq!(count(&world.db, tracked).await, 7, "and none of what waits there already");
    let lifted = LimitChange { concurrency: Some(None), rate: None };
    world.limit(QueueChange { limit: lifted, ..QueueChange::default() }).await;
    assert_eq!(world.claim(9).await.len(), 4);
    let range =
        log::claim(&world.db, host, slot, &fleet, &queues, 99).await.unwrap().range().unwrap();
    let left: Vec<_> = range.tasks.iter().map(|one| one.task).collect();
    assert_eq!((left.len(), left[0], left[31]), (32, ids[9], late[0].task.id));
}
