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

/// It is asked again and again for fleets that are scaled by their load.
#[tokio::test]
async fn the_oldest_is_found_in_every_line_without_a_look_at_all_that_wait() {
    let world = World::new().await;
    let oldest = async || {
        let oldest = queues::oldest(&world.db, std::slice::from_ref(&world.queue)).await.unwrap();
        oldest.map(|waited| waited.as_secs())
    };
    assert_eq!(oldest().await, None);
    let made = "SELECT count(*) FROM hostler.enqueue_many((
        SELECT jsonb_agg(jsonb_build_object('queue', 'default', 'kind', 'say', 'priority', n % 3))
        FROM generate_series(1, 6000) AS n))";
    world.db.query(made, &[]).await.unwrap();
    assert!(oldest().await.unwrap() < 60);
    for (lane, hours) in [("NULL", 2), ("7", 3)] {
        let aged = format!(
            "UPDATE hostler.tasks SET run_at = now() - interval '{hours} hours', lane = {lane}
             WHERE id = (SELECT min(id::text)::uuid FROM hostler.tasks WHERE priority = 0)"
        );
        world.db.execute(&aged, &[]).await.unwrap();
        assert_eq!(oldest().await.unwrap() / 3600, hours, "of the lowest priority: lane {lane}");
    }
    // Read by an index: so many rows it fetched. (What was counted before may not be flushed yet.)
    let looked_at = "SELECT pg_stat_get_xact_tuples_fetched(indexrelid) FROM pg_index
        WHERE indexrelid = 'hostler.tasks_pending'::regclass";
    let fetched = async || world.db.query_one(looked_at, &[]).await.unwrap().get::<_, i64>(0);
    world.db.batch_execute("BEGIN").await.unwrap();
    let before = fetched().await;
    oldest().await;
    let rows = fetched().await - before;
    world.db.batch_execute("COMMIT").await.unwrap();
    assert!((1..500).contains(&rows), "{rows} of 6000");

    queues::pause(&world.db, &world.queue, "quota", Until::Resumed).await.unwrap();
    assert_eq!(oldest().await, None, "what is held back waits for nobody");
}
