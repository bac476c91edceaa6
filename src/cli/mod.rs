//! The command line.

use std::{collections::BTreeMap, env, process::ExitCode};

use crate::{app, process, settings, telemetry};

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let mut words = env::args_os().skip(1);
    // First of all: the keeper must not have a second thread.
    let first = words.next();
    if first.as_ref().is_some_and(|word| word == "keeper") {
        return process::keeper::main(words);
    }
    let env: BTreeMap<String, String> = env::vars().collect();
    let load = |file: &std::path::Path, data: Option<&std::path::Path>| {
        let mut flags = Vec::new();
        if let Some(data) = data {
            flags.push(("host.data_dir".to_owned(), data.display().to_string()));
        }
        settings::load(&settings::Sources {
            files: vec![file.to_owned()],
            env: env::vars().collect(),
            flags,
            machine: settings::Machine::detect(&env::vars().collect()),
            check_template: |words| {
                crate::protocol::exec::Template::parse(words).map(drop).map_err(|e| e.to_string())
            },
        })
        .map_err(|problems| problems.to_string())
    };
    let system = actix::System::new();
    system.block_on(async {
        if first.is_some_and(|word| word == "demo") {
            let options = app::DemoOptions { json: false, colour: true };
            let s = load(std::path::Path::new("examples/fleets/quickstart.toml"), None).unwrap();
            let (log, guard) =
                telemetry::start(&s.log, None, telemetry::Terminal::Human { colour: true })
                    .unwrap();
            app::demo(options, env, log, guard.drops(), |file, data| load(file, Some(data))).await
        } else {
            let s = load(
                std::path::Path::new(&words.next().unwrap()),
                Some(std::path::Path::new("/tmp/hd")),
            )
            .unwrap();
            let (log, guard) =
                telemetry::start(&s.log, None, telemetry::Terminal::Human { colour: true })
                    .unwrap();
            app::up(s, env, log, guard.drops(), |_| {}).await
        }
    })
}
