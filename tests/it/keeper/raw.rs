//! The keeper program without the host's handle: what it says on its socket, byte by byte.

use std::{
    io::{Read, Write},
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    process::{Child, Command, Stdio},
};

use hostler::process::Keeper;
use serde_json::{Value, json};
use slog::{Discard, Logger, o};
use tempfile::TempDir;
use uuid::Uuid;

use super::world::{HOSTLER, PATIENCE, WORLD, alive, in_time, places, start};
use crate::support::processes::eventually;

struct Raw {
    dir: TempDir,
    child: Child,
}

impl Raw {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("keeper.sock")).unwrap();
        let child = Command::new(HOSTLER)
            .args(["keeper", &Uuid::new_v4().to_string()])
            .stdin(OwnedFd::from(listener))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { dir, child }
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.dir.path().join("keeper.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn connect_as_host(&self) -> UnixStream {
        let mut stream = self.connect();
        tell(&mut stream, &json!({ "type": "hello", "version": 2 }));
        let hello = hear(&mut stream).unwrap();
        assert_eq!(hello["type"], "hello", "{hello}");
        stream
    }

    /// Waits for the keeper's own end.
    fn ends_well(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

fn tell(stream: &mut UnixStream, message: &Value) {
    let text = message.to_string();
    stream.write_all(&u32::try_from(text.len()).unwrap().to_le_bytes()).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
}

/// The next message; `None` at the end of the connection.
fn hear(stream: &mut UnixStream) -> Option<Value> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut text = vec![0; u32::from_le_bytes(length) as usize];
    stream.read_exact(&mut text).ok()?;
    Some(serde_json::from_slice(&text).unwrap())
}

fn order(id: u64, world: &str, script: &str) -> Value {
    json!({
        "type": "spawn", "id": id, "argv": ["/bin/sh", "-c", script],
        "env": { WORLD: world, "PATH": "/usr/bin:/bin" },
        "cwd": "/", "user": null, "limits": {}, "note": "", "keep_pipes": false,
        "stdin": "null", "stdout": "null", "stderr": "null",
    })
}

#[track_caller]
fn is_refused(stream: &mut UnixStream, reason: &str) {
    let refused = hear(stream).expect("an answer");
    assert_eq!(refused["type"], "refused", "{refused}");
    assert!(refused["reason"].as_str().unwrap().contains(reason), "{refused}");
    assert_eq!(hear(stream), None);
}

/// Ends a connection for all: a process that another test forks in this moment has a copy, which would keep it open.
fn leave(host: UnixStream) {
    host.shutdown(std::net::Shutdown::Both).unwrap();
}

#[test]
fn another_version_or_no_hello_is_refused_and_the_next_may_try() {
    let keeper = Raw::new();
    let mut stream = keeper.connect();
    tell(&mut stream, &json!({ "type": "hello", "version": 99 }));
    is_refused(&mut stream, "protocol version 2, not 99");

    let mut stream = keeper.connect();
    tell(&mut stream, &json!({ "type": "kill", "id": 1 }));
    is_refused(&mut stream, "must be a hello");

    let mut stream = keeper.connect();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    is_refused(&mut stream, "the limit is");

    let mut stream = keeper.connect();
    tell(&mut stream, &json!("what?"));
    is_refused(&mut stream, "no message of protocol version 2");

    leave(keeper.connect_as_host());
    keeper.ends_well();
}

#[test]
fn garbage_from_the_host_ends_everything() {
    let keeper = Raw::new();
    let world = Uuid::new_v4().to_string();
    let mut host = keeper.connect_as_host();
    tell(&mut host, &order(1, &world, "sleep 1000"));
    assert_eq!(hear(&mut host).unwrap()["type"], "spawned");
    tell(&mut host, &json!({ "type": "dance" }));
    is_refused(&mut host, "no message");
    keeper.ends_well();
    assert_eq!(alive(&world), Vec::<u32>::new());
}

#[test]
fn a_second_host_is_refused_while_the_first_is_there() {
    let keeper = Raw::new();
    let host = keeper.connect_as_host();
    let mut second = keeper.connect();
    is_refused(&mut second, "serves another host");
    leave(host);
    keeper.ends_well();
}

#[test]
fn the_end_of_the_connection_is_the_end_of_all_agents_and_of_the_keeper() {
    let keeper = Raw::new();
    let world = Uuid::new_v4().to_string();
    let mut host = keeper.connect_as_host();
    // One that ignores what can be ignored, one that daemonises, one that also hides its mark.
    let ready = |name: &str| format!("{}/{name}", keeper.dir.path().display());
    let scripts = [
        format!("trap '' TERM HUP INT; echo > {}; sleep 1000", ready("a")),
        format!("setsid sh -c 'echo > {}; exec sleep 1000' & wait", ready("b")),
        format!(
            "setsid env -i {WORLD}=$HOSTLER_TEST_WORLD sh -c 'echo $$ > {}; exec sleep 1000' & wait",
            ready("c")
        ),
    ];
    for name in ["a", "b", "c"] {
        nix::unistd::mkfifo(Path::new(&ready(name)), nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    for (script, id) in scripts.iter().zip(1..) {
        tell(&mut host, &order(id, &world, script));
        assert_eq!(hear(&mut host).unwrap()["type"], "spawned");
    }
    // Opening a FIFO waits for the writer.
    for name in ["a", "b", "c"] {
        std::fs::read(ready(name)).unwrap();
    }
    assert!(alive(&world).len() >= 5);
    leave(host);
    keeper.ends_well();
    assert_eq!(alive(&world), Vec::<u32>::new());
}

#[tokio::test]
async fn the_next_host_waits_for_the_keeper_of_one_that_died() {
    let keeper = Raw::new();
    let world = Uuid::new_v4().to_string();
    let mut host = keeper.connect_as_host();
    for id in 1..=50 {
        tell(&mut host, &order(id, &world, "trap '' TERM; setsid sleep 1000 & sleep 1000"));
        assert_eq!(hear(&mut host).unwrap()["type"], "spawned");
    }
    leave(host);
    let next = start(keeper.dir.path()).await;
    assert_eq!(alive(&world), Vec::<u32>::new());
    in_time(next.shutdown()).await;
    keeper.ends_well();
}

#[test]
fn ids_are_not_taken_twice() {
    let keeper = Raw::new();
    let mut host = keeper.connect_as_host();
    tell(&mut host, &order(7, "", "exit 0"));
    assert_eq!(hear(&mut host).unwrap()["type"], "spawned");
    assert_eq!(hear(&mut host).unwrap()["ended"]["exit"], json!({ "code": 0 }));
    tell(&mut host, &order(7, "", "exit 0"));
    let answer = hear(&mut host).unwrap();
    assert_eq!(answer["failure"]["subject"], "its id is not new", "{answer}");
    tell(&mut host, &json!({ "type": "shutdown" }));
    assert_eq!(hear(&mut host), None);
    keeper.ends_well();
}

#[test]
fn a_person_who_runs_it_is_told_what_to_run() {
    let output = Command::new(HOSTLER).arg("keeper").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("hostler up"));
}

/// A process with all pipes, which echoes lines, kept with its pipes where `keep`.
fn echo(id: u64, world: &str, keep: bool) -> Value {
    let mut order = order(id, world, "while read line; do echo got $line; done; exit 3");
    for stream in ["stdin", "stdout"] {
        order[stream] = json!("pipe");
    }
    order["note"] = json!(format!("note {id}"));
    order["keep_pipes"] = json!(keep);
    order
}

/// What a keeper tells a host that comes: its hello, and all that it keeps.
fn hear_all(host: &mut UnixStream) -> (Value, Vec<Value>) {
    tell(host, &json!({ "type": "hello", "version": 2 }));
    let hello = hear(host).unwrap();
    let kept = (0..hello["kept"].as_u64().unwrap()).map(|_| hear(host).unwrap()).collect();
    (hello, kept)
}

#[test]
fn processes_are_kept_for_as_long_as_the_host_said() {
    let keeper = Raw::new();
    let world = Uuid::new_v4().to_string();
    let mut host = keeper.connect_as_host();
    tell(&mut host, &json!({ "type": "keep", "ms": 600_000 }));
    for id in 1..=2 {
        tell(&mut host, &echo(id, &world, id == 1));
        assert_eq!(hear(&mut host).unwrap()["type"], "spawned");
    }
    leave(host);

    let mut next = keeper.connect();
    let (hello, kept) = hear_all(&mut next);
    assert_eq!((&hello["hosts"], &hello["last_id"]), (&json!(2), &json!(2)));
    // The second one read the end of its stdin, as nobody kept a copy.
    assert_eq!(kept.len(), 2);
    for (kept, pipes) in kept.iter().zip([json!(["stdin", "stdout"]), json!([])]) {
        assert_eq!(kept["note"], format!("note {}", kept["id"]));
        assert_eq!(kept["pipes"], pipes);
    }
    assert_eq!(kept[0]["ended"], Value::Null);
    if kept[1]["ended"].is_null() {
        assert_eq!(hear(&mut next).unwrap()["id"], 2);
    }
    // The copy is closed on request; then the first one ends, too.
    tell(&mut next, &json!({ "type": "close_stdin", "id": 1 }));
    leave(next);

    let mut third = keeper.connect();
    let (_, mut kept) = hear_all(&mut third);
    if kept[0]["ended"].is_null() {
        kept[0] = hear(&mut third).unwrap();
    }
    assert_eq!(kept[0]["ended"]["exit"], json!({ "code": 3 }));
    // An end is told to every host until one says to forget it.
    tell(&mut third, &json!({ "type": "forget", "id": 2 }));
    leave(third);
    let mut fourth = keeper.connect();
    let (_, kept) = hear_all(&mut fourth);
    assert_eq!(kept.iter().map(|kept| &kept["id"]).collect::<Vec<_>>(), [1]);

    // The time runs out under a host that has not said that it keeps them.
    tell(&mut fourth, &json!({ "type": "keep", "ms": 0 }));
    leave(fourth);
    keeper.ends_well();
    assert_eq!(alive(&world), Vec::<u32>::new());
}

/// Which of its processes it ended for that, and which had ended by themselves.
#[test]
fn the_ends_of_a_frozen_hosts_processes_say_why() {
    let keeper = Raw::new();
    let world = Uuid::new_v4().to_string();
    let mut host = keeper.connect_as_host();
    tell(&mut host, &order(1, &world, "kill -9 $$"));
    tell(&mut host, &order(2, &world, "sleep 1000"));
    tell(&mut host, &json!({ "type": "keep", "ms": 600_000, "unless_told_ms": 600_000 }));
    let ends = std::iter::from_fn(|| hear(&mut host)).filter(|it| it["type"] == "exited");
    let mut ends = ends.map(|it| (it["id"].clone(), it["ended"]["for_silence"].clone()));
    assert_eq!(ends.next(), Some((json!(1), json!(false))));
    drop(ends);
    tell(&mut host, &json!({ "type": "keep", "ms": 600_000, "unless_told_ms": 0 }));
    let end = std::iter::from_fn(|| hear(&mut host)).find(|it| it["type"] == "exited").unwrap();
    assert_eq!((&end["id"], &end["ended"]["for_silence"]), (&json!(2), &json!(true)), "{end}");
    leave(host);
    // A host that comes later is told the same.
    let mut next = keeper.connect_as_host();
    let kept: Vec<_> = (0..2).map(|_| hear(&mut next).unwrap()).collect();
    let said = kept.iter().map(|it| it["ended"]["for_silence"].as_bool()).collect::<Vec<_>>();
    assert_eq!(said, [Some(false), Some(true)], "{kept:?}");
    tell(&mut next, &json!({ "type": "shutdown" }));
    keeper.ends_well();
}

#[test]
fn a_host_that_does_not_speak_up_does_not_stop_the_clock() {
    let keeper = Raw::new();
    let world = Uuid::new_v4().to_string();
    let mut host = keeper.connect_as_host();
    // Long enough to come back in, on a machine that is busy.
    tell(&mut host, &json!({ "type": "keep", "ms": 3_000 }));
    tell(&mut host, &order(1, &world, "sleep 1000"));
    assert_eq!(hear(&mut host).unwrap()["type"], "spawned");
    leave(host);
    let mut next = keeper.connect();
    assert_eq!(hear_all(&mut next).1.len(), 1);
    assert_eq!(hear(&mut next).unwrap()["ended"]["exit"], json!({ "signal": 9 }));
    assert_eq!(hear(&mut next), None);
    keeper.ends_well();
    assert_eq!(alive(&world), Vec::<u32>::new());
}

#[test]
fn a_host_of_another_version_may_end_a_keeper_that_has_no_host() {
    let keeper = Raw::new();
    let world = Uuid::new_v4().to_string();
    let mut host = keeper.connect_as_host();
    tell(&mut host, &json!({ "type": "keep", "ms": 600_000 }));
    tell(&mut host, &order(1, &world, "sleep 1000"));
    assert_eq!(hear(&mut host).unwrap()["type"], "spawned");
    let mut other = keeper.connect();
    is_refused(&mut other, "serves another host");
    leave(host);

    let mut other = keeper.connect();
    tell(&mut other, &json!({ "type": "hello", "version": 99 }));
    is_refused(&mut other, "protocol version 2, not 99");
    let mut other = keeper.connect();
    tell(&mut other, &json!({ "type": "shutdown" }));
    assert_eq!(hear(&mut other), None);
    keeper.ends_well();
    assert_eq!(alive(&world), Vec::<u32>::new());
}

/// A keeper whose processes are an agent that saves its work when it is asked to leave, and one that
/// does not leave; and where the first one says so.
fn with_one_that_saves(keeper: &Raw, world: &str, keep_ms: u64) -> std::path::PathBuf {
    let saved = keeper.dir.path().join("saved");
    let mut host = keeper.connect_as_host();
    tell(&mut host, &json!({ "type": "keep", "ms": keep_ms }));
    let saves = format!(
        "trap 'echo saved >{0}; exit' TERM; touch {0}; while :; do sleep 0.02; done",
        saved.display()
    );
    tell(&mut host, &order(1, world, &saves));
    tell(&mut host, &order(2, world, "trap '' TERM; while :; do sleep 0.02; done"));
    for _ in 0..2 {
        assert_eq!(hear(&mut host).unwrap()["type"], "spawned");
    }
    eventually("it hears the signal from here on", || saved.exists());
    saved
}

#[test]
fn processes_may_leave_by_themselves_before_a_keeper_makes_way() {
    let keeper = Raw::new();
    let world = Uuid::new_v4().to_string();
    let saved = with_one_that_saves(&keeper, &world, 600_000);
    let mut other = keeper.connect();
    tell(&mut other, &json!({ "type": "shutdown", "grace_ms": 2_000 }));
    assert_eq!(hear(&mut other), None);
    assert_eq!(std::fs::read_to_string(saved).unwrap(), "saved\n");
    keeper.ends_well();
    assert_eq!(alive(&world), Vec::<u32>::new());
}

/// After that the attempts may be somebody else's.
#[test]
fn no_grace_is_longer_than_processes_are_kept() {
    let keeper = Raw::new();
    let world = Uuid::new_v4().to_string();
    let saved = with_one_that_saves(&keeper, &world, 6_000);
    let mut other = keeper.connect();
    tell(&mut other, &json!({ "type": "shutdown", "grace_ms": 86_400_000 }));
    assert_eq!(hear(&mut other), None);
    assert_eq!(std::fs::read_to_string(saved).unwrap(), "saved\n");
    keeper.ends_well();
    assert_eq!(alive(&world), Vec::<u32>::new());
}

#[test]
fn a_host_of_another_version_that_speaks_this_one_too_is_served() {
    let keeper = Raw::new();
    for (version, oldest, served) in [(9, 2, true), (2, 1, true), (9, 3, false), (1, 1, false)] {
        let mut host = keeper.connect();
        tell(&mut host, &json!({ "type": "hello", "version": version, "oldest": oldest }));
        if served {
            let hello = hear(&mut host).unwrap();
            assert_eq!((&hello["type"], &hello["version"]), (&json!("hello"), &json!(2)));
            tell(&mut host, &json!({ "type": "keep", "ms": 600_000 }));
            leave(host);
        } else {
            is_refused(&mut host, &format!("protocol version 2, not {version}"));
        }
    }
    let mut last = keeper.connect();
    tell(&mut last, &json!({ "type": "shutdown" }));
    assert_eq!(hear(&mut last), None);
    keeper.ends_well();
}

/// A keeper of a version to come: it refuses the hello, and ends when it is told to.
#[tokio::test]
async fn the_keeper_of_another_version_is_ended_and_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("keeper.sock")).unwrap();
    let stranger = std::thread::spawn(move || {
        let (mut first, _) = listener.accept().unwrap();
        assert_eq!(hear(&mut first).unwrap()["type"], "hello");
        tell(&mut first, &json!({ "type": "refused", "reason": "version 99", "in_use": false }));
        drop(first);
        let (mut second, _) = listener.accept().unwrap();
        let word = hear(&mut second).unwrap();
        assert_eq!((&word["type"], &word["grace_ms"]), (&json!("shutdown"), &json!(7_000)));
    });
    let log = Logger::root(Discard, o!());
    let (keeper, found) = Keeper::start(&log, places(dir.path(), None)).await.unwrap();
    assert_eq!((found.replaced.as_deref(), found.processes.len()), (Some("version 99"), 0));
    stranger.join().unwrap();
    assert!(keeper.pid().is_some());
    in_time(keeper.shutdown()).await;
}
