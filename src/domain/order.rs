//! In which order fleets start and stop, and who is restarted with whom.

use std::{collections::BTreeMap, fmt, str::FromStr};

use super::{FleetName, agent::AgentState, health::FleetStanding, plan::Graph};

/// What a fleet waits for in another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Each of its agents has been started.
    Started,
    /// All of its agents are ready.
    Healthy,
    /// Each of its agents has done its work for good: its process ended with status 0, and no other
    /// one follows.
    Completed,
}

impl Condition {
    /// The words of the config file.
    const WORDS: [(&'static str, Self); 3] =
        [("started", Self::Started), ("healthy", Self::Healthy), ("completed", Self::Completed)];

    /// The word of the config file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Healthy => "healthy",
            Self::Completed => "completed",
        }
    }

    const fn is_met(self, standing: FleetStanding) -> bool {
        match self {
            Self::Started => standing.is_started(),
            Self::Healthy => standing.is_healthy(),
            Self::Completed => standing.is_completed(),
        }
    }
}

/// That a fleet does not start before another one has come so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The other fleet.
    pub fleet: FleetName,
    /// How far it has come.
    pub condition: Condition,
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.fleet, self.condition.as_str())
    }
}

impl FromStr for Dependency {
    type Err = String;

    /// Reads `fleet`, or `fleet:condition`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (fleet, word) = text.split_once(':').unwrap_or((text, "healthy"));
        let fleet = fleet.parse::<FleetName>().map_err(|error| error.to_string())?;
        let condition = Condition::WORDS.iter().find(|(known, _)| *known == word);
        let Some((_, condition)) = condition else {
            return Err(format!(
                "\"{word}\" is no condition: write \"{fleet}:started\", \"{fleet}:healthy\" or \
                 \"{fleet}:completed\""
            ));
        };
        Ok(Self { fleet, condition: *condition })
    }
}

/// Who is restarted when an agent of a fleet fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// That agent alone.
    OneForOne,
    /// Every agent of the fleet.
    OneForAll,
    /// That agent, and those with higher numbers.
    RestForOne,
}

impl Strategy {
    /// Whether any agent but the one that failed may be restarted.
    pub const fn takes_others(self) -> bool {
        !matches!(self, Self::OneForOne)
    }

    /// Whether an agent is restarted because that of number `failed` did.
    pub const fn concerns(self, failed: u16, other: u16, state: AgentState) -> bool {
        let lives = matches!(state, AgentState::Starting | AgentState::Idle | AgentState::Busy);
        let concerned = match self {
            Self::OneForOne => false,
            Self::OneForAll => other != failed,
            Self::RestForOne => other > failed,
        };
        lives && concerned
    }
}

/// What each fleet depends on.
pub type Needs<'a> = BTreeMap<&'a FleetName, &'a [Dependency]>;

/// A circle of fleets that wait for each other, if there is one: each waits for the next, the last
/// for the first.
pub fn circle(needs: &Needs<'_>) -> Option<Vec<FleetName>> {
    let names: Vec<&FleetName> = needs.keys().copied().collect();
    let place = |need: &Dependency| names.binary_search(&&need.fleet).ok();
    let before = needs.values().map(|all| all.iter().filter_map(place).collect()).collect();
    let circle = Graph::from_before(before).circle()?;
    Some(circle.into_iter().map(|at| names[at].clone()).collect())
}

/// What of `needs` is not met yet: the first of it.
pub fn unmet(
    needs: &[Dependency],
    standing: impl Fn(&FleetName) -> FleetStanding,
) -> Option<&Dependency> {
    needs.iter().find(|need| !need.condition.is_met(standing(&need.fleet)))
}

/// Whether a fleet may stop now: all that depend on it are at rest.
pub fn may_stop(
    fleet: &FleetName,
    needs: &Needs<'_>,
    at_rest: impl Fn(&FleetName) -> bool,
) -> bool {
    let depends = |all: &[Dependency]| all.iter().any(|need| need.fleet == *fleet);
    needs.iter().all(|(other, all)| *other == fleet || !depends(all) || at_rest(other))
}

#[cfg(test)]
mod tests;
