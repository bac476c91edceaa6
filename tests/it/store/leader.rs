//! One leader, its terms, and what a deposed one can still do.

use std::time::Duration;

use hostler::store::{StoreError, leader};
use tokio::time::timeout;
use uuid::Uuid;

use super::{World, until_one_waits};

const LIMIT: Duration = Duration::from_secs(20);

async fn stand(world: &World) -> Option<leader::Leadership> {
    leader::stand(&world.store, Uuid::new_v4(), LIMIT, LIMIT).await.unwrap()
}

/// Waits until somebody else may lead: the server frees the lock a moment after the connection ends.
async fn next_leader(world: &World) -> leader::Leadership {
    let next = async {
        loop {
            if let Some(right) = stand(world).await {
                return right;
            }
        }
    };
    timeout(LIMIT, next).await.expect("the lock is freed")
}

#[tokio::test]
async fn one_leads_until_its_connection_ends() {
    let world = World::new().await;
    let first = stand(&world).await.unwrap();
    for _ in 0..20 {
        assert!(stand(&world).await.is_none(), "whichever connection of the pool asks");
    }
    assert!(first.beat().await.unwrap().is_some() && !first.is_over());
    let before = first.term();
    drop(first);
    let second = next_leader(&world).await;
    assert_eq!(second.term().0, before.0 + 1);

    let cut = "SELECT pg_terminate_backend(pid) FROM pg_locks
        WHERE locktype = 'advisory' AND pid <> pg_backend_pid()
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(world.db.query(cut, &[]).await.unwrap().len(), 1);
    let third = next_leader(&world).await;
    assert!(second.beat().await.is_err() && second.is_over());
    assert_eq!(third.term().0, before.0 + 2);
}

#[tokio::test]
async fn the_work_of_a_former_leader_is_refused() {
    let world = World::new().await;
    let first = stand(&world).await.unwrap();
    let (old, store) = (first.term(), world.store.clone());
    let add = async |term, name: &str| {
        let insert = "INSERT INTO hostler.queues (name) VALUES ($1)";
        let work = async |db: &deadpool_postgres::Transaction<'_>| {
            db.execute(insert, &[&name]).await.unwrap();
            Ok(())
        };
        leader::within(&store, term, LIMIT, work).await.unwrap().is_some()
    };
    assert!(add(old, "one").await);
    drop(first);
    let second = next_leader(&world).await;
    assert!(!add(old, "two").await);
    assert!(add(second.term(), "three").await);
    let names = world.db.query("SELECT name FROM hostler.queues ORDER BY 1", &[]).await.unwrap();
    let names: Vec<String> = names.iter().map(|row| row.get(0)).collect();
    assert_eq!(names, ["default", "one", "three"]);
}

#[tokio::test]
async fn a_new_term_begins_when_the_work_of_the_last_one_has_ended() {
    let world = World::new().await;
    let first = stand(&world).await.unwrap();
    let old = first.term();
    let (began, begun) = tokio::sync::oneshot::channel();
    let (go_on, may_go_on) = tokio::sync::oneshot::channel::<()>();
    let store = world.store.clone();
    let work = tokio::spawn(async move {
        let hold = async |_: &deadpool_postgres::Transaction<'_>| {
            began.send(()).unwrap();
            may_go_on.await.unwrap();
            Ok(())
        };
        leader::within(&store, old, LIMIT, hold).await
    });
    begun.await.unwrap();
    drop(first);
    let store = world.store.clone();
    let mut next = tokio::spawn(async move {
        loop {
            if let Some(right) = leader::stand(&store, Uuid::new_v4(), LIMIT, LIMIT).await.unwrap()
            {
                return right.term();
            }
        }
    });
    until_one_waits(&world).await;
    assert!(timeout(Duration::from_millis(50), &mut next).await.is_err());
    go_on.send(()).unwrap();
    assert_eq!(work.await.unwrap().unwrap(), Some(()), "it counts");
    assert_eq!(next.await.unwrap().0, old.0 + 1);
}

#[tokio::test]
async fn work_that_rests_too_long_does_not_keep_the_next_leader_waiting() {
    let world = World::new().await;
    let right = stand(&world).await.unwrap();
    let limit = Duration::from_millis(300);
    let slow = async |db: &deadpool_postgres::Transaction<'_>| {
        db.batch_execute("SELECT pg_sleep(20)").await.unwrap_err();
        Ok(())
    };
    let late = leader::within(&world.store, right.term(), limit, slow).await;
    assert!(matches!(late, Err(StoreError::Silent { .. })), "{late:?}");
    // The server ends it too, though nobody is there any more to say so.
    let left = "SELECT FROM pg_stat_activity WHERE query LIKE '%pg_sleep(20)%'
        AND datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'";
    let gone = async {
        while !world.db.query(left, &[]).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, gone).await.expect("the statement ends");
}

#[tokio::test]
async fn a_leader_that_falls_silent_loses_its_right() {
    let world = World::new().await;
    // Longer than a busy machine takes between the statements with which it is given the right.
    let silence = Duration::from_secs(1);
    let first = leader::stand(&world.store, Uuid::new_v4(), silence, LIMIT).await.unwrap().unwrap();
    let second = next_leader(&world).await;
    assert_eq!(second.term().0, first.term().0 + 1);
    assert!(first.beat().await.is_err());
}

/// A host that freezes between the statement that gives it the right and its next one has said nothing yet that
/// could show its silence: the server must know from that statement alone when to end the session.
#[tokio::test]
async fn a_host_that_freezes_as_it_is_given_the_right_does_not_keep_it() {
    const STAND: &str = include_str!("../../../sql/queries/leader/stand.sql");
    const LOCK: i64 = 0x686f_7374_6c65_6164;
    let world = World::new().await;
    let (frozen, connection) =
        world.database.config().connect(tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let row = frozen.query_one(STAND, &[&LOCK, &200_i64]).await.unwrap();
    assert!(row.get::<_, bool>("leads"));
    next_leader(&world).await;
    // Its session is gone, though the host never hung up.
    connection.await.unwrap().unwrap_err();
    drop(frozen);
}
