//! `hostler task submit`.

use std::{fs, io, io::Read, path::PathBuf, time::Duration};

use clap::Args;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{
    super::{
        client::Client,
        exit::{CliError, Exit, Outcome},
        output::Output,
    },
    batch::{Batches, Source, submit_lines},
    render,
    terms::UniqueFlags,
    wait,
};
use crate::{
    domain::{
        BatchId, GroupName, QueueName, TaskId,
        admission::{Access, Label, LockUse, Mode, PathUse},
        delivery::target::Target,
        glob::Glob,
        graph::DependencyPolicy,
        record::{SubmitOutcome, Submitted},
        workspace::Resolver,
    },
    http::api::{TaskBody, WorkspaceBody},
    settings::parse_duration,
};

/// Where tasks are submitted.
const TASKS: &str = "/api/v1/tasks";

/// Submit a task, or many
#[derive(Debug, Args)]
#[command(after_help = "With --wait the exit code is that of the task: 0 completed, 1 failed or \
    cancelled, 124 not in time.\nA line of --jsonl is a task as the API takes it: \
    {\"queue\": …, \"kind\": …, \"input\": …}. Lines may name each other: \
    {\"ref\": \"a\"}, {\"depends_on\": [\"a\"]}.\n\nExamples:\n  \
    hostler task submit --kind echo --input '{\"say\": \"hello\"}' --wait=30s\n  \
    hostler task submit --queue gpu --input @job.json --key job-17 --max-attempts 5\n  \
    hostler task submit --kind fix --writes 'src/http/**' --share branch:main --limit-key account:alice\n  \
    hostler task submit --kind deploy --depends-on tsk_0198c1d2…,tsk_0198c1d3…\n  \
    hostler task submit --kind reindex --unique all --on-conflict replace --delay 10s\n  \
    hostler task submit --jsonl tasks.jsonl")]
pub(in crate::cli) struct Submit {
    /// The queue [default: default]
    #[arg(short, long)]
    queue: Option<QueueName>,
    /// What kind of task it is, for its agents [default: task]
    #[arg(short, long)]
    kind: Option<String>,
    /// The input: JSON, @FILE that holds JSON, or - for JSON on stdin
    #[arg(short, long, value_name = "JSON|@FILE|-")]
    input: Option<String>,
    /// Higher runs first [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i16>,
    /// Not before this time, as in 2030-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "delay")]
    run_at: Option<Timestamp>,
    /// Not before so much time has passed, as in 90s
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    delay: Option<Duration>,
    /// How many attempts may fail before the task does [setting: `tasks.max_attempts`]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_attempts: Option<u32>,
    /// It fails if it is not finished by then: a time, or a duration from now, as in 30m
    #[arg(long, value_name = "TIME|DURATION")]
    deadline: Option<String>,
    /// How failed attempts are tried again: `kind=fixed`, `backoff_min=1s`, `backoff_max=5m`,
    /// `jitter=0.5`, `retry_on=exit:3,stale` or `never_on=task`; several times [default: the queue's]
    #[arg(long, value_name = "WHAT=VALUE", value_parser = retry)]
    retry: Vec<(String, Value)>,
    /// How long one attempt may run [default: the queue's, else the fleet's]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// How long its agent may show no life [default: the fleet's]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    stale_after: Option<Duration>,
    /// A second submit with the same key is the same task
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Hold this lock alone while it runs; may be given again
    #[arg(long = "lock", value_name = "NAME")]
    locks: Vec<Label>,
    /// Share this lock while it runs; may be given again
    #[arg(long = "share", value_name = "NAME")]
    shares: Vec<Label>,
    /// Write these files while it runs, as in 'src/http/**': nobody else uses them; may be given again
    #[arg(long = "writes", value_name = "GLOB")]
    writes: Vec<Glob>,
    /// Read these files while it runs: nobody writes them; may be given again
    #[arg(long = "reads", value_name = "GLOB")]
    reads: Vec<Glob>,
    /// Count for this key, as in account:alice; may be given again
    #[arg(long = "limit-key", value_name = "KEY")]
    limit_keys: Vec<Label>,
    /// Wait for these tasks first; with commas, or given several times
    #[arg(long, value_name = "TASK", value_delimiter = ',')]
    depends_on: Vec<TaskId>,
    /// What becomes of it when one of them fails: cancel, run or hold [default: cancel]
    #[arg(long, value_name = "POLICY", requires = "depends_on")]
    on_dependency_failure: Option<DependencyPolicy>,
    /// The input is a template over their results, which it has as `deps`
    #[arg(long, requires = "depends_on")]
    template: bool,
    #[command(flatten)]
    unique: UniqueFlags,
    #[command(flatten)]
    workspace: WorkspaceFlags,
    /// Count it in this group
    #[arg(long, value_name = "NAME", conflicts_with = "jsonl")]
    group: Option<GroupName>,
    /// Add it to this open batch
    #[arg(long, value_name = "BATCH", conflicts_with = "jsonl")]
    batch: Option<BatchId>,
    /// Tell this address of its end, by a signed webhook
    #[arg(long, value_name = "URL", conflicts_with = "jsonl")]
    callback_url: Option<Target>,
    /// Wait until the task is final, or for so long
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true,
          value_parser = parse_duration)]
    wait: Option<Option<Duration>>,
    /// Submit so many such tasks
    #[arg(long, value_name = "N", conflicts_with_all = ["key", "wait"],
          value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Submit each line of this file, or of stdin (-)
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["queue", "kind", "input", "priority",
          "run_at", "delay", "max_attempts", "deadline", "retry", "timeout", "stale_after", "key", "locks",
          "shares", "writes", "reads", "limit_keys", "wait", "count", "depends_on"])]
    jsonl: Option<String>,
}

impl Submit {
    pub(super) async fn run(self, client: &Client, output: Output) -> Outcome {
        match (&self.jsonl, self.count) {
            (Some(from), _) => {
                let totals = submit_lines(client, output, TASKS.to_owned(), from).await?;
                output.show(&totals, |totals| totals.to_string())?;
                Ok(Exit::Done)
            }
            (None, Some(count)) => {
                let task = self.object()?;
                let mut batches =
                    Batches::new(client, output, TASKS.to_owned(), Source::Copies, Some(count))
                        .await?;
                for nth in 1..=count {
                    batches.push(task.clone(), nth).await?;
                }
                let totals = batches.finish().await?;
                output.show(&totals, |totals| totals.to_string())?;
                Ok(Exit::Done)
            }
            (None, None) => self.one(client, output).await,
        }
    }

    async fn one(self, client: &Client, output: Output) -> Outcome {
        let body = self.object()?;
        let submitted: Submitted = client.post(TASKS, &body).await?.json()?;
        let Some(limit) = self.wait else {
            output.show(&submitted, |task| {
                let was = match task.outcome {
                    SubmitOutcome::Created => "submitted",
                    SubmitOutcome::Existing => "was there already",
                    SubmitOutcome::Replaced => "was there already and takes this over",
                };
                format!("{} {was}, {}", task.id, task.state)
            })?;
            return Ok(Exit::Done);
        };
        let task = wait::until_final(client, submitted.id, wait::deadline(limit)).await?;
        let exit = wait::verdict([task.state].into_iter());
        output.show(&task, render::result)?;
        Ok(exit)
    }

    fn locks(&self) -> Vec<LockUse> {
        let lock = |mode| move |name: &Label| LockUse { name: name.clone(), mode };
        let alone = self.locks.iter().map(lock(Mode::Exclusive));
        alone.chain(self.shares.iter().map(lock(Mode::Shared))).collect()
    }

    fn paths(&self) -> Vec<PathUse> {
        let path = |mode| move |glob: &Glob| PathUse { glob: glob.clone(), mode };
        let writes = self.writes.iter().map(path(Access::Write));
        writes.chain(self.reads.iter().map(path(Access::Read))).collect()
    }

    /// The task as the API takes it.
    fn object(&self) -> Outcome<Map<String, Value>> {
        let millis = |duration: Duration| format!("{}ms", duration.as_millis());
        let body = TaskBody {
            queue: self.queue.as_ref().map(ToString::to_string),
            kind: self.kind.clone(),
            input: self.input.as_deref().map(input).transpose()?.unwrap_or_default(),
            priority: self.priority,
            run_at: self.run_at,
            delay: self.delay.map(millis),
            max_attempts: self.max_attempts,
            deadline: self.deadline.clone(),
            retry: (!self.retry.is_empty()).then(|| self.retry.iter().cloned().collect()),
            timeout: self.timeout.map(millis),
            stale_after: self.stale_after.map(millis),
            idempotency_key: self.key.clone(),
            locks: self.locks(),
            paths: self.paths(),
            keys: self.limit_keys.clone(),
            reference: None,
            depends_on: self.depends_on.iter().map(ToString::to_string).collect(),
            on_dependency_failure: self.on_dependency_failure,
            template: self.template,
            unique: self.unique.body(),
            group: self.group.clone(),
            batch: self.batch,
            workspace: self.workspace.body()?,
            callback_url: self.callback_url.clone(),
        };
        match serde_json::to_value(body).map_err(io::Error::from)? {
            Value::Object(object) => Ok(object),
            _ => Ok(Map::new()),
        }
    }
}

/// What its attempts work in.
#[derive(Debug, Args)]
struct WorkspaceFlags {
    /// Give each attempt a worktree of this git repository [default: as the fleet has it]
    #[arg(long, value_name = "DIR", conflicts_with = "jsonl")]
    git: Option<PathBuf>,
    /// What its branch begins at [default: main]
    #[arg(long, value_name = "COMMIT", requires = "git")]
    base: Option<String>,
    /// The name of its branch, with {task}, {attempt}, {kind}, {queue} or {agent} [default: hostler/{task}]
    #[arg(long, value_name = "NAME", requires = "git")]
    branch: Option<String>,
    /// What becomes of it once the task is done: leave, merge or rebase [default: leave]
    #[arg(long, value_name = "HOW", requires = "git", value_parser = ["leave", "merge", "rebase"])]
    merge: Option<String>,
    /// The branch that it is merged into [default: the base]
    #[arg(long, value_name = "NAME", requires = "merge")]
    into: Option<String>,
    /// Who resolves what can't be merged: agent or person [default: agent]
    #[arg(long, value_name = "WHO", requires = "merge")]
    on_merge_conflict: Option<Resolver>,
}

impl WorkspaceFlags {
    fn body(&self) -> Outcome<Option<WorkspaceBody>> {
        let Some(git) = &self.git else { return Ok(None) };
        let git = std::path::absolute(git)?.into_os_string().into_string();
        let git = git.map_err(|_| CliError::new(Exit::Usage, "--git must be UTF-8"))?;
        Ok(Some(WorkspaceBody {
            git,
            base: self.base.clone(),
            branch: self.branch.clone(),
            merge: self.merge.clone(),
            into: self.into.clone(),
            on_conflict: self.on_merge_conflict,
        }))
    }
}

/// Reads `--retry`: a word and its value, in the form that the API takes it.
fn retry(text: &str) -> Result<(String, Value), String> {
    let (word, value) = text.split_once('=').ok_or("write WHAT=VALUE, as in kind=fixed")?;
    let value = match word {
        "jitter" => value.parse::<f64>().map(Value::from).map_err(|error| error.to_string())?,
        "retry_on" | "never_on" => value.split(',').filter(|part| !part.is_empty()).collect(),
        _ => Value::from(value),
    };
    Ok((word.to_owned(), value))
}

/// Reads `--input`.
pub(in crate::cli) fn input(from: &str) -> Outcome<Value> {
    let wrong = |why: String| CliError::new(Exit::Usage, why);
    let (text, place) = match from.strip_prefix('@') {
        Some(path) => {
            let read = fs::read_to_string(path);
            (read.map_err(|error| wrong(format!("--input {path}: {error}")))?, path)
        }
        None if from == "-" => {
            let mut text = String::new();
            let read = io::stdin().lock().read_to_string(&mut text);
            read.map_err(|error| wrong(format!("--input: stdin: {error}")))?;
            (text, "stdin")
        }
        None => (from.to_owned(), "its value"),
    };
    serde_json::from_str(&text).map_err(|error| {
        wrong(format!("--input: {place} is not JSON: {error}"))
            .help("text is JSON in quotes: --input '\"hello\"'; a file is --input @FILE")
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        submit: Submit,
    }

    fn object(line: &[&str]) -> Value {
        let words = ["submit"].iter().chain(line);
        Value::Object(Line::try_parse_from(words).unwrap().submit.object().unwrap())
    }

    #[test]
    fn flags_become_a_task() {
        assert_eq!(object(&[]), json!({}));
        let line = [
            "-q",
            "gpu",
            "-k",
            "big",
            "-i",
            "[1]",
            "--priority",
            "-3",
            "--delay",
            "1m 30s",
            "--max-attempts",
            "4",
            "--timeout",
            "2s",
            "--stale-after",
            "90s",
            "--key",
            "k",
        ];
        let expected = json!({"queue": "gpu", "kind": "big", "input": [1], "priority": -3,
            "delay": "90000ms", "max_attempts": 4, "timeout": "2000ms", "stale_after": "90000ms",
            "idempotency_key": "k"});
        assert_eq!(object(&line), expected);
        let needs = [
            "--lock",
            "a",
            "--lock",
            "b",
            "--share",
            "c",
            "--writes",
            "src/**",
            "--reads",
            "docs/*",
            "--limit-key",
            "account:x",
        ];
        let expected = json!({"locks": [{"name": "a", "mode": "exclusive"},
            {"name": "b", "mode": "exclusive"}, {"name": "c", "mode": "shared"}],
            "paths": [{"glob": "src/**", "mode": "write"}, {"glob": "docs/*", "mode": "read"}],
            "keys": ["account:x"]});
        assert_eq!(object(&needs), expected);
        let line = ["--retry", "kind=fixed", "--retry", "jitter=0.25", "--retry", "never_on=a,b:1"];
        let retry = json!({"kind": "fixed", "jitter": 0.25, "never_on": ["a", "b:1"]});
        assert_eq!(object(&line), json!({ "retry": retry }));
        let line = [
            "--unique-by",
            "kind,input",
            "--unique-window",
            "1h",
            "--unique-states",
            "pending,completed",
            "--on-conflict",
            "reject",
        ];
        let expected = json!({"unique": {"by": ["kind", "input"], "window": "3600000ms",
            "states": ["pending", "completed"], "on_conflict": "reject"}});
        assert_eq!(object(&line), expected);
        assert_eq!(object(&["--unique", "k"]), json!({"unique": {"key": "k"}}));
        let batch = "bat_00000000000000000000000000000007";
        let parts = object(&["--group", "g", "--batch", batch]);
        assert_eq!(parts, json!({"group": "g", "batch": batch}));
        let apart = object(&["--git", "/repo", "--branch", "x/{task}"]);
        assert_eq!(apart, json!({"workspace": {"git": "/repo", "branch": "x/{task}"}}));
        let at = object(&["--run-at", "2030-01-31T08:00:00+01:00"]);
        assert_eq!(at, json!({"run_at": "2030-01-31T07:00:00Z"}));
    }

    #[test]
    fn inputs_are_read_from_where_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in.json");
        fs::write(&path, "{\"a\": 1}\n").unwrap();
        assert_eq!(input(&format!("@{}", path.display())).unwrap(), json!({"a": 1}));
        assert_eq!(input("7").unwrap(), json!(7));
        let error = input("hello").unwrap_err();
        assert_eq!(error.exit, Exit::Usage);
        assert!(error.help.unwrap().contains("quotes"));
        assert!(input("@/nowhere/x.json").unwrap_err().what.contains("/nowhere/x.json"));
    }
}
