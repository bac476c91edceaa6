//! Errors say what to do, and show no secret.

use std::{error::Error, time::Duration};

use hostler::{
    settings::{Database, Embedded, Secret},
    store::{Recovery, Store, StoreError, tasks},
};
use tokio_postgres::Config;

use super::{World, task};

fn settings(pool_size: u32, connect_timeout: Duration) -> Database {
    let embedded = Embedded { bin_dir: None, user: "nobody".to_owned(), shared_buffers: 0 };
    Database { url: None, pool_size, connect_timeout, embedded }
}

/// An error with all its causes, in both forms in which it could be written.
fn shown(error: &StoreError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(" {error} {error:?}");
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn a_password_is_in_no_error() {
    let world = World::new().await;
    let url = world.database.url().replace("hostler@", "nobody:hunter2@");
    let config = Store::parse_url(&Secret::new(url)).unwrap();
    let store = Store::new(&settings(1, Duration::from_secs(5)), config).unwrap();
    let error = store.ping().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert_eq!(error.recovery(), Recovery::RetryLater, "no such user: somebody may mend that");
    assert!(!shown(&error).contains("hunter2"), "{}", shown(&error));
    assert!(shown(&error).contains("SQLSTATE 28000"), "{}", shown(&error));
}

#[tokio::test]
async fn a_server_that_is_away_may_come_back() {
    let mut config = Config::new();
    config.host_path("/nonexistent").user("u").password("hunter2").dbname("d");
    let store = Store::new(&settings(1, Duration::from_secs(2)), config).unwrap();
    let error = store.ping().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert_eq!(error.recovery(), Recovery::RetryLater);
    assert!(!shown(&error).contains("hunter2"), "{}", shown(&error));
}

#[tokio::test]
async fn a_full_pool_says_so() {
    let world = World::new().await;
    // It is the time for a new connection, too.
    let short = settings(1, Duration::from_secs(1));
    let store = Store::new(&short, world.database.config()).unwrap();
    let taken = store.client().await.unwrap();
    let error = store.ping().await.unwrap_err();
    assert!(matches!(error, StoreError::PoolExhausted), "{error:?}");
    assert_eq!(error.recovery(), Recovery::RetryLater);
    let status = store.pool_status();
    assert_eq!((status.max, status.open, status.idle), (1, 1, 0));
    drop(taken);
    store.ping().await.unwrap();
}

/// Whoever reads can take all connections but those of the queue.
#[tokio::test]
async fn the_queue_has_connections_of_its_own_where_there_are_enough() {
    let world = World::new().await;
    for (size, others, queue) in [(8, 4, 4), (12, 8, 4), (7, 7, 7)] {
        let settings = settings(size, Duration::from_secs(20));
        let slot = uuid::Uuid::new_v4();
        let store = Store::of_host(&settings, world.database.config(), slot).unwrap();
        let of_queue = store.for_queue();
        assert_eq!((store.pool_status().max, of_queue.pool_status().max), (others, queue));
        let reads = store.client().await.unwrap();
        let open = of_queue.pool_status().open;
        assert_eq!(open, usize::from(size == 7), "that of {size} is the others'");
        drop(reads);
        of_queue.ping().await.unwrap();
        store.close();
        assert!(of_queue.client().await.is_err(), "closed with the rest");
    }
}

#[tokio::test]
async fn what_the_server_says_of_a_row_is_left_out() {
    let world = World::new().await;
    let mut first = task(&world.queue);
    first.kind = "secret-kind".to_owned();
    tasks::submit(&world.db, std::slice::from_ref(&first)).await.unwrap();
    let error = tasks::submit(&world.db, std::slice::from_ref(&first)).await.unwrap_err();
    let text = shown(&error);
    assert!(text.contains("tasks/submit") && text.contains("SQLSTATE 23505"), "{text}");
    let id = first.id.as_uuid().to_string();
    assert!(!text.contains(&id) && !text.contains("secret-kind"), "{text}");
    assert_eq!(error.recovery(), Recovery::GiveUp);
}

#[tokio::test]
async fn a_statement_whose_connection_was_cut_may_be_tried_again() {
    let world = World::new().await;
    let other = world.store.client().await.unwrap();
    let pid: i32 = other.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    world.db.execute("SELECT pg_terminate_backend($1)", &[&pid]).await.unwrap();
    let error = loop {
        if let Err(error) = tasks::promote_due(&other).await {
            break error;
        }
    };
    assert_eq!(error.recovery(), Recovery::RetryLater, "{}", shown(&error));
    drop(other);
    // The pool drops the broken one as soon as its end has been noticed.
    while let Err(error) = world.store.ping().await {
        assert_eq!(error.recovery(), Recovery::RetryLater, "{}", shown(&error));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_value_from_a_newer_schema_is_an_error() {
    let world = World::new().await;
    world
        .db
        .batch_execute("ALTER TYPE hostler.task_state ADD VALUE 'frozen' BEFORE 'pending'")
        .await
        .unwrap();
    let later = world.store.client().await.unwrap();
    later
        .execute(
            "INSERT INTO hostler.task_events (task_id, number, state, attempt)
             VALUES (gen_random_uuid(), 1, 'frozen', 0)",
            &[],
        )
        .await
        .unwrap();
    let id: uuid::Uuid =
        later.query_one("SELECT task_id FROM hostler.task_events", &[]).await.unwrap().get(0);
    let id = hostler::domain::TaskId::from_uuid(id);
    let error = tasks::events(&later, id).await.unwrap_err();
    assert!(matches!(error, StoreError::UnknownValue { column: "state", .. }), "{error:?}");
    assert_eq!(error.recovery(), Recovery::GiveUp);
}

#[tokio::test]
async fn a_server_that_says_nothing_holds_nobody() {
    let world = World::new().await;
    let store = world.database.store().await;
    let limit = Duration::from_millis(100);
    let hang = async |db: &deadpool_postgres::Client| {
        db.batch_execute("SELECT pg_sleep(3600)").await.unwrap();
        Ok(())
    };
    let error = store.within(limit, hang).await.unwrap_err();
    assert!(matches!(error, StoreError::Silent { .. }), "{error}");
    assert_eq!(error.recovery(), Recovery::RetryLater);
    assert_eq!(store.pool_status().open, 0, "what hangs does not go back into the pool");
    store.within(Duration::from_secs(60), async |_| store.ping().await).await.unwrap();
}
