//! How an agent takes back a process that a host before this one started.

use std::{path::Path, sync::Arc, time::Duration};

use actix::prelude::*;
use jiff::Timestamp;
use slog::{info, warn};

use super::{actor::AgentActor, attempt::AttemptFiles, conversation::Greeting, work::Work};
use crate::{
    domain::{
        Generation,
        adoption::Standing,
        agent::AgentEvent,
        fleet::{Fleet, Protocol},
        record::AdoptedRecord,
        task::{Assignment, Outcome},
    },
    process::{Ended, Spawned},
    queue::FromAgent,
};

/// A process for an agent to go on with. It may have ended meanwhile.
pub struct Adopted {
    /// The process.
    pub process: Spawned,
    /// Which of the agent's processes it is.
    pub generation: Generation,
    /// The attempts that it has, the one that it is at first, and how long each has run.
    pub work: Vec<(Arc<Assignment>, Duration)>,
    /// How far the conversation with it is, if it is a worker.
    pub standing: Option<Standing>,
    /// The number of this host among those that the process has had.
    pub epoch: u64,
}

/// What the ended process of an `exec` attempt left as its outcome. Blocks.
pub fn left_outcome(
    fleet: &Fleet,
    attempts_dir: &Path,
    assignment: &Assignment,
    ended: &Ended,
) -> Outcome {
    let outcome = AttemptFiles::of(attempts_dir, assignment).outcome(fleet, ended, false);
    outcome.without(&fleet.secrets)
}

impl AgentActor {
    /// Goes on with a process of the host before this.
    pub(super) fn adopt(&mut self, adopted: Adopted, ctx: &mut Context<Self>) {
        let Adopted { process, generation, work, standing, epoch } = adopted;
        debug_assert_eq!(generation, self.status.generation);
        let (id, pid) = (process.id, process.pid);
        let busy = !work.is_empty();
        for (place, (assignment, ran)) in work.into_iter().enumerate() {
            // The time of those behind the first has not begun.
            let begun = place == 0;
            let mut work = Work { begun, given: true, ..Work::new(assignment) };
            if begun {
                self.heed_silence(&work);
                self.limit(&mut work, ran, ctx);
            }
            self.work.push_back(work);
        }
        if let Err(illegal) = self.apply(AgentEvent::Adopted { busy }, ctx) {
            warn!(self.log, "process can't be taken back"; "pid" => pid, "error" => %illegal);
            self.around.processes.kill(id);
            return;
        }
        info!(self.log, "agent adopted"; "pid" => pid, "generation" => generation.0,
            "task" => self.work.front().map(|work| work.key().0.to_string()),
            "attempt" => self.work.front().map(|work| work.key().1.0));
        if busy {
            self.around.queue.do_send(FromAgent::Resumed {
                agent: self.status.agent.clone(),
                to: ctx.address().recipient(),
            });
        }
        let greeting = standing.map_or(Greeting::Adopted, |s| Greeting::Known(s, epoch));
        self.listen(ctx);
        self.take_process(process, greeting, ctx);
        self.unheard = busy && self.fleet.protocol == Protocol::Worker;
        self.status.adopted = Some(AdoptedRecord { generation, at: Timestamp::now() });
        self.vitals.expect(self.expectation());
        if busy {
            // Its first sign of life was for the host before this, if it was to show one soon.
            self.vitals.touch();
        }
        self.status.reason = Some("adopted from the host before this one".to_owned());
        self.report();
    }
}
