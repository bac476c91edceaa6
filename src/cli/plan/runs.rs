//! `hostler plan list`, `show` and `report`.

use clap::Args;

use super::{
    super::{
        client::Client,
        exit::{Exit, Outcome},
        output::Output,
    },
    follow::follow,
    render,
};
use crate::{
    domain::{
        PlanRunId,
        plan::run::{RunRecord, RunTaskRecord},
        record::Page,
    },
    http::api::Listing,
    plan::run::RunReport,
};

/// List the runs of plans, newest first
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hostler plan list\n  hostler plan list --limit 200 --json")]
pub(in crate::cli) struct List {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Go on after a page: its `next_cursor`
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<PlanRunId>,
}

/// Show a run and its tasks
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hostler plan show run_0198c1d2…\n  \
    hostler plan show run_0198c1d2… -f")]
pub(in crate::cli) struct Show {
    /// The run
    run: PlanRunId,
    /// Follow it to its end, as `plan run` does
    #[arg(short, long)]
    follow: bool,
}

/// Compare what was planned of a run with what was: times, waits, and what was saved
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hostler plan report run_0198c1d2…")]
pub(in crate::cli) struct Report {
    /// The run
    run: PlanRunId,
}

impl List {
    pub(super) async fn run(self, client: &Client, output: Output) -> Outcome {
        let cursor = self.cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let path = format!("/api/v1/plans/runs?limit={}{cursor}", self.limit);
        let page: Page<RunRecord> = client.get(&path).await?;
        output.show(&page, |page| render::list(&page.items))?;
        Ok(Exit::Done)
    }
}

impl Show {
    pub(super) async fn run(self, client: &Client, output: Output) -> Outcome {
        if self.follow {
            return follow(client, output, self.run).await;
        }
        let path = format!("/api/v1/plans/runs/{}", self.run);
        let run: RunRecord = client.get(&path).await?;
        let tasks: Listing<RunTaskRecord> = client.get(&format!("{path}/tasks")).await?;
        let whole = serde_json::json!({ "run": run, "tasks": tasks.items });
        output.show(&whole, |_| {
            format!("{}\n{}", render::sheet(&run), render::tasks(&tasks.items))
        })?;
        Ok(Exit::Done)
    }
}

impl Report {
    pub(super) async fn run(self, client: &Client, output: Output) -> Outcome {
        let report: RunReport =
            client.get(&format!("/api/v1/plans/runs/{}/report", self.run)).await?;
        output.show(&report, render::report)?;
        Ok(Exit::Done)
    }
}
