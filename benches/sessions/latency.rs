//! From the end of a task to whoever is told of it.

use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{Outcome, Run, requests};

/// How long the last may take to be told.
const PATIENCE: Duration = Duration::from_secs(20);

/// That the task of this id has ended, as it was heard at a moment; by an event, when it ended, too.
pub(crate) struct Told {
    pub(crate) task: String,
    pub(crate) ended: Option<SystemTime>,
    pub(crate) heard: SystemTime,
}

/// Reads events of tasks that have ended, on a thread of its own, until the connection ends.
pub(crate) fn listen(host: SocketAddr, told: mpsc::Sender<Told>) -> Outcome<()> {
    let mut stream = TcpStream::connect(host)?;
    stream.set_nodelay(true)?;
    stream.write_all(
        b"GET /api/v1/events?type=task.ended HTTP/1.1\r\nhost: 127.0.0.1\r\n\
          accept: text/event-stream\r\n\r\n",
    )?;
    let mut lines = BufReader::new(stream).lines();
    let status = lines.next().ok_or("no answer")??;
    if !status.contains(" 200") {
        return Err(status.into());
    }
    thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let heard = SystemTime::now();
            let Some(data) = line.strip_prefix("data: ") else { continue };
            let Ok(event) = serde_json::from_str::<Value>(data) else { continue };
            let at = event["at"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
            let task = event["task"].as_str().unwrap_or_default().to_owned();
            if told.send(Told { task, ended: at.map(Into::into), heard }).is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// A receiver of webhooks that takes everything.
fn receive(told: mpsc::Sender<Told>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let told = told.clone();
            // A sender that goes away in between is no matter of ours.
            thread::spawn(move || take(stream, &told).ok());
        }
    });
    Ok(address)
}

fn take(stream: TcpStream, told: &mpsc::Sender<Told>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    loop {
        let (mut length, mut signed) = (0, false);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let Some((name, value)) = line.split_once(':') else {
                if line.trim().is_empty() {
                    break;
                }
                continue;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            signed |= name.eq_ignore_ascii_case("webhook-signature");
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let heard = SystemTime::now();
        stream.get_mut().write_all(b"HTTP/1.1 204 OK\r\n\r\n")?;
        let body: Value = serde_json::from_slice(&body).map_err(io::Error::other)?;
        if !signed {
            return Err(io::Error::other("a webhook without a signature"));
        }
        let task = body["data"]["task"].as_str().unwrap_or_default().to_owned();
        if told.send(Told { task, ended: None, heard }).is_err() {
            return Ok(());
        }
    }
}

/// Tasks that end one by one: how long after that a client of the event stream, and a receiver of webhooks,
/// have heard.
pub(crate) fn ends(run: &mut Run) -> Outcome<()> {
    let (tell_event, events) = mpsc::channel();
    listen(run.host.address(), tell_event)?;
    let (tell_hook, hooks) = mpsc::channel();
    let receiver = receive(tell_hook)?;
    let endpoint =
        json!({ "url": format!("http://{receiver}/"), "filter": { "types": ["task.ended"] } });
    run.host.connect()?.ask("PUT", "/api/v1/webhooks/endpoints/bench", &endpoint.to_string())?;
    thread::sleep(Duration::from_millis(500));
    let count = run.sizes.ends;
    requests::submit(&run.host, count, || {
        thread::sleep(Duration::from_micros(fastrand::u64(5_000..25_000)));
    })?;
    let mut ended = BTreeMap::new();
    let mut by_event = Vec::with_capacity(count);
    for _ in 0..count {
        let told = events.recv_timeout(PATIENCE).map_err(|_| "an event did not come")?;
        let at = told.ended.ok_or("an event without a time")?;
        by_event.push(millis(at, told.heard));
        ended.insert(told.task, at);
    }
    let mut by_hook = Vec::with_capacity(count);
    for _ in 0..count {
        let told = hooks.recv_timeout(PATIENCE).map_err(|_| "a webhook did not come")?;
        let at = ended.get(&told.task).ok_or("a webhook of an unknown task")?;
        by_hook.push(millis(*at, told.heard));
    }
    run.host.connect()?.ask("DELETE", "/api/v1/webhooks/endpoints/bench", "")?;
    run.samples.add(requests::OURS, "event", &by_event);
    run.samples.add(requests::OURS, "webhook", &by_hook);
    Ok(())
}

/// From one moment to another, in milliseconds.
pub(crate) fn millis(from: SystemTime, to: SystemTime) -> f64 {
    to.duration_since(from).unwrap_or_default().as_secs_f64() * 1e3
}
