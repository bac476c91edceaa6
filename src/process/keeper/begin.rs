//! Carrying out the order to start a process.

use slog::warn;

use super::{Keeper, nursery::Birth, peer::Peer};
use crate::process::{
    cgroup::Group,
    mark::Mark,
    wire::{Failure, Notice, Order, Step},
};

impl Keeper {
    /// Has a process started; how that went is told now, or later.
    pub(super) fn spawn(&mut self, peer: &mut Peer, order: Order) {
        let id = order.id;
        if self.is_ending() || id <= self.last_id {
            let subject =
                if self.is_ending() { "its keeper is ending" } else { "its id is not new" };
            let failure = Failure { step: Step::Order, errno: 0, subject: subject.to_owned() };
            peer.tell(&Notice::SpawnFailed { id, failure }, Vec::new());
            return;
        }
        self.last_id = id;
        let group = self.group(&order);
        let mark = Mark { instance: self.instance, id };
        let birth = Birth { order, mark, files: self.files, group: None };
        self.children.begin(birth, group, peer.is_drained());
        for (notice, fds) in self.children.arrived.drain(..) {
            peer.tell(&notice, fds);
        }
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
