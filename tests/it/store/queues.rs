//! Queues: made once, paused by hand, counted cheaply.

use hostler::{
    domain::{admission::Until, task::TaskState},
    settings,
    store::queues,
};

use super::{World, ensure, states::put_in};

#[tokio::test]
async fn a_queue_is_made_once_and_stays_as_operators_left_it() {
    let world = World::new().await;
    let name: hostler::domain::QueueName = "slow".parse().unwrap();
    let told = |paused, description: &str| {
        let description = description.to_owned();
        [(name.clone(), settings::Queue { paused, description, ..settings::Queue::default() })]
    };
    queues::ensure(&world.db, &told(true, "one")).await.unwrap();
    assert!(queues::resume(&world.db, &name).await.unwrap());
    queues::ensure(&world.db, &told(true, "two")).await.unwrap();
    let listed = queues::list(&world.db).await.unwrap();
    assert_eq!(listed.len(), 2);
    let slow = &listed[1];
    assert_eq!((slow.description.as_str(), slow.paused), ("two", false));
    assert!(queues::pause(&world.db, &name, "quota", Until::Resumed).await.unwrap());
    let listed = queues::list(&world.db).await.unwrap();
    assert_eq!(listed[1].paused_reason.as_deref(), Some("quota"));
    let unknown = "unknown".parse().unwrap();
    assert!(!queues::pause(&world.db, &unknown, "x", Until::Resumed).await.unwrap());
    assert!(!queues::resume(&world.db, &unknown).await.unwrap());
}

#[tokio::test]
async fn the_depth_counts_what_is_not_final() {
    let world = World::new().await;
    ensure(&world.db, "idle").await;
    for state in TaskState::ALL {
        put_in(&world, state).await;
        put_in(&world, state).await;
    }
    let listed = queues::list(&world.db).await.unwrap();
    assert_eq!(listed[0].name.as_str(), "default");
    for state in TaskState::ALL {
        let expected = (!state.is_final()).then_some(2);
        assert_eq!(listed[0].depth.get(&state).copied(), expected, "{state}");
    }
    assert!(listed[0].oldest_pending_ms.is_some());
    assert!(listed[1].depth.is_empty());
    assert_eq!(listed[1].oldest_pending_ms, None);
}
