//! How a command ends: its exit code, and what it says when it could not do its work.

use std::{
    fmt,
    io::{self, ErrorKind, Write},
    process::ExitCode,
};

use serde_json::json;

use crate::http::api::{FieldError, Problem};

/// The exit codes, as `docs/CLI.md` has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    /// It worked.
    Done = 0,
    /// The thing failed: a task, a check, the host.
    Failed = 1,
    /// The command or its input makes no sense.
    Usage = 2,
    /// No host answers.
    NotReachable = 3,
    /// There is no such task, agent or queue.
    NotFound = 4,
    /// It makes no sense in that state.
    Conflict = 5,
    /// The key is missing or wrong, or the socket belongs to somebody else.
    NotAllowed = 6,
    /// It did not end in time.
    TimedOut = 124,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What a command gives.
pub(super) type Outcome<T = Exit> = Result<T, CliError>;

/// Why a command could not do its work: what, and what to do about it.
#[derive(Debug)]
pub(super) struct CliError {
    /// The exit code.
    pub(super) exit: Exit,
    /// What went wrong, and where.
    pub(super) what: String,
    /// The fields that are wrong, if it is about fields.
    pub(super) fields: Vec<FieldError>,
    /// What to do.
    pub(super) help: Option<String>,
}

impl CliError {
    /// An error without advice.
    pub(super) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), fields: Vec::new(), help: None }
    }

    /// Adds what to do.
    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// An answer of the host that is an error.
    pub(super) fn of_problem(problem: Problem) -> Self {
        let exit = match problem.status {
            404 => Exit::NotFound,
            409 => Exit::Conflict,
            401 | 403 => Exit::NotAllowed,
            503 => Exit::NotReachable,
            400..=499 => Exit::Usage,
            _ => Exit::Failed,
        };
        let help = match problem.status {
            401 => Some("set HOSTLER_API_KEY, or name a file with --api-key-file"),
            503 => Some("`hostler doctor` looks for the cause"),
            _ => None,
        };
        Self { exit, what: problem.detail, fields: problem.errors, help: help.map(str::to_owned) }
    }

    /// Says it on stderr.
    pub(super) fn tell(&self, json: bool) {
        let text = if json { self.as_json() } else { self.as_text() };
        // Nobody is left to tell if stderr is gone.
        drop(anstream::stderr().write_all(text.as_bytes()));
    }

    fn as_text(&self) -> String {
        let red = anstyle::AnsiColor::Red.on_default().bold();
        let mut text = format!("{red}error{red:#}: {}\n", self.what);
        // One alone is in `what` already.
        for field in self.fields.iter().filter(|_| self.fields.len() > 1) {
            text.push_str(&format!("  {}: {}\n", field.field, field.detail));
        }
        if let Some(help) = &self.help {
            let green = anstyle::AnsiColor::Green.on_default();
            text.push_str(&format!("{green}help{green:#}: {help}\n"));
        }
        text
    }

    fn as_json(&self) -> String {
        let error = json!({
            "exit": self.exit as u8,
            "message": self.what,
            "errors": self.fields,
            "help": self.help,
        });
        format!("{}\n", json!({ "error": error }))
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl From<io::Error> for CliError {
    /// What could not be printed. A reader that went away, as `head` does, has had enough.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Self::new(Exit::Done, String::new()),
            _ => Self::new(Exit::Failed, format!("cannot write the output: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16, errors: usize) -> Problem {
        let error = FieldError { field: "kind".to_owned(), detail: "is odd".to_owned() };
        Problem {
            kind: "urn:hostler:problem:x".to_owned(),
            title: "Title".to_owned(),
            status,
            detail: "what is wrong".to_owned(),
            errors: vec![error; errors],
        }
    }

    #[test]
    fn a_status_becomes_an_exit_code() {
        let rows = [
            (400, 2),
            (401, 6),
            (403, 6),
            (404, 4),
            (405, 2),
            (409, 5),
            (413, 2),
            (415, 2),
            (422, 2),
            (500, 1),
            (503, 3),
        ];
        for (status, exit) in rows {
            assert_eq!(CliError::of_problem(problem(status, 0)).exit as u8, exit, "{status}");
        }
    }

    #[test]
    fn an_error_says_what_and_what_to_do() {
        let error = CliError::of_problem(problem(401, 2));
        let text = anstream::adapter::strip_str(&error.as_text()).to_string();
        assert!(text.starts_with("error: what is wrong\n  kind: is odd\n"), "{text}");
        assert!(text.contains("help: set HOSTLER_API_KEY"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&error.as_json()).unwrap();
        assert_eq!(json["error"]["exit"], 6);
        assert_eq!(json["error"]["errors"][1]["field"], "kind");
    }

    #[test]
    fn a_reader_that_has_enough_is_no_failure() {
        assert_eq!(CliError::from(io::Error::from(ErrorKind::BrokenPipe)).exit, Exit::Done);
        assert_eq!(CliError::from(io::Error::other("disk full")).exit, Exit::Failed);
    }
}
