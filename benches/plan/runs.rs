//! Plans carried out: a real host with its private Postgres, and mock agents.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

/// The tested program.
const HOSTLER: &str = env!("CARGO_BIN_EXE_hostler");

/// How long a start, a run and a stop may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// How many agents carry a large plan out, and how many tasks each of them is given at a time: what
/// takes less time than its way to the agent wants to be there before it is its turn.
const MANY: usize = 50;
const AHEAD: usize = 16;

/// A host with mock agents; stopped when dropped.
struct Host {
    dir: TempDir,
    process: Child,
}

impl Host {
    /// Starts a host with so many mock agents, each of which is given so many tasks at a time, and
    /// waits until all of them are idle.
    fn start(agents: usize, prefetch: usize) -> Self {
        let dir = tempfile::Builder::new().prefix("hostler-bench-").tempdir().unwrap();
        // The private Postgres of a root host runs as another user, who must get through.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let config = format!(
            "[http]\nbind = \"off\"\nmax_body = \"64MiB\"\n[fleets.mock]\nprotocol = \"worker\"\n\
             command = [\"{HOSTLER}\", \"mock-agent\"]\ncount = {agents}\n\
             prefetch = {prefetch}\n"
        );
        fs::write(dir.path().join("bench.toml"), config).unwrap();
        let process = Command::new(HOSTLER)
            .args(["up", "--config", "bench.toml", "--data-dir", "data"])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(dir.path().join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let host = Self { dir, process };
        let idle = |fleets: &Value| fleets["items"][0]["states"]["idle"] == agents;
        host.until("its agents", || host.ask(&["fleet", "list"]).as_ref().is_some_and(idle));
        host
    }

    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let began = Instant::now();
        while !is_so() {
            let log = || fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default();
            assert!(began.elapsed() < PATIENCE, "waited too long for {what}:\n{}", log());
            // Looking costs the host something, and a run takes seconds.
            thread::sleep(Duration::from_secs(1));
        }
    }

    /// What a command prints, if it succeeds.
    fn ask(&self, words: &[&str]) -> Option<Value> {
        let output = Command::new(HOSTLER)
            .args(words)
            .args(["--json", "--data-dir", "data"])
            .current_dir(self.dir.path())
            .output()
            .unwrap();
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// What a command prints that must succeed.
    fn told(&self, words: &[&str]) -> Value {
        self.ask(words).unwrap_or_else(|| panic!("{words:?} failed"))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let pid = i32::try_from(self.process.id()).map(Pid::from_raw);
        let asked = pid.is_ok_and(|pid| kill(pid, Signal::SIGTERM).is_ok());
        let began = Instant::now();
        while asked && began.elapsed() < Duration::from_secs(60) {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// What a rehearsal came to.
pub(crate) struct Rehearsal {
    /// What was predicted, in hours of the plan.
    pub(crate) predicted_h: f64,
    /// Whether that is proven to be the best.
    pub(crate) proven: bool,
    /// By how much the real makespan is off, in percent.
    pub(crate) off_percent: f64,
}

/// Rehearses the seed's plan: an hour is a second, three mock agents.
pub(crate) fn rehearse() -> Rehearsal {
    let host = Host::start(3, 1);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/plans/seed.toml");
    let file = file.to_str().unwrap();
    let report = host.told(&["plan", "run", file, "--agents", "3", "--speed", "1h=1s"]);
    assert_eq!(report["run"]["state"], "completed", "{report}");
    let number = |value: &Value| value.as_f64().unwrap();
    let (planned, real) = (number(&report["planned_ms"]), number(&report["real_ms"]));
    let rehearsal = Rehearsal {
        predicted_h: number(&report["run"]["makespan_ms"]) / 3_600_000.0,
        proven: report["run"]["proven_optimal"] == true,
        off_percent: 100.0 * (real - planned).abs() / planned,
    };
    println!(
        "rehearsal: predicted {planned} ms ({} h, proven: {}), real {real} ms, off by {:.2} %",
        rehearsal.predicted_h, rehearsal.proven, rehearsal.off_percent
    );
    rehearsal
}

/// What a large plan came to.
pub(crate) struct Crowd {
    /// The share of the agents' time in which they had a task, in percent, until nothing waited for
    /// an agent any more.
    pub(crate) busy_percent: f64,
    /// The same, where an agent counts as idle only while a task waited for it: what the dependencies
    /// of the plan leave to do is no fault of dispatch.
    pub(crate) served_percent: f64,
    /// Tasks in a second, over the whole run.
    pub(crate) tasks_per_s: f64,
}

/// Carries a plan of tasks out that are done at once, with 50 mock agents.
pub(crate) fn crowd(name: &str, plan: &str) -> Crowd {
    let host = Host::start(MANY, AHEAD);
    let file = host.dir.path().join("large.toml");
    fs::write(&file, plan).unwrap();
    let file = file.to_str().unwrap();
    let agents = MANY.to_string();
    let run = host.told(&["plan", "run", file, "--agents", &agents, "--detach"]);
    let id = run["id"].as_str().unwrap().to_owned();
    host.until("the end of the plan", || {
        let newest = host.told(&["plan", "list", "--limit", "1"]);
        newest["items"][0]["state"] == "completed"
    });
    let shown = host.told(&["plan", "show", &id]);
    let crowd = busy(shown["tasks"].as_array().unwrap());
    println!(
        "{name}: busy {:.1} %, {:.1} % while tasks waited, {:.0} tasks/s",
        crowd.busy_percent, crowd.served_percent, crowd.tasks_per_s
    );
    crowd
}

/// What happens at a moment: a task comes to wait or waits no more, an agent has one more or one
/// less.
#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Waits(i64),
    Has(&'a str, i64),
}

/// How busy the agents were until the last task that waited for one of them began.
fn busy(tasks: &[Value]) -> Crowd {
    let us = |task: &Value, name: &str| -> i64 {
        task[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_microsecond()
    };
    let (mut steps, mut last) = (Vec::new(), i64::MIN);
    for task in tasks {
        let (ready, began) = (us(task, "ready_at"), us(task, "began_at"));
        let (agent, ended) = (task["agent"].as_str().unwrap(), us(task, "ended_at"));
        if began > ready {
            steps.extend([(ready, Step::Waits(1)), (began, Step::Waits(-1))]);
            last = last.max(began);
        }
        steps.extend([(began, Step::Has(agent, 1)), (ended, Step::Has(agent, -1))]);
    }
    steps.sort_by_key(|(at, _)| *at);
    let first = tasks.iter().map(|task| us(task, "began_at")).min().unwrap();
    let end = tasks.iter().map(|task| us(task, "ended_at")).max().unwrap();
    let (mut has, mut waiting, mut at) = (BTreeMap::new(), 0, first);
    let (mut work, mut missed) = (0, 0);
    for (until, step) in steps {
        let span = until.min(last).max(first) - at;
        let at_work = has.values().filter(|tasks| **tasks > 0).count();
        work += span * i64::try_from(at_work).unwrap();
        missed += span * waiting.min(i64::try_from(MANY - at_work).unwrap());
        at += span;
        match step {
            Step::Waits(change) => waiting += change,
            Step::Has(agent, change) => *has.entry(agent).or_insert(0) += change,
        }
    }
    let percent = |of: i64| 100.0 * work as f64 / of.max(1) as f64;
    Crowd {
        busy_percent: percent((last - first) * i64::try_from(MANY).unwrap()),
        served_percent: percent(work + missed),
        tasks_per_s: 1e6 * tasks.len() as f64 / (end - first).max(1) as f64,
    }
}
