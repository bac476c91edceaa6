//! The `worker` protocol: task after task, as JSON-RPC lines.
//!
//! A thread reads stdin, so that a `task/cancel` or the end is heard while a task is at work. Tasks
//! that come meanwhile wait their turn.

use std::{
    collections::VecDeque,
    io::{self, BufRead, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use super::{
    super::exit::Outcome,
    flood, lost, result,
    script::{MISREAD, Script, Trouble},
    status, write_files,
};
use crate::protocol::worker::{PROTOCOL_VERSION, REQUEST_CANCELLED};

/// The error code of a file that could not be written.
const NOT_WRITTEN: i64 = 3;

/// How many lines may wait to be looked at.
const LINES: usize = 64;

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
    #[serde(flatten)]
    task: Option<Attempt>,
    #[serde(default)]
    input: Value,
    workspace: Option<Workspace>,
}

/// Where a task is to be done.
#[derive(Debug, Deserialize)]
struct Workspace {
    path: PathBuf,
}

/// Which attempt of which task.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Attempt {
    task_id: String,
    attempt: u64,
}

/// A task to do.
#[derive(Debug)]
struct Run {
    id: u64,
    task: Attempt,
    input: Value,
    /// Where it writes: below the directory that it runs in, if that is empty.
    dir: PathBuf,
}

/// Why a task is left in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Somebody called it off.
    CalledOff,
    /// The host wants this process to end.
    Shutdown,
}

/// Takes tasks until the host says that it is enough, or is gone.
pub(super) async fn run() -> Outcome<ExitCode> {
    let (tell, lines) = mpsc::channel(LINES);
    std::thread::spawn(move || read(&tell));
    let mut worker =
        Worker { lines, waiting: VecDeque::new(), beat: Duration::from_secs(5), leaving: false };
    loop {
        match worker.waiting.pop_front() {
            Some(run) if worker.leaving => worker.refuse(&run, Left::Shutdown)?,
            Some(run) => {
                if let Some(code) = worker.work(run).await? {
                    return Ok(code);
                }
            }
            None if worker.leaving => return Ok(ExitCode::SUCCESS),
            None => match worker.lines.recv().await {
                Some(line) => worker.hear(&line?, None).map(drop)?,
                None => worker.leaving = true,
            },
        }
    }
}

/// Reads stdin to its end.
fn read(tell: &mpsc::Sender<io::Result<String>>) {
    for line in io::stdin().lock().lines() {
        // Without a listener the agent is ending.
        if tell.blocking_send(line).is_err() {
            return;
        }
    }
}

struct Worker {
    lines: mpsc::Receiver<io::Result<String>>,
    waiting: VecDeque<Run>,
    /// How often to show life.
    beat: Duration,
    /// The host wants it to end, or is gone.
    leaving: bool,
}

impl Worker {
    /// Hears one line; says so if the task at work is to be left.
    fn hear(&mut self, line: &str, at_work: Option<&Attempt>) -> Outcome<Option<Left>> {
        if line.trim().is_empty() {
            return Ok(None);
        }
        let message: Message = serde_json::from_str(line)
            .map_err(|error| lost(format!("the host said what is no message: {error}")))?;
        match (&*message.method, message.id, message.params.task) {
            ("initialize", Some(id), _) => {
                if let Some(beat) = message.params.heartbeat_ms {
                    self.beat = Duration::from_millis(beat.max(1));
                }
                say(&json!({ "jsonrpc": "2.0", "id": id, "result": {
                    "protocol_version": PROTOCOL_VERSION, "name": "hostler mock-agent",
                    "version": env!("CARGO_PKG_VERSION"),
                } }))?;
            }
            ("task/run", Some(id), Some(task)) => {
                let Params { input, workspace, .. } = message.params;
                let dir = workspace.map(|workspace| workspace.path).unwrap_or_default();
                self.waiting.push_back(Run { id, task, input, dir });
            }
            ("task/cancel", _, Some(task)) if at_work == Some(&task) => {
                return Ok(Some(Left::CalledOff));
            }
            ("task/cancel", _, Some(task)) => {
                if let Some(at) = self.waiting.iter().position(|run| run.task == task)
                    && let Some(run) = self.waiting.remove(at)
                {
                    self.refuse(&run, Left::CalledOff)?;
                }
            }
            ("shutdown", ..) => {
                self.leaving = true;
                return Ok(Some(Left::Shutdown));
            }
            _ => {}
        }
        Ok(None)
    }

    /// Does a task; the status with which the process is to end, if the task asks for that.
    async fn work(&mut self, run: Run) -> Outcome<Option<ExitCode>> {
        let script = match Script::of(&run.input, run.task.attempt) {
            Ok(script) => script,
            Err(why) => {
                fail(run.id, MISREAD, &why, None)?;
                return Ok(None);
            }
        };
        if let Some(line) = &script.log {
            notify("task/log", json!({ "task_id": run.task.task_id, "message": line }))?;
        }
        if let Some(left) = self.sleep(&script, &run.task).await? {
            self.refuse(&run, left)?;
            return Ok(None);
        }
        let wrote = match write_files(&run.dir, &script.files) {
            Ok(wrote) => wrote,
            Err(error) => {
                fail(run.id, NOT_WRITTEN, &format!("cannot write {error}"), None)?;
                return Ok(None);
            }
        };
        match &script.trouble {
            None => answer(run.id, result(&script, &wrote))?,
            Some(Trouble::Flood(bytes)) => flood(*bytes, &mut io::stdout().lock())?,
            Some(Trouble::Hang { beating }) => {
                let left = self.hang(*beating, &run.task).await?;
                self.refuse(&run, left)?;
            }
            Some(Trouble::Exit(code)) => return Ok(Some(status(*code))),
            Some(Trouble::Fail { code, message, data }) => {
                fail(run.id, *code, message, data.as_ref())?;
            }
        }
        Ok(None)
    }

    /// Works for as long as the script says, and tells how far it is.
    async fn sleep(&mut self, script: &Script, task: &Attempt) -> Outcome<Option<Left>> {
        let rounds = script.progress.max(1);
        let begin = Instant::now();
        for round in 1..=rounds {
            let end = begin + script.sleep * round / rounds;
            if let Some(left) = self.pause(end, task).await? {
                return Ok(Some(left));
            }
            if script.progress > 0 {
                let percent = 100 * round / rounds;
                let Attempt { task_id, attempt } = task;
                let told = json!({ "task_id": task_id, "attempt": attempt, "percent": percent });
                notify("task/progress", told)?;
            }
        }
        Ok(None)
    }

    /// Never ends by itself. A silent one hears nothing either: it has to be killed.
    async fn hang(&mut self, beating: bool, task: &Attempt) -> Outcome<Left> {
        if !beating {
            return std::future::pending().await;
        }
        loop {
            let next = Instant::now() + Duration::from_secs(3600);
            if let Some(left) = self.pause(next, task).await? {
                return Ok(left);
            }
        }
    }

    /// Waits until `end`; shows life, and hears what the host says meanwhile.
    async fn pause(&mut self, end: Instant, task: &Attempt) -> Outcome<Option<Left>> {
        loop {
            let next = end.min(Instant::now() + self.beat);
            match timeout_at(next, self.lines.recv()).await {
                Ok(Some(line)) => {
                    if let Some(left) = self.hear(&line?, Some(task))? {
                        return Ok(Some(left));
                    }
                }
                Ok(None) => {
                    self.leaving = true;
                    return Ok(Some(Left::Shutdown));
                }
                Err(_) if next >= end => return Ok(None),
                Err(_) => notify("heartbeat", json!({}))?,
            }
        }
    }

    /// Lets go of a task.
    fn refuse(&self, run: &Run, left: Left) -> Outcome<()> {
        let why = match left {
            Left::CalledOff => "called off",
            Left::Shutdown => "the host wants me to leave",
        };
        fail(run.id, REQUEST_CANCELLED, why, None)
    }
}

fn answer(id: u64, result: Value) -> Outcome<()> {
    say(&json!({ "jsonrpc": "2.0", "id": id, "result": result }))
}

fn fail(id: u64, code: i64, message: &str, data: Option<&Value>) -> Outcome<()> {
    let mut error = json!({ "code": code, "message": message });
    if let Some(data) = data {
        error["data"] = data.clone();
    }
    say(&json!({ "jsonrpc": "2.0", "id": id, "error": error }))
}

fn notify(method: &str, params: Value) -> Outcome<()> {
    say(&json!({ "jsonrpc": "2.0", "method": method, "params": params }))
}

/// Says one message.
fn say(message: &Value) -> Outcome<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{message}")?;
    Ok(out.flush()?)
}
