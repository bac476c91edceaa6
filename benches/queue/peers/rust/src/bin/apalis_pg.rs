//! apalis with apalis-postgres: large fetches, woken by NOTIFY and by a poll of 100 ms.

use std::{ops::Range, time::Duration};

use apalis::prelude::*;
use apalis_postgres::{Config, PgPool, PgTask, PostgresStorage};
use queue_peers::*;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize, Clone, Debug)]
struct Noop {
    n: usize,
    pad: String,
}

async fn handle(_: Noop, sink: Data<Sink>) -> Result<(), BoxDynError> {
    sink.tell();
    Ok(())
}

fn task(number: usize) -> PgTask {
    let noop = Noop { n: number, pad: "x".repeat(180) };
    TaskBuilder::new(serde_json::to_vec(&noop).expect("JSON")).build()
}

async fn push(pool: PgPool, numbers: Range<usize>) {
    let mut connection = pool.acquire().await.expect("a connection");
    let tasks = numbers.map(task).collect::<Vec<_>>();
    apalis_postgres::queries::push_tasks(&mut *connection, "noop", tasks).await.expect("tasks");
}

async fn run(pool: PgPool, sink: Sink) {
    let config = Config::default().queue("noop").batch_size(2_000).lock_tasks(true);
    let storage = PostgresStorage::<Noop>::new(&pool).with_config(config).with_pubsub();
    let storage = storage.poll_with_interval(Duration::from_millis(100));
    let worker = WorkerBuilder::new("w").backend(storage).data(sink).concurrency(24).build(handle);
    worker.run().await.expect("the worker runs");
}

#[tokio::main]
async fn main() {
    let (command, a, b) = arguments();
    let pool = PgPool::connect(&url()).await.expect("a pool");
    match command.as_str() {
        "setup" => {
            PostgresStorage::setup(&pool).await.expect("the schema");
            push(pool, 0..1).await;
            out(serde_json::json!({}));
        }
        "submit" => submit(a, b as usize, move |n| push(pool.clone(), n..n + 1)).await,
        "bulk" => bulk(a, b as usize, |numbers| push(pool.clone(), numbers)).await,
        "drain" => {
            let meter = Meter::new(a);
            let sink = Sink::Meter(meter.clone());
            drain(meter, b, || async move {
                tokio::spawn(run(pool, sink));
            })
            .await
        }
        "pickup" => {
            let (bell, heard) = Bell::new();
            tokio::spawn(run(pool.clone(), Sink::Bell(bell)));
            pickup(a, b, heard, move |n| push(pool.clone(), n..n + 1)).await
        }
        other => panic!("no command: {other}"),
    }
}
