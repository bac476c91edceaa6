//! What the same Postgres and the same kernel can do with nothing around them: the floors.

use std::{
    io,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use futures_util::{future::try_join_all, stream};
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, Config, Error, NoTls, Statement, types::Json};

use crate::{
    agent::{ARGUMENT, Ear, SOCKET, now},
    measure::{Sizes, millis_since, pause, per_second},
};

/// The bare table.
const TABLE: &str = "
    CREATE SCHEMA bench;
    CREATE TABLE bench.jobs (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        state smallint NOT NULL DEFAULT 0,
        input jsonb NOT NULL
    );
    CREATE INDEX ON bench.jobs (id) WHERE state = 0";
const INSERT: &str = "INSERT INTO bench.jobs (input) VALUES ($1)";
const INSERT_MANY: &str = "INSERT INTO bench.jobs (input) SELECT unnest($1::jsonb[])";
const INSERT_AND_TELL: &str = "WITH made AS (INSERT INTO bench.jobs (input) VALUES ($1)) \
    SELECT pg_notify('bench_jobs', '')";
const CLAIM: &str = "UPDATE bench.jobs SET state = 1 WHERE id IN (
        SELECT id FROM bench.jobs WHERE state = 0 ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
    ) RETURNING id, input";
const COMPLETE: &str = "UPDATE bench.jobs SET state = 2 WHERE id = ANY ($1)";

/// A connection, driven in the background.
pub(crate) async fn connect(config: &Config) -> Result<Client, Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    // As the host's own connections are.
    client.batch_execute("SET enable_seqscan = off; SET jit = off").await?;
    Ok(client)
}

/// Makes the bare table.
pub(crate) async fn prepare(client: &Client) -> Result<(), Error> {
    client.batch_execute(TABLE).await
}

/// From an insert that notifies to a claim that was committed, each alone; milliseconds.
pub(crate) async fn pickup(config: &Config, sizes: &Sizes) -> Result<Vec<f64>, Error> {
    let producer = connect(config).await?;
    let insert = producer.prepare(INSERT_AND_TELL).await?;
    let (listener, mut connection) = config.connect(NoTls).await?;
    let (tell, mut told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut messages = stream::poll_fn(|context| connection.poll_message(context));
        while let Some(Ok(message)) = futures_util::StreamExt::next(&mut messages).await {
            if matches!(message, AsyncMessage::Notification(_)) && tell.send(()).is_err() {
                break;
            }
        }
    });
    listener.batch_execute("LISTEN bench_jobs").await?;
    let (claim, complete) = (listener.prepare(CLAIM).await?, listener.prepare(COMPLETE).await?);
    let mut samples = Vec::with_capacity(sizes.pickups);
    for _ in 0..sizes.pickups {
        let began = now();
        producer.query_one(&insert, &[&Json(true)]).await?;
        told.recv().await;
        let rows = listener.query(&claim, &[&1_i64]).await?;
        samples.push(millis_since(began, now()));
        let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        listener.execute(&complete, &[&ids]).await?;
        tokio::time::sleep(pause()).await;
    }
    Ok(samples)
}

/// Inserts so many, a thousand in one statement; per second.
pub(crate) async fn bulk(client: &Client, count: usize) -> Result<f64, Error> {
    let insert = client.prepare(INSERT_MANY).await?;
    let batch = vec![Json(false); 1_000];
    let began = Instant::now();
    for _ in 0..count / batch.len() {
        client.execute(&insert, &[&batch]).await?;
    }
    Ok(per_second(count, began.elapsed()))
}

/// Claims `batch` and completes them until none is left, on one connection; per second.
pub(crate) async fn drain(client: &Client, count: usize, batch: i64) -> Result<f64, Error> {
    bulk(client, count).await?;
    let (claim, complete) = (client.prepare(CLAIM).await?, client.prepare(COMPLETE).await?);
    let began = Instant::now();
    let mut done = 0;
    while done < count {
        let rows = client.query(&claim, &[&batch]).await?;
        let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        client.execute(&complete, &[&ids]).await?;
        done += ids.len();
    }
    Ok(per_second(count, began.elapsed()))
}

/// Inserts one by one over ten connections; per second.
pub(crate) async fn singles(config: &Config, clients: usize, count: usize) -> Result<f64, Error> {
    let mut ready: Vec<(Client, Statement)> = Vec::new();
    for _ in 0..clients {
        let client = connect(config).await?;
        let insert = client.prepare(INSERT).await?;
        ready.push((client, insert));
    }
    let began = Instant::now();
    try_join_all(ready.iter().map(|(client, insert)| async move {
        for _ in 0..count / clients {
            client.execute(insert, &[&Json(false)]).await?;
        }
        Ok::<_, Error>(())
    }))
    .await?;
    Ok(per_second(count, began.elapsed()))
}

/// From a SIGKILL to the first instruction of the next process, in a bare loop; milliseconds.
pub(crate) fn restarts(ear: &Ear, path: &std::path::Path, count: usize) -> io::Result<Vec<f64>> {
    let spawn = || -> io::Result<Child> {
        Command::new(std::env::current_exe()?)
            .args([ARGUMENT, "stay"])
            .env_clear()
            .env(SOCKET, path)
            .stdin(Stdio::null())
            .spawn()
    };
    let mut child = spawn()?;
    ear.hear()?;
    let mut samples = Vec::with_capacity(count);
    for _ in 0..count {
        std::thread::sleep(Duration::from_millis(5));
        let began = now();
        child.kill()?;
        child.wait()?;
        child = spawn()?;
        samples.push(millis_since(began, ear.hear()?.at));
    }
    child.kill()?;
    child.wait()?;
    Ok(samples)
}
