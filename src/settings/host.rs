//! `[host]`.

use std::time::Duration;

use super::{CgroupPlace, Host, HostFloors, reader::Section, roots};
use crate::domain::floors::Floors;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads the section.
pub(super) fn read(section: &Section<'_>) -> Option<Host> {
    let machine = &section.context.sources.machine;
    let data_dir = section.path_or_none("data_dir");
    let name = section.text_or_none("name");
    let lease = section.duration("lease", SECOND..=SECOND * 3600);
    let drain_grace = section.duration("drain_grace", Duration::ZERO..=DAY);
    let watch_config = section.bool("watch_config");
    let keep_attempts = section.duration("keep_attempts", Duration::ZERO..=DAY * 3660);

    let cgroups = cgroups(section);
    let roots = roots::read(section, "roots");
    let start_concurrency = starts(section);
    let floors = section.section("floors").and_then(|section| floors(&section));

    let data_dir = data_dir?.or_else(|| machine.data_dir.clone());
    if data_dir.is_none() {
        let message = "has no default, because neither HOME nor XDG_DATA_HOME is set: set it";
        section.problem("data_dir", message.to_owned());
    }
    Some(Host {
        data_dir: data_dir?,
        name: name?.unwrap_or_else(|| machine.host_name.clone()),
        lease: lease?,
        drain_grace: drain_grace?,
        watch_config: watch_config?,
        keep_attempts: keep_attempts?,
        cgroups: cgroups?,
        roots: roots?,
        start_concurrency: start_concurrency?,
        floors: floors?,
    })
}

/// Reads how many processes may be starting at once, of the host or of a fleet.
pub(super) fn starts(section: &Section<'_>) -> Option<Option<u16>> {
    let count = section.number_or_off("start_concurrency", 1..=10_000)?;
    Some(count.and_then(|count| u16::try_from(count).ok()))
}

fn floors(section: &Section<'_>) -> Option<HostFloors> {
    let memory = section.size_or_off("memory", 1 << 20..=1 << 50);
    let disk = section.size_or_off("disk", 1 << 20..=1 << 50);
    let load = section.number_or_off("load", 1..=1000);
    let look = section.duration("look", Duration::from_millis(50)..=Duration::from_secs(600));
    Some(HostFloors {
        floors: Floors { memory: memory?, disk: disk?, load: load?.map(|load| load as f64) },
        look: look?,
    })
}

fn cgroups(section: &Section<'_>) -> Option<CgroupPlace> {
    match section.text("cgroups")?.as_str() {
        "auto" => Some(CgroupPlace::Auto),
        "off" => Some(CgroupPlace::Off),
        _ => {
            let path = section.path_or_none("cgroups")?.unwrap_or_default();
            if path.join("cgroup.procs").is_file() {
                return Some(CgroupPlace::At(path));
            }
            let message = "is no control group: write \"auto\", \"off\" or the path of a directory \
                           of cgroup v2 that this host may use";
            section.problem("cgroups", message.to_owned());
            None
        }
    }
}
