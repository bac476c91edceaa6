//! Sessions, webhooks and events, beside a program by `FastAPI` and beside bare SQL, on one
//! Postgres in one run. `make bench-sessions`, or
//!
//! ```sh
//! cargo bench --bench sessions -- [--quick] [--only PART,...] [--repeats COUNT]
//! ```
//!
//! `docs/BENCHMARKS.md` says what is measured and how to read it.

#![expect(
    clippy::disallowed_methods,
    reason = "it measures real processes from outside, on plain threads and the real clock"
)]

#[path = "../queue/agent.rs"]
#[expect(dead_code, reason = "it also tells and counts for another benchmark")]
mod agent;
mod bars;
mod client;
#[path = "../queue/cluster.rs"]
#[expect(dead_code, reason = "another benchmark has more than two databases")]
mod cluster;
#[path = "../floor.rs"]
mod floor;
mod host;
mod latency;
#[path = "../queue/meter.rs"]
#[expect(dead_code, reason = "it also counts drained tasks for another benchmark")]
mod meter;
mod peer;
#[path = "../report.rs"]
#[expect(dead_code, reason = "its table has no bars; the one of this benchmark has")]
mod report;
mod requests;
mod streams;

use std::{
    error::Error,
    process::{Command, ExitCode},
    time::Duration,
};

use cluster::Cluster;
use host::Host;
use meter::Samples;
use peer::Peer;

/// What went wrong.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;
/// What came of something.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// How often everything is measured, but for what is patient: that is once.
    pub(crate) repeats: usize,
    /// For how long memories are stored.
    pub(crate) store: Duration,
    /// How many memories there are when they are looked for.
    pub(crate) memories: usize,
    /// Looks of each kind.
    pub(crate) looks: usize,
    /// Tasks whose ends are told.
    pub(crate) ends: usize,
    /// Commands of git.
    pub(crate) commands: usize,
    /// Sessions that are open at once.
    pub(crate) sessions: usize,
    /// For how long they are written to.
    pub(crate) crowd: Duration,
    /// Subscribers that hear nothing.
    pub(crate) subscribers: usize,
}

const FULL: Sizes = Sizes {
    repeats: 3,
    store: Duration::from_secs(10),
    memories: 1_000_000,
    looks: 1_000,
    ends: 500,
    commands: 200,
    sessions: 10_000,
    crowd: Duration::from_secs(60),
    subscribers: 5_000,
};

const QUICK: Sizes = Sizes {
    repeats: 1,
    store: Duration::from_secs(4),
    memories: 100_000,
    looks: 200,
    ends: 100,
    commands: 50,
    sessions: 10_000,
    crowd: Duration::from_secs(12),
    subscribers: 5_000,
};

/// One run of the benchmark.
pub(crate) struct Run {
    /// The host that is measured. Ends before its Postgres does.
    pub(crate) host: Host,
    /// The program beside it, where it can be had.
    pub(crate) peer: Option<Peer>,
    /// The Postgres of both.
    pub(crate) cluster: Cluster,
    /// How much is measured.
    pub(crate) sizes: Sizes,
    /// What came of it so far.
    pub(crate) samples: Samples,
}

/// What can be measured alone.
const PARTS: [&str; 6] = ["store", "ends", "git", "crowd", "subscribers", "looks"];

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
    let (sizes, parts) = read(&arguments)?;
    let cluster = Cluster::start()?;
    cluster.make("ours", None)?;
    let host = Host::start(&cluster, "ours")?;
    let peer = match Peer::start(&cluster, "theirs") {
        Ok(peer) => Some(peer),
        Err(error) => {
            eprintln!("the FastAPI program is left out: {error}");
            None
        }
    };
    let mut run = Run { host, peer, cluster, sizes, samples: Samples::default() };
    for repeat in 0..sizes.repeats {
        for part in &parts {
            eprintln!("repeat {} of {}: {part}", repeat + 1, sizes.repeats);
            // What others left to be written would be written at the cost of whoever comes first.
            Command::new("sync").status()?;
            part_of(&mut run, part, repeat == 0).map_err(|error| format!("{part}: {error}"))?;
        }
    }
    let rows = bars::rows(&run.samples);
    bars::print(&rows);
    Ok(report::write("sessions", &rows)?)
}

fn part_of(run: &mut Run, part: &str, first: bool) -> Outcome<()> {
    match part {
        "store" => requests::store(run),
        "git" => requests::git(run),
        "ends" => latency::ends(run),
        // Those that take long are measured once.
        "crowd" if first => requests::crowd(run),
        "subscribers" if first => streams::subscribers(run),
        "looks" if first => requests::looks(run),
        _ => Ok(()),
    }
}

fn read(arguments: &[String]) -> Outcome<(Sizes, Vec<&'static str>)> {
    let (mut sizes, mut parts, mut repeats) = (FULL, PARTS.to_vec(), None);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("`{argument}` needs a value"));
        match argument.as_str() {
            // From cargo itself.
            "--bench" => {}
            "--quick" => sizes = QUICK,
            "--only" => {
                let names: Vec<&str> = value()?.split(',').collect();
                if let Some(name) = names.iter().find(|name| !PARTS.contains(name)) {
                    let all = PARTS.join(", ");
                    return Err(format!("`{name}` is no part; there are {all}").into());
                }
                parts.retain(|part| names.contains(part));
            }
            "--repeats" => repeats = Some(value()?.parse()?),
            other => {
                let usage = "the arguments are --quick, --only PART,..., --repeats COUNT";
                return Err(format!("`{other}` is no argument; {usage}").into());
            }
        }
    }
    sizes.repeats = repeats.unwrap_or(sizes.repeats);
    Ok((sizes, parts))
}
