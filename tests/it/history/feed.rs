//! Readers of the feed whose place is before what was deleted.

use hostler::{
    domain::feed::FeedCursor,
    store::{StoreError, feed},
};

use super::past::Past;

#[tokio::test]
async fn a_reader_is_told_that_it_missed_something() {
    let past = Past::new().await;
    let before = feed::latest(&past.db).await.unwrap();
    let task = past.ended("completed", 8.0).await;
    past.lane(4, 8.0, &[]).await;
    // In the middle of a page: more is to come of what it saw.
    let half = feed::read(&past.db, &FeedCursor::beginning(), 2).await.unwrap();
    assert_eq!(half.items.len(), 2);
    let kept = past.ended("completed", 1.0).await;
    past.settled().await;
    let after = feed::latest(&past.db).await.unwrap();
    let retention = past.retention(None);
    past.sweep_until(&retention, &[task]).await;
    past.sweep_down_to(&retention, "log_feed", 0).await;

    for lost in [&before, &half.next] {
        let read = feed::read(&past.db, lost, 10).await;
        assert!(matches!(read, Err(StoreError::FeedCut)), "{lost}: {read:?}");
    }
    // Who had read it goes on, and who begins is told what is there, and can go on from it.
    let fresh = past.pending(0.0).await;
    let read = feed::read(&past.db, &after, 10).await.unwrap();
    assert_eq!(read.steps().iter().map(|event| event.task).collect::<Vec<_>>(), [fresh]);
    let first = feed::read(&past.db, &FeedCursor::beginning(), 2).await.unwrap();
    let rest = feed::read(&past.db, &first.next, 10).await.unwrap();
    let told: Vec<_> = first.steps().iter().chain(&rest.steps()).map(|event| event.task).collect();
    assert_eq!(told, [kept, kept, kept, fresh]);
}

#[tokio::test]
async fn a_reader_of_now_is_not_sent_away_while_an_old_transaction_is_open() {
    let past = Past::new().await;
    let mut other = past.store.client().await.unwrap();
    let open = other.transaction().await.unwrap();
    open.batch_execute("SELECT pg_current_xact_id()").await.unwrap();
    let task = past.ended("completed", 8.0).await;
    past.lane(4, 8.0, &[]).await;
    let retention = past.retention(None);
    let counts = super::past::sweep(&retention, hostler::history::retention::Right::Hand).await;
    assert_eq!(counts.iter().count(), 0, "{counts:?}");
    let now = feed::latest(&past.db).await.unwrap();
    drop(open);
    past.sweep_until(&retention, &[task]).await;
    let read = feed::read(&past.db, &now, 10).await;
    assert!(matches!(read, Err(StoreError::FeedCut)), "its place is as old as that transaction");
    let now = feed::latest(&past.db).await.unwrap();
    assert!(feed::read(&past.db, &now, 10).await.unwrap().items.is_empty());
}
