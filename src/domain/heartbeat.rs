//! When an agent that shows no life counts as stale.
//!
//! Silence is judged only where life can be expected: of an agent at work, and of an idle one that
//! promised to beat. Any output, progress, heartbeat or notification counts; where the fleet allows it,
//! so does what its processes do, as `/proc` tells it, though not for ever. An open tool call and a wait
//! that the agent asked for have limits of their own. A verdict names what it rests on.

mod tree;

use std::{fmt, time::Duration};

use serde::Serialize;

use super::{Millis, restart::millis};
pub use tree::{Moved, Tree};

/// The heartbeat limits of a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How often a worker that can is asked to beat.
    pub every: Duration,
    /// An agent at work that shows no life for this long is stale; `None` switches the check off.
    pub stale_after: Option<Duration>,
    /// An agent that shows no life at all for this long after it was given its task is stale.
    pub first_sign: Option<Duration>,
    /// What counts as life besides what the agent says by its protocol.
    pub evidence: Evidence,
    /// An agent that says nothing and only uses CPU time or moves bytes is stale after this.
    pub busy_stale_after: Duration,
    /// A tool call that an agent has told of, without a limit of its own, may take this long.
    pub tool_stale_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(10),
            stale_after: Some(Duration::from_secs(300)),
            first_sign: None,
            evidence: Evidence { notify: true, cpu: false, io: false },
            busy_stale_after: Duration::from_secs(3600),
            tool_stale_after: Duration::from_secs(1800),
        }
    }
}

/// What counts as life besides output, progress and heartbeats by the protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evidence {
    /// What it says on its notification socket.
    pub notify: bool,
    /// The CPU time of its processes.
    pub cpu: bool,
    /// The bytes that its processes read and write.
    pub io: bool,
}

impl Evidence {
    /// Whether its processes must be looked at.
    pub const fn looks_at_processes(self) -> bool {
        self.cpu || self.io
    }
}

/// What is expected of an agent right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// Nothing: idle without a promise to beat, starting, stopping, or down.
    Nothing,
    /// Signs of life: it runs a task, or promised to beat while idle.
    Life,
}

/// How an agent last showed life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sign {
    /// Not at all, since life is expected of it.
    #[default]
    None,
    /// Output, progress, or a heartbeat by its protocol.
    Said,
    /// A word on its notification socket.
    Notified,
}

/// A tool call that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenTool {
    /// When it ends at the latest.
    pub until: Millis,
    /// Its limit.
    pub limit: Duration,
}

/// What is known of the life of one agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signs {
    /// Since when life is expected of it.
    pub since: Millis,
    /// When it was last heard; not before `since`.
    pub heard: Millis,
    /// How.
    pub last: Sign,
    /// When its processes were last seen to do something that counts.
    pub worked: Option<Millis>,
    /// Its own limit in place of the fleet's `stale_after`.
    pub own_limit: Option<Duration>,
    /// The open tool call that ends last.
    pub tool: Option<OpenTool>,
    /// It asked to be given until then.
    pub extended: Option<Millis>,
    /// When its processes were last looked at.
    pub looked_at: Option<Millis>,
    /// Whether that look found them.
    pub found: bool,
}

/// Why a verdict was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// It said nothing for longer than its limit.
    Quiet,
    /// It said nothing at all since it was given its task.
    FirstSign,
    /// It said nothing for long, though its processes did something.
    OnlyBusy,
    /// A tool call took longer than its limit.
    Tool,
    /// It said so itself, by `WATCHDOG=trigger`.
    Asked,
}

/// What the time since the last sign of life says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing can be said: no limit applies.
    Unlimited,
    /// Alive; to be judged again at that time, if nothing is heard until then.
    Alive {
        /// The first moment in which that may have changed.
        until: Millis,
    },
    /// Its processes must be looked at, before more can be said.
    Look,
    /// Silent for too long.
    Stale(Silence),
}

/// The evidence of a stale verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// How long nothing was heard.
    pub silent: Duration,
    /// The limit it passed.
    pub limit: Duration,
    /// Why that is the limit.
    pub ground: Ground,
    /// How it was heard last.
    pub last: Sign,
    /// What its processes did meanwhile, where that could be seen.
    pub moved: Option<Moved>,
}

impl Silence {
    /// That of an agent which asked to be replaced.
    pub const fn asked(silent: Duration) -> Self {
        let (ground, last, limit) = (Ground::Asked, Sign::Notified, Duration::ZERO);
        Self { silent, limit, ground, last, moved: None }
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (silent, limit) = (self.silent.as_secs_f64(), self.limit.as_secs_f64());
        match self.ground {
            Ground::Asked => return f.write_str("it asked to be replaced, by WATCHDOG=trigger"),
            Ground::Quiet => write!(
                f,
                "no output, progress or heartbeat for {silent:.1} s (the limit is {limit:.1} s)"
            )?,
            Ground::FirstSign => {
                write!(f, "no sign of life in the first {silent:.1} s (the limit is {limit:.1} s)")?
            }
            Ground::OnlyBusy => write!(
                f,
                "nothing but CPU time or I/O for {silent:.1} s (the limit is {limit:.1} s)"
            )?,
            Ground::Tool => write!(
                f,
                "a tool call that takes longer than its limit of {limit:.1} s, and no word for {silent:.1} s"
            )?,
        }
        match self.last {
            Sign::None | Sign::Said => {}
            Sign::Notified => f.write_str("; heard last was a word on its notification socket")?,
        }
        self.moved.map_or(Ok(()), |moved| write!(f, "; {moved}"))
    }
}

/// When an agent is stale, if nothing more is heard of it, and why then.
fn end(limits: &Limits, signs: &Signs) -> Option<(Millis, Ground, Duration)> {
    let first = limits
        .first_sign
        .filter(|_| signs.last == Sign::None && signs.worked.is_none())
        .map(|first| (signs.since.saturating_add(millis(first)), Ground::FirstSign, first));
    let quiet = signs.own_limit.or(limits.stale_after).map(|limit| {
        let after = |at: Millis, limit| at.saturating_add(millis(limit));
        let quiet = (after(signs.heard, limit), Ground::Quiet, limit);
        let busy = limits.busy_stale_after;
        // What its processes did puts the end off, though not for longer than its own limit.
        let worked = match signs.worked.map(|at| after(at, limit)) {
            Some(at) if at > quiet.0 && after(signs.heard, busy) > quiet.0 => {
                let cap = after(signs.heard, busy);
                if at <= cap { (at, Ground::Quiet, limit) } else { (cap, Ground::OnlyBusy, busy) }
            }
            _ => quiet,
        };
        match signs.tool {
            Some(tool) if tool.until > worked.0 => (tool.until, Ground::Tool, tool.limit),
            _ => worked,
        }
    });
    let (at, ground, limit) = match (quiet, first) {
        (Some(quiet), Some(first)) => {
            if first.0 < quiet.0 {
                first
            } else {
                quiet
            }
        }
        (one, other) => one.or(other)?,
    };
    Some((at.max(signs.extended.unwrap_or(0)), ground, limit))
}

/// Judges an agent of which life is expected. `moved` is what its processes did between the last two
/// looks at them.
pub fn judge(limits: &Limits, signs: &Signs, moved: Option<Moved>, now: Millis) -> Verdict {
    let Some((end, ground, limit)) = end(limits, signs) else { return Verdict::Unlimited };
    // The first look is made half-way, so that at the end there is something to compare with.
    let half = signs.heard.saturating_add(end.saturating_sub(signs.heard) / 2);
    let looked_at = signs.looked_at.filter(|at| *at >= signs.heard);
    let counts = limits.evidence.looks_at_processes();
    let due = match looked_at {
        None => half,
        Some(at) if counts => at.saturating_add(millis(look_every(limit))).min(end.max(at) + 1),
        Some(_) => end.saturating_add(1),
    };
    if now <= end {
        return if now >= due { Verdict::Look } else { Verdict::Alive { until: due } };
    }
    let Some(at) = looked_at.filter(|at| *at > end) else { return Verdict::Look };
    // Where the first look came late, there is nothing to compare it with: one more comes soon after.
    let again = at.saturating_add(millis(look_every(limit) / 2));
    if signs.found && moved.is_none() {
        return if now >= again { Verdict::Look } else { Verdict::Alive { until: again } };
    }
    let silent = Duration::from_millis(now.saturating_sub(signs.heard));
    Verdict::Stale(Silence { silent, limit, ground, last: signs.last, moved })
}

/// Life is expected from now on; how soon an agent with this limit must be looked at, at the earliest.
pub fn first_look(limits: &Limits, own_limit: Option<Duration>) -> Option<Duration> {
    Some(soonest(limits, own_limit)? / 2)
}

/// How long an agent with this limit is let alone at the least after a look at it.
pub fn apart(limits: &Limits, own_limit: Option<Duration>) -> Duration {
    look_every(soonest(limits, own_limit).unwrap_or_default()) / 2
}

/// The shortest limit of silence that may hold for an agent.
fn soonest(limits: &Limits, own_limit: Option<Duration>) -> Option<Duration> {
    [own_limit.or(limits.stale_after), limits.first_sign].into_iter().flatten().min()
}

/// How far apart looks are, at the least: a verdict comes within a tenth of the limit, and the looks at many
/// agents fall together.
pub fn look_every(limit: Duration) -> Duration {
    (limit / 16).clamp(Duration::from_millis(5), Duration::from_secs(5))
}

#[cfg(test)]
mod tests;
