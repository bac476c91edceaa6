//! The audit record in the database: what is told twice counts once.

use std::{pin::pin, time::Duration};

use hostler::{
    audit::Audit,
    domain::audit::{AuditFilter, Deed, Surface},
    store::audit,
};
use jiff::Timestamp;
use slog::{Discard, Logger, o};
use tokio::time::timeout;
use uuid::Uuid;

use super::{World, until_one_waits};

fn deed(nth: u128) -> Deed {
    let deed = Deed::of_host(Uuid::from_u128(nth), Timestamp::now(), Surface::Host, "test");
    Deed { object: format!("{nth}"), ..deed }
}

async fn objects(world: &World) -> Vec<String> {
    let filter = AuditFilter { oldest_first: true, limit: 100, ..AuditFilter::default() };
    let records = audit::list(&world.db, &filter).await.unwrap();
    records.into_iter().map(|record| record.object).collect()
}

#[tokio::test]
async fn what_may_have_been_told_before_is_looked_for_and_told_once() {
    let world = World::new().await;
    let first = [deed(1), deed(2)];
    world.store.transact(async |db| audit::insert(db, "one", &first).await).await.unwrap();
    let mixed = [deed(2), deed(3), deed(3), deed(4)];
    let careless = world.store.transact(async |db| audit::insert(db, "one", &mixed).await).await;
    careless.unwrap_err();
    assert_eq!(objects(&world).await, ["1", "2"], "all or nothing");
    for _ in 0..2 {
        let again =
            world.store.transact(async |db| audit::insert_again(db, "one", &mixed).await).await;
        again.unwrap();
        assert_eq!(objects(&world).await, ["1", "2", "3", "4"]);
    }
}

#[actix::test]
async fn who_stops_while_some_is_sent_sends_what_came_meanwhile_too() {
    let world = World::new().await;
    let dir = tempfile::tempdir().unwrap();
    let log = Logger::root(Discard, o!());
    let audit = Audit::start(world.store.clone(), "one".to_owned(), dir.path(), log).unwrap();
    let mut other = world.store.client().await.unwrap();
    let holding = other.transaction().await.unwrap();
    holding.execute("LOCK TABLE hostler.audit IN SHARE MODE", &[]).await.unwrap();
    audit.note(deed(1));
    until_one_waits(&world).await;
    audit.note(deed(2));
    let mut stopping = pin!(audit.finish());
    timeout(Duration::from_millis(20), &mut stopping).await.unwrap_err();
    holding.commit().await.unwrap();
    stopping.await;
    assert_eq!(objects(&world).await, ["1", "2"]);
}
