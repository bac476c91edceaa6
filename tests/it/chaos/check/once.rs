//! What the agents wrote down, attempt by attempt.

use std::collections::BTreeMap;

use hostler::domain::task::TaskState;

use super::{Findings, Rule, Sides};
use crate::{
    chaos::history::Recorded,
    support::effects::{Effect, Step},
};

pub(super) fn check(sides: &Sides<'_>, findings: &mut Findings) {
    for effects in sides.effects.values() {
        each_once(effects, findings);
    }
    for task in &sides.history.tasks {
        if task.state == TaskState::Completed && !was_carried_out(sides, task) {
            let effects = sides.effects.get(&*task.id);
            findings.add(Rule::Effect, format!("nobody did {task:?}: {effects:?}"));
        }
        order(sides, task, findings);
    }
}

fn each_once(effects: &[&Effect], findings: &mut Findings) {
    let mut counts: BTreeMap<u64, (u32, u32)> = BTreeMap::new();
    for effect in effects {
        let (begins, ends) = counts.entry(effect.attempt).or_default();
        match effect.step {
            Step::Begin => *begins += 1,
            Step::Done(_) | Step::Failed | Step::Left => *ends += 1,
            Step::Alive => {}
        }
    }
    for (attempt, (begins, ends)) in counts {
        if begins != 1 || ends > 1 {
            let what = format!("attempt {attempt} began {begins} and ended {ends} times");
            findings.add(Rule::EffectsOnce, format!("{what}: {effects:?}"));
        }
    }
}

/// Whether the attempt that completed the task was carried out, and its word is in the result.
fn was_carried_out(sides: &Sides<'_>, task: &Recorded) -> bool {
    let of_task = sides.effects.get(&*task.id).map_or(&[][..], |effects| effects);
    of_task.iter().any(|effect| {
        let word = match &effect.step {
            Step::Done(word) => Some(word),
            _ => None,
        };
        effect.attempt == task.attempt && word.is_some() && word == task.word.as_ref()
    })
}

/// What a task depends on is done, by the attempt that counts, before any attempt of it begins.
fn order(sides: &Sides<'_>, task: &Recorded, findings: &mut Findings) {
    let Some(spec) = sides.spec(task) else { return };
    let of = |task: &Recorded| sides.effects.get(&*task.id).map_or(&[][..], |effects| effects);
    let Some(begin) = of(task).first() else { return };
    for tag in &spec.depends_on {
        let dep = sides.of_tag(*tag).filter(|dep| dep.state == TaskState::Completed);
        let done = dep.and_then(|dep| {
            let counts = |effect: &&&Effect| {
                effect.attempt == dep.attempt && matches!(effect.step, Step::Done(_))
            };
            of(dep).iter().find(counts)
        });
        if done.is_none_or(|done| done.at >= begin.at) {
            findings.add(Rule::Order, format!("{task:?} began before {dep:?} was done"));
        }
    }
}
