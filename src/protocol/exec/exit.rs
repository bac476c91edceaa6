//! What the end of an `exec` agent's process means for its attempt.

use std::fmt;

use serde_json::{Value, json};

use crate::{
    domain::{
        fleet::OutputFormat,
        snooze,
        task::{FailureClass, Outcome},
    },
    protocol::output,
};

/// The most bytes of the end of stdout and stderr that are kept of a failed attempt.
pub const MAX_TAIL: usize = 2 * 1024;

/// The exit status of a process that does not want its task now: `EX_TEMPFAIL` of sysexits.h.
pub const NOT_NOW: i32 = 75;

/// How many of the last lines an error message quotes.
const QUOTED_LINES: usize = 5;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// By itself, with this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => match signal_name(signal) {
                Some(name) => write!(f, "signal {signal} ({name})"),
                None => write!(f, "signal {signal}"),
            },
        }
    }
}

/// The signals whose numbers are the same on every Linux that Hostler runs on.
const fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        _ => return None,
    })
}

/// The outcome of an attempt whose process is gone.
///
/// Exit status 0 and a stdout that can be read as `format` is a result; 0 and an unreadable stdout
/// is a `protocol` failure; [`NOT_NOW`] puts the task off; anything else is an `exit` failure that
/// quotes the last lines of stderr (of stdout, if stderr is empty). `stdout` may be just its
/// [`output::window`], and `stderr_tail` any part that ends where stderr does.
pub fn outcome(
    format: OutputFormat,
    exit: Exit,
    stdout: &[u8],
    stderr_tail: &[u8],
    max_output: u64,
) -> Outcome {
    let stderr = tail(stderr_tail);
    let printed = if stderr.trim().is_empty() { tail(stdout) } else { stderr.clone() };
    let failed = |class, what: String, mut detail: Value| {
        let quoted = last_lines(&printed);
        detail["stderr_tail"] = json!(stderr);
        detail["stdout_tail"] = json!(tail(stdout));
        let message = if quoted.is_empty() { what } else { format!("{what}: {quoted}") };
        Outcome::Failed { class, message, detail }
    };
    match exit {
        Exit::Code(0) => match output::read(format, stdout, max_output) {
            Ok(output) => Outcome::Completed { output },
            Err(error) => Outcome::Failed {
                class: FailureClass::Protocol,
                message: error.to_string(),
                detail: json!({"exit_code": 0, "stderr_tail": stderr}),
            },
        },
        Exit::Code(NOT_NOW) => not_now(stdout, &printed),
        Exit::Code(code) => {
            failed(FailureClass::Exit, exit.to_string(), json!({"exit_code": code}))
        }
        Exit::Signal(signal) => {
            failed(FailureClass::Exit, format!("ended by {exit}"), json!({"signal": signal}))
        }
    }
}

/// The outcome of a process that does not want its task now. How long it is put off may stand in
/// the last line of stdout, as one JSON object.
fn not_now(stdout: &[u8], printed: &str) -> Outcome {
    let text = tail(stdout);
    let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    let said: Value = last.and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
    let quoted = last_lines(printed);
    let reason = if quoted.is_empty() { "the agent does not want it now".into() } else { quoted };
    Outcome::Snoozed { wait: snooze::wait(&said), reason }
}

/// The end of a stream as text of at most [`MAX_TAIL`] bytes. What is not UTF-8, and NUL, become
/// `U+FFFD`; if something is cut off, the text begins with a whole line where it can.
fn tail(bytes: &[u8]) -> String {
    let cut = bytes.len().saturating_sub(MAX_TAIL);
    let text = output::readable(&bytes[cut..]);
    // The replacement character is longer than what it replaces.
    let start = text.ceil_char_boundary(text.len().saturating_sub(MAX_TAIL));
    let text = &text[start..];
    let whole = match text.find('\n') {
        Some(end) if (cut > 0 || start > 0) && end + 1 < text.len() => &text[end + 1..],
        _ => text,
    };
    whole.to_owned()
}

/// The last lines that say something, as one line.
fn last_lines(text: &str) -> String {
    let mut lines: Vec<&str> = text
        .lines()
        .rev()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take(QUOTED_LINES)
        .collect();
    lines.reverse();
    lines.join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(exit: Exit, stdout: &[u8], stderr: &[u8]) -> Outcome {
        outcome(OutputFormat::Json, exit, stdout, stderr, 100)
    }

    #[test]
    fn the_status_decides() {
        assert_eq!(
            of(Exit::Code(0), b" {\"a\":1}\n", b"noise"),
            Outcome::Completed { output: json!({"a": 1}) }
        );
        assert_eq!(
            of(Exit::Code(3), b"{\"a\":1}", b"first\n\nTraceback\n  boom\n"),
            Outcome::Failed {
                class: FailureClass::Exit,
                message: "exit status 3: first | Traceback | boom".into(),
                detail: json!({
                    "exit_code": 3,
                    "stderr_tail": "first\n\nTraceback\n  boom\n",
                    "stdout_tail": "{\"a\":1}",
                }),
            }
        );
        assert_eq!(
            of(Exit::Signal(9), b"", b""),
            Outcome::Failed {
                class: FailureClass::Exit,
                message: "ended by signal 9 (SIGKILL)".into(),
                detail: json!({"signal": 9, "stderr_tail": "", "stdout_tail": ""}),
            }
        );
    }

    #[test]
    fn status_75_puts_the_task_off() {
        let rows = [
            (&b""[..], &b""[..], 60_000, "the agent does not want it now"),
            (b"", b"no licence is free\n", 60_000, "no licence is free"),
            (b"work\n{\"retry_after_ms\": 5000}\n\n", b"busy", 5_000, "busy"),
            (b"{\"retry_after_ms\": 5000}\nmore", b"busy", 60_000, "busy"),
            (b"{\"retry_after_ms\": \"5s\"}", b"", 60_000, "{\"retry_after_ms\": \"5s\"}"),
        ];
        for (stdout, stderr, ms, reason) in rows {
            let wait = std::time::Duration::from_millis(ms);
            let expected = Outcome::Snoozed { wait, reason: reason.to_owned() };
            assert_eq!(of(Exit::Code(75), stdout, stderr), expected);
        }
    }

    #[test]
    fn an_agent_that_complains_on_stdout_is_quoted_too() {
        let Outcome::Failed { message, .. } = of(Exit::Code(1), b"API error\n", b" \n") else {
            panic!("it failed");
        };
        assert_eq!(message, "exit status 1: API error");
    }

    #[test]
    fn status_0_and_garbage_is_a_protocol_failure() {
        for (stdout, text) in [
            (&b"oops"[..], "expected one JSON value on stdout; got `oops`: "),
            (b"", "expected one JSON value on stdout; got nothing"),
            (&[b'1'; 101], "stdout has more than 100 bytes"),
        ] {
            let Outcome::Failed { class, message, detail } = of(Exit::Code(0), stdout, b"why")
            else {
                panic!("it failed");
            };
            assert_eq!(class, FailureClass::Protocol);
            assert!(message.starts_with(text), "{message}");
            assert_eq!(detail, json!({"exit_code": 0, "stderr_tail": "why"}));
        }
    }

    #[test]
    fn a_tail_is_bounded_and_begins_with_a_line() {
        let mut long = b"x".repeat(5000);
        long.extend_from_slice(b"\nlast but one\nlast\n");
        assert_eq!(tail(&long), "last but one\nlast\n");
        assert_eq!(tail(&b"y".repeat(5000)).len(), MAX_TAIL);
        assert!(tail(&[0xff; 5000]).len() <= MAX_TAIL);
        assert_eq!(tail(b"a\0b"), "a\u{fffd}b");
    }
}
