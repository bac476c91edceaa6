//! Hostler without a process and without HTTP: its library, on the benchmark's Postgres.

use std::time::Duration;

use hostler::{
    domain::{
        ClaimId, FleetName, HostId, QueueName, TaskId,
        task::{NewTask, Outcome as End, Settlement, TaskEvent, Terms},
    },
    settings,
    store::{Store, ends, hosts, log, migrate, queues},
};
use tokio::sync::mpsc;
use tokio_postgres::Config;
use uuid::Uuid;

use crate::{
    Outcome, Run,
    agent::now,
    ceiling::LONG,
    cluster::{Cluster, alone, joined},
    host::QUEUE,
    meter::{Drained, rate},
    ours::{BULK, NAME, input},
    state::check,
};

/// Tasks in one claim.
const CLAIM: usize = 1_000;
/// Claims that may wait for the settler.
const AHEAD: usize = 4;

/// A pool on `config`.
fn open(config: Config) -> Outcome<Store> {
    let settings = settings::Database {
        url: None,
        pool_size: 4,
        connect_timeout: Duration::from_secs(20),
        embedded: settings::Embedded {
            bin_dir: None,
            user: "nobody".to_owned(),
            shared_buffers: 64 << 20,
        },
    };
    Ok(Store::new(&settings, config)?)
}

/// A host without a process: who claims, and whose lanes are filled.
#[derive(Clone, Copy)]
struct Myself {
    host: HostId,
    slot: Uuid,
}

/// The database that each of ours is a copy of, as a peer's are copies of one that it has set up.
pub(crate) const TEMPLATE: &str = "hostler_template";

/// Makes the template: the schema, and nothing in it.
pub(crate) fn make_template(cluster: &Cluster) -> Outcome<()> {
    cluster.make(TEMPLATE, None)?;
    let config = cluster.config(TEMPLATE);
    joined(alone(async move || Ok(migrate::run(&open(config)?).await.map(drop)?)))
}

/// Makes what a host makes when it starts: a host of its own, and the queue.
async fn prepare(store: &Store, queue: &QueueName) -> Outcome<Myself> {
    let host = hosts::NewHost {
        id: HostId::from_uuid(Uuid::now_v7()),
        slot: Uuid::new_v4(),
        name: "bench".to_owned(),
        version: "0".to_owned(),
        lease: Duration::from_secs(3_600),
    };
    let client = store.client().await?;
    hosts::register(&client, &host).await?;
    queues::ensure(&client, &[(queue.clone(), settings::Queue::default())]).await?;
    queues::resume(&client, queue).await?;
    Ok(Myself { host: host.id, slot: host.slot })
}

fn new_task(queue: &QueueName, number: usize) -> NewTask {
    NewTask {
        id: TaskId::from_uuid(Uuid::now_v7()),
        queue: queue.clone(),
        kind: "task".to_owned(),
        input: input(number),
        priority: 0,
        run_at: None,
        max_attempts: 3,
        timeout: None,
        idempotency_key: None,
        terms: Terms::default(),
    }
}

/// Submits `count` tasks, a thousand at a time; tasks a second.
async fn submit(store: &Store, me: Myself, queue: &QueueName, count: usize) -> Outcome<f64> {
    let mut took = Duration::ZERO;
    let lanes = log::lanes(&store.client().await?, me.slot, std::slice::from_ref(queue)).await?;
    let mut head = *lanes.get(queue).ok_or("the queue has no lane")?;
    for first in (0..count).step_by(BULK) {
        let last = count.min(first + BULK);
        let batch: Vec<_> = (first..last).map(|number| new_task(queue, number)).collect();
        let began = now();
        let ready = log::Ready::all(batch)?;
        let placed: Vec<_> = ready.iter().map(|task| (head, task)).collect();
        let appended = store.transact(async |db| log::submit_many(db, &placed, None).await).await?;
        head.number = appended.get(&head.lane).ok_or("another lane has grown")?.last;
        took += Duration::from_nanos(now() - began);
    }
    Ok(count as f64 / took.as_secs_f64())
}

/// Claims and completes `count` tasks, a claimer ahead of a settler, as a host does it; each has a
/// thread and a connection of its own.
fn drain(config: &Config, me: Myself, queue: &QueueName, count: usize) -> Outcome<Drained> {
    let (hand, mut handed) = mpsc::channel::<(ClaimId, Vec<Settlement>)>(AHEAD);
    let (claimer, settler) = (config.clone(), config.clone());
    let queue = queue.clone();
    let began = now();
    let claims = alone(async move || {
        let client = open(claimer)?.client().await?;
        let (mut moments, queues) = (Vec::with_capacity(count), [queue]);
        let fleet: FleetName = "bench".parse()?;
        while moments.len() < count {
            let range = log::claim(&client, me.host, me.slot, &fleet, &queues, CLAIM).await?;
            let range = range.range().ok_or("the queue was empty too early")?;
            let at = now();
            moments.extend(range.tasks.iter().map(|_| at));
            let ends = range.tasks.into_iter().map(|assignment| Settlement {
                task: assignment.task,
                attempt: assignment.attempt,
                outcome: End::Completed { output: serde_json::Value::Null },
                event: TaskEvent::Completed,
                retry_after: Duration::ZERO,
                agent: assignment.agent,
                began_ago: Duration::ZERO,
                entry: assignment.entry,
            });
            hand.send((range.claim, ends.collect())).await.map_err(|_| "the settler is gone")?;
        }
        Ok(moments)
    });
    let settles = alone(async move || {
        let client = open(settler)?.client().await?;
        let mut counted = 0;
        while let Some((claim, mut ends)) = handed.recv().await {
            let mut over = vec![claim];
            while let Ok((claim, more)) = handed.try_recv() {
                over.push(claim);
                ends.extend(more);
            }
            counted += ends::settle(&client, me.host, &ends, &over).await?.len();
        }
        Ok((counted, now()))
    });
    let (counted, completed) = joined(settles)?;
    let moments = joined(claims)?;
    if counted != count {
        return Err(format!("{counted} of {count} ends counted").into());
    }
    Ok(Drained::of(began, &moments, completed))
}

/// Has the library submit in bulk and drain.
pub(crate) fn drains(run: &mut Run) -> Outcome<()> {
    let (database, count) = ("ours_library", LONG * run.sizes.drain);
    run.cluster.make(database, Some(TEMPLATE))?;
    let config = run.cluster.config(database);
    let (me, queue) = prepared(&config)?;
    let submitted = filled(&config, me, &queue, count)?;
    run.samples.add(NAME, "bulk by the library", &[submitted]);
    run.cluster.settle(database, false)?;
    let drained = drain(&config, me, &queue, count)?;
    check(run, database, count)?;
    run.samples.add(NAME, "drain by the library", &[drained.completed]);
    run.cluster.remove(database)
}

/// As [`prepare`], on a thread of its own.
fn prepared(config: &Config) -> Outcome<(Myself, QueueName)> {
    let config = config.clone();
    joined(alone(async move || {
        let queue: QueueName = QUEUE.parse()?;
        Ok((prepare(&open(config)?, &queue).await?, queue))
    }))
}

/// As [`submit`], on a thread of its own.
fn filled(config: &Config, me: Myself, queue: &QueueName, count: usize) -> Outcome<f64> {
    let (config, queue) = (config.clone(), queue.clone());
    joined(alone(async move || submit(&open(config)?, me, &queue, count).await))
}

/// Puts `count` finished tasks into `database`, by doing them.
pub(crate) fn finish(cluster: &Cluster, database: &str, count: usize) -> Outcome<()> {
    const AT_ONCE: usize = 50_000;
    let config = cluster.config(database);
    let (me, queue) = prepared(&config)?;
    let mut left = count;
    let began = now();
    while left > 0 {
        let some = left.min(AT_ONCE);
        filled(&config, me, &queue, some)?;
        drain(&config, me, &queue, some)?;
        left -= some;
    }
    eprintln!("  {count} finished beside it, {:.0}/s", rate(count, began, now()));
    Ok(())
}
