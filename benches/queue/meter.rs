//! From moments to figures.

use std::{collections::BTreeMap, time::Duration};

/// How fast tasks were drained, all in tasks a second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drained {
    /// Until the last was completed, durably.
    pub(crate) completed: f64,
    /// Until the last was handed to whoever carries it out.
    pub(crate) handled: f64,
    /// The last third of them against the first.
    pub(crate) thirds: f64,
}

impl Drained {
    /// What `moments`, at which tasks were handled, say; nanoseconds, sorted. `completed` is when
    /// all were completed.
    pub(crate) fn of(began: u64, moments: &[u64], completed: u64) -> Self {
        let count = moments.len();
        let third = count / 3;
        let at = |place: usize| moments.get(place).copied().unwrap_or(began);
        let last = at(count.saturating_sub(1));
        let first_third = rate(third, began, at(third.saturating_sub(1)));
        let last_third = rate(third, at(count.saturating_sub(third + 1)), last);
        Self {
            completed: rate(count, began, completed),
            handled: rate(count, began, last),
            thirds: last_third / first_third,
        }
    }
}

/// How many a second, between two moments in nanoseconds.
pub(crate) fn rate(count: usize, from: u64, to: u64) -> f64 {
    count as f64 / Duration::from_nanos(to.saturating_sub(from)).as_secs_f64()
}

/// From one moment to a later one, in milliseconds.
pub(crate) fn millis(from: u64, to: u64) -> f64 {
    Duration::from_nanos(to.saturating_sub(from)).as_secs_f64() * 1e3
}

/// A wait between two tasks: long enough to be idle again, and never in step with anything.
pub(crate) fn pause() -> Duration {
    Duration::from_micros(fastrand::u64(5_000..25_000))
}

/// The value below which so much of `samples` lies, between the two nearest of them.
pub(crate) fn percentile(samples: &[f64], part: f64) -> Option<f64> {
    let mut samples = samples.to_vec();
    samples.sort_unstable_by(f64::total_cmp);
    let place = part * samples.len().checked_sub(1)? as f64;
    let (below, above) = (samples[place.floor() as usize], samples[place.ceil() as usize]);
    Some(below + (above - below) * place.fract())
}

/// What was measured, of whom; every repeat adds to it.
#[derive(Debug, Default)]
pub(crate) struct Samples(BTreeMap<(String, &'static str), Vec<f64>>);

impl Samples {
    /// Adds what `who` came to.
    pub(crate) fn add(&mut self, who: &str, what: &'static str, values: &[f64]) {
        eprintln!("  {who}: {what} {}", shown(values));
        self.0.entry((who.to_owned(), what)).or_default().extend(values);
    }

    /// The middle one of what `who` came to.
    pub(crate) fn median(&self, who: &str, what: &'static str) -> Option<f64> {
        self.part(who, what, 0.5)
    }

    /// The value below which so much of what `who` came to lies.
    pub(crate) fn part(&self, who: &str, what: &'static str, part: f64) -> Option<f64> {
        percentile(self.0.get(&(who.to_owned(), what))?, part)
    }

    /// Everything.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &'static str, &[f64])> {
        self.0.iter().map(|((who, what), values)| (&**who, *what, &**values))
    }
}

fn shown(values: &[f64]) -> String {
    match values {
        [one] => format!("{one:.2}"),
        many => {
            let part = |part| percentile(many, part).unwrap_or(f64::NAN);
            format!("p50 {:.2} p99 {:.2} of {}", part(0.50), part(0.99), many.len())
        }
    }
}
