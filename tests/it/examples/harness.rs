//! One worker over real pipes.

use std::{
    io::{ErrorKind, Read, Write},
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::Duration,
};

use hostler::{
    domain::{
        Generation,
        task::{Assignment, Outcome},
    },
    protocol::{
        frame::{FrameError, LineReader},
        worker::{ProtocolError, Received, Terms, WorkerSession},
    },
};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde_json::Value;

use super::{LIMIT, file};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program in its own process group; `None`, with a printed reason, if its interpreter is missing.
pub(super) fn spawn(interpreter: &str, script: &str, env: &[(&str, &str)]) -> Option<Child> {
    let spawned = Command::new(interpreter)
        .arg(file(script))
        .env("HOSTLER_AGENT", "demo-1")
        .envs(env.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    match spawned {
        Ok(child) => Some(child),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("skipped {script}: there is no {interpreter} here");
            None
        }
        Err(error) => panic!("{script}: {error}"),
    }
}

/// What came out of a process.
enum Heard {
    Line(String),
    Broken(FrameError),
}

/// A running worker. Dropped, it is killed with its whole group.
pub(super) struct Worker {
    pub(super) child: Child,
    pub(super) stdin: Option<ChildStdin>,
    heard: Receiver<Heard>,
    pub(super) session: WorkerSession,
}

impl Worker {
    pub(super) fn start(interpreter: &str, script: &str, env: &[(&str, &str)]) -> Option<Self> {
        let mut child = spawn(interpreter, script, env)?;
        let mut stdout = child.stdout.take().unwrap();
        let (tell, heard) = channel();
        std::thread::spawn(move || {
            let mut reader = LineReader::new(LIMIT);
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                let mut rest = &buffer[..count];
                loop {
                    let heard = match reader.next_line(&mut rest) {
                        Ok(None) => break,
                        Ok(Some(line)) => Heard::Line(line.into_owned()),
                        Err(error) => Heard::Broken(error),
                    };
                    if tell.send(heard).is_err() {
                        return;
                    }
                }
            }
            if let Err(error) = reader.finish() {
                tell.send(Heard::Broken(error)).ok();
            }
        });
        let session = WorkerSession::new(Terms {
            agent: "demo-1".parse().unwrap(),
            fleet: "demo".parse().unwrap(),
            generation: Generation(1),
            heartbeat: Duration::from_millis(100),
            max_output: LIMIT as u64,
            prefetch: 1,
            attempts: None,
        });
        let stdin = child.stdin.take();
        Some(Self { child, stdin, heard, session })
    }

    /// A worker that has said hello.
    pub(super) fn ready(interpreter: &str, script: &str, env: &[(&str, &str)]) -> Option<Self> {
        let mut worker = Self::start(interpreter, script, env)?;
        let hello = worker.session.hello();
        worker.send(&hello);
        assert!(matches!(worker.next(), Ok(Received::Ready { .. })));
        Some(worker)
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    pub(super) fn run(&mut self, assignment: &Assignment) {
        let bytes = self.session.run(assignment, None).unwrap();
        self.send(&bytes);
    }

    pub(super) fn next(&mut self) -> Result<Received, ProtocolError> {
        match self.heard.recv_timeout(PATIENCE) {
            Ok(Heard::Line(line)) => self.session.receive(line.as_bytes()),
            Ok(Heard::Broken(error)) => panic!("{error}"),
            Err(error) => panic!("nothing came: {error}"),
        }
    }

    pub(super) fn broken(&mut self) -> FrameError {
        match self.heard.recv_timeout(PATIENCE) {
            Ok(Heard::Broken(error)) => error,
            Ok(Heard::Line(line)) => panic!("expected a broken line, got {line}"),
            Err(error) => panic!("nothing came: {error}"),
        }
    }

    /// The outcome of what is under way, and how much progress was told before.
    pub(super) fn outcome(&mut self) -> (Outcome, usize) {
        let mut progress = 0;
        loop {
            match self.next() {
                Ok(Received::Finished { outcome, .. }) => return (outcome, progress),
                Ok(Received::Progress(_)) => progress += 1,
                other => panic!("expected an outcome, got {other:?}"),
            }
        }
    }

    pub(super) fn result_of(&mut self, assignment: &Assignment) -> Value {
        self.run(assignment);
        match self.outcome() {
            (Outcome::Completed { output }, _) => output,
            (other, _) => panic!("expected a result, got {other:?}"),
        }
    }

    /// Waits for the end of stdout, then for the end of the process.
    pub(super) fn end(mut self) -> ExitStatus {
        assert!(matches!(self.heard.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected)));
        self.child.wait().unwrap()
    }

    pub(super) fn silent_for(&self, time: Duration) {
        assert!(matches!(self.heard.recv_timeout(time), Err(RecvTimeoutError::Timeout)));
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Its leader is not reaped yet, so the group is still its own. It may have ended before.
        killpg(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGKILL).ok();
        self.child.wait().ok();
    }
}
