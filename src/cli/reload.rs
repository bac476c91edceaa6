//! `hostler reload`.

use clap::Args;

use super::{
    exit::{Exit, Outcome},
    global::Global,
};
use crate::domain::record::{FleetChange, ReloadRecord};

/// Have the host read its settings again
#[derive(Debug, Args)]
#[command(
    after_help = "The host reads what it was started with: the same files, its own environment \
    and flags.\nOnly what changed is restarted. Settings with a problem change nothing, and each \
    problem is\nsaid with its line. So does SIGHUP, and a change of a file with host.watch_config.\n\n\
    Examples:\n  hostler reload\n  hostler reload --json"
)]
pub(super) struct Reload {}

impl Reload {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let done: ReloadRecord = global.client()?.command("/api/v1/reload").await?;
        global.output().show(&done, text)?;
        Ok(Exit::Done)
    }
}

fn text(done: &ReloadRecord) -> String {
    if done.is_empty() {
        return "nothing differs\n".to_owned();
    }
    let mut text = String::new();
    for fleet in &done.fleets {
        let what = match fleet.change {
            FleetChange::Added => "is new: its agents are started".to_owned(),
            FleetChange::Removed => "is gone: its agents leave after their attempts".to_owned(),
            FleetChange::Replaced => {
                format!("{}: its agents are replaced, a few at a time", fleet.fields.join(", "))
            }
            FleetChange::Adjusted => format!("{}: holds from now on", fleet.fields.join(", ")),
        };
        text += &format!("fleet {}: {what}\n", fleet.name);
    }
    for field in &done.applied {
        text += &format!("{field}: holds from now on\n");
    }
    for field in &done.needs_restart {
        text += &format!("{field}: holds from the next start of the host on\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::record::FleetChangeRecord;

    #[test]
    fn each_change_is_a_line() {
        let fleet = |name: &str, change, fields: &[&str]| FleetChangeRecord {
            name: name.parse().unwrap(),
            change,
            fields: fields.iter().map(|field| (*field).to_owned()).collect(),
        };
        let done = ReloadRecord {
            fleets: vec![
                fleet("a", FleetChange::Replaced, &["command", "env"]),
                fleet("b", FleetChange::Removed, &[]),
            ],
            applied: vec!["queues.q.paused".to_owned()],
            needs_restart: vec!["http.bind".to_owned()],
        };
        let lines = text(&done);
        assert_eq!(lines.lines().count(), 4, "{lines}");
        assert!(lines.starts_with("fleet a: command, env: its agents are replaced"), "{lines}");
        assert!(
            lines.ends_with("http.bind: holds from the next start of the host on\n"),
            "{lines}"
        );
        assert_eq!(text(&ReloadRecord::default()), "nothing differs\n");
    }
}
