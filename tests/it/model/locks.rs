//! What tasks need for themselves: how it is taken, kept and freed (decision 24, `store::admission`).
//!
//! Two or three hosts claim. A claim is the transaction that it really is: it waits for its turn
//! (the advisory lock), reads what waits, reads what is held and for whom something is kept, lets
//! `domain::admission::choose` choose, and begins what was chosen, in steps between which everything
//! else can happen: other claims, ends of attempts that come late, hosts that freeze or die, and are
//! taken over; tasks that come, or are replaced by a submit with the same key. That the agents of a lost
//! host are gone before it is taken over is shown by `model::hosts` and taken from there.

mod look;
mod protocol;
mod state;

use std::{cell::RefCell, collections::HashMap};

use hostler::domain::task::TaskState;

use self::{
    look::{A, B, Kind, Look, NOTHING, Names, Set, TASKS, bit, collide, of, shared},
    state::{Action, Host, Mood, State, Task},
};
use super::explore::{Model, STUCK, each, explore};

/// A rule that a variant does without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Without {
    Nothing,
    /// One claim at a time chooses.
    Turns,
    /// The same, and the index that refuses what is held alone already. (The index alone is a second
    /// lock on the same door.)
    TurnsAndIndex,
    /// What is read is read when it is this claim's turn, and not before.
    Looking,
    /// The server ends a transaction that rests.
    Silence,
    /// What begins needs what was looked at: it was not replaced meanwhile.
    SameNeeds,
    /// What a plain claim begins still needs nothing.
    NoNeeds,
    /// A task that can't have all takes nothing.
    AllOrNone,
    /// Whatever ends an attempt frees what it held.
    Freeing,
    /// An end counts only for the newest attempt, and from the host that holds it.
    Fencing,
    /// Nothing is begun by a host that has no lease. (`hosts/take_over` also puts back what unknown
    /// hosts hold, which the model leaves out.)
    Lease,
    /// A host is taken over when its agents are gone.
    Keeper,
    /// What a task needs that waits too long is kept for it.
    Keeping,
    /// A task waits from when it was passed over first.
    SinceTheFirstTime,
    /// A task that is passed over again goes on waiting.
    Renewing,
    /// What is kept is not kept from those that come before.
    Order,
}

/// The protocol, and how far the story goes.
#[derive(Debug, Clone, Copy)]
struct Story {
    kinds: &'static [Kind],
    hosts: usize,
    /// The agents of each host.
    agents: u8,
    /// Hosts may freeze or die so often.
    faults: u8,
    /// Whether time passes, as far as those that wait see it.
    ticks: bool,
    /// The tasks that are there at the beginning.
    there: Set,
}

struct Locks {
    without: Without,
    story: Story,
    /// What the core said before: it says the same of the same.
    chosen: RefCell<HashMap<(Look, u8), (Set, Set)>>,
    judged: RefCell<HashMap<Look, Option<&'static str>>>,
}

impl Locks {
    fn new(without: Without, story: Story) -> Self {
        Self { without, story, chosen: RefCell::default(), judged: RefCell::default() }
    }

    fn needs(&self, replaced: Set) -> [Names; TASKS] {
        let mut needs = [0; TASKS];
        for (at, kind) in self.story.kinds.iter().enumerate() {
            needs[at] = if replaced & bit(at) == 0 { kind.needs } else { kind.then };
        }
        needs
    }

    /// What a claim sees that read what waits before.
    fn look(&self, state: &State, pending: Set, replaced: Set) -> Look {
        Look {
            pending,
            needs: self.needs(replaced),
            held: state.tasks.map(|task| task.holds),
            kept: if self.without == Without::Keeping { 0 } else { state.kept() },
            kept_needs: self.needs(state.replaced()),
            kept_from_all: self.without == Without::Order,
        }
    }

    fn choose(&self, look: Look, agents: u8) -> (Set, Set) {
        let mut known = self.chosen.borrow_mut();
        *known.entry((look, agents)).or_insert_with(|| look.choose(self.story.kinds, agents))
    }

    fn judge(&self, state: &State) -> Option<&'static str> {
        let look = self.look(state, state.pending(), state.replaced());
        let mut known = self.judged.borrow_mut();
        *known.entry(look).or_insert_with(|| look.judge(self.story.kinds))
    }

    /// What agents are at, on all hosts: the names that each uses.
    fn at_work(&self, state: &State) -> Vec<Names> {
        let needs = self.needs(state.replaced());
        let of_host = |host: &Host| {
            let busy: Vec<_> = (0..TASKS).filter(|at| host.busy[*at] != 0).collect();
            busy.into_iter().map(|at| needs[at])
        };
        state.hosts.iter().flat_map(of_host).collect()
    }
}

/// Whether two of these collide.
fn any_two_collide(names: &[Names]) -> bool {
    let later = |at: usize| names[at + 1..].iter();
    (0..names.len()).any(|at| later(at).any(|other| collide(names[at], *other)))
}

impl Model for Locks {
    type State = State;
    type Action = Action;

    fn start(&self) -> State {
        let new = Task {
            state: None,
            replaced: false,
            attempt: 0,
            holder: None,
            holds: 0,
            wait: None,
            passed: None,
        };
        let mut state =
            State { tasks: [new; TASKS], hosts: Default::default(), faults: 0, unfair: false };
        of(self.story.there).for_each(|at| state.tasks[at].state = Some(TaskState::Pending));
        state
    }

    fn steps(&self, state: &State) -> Vec<(Action, State)> {
        each(state, self.possible(state), |next, action| self.carry_out(next, action))
    }

    fn wrong(&self, state: &State) -> Option<&'static str> {
        let needs = self.needs(state.replaced());
        let exactly = |at: usize| {
            let runs = state.tasks[at].state == Some(TaskState::Running);
            state.tasks[at].holds == if runs { needs[at] } else { 0 }
        };
        if !(0..TASKS).all(exactly) {
            return Some(NOT_EXACTLY);
        }
        if any_two_collide(&state.tasks.map(|task| task.holds)) {
            return Some(HELD_TWICE);
        }
        if any_two_collide(&self.at_work(state)) {
            return Some(USED_TWICE);
        }
        if state.unfair {
            return Some(UNFAIR);
        }
        self.judge(state)
    }

    fn is_fault(&self, _: &State, action: &Action) -> bool {
        use Action::{Come, Crash, Freeze, Replace, Thaw};
        matches!(action, Come(_) | Replace(_) | Freeze(_) | Thaw(_) | Crash(_))
    }

    /// All that came has ended, or nobody is well.
    fn is_goal(&self, state: &State) -> bool {
        let ended = |task: &Task| matches!(task.state, None | Some(TaskState::Completed));
        state.tasks.iter().all(ended)
            || state.hosts[..self.story.hosts].iter().all(|host| host.mood != Mood::Well)
    }
}

const NOT_EXACTLY: &str =
    "a task that runs does not hold what it needs, or another holds something";
const HELD_TWICE: &str = "two tasks hold what one of them has alone";
const USED_TWICE: &str = "two agents use what one of them has alone";
const UNFAIR: &str = "what is kept for one that waits too long is given to one behind it";

const fn kind(needs: Names) -> Kind {
    Kind { needs, then: needs, priority: 0 }
}

const fn urgent(needs: Names) -> Kind {
    Kind { priority: 1, ..kind(needs) }
}

/// One needs both names, the others share one; hosts freeze and die.
const FAULTS: Story = Story {
    kinds: &[kind(A | B), kind(shared(A)), kind(shared(A) | B)],
    hosts: 2,
    agents: 2,
    faults: 2,
    ticks: false,
    there: 0b110,
};

/// All need names alone.
const ALONE: Story = Story {
    kinds: &[kind(A | B), kind(A), kind(B), kind(A)],
    hosts: 2,
    agents: 1,
    faults: 0,
    ticks: false,
    there: 0b10,
};

/// Four tasks, one of them urgent, and three hosts.
const CROWD: Story = Story {
    kinds: &[kind(A | B), kind(shared(A)), kind(shared(A) | B), urgent(shared(B))],
    hosts: 3,
    agents: 1,
    faults: 0,
    ticks: false,
    there: 0b10,
};

/// Those that wait grow old.
const PATIENT: Story = Story {
    kinds: &[kind(shared(A) | shared(B)), kind(A | B), kind(shared(A)), urgent(B)],
    hosts: 2,
    agents: 2,
    faults: 0,
    ticks: true,
    there: 0b11,
};

/// The same, and a host freezes or dies.
const LOST: Story =
    Story { kinds: &[kind(shared(A)), kind(A), kind(shared(A))], agents: 1, faults: 1, ..PATIENT };

/// Some are replaced by a submit with the same key: they need something else then, or something at
/// all, or nothing any more.
const REPLACED: Story = Story {
    kinds: &[
        kind(A),
        Kind { then: shared(A) | B, ..kind(B) },
        Kind { then: 0, ..kind(shared(B)) },
        Kind { then: shared(A), ..kind(0) },
    ],
    hosts: 2,
    agents: 1,
    faults: 0,
    ticks: false,
    there: 0b1011,
};

#[test]
fn no_interleaving_of_claims_breaks_a_lock() {
    for story in [FAULTS, ALONE, CROWD, PATIENT, LOST, REPLACED] {
        let locks = Locks::new(Without::Nothing, story);
        let states = explore(&locks).unwrap_or_else(|story| panic!("{story:#?}"));
        println!("{story:?}: {states} states, {} looks", locks.judged.borrow().len());
        assert!(states > 5_000, "{states}");
    }
}

#[test]
fn each_rule_of_the_locks_is_needed() {
    let rows = [
        (Without::Turns, CROWD, HELD_TWICE),
        (Without::TurnsAndIndex, ALONE, HELD_TWICE),
        (Without::Looking, CROWD, HELD_TWICE),
        (Without::Silence, FAULTS, STUCK),
        (Without::SameNeeds, REPLACED, HELD_TWICE),
        (Without::NoNeeds, REPLACED, HELD_TWICE),
        (Without::AllOrNone, FAULTS, NOT_EXACTLY),
        (Without::Freeing, FAULTS, NOT_EXACTLY),
        (Without::Fencing, FAULTS, USED_TWICE),
        (Without::Lease, FAULTS, STUCK),
        (Without::Keeper, FAULTS, USED_TWICE),
        (Without::Keeping, PATIENT, UNFAIR),
        (Without::SinceTheFirstTime, PATIENT, UNFAIR),
        (Without::Renewing, PATIENT, UNFAIR),
        (Without::Order, PATIENT, NOTHING),
    ];
    for (without, story, wrong) in rows {
        let story = explore(&Locks::new(without, story)).err();
        let story = story.unwrap_or_else(|| panic!("nothing is found without {without:?}"));
        println!("{without:?}: {}: {:?}", story.wrong, story.actions);
        assert_eq!(story.wrong, wrong, "{without:?}: {story:#?}");
    }
}

/// The index is a second lock on the door of what is needed alone.
#[test]
fn where_all_is_needed_alone_the_index_does_without_turns() {
    explore(&Locks::new(Without::Turns, ALONE)).unwrap_or_else(|story| panic!("{story:#?}"));
}
