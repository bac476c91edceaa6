//! What a claim sees, what the real core chooses by it and says of it, and the rules said once more
//! in a few lines.
//!
//! What a task needs is a set of bits: three names, each alone or shared.

use std::collections::BTreeSet;

use hostler::domain::{
    AgentName, FleetName, HostId, QueueName, TaskId,
    admission::{
        Ask, Candidate, Choice, Held, NeedKind, Needs, Situation, Turns, Usage, Waiter, choose,
    },
};
use jiff::Timestamp;
use uuid::Uuid;

pub(super) const TASKS: usize = 4;
/// One bit per task.
pub(super) type Set = u8;
/// One bit per name that is needed alone, and one per name that is shared.
pub(super) type Names = u8;

const NAMES: [&str; 2] = ["a", "b"];
pub(super) const A: Names = 1;
pub(super) const B: Names = 1 << 1;
const ALONE: Names = A | B;

/// The same names, shared.
pub(super) const fn shared(names: Names) -> Names {
    names << NAMES.len()
}

/// Whether two that hold this can't run at once: one has a name alone that the other has too.
pub(super) const fn collide(one: Names, other: Names) -> bool {
    one & ALONE & names(other) != 0 || other & ALONE & names(one) != 0
}

const fn names(of: Names) -> Names {
    (of | of >> NAMES.len()) & ALONE
}

pub(super) const fn bit(task: usize) -> Set {
    1 << task
}

pub(super) fn of(set: Set) -> impl Iterator<Item = usize> {
    (0..TASKS).filter(move |task| set & bit(*task) != 0)
}

/// A kind of task: what it needs, what it needs once it is replaced, and its priority. Those with
/// smaller numbers are older.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub(super) needs: Names,
    pub(super) then: Names,
    pub(super) priority: i16,
}

/// What a claim reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Look {
    /// The tasks that wait.
    pub(super) pending: Set,
    /// What each task needs.
    pub(super) needs: [Names; TASKS],
    /// What is held.
    pub(super) held: [Names; TASKS],
    /// For whom something is kept, and what.
    pub(super) kept: Set,
    pub(super) kept_needs: [Names; TASKS],
    /// Whether those have more than their priority.
    pub(super) kept_from_all: bool,
}

/// Whether task `one` comes before `other`.
pub(super) fn precedes(kinds: &[Kind], one: usize, other: usize) -> bool {
    let of = |task: usize| (-kinds[task].priority, task);
    of(one) < of(other)
}

impl Look {
    /// What the core chooses for so many agents: the tasks that begin, and those passed over.
    pub(super) fn choose(&self, kinds: &[Kind], agents: u8) -> (Set, Set) {
        let candidates: Vec<_> = of(self.pending)
            .map(|at| Candidate {
                task: task(at),
                queue: queue(),
                priority: kinds[at].priority,
                needs: needs(self.needs[at]),
            })
            .collect();
        let fleet: FleetName = "f".parse().expect("a name");
        let agents: Vec<_> = (1..=agents).map(|n| AgentName::of(&fleet, n.into())).collect();
        let ask = Ask {
            fleet: &fleet,
            queues: &[queue()],
            host: HostId::from_uuid(Uuid::nil()),
            agents: &agents,
            candidates: &candidates,
        };
        let situation = self.situation(kinds);
        let Choice { take, passed, .. } = choose(&situation, &ask, &mut Turns::default());
        let take: Vec<TaskId> = take.into_iter().map(|(task, _)| task).collect();
        (set(&take), set(&passed))
    }

    fn situation(&self, kinds: &[Kind]) -> Situation {
        let held = (0..TASKS).filter(|at| self.held[*at] != 0);
        let held = held.map(|at| Held {
            task: task(at),
            queue: queue(),
            agent: None,
            needs: needs(self.held[at]),
            since: Timestamp::UNIX_EPOCH,
        });
        let waiters = of(self.kept).map(|at| Waiter {
            task: task(at),
            queue: queue(),
            priority: if self.kept_from_all { i16::MAX } else { kinds[at].priority },
            needs: needs(self.kept_needs[at]),
            since: Timestamp::UNIX_EPOCH,
        });
        Situation { held: held.collect(), waiters: waiters.collect(), ..Situation::default() }
    }

    /// What is wrong with what tasks are told and given here.
    pub(super) fn judge(&self, kinds: &[Kind]) -> Option<&'static str> {
        let all = u8::try_from(TASKS).expect("few tasks");
        let (take, _) = self.choose(kinds, all);
        if take == 0 && self.pending != 0 && self.held.iter().all(|held| *held == 0) {
            return Some(NOTHING);
        }
        if self.kept_from_all {
            // What the variant tells is as wrong as what it does.
            return None;
        }
        let situation = self.situation(kinds);
        let usage = Usage::new(&situation);
        let wrongly = |at: usize| {
            let needed = needs(self.needs[at]);
            let told = usage.blockers(task(at), &queue(), kinds[at].priority, &needed);
            let told: BTreeSet<_> = told.into_iter().filter_map(|blocker| blocker.holder).collect();
            let in_the_way = |other: &usize| {
                let holds = collide(self.held[*other], self.needs[at]);
                let kept = self.kept & bit(*other) != 0
                    && collide(self.kept_needs[*other], self.needs[at])
                    && precedes(kinds, *other, at);
                *other != at && (holds || kept)
            };
            let true_ones: BTreeSet<_> = (0..TASKS).filter(in_the_way).map(task).collect();
            // What is taken by one before it in the same choice is in nobody's way yet.
            let in_line = |other: usize| collide(self.needs[other], self.needs[at]);
            let given = take & bit(at) != 0;
            told != true_ones
                || given && !told.is_empty()
                || !given && told.is_empty() && !of(take).any(in_line)
        };
        of(self.pending).any(wrongly).then_some(LIE)
    }
}

pub(super) const NOTHING: &str = "tasks wait, nothing is held, and none can begin";
pub(super) const LIE: &str = "a task that waits is told what is not so";

fn queue() -> QueueName {
    "q".parse().expect("a name")
}

fn task(at: usize) -> TaskId {
    TaskId::from_uuid(Uuid::from_u128(u128::try_from(at).expect("few tasks")))
}

fn set(tasks: &[TaskId]) -> Set {
    let at = |task: &TaskId| usize::try_from(task.as_uuid().as_u128()).expect("few tasks");
    tasks.iter().map(at).fold(0, |set, at| set | bit(at))
}

fn needs(names: Names) -> Needs {
    let rows = NAMES.iter().enumerate().flat_map(|(at, name)| {
        let alone = (names & 1 << at != 0).then_some((NeedKind::Exclusive, *name));
        let with = (names & shared(1 << at) != 0).then_some((NeedKind::Shared, *name));
        alone.into_iter().chain(with)
    });
    Needs::from_rows(rows).expect("names of locks")
}
