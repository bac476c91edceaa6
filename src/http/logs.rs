//! An agent's log as a stream of bytes: its last lines and, if asked, what comes after them.
//!
//! One block is held in memory at a time, whatever the size of the file or the patience of the
//! reader. The log begins anew now and then (its file is renamed and a new one made): the rest of
//! the old file is read first, then the new one from its beginning.

use std::{
    io::{self, ErrorKind, SeekFrom},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    time::Duration,
};

use actix_web::{HttpRequest, HttpResponse, http::header};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, future::LocalBoxFuture, stream};
use serde_json::json;
use tokio::{
    fs::{self, File},
    io::{AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt},
    time::sleep,
};

use super::{query::Tail, server::Until};

/// How much is read at once.
const BLOCK: usize = 64 * 1024;

/// How often a log that is followed is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How many looks in which nothing new is found come between two questions whether more can come.
const LOOKS: u32 = 5;

/// Says whether nothing more will be written.
pub(super) type IsOver = Box<dyn Fn() -> LocalBoxFuture<'static, bool>>;

/// The log at `path` as the answer to a request: the bytes as they are, or for one that asks for
/// events, each block as one.
pub(super) fn answer(request: &HttpRequest, log: Follower) -> HttpResponse {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let (kind, wants_events) = match accept {
        Some(accept) if accept.contains(EVENTS) => (EVENTS, true),
        _ => ("text/plain; charset=utf-8", false),
    };
    let mut answer = HttpResponse::Ok();
    answer.insert_header((header::CONTENT_TYPE, kind));
    if wants_events {
        answer.streaming(events(log.stream()))
    } else {
        answer.streaming(log.stream())
    }
}

/// The content type of server-sent events.
const EVENTS: &str = "text/event-stream";

/// Blocks as server-sent events: `{"text": …}`, or `{"base64": …}` where it is no text. A character
/// that falls into two blocks goes with the second.
fn events(blocks: impl Stream<Item = io::Result<Bytes>>) -> impl Stream<Item = io::Result<Bytes>> {
    let mut rest = Vec::new();
    let with_end = blocks.map(|block| block.map(Some)).chain(stream::iter([Ok(None)]));
    with_end.map(move |block| {
        let block = block?;
        let is_end = block.is_none();
        rest.extend_from_slice(&block.unwrap_or_default());
        let whole = match std::str::from_utf8(&rest) {
            Err(error) if error.error_len().is_none() && !is_end => error.valid_up_to(),
            _ => rest.len(),
        };
        let bytes: Vec<u8> = rest.drain(..whole).collect();
        Ok(event(&bytes))
    })
}

fn event(bytes: &[u8]) -> Bytes {
    if bytes.is_empty() {
        return Bytes::new();
    }
    let data = match std::str::from_utf8(bytes) {
        Ok(text) => json!({ "text": text }),
        Err(_) => json!({ "base64": BASE64_STANDARD.encode(bytes) }),
    };
    Bytes::from(format!("data: {data}\n\n"))
}

/// A log, to be read from its last lines on.
pub(super) struct Follower {
    path: PathBuf,
    tail: Tail,
    until: Until,
    /// Asked now and then by one that follows; without it there may always be more.
    is_over: Option<IsOver>,
    /// How many looks in a row found nothing, since the question.
    looks: u32,
    /// It is over: what is there is read, and then no more.
    last: bool,
    log: Option<Log>,
    /// Whether a file was open before: the next one is read from its beginning.
    begun: bool,
}

impl Follower {
    /// The log at `path`. One that is not there yet is empty, or waited for if it is followed. A stream
    /// that follows ends as `until` says, or once nothing more can come.
    pub(super) fn new(path: PathBuf, tail: Tail, until: Until) -> Self {
        let (is_over, looks, last) = (None, 0, false);
        Self { path, tail, until, is_over, looks, last, log: None, begun: false }
    }

    /// One that can end by itself.
    pub(super) fn until(self, is_over: IsOver) -> Self {
        Self { is_over: Some(is_over), ..self }
    }

    /// Block by block.
    fn stream(self) -> impl Stream<Item = io::Result<Bytes>> {
        stream::try_unfold(self, |mut follower| async move {
            Ok(follower.next().await?.map(|block| (block, follower)))
        })
    }
}

struct Log {
    file: File,
    inode: u64,
    at: u64,
    /// Where to stop, if the log is not followed: an agent that floods would never let it end.
    until: Option<u64>,
}

impl Follower {
    /// The next block; `None` at the end.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if self.log.is_none() {
                self.log = self.open().await?;
            }
            if let Some(log) = &mut self.log
                && let Some(block) = log.read().await?
            {
                self.looks = 0;
                return Ok(Some(block));
            }
            if !self.tail.follow || self.last {
                return Ok(None);
            }
            if self.changed().await? {
                continue;
            }
            self.looks += 1;
            if self.looks.is_multiple_of(LOOKS)
                && let Some(is_over) = &self.is_over
                && is_over().await
            {
                // What was written before the question was answered is still to be read.
                self.last = true;
                continue;
            }
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                _ = self.until.over() => return Ok(None),
            }
        }
    }

    async fn open(&mut self) -> io::Result<Option<Log>> {
        let mut file = match File::open(&self.path).await {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let found = file.metadata().await?;
        let length = found.len();
        let at =
            if self.begun { 0 } else { last_lines(&mut file, length, self.tail.lines).await? };
        file.seek(SeekFrom::Start(at)).await?;
        self.begun = true;
        let until = (!self.tail.follow).then_some(length);
        Ok(Some(Log { file, inode: found.ino(), at, until }))
    }

    /// Looks whether the log began anew, and goes on with the new file if the old one is read to
    /// its end. Says whether there may be something to read now.
    async fn changed(&mut self) -> io::Result<bool> {
        let Some(log) = &mut self.log else { return Ok(false) };
        let found = match fs::metadata(&self.path).await {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        if found.ino() != log.inode {
            // What was written between the last read and the rename is still to come.
            let rest = log.file.metadata().await?.len() > log.at;
            if !rest {
                self.log = None;
            }
            return Ok(true);
        }
        if found.len() < log.at {
            log.at = log.file.seek(SeekFrom::Start(0)).await?;
            return Ok(true);
        }
        Ok(false)
    }
}

impl Log {
    async fn read(&mut self) -> io::Result<Option<Bytes>> {
        let left = self.until.map_or(u64::MAX, |until| until.saturating_sub(self.at));
        let size = BLOCK.min(usize::try_from(left).unwrap_or(BLOCK));
        let mut block = vec![0; size];
        let count = self.file.read(&mut block).await?;
        block.truncate(count);
        self.at += count as u64;
        Ok((count > 0).then(|| Bytes::from(block)))
    }
}

/// Where the last `lines` lines of `length` bytes begin. A line that has not ended counts.
async fn last_lines(
    file: &mut (impl AsyncRead + AsyncSeek + Unpin),
    length: u64,
    lines: u32,
) -> io::Result<u64> {
    if lines == 0 {
        return Ok(length);
    }
    let mut block = vec![0; BLOCK];
    let (mut end, mut left) = (length, lines);
    while end > 0 {
        let begin = end.saturating_sub(BLOCK as u64);
        let size = usize::try_from(end - begin).unwrap_or(BLOCK);
        file.seek(SeekFrom::Start(begin)).await?;
        file.read_exact(&mut block[..size]).await?;
        for (nth, byte) in block[..size].iter().enumerate().rev() {
            let after = begin + nth as u64 + 1;
            if *byte == b'\n' && after != length {
                left -= 1;
                if left == 0 {
                    return Ok(after);
                }
            }
        }
        end = begin;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Cursor, Write},
        path::Path,
    };

    use futures_util::TryStreamExt;
    use tokio::sync::watch;

    use super::*;
    use crate::http::server::Closing;

    #[actix_web::test]
    async fn the_last_lines_are_found() {
        let long = format!("{}\nb\n", "a".repeat(BLOCK + 5));
        let rows: [(&str, u32, u64); 10] = [
            ("", 5, 0),
            ("a\nb\nc\n", 0, 6),
            ("a\nb\nc\n", 1, 4),
            ("a\nb\nc\n", 2, 2),
            ("a\nb\nc\n", 3, 0),
            ("a\nb\nc\n", 9, 0),
            ("a\nb\nc", 1, 4),
            ("\n\n", 1, 1),
            (&long, 1, BLOCK as u64 + 6),
            (&long, 2, 0),
        ];
        for (text, lines, start) in rows {
            let found = last_lines(&mut Cursor::new(text), text.len() as u64, lines).await.unwrap();
            assert_eq!(found, start, "{lines} of {} bytes", text.len());
        }
    }

    async fn all(path: &Path, lines: u32) -> String {
        let tail = Tail { lines, follow: false };
        let blocks: Vec<_> =
            Follower::new(path.to_owned(), tail, Until::of_server(Closing::default()))
                .stream()
                .try_collect()
                .await
                .unwrap();
        String::from_utf8(blocks.concat()).unwrap()
    }

    #[actix_web::test]
    async fn a_log_that_is_not_followed_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        assert_eq!(all(&path, 5).await, "", "not there yet");
        std::fs::write(&path, "one\ntwo\nthree\n").unwrap();
        assert_eq!(all(&path, 2).await, "two\nthree\n");
        let big = "0123456789\n".repeat(20_000);
        std::fs::write(&path, &big).unwrap();
        assert_eq!(all(&path, 100_000).await, big);
    }

    #[actix_web::test]
    async fn a_log_is_followed_through_its_rotation_until_the_server_stops() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        let (closing, closed) = watch::channel(false);
        let tail = Tail { lines: 1, follow: true };
        let stream =
            Follower::new(path.clone(), tail, Until::of_server(Closing::of(closed))).stream();
        let mut stream = std::pin::pin!(stream);
        std::fs::write(&path, "old\nlast\n").unwrap();
        assert_eq!(stream.try_next().await.unwrap().unwrap(), "last\n");
        let mut old = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        std::fs::rename(&path, dir.path().join("a.log.1")).unwrap();
        old.write_all(b"rest\n").unwrap();
        std::fs::write(&path, "new\n").unwrap();
        assert_eq!(stream.try_next().await.unwrap().unwrap(), "rest\n");
        assert_eq!(stream.try_next().await.unwrap().unwrap(), "new\n");
        std::fs::write(&path, "").unwrap();
        closing.send_replace(true);
        assert_eq!(stream.try_next().await.unwrap(), None);
    }

    #[actix_web::test]
    async fn a_log_that_is_over_is_read_to_its_end_and_no_further() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "first\n").unwrap();
        let late = path.clone();
        let is_over: IsOver = Box::new(move || {
            // The last words come just before the answer.
            std::fs::OpenOptions::new()
                .append(true)
                .open(&late)
                .unwrap()
                .write_all(b"last\n")
                .unwrap();
            Box::pin(std::future::ready(true))
        });
        let tail = Tail { lines: 9, follow: true };
        let log = Follower::new(path, tail, Until::of_server(Closing::default())).until(is_over);
        let blocks: Vec<_> = log.stream().try_collect().await.unwrap();
        assert_eq!(blocks.concat(), b"first\nlast\n");
    }

    #[actix_web::test]
    async fn events_carry_text_whole_and_bytes_as_they_are() {
        let blocks: [&[u8]; 5] = [b"a\n\xc3", b"\xa9 b", b"\xff\x00", b"c\xe2\x82", b""];
        let blocks = stream::iter(blocks.map(|block| Ok(Bytes::from_static(block))));
        let sent: Vec<_> = events(blocks).try_collect().await.unwrap();
        let sent = String::from_utf8(sent.concat()).unwrap();
        let data: Vec<serde_json::Value> = sent
            .split_terminator("\n\n")
            .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
            .collect();
        let rows = [
            json!({"text": "a\n"}),
            json!({"text": "\u{e9} b"}),
            json!({"base64": "/wA="}),
            json!({"text": "c"}),
            json!({"base64": "4oI="}),
        ];
        assert_eq!(data, rows);
    }
}
