//! `hostler mcp`: the Model Context Protocol over standard input and output, for programs that start
//! their servers themselves. Each line is a message; the host answers it at `/mcp`.

use std::{
    collections::HashMap,
    io::{BufRead as _, Read as _, Write as _},
    sync::Arc,
};

use clap::Args;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::{
    sync::{Mutex, Semaphore, mpsc},
    task::{AbortHandle, JoinSet},
};

use super::{
    client::{Client, MAX_ANSWER, McpAnswer},
    exit::{CliError, Exit, Outcome},
    global::Global,
};
use crate::protocol::sse::Reader;

/// The longest message.
const MAX_LINE: u64 = 16 << 20;

/// How many calls are asked at once.
const AT_ONCE: usize = 32;

const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// Speak the Model Context Protocol on standard input and output, for this host
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hostler mcp\n  claude mcp add hostler -- hostler mcp\n  \
    hostler mcp --url https://build.example:7117 --api-key-file key")]
pub(super) struct Mcp {}

/// The calls that are under way, by their ids as text.
type UnderWay = Arc<Mutex<HashMap<String, AbortHandle>>>;

impl Mcp {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let client = Arc::new(global.client()?);
        let under_way = UnderWay::default();
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let mut calls = JoinSet::new();
        let (tell, mut lines) = mpsc::channel(AT_ONCE);
        // A thread of its own: reading can't be called off, and ends with the program.
        std::thread::spawn(move || read_lines(&tell));
        while let Some(line) = lines.recv().await {
            let line = line?;
            while calls.try_join_next().is_some() {}
            let message: Value = serde_json::from_slice(&line).unwrap_or_default();
            if let Some(called_off) = called_off(&message) {
                if let Some(call) = under_way.lock().await.remove(&called_off) {
                    call.abort();
                }
                continue;
            }
            // A closed semaphore is none of ours.
            let Ok(place) = room.clone().acquire_owned().await else { break };
            let client = client.clone();
            let id = message.get("id").map(ToString::to_string);
            let (of_call, key) = (under_way.clone(), id.clone());
            let mut under_way = under_way.lock().await;
            let call = calls.spawn(async move {
                answer(&client, line, &message).await;
                if let Some(key) = key {
                    of_call.lock().await.remove(&key);
                }
                drop(place);
            });
            if let Some(id) = id {
                under_way.insert(id, call);
            }
        }
        // What was asked is answered, though nothing more is.
        while calls.join_next().await.is_some() {}
        Ok(Exit::Done)
    }
}

/// Reads lines until the input ends, on the thread of the caller.
fn read_lines(lines: &mpsc::Sender<std::io::Result<Vec<u8>>>) {
    let mut input = std::io::stdin().lock();
    loop {
        let mut line = Vec::new();
        let read = (&mut input).take(MAX_LINE + 1).read_until(b'\n', &mut line);
        let told = match read {
            Ok(0) => return,
            Ok(_) if line.len() as u64 > MAX_LINE => {
                Err(std::io::Error::other(format!("a message is longer than {MAX_LINE} bytes")))
            }
            Ok(_) => match line.trim_ascii() {
                [] => continue,
                text => Ok(text.to_vec()),
            },
            Err(error) => Err(error),
        };
        let is_over = told.is_err();
        if lines.blocking_send(told).is_err() || is_over {
            return;
        }
    }
}

/// Writes an answer as one line.
fn say(answer: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(answer)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// The id of the call that a notification calls off.
fn called_off(message: &Value) -> Option<String> {
    let is_one = message.get("method")? == "notifications/cancelled";
    is_one.then(|| message.get("params")?.get("requestId").map(ToString::to_string))?
}

/// Says what the host answers; nothing to what wants no answer.
async fn answer(client: &Client, line: Vec<u8>, message: &Value) {
    let answered = async {
        match client.mcp(line, &headers(message)).await? {
            McpAnswer::Whole(answer) if answer.is_empty() => Ok(()),
            McpAnswer::Whole(answer) => {
                told(&answer);
                Ok(())
            }
            McpAnswer::Stream(body) => pass_on(client, body).await,
        }
    };
    let Err(error) = answered.await else { return };
    // A notification has no answer, not even this one.
    let Some(id) = message.get("id") else { return };
    let error = json!({ "code": -32603, "message": error.what });
    told(json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string().as_bytes());
}

/// Says what a host tells in a stream, of which the response is the last.
async fn pass_on(client: &Client, mut body: Incoming) -> Outcome<()> {
    let mut reader = Reader::of_lines_up_to(MAX_ANSWER);
    while let Some(piece) = client.next_piece(&mut body).await? {
        let messages = reader.push(&piece).map_err(|error| {
            CliError::new(Exit::Failed, format!("the host's answer can't be read: {error}"))
        })?;
        for (message, _) in messages {
            told(message.data.as_bytes());
        }
    }
    Ok(())
}

/// Says a message. A client that reads no more has gone away; its input ends, too.
fn told(message: &[u8]) {
    say(message).unwrap_or_default();
}

/// The headers that say the same as the message, which a client on a pipe need not send.
fn headers(message: &Value) -> Vec<(&'static str, String)> {
    let params = message.get("params");
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let version = text(params.and_then(|params| params.get("_meta")?.get(META_VERSION)));
    let Some(version) = version else { return Vec::new() };
    let method = text(message.get("method"));
    let key = match method.as_deref() {
        Some("tools/call" | "prompts/get") => Some("name"),
        Some("resources/read") => Some("uri"),
        Some(method) if method.starts_with("tasks/") => Some("taskId"),
        _ => None,
    };
    let name = key.and_then(|key| text(params?.get(key)));
    let plain = |text: &String| text.bytes().all(|byte| byte.is_ascii_graphic());
    let mut headers = vec![("mcp-protocol-version", version)];
    headers.extend(method.map(|method| ("mcp-method", method)));
    headers.extend(name.filter(plain).map(|name| ("mcp-name", name)));
    headers.retain(|(_, value)| plain(value));
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_what_the_message_says() {
        let meta = json!({ META_VERSION: "2026-07-28" });
        let call =
            json!({ "method": "tools/call", "params": { "name": "wait_task", "_meta": meta } });
        let expected = [
            ("mcp-protocol-version", "2026-07-28".to_owned()),
            ("mcp-method", "tools/call".to_owned()),
            ("mcp-name", "wait_task".to_owned()),
        ];
        assert_eq!(headers(&call), expected);
        assert_eq!(headers(&json!({ "method": "tools/list" })), []);
        let odd = json!({ "method": "a\r\nb", "params": { "_meta": { META_VERSION: "x" } } });
        assert_eq!(headers(&odd), [("mcp-protocol-version", "x".to_owned())]);
    }

    #[test]
    fn a_stream_is_messages_wherever_it_is_cut() {
        let stream = b"event: message\ndata: {\"a\": 1}\n\n: alive\n\nevent: message\ndata: {}\n\n";
        for size in 1..stream.len() {
            let mut reader = Reader::of_lines_up_to(MAX_ANSWER);
            let told: Vec<_> = stream
                .chunks(size)
                .flat_map(|piece| reader.push(piece).unwrap())
                .map(|(message, _)| message.data)
                .collect();
            assert_eq!(told, ["{\"a\": 1}", "{}"], "{size}");
        }
        let mut reader = Reader::of_lines_up_to(MAX_ANSWER);
        assert!(reader.push(b"data: {}").unwrap().is_empty(), "it has no end yet");
    }

    #[test]
    fn what_is_called_off_is_known_by_its_id() {
        let told = json!({ "method": "notifications/cancelled", "params": { "requestId": 7 } });
        assert_eq!(called_off(&told).as_deref(), Some("7"));
        assert_eq!(called_off(&json!({ "method": "ping", "id": 7 })), None);
        assert_eq!(called_off(&Value::Null), None);
    }
}
