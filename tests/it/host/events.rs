//! The feed over HTTP and on the command line.

use std::{
    collections::VecDeque,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
};

use hostler::protocol::sse::Reader;
use serde_json::{Value, json};

use super::all_kinds;
use crate::support::{host::Host, processes::PATIENCE, wire::Ask};

#[test]
fn a_reader_of_the_feed_outlives_its_host() {
    let mut host = Host::new(&all_kinds()).up();
    let page = |host: &Host, query: &str| {
        host.ask(&Ask::new("GET", &format!("/api/v1/events{query}"))).expect(200)
    };
    let begin = page(&host, "?after=latest");
    assert_eq!(begin["items"], json!([]));
    let done = host.submit(&json!({"input": {"op": "echo", "value": 1}}));
    host.wait(&done);
    let waiting = host.submit(&json!({"delay": "1h"}));
    let first = page(&host, &format!("?after={}&limit=2&wait=5s", begin["next"].as_str().unwrap()));
    assert_eq!(first["items"][0]["state"], "pending");
    assert_eq!(first["items"][1]["state"], "running");

    host.kill9();
    host.restart();
    let rest = page(&host, &format!("?after={}", first["next"].as_str().unwrap()));
    let told: Vec<_> = rest["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            (
                event["task"].as_str().unwrap(),
                event["number"].as_u64().unwrap(),
                event["state"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(told, [(&*done, 3, "completed"), (&*waiting, 1, "scheduled")]);
    let shown = host.cli(&["events", "list", "--after", begin["next"].as_str().unwrap()]);
    assert!(shown.code == 0 && shown.stdout.contains("completed"), "{shown:?}");
    assert!(shown.stdout.contains("next: "), "{shown:?}");

    for (query, field) in
        [("?after=x", "after"), ("?limit=0", "limit"), ("?wait=9", "wait"), ("?a=1", "`a`")]
    {
        let problem = host.ask(&Ask::new("GET", &format!("/api/v1/events{query}"))).expect(400);
        assert!(problem["detail"].as_str().unwrap().contains(field), "{problem}");
    }
}

/// A client of the stream of events that reads what comes with patience.
struct Listener {
    stream: UnixStream,
    reader: Reader,
    head: Vec<u8>,
    events: VecDeque<(Value, Option<String>)>,
}

impl Listener {
    fn of(host: &Host, query: &str, last: Option<&str>) -> Self {
        let mut stream = UnixStream::connect(host.data_dir().join("hostler.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let last = last.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let head = format!(
            "GET /api/v1/events{query} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{last}\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut listener =
            Self { stream, reader: Reader::default(), head: Vec::new(), events: VecDeque::new() };
        // It listens once the opening has come.
        while listener.reader.last_id().is_none() {
            assert!(listener.fill(), "{}", String::from_utf8_lossy(&listener.head));
        }
        listener
    }

    /// Reads a piece; false at the end.
    fn fill(&mut self) -> bool {
        let mut block = [0; 64 * 1024];
        let count = self.stream.read(&mut block).unwrap();
        let mut piece = &block[..count];
        if !self.head.ends_with(b"\r\n\r\n") {
            let before = self.head.len();
            self.head.extend_from_slice(piece);
            let Some(end) = self.head.windows(4).position(|four| four == b"\r\n\r\n") else {
                return count > 0;
            };
            self.head.truncate(end + 4);
            piece = &piece[end + 4 - before..];
            let head = String::from_utf8_lossy(&self.head).into_owned();
            assert!(
                head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"),
                "{head}"
            );
        }
        // The sizes of chunks stand on lines of their own, and are no fields that a reader knows.
        for (event, id) in self.reader.push(piece).unwrap() {
            self.events.push_back((serde_json::from_str(&event.data).unwrap(), id));
        }
        count > 0
    }

    fn next(&mut self) -> (Value, String) {
        while self.events.is_empty() {
            assert!(self.fill(), "the stream ended");
        }
        let (event, id) = self.events.pop_front().unwrap();
        (event, id.unwrap())
    }
}

fn steps(listener: &mut Listener, count: usize) -> Vec<(String, u64)> {
    let step = |(event, _): (Value, String)| {
        (event["task"].as_str().unwrap().to_owned(), event["number"].as_u64().unwrap())
    };
    (0..count).map(|_| step(listener.next())).collect()
}

#[test]
fn who_listens_is_told_as_it_happens_and_goes_on_after_a_restart() {
    let mut host = Host::new(&all_kinds()).up();
    let mut all = Listener::of(&host, "?type=task.*", None);
    let mut ended = Listener::of(&host, "?type=task.ended&kind=wanted", None);
    let first = host.submit(&json!({"kind": "wanted", "input": {"op": "echo", "value": 1}}));
    host.wait(&first);
    let (event, id) = ended.next();
    assert_eq!((&event["type"], &event["task"]), (&json!("task.completed"), &json!(first)));
    assert_eq!((&event["kind"], &event["queue"]), (&json!("wanted"), &json!("default")));
    assert_eq!(event["fleet"], event["agent"].as_str().unwrap().rsplit_once('-').unwrap().0);
    assert_eq!(steps(&mut all, 3), [1, 2, 3].map(|number| (first.clone(), number)));

    host.kill9();
    host.restart();
    // While nobody listens something happens, of which one is wanted.
    let other = host.submit(&json!({"kind": "other", "input": {"op": "echo", "value": 2}}));
    host.wait(&other);
    let second = host.submit(&json!({"kind": "wanted", "input": {"op": "echo", "value": 3}}));
    host.wait(&second);
    let mut ended = Listener::of(&host, "?type=task.ended&kind=wanted", Some(&id));
    let (event, _) = ended.next();
    assert_eq!(event["task"], json!(second), "neither the first again nor the other");
    let mut all = Listener::of(&host, "?type=task.*", Some(&id));
    let mut told = steps(&mut all, 6);
    told.sort_unstable();
    let mut expected: Vec<_> = [&other, &second]
        .into_iter()
        .flat_map(|task| [1, 2, 3].map(|number| (task.clone(), number)))
        .collect();
    expected.sort_unstable();
    assert_eq!(told, expected);
    // The one that reads for itself and the one that is told are told the same from now on.
    let third = host.submit(&json!({"kind": "wanted", "input": {"op": "echo", "value": 4}}));
    assert_eq!(steps(&mut all, 3), [1, 2, 3].map(|number| (third.clone(), number)));
    assert_eq!(ended.next().0["task"], json!(third));
    let metrics = host.ask(&Ask::new("GET", "/metrics")).text();
    assert!(metrics.contains("hostler_event_subscribers 2"), "{metrics}");
    assert_eq!(host.stop().code(), Some(0), "streams do not hold the host up");
}

#[test]
fn every_step_comes_once_while_many_happen_and_listeners_come_and_go() {
    // A host that polls often gives back at once what its agents, slow on a busy machine, have not begun yet: two steps more.
    let host = Host::new(&all_kinds()).set("tasks.poll", "1m").up();
    let mut steady = Listener::of(&host, "", None);
    let mut place = steady.reader.last_id().unwrap().to_owned();
    let tasks: Vec<_> =
        (0..40).map(|nth| host.submit(&json!({"input": {"op": "echo", "value": nth}}))).collect();
    // Each comes back after a few events, in the midst of what happens.
    let mut hopping = Vec::new();
    while hopping.len() < 120 {
        let mut listener = Listener::of(&host, "", Some(&place));
        for _ in 0..7.min(120 - hopping.len()) {
            let (event, id) = listener.next();
            hopping.push((
                event["task"].as_str().unwrap().to_owned(),
                event["number"].as_u64().unwrap(),
            ));
            place = id;
        }
    }
    let steady = steps(&mut steady, 120);
    for told in [steady, hopping] {
        for task in &tasks {
            let numbers: Vec<_> =
                told.iter().filter(|(one, _)| one == task).map(|(_, number)| *number).collect();
            assert_eq!(numbers, [1, 2, 3], "{task}");
        }
    }
}

#[test]
fn bad_filters_and_places_are_refused_and_the_command_follows() {
    let host = Host::new(&all_kinds()).up();
    let stream = |query: &str| {
        Ask::new("GET", &format!("/api/v1/events{query}")).header("Accept", "text/event-stream")
    };
    for (query, word) in
        [("?type=task.done", "`type`"), ("?limit=3", "limit"), ("?after=x", "`after`")]
    {
        let problem = host.ask(&stream(query)).expect(400);
        assert!(problem["detail"].as_str().unwrap().contains(word), "{problem}");
    }
    let problem = host.ask(&stream("").header("Last-Event-ID", "7")).expect(400);
    assert!(problem["detail"].as_str().unwrap().contains("Last-Event-ID"), "{problem}");

    let task = host.submit(&json!({"kind": "shown", "input": {"op": "echo", "value": 1}}));
    host.wait(&task);
    let words = ["events", "tail", "--after", "beginning", "--kind", "shown", "--count", "2"];
    let lines = host.cli(&[&words[..], &["--json"]].concat());
    let lines: Vec<Value> =
        lines.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    let cursor = lines[1]["cursor"].as_str().unwrap();
    let rest =
        host.cli(&["events", "tail", "--after", cursor, "--type", "task.ended", "--count", "1"]);
    assert!(rest.code == 0 && rest.stdout.contains("task.completed"), "{rest:?}");
    assert!(rest.stdout.contains(&task), "{rest:?}");
}
