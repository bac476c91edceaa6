//! A large plan, analyzed by the program as a person would run it.

use std::{fmt::Write, fs, path::Path, process::Command, time::Instant};

/// Tasks and dependencies of the plan.
const TASKS: usize = 10_000;
const EDGES: usize = 30_000;

/// What one run took.
pub(crate) struct Large {
    pub(crate) seconds: f64,
    pub(crate) megabytes: f64,
}

/// How many places before a task the tasks are on which it depends.
struct Reach {
    nearest: usize,
    farthest: usize,
}

/// Long chains, and hardly more of them side by side than there are agents.
const NEAR: Reach = Reach { nearest: 1, farthest: 500 };

/// Short chains: 400 tasks can always be done side by side.
const FAR: Reach = Reach { nearest: 400, farthest: 5_000 };

/// A plan with files that meet, and dependencies.
fn plan() -> String {
    text(true, &NEAR)
}

/// The same plan, in which nobody uses files: 150 tasks stand in its longest chain.
pub(crate) fn long() -> String {
    text(false, &NEAR)
}

/// As many tasks and dependencies: 15 tasks stand in the longest chain.
pub(crate) fn wide() -> String {
    text(false, &FAR)
}

fn text(with_files: bool, reach: &Reach) -> String {
    let mut chance = fastrand::Rng::with_seed(11);
    let mut before: Vec<Vec<usize>> = vec![Vec::new(); TASKS];
    let mut edges = 0;
    while edges < EDGES {
        let later = chance.usize(reach.nearest..TASKS);
        let first = later.saturating_sub(reach.farthest);
        let earlier = chance.usize(first..=later - reach.nearest);
        if !before[later].contains(&earlier) {
            before[later].push(earlier);
            edges += 1;
        }
    }
    let mut text = "version = 1\n".to_owned();
    for (at, before) in before.iter().enumerate() {
        let depends: Vec<String> = before.iter().map(|it| format!("\"t{it}\"")).collect();
        let minutes = chance.u32(5..=240);
        let files = match at % 250 {
            0 => format!("\"src/part{}/**\"", at / 500),
            _ => format!("\"src/part{}/file{at}.rs\"", at / 500),
        };
        write!(
            text,
            "[[tasks]]\nid = \"t{at}\"\nduration = \"{minutes}m\"\ndepends_on = [{}]\n",
            depends.join(", ")
        )
        .unwrap();
        if with_files {
            writeln!(text, "files = [{files}]").unwrap();
        }
    }
    text
}

/// The best of three runs.
pub(crate) fn measure() -> Large {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    fs::create_dir_all(&dir).unwrap();
    let file = dir.join("large.toml");
    fs::write(&file, plan()).unwrap();
    let mut best = Large { seconds: f64::MAX, megabytes: f64::MAX };
    for _ in 0..3 {
        let begin = Instant::now();
        let output = Command::new(env!("CARGO_BIN_EXE_hostler"))
            .args(["plan", "analyze", "--agents", "50", "--json"])
            .arg(&file)
            .output()
            .unwrap();
        let seconds = begin.elapsed().as_secs_f64();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        best.seconds = best.seconds.min(seconds);
    }
    // The most memory that any child of this process had at once; the judge has ended by now and
    // has more, so the program is asked alone, by a process of its own.
    best.megabytes = peak(&file);
    println!("large plan: {:.2} s, {:.0} MB", best.seconds, best.megabytes);
    best
}

/// The peak memory of one run, in MB, as the kernel tells it while the process is not reaped.
fn peak(file: &Path) -> f64 {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hostler"))
        .args(["plan", "analyze", "--agents", "50", "--json"])
        .arg(file)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most: f64 = 0.0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("VmHWM:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
        most = most.max(kilobytes.unwrap_or(0.0) / 1e3);
        std::thread::yield_now();
    }
    most
}
