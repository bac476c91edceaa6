//! `hostler up` and `hostler demo`: being the host.

use std::{collections::BTreeMap, process::ExitCode, sync::Arc};

use clap::Args;

use super::{
    exit::{CliError, Exit, Outcome},
    global::{Global, environment, unsound},
};
use crate::{
    app::{self, DemoOptions, LoadSettings},
    settings::{self, LogFormat, Sources},
    telemetry::{Chain, Terminal},
};

/// Run the host: start the fleets and work off tasks until told to stop
#[derive(Debug, Args)]
#[command(
    after_help = "A first SIGTERM or Ctrl-C lets running tasks finish for a while; a second \
    ends at once. SIGHUP has it read its settings again, as `hostler reload` does.\n\nExamples:\n  hostler up -c fleets.toml\n  \
    hostler up -c fleets.toml --set http.bind=127.0.0.1:7070 --data-dir ./data"
)]
pub(super) struct Up {
    /// Set one field of the settings; wins over files and environment
    #[arg(long, value_name = "FIELD=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    /// Read the settings, say what this program is, and end: for a host that is to hand over to it
    #[arg(long, hide = true)]
    probe: bool,
}

impl Up {
    pub(super) fn run(self, global: &Global) -> Outcome<ExitCode> {
        let not_started = |error: &CliError| app::not_started(environment(), &error.what);
        let mut settings = global.settings(&self.set).inspect_err(not_started)?;
        if self.probe {
            let traits = serde_json::to_string(&app::traits()).map_err(std::io::Error::from)?;
            println!("{traits}");
            return Ok(ExitCode::SUCCESS);
        }
        settings::find_secrets(&mut settings, &environment())
            .map_err(|problems| unsound(&problems))
            .inspect_err(not_started)?;
        let terminal = match settings.log.format {
            LogFormat::Json => Terminal::Json,
            LogFormat::Human => Terminal::Human { colour: global.colours_stderr() },
        };
        let sources = global.sources(&self.set);
        let again = LoadSettings {
            files: sources.files.iter().map(|file| sources.machine.cwd.join(file)).collect(),
            load: Arc::new(move || {
                let mut settings = settings::load(&sources)?;
                settings::find_secrets(&mut settings, &sources.env)?;
                Ok(settings)
            }),
        };
        app::up(settings, again, environment(), terminal).map_err(|error| {
            CliError::new(Exit::Failed, Chain(&error).to_string())
                .help("`hostler doctor` looks for what is missing")
        })
    }
}

/// See it work: a fleet, a private Postgres and 500 tasks, in a temporary directory
#[derive(Debug, Args)]
#[command(after_help = "Ends with 0 only if no task was lost.\n\nExamples:\n  hostler demo\n  \
    hostler demo --json")]
pub(super) struct Demo {}

impl Demo {
    pub(super) fn run(self, global: &Global) -> Outcome<ExitCode> {
        let options = DemoOptions { json: global.json, colour: global.colours_stdout() };
        Ok(app::demo(options, environment(), |file, data_dir| {
            let sources = Sources {
                files: vec![file.to_owned()],
                env: BTreeMap::new(),
                flags: vec![("host.data_dir".to_owned(), data_dir.display().to_string())],
                ..global.sources(&[])
            };
            settings::load(&sources).map_err(|problems| problems.to_string())
        }))
    }
}

/// Reads `field=value`.
pub(super) fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((field, value)) if !field.trim().is_empty() => {
            Ok((field.trim().to_owned(), value.to_owned()))
        }
        _ => Err("write it as field=value, as in host.name=blue".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_split_at_the_first_sign() {
        let pair = |field: &str, value: &str| Ok((field.to_owned(), value.to_owned()));
        assert_eq!(assignment("a.b=c=d"), pair("a.b", "c=d"));
        assert_eq!(assignment("a="), pair("a", ""));
        for bad in ["", "a", "=b", " =b"] {
            assert!(assignment(bad).is_err(), "{bad}");
        }
    }
}
