//! `hostler config`: looking at settings without a host.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    exit::{Exit, Outcome},
    global::Global,
    host::assignment,
    output::Tone,
};
use crate::settings::{self, Problem, Problems};

/// Check and show settings
#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Check config files: every problem, with file, line and field
    #[command(after_help = "Several files are checked together, as `hostler up -c A -c B` reads \
        them; the environment counts too.\n\nExamples:\n  hostler config check fleets.toml")]
    Check {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Show the settings that a host would run with, secrets masked
    #[command(after_help = "Examples:\n  hostler config show -c fleets.toml")]
    Show {
        /// Set one field of the settings
        #[arg(long, value_name = "FIELD=VALUE", value_parser = assignment)]
        set: Vec<(String, String)>,
    },
}

impl Config {
    pub(super) fn run(self, global: &Global) -> Outcome {
        match self {
            Self::Check { files } => check(files, global),
            Self::Show { set } => {
                let settings = global.settings(&set)?;
                let shown = settings::to_json(&settings);
                global.output().show(&shown, |_| settings::show(&settings))?;
                Ok(Exit::Done)
            }
        }
    }
}

fn check(files: Vec<PathBuf>, global: &Global) -> Outcome {
    let mut sources = global.sources(&[]);
    sources.files = global.config.iter().cloned().chain(files).collect();
    let found = settings::load(&sources);
    let problems = found.err();
    let verdict = verdict(problems.as_ref());
    global.output().show(&verdict, |_| match &problems {
        None => format!("{}: no problem found\n", Tone::Good.paint("ok")),
        Some(problems) => format!("{problems}\n"),
    })?;
    Ok(if problems.is_none() { Exit::Done } else { Exit::Failed })
}

/// What was found, as JSON.
pub(super) fn verdict(problems: Option<&Problems>) -> Value {
    let one = |problem: &Problem| {
        json!({
            "origin": problem.origin.to_string(),
            "file": problem.file().map(|file| file.display().to_string()),
            "line": problem.line(),
            "field": problem.field,
            "message": problem.message,
        })
    };
    let problems: Vec<_> =
        problems.map(Problems::as_slice).unwrap_or_default().iter().map(one).collect();
    json!({ "ok": problems.is_empty(), "problems": problems })
}
