//! The task that serves one keeper after another.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use slog::{Logger, error, info, warn};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};

use super::{
    super::{
        Ended, Kept, ProcessId, SpawnError, Spawned, Spec,
        sys::Batch,
        wire::{Notice, Request, Stream},
    },
    link::{Broken, Link, Told},
    order::order,
    start::{self, KeeperPlaces, Started},
    stuck,
};
use crate::domain::{AgentName, Generation, adoption::Note, fleet::StopSignal};

/// How long a keeper may take to end all processes and itself before it is killed.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(15);

/// The wait before a keeper that died soon is started again: doubled from the first to the last.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LAST_WAIT: Duration = Duration::from_secs(5);

/// A keeper that lived this long is started again at once.
const LONG_LIFE: Duration = Duration::from_secs(10);

/// The most commands that are written at once: the keeper begins with the first meanwhile.
const AT_ONCE: usize = 8;

type Reply = oneshot::Sender<Result<Spawned, SpawnError>>;

/// What the handle asks of the task.
#[derive(Debug)]
pub(super) enum Command {
    Spawn { id: ProcessId, spec: Box<Spec>, reply: Reply },
    Signal { id: ProcessId, signal: StopSignal },
    Kill(ProcessId),
    CloseStdin(ProcessId),
    Forget(ProcessId),
    Keep(Instant, Instant),
    Shutdown(oneshot::Sender<()>),
}

/// A spawn that the keeper has not answered yet.
#[derive(Debug)]
struct Pending {
    agent: AgentName,
    generation: Generation,
    command: String,
    reply: Reply,
    asked: Instant,
}

/// A process that has not ended.
#[derive(Debug)]
struct Live {
    /// Whose it is, for the log; of one that was taken over its note tells.
    whose: Option<(AgentName, Generation)>,
    pid: u32,
    ended: oneshot::Sender<Ended>,
}

/// The task's state.
#[derive(Debug)]
pub(super) struct Worker {
    log: Logger,
    places: KeeperPlaces,
    inbox: mpsc::UnboundedReceiver<Command>,
    pid: Arc<AtomicU32>,
    pending: HashMap<u64, Pending>,
    live: HashMap<u64, Live>,
    /// What was asked while there was no keeper.
    held: VecDeque<Command>,
    /// Until when the keeper keeps processes without this host.
    keep_until: Option<(Instant, Instant)>,
    /// Set once the keeper is to end: those who wait for it.
    leaving: Option<Vec<oneshot::Sender<()>>>,
    /// What had not come to its command at the last look at starts that hang.
    hang: BTreeSet<i32>,
    looked: Option<Instant>,
}

impl Worker {
    pub(super) fn new(
        log: Logger,
        places: KeeperPlaces,
        inbox: mpsc::UnboundedReceiver<Command>,
        pid: Arc<AtomicU32>,
    ) -> Self {
        Self {
            log,
            places,
            inbox,
            pid,
            pending: HashMap::new(),
            live: HashMap::new(),
            held: VecDeque::new(),
            keep_until: None,
            leaving: None,
            hang: BTreeSet::new(),
            looked: None,
        }
    }

    /// Serves keepers until a shutdown, or until the last handle is gone.
    pub(super) async fn run(mut self, first: Started) {
        let mut instance = first.instance;
        let mut keeper = Some(first);
        let mut wait = FIRST_WAIT;
        while let Some(started) = keeper.take() {
            instance = started.instance;
            let born = Instant::now();
            self.serve(started).await;
            if self.leaving.is_some() {
                break;
            }
            if born.elapsed() >= LONG_LIFE {
                wait = FIRST_WAIT;
            } else {
                self.pause(wait).await;
                wait = (wait * 2).min(LAST_WAIT);
            }
            keeper = self.restart().await;
        }
        self.places.clear(instance);
        self.inbox.close();
        for done in self.leaving.into_iter().flatten() {
            // Whoever asked may have stopped waiting.
            done.send(()).ok();
        }
    }

    /// Starts a keeper again, until one runs; `None` where none is wanted any more.
    async fn restart(&mut self) -> Option<Started> {
        let mut wait = FIRST_WAIT;
        while self.leaving.is_none() {
            match start::start(&self.places).await {
                Ok(started) => return Some(started),
                Err(problem) => error!(self.log, "keeper does not start"; "error" => %problem),
            }
            self.refuse_held();
            self.pause(wait).await;
            wait = (wait * 2).min(LAST_WAIT);
        }
        None
    }

    /// Waits, less long where the keeper is to end, and holds what is asked meanwhile.
    async fn pause(&mut self, wait: Duration) {
        let until = Instant::now() + wait;
        while self.leaving.is_none() {
            tokio::select! {
                () = sleep_until(until) => return,
                command = self.inbox.recv() => match command {
                    Some(Command::Shutdown(done)) => self.leave(Some(done)),
                    Some(command) => self.held.push_back(command),
                    None => self.leave(None),
                },
            }
        }
    }

    /// Refuses the spawns that were asked while there was no keeper, as none can be started.
    fn refuse_held(&mut self) {
        for command in self.held.drain(..) {
            if let Command::Spawn { spec, reply, .. } = command {
                let why = "no keeper can be started (see the log)";
                // Whoever asked may have stopped waiting.
                reply.send(Err(SpawnError::KeeperGone { agent: spec.agent, why })).ok();
            }
        }
    }

    /// Remembers that the keeper is to end, and who waits for that.
    fn leave(&mut self, done: Option<oneshot::Sender<()>>) {
        self.leaving.get_or_insert_default().extend(done);
    }

    /// Serves one keeper from its hello to its end, and what it leaves to its end too.
    async fn serve(&mut self, keeper: Started) {
        let Started { mut program, mut link, pid, instance, .. } = keeper;
        self.pid.store(pid, Ordering::Relaxed);
        info!(self.log, "keeper runs"; "pid" => pid);
        let broken = self.talk(&mut link).await;
        self.pid.store(0, Ordering::Relaxed);
        // A keeper that ends by itself closes the connection as its last act. Any other is killed.
        let leaves = self.leaving.is_some()
            && matches!(broken, Some(Broken::End))
            && timeout(SHUTDOWN_LIMIT, program.wait()).await.is_ok();
        if !leaves && let Err(problem) = program.kill() {
            warn!(self.log, "keeper can't be killed"; "pid" => pid, "error" => %problem);
        }
        let exit = program.wait().await.map(|exit| (exit.is_none_or(|e| e.success()), exit));
        let leaves = leaves && exit.as_ref().is_ok_and(|(well, _)| *well);
        let exit = exit.map(|(_, exit)| {
            exit.map_or_else(|| "a status unknown to this host".to_owned(), |exit| exit.to_string())
        });
        match exit {
            Ok(exit) if leaves => info!(self.log, "keeper ended"; "pid" => pid, "exit" => %exit),
            Ok(exit) => {
                let why = broken.map_or_else(|| "no answer in time".to_owned(), |b| b.to_string());
                error!(self.log, "keeper died, and its processes with it"; "pid" => pid,
                    "exit" => %exit, "error" => why, "count" => self.live.len());
            }
            Err(problem) => {
                error!(self.log, "keeper can't be reaped"; "pid" => pid, "error" => %problem);
            }
        }
        if !leaves || !self.live.is_empty() {
            let leaders = self.live.values().map(|live| live.pid).collect();
            start::sweep_after(&self.log, &self.places, instance, leaders).await;
        }
        self.lose_all();
    }

    /// Tells everyone who waits for a process of a keeper that is gone.
    fn lose_all(&mut self) {
        for (_, Pending { agent, reply, .. }) in self.pending.drain() {
            let why = "the keeper died meanwhile";
            // Whoever asked may have stopped waiting.
            reply.send(Err(SpawnError::KeeperGone { agent, why })).ok();
        }
        for (_, live) in self.live.drain() {
            live.ended.send(Ended::LOST).ok();
        }
    }

    /// Passes commands and notices on until the connection is over; `None` where its end took too long.
    async fn talk(&mut self, link: &mut Link) -> Option<Broken> {
        let born = Instant::now();
        self.say_keep(link);
        while let Some(command) = self.held.pop_front() {
            self.command(link, command);
        }
        loop {
            if self.leaving.is_some() {
                return timeout(SHUTDOWN_LIMIT, self.take_leave(link)).await.ok();
            }
            let late = self.next_look();
            tokio::select! {
                told = link.next() => match told {
                    Ok(told) => self.told(link, told),
                    Err(broken) => return Some(broken),
                },
                command = self.inbox.recv() => match command {
                    Some(command) => self.commands(link, command),
                    None => self.leave(None),
                },
                () = sleep_until(late.unwrap_or(born)), if late.is_some() => {
                    self.look_for_stuck().await;
                }
            }
        }
    }

    /// When it is to be looked whether a start hangs.
    fn next_look(&self) -> Option<Instant> {
        let first = self.pending.values().map(|pending| pending.asked).min()? + stuck::LOOK;
        Some(self.looked.map_or(first, |last| first.max(last + stuck::LOOK)))
    }

    async fn look_for_stuck(&mut self) {
        self.looked = Some(Instant::now());
        let (pid, before) = (self.pid.load(Ordering::Relaxed), std::mem::take(&mut self.hang));
        let look = tokio::task::spawn_blocking(move || stuck::look(pid, &before)).await;
        // A look that panicked found nothing.
        let (hang, ended) = look.unwrap_or_default();
        self.hang = hang;
        if ended > 0 {
            warn!(self.log, "a process that did not come to its command is ended";
                "reason" => "its directory or its program does not answer", "count" => ended);
        }
    }

    /// Asks the keeper to end, and hears it out.
    async fn take_leave(&mut self, link: &mut Link) -> Broken {
        ask(&self.log, link, &Request::Shutdown { grace_ms: None });
        loop {
            match link.next().await {
                Ok(told) => self.told(link, told),
                Err(broken) => return broken,
            }
        }
    }

    /// Passes a command on, and some that came meanwhile with it: they are one write.
    fn commands(&mut self, link: &mut Link, first: Command) {
        self.command(link, first);
        for _ in 1..AT_ONCE {
            if self.leaving.is_some() {
                return;
            }
            let Ok(command) = self.inbox.try_recv() else { return };
            self.command(link, command);
        }
    }

    fn command(&mut self, link: &mut Link, command: Command) {
        match command {
            Command::Spawn { reply, .. } if reply.is_closed() => {}
            Command::Spawn { id, spec, reply } => self.order(link, id, *spec, reply),
            Command::Signal { id, signal } => {
                ask(&self.log, link, &Request::Signal { id: id.0, signal });
            }
            Command::Kill(id) => ask(&self.log, link, &Request::Kill { id: id.0 }),
            Command::CloseStdin(id) => ask(&self.log, link, &Request::CloseStdin { id: id.0 }),
            Command::Forget(id) => ask(&self.log, link, &Request::Forget { id: id.0 }),
            Command::Keep(until, unless_told) => {
                self.keep_until = Some((until, unless_told));
                self.say_keep(link);
            }
            Command::Shutdown(done) => self.leave(Some(done)),
        }
    }

    /// Tells how long the processes are kept from now, should this host go.
    fn say_keep(&self, link: &mut Link) {
        let Some((until, unless_told)) = self.keep_until else { return };
        let now = Instant::now();
        // Beyond u64 there is no time that a keeper could count.
        let left = |until: Instant| {
            u64::try_from(until.saturating_duration_since(now).as_millis()).unwrap_or(u64::MAX)
        };
        let unless_told_ms = Some(left(unless_told));
        ask(&self.log, link, &Request::Keep { ms: left(until), unless_told_ms });
    }

    /// Takes a process over that a host before this started; `None` for what is no such notice.
    pub(super) fn take_over(&mut self, told: Told) -> Option<Kept> {
        let Notice::Kept { id, pid, note, pipes, ended } = told.notice else { return None };
        let (tell, receiver) = oneshot::channel();
        match ended {
            // The receiver is at hand.
            Some(ended) => tell.send(ended).unwrap_or_default(),
            None => {
                let whose = Note::parse(&note).ok().map(|note| (note.agent, note.generation));
                self.live.insert(id, Live { whose, pid, ended: tell });
            }
        }
        let process = with_pipes(ProcessId(id), pid, &pipes, told.batch, receiver);
        Some(Kept { process, note, is_over: ended.is_some() })
    }

    fn order(&mut self, link: &mut Link, id: ProcessId, spec: Spec, reply: Reply) {
        let Spec { agent, generation, .. } = &spec;
        let (agent, generation) = (agent.clone(), *generation);
        let command = spec.argv.first().cloned().unwrap_or_default();
        match link.ask(&Request::Spawn(Box::new(order(id, spec)))) {
            Ok(()) => {
                let asked = Instant::now();
                self.pending.insert(id.0, Pending { agent, generation, command, reply, asked });
            }
            Err(problem) => {
                let what = format!("its arguments and environment make {problem}");
                // Whoever asked may have stopped waiting.
                reply.send(Err(SpawnError::Refused { agent, what, source: None })).ok();
            }
        }
    }

    fn told(&mut self, link: &mut Link, told: Told) {
        match told.notice {
            Notice::Spawned { id, pid, pipes } => self.spawned(link, id, pid, &pipes, told.batch),
            Notice::SpawnFailed { id, failure } => {
                let Some(Pending { agent, command, reply, .. }) = self.pending.remove(&id) else {
                    return;
                };
                // Whoever asked may have stopped waiting.
                reply.send(Err(SpawnError::from_failure(agent, command, failure))).ok();
            }
            Notice::Exited { id, ended } => self.exited(id, ended),
            Notice::Refused { reason, .. } => error!(self.log, "keeper refuses"; "error" => reason),
            Notice::Hello { .. } | Notice::Kept { .. } => {}
        }
    }

    fn exited(&mut self, id: u64, ended: Ended) {
        let Some(Live { whose, pid, ended: tell }) = self.live.remove(&id) else { return };
        if ended.swept > 0 || ended.survived > 0 {
            let (agent, generation) =
                whose.map(|(agent, generation)| (agent.to_string(), generation.0)).unzip();
            info!(self.log, "descendants outlived an agent and were ended"; "agent" => agent,
                "generation" => generation, "pid" => pid, "count" => ended.swept);
        }
        // The agent's actor may be gone.
        tell.send(ended).ok();
    }

    fn spawned(&mut self, link: &mut Link, id: u64, pid: u32, pipes: &[Stream], batch: Batch) {
        let Some(Pending { agent, generation, reply, .. }) = self.pending.remove(&id) else {
            return;
        };
        if batch.fds.len() != pipes.len() {
            ask(&self.log, link, &Request::Kill { id });
            let what = "this host has too many open files; raise its limit (`ulimit -n`)".into();
            let source = Some(io::Error::from_raw_os_error(libc::EMFILE));
            // Whoever asked may have stopped waiting.
            reply.send(Err(SpawnError::Refused { agent, what, source })).ok();
            return;
        }
        let (ended, receiver) = oneshot::channel();
        let spawned = with_pipes(ProcessId(id), pid, pipes, batch, receiver);
        self.live.insert(id, Live { whose: Some((agent, generation)), pid, ended });
        // A caller that stopped waiting has asked for a kill; the answer is then of no use.
        reply.send(Ok(spawned)).ok();
    }
}

/// A process with those of its pipes whose ends arrived; none where one is missing.
fn with_pipes(
    id: ProcessId,
    pid: u32,
    pipes: &[Stream],
    batch: Batch,
    ended: oneshot::Receiver<Ended>,
) -> Spawned {
    let mut process = Spawned { id, pid, stdin: None, stdout: None, stderr: None, ended };
    if batch.fds.len() == pipes.len() {
        for (stream, fd) in pipes.iter().zip(batch.fds) {
            match stream {
                Stream::Stdin => process.stdin = Some(fd),
                Stream::Stdout => process.stdout = Some(fd),
                Stream::Stderr => process.stderr = Some(fd),
            }
        }
    }
    process
}

/// Queues a request that is too short to be refused.
fn ask(log: &Logger, link: &mut Link, request: &Request) {
    if let Err(problem) = link.ask(request) {
        error!(log, "request can't be sent"; "error" => %problem);
    }
}
