//! A receiver of webhooks: it answers as it is told, and keeps what it got.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
};

use serde_json::Value;

use super::processes::eventually;

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) head: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.head.iter().find(|(one, _)| one.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// Listens until the process ends. Clones are the same receiver.
#[derive(Clone)]
pub(crate) struct Receiver {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    /// What is answered next, last first; then the default.
    script: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    /// Answers what `script` says, in that order, and from then on 204. Each is a status with
    /// more lines of a head, as in `429 Slow\r\nRetry-After: 1`; an empty one is no answer, until the sender has gone.
    pub(crate) fn new(script: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let receiver = Self {
            address: listener.local_addr().expect("an address"),
            got: Arc::default(),
            script: Arc::new(Mutex::new(script.iter().rev().map(|&s| s.to_owned()).collect())),
        };
        let of_thread = receiver.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let one = of_thread.clone();
                // A sender that goes away in between is no matter of the test's.
                std::thread::spawn(move || one.answer(stream).ok());
            }
        });
        receiver
    }

    fn answer(&self, stream: std::io::Result<std::net::TcpStream>) -> std::io::Result<()> {
        let mut stream = stream?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                // A sender that was killed before it had said all.
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end().split_once(": ") {
                Some((name, value)) => head.push((name.to_owned(), value.to_owned())),
                None if line.trim_end().is_empty() => break,
                None => {}
            }
        }
        let mut got = Got { head, body: Vec::new() };
        let length = got.header("content-length").parse().unwrap_or(0);
        got.body.resize(length, 0);
        reader.read_exact(&mut got.body)?;
        let status = self.script.lock().expect("a lock").pop();
        let status = status.unwrap_or_else(|| "204 No Content".to_owned());
        self.got.lock().expect("a lock").push(got);
        if status.is_empty() {
            return reader.read(&mut [0]).map(drop);
        }
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What came so far.
    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().expect("a lock").clone()
    }

    /// Waits until so many have come.
    #[track_caller]
    pub(crate) fn wait(&self, count: usize) -> Vec<Got> {
        eventually(&format!("{count} requests"), || self.got().len() >= count);
        self.got()
    }
}
