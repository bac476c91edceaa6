//! `[fleets.NAME.secrets]`: where each secret comes from, and asking there.
//!
//! Only a host asks: whoever checks or shows settings runs no command and opens no file of a secret.

use std::{collections::BTreeMap, process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{io::AsyncReadExt as _, process::Command, time::timeout};

use super::{
    Origin, Problem, Problems, Secret, Settings, command,
    fleets::wrong_variable,
    layers::join,
    reader::Section,
    secrets::{MAX_FILE, read_file},
};
use crate::domain::secret::{FleetSecret, FleetSecrets, Source};

/// The keys of a secret, of which it has one.
const SOURCES: [&str; 3] = ["file", "env", "command"];

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads where the secrets of a fleet come from.
pub(super) fn read(
    section: &Section<'_>,
    fleet_env: Option<&BTreeMap<String, String>>,
) -> Option<FleetSecrets> {
    let all = section.section("secrets")?;
    let mut secrets = Some(BTreeMap::new());
    for name in all.keys() {
        let source = source(&all, name, fleet_env);
        secrets = secrets.zip(source).map(|(mut secrets, source)| {
            secrets.insert(name.to_owned(), FleetSecret { source, value: None });
            secrets
        });
    }
    secrets
}

fn source(
    all: &Section<'_>,
    name: &str,
    fleet_env: Option<&BTreeMap<String, String>>,
) -> Option<Source> {
    if let Some(wrong) = wrong_variable(name) {
        all.problem(name, wrong.to_owned());
        return None;
    }
    if fleet_env.is_some_and(|env| env.contains_key(name)) {
        all.problem(name, "is in `env`, too: remove one of them".to_owned());
        return None;
    }
    let one = all.section(name)?;
    let [key] = one.keys()[..] else {
        let message = "must have one of `file`, `env` and `command`, as in { file = \"key.txt\" }";
        one.wrong(message.to_owned());
        return None;
    };
    match key {
        "file" => {
            let path = one.path_or_none("file")?;
            if path.is_none() {
                one.problem("file", "is empty: name a file that holds the secret".to_owned());
            }
            path.map(Source::File)
        }
        "env" => {
            let variable = one.text("env")?;
            if variable.is_empty() || variable.contains(['=', '\0']) {
                let message = "is not the name of a variable: it must not be empty and hold no `=`";
                one.problem("env", message.to_owned());
                return None;
            }
            Some(Source::Env(variable))
        }
        "command" => {
            let argv = command::of_check(&one, fleet_env)?;
            if argv.is_empty() {
                one.problem(
                    "command",
                    "is empty: name a program that prints the secret".to_owned(),
                );
                return None;
            }
            Some(Source::Command { argv, cwd: one.base("command") })
        }
        other => {
            let message = format!("unknown key; the keys here are {}", SOURCES.join(", "));
            one.problem(other, message);
            None
        }
    }
}

/// Asks for every secret of the fleets, each source once; `env` is the environment of the host. Blocks, as
/// long as the commands take, though not for ever.
///
/// # Errors
///
/// Every secret that can't be had, with its fleet, where it should come from and what to do. Nothing that
/// was found is said.
pub fn find_secrets(
    settings: &mut Settings,
    env: &BTreeMap<String, String>,
) -> Result<(), Problems> {
    let mut found: BTreeMap<Source, Result<Secret, String>> = BTreeMap::new();
    let mut problems = Vec::new();
    for fleet in &mut settings.fleets {
        for (name, secret) in &mut fleet.secrets {
            let answer = found
                .entry(secret.source.clone())
                .or_insert_with(|| ask(&secret.source, env).and_then(check).map(Secret::new));
            match answer {
                Ok(value) => secret.value = Some(value.clone()),
                Err(why) => problems.push(problem(
                    &settings.provenance,
                    format!("fleets.{}.secrets.{name}", fleet.name),
                    format!("can't be had from {}: {why}", secret.source),
                )),
            }
        }
    }
    Problems::of(problems).map_or(Ok(()), Err)
}

fn problem(origins: &BTreeMap<String, Origin>, field: String, message: String) -> Problem {
    let origin = SOURCES.iter().find_map(|key| origins.get(&join(&field, key)));
    Problem { origin: origin.cloned().unwrap_or(Origin::BuiltIn), field, message }
}

fn ask(source: &Source, env: &BTreeMap<String, String>) -> Result<String, String> {
    match source {
        Source::File(path) => read_file(path, "the secret"),
        Source::Env(name) => env.get(name).cloned().ok_or_else(|| {
            "it is not set: set it before the host is started, or name another".to_owned()
        }),
        Source::Command { argv, cwd } => {
            let (program, args) = argv.split_first().ok_or("it is empty: name a program")?;
            let mut command = Command::new(program);
            command.args(args).current_dir(cwd).env_clear().envs(env);
            run(command)
        }
    }
}

/// What may be in a variable, without the white space around it.
fn check(text: String) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("it is empty: put the secret there".to_owned());
    }
    if text.contains('\0') {
        return Err("it holds a NUL character, which no variable can".to_owned());
    }
    Ok(text.to_owned())
}

/// Runs a command to its end, on a runtime of its own: this is called where there is none.
fn run(mut command: Command) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("it can't be run ({error})"))?;
    // A session of its own would be too much; a group is enough to end all of it.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    runtime.block_on(async {
        let mut child = command.spawn().map_err(|error| format!("it can't be run ({error})"))?;
        let group = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
        let said = async {
            let mut text = Vec::new();
            if let Some(stdout) = child.stdout.take() {
                stdout.take(MAX_FILE + 1).read_to_end(&mut text).await?;
            }
            Ok::<_, std::io::Error>((child.wait().await?, text))
        };
        let Ok(said) = timeout(PATIENCE, said).await else {
            // It is not reaped, so the number is its own. What ends by itself may leave what it likes: the
            // agents of password managers do.
            if let Some(group) = group {
                killpg(group, Signal::SIGKILL).ok();
            }
            let limit = PATIENCE.as_secs();
            return Err(format!("it did not end within {limit} s: run it by hand"));
        };
        let (status, text) = said.map_err(|error| format!("it can't be read ({error})"))?;
        // It is not read to its end, and may have ended for that.
        if text.len() as u64 > MAX_FILE {
            return Err(format!(
                "it wrote more than {MAX_FILE} bytes: it must print the secret alone"
            ));
        }
        if !status.success() {
            return Err(format!("it ended with {status}: run it by hand"));
        }
        String::from_utf8(text).map_err(|_| "it wrote what is not UTF-8".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Source {
        let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        Source::Command { argv, cwd: "/".into() }
    }

    #[test]
    fn each_source_is_asked_and_says_what_is_wrong_without_what_it_found() {
        let dir = tempfile::tempdir().unwrap();
        let (good, empty) = (dir.path().join("good"), dir.path().join("empty"));
        std::fs::write(&good, "  s3cret\n").unwrap();
        std::fs::write(&empty, "\n").unwrap();
        let env =
            BTreeMap::from([("TOKEN", " from env "), ("NONE", ""), ("PATH", "/usr/bin:/bin")]);
        let env =
            env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let rows = [
            (Source::File(good), Ok("s3cret")),
            (Source::File(empty), Err("is empty")),
            (Source::File(dir.path().join("none")), Err("check the path")),
            (Source::Env("TOKEN".to_owned()), Ok("from env")),
            (Source::Env("NONE".to_owned()), Err("is empty")),
            (Source::Env("NOT_SET".to_owned()), Err("is not set")),
            (sh("echo $TOKEN"), Ok("from env")),
            (sh("echo s3cret; exit 3"), Err("exit status: 3")),
            (sh("echo s3cret >&2"), Err("is empty")),
            (sh("printf 'a\\0b'"), Err("NUL")),
            (sh("printf 'a\\377b'"), Err("UTF-8")),
            (sh("head -c 100000 /dev/zero"), Err("more than 65536 bytes")),
        ];
        for (source, expected) in rows {
            let got = ask(&source, &env).and_then(check);
            match expected {
                Ok(text) => assert_eq!(got.as_deref(), Ok(text), "{source:?}"),
                Err(part) => {
                    let why = got.unwrap_err();
                    assert!(why.contains(part) && !why.contains("s3cret"), "{source:?}: {why}");
                }
            }
        }
    }
}
