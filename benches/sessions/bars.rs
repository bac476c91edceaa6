//! What was measured, beside the bars.

use crate::{
    meter::Samples,
    peer,
    report::{
        Better::{self, Higher, Lower},
        Row, round,
    },
    requests::{BARE, LEAST, OURS, SAME},
};

/// What a figure is held against.
enum Bar {
    /// So many times the figure of somebody else.
    Times(f64, &'static str),
    /// This.
    Fixed(f64),
    /// Nothing.
    None,
}

/// What is measured, which part of its samples counts, what it must keep, and whom it stands beside.
struct Line {
    what: &'static str,
    figure: (&'static str, f64),
    unit: &'static str,
    better: Better,
    bar: Bar,
    beside: Option<&'static str>,
}

const fn line(
    what: &'static str,
    figure: (&'static str, f64),
    (unit, better): (&'static str, Better),
    bar: Bar,
    beside: Option<&'static str>,
) -> Line {
    Line { what, figure, unit, better, bar, beside }
}

const RATE: (&str, Better) = ("memories/s", Higher);
const MS: (&str, Better) = ("ms", Lower);

const LINES: [Line; 20] = [
    line(
        "store_memory, 32 clients: beside FastAPI",
        ("stored", 0.5),
        RATE,
        Bar::Times(5.0, peer::NAME),
        Some(peer::NAME),
    ),
    line(
        "store_memory, 32 clients: beside bare INSERTs",
        ("stored", 0.5),
        RATE,
        Bar::Times(0.6, BARE),
        Some(BARE),
    ),
    line("the same, into our own table", ("stored", 0.5), RATE, Bar::None, Some(SAME)),
    line("the same, by the least server", ("stored", 0.5), RATE, Bar::None, Some(LEAST)),
    line("query_memories by tag, p99", ("by tag", 0.99), MS, Bar::Fixed(10.0), Some(peer::NAME)),
    line("query_memories by tag, p50", ("by tag", 0.5), MS, Bar::None, Some(peer::NAME)),
    line("query_memories by text, p99", ("by text", 0.99), MS, Bar::Fixed(50.0), Some(peer::NAME)),
    line("query_memories by text, p50", ("by text", 0.5), MS, Bar::None, Some(peer::NAME)),
    line("settled to its event, p99", ("event", 0.99), MS, Bar::Fixed(10.0), None),
    line("settled to its event, p50", ("event", 0.5), MS, Bar::None, None),
    line("settled to its signed webhook, p99", ("webhook", 0.99), MS, Bar::Fixed(20.0), None),
    line("settled to its signed webhook, p50", ("webhook", 0.5), MS, Bar::None, None),
    line(
        "sync git status over the bare command, p50",
        ("git", 0.5),
        MS,
        Bar::Fixed(5.0),
        Some(peer::NAME),
    ),
    line("10,000 sessions, 100 writers, p99", ("crowd", 0.99), MS, Bar::Fixed(25.0), None),
    line("the same, memories", ("crowd rate", 0.5), RATE, Bar::None, None),
    line(
        "the same, memory at the end / before",
        ("crowd growth", 0.5),
        ("", Lower),
        Bar::Fixed(1.1),
        None,
    ),
    line(
        "5,000 idle subscribers: held",
        ("subscribers", 0.5),
        ("", Higher),
        Bar::Fixed(5_000.0),
        None,
    ),
    line("the same, memory of each", ("subscriber memory", 0.5), ("kB", Lower), Bar::None, None),
    line("the same, CPU in 10 s", ("subscribers cpu", 0.5), MS, Bar::None, None),
    line(
        "the same, settled to its event, p99",
        ("event among many", 0.99),
        MS,
        Bar::Fixed(10.0),
        None,
    ),
];

/// Every figure of ours, with its bar and what stands beside it.
pub(crate) fn rows(samples: &Samples) -> Vec<Row> {
    let measured = LINES.iter().filter_map(|line| {
        let (what, part) = line.figure;
        let ours = samples.part(OURS, what, part)?;
        let of = |who: &str| samples.part(who, what, part);
        let bar = match line.bar {
            Bar::Times(times, who) => of(who).map(|theirs| theirs * times),
            Bar::Fixed(bar) => Some(bar),
            Bar::None => None,
        };
        let holds = match (&line.bar, bar) {
            (Bar::None, _) => true,
            // Without whom it is held against, it is not known.
            (_, None) => false,
            (_, Some(bar)) if line.better == Higher => ours >= bar,
            (_, Some(bar)) => ours <= bar,
        };
        let beside = line.beside.and_then(|who| Some((who, of(who)?)));
        Some(Row {
            best_peer: beside.map(|(_, theirs)| round(theirs)),
            best_peer_name: beside.map(|(who, _)| who.to_owned()),
            limit: if let Bar::Fixed(bar) = line.bar { Some(bar) } else { None },
            bar: if let Bar::Times(..) = line.bar { bar.map(round) } else { None },
            holds,
            ..Row::new(line.what, ours, line.unit, line.better)
        })
    });
    measured.collect()
}

/// Prints the rows with their bars.
pub(crate) fn print(rows: &[Row]) {
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    println!("\n{:<52} {:>9} {:<11} {:>8} holds {:>9}", "sessions", "ours", "", "bar", "beside");
    for row in rows {
        let (bar, beside) = (number(row.bar.or(row.limit)), number(row.best_peer));
        let (holds, who) = (if row.holds { "yes" } else { "NO" }, &row.best_peer_name);
        println!(
            "{:<52} {:>9} {:<11} {bar:>8} {holds:>5} {beside:>9} {}",
            row.what,
            row.ours,
            row.unit,
            who.as_deref().unwrap_or_default()
        );
    }
}
