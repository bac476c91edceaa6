//! `hostler command-agent`: a worker that runs the commands of webhooks.
//!
//! It stays, so that a command costs no more than its own process. What it runs is an argv that the host
//! has checked; the directory must still be the one that the host has resolved, links and all.

use std::{
    collections::VecDeque,
    io::{self, BufRead, Write},
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::Duration,
};

use clap::Args;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    sync::mpsc,
    time::{Instant, interval, sleep_until},
};

use super::{
    asked,
    exit::{CliError, Exit, Outcome},
};
use crate::{
    protocol::worker::{PROTOCOL_VERSION, REQUEST_CANCELLED},
    settings::{Within, Workplace},
    telemetry::Chain,
};

/// How many lines may wait to be looked at.
const LINES: usize = 64;

/// The most of each stream that is kept, in bytes.
const MAX_OUTPUT: usize = 2 << 20;

/// The error code of a command that could not be begun.
const NOT_BEGUN: i64 = 1;

/// Be an agent that runs the commands that webhooks bring: git, and what else the host allows
#[derive(Debug, Args)]
#[command(after_help = "In a config file:\n  [fleets.commands]\n  protocol = \"worker\"\n  \
    command = [\"hostler\", \"command-agent\"]\n  queues = [\"commands\"]\n  count = 2\n\n  \
    [webhook]\n  command_fleet = \"commands\"\n  roots = [\"/home/me/projects\"]\n\n\
    Examples:\n  hostler command-agent")]
pub(super) struct CommandAgent {}

/// A message of the host, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Message {
    method: String,
    id: Option<u64>,
    #[serde(default)]
    params: Params,
}

#[derive(Debug, Default, Deserialize)]
struct Params {
    heartbeat_ms: Option<u64>,
    task_id: Option<String>,
    attempt: Option<u64>,
    #[serde(default)]
    input: Value,
}

/// What a task asks for.
#[derive(Debug, Deserialize)]
struct Order {
    argv: Vec<String>,
    working_dir: PathBuf,
    timeout_ms: u64,
}

/// A task that waits, or is at work.
struct Run {
    id: u64,
    task: (String, u64),
    input: Value,
}

struct Agent {
    lines: mpsc::Receiver<io::Result<String>>,
    waiting: VecDeque<Run>,
    beat: Duration,
    leaving: bool,
}

impl CommandAgent {
    pub(super) fn run(self) -> Outcome<ExitCode> {
        let Self {} = self;
        asked(work())
    }
}

/// Takes tasks until the host says that it is enough, or is gone.
async fn work() -> Outcome<ExitCode> {
    let (tell, lines) = mpsc::channel(LINES);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            // Without a listener the agent is ending.
            if tell.blocking_send(line).is_err() {
                return;
            }
        }
    });
    let beat = Duration::from_secs(5);
    let mut agent = Agent { lines, waiting: VecDeque::new(), beat, leaving: false };
    loop {
        match agent.waiting.pop_front() {
            Some(run) if agent.leaving => refuse(run.id)?,
            Some(run) => agent.carry_out(run).await?,
            None if agent.leaving => return Ok(ExitCode::SUCCESS),
            None => match agent.lines.recv().await {
                Some(line) => agent.hear(&line?, None).map(drop)?,
                None => agent.leaving = true,
            },
        }
    }
}

impl Agent {
    /// Hears one line; whether the task at work is to be left.
    fn hear(&mut self, line: &str, at_work: Option<&(String, u64)>) -> Outcome<bool> {
        if line.trim().is_empty() {
            return Ok(false);
        }
        let message: Message = serde_json::from_str(line).map_err(|error| {
            CliError::new(Exit::Failed, format!("the host said what is no message: {error}"))
        })?;
        let Params { heartbeat_ms, task_id, attempt, input } = message.params;
        let task = task_id.zip(attempt);
        match (&*message.method, message.id, task) {
            ("initialize", Some(id), _) => {
                self.beat = heartbeat_ms.map_or(self.beat, |ms| Duration::from_millis(ms.max(1)));
                say(&json!({ "jsonrpc": "2.0", "id": id, "result": {
                    "protocol_version": PROTOCOL_VERSION, "name": "hostler command-agent",
                    "version": env!("CARGO_PKG_VERSION"),
                } }))?;
            }
            ("task/run", Some(id), Some(task)) => {
                self.waiting.push_back(Run { id, task, input });
            }
            ("task/cancel", _, Some(task)) if at_work == Some(&task) => return Ok(true),
            ("task/cancel", _, Some(task)) => {
                if let Some(at) = self.waiting.iter().position(|run| run.task == task)
                    && let Some(run) = self.waiting.remove(at)
                {
                    refuse(run.id)?;
                }
            }
            ("shutdown", ..) => {
                self.leaving = true;
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }

    async fn carry_out(&mut self, run: Run) -> Outcome<()> {
        let order = match serde_json::from_value::<Order>(run.input["command"].clone()) {
            Ok(order) => order,
            Err(error) => {
                return fail(run.id, NOT_BEGUN, &format!("the task is no command: {error}"));
            }
        };
        let began = Instant::now();
        let (mut child, group) = match begin(&order) {
            Ok(begun) => begun,
            Err(why) => return fail(run.id, NOT_BEGUN, &why),
        };
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let end = began + Duration::from_millis(order.timeout_ms);
        let mut beat = interval(self.beat);
        let done = async { tokio::join!(read(out), read(err), child.wait()) };
        tokio::pin!(done);
        let mut why = None;
        let (out, err, status) = loop {
            tokio::select! {
                done = &mut done => break done,
                () = sleep_until(end), if why.is_none() => {
                    why = Some(format!("it took longer than {} ms", order.timeout_ms));
                    end_group(group);
                }
                _ = beat.tick() => say(&json!({ "jsonrpc": "2.0", "method": "heartbeat", "params": {} }))?,
                line = self.lines.recv(), if !self.leaving => {
                    let leave = match line {
                        Some(line) => self.hear(&line?, Some(&run.task))?,
                        None => { self.leaving = true; true }
                    };
                    if leave {
                        end_group(group);
                        // What it left is reaped before the answer.
                        drop(done.await);
                        return refuse(run.id);
                    }
                }
            }
        };
        let code = status.ok().and_then(|status| status.code());
        let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match why {
            Some(why) => fail(run.id, NOT_BEGUN, &why),
            None => say(&json!({ "jsonrpc": "2.0", "id": run.id, "result": {
                "success": code == Some(0), "stdout": out, "stderr": err,
                // A command that a signal ended has no status; shells say 128 and more.
                "returncode": code.unwrap_or(128), "elapsed_ms": took,
            } })),
        }
    }
}

/// Begins a command, in a group of its own.
fn begin(order: &Order) -> Result<(Child, Option<Pid>), String> {
    let place = same_place(&order.working_dir)?;
    let Some((program, words)) = order.argv.split_first() else {
        return Err("the command names no program".to_owned());
    };
    let child = Command::new(program)
        .args(words)
        // The very directory that was looked at, whatever has become of its name.
        .current_dir(place.pinned())
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ALLOW_PROTOCOL", "file:git:http:https:ssh")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("`{program}` can't be run: {error}"))?;
    let group = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
    Ok((child, group))
}

/// The directory, if no link has come in between since the host looked.
fn same_place(dir: &Path) -> Result<Workplace, String> {
    match Workplace::open(dir, Within::Anywhere) {
        Ok(place) if place.path() == dir => Ok(place),
        Ok(_) => Err("the directory is another than a moment ago".to_owned()),
        Err(error) => Err(format!("the directory {}", Chain(&error))),
    }
}

/// Ends a command with all that it began. Its leader has not been waited for, so the number is its own.
fn end_group(group: Option<Pid>) {
    if let Some(group) = group {
        killpg(group, Signal::SIGKILL).unwrap_or_default();
    }
}

/// What a stream says: the beginning of it, if that is much.
async fn read(stream: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let (mut kept, mut piece) = (Vec::new(), vec![0; 16 * 1024]);
    while let Ok(count @ 1..) = stream.read(&mut piece).await {
        let room = MAX_OUTPUT.saturating_sub(kept.len());
        kept.extend_from_slice(&piece[..count.min(room)]);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

fn refuse(id: u64) -> Outcome<()> {
    fail(id, REQUEST_CANCELLED, "called off")
}

fn fail(id: u64, code: i64, message: &str) -> Outcome<()> {
    say(&json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } }))
}

fn say(message: &Value) -> Outcome<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{message}")?;
    Ok(out.flush()?)
}
