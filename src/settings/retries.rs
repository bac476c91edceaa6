//! `[tasks.retry]` and `[queues.NAME.retry]`: the same words, in full and in part.

use std::{ops::RangeInclusive, time::Duration};

use super::{check, reader::Section};
use crate::domain::retry::{Cause, Growth, RetryPolicy, RetryTerms};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MIN: RangeInclusive<Duration> = Duration::ZERO..=DAY;
const MAX: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(30 * 24 * 60 * 60);

/// Reads a policy in full.
pub(super) fn policy(section: &Section<'_>) -> Option<RetryPolicy> {
    let kind = section.word("kind", &Growth::WORDS);
    let backoff_min = section.duration("backoff_min", MIN);
    let backoff_max = section.duration("backoff_max", MAX);
    let jitter = section.fraction("jitter");
    let (retry_on, never_on) = (causes(section, "retry_on"), causes(section, "never_on"));
    let (backoff_min, backoff_max) = (backoff_min?, backoff_max?);
    check::backoff(section, backoff_min, backoff_max);
    Some(RetryPolicy {
        kind: kind?,
        backoff_min,
        backoff_max,
        jitter: jitter?,
        retry_on: retry_on?,
        never_on: never_on?,
    })
}

/// Reads what differs from the policy of all tasks.
pub(super) fn terms(section: &Section<'_>) -> Option<RetryTerms> {
    let kind = section.given("kind", |section, key| section.word(key, &Growth::WORDS));
    let backoff_min = section.given("backoff_min", |section, key| section.duration(key, MIN));
    let backoff_max = section.given("backoff_max", |section, key| section.duration(key, MAX));
    let jitter = section.given("jitter", Section::fraction);
    let (retry_on, never_on) = (causes(section, "retry_on"), causes(section, "never_on"));
    if let (Some(Some(min)), Some(Some(max))) = (backoff_min, backoff_max) {
        check::backoff(section, min, max);
    }
    let unless_empty = |causes: Vec<Cause>| Some(causes).filter(|causes| !causes.is_empty());
    Some(RetryTerms {
        kind: kind?,
        backoff_min: backoff_min?,
        backoff_max: backoff_max?,
        jitter: jitter?,
        retry_on: unless_empty(retry_on?),
        never_on: unless_empty(never_on?),
    })
}

fn causes(section: &Section<'_>, key: &str) -> Option<Vec<Cause>> {
    let mut causes = Some(Vec::new());
    for (at, word) in section.texts(key)?.into_iter().enumerate() {
        match (word.parse(), &mut causes) {
            (Ok(cause), Some(causes)) => causes.push(cause),
            (Ok(_), None) => {}
            (Err(error), _) => {
                causes = None;
                section.wrong_item(key, at, format!("{error}"));
            }
        }
    }
    causes
}
