//! The thread that forks, and what ties a forked process to the host's life.

use std::{io, path::Path, sync::mpsc, thread};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, getpid, getppid, setsid},
};
use tokio::{
    process::{Child, Command},
    runtime::Handle,
    sync::oneshot,
};

use super::error::EmbeddedError;

/// A thread that starts processes, and lives until this is dropped.
///
/// The kernel sends a parent-death signal when the *thread* that forked ends, not the process.
/// A worker of an async runtime may end at any time, so forking is done here, and whoever owns
/// the processes keeps this until they are reaped. The thread ends with the host in any case, by
/// SIGKILL too, and that is when the signal is wanted.
#[derive(Debug)]
pub(super) struct Spawner {
    requests: mpsc::Sender<Request>,
}

struct Request {
    command: Command,
    reply: oneshot::Sender<io::Result<Child>>,
}

impl Spawner {
    /// Starts the thread. Must be called within a tokio runtime, to which the children belong.
    ///
    /// # Errors
    ///
    /// [`EmbeddedError::Spawn`] where the system gives no thread.
    pub(super) fn start() -> Result<Self, EmbeddedError> {
        let (requests, queue) = mpsc::channel::<Request>();
        let runtime = Handle::current();
        let work = move || {
            let _within = runtime.enter();
            for mut request in queue {
                // Nobody waits any more only if the spawner is about to be dropped, and the
                // child's death signal with it.
                request.reply.send(request.command.spawn()).ok();
            }
        };
        thread::Builder::new().name("postgres-fork".to_owned()).spawn(work).map_err(|source| {
            EmbeddedError::Spawn { program: "thread `postgres-fork`".into(), source }
        })?;
        Ok(Self { requests })
    }

    /// Starts `command` in a session of its own, to be sent `at_death` when this is dropped or the
    /// host dies (on Linux).
    ///
    /// # Errors
    ///
    /// What the system says of the fork, the change of account or directory, or the exec.
    pub(super) async fn spawn(&self, mut command: Command, at_death: Signal) -> io::Result<Child> {
        tie(&mut command, at_death);
        let (reply, answer) = oneshot::channel();
        let gone = || io::Error::other("the thread that forks has ended");
        self.requests.send(Request { command, reply }).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// Makes `command` lead a session of its own and be sent `at_death` when its parent thread ends.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "no such signal there"))]
#[expect(unsafe_code, reason = "the death signal must be set between fork and exec")]
fn tie(command: &mut Command, at_death: Signal) {
    let host = getpid();
    let in_child = move || {
        setsid()?;
        #[cfg(target_os = "linux")]
        {
            // After the change of account, which would clear it: std runs this closure last.
            nix::sys::prctl::set_pdeathsig(at_death)?;
            // The host may have died before that line, and then no signal will come.
            if getppid() != host {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. The closure makes
    // three bare system calls (setsid, prctl, getppid), and its errors carry a number: it neither
    // allocates nor locks nor touches memory that another thread may have been changing.
    unsafe { command.pre_exec(in_child) };
}

/// Sends `signal` to a child that is not reaped yet; does nothing to one that is.
///
/// A child's id is gone from `child` once it was reaped, and it is reaped through `child` alone,
/// so the signal cannot reach another process that got the same id.
pub(super) fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()) {
        // The one failure there can be is that it has just ended, and the caller waits for that.
        kill(Pid::from_raw(pid), signal).ok();
    }
}

/// A command for `program` that shares nothing with the host: an empty environment (no `PG*`
/// variables, no secrets of the host), `dir` as its directory, no input.
pub(super) fn bare(program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C").env("TZ", "UTC");
    command.current_dir(dir).stdin(std::process::Stdio::null());
    command
}
