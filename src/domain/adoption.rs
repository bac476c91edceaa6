//! What becomes of the processes that a host before this one left with the keeper.
//!
//! First [`sort`] says of each what it could go on as, by what the keeper, the fleets and the agents'
//! own records tell. Its attempts are then asked of Postgres, and [`Wish::settle`] says what is done.
//! See `docs/decisions/0014-adoption.md` for the reasons.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    AgentName, Attempt, FleetName, Generation, TaskId,
    fleet::{Fleet, Protocol},
};

/// The right to run one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hold {
    /// The task.
    pub task: TaskId,
    /// The attempt.
    pub attempt: Attempt,
}

/// What the keeper keeps with a process for the next host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Whose process it is.
    pub agent: AgentName,
    /// The fleet of that agent.
    pub fleet: FleetName,
    /// Which of the agent's processes it is.
    pub generation: Generation,
    /// The [`fingerprint`] of the fleet that it was started by.
    pub fingerprint: String,
    /// The attempt that it was started for, of an `exec` agent.
    pub hold: Option<Hold>,
}

impl Note {
    /// The note as text.
    pub fn write(&self) -> String {
        // Names, numbers and ids: nothing in it can fail to be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what [`Note::write`] wrote.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

/// How far the conversation with a worker is, as its agent writes it down at every step; of any agent, what
/// its process has said of its signs of life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Which of the agent's processes it is about.
    pub generation: Generation,
    /// Whether the worker promised to beat while idle.
    pub idle_heartbeat: bool,
    /// The attempts that it was given and whose answers nobody has read, the one under way first.
    pub open: Vec<Open>,
    /// Which process that is; a record of a version before this one does not say.
    #[serde(default)]
    pub pid: Option<u32>,
    /// What it said on its notification socket that binds it on.
    #[serde(default, skip_serializing_if = "Promise::is_none")]
    pub promise: Promise,
    /// Its open tool calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool>,
}

/// What a process has said of how it shows life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// Whether it has said `WATCHDOG=1`, and goes on.
    pub beats: bool,
    /// Its own limit of silence in place of its fleet's, in milliseconds.
    pub limit_ms: Option<u64>,
}

impl Promise {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// A tool call that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// How the worker calls it.
    pub id: String,
    /// When it ends at the latest, in milliseconds of the monotonic clock of the machine.
    pub until_ms: u64,
    /// How long it may take.
    pub limit_ms: u64,
}

/// A task that a worker has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// The attempt.
    #[serde(flatten)]
    pub hold: Hold,
    /// The id of the request that it was given by.
    pub request: u64,
}

/// What of a fleet decides whether a process of it is still as it should be: 64 bits, as hex.
///
/// The hash is written out here (FNV-1a), so that it is the same in every build.
pub fn fingerprint(fleet: &Fleet) -> String {
    let limits = &fleet.limits;
    let cpu = limits.cpu.map(|cpu| cpu.as_nanos().to_string());
    let numbers = [
        limits.memory,
        limits.open_files,
        limits.processes,
        limits.file_size,
        limits.group_memory,
        limits.group_processes,
        limits.cpu_weight,
    ];
    let mut parts = vec![serde_json::json!([
        fleet.protocol,
        fleet.command,
        fleet.cwd.to_string_lossy(),
        fleet.env,
        fleet.env_pass,
        fleet.user,
        numbers,
        cpu,
    ])];
    // As before where there is none.
    parts.extend(fleet.secrets.iter().map(|(name, secret)| {
        serde_json::json!([name, secret.value.as_ref().map(super::secret::Secret::reveal)])
    }));
    let text: String = parts.iter().map(ToString::to_string).collect();
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// One process of the keeper's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Its note; an error says why it can't be read.
    pub note: Result<Note, String>,
    /// Whether it has ended.
    pub is_over: bool,
    /// Whether all pipes came with it that one of its protocol needs.
    pub has_pipes: bool,
    /// How far the conversation with it is, if it is a worker and that was written down.
    pub standing: Option<Standing>,
}

/// What a process could go on as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// The process of an agent that has no task.
    Rest,
    /// The process of an agent at work on the first of these, with the others before it.
    Work(Vec<Hold>),
    /// Nothing more: it ended, and left the outcome of this in its files.
    Outcome(Hold),
    /// Nothing: why it is killed.
    Nothing(&'static str),
}

/// What is done with a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Its agent takes it back, with these in hand.
    Keep(Vec<Hold>),
    /// Its outcome is read and settled.
    Settle(Hold),
    /// It is killed.
    Kill(&'static str),
}

impl Wish {
    /// The attempts that it depends on.
    pub fn holds(&self) -> &[Hold] {
        match self {
            Self::Work(holds) => holds,
            Self::Outcome(hold) => std::slice::from_ref(hold),
            Self::Rest | Self::Nothing(_) => &[],
        }
    }

    /// What is done, once it is known whether all its attempts `are_ours`. One that is not would be
    /// run by the process all the same.
    pub fn settle(self, are_ours: bool) -> Verdict {
        match self {
            Self::Rest => Verdict::Keep(Vec::new()),
            Self::Work(holds) if are_ours => Verdict::Keep(holds),
            Self::Outcome(hold) if are_ours => Verdict::Settle(hold),
            Self::Work(_) | Self::Outcome(_) => {
                Verdict::Kill("its attempt is no longer this host's")
            }
            Self::Nothing(why) => Verdict::Kill(why),
        }
    }
}

/// Says of each process what it could go on as, in their order. No two go on as the same agent.
pub fn sort(fleets: &[Fleet], processes: &[Left]) -> Vec<Wish> {
    let mut newest: BTreeMap<&AgentName, (Generation, usize)> = BTreeMap::new();
    for (at, left) in processes.iter().enumerate() {
        let Ok(note) = &left.note else { continue };
        // An exec process that is over is settled beside the next one of its agent.
        if left.is_over && note.hold.is_some() {
            continue;
        }
        let place = (note.generation, at);
        newest.entry(&note.agent).and_modify(|old| *old = place.max(*old)).or_insert(place);
    }
    let wish = |(at, left): (usize, &Left)| match &left.note {
        Err(_) => Wish::Nothing("its note can't be read"),
        Ok(note) => {
            let is_newest = newest.get(&note.agent).is_none_or(|(_, newest)| *newest == at);
            wish(fleets, left, note, is_newest)
        }
    };
    processes.iter().enumerate().map(wish).collect()
}

fn wish(fleets: &[Fleet], left: &Left, note: &Note, is_newest: bool) -> Wish {
    let Some(fleet) = fleets.iter().find(|fleet| fleet.name == note.fleet) else {
        return Wish::Nothing("its fleet is not in the config");
    };
    match (fleet.protocol, note.hold) {
        // It runs no more, so its fleet may have changed.
        (Protocol::Exec, Some(hold)) if left.is_over => return Wish::Outcome(hold),
        _ if !(1..=fleet.count).any(|n| AgentName::of(&fleet.name, n) == note.agent) => {
            return Wish::Nothing("its fleet has fewer agents now");
        }
        _ if fingerprint(fleet) != note.fingerprint => {
            return Wish::Nothing("its fleet runs another command now");
        }
        _ if !is_newest => return Wish::Nothing("its agent has a newer process"),
        (Protocol::Exec, hold) => {
            return hold.map_or(Wish::Nothing("it has no attempt"), |hold| Wish::Work(vec![hold]));
        }
        (_, Some(_)) => {
            return Wish::Nothing("its note speaks of an attempt, as only `exec` has one");
        }
        _ if !left.has_pipes => return Wish::Nothing("its pipes are lost"),
        (Protocol::Service, _) => return Wish::Rest,
        (Protocol::Worker, _) => {}
    }
    match left.standing.as_ref().filter(|standing| standing.generation == note.generation) {
        None => Wish::Nothing("it had not said hello"),
        Some(Standing { open, .. }) if open.is_empty() => Wish::Rest,
        // Its answer may have been read by the host that died. Then nothing more comes.
        Some(Standing { open, .. }) => {
            if fleet.heartbeat.stale_after.is_some() || fleet.task_timeout.is_some() {
                Wish::Work(open.iter().map(|open| open.hold).collect())
            } else {
                Wish::Nothing("its task has no limit that would tell a lost answer")
            }
        }
    }
}

#[cfg(test)]
pub(in crate::domain) mod tests;
