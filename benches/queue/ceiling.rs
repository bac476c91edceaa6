//! What the same server does on a table of three columns with hand-written statements: the
//! ceilings. They have none of the duties of a queue: nothing is tried again, nobody is fenced off.

use std::fs;

use futures_util::{SinkExt as _, StreamExt as _, stream};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Row};

use crate::{
    Outcome, Run,
    agent::now,
    cluster::{alone, connect, joined},
    floor::{self, Floor},
    meter::{millis, pause, rate},
    ours::{BULK, CLIENTS, input, singles},
    sessions,
};

/// Under which name the figures are kept.
pub(crate) const NAME: &str = "ceiling";
/// How many times the tasks of a drain the ceilings have, and what is held against them.
pub(crate) const LONG: usize = 5;

const DATABASE: &str = "ceiling";
/// Tasks in one claim.
const CLAIM: i64 = 500;
/// Claims that may wait for the completer.
const AHEAD: usize = 4;

const TABLE: &str = "
    DROP TABLE IF EXISTS jobs, cursors;
    CREATE TABLE jobs (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        state smallint NOT NULL DEFAULT 0,
        payload jsonb NOT NULL
    ) WITH (fillfactor = 70);
    CREATE INDEX ON jobs (id) WHERE state = 0;
    CREATE TABLE cursors (name text PRIMARY KEY, place bigint NOT NULL);
    INSERT INTO cursors VALUES ('c', 0)";
const CLAIM_SOME: &str = "UPDATE jobs SET state = 1 WHERE id = ANY (ARRAY(
        SELECT id FROM jobs WHERE state = 0 AND id > $2 ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
    )) RETURNING id, payload";
const COMPLETE: &str = "DELETE FROM jobs WHERE id = ANY ($1)";
const READ: &str = "SELECT id, payload FROM jobs WHERE id > $1 ORDER BY id LIMIT $2";
const ADVANCE: &str = "UPDATE cursors SET place = $1 WHERE name = 'c'";
const INSERT: &str = "INSERT INTO jobs (payload) VALUES ($1)";
const INSERT_AND_TELL: &str = "WITH made AS (INSERT INTO jobs (payload) VALUES ($1)) \
    SELECT pg_notify('jobs', '')";
/// A claim that is lost with the server is done again, so that nobody waits for its flush.
const LAZY: &str = "SET synchronous_commit = off";

/// Measures the ceilings of draining.
pub(crate) fn drains(run: &mut Run) -> Outcome<()> {
    let count = LONG * run.sizes.drain;
    let config = start(run)?;
    for (what, shape) in [("pipe", Shape::Pipe), ("mark", Shape::Mark), ("log", Shape::Log)] {
        fill(run, count)?;
        let began = now();
        match shape {
            Shape::Log => log(&config, count)?,
            _ => overlapped(&config, count, shape == Shape::Mark)?,
        }
        run.samples.add(NAME, what, &[rate(count, began, now())]);
    }
    run.cluster.remove(DATABASE)
}

/// How the table is drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// One claimer ahead of one completer.
    Pipe,
    /// The same, and the claimer remembers how far it has come.
    Mark,
    /// Nothing is claimed or completed, only a place moved on: one consumer, in order.
    Log,
}

fn start(run: &Run) -> Outcome<Config> {
    run.cluster.make(DATABASE, None)?;
    run.cluster.execute(DATABASE, &[TABLE])?;
    Ok(run.cluster.config(DATABASE))
}

fn fill(run: &Run, count: usize) -> Outcome<()> {
    let insert = format!(
        "INSERT INTO jobs (payload) SELECT jsonb_build_object('n', g, 'pad', repeat('x', 180)) \
         FROM generate_series(1, {count}) AS g"
    );
    run.cluster.execute(DATABASE, &[TABLE, &insert])?;
    run.cluster.settle(DATABASE, false)
}

/// The ids of jobs that were claimed. Their payloads are read as well, as a queue has to.
fn ids(rows: &[Row]) -> Vec<i64> {
    rows.iter()
        .map(|row| {
            std::hint::black_box(row.get::<_, Value>(1));
            row.get(0)
        })
        .collect()
}

/// One claimer whose commit is not waited for, one completer whose commit is.
fn overlapped(config: &Config, count: usize, mark: bool) -> Outcome<()> {
    let (hand, mut handed) = mpsc::channel::<Vec<i64>>(AHEAD);
    let (claimer, completer) = (config.clone(), config.clone());
    let claims = alone(async move || {
        let client = connect(&claimer).await?;
        client.batch_execute(LAZY).await?;
        let claim = client.prepare(CLAIM_SOME).await?;
        let (mut low, mut claimed) = (0, 0);
        while claimed < count {
            let ids = ids(&client.query(&claim, &[&CLAIM, &low]).await?);
            claimed += ids.len();
            if mark {
                low = ids.iter().copied().max().unwrap_or(low);
            }
            hand.send(ids).await?;
        }
        Ok(())
    });
    let completes = alone(async move || {
        let client = connect(&completer).await?;
        let complete = client.prepare(COMPLETE).await?;
        while let Some(mut ids) = handed.recv().await {
            while let Ok(more) = handed.try_recv() {
                ids.extend(more);
            }
            client.execute(&complete, &[&ids]).await?;
        }
        Ok(())
    });
    joined(completes)?;
    joined(claims)
}

fn log(config: &Config, count: usize) -> Outcome<()> {
    let config = config.clone();
    joined(alone(async move || {
        let client = connect(&config).await?;
        let (read, advance) = (client.prepare(READ).await?, client.prepare(ADVANCE).await?);
        let (mut place, mut done) = (0_i64, 0);
        while done < count {
            let ids = ids(&client.query(&read, &[&place, &CLAIM]).await?);
            place = ids.last().copied().ok_or("the log ended too early")?;
            client.execute(&advance, &[&place]).await?;
            done += ids.len();
        }
        Ok(())
    }))
}

/// Measures the ceilings of submitting.
pub(crate) fn submits(run: &mut Run) -> Outcome<()> {
    let config = start(run)?;
    let inserted = sessions::repeat(&config, CLIENTS, INSERT, run.sizes.enqueue)?;
    run.samples.add(NAME, "bare insert", &[inserted.rate]);

    run.cluster.execute(DATABASE, &[TABLE])?;
    let socket = run.cluster.workplace("floor")?.join("socket");
    let at = socket.to_str().ok_or("a path that is no text")?;
    let floor = Floor::start(&run.cluster, floor::TASKS, DATABASE, at)?;
    run.samples.add(NAME, "least server", &[singles(&socket, run.sizes.enqueue)?]);
    drop(floor);
    fs::remove_file(&socket)?;

    run.cluster.execute(DATABASE, &[TABLE])?;
    run.samples.add(NAME, "copy", &[copy(&config, LONG * run.sizes.drain)?]);
    run.cluster.remove(DATABASE)
}

/// A thousand rows a COPY, on one connection; rows a second.
fn copy(config: &Config, count: usize) -> Outcome<f64> {
    let config = config.clone();
    joined(alone(async move || {
        let client = connect(&config).await?;
        let began = now();
        for first in (0..count).step_by(BULK) {
            let rows: Vec<String> =
                (first..first + BULK).map(|number| format!("{}\n", input(number))).collect();
            let sink = client.copy_in("COPY jobs (payload) FROM STDIN").await?;
            futures_util::pin_mut!(sink);
            sink.send(std::io::Cursor::new(rows.concat().into_bytes())).await?;
            sink.finish().await?;
        }
        Ok(rate(count, began, now()))
    }))
}

/// Measures the floor of picking up: an insert, a wake-up, a claim.
pub(crate) fn pickups(run: &mut Run) -> Outcome<()> {
    let (config, count) = (start(run)?, run.sizes.pickups);
    let (local, told) = joined(alone(async move || {
        let (claimer, mut connection) = config.connect(NoTls).await?;
        let (tell, mut heard) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut messages = stream::poll_fn(|context| connection.poll_message(context));
            while let Some(Ok(message)) = messages.next().await {
                if matches!(message, AsyncMessage::Notification(_)) && tell.send(()).is_err() {
                    break;
                }
            }
        });
        claimer.batch_execute(LAZY).await?;
        claimer.batch_execute("LISTEN jobs").await?;
        let local = woken(&config, &claimer, count, INSERT, async || Some(())).await?;
        let hear = async || heard.recv().await;
        Ok((local, woken(&config, &claimer, count, INSERT_AND_TELL, hear).await?))
    }))?;
    run.samples.add(NAME, "local wake-up", &local);
    run.samples.add(NAME, "wake-up by NOTIFY", &told);
    run.cluster.remove(DATABASE)
}

/// From before an insert until its job is claimed, each alone, in milliseconds. `wake` comes back
/// when the claimer has heard of the job.
async fn woken(
    config: &Config,
    claimer: &Client,
    count: usize,
    insert: &str,
    mut wake: impl AsyncFnMut() -> Option<()>,
) -> Outcome<Vec<f64>> {
    let (producer, completer) = (connect(config).await?, connect(config).await?);
    let insert = producer.prepare(insert).await?;
    let (claim, complete) =
        (claimer.prepare(CLAIM_SOME).await?, completer.prepare(COMPLETE).await?);
    let mut samples = Vec::with_capacity(count);
    for number in 0..count {
        let payload = input(number);
        let began = now();
        producer.execute(&insert, &[&payload]).await?;
        wake().await.ok_or("the listener is gone")?;
        let ids = ids(&claimer.query(&claim, &[&1_i64, &0_i64]).await?);
        samples.push(millis(began, now()));
        completer.execute(&complete, &[&ids]).await?;
        tokio::time::sleep(pause()).await;
    }
    Ok(samples)
}
