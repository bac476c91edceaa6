//! How failed attempts are tried again: the policy of a host, of a queue and of a task.
//!
//! A queue and a task say only what differs ([`RetryTerms`]); the nearer word counts. Pure: chance
//! comes from the caller.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    QueueName,
    task::{FailureClass, Outcome},
    text_schema::text_schema,
};

/// How the wait grows from one failed attempt to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Growth {
    /// Not at all.
    Fixed,
    /// By the first wait each time.
    Linear,
    /// Twofold each time.
    Exponential,
}

impl Growth {
    /// Every kind, with its word.
    pub const WORDS: [(&'static str, Self); 3] =
        [("fixed", Self::Fixed), ("linear", Self::Linear), ("exponential", Self::Exponential)];
}

/// A kind of failure, as a policy names it: a class, and maybe one code of it. `exit:3` is the exit
/// status 3, `task:17` an agent's error with the code 17.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cause {
    /// The class.
    pub class: FailureClass,
    /// The one code that is meant; any where absent.
    pub code: Option<i64>,
}

text_schema!(
    Cause,
    "^((exit|task)(:-?[0-9]{1,9})?|timeout|stale|spawn|protocol|internal|memory)$",
    "exit:3"
);

/// A word that names no kind of failure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no kind of failure: write a class (exit, task, timeout, stale, spawn, protocol, internal or memory), or one with a code, as `exit:3` or `task:17`"
)]
pub struct UnknownCause(String);

impl FromStr for Cause {
    type Err = UnknownCause;

    fn from_str(text: &str) -> Result<Self, UnknownCause> {
        let unknown = || UnknownCause(text.chars().take(64).collect());
        let (word, code) = match text.split_once(':') {
            Some((word, code)) => (word, Some(code.parse().map_err(|_| unknown())?)),
            None => (text, None),
        };
        let class = Self::CLASSES.into_iter().find(|class| class.as_str() == word);
        let class = class.ok_or_else(unknown)?;
        // Only these two have codes.
        if code.is_some() && !matches!(class, FailureClass::Exit | FailureClass::Task) {
            return Err(unknown());
        }
        Ok(Self { class, code })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "{}:{code}", self.class),
            None => self.class.fmt(f),
        }
    }
}

impl TryFrom<String> for Cause {
    type Error = UnknownCause;

    fn try_from(text: String) -> Result<Self, UnknownCause> {
        text.parse()
    }
}

impl From<Cause> for String {
    fn from(cause: Cause) -> Self {
        cause.to_string()
    }
}

impl Cause {
    /// The classes that an attempt can fail with and that a policy has a say in.
    const CLASSES: [FailureClass; 8] = [
        FailureClass::Exit,
        FailureClass::Task,
        FailureClass::Timeout,
        FailureClass::Stale,
        FailureClass::Spawn,
        FailureClass::Protocol,
        FailureClass::Internal,
        FailureClass::Memory,
    ];

    /// Whether a failure of `class`, with `code` if it has one, is of this kind.
    fn covers(self, class: FailureClass, code: Option<i64>) -> bool {
        self.class == class && self.code.is_none_or(|wanted| code == Some(wanted))
    }
}

/// How failed attempts are tried again, in full.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// How the wait grows.
    pub kind: Growth,
    /// The wait after the first failed attempt.
    pub backoff_min: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
    /// Which part of a wait is left to chance, 0 to 1: so much of it may fall away.
    pub jitter: f64,
    /// The failures that are tried again; all of them where empty.
    pub retry_on: Vec<Cause>,
    /// The failures that are not, whatever the list above says.
    pub never_on: Vec<Cause>,
}

/// What a queue or a task says of retries; what it leaves out stays as it was.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RetryTerms {
    /// See [`RetryPolicy::kind`].
    pub kind: Option<Growth>,
    /// See [`RetryPolicy::backoff_min`].
    #[serde(rename = "backoff_min_ms", with = "whole_ms")]
    #[schema(value_type = Option<u64>)]
    pub backoff_min: Option<Duration>,
    /// See [`RetryPolicy::backoff_max`].
    #[serde(rename = "backoff_max_ms", with = "whole_ms")]
    #[schema(value_type = Option<u64>)]
    pub backoff_max: Option<Duration>,
    /// See [`RetryPolicy::jitter`].
    pub jitter: Option<f64>,
    /// See [`RetryPolicy::retry_on`].
    pub retry_on: Option<Vec<Cause>>,
    /// See [`RetryPolicy::never_on`].
    pub never_on: Option<Vec<Cause>>,
}

/// Durations as whole milliseconds.
mod whole_ms {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::domain::restart::millis;

    #[expect(clippy::ref_option, reason = "the shape that serde asks for")]
    pub(super) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        duration.map(millis).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_millis))
    }
}

impl RetryTerms {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// Another attempt after this wait.
    Retry(Duration),
    /// No more: the task is failed.
    GiveUp,
}

impl RetryPolicy {
    /// This policy with what `terms` say in its place. Terms with one end of the wait alone move
    /// the other where it would be on the wrong side.
    #[must_use]
    pub fn with(&self, terms: &RetryTerms) -> Self {
        let backoff_min = terms.backoff_min.unwrap_or(self.backoff_min);
        let backoff_max = terms.backoff_max.unwrap_or(self.backoff_max.max(backoff_min));
        Self {
            kind: terms.kind.unwrap_or(self.kind),
            backoff_min: backoff_min.min(backoff_max),
            backoff_max,
            jitter: terms.jitter.unwrap_or(self.jitter),
            retry_on: terms.retry_on.clone().unwrap_or_else(|| self.retry_on.clone()),
            never_on: terms.never_on.clone().unwrap_or_else(|| self.never_on.clone()),
        }
    }

    /// Decides what follows a failure like `outcome`, when `failures` attempts failed before this
    /// one. `dice` in `0.0..1.0` spreads the wait.
    pub fn after(
        &self,
        outcome: &Outcome,
        failures: u32,
        max_attempts: u32,
        dice: f64,
    ) -> AfterFailure {
        let failures = failures.saturating_add(1);
        if failures >= max_attempts || !self.tries_again(outcome) {
            return AfterFailure::GiveUp;
        }
        AfterFailure::Retry(self.jittered(self.wait(failures), dice))
    }

    /// Whether a failure of this kind is tried again at all.
    fn tries_again(&self, outcome: &Outcome) -> bool {
        let Outcome::Failed { class, detail, .. } = outcome else { return true };
        let code = code_of(*class, detail);
        let is_among = |causes: &[Cause]| causes.iter().any(|cause| cause.covers(*class, code));
        !is_among(&self.never_on) && (self.retry_on.is_empty() || is_among(&self.retry_on))
    }

    /// The wait after the `failures`-th failure in a row, before chance has its part.
    fn wait(&self, failures: u32) -> Duration {
        let factor = match self.kind {
            Growth::Fixed => Some(1),
            Growth::Linear => Some(failures),
            Growth::Exponential => 2_u32.checked_pow(failures.saturating_sub(1)),
        };
        let wait = factor.and_then(|factor| self.backoff_min.checked_mul(factor));
        wait.map_or(self.backoff_max, |wait| wait.min(self.backoff_max))
    }

    fn jittered(&self, wait: Duration, dice: f64) -> Duration {
        let jitter = self.jitter.clamp(0.0, 1.0);
        wait.mul_f64(1.0 - jitter + jitter * dice.clamp(0.0, 1.0))
    }
}

/// The code of a failure, where its class has one.
fn code_of(class: FailureClass, detail: &Value) -> Option<i64> {
    match class {
        FailureClass::Exit => detail["exit_code"].as_i64(),
        FailureClass::Task => detail["code"].as_i64(),
        _ => None,
    }
}

/// What a host gives the tasks of one queue that do not say otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueTerms {
    /// How long one attempt may run; the fleet's limit where absent.
    pub timeout: Option<Duration>,
    /// How many attempts may fail before the task does.
    pub max_attempts: u32,
    /// How failed attempts are tried again.
    pub retry: RetryPolicy,
}

/// What a host gives the tasks of its queues.
#[derive(Debug, Clone, PartialEq)]
pub struct AllQueueTerms {
    /// Of queues that are not in the list.
    pub fallback: QueueTerms,
    /// Of those that are.
    pub queues: BTreeMap<QueueName, QueueTerms>,
}

impl AllQueueTerms {
    /// What the tasks of `queue` are given.
    pub fn of(&self, queue: &QueueName) -> &QueueTerms {
        self.queues.get(queue).unwrap_or(&self.fallback)
    }
}

#[cfg(test)]
mod tests;
