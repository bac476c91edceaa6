//! A client over TCP that costs next to nothing: one kept-alive connection, one request at a time.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::{Value, json};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A kept-alive connection.
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    /// Connects to a server.
    pub(crate) fn connect(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(to)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a request and reads its answer to the end; an error unless that is a good one.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &str) -> io::Result<Vec<u8>> {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
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
            return Ok(answer);
        }
        Err(io::Error::other(format!("{status}{}", String::from_utf8_lossy(&answer))))
    }

    /// Sends a webhook.
    pub(crate) fn webhook(&mut self, body: &str) -> io::Result<Vec<u8>> {
        self.ask("POST", "/webhook", body)
    }
}

/// A command on a session, in the words of the contract.
pub(crate) fn command(word: &str, session: &str, data: &Value) -> String {
    json!({
        "type": "collaborative_session_command", "command": word, "session_id": session, "data": data,
    })
    .to_string()
}

/// A decision of about two hundred bytes with two tags, as an assistant keeps it.
pub(crate) fn memory(key: &str) -> Value {
    let (nth, other) = (fastrand::u32(0..100), fastrand::u32(0..1000));
    json!({
        "key": key, "type": "decision", "tags": [format!("topic-{nth}"), format!("detail-{other}")],
        "content": {
            "what": format!("We keep the results of step {other} for {nth} days"),
            "why": "Whoever comes back after a holiday wants to see what became of it",
        },
    })
}
