//! `hostler plan`: plan files, without a host; and runs of plans, by the API of one.

mod analyze;
mod deeds;
mod follow;
mod import;
mod render;
mod run;
mod runs;

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::{
    asked,
    config::verdict,
    exit::{CliError, Exit, Outcome},
    global::Global,
    output::Tone,
};
use crate::{domain, plan::read, settings::Problems};

/// Check, import and analyze plans, graphs of tasks with durations, dependencies and files; and carry
/// them out
#[derive(Debug, Subcommand)]
pub(super) enum Plan {
    /// Check a plan file (TOML, YAML or JSON): every problem, with its line and field
    #[command(after_help = "`docs/PLANS.md` has every field.\n\nExamples:\n  \
        hostler plan check plan.toml")]
    Check {
        /// The file; its ending says the format
        file: PathBuf,
    },
    Import(import::Import),
    Analyze(analyze::Analyze),
    #[command(flatten)]
    OfRuns(OfRuns),
}

/// What is done with runs, by the API of a host.
#[derive(Debug, Subcommand)]
pub(super) enum OfRuns {
    Run(run::Run),
    List(runs::List),
    Show(runs::Show),
    Report(runs::Report),
    Pause(deeds::Pause),
    Resume(deeds::Resume),
    Cancel(deeds::Cancel),
    Retry(deeds::Retry),
    Done(deeds::Done),
    Fail(deeds::Fail),
    Approve(deeds::Approve),
    Skip(deeds::Skip),
}

impl Plan {
    pub(super) fn run(self, global: &Global) -> Outcome {
        match self {
            Self::Check { file } => check(&file, global),
            Self::Import(import) => import.run(global),
            Self::Analyze(analyze) => analyze.run(global),
            Self::OfRuns(of_runs) => asked(of_runs.run(global)),
        }
    }
}

impl OfRuns {
    async fn run(self, global: &Global) -> Outcome {
        let (client, output) = (global.client()?, global.output());
        match self {
            Self::Run(run) => run.run(&client, output).await,
            Self::List(list) => list.run(&client, output).await,
            Self::Show(show) => show.run(&client, output).await,
            Self::Report(report) => report.run(&client, output).await,
            Self::Pause(pause) => pause.run(&client, output).await,
            Self::Resume(resume) => resume.run(&client, output).await,
            Self::Cancel(cancel) => cancel.run(&client, output).await,
            Self::Retry(retry) => retry.run(&client, output).await,
            Self::Done(done) => done.run(&client, output).await,
            Self::Fail(fail) => fail.run(&client, output).await,
            Self::Approve(approve) => approve.run(&client, output).await,
            Self::Skip(skip) => skip.run(&client, output).await,
        }
    }
}

fn check(file: &Path, global: &Global) -> Outcome {
    let found = read::read(file);
    let verdict = verdict(found.as_ref().err());
    global.output().show(&verdict, |_| match &found {
        Ok(plan) => {
            let count = match plan.tasks.len() {
                1 => "a task".to_owned(),
                many => format!("{many} tasks"),
            };
            format!("{}: {count}, no problem found\n", Tone::Good.paint("ok"))
        }
        Err(problems) => format!("{problems}\n"),
    })?;
    Ok(if found.is_ok() { Exit::Done } else { Exit::Failed })
}

/// The plan in `file`.
fn load(file: &Path) -> Outcome<domain::plan::Plan> {
    read::read(file).map_err(|problems| unsound(&problems))
}

fn unsound(problems: &Problems) -> CliError {
    let count = match problems.as_slice().len() {
        1 => "a problem".to_owned(),
        many => format!("{many} problems"),
    };
    let lines: String = problems.as_slice().iter().map(|it| format!("\n  {it}")).collect();
    CliError::new(Exit::Usage, format!("the plan has {count}:{lines}"))
        .help("mend what is named above; `hostler plan check FILE` looks again")
}
