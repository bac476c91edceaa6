//! The smallest WebSocket client: texts both ways.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use serde_json::Value;

/// Far longer than any message takes that a test waits for.
const PATIENCE: Duration = Duration::from_secs(90);

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

pub(crate) struct WebSocket(Box<dyn Stream>);

impl WebSocket {
    #[track_caller]
    pub(crate) fn connect(socket: &Path, path: &str) -> Self {
        let stream = UnixStream::connect(socket).expect("a host");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self::over(Box::new(stream), path, "")
    }

    #[track_caller]
    pub(crate) fn over_tcp(address: SocketAddr, path: &str) -> Self {
        Self::over_tcp_with(address, path, "")
    }

    /// The same with more headers, each with its line end.
    #[track_caller]
    pub(crate) fn over_tcp_with(address: SocketAddr, path: &str, headers: &str) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self::over(Box::new(stream), path, headers)
    }

    #[track_caller]
    fn over(mut stream: Box<dyn Stream>, path: &str, headers: &str) -> Self {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes()).expect("it listens");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            answer.push(byte[0]);
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        // What RFC 6455 says of the example key.
        assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
        Self(stream)
    }

    pub(crate) fn send(&mut self, message: &Value) {
        self.send_text(&message.to_string());
    }

    /// Sends a text of fewer than 65,536 bytes.
    pub(crate) fn send_text(&mut self, text: &str) {
        let length = u16::try_from(text.len()).expect("short");
        let mut frame = vec![0x81, 0x80 | 126];
        frame.extend(length.to_be_bytes());
        // A mask of zeros leaves the text as it is.
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.0.write_all(&frame).expect("it listens");
    }

    /// The next text, as JSON.
    #[track_caller]
    pub(crate) fn json(&mut self) -> Value {
        loop {
            let (opcode, payload) = self.frame();
            match opcode {
                1 => return serde_json::from_slice(&payload).expect("JSON"),
                9 | 10 => {}
                other => panic!("opcode {other}: {:?}", String::from_utf8_lossy(&payload)),
            }
        }
    }

    /// The code and the words with which the other side closes; what comes before is passed over.
    #[track_caller]
    pub(crate) fn closed(&mut self) -> (u16, String) {
        loop {
            let (opcode, payload) = self.frame();
            if opcode == 8 {
                let (code, words) = payload.split_at(2);
                let code = u16::from_be_bytes(code.try_into().expect("two"));
                return (code, String::from_utf8_lossy(words).into_owned());
            }
        }
    }

    fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut read = |count: usize| {
            let mut bytes = vec![0; count];
            self.0.read_exact(&mut bytes).expect("a frame");
            bytes
        };
        let head = read(2);
        let length = match head[1] & 0x7f {
            126 => usize::from(u16::from_be_bytes(read(2).try_into().expect("two"))),
            127 => {
                u64::from_be_bytes(read(8).try_into().expect("eight")).try_into().expect("it fits")
            }
            short => usize::from(short),
        };
        (head[0] & 0x0f, read(length))
    }
}
