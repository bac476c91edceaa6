//! Deadlines, and tasks that are put off.

use std::time::Duration;

use hostler::{
    domain::{
        TaskId,
        snooze::Until,
        task::{FailureClass, TaskEvent, TaskState},
    },
    store::{
        hosts,
        tasks::{self, SnoozeAnswer},
    },
};
use jiff::Timestamp;
use uuid::Uuid;

use super::{World, agents, end, new_host, states::put_in, task};

const HOUR: Duration = Duration::from_secs(3600);

impl World {
    /// A task with a deadline.
    async fn with_deadline(&self, deadline: Timestamp) -> TaskId {
        let mut task = task(&self.queue);
        task.terms.deadline = Some(deadline);
        tasks::submit(&self.db, &[task]).await.unwrap().remove(0).id
    }

    /// Moves the deadline of a task into the past.
    async fn pass_deadline(&self, id: TaskId) {
        let pass = "UPDATE hostler.tasks SET deadline = now() - interval '1 second' WHERE id = $1";
        assert_eq!(self.db.execute(pass, &[id.as_uuid()]).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn what_waits_past_its_deadline_fails_and_says_why() {
    let world = World::new().await;
    let later = Timestamp::now() + HOUR;
    let kept = world.with_deadline(later).await;
    let next = tasks::next_deadline(&world.db).await.unwrap().unwrap();
    assert!(next <= HOUR && next > HOUR - Duration::from_secs(60), "{next:?}");
    assert_eq!(tasks::expire(&world.db).await.unwrap(), []);

    let mut late = Vec::new();
    for state in [TaskState::Blocked, TaskState::Scheduled, TaskState::Pending] {
        let id = put_in(&world, state).await;
        world.pass_deadline(id).await;
        late.push(id);
    }
    assert_eq!(tasks::next_deadline(&world.db).await.unwrap(), Some(Duration::ZERO));
    let mut expired = tasks::expire(&world.db).await.unwrap();
    expired.sort_unstable();
    late.sort_unstable();
    assert_eq!(expired, late);
    for id in late {
        let record = tasks::get(&world.db, id).await.unwrap().unwrap();
        let error = record.error.unwrap();
        assert_eq!((record.state, error.class), (TaskState::Failed, FailureClass::Deadline));
        assert_eq!(error.message, "its deadline passed before its first attempt began");
        assert!(error.detail["deadline"].is_string());
        assert_eq!((record.failures, record.attempt.0), (0, 0));
        world.check_events(id).await;
    }
    assert_eq!(world.state(kept).await, TaskState::Pending);
    let row = "SELECT count(*) FROM hostler.dead_letters WHERE error_class = 'deadline'";
    assert_eq!(world.db.query_one(row, &[]).await.unwrap().get::<_, i64>(0), 3);
}

#[tokio::test]
async fn no_claim_takes_a_task_past_its_deadline() {
    let world = World::new().await;
    let late = world.submit(3).await;
    let sound = world.submit(2).await;
    for id in &late {
        world.pass_deadline(*id).await;
    }
    let given: Vec<_> = world.claim(2).await.into_iter().map(|one| one.task).collect();
    assert_eq!(given, sound, "the late ones are in nobody's way");
    assert!(world.claim(3).await.is_empty());
    // Not by any other statement, either.
    let claim = "SELECT task_id FROM hostler.claim_task('mine')";
    assert!(world.db.query(claim, &[]).await.unwrap().is_empty());
    let by_hand = "UPDATE hostler.tasks
        SET state = 'running', version = version + 1, attempt = attempt + 1, agent = 'a',
            host_id = gen_random_uuid(), started_at = now() WHERE state = 'pending'";
    assert_eq!(world.db.execute(by_hand, &[]).await.unwrap(), 0);
    for id in late {
        assert_eq!(world.state(id).await, TaskState::Pending);
    }
}

#[tokio::test]
async fn a_claim_and_a_take_over_say_how_long_it_is_until_the_deadline() {
    let world = World::new().await;
    world.with_deadline(Timestamp::now() + HOUR).await;
    world.submit(1).await;
    let given = world.claim(2).await;
    let left = given[0].terms.deadline_in.unwrap();
    assert!(left <= HOUR && left > HOUR - Duration::from_secs(60), "{left:?}");
    assert_eq!(given[1].terms.deadline_in, None);

    let slot = Uuid::new_v4();
    let host = new_host(slot, HOUR);
    hosts::register(&world.db, &host).await.unwrap();
    let id = world.with_deadline(Timestamp::now() + HOUR).await;
    let queues = std::slice::from_ref(&world.queue);
    let given = tasks::claim(&world.db, host.id, queues, &agents(1), i16::MIN).await;
    let given = given.unwrap().remove(0);
    let hold = hostler::domain::adoption::Hold { task: id, attempt: given.attempt };
    let next = new_host(slot, HOUR);
    let resumed = hosts::resume(&world.db, &next, &[(hold, given.agent)]).await;
    let resumed = resumed.unwrap().resumed.remove(0);
    assert!(resumed.assignment.terms.deadline_in.unwrap() <= HOUR);
}

#[tokio::test]
async fn a_retry_by_hand_drops_a_deadline_that_has_passed() {
    let world = World::new().await;
    let id = world.submit(1).await[0];
    world.pass_deadline(id).await;
    tasks::expire(&world.db).await.unwrap();
    tasks::retry(&world.db, id).await.unwrap();
    let record = tasks::get(&world.db, id).await.unwrap().unwrap();
    assert_eq!((record.state, record.deadline), (TaskState::Pending, None));
    assert_eq!(record.error, None, "that it failed once is over");
    let given = world.claim(1).await.remove(0);
    world.settle(&[end(&given, TaskEvent::FailedForGood)]).await;
    let record = tasks::get(&world.db, id).await.unwrap().unwrap();
    assert_eq!(record.error.unwrap().class, FailureClass::Exit, "that of the newest failure");

    // One that is to come stays.
    let deadline = Timestamp::now() + HOUR;
    let id = world.with_deadline(deadline).await;
    tasks::cancel(&world.db, id).await.unwrap();
    tasks::retry(&world.db, id).await.unwrap();
    let kept = tasks::get(&world.db, id).await.unwrap().unwrap().deadline.unwrap();
    assert_eq!(kept.as_microsecond(), deadline.as_microsecond());
    let delete = "DELETE FROM hostler.tasks WHERE state = 'failed'";
    world.db.execute(delete, &[]).await.unwrap();
    let left = world.db.query("SELECT FROM hostler.task_failures", &[]).await.unwrap();
    assert!(left.is_empty());
}

#[tokio::test]
async fn a_task_is_put_off_where_it_waits() {
    let world = World::new().await;
    for state in TaskState::ALL {
        let id = put_in(&world, state).await;
        let before = world.check_events(id).await.len();
        let answer = tasks::snooze(&world.db, id, Until::Passed(HOUR)).await.unwrap();
        let record = tasks::get(&world.db, id).await.unwrap().unwrap();
        let steps = world.check_events(id).await.len() - before;
        match state {
            TaskState::Pending | TaskState::Scheduled => {
                assert_eq!((answer, record.state), (SnoozeAnswer::Snoozed, TaskState::Scheduled));
                let wait = record.run_at.duration_since(Timestamp::now());
                assert!(wait.as_secs() > 3_500 && wait.as_secs() <= 3_600, "{wait:?}");
                assert_eq!(steps, usize::from(state == TaskState::Pending));
            }
            state => {
                assert_eq!((answer, record.state, steps), (SnoozeAnswer::Refused(state), state, 0))
            }
        }
    }
    let id = put_in(&world, TaskState::Scheduled).await;
    let soon = Timestamp::now() + Duration::from_secs(1);
    tasks::snooze(&world.db, id, Until::Time(soon)).await.unwrap();
    let run_at = tasks::get(&world.db, id).await.unwrap().unwrap().run_at;
    assert_eq!(run_at.as_microsecond(), soon.as_microsecond(), "sooner is right, too");
    let unknown = TaskId::from_uuid(Uuid::now_v7());
    let answer = tasks::snooze(&world.db, unknown, Until::Passed(HOUR)).await.unwrap();
    assert_eq!(answer, SnoozeAnswer::Unknown);
}

#[tokio::test]
async fn an_attempt_that_is_put_off_uses_up_no_try() {
    let world = World::new().await;
    let given = world.running().await;
    let settled = world.settle(&[end(&given, TaskEvent::Snoozed)]).await;
    assert_eq!(settled[0].state, TaskState::Scheduled);
    let record = tasks::get(&world.db, given.task).await.unwrap().unwrap();
    assert_eq!((record.failures, record.attempt.0, record.error), (0, 1, None));
    assert!(record.run_at > Timestamp::now() + Duration::from_secs(20));
    let attempts = tasks::attempts(&world.db, given.task).await.unwrap();
    assert_eq!(attempts[0].outcome, "snoozed");
    assert_eq!((attempts[0].reason.as_deref(), &attempts[0].error), (Some("busy"), &None));
    world.check_events(given.task).await;

    let called_off = world.running().await;
    tasks::cancel(&world.db, called_off.task).await.unwrap();
    world.settle(&[end(&called_off, TaskEvent::Snoozed)]).await;
    assert_eq!(world.state(called_off.task).await, TaskState::Cancelled);
}
