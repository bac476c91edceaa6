//! Many sessions that do the same over and over, each statement a transaction of its own.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio_postgres::Config;

use crate::{
    Failure, Outcome,
    cluster::{alone, connect, joined},
    ours::input,
};

/// Threads that drive them; the machine is two cores wide.
const THREADS: usize = 2;

/// Has `sessions` run `statement`, whose $1 is the input of a task, for so long. How many times
/// it ran, and for how long it really was.
pub(crate) fn repeat(
    config: &Config,
    sessions: usize,
    statement: &'static str,
    limit: Duration,
) -> Outcome<(usize, Duration)> {
    let began = Instant::now();
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let config = config.clone();
            alone(async move || {
                let loops = (0..sessions / THREADS).map(|_| async {
                    let client = connect(&config).await?;
                    let prepared = client.prepare(statement).await?;
                    let (input, mut count) = (input(0), 0);
                    while began.elapsed() < limit {
                        client.execute(&prepared, &[&input]).await?;
                        count += 1;
                    }
                    Ok::<usize, Failure>(count)
                });
                Ok(try_join_all(loops).await?.iter().sum::<usize>())
            })
        })
        .collect();
    let counts = threads.into_iter().map(joined).collect::<Result<Vec<_>, _>>()?;
    Ok((counts.iter().sum(), began.elapsed()))
}
