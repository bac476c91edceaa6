//! Writing how attempts ended, wherever their tasks are kept.

use std::collections::HashSet;

use deadpool_postgres::GenericClient;

use super::{
    StoreError, log,
    tasks::{self, Settled},
};
use crate::domain::{
    AgentName, ClaimId, HostId, TaskId,
    task::{Outcome, Settlement, TaskState},
};

/// Writes the ends of attempts of `host`, and returns those that counted. `over` are the claims of
/// plain tasks that have nothing left with that.
///
/// A completed plain task is written to the log. One that failed, was put back or called off leaves
/// it first, and so does one that somebody has moved meanwhile: these are settled as
/// [`tasks::settle`] says. Sent again after a lost answer, it counts once.
///
/// # Errors
///
/// As [`tasks::settle`]. What was written before the error stays; the same call goes on from there.
pub async fn settle(
    db: &impl GenericClient,
    host: HostId,
    settlements: &[Settlement],
    over: &[ClaimId],
) -> Result<Vec<Settled>, StoreError> {
    let is_completed = |end: &Settlement| matches!(end.outcome, Outcome::Completed { .. });
    let leaves = |end: &&Settlement| end.entry.is_some() && !is_completed(end);
    let leaving: Vec<(TaskId, Option<&AgentName>)> =
        settlements.iter().filter(leaves).map(|end| (end.task, Some(&end.agent))).collect();
    if !leaving.is_empty() {
        // Before its claim is over: that is what says who runs it.
        log::track(db, &leaving).await?;
    }
    let logged = settlements.iter().any(|end| end.entry.is_some() && is_completed(end));
    let counted = if logged || !over.is_empty() {
        log::settle(db, host, settlements, over).await?
    } else {
        HashSet::new()
    };
    let is_counted = |end: &Settlement| {
        is_completed(end) && end.entry.is_some_and(|at| counted.contains(&(at.lane, at.number)))
    };
    let (done, rest): (Vec<&Settlement>, Vec<&Settlement>) =
        settlements.iter().partition(|end| is_counted(end));
    let mut settled: Vec<Settled> = done
        .into_iter()
        .map(|end| Settled {
            task: end.task,
            attempt: end.attempt,
            state: TaskState::Completed,
            // What is awaited has left the log.
            awaited: false,
        })
        .collect();
    if !rest.is_empty() {
        settled.extend(tasks::settle(db, host, &rest).await?);
    }
    Ok(settled)
}
