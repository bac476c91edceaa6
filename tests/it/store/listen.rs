//! Hearing notices, also after the connection was lost.

use std::{sync::Arc, time::Duration};

use hostler::{
    domain::TaskId,
    store::{
        listen::{Listener, Notice},
        notify::{self, News},
    },
};
use slog::{Discard, Logger, o};
use tokio::{sync::mpsc, time::timeout};
use uuid::Uuid;

use super::{World, ensure};

async fn next(notices: &mut mpsc::Receiver<Notice>) -> Notice {
    let next = timeout(Duration::from_secs(20), notices.recv()).await;
    next.expect("a notice in time").expect("a listener")
}

#[tokio::test]
async fn notices_come_and_come_again_after_a_cut() {
    let world = World::new().await;
    let (sender, mut notices) = mpsc::channel(16);
    let listener =
        Listener::spawn(&world.store, Logger::root(Discard, o!()), sender, Arc::default());
    assert_eq!(next(&mut notices).await, Notice::Reconnected);

    let other = ensure(&world.db, "other").await;
    notify::say(&world.db, &[News::Work(world.queue.clone()), News::Work(other.clone())])
        .await
        .unwrap();
    assert_eq!(next(&mut notices).await, Notice::Woken(Some(world.queue.clone())));
    assert_eq!(next(&mut notices).await, Notice::Woken(Some(other)));
    let task = TaskId::from_uuid(Uuid::now_v7());
    // What others say on the channels is not trusted.
    world.db.batch_execute("NOTIFY hostler_wake, 'No Name'; NOTIFY hostler_cancel").await.unwrap();
    notify::cancel(&world.db, &[task]).await.unwrap();
    assert_eq!(next(&mut notices).await, Notice::Cancelled(task));

    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND query LIKE '%LISTEN hostler_keys%'
            AND pid <> pg_backend_pid()";
    assert_eq!(world.db.query(cut, &[]).await.unwrap().len(), 1);
    assert_eq!(next(&mut notices).await, Notice::Reconnected);
    notify::say(&world.db, &[News::Freed]).await.unwrap();
    assert_eq!(next(&mut notices).await, Notice::Freed);

    drop(listener);
    let closed = timeout(Duration::from_secs(20), notices.recv()).await.expect("it stops");
    assert_eq!(closed, None);
}

#[tokio::test]
async fn a_listener_that_nobody_hears_stops() {
    let world = World::new().await;
    let (sender, mut notices) = mpsc::channel(16);
    let _listener =
        Listener::spawn(&world.store, Logger::root(Discard, o!()), sender.clone(), Arc::default());
    assert_eq!(next(&mut notices).await, Notice::Reconnected);
    drop(notices);
    let count = "SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND query LIKE '%LISTEN hostler_keys%'
            AND pid <> pg_backend_pid()";
    let stopped = async {
        while !world.db.query(count, &[]).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), stopped).await.expect("its connection ends");
}
