//! Histories that were made up: a good one passes, and one that breaks a rule is found by that rule.

use hostler::domain::task::TaskState;

use super::{
    check::{Finding, Rule, check},
    history::{Answer, History, Recorded, Stepped, Submitted, Told, Tried},
    work::Spec,
};
use crate::support::effects::{Effect, Step};

/// A millisecond of the agents' clock; the record's has a thousand parts in it.
const MS: u64 = 1_000_000;

fn spec(tag: u64) -> Spec {
    Spec { tag, queue: "default", ms: 5, ..Spec::default() }
}

fn id(tag: u64) -> String {
    format!("tsk_{tag:032x}")
}

fn effect(tag: u64, attempt: u64, at: u64, step: Step) -> Effect {
    let agent = "host/quick-1".to_owned();
    Effect { step, at: at * MS, task: id(tag), attempt, agent, pid: 7 }
}

fn tried(number: u64, outcome: &str, from: u64, to: u64) -> Tried {
    let micros = |ms: u64| i64::try_from(ms * 1_000).unwrap();
    let (outcome, agent) = (outcome.to_owned(), format!("{from} to {to}"));
    Tried { number, outcome, agent, from: micros(from), to: micros(to) }
}

impl History {
    /// A task that was submitted, and carried out from one moment to another.
    fn completed(&mut self, spec: Spec, from: u64, to: u64) {
        let (tag, word) = (spec.tag, format!("word-{}", spec.tag));
        self.effects.extend([
            effect(tag, 1, from + 1, Step::Begin),
            effect(tag, 1, from + 2, Step::Alive),
            effect(tag, 1, to - 1, Step::Done(word.clone())),
        ]);
        let attempts = vec![tried(1, "completed", from, to)];
        let states = [TaskState::Pending, TaskState::Running, TaskState::Completed];
        self.record(spec, &states, attempts, Some(word));
    }

    /// One that was put back once, when its agent was killed.
    fn completed_by_another(&mut self, tag: u64) {
        self.completed(spec(tag), 60, 70);
        self.effects.iter_mut().filter(|one| one.task == id(tag)).for_each(|one| one.attempt = 2);
        self.effects.push(effect(tag, 1, 51, Step::Begin));
        let task = self.tasks.last_mut().unwrap();
        task.attempt = 2;
        task.attempts = vec![tried(1, "released", 50, 58), tried(2, "completed", 60, 70)];
        let states = [
            TaskState::Pending,
            TaskState::Running,
            TaskState::Pending,
            TaskState::Running,
            TaskState::Completed,
        ];
        task.events = steps(&states);
        self.tell_again();
    }

    fn record(
        &mut self,
        spec: Spec,
        states: &[TaskState],
        attempts: Vec<Tried>,
        word: Option<String>,
    ) {
        let (tag, id) = (spec.tag, id(spec.tag));
        self.submitted.push(Submitted { spec, answer: Answer::Accepted(Some(id.clone())) });
        let events = steps(states);
        let (state, attempt) = (*states.last().unwrap(), attempts.len() as u64);
        self.tasks.push(Recorded { id, tag: Some(tag), state, attempt, word, attempts, events });
        self.tell_again();
    }

    /// The feed as it is to be, the steps of tasks in turns.
    fn tell_again(&mut self) {
        let told = |task: &Recorded, nth: usize| {
            task.events.get(nth).map(|step| Told { task: task.id.clone(), step: *step })
        };
        let turns = 0..self.tasks.iter().map(|task| task.events.len()).max().unwrap_or(0);
        let tasks = &self.tasks;
        self.feed =
            turns.flat_map(|nth| tasks.iter().filter_map(move |task| told(task, nth))).collect();
    }

    fn task(&mut self, tag: u64) -> &mut Recorded {
        self.tasks.iter_mut().find(|task| task.id == id(tag)).unwrap()
    }

    fn submitted(&mut self, tag: u64) -> &mut Submitted {
        self.submitted.iter_mut().find(|one| one.spec.tag == tag).unwrap()
    }

    fn effect(&mut self, tag: u64, is: fn(&Step) -> bool) -> &mut Effect {
        let found = self.effects.iter_mut().find(|one| one.task == id(tag) && is(&one.step));
        found.unwrap()
    }

    /// What an attempt did is moved to another time, on both sides.
    fn move_to(&mut self, tag: u64, from: u64) {
        let task = self.task(tag);
        let (first, last) = (task.attempts[0].from, task.attempts.last().unwrap().to);
        let by = i64::try_from(from * 1_000).unwrap() - first;
        task.attempts.iter_mut().for_each(|one| {
            one.from += by;
            one.to += by;
        });
        assert!(last > first);
        let effects = self.effects.iter_mut().filter(|one| one.task == id(tag));
        effects.for_each(|one| one.at = one.at.checked_add_signed(by * 1_000).unwrap());
    }
}

fn steps(states: &[TaskState]) -> Vec<Stepped> {
    let mut attempt = 0;
    let step = |(state, number): (&TaskState, u32)| {
        attempt += u64::from(*state == TaskState::Running);
        Stepped { number, state: *state, attempt }
    };
    states.iter().zip(1..).map(step).collect()
}

const LOCKED: [u64; 2] = [3, 4];
const SHARED: [u64; 2] = [5, 6];
const NARROW: [u64; 3] = [7, 8, 9];
const KEYED: [u64; 2] = [10, 11];
const CANCELLED: u64 = 12;
const ROOT: u64 = 13;
const DEPENDENT: u64 = 14;
const FAILED: u64 = 15;
const WRITER: u64 = 17;

/// Something of everything, and nothing wrong.
fn good() -> History {
    let mut history = History::default();
    history.completed(spec(1), 0, 10);
    history.completed_by_another(2);
    let lock = |shared| vec![("repo".to_owned(), shared)];
    // One after the other, to the microsecond.
    history.completed(Spec { locks: lock(false), ..spec(LOCKED[0]) }, 0, 10);
    history.completed(Spec { locks: lock(false), ..spec(LOCKED[1]) }, 10, 20);
    // Together, for it is shared.
    history.completed(Spec { locks: lock(true), ..spec(SHARED[0]) }, 30, 40);
    history.completed(Spec { locks: lock(true), ..spec(SHARED[1]) }, 32, 42);
    history.completed(Spec { queue: "narrow", ..spec(NARROW[0]) }, 0, 10);
    history.completed(Spec { queue: "narrow", ..spec(NARROW[1]) }, 0, 20);
    history.completed(Spec { queue: "narrow", ..spec(NARROW[2]) }, 10, 20);
    let keys = vec!["account:0".to_owned()];
    history.completed(Spec { keys: keys.clone(), ..spec(KEYED[0]) }, 0, 10);
    history.completed(Spec { keys, ..spec(KEYED[1]) }, 20, 30);
    let called_off = [TaskState::Pending, TaskState::Cancelled];
    history.record(Spec { cancelled: true, ..spec(CANCELLED) }, &called_off, Vec::new(), None);
    history.completed(spec(ROOT), 0, 10);
    history.completed(Spec { depends_on: vec![ROOT], ..spec(DEPENDENT) }, 20, 30);
    history.task(DEPENDENT).events =
        steps(&[TaskState::Blocked, TaskState::Pending, TaskState::Running, TaskState::Completed]);
    let states = [TaskState::Pending, TaskState::Running, TaskState::Failed];
    let hopeless = Spec { hopeless: true, ..spec(FAILED) };
    history.record(hopeless, &states, vec![tried(1, "failed", 0, 10)], None);
    history.effects.extend([effect(FAILED, 1, 1, Step::Begin), effect(FAILED, 1, 9, Step::Failed)]);
    history.submitted.push(Submitted { spec: spec(16), answer: Answer::Refused });
    let paths = |glob: &str, read| vec![(glob.to_owned(), read)];
    history.completed(Spec { paths: paths("src/**", false), ..spec(WRITER) }, 0, 10);
    history.completed(Spec { paths: paths("docs/*.md", false), ..spec(18) }, 0, 10);
    history.completed(Spec { paths: paths("src/a.rs", true), ..spec(19) }, 20, 30);
    // Its answer got lost, and it is there.
    history.completed(spec(20), 0, 10);
    history.submitted(20).answer = Answer::Unknown;
    // And one that is not.
    history.submitted.push(Submitted { spec: spec(21), answer: Answer::Unknown });
    history.tell_again();
    history
}

#[track_caller]
fn found(rule: Rule, forge: impl FnOnce(&mut History)) -> Vec<Finding> {
    let mut history = good();
    forge(&mut history);
    let findings = check(&history);
    assert!(findings.iter().any(|one| one.rule == rule), "not {rule:?}: {findings:#?}");
    findings
}

/// Found, and nothing else.
#[track_caller]
fn alone(rule: Rule, forge: impl FnOnce(&mut History)) {
    let findings = found(rule, forge);
    assert!(findings.iter().all(|one| one.rule == rule), "{findings:#?}");
}

#[test]
fn a_good_history_passes() {
    assert_eq!(check(&good()), Vec::new());
    // An agent may have the next one of a key before it is written that it has ended the last.
    let mut history = good();
    let agent = history.task(KEYED[0]).attempts[0].agent.clone();
    let behind = &mut history.task(KEYED[1]).attempts[0];
    (behind.from, behind.agent) = (9_000, agent);
    assert_eq!(check(&history), Vec::new());
}

#[test]
fn what_is_lost_or_has_not_ended_is_found() {
    found(Rule::NothingLost, |history| history.tasks.retain(|task| task.id != id(1)));
    alone(Rule::NothingLost, |history| {
        history.submitted(1).answer = Answer::Accepted(Some(id(99)));
    });
    found(Rule::Ended, |history| {
        let task = history.task(CANCELLED);
        task.state = TaskState::Pending;
        task.events.pop();
        history.tell_again();
    });
}

#[test]
fn what_is_invented_is_found() {
    alone(Rule::NothingInvented, |history| {
        history.completed(spec(30), 0, 9);
        history.submitted.pop();
    });
    alone(Rule::NothingInvented, |history| history.submitted.retain(|one| one.spec.tag != 1));
    alone(Rule::NothingInvented, |history| {
        let unknown = effect(77, 1, 5, Step::Begin);
        history.effects.push(unknown);
    });
    // An attempt that nobody gave out.
    alone(Rule::NothingInvented, |history| history.effects.push(effect(1, 2, 50, Step::Begin)));
    found(Rule::NothingInvented, |history| history.task(1).tag = None);
    // Rolled back, and there all the same.
    alone(Rule::NothingInvented, |history| {
        history.completed(spec(16), 0, 9);
        history.submitted.pop();
    });
    found(Rule::OneTaskEach, |history| history.task(2).tag = Some(1));
}

#[test]
fn an_end_that_nobody_asked_for_is_found() {
    alone(Rule::Outcome, |history| history.submitted(CANCELLED).spec.cancelled = false);
    alone(Rule::Outcome, |history| history.submitted(FAILED).spec.hopeless = false);
    alone(Rule::Outcome, |history| history.submitted(1).spec.hopeless = true);
    // It ran, though what it depends on failed.
    found(Rule::Outcome, |history| history.submitted(DEPENDENT).spec.depends_on = vec![FAILED]);
}

#[test]
fn events_with_a_gap_or_after_the_end_are_found() {
    let forged: [fn(&mut Recorded); 5] = [
        |task| task.events[2].number = 4,
        |task| {
            task.events.remove(1);
        },
        |task| {
            task.events.pop();
        },
        |task| task.events[1].attempt = 2,
        |task| {
            let mut steps = task.events.clone();
            steps.iter_mut().for_each(|step| step.number += 3);
            task.events.extend(steps);
        },
    ];
    for forge in forged {
        alone(Rule::Events, |history| {
            forge(history.task(1));
            history.tell_again();
        });
    }
}

#[test]
fn attempts_that_are_missing_or_end_otherwise_are_found() {
    alone(Rule::Attempts, |history| history.task(1).attempts.clear());
    alone(Rule::Attempts, |history| history.task(2).attempts[0].number = 2);
    alone(Rule::Attempts, |history| history.task(1).attempts[0].outcome = "failed".into());
    alone(Rule::Attempts, |history| history.task(2).attempts[0].outcome = "completed".into());
    alone(Rule::Attempts, |history| history.task(FAILED).attempts[0].outcome = "released".into());
}

#[test]
fn a_feed_that_leaves_out_repeats_or_swaps_is_found() {
    alone(Rule::Feed, |history| drop(history.feed.remove(5)));
    alone(Rule::Feed, |history| history.feed.push(history.feed[0].clone()));
    alone(Rule::Feed, |history| history.feed.reverse());
    alone(Rule::Feed, |history| history.feed[3].task = id(98));
}

#[test]
fn effects_that_come_twice_are_found() {
    let begin = |step: &Step| *step == Step::Begin;
    let done = |step: &Step| matches!(step, Step::Done(_));
    // By the same process, after its end: each run is whole.
    alone(Rule::EffectsOnce, |history| {
        let again = Effect { at: 9 * MS, ..history.effect(1, begin).clone() };
        history.effects.push(again);
    });
    alone(Rule::EffectsOnce, |history| {
        let again = history.effect(1, done).clone();
        history.effects.push(again);
    });
    alone(Rule::EffectsOnce, |history| {
        history.effects.retain(|one| one.task != id(1) || one.step != Step::Begin);
    });
}

#[test]
fn a_result_that_nobody_made_is_found() {
    alone(Rule::Effect, |history| history.effects.retain(|one| one.task != id(1)));
    alone(Rule::Effect, |history| history.task(1).word = Some("another".into()));
    alone(Rule::Effect, |history| history.task(1).word = None);
    // The one that counted is not the one that did it.
    found(Rule::Effect, |history| {
        history.effects.retain(|one| one.task != id(2));
        history.effects.push(effect(2, 1, 51, Step::Begin));
        history.effects.push(effect(2, 1, 55, Step::Done("word-2".into())));
    });
}

#[test]
fn two_attempts_at_once_are_found() {
    // Of another process, which works on while the second attempt is under way.
    alone(Rule::NotTwice, |history| {
        history.effects.push(effect(2, 1, 65, Step::Alive));
    });
    // The same attempt, twice at once.
    found(Rule::NotTwice, |history| {
        let again: Vec<_> =
            history.effects.iter().filter(|one| one.task == id(1)).cloned().collect();
        history.effects.extend(again.into_iter().map(|one| Effect { pid: 8, ..one }));
    });
    alone(Rule::NotTwice, |history| history.task(2).attempts[0].to += 500_000);
}

#[test]
fn what_is_held_twice_is_found() {
    alone(Rule::Locks, |history| history.move_to(LOCKED[1], 5));
    alone(Rule::Locks, |history| history.submitted(SHARED[0]).spec.locks[0].1 = false);
    alone(Rule::Locks, |history| history.move_to(19, 5));
    // One side is enough.
    alone(Rule::Locks, |history| history.task(LOCKED[0]).attempts[0].to += 1);
    alone(Rule::Locks, |history| {
        history.effect(LOCKED[0], |step| *step == Step::Alive).at = 12 * MS;
    });
}

#[test]
fn more_than_is_allowed_is_found() {
    alone(Rule::Limits, |history| history.move_to(NARROW[2], 5));
    alone(Rule::Limits, |history| history.move_to(KEYED[1], 5));
}

#[test]
fn what_begins_before_it_may_is_found() {
    alone(Rule::Order, |history| history.move_to(DEPENDENT, 5));
    alone(Rule::Order, |history| history.submitted(DEPENDENT).spec.depends_on.push(97));
}
