//! How good and how fast the scheduler is: `make bench-plan`.
//!
//! Writes `target/bench/plan.json`. The judge of the gaps is CP-SAT of OR-tools, where the Python of
//! `BENCH_PYTHON` (or `python3`) has it; else only instances that our own branch and bound proves
//! are counted, and the row says so. `-- --runs` measures what runs on a host, and writes nothing. PSPLIB files in the directory `PSPLIB` are measured, too.
#![allow(clippy::unwrap_used, reason = "a benchmark that can't go on fails")]
#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

#[path = "plan/generate.rs"]
mod generate;
#[path = "plan/judge.rs"]
mod judge;
#[path = "plan/large.rs"]
mod large;
#[path = "plan/psplib.rs"]
mod psplib;
#[path = "report.rs"]
mod report;
#[path = "plan/runs.rs"]
mod runs;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use hostler::plan::solve::{Budget, Problem, Solution, solve};
use report::{Better, Row, publish};

/// How long the scheduler has for one instance.
const LIMIT: Duration = Duration::from_millis(100);

/// How many instances of 30 activities are measured.
const INSTANCES: usize = 200;

/// How many of 60.
const INSTANCES_60: usize = 60;

fn timed(problem: &Problem) -> (Solution, Duration) {
    let begin = Instant::now();
    let budget = Budget {
        schedules: u64::MAX,
        nodes: u64::MAX,
        time: LIMIT - Duration::from_millis(12),
        elapsed: &|| begin.elapsed(),
    };
    let solution = solve(problem, 1, &budget);
    let took = begin.elapsed();
    assert_eq!(problem.breach(&solution.start, &solution.mode), None);
    (solution, took)
}

/// The gaps of a set of instances, in percent, and what judged them.
struct Gaps {
    mean: f64,
    worst: f64,
    slowest_ms: f64,
    judged: usize,
    proven_by_us: usize,
    judge: &'static str,
}

fn gaps(name: &str, problems: &[Problem]) -> Gaps {
    let solved: Vec<(Solution, Duration)> = problems.iter().map(timed).collect();
    let judged = judge::optima(problems);
    let mut found: Vec<f64> = Vec::new();
    for (at, (solution, _)) in solved.iter().enumerate() {
        let best = match &judged {
            Some(verdicts) => verdicts[at].map(|verdict| {
                assert!(solution.bound <= verdict.best, "{name} {at}: a bound above a schedule");
                verdict.bound
            }),
            None => solution.is_proven().then_some(solution.makespan),
        };
        if let Some(best) = best {
            found.push(100.0 * (solution.makespan as f64 / best as f64 - 1.0));
        }
    }
    let slowest = solved.iter().map(|(_, took)| *took).max().unwrap_or_default();
    let gaps = Gaps {
        mean: found.iter().sum::<f64>() / found.len().max(1) as f64,
        worst: found.iter().copied().fold(0.0, f64::max),
        slowest_ms: slowest.as_secs_f64() * 1e3,
        judged: found.len(),
        proven_by_us: solved.iter().filter(|(solution, _)| solution.is_proven()).count(),
        judge: if judged.is_some() { "CP-SAT" } else { "own branch and bound" },
    };
    println!(
        "{name}: {} instances, {} judged by {}, mean gap {:.3} %, worst {:.2} %, slowest {:.0} ms, {} proven by us",
        problems.len(),
        gaps.judged,
        gaps.judge,
        gaps.mean,
        gaps.worst,
        gaps.slowest_ms,
        gaps.proven_by_us
    );
    gaps
}

/// A figure that must be at most `most`, beside that of the judge where there is one, who is never off.
fn row(what: &str, ours: f64, unit: &'static str, most: f64, judge: Option<&str>) -> Row {
    Row {
        limit: Some(most),
        best_peer: judge.map(|_| 0.0),
        best_peer_name: judge.map(str::to_owned),
        holds: ours <= most,
        ..Row::new(what, ours, unit, Better::Lower)
    }
}

/// A figure that must be over `limit`, where there is one.
fn higher(what: &str, unit: &'static str, ours: f64, limit: Option<f64>) -> Row {
    let holds = limit.is_none_or(|limit| ours > limit);
    Row { limit, holds, ..Row::new(what, ours, unit, Better::Higher) }
}

fn main() {
    // `cargo test --all-targets` runs benchmarks, too: it gets a few instances and no file.
    let is_bench = std::env::args().any(|arg| arg == "--bench");
    if !is_bench {
        let problem = generate::problem(30, 4, 0.5, 0.5, 1.8, 7);
        assert_eq!(psplib::parse(psplib::SAMPLE).unwrap().len(), 5);
        timed(&problem);
        return;
    }
    // What needs a host, alone and for a look: no file.
    if std::env::args().any(|arg| arg == "--runs") {
        runs::rehearse();
        runs::crowd("wide run", &large::wide());
        runs::crowd("long run", &large::long());
        return;
    }
    let j30 = gaps("30 activities", &generate::set(30, INSTANCES));
    let j60 = gaps("60 activities", &generate::set(60, INSTANCES_60));
    if let Some(dir) = std::env::var_os("PSPLIB") {
        gaps("PSPLIB files", &psplib::files(Path::new(&dir)));
    }
    let large = large::measure();
    let rehearsal = runs::rehearse();
    let wide = runs::crowd("wide run", &large::wide());
    let long = runs::crowd("long run", &large::long());
    let mut rows = vec![
        row(
            "mean gap to the optimum, 200 instances of 30 tasks",
            j30.mean,
            "%",
            1.0,
            Some(j30.judge),
        ),
        row(
            "worst gap to the optimum, 200 instances of 30 tasks",
            j30.worst,
            "%",
            8.0,
            Some(j30.judge),
        ),
        row("slowest of 200 instances of 30 tasks", j30.slowest_ms, "ms", 100.0, None),
        row(
            "mean gap to the best bound, 60 instances of 60 tasks",
            j60.mean,
            "%",
            5.0,
            Some(j60.judge),
        ),
        row("analysis of 10,000 tasks and 30,000 edges", large.seconds, "s", 1.0, None),
        row("memory of that analysis", large.megabytes, "MB", 200.0, None),
        row(
            "rehearsal of the seed's plan, 1 h = 1 s, 3 mock agents: real off predicted makespan",
            rehearsal.off_percent,
            "%",
            5.0,
            None,
        ),
        row(
            if rehearsal.proven {
                "predicted makespan of that rehearsal, proven optimal"
            } else {
                "predicted makespan of that rehearsal, not proven optimal"
            },
            rehearsal.predicted_h,
            "h",
            13.0,
            None,
        ),
    ];
    rows.extend([
        higher("busy, 10,000 no-op tasks, 50 mock agents", "%", wide.busy_percent, Some(95.0)),
        higher("that run, tasks in a second", "tasks/s", wide.tasks_per_s, None),
        higher("busy, the same in chains ten times as long", "%", long.busy_percent, None),
        higher("that run, busy while a task waited", "%", long.served_percent, None),
        higher("that run, tasks in a second", "tasks/s", long.tasks_per_s, None),
    ]);
    publish("plan", &rows).unwrap();
}
