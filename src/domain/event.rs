//! What is told of tasks to those outside: the words of events, and which of them somebody wants.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    AgentName, BatchId, FleetName, GroupName, QueueName, TaskId, record::FeedEvent,
    task::TaskState, text_schema::text_schema,
};

/// The word of an event: `task.` and the state that the task came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, utoipa::ToSchema)]
#[schema(value_type = String, examples("task.completed"))]
pub struct EventType(pub TaskState);

/// Which types of events are wanted: one, or those of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TypePattern {
    /// `task.*`
    All,
    /// `task.ended`: completed, failed or cancelled.
    Ended,
    /// One alone.
    One(EventType),
}

text_schema!(TypePattern, types(), "task.ended");

/// Every type of events, as a pattern of text.
fn types() -> String {
    let words = TaskState::ALL.map(TaskState::as_str).join("|");
    format!("^task[.]([*]|ended|{words})$")
}

/// A text that is no type of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no type of events: send `task.` with a state, as in `task.completed`, or `task.ended`, or `task.*`"
)]
pub struct NoType;

/// One step of a task, with where the task belongs and who ran it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TaskEvent {
    /// The word of it.
    #[serde(rename = "type")]
    pub word: EventType,
    /// The step.
    #[serde(flatten)]
    pub step: FeedEvent,
    /// The queue of the task; like all that follows `null` if the task is deleted by now.
    pub queue: Option<QueueName>,
    /// The kind of the task.
    pub kind: Option<String>,
    /// The group that it is counted in.
    pub group: Option<GroupName>,
    /// The batch that it ends with.
    pub batch: Option<BatchId>,
    /// The agent that ran the attempt, where the database knows it.
    pub agent: Option<AgentName>,
    /// The fleet of that agent.
    pub fleet: Option<FleetName>,
}

/// Where a task belongs and who ran it: what an event has beyond its step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Labels {
    /// The queue of the task.
    pub queue: Option<QueueName>,
    /// Its kind.
    pub kind: Option<String>,
    /// Its group.
    pub group: Option<GroupName>,
    /// Its batch.
    pub batch: Option<BatchId>,
    /// The agent of the attempt.
    pub agent: Option<AgentName>,
}

/// Which events are wanted. What is empty leaves everything through; of several fields each must
/// agree, of several words of one field one is enough.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EventFilter {
    /// Of these types.
    pub types: Vec<TypePattern>,
    /// Of these tasks.
    pub tasks: Vec<TaskId>,
    /// Of tasks of these queues.
    pub queues: Vec<QueueName>,
    /// Of tasks of these kinds.
    pub kinds: Vec<String>,
    /// Of tasks of these groups.
    pub groups: Vec<GroupName>,
    /// Of tasks of these batches.
    pub batches: Vec<BatchId>,
    /// Of attempts by agents of these fleets.
    pub fleets: Vec<FleetName>,
}

impl TaskEvent {
    /// The event of `step`.
    pub fn of(step: FeedEvent, labels: Labels) -> Self {
        let Labels { queue, kind, group, batch, agent } = labels;
        let fleet = agent.as_ref().and_then(AgentName::fleet);
        Self { word: EventType(step.state), step, queue, kind, group, batch, agent, fleet }
    }
}

impl EventFilter {
    /// Whether everything is wanted.
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// Whether `event` is wanted.
    pub fn takes(&self, event: &TaskEvent) -> bool {
        (self.types.is_empty() || self.types.iter().any(|one| one.takes(event.word)))
            && (self.tasks.is_empty() || self.tasks.contains(&event.step.task))
            && among(&self.queues, event.queue.as_ref())
            && among(&self.kinds, event.kind.as_ref())
            && among(&self.groups, event.group.as_ref())
            && among(&self.batches, event.batch.as_ref())
            && among(&self.fleets, event.fleet.as_ref())
    }
}

fn among<T: PartialEq>(wanted: &[T], value: Option<&T>) -> bool {
    wanted.is_empty() || value.is_some_and(|value| wanted.contains(value))
}

impl TypePattern {
    /// Whether it takes events of this type.
    pub fn takes(self, word: EventType) -> bool {
        match self {
            Self::All => true,
            Self::Ended => word.0.is_final(),
            Self::One(one) => one == word,
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task.{}", self.0)
    }
}

impl FromStr for EventType {
    type Err = NoType;

    fn from_str(text: &str) -> Result<Self, NoType> {
        let state = text.strip_prefix("task.").ok_or(NoType)?;
        state.parse().map(Self).map_err(|_| NoType)
    }
}

impl fmt::Display for TypePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("task.*"),
            Self::Ended => f.write_str("task.ended"),
            Self::One(one) => one.fmt(f),
        }
    }
}

impl FromStr for TypePattern {
    type Err = NoType;

    fn from_str(text: &str) -> Result<Self, NoType> {
        match text {
            "task.*" => Ok(Self::All),
            "task.ended" => Ok(Self::Ended),
            text => text.parse().map(Self::One),
        }
    }
}

/// Texts in JSON, as they are written and read.
macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(|error| de::Error::custom(format!("`{text}` {error}")))
            }
        }
    )*};
}
as_text!(EventType, TypePattern);

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::domain::Attempt;

    fn event(state: TaskState) -> TaskEvent {
        let step = FeedEvent {
            task: TaskId::from_uuid(Uuid::from_u128(1)),
            number: 3,
            state,
            attempt: Attempt(1),
            at: Timestamp::UNIX_EPOCH,
        };
        let labels = Labels {
            queue: Some("review".parse().unwrap()),
            kind: Some("pr".to_owned()),
            group: Some("night".parse().unwrap()),
            batch: None,
            agent: Some("claude-2".parse().unwrap()),
        };
        TaskEvent::of(step, labels)
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for state in TaskState::ALL {
            let word = EventType(state);
            assert_eq!(word.to_string().parse(), Ok(word));
            assert_eq!(word.to_string().parse(), Ok(TypePattern::One(word)));
        }
        for (text, pattern) in [("task.*", TypePattern::All), ("task.ended", TypePattern::Ended)] {
            assert_eq!(text.parse(), Ok(pattern));
            assert_eq!(pattern.to_string(), text);
        }
        for bad in ["", "task", "task.", "completed", "task.done", "*", "agent.*"] {
            assert_eq!(bad.parse::<TypePattern>(), Err(NoType), "{bad}");
        }
    }

    #[test]
    fn each_field_of_a_filter_must_agree_and_one_word_of_it_is_enough() {
        let told = event(TaskState::Completed);
        let rows = [
            (r#"{}"#, true),
            (r#"{"types": ["task.completed"]}"#, true),
            (r#"{"types": ["task.failed"]}"#, false),
            (r#"{"types": ["task.failed", "task.ended"]}"#, true),
            (r#"{"types": ["task.*"], "queues": ["review"]}"#, true),
            (r#"{"types": ["task.*"], "queues": ["build"]}"#, false),
            (r#"{"queues": ["build", "review"], "kinds": ["pr"]}"#, true),
            (r#"{"kinds": ["PR"]}"#, false),
            (r#"{"groups": ["night"], "fleets": ["claude"]}"#, true),
            (r#"{"groups": ["day"]}"#, false),
            (r#"{"fleets": ["codex"]}"#, false),
            (r#"{"tasks": ["tsk_00000000000000000000000000000001"]}"#, true),
            (r#"{"tasks": ["tsk_00000000000000000000000000000002"]}"#, false),
            (r#"{"batches": ["bat_00000000000000000000000000000001"]}"#, false),
        ];
        for (text, takes) in rows {
            let filter: EventFilter = serde_json::from_str(text).unwrap();
            assert_eq!(filter.takes(&told), takes, "{text}");
            let again = serde_json::to_string(&filter).unwrap();
            assert_eq!(serde_json::from_str::<EventFilter>(&again).unwrap(), filter);
        }
        for bad in [r#"{"types": ["task.done"]}"#, r#"{"queue": ["a"]}"#, r#"{"queues": ["A B"]}"#]
        {
            assert!(serde_json::from_str::<EventFilter>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_event_tells_its_step_and_where_it_belongs() {
        let text = serde_json::to_value(event(TaskState::Failed)).unwrap();
        assert_eq!(text["type"], "task.failed");
        assert_eq!((&text["number"], &text["state"]), (&3.into(), &"failed".into()));
        assert_eq!((&text["fleet"], &text["agent"]), (&"claude".into(), &"claude-2".into()));
        assert_eq!(serde_json::from_value::<TaskEvent>(text).unwrap(), event(TaskState::Failed));
    }
}
