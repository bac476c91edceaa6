//! Conflicts and locks say the same of every two tasks.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::{
    plan::{Estimate, Graph, Merge, Needs, Owner},
    workspace::Resolver,
};

fn task(id: usize, files: &[(&str, bool)], apart: bool) -> PlanTask {
    let file =
        |(glob, write): &(&str, bool)| FileUse { glob: glob.parse().unwrap(), write: *write };
    PlanTask {
        id: format!("t{id}").parse().unwrap(),
        title: String::new(),
        needs: Needs::Anyone,
        estimate: Estimate::Fixed(Duration::from_secs(1)),
        depends_on: Vec::new(),
        files: files.iter().map(file).collect(),
        priority: 0,
        input: serde_json::Value::Null,
        condition: None,
        approval: false,
        stale_after: None,
        phase: None,
        owner: Owner::Agent,
        split_of: Vec::new(),
        branch: apart.then(|| format!("feature/{id}")),
        merge: Merge::Merge,
        git: None,
        base: None,
        on_conflict: Resolver::Agent,
    }
}

fn found(tasks: &[PlanTask]) -> Vec<Conflict> {
    let refs: Vec<&PlanTask> = tasks.iter().collect();
    conflicts(&refs, &Graph::of(tasks).reach())
}

#[test]
fn a_writer_meets_writers_and_readers_but_readers_meet_nobody() {
    let tasks = [
        task(0, &[("client/**", true)], false),
        task(1, &[("client/a.py", true)], false),
        task(2, &[("client/a.py", false)], false),
        task(3, &[("docs/**", false)], false),
    ];
    let pairs: Vec<_> = found(&tasks).iter().map(|it| (it.first, it.second, it.apart)).collect();
    assert_eq!(pairs, [(0, 1, false), (0, 2, false), (1, 2, false)]);
}

#[test]
fn a_dependency_leaves_no_conflict() {
    let mut tasks = [task(0, &[("a", true)], false), task(1, &[("a", true)], false)];
    assert_eq!(found(&tasks).len(), 1);
    tasks[1].depends_on = vec![tasks[0].id.clone()];
    assert_eq!(found(&tasks), []);
}

#[test]
fn two_workspaces_are_merged_and_one_is_not_enough() {
    let both = [task(0, &[("a", true)], true), task(1, &[("a", true)], true)];
    assert!(found(&both)[0].apart);
    let one = [task(0, &[("a", true)], true), task(1, &[("a", true)], false)];
    assert!(!found(&one)[0].apart);
}

#[test]
fn a_pattern_meets_the_paths_that_begin_as_it_does_and_no_others() {
    let globs =
        ["a/b/**", "a/bc/d", "a/b", "a/b/c", "a/a", "b", "{a/b,b}", "**/c", "a/*/c", "./a//b"];
    let tasks: Vec<_> =
        globs.iter().enumerate().map(|(at, glob)| task(at, &[(glob, true)], false)).collect();
    let pairs: Vec<_> = found(&tasks).iter().map(|it| (it.first, it.second)).collect();
    let overlap =
        |one: usize, other: usize| tasks[one].files[0].glob.overlaps(&tasks[other].files[0].glob);
    let expected: Vec<_> = (0..globs.len())
        .flat_map(|one| (one + 1..globs.len()).map(move |other| (one, other)))
        .filter(|(one, other)| overlap(*one, *other))
        .collect();
    assert!(expected.contains(&(0, 3)) && expected.contains(&(2, 9)));
    assert_eq!(pairs, expected);
}

fn tasks() -> impl Strategy<Value = Vec<PlanTask>> {
    let glob = prop_oneof![
        Just("a"),
        Just("b"),
        Just("c/d"),
        Just("*"),
        Just("c/**"),
        Just("{a,b}"),
        Just("c/d/*")
    ];
    let files = proptest::collection::vec((glob, any::<bool>()), 0..3);
    proptest::collection::vec((files, any::<bool>()), 0..7).prop_map(|all| {
        all.iter().enumerate().map(|(at, (files, apart))| task(at, files, *apart)).collect()
    })
}

proptest! {
    #[test]
    fn locks_forbid_exactly_what_conflicts_say(tasks in tasks()) {
        let refs: Vec<&PlanTask> = tasks.iter().collect();
        let locks = locks(&refs, false);
        let conflicts = found(&tasks);
        for one in 0..tasks.len() {
            for other in one + 1..tasks.len() {
                let locked = locks.iter().any(|lock| {
                    let holds = |task| lock.alone.contains(&task) || lock.shared.contains(&task);
                    let alone = |task| lock.alone.contains(&task);
                    holds(one) && holds(other) && (alone(one) || alone(other))
                });
                let conflict = conflicts.iter().any(|it| (it.first, it.second) == (one, other) && !it.apart);
                prop_assert_eq!(locked, conflict, "{} {}", one, other);
            }
        }
    }
}
