//! The checker: a pure function over a [`History`], which says what must never be and was.

mod once;
mod record;
mod together;

use std::collections::HashMap;

use super::{
    history::{Answer, History, Recorded, Submitted},
    work::Spec,
};
use crate::support::effects::Effect;

/// What must hold. Each is broken by a history in `forged.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Rule {
    /// What was accepted is there.
    NothingLost,
    /// What is there has ended.
    Ended,
    /// What is there, or was carried out, was submitted, and not refused.
    NothingInvented,
    /// A submit that was repeated made one task.
    OneTaskEach,
    /// A task ends as it was to end.
    Outcome,
    /// The steps of a task are legal, without a gap, and end once and where the task is.
    Events,
    /// The attempts on record have no gap, and end as the task did.
    Attempts,
    /// A reader of the feed that goes on where it was is told of each step once, in their order.
    Feed,
    /// No attempt begins or ends twice.
    EffectsOnce,
    /// What is completed was carried out by the attempt that completed it.
    Effect,
    /// No two attempts of a task at once.
    NotTwice,
    /// Nobody holds what another holds alone.
    Locks,
    /// No more at once than is allowed.
    Limits,
    /// A task begins when what it depends on is done.
    Order,
}

/// A breach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) rule: Rule,
    pub(super) what: String,
}

/// Everything that is wrong.
pub(super) fn check(history: &History) -> Vec<Finding> {
    let sides = Sides::new(history);
    let mut findings = Findings::default();
    submits(&sides, &mut findings);
    record::check(&sides, &mut findings);
    once::check(&sides, &mut findings);
    together::check(&sides, &mut findings);
    findings.0
}

/// The findings so far.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, rule: Rule, what: impl Into<String>) {
        self.0.push(Finding { rule, what: what.into() });
    }
}

/// A history, put in order to be asked.
struct Sides<'a> {
    history: &'a History,
    submitted: HashMap<u64, &'a Submitted>,
    by_id: HashMap<&'a str, &'a Recorded>,
    by_tag: HashMap<u64, Vec<&'a Recorded>>,
    /// In the order of their times.
    effects: HashMap<&'a str, Vec<&'a Effect>>,
}

impl<'a> Sides<'a> {
    fn new(history: &'a History) -> Self {
        let submitted = history.submitted.iter().map(|one| (one.spec.tag, one)).collect();
        let by_id = history.tasks.iter().map(|task| (&*task.id, task)).collect();
        let mut by_tag: HashMap<_, Vec<_>> = HashMap::new();
        for task in &history.tasks {
            if let Some(tag) = task.tag {
                by_tag.entry(tag).or_default().push(task);
            }
        }
        let mut effects: HashMap<_, Vec<_>> = HashMap::new();
        for effect in &history.effects {
            effects.entry(&*effect.task).or_default().push(effect);
        }
        effects.values_mut().for_each(|of_task| of_task.sort_by_key(|effect| effect.at));
        Self { history, submitted, by_id, by_tag, effects }
    }

    /// What the submitter of a task wanted.
    fn spec(&self, task: &Recorded) -> Option<&'a Spec> {
        self.submitted.get(&task.tag?).map(|one| &one.spec)
    }

    /// The task of a tag.
    fn of_tag(&self, tag: u64) -> Option<&'a Recorded> {
        self.by_tag.get(&tag)?.first().copied()
    }
}

/// What submitters know against what is there.
fn submits(sides: &Sides<'_>, findings: &mut Findings) {
    for one in &sides.history.submitted {
        let tag = one.spec.tag;
        let there = sides.by_tag.get(&tag).map_or(&[][..], |tasks| tasks);
        if there.len() > 1 {
            findings.add(Rule::OneTaskEach, format!("{tag} is {there:?}"));
        }
        match &one.answer {
            Answer::Accepted(id) => {
                let is_it = |task: &&Recorded| id.as_ref().is_none_or(|id| task.id == *id);
                if !there.iter().any(is_it) {
                    findings.add(Rule::NothingLost, format!("{one:?}, and there is {there:?}"));
                }
            }
            Answer::Refused => {
                if let Some(task) = there.first() {
                    findings.add(Rule::NothingInvented, format!("{one:?} was refused: {task:?}"));
                }
            }
            Answer::Unknown => {}
        }
    }
    for task in &sides.history.tasks {
        if sides.spec(task).is_none() {
            findings.add(Rule::NothingInvented, format!("nobody submitted {task:?}"));
        }
    }
    for effect in &sides.history.effects {
        let known = sides.by_id.get(&*effect.task);
        if known.is_none_or(|task| effect.attempt == 0 || effect.attempt > task.attempt) {
            findings.add(Rule::NothingInvented, format!("{effect:?} of {known:?}"));
        }
    }
}
