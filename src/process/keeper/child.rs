//! What a child does between its fork and its command.
//!
//! The keeper has one thread, so nothing in the child can be locked for ever; all that can be made
//! before the fork is.

use std::{
    collections::BTreeMap,
    ffi::{CStr, CString},
    os::fd::OwnedFd,
};

use nix::{
    errno::Errno,
    sys::{
        prctl::set_pdeathsig,
        resource::{Resource, rlim_t, setrlimit},
        signal::{SigSet, Signal},
    },
    unistd::{
        Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, execve, getcwd, getppid, setgid,
        setgroups, setsid, setuid, write,
    },
};

use super::{super::sys, identity::Identity};
use crate::process::wire::Step;

/// Where programs are searched when the environment has no PATH.
const USUAL_PATH: &str = "/bin:/usr/bin";

/// What runs a file that is no program and names none that runs it, as `execvp` has it.
const SHELL: &CStr = c"/bin/sh";

/// The command of a process: where it may be found, its words, its environment.
#[derive(Debug)]
pub(super) struct Program {
    places: Vec<CString>,
    words: Vec<CString>,
    environment: Vec<CString>,
}

impl Program {
    /// The program of `argv`; `None` where a NUL byte is in it.
    pub(super) fn new(argv: &[String], env: &BTreeMap<&str, &str>) -> Option<Self> {
        let text = |text: &str| CString::new(text).ok();
        let command = argv.first()?;
        let places = if command.contains('/') {
            vec![text(command)?]
        } else {
            let path = env.get("PATH").copied().unwrap_or(USUAL_PATH);
            let in_path =
                |dir: &str| text(&format!("{}/{command}", if dir.is_empty() { "." } else { dir }));
            path.split(':').map(in_path).collect::<Option<_>>()?
        };
        Some(Self {
            places,
            words: argv.iter().map(|word| text(word)).collect::<Option<_>>()?,
            environment: env
                .iter()
                .map(|(name, value)| text(&format!("{name}={value}")))
                .collect::<Option<_>>()?,
        })
    }

    /// Becomes the program; gives why it can't.
    fn run(&self) -> Errno {
        let mut why = Errno::ENOENT;
        for place in &self.places {
            let Err(errno) = execve(place, &self.words, &self.environment);
            match errno {
                Errno::ENOENT | Errno::ENOTDIR => {}
                // Another of the same name may be allowed.
                Errno::EACCES => why = errno,
                Errno::ENOEXEC => return self.run_by_shell(place),
                errno => return errno,
            }
        }
        why
    }

    fn run_by_shell(&self, place: &CStr) -> Errno {
        let shell = [SHELL.to_owned(), place.to_owned()];
        let words: Vec<_> = shell.iter().chain(self.words.iter().skip(1)).collect();
        let Err(errno) = execve(SHELL, &words, &self.environment);
        errno
    }
}

/// All that the child needs.
#[derive(Debug)]
pub(super) struct Child {
    /// Stdin, stdout and stderr.
    pub(super) streams: [OwnedFd; 3],
    /// What it writes to if it fails: the step, and the errno.
    pub(super) tell: OwnedFd,
    pub(super) limits: Vec<(Resource, rlim_t, rlim_t)>,
    pub(super) identity: Option<Identity>,
    pub(super) cwd: CString,
    /// Whether that must be where it is: no link in it.
    pub(super) pinned: bool,
    pub(super) keeper: Pid,
    pub(super) program: Program,
}

impl Child {
    /// Becomes the program, or tells why it can't and ends.
    pub(super) fn run(&self) -> ! {
        let (step, errno) = match self.prepare() {
            Ok(()) => (Step::Exec, self.program.run()),
            Err(failed) => failed,
        };
        let [a, b, c, d] = (errno as i32).to_le_bytes();
        // A keeper that is gone needs no word.
        write(&self.tell, &[step as u8, a, b, c, d]).ok();
        sys::exit_at_once(127)
    }

    fn prepare(&self) -> Result<(), (Step, Errno)> {
        let at = |step| move |errno| (step, errno);
        let [stdin, stdout, stderr] = &self.streams;
        dup2_stdin(stdin)
            .and_then(|()| dup2_stdout(stdout))
            .and_then(|()| dup2_stderr(stderr))
            .map_err(at(Step::Stdio))?;
        setsid()
            .and_then(|_| SigSet::empty().thread_set_mask())
            .and_then(|()| sys::heed_sigpipe())
            .map_err(at(Step::Session))?;
        for &(resource, soft, hard) in &self.limits {
            setrlimit(resource, soft, hard).map_err(at(Step::Limits))?;
        }
        if let Some(identity) = &self.identity {
            setgroups(&identity.groups)
                .and_then(|()| setgid(identity.gid))
                .and_then(|()| setuid(identity.uid))
                .map_err(at(Step::User))?;
        }
        // After the change of user, which clears it. It is sound because the keeper has one thread;
        // a keeper that died before this line is seen by the parent's pid.
        set_pdeathsig(Signal::SIGKILL).map_err(at(Step::Tie))?;
        if getppid() != self.keeper {
            return Err((Step::Tie, Errno::ESRCH));
        }
        chdir(self.cwd.as_c_str()).map_err(at(Step::Cwd))?;
        if self.pinned {
            // Only now: where this is can't change any more.
            let here = getcwd().map_err(at(Step::Cwd))?;
            if here.as_os_str().as_encoded_bytes() != self.cwd.as_bytes() {
                return Err((Step::Cwd, Errno::ELOOP));
            }
        }
        Ok(())
    }
}
