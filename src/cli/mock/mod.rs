//! `hostler mock-agent`: an agent that does what its task's input says, for rehearsals and tests.
//!
//! `script` reads what a task asks for, `worker` and `exec` are the two protocols that it speaks.
//! It knows nothing of hosts but these protocols, as any agent of a user's.

mod exec;
mod script;
mod worker;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde_json::{Value, json};

use super::{
    asked,
    exit::{CliError, Exit, Outcome},
};
use script::{File, Script};

/// Be an agent that does what the input of each task says: for rehearsals of a plan, and for tests
#[derive(Debug, Args)]
#[command(
    after_help = "A task says what is to be done in `mock` of its input, and is done at once without:\n  \
    sleep     how long it works: \"2s\"\n  \
    progress  how many times it tells how far it is, while it works\n  \
    log       a line for the agent's log\n  \
    write     files below its directory: {\"src/a.txt\": \"text\"}\n  \
    flood     so much on stdout, without an end of a line: \"16MiB\"\n  \
    hang      `silent`, or `beating`: shows life, and never ends\n  \
    exit      ends the process with this status\n  \
    fail      fails with this text, or as {\"code\": 17, \"message\": \"no luck\", \"data\": …}\n  \
    times     flood, hang, exit and fail in so many attempts only, the first ones\n  \
    output    the result\n\n\
    In a config file:\n  [fleets.mock]\n  protocol = \"worker\"\n  command = [\"hostler\", \"mock-agent\"]\n\n\
    Examples:\n  hostler mock-agent\n  \
    echo '{\"input\": {\"mock\": {\"sleep\": \"1s\"}}}' | hostler mock-agent --exec\n  \
    hostler task submit --input '{\"mock\": {\"sleep\": \"2s\", \"fail\": \"no luck\", \"times\": 1}}'"
)]
pub(super) struct MockAgent {
    /// Speak the `exec` protocol: one task on stdin, its result as JSON on stdout, and an exit status
    #[arg(long)]
    exec: bool,
}

impl MockAgent {
    pub(super) fn run(self) -> Outcome<ExitCode> {
        if self.exec { asked(exec::run()) } else { asked(worker::run()) }
    }
}

/// An agent that can't go on.
fn lost(what: impl Into<String>) -> CliError {
    CliError::new(Exit::Failed, what)
}

/// Writes the files of a script below `dir`, which is the workspace or else the directory that the agent
/// runs in; gives their paths.
fn write_files<'a>(dir: &Path, files: &'a [File]) -> io::Result<Vec<&'a Path>> {
    for File { path, text } in files {
        let path = dir.join(path);
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(named)?;
        }
        fs::write(&path, text).map_err(named)?;
    }
    Ok(files.iter().map(|file| -> &Path { &file.path }).collect())
}

/// Writes bytes without the end of a line, until that is enough or nobody reads any more.
fn flood(bytes: u64, out: &mut impl Write) -> io::Result<()> {
    let chunk = [b'x'; 64 * 1024];
    let mut left = bytes;
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
        out.write_all(&chunk[..now])?;
        left -= now as u64;
    }
    out.flush()
}

/// The result of a script that came to its end.
fn result(script: &Script, wrote: &[&Path]) -> Value {
    script.output.clone().unwrap_or_else(|| {
        let slept = u64::try_from(script.sleep.as_millis()).unwrap_or(u64::MAX);
        let wrote: Vec<PathBuf> = wrote.iter().map(|path| path.to_path_buf()).collect();
        json!({ "slept_ms": slept, "wrote": wrote })
    })
}

/// An exit status: the lowest eight bits count, as for any process.
fn status(code: i64) -> ExitCode {
    ExitCode::from(code.to_le_bytes()[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_as_long_as_it_says() {
        for bytes in [0, 1, 65_536, 200_000] {
            let mut out = Vec::new();
            flood(bytes, &mut out).unwrap();
            assert_eq!(out.len() as u64, bytes);
            assert!(!out.contains(&b'\n'));
        }
    }

    #[test]
    fn a_result_is_what_was_asked_for_or_what_was_done() {
        let quiet = Script::default();
        assert_eq!(result(&quiet, &[Path::new("a/b")]), json!({"slept_ms": 0, "wrote": ["a/b"]}));
        let asked = Script { output: Some(Value::Null), ..Script::default() };
        assert_eq!(result(&asked, &[]), Value::Null);
    }
}
