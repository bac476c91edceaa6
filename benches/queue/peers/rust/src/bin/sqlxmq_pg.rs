//! sqlxmq: fetches in batches, completes job by job, woken by NOTIFY. The benchmark loads its
//! schema, which the crate ships as files, before `setup`.

use queue_peers::*;
use sqlx08::{postgres::PgPoolOptions, PgPool};
use sqlxmq::{CurrentJob, JobBuilder, JobRunnerOptions};

fn job(number: usize) -> JobBuilder<'static> {
    let mut job = JobBuilder::new("noop");
    job.set_json(&payload(number)).expect("JSON");
    job
}

async fn spawn(pool: PgPool, number: usize) {
    job(number).spawn(&pool).await.expect("a job");
}

async fn start(pool: &PgPool, sink: Sink) {
    let runner = JobRunnerOptions::new(pool, move |mut job: CurrentJob| {
        let sink = sink.clone();
        tokio::spawn(async move {
            sink.tell();
            let _ = job.complete().await;
        });
    })
    .set_concurrency(50, 100)
    .set_keep_alive(false)
    .run()
    .await;
    std::mem::forget(runner.expect("the runner runs"));
}

#[tokio::main]
async fn main() {
    let (command, a, b) = arguments();
    let pool = PgPoolOptions::new().max_connections(12).connect(&url()).await.expect("a pool");
    match command.as_str() {
        "setup" => {
            spawn(pool, 0).await;
            out(serde_json::json!({}));
        }
        "submit" => submit(a, b as usize, move |number| spawn(pool.clone(), number)).await,
        // It has no call for many: many in one transaction is what it offers.
        "bulk" => {
            let pool = &pool;
            bulk(a, b as usize, |numbers| async move {
                let mut transaction = pool.begin().await.expect("a transaction");
                for number in numbers {
                    job(number).spawn(&mut *transaction).await.expect("a job");
                }
                transaction.commit().await.expect("a commit");
            })
            .await
        }
        "drain" => {
            let meter = Meter::new(a);
            let sink = Sink::Meter(meter.clone());
            drain(meter, b, || async move { start(&pool, sink).await }).await
        }
        "pickup" => {
            let (bell, heard) = Bell::new();
            start(&pool, Sink::Bell(bell)).await;
            pickup(a, b, heard, move |number| spawn(pool.clone(), number)).await
        }
        other => panic!("no command: {other}"),
    }
}
