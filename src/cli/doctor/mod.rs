//! `hostler doctor`: whether this machine can run the host, and what to do if not.

mod checks;
mod report;

use clap::Args;

use super::{
    exit::{CliError, Exit, Outcome},
    global::Global,
};
use crate::settings;
use report::{Check, Report};

/// Look whether this machine can run the host, and say what to do where it can't
#[derive(Debug, Args)]
#[command(after_help = "Changes nothing. Ends with 1 if anything must be mended first.\n\n\
    Examples:\n  hostler doctor\n  hostler doctor -c fleets.toml --json")]
pub(super) struct Doctor {}

impl Doctor {
    pub(super) fn run(self, global: &Global) -> Outcome {
        let sources = global.sources(&[]);
        let mut found = Vec::new();
        match settings::load(&sources) {
            Ok(settings) => {
                let read = match sources.files.as_slice() {
                    [] => "no config file; the defaults".to_owned(),
                    files => {
                        let files: Vec<_> =
                            files.iter().map(|it| it.display().to_string()).collect();
                        files.join(", ")
                    }
                };
                found.push(Check::ok("settings", read));
                found.extend(look(&settings, sources.env.get("PATH").map(String::as_str))?);
            }
            Err(problems) => found.extend(
                problems
                    .as_slice()
                    .iter()
                    .map(|problem| Check::fail("settings", problem.to_string(), "mend this line")),
            ),
        }
        let report = Report::of(found);
        global.output().show(&report, Report::render)?;
        Ok(if report.ok { Exit::Done } else { Exit::Failed })
    }
}

/// Everything that can be looked at once the settings are sound.
fn look(settings: &settings::Settings, path: Option<&str>) -> Outcome<Vec<Check>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::new(Exit::Failed, format!("cannot start: {error}")))?;
    let host = &settings.host;
    let mut found = vec![
        checks::user(settings),
        checks::data_dir(&host.data_dir, checks::postgres_account(settings)),
        checks::sockets([host.socket(), host.keeper_socket()]),
        checks::disk(&host.data_dir),
        checks::open_files(settings),
        runtime.block_on(checks::postgres(settings, path)),
    ];
    found.extend(settings.fleets.iter().map(|fleet| checks::fleet(fleet, path)));
    found.push(runtime.block_on(checks::host(&host.socket())));
    Ok(found)
}
