//! awa: rings of append-only tables; more workers, so that a claim is a whole batch.

use std::{ops::Range, time::Duration};

use awa::{
    Client, InsertOpts, InsertParams, JobArgs, JobResult, QueueConfig, QueueStorage,
    QueueStorageConfig,
};
use queue_peers::*;
use serde::{Deserialize, Serialize};
use sqlx08::{postgres::PgPoolOptions, PgPool};

#[derive(Serialize, Deserialize, JobArgs)]
struct Noop {
    n: usize,
    pad: String,
}

fn noop(number: usize) -> Noop {
    Noop { n: number, pad: "x".repeat(180) }
}

fn options() -> InsertOpts {
    InsertOpts { queue: "noop".into(), ..Default::default() }
}

fn many(numbers: Range<usize>, tomorrow: bool) -> Vec<InsertParams> {
    let run_at = tomorrow.then(|| chrono::Utc::now() + chrono::TimeDelta::days(1));
    numbers
        .map(|number| {
            let options = InsertOpts { run_at, ..options() };
            awa::model::insert::params_with(&noop(number), options).expect("a job")
        })
        .collect()
}

fn storage() -> QueueStorage {
    QueueStorage::new(QueueStorageConfig::default()).expect("a storage")
}

async fn start(pool: &PgPool, sink: Sink) {
    let queue = QueueConfig {
        max_workers: 256,
        claimers: 1,
        claim_batch_size: 512,
        poll_interval: Duration::from_millis(50),
        ..Default::default()
    };
    let client = Client::builder(pool.clone())
        .queue("noop", queue)
        .register::<Noop, _, _>(move |_, _| {
            sink.tell();
            async { Ok(JobResult::Completed) }
        })
        .build()
        .expect("a client");
    client.start().await.expect("the client runs");
    std::mem::forget(client);
}

async fn insert(pool: PgPool, number: usize) {
    awa::insert_with(&pool, &noop(number), options()).await.expect("a job");
}

async fn copy(pool: &PgPool, count: usize, size: f64, tomorrow: bool) {
    let storage = &storage();
    bulk(count, size as usize, |numbers| async move {
        storage.enqueue_params_copy(pool, &many(numbers, tomorrow)).await.expect("jobs");
    })
    .await;
}

#[tokio::main]
async fn main() {
    let (command, a, b) = arguments();
    let pool = PgPoolOptions::new().max_connections(40).connect(&url()).await.expect("a pool");
    match command.as_str() {
        "setup" => {
            awa::model::migrations::run(&pool).await.expect("the schema");
            // Without it a fresh database stays with the older engine, which sees no bulk inserts.
            storage().install(&pool).await.expect("the engine");
            insert(pool, 0).await;
            out(serde_json::json!({}));
        }
        "submit" => submit(a, b as usize, move |number| insert(pool.clone(), number)).await,
        "bulk" => copy(&pool, a, b, false).await,
        "fill" => copy(&pool, a, b, true).await,
        "drain" => {
            let meter = Meter::new(a);
            let sink = Sink::Meter(meter.clone());
            drain(meter, b, || async move { start(&pool, sink).await }).await
        }
        "pickup" => {
            let (bell, heard) = Bell::new();
            start(&pool, Sink::Bell(bell)).await;
            pickup(a, b, heard, move |number| insert(pool.clone(), number)).await
        }
        other => panic!("no command: {other}"),
    }
}
