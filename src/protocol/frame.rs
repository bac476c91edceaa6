//! Lines out of a stream of bytes.
//!
//! A line ends with `\n`; a `\r` before it is not part of the line; empty lines mean nothing. What
//! comes out does not depend on how the stream was cut into chunks, and never more than one
//! unfinished line within the limit is kept. After an error the reader goes on with the next line:
//! whether that is worth doing is the caller's decision.

use std::borrow::Cow;

use super::excerpt::excerpt;

/// The longest line, where a fleet does not say otherwise: 10 MiB.
pub const MAX_LINE: usize = 10 * 1024 * 1024;

/// The longest line of a worker whose results may have `max_output` bytes: [`MAX_LINE`], or what
/// such a result needs with its envelope.
pub fn line_limit(max_output: u64) -> usize {
    const ENVELOPE: usize = 64 * 1024;
    usize::try_from(max_output)
        .map_or(usize::MAX, |most| most.saturating_add(ENVELOPE).max(MAX_LINE))
}

/// How much of an overlong line its error shows, in bytes.
const SHOWN: usize = 80;

/// A line that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// More bytes than the limit and still no end of the line. Told once per line.
    #[error(
        "line {line} is longer than {limit} bytes; expected a shorter line; it begins `{begins}`"
    )]
    TooLong {
        /// The number of the line, from 1; empty lines count.
        line: u64,
        /// The most bytes a line may have before its `\n`.
        limit: usize,
        /// Its beginning, escaped.
        begins: String,
    },
    /// The line is not UTF-8.
    #[error(
        "line {line} is not UTF-8 at its byte {offset}; expected UTF-8 text; it is `{excerpt}`"
    )]
    NotUtf8 {
        /// The number of the line, from 1; empty lines count.
        line: u64,
        /// Where in the line the first wrong byte is, from 0.
        offset: usize,
        /// The line, escaped and bounded.
        excerpt: String,
    },
    /// The stream ended in the middle of a line.
    #[error("the stream ended within line {line}, after `{excerpt}`; expected the end of the line")]
    Unfinished {
        /// The number of the line, from 1; empty lines count.
        line: u64,
        /// What had come of it, escaped and bounded.
        excerpt: String,
    },
}

/// Splits a stream into lines. Feed it chunk after chunk:
///
/// ```
/// use hostler::protocol::frame::{LineReader, MAX_LINE};
///
/// let mut reader = LineReader::new(MAX_LINE);
/// let mut lines = Vec::new();
/// for chunk in [&b"{\"a\":"[..], b"1}\r\n\n{}\n{"] {
///     let mut rest = chunk;
///     while let Some(line) = reader.next_line(&mut rest)? {
///         lines.push(line.into_owned());
///     }
/// }
/// assert_eq!(lines, ["{\"a\":1}", "{}"]);
/// assert!(reader.finish().is_err()); // the last `{` has no end
/// # Ok::<(), hostler::protocol::frame::FrameError>(())
/// ```
#[derive(Debug)]
pub struct LineReader {
    limit: usize,
    /// The number of the line that is being read.
    line: u64,
    /// What came of it so far; never more than `limit` bytes.
    partial: Vec<u8>,
    /// The rest of the line is thrown away: it was too long.
    skipping: bool,
}

impl LineReader {
    /// A reader of lines of at most `limit` bytes; a `\r` counts, the `\n` does not.
    pub const fn new(limit: usize) -> Self {
        Self { limit, line: 1, partial: Vec::new(), skipping: false }
    }

    /// How many bytes of an unfinished line are held back.
    pub const fn held(&self) -> usize {
        self.partial.len()
    }

    /// Takes the next line off the front of `input`, without its end. `None` says that `input` is
    /// used up; what there was of an unfinished line is kept for the next call.
    ///
    /// # Errors
    ///
    /// [`FrameError`] for a line that can't be used. `input` then stands behind it, or behind what
    /// came of it, and the next call goes on from there.
    pub fn next_line<'i>(
        &mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Cow<'i, str>>, FrameError> {
        while !input.is_empty() {
            let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
                return self.keep(std::mem::take(input)).map(|()| None);
            };
            let head = &input[..end];
            *input = &input[end + 1..];
            if let Some(line) = self.end_line(head)? {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    /// Says that the stream has ended.
    ///
    /// # Errors
    ///
    /// [`FrameError::Unfinished`] if it ended in the middle of a line.
    pub fn finish(&mut self) -> Result<(), FrameError> {
        self.skipping = false;
        if self.partial.is_empty() {
            return Ok(());
        }
        let partial = std::mem::take(&mut self.partial);
        Err(FrameError::Unfinished { line: self.line, excerpt: excerpt(&partial) })
    }

    /// Keeps the beginning of a line whose end has not come.
    fn keep(&mut self, tail: &[u8]) -> Result<(), FrameError> {
        if self.skipping {
            return Ok(());
        }
        if self.partial.len() + tail.len() > self.limit {
            self.skipping = true;
            return Err(self.too_long(tail));
        }
        self.partial.extend_from_slice(tail);
        Ok(())
    }

    /// Ends the line with `head`: what came of it before is in `partial`.
    fn end_line<'i>(&mut self, head: &'i [u8]) -> Result<Option<Cow<'i, str>>, FrameError> {
        if std::mem::take(&mut self.skipping) {
            self.line += 1;
            return Ok(None);
        }
        let line = if self.partial.len() + head.len() > self.limit {
            Err(self.too_long(head))
        } else if self.partial.is_empty() {
            self.text(Cow::Borrowed(head))
        } else {
            let mut whole = std::mem::take(&mut self.partial);
            whole.extend_from_slice(head);
            self.text(Cow::Owned(whole))
        };
        self.line += 1;
        line
    }

    fn text<'i>(&self, line: Cow<'i, [u8]>) -> Result<Option<Cow<'i, str>>, FrameError> {
        let not_utf8 = |bytes: &[u8], error: std::str::Utf8Error| FrameError::NotUtf8 {
            line: self.line,
            offset: error.valid_up_to(),
            excerpt: excerpt(bytes),
        };
        let text = match line {
            Cow::Borrowed(bytes) => {
                let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
                Cow::Borrowed(str::from_utf8(bytes).map_err(|error| not_utf8(bytes, error))?)
            }
            Cow::Owned(mut bytes) => {
                if bytes.last() == Some(&b'\r') {
                    bytes.pop();
                }
                Cow::Owned(String::from_utf8(bytes).map_err(|error| {
                    let why = error.utf8_error();
                    not_utf8(error.as_bytes(), why)
                })?)
            }
        };
        Ok(if text.is_empty() { None } else { Some(text) })
    }

    fn too_long(&mut self, more: &[u8]) -> FrameError {
        let partial = std::mem::take(&mut self.partial);
        let begins: Vec<u8> = partial.iter().chain(more).take(SHOWN).copied().collect();
        FrameError::TooLong { line: self.line, limit: self.limit, begins: excerpt(&begins) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Everything that comes out of `chunks`; errors as their first word and their line.
    fn read<'c>(limit: usize, chunks: impl IntoIterator<Item = &'c [u8]>) -> Vec<String> {
        let mut reader = LineReader::new(limit);
        let mut out = Vec::new();
        let tell = |error: FrameError| match error {
            FrameError::TooLong { line, .. } => format!("TooLong {line}"),
            FrameError::NotUtf8 { line, offset, .. } => format!("NotUtf8 {line} {offset}"),
            FrameError::Unfinished { line, excerpt } => format!("Unfinished {line} {excerpt}"),
        };
        for chunk in chunks {
            let mut rest = chunk;
            loop {
                match reader.next_line(&mut rest) {
                    Ok(Some(line)) => out.push(line.into_owned()),
                    Ok(None) => break,
                    Err(error) => out.push(tell(error)),
                }
                assert!(reader.held() <= limit);
            }
            assert!(reader.held() <= limit && rest.is_empty());
        }
        out.extend(reader.finish().err().map(tell));
        out
    }

    #[test]
    fn lines_come_out_as_they_went_in() {
        let rows: [(&[u8], &[&str]); 8] = [
            (b"", &[]),
            (b"a\nb\n", &["a", "b"]),
            (b"a\r\n\r\n\n b \n", &["a", " b "]),
            (b"a\rb\n\r\r\n", &["a\rb", "\r"]),
            (b"12345678\n123456789\nnext\n", &["12345678", "TooLong 2", "next"]),
            (b"1234567\r\n12345678\r\n", &["1234567", "TooLong 2"]),
            (b"ok\n\xc3\xa4\xff\nok\n", &["ok", "NotUtf8 2 2", "ok"]),
            (b"ok\nhal", &["ok", "Unfinished 2 hal"]),
        ];
        for (stream, lines) in rows {
            assert_eq!(read(8, [stream]), lines, "{}", stream.escape_ascii());
        }
    }

    #[test]
    fn endless_bytes_are_told_once_and_not_kept() {
        let mut reader = LineReader::new(1000);
        let chunk = [b'x'; 300];
        let mut told = 0;
        for _ in 0..10_000 {
            let mut rest = &chunk[..];
            told += u32::from(reader.next_line(&mut rest).is_err());
            assert!(reader.held() <= 1000);
        }
        assert_eq!(told, 1);
        let mut rest = &b"x\nafter\n"[..];
        assert_eq!(reader.next_line(&mut rest).unwrap().unwrap(), "after");
    }

    #[test]
    fn a_line_within_one_chunk_is_not_copied() {
        let mut rest = &b"whole\nha"[..];
        let line = LineReader::new(100).next_line(&mut rest).unwrap().unwrap();
        assert!(matches!(line, Cow::Borrowed("whole")));
    }

    #[test]
    fn a_line_has_room_for_the_largest_result() {
        assert_eq!(line_limit(8 * 1024 * 1024), MAX_LINE);
        assert_eq!(line_limit(10 * 1024 * 1024), MAX_LINE + 64 * 1024);
        assert_eq!(line_limit(u64::MAX), usize::MAX);
    }

    #[test]
    fn errors_say_what_came_and_what_was_expected() {
        let mut rest = &b"\x07{\"never\": \"ending"[..];
        let error = LineReader::new(10).next_line(&mut rest).unwrap_err().to_string();
        assert_eq!(
            error,
            "line 1 is longer than 10 bytes; expected a shorter line; \
             it begins `\\u{7}{\"never\": \"ending`"
        );
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_lines(
            stream in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), Just(0xc3), Just(0xa4), any::<u8>()],
                0..200,
            ),
            cuts in proptest::collection::vec(1_usize..20, 0..60),
            limit in 0_usize..30,
        ) {
            let mut chunks = Vec::new();
            let mut rest = &stream[..];
            for cut in cuts {
                let (chunk, after) = rest.split_at(cut.min(rest.len()));
                chunks.push(chunk);
                rest = after;
            }
            chunks.push(rest);
            prop_assert_eq!(read(limit, chunks), read(limit, [&stream[..]]));
        }
    }
}
