//! What is left behind: tables for people, and two files for programs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, thread,
    time::Duration,
};

use serde_json::json;

use crate::{
    Outcome, bars,
    cluster::SETTINGS,
    meter::Samples,
    options::{Options, Scenario},
    report::{Row, round, write},
};

/// The columns of the second table: what was measured, the part of its samples, the heading.
const COLUMNS: [(&str, f64, &str); 7] = [
    ("drain", 0.5, "drain/s"),
    ("submit", 0.5, "submit/s"),
    ("bulk", 0.5, "bulk/s"),
    ("pick-up", 0.50, "p50 ms"),
    ("pick-up", 0.99, "p99 ms"),
    ("backlog ratio", 0.5, "full table"),
    ("snapshot ratio", 0.5, "snapshot"),
];

/// Prints everything, and writes `target/bench/queue.json` (the rows) and
/// `target/bench/queue-samples.json` (every single figure, and how it was measured).
///
/// # Errors
///
/// If a file cannot be written.
pub(crate) fn publish(
    options: &Options,
    samples: &Samples,
    remarks: &[String],
    version: &str,
    busy: f64,
) -> Outcome<()> {
    let mut rows = bars::rows(samples);
    print_bars(&rows);
    print_everybody(samples);
    println!("\nPostgreSQL {version}; {}; {} repeats", SETTINGS.join(", "), options.sizes.repeats);
    println!("before the run others used {:.0} % of the CPU", busy * 100.0);
    for remark in remarks {
        println!("{remark}");
    }
    rows.extend(bars::beside(samples));

    let mut everything: BTreeMap<&str, BTreeMap<&str, &[f64]>> = BTreeMap::new();
    for (who, what, values) in samples.all() {
        everything.entry(who).or_default().insert(what, values);
    }
    let scenarios: Vec<_> = options.scenarios.iter().copied().map(Scenario::name).collect();
    let samples = json!({
        "postgres": version,
        "settings": SETTINGS,
        "cpu_used_by_others_before": busy,
        "remarks": remarks,
        "scenarios": scenarios,
        "sizes": format!("{:?}", options.sizes),
        "samples": everything,
    });
    write("queue", &rows)?;
    Ok(write("queue-samples", &samples)?)
}

fn print_bars(rows: &[Row]) {
    println!(
        "\n{:<61} {:>10} {:<10} {:>10} {:<5} {:>10} best peer",
        "queue", "ours", "", "bar", "holds", ""
    );
    for row in rows {
        let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
        println!(
            "{:<61} {:>10} {:<10} {:>10} {:<5} {:>10} {}",
            row.what,
            row.ours,
            row.unit,
            number(row.bar),
            if row.holds { "yes" } else { "NO" },
            number(row.best_peer),
            row.best_peer_name.as_deref().unwrap_or_default(),
        );
    }
}

fn print_everybody(samples: &Samples) {
    print!("\n{:<50}", "everybody");
    COLUMNS.iter().for_each(|(_, _, heading)| print!(" {heading:>10}"));
    println!();
    let everybody: BTreeSet<&str> = samples.all().map(|(who, ..)| who).collect();
    for who in everybody.into_iter().filter(|who| *who != crate::ceiling::NAME) {
        print!("{who:<50}");
        for (what, part, _) in COLUMNS {
            let value = samples.part(who, what, part).map(round);
            print!(" {:>10}", value.map_or_else(|| "-".to_owned(), |value| value.to_string()));
        }
        println!();
    }
    println!();
    for (who, what, _) in samples.all().filter(|(who, ..)| *who == crate::ceiling::NAME) {
        let (p50, p99) = (samples.median(who, what), samples.part(who, what, 0.99));
        let (p50, p99) = (p50.map_or(f64::NAN, round), p99.map_or(f64::NAN, round));
        let p99 =
            if what.contains("wake-up") { format!(" ms, p99 {p99}") } else { "/s".to_owned() };
        println!("ceiling: {what:<40} {p50:>10}{p99}");
    }
}

/// The share of the CPU that is in use while nothing of ours runs.
///
/// # Errors
///
/// If the kernel does not say.
pub(crate) fn busy() -> Outcome<f64> {
    let read = || -> Outcome<(u64, u64)> {
        let stat = fs::read_to_string("/proc/stat")?;
        let first = stat.lines().next().unwrap_or_default();
        let ticks: Vec<u64> =
            first.split_whitespace().skip(1).take(8).filter_map(|word| word.parse().ok()).collect();
        let idle = ticks.iter().skip(3).take(2).sum();
        Ok((ticks.iter().sum(), idle))
    };
    let before = read()?;
    thread::sleep(Duration::from_secs(2));
    let after = read()?;
    let (all, idle) = (after.0 - before.0, after.1 - before.1);
    Ok(1.0 - idle as f64 / all.max(1) as f64)
}
