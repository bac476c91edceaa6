//! Which of the tasks that wait begin now.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashSet, VecDeque},
};

use jiff::Timestamp;

use super::{
    needs::{Label, Needs},
    turns::Turns,
    usage::{AgentAt, Asking, BlockKind, Blocker, Situation, Usage},
};
use crate::domain::{AgentName, FleetName, HostId, QueueName, TaskId};

/// A task that waits to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The task.
    pub task: TaskId,
    /// Its queue.
    pub queue: QueueName,
    /// Higher comes first.
    pub priority: i16,
    /// What it needs.
    pub needs: Needs,
}

/// For whom tasks are chosen, and among which.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The host that asks.
    pub host: HostId,
    /// The fleet whose agents are free.
    pub fleet: &'a FleetName,
    /// The queues that it serves.
    pub queues: &'a [QueueName],
    /// The agents that could take a task, in their order; one that could take several stands there
    /// as often.
    pub agents: &'a [AgentName],
    /// Tasks of those queues that wait, in any order.
    pub candidates: &'a [Candidate],
}

/// What was chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// The tasks that begin, the first first, and whom each is for.
    pub take: Vec<(TaskId, AgentName)>,
    /// Tasks that were passed over because others hold what they need: one of each lane.
    pub passed: Vec<TaskId>,
    /// Whether any was passed over, for whatever reason.
    pub blocked: bool,
    /// When one of those could begin because time has passed.
    pub opens: Option<Timestamp>,
}

/// Chooses the tasks that begin now: in their order, and none of which is blocked by what runs, by
/// what is limited, by what is kept for a waiter that comes before, or by one chosen before it.
///
/// Each is for the first of the agents that may have it.
pub fn choose(situation: &Situation, ask: &Ask<'_>, turns: &mut Turns) -> Choice {
    let mut usage = Usage::new(situation);
    let mut line = Line::new(situation, ask);
    let mut choice = Choice::default();
    // What is chosen only ever makes less possible: once the first of a lane is blocked, so are
    // those behind it.
    let mut closed: HashSet<(&QueueName, &Needs)> = HashSet::new();
    let at = |agent: &AgentName| AgentAt { host: ask.host, agent: agent.clone() };
    let mut free: VecDeque<AgentAt> = ask.agents.iter().map(at).collect();
    while !free.is_empty() {
        let Some(next) = line.next(turns) else { break };
        let Candidate { task, queue, priority, needs } = next;
        if closed.contains(&(queue, needs)) {
            continue;
        }
        let asking = Asking { task: *task, queue, priority: *priority, needs };
        let blockers = usage.in_the_way(Some(ask.fleet), asking);
        let place = place(&usage, ask.fleet, &free, asking, &blockers);
        if let Some(agent) = place.and_then(|place| free.remove(place)) {
            usage.begin(ask.fleet, &agent, asking);
            line.serve(next, turns);
            choice.take.push((*task, agent.agent));
            continue;
        }
        closed.insert((queue, needs));
        choice.blocked = true;
        if waits_for_others(needs, &blockers) {
            choice.passed.push(*task);
        }
        // It can begin once the last of what ends by itself has ended, if nothing else is there.
        let timed: Vec<_> = blockers.iter().filter_map(|blocker| blocker.until).collect();
        if timed.len() == blockers.len() {
            choice.opens = choice.opens.into_iter().chain(timed.into_iter().max()).min();
        }
    }
    choice
}

/// Whose place among the `free` a task gets that these `blockers` stand in the way of: the first if
/// there are none. Where only so many run as may, somebody who is at one of those could have it next.
fn place(
    usage: &Usage<'_>,
    fleet: &FleetName,
    free: &VecDeque<AgentAt>,
    asking: Asking<'_>,
    blockers: &[Blocker],
) -> Option<usize> {
    if blockers.is_empty() {
        return Some(0);
    }
    if blockers.iter().any(|blocker| blocker.kind != BlockKind::Concurrency) {
        return None;
    }
    free.iter().position(|agent| usage.stands_behind(fleet, agent, asking))
}

/// Whether a task is passed over for what others hold, so that it could be for ever. Tasks that
/// need one key and nothing else come in their order anyway.
fn waits_for_others(needs: &Needs, blockers: &[Blocker]) -> bool {
    let held = |blocker: &Blocker| match blocker.kind {
        BlockKind::Lock | BlockKind::Path => true,
        BlockKind::Concurrency => needs.count() > 1,
        BlockKind::Rate | BlockKind::Paused => false,
    };
    let ends = |blocker: &Blocker| matches!(blocker.kind, BlockKind::Rate | BlockKind::Paused);
    blockers.iter().any(held) && !blockers.iter().any(ends)
}

/// The tasks in the order in which they come.
struct Line<'a> {
    queues: BTreeMap<&'a QueueName, Waiting<'a>>,
    /// Queues take turns, by their weights.
    weighs: bool,
}

/// What waits in one queue.
struct Waiting<'a> {
    weight: u32,
    fair: bool,
    /// By key where the queue is fair, all under none where not; each in its order.
    keys: BTreeMap<Option<Label>, VecDeque<&'a Candidate>>,
}

/// Higher priorities first, then older tasks.
const fn rank(candidate: &Candidate) -> (Reverse<i16>, TaskId) {
    (Reverse(candidate.priority), candidate.task)
}

impl<'a> Line<'a> {
    fn new(situation: &Situation, ask: &Ask<'a>) -> Self {
        let mut sorted: Vec<&Candidate> = ask.candidates.iter().collect();
        sorted.sort_unstable_by_key(|candidate| rank(candidate));
        sorted.dedup_by_key(|candidate| candidate.task);
        let of = |queue: &QueueName| {
            let rules = situation.rules.queues.get(queue);
            rules.map_or((1, false), |rules| (rules.weight, rules.fair))
        };
        let weighs = ask.queues.iter().any(|queue| of(queue).0 != 1);
        let mut queues: BTreeMap<&QueueName, Waiting<'_>> = BTreeMap::new();
        for candidate in sorted {
            let waiting = queues.entry(&candidate.queue).or_insert_with(|| {
                let (weight, fair) = of(&candidate.queue);
                Waiting { weight, fair, keys: BTreeMap::new() }
            });
            let key = waiting.key(candidate);
            waiting.keys.entry(key).or_default().push_back(candidate);
        }
        Self { queues, weighs }
    }

    /// Takes the next out.
    fn next(&mut self, turns: &Turns) -> Option<&'a Candidate> {
        let weighs = self.weighs;
        let heads = self.queues.iter().filter_map(|(name, waiting)| {
            let (key, head) = waiting.head(name, turns)?;
            let turn = if weighs { turns.of_queue(name) } else { 0 };
            Some(((turn, rank(head)), *name, key.clone()))
        });
        let (_, name, key) = heads.min_by_key(|(order, ..)| *order)?;
        let keys = &mut self.queues.get_mut(name)?.keys;
        let line = keys.get_mut(&key)?;
        let next = line.pop_front();
        if line.is_empty() {
            keys.remove(&key);
        }
        next
    }

    /// `candidate` was given out.
    fn serve(&self, candidate: &Candidate, turns: &mut Turns) {
        let Some(waiting) = self.queues.get(&candidate.queue) else { return };
        if self.weighs {
            turns.serve_queue(&candidate.queue, waiting.weight);
        }
        if waiting.fair {
            turns.serve_key(&candidate.queue, &waiting.key(candidate));
        }
    }
}

impl<'a> Waiting<'a> {
    /// Whose turn a task takes.
    fn key(&self, candidate: &Candidate) -> Option<Label> {
        candidate.needs.keys().first().filter(|_| self.fair).cloned()
    }

    fn head(&self, queue: &QueueName, turns: &Turns) -> Option<(&Option<Label>, &'a Candidate)> {
        let heads = self.keys.iter().filter_map(|(key, line)| Some((key, *line.front()?)));
        heads.min_by_key(|(key, head)| {
            let turn = if self.fair { turns.of_key(queue, key) } else { 0 };
            (Reverse(head.priority), turn, head.task)
        })
    }
}
