//! `hostler task wait`.

use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep};

use super::{
    super::{
        client::Client,
        exit::{Exit, Outcome},
        output::Output,
    },
    render,
};
use crate::{
    domain::{TaskId, record::TaskRecord, task::TaskState},
    http::api::Listing,
    settings::parse_duration,
};

/// How long one request waits; the host may cut it shorter.
const ROUND: Duration = Duration::from_secs(30);

/// A round that ended sooner than this waited for nothing: the host stops, or waits are off.
const NO_ROUND: Duration = Duration::from_millis(100);

/// Wait until tasks are final
#[derive(Debug, Args)]
#[command(
    after_help = "Ends with 0 if all are completed, 1 if any failed or was cancelled, 124 if \
    the time was up first.\n\nExamples:\n  hostler task wait tsk_0198c1d2…\n  \
    hostler task wait tsk_0198c1d2… tsk_0198c1d3… --timeout 10m"
)]
pub(in crate::cli) struct Wait {
    /// The tasks
    #[arg(required = true)]
    tasks: Vec<TaskId>,
    /// Give up after so much time; without it, wait for ever
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

impl Wait {
    pub(super) async fn run(self, client: &Client, output: Output) -> Outcome {
        let deadline = deadline(self.timeout);
        let mut items = Vec::with_capacity(self.tasks.len());
        for id in self.tasks {
            let task = until_final(client, id, deadline).await?;
            if !output.json {
                output.text(&render::result(&task))?;
            }
            items.push(task);
        }
        let exit = verdict(items.iter().map(|task| task.state));
        if output.json {
            output.show(&Listing { items }, |_| String::new())?;
        }
        Ok(exit)
    }
}

/// When to give up. A wait too long for the clock is one for ever.
pub(in crate::cli) fn deadline(limit: Option<Duration>) -> Option<Instant> {
    limit.and_then(|limit| Instant::now().checked_add(limit))
}

/// The task once it is final, or as it is at the deadline.
pub(super) async fn until_final(
    client: &Client,
    id: TaskId,
    deadline: Option<Instant>,
) -> Outcome<TaskRecord> {
    loop {
        let began = Instant::now();
        let left = deadline.map(|deadline| deadline.saturating_duration_since(began));
        let round = left.unwrap_or(ROUND).min(ROUND);
        let path = format!("/api/v1/tasks/{id}?wait={}ms", round.as_millis());
        let task: TaskRecord = client.get_within(&path, round).await?;
        if task.state.is_final() || left.is_some_and(|left| left.is_zero()) {
            return Ok(task);
        }
        if began.elapsed() < NO_ROUND.min(round) {
            sleep(NO_ROUND).await;
        }
    }
}

/// What the states of all tasks that were waited for come to.
pub(super) fn verdict(states: impl Iterator<Item = TaskState>) -> Exit {
    let mut exit = Exit::Done;
    for state in states {
        match state {
            TaskState::Completed => {}
            TaskState::Failed | TaskState::Cancelled if exit == Exit::Done => exit = Exit::Failed,
            TaskState::Failed | TaskState::Cancelled => {}
            _ => exit = Exit::TimedOut,
        }
    }
    exit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_that_of_the_worst() {
        use TaskState::{Cancelled, Completed, Failed, Running};
        let rows: [(&[TaskState], Exit); 5] = [
            (&[Completed, Completed], Exit::Done),
            (&[Completed, Failed], Exit::Failed),
            (&[Cancelled], Exit::Failed),
            (&[Running, Completed], Exit::TimedOut),
            (&[Failed, Running, Failed], Exit::TimedOut),
        ];
        for (states, exit) in rows {
            assert_eq!(verdict(states.iter().copied()), exit, "{states:?}");
        }
    }
}
