//! The queue beside every other queue on Postgres, and beside what bare SQL can do, in one run on
//! one server. `make bench-queue`, or
//!
//! ```sh
//! cargo bench --bench queue -- [--quick] [--only NAME,...] [--no-peers] [--peers NAME,...]
//! ```
//!
//! `docs/BENCHMARKS.md` says what is measured and how to read it.

#![expect(
    clippy::disallowed_methods,
    reason = "it measures real processes from outside, on plain threads and the real clock"
)]

mod agent;
#[path = "../api.rs"]
mod api;
mod bars;
mod catalog;
mod ceiling;
mod cluster;
#[path = "../floor.rs"]
mod floor;
mod host;
mod library;
mod meter;
mod options;
mod ours;
mod peers;
#[path = "../report.rs"]
#[expect(dead_code, reason = "its table has no bars; the one of this benchmark has")]
mod report;
mod sessions;
mod state;
mod table;

use std::{error::Error, process::ExitCode};

use cluster::Cluster;
use meter::Samples;
use options::{Options, Scenario, Sizes};
use peers::Peers;

/// What went wrong.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;
/// What came of something.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// One run of the benchmark.
pub(crate) struct Run {
    /// The server that everybody uses.
    pub(crate) cluster: Cluster,
    /// How much is measured.
    pub(crate) sizes: Sizes,
    /// What came of it so far.
    pub(crate) samples: Samples,
    /// What a reader of it should know: who could not be measured, and why.
    pub(crate) remarks: Vec<String>,
}

impl Run {
    /// Says something now, and again at the end.
    pub(crate) fn tell(&mut self, remark: String) {
        eprintln!("  {remark}");
        self.remarks.push(remark);
    }
}

fn main() -> ExitCode {
    let asked = agent::run_if_asked().map(|ran| ran.map_err(Into::into));
    let done = asked.or_else(floor::run_if_asked).unwrap_or_else(bench);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --all-targets` runs this program as well.
    if !arguments.iter().any(|given| given == "--bench") {
        println!("nothing is measured without `cargo bench`");
        return Ok(());
    }
    let options = Options::read(&arguments)?;
    let busy = table::busy()?;
    let mut run = Run {
        cluster: Cluster::start()?,
        sizes: options.sizes,
        samples: Samples::default(),
        remarks: Vec::new(),
    };
    library::make_template(&run.cluster)?;
    let peers = Peers::prepare(&mut run, &options)?;
    for repeat in 0..options.sizes.repeats {
        for scenario in &options.scenarios {
            eprintln!("repeat {} of {}: {}", repeat + 1, options.sizes.repeats, scenario.name());
            measure(&mut run, *scenario)?;
            peers.measure(&mut run, *scenario, repeat);
        }
    }
    let version = run.cluster.session("postgres")?.ask("SHOW server_version")?;
    let Run { cluster, samples, remarks, .. } = run;
    drop(cluster);
    table::publish(&options, &samples, &remarks, &version, busy)
}

fn measure(run: &mut Run, scenario: Scenario) -> Outcome<()> {
    match scenario {
        Scenario::Drain => ours::drains(run),
        Scenario::Library => {
            ceiling::drains(run)?;
            library::drains(run)
        }
        Scenario::Submit => {
            ceiling::submits(run)?;
            ours::submits(run)
        }
        Scenario::Pickup => {
            ceiling::pickups(run)?;
            ours::pickups(run)
        }
        Scenario::Backlog => ours::backlog(run),
        Scenario::Snapshot => ours::snapshots(run),
        Scenario::Idle => ours::idle(run),
        Scenario::Submitters => ours::submitters(run),
    }
    .map_err(|error| format!("{}: {error}", scenario.name()).into())
}
