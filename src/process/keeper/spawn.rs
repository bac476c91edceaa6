//! Starting one process: what the keeper opens for it, and its beginning.

use std::{
    cell::Cell,
    collections::BTreeMap,
    ffi::CString,
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::{
        resource::{Resource, getrlimit, rlim_t, setrlimit},
        signal::Signal,
    },
    unistd::{getpid, pipe2},
};

use super::{
    super::{
        Stdio,
        mark::{Mark, VARIABLE},
        sys,
        vfork::Cradle,
        wire::{Failure, Limits, Order, Step, Stream},
    },
    child::{Child, Program},
    identity::Identity,
    nursery::Birth,
};
use crate::domain::fleet::StopSignal;

/// A process whose command runs.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) pid: i32,
    /// The ends of its pipes that the host gets.
    pub(super) pipes: Ends,
}

/// The host's ends of pipes.
pub(super) type Ends = Vec<(Stream, OwnedFd)>;

pub(super) fn failed(step: Step, subject: impl Into<String>) -> impl FnOnce(Errno) -> Failure {
    move |errno| Failure { step, errno: errno as i32, subject: subject.into() }
}

fn errno_of(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or_default()
}

fn bad_order(subject: &str) -> Failure {
    Failure { step: Step::Order, errno: 0, subject: subject.into() }
}

/// Starts a process, in a session of its own and in its control group. It has no descriptors from the number
/// `above` on.
pub(super) fn start(birth: &Birth, above: u32, cradle: &mut Cradle) -> Result<Started, Failure> {
    let Birth { order, mark, files, group } = birth;
    let command = order.argv.first().ok_or_else(|| bad_order("its command is empty"))?;
    let mut pipes = Vec::new();
    let mut open = |stdio: &_, stream| open(cradle, stdio, stream, &mut pipes);
    let stdin = open(&order.stdin, Stream::Stdin)?;
    let stdout = open(&order.stdout, Stream::Stdout)?;
    let stderr = open(&order.stderr, Stream::Stderr)?;
    let identity = order.user.as_deref().map(Identity::find).transpose()?.flatten();
    let child = Child {
        failed: Cell::new(None),
        limits: limits(&order.limits, *files),
        program: program(order, *mark, identity.as_ref())?,
        identity,
        cwd: CString::new(order.cwd.as_os_str().as_encoded_bytes())
            .map_err(|_| bad_order("its working directory has a NUL byte in its path"))?,
        pinned: order.pinned,
        keeper: getpid(),
    };
    let group = group.as_ref().map(|group| group.as_fd());
    let pid = cradle
        .begin((group, above), [&stdin, &stdout, &stderr], Child::run, &child)
        .map_err(failed(Step::Fork, command))?;
    match child.failed.get() {
        // A kill that came before its command is told as its end.
        None => Ok(Started { pid, pipes }),
        Some((step, errno)) => {
            // It ends in this moment: nothing of it is left then.
            sys::await_end(pid).ok();
            Err(failed(step, subject(order, step))(errno))
        }
    }
}

/// What a step of a start is about, for people.
fn subject(order: &Order, step: Step) -> String {
    match step {
        Step::Cwd => order.cwd.display().to_string(),
        Step::User => order.user.clone().unwrap_or_default(),
        Step::Limits => describe(&order.limits),
        _ => order.argv.first().cloned().unwrap_or_default(),
    }
}

fn program(order: &Order, mark: Mark, identity: Option<&Identity>) -> Result<Program, Failure> {
    let mark = mark.to_string();
    let home = identity.and_then(|identity| identity.home.to_str());
    let mut environment: BTreeMap<&str, &str> =
        home.map(|home| ("HOME", home)).into_iter().collect();
    environment.extend(order.env.iter().map(|(name, value)| (&**name, &**value)));
    environment.insert(VARIABLE, &mark);
    Program::new(&order.argv, &environment)
        .ok_or_else(|| bad_order("its command, arguments or environment hold a NUL byte"))
}

/// The child's end of a stream; the other end, where there is one, goes to `pipes`.
fn open(
    cradle: &Cradle,
    stdio: &Stdio,
    stream: Stream,
    pipes: &mut Ends,
) -> Result<OwnedFd, Failure> {
    let named = |what: &str| format!("{} {what}", format!("{stream:?}").to_lowercase());
    let file = match stdio {
        Stdio::Null => cradle.null(),
        Stdio::Pipe => {
            let (read, write) =
                pipe2(OFlag::O_CLOEXEC).map_err(failed(Step::Stdio, named("pipe")))?;
            let (theirs, ours) =
                if stream == Stream::Stdin { (read, write) } else { (write, read) };
            pipes.push((stream, ours));
            return Ok(theirs);
        }
        Stdio::File(path) => open_file(path, stream).map(OwnedFd::from),
    };
    file.map_err(|error| Failure {
        step: Step::Stdio,
        errno: errno_of(&error),
        subject: match stdio {
            Stdio::File(path) => named(&format!("file `{}`", path.display())),
            Stdio::Null | Stdio::Pipe => named("/dev/null"),
        },
    })
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
