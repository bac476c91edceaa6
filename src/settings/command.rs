//! The program of a fleet: that it is there, and where.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::reader::Section;
use crate::domain::{fleet::Protocol, webhook::ShellRule};

/// Where programs are searched when the environment has no PATH.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Programs that run a line with `-c`.
const SHELLS: [&str; 9] = ["sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "csh", "tcsh"];

/// What templates begin with.
const TEMPLATE_SIGNS: [&str; 3] = ["{{", "{%", "{#"];

/// Reads `command` of a fleet. The program becomes an absolute path, so that what is checked here
/// is what will run.
pub(super) fn read(
    section: &Section<'_>,
    protocol: Option<Protocol>,
    shell: Option<ShellRule>,
    fleet_env: Option<&BTreeMap<String, String>>,
) -> Option<Vec<String>> {
    let mut command = section.texts("command")?;
    let Some(program) = command.first() else {
        section
            .missing("command", "is missing: name a program, such as [\"python3\", \"worker.py\"]");
        return None;
    };
    let path = program_of(section, program, fleet_env);
    refuse_nul(section, &command)?;
    if protocol == Some(Protocol::Exec)
        && let Err(message) = (section.context.sources.check_template)(&command)
    {
        section.problem("command", message);
    }
    if shell != Some(ShellRule::Line)
        && let Some(at) = script_of_templates(&command)
    {
        let message = "is a line for a shell that is made of what a task says, so that whoever submits tasks \
            can run anything: give it to the line as an argument (\"$1\"), or set shell = \"line\" for this fleet";
        section.wrong_item("command", at, message.to_owned());
    }
    command[0] = path?;
    Some(command)
}

/// The place of the line that a shell is to run, if that is a template.
fn script_of_templates(command: &[String]) -> Option<usize> {
    let name = |word: &String| Path::new(word).file_name()?.to_str().map(str::to_owned);
    // `env sh -c …` runs a shell as well.
    let shell = command
        .iter()
        .position(|word| name(word).is_some_and(|name| SHELLS.contains(&name.as_str())))?;
    let is_plain =
        |word: &String| name(word).is_some_and(|name| name == "env") || word.contains('=');
    if !command[..shell].iter().all(|word| is_plain(word) || word.starts_with('-')) {
        return None;
    }
    let runs_a_line = |word: &String| {
        word.strip_prefix('-').is_some_and(|flags| !flags.starts_with('-') && flags.contains('c'))
    };
    let at = shell + 2 + command[shell + 1..].iter().position(runs_a_line)?;
    let is_template = |word: &String| TEMPLATE_SIGNS.iter().any(|sign| word.contains(sign));
    command.get(at).filter(|line| is_template(line)).map(|_| at)
}

/// Reads `command` of a readiness check: no template, and nothing at all where there is none.
pub(super) fn of_check(
    section: &Section<'_>,
    fleet_env: Option<&BTreeMap<String, String>>,
) -> Option<Vec<String>> {
    let mut command = section.texts("command")?;
    let Some(program) = command.first() else { return Some(command) };
    let path = program_of(section, program, fleet_env);
    refuse_nul(section, &command)?;
    command[0] = path?;
    Some(command)
}

/// The absolute path of the program, if it is there.
fn program_of(
    section: &Section<'_>,
    program: &str,
    fleet_env: Option<&BTreeMap<String, String>>,
) -> Option<String> {
    let found = find(section, program, fleet_env);
    found.map_err(|message| section.wrong_item("command", 0, message)).ok()
}

fn refuse_nul(section: &Section<'_>, command: &[String]) -> Option<()> {
    let Some(at) = command.iter().position(|word| word.contains('\0')) else { return Some(()) };
    section.wrong_item("command", at, "must not hold a NUL character: remove it".to_owned());
    None
}

fn find(
    section: &Section<'_>,
    program: &str,
    fleet_env: Option<&BTreeMap<String, String>>,
) -> Result<String, String> {
    if program.is_empty() {
        return Err("must not be empty: name a program".to_owned());
    }
    if TEMPLATE_SIGNS.iter().any(|sign| program.contains(sign)) {
        return Err(
            "must not be a template: name the program, and put templates into the words after it"
                .to_owned(),
        );
    }
    let path = if program.contains('/') {
        let path = section.base("command").join(program);
        runnable(&path).map_err(|why| format!("{} {why}", path.display()))?;
        path
    } else {
        let own = fleet_env.and_then(|env| env.get("PATH"));
        let path = own.or_else(|| section.context.sources.env.get("PATH"));
        let path = path.map_or(USUAL_PATH, String::as_str);
        search(program, path, &section.context.sources.machine.cwd).ok_or_else(|| {
            format!("`{program}` is not a program in PATH: install it, or write its path (./{program} is next to this file)")
        })?
    };
    path.into_os_string()
        .into_string()
        .map_err(|path| format!("{} is not UTF-8: move the program", Path::new(&path).display()))
}

fn search(program: &str, path: &str, cwd: &Path) -> Option<PathBuf> {
    path.split(':')
        .filter(|dir| !dir.is_empty())
        .map(|dir| cwd.join(dir).join(program))
        .find(|path| runnable(path).is_ok())
}

fn runnable(path: &Path) -> Result<(), &'static str> {
    let metadata = fs::metadata(path).map_err(|_| "is not there: check the path")?;
    if !metadata.is_file() {
        return Err("is not a file: name a program");
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err("may not be executed: run `chmod +x` on it");
    }
    Ok(())
}
