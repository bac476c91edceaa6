//! What is held, counted and kept just now, and what of it is in the way of a task.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    limits::{Limit, Pause, Rate, Rules, Scope},
    needs::{Access, Label, Mode, Needs, PathUse},
};
use crate::domain::{AgentName, FleetName, HostId, QueueName, TaskId, glob::Work};

/// How much is done at the most to compare the files of all that waits with those of all that runs:
/// some tenths of a second. Hosts wait for whoever chooses, and the host of that one, too.
const MOST_WORK: usize = 20_000_000;

/// An agent of a host: other hosts may have agents of the same names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AgentAt {
    /// The host.
    pub host: HostId,
    /// The agent.
    pub agent: AgentName,
}

/// A running task with what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The task.
    pub task: TaskId,
    /// Its queue.
    pub queue: QueueName,
    /// Who has it in hand, where that is an agent of a host.
    pub agent: Option<AgentAt>,
    /// What it holds.
    pub needs: Needs,
    /// Since when.
    pub since: Timestamp,
}

/// How many tasks of a queue an agent has in hand, of which it works on one at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The queue.
    pub queue: QueueName,
    /// The agent. Where it is not known, or is none of a host, each task counts.
    pub agent: Option<AgentAt>,
    /// How many.
    pub tasks: u32,
}

/// Attempts that began at about the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// What they count for.
    pub scope: Scope,
    /// When the last of them began.
    pub at: Timestamp,
    /// How many.
    pub count: u32,
}

/// A task that was passed over for the whole patience: what it needs is kept for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiter {
    /// The task.
    pub task: TaskId,
    /// Its queue.
    pub queue: QueueName,
    /// Its priority.
    pub priority: i16,
    /// What it needs.
    pub needs: Needs,
    /// Since when it has been passed over.
    pub since: Timestamp,
}

/// Everything that all hosts hold, at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Situation {
    /// When it was looked at.
    pub now: Timestamp,
    /// What is limited.
    pub rules: Rules,
    /// What runs and holds something.
    pub held: Vec<Held>,
    /// What runs, counted. May be empty where no limit asks for it.
    pub running: Vec<Running>,
    /// What began lately. May be empty where no rate asks for it.
    pub starts: Vec<Start>,
    /// For whom something is kept.
    pub waiters: Vec<Waiter>,
}

/// What is in the way of a task.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum BlockKind {
    /// Another task holds a lock that it needs, or is to get it before.
    Lock,
    /// Another task uses files that it needs, or is to get them before.
    Path,
    /// As many run as may.
    Concurrency,
    /// As many began within the window as may.
    Rate,
    /// Its queue or its key is paused.
    Paused,
}

/// One thing that is in the way of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocker {
    /// What kind of thing.
    pub kind: BlockKind,
    /// Its name: of the lock, the files, the key, the queue, the fleet; `all` is all tasks.
    pub name: String,
    /// The task that is in the way, where it is one.
    pub holder: Option<TaskId>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// When it ends by itself, where that is known.
    pub until: Option<Timestamp>,
    /// More, for people.
    pub reason: Option<String>,
}

/// A task that asks whether it may begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) task: TaskId,
    pub(super) queue: &'a QueueName,
    pub(super) priority: i16,
    pub(super) needs: &'a Needs,
}

/// Who has something: a task that runs, or one that it is kept for.
#[derive(Debug, Clone, Copy)]
struct Owner {
    task: TaskId,
    since: Timestamp,
    /// Kept for a task of this priority that waits.
    kept: Option<i16>,
}

impl Owner {
    /// Whether this is in the way of `asking`: what is kept is not in the way of what comes before.
    fn precedes(&self, asking: Asking<'_>) -> bool {
        self.kept.is_none_or(|priority| {
            priority > asking.priority || (priority == asking.priority && self.task < asking.task)
        }) && self.task != asking.task
    }
}

/// How many run of one thing that is counted.
#[derive(Debug, Default)]
struct Count {
    /// Those who have tasks of it in hand: each works on one at a time, and the others wait there.
    agents: HashSet<AgentAt>,
    /// Tasks of which it is not known who has them.
    others: u32,
}

impl Count {
    fn add(&mut self, agent: Option<&AgentAt>, tasks: u32) {
        match agent {
            Some(agent) => _ = self.agents.insert(agent.clone()),
            None => self.others = self.others.saturating_add(tasks),
        }
    }

    fn running(&self) -> u32 {
        u32::try_from(self.agents.len()).unwrap_or(u32::MAX).saturating_add(self.others)
    }
}

/// A [`Situation`], put in order to be asked.
#[derive(Debug)]
pub struct Usage<'a> {
    now: Timestamp,
    rules: &'a Rules,
    locks: HashMap<Label, Vec<(Owner, Mode)>>,
    paths: Vec<(Owner, PathUse)>,
    /// How many run.
    counts: HashMap<Scope, Count>,
    /// Who waits for one of a key.
    kept: HashMap<Scope, Vec<Owner>>,
    starts: HashMap<Scope, BTreeMap<Timestamp, u32>>,
    /// How much may still be done to compare files.
    work: Work,
}

impl<'a> Usage<'a> {
    /// Puts `situation` in order.
    pub fn new(situation: &'a Situation) -> Self {
        let mut usage = Self {
            now: situation.now,
            rules: &situation.rules,
            locks: HashMap::new(),
            paths: Vec::new(),
            counts: HashMap::new(),
            kept: HashMap::new(),
            starts: HashMap::new(),
            work: Work::new(MOST_WORK),
        };
        for held in &situation.held {
            let owner = Owner { task: held.task, since: held.since, kept: None };
            usage.hold(owner, &held.needs);
            for key in held.needs.keys() {
                usage.count(Scope::Key(key.clone()), held.agent.as_ref(), 1);
                let within = Scope::QueueKey(held.queue.clone(), key.clone());
                usage.count(within, held.agent.as_ref(), 1);
            }
        }
        for running in &situation.running {
            let Running { queue, agent, tasks } = running;
            usage.count(Scope::All, agent.as_ref(), *tasks);
            usage.count(Scope::Queue(queue.clone()), agent.as_ref(), *tasks);
            if let Some(fleet) = agent.as_ref().and_then(|it| it.agent.fleet()) {
                usage.count(Scope::Fleet(fleet), agent.as_ref(), *tasks);
            }
        }
        for start in &situation.starts {
            usage.started(start.scope.clone(), start.at, start.count);
        }
        usage.keep(&situation.waiters);
        usage
    }

    /// Keeps what the waiters need, but for those that could not begin even if they had it.
    fn keep(&mut self, waiters: &[Waiter]) {
        for waiter in waiters {
            let Waiter { task, queue, priority, needs, since } = waiter;
            let asking = Asking { task: *task, queue, priority: *priority, needs };
            let mut other = self.pauses(queue, needs.keys());
            self.limits(None, asking, &mut other);
            let hopeless = |blocker: &Blocker| match blocker.kind {
                BlockKind::Rate | BlockKind::Paused => true,
                BlockKind::Lock | BlockKind::Path | BlockKind::Concurrency => false,
            };
            if other.iter().any(hopeless) {
                continue;
            }
            let owner = Owner { task: *task, since: *since, kept: Some(*priority) };
            self.hold(owner, needs);
            for key in needs.keys() {
                self.kept.entry(Scope::Key(key.clone())).or_default().push(owner);
                let within = Scope::QueueKey(queue.clone(), key.clone());
                self.kept.entry(within).or_default().push(owner);
            }
        }
    }

    fn hold(&mut self, owner: Owner, needs: &Needs) {
        for lock in needs.locks() {
            self.locks.entry(lock.name.clone()).or_default().push((owner, lock.mode));
        }
        self.paths.extend(needs.paths().iter().map(|path| (owner, path.clone())));
    }

    fn count(&mut self, scope: Scope, agent: Option<&AgentAt>, tasks: u32) {
        self.counts.entry(scope).or_default().add(agent, tasks);
    }

    fn started(&mut self, scope: Scope, at: Timestamp, tasks: u32) {
        let count = self.starts.entry(scope).or_default().entry(at).or_insert(0);
        *count = count.saturating_add(tasks);
    }

    /// `asking` is given to `agent` of `fleet` now.
    pub(super) fn begin(&mut self, fleet: &FleetName, agent: &AgentAt, asking: Asking<'_>) {
        let owner = Owner { task: asking.task, since: self.now, kept: None };
        self.hold(owner, asking.needs);
        let scopes: Vec<_> =
            self.rules.scopes(Some(fleet), asking.queue, asking.needs.keys()).collect();
        for (scope, limit) in scopes {
            if limit.rate.is_some() {
                self.started(scope.clone(), self.now, 1);
            }
            self.count(scope, Some(agent), 1);
        }
    }

    /// Whether `agent` may have `asking` behind what it works on, though as many run as may: then
    /// not one more runs at once.
    pub(super) fn stands_behind(
        &self,
        fleet: &FleetName,
        agent: &AgentAt,
        asking: Asking<'_>,
    ) -> bool {
        self.rules
            .scopes(Some(fleet), asking.queue, asking.needs.keys())
            .filter(|(scope, limit)| self.is_full(scope, limit, asking))
            .all(|(scope, _)| self.counts.get(&scope).is_some_and(|it| it.agents.contains(agent)))
    }

    /// Whether as many run as may, with those for whom one is kept.
    fn is_full(&self, scope: &Scope, limit: &Limit, asking: Asking<'_>) -> bool {
        let Some(most) = limit.concurrency else { return false };
        let kept = self.kept.get(scope).into_iter().flatten();
        let kept = kept.filter(|owner| owner.precedes(asking)).count();
        let running = self.counts.get(scope).map_or(0, Count::running);
        running.saturating_add(u32::try_from(kept).unwrap_or(u32::MAX)) >= most
    }

    /// What is in the way of a task that waits, whoever might run it. Empty if nothing is: it waits
    /// for an agent alone.
    pub fn blockers(
        &self,
        task: TaskId,
        queue: &QueueName,
        priority: i16,
        needs: &Needs,
    ) -> Vec<Blocker> {
        self.in_the_way(None, Asking { task, queue, priority, needs })
    }

    /// As [`Usage::blockers`], where agents of these fleets could run it: with what is in the way of
    /// each fleet, unless one of them is free to.
    pub fn blockers_of(
        &self,
        fleets: &[FleetName],
        (task, queue, priority, needs): (TaskId, &QueueName, i16, &Needs),
    ) -> Vec<Blocker> {
        let asking = Asking { task, queue, priority, needs };
        let mut found = self.in_the_way(None, asking);
        let limits = |fleet| {
            let mut own = Vec::new();
            self.limits(Some(fleet), asking, &mut own);
            own.retain(|blocker| !found.contains(blocker));
            own
        };
        let of_fleets: Vec<Vec<Blocker>> = fleets.iter().map(limits).collect();
        if of_fleets.iter().all(|own| !own.is_empty()) {
            found.extend(of_fleets.into_iter().flatten());
        }
        found
    }

    /// What is in the way of `asking`, if an agent of `fleet` is to run it.
    pub(super) fn in_the_way(&self, fleet: Option<&FleetName>, asking: Asking<'_>) -> Vec<Blocker> {
        let mut found = self.pauses(asking.queue, asking.needs.keys());
        self.limits(fleet, asking, &mut found);
        self.held_by_others(asking, &mut found);
        found
    }

    fn pauses(&self, queue: &QueueName, keys: &[Label]) -> Vec<Blocker> {
        let of_queue = self.rules.queues.get(queue).and_then(|rules| rules.paused.as_ref());
        let of_queue = of_queue.filter(|pause| pause.holds(self.now));
        let of_keys = keys.iter().filter_map(|key| {
            self.rules.pause_of_key(key, self.now).map(|pause| (key.to_string(), pause))
        });
        let paused = of_queue.map(|pause| (queue.to_string(), pause)).into_iter().chain(of_keys);
        paused.map(|(name, pause)| paused_by(name, pause)).collect()
    }

    fn limits(&self, fleet: Option<&FleetName>, asking: Asking<'_>, found: &mut Vec<Blocker>) {
        for (scope, limit) in self.rules.scopes(fleet, asking.queue, asking.needs.keys()) {
            let Limit { concurrency, rate } = limit;
            if let Some(most) = concurrency.filter(|_| self.is_full(&scope, &limit, asking)) {
                let reason = Some(format!("{most} may run at once"));
                found.push(blocker(BlockKind::Concurrency, scope_name(&scope), reason));
            }
            if let Some((rate, until)) = rate.and_then(|rate| self.full_until(&scope, rate)) {
                let reason = Some(format!("{} may begin within {:?}", rate.count, rate.per));
                let full = blocker(BlockKind::Rate, scope_name(&scope), reason);
                found.push(Blocker { until: Some(until), ..full });
            }
        }
    }

    /// When the next may begin, if none may now.
    fn full_until(&self, scope: &Scope, rate: Rate) -> Option<(Rate, Timestamp)> {
        let starts = self.starts.get(scope)?;
        let begin = self.now.checked_sub(rate.per).ok()?;
        // The clock was set back where something began far in the future: nobody waits until it is there.
        let end = self.now.checked_add(rate.per).ok()?;
        // From the newest back: the one that fills the window is the one that has to leave it.
        let mut count = 0_u32;
        for (at, tasks) in starts.range(..=end).rev().take_while(|(at, _)| **at > begin) {
            count = count.saturating_add(*tasks);
            if count >= rate.count {
                return Some((rate, at.checked_add(rate.per).ok()?));
            }
        }
        None
    }

    fn held_by_others(&self, asking: Asking<'_>, found: &mut Vec<Blocker>) {
        for lock in asking.needs.locks() {
            for (owner, mode) in self.locks.get(&lock.name).into_iter().flatten() {
                let alone = Mode::Exclusive;
                if (lock.mode == alone || *mode == alone) && owner.precedes(asking) {
                    found.push(owned(BlockKind::Lock, lock.name.to_string(), *owner));
                }
            }
        }
        for path in asking.needs.paths() {
            for (owner, theirs) in &self.paths {
                let writes = path.mode == Access::Write || theirs.mode == Access::Write;
                if writes
                    && owner.precedes(asking)
                    && path.glob.overlaps_within(&theirs.glob, &self.work)
                {
                    found.push(owned(BlockKind::Path, theirs.glob.to_string(), *owner));
                }
            }
        }
    }
}

fn blocker(kind: BlockKind, name: String, reason: Option<String>) -> Blocker {
    Blocker { kind, name, holder: None, since: None, until: None, reason }
}

fn paused_by(name: String, pause: &Pause) -> Blocker {
    Blocker { until: pause.until, ..blocker(BlockKind::Paused, name, pause.reason.clone()) }
}

fn owned(kind: BlockKind, name: String, owner: Owner) -> Blocker {
    let reason = owner.kept.map(|_| "kept for a task that waits longer".to_owned());
    Blocker { holder: Some(owner.task), since: Some(owner.since), ..blocker(kind, name, reason) }
}

/// The name of what is counted, for people.
fn scope_name(scope: &Scope) -> String {
    match scope {
        Scope::All => "all".to_owned(),
        Scope::Fleet(fleet) => fleet.to_string(),
        Scope::Queue(queue) => queue.to_string(),
        Scope::Key(key) | Scope::QueueKey(_, key) => key.to_string(),
    }
}
