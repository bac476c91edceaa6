//! Against fake processes: the test holds the other ends of the pipes, and says when a process
//! ends. No test waits by sleeping; time is tokio's, and paused where it matters.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    os::fd::OwnedFd,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

mod adopted;
mod exec;
mod worker;

use super::*;
use crate::{
    domain::{
        Attempt, TaskId,
        agent::AgentState,
        fleet::{Limits, OutputFormat, Protocol, StdinMode, StopSignal},
        health, heartbeat, restart, storm,
        task::{Assignment, FailureClass, Outcome, RunTerms},
    },
    process::{Ended, Exit, ProcessId, SpawnError, Spawned, Spec},
    queue::ToAgent,
    telemetry::Rotation,
};

/// A handler that panics, as a bug would.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Explode;

impl Handler<Explode> for actor::AgentActor {
    type Result = ();

    fn handle(&mut self, _: Explode, _: &mut Self::Context) {
        panic!("injected by a test");
    }
}

/// What a fake process was told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Signal(StopSignal),
    Kill,
}

/// The test's side of one fake process.
pub(crate) struct Fake {
    pub(crate) id: ProcessId,
    pub(crate) argv: Vec<String>,
    stdin: Option<BufReader<std::fs::File>>,
    stdout: Option<std::fs::File>,
    ended: oneshot::Sender<Ended>,
}

impl Fake {
    /// What the host wrote: one message.
    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.stdin.as_mut().expect("a worker").read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn say(&mut self, message: &Value) {
        writeln!(self.stdout.as_mut().expect("a worker"), "{message}").unwrap();
    }

    fn answer(&mut self, request: &Value, result: &Value) {
        self.say(&json!({"jsonrpc": "2.0", "id": request["id"], "result": result}));
    }

    /// Answers `initialize`.
    fn greet(&mut self) {
        let hello = self.hear();
        assert_eq!(hello["method"], "initialize");
        self.answer(&hello, &json!({"protocol_version": 1}));
    }

    pub(crate) fn end(self, exit: Exit) {
        self.ended.send(Ended { exit, ..Ended::LOST }).unwrap();
    }

    /// The kernel kills it, because its group took more memory than it may.
    fn end_for_memory(self) {
        let ended = Ended { exit: Exit::Signal(9), out_of_memory: true, ..Ended::LOST };
        self.ended.send(ended).unwrap();
    }

    /// Its keeper kills it, because the host has fallen silent.
    fn end_for_silence(self) {
        let ended = Ended { exit: Exit::Signal(9), for_silence: true, ..Ended::LOST };
        self.ended.send(ended).unwrap();
    }
}

/// Hands each process that is started to the test.
pub(crate) struct FakeProcesses {
    started: mpsc::UnboundedSender<Fake>,
    told: mpsc::UnboundedSender<(ProcessId, Told)>,
    forgotten: mpsc::UnboundedSender<ProcessId>,
    next: Mutex<u64>,
}

impl Processes for FakeProcesses {
    fn spawn(&self, spec: Spec) -> BoxFuture<'static, Result<Spawned, SpawnError>> {
        let id = {
            let mut next = self.next.lock().unwrap();
            *next += 1;
            ProcessId(*next)
        };
        let pipe = |wanted: &crate::process::Stdio| {
            (*wanted == crate::process::Stdio::Pipe).then(|| nix::unistd::pipe().unwrap())
        };
        let file = |fd: OwnedFd| std::fs::File::from(fd);
        let (stdin, stdout) = (pipe(&spec.stdin).unzip(), pipe(&spec.stdout).unzip());
        let (tell, ended) = oneshot::channel();
        let fake = Fake {
            id,
            argv: spec.argv.clone(),
            stdin: stdin.0.map(file).map(BufReader::new),
            stdout: stdout.1.map(file),
            ended: tell,
        };
        self.started.send(fake).ok().unwrap();
        let spawned =
            Spawned { id, pid: 4242, stdin: stdin.1, stdout: stdout.0, stderr: None, ended };
        Box::pin(async move { Ok(spawned) })
    }

    fn signal(&self, id: ProcessId, signal: StopSignal) {
        self.told.send((id, Told::Signal(signal))).unwrap();
    }

    fn kill(&self, id: ProcessId) {
        self.told.send((id, Told::Kill)).unwrap();
    }

    fn close_stdin(&self, _: ProcessId) {}

    fn forget(&self, id: ProcessId) {
        // The test may be over.
        self.forgotten.send(id).ok();
    }
}

/// Collects what an actor is told.
struct Collector<M>(mpsc::UnboundedSender<M>);

impl<M: 'static> Actor for Collector<M> {
    type Context = Context<Self>;
}

impl<M: Message<Result = ()> + 'static> Handler<M> for Collector<M> {
    type Result = ();

    fn handle(&mut self, message: M, _: &mut Self::Context) {
        // The test may be over.
        self.0.send(message).unwrap_or_default();
    }
}

fn collect<M: Message<Result = ()> + Send + 'static>() -> (Recipient<M>, mpsc::UnboundedReceiver<M>)
{
    let (send, receive) = mpsc::unbounded_channel();
    (Collector(send).start().recipient(), receive)
}

/// The world of one test.
pub(crate) struct World {
    pub(crate) around: Surroundings,
    pub(crate) started: mpsc::UnboundedReceiver<Fake>,
    pub(crate) told: mpsc::UnboundedReceiver<(ProcessId, Told)>,
    pub(crate) forgotten: mpsc::UnboundedReceiver<ProcessId>,
    pub(crate) queue: mpsc::UnboundedReceiver<FromAgent>,
    _dir: tempfile::TempDir,
}

pub(crate) fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let (start, started) = mpsc::unbounded_channel();
    let (tell, told) = mpsc::unbounded_channel();
    let (forget, forgotten) = mpsc::unbounded_channel();
    let (to_queue, queue) = collect();
    let around = Surroundings {
        processes: Arc::new(FakeProcesses {
            started: start,
            told: tell,
            forgotten: forget,
            next: Mutex::new(0),
        }),
        queue: to_queue,
        api: Arc::default(),
        env: Arc::new(BTreeMap::new()),
        attempts_dir: dir.path().join("attempts"),
        standing_dir: dir.path().to_owned(),
        bounded: false,
        workspaces: crate::workspace::tests::opened(&dir.path().join("workspaces"), None, &[]),
        starts: Starts::new(None),
        notify_prefix: format!("hostler-test/{}", Uuid::new_v4()),
        trees: Arc::new(|pids| vec![None; pids.len()]),
        log_dir: dir.path().to_owned(),
        log_policy: LogPolicy {
            rotation: Rotation { size: 1 << 20, age: None, keep: 1 },
            rate: None,
        },
        clock: Clock::start(),
        metrics: Arc::new(Metrics::new("test")),
        log: slog::Logger::root(slog::Discard, slog::o!()),
    };
    World { around, started, told, forgotten, queue, _dir: dir }
}

pub(crate) fn fleet(protocol: Protocol) -> Fleet {
    Fleet {
        name: "f".parse().unwrap(),
        protocol,
        command: vec!["true".to_owned()],
        count: 1,
        concurrency: None,
        prefetch: 1,
        queues: vec!["q".parse().unwrap()],
        cwd: Path::new("/").to_owned(),
        env: BTreeMap::new(),
        env_pass: Vec::new(),
        submit_to: Vec::new(),
        shell: crate::domain::webhook::ShellRule::Off,
        secrets: BTreeMap::new(),
        user: None,
        limits: Limits::default(),
        stdin: StdinMode::Task,
        output: OutputFormat::Text,
        max_output: 1 << 20,
        max_written: None,
        task_timeout: Some(Duration::from_secs(60)),
        start_timeout: Duration::from_secs(10),
        stop_signal: StopSignal::Sigterm,
        workspace: None,
        depends_on: Vec::new(),
        strategy: crate::domain::order::Strategy::OneForOne,
        max_unavailable: crate::domain::rollout::Share::Percent(25),
        scale: None,
        stop_grace: Duration::from_secs(5),
        start_concurrency: None,
        linger: None,
        storm: storm::Intensity::default(),
        restart: restart::Policy {
            when: restart::When::Always,
            backoff_min: Duration::from_millis(10),
            backoff_max: Duration::from_secs(1),
            max_restarts: 2,
            window: Duration::from_secs(60),
            stable_after: Duration::from_secs(30),
        },
        heartbeat: heartbeat::Limits {
            every: Duration::from_secs(1),
            stale_after: None,
            ..heartbeat::Limits::default()
        },
        readiness: health::Readiness::default(),
    }
}

struct Subject {
    handle: AgentHandle,
    world: World,
    reports: mpsc::UnboundedReceiver<AgentReport>,
}

impl Subject {
    fn start(fleet: Fleet) -> Self {
        Self::start_in(world(), fleet)
    }

    fn start_in(world: World, fleet: Fleet) -> Self {
        let (watcher, reports) = collect();
        let status = AgentStatus::new("f-1".parse().unwrap());
        let handle =
            AgentHandle::launch(Arc::new(fleet), status, world.around.clone(), watcher, None);
        handle.tell(AgentEvent::Start, None);
        Self { handle, world, reports }
    }

    /// A worker that is ready, and where its tasks go.
    async fn ready() -> (Self, Fake, Recipient<ToAgent>) {
        let mut subject = Self::start(fleet(Protocol::Worker));
        let (fake, to) = subject.next_life().await;
        (subject, fake, to)
    }

    async fn next_life(&mut self) -> (Fake, Recipient<ToAgent>) {
        let mut fake = self.world.started.recv().await.unwrap();
        // The greeting is written by a task of its own.
        tokio::task::yield_now().await;
        let mut fake = tokio::task::spawn_blocking(move || {
            fake.greet();
            fake
        })
        .await
        .unwrap();
        let FromAgent::Ready { to, .. } = self.world.queue.recv().await.unwrap() else {
            panic!("the agent offers itself once it is ready")
        };
        fake.stdin.as_mut().unwrap();
        (fake, to)
    }

    /// Gives the agent a task, and the process its request.
    async fn run(to: &Recipient<ToAgent>, fake: Fake) -> (Fake, Value) {
        to.do_send(ToAgent::Run(vec![Arc::new(assignment())]));
        tokio::task::spawn_blocking(move || {
            let mut fake = fake;
            let request = fake.hear();
            (fake, request)
        })
        .await
        .unwrap()
    }

    async fn outcome(&mut self) -> Outcome {
        loop {
            if let FromAgent::Ended(mut ends) = self.world.queue.recv().await.unwrap() {
                assert_eq!(ends.len(), 1);
                return ends.remove(0).outcome;
            }
        }
    }

    async fn until(&mut self, state: AgentState) -> AgentStatus {
        loop {
            match self.reports.recv().await.unwrap() {
                AgentReport::Changed(status) if status.state == state => return *status,
                _ => {}
            }
        }
    }
}

fn assignment() -> Assignment {
    Assignment {
        task: TaskId::from_uuid(Uuid::from_u128(1)),
        attempt: Attempt(1),
        failures: 0,
        max_attempts: 3,
        agent: "f-1".parse().unwrap(),
        queue: "q".parse().unwrap(),
        kind: "k".to_owned(),
        input: json!({"a": 1}),
        results: None,
        timeout: None,
        waited: Duration::ZERO,
        frees: false,
        entry: None,
        terms: RunTerms::default(),
    }
}

fn class(outcome: &Outcome) -> Option<FailureClass> {
    match outcome {
        Outcome::Failed { class, .. } => Some(*class),
        _ => None,
    }
}
