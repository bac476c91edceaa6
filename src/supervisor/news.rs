//! What is told to those outside of what happens to agents.

use jiff::Timestamp;
use serde_json::json;
use slog::warn;
use tokio::sync::mpsc;

use super::actor::SupervisorActor;
use crate::{
    agent::AgentStatus,
    domain::{
        FleetName,
        agent::AgentState,
        event::{HostWord, News},
    },
};

/// Where what happens is told, and when it happened. Whoever hears it writes it down.
pub type Tell = mpsc::Sender<(Timestamp, News)>;

/// What of the way from `old` to `new` is told.
fn words(old: &AgentStatus, new: &AgentStatus) -> Vec<HostWord> {
    let runs = matches!(new.state, AgentState::Starting | AgentState::Idle | AgentState::Busy);
    let given_up = |status: &AgentStatus| status.state == AgentState::Quarantined;
    let all = [
        (old.adopted.is_none() && new.adopted.is_some(), HostWord::AgentAdopted),
        (given_up(old) && !given_up(new), HostWord::AgentReleased),
        (!old.held && new.held, HostWord::AgentHeld),
        (old.held && !new.held && runs, HostWord::AgentResumed),
        (!given_up(old) && given_up(new), HostWord::AgentQuarantined),
    ];
    all.into_iter().filter(|(is_so, _)| *is_so).map(|(_, word)| word).collect()
}

impl SupervisorActor {
    pub(super) fn tell(&self, news: News) {
        if self.news.try_send((Timestamp::now(), news)).is_err() {
            warn!(self.log, "an event is lost"; "reason" => "many wait to be written already");
        }
    }

    /// Tells what has become of an agent.
    pub(super) fn tell_move(&self, fleet: &FleetName, old: &AgentStatus, new: &AgentStatus) {
        for word in words(old, new) {
            let reason = match word {
                HostWord::AgentHeld | HostWord::AgentQuarantined => new.reason.clone(),
                _ => None,
            };
            let mut news = News::of_agent(word, fleet, &new.agent, reason);
            if word == HostWord::AgentAdopted {
                news.detail = json!({ "generation": new.generation, "pid": new.pid });
            }
            self.tell(news);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Generation, record::AdoptedRecord};

    fn status(state: AgentState, held: bool) -> AgentStatus {
        AgentStatus { state, held, ..AgentStatus::new("a-1".parse().unwrap()) }
    }

    #[test]
    fn what_is_told_of_each_way() {
        use AgentState as S;
        let rows = [
            (status(S::Stopped, false), status(S::Starting, false), vec![]),
            (status(S::Starting, false), status(S::Idle, false), vec![]),
            (status(S::Stopped, false), status(S::Paused, true), vec![HostWord::AgentHeld]),
            (status(S::Starting, false), status(S::Starting, true), vec![HostWord::AgentHeld]),
            (status(S::Paused, true), status(S::Starting, false), vec![HostWord::AgentResumed]),
            (status(S::Starting, true), status(S::Starting, false), vec![HostWord::AgentResumed]),
            // An operator's word is none of these.
            (status(S::Idle, false), status(S::Paused, false), vec![]),
            (status(S::Paused, true), status(S::Stopped, false), vec![]),
            (
                status(S::Backoff, false),
                status(S::Quarantined, false),
                vec![HostWord::AgentQuarantined],
            ),
            (status(S::Quarantined, false), status(S::Quarantined, false), vec![]),
            (
                status(S::Quarantined, false),
                status(S::Stopped, false),
                vec![HostWord::AgentReleased],
            ),
            (
                status(S::Quarantined, false),
                status(S::Paused, true),
                vec![HostWord::AgentReleased, HostWord::AgentHeld],
            ),
        ];
        for (old, new, expected) in rows {
            assert_eq!(words(&old, &new), expected, "{old:?} {new:?}");
        }
        let adopted = Some(AdoptedRecord { generation: Generation(1), at: Timestamp::UNIX_EPOCH });
        let new = AgentStatus { adopted, ..status(S::Busy, false) };
        assert_eq!(words(&status(S::Stopped, false), &new), [HostWord::AgentAdopted]);
        assert_eq!(words(&new, &new), []);
    }
}
