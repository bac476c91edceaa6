//! Actor, one per fleet, that notices agents which show no life.
//!
//! # Overview
//!
//! Whatever sees an agent live (a chunk of output, a grown file, a heartbeat message, a notification)
//! touches its [`Vitals`]; the actor asks [`domain::heartbeat`](crate::domain::heartbeat) about each of
//! its fleet's, and when to ask again. Half-way to a verdict and before one it has the processes of a silent
//! agent looked at, off its thread. It reports a verdict and decides nothing.
//!
//! # Guarantees
//!
//! - A verdict comes within a tenth of the limit after the limit has passed, and carries the
//!   generation it was judged for: one for an older process is dropped by whoever gets it.
//! - While no life is expected of any agent of the fleet, no timer runs.
//!
//! # Failures
//!
//! The actor holds nothing that its owner can't give it again; if it panics, the supervisor starts
//! another and has it watch the same agents.

mod vitals;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use actix::prelude::*;

use vitals::Alarm;
pub use vitals::{Clock, Vitals};

use crate::domain::{
    AgentName, FleetName, Generation, Millis,
    heartbeat::{self, Expect, Limits, Moved, Silence, Tree, Verdict},
    restart::millis,
};

/// Looks at the processes of agents, by the pids of their first ones; nothing of one that is gone.
/// Blocks: it reads `/proc`.
pub type LookAtTrees = Arc<dyn Fn(&[u32]) -> Vec<Option<Tree>> + Send + Sync>;

/// What the actor tells its owner.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub enum HeartbeatReport {
    /// An agent was silent for too long.
    Stale {
        /// The agent.
        agent: AgentName,
        /// The process that was judged.
        generation: Generation,
        /// The evidence.
        silence: Silence,
    },
    /// The actor is gone: stopped, or ended by a panic.
    Gone {
        /// The fleet it watched.
        fleet: FleetName,
    },
}

/// The owner's side of the actor.
#[derive(Clone, Debug)]
pub struct HeartbeatHandle(Addr<HeartbeatActor>);

impl HeartbeatHandle {
    /// Starts an actor for `fleet` in the current arbiter.
    pub fn start(
        fleet: FleetName,
        limits: Limits,
        clock: Clock,
        trees: LookAtTrees,
        owner: Recipient<HeartbeatReport>,
    ) -> Self {
        let actor = HeartbeatActor {
            limits,
            clock,
            trees,
            alarm: Alarm::new(),
            timer: None,
            looking: false,
            watched: BTreeMap::new(),
            tombstone: Tombstone { fleet, owner },
        };
        Self(actor.start())
    }

    /// Whether the actor is still there.
    pub fn is_alive(&self) -> bool {
        self.0.connected()
    }

    /// Watches this process of `agent` from now on, in place of any older one.
    pub fn watch(&self, agent: AgentName, generation: Generation, vitals: Arc<Vitals>) {
        // A report that must not be lost: a hung agent would never be found.
        self.0.do_send(Watch { agent, generation, vitals });
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Watch {
    agent: AgentName,
    generation: Generation,
    vitals: Arc<Vitals>,
}

/// Tells the owner however the actor ends. `Drop` runs while a panic unwinds.
struct Tombstone {
    fleet: FleetName,
    owner: Recipient<HeartbeatReport>,
}

impl Drop for Tombstone {
    fn drop(&mut self) {
        self.owner.do_send(HeartbeatReport::Gone { fleet: self.fleet.clone() });
    }
}

struct HeartbeatActor {
    limits: Limits,
    clock: Clock,
    trees: LookAtTrees,
    alarm: Arc<Alarm>,
    timer: Option<SpawnHandle>,
    /// A look at processes is under way; what follows from it is decided when it is there.
    looking: bool,
    watched: BTreeMap<AgentName, Watched>,
    tombstone: Tombstone,
}

struct Watched {
    generation: Generation,
    vitals: Arc<Vitals>,
    /// A verdict is given once for a process.
    judged: bool,
    /// The newest look at its processes, and what they were then.
    looked: Option<(Millis, Option<Tree>)>,
    /// What they did between the last two looks.
    moved: Option<Moved>,
}

impl Watched {
    fn judge(&self, limits: &Limits, now: Millis) -> Verdict {
        if self.judged || self.vitals.expected() == Expect::Nothing {
            return Verdict::Unlimited;
        }
        let looked_at = self.looked.map(|(at, _)| at);
        let found = self.looked.is_some_and(|(_, tree)| tree.is_some());
        let signs = heartbeat::Signs { looked_at, found, ..self.vitals.signs() };
        heartbeat::judge(limits, &signs, self.moved, now)
    }

    /// Takes in a look at its processes.
    fn looked(&mut self, limits: &Limits, tree: Option<Tree>, now: Millis) {
        // What was before it was last heard says nothing of its silence.
        let heard = self.vitals.signs().heard;
        let before = self.looked.filter(|(at, _)| *at >= heard);
        self.moved = match (before, tree) {
            (Some((at, Some(before))), Some(after)) => {
                let over = Duration::from_millis(now.saturating_sub(at));
                Some(Moved::between(&before, &after, over))
            }
            _ => None,
        };
        if self.moved.is_some_and(|moved| moved.is_life(limits.evidence)) {
            self.vitals.worked();
        }
        self.looked = Some((now, tree));
    }
}

impl HeartbeatActor {
    /// Judges all, and arranges for the next time.
    fn look(&mut self, ctx: &mut Context<Self>) {
        let now = self.clock.now();
        let (mut next, mut to_look_at) = (Millis::MAX, Vec::new());
        for (agent, watched) in &mut self.watched {
            match watched.judge(&self.limits, now) {
                Verdict::Unlimited => {}
                Verdict::Alive { until } => {
                    // Several that are due one soon after the other are looked at together.
                    let apart = heartbeat::apart(&self.limits, watched.vitals.signs().own_limit);
                    next = next.min(until.max(now.saturating_add(millis(apart))));
                }
                Verdict::Look => to_look_at.push((agent.clone(), watched.generation)),
                Verdict::Stale(silence) => {
                    watched.judged = true;
                    self.tombstone.owner.do_send(HeartbeatReport::Stale {
                        agent: agent.clone(),
                        generation: watched.generation,
                        silence,
                    });
                }
            }
        }
        if !to_look_at.is_empty() && !self.looking {
            self.look_at_processes(to_look_at, ctx);
        }
        self.wake_at(next, ctx);
    }

    /// Looks again then, and no more before unless it is woken.
    fn wake_at(&mut self, next: Millis, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        self.alarm.set(next);
        if next < Millis::MAX {
            let wait = Duration::from_millis(next.saturating_sub(self.clock.now()));
            self.timer = Some(ctx.run_later(wait, |this, ctx| {
                this.timer = None;
                this.look(ctx);
            }));
        }
    }

    /// Follows the alarm from here on.
    fn heed(&self, ctx: &mut Context<Self>) {
        let moved = self.alarm.clone().moved().into_actor(self).map(|(), this, ctx| {
            this.wake_at(this.alarm.next(), ctx);
            this.heed(ctx);
        });
        ctx.spawn(moved);
    }

    /// Has the processes of these looked at, off this thread.
    fn look_at_processes(&mut self, whose: Vec<(AgentName, Generation)>, ctx: &mut Context<Self>) {
        self.looking = true;
        let of = |(agent, _): &(AgentName, Generation)| {
            self.watched.get(agent).and_then(|watched| watched.vitals.pid())
        };
        let pids: Vec<Option<u32>> = whose.iter().map(of).collect();
        let (trees, known): (_, Vec<u32>) =
            (self.trees.clone(), pids.iter().flatten().copied().collect());
        let look = tokio::task::spawn_blocking(move || trees(&known));
        let seen = look.into_actor(self).map(move |seen, this, ctx| {
            this.looking = false;
            let now = this.clock.now();
            // A look that panicked saw nothing: the verdict rests on the silence alone.
            let mut seen = seen.unwrap_or_default().into_iter();
            for ((agent, generation), pid) in whose.into_iter().zip(pids) {
                let tree = pid.and_then(|_| seen.next().flatten());
                let watched = this.watched.get_mut(&agent);
                if let Some(watched) = watched.filter(|one| one.generation == generation) {
                    watched.looked(&this.limits, tree, now);
                }
            }
            this.look(ctx);
        });
        ctx.spawn(seen);
    }
}

impl Actor for HeartbeatActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.heed(ctx);
    }
}

impl Handler<Watch> for HeartbeatActor {
    type Result = ();

    fn handle(&mut self, Watch { agent, generation, vitals }: Watch, _: &mut Self::Context) {
        vitals.watched_by(self.alarm.clone(), self.limits);
        let watched = Watched { generation, vitals, judged: false, looked: None, moved: None };
        self.watched.insert(agent, watched);
    }
}

#[cfg(test)]
mod tests;
