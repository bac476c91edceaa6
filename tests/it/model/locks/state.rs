//! What there is at one moment, and what can happen next.

use hostler::domain::task::{TaskEvent, TaskState, step};

use super::look::{Names, Set, TASKS, bit};

pub(super) const HOSTS: usize = 3;
/// After so many ticks what a task needs that is passed over is kept for it.
const PATIENCE: u8 = 2;
/// For so many ticks it counts that a task was passed over, if nobody says it again.
pub(super) const REMEMBER: u8 = 1;

/// Since how many ticks a task is passed over, and how many are left before that is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Wait {
    pub(super) since: u8,
    pub(super) left: u8,
}

impl Wait {
    pub(super) const NEW: Self = Self { since: 0, left: REMEMBER };

    pub(super) fn is_kept(self) -> bool {
        self.since >= PATIENCE && self.left > 0
    }

    pub(super) fn tick(&mut self) {
        self.since = (self.since + 1).min(PATIENCE);
        self.left = self.left.saturating_sub(1);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Task {
    /// None before it was submitted.
    pub(super) state: Option<TaskState>,
    pub(super) replaced: bool,
    pub(super) attempt: u8,
    /// The host that runs it.
    pub(super) holder: Option<usize>,
    /// What the triggers wrote down that it holds.
    pub(super) holds: Names,
    /// Its row of `task_waits`.
    pub(super) wait: Option<Wait>,
    /// The same, as it should be.
    pub(super) passed: Option<Wait>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum Mood {
    #[default]
    Well,
    Frozen,
    /// Frozen, and so long that its keeper has ended its agents.
    Late,
    Dead,
}

/// How far a claim is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum Claim {
    #[default]
    None,
    /// It waits for its turn.
    Waits,
    /// It waits, and has chosen already.
    Hasty(Set, Set, Set),
    Begun,
    /// It has read what waits, and which of those are replaced.
    Read(Set, Set),
    /// It has chosen: what begins, what is passed over, and which of them are replaced.
    Chosen(Set, Set, Set),
    /// A claim of tasks that need nothing, which takes no turn: it sees these.
    Plain(Set),
    /// It is committed, and the host does not know yet: the attempts.
    Answered([u8; TASKS]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Host {
    pub(super) mood: Mood,
    /// It was taken over: it has no row, and so no lease.
    pub(super) is_lost: bool,
    pub(super) claim: Claim,
    /// The attempts that its agents are at.
    pub(super) busy: [u8; TASKS],
    /// An end that is on its way: task and attempt.
    pub(super) end: Option<(usize, u8)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) tasks: [Task; TASKS],
    pub(super) hosts: [Host; HOSTS],
    pub(super) faults: u8,
    /// A choice gave away what is kept.
    pub(super) unfair: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Tick,
    Come(usize),
    Replace(usize),
    Claim(usize),
    ClaimPlain(usize),
    BeginPlain(usize),
    Turn(usize),
    ReadTasks(usize),
    Choose(usize),
    Begin(usize),
    Hear(usize),
    /// An agent is done, and its host sends that.
    End(usize, usize),
    Settle(usize),
    Freeze(usize),
    Thaw(usize),
    Crash(usize),
    ServerEnds(usize),
    KeeperEnds(usize),
    TakeOver(usize),
}

impl State {
    pub(super) fn with(&self, is: impl Fn(&Task) -> bool) -> Set {
        (0..TASKS).filter(|at| is(&self.tasks[*at])).fold(0, |set, at| set | bit(at))
    }

    pub(super) fn pending(&self) -> Set {
        self.with(|task| task.state == Some(TaskState::Pending))
    }

    pub(super) fn replaced(&self) -> Set {
        self.with(|task| task.replaced)
    }

    pub(super) fn kept(&self) -> Set {
        self.with(|task| task.wait.is_some_and(Wait::is_kept))
    }

    pub(super) fn has_turn(&self, host: usize) -> bool {
        matches!(self.hosts[host].claim, Claim::Begun | Claim::Read(..) | Claim::Chosen(..))
    }

    /// The attempt of `task` ends, and what a trigger does then.
    pub(super) fn step(&mut self, task: usize, event: TaskEvent) {
        let task = &mut self.tasks[task];
        let before = task.state.expect("it came");
        task.state = Some(step(before, event).expect("only legal steps"));
        task.holder = None;
    }
}
