//! Which agents of a fleet are launched, replaced and sent away, so that the fleet becomes what is
//! wanted of it: of another size, or of another definition.
//!
//! The supervisor asks whenever something changed, and carries the moves out. Agents are replaced a
//! few at a time; one at work ends its attempt first. A new definition that does not work stops its
//! own spreading: agents that do not come up count as away, and no more are replaced than may be.

use std::{fmt, str::FromStr};

use super::{agent::AgentState, fleet::Fleet};

/// How many agents of a fleet may be away at once for the sake of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// So many.
    Count(u16),
    /// So many of a hundred.
    Percent(u8),
}

impl Share {
    /// How many of `total` that is; one at least, as nothing would ever change otherwise.
    pub fn of(self, total: u16) -> u16 {
        let count = match self {
            Self::Count(count) => count,
            Self::Percent(percent) => {
                let part = u32::from(total) * u32::from(percent) / 100;
                u16::try_from(part).unwrap_or(u16::MAX)
            }
        };
        count.max(1)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// A text that is no [`Share`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a number of agents such as \"2\", or a part such as \"25%\", of 1 at least")]
pub struct ParseShareError;

impl FromStr for Share {
    type Err = ParseShareError;

    fn from_str(text: &str) -> Result<Self, ParseShareError> {
        let digits = text.strip_suffix('%').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseShareError);
        }
        let number: u16 = digits.parse().map_err(|_| ParseShareError)?;
        match (text.ends_with('%'), number) {
            (_, 0) => Err(ParseShareError),
            (false, count) => Ok(Self::Count(count)),
            (true, percent @ 1..=100) => {
                u8::try_from(percent).map(Self::Percent).map_err(|_| ParseShareError)
            }
            (true, _) => Err(ParseShareError),
        }
    }
}

/// Whether agents of `old` must be replaced to be agents of `new`. What else differs between the two
/// counts for those that run from now on, without a new process.
pub fn replaces(old: &Fleet, new: &Fleet) -> bool {
    let mut same = old.clone();
    // What is not named here is of a process, or was told to it.
    same.count = new.count;
    same.queues.clone_from(&new.queues);
    same.concurrency = new.concurrency;
    same.task_timeout = new.task_timeout;
    same.start_timeout = new.start_timeout;
    same.stop_signal = new.stop_signal;
    same.stop_grace = new.stop_grace;
    same.restart = new.restart;
    same.heartbeat.stale_after = new.heartbeat.stale_after;
    same.depends_on.clone_from(&new.depends_on);
    same.strategy = new.strategy;
    same.heartbeat.first_sign = new.heartbeat.first_sign;
    same.heartbeat.busy_stale_after = new.heartbeat.busy_stale_after;
    same.heartbeat.tool_stale_after = new.heartbeat.tool_stale_after;
    same.start_concurrency = new.start_concurrency;
    same.linger = new.linger;
    same.max_written = new.max_written;
    same.storm = new.storm;
    same.max_unavailable = new.max_unavailable;
    same.scale = new.scale;
    same != *new
}

/// One agent of a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub number: u16,
    /// Where it is in its life.
    pub state: AgentState,
    /// Whether it is of the newest definition.
    pub current: bool,
    /// Whether it was asked to leave for the sake of a change.
    pub leaving: bool,
}

impl Member {
    /// Whether somebody wants it to rest, or its policy has it rest.
    const fn rests(&self) -> bool {
        !self.leaving && matches!(self.state, AgentState::Stopped | AgentState::Paused)
    }

    /// Whether it does, or could do, what the fleet is for.
    const fn is_there(&self) -> bool {
        !self.leaving && matches!(self.state, AgentState::Idle | AgentState::Busy)
    }
}

/// What is to be done with one agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Move {
    /// There is none of this number: launch it.
    Launch(u16),
    /// Ask it to leave once its attempt has ended: there are too many.
    Retire(u16),
    /// It has left: forget it.
    Remove(u16),
    /// Ask it to leave once its attempt has ended: its successor is another.
    Replace(u16),
    /// It has no process: give it the newest definition and start it.
    Renew(u16),
    /// It has no process and is to have none: give it the newest definition.
    Refit(u16),
}

/// What brings a fleet nearer to `target` agents of the newest definition, while no more than
/// `away` of them are away for that.
pub fn next(target: u16, away: u16, members: &[Member]) -> Vec<Move> {
    use AgentState as S;

    let mut moves = Vec::new();
    for member in members.iter().filter(|member| member.number > target) {
        match (member.state, member.leaving) {
            (S::Stopped, _) => moves.push(Move::Remove(member.number)),
            (_, false) => moves.push(Move::Retire(member.number)),
            (_, true) => {}
        }
    }
    let wanted: Vec<&Member> = members.iter().filter(|member| member.number <= target).collect();
    let missing = (1..=target).filter(|number| wanted.iter().all(|one| one.number != *number));
    moves.extend(missing.map(Move::Launch));
    let gone = wanted.iter().filter(|member| !member.rests() && !member.is_there()).count();
    let missing = usize::from(target) - wanted.len();
    let mut room = usize::from(away).saturating_sub(gone + missing);

    let mut old = Vec::new();
    for member in wanted {
        match member.state {
            S::Stopped if member.leaving => moves.push(Move::Renew(member.number)),
            _ if member.current => {}
            S::Stopped | S::Paused => moves.push(Move::Refit(member.number)),
            // Perhaps the newest definition is what it needs.
            S::Quarantined => moves.push(Move::Renew(member.number)),
            S::Idle | S::Busy | S::Starting | S::Stale | S::Backoff if !member.leaving => {
                old.push(member);
            }
            _ => {}
        }
    }
    // Those that are away already first, then those whose leaving disturbs nobody.
    old.sort_by_key(|member| (member.is_there(), member.state == S::Busy, member.number));
    for member in old {
        if member.is_there() {
            let Some(less) = room.checked_sub(1) else { break };
            room = less;
        }
        moves.push(Move::Replace(member.number));
    }
    moves
}

#[cfg(test)]
mod tests;
