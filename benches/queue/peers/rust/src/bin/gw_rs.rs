//! graphile_worker (Rust): a local queue and completions in batches, as in the crate's own
//! performance test; concurrency as in the Node version's documentation.

use std::{sync::Arc, time::Duration};

use graphile_worker::*;
use queue_peers::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug)]
struct Told(Sink);

#[derive(Deserialize, Serialize, Clone)]
struct Noop {
    #[serde(default)]
    n: usize,
    #[serde(default)]
    pad: String,
}

impl TaskHandler for Noop {
    const IDENTIFIER: &'static str = "noop";

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        if let Some(told) = context.get_ext::<Told>() {
            told.0.tell();
        }
        Ok::<(), String>(())
    }
}

fn noop(number: usize) -> Noop {
    Noop { n: number, pad: "x".repeat(180) }
}

fn options() -> WorkerOptions {
    WorkerOptions::default().database_url(&url()).max_pg_conn(12).define_job::<Noop>()
}

async fn worker(sink: Sink) -> Worker {
    let delay = Duration::from_millis(5);
    let options = options()
        .add_extension(Told(sink))
        .concurrency(24)
        .local_queue(LocalQueueConfig::default().with_size(5_000))
        .complete_job_batch_delay(delay)
        .fail_job_batch_delay(delay);
    options.init().await.expect("a worker")
}

fn run(worker: Worker) {
    tokio::spawn(async move { worker.run().await.expect("the worker runs") });
}

#[tokio::main]
async fn main() {
    let (command, a, b) = arguments();
    let utils = Arc::new(options().init().await.expect("a worker").create_utils());
    let add = {
        let utils = utils.clone();
        move |number| {
            let utils = utils.clone();
            async move {
                utils.add_job(noop(number), JobSpec::default()).await.expect("a job");
            }
        }
    };
    match command.as_str() {
        "setup" => {
            utils.migrate().await.expect("the schema");
            add(0).await;
            out(serde_json::json!({}));
        }
        "submit" => submit(a, b as usize, add).await,
        "bulk" => {
            let utils = &utils;
            bulk(a, b as usize, |numbers| async move {
                let jobs: Vec<_> = numbers
                    .map(|number| RawJobSpec {
                        identifier: "noop".into(),
                        payload: payload(number),
                        spec: JobSpec::default(),
                    })
                    .collect();
                utils.add_raw_jobs(&jobs).await.expect("jobs");
            })
            .await
        }
        "drain" => {
            let meter = Meter::new(a);
            let worker = worker(Sink::Meter(meter.clone())).await;
            drain(meter, b, || async move { run(worker) }).await
        }
        "pickup" => {
            let (bell, heard) = Bell::new();
            run(worker(Sink::Bell(bell)).await);
            pickup(a, b, heard, add).await
        }
        other => panic!("no command: {other}"),
    }
}
