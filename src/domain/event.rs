//! What is told to those outside, of tasks and of hosts: the words of events, and which of them somebody
//! wants.

mod ear;
mod host;

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    AgentName, BatchId, FleetName, GroupName, QueueName, TaskId, record::FeedEvent,
    task::TaskState, text_schema::text_schema,
};

pub use ear::Ear;
pub use host::{HostEvent, HostWord, News};

/// The word of an event of a task: `task.` and the state that the task came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// `host.*`, `fleet.*` or `agent.*`, by one word of them.
    Family(HostWord),
    /// One alone of a host.
    Host(HostWord),
}

text_schema!(TypePattern, types(), "task.ended");

/// Every type of events, as a pattern of text.
fn types() -> String {
    let of_tasks = TaskState::ALL.map(TaskState::as_str).join("|");
    let of_hosts = HostWord::ALL.map(|word| word.to_string().replace('.', "[.]")).join("|");
    format!("^(task[.]([*]|ended|{of_tasks})|(host|fleet|agent)[.][*]|{of_hosts})$")
}

/// A text that is no type of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no type of events: send `task.` with a state, as in `task.completed`, or `task.ended`, or `task.*`; or a \
     word of hosts, as in `agent.held`, or `agent.*`, `fleet.*`, `host.*`"
)]
pub struct NoType;

/// One step of a task, with where the task belongs and who ran it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

/// An event of the feed, with all that is told of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Event {
    /// Of a task.
    Task(TaskEvent),
    /// Of a host, a fleet or an agent.
    Host(HostEvent),
}

impl Event {
    /// Its word.
    pub fn word(&self) -> String {
        match self {
            Self::Task(event) => event.word.to_string(),
            Self::Host(event) => event.word.to_string(),
        }
    }

    /// When it happened.
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::Task(event) => event.step.at,
            Self::Host(event) => event.at,
        }
    }
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
    pub fn wants(&self, event: &Event) -> bool {
        match event {
            Event::Task(event) => self.takes(event),
            Event::Host(event) => self.takes_host(event),
        }
    }

    /// Whether `event` is wanted. What asks for certain tasks does not ask for it.
    pub fn takes_host(&self, event: &HostEvent) -> bool {
        let of_tasks = Self { types: Vec::new(), fleets: Vec::new(), ..self.clone() };
        of_tasks.is_open()
            && (self.types.is_empty() || self.types.iter().any(|one| one.takes_host(event.word)))
            && among(&self.fleets, event.fleet.as_ref())
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
            Self::Family(_) | Self::Host(_) => false,
        }
    }

    /// Whether it takes events of this type of hosts.
    pub fn takes_host(self, word: HostWord) -> bool {
        match self {
            Self::All | Self::Ended | Self::One(_) => false,
            Self::Family(one) => one.family() == word.family(),
            Self::Host(one) => one == word,
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
            Self::Family(one) => write!(f, "{}.*", one.family()),
            Self::Host(one) => one.fmt(f),
        }
    }
}

impl FromStr for TypePattern {
    type Err = NoType;

    fn from_str(text: &str) -> Result<Self, NoType> {
        match text {
            "task.*" => Ok(Self::All),
            "task.ended" => Ok(Self::Ended),
            "host.*" => Ok(Self::Family(HostWord::HostAdopted)),
            "fleet.*" => Ok(Self::Family(HostWord::FleetHeld)),
            "agent.*" => Ok(Self::Family(HostWord::AgentAdopted)),
            text => match text.parse() {
                Ok(word) => Ok(Self::Host(word)),
                Err(NoType) => text.parse().map(Self::One),
            },
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
as_text!(EventType, HostWord, TypePattern);

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{Attempt, HostId};

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
        for word in HostWord::ALL {
            assert_eq!(word.to_string().parse(), Ok(TypePattern::Host(word)));
        }
        for text in ["host.*", "fleet.*", "agent.*"] {
            assert_eq!(text.parse::<TypePattern>().unwrap().to_string(), text);
        }
        for bad in ["", "task", "task.", "completed", "task.done", "*", "agent", "agent.ended"] {
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
    fn what_is_told_of_hosts_is_wanted_by_its_type_and_fleet_and_by_nobody_who_asks_for_tasks() {
        let host = HostId::from_uuid(Uuid::from_u128(9));
        let fleet: FleetName = "claude".parse().unwrap();
        let told = HostEvent {
            word: HostWord::AgentHeld,
            host,
            agent: Some(AgentName::of(&fleet, 2)),
            fleet: Some(fleet),
            reason: Some("too little memory".to_owned()),
            detail: serde_json::Value::Null,
            at: Timestamp::UNIX_EPOCH,
        };
        let rows = [
            (r#"{}"#, true),
            (r#"{"types": ["agent.held"]}"#, true),
            (r#"{"types": ["agent.*"]}"#, true),
            (r#"{"types": ["agent.resumed", "host.*", "fleet.*"]}"#, false),
            (r#"{"types": ["task.*"]}"#, false),
            (r#"{"fleets": ["claude"]}"#, true),
            (r#"{"fleets": ["codex"]}"#, false),
            (r#"{"queues": ["review"]}"#, false),
            (r#"{"kinds": ["pr"], "types": ["agent.*"]}"#, false),
        ];
        for (text, takes) in rows {
            let filter: EventFilter = serde_json::from_str(text).unwrap();
            assert_eq!(filter.wants(&Event::Host(told.clone())), takes, "{text}");
        }
        let text = serde_json::to_value(Event::Host(told.clone())).unwrap();
        assert_eq!((&text["type"], &text["agent"]), (&"agent.held".into(), &"claude-2".into()));
        assert_eq!(serde_json::from_value::<Event>(text).unwrap(), Event::Host(told));
        let step = serde_json::to_value(event(TaskState::Failed)).unwrap();
        assert!(matches!(serde_json::from_value::<Event>(step).unwrap(), Event::Task(_)));
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
