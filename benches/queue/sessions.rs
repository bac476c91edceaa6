//! Many sessions that do the same over and over, each statement a transaction of its own.

use std::{
    sync::{Arc, Barrier},
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use tokio_postgres::{Client, Config, Statement};

use crate::{
    Failure, Outcome,
    cluster::{alone, connect, joined},
    ours::input,
};

/// Threads that drive them; the machine is two cores wide.
const THREADS: usize = 2;

/// What sessions came to.
pub(crate) struct Repeated {
    /// How many times the statement ran in all.
    pub(crate) count: usize,
    /// How many times a second, all sessions together.
    pub(crate) rate: f64,
}

/// Has `sessions` run `statement`, whose $1 is the input of a task, for so long. Each has run it once before
/// the time begins: what a session costs to open, and the plans of its first call, are not what is measured.
pub(crate) fn repeat(
    config: &Config,
    sessions: usize,
    statement: &'static str,
    limit: Duration,
) -> Outcome<Repeated> {
    let begin = Arc::new(Barrier::new(THREADS));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (config, begin) = (config.clone(), begin.clone());
            alone(async move || {
                let opened = (0..sessions / THREADS).map(|_| open(&config, statement));
                let opened = try_join_all(opened).await;
                // Also after a failure: the others wait for this thread.
                begin.wait();
                let (opened, began) = (opened?, Instant::now());
                let loops = opened.iter().map(|(client, prepared)| async move {
                    let (input, mut count) = (input(0), 0);
                    while began.elapsed() < limit {
                        client.execute(prepared, &[&input]).await?;
                        count += 1;
                    }
                    Ok::<usize, Failure>(count)
                });
                let count: usize = try_join_all(loops).await?.iter().sum();
                Ok((count, count as f64 / began.elapsed().as_secs_f64()))
            })
        })
        .collect();
    let done = threads.into_iter().map(joined).collect::<Result<Vec<_>, _>>()?;
    let (counts, rates): (Vec<usize>, Vec<f64>) = done.into_iter().unzip();
    Ok(Repeated { count: counts.iter().sum::<usize>() + sessions, rate: rates.iter().sum() })
}

/// A session that has run `statement` once.
async fn open(config: &Config, statement: &str) -> Outcome<(Client, Statement)> {
    let client = connect(config).await?;
    let prepared = client.prepare(statement).await?;
    client.execute(&prepared, &[&input(0)]).await?;
    Ok((client, prepared))
}
