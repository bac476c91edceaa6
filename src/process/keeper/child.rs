//! What a child does between its beginning and its command.
//!
//! It does that in the memory of the keeper, as one of its threads would: all that can be made before is, and
//! nothing is allocated that would stay.

use std::{
    cell::Cell,
    collections::BTreeMap,
    ffi::{CStr, CString},
    os::fd::BorrowedFd,
};

use nix::{
    errno::Errno,
    sys::{
        prctl::set_pdeathsig,
        resource::{Resource, rlim_t, setrlimit},
        signal::{SigSet, Signal},
    },
    unistd::{Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, getcwd, getppid, setsid},
};

use super::{
    super::{
        sys,
        vfork::{Texts, execute, execute_with},
    },
    identity::Identity,
};
use crate::process::wire::Step;

/// Where programs are searched when the environment has no PATH.
const USUAL_PATH: &str = "/bin:/usr/bin";

/// What runs a file that is no program and names none that runs it, as `execvp` has it.
const SHELL: &CStr = c"/bin/sh";

/// The command of a process: where it may be found, its words, its environment.
#[derive(Debug)]
pub(super) struct Program {
    places: Vec<CString>,
    words: Texts,
    /// Those of the shell, the second of which is the place of the command.
    shell: Texts,
    environment: Texts,
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
        let words = argv.iter().map(|word| text(word)).collect::<Option<Vec<_>>>()?;
        let shell = [SHELL.to_owned()].into_iter().chain(words.iter().cloned()).collect();
        let environment = env.iter().map(|(name, value)| text(&format!("{name}={value}")));
        Some(Self {
            places,
            words: Texts::new(words),
            shell: Texts::new(shell),
            environment: Texts::new(environment.collect::<Option<_>>()?),
        })
    }

    /// Becomes the program; gives why it can't.
    fn run(&self) -> Errno {
        let mut why = Errno::ENOENT;
        for place in &self.places {
            match execute(place, &self.words, &self.environment) {
                Errno::ENOENT | Errno::ENOTDIR => {}
                // Another of the same name may be allowed.
                Errno::EACCES => why = Errno::EACCES,
                Errno::ENOEXEC => {
                    return execute_with(SHELL, place, &self.shell, &self.environment);
                }
                errno => return errno,
            }
        }
        why
    }
}

/// All that the child needs.
#[derive(Debug)]
pub(super) struct Child {
    /// What it leaves to its keeper if it fails: the step, and the errno.
    pub(super) failed: Cell<Option<(Step, Errno)>>,
    pub(super) limits: Vec<(Resource, rlim_t, rlim_t)>,
    pub(super) identity: Option<Identity>,
    pub(super) cwd: CString,
    /// Whether that must be where it is: no link in it.
    pub(super) pinned: bool,
    pub(super) keeper: Pid,
    pub(super) program: Program,
}

impl Child {
    /// Becomes the program with these as its stdin, stdout and stderr, or leaves why it can't and ends.
    pub(super) fn run(&self, streams: [BorrowedFd<'_>; 3]) -> ! {
        let failed = match self.prepare(streams) {
            Ok(()) => (Step::Exec, self.program.run()),
            Err(failed) => failed,
        };
        self.failed.set(Some(failed));
        sys::exit_at_once(127)
    }

    fn prepare(&self, streams: [BorrowedFd<'_>; 3]) -> Result<(), (Step, Errno)> {
        let at = |step| move |errno| (step, errno);
        let [stdin, stdout, stderr] = streams;
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
            identity.assume().map_err(at(Step::User))?;
        }
        // After the change of user, which clears it. It is sound because the thread that starts children
        // lives as long as the keeper; one that died before this line is seen by the parent's pid.
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
