//! The example agents, and those that misbehave, over real pipes.

mod harness;
mod webhooks;

use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Child, Command},
    time::Duration,
};

use harness::{Worker, spawn};

use hostler::{
    domain::{
        Attempt, TaskId,
        fleet::OutputFormat,
        task::{Assignment, FailureClass, Outcome, RunTerms},
    },
    protocol::{
        exec::{self, Exit},
        frame::FrameError,
        worker::{ProtocolError, Received},
    },
};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use serde_json::{Value, json};
use uuid::Uuid;

/// Lines longer than this are a flood.
const LIMIT: usize = 1024 * 1024;

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn assignment(number: u128, input: Value) -> Assignment {
    Assignment {
        task: TaskId::from_uuid(Uuid::from_u128(number)),
        attempt: Attempt(1),
        failures: 0,
        max_attempts: 3,
        agent: "demo-1".parse().unwrap(),
        queue: "default".parse().unwrap(),
        kind: "with \"input\": in it".into(),
        input,
        results: None,
        timeout: None,
        waited: std::time::Duration::ZERO,
        frees: false,
        entry: None,
        terms: RunTerms::default(),
    }
}

const WORKERS: [(&str, &str); 3] = [
    ("python3", "examples/agents/worker.py"),
    ("node", "examples/agents/worker.mjs"),
    ("sh", "examples/agents/worker.sh"),
];

#[test]
fn an_example_is_under_40_lines() {
    for (_, script) in WORKERS {
        let lines = fs::read_to_string(file(script)).unwrap().lines().count();
        assert!(lines < 40, "{script} has {lines} lines");
    }
}

#[test]
fn the_examples_echo_anything() {
    let values = [
        json!(null),
        json!("a \"text\"\n with \\n, }} and ,\"input\": {\u{2028}\u{7f}%s ä 🦀"),
        json!([1, 2.5, -3, true, [], {}]),
        json!({"op": "fail", "a": {"b": "}"}, "value": 1}),
        json!("x".repeat(200_000)),
    ];
    for (interpreter, script) in WORKERS {
        let Some(mut worker) = Worker::ready(interpreter, script, &[]) else { continue };
        for (number, value) in (1..).zip(&values) {
            let task = assignment(number, json!({"op": "echo", "value": value}));
            assert_eq!(&worker.result_of(&task), value, "{script}");
        }
    }
}

#[test]
fn the_examples_fail_and_go_on() {
    for (interpreter, script) in WORKERS {
        let Some(mut worker) = Worker::ready(interpreter, script, &[]) else { continue };
        for (input, text) in [
            (json!({"op": "fail", "message": "as \"asked\""}), Some("as \"asked\"")),
            (json!({"op": "fly"}), None),
        ] {
            worker.run(&assignment(1, input.clone()));
            let (Outcome::Failed { class, message, .. }, _) = worker.outcome() else {
                panic!("{script} should fail at {input}");
            };
            assert_eq!(class, FailureClass::Task);
            assert!(text.is_none_or(|text| text == message), "{script}: {message}");
        }
        assert_eq!(worker.result_of(&assignment(2, json!({"op": "echo", "value": 1}))), json!(1));
    }
}

#[test]
fn the_examples_leave_one_effect_for_each_task_they_finish() {
    let dir = tempfile::tempdir().unwrap();
    for (interpreter, script) in WORKERS {
        let effects = dir.path().join(interpreter);
        let env = [("EFFECTS_FILE", effects.to_str().unwrap())];
        let Some(mut worker) = Worker::ready(interpreter, script, &env) else { continue };
        let tasks = [1, 2, 3].map(|n| assignment(n, json!({"op": "echo", "value": 0})));
        for task in &tasks {
            worker.result_of(task);
        }
        worker.run(&assignment(4, json!({"op": "fail", "message": "m"})));
        worker.outcome();
        let expected: String =
            tasks.iter().map(|task| format!("{} 1 demo-1\n", task.task)).collect();
        assert_eq!(fs::read_to_string(effects).unwrap(), expected, "{script}");
    }
}

#[test]
fn the_examples_show_life_let_go_and_leave() {
    for (interpreter, script) in WORKERS {
        let Some(mut worker) = Worker::ready(interpreter, script, &[]) else { continue };
        worker.run(&assignment(1, json!({"op": "sleep", "ms": 1000})));
        let (outcome, progress) = worker.outcome();
        assert!(matches!(outcome, Outcome::Completed { .. }), "{script}: {outcome:?}");
        assert!(progress > 0, "{script}");

        worker.run(&assignment(2, json!({"op": "sleep", "ms": 600_000})));
        assert!(matches!(worker.next(), Ok(Received::Progress(_))), "{script}");
        let (task, attempt) = worker.session.current().unwrap();
        let cancel = worker.session.cancel(task, attempt).unwrap();
        worker.send(&cancel);
        assert_eq!(worker.outcome().0, Outcome::Cancelled, "{script}");

        worker.run(&assignment(3, json!({"op": "sleep", "ms": 600_000})));
        let shutdown = worker.session.shutdown();
        worker.send(&shutdown);
        assert!(matches!(worker.outcome().0, Outcome::Released { .. }), "{script}");
        assert!(worker.end().success(), "{script}");
    }
}

#[test]
fn the_examples_leave_when_their_stdin_ends() {
    for (interpreter, script) in WORKERS {
        let Some(mut worker) = Worker::ready(interpreter, script, &[]) else { continue };
        worker.stdin = None;
        assert!(worker.end().success(), "{script}");
    }
}

/// Runs an `exec` agent on `stdin`, and says how its attempt ended.
fn exec_outcome(mut child: Child, stdin: &[u8], format: OutputFormat) -> Outcome {
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    let ended = child.wait_with_output().unwrap();
    let exit = Exit::Code(ended.status.code().unwrap());
    exec::outcome(format, exit, &ended.stdout, &ended.stderr, LIMIT as u64)
}

#[test]
fn the_exec_examples_answer() {
    let outcome = |input: Value| {
        let child = spawn("python3", "examples/agents/exec_task.py", &[])?;
        let stdin = exec::stdin(&assignment(1, input), None).unwrap();
        Some(exec_outcome(child, &stdin, OutputFormat::Json))
    };
    if let Some(done) = outcome(json!({"text": "one two three"})) {
        assert_eq!(done, Outcome::Completed { output: json!({"words": 3, "attempt": 1}) });
        let Some(Outcome::Failed { class, message, .. }) = outcome(json!("no text")) else {
            panic!("it should fail");
        };
        assert_eq!(class, FailureClass::Exit);
        assert_eq!(message, "exit status 1: the input needs a `text`");
    }
    let command = ["sh", "exec_task.sh", "{{ input.name }}"].map(str::to_owned);
    let argv = exec::Template::parse(&command)
        .unwrap()
        .render(&assignment(1, json!({"name": "$(id); 'x'"})))
        .unwrap();
    let run = |name: &str| {
        let script = file("examples/agents/exec_task.sh");
        let output = Command::new("sh").arg(script).arg(name).output().unwrap();
        let exit = Exit::Code(output.status.code().unwrap());
        exec::outcome(OutputFormat::Text, exit, &output.stdout, &output.stderr, 100)
    };
    assert_eq!(run(&argv[2]), Outcome::Completed { output: json!("Hello, $(id); 'x'!") });
    assert!(matches!(run(""), Outcome::Failed { class: FailureClass::Exit, .. }));
}

/// A misbehaving agent that has said hello and was given a task.
fn given_a_task(name: &str) -> Worker {
    let script = format!("tests/fixtures/agents/{name}.sh");
    let mut worker = Worker::ready("sh", &script, &[]).expect("every host has sh");
    worker.run(&assignment(1, json!({})));
    worker
}

#[test]
fn agents_that_never_say_hello() {
    let start =
        |name: &str| Worker::start("sh", &format!("tests/fixtures/agents/{name}.sh"), &[]).unwrap();
    assert_eq!(start("crash").end().code(), Some(7));
    let mut hang = start("hang");
    let hello = hang.session.hello();
    hang.send(&hello);
    hang.silent_for(Duration::from_millis(200));
}

#[test]
fn agents_that_break_the_protocol() {
    assert!(matches!(given_a_task("garbage").next(), Err(ProtocolError::NotJson { .. })));
    assert!(matches!(given_a_task("liar").next(), Err(ProtocolError::UnknownId { .. })));
    assert!(matches!(given_a_task("half_line").broken(), FrameError::Unfinished { line: 2, .. }));
    assert!(matches!(given_a_task("flood").broken(), FrameError::TooLong { line: 2, .. }));
}

#[test]
fn agents_that_die_or_hang_with_a_task() {
    assert_eq!(given_a_task("crash_in_task").end().code(), None);
    given_a_task("hang_in_task").silent_for(Duration::from_millis(200));
    let mut stubborn = given_a_task("ignore_term");
    let shutdown = stubborn.session.shutdown();
    stubborn.send(&shutdown);
    kill(Pid::from_raw(stubborn.child.id().cast_signed()), Signal::SIGTERM).unwrap();
    stubborn.silent_for(Duration::from_millis(200));
    assert!(stubborn.child.try_wait().unwrap().is_none());
}

#[test]
fn an_answer_counts_once_and_only_for_its_own_request() {
    for (name, before, output) in [("late", true, json!("own")), ("double", false, json!(1))] {
        let mut worker = given_a_task(name);
        for attempt in [1, 2] {
            let ignored = |worker: &mut Worker| {
                assert!(matches!(worker.next(), Ok(Received::Ignored { .. })), "{name}");
            };
            if before {
                ignored(&mut worker);
            }
            let done = Outcome::Completed { output: output.clone() };
            assert_eq!(worker.outcome().0, done, "{name}");
            if attempt == 1 {
                worker.run(&Assignment { attempt: Attempt(2), ..assignment(1, json!({})) });
            }
            if !before {
                ignored(&mut worker);
            }
        }
    }
}

#[test]
fn a_spinner_leaves_somebody_behind() {
    let mut worker = given_a_task("spinner");
    let (Outcome::Completed { output }, _) = worker.outcome() else {
        panic!("it answers");
    };
    drop(worker);
    let left = Pid::from_raw(i32::try_from(output.as_i64().unwrap()).unwrap());
    // It leads a session, and so a group, of its own: killing the worker's group missed it.
    killpg(left, Signal::SIGKILL).expect("the grandchild outlived the worker's group");
}
