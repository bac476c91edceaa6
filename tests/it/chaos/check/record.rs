//! The record held against itself, and against what was submitted.

use std::collections::HashMap;

use hostler::domain::task::{TaskEvent, TaskState, step};

use super::{Findings, Rule, Sides};
use crate::chaos::history::{Recorded, Stepped};

pub(super) fn check(sides: &Sides<'_>, findings: &mut Findings) {
    let mut told: HashMap<&str, Vec<Stepped>> = HashMap::new();
    for one in &sides.history.feed {
        told.entry(&one.task).or_default().push(one.step);
    }
    for task in &sides.history.tasks {
        if !task.state.is_final() {
            findings.add(Rule::Ended, format!("{task:?}"));
        }
        events(task, findings);
        attempts(task, findings);
        outcome(sides, task, findings);
        let told = told.remove(&*task.id).unwrap_or_default();
        if told != task.events {
            findings.add(Rule::Feed, format!("told of {told:?}, but it was {task:?}"));
        }
    }
    for (task, told) in told {
        findings.add(Rule::Feed, format!("told of a task {task} that is not there: {told:?}"));
    }
}

fn events(task: &Recorded, findings: &mut Findings) {
    let mut bad = |why: &str| findings.add(Rule::Events, format!("{why}: {task:?}"));
    let events = &task.events;
    if !events.iter().zip(1..).all(|(event, number)| event.number == number) {
        bad("a gap");
    }
    if events.last().map(|event| (event.state, event.attempt)) != Some((task.state, task.attempt)) {
        bad("they end elsewhere");
    }
    if !events.windows(2).all(|pair| is_legal(pair[0], pair[1])) {
        bad("a step that can't be");
    }
    // Nobody here tries again what has failed: what ended has ended.
    if events.iter().rev().skip(1).any(|event| event.state.is_final()) {
        bad("it went on after its end");
    }
}

fn is_legal(before: Stepped, after: Stepped) -> bool {
    let begins = after.state == TaskState::Running && before.state != TaskState::AwaitingInput;
    let leads = |event: &TaskEvent| step(before.state, *event) == Ok(after.state);
    after.attempt == before.attempt + u64::from(begins) && TaskEvent::ALL.iter().any(leads)
}

fn attempts(task: &Recorded, findings: &mut Findings) {
    let mut bad = |why: &str| findings.add(Rule::Attempts, format!("{why}: {task:?}"));
    let tried = &task.attempts;
    if !tried.iter().map(|one| one.number).eq(1..=task.attempt) {
        bad("not each attempt is there once");
    }
    let completed = tried.iter().filter(|one| one.outcome == "completed").count();
    if completed != usize::from(task.state == TaskState::Completed) {
        bad("not one attempt completed it");
    }
    let last = tried.last().map(|one| &*one.outcome);
    let fits = match task.state {
        TaskState::Completed => last == Some("completed"),
        TaskState::Failed => last == Some("failed"),
        _ => true,
    };
    if !fits {
        bad("the last one ended otherwise");
    }
}

fn outcome(sides: &Sides<'_>, task: &Recorded, findings: &mut Findings) {
    let Some(spec) = sides.spec(task) else { return };
    let deps = || spec.depends_on.iter().filter_map(|tag| sides.of_tag(*tag));
    let stopped = deps().any(|dep| matches!(dep.state, TaskState::Failed | TaskState::Cancelled));
    let fits = match task.state {
        TaskState::Completed => !spec.hopeless && !stopped,
        TaskState::Failed => spec.hopeless && !stopped,
        TaskState::Cancelled => spec.cancelled || stopped,
        _ => true,
    };
    if !fits {
        findings.add(Rule::Outcome, format!("{spec:?} became {task:?}"));
    }
}
