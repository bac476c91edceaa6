//! What went on at the same time: by what the agents wrote down, and by the record.

use std::collections::{HashMap, HashSet};

use hostler::domain::glob::Glob;

use super::{Findings, Rule, Sides};
use crate::chaos::{
    history::Recorded,
    work::{NARROW, PER_ACCOUNT, Spec},
};

/// How much later than it is said a claim may have come: what claims plain tasks says when the
/// statement came in, and then it still has to look. In microseconds.
const SLACK: i64 = 100_000;

/// The sides that are looked at.
const AGENTS: &str = "agents";
const RECORD: &str = "record";

/// A stretch of time in which an attempt held what its task needs.
struct Run<'a> {
    task: &'a Recorded,
    spec: &'a Spec,
    attempt: u64,
    agent: &'a str,
    from: i128,
    /// The last moment in which it is known to have been at work.
    to: i128,
}

impl Run<'_> {
    fn told(&self) -> String {
        let Self { attempt, agent, from, to, .. } = self;
        format!("attempt {attempt} ({agent}) from {from} to {to}")
    }
}

pub(super) fn check(sides: &Sides<'_>, findings: &mut Findings) {
    sweep(AGENTS, by_effects(sides), findings);
    sweep(RECORD, by_record(sides), findings);
    for task in &sides.history.tasks {
        for pair in task.attempts.windows(2) {
            if pair[1].from + SLACK < pair[0].to {
                findings.add(Rule::NotTwice, format!("by the record, {pair:?} of {}", task.id));
            }
        }
    }
}

/// From the first to the last word of an attempt's process.
fn by_effects<'a>(sides: &Sides<'a>) -> Vec<Run<'a>> {
    let mut runs = Vec::new();
    for task in &sides.history.tasks {
        let Some(spec) = sides.spec(task) else { continue };
        let effects = sides.effects.get(&*task.id).map_or(&[][..], |effects| effects);
        // An attempt that began twice is two runs.
        let mut open: HashMap<(u64, &str, i32), usize> = HashMap::new();
        for effect in effects {
            let at = i128::from(effect.at);
            let agent = &*effect.agent;
            let key = (effect.attempt, agent, effect.pid);
            let run = *open.entry(key).or_insert_with(|| {
                runs.push(Run { task, spec, attempt: effect.attempt, agent, from: at, to: at });
                runs.len() - 1
            });
            runs[run].to = at;
        }
    }
    runs
}

/// What is chosen for what it needs begins and ends exactly as the record says. Others hold nothing.
fn by_record<'a>(sides: &Sides<'a>) -> Vec<Run<'a>> {
    let mut runs = Vec::new();
    for task in &sides.history.tasks {
        let Some(spec) = sides.spec(task).filter(|spec| is_chosen(spec)) else { continue };
        runs.extend(task.attempts.iter().map(|one| {
            // What ends in the moment in which another begins has ended before.
            let (from, to) = (i128::from(one.from), i128::from(one.to) - 1);
            Run { task, spec, attempt: one.number, agent: &one.agent, from, to }
        }));
    }
    runs
}

fn is_chosen(spec: &Spec) -> bool {
    !spec.locks.is_empty()
        || !spec.paths.is_empty()
        || !spec.keys.is_empty()
        || spec.queue == "narrow"
}

/// Looks at each run together with those that are under way when it begins.
fn sweep(side: &str, mut runs: Vec<Run<'_>>, findings: &mut Findings) {
    runs.sort_by_key(|run| run.from);
    let mut under_way: Vec<&Run<'_>> = Vec::new();
    for run in &runs {
        under_way.retain(|other| other.to >= run.from);
        for other in &under_way {
            if other.task.id == run.task.id {
                let what = format!("by the {side}, attempts of {}", run.task.id);
                let both = format!("{} and {} of {:?}", other.told(), run.told(), run.task);
                findings.add(Rule::NotTwice, format!("{what}: {both}"));
            } else if let Some(what) = conflict(other.spec, run.spec) {
                let both = format!("{:?} and {:?}", other.task, run.task);
                findings.add(Rule::Locks, format!("by the {side}, {what} of {both}"));
            }
        }
        under_way.push(run);
        limits(side, run, &under_way, findings);
    }
}

/// What two tasks may not hold at the same time.
fn conflict(one: &Spec, other: &Spec) -> Option<String> {
    for (name, shared) in &one.locks {
        let same = |(of_other, also): &&(String, bool)| of_other == name && !(*shared && *also);
        if other.locks.iter().any(|lock| same(&lock)) {
            return Some(format!("lock {name}"));
        }
    }
    let glob = |text: &str| text.parse::<Glob>().expect("a pattern");
    for (mine, read) in &one.paths {
        for (theirs, also) in &other.paths {
            if !(*read && *also) && glob(mine).overlaps(&glob(theirs)) {
                return Some(format!("files {mine} and {theirs}"));
            }
        }
    }
    None
}

/// A limit counts agents, not tasks: what one of them has next may be on record before the end of what
/// it did last. By what it wrote down, it did one after the other.
fn limits(side: &str, run: &Run<'_>, under_way: &[&Run<'_>], findings: &mut Findings) {
    let who =
        |run: &Run<'_>| if side == RECORD { run.agent.to_owned() } else { run.task.id.clone() };
    let count = |counts: &dyn Fn(&Spec) -> bool| {
        let counted = under_way.iter().filter(|other| counts(other.spec));
        counted.map(|other| who(other)).collect::<HashSet<_>>().len()
    };
    let narrow = count(&|spec| spec.queue == "narrow");
    if run.spec.queue == "narrow" && narrow > NARROW as usize {
        findings.add(Rule::Limits, format!("by the {side}, {narrow} with {:?}", run.task));
    }
    for key in &run.spec.keys {
        let count = count(&|spec| spec.keys.contains(key));
        if count > PER_ACCOUNT as usize {
            findings.add(Rule::Limits, format!("by the {side}, {count} of {key}: {:?}", run.task));
        }
    }
}
