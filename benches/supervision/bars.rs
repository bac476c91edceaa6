//! What was measured, beside the bars.

use crate::{
    meter::Samples,
    ours::NAME,
    report::{
        Better::{self, Higher, Lower},
        Row, round,
    },
    subject::Peer,
};

/// What a figure is held against.
enum Bar {
    /// So many times the floor of the same run.
    Floor(f64),
    /// This.
    Fixed(f64),
    /// Nothing.
    None,
}

/// What is measured, which part of its samples counts, and what it must keep.
struct Line {
    what: &'static str,
    figure: (&'static str, f64),
    unit: &'static str,
    better: Better,
    bar: Bar,
}

const fn line(
    what: &'static str,
    figure: (&'static str, f64),
    unit: &'static str,
    better: Better,
    bar: Bar,
) -> Line {
    Line { what, figure, unit, better, bar }
}

const LINES: [Line; 30] = [
    line("killed child to the next, p50", ("restart", 0.5), "ms", Lower, Bar::Floor(1.5)),
    line("killed child to the next, p95", ("restart", 0.95), "ms", Lower, Bar::Fixed(5.0)),
    line("start of 200", ("start", 0.5), "ms", Lower, Bar::Floor(2.0)),
    line("start of 1,000", ("start many", 0.5), "ms", Lower, Bar::Floor(2.0)),
    line("start of 200 with their host", ("start with their host", 0.5), "ms", Lower, Bar::None),
    line("start of 1,000 with theirs", ("start many with their host", 0.5), "ms", Lower, Bar::None),
    line("all 200 killed, all back", ("storm", 0.5), "ms", Lower, Bar::Floor(1.5)),
    line("all 1,000 killed, all back", ("storm many", 0.5), "ms", Lower, Bar::Floor(1.5)),
    line("slowest answer to HTTP meanwhile, 200", ("answer in storm", 0.5), "ms", Lower, Bar::None),
    line(
        "slowest answer to HTTP meanwhile, 1,000",
        ("answer in storm many", 0.5),
        "ms",
        Lower,
        Bar::None,
    ),
    line("memory with 200 (PSS)", ("memory", 0.5), "MB", Lower, Bar::Fixed(25.0)),
    line(
        "memory of each more, to 2,000",
        ("memory of one more", 0.5),
        "kB",
        Lower,
        Bar::Fixed(20.0),
    ),
    line("CPU in 10 s, 200 idle", ("idle cpu", 0.5), "ms", Lower, Bar::Fixed(10.0)),
    line("wake-ups in 10 s, 200 idle", ("idle wake-ups", 0.5), "", Lower, Bar::Fixed(30.0)),
    line("stop of 200, 16 of them bad", ("stop", 0.5), "ms", Lower, Bar::Fixed(1150.0)),
    line(
        "the same without control groups",
        ("stop without groups", 0.5),
        "ms",
        Lower,
        Bar::Fixed(1150.0),
    ),
    line("survivors of that", ("survivors", 1.0), "", Lower, Bar::Fixed(0.0)),
    line("left of a killed child's own", ("left after a restart", 1.0), "", Lower, Bar::Fixed(0.0)),
    line("host killed: alive of 20", ("alive after the crash", 0.0), "", Higher, Bar::Fixed(20.0)),
    line("host killed: started twice", ("started twice", 1.0), "", Lower, Bar::Fixed(0.0)),
    line("host killed: whole results of 20", ("whole results", 0.0), "", Higher, Bar::Fixed(20.0)),
    line("host killed: back after", ("back", 0.5), "ms", Lower, Bar::Fixed(1000.0)),
    line("hang to the next process, limit 1 s", ("hang", 0.5), "ms", Lower, Bar::Fixed(1100.0)),
    line("task of others, p50", ("task", 0.5), "ms", Lower, Bar::None),
    line("the same while an agent floods", ("task in flood", 0.5), "ms", Lower, Bar::None),
    line("task of others, p99", ("task", 0.99), "ms", Lower, Bar::None),
    line("the same while it floods", ("task in flood", 0.99), "ms", Lower, Bar::None),
    line("flood let through, of 200 MB/s", ("flood let through", 0.5), "MB/s", Lower, Bar::None),
    line("crash loop", ("crash loop", 0.5), "% CPU", Lower, Bar::Fixed(1.0)),
    line("crash loop ends in quarantine", ("quarantined", 0.0), "", Higher, Bar::Fixed(1.0)),
];

/// Every figure of ours, with its bar and the best of the peers.
pub(crate) fn rows(samples: &Samples) -> Vec<Row> {
    let floor = |line: &Line| samples.part(Peer::Floor.name(), line.figure.0, line.figure.1);
    let measured = LINES.iter().filter_map(|line| {
        let ours = samples.part(NAME, line.figure.0, line.figure.1)?;
        let bar = match line.bar {
            Bar::Floor(times) => floor(line).map(|floor| floor * times),
            Bar::Fixed(bar) => Some(bar),
            Bar::None => None,
        };
        let holds = match (&line.bar, bar) {
            (Bar::None, _) => true,
            (_, None) => false,
            (_, Some(bar)) if line.better == Higher => ours >= bar,
            (_, Some(bar)) => ours <= bar,
        };
        let best = best(samples, line);
        Some(Row {
            best_peer: best.as_ref().map(|best| round(best.1)),
            best_peer_name: best.map(|best| best.0),
            bar: bar.map(round),
            holds,
            ..Row::new(line.what, ours, line.unit, line.better)
        })
    });
    measured.collect()
}

/// The figures of everybody else, each beside ours.
pub(crate) fn beside(samples: &Samples) -> Vec<Row> {
    let mut rows = Vec::new();
    for line in &LINES {
        let Some(ours) = samples.part(NAME, line.figure.0, line.figure.1) else { continue };
        for peer in [Peer::Floor].into_iter().chain(Peer::OTHERS) {
            let Some(theirs) = samples.part(peer.name(), line.figure.0, line.figure.1) else {
                continue;
            };
            rows.push(Row {
                best_peer: Some(round(theirs)),
                best_peer_name: Some(peer.name().to_owned()),
                ..Row::new(
                    format!("{}, beside {}", line.what, peer.name()),
                    ours,
                    line.unit,
                    line.better,
                )
            });
        }
    }
    rows
}

fn best(samples: &Samples, line: &Line) -> Option<(String, f64)> {
    let theirs = Peer::OTHERS.into_iter().filter_map(|peer| {
        Some((peer.name().to_owned(), samples.part(peer.name(), line.figure.0, line.figure.1)?))
    });
    theirs.min_by(|a, b| a.1.total_cmp(&b.1))
}

/// Prints the rows with their bars.
pub(crate) fn print(rows: &[Row]) {
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    println!("\n{:<62} {:>9} {:<6} {:>8} holds {:>9}", "supervision", "ours", "", "bar", "peer");
    for row in rows {
        println!(
            "{:<62} {:>9} {:<6} {:>8} {:<5} {:>9} {}",
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
