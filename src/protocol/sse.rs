//! Server-sent events (the HTML standard's `text/event-stream`): writing them, and reading them
//! piece by piece.

use std::fmt::Write as _;

use bytes::Bytes;

/// The content type.
pub const EVENT_STREAM: &str = "text/event-stream";

/// The longest line that is read where nothing else is said; a longer one ends the reading.
const MAX_LINE: usize = 4 << 20;

/// One event with its id, its name and its data, which must have no line end.
pub fn event(id: &str, name: &str, data: &str) -> Bytes {
    Bytes::from(format!("id: {id}\nevent: {name}\ndata: {data}\n\n"))
}

/// The first words of a stream: how long to wait before asking again, in milliseconds, and the
/// place that it begins at. No event.
pub fn opening(retry_ms: u64, id: &str) -> Bytes {
    Bytes::from(format!("retry: {retry_ms}\nid: {id}\n\n"))
}

/// A sign of life, with the place up to which everything has been told. No event.
pub fn keep_alive(id: &str) -> Bytes {
    Bytes::from(format!(": keep-alive\nid: {id}\n\n"))
}

/// The last words of a stream that ends early, with the reason. It has no id: the place where the
/// reader is stays what it was.
pub fn farewell(reason: &str) -> Bytes {
    let mut data = String::new();
    // Writing to a String does not fail.
    write!(data, "{}", serde_json::json!({ "reason": reason })).unwrap_or_default();
    unplaced("dropped", &data)
}

/// One event without an id, for a stream that is not gone on with: its name and its data, which must have
/// no line end.
pub fn unplaced(name: &str, data: &str) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

/// One event that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its name; `message` where it has none.
    pub name: String,
    /// Its data.
    pub data: String,
}

/// A line that is too long to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line of the event stream is longer than {0} bytes")]
pub struct LineTooLong(usize);

/// Reads a stream. What has no event in it (comments, a new place alone) is taken note of, and no
/// more.
#[derive(Debug)]
pub struct Reader {
    most: usize,
    line: Vec<u8>,
    after_cr: bool,
    name: String,
    data: String,
    has_data: bool,
    id: Option<String>,
}

impl Default for Reader {
    fn default() -> Self {
        Self::of_lines_up_to(MAX_LINE)
    }
}

impl Reader {
    /// One that reads lines of so many bytes at the most.
    pub fn of_lines_up_to(most: usize) -> Self {
        Self {
            most,
            line: Vec::new(),
            after_cr: false,
            name: String::new(),
            data: String::new(),
            has_data: false,
            id: None,
        }
    }

    /// The place that the sender named last.
    pub fn last_id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Takes the next piece, and gives each event whose end is in it, with its place.
    ///
    /// # Errors
    ///
    /// [`LineTooLong`]; nothing more should be read then.
    pub fn push(&mut self, piece: &[u8]) -> Result<Vec<(Received, Option<String>)>, LineTooLong> {
        let mut events = Vec::new();
        for &byte in piece {
            let begins_after_cr = std::mem::take(&mut self.after_cr);
            match byte {
                b'\n' if begins_after_cr => {}
                b'\n' | b'\r' => {
                    self.after_cr = byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.take(&String::from_utf8_lossy(&line)));
                }
                _ if self.line.len() == self.most => return Err(LineTooLong(self.most)),
                _ => self.line.push(byte),
            }
        }
        Ok(events)
    }

    fn take(&mut self, line: &str) -> Option<(Received, Option<String>)> {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.data.push_str(value);
                self.has_data = true;
            }
            // A comment (its field is empty), `retry`, or what is not known.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<(Received, Option<String>)> {
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data);
        if !std::mem::take(&mut self.has_data) {
            return None;
        }
        let name = if name.is_empty() { "message".to_owned() } else { name };
        Some((Received { name, data }, self.id.clone()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(reader: &mut Reader, text: &str) -> Vec<(String, String, Option<String>)> {
        let events = reader.push(text.as_bytes()).unwrap();
        events.into_iter().map(|(event, id)| (event.name, event.data, id)).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let mut reader = Reader::default();
        let text = [
            opening(1000, "1~a"),
            event("1~b", "task.completed", "{\"a\":1}"),
            keep_alive("1~c"),
            farewell("too slow"),
        ]
        .concat();
        let events = read(&mut reader, &String::from_utf8(text).unwrap());
        let own = |text: &str| text.to_owned();
        assert_eq!(
            events,
            [
                (own("task.completed"), own("{\"a\":1}"), Some(own("1~b"))),
                (own("dropped"), own("{\"reason\":\"too slow\"}"), Some(own("1~c"))),
            ]
        );
        assert_eq!(reader.last_id(), Some("1~c"));
    }

    #[test]
    fn the_rules_of_the_standard_hold() {
        let own = |text: &str| text.to_owned();
        let rows = [
            ("data: a\ndata: b\n\n", vec![(own("message"), own("a\nb"), None)]),
            (
                "data:a\r\n\r\ndata\r\r",
                vec![(own("message"), own("a"), None), (own("message"), own(""), None)],
            ),
            (": nothing\n\nevent: x\n\n", vec![]),
            ("event: x\ndata:  two\nunknown: 1\n\n", vec![(own("x"), own(" two"), None)]),
            ("id: 7\nid\ndata: 1\n\n", vec![(own("message"), own("1"), Some(own("")))]),
        ];
        for (text, events) in rows {
            assert_eq!(read(&mut Reader::default(), text), events, "{text:?}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_not_kept_for_ever() {
        let mut reader = Reader::default();
        let block = vec![b'x'; MAX_LINE];
        assert_eq!(reader.push(&block), Ok(vec![]));
        assert_eq!(reader.push(b"x"), Err(LineTooLong(MAX_LINE)));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(text in "(data|id|event|:|x|\n|\r|\r\n| |é){0,60}", cut in 0_usize..200) {
            let whole = Reader::default().push(text.as_bytes());
            let cut = cut.min(text.len());
            let mut reader = Reader::default();
            let mut parts = reader.push(&text.as_bytes()[..cut]).unwrap();
            parts.extend(reader.push(&text.as_bytes()[cut..]).unwrap());
            prop_assert_eq!(whole, Ok(parts));
        }
    }
}
