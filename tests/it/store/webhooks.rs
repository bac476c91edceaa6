//! Webhooks out: how many are on their way to an endpoint at once, and in which order, whichever host sends them.

use std::time::Duration;

use hostler::{
    domain::{
        EndpointName, HostId,
        delivery::{DeliveryState, EndpointSpec, signature::SigningKey},
        event::EventFilter,
        schedule::Origin,
    },
    store::{
        hosts,
        webhooks::{self, Claimed, Decided, Settled},
    },
};
use uuid::Uuid;

use super::{World, new_host};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async fn endpoint(world: &World, name: &str, concurrency: u16, ordered: bool) -> EndpointName {
    let name: EndpointName = name.parse().unwrap();
    let spec = EndpointSpec {
        url: Some("https://a.example/in".parse().unwrap()),
        description: String::new(),
        filter: EventFilter::default(),
        concurrency,
        ordered,
        timeout_ms: 15_000,
    };
    let key: SigningKey = SECRET.parse().unwrap();
    webhooks::put(&world.db, &name, &spec, Origin::Api, (&key, false)).await.unwrap();
    name
}

async fn deliveries(world: &World, endpoint: &EndpointName, count: usize) -> Vec<Uuid> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(webhooks::test(&world.db, endpoint).await.unwrap());
    }
    ids
}

async fn claim(world: &World, sender: HostId) -> Vec<Claimed> {
    let mut claimed = webhooks::claim(&world.db, sender, 64).await.unwrap();
    claimed.sort_unstable_by_key(|one| one.number);
    claimed
}

fn ids(claimed: &[Claimed]) -> Vec<Uuid> {
    claimed.iter().map(|one| one.id).collect()
}

async fn settle(world: &World, sender: HostId, id: Uuid, state: DeliveryState, wait: Duration) {
    let failed = u32::from(state == DeliveryState::Pending);
    let settled = Settled {
        id,
        state,
        failures: failed,
        status: Some(if failed == 0 { 200 } else { 500 }),
        problem: (failed > 0).then(|| "it answered 500".to_owned()),
        wait,
        hold: None,
        disable: None,
    };
    assert!(webhooks::settle(&world.db, sender, &settled).await.unwrap());
}

fn other() -> HostId {
    HostId::from_uuid(Uuid::now_v7())
}

#[tokio::test]
async fn no_more_are_on_their_way_to_an_endpoint_than_it_says_from_all_hosts_together() {
    let world = World::new().await;
    let (busy, free) =
        (endpoint(&world, "busy", 3, false).await, endpoint(&world, "free", 9, false).await);
    let (of_busy, of_free) =
        (deliveries(&world, &busy, 5).await, deliveries(&world, &free, 2).await);
    let (one, two) = (other(), other());
    let first = claim(&world, one).await;
    assert_eq!(ids(&first), [&of_busy[..3], &of_free[..]].concat(), "the oldest of each");
    assert!(claim(&world, one).await.is_empty() && claim(&world, two).await.is_empty());
    settle(&world, one, of_busy[1], DeliveryState::Delivered, Duration::ZERO).await;
    assert_eq!(
        ids(&claim(&world, two).await),
        [of_busy[3]],
        "another host has the place that is free"
    );
    // One that failed is out of the way of the others until it is due.
    settle(&world, one, of_busy[0], DeliveryState::Pending, Duration::from_secs(3600)).await;
    assert_eq!(ids(&claim(&world, one).await), [of_busy[4]]);
    webhooks::release(&world.db, one, &[of_busy[2]]).await.unwrap();
    assert_eq!(ids(&claim(&world, two).await), [of_busy[2]], "given back");
    // A host that is gone has its claims no longer than an answer could have taken.
    let late =
        "UPDATE hostler.webhook_deliveries SET sent_until = now() WHERE sent_until IS NOT NULL";
    world.db.execute(late, &[]).await.unwrap();
    let mut again = ids(&claim(&world, two).await);
    again.sort_unstable();
    let mut left = vec![of_busy[2], of_busy[3], of_busy[4], of_free[0], of_free[1]];
    left.sort_unstable();
    assert_eq!(again, left);
}

#[tokio::test]
async fn an_ordered_endpoint_gets_the_oldest_alone_whoever_sends_and_whether_it_fails() {
    let world = World::new().await;
    // However many it would take.
    let ordered = endpoint(&world, "ordered", 9, true).await;
    let all = deliveries(&world, &ordered, 3).await;
    let (one, two) = (other(), other());
    assert_eq!(ids(&claim(&world, one).await), [all[0]]);
    assert!(claim(&world, two).await.is_empty(), "it is on its way");
    settle(&world, one, all[0], DeliveryState::Pending, Duration::from_secs(3600)).await;
    assert!(claim(&world, two).await.is_empty(), "one that failed holds up the others");
    let due = "UPDATE hostler.webhook_deliveries SET due_at = now()";
    world.db.execute(due, &[]).await.unwrap();
    assert_eq!(ids(&claim(&world, two).await), [all[0]]);
    settle(&world, two, all[0], DeliveryState::Dead, Duration::ZERO).await;
    assert_eq!(ids(&claim(&world, one).await), [all[1]], "nor does one that is given up");
}

#[tokio::test]
async fn what_a_killed_host_was_sending_goes_again_when_it_starts_again() {
    let world = World::new().await;
    let name = endpoint(&world, "ops", 9, false).await;
    let all = deliveries(&world, &name, 4).await;
    let [killed, bystander] = [(); 2].map(|()| new_host(Uuid::new_v4(), Duration::from_secs(60)));
    for host in [&killed, &bystander] {
        hosts::register(&world.db, host).await.unwrap();
    }
    assert_eq!(ids(&webhooks::claim(&world.db, bystander.id, 1).await.unwrap()), [all[0]]);
    assert_eq!(ids(&claim(&world, killed.id).await), all[1..]);
    settle(&world, killed.id, all[1], DeliveryState::Delivered, Duration::ZERO).await;
    webhooks::release_predecessor(&world.db, Uuid::new_v4()).await.unwrap();
    assert!(claim(&world, killed.id).await.is_empty(), "of another slot nothing");
    webhooks::release_predecessor(&world.db, killed.slot).await.unwrap();
    let next = new_host(killed.slot, Duration::from_secs(60));
    hosts::register(&world.db, &next).await.unwrap();
    assert_eq!(ids(&claim(&world, next.id).await), all[2..], "and of others nothing either");
}

#[tokio::test]
async fn two_secrets_sign_for_as_long_as_a_rotation_says() {
    let world = World::new().await;
    let name = endpoint(&world, "ops", 9, false).await;
    let new: SigningKey = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".parse().unwrap();
    webhooks::rotate(&world.db, &name, &new, Duration::from_secs(3600)).await.unwrap();
    deliveries(&world, &name, 1).await;
    let sender = other();
    let claimed = claim(&world, sender).await;
    let keys = |claimed: &[Claimed]| -> Vec<String> {
        claimed[0].keys.iter().map(|key| key.reveal().to_string()).collect()
    };
    assert_eq!(keys(&claimed), [new.reveal().to_string(), SECRET.to_owned()], "the newest first");
    webhooks::release(&world.db, sender, &ids(&claimed)).await.unwrap();
    let over = "UPDATE hostler.webhook_endpoints SET old_secret_until = now()";
    world.db.execute(over, &[]).await.unwrap();
    assert_eq!(keys(&claim(&world, sender).await), [new.reveal().to_string()]);
}

#[tokio::test]
async fn the_disk_is_waited_for_only_where_somebody_is_to_be_told() {
    let world = World::new().await;
    webhooks::begin(&world.db).await.unwrap();
    let decide = async || {
        world.submit(1).await;
        let work = async |db: &deadpool_postgres::Transaction<'_>| {
            let decided = webhooks::decide(db).await?;
            let row = db.query_one("SHOW synchronous_commit", &[]).await.unwrap();
            Ok((decided, row.get::<_, String>(0)))
        };
        world.store.transact(work).await.unwrap()
    };
    assert_eq!(decide().await, (Decided::Nobody, "off".to_owned()));
    endpoint(&world, "one", 1, false).await;
    let told = Decided::Made { deliveries: 1, more: false };
    assert_eq!(decide().await, (told, "on".to_owned()));
}
