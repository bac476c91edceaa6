//! `hostler plan run`: carry a plan out.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::{
    super::{
        client::Client,
        exit::{CliError, Exit, Outcome},
        output::Output,
    },
    follow::follow,
    load, render, unsound,
};
use crate::{
    domain::QueueName,
    http::api::{RunBody, RunPreview, RunSubmitted},
    plan::{
        read::{self, Format},
        words::parse_speed,
    },
};

/// Carry a plan out: submit its tasks, and follow them to their end
#[derive(Debug, Args)]
#[command(
    after_help = "The run goes on without this command, and outlives the host that began it: Ctrl-C only \
    stops following. Ends with 0 if all of it is completed, 1 if not.\n\n\
    With --speed it is a rehearsal: each task sleeps as long as it is to take, at that speed. Only \
    `hostler mock-agent` may serve the queues that it goes to.\n\nExamples:\n  \
    hostler plan run plan.toml --agents 3\n  hostler plan run plan.toml --dry-run\n  \
    hostler plan run plan.toml --agents 3 --speed 1h=1s --queue rehearsal"
)]
pub(in crate::cli) struct Run {
    /// The plan file
    file: PathBuf,
    /// How many agents work at once; else those of the plan, else the fewest that reach the best
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    agents: Option<u32>,
    /// Put all that agents do into this queue, whatever the plan says
    #[arg(long, value_name = "QUEUE")]
    queue: Option<QueueName>,
    /// Rehearse it with mock agents, at this speed
    #[arg(long, value_name = "TIME=TIME", value_parser = is_speed)]
    speed: Option<String>,
    /// Begin no phase before the one in front of it is done
    #[arg(long)]
    phased: bool,
    /// Replace tasks by their parts (`split_of`) where that is faster
    #[arg(long)]
    split: bool,
    /// Take the durations of earlier runs where there were any
    #[arg(long)]
    from_history: bool,
    /// A second run with the same key is the same run
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Give each agent's task a worktree of this git repository, whatever the plan says; what they make is
    /// merged into the branch plan/RUN
    #[arg(long, value_name = "DIR")]
    git: Option<PathBuf>,
    /// What the work begins at [default: main]
    #[arg(long, value_name = "COMMIT", requires = "git")]
    base: Option<String>,
    /// Only show what would be submitted
    #[arg(long)]
    dry_run: bool,
    /// Do not follow it
    #[arg(long)]
    detach: bool,
}

fn is_speed(text: &str) -> Result<String, String> {
    parse_speed(text).map(|_| text.to_owned())
}

/// The path of a repository, from the root.
fn absolute(path: &Path) -> Outcome<String> {
    let path = std::path::absolute(path)?.into_os_string().into_string();
    path.map_err(|path| {
        CliError::new(Exit::Usage, format!("{} must be UTF-8", path.to_string_lossy()))
    })
}

/// The directory that a file is in: relative paths in it begin there.
fn around(file: &Path) -> Outcome<String> {
    let file = PathBuf::from(absolute(file)?);
    absolute(file.parent().unwrap_or(&file))
}

impl Run {
    pub(super) async fn run(self, client: &Client, output: Output) -> Outcome {
        // What is wrong with the file is told as `plan check` does.
        let plan = load(&self.file)?;
        let text = read::text_of(&self.file).map_err(|problems| unsound(&problems))?;
        let format = match Format::of(&self.file) {
            Format::Toml => "toml",
            Format::Yaml => "yaml",
            Format::Json => "json",
        };
        let body = RunBody {
            plan: Value::String(text),
            format: Some(format.to_owned()),
            agents: self.agents,
            queue: self.queue,
            speed: self.speed,
            phased: self.phased,
            split: self.split,
            from_history: self.from_history,
            git: self.git.as_deref().map(absolute).transpose()?,
            base: self.base,
            dir: plan
                .tasks
                .iter()
                .any(|task| task.git.is_some())
                .then(|| around(&self.file))
                .transpose()?,
            dry_run: self.dry_run,
            idempotency_key: self.key,
        };
        let answer = client.post("/api/v1/plans/runs", &body).await?;
        if self.dry_run {
            let preview: RunPreview = answer.json()?;
            output.show(&preview, render::preview)?;
            return Ok(Exit::Done);
        }
        let submitted: RunSubmitted = answer.json()?;
        if self.detach {
            output.show(&submitted, |it| format!("{}\n", it.run.id))?;
            return Ok(Exit::Done);
        }
        follow(client, output, submitted.run.id).await
    }
}
