//! How the stdout of an `exec` agent becomes a result.

mod json;
mod jsonl;
mod text;

use serde_json::Value;

pub(super) use text::readable;

use super::excerpt::excerpt;
use crate::domain::fleet::OutputFormat;

/// How many blank bytes may follow the last line of a [`OutputFormat::Jsonl`] output.
const BLANK: u64 = 4096;

/// A stdout that is no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// There is nothing.
    #[error("expected {expected} on stdout; got nothing")]
    Empty {
        /// What the format wants.
        expected: &'static str,
    },
    /// There is too much.
    #[error("{what} has more than {limit} bytes, the limit of `max_output`")]
    TooLarge {
        /// What of stdout is too large.
        what: &'static str,
        /// The most bytes.
        limit: u64,
    },
    /// It is not JSON.
    #[error("expected {expected} on stdout; got `{excerpt}`: {reason}")]
    NotJson {
        /// What the format wants.
        expected: &'static str,
        /// Its beginning, escaped and bounded.
        excerpt: String,
        /// Where it stops being JSON.
        reason: String,
    },
}

/// The part of stdout that [`read`] needs, so that nobody has to load a huge one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// So many bytes from the beginning.
    Head(u64),
    /// So many bytes up to the end.
    Tail(u64),
}

/// The part of stdout that decides the result.
pub const fn window(format: OutputFormat, max_output: u64) -> Window {
    match format {
        OutputFormat::Text | OutputFormat::Json => Window::Head(max_output.saturating_add(1)),
        OutputFormat::Jsonl => Window::Tail(max_output.saturating_add(1 + BLANK)),
    }
}

/// Reads a result of at most `max_output` bytes from `stdout`, or from its [`window`].
///
/// # Errors
///
/// [`OutputError`] if there is no result of that format.
pub fn read(format: OutputFormat, stdout: &[u8], max_output: u64) -> Result<Value, OutputError> {
    match format {
        OutputFormat::Text => text::read(stdout, max_output),
        OutputFormat::Json => json::read(stdout, max_output),
        OutputFormat::Jsonl => jsonl::read(stdout, max_output),
    }
}

fn bounded(what: &'static str, bytes: &[u8], limit: u64) -> Result<(), OutputError> {
    if bytes.len() as u64 > limit { Err(OutputError::TooLarge { what, limit }) } else { Ok(()) }
}

fn value(expected: &'static str, bytes: &[u8]) -> Result<Value, OutputError> {
    if bytes.trim_ascii().is_empty() {
        return Err(OutputError::Empty { expected });
    }
    serde_json::from_slice(bytes).map_err(|error| OutputError::NotJson {
        expected,
        excerpt: excerpt(bytes),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{OutputFormat as F, *};

    #[test]
    fn each_format_reads_its_own() {
        let rows: [(F, &[u8], Value); 12] = [
            (F::Text, b"hello\nworld\r\n\n", json!("hello\nworld")),
            (F::Text, b"", json!("")),
            (F::Text, b"  kept  \n", json!("  kept  ")),
            (F::Text, b"gr\xfc\xdf\0e", json!("gr\u{fffd}\u{fffd}\u{fffd}e")),
            (F::Json, b"\n [1, {\"a\": null}] \r\n", json!([1, {"a": null}])),
            (F::Json, b"null", json!(null)),
            (F::Json, b"{\n\"a\":\n1}", json!({"a": 1})),
            (F::Jsonl, b"{\"step\":1}\n{\"result\":2}\n", json!({"result": 2})),
            (F::Jsonl, b"{\"step\":1}\r\n\"x\"\r\n\r\n", json!("x")),
            (F::Jsonl, b"7", json!(7)),
            (F::Jsonl, b"a warning\n{}", json!({})),
            (F::Jsonl, b"\xff\n{}\n", json!({})),
        ];
        for (format, stdout, result) in rows {
            assert_eq!(read(format, stdout, 100), Ok(result), "{}", stdout.escape_ascii());
        }
    }

    #[test]
    fn what_is_no_result_is_told() {
        let rows: [(F, &[u8], &str); 9] = [
            (F::Text, b"12345678901", "stdout has more than 10 bytes, the limit of `max_output`"),
            (F::Json, b"12345678901", "stdout has more than 10 bytes, the limit of `max_output`"),
            (F::Json, b" \n", "expected one JSON value on stdout; got nothing"),
            (F::Json, b"{} {}", "expected one JSON value on stdout; got `{} {}`: trailing"),
            (F::Json, b"\xff", "expected one JSON value on stdout; got `\\xff`: "),
            (F::Jsonl, b"\n\n", "expected a JSON value as the last line on stdout; got nothing"),
            (F::Jsonl, b"{}\noops", "expected a JSON value as the last line on stdout; got `oops`"),
            (F::Jsonl, b"{}\n{\"a\":", "expected a JSON value as the last line on stdout; got `{"),
            (F::Jsonl, b"1\n12345678901\n", "the last line of stdout has more than 10 bytes"),
        ];
        for (format, stdout, text) in rows {
            let error = read(format, stdout, 10).unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        }
    }

    #[test]
    fn json_that_is_too_deep_is_an_error() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(read(F::Json, deep.as_bytes(), 1_000_000).is_err());
    }

    /// What a careful reader of the file would pass on.
    fn cut(stdout: &[u8], window: Window) -> &[u8] {
        match window {
            Window::Head(most) => &stdout[..stdout.len().min(most as usize)],
            Window::Tail(most) => &stdout[stdout.len().saturating_sub(most as usize)..],
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(stdout in proptest::collection::vec(any::<u8>(), 0..200)) {
            for format in [F::Text, F::Json, F::Jsonl] {
                drop(read(format, &stdout, 100));
            }
        }

        #[test]
        fn the_window_decides_like_the_whole(
            lines in proptest::collection::vec("[0-9]{1,30}", 0..400),
            limit in 1_u64..40,
        ) {
            let stdout = lines.join("\n").into_bytes();
            for format in [F::Text, F::Json, F::Jsonl] {
                let part = cut(&stdout, window(format, limit));
                let whole = read(format, &stdout, limit);
                prop_assert_eq!(read(format, part, limit), whole);
            }
        }
    }
}
