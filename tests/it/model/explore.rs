//! Looks at every state that a model can reach, the nearest ones first.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt::Debug,
    hash::{Hash, Hasher},
};

/// What can happen, and what must not.
pub(super) trait Model {
    /// Everything there is at one moment.
    type State: Clone + Eq + Hash + Debug;
    /// Something that happens at once.
    type Action: Clone + Debug;

    fn start(&self) -> Self::State;

    /// All that can happen next, and what it leads to.
    fn steps(&self, state: &Self::State) -> Vec<(Self::Action, Self::State)>;

    /// What is wrong with a state.
    fn wrong(&self, state: &Self::State) -> Option<&'static str>;

    /// Whether this is a fault, which need not happen.
    fn is_fault(&self, state: &Self::State, action: &Self::Action) -> bool;

    /// What must always stay within reach.
    fn is_goal(&self, state: &Self::State) -> bool;
}

/// What each of `actions` leads to from `state`.
pub(super) fn each<S: Copy, A: Copy>(
    state: &S,
    actions: Vec<A>,
    carry_out: impl Fn(&mut S, A),
) -> Vec<(A, S)> {
    let after = |action| {
        let mut next = *state;
        carry_out(&mut next, action);
        (action, next)
    };
    actions.into_iter().map(after).collect()
}

/// A story that ends badly.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) wrong: &'static str,
    pub(super) actions: Vec<String>,
    pub(super) last: String,
}

/// What is wrong where the goal is out of reach.
pub(super) const STUCK: &str = "the goal can't be reached any more without a fault";

/// Returns how many states there are, or the shortest story that ends badly.
pub(super) fn explore<M: Model>(model: &M) -> Result<usize, Story> {
    let start = model.start();
    let mut known = HashMap::from([(mark(&start), 0_usize)]);
    let mut states = vec![start];
    // How each state was reached first, and from where it can be reached without a fault.
    let mut came_by: Vec<Option<(usize, M::Action)>> = vec![None];
    let mut before: Vec<Vec<usize>> = vec![Vec::new()];
    let mut at = 0;
    while at < states.len() {
        let state = states[at].clone();
        if let Some(wrong) = model.wrong(&state) {
            return Err(story::<M>(wrong, &states, &came_by, at));
        }
        for (action, next) in model.steps(&state) {
            let fault = model.is_fault(&state, &action);
            let to = match known.entry(mark(&next)) {
                Entry::Occupied(found) => *found.get(),
                Entry::Vacant(new) => {
                    states.push(next);
                    came_by.push(Some((at, action)));
                    before.push(Vec::new());
                    *new.insert(states.len() - 1)
                }
            };
            if !fault && to != at {
                before[to].push(at);
            }
        }
        at += 1;
    }
    match first_stuck(model, &states, &before) {
        Some(at) => Err(story::<M>(STUCK, &states, &came_by, at)),
        None => Ok(states.len()),
    }
}

/// A state in eight bytes. That two of a few million have the same is less likely than that the
/// machine fails meanwhile.
fn mark(state: &impl Hash) -> u64 {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    state.hash(&mut hasher);
    // Its low bits are worth less than its high ones.
    hasher.0 ^ hasher.0 >> 29
}

/// A quick hash (FNV-1a) over bytes.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// The nearest state from which no goal can be reached.
fn first_stuck<M: Model>(model: &M, states: &[M::State], before: &[Vec<usize>]) -> Option<usize> {
    let mut reaches: Vec<bool> = states.iter().map(|state| model.is_goal(state)).collect();
    let mut open: Vec<usize> = (0..states.len()).filter(|at| reaches[*at]).collect();
    while let Some(at) = open.pop() {
        for from in &before[at] {
            if !std::mem::replace(&mut reaches[*from], true) {
                open.push(*from);
            }
        }
    }
    reaches.iter().position(|reaches| !reaches)
}

fn story<M: Model>(
    wrong: &'static str,
    states: &[M::State],
    came_by: &[Option<(usize, M::Action)>],
    mut at: usize,
) -> Story {
    let last = format!("{:?}", states[at]);
    let mut actions = Vec::new();
    while let Some((from, action)) = &came_by[at] {
        actions.push(format!("{action:?}").replace('"', ""));
        at = *from;
    }
    actions.reverse();
    Story { wrong, actions, last }
}

/// A counter that anybody may add 1 to, or take 2 from by a fault.
mod tests {
    use super::*;

    struct Counter {
        goal: i8,
        wrong: Option<i8>,
    }

    impl Model for Counter {
        type State = i8;
        type Action = &'static str;

        fn start(&self) -> i8 {
            0
        }

        fn steps(&self, state: &i8) -> Vec<(&'static str, i8)> {
            let mut steps = vec![("add", state + 1), ("fall", state - 2)];
            steps.retain(|(_, next)| (-4..=5).contains(next));
            steps
        }

        fn wrong(&self, state: &i8) -> Option<&'static str> {
            (Some(*state) == self.wrong).then_some("minus three")
        }

        fn is_fault(&self, _: &i8, action: &&'static str) -> bool {
            *action == "fall"
        }

        fn is_goal(&self, state: &i8) -> bool {
            *state == self.goal
        }
    }

    #[test]
    fn the_shortest_bad_story_is_told() {
        let story = explore(&Counter { goal: 5, wrong: Some(-3) }).unwrap_err();
        assert_eq!((story.wrong, &*story.last), ("minus three", "-3"));
        assert_eq!(story.actions, ["add", "fall", "fall"]);
    }

    #[test]
    fn the_goal_must_stay_within_reach_without_a_fault() {
        assert_eq!(explore(&Counter { goal: 5, wrong: None }).unwrap(), 10);
        let story = explore(&Counter { goal: 2, wrong: None }).unwrap_err();
        assert_eq!((story.wrong, &*story.last), (STUCK, "3"), "past it only a fault leads back");
    }
}
