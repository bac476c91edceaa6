//! A client of the API that costs next to nothing, for the benchmarks.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A kept-alive connection to the API.
pub(crate) struct Api(BufReader<UnixStream>);

impl Api {
    /// Connects to the socket at `path`.
    pub(crate) fn connect(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends `body` to `path` under `/api/v1`, and reads the answer to its end.
    pub(crate) fn post(&mut self, path: &str, body: &str) -> io::Result<()> {
        let length = body.len();
        let request = format!(
            "POST /api/v1/{path} HTTP/1.1\r\nhost: localhost\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        self.0.get_mut().write_all(request.as_bytes())?;
        let mut status = String::new();
        self.0.read_line(&mut status)?;
        let mut length = 0;
        loop {
            let mut header = String::new();
            self.0.read_line(&mut header)?;
            let Some((name, value)) = header.split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer)?;
        if status.contains(" 20") {
            return Ok(());
        }
        Err(io::Error::other(format!("{status}{}", String::from_utf8_lossy(&answer))))
    }
}
