//! Which tasks can not run at once because of the files they use, and the locks that follow.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{FileUse, Glob, PlanTask, Reach};

/// Two patterns that can name the same file, of which one is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// As the first task has it.
    pub first: FileUse,
    /// As the second task has it.
    pub second: FileUse,
}

/// Two tasks that no dependency orders, of which one writes what the other uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The place of the one that is written first in the plan.
    pub first: usize,
    /// The place of the other.
    pub second: usize,
    /// The patterns that meet.
    pub files: Vec<Pair>,
    /// Whether both may run at once, as each has a workspace of its own, and are merged after.
    pub apart: bool,
}

/// A lock over files, and who holds it while they run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Locks {
    /// The places of those who hold it alone.
    pub alone: Vec<usize>,
    /// The places of those who share it.
    pub shared: Vec<usize>,
}

/// Who uses one pattern, and how.
struct Users<'a> {
    glob: &'a Glob,
    /// Place of the task, and whether it writes.
    tasks: BTreeMap<usize, bool>,
}

/// Every pattern of `tasks` with its users, and the pairs of patterns that meet (a pattern meets
/// itself).
fn meetings<'a>(tasks: &[&'a PlanTask]) -> (Vec<Users<'a>>, Vec<(usize, usize)>) {
    let mut users: Vec<Users<'_>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (at, task) in tasks.iter().enumerate() {
        for file in &task.files {
            let place = *places.entry(file.glob.as_str()).or_insert_with(|| {
                users.push(Users { glob: &file.glob, tasks: BTreeMap::new() });
                users.len() - 1
            });
            *users[place].tasks.entry(at).or_insert(false) |= file.write;
        }
    }
    // Plain paths only meet equals: they are found by name, the others by looking at all.
    let literals: Vec<Option<String>> = users.iter().map(|user| user.glob.literal()).collect();
    let mut by_path: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut pairs = Vec::new();
    for (at, literal) in literals.iter().enumerate() {
        pairs.push((at, at));
        if let Some(path) = literal {
            let same = by_path.entry(path).or_default();
            pairs.extend(same.iter().map(|other| (*other, at)));
            same.push(at);
        }
    }
    // What a pattern names begins as it does: of the plain paths only those are looked at.
    let mut plain: Vec<(&str, usize)> = literals
        .iter()
        .enumerate()
        .filter_map(|(at, literal)| Some((literal.as_deref()?, at)))
        .collect();
    plain.sort_unstable();
    let wild: Vec<usize> = (0..users.len()).filter(|at| literals[*at].is_none()).collect();
    for one in &wild {
        let beginning = users[*one].glob.beginning();
        let from = plain.partition_point(|(path, _)| *path < &*beginning);
        let near = plain[from..].iter().take_while(|(path, _)| path.starts_with(&beginning));
        let others = wild.iter().copied().filter(|other| other > one);
        for other in near.map(|(_, at)| *at).chain(others) {
            if users[*one].glob.overlaps(users[other].glob) {
                pairs.push((*one.min(&other), *one.max(&other)));
            }
        }
    }
    (users, pairs)
}

/// The conflicts among `tasks`, in the order of their places; those that `reach` orders are none.
pub fn conflicts(tasks: &[&PlanTask], reach: &Reach) -> Vec<Conflict> {
    let (users, pairs) = meetings(tasks);
    let mut found: BTreeMap<(usize, usize), Vec<Pair>> = BTreeMap::new();
    for (a, b) in pairs {
        for (one, one_writes) in &users[a].tasks {
            for (other, other_writes) in &users[b].tasks {
                let is_twice = a == b && one >= other;
                let harmless = !one_writes && !other_writes;
                if one == other || is_twice || harmless || reach.orders(*one, *other) {
                    continue;
                }
                let one_use = FileUse { glob: users[a].glob.clone(), write: *one_writes };
                let other_use = FileUse { glob: users[b].glob.clone(), write: *other_writes };
                let (key, first, second) = if one < other {
                    ((*one, *other), one_use, other_use)
                } else {
                    ((*other, *one), other_use, one_use)
                };
                found.entry(key).or_default().push(Pair { first, second });
            }
        }
    }
    let conflict = |((first, second), files): (_, Vec<Pair>)| {
        let held = files
            .iter()
            .any(|pair| is_held(tasks[first], pair.first.write, tasks[second], pair.second.write));
        Conflict { first, second, files, apart: !held }
    };
    found.into_iter().map(conflict).collect()
}

/// Whether two uses of one file, of which one writes, must not be at once. Tasks that each have a
/// workspace of their own may; one that has, next to one that has not, may not write what the
/// other writes.
const fn is_held(one: &PlanTask, one_writes: bool, other: &PlanTask, other_writes: bool) -> bool {
    match (one.is_apart(), other.is_apart()) {
        (false, false) => one_writes || other_writes,
        (true, true) => false,
        _ => one_writes && other_writes,
    }
}

/// The locks that keep `tasks` from harming each other: two tasks may run at once if and only if
/// there is no lock that both hold and one of them alone.
///
/// Tasks with a workspace of their own share their locks with each other, unless `as_one` says
/// that all of them are to be taken as working in the same.
pub fn locks(tasks: &[&PlanTask], as_one: bool) -> Vec<Locks> {
    let (users, pairs) = meetings(tasks);
    let mut locks: BTreeSet<Locks> = BTreeSet::new();
    for (a, b) in pairs {
        // Of each task, whether it holds the lock alone.
        let mut holds: BTreeMap<usize, bool> = BTreeMap::new();
        for (task, writes) in users[a].tasks.iter().chain(&users[b].tasks) {
            let apart = !as_one && tasks[*task].is_apart();
            if *writes || !apart {
                *holds.entry(*task).or_insert(false) |= *writes && !apart;
            }
        }
        let with = |alone: bool| {
            let these = holds.iter().filter(|(_, holds)| **holds == alone);
            these.map(|(task, _)| *task).collect::<Vec<_>>()
        };
        let lock = Locks { alone: with(true), shared: with(false) };
        if holds.len() > 1 && !lock.alone.is_empty() {
            locks.insert(lock);
        }
    }
    locks.into_iter().collect()
}

#[cfg(test)]
mod tests;
