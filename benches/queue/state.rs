//! What queries say of our tasks: the one place of the benchmark that knows Hostler's tables.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{Outcome, Run, cluster::Session};

/// Zero once no task of the queue is left: the tracked ones, those of the log that nobody has
/// claimed, and the claims that are not over.
const LEFT: &str = "SELECT (SELECT count(*) FROM hostler.tasks \
        WHERE queue = 'bench' AND state IN ('pending', 'running')) \
    + (SELECT coalesce(sum(greatest(0, \
            (SELECT max(number) FROM hostler.log_tasks AS one WHERE one.lane = log_cursors.lane) - taken)), 0) \
        FROM hostler.log_cursors WHERE queue = 'bench')::bigint \
    + (SELECT count(*) FROM hostler.log_claims JOIN hostler.log_lanes ON log_lanes.id = lane \
        WHERE queue = 'bench')";
/// How many tasks of the queue were completed by their first attempt: tracked, and in the log.
const AT_FIRST: &str = "SELECT (SELECT count(*) FROM hostler.tasks \
        WHERE queue = 'bench' AND state = 'completed' AND attempt = 1) \
    + (SELECT count(*) FROM hostler.log_ends JOIN hostler.log_lanes ON id = lane \
        WHERE queue = 'bench' AND NOT moved)";

/// Waits until no task of the queue is left; looks again after each `pause`.
pub(crate) fn await_end(session: &Session<'_>, pause: Duration, patience: Duration) -> Outcome<()> {
    let began = Instant::now();
    while session.ask(LEFT)? != "0" {
        give_up(began, patience)?;
        thread::sleep(pause);
    }
    Ok(())
}

/// Fails once it has taken longer than `patience`.
pub(crate) fn give_up(began: Instant, patience: Duration) -> Outcome<()> {
    if began.elapsed() > patience {
        return Err(format!("the tasks did not end within {patience:?}").into());
    }
    Ok(())
}

/// Waits until nothing is left, and checks that every one of `count` tasks was completed by its
/// first attempt.
pub(crate) fn check(run: &Run, database: &str, count: usize) -> Outcome<()> {
    let session = run.cluster.session(database)?;
    await_end(&session, Duration::from_millis(50), run.sizes.patience)?;
    let at_first = session.ask(AT_FIRST)?;
    if at_first == count.to_string() {
        return Ok(());
    }
    Err(format!("{at_first} of {count} tasks were completed by their first attempt").into())
}
