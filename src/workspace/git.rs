//! The `git` program: run with plain arguments, without hooks and prompts, for a bounded time.

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use tokio::process::Command;

use super::WorkspaceError;

/// The most of what git wrote to stderr that is told.
const MAX_SAID: usize = 500;

/// What is said before each command: nothing of the user's that could run for long, ask, or fork. Hooks
/// are for people; and a collection of garbage would go on behind our back.
const ALWAYS: [&str; 10] = [
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "commit.gpgSign=false",
    "-c",
    "gc.auto=0",
    "-c",
    "maintenance.auto=false",
    "-c",
    "core.fsmonitor=false",
];

/// Runs git.
#[derive(Debug, Clone)]
pub(super) struct Git {
    /// How long one command may take.
    pub(super) limit: Duration,
}

/// What came of a command that may say no.
pub(super) struct Said {
    pub(super) yes: bool,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
}

impl Said {
    /// The first line of stdout.
    pub(super) fn line(&self) -> String {
        String::from_utf8_lossy(&self.stdout).lines().next().unwrap_or_default().to_owned()
    }

    /// The texts of stdout that end in NUL.
    pub(super) fn items(&self) -> Vec<String> {
        let items = self.stdout.split(|byte| *byte == 0).filter(|item| !item.is_empty());
        items.map(|item| String::from_utf8_lossy(item).into_owned()).collect()
    }
}

impl Git {
    /// Runs a command in `dir` that must succeed.
    pub(super) async fn run(&self, dir: &Path, args: &[&str]) -> Result<Said, WorkspaceError> {
        let said = self.ask(dir, args).await?;
        if said.yes { Ok(said) } else { Err(failed(dir, args, said.stderr)) }
    }

    /// Runs a command in `dir` whose exit status 1 is an answer.
    pub(super) async fn ask(&self, dir: &Path, args: &[&str]) -> Result<Said, WorkspaceError> {
        let Output { status, stdout, stderr } = self.output(dir, args).await?;
        let stderr = last_of(&stderr);
        match status.code() {
            Some(0) => Ok(Said { yes: true, stdout, stderr }),
            Some(1) => Ok(Said { yes: false, stdout, stderr }),
            _ => Err(failed(dir, args, format!("{status}: {stderr}"))),
        }
    }

    async fn output(&self, dir: &Path, args: &[&str]) -> Result<Output, WorkspaceError> {
        let mut command = Command::new("git");
        command
            .args(ALWAYS)
            .args(args)
            .current_dir(dir)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_EDITOR", "true")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // A host that was started by a hook of git would work on the wrong repository.
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX"] {
            command.env_remove(name);
        }
        let no_git = |source| WorkspaceError::NoGit { dir: dir.to_owned(), source };
        let child = command.spawn().map_err(no_git)?;
        match tokio::time::timeout(self.limit, child.wait_with_output()).await {
            Ok(output) => output.map_err(no_git),
            Err(_) => {
                let limit = humantime::format_duration(self.limit);
                Err(failed(dir, args, format!("it took longer than {limit} and was ended")))
            }
        }
    }
}

fn failed(dir: &Path, args: &[&str], said: String) -> WorkspaceError {
    let command = args.iter().take(6).copied().collect::<Vec<_>>().join(" ");
    WorkspaceError::Git { command, dir: PathBuf::from(dir), said }
}

/// The end of a text, on one line.
fn last_of(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>();
    let line = line.join(" | ");
    let from = line.ceil_char_boundary(line.len().saturating_sub(MAX_SAID));
    line[from..].to_owned()
}
