//! Hosts that come, renew, and go in every way.

use std::time::Duration;

use hostler::{
    domain::{
        AgentName,
        adoption::Hold,
        task::{Assignment, TaskEvent, TaskState},
    },
    store::{Store, StoreError, hosts, tasks},
};
use uuid::Uuid;

use super::{World, agents, end, new_host, waiting};
use crate::support::database::settings;

const LEASE: Duration = Duration::from_secs(60);

async fn taken_over(world: &World) -> Vec<hosts::Returned> {
    hosts::take_over(&world.db).await.unwrap().returned
}

#[tokio::test]
async fn a_host_takes_its_predecessors_tasks_back_at_once() {
    let world = World::new().await;
    let slot = Uuid::new_v4();
    let old = new_host(slot, LEASE);
    assert_eq!(hosts::register(&world.db, &old).await.unwrap(), []);
    world.submit(3).await;
    let queues = [world.queue.clone()];
    let given = tasks::claim(&world.db, old.id, &queues, &agents(2), i16::MIN).await.unwrap();
    let bystander = world.claim(1).await.pop().unwrap();
    tasks::cancel(&world.db, given[1].task).await.unwrap();

    let new = new_host(slot, LEASE);
    let returned = hosts::register(&world.db, &new).await.unwrap();
    let told: Vec<_> = returned.iter().map(|back| (back.task, back.attempt, back.state)).collect();
    assert_eq!(
        told,
        [
            (given[0].task, given[0].attempt, TaskState::Pending),
            (given[1].task, given[1].attempt, TaskState::Cancelled)
        ]
    );
    let record = tasks::get(&world.db, given[0].task).await.unwrap().unwrap();
    assert_eq!((record.failures, record.attempt.0, record.host), (0, 1, None));
    let attempts = tasks::attempts(&world.db, given[0].task).await.unwrap();
    assert_eq!((attempts[0].outcome.as_str(), &attempts[0].error), ("released", &None));
    assert_eq!(attempts[0].host, Some(old.id));
    assert!(attempts[0].reason.as_ref().unwrap().contains("same data directory"));
    for given in &given {
        world.check_events(given.task).await;
    }
    assert_eq!(world.state(bystander.task).await, TaskState::Running);

    assert_eq!(hosts::renew(&world.db, old.id, LEASE).await.unwrap(), None);
    assert!(hosts::renew(&world.db, new.id, LEASE).await.unwrap().is_some());
    assert_eq!(tasks::claim(&world.db, old.id, &queues, &agents(1), i16::MIN).await.unwrap(), []);
    // Attempts go on from where they were: the old number can never count again.
    let again = tasks::claim(&world.db, new.id, &queues, &agents(1), i16::MIN).await.unwrap();
    assert_eq!((again[0].task, again[0].attempt.0), (given[0].task, 2));
}

#[tokio::test]
async fn a_host_that_registers_anew_gives_up_what_it_held() {
    let world = World::new().await;
    let host = new_host(Uuid::new_v4(), LEASE);
    hosts::register(&world.db, &host).await.unwrap();
    world.submit(1).await;
    let queues = [world.queue.clone()];
    tasks::claim(&world.db, host.id, &queues, &agents(1), i16::MIN).await.unwrap();
    assert_eq!(hosts::register(&world.db, &host).await.unwrap().len(), 1);
    assert_eq!(hosts::register(&world.db, &host).await.unwrap(), []);
}

#[tokio::test]
async fn a_host_is_taken_over_only_after_its_lease() {
    let world = World::new().await;
    let given = world.running().await;
    assert_eq!(taken_over(&world).await, []);
    assert!(hosts::renew(&world.db, world.host, Duration::ZERO).await.unwrap().is_some());
    let returned = taken_over(&world).await;
    assert_eq!(returned.len(), 1);
    assert_eq!((returned[0].task, returned[0].queue.as_str()), (given.task, "default"));
    assert_eq!(hosts::renew(&world.db, world.host, LEASE).await.unwrap(), None);
    assert_eq!(taken_over(&world).await, []);
    let record = tasks::get(&world.db, given.task).await.unwrap().unwrap();
    assert_eq!((record.state, record.failures), (TaskState::Pending, 0));
    assert_eq!(world.settle(&[end(&given, TaskEvent::Completed)]).await, []);
}

#[tokio::test]
async fn a_lease_that_has_ended_cannot_be_renewed() {
    let world = World::new().await;
    let host = new_host(Uuid::new_v4(), Duration::ZERO);
    hosts::register(&world.db, &host).await.unwrap();
    assert_eq!(hosts::renew(&world.db, host.id, LEASE).await.unwrap(), None);
}

#[tokio::test]
async fn a_host_that_retires_leaves_nothing_behind() {
    let world = World::new().await;
    let given = world.running().await;
    let returned = hosts::retire(&world.db, world.host).await.unwrap();
    assert_eq!(returned.len(), 1);
    assert_eq!(hosts::retire(&world.db, world.host).await.unwrap(), []);
    let attempts = tasks::attempts(&world.db, given.task).await.unwrap();
    assert_eq!(attempts[0].reason.as_deref(), Some("the host stopped"));
    let hosts = world.db.query("SELECT FROM hostler.hosts", &[]).await.unwrap();
    assert_eq!(hosts.len(), 0);
}

/// A claim that is under way when its host is taken over is either seen by the take-over or finds
/// that it has no host; and tasks of a host without a row do not stay with it.
#[tokio::test]
async fn no_task_stays_with_a_host_that_is_gone() {
    let world = World::new().await;
    world.submit(2).await;
    let mut other = world.store.client().await.unwrap();
    let claiming = other.transaction().await.unwrap();
    let queues = [world.queue.clone()];
    let given = tasks::claim(&claiming, world.host, &queues, &agents(1), i16::MIN).await.unwrap();
    assert!(hosts::renew(&world.db, world.host, Duration::ZERO).await.unwrap().is_some());
    // The host is claiming: it is left alone.
    assert_eq!(taken_over(&world).await, []);
    claiming.commit().await.unwrap();
    assert_eq!(taken_over(&world).await[0].task, given[0].task);

    let host = new_host(Uuid::new_v4(), LEASE);
    hosts::register(&world.db, &host).await.unwrap();
    tasks::claim(&world.db, host.id, &queues, &agents(2), i16::MIN).await.unwrap();
    world.db.execute("DELETE FROM hostler.hosts", &[]).await.unwrap();
    assert_eq!(taken_over(&world).await.len(), 2);
}

#[tokio::test]
async fn a_host_goes_on_with_the_attempts_whose_agents_live() {
    let world = World::new().await;
    let slot = Uuid::new_v4();
    let old = new_host(slot, LEASE);
    hosts::register(&world.db, &old).await.unwrap();
    world.submit(4).await;
    let queues = [world.queue.clone()];
    let given = tasks::claim(&world.db, old.id, &queues, &agents(3), i16::MIN).await.unwrap();
    let stranger = world.claim(1).await.pop().unwrap();
    let mut wanted: Vec<_> = given[..2].iter().chain([&stranger]).map(held).collect();
    wanted[1].0.attempt.0 += 1;
    let events = tasks::events(&world.db, given[0].task).await.unwrap();

    let new = new_host(slot, LEASE);
    let registered = hosts::resume(&world.db, &new, &wanted).await.unwrap();
    let resumed: Vec<_> = registered.resumed.iter().map(|one| &one.assignment).collect();
    let expected = Assignment { waited: Duration::ZERO, frees: true, ..given[0].clone() };
    assert_eq!(resumed, [&expected], "another number and another host's are not its own");
    assert!(registered.resumed[0].ran < LEASE);
    let returned: Vec<_> = registered.returned.iter().map(|back| back.task).collect();
    assert_eq!(returned, [given[1].task, given[2].task]);

    let record = tasks::get(&world.db, given[0].task).await.unwrap().unwrap();
    assert_eq!((record.state, record.host), (TaskState::Running, Some(new.id)));
    assert_eq!(tasks::events(&world.db, given[0].task).await.unwrap(), events, "nothing happened");
    assert_eq!(world.state(stranger.task).await, TaskState::Running);
    // It counts under the new id, and no longer under the old one.
    let done = [end(&given[0], TaskEvent::Completed)];
    assert_eq!(tasks::settle(&world.db, old.id, &done).await.unwrap(), []);
    assert_eq!(tasks::settle(&world.db, new.id, &done).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_was_taken_over_meanwhile_is_not_gone_on_with() {
    let world = World::new().await;
    let slot = Uuid::new_v4();
    let old = new_host(slot, LEASE);
    hosts::register(&world.db, &old).await.unwrap();
    world.submit(1).await;
    let queues = [world.queue.clone()];
    let given = tasks::claim(&world.db, old.id, &queues, &agents(1), i16::MIN).await.unwrap();
    assert!(hosts::renew(&world.db, old.id, Duration::ZERO).await.unwrap().is_some());
    assert_eq!(taken_over(&world).await.len(), 1);
    let wanted = [held(&given[0])];
    let registered = hosts::resume(&world.db, &new_host(slot, LEASE), &wanted).await.unwrap();
    assert_eq!(registered, hosts::Registered::default());
}

/// What a host wants to go on with.
fn held(attempt: &Assignment) -> (Hold, AgentName) {
    (Hold { task: attempt.task, attempt: attempt.attempt }, attempt.agent.clone())
}

/// A claim that its host gave up on is carried out by the server all the same, later: nobody would
/// know of its task. Unless its session is ended before the host looks for what got lost.
#[tokio::test]
async fn what_a_host_gave_up_on_is_not_carried_out_later() {
    for severed in [false, true] {
        let world = World::new().await;
        let task = world.submit(1).await[0];
        let slot = Uuid::new_v4();
        let store = Store::of_host(&settings(), world.database.config(), slot).unwrap();
        let host = new_host(slot, LEASE);
        hosts::register(&world.db, &host).await.unwrap();
        let mut other = world.store.client().await.unwrap();
        let holding = other.transaction().await.unwrap();
        holding.query("SELECT FROM hostler.hosts FOR UPDATE", &[]).await.unwrap();

        // Its connection is there, or the time could be over before the server has heard anything.
        store.ping().await.unwrap();
        let queues = [world.queue.clone()];
        let claim = async |db: &_| tasks::claim(db, host.id, &queues, &agents(1), i16::MIN).await;
        let given_up = store.within(Duration::from_secs(1), claim).await;
        assert!(matches!(given_up, Err(StoreError::Silent { .. })), "{given_up:?}");
        assert_eq!(waiting(&world).await, 1, "the server is still at it");
        let look = async |db: &_| {
            if severed {
                store.sever(db).await?;
            }
            hosts::put_back_strays(db, host.id, &[]).await
        };
        assert_eq!(store.within(LEASE, look).await.unwrap(), []);
        assert_eq!(waiting(&world).await, usize::from(!severed));
        holding.rollback().await.unwrap();
        if severed {
            assert_eq!(world.state(task).await, TaskState::Pending);
            assert_eq!(store.within(LEASE, claim).await.unwrap().len(), 1, "it claims again");
        } else {
            while world.state(task).await != TaskState::Running {
                tokio::task::yield_now().await;
            }
        }
    }
}
