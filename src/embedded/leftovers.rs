//! Processes of a former run that still work in the directory.
//!
//! When a host dies its postmaster is shutting down for a moment, and when a postmaster is killed
//! its backends live on until they notice. A new server must wait for all of them. A process is
//! one of them if it is called `postgres` or `initdb` and its working directory is the cluster's:
//! a process id in a file alone proves nothing, for ids are used again.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use slog::{Logger, info, warn};
use tokio::time::{Instant, sleep};

use super::{cluster::Cluster, elapsed_ms, error::EmbeddedError};

/// How often the processes are looked at. Nothing tells when a process that is not ours ends.
const POLL: Duration = Duration::from_millis(25);
/// How long orphans have to notice that their postmaster is gone.
const ORPHANS_QUIT: Duration = Duration::from_secs(2);
/// How long a postmaster has to shut down by itself.
const POSTMASTER_INTERRUPT: Duration = Duration::from_secs(5);
/// How long a postmaster has to shut down fast.
const POSTMASTER_QUIT: Duration = Duration::from_secs(30);
/// When the wait is given up.
const GIVE_UP: Duration = Duration::from_secs(45);

/// The programs that work in a cluster's directory; backends go by the server's name.
const NAMES: &[&str] = &["postgres", "postmaster", "initdb"];

/// Waits until nothing of a former run works in the directory of `cluster`, helping it to end
/// where it doesn't by itself, and removes the marks it left that would mislead a new server.
///
/// # Errors
///
/// [`EmbeddedError::StillRunning`] where a process is still there after 45 s.
///
/// # Cancel safety
///
/// Safe: it can be called again.
pub(super) async fn clear(log: &Logger, cluster: &Cluster) -> Result<(), EmbeddedError> {
    let began = Instant::now();
    let mut sent = None;
    let mut told = false;
    loop {
        let found = look(cluster).await?;
        let Some(first) = found.pids.first().copied() else {
            break;
        };
        if !told {
            info!(log, "waiting for a former postgres to end"; "pid" => first);
            told = true;
        }
        let waited = began.elapsed();
        if waited >= GIVE_UP {
            let path = cluster.dir().to_owned();
            return Err(EmbeddedError::StillRunning { pid: first, path, waited });
        }
        let due = due(waited, found.postmaster.is_some());
        if due != sent {
            sent = due;
            help(log, &found, due);
        }
        sleep(POLL).await;
    }
    if told {
        info!(log, "former postgres is gone"; "elapsed_ms" => elapsed_ms(began));
    }
    remove_misleading(log, cluster)
}

/// What is left of a former run.
#[derive(Debug)]
struct Found {
    pids: Vec<i32>,
    /// The one of them that the others obey.
    postmaster: Option<i32>,
}

/// The signal that should have been sent by now.
fn due(waited: Duration, postmaster: bool) -> Option<Signal> {
    match postmaster {
        true if waited >= POSTMASTER_QUIT => Some(Signal::SIGQUIT),
        true if waited >= POSTMASTER_INTERRUPT => Some(Signal::SIGINT),
        // What a postmaster itself would send them; what they committed is in the log already.
        false if waited >= ORPHANS_QUIT => Some(Signal::SIGQUIT),
        _ => None,
    }
}

fn help(log: &Logger, found: &Found, signal: Option<Signal>) {
    let Some(signal) = signal else {
        return;
    };
    let targets = found.postmaster.map_or_else(|| found.pids.clone(), |pid| vec![pid]);
    for pid in targets {
        warn!(log, "ending a former postgres"; "pid" => pid, "signal" => signal.as_str());
        // It may have ended since it was looked at, a moment ago, which is what is wanted.
        kill(Pid::from_raw(pid), signal).ok();
    }
}

async fn look(cluster: &Cluster) -> Result<Found, EmbeddedError> {
    let dir = cluster.dir().to_owned();
    let [pid_file, _] = cluster.pid_files();
    let look = move || {
        let named = pid_in(&pid_file);
        let pids = working_in(&dir, named);
        let postmaster = named.filter(|pid| pids.contains(pid));
        Found { pids, postmaster }
    };
    tokio::task::spawn_blocking(look).await.map_err(EmbeddedError::Unsupervised)
}

/// The processes of Postgres that work in `dir` or below. Without `/proc` (not Linux) only the
/// one with the id `named` can be told.
fn working_in(dir: &Path, named: Option<i32>) -> Vec<i32> {
    let Ok(listing) = fs::read_dir("/proc") else {
        return named.filter(|pid| is_called_with(*pid, dir)).into_iter().collect();
    };
    let pids = listing.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| works_in(*pid, dir) == Some(true)).collect()
}

/// Whether process `pid` is one of Postgres in `dir`; `None` where its directory is hidden. A
/// zombie has no directory and is none.
fn works_in(pid: i32, dir: &Path) -> Option<bool> {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let Ok(name) = fs::read_to_string(proc.join("comm")) else {
        return Some(false);
    };
    if !NAMES.contains(&name.trim_end()) {
        return Some(false);
    }
    match fs::read_link(proc.join("cwd")) {
        Ok(cwd) => Some(cwd.starts_with(dir)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(false),
        Err(_) => None,
    }
}

/// For systems without `/proc`: whether `ps` shows `dir` on the command line of `pid`.
fn is_called_with(pid: i32, dir: &Path) -> bool {
    let mut ps = Command::new("ps");
    ps.args(["-ww", "-o", "command=", "-p", &pid.to_string()]).stdin(Stdio::null());
    let Ok(output) = ps.output() else {
        return false;
    };
    String::from_utf8_lossy(&output.stdout).contains(&*dir.to_string_lossy())
}

/// The process id in the first line of `file`.
fn pid_in(file: &Path) -> Option<i32> {
    let pid = fs::read_to_string(file).ok()?.lines().next()?.trim().parse().ok()?;
    (pid > 0).then_some(pid)
}

/// Removes files that name a live process which is none of ours. A server takes any live process
/// of its account for its predecessor and refuses to start; where the process is gone it finds
/// out by itself, and is left to it.
fn remove_misleading(log: &Logger, cluster: &Cluster) -> Result<(), EmbeddedError> {
    for file in cluster.pid_files() {
        let Some(pid) = pid_in(&file) else {
            continue;
        };
        let gone = kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH);
        let hidden = Path::new("/proc/self").exists() && works_in(pid, cluster.dir()).is_none();
        if gone || hidden {
            continue;
        }
        warn!(log, "removing a stale pid file whose id is in use by another process";
            "path" => %file.display(), "pid" => pid);
        fs::remove_file(&file).map_err(EmbeddedError::file("remove", &file))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_postmaster_gets_more_time_than_orphans() {
        let seconds = Duration::from_secs;
        let rows = [
            (0, true, None),
            (4, true, None),
            (5, true, Some(Signal::SIGINT)),
            (30, true, Some(Signal::SIGQUIT)),
            (1, false, None),
            (2, false, Some(Signal::SIGQUIT)),
            (44, false, Some(Signal::SIGQUIT)),
        ];
        for (waited, postmaster, signal) in rows {
            assert_eq!(due(seconds(waited), postmaster), signal, "{waited} s, {postmaster}");
        }
    }

    #[test]
    fn pid_files_are_read_with_care() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("postmaster.pid");
        assert_eq!(pid_in(&file), None);
        for (text, pid) in [("123\n/x\n", Some(123)), ("", None), ("-1\n", None), ("0", None)] {
            fs::write(&file, text).unwrap();
            assert_eq!(pid_in(&file), pid, "{text:?}");
        }
    }

    #[test]
    fn a_process_of_another_name_is_none_of_postgres() {
        let own = i32::try_from(std::process::id()).unwrap();
        let cwd = std::env::current_dir().unwrap();
        assert_eq!(works_in(own, &cwd), Some(false));
        assert_eq!(working_in(&cwd, Some(own)), Vec::<i32>::new());
    }
}
