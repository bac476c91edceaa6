//! Sends [`AgentReport::Gone`] however the actor ends, and closes what it left open if that was a panic.

use std::sync::Arc;

use actix::prelude::*;
use futures_util::{FutureExt, future::Shared};
use tokio::{sync::oneshot, task::JoinHandle};

use super::AgentReport;
use crate::{
    domain::AgentName,
    process::{Ended, ProcessId, Processes},
    workspace::Workspaces,
};

/// Resolves when a process is gone; can be waited for in several places.
pub(super) type WhenEnded = Shared<futures_util::future::BoxFuture<'static, Ended>>;

/// Makes the keeper's promise shareable.
pub(super) fn when_ended(ended: oneshot::Receiver<Ended>) -> WhenEnded {
    async move { ended.await.unwrap_or(Ended::LOST) }.boxed().shared()
}

/// As `ended`, but only once its stderr is `copied` to the log, too: the reason of an end quotes it.
pub(super) fn once_copied(ended: WhenEnded, copied: JoinHandle<()>) -> WhenEnded {
    let both = async move {
        let end = ended.await;
        // It ends with the process. If it panicked, there is less to quote.
        copied.await.unwrap_or_default();
        end
    };
    both.boxed().shared()
}

/// Held by the actor; `Drop` runs while a panic unwinds, too.
pub(super) struct Tombstone {
    agent: AgentName,
    watcher: Recipient<AgentReport>,
    processes: Arc<dyn Processes>,
    workspaces: Workspaces,
    live: Option<(ProcessId, WhenEnded)>,
    orderly: bool,
    dismissed: bool,
}

impl Tombstone {
    pub(super) fn new(
        agent: AgentName,
        watcher: Recipient<AgentReport>,
        processes: Arc<dyn Processes>,
        workspaces: Workspaces,
    ) -> Self {
        Self { agent, watcher, processes, workspaces, live: None, orderly: false, dismissed: false }
    }

    /// The actor has stopped, and has told of all that it had in hand.
    pub(super) const fn stopped(&mut self) {
        self.orderly = true;
    }

    /// The actor owns this process now.
    pub(super) fn guard(&mut self, id: ProcessId, ended: WhenEnded) {
        self.live = Some((id, ended));
    }

    /// The process is gone.
    pub(super) fn release(&mut self) {
        self.live = None;
    }

    /// The actor ends because it is to, without a process: nobody is told.
    pub(super) fn dismiss(&mut self) {
        self.dismissed = true;
    }

    pub(super) fn watcher(&self) -> &Recipient<AgentReport> {
        &self.watcher
    }
}

impl Drop for Tombstone {
    fn drop(&mut self) {
        let gone = AgentReport::Gone { agent: self.agent.clone() };
        let live = self.live.take();
        // The attempt must not run elsewhere before this process is gone.
        if let Some((id, _)) = &live {
            self.processes.kill(*id);
        }
        if live.is_none() && self.dismissed {
            return;
        }
        if live.is_none() && self.orderly {
            self.watcher.do_send(gone);
            return;
        }
        let (watcher, processes) = (self.watcher.clone(), self.processes.clone());
        let (workspaces, agent) = (self.workspaces.clone(), self.agent.clone());
        let orderly = self.orderly;
        // Without a runtime the host is at its end, and there is nobody left to tell.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Some((id, ended)) = live {
                    ended.await;
                    processes.forget(id);
                }
                if !orderly {
                    workspaces.close_of(&agent).await;
                }
                watcher.do_send(gone);
            });
        }
    }
}
