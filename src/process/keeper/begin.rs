//! Carrying out the order to start a process.

use slog::warn;

use super::{Keeper, children::Kept, peer::Peer, spawn};
use crate::process::{
    cgroup::Group,
    mark::Mark,
    wire::{Failure, Notice, Order, Step},
};

impl Keeper {
    /// Forks a process; whether its command runs is told later.
    pub(super) fn spawn(&mut self, peer: &mut Peer, order: Order) {
        let id = order.id;
        if let Err(failure) = self.fork(order) {
            peer.tell(&Notice::SpawnFailed { id, failure }, Vec::new());
        }
    }

    fn fork(&mut self, order: Order) -> Result<(), Failure> {
        let id = order.id;
        if self.is_ending() || id <= self.last_id {
            let subject =
                if self.is_ending() { "its keeper is ending" } else { "its id is not new" };
            return Err(Failure { step: Step::Order, errno: 0, subject: subject.to_owned() });
        }
        self.last_id = id;
        let group = self.group(&order);
        let mark = Mark { instance: self.instance, id };
        let started = spawn::start(&order, mark, self.files, group.as_ref())?;
        let pipes = if order.keep_pipes { started.launch.pipes.clone() } else { Vec::new() };
        self.children.add(id, started, Kept { note: order.note, pipes }, group);
        Ok(())
    }

    /// The control group of a process, where there are any.
    fn group(&self, order: &Order) -> Option<Group> {
        match self.groups.as_ref()?.group(order.id, &order.limits) {
            Ok((group, unkept)) => {
                if !unkept.is_empty() {
                    warn!(self.log, "limits that no controller keeps"; "reason" => unkept.join(" "));
                }
                Some(group)
            }
            Err(error) => {
                warn!(self.log, "no control group"; "error" => %error);
                None
            }
        }
    }
}
