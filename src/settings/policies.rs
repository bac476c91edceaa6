//! The tables of a fleet: `limits`, `restart`, `heartbeat`.

use std::time::Duration;

use super::{check, reader::Section};
use crate::domain::{
    fleet::Limits,
    heartbeat,
    restart::{Policy, When},
};

/// The words of `restart.when`.
pub(super) const WHEN: [(&str, When); 3] =
    [("always", When::Always), ("on_failure", When::OnFailure), ("never", When::Never)];

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const TIB_1024: u64 = 1 << 50;

/// The policies of a fleet.
pub(super) struct Policies {
    /// `limits`
    pub(super) limits: Limits,
    /// `restart`
    pub(super) restart: Policy,
    /// `heartbeat`
    pub(super) heartbeat: heartbeat::Limits,
}

/// Reads the three tables of a fleet.
pub(super) fn read(section: &Section<'_>) -> Option<Policies> {
    let limits = section.section("limits").and_then(|section| limits(&section));
    let restart = section.section("restart").and_then(|section| restart(&section));
    let heartbeat = section.section("heartbeat").and_then(|section| heartbeat(&section));
    Some(Policies { limits: limits?, restart: restart?, heartbeat: heartbeat? })
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
    Some(Limits {
        memory: memory?,
        open_files: open_files?,
        processes: processes?,
        cpu: cpu?,
        file_size: file_size?,
    })
}

fn restart(section: &Section<'_>) -> Option<Policy> {
    let when = section.word("when", &WHEN);
    let backoff_min = section.duration("backoff_min", MS..=HOUR);
    let backoff_max = section.duration("backoff_max", MS..=HOUR * 24);
    let max_restarts = section.number("max_restarts", 0..=10_000);
    let window = section.duration("window", MS * 1000..=HOUR * 24 * 30);
    let stable_after = section.duration("stable_after", Duration::ZERO..=HOUR * 24);
    if let (Some(min), Some(max)) = (backoff_min, backoff_max) {
        check::backoff(section, min, max);
    }
    Some(Policy {
        when: when?,
        backoff_min: backoff_min?,
        backoff_max: backoff_max?,
        max_restarts: max_restarts?,
        window: window?,
        stable_after: stable_after?,
    })
}

fn heartbeat(section: &Section<'_>) -> Option<heartbeat::Limits> {
    let every = section.duration("every", MS * 10..=HOUR);
    let stale_after = section.duration_or_off("stale_after", MS * 20..=HOUR * 24 * 7);
    let (every, stale_after) = (every?, stale_after?);
    check::heartbeat(section, every, stale_after);
    Some(heartbeat::Limits { every, stale_after })
}
