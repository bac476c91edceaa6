//! Supervision beside a bare loop of fork and wait, and beside other supervisors, in one run.
//! `make bench-supervision`, or
//!
//! ```sh
//! cargo bench --bench supervision -- [--quick] [--only NAME,...] [--no-peers] [--repeats COUNT]
//! ```
//!
//! `docs/BENCHMARKS.md` says what is measured and how to read it.

#![expect(
    clippy::disallowed_methods,
    reason = "it measures real processes from outside, on plain threads and the real clock"
)]

mod bars;
mod flood;
mod measure;
#[path = "../queue/meter.rs"]
#[expect(dead_code, reason = "it also counts tasks for another benchmark")]
mod meter;
mod ours;
#[path = "../report.rs"]
#[expect(dead_code, reason = "its table has no bars; the one of this benchmark has")]
mod report;
mod stage;
mod subject;

use std::{error::Error, process::ExitCode, time::Duration};

use meter::Samples;
use stage::Stage;

/// What went wrong.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;
/// What came of something.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// How often everything is measured, but for what is patient: that is once.
    pub(crate) repeats: usize,
    /// Children that are killed one by one.
    pub(crate) kills: usize,
    /// How long idle agents are left alone before they are watched.
    pub(crate) calm: Duration,
    /// For how long they are.
    pub(crate) idle: Duration,
}

const FULL: Sizes =
    Sizes { repeats: 5, kills: 200, calm: Duration::from_secs(5), idle: Duration::from_secs(10) };

const QUICK: Sizes =
    Sizes { repeats: 1, kills: 50, calm: Duration::from_secs(2), idle: Duration::from_secs(5) };

/// One run of the benchmark.
pub(crate) struct Run {
    /// Where it happens.
    pub(crate) stage: Stage,
    /// How much is measured.
    pub(crate) sizes: Sizes,
    /// What came of it so far.
    pub(crate) samples: Samples,
    remarks: Vec<String>,
}

impl Run {
    /// Says something now, and again at the end.
    pub(crate) fn tell(&mut self, remark: String) {
        eprintln!("  {remark}");
        self.remarks.push(remark);
    }
}

/// What can be measured alone.
const PARTS: [&str; 9] =
    ["fleets", "memory", "stops", "leaks", "crash", "hang", "flood", "loops", "peers"];

fn main() -> ExitCode {
    match bench() {
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
    let mut run =
        Run { stage: Stage::new()?, sizes, samples: Samples::default(), remarks: Vec::new() };
    for repeat in 0..sizes.repeats {
        for part in &parts {
            eprintln!("repeat {} of {}: {part}", repeat + 1, sizes.repeats);
            part_of(&mut run, part, repeat == 0).map_err(|error| format!("{part}: {error}"))?;
        }
    }
    let mut rows = bars::rows(&run.samples);
    rows.extend(bars::beside(&run.samples));
    bars::print(&rows);
    for remark in &run.remarks {
        println!("{remark}");
    }
    Ok(report::write("supervision", &rows)?)
}

fn part_of(run: &mut Run, part: &str, first: bool) -> Outcome<()> {
    match part {
        "fleets" => measure::fleets(run, first),
        "stops" => measure::stops(run),
        "leaks" => measure::leaks(run),
        "crash" => measure::crash(run),
        "hang" => measure::hang(run),
        "flood" => flood::flood(run),
        // Those that take long are measured once.
        "memory" if first => measure::memory(run),
        "loops" if first => measure::loops(run),
        "peers" if first => measure::peers(run),
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
            "--no-peers" => parts.retain(|part| *part != "peers"),
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
                let usage =
                    "the arguments are --quick, --only PART,..., --no-peers, --repeats COUNT";
                return Err(format!("`{other}` is no argument; {usage}").into());
            }
        }
    }
    sizes.repeats = repeats.unwrap_or(sizes.repeats);
    Ok((sizes, parts))
}
