//! What a submit says of how its attempts go. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::fields::Fields;
use crate::domain::{
    retry::{Growth, RetryTerms},
    snooze::{self, Until},
};

/// The most kinds of failure in one list.
const MAX_CAUSES: usize = 50;

const DAY: Duration = Duration::from_secs(86_400);

/// The latest deadline, from now.
const MAX_DEADLINE: Duration = Duration::from_secs(3650 * 86_400);

/// Reads `deadline`, of a task that may begin at `run_at`.
pub(super) fn deadline(
    task: &mut Fields<'_>,
    now: Timestamp,
    run_at: Option<Timestamp>,
) -> Option<Timestamp> {
    let deadline = task.moment("deadline", now, MAX_DEADLINE)?;
    if run_at.is_some_and(|run_at| run_at >= deadline) {
        task.wrong("deadline", "comes before the task may begin");
        return None;
    }
    Some(deadline)
}

/// Reads `retry`: the terms, and the number of attempts if it is said there.
pub(super) fn retry(task: &mut Fields<'_>, max_attempts: i64) -> (RetryTerms, Option<i64>) {
    let Some(mut retry) = task.object("retry") else { return (RetryTerms::default(), None) };
    let terms = RetryTerms {
        kind: retry.word("kind", &Growth::WORDS),
        backoff_min: retry.duration("backoff_min", true, DAY),
        backoff_max: retry.duration("backoff_max", true, DAY * 30),
        jitter: retry.fraction("jitter"),
        retry_on: retry.list("retry_on", MAX_CAUSES),
        never_on: retry.list("never_on", MAX_CAUSES),
    };
    let most = retry.integer("max_attempts", 1..=max_attempts);
    if let (Some(min), Some(max)) = (terms.backoff_min, terms.backoff_max)
        && min > max
    {
        retry.wrong("backoff_min", "must not be more than `backoff_max`");
    }
    retry.finish();
    (terms, most)
}

/// Reads the body of a snooze: `for`, or `until`. Where it returns nothing, a mistake is noted.
pub(super) fn until(body: &mut Fields<'_>, now: Timestamp) -> Option<Until> {
    let said = [body.gives("for"), body.gives("until")];
    let wait = body.duration("for", false, snooze::MAX);
    let time = body.time("until");
    match said {
        [false, false] => body.wrong("for", "give `for` (a duration) or `until` (a time)"),
        [true, true] => body.wrong("until", "give either `for` or `until`"),
        _ if time.is_some_and(|time| time <= now) => body.wrong("until", "is past"),
        _ => return wait.map(Until::Passed).or(time.map(Until::Time)),
    }
    None
}
