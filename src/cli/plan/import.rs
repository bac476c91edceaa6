//! `hostler plan import`: a Markdown plan into a plan file.

use std::{fs::OpenOptions, io::Write, path::PathBuf};

use clap::Args;
use serde_json::json;

use super::{
    super::{
        exit::{CliError, Exit, Outcome},
        global::Global,
        output::Tone,
    },
    unsound,
};
use crate::plan::{
    import::{self, Imported},
    read, write,
};

/// Make a plan file of a Markdown document, and list what was unsure
#[derive(Debug, Args)]
#[command(
    after_help = "Doubts go to stderr, the plan to stdout or to FILE, which must not be there \
    yet.\n\nExamples:\n  hostler plan import PLAN.md -o plan.toml"
)]
pub(in crate::cli) struct Import {
    /// The document
    file: PathBuf,
    /// Write the plan to this file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Import {
    pub(super) fn run(self, global: &Global) -> Outcome {
        let text = read::text_of(&self.file).map_err(|problems| unsound(&problems))?;
        let imported = import::import(&text);
        if imported.plan.tasks.is_empty() {
            let what = format!("{}: no task was found", self.file.display());
            return Err(CliError::new(Exit::Usage, what)
                .help("a task is a heading or a bold line with **Time** and **Task** or **Files** below it; see docs/PLANS.md"));
        }
        let toml = write::to_toml(&imported.plan);
        // What can not be read again is told at once, and written all the same: it is to be mended.
        let problems =
            read::parse(&toml, read::Format::Toml, self.output.as_deref().unwrap_or(&self.file))
                .err();
        if let Some(output) = &self.output {
            let failed = |error: std::io::Error| {
                CliError::new(Exit::Usage, format!("cannot write {}: {error}", output.display()))
            };
            let mut file =
                OpenOptions::new().write(true).create_new(true).open(output).map_err(failed)?;
            file.write_all(toml.as_bytes()).map_err(failed)?;
        }
        let report = json!({
            "tasks": imported.plan.tasks.len(),
            "doubts": imported.doubts.iter().map(|doubt| json!({
                "line": doubt.line, "message": doubt.message,
            })).collect::<Vec<_>>(),
            "problems": problems.as_ref().map(|it| it.as_slice().iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap_or_default(),
            "plan": toml,
        });
        if !global.json {
            self.tell(&imported);
            if let Some(problems) = &problems {
                anstream::eprintln!("{problems}");
            }
        }
        global.output().show(&report, |_| match &self.output {
            Some(output) => format!("{}: {} tasks\n", output.display(), imported.plan.tasks.len()),
            None => toml.clone(),
        })?;
        Ok(if problems.is_none() { Exit::Done } else { Exit::Failed })
    }

    fn tell(&self, imported: &Imported) {
        for doubt in &imported.doubts {
            let mark = Tone::Warn.paint("unsure");
            anstream::eprintln!(
                "{mark}: {}:{}: {}",
                self.file.display(),
                doubt.line,
                doubt.message
            );
        }
    }
}
