//! The main job, end to end, beside what the same Postgres and the same kernel do with nothing
//! around them. `cargo bench --bench tasks [-- --quick]`; `docs/BENCHMARKS.md` says how to read it.
//!
//! The host is the real program with a private, fully durable Postgres; its agents, and the
//! processes of the floor, are this same program started with another argument.

#![expect(
    clippy::disallowed_methods,
    reason = "it measures real processes from outside, on plain threads and the real clock"
)]

mod agent;
#[path = "../api.rs"]
mod api;
mod floor;
mod host;
mod measure;
#[path = "../report.rs"]
mod report;

use std::{error::Error, process::ExitCode};

use measure::{Figures, Sizes, percentile};
use report::{Better, Row};

const FULL: Sizes = Sizes { runs: 3, pickups: 500, drain: 20_000, singles: 3_000, crashes: 100 };
const QUICK: Sizes = Sizes { runs: 1, pickups: 100, drain: 2_000, singles: 500, crashes: 20 };

fn main() -> ExitCode {
    let done = match agent::run_if_asked() {
        Some(ran) => ran.map_err(Into::into),
        None => bench(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<(), Box<dyn Error>> {
    let has = |argument: &str| std::env::args().any(|given| given == argument);
    // `cargo test --all-targets` runs this program as well.
    if !has("--bench") {
        println!("nothing is measured without `cargo bench`");
        return Ok(());
    }
    let sizes = if has("--quick") { QUICK } else { FULL };
    let mut runs = Vec::with_capacity(sizes.runs);
    for number in 1..=sizes.runs {
        eprintln!("run {number} of {}", sizes.runs);
        runs.push(measure::run(&sizes)?);
    }
    Ok(report::publish("tasks", &rows(&runs))?)
}

/// The middle one of what the runs say.
fn median(runs: &[Figures], name: &str) -> f64 {
    let mut values: Vec<f64> = runs.iter().filter_map(|run| run.get(name).copied()).collect();
    percentile(&mut values, 0.5)
}

fn rows(runs: &[Figures]) -> Vec<Row> {
    const NOTIFY: &str = "floor: INSERT + NOTIFY, LISTEN, claim by SKIP LOCKED";
    const FORK: &str = "floor: kill, wait, fork and exec of the same program";
    const UNNEST: &str = "floor: INSERT of 1,000 rows by unnest";
    const INSERT: &str = "floor: INSERT over 10 connections";
    const FOUR: &str = "floor: claim 4, complete 4, one connection";
    const MANY: &str = "floor: claim 256, complete 256, one connection";
    use Better::{Higher, Lower};
    let beside = |what: &str, name, unit, better, floor, floor_name: &str| Row {
        best_peer: Some(report::round(median(runs, floor))),
        best_peer_name: Some(floor_name.to_owned()),
        ..Row::new(what, median(runs, name), unit, better)
    };
    let alone = |what: &str, name, unit| Row::new(what, median(runs, name), unit, Lower);
    vec![
        beside("pick-up, idle agents, p50", "pickup p50", "ms", Lower, "pickup p50 floor", NOTIFY),
        beside("pick-up, idle agents, p95", "pickup p95", "ms", Lower, "pickup p95 floor", NOTIFY),
        beside("pick-up, idle agents, p99", "pickup p99", "ms", Lower, "pickup p99 floor", NOTIFY),
        beside("drain, 4 workers", "drain", "tasks/s", Higher, "drain floor same", FOUR),
        beside(
            "drain, 4 workers, large floor",
            "drain",
            "tasks/s",
            Higher,
            "drain floor large",
            MANY,
        ),
        alone("drain, commits per task", "drain commits", "commits"),
        alone("drain, WAL per task", "drain wal", "bytes"),
        alone("drain, CPU of the host process per task", "drain cpu", "us"),
        beside(
            "submit, 10 clients, one each",
            "singles",
            "tasks/s",
            Higher,
            "singles floor",
            INSERT,
        ),
        beside("submit, 1 client, 1,000 each", "bulk", "tasks/s", Higher, "bulk floor", UNNEST),
        beside("crash to restart, p50", "restart p50", "ms", Lower, "restart p50 floor", FORK),
        beside("crash to restart, p95", "restart p95", "ms", Lower, "restart p95 floor", FORK),
    ]
}
