//! From the names in a submit to tasks, and what is wrong with them.

use std::collections::{HashMap, HashSet};

use super::{MAX_DEPENDENCIES, MAX_REFERENCE};
use crate::domain::{TaskId, plan::Graph};

/// What a task of a submit says of its place in the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Its own name.
    pub reference: Option<&'a str>,
    /// The names and ids that it waits for.
    pub depends_on: &'a [String],
}

/// The task that a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// One of the same submit, by its place.
    Here(usize),
    /// One that should be there already.
    There(TaskId),
}

/// Something that is wrong with a submit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The place of the task.
    pub task: usize,
    /// The place among what it waits for; none if its own name is wrong.
    pub dependency: Option<usize>,
    /// What is wrong.
    pub what: String,
}

/// Finds what each task waits for. Takes time in proportion to the size of the graph.
///
/// # Errors
///
/// Every name that is none, is not unique, or stands for nothing; every dependency that is named
/// twice, or is the task itself; and a circle, shown as a loop, if there is one.
pub fn resolve(tasks: &[Wanted<'_>]) -> Result<Vec<Vec<Target>>, Vec<Fault>> {
    let total: usize = tasks.iter().map(|task| task.depends_on.len()).sum();
    if total > MAX_DEPENDENCIES {
        let what =
            format!("{total} dependencies in one submit; at most {MAX_DEPENDENCIES} are taken");
        let task = tasks.iter().position(|task| !task.depends_on.is_empty()).unwrap_or(0);
        return Err(vec![Fault { task, dependency: None, what }]);
    }
    let mut faults = Vec::new();
    let names = names(tasks, &mut faults);
    let mut targets = Vec::with_capacity(tasks.len());
    for (at, task) in tasks.iter().enumerate() {
        targets.push(targets_of(at, task, &names, &mut faults));
    }
    if faults.is_empty() {
        faults.extend(circle(tasks, &targets));
    }
    if faults.is_empty() { Ok(targets) } else { Err(faults) }
}

fn names<'a>(tasks: &[Wanted<'a>], faults: &mut Vec<Fault>) -> HashMap<&'a str, usize> {
    let mut names = HashMap::new();
    for (at, task) in tasks.iter().enumerate() {
        let Some(name) = task.reference else { continue };
        let mut wrong = |what| faults.push(Fault { task: at, dependency: None, what });
        if !is_name(name) {
            wrong(format!(
                "must be 1 to {MAX_REFERENCE} letters, digits, `_`, `-` and `.`, and no task id"
            ));
        } else if let Some(first) = names.insert(name, at) {
            names.insert(name, first);
            wrong(format!("`{name}` is the name of tasks[{first}] already"));
        }
    }
    names
}

/// Whether a task may be called so. An id would be taken for a task that is there already.
fn is_name(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.');
    (1..=MAX_REFERENCE).contains(&text.len())
        && text.bytes().all(plain)
        && text.parse::<TaskId>().is_err()
}

fn targets_of(
    at: usize,
    task: &Wanted<'_>,
    names: &HashMap<&str, usize>,
    faults: &mut Vec<Fault>,
) -> Vec<Target> {
    let mut seen = HashSet::with_capacity(task.depends_on.len());
    let mut targets = Vec::with_capacity(task.depends_on.len());
    for (place, name) in task.depends_on.iter().enumerate() {
        let mut wrong = |what| faults.push(Fault { task: at, dependency: Some(place), what });
        if !seen.insert(name) {
            wrong(format!("`{}` stands there twice", shown(name)));
        } else if let Some(target) = names.get(name.as_str()) {
            if *target == at {
                wrong("a task can't wait for itself".to_owned());
            }
            targets.push(Target::Here(*target));
        } else if let Ok(id) = name.parse() {
            targets.push(Target::There(id));
        } else {
            wrong(format!(
                "`{}` is neither the `ref` of a task of this submit nor the id of a task",
                shown(name)
            ));
        }
    }
    targets
}

/// What may be repeated of a name that stands for nothing.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(MAX_REFERENCE).collect()
}

/// The most names of a circle that are shown.
const MAX_SHOWN: usize = 20;

fn circle(tasks: &[Wanted<'_>], targets: &[Vec<Target>]) -> Option<Fault> {
    let here = |target: &Target| match target {
        Target::Here(at) => Some(*at),
        Target::There(_) => None,
    };
    let before = targets.iter().map(|of_task| of_task.iter().filter_map(here).collect());
    let circle = Graph::from_before(before.collect()).circle()?;
    let (first, next) = (*circle.first()?, *circle.get(1).or(circle.first())?);
    let dependency = targets[first].iter().position(|target| *target == Target::Here(next));
    let name = |at: &usize| tasks[*at].reference.unwrap_or_default();
    let mut walk: Vec<&str> = circle.iter().take(MAX_SHOWN).map(name).collect();
    if circle.len() > MAX_SHOWN {
        walk.push("…");
    }
    walk.push(name(&first));
    let what = format!("makes a circle, in which each waits for the next: {}", walk.join(" → "));
    Some(Fault { task: first, dependency, what })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    type Row<'a> = (Option<&'a str>, &'a [&'a str]);

    fn resolved(rows: &[Row<'_>]) -> Result<Vec<Vec<Target>>, Vec<Fault>> {
        let lists: Vec<Vec<String>> =
            rows.iter().map(|row| row.1.iter().map(|name| (*name).to_owned()).collect()).collect();
        let tasks: Vec<_> = rows
            .iter()
            .zip(&lists)
            .map(|(row, list)| Wanted { reference: row.0, depends_on: list })
            .collect();
        resolve(&tasks)
    }

    #[test]
    fn names_and_ids_are_found_in_any_order() {
        let there = TaskId::from_uuid(Uuid::from_u128(7));
        let id = there.to_string();
        let rows: [Row<'_>; 3] = [(None, &["b", &id]), (Some("a"), &[]), (Some("b"), &["a"])];
        let targets = resolved(&rows).unwrap();
        assert_eq!(targets[0], [Target::Here(2), Target::There(there)]);
        assert_eq!(targets[2], [Target::Here(1)]);
    }

    /// Tasks, and where which of them is wrong with which word.
    type Broken<'a> = (Vec<Row<'a>>, usize, Option<usize>, &'a str);

    #[test]
    fn what_is_wrong_is_named() {
        let id = TaskId::from_uuid(Uuid::from_u128(7)).to_string();
        let long = "x".repeat(65);
        let rows: Vec<Broken<'_>> = vec![
            (vec![(Some("a b"), &[])], 0, None, "letters"),
            (vec![(Some(""), &[])], 0, None, "letters"),
            (vec![(Some(&long), &[])], 0, None, "64"),
            (vec![(Some(&id), &[])], 0, None, "no task id"),
            (vec![(Some("a"), &[]), (Some("a"), &[])], 1, None, "tasks[0]"),
            (vec![(None, &["x"])], 0, Some(0), "neither"),
            (vec![(Some("a"), &[]), (None, &["a", "b"])], 1, Some(1), "`b`"),
            (vec![(Some("a"), &[]), (None, &["a", "a"])], 1, Some(1), "twice"),
            (vec![(Some("a"), &["a"])], 0, Some(0), "itself"),
            (vec![(Some("a"), &["b"]), (Some("b"), &["a"])], 0, Some(0), "a → b → a"),
        ];
        for (tasks, task, dependency, word) in rows {
            let faults = resolved(&tasks).unwrap_err();
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert_eq!((faults[0].task, faults[0].dependency), (task, dependency), "{faults:?}");
            assert!(faults[0].what.contains(word), "{faults:?}");
        }
    }

    #[test]
    fn a_circle_is_shown_as_a_loop_from_the_edge_that_begins_it() {
        let rows: [Row<'_>; 5] = [
            (Some("tail"), &["x"]),
            (Some("x"), &["root", "z"]),
            (Some("root"), &[]),
            (Some("y"), &["x"]),
            (Some("z"), &["root", "y"]),
        ];
        let faults = resolved(&rows).unwrap_err();
        assert_eq!((faults[0].task, faults[0].dependency), (1, Some(1)));
        assert!(faults[0].what.ends_with("x → z → y → x"), "{faults:?}");
    }

    #[test]
    fn a_long_circle_is_cut() {
        let names: Vec<String> = (0..100).map(|n| format!("n{n}")).collect();
        let lists: Vec<Vec<String>> =
            (0..100).map(|n| vec![names[(n + 1) % 100].clone()]).collect();
        let tasks: Vec<_> = (0..100)
            .map(|n| Wanted { reference: Some(&names[n]), depends_on: &lists[n] })
            .collect();
        let faults = resolve(&tasks).unwrap_err();
        assert!(faults[0].what.ends_with("n19 → … → n0"), "{faults:?}");
    }

    proptest! {
        /// A graph is refused exactly if following its dependencies can go on for ever, and what is
        /// shown then is a loop of dependencies that were asked for.
        #[test]
        fn circles_are_found_and_nothing_else(
            edges in prop::collection::vec(prop::collection::btree_set(0usize..8, 0..4), 1..8)
        ) {
            let count = edges.len();
            let lists: Vec<Vec<String>> = edges
                .iter()
                .enumerate()
                .map(|(at, to)| {
                    to.iter().filter(|to| **to < count && **to != at).map(|to| format!("t{to}")).collect()
                })
                .collect();
            let names: Vec<String> = (0..count).map(|at| format!("t{at}")).collect();
            let tasks: Vec<_> = (0..count)
                .map(|at| Wanted { reference: Some(&names[at]), depends_on: &lists[at] })
                .collect();
            let place = |name: &String| names.iter().position(|one| one == name).unwrap();
            // Reach by repeated squaring of the edge matrix: slow, and plainly right.
            let mut reach: Vec<Vec<bool>> = (0..count)
                .map(|from| (0..count).map(|to| lists[from].contains(&names[to])).collect())
                .collect();
            for via in 0..count {
                for from in 0..count {
                    for to in 0..count {
                        reach[from][to] |= reach[from][via] && reach[via][to];
                    }
                }
            }
            let has_circle = (0..count).any(|at| reach[at][at]);
            match resolve(&tasks) {
                Ok(targets) => {
                    prop_assert!(!has_circle);
                    for (targets, list) in targets.iter().zip(&lists) {
                        let expected: Vec<_> = list.iter().map(|name| Target::Here(place(name))).collect();
                        prop_assert_eq!(targets, &expected);
                    }
                }
                Err(faults) => {
                    prop_assert!(has_circle, "{:?}", faults);
                    let (_, walk) = faults[0].what.split_once(": ").unwrap();
                    let walk: Vec<String> = walk.split(" → ").map(str::to_owned).collect();
                    prop_assert_eq!(walk.first(), walk.last());
                    for pair in walk.windows(2) {
                        prop_assert!(lists[place(&pair[0])].contains(&pair[1]));
                    }
                }
            }
        }
    }
}
