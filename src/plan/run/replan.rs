//! How what is left of a run goes on: when it ends, and in which order.

use std::{cmp::Reverse, time::Duration};

use super::super::{
    analyze::model::{KnownLocks, Model, Scope, Team},
    solve,
};
use crate::domain::{
    Millis,
    plan::{Estimate, Plan},
};

/// The highest priority of a task of a run; the lowest is as far below zero, so that plans and other
/// tasks share agents. Of a large run both are further off, so that each task has its own.
const HIGHEST: i64 = 500;

/// The highest priority that there is.
const MOST: i64 = 32_000;

/// How a task of a run stands. Times are those of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// It has not begun.
    Waiting,
    /// An agent is at it.
    Running {
        /// For so long.
        since: Millis,
    },
    /// It has ended, or is not to be done.
    Ended,
}

/// What is left of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Left {
    /// How long it takes, at the least as it seems now.
    pub time: Millis,
    /// The tasks that wait, in a better order than the one they have; nothing if there is none.
    pub order: Option<Vec<usize>>,
}

/// Priorities for `count` tasks, the first of which is to go first.
pub fn priorities(count: usize) -> Vec<i16> {
    let last = i64::try_from(count.saturating_sub(1)).unwrap_or(i64::MAX).max(1);
    let highest = HIGHEST.max(last / 2 + 1).min(MOST);
    let of = |rank: usize| {
        let rank = i64::try_from(rank).unwrap_or(last);
        i16::try_from(highest - 2 * highest * rank / last).unwrap_or(0)
    };
    (0..count).map(of).collect()
}

/// Looks at what is left of `plan`, which has no splits, for so many agents: `stands` says of each
/// task how it stands, `priority` in which order they go now.
///
/// What runs is taken to take what is left of its estimate, or nothing more. The order is changed only
/// if that makes what is left shorter.
pub fn replan(plan: &Plan, agents: u32, stands: &[Stand], priority: &[i16]) -> Left {
    let places: Vec<usize> =
        (0..plan.tasks.len()).filter(|place| stands[*place] != Stand::Ended).collect();
    if places.is_empty() {
        return Left::default();
    }
    let mut rest = plan.clone();
    for place in &places {
        if let Stand::Running { since } = stands[*place] {
            let task = &mut rest.tasks[*place];
            let left = task.estimate.expected().saturating_sub(since);
            task.estimate = Estimate::Fixed(Duration::from_millis(left));
        }
    }
    let team = Team::of(&rest, agents);
    let known = KnownLocks::default();
    let scope = Scope { plan: &rest, places: &places, team: &team, as_one: true, known: &known };
    let model = Model::of(scope);
    let problem = &model.problem;
    let runs = |at: usize| matches!(stands[places[at]], Stand::Running { .. });
    // What runs holds what it has from the beginning.
    let with_running_first = |mut list: Vec<usize>| {
        list.sort_by_key(|at| !runs(*at));
        list
    };
    let mut present: Vec<usize> = (0..places.len()).collect();
    present.sort_by_key(|at| Reverse(priority[places[*at]]));
    let present = with_running_first(present);
    let now = solve::hand_out(problem, &present);
    let mut best = (now.0, None);
    for list in solve::lists(problem).into_iter().map(with_running_first) {
        let (time, start, _) = solve::hand_out(problem, &list);
        if time < best.0 {
            best = (time, Some((list, start)));
        }
    }
    let order = best.1.map(|(list, start)| {
        let mut rank = vec![0; list.len()];
        list.iter().enumerate().for_each(|(place, at)| rank[*at] = place);
        let mut waiting: Vec<usize> = (0..places.len()).filter(|at| !runs(*at)).collect();
        waiting.sort_by_key(|at| (start[*at], rank[*at]));
        waiting.into_iter().map(|at| places[at]).collect()
    });
    Left { time: best.0 * model.unit, order }
}
