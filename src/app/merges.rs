//! Merges what waits for its turn, in the order of the plans.
//!
//! The host that has a worktree merges what was made there: it asks how its merges stand, takes the turns that
//! have come, and ends the tasks that stand for them. All of it can be done twice: so a host that dies in the
//! middle goes on where it was. What is not done now is looked at again, soon at first and then each second.

use std::time::Duration;

use slog::{Logger, info, warn};
use tokio::time::timeout;

use crate::{
    queue::{QueueError, QueueHandle},
    telemetry::Chain,
    workspace::{Turned, Waiting, WorkspaceError, Workspaces},
};

/// When it is looked again first: the end of an attempt is written down within this.
const SOON: Duration = Duration::from_millis(10);
/// When it is looked again at the latest, while something waits.
const LATE: Duration = Duration::from_secs(1);

/// Merges until the host ends.
pub(super) fn start(workspaces: Workspaces, queue: QueueHandle, log: Logger) {
    let merger = Merger { workspaces, queue, log };
    actix::spawn(async move { merger.run().await });
}

struct Merger {
    workspaces: Workspaces,
    queue: QueueHandle,
    log: Logger,
}

/// Why nothing was done in a look.
#[derive(Debug, thiserror::Error)]
enum MergeError {
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
}

impl Merger {
    async fn run(&self) {
        let mut pause = SOON;
        loop {
            let waiting = self.workspaces.waiting();
            if waiting.is_empty() {
                self.workspaces.more_waits().await;
                pause = SOON;
                continue;
            }
            match self.look(&waiting).await {
                // What waited for that has its turn now.
                Ok(true) => pause = SOON,
                Ok(false) => {
                    let more = timeout(pause, self.workspaces.more_waits()).await.is_ok();
                    pause = if more { SOON } else { (pause * 2).min(LATE) };
                }
                Err(error) => {
                    warn!(self.log, "merges can't be looked at"; "error" => %Chain(&error));
                    tokio::time::sleep(LATE).await;
                }
            }
        }
    }

    /// Whether anything went on.
    async fn look(&self, waiting: &[Waiting]) -> Result<bool, MergeError> {
        let ids: Vec<_> = waiting.iter().map(|one| one.turn).collect();
        let mut went_on = false;
        for turn in self.queue.turns(&ids).await? {
            for one in waiting.iter().filter(|one| one.turn == turn.merge) {
                let is_newest = turn.attempt == Some(one.attempt);
                if turn.is_gone() || (turn.has_come() && !is_newest) {
                    // Done, called off, or made by another attempt in the end.
                    self.workspaces.told(one).await?;
                    went_on = true;
                } else if turn.has_come() {
                    went_on |= self.take(one, turn.agents.clone()).await?;
                }
            }
        }
        Ok(went_on)
    }

    async fn take(
        &self,
        one: &Waiting,
        agents: Option<crate::domain::QueueName>,
    ) -> Result<bool, MergeError> {
        // It says itself why not, and waits still.
        let Ok(turned) = self.workspaces.take_turn(one).await else { return Ok(false) };
        match turned {
            Turned::Merged(commit) => {
                self.queue.merged(one.turn, &commit, false).await?;
            }
            Turned::Conflict(record, conflict) => {
                info!(self.log, "a conflict is to be resolved"; "task" => %one.turn,
                    "count" => conflict.files.len(), "reason" => record.on_conflict.as_str());
                self.queue.in_conflict(one.turn, &record, &conflict, agents).await?;
            }
        }
        self.workspaces.told(one).await?;
        Ok(true)
    }
}
