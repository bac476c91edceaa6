//! Starting one process: what the keeper opens for it, and what the child does between fork and exec.
//!
//! `std` makes the fork, tells an exec that failed, and hears SIGPIPE again; the hook clears the mask of
//! signals that the keeper's own loop needs. What was ignored the keeper cleared when it began.

use std::{
    ffi::CString,
    fs::{File, OpenOptions},
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{fs::OpenOptionsExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio as ChildStdio},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::{
        prctl::set_pdeathsig,
        resource::{Resource, getrlimit, rlim_t, setrlimit},
        signal::{SigSet, Signal},
    },
    unistd::{
        Gid, Pid, Uid, User, chdir, geteuid, getgrouplist, getpid, getppid, pipe2, setgid,
        setgroups, setsid, setuid, write,
    },
};

use super::super::{
    Stdio,
    mark::{Mark, VARIABLE},
    wire::{Failure, Limits, Order, Step, Stream},
};
use crate::domain::fleet::StopSignal;

/// A process that runs, with the ends of its pipes that are not its own.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) pid: i32,
    pub(super) pipes: Vec<(Stream, OwnedFd)>,
}

fn failed(step: Step, subject: impl Into<String>) -> impl FnOnce(Errno) -> Failure {
    move |errno| Failure { step, errno: errno as i32, subject: subject.into() }
}

fn errno_of(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or_default()
}

/// Starts the process of `order`, in a session of its own, and waits until its command runs.
///
/// `files` are the limits of open files, soft and hard, that it has where the order sets none.
pub(super) fn start(
    order: &Order,
    mark: Mark,
    files: (rlim_t, rlim_t),
) -> Result<Started, Failure> {
    let bad_order =
        |subject: &str| Failure { step: Step::Order, errno: 0, subject: subject.into() };
    let (command, arguments) =
        order.argv.split_first().ok_or_else(|| bad_order("its command is empty"))?;
    let mut pipes = Vec::new();
    let stdin = open(&order.stdin, Stream::Stdin, &mut pipes)?;
    let stdout = open(&order.stdout, Stream::Stdout, &mut pipes)?;
    let stderr = open(&order.stderr, Stream::Stderr, &mut pipes)?;
    let (mut told, tell) = pipe2(OFlag::O_CLOEXEC)
        .map(|(read, write)| (File::from(read), write))
        .map_err(failed(Step::Stdio, "step pipe"))?;
    let child = Child {
        limits: limits(&order.limits, files),
        identity: order.user.as_deref().map(Identity::find).transpose()?.flatten(),
        cwd: CString::new(order.cwd.as_os_str().as_encoded_bytes())
            .map_err(|_| bad_order("its working directory has a NUL byte in its path"))?,
        keeper: getpid(),
    };
    let mut process = Command::new(command);
    process.args(arguments).env_clear();
    if let Some(identity) = &child.identity {
        process.env("HOME", &identity.home);
    }
    process.envs(&order.env).env(VARIABLE, mark.to_string());
    process.stdin(stdin).stdout(stdout).stderr(stderr);
    hook(&mut process, child, tell);
    let spawned = process.spawn();
    // Closes the last copy of `tell` in this process, so that reading `told` ends.
    drop(process);
    match spawned {
        Ok(child) => Ok(Started { pid: pid_of(&child), pipes }),
        // `std` refused it before any system call: EINVAL has the same kind, but a number too.
        Err(error)
            if error.kind() == io::ErrorKind::InvalidInput && error.raw_os_error().is_none() =>
        {
            Err(bad_order("its command, arguments or environment hold a NUL byte"))
        }
        Err(error) => {
            let mut byte = [0];
            let step = match told.read(&mut byte) {
                Ok(1) => Step::ALL.get(usize::from(byte[0])).copied().unwrap_or(Step::Exec),
                _ => Step::Fork,
            };
            let subject = match step {
                Step::Cwd => order.cwd.display().to_string(),
                Step::User => order.user.clone().unwrap_or_default(),
                Step::Limits => describe(&order.limits),
                _ => command.clone(),
            };
            Err(Failure { step, errno: errno_of(&error), subject })
        }
    }
}

fn pid_of(child: &std::process::Child) -> i32 {
    // A pid is a positive i32 that std widened.
    i32::try_from(child.id()).unwrap_or(i32::MAX)
}

/// The child's end of a stream; the other end, where there is one, goes to `pipes`.
fn open(
    stdio: &Stdio,
    stream: Stream,
    pipes: &mut Vec<(Stream, OwnedFd)>,
) -> Result<ChildStdio, Failure> {
    match stdio {
        Stdio::Null => Ok(ChildStdio::null()),
        Stdio::Pipe => {
            let (read, write) = pipe2(OFlag::O_CLOEXEC)
                .map_err(failed(Step::Stdio, format!("{stream:?} pipe").to_lowercase()))?;
            let (theirs, ours) =
                if stream == Stream::Stdin { (read, write) } else { (write, read) };
            pipes.push((stream, ours));
            Ok(theirs.into())
        }
        Stdio::File(path) => match open_file(path, stream) {
            Ok(file) => Ok(file.into()),
            Err(error) => Err(Failure {
                step: Step::Stdio,
                errno: errno_of(&error),
                subject: format!(
                    "{} file `{}`",
                    format!("{stream:?}").to_lowercase(),
                    path.display()
                ),
            }),
        },
    }
}

/// Opens without waiting (a FIFO must not stop the keeper) and never through a symlink, which a
/// less privileged agent could have put there.
fn open_file(path: &Path, stream: Stream) -> io::Result<File> {
    let mut options = OpenOptions::new();
    match stream {
        Stream::Stdin => options.read(true),
        Stream::Stdout | Stream::Stderr => options.append(true).create(true).mode(0o600),
    };
    let file =
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY).open(path)?;
    let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
    fcntl(&file, FcntlArg::F_SETFL(flags.difference(OFlag::O_NONBLOCK)))?;
    Ok(file)
}

/// The user that a process becomes.
#[derive(Debug)]
struct Identity {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
    home: PathBuf,
}

impl Identity {
    /// The user of that name; `None` where the keeper runs as that user already.
    fn find(name: &str) -> Result<Option<Self>, Failure> {
        let user = User::from_name(name)
            .and_then(|user| user.ok_or(Errno::ENOENT))
            .map_err(failed(Step::User, name))?;
        if user.uid == geteuid() {
            return Ok(None);
        }
        let name_c = CString::new(name).map_err(|_| failed(Step::User, name)(Errno::EINVAL))?;
        let groups = getgrouplist(&name_c, user.gid).map_err(failed(Step::User, name))?;
        Ok(Some(Self { uid: user.uid, gid: user.gid, groups, home: user.dir }))
    }
}

/// The limits as `setrlimit` takes them.
fn limits(limits: &Limits, files: (rlim_t, rlim_t)) -> Vec<(Resource, rlim_t, rlim_t)> {
    let plain = [
        (Resource::RLIMIT_AS, limits.memory),
        (Resource::RLIMIT_NPROC, limits.processes),
        (Resource::RLIMIT_FSIZE, limits.file_size),
    ];
    let mut all: Vec<_> = plain
        .into_iter()
        .filter_map(|(resource, value)| value.map(|value| (resource, value, value)))
        .collect();
    // The keeper's own limit is higher than what it was started with.
    let (soft, hard) = limits.open_files.map_or(files, |most| (most, most));
    all.push((Resource::RLIMIT_NOFILE, soft, hard));
    if let Some(seconds) = limits.cpu_seconds {
        // A second between soft and hard, so that it ends by SIGXCPU, which says why.
        let ceiling = getrlimit(Resource::RLIMIT_CPU).map_or(u64::MAX, |(_, hard)| hard);
        let hard = seconds.saturating_add(1).min(ceiling.max(seconds));
        all.push((Resource::RLIMIT_CPU, seconds, hard));
    }
    all
}

fn describe(limits: &Limits) -> String {
    let named = [
        ("memory", limits.memory),
        ("open_files", limits.open_files),
        ("processes", limits.processes),
        ("cpu", limits.cpu_seconds),
        ("file_size", limits.file_size),
    ];
    let set: Vec<_> = named
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| format!("{name} = {value}")))
        .collect();
    set.join(", ")
}

/// What the child needs between fork and exec, all of it made before the fork.
#[derive(Debug)]
struct Child {
    limits: Vec<(Resource, rlim_t, rlim_t)>,
    identity: Option<Identity>,
    cwd: CString,
    keeper: Pid,
}

impl Child {
    /// Runs in the child. Allocates nothing.
    fn prepare(&self) -> Result<(), (Step, Errno)> {
        let at = |step| move |errno| (step, errno);
        setsid().and_then(|_| SigSet::empty().thread_set_mask()).map_err(at(Step::Session))?;
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
        chdir(self.cwd.as_c_str()).map_err(at(Step::Cwd))
    }
}

/// Lets the child prepare itself, and tell over `tell` at which step it failed.
#[expect(unsafe_code, reason = "a session, limits and PDEATHSIG must be set between fork and exec")]
fn hook(process: &mut Command, child: Child, tell: OwnedFd) {
    let run = move || {
        let (step, result) = match child.prepare() {
            Ok(()) => (Step::Exec, Ok(())),
            Err((step, errno)) => (step, Err(io::Error::from(errno))),
        };
        say(tell.as_fd(), step)?;
        result
    };
    // SAFETY: the keeper has one thread, so nothing in the child can be locked for ever; the hook
    // makes system calls and no more.
    unsafe {
        process.pre_exec(run);
    }
}

fn say(tell: BorrowedFd<'_>, step: Step) -> io::Result<()> {
    write(tell, &[step as u8])?;
    Ok(())
}

/// Lets the keeper open as many files as it may: three pipes of each process that stays. Gives the
/// limits as they were, which its processes get.
pub(super) fn raise_file_limit() -> io::Result<(rlim_t, rlim_t)> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok((soft, hard))
}

/// The number of a signal that asks a process to stop.
pub(super) const fn number(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::Sigterm => Signal::SIGTERM,
        StopSignal::Sigint => Signal::SIGINT,
        StopSignal::Sighup => Signal::SIGHUP,
        StopSignal::Sigquit => Signal::SIGQUIT,
    }
}
