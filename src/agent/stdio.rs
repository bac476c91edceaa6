//! Moves bytes between a process's pipes and its actor.
//!
//! Death is told by the keeper, never by the end of a pipe; but what a process wrote before it died
//! is read before its death is told on.

use std::{io, os::fd::OwnedFd, rc::Rc, sync::Arc, time::Duration};

use actix::prelude::*;
use bytes::{Bytes, BytesMut};
use slog::warn;
use tokio::{
    net::unix::pipe,
    sync::{mpsc, watch},
    time::{Instant, sleep},
};

use super::{
    actor::AgentActor,
    log::{AgentLog, Allowance},
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

/// A process's stdin, which is closed when this is dropped and what waits is written.
///
/// What there is room for is written at once, by the caller: between a note that a task was given and
/// its line no other work comes, so that a host which is killed hardly ever leaves the one without the
/// other.
pub(super) struct Stdin {
    pipe: Rc<pipe::Sender>,
    waiting: mpsc::Sender<Vec<u8>>,
    /// Something waits: what comes later has to stand behind it.
    crowded: Rc<watch::Sender<bool>>,
}

/// The process does not read: too much waits for it already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

impl Stdin {
    /// Takes the write end of the pipe. Within a runtime.
    ///
    /// # Errors
    ///
    /// The pipe can't be used without blocking.
    pub(super) fn open(pipe: OwnedFd) -> io::Result<Self> {
        let pipe = Rc::new(pipe::Sender::from_owned_fd(pipe)?);
        let (send, receive) = mpsc::channel::<Vec<u8>>(STDIN_QUEUE);
        let crowded = Rc::new(watch::Sender::new(false));
        actix::spawn(write_later(pipe.clone(), receive, crowded.clone()));
        Ok(Self { pipe, waiting: send, crowded })
    }

    /// Resolves once nothing waits to be written.
    pub(super) fn written(&self) -> impl Future<Output = ()> + use<> {
        let mut crowded = self.crowded.subscribe();
        async move { until(&mut crowded, false).await }
    }

    /// Writes a message, now or when there is room. One for a process that has closed its stdin is
    /// dropped: if it also ends, the keeper tells.
    pub(super) fn send(&self, mut message: Vec<u8>) -> Result<(), Full> {
        if !*self.crowded.borrow() {
            match self.pipe.try_write(&message) {
                Ok(count) if count == message.len() => return Ok(()),
                Ok(count) => drop(message.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Ok(()),
            }
        }
        self.crowded.send_replace(true);
        match self.waiting.try_send(message) {
            Err(mpsc::error::TrySendError::Full(_)) => Err(Full),
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
        }
    }
}

/// Returns once `what` is so; or never, if nobody can say so any more.
async fn until(what: &mut watch::Receiver<bool>, so: bool) {
    if what.wait_for(|is| *is == so).await.is_err() {
        std::future::pending().await
    }
}

/// Writes what there was no room for. Ends when nothing can come any more, or nobody reads it.
async fn write_later(
    pipe: Rc<pipe::Sender>,
    mut waiting: mpsc::Receiver<Vec<u8>>,
    crowded: Rc<watch::Sender<bool>>,
) {
    while let Some(message) = waiting.recv().await {
        if write_all(&pipe, &message).await.is_err() {
            break;
        }
        crowded.send_replace(!waiting.is_empty());
    }
    // What still waits is for nobody.
    crowded.send_replace(false);
}

async fn write_all(pipe: &pipe::Sender, mut rest: &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        pipe.writable().await?;
        match pipe.try_write(rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
    Some { to_the_end_of_a_line: bool, wait: Duration },
    Nothing,
    End,
}

impl Pump {
    /// How long the actor wants to wait until it is told of more output; nothing if it is gone.
    async fn tell(&self, what: What) -> Option<Duration> {
        let message = FromProcess { generation: self.generation, what };
        self.actor.send(message).await.ok().map(Option::unwrap_or_default)
    }

    /// Hands a worker's stdout to its actor, chunk by chunk and no faster than that takes them,
    /// then its end. Once it is asked to `stop` it does so at the end of a line, and tells nothing more.
    pub(super) async fn worker(
        self,
        stdout: OwnedFd,
        mut ended: WhenEnded,
        mut stop: watch::Receiver<bool>,
    ) {
        let Ok(stdout) = pipe::Receiver::from_owned_fd(stdout) else {
            self.tell(What::Closed).await;
            self.tell(What::Ended(ended.await)).await;
            return;
        };
        let mut buffer = BytesMut::new();
        let mut whole = true;
        let end = loop {
            tokio::select! {
                end = &mut ended => break end,
                () = until(&mut stop, true), if whole => return,
                _ = stdout.readable() => match self.forward(&stdout, &mut buffer).await {
                    Read::Some { to_the_end_of_a_line, wait } => {
                        whole = to_the_end_of_a_line;
                        if !wait.is_zero() {
                            // The pipe fills meanwhile, and then its writer waits, too.
                            tokio::select! {
                                end = &mut ended => break end,
                                () = until(&mut stop, true), if whole => return,
                                () = sleep(wait) => {}
                            }
                        }
                    }
                    Read::Nothing => {}
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

    /// Tells that the process has given its result, and goes on.
    pub(super) async fn lingers(&self) {
        self.tell(What::Lingers).await;
    }

    /// Tells that the process has written more than it may.
    pub(super) async fn floods(&self) {
        self.tell(What::Floods).await;
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
                let to_the_end_of_a_line = buffer.last() == Some(&b'\n');
                let wait = self.tell(What::Output(buffer.split().freeze())).await;
                wait.map_or(Read::End, |wait| Read::Some { to_the_end_of_a_line, wait })
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
    let mut sink = Sink { allowance: file.allowance(), file, log, vitals, warned: false };
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
            Ok(_) => {
                let wait = sink.take(buffer.split().freeze()).await;
                // The pipe fills meanwhile, and then its writer waits, too.
                if !wait.is_zero() {
                    tokio::select! {
                        _ = &mut ended => break,
                        () = sleep(wait) => {}
                    }
                }
            }
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
    allowance: Allowance,
    file: AgentLog,
    log: slog::Logger,
    vitals: Arc<Vitals>,
    warned: bool,
}

impl Sink {
    /// Writes a chunk; how long to wait before the next.
    async fn take(&mut self, chunk: Bytes) -> Duration {
        self.vitals.touch();
        let wait = self.allowance.take(chunk.len(), Instant::now());
        // What can't be written is lost, but still read: a full disk must not stop agents.
        if let (Err(error), false) = (self.file.append(chunk).await, self.warned) {
            warn!(self.log, "an agent's log can't be written"; "error" => %error);
            self.warned = true;
        }
        wait
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// More than a pipe holds, to a process that reads late: nothing is lost, and all is in order.
    #[actix::test]
    async fn what_does_not_fit_is_written_later_and_in_order() {
        let (read, write) = nix::unistd::pipe().unwrap();
        let stdin = Stdin::open(write).unwrap();
        let messages: Vec<Vec<u8>> = (0..20_u8).map(|n| vec![n; 10_000]).collect();
        for message in &messages {
            stdin.send(message.clone()).unwrap();
        }
        drop(stdin);
        let all = tokio::task::spawn_blocking(|| {
            let mut all = Vec::new();
            std::fs::File::from(read).read_to_end(&mut all).unwrap();
            all
        });
        assert_eq!(all.await.unwrap(), messages.concat());
    }

    #[actix::test]
    async fn a_process_that_reads_nothing_is_told_of_and_one_that_is_gone_is_not() {
        let (read, write) = nix::unistd::pipe().unwrap();
        let stdin = Stdin::open(write).unwrap();
        let fits = (0..1_000).take_while(|_| stdin.send(vec![0; 10_000]).is_ok()).count();
        assert!((STDIN_QUEUE..STDIN_QUEUE + 10).contains(&fits), "{fits}");
        assert_eq!(stdin.send(vec![0]), Err(Full));
        drop(read);
        while !stdin.waiting.is_closed() {
            tokio::task::yield_now().await;
        }
        assert_eq!(stdin.send(vec![0]), Ok(()));
        // Whoever hands over does not wait for what nobody will read.
        stdin.written().await;
    }
}
