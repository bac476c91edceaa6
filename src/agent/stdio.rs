//! Moves bytes between a process's pipes and its actor.
//!
//! Death is told by the keeper, never by the end of a pipe; but what a process wrote before it died
//! is read before its death is told on.

use std::{io, os::fd::OwnedFd, sync::Arc, time::Duration};

use actix::prelude::*;
use bytes::{Bytes, BytesMut};
use slog::warn;
use tokio::{io::AsyncWriteExt, net::unix::pipe, sync::mpsc};

use super::{
    actor::AgentActor,
    log::AgentLog,
    messages::{FromProcess, What},
    tombstone::WhenEnded,
};
use crate::{
    domain::{Generation, task::Outcome},
    heartbeat::Vitals,
    process::Ended,
};

/// The most bytes read at once.
const CHUNK: usize = 64 * 1024;
/// The most that is read after a process died: more than any pipe holds. Only a descendant that
/// escaped its group and wiped its mark could still write.
const LAST_WORDS: usize = 4 * 1024 * 1024;
/// How long a process may live on after it closed its stdout. Processes that end close it a moment
/// before their death is known.
const CLOSED_GRACE: Duration = Duration::from_secs(1);
/// The most messages that wait for a process to read its stdin.
const STDIN_QUEUE: usize = 64;

/// Starts to write what is sent into the channel to a process's stdin, which is closed when the
/// sender is dropped.
pub(super) fn write_stdin(stdin: OwnedFd) -> io::Result<mpsc::Sender<Vec<u8>>> {
    let mut stdin = pipe::Sender::from_owned_fd(stdin)?;
    let (send, mut receive) = mpsc::channel::<Vec<u8>>(STDIN_QUEUE);
    actix::spawn(async move {
        while let Some(message) = receive.recv().await {
            // The process closed its stdin: if it also ends, the keeper tells.
            if stdin.write_all(&message).await.is_err() {
                break;
            }
        }
    });
    Ok(send)
}

/// Whom the pump of a stdout serves.
pub(super) struct Pump {
    pub(super) actor: Addr<AgentActor>,
    pub(super) generation: Generation,
    pub(super) vitals: Arc<Vitals>,
}

/// What still is in the pipe of a process that has ended, a chunk at a time; at most `left` bytes.
///
/// Asks the kernel itself: tokio says that a pipe is readable only some time after it is.
fn last_words(pipe: &pipe::Receiver, left: &mut usize) -> Option<Bytes> {
    let mut chunk = vec![0; CHUNK.min(*left)];
    match nix::unistd::read(pipe, &mut chunk) {
        Ok(count @ 1..) => {
            *left -= count;
            chunk.truncate(count);
            Some(Bytes::from(chunk))
        }
        // At its end, empty, or broken: there is no more.
        Ok(_) | Err(_) => None,
    }
}

enum Read {
    Some,
    Nothing,
    End,
}

impl Pump {
    async fn tell(&self, what: What) -> bool {
        let message = FromProcess { generation: self.generation, what };
        self.actor.send(message).await.is_ok()
    }

    /// Hands a worker's stdout to its actor, chunk by chunk and no faster than that takes them,
    /// then its end.
    pub(super) async fn worker(self, stdout: OwnedFd, mut ended: WhenEnded) {
        let Ok(stdout) = pipe::Receiver::from_owned_fd(stdout) else {
            self.tell(What::Closed).await;
            self.tell(What::Ended(ended.await)).await;
            return;
        };
        let mut buffer = BytesMut::new();
        let end = loop {
            tokio::select! {
                end = &mut ended => break end,
                _ = stdout.readable() => match self.forward(&stdout, &mut buffer).await {
                    Read::Some | Read::Nothing => {}
                    Read::End => break self.closed(&mut ended).await,
                }
            }
        };
        let mut left = LAST_WORDS;
        while let Some(words) = last_words(&stdout, &mut left) {
            self.tell(What::Output(words)).await;
        }
        self.tell(What::Ended(end)).await;
    }

    /// Copies a service's stdout to the log, then tells its end.
    pub(super) async fn service(
        self,
        stdout: Option<OwnedFd>,
        file: AgentLog,
        log: slog::Logger,
        ended: WhenEnded,
    ) {
        if let Some(stdout) = stdout {
            copy_to_log(stdout, file, log, self.vitals.clone(), ended.clone()).await;
        }
        self.tell(What::Ended(ended.await)).await;
    }

    /// Tells what an ended process left.
    pub(super) async fn left(self, ended: Ended, outcome: Outcome) {
        self.tell(What::Left(ended, outcome)).await;
    }

    async fn forward(&self, stdout: &pipe::Receiver, buffer: &mut BytesMut) -> Read {
        buffer.reserve(CHUNK);
        match stdout.try_read_buf(buffer) {
            Ok(0) => Read::End,
            Ok(_) => {
                self.vitals.touch();
                let heard = self.tell(What::Output(buffer.split().freeze())).await;
                if heard { Read::Some } else { Read::End }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Read::Nothing,
            Err(_) => Read::End,
        }
    }

    /// The process closed its stdout, most likely because it is ending.
    async fn closed(&self, ended: &mut WhenEnded) -> Ended {
        if let Ok(end) = tokio::time::timeout(CLOSED_GRACE, &mut *ended).await {
            return end;
        }
        self.tell(What::Closed).await;
        ended.await
    }
}

/// Copies a pipe to the agent's log, each chunk a sign of life, until its end or the process's.
pub(super) async fn copy_to_log(
    pipe: OwnedFd,
    file: AgentLog,
    log: slog::Logger,
    vitals: Arc<Vitals>,
    ended: WhenEnded,
) {
    let pipe = match pipe::Receiver::from_owned_fd(pipe) {
        Ok(pipe) => pipe,
        Err(error) => {
            warn!(log, "output of an agent can't be read"; "error" => %error);
            return;
        }
    };
    let mut sink = Sink { file, log, vitals, warned: false };
    let (mut ended, mut buffer) = (ended, BytesMut::new());
    // A descendant that escaped may hold the pipe open for ever: its end is not waited for.
    loop {
        tokio::select! {
            _ = &mut ended => break,
            ready = pipe.readable() => if ready.is_err() { break },
        }
        buffer.reserve(CHUNK);
        match pipe.try_read_buf(&mut buffer) {
            Ok(0) => return,
            Ok(_) => sink.take(buffer.split().freeze()).await,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
    let mut left = LAST_WORDS;
    while let Some(words) = last_words(&pipe, &mut left) {
        sink.take(words).await;
    }
}

/// Where copied output goes.
struct Sink {
    file: AgentLog,
    log: slog::Logger,
    vitals: Arc<Vitals>,
    warned: bool,
}

impl Sink {
    async fn take(&mut self, chunk: Bytes) {
        self.vitals.touch();
        // What can't be written is lost, but still read: a full disk must not stop agents.
        if let (Err(error), false) = (self.file.append(chunk).await, self.warned) {
            warn!(self.log, "an agent's log can't be written"; "error" => %error);
            self.warned = true;
        }
    }
}
