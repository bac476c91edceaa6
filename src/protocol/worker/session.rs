//! The state of one conversation.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use super::{
    NOT_NOW, REQUEST_CANCELLED,
    error::{ProtocolError, RunError},
    notice::{self, Artifact, LogLevel},
    wire::{self, Id, Message, RpcError},
};
use crate::{
    domain::{
        AgentName, Attempt, FleetName, Generation, TaskId,
        access::AttemptKey,
        adoption::{Hold, Open},
        restart::millis,
        snooze,
        task::{Assignment, FailureClass, Outcome},
    },
    protocol::{
        excerpt::{excerpt, shorten},
        task::TaskParams,
    },
};

/// The version of the worker protocol that this host speaks. It changes only when an old agent
/// could no longer be understood, or could no longer understand.
pub const PROTOCOL_VERSION: u64 = 1;

/// The most bytes of an error message of an agent that are kept; the rest is cut off.
pub const MAX_MESSAGE: usize = 4 * 1024;

/// So many requests of one host, and so many hosts of one process, can be told apart: together they
/// stay below 2^53, up to which a float holds every whole number.
const EPOCH_BITS: u32 = 32;
const MAX_EPOCH: u64 = (1 << (53 - EPOCH_BITS)) - 1;

/// Who talks to whom, and within what limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The agent.
    pub agent: AgentName,
    /// Its fleet.
    pub fleet: FleetName,
    /// Which of its processes this is.
    pub generation: Generation,
    /// How often the agent is asked to beat.
    pub heartbeat: Duration,
    /// The most bytes of a result, as the agent wrote it.
    pub max_output: u64,
    /// The most tasks that the agent has at a time: it works on the first, and the others wait in
    /// its stdin.
    pub prefetch: usize,
    /// The key by which tokens of attempts are made, where agents get any.
    pub attempts: Option<AttemptKey>,
}

/// What a line of the agent means.
#[derive(Debug, Clone, PartialEq)]
pub enum Received {
    /// The agent is ready for tasks.
    Ready {
        /// What it calls itself.
        name: Option<String>,
        /// Its own version.
        version: Option<String>,
        /// Whether it promises to beat while it has no task.
        idle_heartbeat: bool,
    },
    /// An attempt has ended, and the agent can take another.
    Finished {
        /// Which: the task.
        task: TaskId,
        /// And the attempt.
        attempt: Attempt,
        /// How it ended.
        outcome: Outcome,
    },
    /// The attempt under way goes on: the params, but for `task_id` and `attempt`.
    Progress(Value),
    /// A line for the log.
    Log {
        /// How much it matters.
        level: LogLevel,
        /// The line, of at most [`MAX_LOG`](super::MAX_LOG) bytes.
        message: String,
    },
    /// The attempt under way made something.
    Artifact(Artifact),
    /// A tool call of the attempt under way has begun.
    ToolOpened {
        /// What tells it from others, as the agent says.
        id: String,
        /// How long it may take; the fleet's limit where the agent does not say.
        limit: Option<Duration>,
    },
    /// A tool call has ended.
    ToolClosed {
        /// Which.
        id: String,
    },
    /// The agent is alive.
    Heartbeat,
    /// Nothing; worth a line in the log.
    Ignored {
        /// Why it means nothing.
        why: String,
    },
    /// The agent asked for something that hosts don't do; `bytes` tell it so and are to be sent.
    Reply {
        /// The line to send.
        bytes: Vec<u8>,
        /// What it asked for.
        why: String,
    },
}

/// A task that the agent has.
#[derive(Debug)]
struct Current {
    id: u64,
    task: TaskId,
    attempt: Attempt,
    cancelled: bool,
}

/// How far the greeting is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Greeting {
    /// Nothing was said.
    Silent,
    /// `initialize` waits for its answer under this id.
    Asked(u64),
    /// It was answered.
    Done,
}

/// The host's side of the conversation with one process of a worker.
#[derive(Debug)]
pub struct WorkerSession {
    terms: Terms,
    greeting: Greeting,
    /// What it was given and has not answered, the one under way first.
    given: VecDeque<Current>,
    stopping: bool,
    /// The id of the newest request; 0 before the first.
    newest_id: u64,
}

#[derive(Deserialize)]
struct HelloResult {
    protocol_version: Value,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    idle_heartbeat: Option<bool>,
}

impl WorkerSession {
    /// The conversation with a process that was just started.
    pub fn new(terms: Terms) -> Self {
        let given = VecDeque::new();
        Self { terms, greeting: Greeting::Silent, given, stopping: false, newest_id: 0 }
    }

    /// The conversation with a process that earlier hosts greeted, with this one as the `epoch`th, and
    /// that was given `open` before. Its requests have ids that none of those hosts used.
    pub fn resume(terms: Terms, epoch: u64, open: Vec<Open>) -> Self {
        let given = open.into_iter().map(|Open { hold, request }| Current {
            id: request,
            task: hold.task,
            attempt: hold.attempt,
            cancelled: false,
        });
        let newest_id = epoch.min(MAX_EPOCH) << EPOCH_BITS;
        let given = given.collect();
        Self { terms, greeting: Greeting::Done, given, stopping: false, newest_id }
    }

    /// The attempts that the agent has, and the requests that they were given by.
    pub fn open(&self) -> Vec<Open> {
        let open = |given: &Current| Open {
            hold: Hold { task: given.task, attempt: given.attempt },
            request: given.id,
        };
        self.given.iter().map(open).collect()
    }

    /// The attempt under way: the first of those that the agent has.
    pub fn current(&self) -> Option<(TaskId, Attempt)> {
        self.given.front().map(|current| (current.task, current.attempt))
    }

    /// The `initialize` request. Asked again before it was answered, it counts as a new request,
    /// and an answer to the old one is late.
    pub fn hello(&mut self) -> Vec<u8> {
        let id = self.next_id();
        self.greeting = Greeting::Asked(id);
        let terms = &self.terms;
        line(&json!({
            "jsonrpc": "2.0", "id": id, "method": "initialize",
            "params": {
                "protocol_version": PROTOCOL_VERSION,
                "agent": terms.agent,
                "fleet": terms.fleet,
                "generation": terms.generation,
                "heartbeat_ms": millis(terms.heartbeat),
            },
        }))
    }

    /// The `task/run` request; `timeout` is how long the attempt may take, for the agent to know.
    ///
    /// # Errors
    ///
    /// [`RunError`] if the agent can't be given a task now; nothing has changed then.
    pub fn run(
        &mut self,
        assignment: &Assignment,
        timeout: Option<Duration>,
    ) -> Result<Vec<u8>, RunError> {
        #[derive(Serialize)]
        struct Run<'a> {
            jsonrpc: &'static str,
            id: u64,
            method: &'static str,
            params: TaskParams<'a>,
        }
        if self.stopping {
            return Err(RunError::Stopping);
        }
        if self.greeting != Greeting::Done {
            return Err(RunError::NotReady);
        }
        if let Some(first) = self.given.front()
            && self.given.len() >= self.terms.prefetch
        {
            return Err(RunError::Busy(first.task));
        }
        let key = self.terms.attempts.as_ref();
        let token = key.map(|key| key.token(assignment.task, assignment.attempt));
        let params = TaskParams::of(assignment, timeout).with_token(token);
        let run = Run { jsonrpc: "2.0", id: self.newest_id + 1, method: "task/run", params };
        let mut bytes = serde_json::to_vec(&run).map_err(RunError::Unwritable)?;
        bytes.push(b'\n');
        let id = self.next_id();
        let Assignment { task, attempt, .. } = *assignment;
        self.given.push_back(Current { id, task, attempt, cancelled: false });
        Ok(bytes)
    }

    /// The `task/cancel` notification for an attempt that the agent has; `None` if it has it no more,
    /// or that was sent before. The agent still has to answer `task/run`.
    pub fn cancel(&mut self, task: TaskId, attempt: Attempt) -> Option<Vec<u8>> {
        let is_meant = |given: &&mut Current| (given.task, given.attempt) == (task, attempt);
        let current = self.given.iter_mut().find(is_meant).filter(|given| !given.cancelled)?;
        current.cancelled = true;
        Some(line(&json!({
            "jsonrpc": "2.0", "method": "task/cancel",
            "params": {"task_id": current.task, "attempt": current.attempt},
        })))
    }

    /// The `shutdown` notification. The attempt under way may still be answered.
    pub fn shutdown(&mut self) -> Vec<u8> {
        self.stopping = true;
        line(&json!({"jsonrpc": "2.0", "method": "shutdown"}))
    }

    /// Says what a line of the agent means.
    ///
    /// # Errors
    ///
    /// [`ProtocolError`] if the agent broke the protocol: it can't be talked to any longer.
    pub fn receive(&mut self, line: &[u8]) -> Result<Received, ProtocolError> {
        match wire::parse(line)? {
            Message::Notification { method, params } => {
                Ok(notice::read(&method, params, self.current()))
            }
            Message::Request { id, method } => Ok(refuse(id, &method)),
            Message::Result { id, result } => match self.answered(id, line)? {
                Answered::Hello => self.greeted(result, line),
                Answered::Task(of) => Ok(of.finished(self.result(result))),
                Answered::Late(why) => Ok(Received::Ignored { why }),
            },
            Message::Error { id: Id::Null, .. } => {
                Err(ProtocolError::Unread { excerpt: excerpt(line) })
            }
            Message::Error { id, error } => match self.answered(id, line)? {
                Answered::Hello => Err(ProtocolError::Refused { excerpt: excerpt(line) }),
                Answered::Task(of) if of.cancelled => Ok(of.finished(Outcome::Cancelled)),
                Answered::Task(of) if self.stopping && error.code == REQUEST_CANCELLED => {
                    let reason = "the worker gave it back when it was asked to shut down".into();
                    Ok(of.finished(Outcome::Released { reason }))
                }
                Answered::Task(of) if error.code == NOT_NOW => {
                    Ok(of.finished(self.snoozed(&error)))
                }
                Answered::Task(of) => Ok(of.finished(self.failure(&error))),
                Answered::Late(why) => Ok(Received::Ignored { why }),
            },
        }
    }

    const fn next_id(&mut self) -> u64 {
        self.newest_id += 1;
        self.newest_id
    }

    /// Finds what an answer with `id` answers; from then on nothing waits for that answer.
    fn answered(&mut self, id: Id, line: &[u8]) -> Result<Answered, ProtocolError> {
        if let Id::Number(id) = id {
            if self.greeting == Greeting::Asked(id) {
                self.greeting = Greeting::Done;
                return Ok(Answered::Hello);
            }
            // Nearly always the first.
            let place = self.given.iter().position(|given| given.id == id);
            if let Some(given) = place.and_then(|place| self.given.remove(place)) {
                return Ok(Answered::Task(given));
            }
            if (1..=self.newest_id).contains(&id) {
                return Ok(Answered::Late(format!(
                    "request {id} waits for no answer (any longer)"
                )));
            }
        }
        let waiting = match (self.greeting, self.given.front()) {
            (Greeting::Asked(id), _) => Some(id),
            (_, Some(current)) => Some(current.id),
            _ => None,
        };
        let expected = waiting.map_or_else(
            || "no answer, since nothing was asked".to_owned(),
            |id| format!("an answer with the id {id}, as a number"),
        );
        Err(ProtocolError::UnknownId { expected, excerpt: excerpt(line) })
    }

    fn greeted(&self, result: &RawValue, line: &[u8]) -> Result<Received, ProtocolError> {
        let bad = |reason: String| ProtocolError::BadHello { reason, excerpt: excerpt(line) };
        if !result.get().starts_with('{') {
            return Err(bad("it is no object".into()));
        }
        let hello: HelloResult =
            serde_json::from_str(result.get()).map_err(|error| bad(error.to_string()))?;
        if hello.protocol_version.as_u64() != Some(PROTOCOL_VERSION) {
            let theirs = excerpt(hello.protocol_version.to_string().as_bytes());
            return Err(ProtocolError::Version { theirs, ours: PROTOCOL_VERSION });
        }
        let word = |text: Option<String>| text.map(|text| shorten(&text, notice::MAX_NAME));
        Ok(Received::Ready {
            name: word(hello.name),
            version: word(hello.version),
            idle_heartbeat: hello.idle_heartbeat.unwrap_or(false),
        })
    }

    /// The outcome of a result: the agent is done, even if the result can't be kept.
    fn result(&self, result: &RawValue) -> Outcome {
        let (size, limit) = (result.get().len() as u64, self.terms.max_output);
        if size > limit {
            return Outcome::failed(
                FailureClass::Protocol,
                format!("the result has {size} bytes; the limit is {limit}"),
            );
        }
        match serde_json::from_str(result.get()) {
            Ok(output) => Outcome::Completed { output },
            Err(error) => Outcome::failed(
                FailureClass::Protocol,
                format!("the result `{}` can't be kept: {error}", excerpt(result.get().as_bytes())),
            ),
        }
    }

    /// The outcome of an answer that does not want the task now.
    fn snoozed(&self, error: &RpcError<'_>) -> Outcome {
        let wait = snooze::wait(&self.data(error));
        Outcome::Snoozed { wait, reason: shorten(&error.message, MAX_MESSAGE) }
    }

    /// The data of an error, as far as it is kept.
    fn data(&self, error: &RpcError<'_>) -> Value {
        match error.data {
            None => Value::Null,
            Some(raw) if raw.get().len() as u64 > self.terms.max_output => {
                json!(format!("left out: {} bytes", raw.get().len()))
            }
            Some(raw) => serde_json::from_str(raw.get())
                .unwrap_or_else(|error| json!(format!("left out: {error}"))),
        }
    }

    /// The outcome of an error.
    fn failure(&self, error: &RpcError<'_>) -> Outcome {
        Outcome::Failed {
            class: FailureClass::Task,
            message: shorten(&error.message, MAX_MESSAGE),
            detail: json!({"code": error.code, "data": self.data(error)}),
        }
    }
}

impl Current {
    const fn finished(self, outcome: Outcome) -> Received {
        Received::Finished { task: self.task, attempt: self.attempt, outcome }
    }
}

/// What an answer answers.
enum Answered {
    /// `initialize`.
    Hello,
    /// `task/run`.
    Task(Current),
    /// Something that no longer waits.
    Late(String),
}

/// Tells an agent that hosts don't do what it asks for.
fn refuse(id: &str, method: &str) -> Received {
    let method = excerpt(method.as_bytes());
    let why = format!("the host has no method `{method}`");
    let hint = json!(format!("{why}; notifications such as `heartbeat` have no id"));
    // The id goes back as it came: a large number would not survive being read.
    let bytes = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":-32601,\"message\":{hint}}}}}\n"
    );
    Received::Reply { bytes: bytes.into_bytes(), why }
}

/// One message as a line.
fn line(message: &Value) -> Vec<u8> {
    format!("{message}\n").into_bytes()
}
