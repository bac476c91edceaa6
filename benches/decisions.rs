//! The pure parts: what decides, reads and renders, without a process, a clock or a database.
//!
//! `cargo bench --bench decisions`; `docs/BENCHMARKS.md` says how to read it.

mod report;

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    hint::black_box,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use criterion::{BatchSize, Criterion};
use hostler::{
    app,
    domain::{
        AgentName, Attempt, FleetName, Generation, TaskId,
        agent::{Agent, AgentEvent, AgentState, Kind, Rules, step},
        dispatch::Dispatch,
        restart::{Policy, When},
        task::{self, Assignment, RunTerms, TaskEvent, TaskState},
    },
    protocol::{
        exec::Template,
        frame::{LineReader, MAX_LINE},
        worker::{Terms, WorkerSession},
    },
    settings::{self, Machine, Sources},
};
use report::{Better, Row, publish};
use serde_json::{Value, json};
use uuid::Uuid;

/// How many agents come free at once.
const AGENTS: u16 = 200;
/// What a pipe gives at once.
const CHUNK: usize = 64 * 1024;

/// A benchmark: its name, what it does, how many steps one pass of it has, and how it is run.
type Bench = (&'static str, &'static str, f64, fn(&mut Criterion));

const BENCHES: [Bench; 9] = [
    ("agent_step", "agent: a task given and done, per step", 2.0, agent_step),
    ("task_step", "task: every state with every event, per pair", 88.0, task_step),
    ("dispatch", "dispatch: offer, claim, hand out and end, per agent of 200", 200.0, dispatch),
    ("lines_short", "frame: 64 KiB of short lines, per KiB", 64.0, lines_short),
    ("lines_long", "frame: a line of 1 MiB in chunks of 64 KiB, per KiB", 1024.0, lines_long),
    ("worker_run", "worker: task/run written, and its answer read", 1.0, worker_run),
    ("worker_beat", "worker: a heartbeat read", 1.0, worker_beat),
    ("template", "exec: an argv of four words, two of them templates", 1.0, template),
    ("settings", "settings: the quickstart file loaded", 1.0, load_settings),
];

fn main() -> ExitCode {
    let output = report::directory().join("criterion");
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_500))
        .output_directory(&output)
        .configure_from_args();
    for (.., bench) in BENCHES {
        bench(&mut criterion);
    }
    criterion.final_summary();
    // `cargo test --all-targets` runs each once and measures nothing; a filter leaves some out.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    match rows(&output).and_then(|rows| Ok(publish("decisions", &rows)?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What criterion has found out, per step.
fn rows(output: &Path) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = Vec::new();
    for (name, what, steps, _) in BENCHES {
        let estimates = fs::read(output.join(name).join("new/estimates.json"))?;
        let estimates: Value = serde_json::from_slice(&estimates)?;
        let median = estimates["median"]["point_estimate"].as_f64();
        let median = median.ok_or_else(|| format!("criterion has no median of {name}"))?;
        let (value, unit) =
            if median / steps < 10_000.0 { (median / steps, "ns") } else { (median / 1e3, "us") };
        rows.push(Row::new(what, value, unit, Better::Lower));
    }
    Ok(rows)
}

/// A name that stands in this file.
fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("the names in this file are plain")
}

fn assignment(task: u128, agent: AgentName) -> Assignment {
    Assignment {
        task: TaskId::from_uuid(Uuid::from_u128(task)),
        attempt: Attempt(1),
        failures: 0,
        max_attempts: 3,
        agent,
        queue: name("default"),
        kind: "task".to_owned(),
        input: json!({"prompt": "Say hello to the reader.", "files": ["a.rs", "b.rs"], "n": 3}),
        results: None,
        timeout: Some(Duration::from_secs(60)),
        waited: Duration::ZERO,
        frees: false,
        entry: None,
        terms: RunTerms::default(),
    }
}

fn agent_step(criterion: &mut Criterion) {
    let restart = Policy {
        when: When::Always,
        backoff_min: Duration::from_millis(200),
        backoff_max: Duration::from_secs(30),
        max_restarts: 10,
        window: Duration::from_secs(300),
        stable_after: Duration::from_secs(30),
    };
    let rules = Rules { kind: Kind::Resident, asks: true, restart };
    let idle = Agent { state: AgentState::Idle, ..Agent::default() };
    criterion.bench_function("agent_step", |bencher| {
        bencher.iter(|| {
            let (busy, _) = step(&rules, black_box(&idle), AgentEvent::Assigned, 1)?;
            step(&rules, black_box(&busy), AgentEvent::Done, 2)
        });
    });
}

fn task_step(criterion: &mut Criterion) {
    criterion.bench_function("task_step", |bencher| {
        bencher.iter(|| {
            let all = TaskState::ALL.into_iter();
            let pairs = all.flat_map(|state| TaskEvent::ALL.map(|event| (state, event)));
            pairs.filter(|(state, event)| task::step(black_box(*state), *event).is_ok()).count()
        });
    });
}

fn dispatch(criterion: &mut Criterion) {
    let fleet: FleetName = name("f");
    let agents: Vec<_> = (1..=AGENTS).map(|number| AgentName::of(&fleet, number)).collect();
    let tasks: Vec<_> =
        agents.iter().zip(0..).map(|(agent, task)| assignment(task, agent.clone())).collect();
    let mut dispatch = Dispatch::new([(fleet.clone(), vec![name("default")])]);
    criterion.bench_function("dispatch", |bencher| {
        bencher.iter_batched(
            || (agents.clone(), tasks.clone()),
            |(agents, tasks)| {
                for agent in agents {
                    dispatch.offer(&fleet, agent, 1);
                }
                let claims = dispatch.claims(256);
                let handouts = dispatch.claimed(&fleet, tasks);
                for task in 0..u128::from(AGENTS) {
                    dispatch.ended(TaskId::from_uuid(Uuid::from_u128(task)), Attempt(1));
                }
                (claims, handouts)
            },
            BatchSize::SmallInput,
        );
    });
}

/// Reads `stream` in chunks, and counts its lines.
fn count_lines(stream: &[u8]) -> usize {
    let (mut reader, mut count) = (LineReader::new(MAX_LINE), 0);
    for chunk in stream.chunks(CHUNK) {
        let mut rest = chunk;
        while let Ok(Some(line)) = reader.next_line(&mut rest) {
            black_box(line);
            count += 1;
        }
    }
    count
}

fn lines_short(criterion: &mut Criterion) {
    let line = b"{\"jsonrpc\":\"2.0\",\"method\":\"heartbeat\",\"params\":{}}\n";
    let stream: Vec<u8> = line.iter().copied().cycle().take(CHUNK).collect();
    assert_eq!(count_lines(&stream), CHUNK / line.len(), "every line is read");
    criterion
        .bench_function("lines_short", |bencher| bencher.iter(|| count_lines(black_box(&stream))));
}

fn lines_long(criterion: &mut Criterion) {
    let mut stream = vec![b'x'; 16 * CHUNK];
    stream.push(b'\n');
    assert_eq!(count_lines(&stream), 1, "the line is read");
    criterion
        .bench_function("lines_long", |bencher| bencher.iter(|| count_lines(black_box(&stream))));
}

/// A conversation in which the greeting is over.
fn session() -> WorkerSession {
    let mut session = WorkerSession::new(Terms {
        agent: name("f-1"),
        fleet: name("f"),
        generation: Generation(1),
        heartbeat: Duration::from_secs(10),
        prefetch: 1,
        max_output: 8 << 20,
        attempts: None,
    });
    session.hello();
    let hello = br#"{"jsonrpc":"2.0","id":1,"result":{"protocol_version":1}}"#;
    session.receive(hello).expect("the greeting is understood");
    session
}

fn worker_run(criterion: &mut Criterion) {
    let (mut session, task) = (session(), assignment(1, name("f-1")));
    let mut id = 1_u64;
    criterion.bench_function("worker_run", |bencher| {
        bencher.iter(|| {
            id += 1;
            let sent = session.run(black_box(&task), task.timeout).expect("it is free");
            let answer = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"result":{{"text":"Hello, reader.","tokens":12}}}}"#
            );
            (sent, session.receive(answer.as_bytes()).expect("it is understood"))
        });
    });
}

fn worker_beat(criterion: &mut Criterion) {
    let mut session = session();
    let beat = br#"{"jsonrpc":"2.0","method":"heartbeat"}"#;
    criterion.bench_function("worker_beat", |bencher| {
        bencher.iter(|| session.receive(black_box(beat)).expect("it is understood"));
    });
}

fn template(criterion: &mut Criterion) {
    let words = ["program", "--task={{ task.id }}", "--", "{{ input.prompt }}"].map(str::to_owned);
    let template = Template::parse(&words).expect("the words are templates");
    let task = assignment(1, name("f-1"));
    criterion.bench_function("template", |bencher| {
        bencher.iter(|| template.render(black_box(&task)).expect("the task has it all"));
    });
}

fn load_settings(criterion: &mut Criterion) {
    let project = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let env = std::env::vars().filter(|(name, _)| name == "PATH").collect::<BTreeMap<_, _>>();
    let sources = Sources {
        files: vec![project.join("examples/fleets/quickstart.toml")],
        env,
        flags: Vec::new(),
        machine: Machine {
            cwd: project,
            is_root: false,
            host_name: "bench".to_owned(),
            data_dir: Some(PathBuf::from("/data")),
        },
        check_template: app::check_template,
    };
    criterion.bench_function("settings", |bencher| {
        bencher.iter(|| settings::load(black_box(&sources)).expect("the quickstart is right"));
    });
}
