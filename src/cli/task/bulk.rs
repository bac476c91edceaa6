//! `hostler task cancel` and `hostler task retry`: one after the other, or many at once.

use clap::Args;

use super::super::{
    bulk::{Selection, carry_out, told},
    client::Client,
    exit::{CliError, Exit, Outcome},
    output::Output,
};
use crate::domain::TaskId;

/// Call tasks off; one that runs ends as soon as its agent has let go of it
#[derive(Debug, Args)]
#[command(
    after_help = "Without TASK, all are called off that match every flag and have not ended.\n\n\
    Examples:\n  hostler task cancel tsk_0198c1d2…\n  \
    hostler task cancel --queue gpu --state pending --dry-run\n  hostler task cancel --group import"
)]
pub(in crate::cli) struct Cancel {
    /// The tasks
    tasks: Vec<TaskId>,
    #[command(flatten)]
    selection: Selection,
}

/// Give failed or cancelled tasks another try
#[derive(Debug, Args)]
#[command(
    after_help = "Without TASK, all failed ones are retried that match every flag; called off \
    ones only with --state.\n\nExamples:\n  hostler task retry tsk_0198c1d2…\n  \
    hostler task retry --class timeout --queue gpu\n  hostler task retry --group import --state failed,cancelled"
)]
pub(in crate::cli) struct Retry {
    /// The tasks
    tasks: Vec<TaskId>,
    #[command(flatten)]
    selection: Selection,
}

impl Cancel {
    pub(super) async fn run(self, client: &Client, output: Output) -> Outcome {
        run(client, output, &self.tasks, &self.selection, ("cancel", "cancelled")).await
    }
}

impl Retry {
    pub(super) async fn run(self, client: &Client, output: Output) -> Outcome {
        run(client, output, &self.tasks, &self.selection, ("retry", "retried")).await
    }
}

async fn run(
    client: &Client,
    output: Output,
    tasks: &[TaskId],
    selection: &Selection,
    (verb, done): (&str, &str),
) -> Outcome {
    if tasks.is_empty() {
        let path = format!("/api/v1/tasks/{verb}");
        let record = carry_out(client, output, &path, selection.body(&[])?).await?;
        output.show(&record, |record| told(record, done))?;
        return Ok(Exit::Done);
    }
    if !selection.is_empty() {
        let what = format!("{verb} either the tasks that are named, or those that match the flags");
        return Err(CliError::new(Exit::Usage, what));
    }
    super::command(client, output, tasks, verb).await
}
