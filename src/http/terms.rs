//! What a submit says of how its attempts go. Pure.

use std::time::Duration;

use super::fields::Fields;
use crate::domain::retry::{Growth, RetryTerms};

/// The most kinds of failure in one list.
const MAX_CAUSES: usize = 50;

const DAY: Duration = Duration::from_secs(86_400);

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
