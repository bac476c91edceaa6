//! What people do to runs and to their tasks.

use clap::Args;
use serde_json::{Value, json};

use super::{
    super::{
        client::Client,
        exit::{CliError, Exit, Outcome},
        output::Output,
    },
    render,
};
use crate::domain::{
    PlanRunId, PlanTaskId,
    plan::run::{RunRecord, RunTaskRecord},
};

/// Hold a run back; what runs goes on
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hostler plan pause run_0198c1d2… --reason 'the tests are red'"
)]
pub(in crate::cli) struct Pause {
    /// The run
    run: PlanRunId,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Let a paused run go on
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hostler plan resume run_0198c1d2…")]
pub(in crate::cli) struct Resume {
    /// The run
    run: PlanRunId,
}

/// Call a run off: what waits at once, what runs as soon as its agents have let go
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hostler plan cancel run_0198c1d2…")]
pub(in crate::cli) struct Cancel {
    /// The run
    run: PlanRunId,
}

/// Try a task again that failed, and what was called off behind it
#[derive(Debug, Args)]
#[command(after_help = "Without TASK, all that failed or was called off.\n\nExamples:\n  \
    hostler plan retry run_0198c1d2… parser\n  hostler plan retry run_0198c1d2…")]
pub(in crate::cli) struct Retry {
    /// The run
    run: PlanRunId,
    /// The task, by its id in the plan
    task: Option<PlanTaskId>,
}

/// Say that a person has done their task, or has resolved a conflict
#[derive(Debug, Args)]
#[command(
    after_help = "A conflict is resolved in the worktree that `hostler task show` of its merge names. What is there is \
    committed and merged; nothing happens while marks are left.\n\nExamples:\n  hostler plan done run_0198c1d2… review\n  \
    hostler plan done run_0198c1d2… review --output '{\"verdict\": \"good\"}'"
)]
pub(in crate::cli) struct Done {
    /// The run
    run: PlanRunId,
    /// The task, by its id in the plan
    task: PlanTaskId,
    /// The result, as JSON
    #[arg(long, value_name = "JSON", value_parser = is_json)]
    output: Option<Value>,
}

/// Say that a person could not do their task: what waits for it is called off
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hostler plan fail run_0198c1d2… review --message 'not now'")]
pub(in crate::cli) struct Fail {
    /// The run
    run: PlanRunId,
    /// The task, by its id in the plan
    task: PlanTaskId,
    /// Why
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
}

/// Allow a task that waits for a person's approval
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hostler plan approve run_0198c1d2… deploy")]
pub(in crate::cli) struct Approve {
    /// The run
    run: PlanRunId,
    /// The task, by its id in the plan
    task: PlanTaskId,
}

/// Leave a task out that waits or has failed, or its work unmerged: what waits for it goes on
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hostler plan skip run_0198c1d2… docs")]
pub(in crate::cli) struct Skip {
    /// The run
    run: PlanRunId,
    /// The task, by its id in the plan
    task: PlanTaskId,
}

fn is_json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))
}

impl Pause {
    pub(super) async fn run(self, client: &Client, output: Output) -> Outcome {
        to_run(client, output, self.run, "pause", &json!({ "reason": self.reason })).await
    }
}

impl Resume {
    pub(super) async fn run(self, client: &Client, output: Output) -> Outcome {
        to_run(client, output, self.run, "resume", &json!({})).await
    }
}

impl Cancel {
    pub(super) async fn run(self, client: &Client, output: Output) -> Outcome {
        to_run(client, output, self.run, "cancel", &json!({})).await
    }
}

impl Retry {
    pub(super) async fn run(self, client: &Client, output: Output) -> Outcome {
        to_run(client, output, self.run, "retry", &json!({ "task": self.task })).await
    }
}

impl Done {
    pub(super) async fn run(self, client: &Client, output: Output) -> Outcome {
        let body = json!({ "output": self.output });
        to_task(client, output, (self.run, &self.task), "done", &body).await
    }
}

impl Fail {
    pub(super) async fn run(self, client: &Client, output: Output) -> Outcome {
        let body = json!({ "message": self.message });
        to_task(client, output, (self.run, &self.task), "fail", &body).await
    }
}

impl Approve {
    pub(super) async fn run(self, client: &Client, output: Output) -> Outcome {
        to_task(client, output, (self.run, &self.task), "approve", &json!({})).await
    }
}

impl Skip {
    pub(super) async fn run(self, client: &Client, output: Output) -> Outcome {
        to_task(client, output, (self.run, &self.task), "skip", &json!({})).await
    }
}

async fn to_run(
    client: &Client,
    output: Output,
    run: PlanRunId,
    deed: &str,
    body: &Value,
) -> Outcome {
    let answer = client.post(&format!("/api/v1/plans/runs/{run}/{deed}"), body).await;
    let run: RunRecord = answer.map_err(|error| with_help(error, run))?.json()?;
    output.show(&run, render::sheet)?;
    Ok(Exit::Done)
}

async fn to_task(
    client: &Client,
    output: Output,
    (run, task): (PlanRunId, &PlanTaskId),
    deed: &str,
    body: &Value,
) -> Outcome {
    let path = format!("/api/v1/plans/runs/{run}/tasks/{task}/{deed}");
    let answer = client.post(&path, body).await;
    let task: RunTaskRecord = answer.map_err(|error| with_help(error, run))?.json()?;
    output.show(&task, |task| render::tasks(std::slice::from_ref(task)))?;
    Ok(Exit::Done)
}

/// What to look at where a task is in another state than was thought.
fn with_help(error: CliError, run: PlanRunId) -> CliError {
    if error.exit == Exit::Conflict {
        return error.help(format!("`hostler plan show {run}` shows where everything is"));
    }
    error
}
