//! The table of policies, and a model of a graph's life against what it is to be.

use std::collections::BTreeMap;

use proptest::prelude::*;
use uuid::Uuid;

use super::{DependencyPolicy as P, TaskState as S, Weight as W, *};

/// What each policy makes of an end. A reviewer should be able to check this by eye.
const ENDS: &[(S, P, W)] = &[
    (S::Completed, P::Cancel, W::Done),
    (S::Completed, P::Run, W::Done),
    (S::Completed, P::Hold, W::Done),
    (S::Failed, P::Cancel, W::Cancels),
    (S::Failed, P::Run, W::Done),
    (S::Failed, P::Hold, W::Holds),
    (S::Cancelled, P::Cancel, W::Cancels),
    (S::Cancelled, P::Run, W::Done),
    (S::Cancelled, P::Hold, W::Holds),
];

#[test]
fn policies_do_what_the_table_says_and_nothing_else_ends_a_wait() {
    for state in S::ALL {
        for policy in P::ALL {
            let listed = ENDS.iter().find(|row| (row.0, row.1) == (state, policy));
            let expected = listed.map_or(W::Open, |row| row.2);
            assert_eq!(weigh(policy, state), expected, "{state} for {policy}");
        }
    }
}

#[test]
fn policy_words_parse_back() {
    for policy in P::ALL {
        assert_eq!(policy.as_str().parse(), Ok(policy));
    }
    assert!("stop".parse::<P>().unwrap_err().to_string().contains("`hold`"));
}

#[test]
fn a_reason_names_the_task_and_what_to_do() {
    let task = |number| TaskId::from_uuid(Uuid::from_u128(number));
    let standing = Standing::default();
    let waits = Standing { waits_for: 2, ..standing.clone() };
    let held = Standing { held_by: Some(task(1)), ..waits.clone() };
    let stopped = Standing { stopped_by: Some(task(1)), cause: Some(task(1)), ..standing.clone() };
    let further = Standing { stopped_by: Some(task(2)), ..stopped.clone() };
    let rows = [
        (S::Blocked, &waits, vec!["waits for 2 tasks".to_owned()]),
        (S::Blocked, &held, vec![task(1).to_string(), "release".to_owned()]),
        (S::Cancelled, &stopped, vec![task(1).to_string()]),
        (S::Cancelled, &further, vec![task(1).to_string(), format!("through {}", task(2))]),
    ];
    for (state, standing, parts) in rows {
        let said = reason(state, standing).unwrap();
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    }
    assert_eq!(reason(S::Cancelled, &standing), None);
    assert_eq!(reason(S::Running, &held), None);
}

/// A task of the model: what it waits for, and its state.
#[derive(Debug)]
struct Modelled {
    before: Vec<usize>,
    policy: P,
    state: S,
    open: usize,
}

/// A graph whose tasks count down what they wait for, event by event, as the database does it.
#[derive(Debug)]
struct Model(BTreeMap<usize, Modelled>);

impl Model {
    fn new(tasks: Vec<(Vec<usize>, P)>) -> Self {
        let made = tasks.into_iter().enumerate().map(|(at, (before, policy))| {
            let open = before.len();
            let state = if open == 0 { S::Pending } else { S::Blocked };
            (at, Modelled { before, policy, state, open })
        });
        Self(made.collect())
    }

    fn counted(&self, at: usize) -> usize {
        let task = &self.0[&at];
        let open = |one: &&usize| weigh(task.policy, self.0[*one].state) != W::Done;
        task.before.iter().filter(open).count()
    }

    fn end(&mut self, at: usize, state: S) {
        self.0.get_mut(&at).unwrap().state = state;
        let waiting: Vec<usize> = self.waiting_for(at);
        for later in waiting {
            let task = self.0.get_mut(&later).unwrap();
            if task.state != S::Blocked {
                // It went with another one.
                continue;
            }
            match weigh(task.policy, state) {
                W::Done => {
                    task.open -= 1;
                    if task.open == 0 {
                        task.state = S::Pending;
                    }
                }
                W::Cancels => self.end(later, S::Cancelled),
                W::Holds | W::Open => {}
            }
        }
    }

    fn retry(&mut self, at: usize) {
        let open = self.counted(at);
        let task = self.0.get_mut(&at).unwrap();
        task.open = open;
        task.state = if open > 0 { S::Blocked } else { S::Pending };
        for later in self.waiting_for(at) {
            let open = self.counted(later);
            self.0.get_mut(&later).unwrap().open = open;
        }
    }

    fn waiting_for(&self, at: usize) -> Vec<usize> {
        let waits = |task: &Modelled| task.state == S::Blocked && task.before.contains(&at);
        self.0.iter().filter(|(_, task)| waits(task)).map(|(later, _)| *later).collect()
    }
}

fn graphs() -> impl Strategy<Value = Vec<(Vec<usize>, P)>> {
    let policy = prop::sample::select(P::ALL.to_vec());
    prop::collection::vec((prop::collection::btree_set(0usize..12, 0..4), policy), 1..12).prop_map(
        |tasks| {
            let earlier = |at: usize, before: std::collections::BTreeSet<usize>| {
                before.into_iter().filter(|one| *one < at).collect()
            };
            tasks
                .into_iter()
                .enumerate()
                .map(|(at, (b, policy))| (earlier(at, b), policy))
                .collect()
        },
    )
}

proptest! {
    /// Whatever ends, is cancelled and is tried again in whatever order: a blocked task waits for
    /// exactly what is not done, and one that waits for nothing is not blocked.
    #[test]
    fn counters_are_what_is_open(
        tasks in graphs(), events in prop::collection::vec((0usize..12, 0u8..4), 0..60)
    ) {
        let mut model = Model::new(tasks);
        for (at, event) in events {
            let Some(state) = model.0.get(&at).map(|task| task.state) else { continue };
            match (state, event) {
                (S::Pending, 0) => model.end(at, S::Completed),
                (S::Pending, 1) => model.end(at, S::Failed),
                (S::Pending | S::Blocked, 2) => model.end(at, S::Cancelled),
                (S::Failed | S::Cancelled, 3) => model.retry(at),
                _ => {}
            }
            for (at, task) in &model.0 {
                if task.state == S::Blocked {
                    prop_assert_eq!(task.open, model.counted(*at));
                    prop_assert!(task.open > 0);
                }
            }
        }
    }

    /// Once nothing can run any more, what is blocked is held up by an end that somebody can mend.
    #[test]
    fn nothing_is_left_waiting_for_nothing(tasks in graphs(), ends in prop::collection::vec(0u8..3, 12)) {
        let mut model = Model::new(tasks);
        while let Some(at) = model.0.iter().find(|(_, task)| task.state == S::Pending).map(|(at, _)| *at) {
            let state = [S::Completed, S::Failed, S::Cancelled][usize::from(ends[at])];
            model.end(at, state);
        }
        for task in model.0.values().filter(|task| task.state == S::Blocked) {
            let ended_badly = |one: &usize| matches!(model.0[one].state, S::Failed | S::Cancelled);
            let blocked = |one: &usize| model.0[one].state == S::Blocked;
            prop_assert!(task.before.iter().any(|one| ended_badly(one) || blocked(one)));
        }
        // The first blocked one waits for no blocked one: ids only point back.
        if let Some(first) = model.0.values().find(|task| task.state == S::Blocked) {
            prop_assert!(first.policy == P::Hold);
        }
    }
}
