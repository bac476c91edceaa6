//! Agents that show life in their own ways, and those that show none: each is found, and the verdict
//! says by what.

use std::{
    fs,
    os::{linux::net::SocketAddrExt, unix::net},
};

use nix::sys::{signal::Signal, stat::Mode};
use serde_json::{Value, json};

use crate::support::{
    host::Host,
    processes::{eventually, now, send},
};

/// Says what is written to the pipe `say`, and is ready when it says so.
const TELLER: &str = r#"
[fleets.teller]
protocol = "service"
command = ["python3", "@FIXTURES@/notify.py", "@DIR@/say"]
ready = { check = "notify" }
heartbeat = { every = "100ms", stale_after = "2s" }
"#;

fn pid(agent: &Value) -> i32 {
    i32::try_from(agent["pid"].as_u64().expect("a pid")).expect("a pid")
}

/// A host with a teller, and what has it say something.
fn teller(more: &str) -> (Host, impl Fn(&str) + use<>) {
    telling(&format!("{TELLER}{more}"))
}

fn telling(fleet: &str) -> (Host, impl Fn(&str) + use<>) {
    let host = Host::new(fleet).set("log.level", "info");
    let pipe = host.path("say");
    nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    (host.up(), move |words: &str| fs::write(&pipe, format!("{words}\n")).unwrap())
}

#[test]
fn a_process_tells_of_itself_and_nobody_else_does_so_for_it() {
    let (mut host, say) = teller("");
    let first = host.until_agent("teller-1", "starting");
    eventually("it runs", || !host.agent("teller-1")["pid"].is_null());
    say("STATUS=warming_up");
    eventually("its status is shown", || host.agent("teller-1")["told"] == "warming_up");
    assert_eq!(first["ready"], false);

    // This test is no process of the agent's: what it says is not taken for the agent's word.
    let environ = fs::read(format!("/proc/{}/environ", pid(&host.agent("teller-1")))).unwrap();
    let environ = String::from_utf8_lossy(&environ).into_owned();
    let name = environ.split('\0').find_map(|one| one.strip_prefix("NOTIFY_SOCKET=@")).unwrap();
    let stranger = net::UnixDatagram::unbound().unwrap();
    stranger.connect_addr(&net::SocketAddr::from_abstract_name(name).unwrap()).unwrap();
    stranger.send(b"READY=1\nSTATUS=of a stranger").unwrap();
    say("STATUS=still_warming");
    eventually("the agent is heard", || host.agent("teller-1")["told"] == "still_warming");
    assert_eq!(host.agent("teller-1")["ready"], false, "{}", host.log());

    say("READY=1 STATUS=at_work");
    let ready = host.until_agent("teller-1", "idle");
    assert_eq!((&ready["ready"], &ready["told"]), (&json!(true), &json!("at_work")), "{ready}");

    // The host that comes next hears the same process.
    host.kill9();
    host.restart();
    assert_eq!(host.until_agent("teller-1", "idle")["pid"], ready["pid"]);
    say("STATUS=under_the_next_host");
    eventually("it is heard", || host.agent("teller-1")["told"] == "under_the_next_host");

    // It leaves by itself, which is no fault; another one follows.
    say("STOPPING=1");
    let leaving = host.until_agent("teller-1", "stopping");
    assert!(leaving["reason"].as_str().unwrap().contains("STOPPING=1"), "{leaving}");
    say("exit");
    eventually("another one runs", || {
        let agent = host.agent("teller-1");
        agent["generation"].as_u64() > ready["generation"].as_u64() && !agent["pid"].is_null()
    });
    say("READY=1");
    host.until_agent("teller-1", "idle");
    say("WATCHDOG=trigger");
    eventually("it is replaced at its own word", || {
        host.agent("teller-1")["restarts"]["stale"] == 1
    });
    eventually("the log says why", || host.log().contains("WATCHDOG=trigger"));
    assert!(host.stop().success());
    host.until_nothing_is_left();
}

#[test]
fn who_has_beaten_once_must_go_on_and_is_found_when_it_is_stopped() {
    let (host, say) = teller("");
    eventually("it runs", || !host.agent("teller-1")["pid"].is_null());
    say("READY=1");
    host.until_agent("teller-1", "idle");
    say("WATCHDOG=1 STATUS=beats");
    eventually("it was heard", || host.agent("teller-1")["told"] == "beats");
    let agent = host.agent("teller-1");
    send(pid(&agent), Signal::SIGSTOP);
    eventually("it is replaced", || host.agent("teller-1")["restarts"]["stale"] == 1);
    for part in
        ["heard last was a word on its notification socket", "its process is stopped by a signal"]
    {
        eventually(part, || host.log().contains(part));
    }
}

/// What a process has said of its signs of life binds it under the next host, too: that it beats, and how
/// rarely. What it did while nobody listened does not count.
#[test]
fn what_a_process_promised_holds_under_the_next_host() {
    let (mut host, say) = teller("");
    let beats = |host: &Host, words: &str| {
        eventually("it runs", || !host.agent("teller-1")["pid"].is_null());
        say("READY=1");
        let agent = host.until_agent("teller-1", "idle");
        say(&format!("{words} STATUS=beats"));
        // The word behind it is heard: what is to be written down of it is.
        say("STATUS=has_beaten");
        eventually("it was heard", || host.agent("teller-1")["told"] == "has_beaten");
        agent
    };
    let rare = beats(&host, "WATCHDOG=1 WATCHDOG_USEC=600000000");
    host.kill9();
    host.restart();
    assert_eq!(host.until_agent("teller-1", "idle")["pid"], rare["pid"]);
    let since = now();
    eventually("the limit of its fleet is over", || since.elapsed().as_millis() > 3000);
    let still = host.agent("teller-1");
    assert_eq!((&still["state"], &still["pid"]), (&json!("idle"), &rare["pid"]), "{still}");

    say("exit");
    eventually("another one runs", || host.agent("teller-1")["generation"] == 2);
    let first = beats(&host, "WATCHDOG=1");
    host.kill9();
    send(pid(&first), Signal::SIGSTOP);
    host.restart();
    eventually("it is replaced", || host.agent("teller-1")["restarts"]["stale"] == 1);
    assert!(host.stop().success());
    host.until_nothing_is_left();
}

/// A start takes longer than it may, if its process asks for that. One that is too slow to ask is replaced by
/// another, which may be quicker.
#[test]
fn a_start_can_be_extended() {
    let asks = r#"say", "EXTEND_TIMEOUT_USEC=600000000 STATUS=slow""#;
    let fleet = TELLER.replace("say\"", asks);
    let more = "start_timeout = \"1s\"\nrestart = { backoff_min = \"0s\", max_restarts = 1000 }\n";
    let (host, say) = telling(&format!("{fleet}{more}"));
    eventually("it was heard", || host.agent("teller-1")["told"] == "slow");
    let asked = host.agent("teller-1");
    let since = now();
    eventually("the limit of its start is over", || since.elapsed().as_millis() > 1500);
    let still = host.agent("teller-1");
    assert_eq!((&still["state"], &still["pid"]), (&json!("starting"), &asked["pid"]), "{still}");
    say("READY=1");
    host.until_agent("teller-1", "idle");
}

/// One that says that it leaves has its grace for that, and more if it asks for more.
#[test]
fn who_leaves_by_itself_may_ask_for_more_time() {
    let (host, say) = teller("stop_grace = \"500ms\"\nrestart = { backoff_min = \"0s\" }\n");
    let ready = || {
        eventually("it runs", || !host.agent("teller-1")["pid"].is_null());
        say("READY=1");
        host.until_agent("teller-1", "idle")
    };
    let first = ready();
    say("STOPPING=1 EXTEND_TIMEOUT_USEC=600000000 STATUS=parting");
    eventually("it was heard", || host.agent("teller-1")["told"] == "parting");
    let since = now();
    eventually("its grace is over", || since.elapsed().as_millis() > 1500);
    let still = host.agent("teller-1");
    assert_eq!((&still["state"], &still["pid"]), (&json!("stopping"), &first["pid"]), "{still}");
    say("exit");
    let next = |before: &Value| {
        eventually("another one runs", || {
            let agent = host.agent("teller-1");
            agent["generation"].as_u64() > before["generation"].as_u64() && !agent["pid"].is_null()
        });
    };
    next(&first);
    // And one that does not ask is ended.
    let second = ready();
    say("STOPPING=1");
    next(&second);
}

/// One that an operator asks to leave has its grace, and more if it asks for more.
#[test]
fn who_is_asked_to_leave_may_ask_for_more_time() {
    // It is deaf to the signal, but not to what it is told to say.
    let deaf = "[\"sh\", \"-c\", \"trap '' TERM; exec python3 @FIXTURES@/notify.py @DIR@/say\"]";
    let plain = "[\"python3\", \"@FIXTURES@/notify.py\", \"@DIR@/say\"]";
    let (host, say) = telling(&format!("{}stop_grace = \"3s\"\n", TELLER.replace(plain, deaf)));
    eventually("it runs", || !host.agent("teller-1")["pid"].is_null());
    say("READY=1");
    let first = host.until_agent("teller-1", "idle");
    assert_eq!(host.cli(&["agent", "stop", "teller-1"]).code, 0);
    say("EXTEND_TIMEOUT_USEC=600000000 STATUS=saves");
    eventually("it was heard", || host.agent("teller-1")["told"] == "saves");
    let since = now();
    eventually("its grace is over", || since.elapsed().as_millis() > 4000);
    let still = host.agent("teller-1");
    assert_eq!((&still["state"], &still["pid"]), (&json!("stopping"), &first["pid"]), "{still}");
    say("exit");
    host.until_agent("teller-1", "stopped");
}

/// More words than anybody needs: they are heard a few at a time, and the last of them counts.
#[test]
fn who_says_too_much_is_heard_to_its_end() {
    let (host, say) = teller("");
    eventually("it runs", || !host.agent("teller-1")["pid"].is_null());
    let words: Vec<String> = (0..1000).map(|number| format!("STATUS=word_{number}")).collect();
    say(&format!("READY=1\n{}", words.join("\n")));
    eventually("the last word is heard", || host.agent("teller-1")["told"] == "word_999");
    host.until_agent("teller-1", "idle");
}

fn exec(name: &str, script: &str, heartbeat: &str) -> String {
    format!(
        "[fleets.{name}]\nprotocol = \"exec\"\nqueues = [\"{name}\"]\nstdin = \"null\"\n\
         command = [\"sh\", \"-c\", {script:?}]\n\
         heartbeat = {{ every = \"100ms\", stale_after = \"2s\"{heartbeat} }}\n"
    )
}

#[test]
fn a_hang_is_found_whatever_it_looks_like_and_work_is_left_alone() {
    let spin = "while :; do :; done";
    let fleets = [
        exec("stopped", "kill -STOP $$", ""),
        exec("spins", spin, ""),
        exec("sleeps", "sleep 1000 & wait", ""),
        exec("busy", spin, ", evidence = [\"cpu\"], busy_stale_after = \"3s\""),
        exec("quiet", "sleep 1000", ", stale_after = \"1h\", first_sign = \"500ms\"")
            .replace("stale_after = \"2s\", ", ""),
        // Its child works, as long as a build might; then it is done.
        exec(
            "works",
            "timeout 4 sh -c 'while :; do :; done'; echo built",
            ", evidence = [\"cpu\"]",
        ),
    ];
    let host = Host::new(&fleets.concat()).up();
    let submit =
        |queue: &str| host.submit(&json!({"queue": queue, "input": {}, "max_attempts": 1}));
    let rows = [
        ("stopped", "its process is stopped by a signal"),
        ("spins", "s of CPU time and moved"),
        ("sleeps", "its 2 processes used 0.00 s of CPU time"),
        ("busy", "nothing but CPU time or I/O for"),
        ("quiet", "no sign of life in the first"),
    ];
    let tasks = rows.map(|(queue, evidence)| (submit(queue), queue, evidence));
    let works = submit("works");
    for (task, queue, evidence) in tasks {
        let task = host.wait(&task);
        assert_eq!((&task["state"], &task["error"]["class"]), (&json!("failed"), &json!("stale")));
        let message = task["error"]["message"].as_str().unwrap();
        assert!(message.contains(evidence), "{queue}: {message}");
    }
    let done = host.wait(&works);
    assert_eq!((&done["state"], &done["output"]), (&json!("completed"), &json!("built")), "{done}");
}

#[test]
fn an_open_tool_call_has_a_limit_of_its_own() {
    let fleets = "[fleets.tool]\nprotocol = \"worker\"\ncount = 2\n\
        command = [\"python3\", \"@FIXTURES@/tool.py\"]\n\
        heartbeat = { every = \"100ms\", stale_after = \"2s\" }\n";
    let host = Host::new(fleets).up();
    let task = |ms: u64, limit_ms: u64| {
        let input = json!({"ms": ms, "limit_ms": limit_ms});
        host.submit(&json!({"input": input, "max_attempts": 1}))
    };
    let (allowed, hangs) = (task(5_000, 60_000), task(600_000, 3_000));
    let hangs = host.wait(&hangs);
    assert_eq!(hangs["error"]["class"], "stale");
    let message = hangs["error"]["message"].as_str().unwrap();
    assert!(message.contains("a tool call that takes longer than its limit of 3.0 s"), "{message}");
    assert_eq!(host.wait(&allowed)["output"], json!({"output": "built"}));
}

/// The next host knows of a tool call that was opened before it came, and asks for no first sign of life again.
#[test]
fn an_open_tool_call_is_left_alone_by_the_next_host() {
    let fleets = "[fleets.tool]\nprotocol = \"worker\"\n\
        command = [\"python3\", \"@FIXTURES@/tool.py\"]\n\
        heartbeat = { every = \"100ms\", stale_after = \"2s\", first_sign = \"1s\" }\n";
    let mut host = Host::new(fleets).up();
    let input = json!({"ms": 6_000, "limit_ms": 60_000});
    let task = host.submit(&json!({"input": input, "max_attempts": 1}));
    let record = host.data_dir().join("standing/tool-1.json");
    eventually("the call is written down", || {
        fs::read_to_string(&record).is_ok_and(|text| text.contains("\"build\""))
    });
    host.kill9();
    host.restart();
    let done = host.wait(&task);
    assert_eq!((&done["state"], &done["attempt"]), (&json!("completed"), &json!(1)), "{done}");
    assert_eq!(host.agent("tool-1")["restarts"], json!({}), "{}", host.log());
    assert!(!fs::read_to_string(&record).unwrap().contains("\"build\""), "it was closed");
}

/// A patient fleet and a hasty one; a task says for itself how long its agent may be silent.
#[test]
fn a_task_has_a_limit_of_silence_of_its_own() {
    let fleets = r#"
[fleets.patient]
protocol = "exec"
command = ["sleep", "{{ input.s }}"]
queues = ["patient"]
heartbeat = { stale_after = "off" }

[fleets.hasty]
protocol = "exec"
command = ["sleep", "{{ input.s }}"]
queues = ["hasty"]
heartbeat = { every = "100ms", stale_after = "300ms" }
"#;
    let mut host = Host::new(fleets).up();
    let limited = host.submit(&json!({"queue": "patient", "input": {"s": "600"},
        "stale_after": "300ms", "max_attempts": 1}));
    let limited = host.wait(&limited);
    assert_eq!(
        (&limited["state"], &limited["error"]["class"]),
        (&json!("failed"), &json!("stale"))
    );
    let message = limited["error"]["message"].as_str().unwrap();
    assert!(message.contains("(the limit is 0.3 s)"), "{message}");
    assert_eq!(limited["stale_after_ms"], 300);

    let quiet = json!({"s": "1.5"});
    let lent = ["task", "submit", "-q", "hasty", "--stale-after", "1m", "--max-attempts", "1"];
    let lent = host.cli_json(&[&lent[..], &["-i", &quiet.to_string(), "--wait"]].concat());
    assert_eq!((&lent["state"], &lent["stale_after_ms"]), (&json!("completed"), &json!(60_000)));
    // It held for that task alone.
    let next = host.submit(&json!({"queue": "hasty", "input": quiet, "max_attempts": 1}));
    assert_eq!(host.wait(&next)["error"]["class"], "stale");
    assert!(host.stop().success());
}
