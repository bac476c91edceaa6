//! Whoever supervises: what the figures need of one, and the small ones.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, fs::symlink, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    Outcome,
    stage::{Stage, now, pids},
};

/// The variable that tells what a peer started.
const MARK: &str = "BENCH_PEER";

/// A supervisor with its children.
pub(crate) trait Subject {
    /// Its own processes, without the children.
    fn supervisors(&self) -> Outcome<Vec<i32>>;
    /// When it began to start children.
    fn began(&self) -> Outcome<u64>;
    /// Asks it to stop its children and end.
    fn ask_to_stop(&mut self) -> Outcome<()>;
    /// Waits until it has ended.
    fn await_end(&mut self) -> Outcome<()>;
    /// Whether it answers, where it has somebody to answer to.
    fn answers(&self) -> bool {
        true
    }
}

/// Sends SIGTERM.
pub(crate) fn terminate(process: &Child) -> Outcome<()> {
    Ok(kill(Pid::from_raw(i32::try_from(process.id())?), Signal::SIGTERM)?)
}

/// A child that misbehaves: its number, and how.
pub(crate) type Flags<'a> = &'a [(usize, &'static str)];

/// The supervisors that are measured beside ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A loop of fork and wait.
    Floor,
    /// `runsvdir`.
    Runit,
    /// `s6-svscan`; a child that does not say that it is ready is started again after a second.
    S6,
    /// `svscan`.
    Daemontools,
    /// `supervisord`, from PATH.
    Supervisord,
}

impl Peer {
    /// Those that are nobody's floor.
    pub(crate) const OTHERS: [Self; 4] =
        [Self::Runit, Self::S6, Self::Daemontools, Self::Supervisord];

    /// What it is called.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Floor => "fork loop",
            Self::Runit => "runit",
            Self::S6 => "s6",
            Self::Daemontools => "daemontools",
            Self::Supervisord => "supervisord",
        }
    }

    const fn program(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Runit => "runsvdir",
            Self::S6 => "s6-svscan",
            Self::Daemontools => "svscan",
            Self::Supervisord => "supervisord",
        }
    }

    /// Whether it is installed.
    pub(crate) fn is_there(self) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        self == Self::Floor
            || std::env::split_paths(&path).any(|dir| dir.join(self.program()).is_file())
    }

    /// Starts it with so many children.
    pub(crate) fn start(self, stage: &Stage, count: usize, flags: Flags<'_>) -> Outcome<Running> {
        let directory = stage.path(self.name());
        fs::create_dir_all(&directory)?;
        let mut command = Command::new(self.program());
        match self {
            Self::Floor => {
                command = Command::new(stage.path("floor"));
                command.arg(stage.child()).arg(stage.log()).arg(count.to_string());
            }
            Self::Supervisord => {
                let config = directory.join("supervisord.conf");
                fs::write(&config, supervisord(stage, &directory, count, flags))?;
                command.arg("-c").arg(config);
            }
            Self::Runit | Self::S6 | Self::Daemontools => {
                for number in 1..=count {
                    service(stage, &directory.join(number.to_string()), number, flags)?;
                }
                if self == Self::S6 {
                    command.args(["-c", "2000"]);
                }
                command.arg(&directory);
            }
        }
        let began = now();
        let process = command
            .env("BENCH_LOG", stage.log())
            .env(MARK, stage.log())
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let mark = format!("{MARK}={}", stage.log().display());
        Ok(Running { peer: self, process, began, mark, directory, child: stage.child() })
    }
}

fn flag(flags: Flags<'_>, number: usize) -> Option<&'static str> {
    flags.iter().find(|(whose, _)| *whose == number).map(|(_, flag)| *flag)
}

/// A service directory whose `run` is the child itself, or what starts one that misbehaves.
fn service(stage: &Stage, directory: &Path, number: usize, flags: Flags<'_>) -> Outcome<()> {
    fs::create_dir_all(directory)?;
    let run = directory.join("run");
    let Some(flag) = flag(flags, number) else { return Ok(symlink(stage.child(), run)?) };
    let (child, log) = (stage.child(), stage.log());
    let (child, log) = (child.display(), log.display());
    fs::write(&run, format!("#!/bin/sh\nexec {child} {log} {number} {flag}\n"))?;
    Ok(fs::set_permissions(&run, fs::Permissions::from_mode(0o755))?)
}

fn supervisord(stage: &Stage, directory: &Path, count: usize, flags: Flags<'_>) -> String {
    let (child, log, directory) = (stage.child(), stage.log(), directory.display());
    let (child, log) = (child.display(), log.display());
    let mut text = format!(
        "[supervisord]\nnodaemon=true\nlogfile={directory}/log\npidfile={directory}/pid\nminfds={}\n",
        count * 4 + 200
    );
    for number in 1..=count {
        let flag = flag(flags, number).unwrap_or_default();
        text += &format!(
            "[program:p{number}]\ncommand={child} {log} {number} {flag}\nautorestart=true\n\
             startsecs=0\nstopwaitsecs=1\nstopasgroup=true\nkillasgroup=true\n\
             stdout_logfile=NONE\nstderr_logfile=NONE\n"
        );
    }
    text
}

/// A peer that runs; killed with all its processes when dropped.
pub(crate) struct Running {
    peer: Peer,
    process: Child,
    began: u64,
    mark: String,
    directory: PathBuf,
    child: PathBuf,
}

impl Subject for Running {
    fn supervisors(&self) -> Outcome<Vec<i32>> {
        let mut found = Vec::new();
        for pid in pids()? {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let marked =
                environment.split(|byte| *byte == 0).any(|word| word == self.mark.as_bytes());
            let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
            if marked && exe != self.child {
                found.push(pid);
            }
        }
        Ok(found)
    }

    fn began(&self) -> Outcome<u64> {
        Ok(self.began)
    }

    fn ask_to_stop(&mut self) -> Outcome<()> {
        let all = |program: &str, words: &[&str]| -> Outcome<()> {
            let mut command = Command::new(program);
            command.args(words);
            for entry in fs::read_dir(&self.directory)? {
                let path = entry?.path();
                if path.is_dir() && path.join("supervise").exists() {
                    command.arg(path);
                }
            }
            // It says by its status that some did not stop in time: the children are counted.
            command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
            Ok(())
        };
        match self.peer {
            Peer::Floor | Peer::Supervisord | Peer::S6 => terminate(&self.process),
            Peer::Runit => all("sv", &["-w", "1", "force-shutdown"]),
            Peer::Daemontools => {
                all("svc", &["-dx"])?;
                thread::sleep(Duration::from_secs(1));
                all("svc", &["-k"])
            }
        }
    }

    fn await_end(&mut self) -> Outcome<()> {
        for pid in self.supervisors()? {
            // It may have ended by now.
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
        self.process.wait()?;
        Ok(fs::remove_dir_all(&self.directory)?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After an error; what is left is in memory, and gone with the stage.
        self.await_end().ok();
    }
}
