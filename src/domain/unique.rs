//! One task per key: what a submit asks for, and what becomes of it. Pure.
//!
//! A key counts within its queue, and belongs to the newest task that was made with it: the
//! *holder*. A submit with that key conflicts with the holder while the holder is in one of the
//! states that the submit names, and, where it names a window, while the holder is younger than
//! that. Otherwise the new task is made, and holds the key from then on.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write as _,
    str::FromStr,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use sha2::{Digest, Sha256};

use super::{
    Attempt, QueueName, TaskId,
    task::{NewTask, TaskState, Terms},
};

#[cfg(test)]
mod tests;

/// The longest key, in characters.
pub const MAX_UNIQUE_KEY: usize = 255;

/// That there is to be one task only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unique {
    /// What tells it from others of its queue; 1 to [`MAX_UNIQUE_KEY`] characters.
    pub key: String,
    /// How long after its making the holder is in the way; for ever where absent.
    pub window: Option<Duration>,
    /// In which states the holder is in the way.
    pub states: Vec<TaskState>,
    /// What happens if it is.
    pub on_conflict: OnConflict,
}

impl Unique {
    /// The states in which a holder is in the way where a submit names none: as long as it is not
    /// final; with a window, also once it is completed, or the window would mean little.
    pub fn usual_states(window: Option<Duration>) -> Vec<TaskState> {
        let counts = |state: &TaskState| {
            !state.is_final() || (window.is_some() && *state == TaskState::Completed)
        };
        TaskState::ALL.into_iter().filter(counts).collect()
    }

    /// How long after its making a task must be kept though it has ended, to be in the way of others
    /// that ask for the same: not at all where only tasks that have not ended are.
    pub fn keeps(&self) -> Option<Duration> {
        let counts = self.states.iter().any(|state| state.is_final());
        counts.then_some(self.window.unwrap_or(Duration::MAX))
    }

    /// Whether `holder` is in the way.
    pub fn conflicts(&self, holder: &Holder) -> bool {
        self.states.contains(&holder.state) && self.window.is_none_or(|window| holder.age < window)
    }
}

/// What a submit does about a task that is in the way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// The answer is that task.
    #[default]
    Return,
    /// That task takes over what the new one says, unless it has been started.
    Replace,
    /// The submit is refused.
    Reject,
}

impl OnConflict {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Return, Self::Replace, Self::Reject];

    /// The word of the API and the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Return => "return",
            Self::Replace => "replace",
            Self::Reject => "reject",
        }
    }
}

/// A part of a task that a key can be made of.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum KeyPart {
    /// Its queue. A key counts within its queue anyway; alone, it means one task in the queue.
    Queue,
    /// Its kind.
    Kind,
    /// Its input.
    Input,
}

impl KeyPart {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Queue, Self::Kind, Self::Input];

    /// The word of the API and the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Kind => "kind",
            Self::Input => "input",
        }
    }
}

/// A word that is none of those that there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not one of {known}")]
pub struct UnknownWord {
    text: String,
    known: &'static str,
}

impl FromStr for OnConflict {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let found = Self::ALL.into_iter().find(|known| known.as_str() == text);
        let known = "return, replace, reject";
        found.ok_or_else(|| UnknownWord { text: text.to_owned(), known })
    }
}

impl FromStr for KeyPart {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let found = Self::ALL.into_iter().find(|known| known.as_str() == text);
        let known = "queue, kind, input";
        found.ok_or_else(|| UnknownWord { text: text.to_owned(), known })
    }
}

/// The key that these parts of a task make: the same for inputs that are the same JSON, however
/// their fields are ordered and their numbers written.
pub fn key_of(by: &[KeyPart], kind: &str, input: &Value) -> String {
    let mut parts = by.to_vec();
    parts.sort_unstable();
    parts.dedup();
    let mut text = String::new();
    for part in &parts {
        match part {
            KeyPart::Queue => {}
            KeyPart::Kind => canonical(&Value::String(kind.to_owned()), &mut text),
            KeyPart::Input => canonical(input, &mut text),
        }
        text.push('\n');
    }
    let words: Vec<_> = parts.iter().map(|part| part.as_str()).collect();
    let mut key = format!("{}:", words.join("+"));
    for byte in Sha256::digest(text.as_bytes()) {
        // Writing to a String does not fail.
        write!(key, "{byte:02x}").unwrap_or_default();
    }
    key
}

/// Writes `value` so that equal values are equal texts.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Number(number) => out.push_str(&plain_number(number)),
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
            out.push('{');
            for (name, value) in sorted {
                canonical(&Value::String(name.clone()), out);
                out.push(':');
                canonical(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Null | Value::Bool(_) | Value::String(_) => out.push_str(&value.to_string()),
    }
}

/// A number without its spelling: `1.0`, `1e0` and `1` are one number.
fn plain_number(number: &Number) -> String {
    /// Up to here every whole number is a float of its own.
    const WHOLE: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < WHOLE => {
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and small enough")]
            let whole = float as i64;
            whole.to_string()
        }
        _ => number.to_string(),
    }
}

/// The task that has a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The task.
    pub task: TaskId,
    /// Where it is.
    pub state: TaskState,
    /// Its newest attempt; 0 if it has not been started.
    pub attempt: Attempt,
    /// How long ago it was made.
    pub age: Duration,
}

/// What becomes of one task of a submit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is made, with what the task at place `says` of the submit says: itself, or the last that
    /// replaced it.
    Create {
        /// Whose words it gets.
        says: usize,
    },
    /// Another has its key and stays as it is.
    Existing {
        /// That one.
        task: TaskId,
        /// Where it is.
        state: TaskState,
    },
    /// Another has its key and takes over what it says.
    Replaced {
        /// That one.
        task: TaskId,
    },
}

/// What becomes of a submit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// For each task of the submit.
    pub answers: Vec<Answer>,
    /// The older tasks that take over what a task of this submit says, and the place of that one.
    pub replaced: BTreeMap<TaskId, usize>,
}

/// A task of the submit that may not be, because another is in its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its place in the submit.
    pub position: usize,
    /// The task that is in its way.
    pub task: TaskId,
    /// Where that one is.
    pub state: TaskState,
    /// The place of that one, if it is of the same submit.
    pub earlier: Option<usize>,
}

/// Where a key is looked up: the queue, and the key.
pub type Slot<'a> = (&'a QueueName, &'a str);

/// Decides what becomes of `tasks`, one after the other, where `holders` have the keys so far.
///
/// Those in `settled` are not looked at: something else decides on them. `begins` says in which
/// state a new task begins.
///
/// # Errors
///
/// [`Rejected`] for the first task that asks to be refused where another is in its way.
pub fn plan<'a>(
    tasks: &[&'a NewTask],
    settled: &HashSet<usize>,
    mut holders: HashMap<Slot<'a>, Holder>,
    begins: impl Fn(&NewTask) -> TaskState,
) -> Result<Plan, Rejected> {
    let mut plan = Plan::default();
    let mut places: HashMap<TaskId, usize> = HashMap::new();
    for (position, task) in tasks.iter().enumerate() {
        let unique = task.terms.unique.as_ref().filter(|_| !settled.contains(&position));
        let Some(unique) = unique else {
            plan.answers.push(Answer::Create { says: position });
            continue;
        };
        let slot = (&task.queue, unique.key.as_str());
        let in_the_way = holders.get_mut(&slot).filter(|holder| unique.conflicts(holder));
        let Some(holder) = in_the_way else {
            plan.answers.push(Answer::Create { says: position });
            places.insert(task.id, position);
            let (state, age) = (begins(task), Duration::ZERO);
            holders.insert(slot, Holder { task: task.id, state, attempt: Attempt(0), age });
            continue;
        };
        let (other, state) = (holder.task, holder.state);
        let started = holder.attempt > Attempt(0) || state.is_final();
        let earlier = places.get(&other).copied();
        let answer = match unique.on_conflict {
            OnConflict::Reject => {
                return Err(Rejected { position, task: other, state, earlier });
            }
            OnConflict::Replace if !started => {
                if let Some(place) = earlier {
                    plan.answers[place] = Answer::Create { says: position };
                } else {
                    plan.replaced.insert(other, position);
                }
                // A blocked task stays so whenever it could run.
                if state != TaskState::Blocked {
                    holder.state = begins(task);
                }
                Answer::Replaced { task: other }
            }
            OnConflict::Replace | OnConflict::Return => Answer::Existing { task: other, state },
        };
        plan.answers.push(answer);
    }
    Ok(plan)
}

/// `task`, with what `newer` says of its work and its time. It stays the same task in everything
/// that others know it by.
pub fn taking_over(task: &NewTask, newer: &NewTask) -> NewTask {
    NewTask {
        kind: newer.kind.clone(),
        input: newer.input.clone(),
        priority: newer.priority,
        run_at: newer.run_at,
        max_attempts: newer.max_attempts,
        timeout: newer.timeout,
        terms: Terms {
            retry: newer.terms.retry.clone(),
            deadline: newer.terms.deadline,
            needs: newer.terms.needs.clone(),
            ..task.terms.clone()
        },
        ..task.clone()
    }
}
