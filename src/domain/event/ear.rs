//! What one who listens is told: what he wants, of what he may be told.

use super::{Event, EventFilter};
use crate::domain::access::Limits;

/// One who listens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Ear {
    /// What he wants.
    pub wants: EventFilter,
    /// What he is limited to, if he is.
    pub within: Option<Limits>,
}

impl Ear {
    /// Whether he is told of `event`.
    pub fn hears(&self, event: &Event) -> bool {
        self.within.as_ref().is_none_or(|limits| event.is_within(limits)) && self.wants.wants(event)
    }
}

impl From<EventFilter> for Ear {
    fn from(wants: EventFilter) -> Self {
        Self { wants, within: None }
    }
}

impl Event {
    /// Whether one who is limited to this may be told of it: of tasks of these queues, and of what
    /// happened to these fleets and their agents.
    pub fn is_within(&self, limits: &Limits) -> bool {
        match self {
            Self::Task(event) => {
                event.queue.as_ref().is_some_and(|queue| limits.queues.contains(queue))
            }
            Self::Host(event) => {
                event.fleet.as_ref().is_some_and(|fleet| limits.fleets.contains(fleet))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        AgentName, Attempt, FleetName, HostId, TaskId,
        event::{HostEvent, HostWord, Labels, TaskEvent},
        record::FeedEvent,
        task::TaskState,
    };

    fn of_task(queue: Option<&str>) -> Event {
        let step = FeedEvent {
            task: TaskId::from_uuid(Uuid::from_u128(1)),
            number: 3,
            state: TaskState::Completed,
            attempt: Attempt(1),
            at: Timestamp::UNIX_EPOCH,
        };
        let queue = queue.map(|queue| queue.parse().unwrap());
        // An agent of the fleet has it, and that says nothing of whose task it is.
        let agent = Some("claude-1".parse().unwrap());
        Event::Task(TaskEvent::of(step, Labels { queue, agent, ..Labels::default() }))
    }

    fn of_fleet(fleet: Option<&str>) -> Event {
        let fleet: Option<FleetName> = fleet.map(|fleet| fleet.parse().unwrap());
        Event::Host(HostEvent {
            word: HostWord::AgentHeld,
            host: HostId::from_uuid(Uuid::from_u128(9)),
            agent: fleet.as_ref().map(|fleet| AgentName::of(fleet, 2)),
            fleet,
            reason: None,
            detail: serde_json::Value::Null,
            at: Timestamp::UNIX_EPOCH,
        })
    }

    #[test]
    fn one_who_is_limited_hears_of_his_queues_and_fleets_alone_whatever_he_wants() {
        let within = Limits {
            fleets: ["claude".parse().unwrap()].into(),
            queues: ["review".parse().unwrap()].into(),
        };
        let ear = |wants: &str| Ear {
            wants: serde_json::from_str(wants).unwrap(),
            within: Some(within.clone()),
        };
        let rows = [
            (of_task(Some("review")), true),
            (of_task(Some("build")), false),
            // One that was deleted: whose it was is not known.
            (of_task(None), false),
            (of_fleet(Some("claude")), true),
            (of_fleet(Some("codex")), false),
            (of_fleet(None), false),
        ];
        for (event, hears) in rows {
            assert_eq!(ear("{}").hears(&event), hears, "{event:?}");
            assert!(Ear::default().hears(&event), "{event:?}");
            assert!(!ear(r#"{"queues": ["build"]}"#).hears(&event), "{event:?}");
            let nothing = Ear { within: Some(Limits::default()), ..Ear::default() };
            assert!(!nothing.hears(&event), "{event:?}");
        }
    }
}
