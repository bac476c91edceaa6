//! The log of plain tasks: appended, claimed as ranges, ended; and moved to the tracked ones.

mod plans;

use std::collections::{HashMap, HashSet};

use hostler::{
    domain::{Attempt, ClaimId, Lane, record::TaskFilter},
    store::{
        StoreError, ends, hosts,
        log::{self, Appended, Claimed, Direct, Head, Range},
        tasks::{CancelAnswer, RetryAnswer},
    },
};

use super::*;

/// The world's lane, and the data directory that it belongs to.
struct Log {
    world: World,
    slot: Uuid,
    lane: Lane,
}

fn fleet() -> hostler::domain::FleetName {
    "agent".parse().unwrap()
}

impl Log {
    async fn new() -> Self {
        let world = World::new().await;
        let slot = Uuid::new_v4();
        let lanes = log::lanes(&world.db, slot, std::slice::from_ref(&world.queue)).await.unwrap();
        let lane = lanes[&world.queue].lane;
        Self { world, slot, lane }
    }

    /// Where the lane of `queue` goes on.
    async fn head(&self, queue: &QueueName) -> Head {
        let queues = std::slice::from_ref(queue);
        log::lanes(&self.world.db, self.slot, queues).await.unwrap()[queue]
    }

    async fn append(&self, count: usize) -> Vec<TaskId> {
        self.append_for(count, None).await.0
    }

    async fn append_for(&self, count: usize, direct: Option<usize>) -> (Vec<TaskId>, Appended) {
        let tasks: Vec<NewTask> = (0..count).map(|_| task(&self.world.queue)).collect();
        let ids = tasks.iter().map(|task| task.id).collect();
        let ready = log::Ready::all(tasks).unwrap();
        let head = self.head(&self.world.queue).await;
        let placed: Vec<_> = ready.iter().map(|task| (head, task)).collect();
        let direct = direct
            .map(|most| Direct { host: self.world.host, most: HashMap::from([(self.lane, most)]) });
        let appended = log::submit(&self.world.db, &placed, direct.as_ref()).await.unwrap();
        (ids, appended[&self.lane])
    }

    async fn claim(&self, most: usize) -> Option<Range> {
        let queues = std::slice::from_ref(&self.world.queue);
        let (db, host) = (&self.world.db, self.world.host);
        let claimed = log::claim(db, host, self.slot, &fleet(), queues, most).await.unwrap();
        assert_ne!(claimed, Claimed::Busy, "nobody else is there");
        claimed.range()
    }

    async fn end(&self, ends: &[Settlement], over: &[ClaimId]) -> Vec<tasks::Settled> {
        ends::settle(&self.world.db, self.world.host, ends, over).await.unwrap()
    }

    /// How many claims there are.
    async fn claims(&self) -> i64 {
        let row = self.world.db.query_one("SELECT count(*) FROM hostler.log_claims", &[]).await;
        row.unwrap().get(0)
    }

    async fn depth(&self) -> std::collections::BTreeMap<TaskState, u64> {
        queue_rows::list(&self.world.db).await.unwrap().remove(0).depth
    }

    async fn states(&self, tasks: &[TaskId]) -> Vec<TaskState> {
        let mut states = Vec::new();
        for task in tasks {
            states.push(self.world.state(*task).await);
        }
        states
    }
}

fn ids(range: &Range) -> Vec<TaskId> {
    range.tasks.iter().map(|task| task.task).collect()
}

#[tokio::test]
async fn plain_tasks_live_their_life_in_the_log() {
    let log = Log::new().await;
    let tasks = log.append(5).await;
    assert_eq!(log.depth().await[&TaskState::Pending], 5);
    let range = log.claim(3).await.unwrap();
    assert_eq!(ids(&range), tasks[..3], "in their order");
    assert_eq!((range.span, range.tasks[0].attempt), (3, Attempt(1)));
    let depth = log.depth().await;
    assert_eq!((depth[&TaskState::Pending], depth[&TaskState::Running]), (2, 3));

    let done: Vec<_> = range.tasks.iter().map(|one| end(one, TaskEvent::Completed)).collect();
    assert_eq!(log.end(&done[..2], &[]).await.len(), 2);
    assert_eq!(log.claims().await, 1, "one of its tasks runs");
    assert_eq!(log.end(&done[2..], &[range.claim]).await.len(), 1);
    assert_eq!(log.claims().await, 0);
    let record = tasks::get(&log.world.db, tasks[0]).await.unwrap().unwrap();
    assert_eq!((record.state, record.attempt), (TaskState::Completed, Attempt(1)));
    assert_eq!(record.output, Some(json!({"ok": true})));
    assert!(record.started_at.unwrap() < record.finished_at.unwrap());
    let attempts = tasks::attempts(&log.world.db, tasks[0]).await.unwrap();
    assert_eq!((attempts.len(), &*attempts[0].outcome), (1, "completed"));
    assert_eq!(log.world.check_events(tasks[0]).await.len(), 3);
    assert_eq!(log.world.check_events(tasks[4]).await.len(), 1);
    assert_eq!(log.claim(9).await.unwrap().span, 2);
    assert_eq!(log.claim(9).await, None);
}

#[tokio::test]
async fn what_is_submitted_to_idle_agents_is_claimed_with_it() {
    let log = Log::new().await;
    let (tasks, appended) = log.append_for(3, Some(2)).await;
    assert_eq!((appended.base, appended.claimed), (0, 2));
    assert_eq!(
        log.states(&tasks).await,
        [TaskState::Running, TaskState::Running, TaskState::Pending]
    );
    // One waits: nobody overtakes it.
    let (later, appended) = log.append_for(1, Some(9)).await;
    assert_eq!((appended.base, appended.claimed, appended.paused), (3, 0, false));
    assert_eq!(ids(&log.claim(9).await.unwrap()), [tasks[2], later[0]]);
    queue_rows::pause(
        &log.world.db,
        &log.world.queue,
        "quota",
        hostler::domain::admission::Until::Resumed,
    )
    .await
    .unwrap();
    let (_, appended) = log.append_for(1, Some(9)).await;
    assert_eq!((appended.claimed, appended.paused), (0, true), "a paused queue gives nothing");
    assert_eq!(log.claim(9).await, None);
    queue_rows::resume(&log.world.db, &log.world.queue).await.unwrap();
    hosts::renew(&log.world.db, log.world.host, Duration::ZERO).await.unwrap().unwrap();
    assert_eq!(log.append_for(1, Some(9)).await.1.claimed, 0, "nor does a lease that has ended");
    assert_eq!(log.claim(9).await, None);
}

#[tokio::test]
async fn idle_agents_of_two_queues_have_of_one_batch() {
    let log = Log::new().await;
    let other = ensure(&log.world.db, "other").await;
    let submit = async |count: usize| {
        let heads = [log.head(&log.world.queue).await, log.head(&other).await];
        let [first, second] = heads.map(|head| head.lane);
        let of = |queue| (0..count).map(move |_| task(queue));
        let ready = log::Ready::all(of(&log.world.queue).chain(of(&other)).collect()).unwrap();
        let placed: Vec<_> = heads.iter().flat_map(|head| vec![*head; count]).zip(&ready).collect();
        let direct =
            Direct { host: log.world.host, most: HashMap::from([(first, 1), (second, 5)]) };
        let appended = log::submit(&log.world.db, &placed, Some(&direct)).await.unwrap();
        [appended[&first], appended[&second]].map(|one| (one.base, one.claimed, one.paused))
    };
    assert_eq!(submit(2).await, [(0, 1, false), (0, 2, false)], "as many as there is room for");
    assert_eq!(submit(1).await, [(2, 0, false), (2, 1, false)], "in the first one waits");
    let until = hostler::domain::admission::Until::Resumed;
    queue_rows::pause(&log.world.db, &other, "quota", until).await.unwrap();
    assert_eq!(submit(1).await, [(3, 0, false), (3, 0, true)]);
    hosts::renew(&log.world.db, log.world.host, Duration::ZERO).await.unwrap().unwrap();
    queue_rows::resume(&log.world.db, &other).await.unwrap();
    assert_eq!(submit(1).await, [(4, 0, false), (4, 0, false)], "the lease has ended");
}

#[tokio::test]
async fn whatever_is_more_than_plain_goes_on_as_a_tracked_task() {
    let log = Log::new().await;
    let made = log.append(4).await;
    let range = log.claim(4).await.unwrap();
    let events = [
        TaskEvent::FailedForNow,
        TaskEvent::FailedForGood,
        TaskEvent::Released,
        TaskEvent::Cancelled,
    ];
    let ends: Vec<_> = range.tasks.iter().zip(events).map(|(one, event)| end(one, event)).collect();
    let settled = log.end(&ends, &[range.claim]).await;
    let expected =
        [TaskState::Scheduled, TaskState::Failed, TaskState::Pending, TaskState::Cancelled];
    assert_eq!(settled.iter().map(|one| one.state).collect::<Vec<_>>(), expected);
    assert_eq!(log.states(&made).await, expected);
    for task in &made {
        let events = log.world.check_events(*task).await;
        assert_eq!(events[1].state, TaskState::Running);
        let attempts = tasks::attempts(&log.world.db, *task).await.unwrap();
        assert_eq!((attempts.len(), attempts[0].attempt), (1, Attempt(1)));
    }
    assert_eq!(log.claims().await, 0);
    // Sent again after a lost answer, nothing happens twice.
    assert_eq!(log.end(&ends, &[]).await, []);
    let again = log.world.claim(9).await;
    assert_eq!(again.len(), 1, "the released one runs again");
    assert_eq!((again[0].task, again[0].attempt, again[0].failures), (made[2], Attempt(2), 0));
}

#[tokio::test]
async fn of_two_ends_of_one_task_the_first_counts() {
    let log = Log::new().await;
    log.append(1).await;
    let range = log.claim(1).await.unwrap();
    let done = [end(&range.tasks[0], TaskEvent::Completed)];
    assert_eq!(log.end(&done, &[]).await.len(), 1);
    assert_eq!(log.end(&done, &[]).await.len(), 1, "the answer to the first may have been lost");
    let other = register(&log.world.db, Uuid::new_v4(), Duration::from_secs(60)).await;
    assert_eq!(ends::settle(&log.world.db, other, &done, &[]).await.unwrap(), []);
    assert_eq!(log.world.check_events(done[0].task).await.len(), 3);
}

#[tokio::test]
async fn a_lost_hosts_tasks_go_back_and_its_late_ends_change_nothing() {
    let log = Log::new().await;
    let made = log.append(3).await;
    let range = log.claim(3).await.unwrap();
    let done: Vec<_> = range.tasks.iter().map(|one| end(one, TaskEvent::Completed)).collect();
    log.end(&done[..1], &[]).await;
    hosts::renew(&log.world.db, log.world.host, Duration::ZERO).await.unwrap().unwrap();
    let returned = hosts::take_over(&log.world.db).await.unwrap().returned;
    assert_eq!(returned.iter().map(|one| one.task).collect::<Vec<_>>(), made[1..]);
    assert_eq!(log.end(&done[1..], &[range.claim]).await, [], "too late");
    assert_eq!(
        log.states(&made).await,
        [TaskState::Completed, TaskState::Pending, TaskState::Pending]
    );
    let next = register(&log.world.db, Uuid::new_v4(), Duration::from_secs(60)).await;
    let queues = std::slice::from_ref(&log.world.queue);
    let again = tasks::claim(&log.world.db, next, queues, &agents(9), i16::MIN).await.unwrap();
    assert_eq!(again.len(), 2);
    assert!(again.iter().all(|one| one.attempt == Attempt(2) && one.failures == 0));
    assert_eq!(log.claims().await, 0);
}

#[tokio::test]
async fn a_host_goes_on_with_what_its_predecessor_held_of_the_log() {
    let log = Log::new().await;
    let old = new_host(log.slot, Duration::from_secs(60));
    hosts::register(&log.world.db, &old).await.unwrap();
    let made = log.append(3).await;
    let queues = std::slice::from_ref(&log.world.queue);
    let range = log::claim(&log.world.db, old.id, log.slot, &fleet(), queues, 3)
        .await
        .unwrap()
        .range()
        .unwrap();
    let agent = agents(1).remove(0);
    let hold = hostler::domain::adoption::Hold { task: made[1], attempt: Attempt(1) };
    let new = new_host(log.slot, Duration::from_secs(60));
    let registered = hosts::resume(&log.world.db, &new, &[(hold, agent.clone())]).await.unwrap();
    let resumed = &registered.resumed[0].assignment;
    assert_eq!((resumed.task, &resumed.agent, resumed.entry), (made[1], &agent, None));
    let returned: Vec<_> = registered.returned.iter().map(|one| one.task).collect();
    assert_eq!(returned, [made[0], made[2]]);
    let done = [end(&range.tasks[1], TaskEvent::Completed)];
    assert_eq!(ends::settle(&log.world.db, old.id, &done, &[]).await.unwrap(), []);
    assert_eq!(ends::settle(&log.world.db, new.id, &done, &[]).await.unwrap().len(), 1);
    log.world.check_events(made[1]).await;
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_put_back() {
    let log = Log::new().await;
    let made = log.append(4).await;
    let known = log.claim(2).await.unwrap();
    log.claim(2).await.unwrap();
    let back = hosts::put_back_strays(&log.world.db, log.world.host, &ids(&known)).await.unwrap();
    assert_eq!(back.iter().map(|one| one.task).collect::<Vec<_>>(), made[2..]);
    let done: Vec<_> = known.tasks.iter().map(|one| end(one, TaskEvent::Completed)).collect();
    assert_eq!(log.end(&done, &[known.claim]).await.len(), 2);
}

#[tokio::test]
async fn a_plain_task_is_called_off_wherever_it_is() {
    let log = Log::new().await;
    let made = log.append(3).await;
    let range = log.claim(1).await.unwrap();
    let db = &log.world.db;
    assert_eq!(tasks::cancel(db, made[1]).await.unwrap(), CancelAnswer::Cancelled);
    let answer = tasks::cancel(db, made[0]).await.unwrap();
    assert!(matches!(answer, CancelAnswer::Requested { host, .. } if host == log.world.host));
    let beat = hosts::renew(db, log.world.host, Duration::from_secs(60)).await.unwrap();
    assert_eq!(beat, Some(vec![made[0]]), "the beat tells");
    // Its result counts all the same, under the number that it has.
    let done = [end(&range.tasks[0], TaskEvent::Completed)];
    assert_eq!(log.end(&done, &[range.claim]).await.len(), 1);
    assert_eq!(ids(&log.claim(9).await.unwrap()), made[2..], "the cancelled one is passed over");
    let already = tasks::cancel(db, made[0]).await.unwrap();
    assert_eq!(already, CancelAnswer::AlreadyFinal(TaskState::Completed));
    let unknown = TaskId::from_uuid(Uuid::nil());
    assert_eq!(tasks::cancel(db, unknown).await.unwrap(), CancelAnswer::Unknown);
    assert!(matches!(tasks::retry(db, made[1]).await.unwrap(), RetryAnswer::Retried { .. }));
    let refused = RetryAnswer::Refused(TaskState::Completed);
    assert_eq!(tasks::retry(db, made[0]).await.unwrap(), refused);
    for task in made {
        log.world.check_events(task).await;
    }
}

#[tokio::test]
async fn a_range_of_which_all_have_moved_has_no_tasks() {
    let log = Log::new().await;
    let made = log.append(2).await;
    let moving: Vec<_> = made.iter().map(|task| (*task, None)).collect();
    assert_eq!(log::track(&log.world.db, &moving).await.unwrap(), 2);
    assert_eq!(log::track(&log.world.db, &moving).await.unwrap(), 0);
    let range = log.claim(9).await.unwrap();
    assert_eq!((range.span, range.tasks.len()), (2, 0));
    assert_eq!(log.depth().await, std::collections::BTreeMap::from([(TaskState::Pending, 2)]));
}

#[tokio::test]
async fn listings_show_the_log_and_the_tracked_as_one() {
    let log = Log::new().await;
    let mut all = log.append(2).await;
    all.extend(log.world.submit(2).await);
    all.extend(log.append(4).await);
    let range = log.claim(3).await.unwrap();
    let done = [end(&range.tasks[0], TaskEvent::Completed)];
    log.end(&done, &[]).await;
    all.reverse();
    let list = async |states: &[TaskState], limit: u32, before: Option<TaskId>| {
        let filter = TaskFilter {
            states: states.to_vec(),
            queue: Some(log.world.queue.clone()),
            limit,
            before,
            ..Default::default()
        };
        let listed = tasks::list(&log.world.db, &filter).await.unwrap();
        listed.into_iter().map(|task| task.id).collect::<Vec<_>>()
    };
    assert_eq!(list(&[], 100, None).await, all);
    assert_eq!(list(&[], 3, None).await, all[..3]);
    assert_eq!(list(&[], 3, Some(all[2])).await, all[3..6]);
    assert_eq!(list(&[TaskState::Completed], 9, None).await, [range.tasks[0].task]);
    let running: Vec<_> = ids(&range)[1..].iter().rev().copied().collect();
    assert_eq!(list(&[TaskState::Running], 9, None).await, running);
    assert_eq!(list(&[TaskState::Pending], 9, None).await.len(), 5);
    // By when they were submitted, wherever they are kept; and what is in the log has not failed.
    let by = async |filter: TaskFilter| {
        let filter = TaskFilter { limit: 100, ..filter };
        tasks::list(&log.world.db, &filter).await.unwrap().len()
    };
    let long_ago = Some(jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(by(TaskFilter { created_after: long_ago, ..TaskFilter::default() }).await, 8);
    assert_eq!(by(TaskFilter { created_before: long_ago, ..TaskFilter::default() }).await, 0);
    let class = Some(hostler::domain::task::FailureClass::Exit);
    assert_eq!(by(TaskFilter { class, ..TaskFilter::default() }).await, 0);
}

/// Claimers on two hosts, a submitter, and somebody who calls tasks off, all at once: every task is
/// handed out exactly once, or cancelled.
#[tokio::test]
async fn nobody_gets_what_another_has() {
    const TASKS: usize = 600;
    let log = std::sync::Arc::new(Log::new().await);
    let other = register(&log.world.db, Uuid::new_v4(), Duration::from_secs(60)).await;
    let mut claimers = Vec::new();
    for host in [log.world.host, other, other] {
        let log = log.clone();
        claimers.push(tokio::spawn(async move {
            let db = log.world.store.client().await.unwrap();
            let queues = std::slice::from_ref(&log.world.queue);
            let mut got = Vec::new();
            let mut empty = 0;
            while empty < 50 {
                let most = 1 + got.len() % 7;
                match log::claim(&db, host, log.slot, &fleet(), queues, most).await.unwrap() {
                    Claimed::Range(range) => got.extend(ids(&range)),
                    Claimed::Busy => {}
                    Claimed::Nothing => empty += 1,
                }
            }
            got
        }));
    }
    let mut made = Vec::new();
    let mut cancelled = HashSet::new();
    for round in 0..TASKS / 20 {
        let new = log.append(20).await;
        let canceller = log.world.store.client().await.unwrap();
        if tasks::cancel(&canceller, new[round % 20]).await.unwrap() == CancelAnswer::Cancelled {
            cancelled.insert(new[round % 20]);
        }
        made.extend(new);
    }
    let mut got = Vec::new();
    for claimer in claimers {
        got.extend(claimer.await.unwrap());
    }
    while let Some(range) = log.claim(100).await {
        got.extend(ids(&range));
    }
    let unique: HashSet<TaskId> = got.iter().copied().collect();
    assert_eq!(unique.len(), got.len(), "nothing was handed out twice");
    assert!(unique.is_disjoint(&cancelled));
    let all: HashSet<TaskId> = unique.union(&cancelled).copied().collect();
    assert_eq!(all, made.into_iter().collect());
}

/// Many tasks come by COPY: all of them or none, with nothing lost of what each is.
#[tokio::test]
async fn many_are_appended_as_few_are() {
    let log = Log::new().await;
    log.append(1).await;
    let mut tasks: Vec<NewTask> = (0..300).map(|_| task(&log.world.queue)).collect();
    tasks[7].timeout = Some(Duration::from_millis(1_234));
    tasks[7].max_attempts = 9;
    tasks[7].kind = "seventh".to_owned();
    tasks[7].input = json!({"text": "\t\n\\N \"ü\"", "deep": [1.5, null, {"a": []}]});
    let ready = log::Ready::all(tasks.clone()).unwrap();
    let head = log.head(&log.world.queue).await;
    let placed: Vec<_> = ready.iter().map(|task| (head, task)).collect();
    let direct = Direct { host: log.world.host, most: HashMap::from([(log.lane, tasks.len())]) };
    let store = &log.world.store;
    let undone: Result<(), _> = store
        .transact(async |db| {
            log::submit_many(db, &placed, Some(&direct)).await?;
            Err(StoreError::Severing)
        })
        .await;
    assert!(undone.is_err());
    assert_eq!(log.claim(9).await.unwrap().span, 1, "nothing of it is there");

    let appended = store.transact(async |db| log::submit_many(db, &placed, Some(&direct)).await);
    let appended = appended.await.unwrap()[&log.lane];
    assert_eq!((appended.base, appended.last, appended.claimed), (1, 301, 300));
    let seventh = tasks::get(&log.world.db, tasks[7].id).await.unwrap().unwrap();
    assert_eq!(seventh.state, TaskState::Running);
    assert_eq!((seventh.kind, seventh.input), (tasks[7].kind.clone(), tasks[7].input.clone()));
    assert_eq!(seventh.max_attempts, 9);
    assert_eq!(log.depth().await[&TaskState::Running], 301);
    let more: Vec<NewTask> = (0..2).map(|_| task(&log.world.queue)).collect();
    let ready = log::Ready::all(more.clone()).unwrap();
    let head = log.head(&log.world.queue).await;
    let placed: Vec<_> = ready.iter().map(|task| (head, task)).collect();
    store.transact(async |db| log::submit_many(db, &placed, None).await).await.unwrap();
    assert_eq!(ids(&log.claim(9).await.unwrap()), [more[0].id, more[1].id]);
}

/// A batch was sent behind another one that failed: it must not leave a gap.
#[tokio::test]
async fn a_batch_comes_right_behind_a_task_that_is_there_or_was() {
    let log = Log::new().await;
    let other = ensure(&log.world.db, "other").await;
    log.append(2).await;
    let ready = |queues: &[&QueueName]| {
        log::Ready::all(queues.iter().map(|queue| task(queue)).collect()).unwrap()
    };
    let head = log.head(&log.world.queue).await;
    let ahead = Head { number: head.number + 1, ..head };
    let second = log.head(&other).await;
    let direct =
        Direct { host: log.world.host, most: HashMap::from([(log.lane, 1), (second.lane, 1)]) };
    let (alone, both) = (ready(&[&log.world.queue]), ready(&[&other, &log.world.queue]));
    let (alone, both) = (vec![(ahead, &alone[0])], vec![(second, &both[0]), (ahead, &both[1])]);
    let store = &log.world.store;
    for (placed, direct) in [(&alone, None), (&alone, Some(&direct)), (&both, Some(&direct))] {
        let failed = log::submit(&log.world.db, placed, direct).await.unwrap_err();
        assert!(failed.is_moved_on(), "{failed}");
        let failed = store.transact(async |db| log::submit_many(db, placed, direct).await).await;
        assert!(failed.unwrap_err().is_moved_on());
    }
    assert_eq!(log.head(&log.world.queue).await, head, "nothing was written");
    assert_eq!(log.head(&other).await, second, "nor where that would have been right");
    let told = "SELECT count(*) FROM hostler.log_feed";
    assert_eq!(log.world.db.query_one(told, &[]).await.unwrap().get::<_, i64>(0), 1);

    // What was there has been claimed, whatever has become of it.
    log.claim(2).await.unwrap();
    log.world.db.batch_execute("DELETE FROM hostler.log_tasks").await.unwrap();
    let next = ready(&[&log.world.queue]);
    let appended = log::submit(&log.world.db, &[(head, &next[0])], None).await.unwrap();
    assert_eq!(appended[&log.lane].last, 3);
}

/// The answer to a batch was lost, and it is not known what becomes of it: the next one waits for that. Where it
/// is there after all, its numbers are taken, and nothing is written.
#[tokio::test]
async fn a_batch_waits_for_the_one_before_whose_answer_was_lost() {
    for (committed, many) in [(true, false), (true, true), (false, false), (false, true)] {
        let log = Log::new().await;
        let head = log.head(&log.world.queue).await;
        let ready = |count: usize| {
            log::Ready::all((0..count).map(|_| task(&log.world.queue)).collect()).unwrap()
        };
        let (lost, next) = (ready(3), ready(2));
        let placed = |tasks| Vec::from_iter(Iterator::map(<[_]>::iter(tasks), |one| (head, one)));
        let mut theirs = log.world.store.client().await.unwrap();
        let open = theirs.transaction().await.unwrap();
        log::submit(&open, &placed(&lost), None).await.unwrap();

        let store = &log.world.store;
        let submit = async {
            let placed = placed(&next);
            if many {
                return store.transact(async |db| log::submit_many(db, &placed, None).await).await;
            }
            log::submit(&store.client().await.unwrap(), &placed, None).await
        };
        let known = async {
            // Until it waits, as the server sees it.
            let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
            while log.world.db.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
                tokio::task::yield_now().await;
            }
            if committed { open.commit().await } else { open.rollback().await }.unwrap();
        };
        let (submitted, ()) = tokio::join!(submit, known);
        if committed {
            assert!(submitted.unwrap_err().is_moved_on());
            assert_eq!(log.head(&log.world.queue).await.number, 3);
            let tasks: Vec<_> = lost.iter().map(|ready| ready.task.id).collect();
            assert_eq!(ids(&log.claim(9).await.unwrap()), tasks);
        } else {
            assert_eq!(submitted.unwrap()[&log.lane].base, 0, "it never was there");
            assert_eq!(log.claim(9).await.unwrap().span, 2);
        }
        let told = "SELECT count(*), max(last) FROM hostler.log_feed WHERE step = 1";
        let told = log.world.db.query_one(told, &[]).await.unwrap();
        assert_eq!((told.get(0), told.get(1)), (1_i64, if committed { 3_i64 } else { 2 }));
    }
}

/// A claim begins, and waits for its host's row; a task is called off meanwhile. The claim has not
/// seen that, and the lane's lock is free: it gets nothing, and the next one the rest.
#[tokio::test]
async fn a_claim_that_began_before_a_task_moved_does_not_get_it() {
    let log = Log::new().await;
    let tasks = log.append(3).await;
    let claimer = log.world.store.client().await.unwrap();
    let waiter = pid(&claimer).await;
    let mut other = log.world.store.client().await.unwrap();
    let holding = other.transaction().await.unwrap();
    holding.query("SELECT FROM hostler.hosts FOR UPDATE", &[]).await.unwrap();
    let queues = std::slice::from_ref(&log.world.queue);
    let fleet = fleet();
    let early = log::claim(&claimer, log.world.host, log.slot, &fleet, queues, 9);
    let meanwhile = async {
        until_it_waits(&log.world, waiter).await;
        let answer = tasks::cancel(&log.world.db, tasks[1]).await.unwrap();
        assert_eq!(answer, CancelAnswer::Cancelled);
        holding.commit().await.unwrap();
    };
    let (early, ()) = tokio::join!(early, meanwhile);
    assert_eq!(early.unwrap(), Claimed::Busy);
    assert_eq!(ids(&log.claim(9).await.unwrap()), [tasks[0], tasks[2]]);
}

/// Whoever finds the lane locked is told so, and not that nothing waits.
#[tokio::test]
async fn a_locked_lane_is_busy_and_not_empty() {
    let log = Log::new().await;
    let tasks = log.append(2).await;
    let mut other = log.world.store.client().await.unwrap();
    let holding = other.transaction().await.unwrap();
    holding.query("SELECT FROM hostler.log_cursors FOR UPDATE", &[]).await.unwrap();
    let queues = std::slice::from_ref(&log.world.queue);
    let claim =
        async || log::claim(&log.world.db, log.world.host, log.slot, &fleet(), queues, 9).await;
    assert_eq!(claim().await.unwrap(), Claimed::Busy);
    holding.rollback().await.unwrap();
    assert_eq!(ids(&claim().await.unwrap().range().unwrap()), tasks);
    assert_eq!(claim().await.unwrap(), Claimed::Nothing);
}
