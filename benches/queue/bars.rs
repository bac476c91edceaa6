//! What the figures are held against. Every bar is of the same run.

use crate::{
    ceiling,
    meter::Samples,
    ours::NAME,
    report::{Better, Row, round},
};

/// A figure: what was measured, and the part of its samples that lies below; 0.5 is the median.
type Figure = (&'static str, f64);

/// What a figure is held against.
#[derive(Debug, Clone, Copy)]
enum Bar {
    /// To be better than the best peer.
    Peers,
    /// At least so much of a ceiling.
    Ceiling(f64, &'static str),
    /// At least another figure of ours.
    Own(&'static str),
    /// At least this, or below it where less is better.
    Fixed(f64),
    /// Nothing.
    None,
}

/// One row of the report.
struct Line {
    what: &'static str,
    figure: Figure,
    unit: &'static str,
    better: Better,
    bar: Bar,
    /// The ceilings that are shown beside it.
    ceilings: &'static [&'static str],
}

const fn line(
    what: &'static str,
    figure: Figure,
    unit: &'static str,
    better: Better,
    bar: Bar,
    ceilings: &'static [&'static str],
) -> Line {
    Line { what, figure, unit, better, bar, ceilings }
}

/// The part of samples that a median is.
const MEDIAN: f64 = 0.5;
const RATE: &str = "tasks/s";
const DRAINS: &[&str] = &["pipe", "mark", "log"];
const WAKE_UPS: &[&str] = &["local wake-up", "wake-up by NOTIFY"];

/// Everything that is reported, in this order.
const LINES: &[Line] = {
    use Better::{Higher, Lower};
    &[
        line("drain, 4 workers over stdio", ("drain", MEDIAN), RATE, Higher, Bar::Peers, DRAINS),
        line(
            "drain by the library",
            ("drain by the library", MEDIAN),
            RATE,
            Higher,
            Bar::Ceiling(1.0, "mark"),
            DRAINS,
        ),
        line(
            "submit over HTTP, 10 clients, one each",
            ("submit", MEDIAN),
            RATE,
            Higher,
            Bar::Ceiling(0.8, "bare insert"),
            &["bare insert", "least server"],
        ),
        line(
            "submit over HTTP, 4 clients, 1,000 each",
            ("bulk", MEDIAN),
            RATE,
            Higher,
            Bar::Ceiling(0.8, "copy"),
            &["copy"],
        ),
        line(
            "submit by the library, 1,000 each",
            ("bulk by the library", MEDIAN),
            RATE,
            Higher,
            Bar::Ceiling(0.8, "copy"),
            &["copy"],
        ),
        line("pick-up, idle agents, p50", ("pick-up", 0.50), "ms", Lower, Bar::Peers, WAKE_UPS),
        line("pick-up, idle agents, p99", ("pick-up", 0.99), "ms", Lower, Bar::Peers, WAKE_UPS),
        line(
            "drain with finished beside, against empty",
            ("finished ratio", MEDIAN),
            "ratio",
            Higher,
            Bar::Fixed(0.95),
            &[],
        ),
        line(
            "drain with finished beside and pending behind, against empty",
            ("backlog ratio", MEDIAN),
            "ratio",
            Higher,
            Bar::Fixed(0.95),
            &[],
        ),
        line(
            "drain under a held snapshot, last third against first",
            ("snapshot ratio", MEDIAN),
            "ratio",
            Higher,
            Bar::Fixed(0.95),
            &[],
        ),
        line(
            "drain under a held snapshot",
            ("drain under a snapshot", MEDIAN),
            RATE,
            Higher,
            Bar::None,
            &[],
        ),
        line(
            "statements while 200 agents are idle",
            ("idle statements", MEDIAN),
            "per second",
            Lower,
            Bar::Fixed(2.0),
            &[],
        ),
        line(
            "submit over HTTP, 64 clients, beside 8",
            ("submit by 64", MEDIAN),
            RATE,
            Higher,
            Bar::Own("submit by 8"),
            &[],
        ),
        line(
            "submit by SQL, 64 sessions, beside 8",
            ("enqueue by 64", MEDIAN),
            RATE,
            Higher,
            Bar::Own("enqueue by 8"),
            &[],
        ),
    ]
};

/// What was measured, each with its bar and the best peer.
pub(crate) fn rows(samples: &Samples) -> Vec<Row> {
    let measured = LINES.iter().filter_map(|line| Some((line, of(samples, NAME, line.figure)?)));
    measured
        .map(|(line, ours)| {
            let best = best_peer(samples, line);
            let bar = match line.bar {
                Bar::Peers => best.as_ref().map(|best| best.1),
                Bar::Ceiling(part, what) => {
                    samples.median(ceiling::NAME, what).map(|all| part * all)
                }
                Bar::Own(what) => samples.median(NAME, what),
                Bar::Fixed(bar) => Some(bar),
                Bar::None => None,
            };
            let holds = match (line.bar, bar) {
                (Bar::None, _) => true,
                // A peer that was not measured is not beaten.
                (_, None) => false,
                (Bar::Peers, Some(bar)) if line.better == Better::Higher => ours > bar,
                (_, Some(bar)) if line.better == Better::Higher => ours >= bar,
                (_, Some(bar)) => ours < bar,
            };
            Row {
                best_peer: best.as_ref().map(|best| round(best.1)),
                best_peer_name: best.map(|best| best.0),
                bar: bar.map(round),
                holds,
                ..Row::new(line.what, ours, line.unit, line.better)
            }
        })
        .collect()
}

/// Every figure of everybody else, each beside ours.
pub(crate) fn beside(samples: &Samples) -> Vec<Row> {
    let mut rows = Vec::new();
    for line in LINES {
        let Some(ours) = of(samples, NAME, line.figure) else { continue };
        let ceilings = line.ceilings.iter().filter_map(|what| {
            let theirs = of(samples, ceiling::NAME, (what, line.figure.1))?;
            Some((format!("ceiling: {what}"), theirs))
        });
        for (name, theirs) in ceilings.chain(peers(samples, line)) {
            rows.push(Row {
                best_peer: Some(round(theirs)),
                best_peer_name: Some(name.clone()),
                ..Row::new(format!("{}, beside {name}", line.what), ours, line.unit, line.better)
            });
        }
    }
    rows
}

fn of(samples: &Samples, who: &str, (what, part): Figure) -> Option<f64> {
    samples.part(who, what, part)
}

/// What each peer came to.
fn peers(samples: &Samples, line: &Line) -> Vec<(String, f64)> {
    let theirs = samples
        .all()
        .filter(|(who, what, _)| *what == line.figure.0 && *who != NAME && *who != ceiling::NAME);
    theirs.filter_map(|(who, ..)| Some((who.to_owned(), of(samples, who, line.figure)?))).collect()
}

fn best_peer(samples: &Samples, line: &Line) -> Option<(String, f64)> {
    let better = |a: &f64, b: &f64| match line.better {
        Better::Lower => b.total_cmp(a),
        Better::Higher => a.total_cmp(b),
    };
    peers(samples, line).into_iter().max_by(|a, b| better(&a.1, &b.1))
}
