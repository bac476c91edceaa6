//! The tables of a fleet: `limits`, `restart`, `heartbeat`, `ready`.

use std::{collections::BTreeMap, time::Duration};

use super::{check, command, fleets::MAX_COUNT, reader::Section};
use crate::domain::{
    autoscale,
    fleet::{Limits, Protocol},
    health::{Check, HttpTarget, Readiness, tcp_address},
    heartbeat,
    restart::{Policy, When},
    storm::{Answer, Intensity},
};

/// The words of `restart.when`.
pub(super) const WHEN: [(&str, When); 3] =
    [("always", When::Always), ("on_failure", When::OnFailure), ("never", When::Never)];

/// The words of `restart.fleet_then`.
pub(super) const THEN: [(&str, Answer); 2] =
    [("wait", Answer::Wait), ("quarantine", Answer::Quarantine)];

/// The words of `ready.check`.
pub(super) const CHECKS: [(&str, CheckKind); 5] = [
    ("protocol", CheckKind::Protocol),
    ("notify", CheckKind::Notify),
    ("exec", CheckKind::Exec),
    ("http", CheckKind::Http),
    ("tcp", CheckKind::Tcp),
];

/// What `ready.check` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CheckKind {
    Protocol,
    Notify,
    Exec,
    Http,
    Tcp,
}

impl CheckKind {
    /// The kind of a check.
    pub(super) const fn of(check: &Check) -> Self {
        match check {
            Check::Protocol => Self::Protocol,
            Check::Notify => Self::Notify,
            Check::Exec(_) => Self::Exec,
            Check::Http(_) => Self::Http,
            Check::Tcp(_) => Self::Tcp,
        }
    }
}

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const TIB_1024: u64 = 1 << 50;

/// The policies of a fleet.
pub(super) struct Policies {
    /// `limits`
    pub(super) limits: Limits,
    /// `restart`
    pub(super) restart: Policy,
    /// `restart`, of the fleet as a whole
    pub(super) storm: Intensity,
    /// `heartbeat`
    pub(super) heartbeat: heartbeat::Limits,
    /// `ready`
    pub(super) readiness: Readiness,
}

/// Reads the tables of a fleet. Of the defaults the protocol is not known.
pub(super) fn read(
    section: &Section<'_>,
    protocol: Option<Protocol>,
    env: Option<&BTreeMap<String, String>>,
) -> Option<Policies> {
    let limits = section.section("limits").and_then(|section| limits(&section));
    let restart = section.section("restart").and_then(|section| restart(&section));
    let heartbeat = section.section("heartbeat").and_then(|section| heartbeat(&section));
    let ready = section.section("ready").and_then(|section| ready(&section, protocol, env));
    let restart = restart?;
    Some(Policies {
        limits: limits?,
        restart: restart.0,
        storm: restart.1,
        heartbeat: heartbeat?,
        readiness: ready?,
    })
}

fn limits(section: &Section<'_>) -> Option<Limits> {
    let memory = section.size_or_off("memory", 1 << 20..=TIB_1024);
    let open_files = section.number_or_off("open_files", 8..=1_000_000_000);
    let processes = section.number_or_off("processes", 1..=4_194_304);
    let cpu = section.duration_or_off("cpu", MS * 1000..=HOUR * 24 * 365);
    if let Some(Some(cpu)) = cpu
        && cpu.subsec_nanos() != 0
    {
        section.problem("cpu", "must be whole seconds: the kernel counts no finer".to_owned());
    }
    let file_size = section.size_or_off("file_size", 1 << 10..=TIB_1024);
    let group_memory = section.size_or_off("group_memory", 1 << 20..=TIB_1024);
    let group_processes = section.number_or_off("group_processes", 1..=4_194_304);
    let cpu_weight = section.number_or_off("cpu_weight", 1..=10_000);
    Some(Limits {
        memory: memory?,
        open_files: open_files?,
        processes: processes?,
        cpu: cpu?,
        file_size: file_size?,
        group_memory: group_memory?,
        group_processes: group_processes?,
        cpu_weight: cpu_weight?,
    })
}

fn restart(section: &Section<'_>) -> Option<(Policy, Intensity)> {
    let when = section.word("when", &WHEN);
    let backoff_min = section.duration("backoff_min", Duration::ZERO..=HOUR);
    let backoff_max = section.duration("backoff_max", Duration::ZERO..=HOUR * 24);
    let max_restarts = section.number("max_restarts", 0..=10_000);
    let window = section.duration("window", MS * 1000..=HOUR * 24 * 30);
    let stable_after = section.duration("stable_after", Duration::ZERO..=HOUR * 24);
    let of_fleet = section.number_or_off("fleet_max_restarts", 0..=100_000);
    let then = section.word("fleet_then", &THEN);
    let wait = section.duration("fleet_wait", MS * 100..=HOUR * 24);
    if let (Some(min), Some(max)) = (backoff_min, backoff_max) {
        check::backoff(section, min, max);
    }
    let (window, wait) = (window?, wait?);
    let storm = Intensity {
        max_restarts: of_fleet?.map(|most| u32::try_from(most).unwrap_or(u32::MAX)),
        window,
        then: then?,
        wait,
    };
    let policy = Policy {
        when: when?,
        backoff_min: backoff_min?,
        backoff_max: backoff_max?,
        max_restarts: max_restarts?,
        window,
        stable_after: stable_after?,
    };
    Some((policy, storm))
}

fn heartbeat(section: &Section<'_>) -> Option<heartbeat::Limits> {
    let every = section.duration("every", MS * 10..=HOUR);
    let stale_after = section.duration_or_off("stale_after", MS * 20..=HOUR * 24 * 7);
    let (every, stale_after) = (every?, stale_after?);
    check::heartbeat(section, every, stale_after);
    let first_sign = section.duration_or_off("first_sign", MS * 20..=HOUR * 24 * 7);
    let evidence = evidence(section);
    let busy_stale_after = section.duration("busy_stale_after", MS * 20..=HOUR * 24 * 30);
    let tool_stale_after = section.duration("tool_stale_after", MS * 20..=HOUR * 24);
    Some(heartbeat::Limits {
        every,
        stale_after,
        first_sign: first_sign?,
        evidence: evidence?,
        busy_stale_after: busy_stale_after?,
        tool_stale_after: tool_stale_after?,
    })
}

fn evidence(section: &Section<'_>) -> Option<heartbeat::Evidence> {
    let words = section.texts("evidence")?;
    let mut evidence = heartbeat::Evidence::default();
    for (at, word) in words.iter().enumerate() {
        match word.as_str() {
            "notify" => evidence.notify = true,
            "cpu" => evidence.cpu = true,
            "io" => evidence.io = true,
            _ => {
                let message = format!("must be one of `notify`, `cpu`, `io`, got \"{word}\"");
                section.wrong_item("evidence", at, message);
                return None;
            }
        }
    }
    Some(evidence)
}

/// Reads `scale`, which is off where it names no most.
pub(super) fn scale(section: &Section<'_>) -> Option<Option<autoscale::Policy>> {
    let scale = section.section("scale")?;
    let min = scale.number("min", 0..=MAX_COUNT);
    let max = scale.number_or_off("max", 1..=u64::from(MAX_COUNT));
    let up_after = scale.duration("up_after", MS * 100..=HOUR * 24);
    let down_after = scale.duration("down_after", MS * 100..=HOUR * 24 * 7);
    let cooldown = scale.duration("cooldown", Duration::ZERO..=HOUR * 24);
    let (min, max, up_after) = (min?, max?, up_after?);
    let (down_after, cooldown) = (down_after?, cooldown?);
    let Some(max) = max else { return Some(None) };
    let max = u16::try_from(max).ok()?;
    check::scale(&scale, min, max);
    Some(Some(autoscale::Policy { min, max, up_after, down_after, cooldown }))
}

fn ready(
    section: &Section<'_>,
    protocol: Option<Protocol>,
    env: Option<&BTreeMap<String, String>>,
) -> Option<Readiness> {
    let kind = section.word("check", &CHECKS);
    let command = command::of_check(section, env);
    let (url, address) = (section.text("url"), section.text("address"));
    let every = section.duration("every", MS * 10..=HOUR);
    let timeout = section.duration("timeout", MS * 10..=HOUR);
    let failures = section.number("failures", 1..=1000);
    let kind = kind?;
    if kind != CheckKind::Protocol && protocol == Some(Protocol::Exec) {
        let message =
            "has no process to look at before it has a task: an exec agent is ready as it is";
        section.problem("check", message.to_owned());
        return None;
    }
    let needs = [
        ("command", CheckKind::Exec, "exec", command.as_ref().is_some_and(Vec::is_empty)),
        ("url", CheckKind::Http, "http", url.as_deref() == Some("")),
        ("address", CheckKind::Tcp, "tcp", address.as_deref() == Some("")),
    ];
    for (key, of, word, is_empty) in needs {
        if of == kind && is_empty {
            section.missing(key, &format!("is missing: a check by {word} needs it"));
            return None;
        }
        if of != kind && !is_empty && section.is_own(key) {
            let message = format!("means something only where check = \"{word}\": remove it");
            section.problem(key, message);
        }
    }
    let check = match kind {
        CheckKind::Protocol => Check::Protocol,
        CheckKind::Notify => Check::Notify,
        CheckKind::Exec => Check::Exec(command?),
        CheckKind::Http => {
            let target = HttpTarget::parse(&url?);
            Check::Http(target.map_err(|wrong| section.problem("url", wrong)).ok()?)
        }
        CheckKind::Tcp => {
            let address = address?;
            tcp_address(&address).map_err(|wrong| section.problem("address", wrong)).ok()?;
            Check::Tcp(address)
        }
    };
    Some(Readiness { check, every: every?, timeout: timeout?, failures: failures? })
}
