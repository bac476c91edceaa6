//! `[host]`.

use std::time::Duration;

use super::{CgroupPlace, Host, reader::Section, roots};

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
