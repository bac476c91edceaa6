//! Removes the files of attempts that ended long ago.

use std::{
    collections::BTreeSet,
    fs, io,
    path::Path,
    time::{Duration, SystemTime},
};

use slog::{Logger, debug, warn};

use crate::{settings, supervisor::SupervisorHandle};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(3600);

/// Starts to look once an hour, for as long as the host runs.
pub(super) fn start(host: &settings::Host, supervisor: SupervisorHandle, log: Logger) {
    let (dir, keep) = (host.attempts_dir(), host.keep_attempts);
    actix::spawn(async move {
        let mut tick = tokio::time::interval(EVERY);
        loop {
            tick.tick().await;
            // A supervisor that does not answer: the host is ending.
            let Ok(agents) = supervisor.agents().await else { return };
            let busy: BTreeSet<String> =
                agents.iter().filter_map(|agent| agent.task).map(|task| task.to_string()).collect();
            let dir = dir.clone();
            let swept = tokio::task::spawn_blocking(move || sweep(&dir, &busy, keep)).await;
            match swept {
                Ok(Ok(count)) => debug!(log, "old attempt files removed"; "count" => count),
                Ok(Err(error)) => warn!(log, "old attempt files stay"; "error" => %error),
                Err(_) => return,
            }
        }
    });
}

/// Removes the directories of tasks that were last touched `keep` ago and don't run; returns how
/// many.
fn sweep(dir: &Path, busy: &BTreeSet<String>, keep: Duration) -> io::Result<usize> {
    let Some(before) = SystemTime::now().checked_sub(keep) else { return Ok(0) };
    let mut count = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let running = entry.file_name().to_str().is_some_and(|name| busy.contains(name));
        if !running && entry.metadata()?.modified()? < before {
            fs::remove_dir_all(entry.path())?;
            count += 1;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_old_and_does_not_run_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["tsk_old", "tsk_running"] {
            fs::create_dir_all(dir.path().join(name).join("1")).unwrap();
        }
        let busy = BTreeSet::from(["tsk_running".to_owned()]);
        assert_eq!(sweep(dir.path(), &busy, Duration::from_secs(60)).unwrap(), 0);
        assert_eq!(sweep(dir.path(), &busy, Duration::ZERO).unwrap(), 1);
        assert!(dir.path().join("tsk_running").exists());
    }
}
