//! Carrying out the order to start a process.

use slog::warn;

use super::{
    Keeper,
    children::{Kept, Pipes},
    peer::Peer,
    spawn::{self, Started},
};
use crate::process::{
    cgroup::Group,
    mark::Mark,
    wire::{Failure, Notice, Order, Step},
};

impl Keeper {
    /// Starts a process.
    pub(super) fn spawn(&mut self, peer: &mut Peer, order: Order) {
        let id = order.id;
        match self.start(order) {
            Ok((pid, pipes)) => {
                let (pipes, fds) = pipes.into_iter().unzip();
                peer.tell(&Notice::Spawned { id, pid: pid.unsigned_abs(), pipes }, fds);
            }
            Err(failure) => peer.tell(&Notice::SpawnFailed { id, failure }, Vec::new()),
        }
    }

    fn start(&mut self, order: Order) -> Result<(i32, Pipes), Failure> {
        let id = order.id;
        if self.is_ending() || id <= self.last_id {
            let subject =
                if self.is_ending() { "its keeper is ending" } else { "its id is not new" };
            return Err(Failure { step: Step::Order, errno: 0, subject: subject.to_owned() });
        }
        self.last_id = id;
        let group = self.group(&order);
        let mark = Mark { instance: self.instance, id };
        let started = spawn::start(&order, mark, self.files, group.as_ref(), &mut self.cradle)?;
        let Started { pid, pipes } = started;
        let kept = if order.keep_pipes { pipes.clone() } else { Vec::new() };
        self.children.add(id, pid, Kept { note: order.note, pipes: kept }, group);
        Ok((pid, pipes))
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
