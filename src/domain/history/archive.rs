//! What archives are called, which of them are put together, and when one is over its term.

use std::ops::Range;

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

use super::Keep;
use crate::domain::leadership::Term;

/// What the names of archives end with.
pub const ARCHIVE_END: &str = ".jsonl.gz";

/// How long after its end nobody writes to a day any more: a leader of before may have been about
/// to, and clocks differ.
const MARGIN: SignedDuration = SignedDuration::from_hours(1);

/// What stands between the name that a file of several is made from and its number.
const MERGED: &str = "-m";

/// The directory and the name of an archive that is written at `at`: the day, then the time, who
/// writes (the leader of a term, or somebody by hand), and `nth`, where that is taken already.
pub fn archive_name(at: Timestamp, term: Option<Term>, nth: u32) -> (String, String) {
    let time = at.to_zoned(TimeZone::UTC);
    let who = term.map_or_else(|| "hand".to_owned(), |term| format!("t{}", term.0));
    let nth = if nth == 0 { String::new() } else { format!("_{nth}") };
    (
        time.strftime("%Y-%m-%d").to_string(),
        format!("{}-{who}{nth}{ARCHIVE_END}", time.strftime("%Y-%m-%dT%H-%M-%S.%6fZ")),
    )
}

/// The name of the archive that has all of several in it, of which `last` is the last; the names
/// from `nth` = 1 on are tried in turn.
///
/// It stands right beside `last` in the order of names: so whoever finds a task in both finds what was
/// written last behind what was written before.
pub fn merged_name(last: &str, nth: u32) -> String {
    let stem = last.strip_suffix(ARCHIVE_END).unwrap_or(last);
    let (stem, before) = match stem.rsplit_once(MERGED) {
        Some((stem, number)) if number.parse::<u32>().is_ok() => {
            (stem, number.parse().unwrap_or(0))
        }
        _ => (stem, 0),
    };
    format!("{stem}{MERGED}{}{ARCHIVE_END}", before + nth)
}

/// Whether nothing is written to a day any more.
pub fn is_closed(day: Date, now: Timestamp) -> bool {
    is_past(day, MARGIN, now)
}

/// Whether all that was written on a day is over its term.
pub fn is_over(day: Date, keep: Keep, now: Timestamp) -> bool {
    let Keep::For(term) = keep else { return false };
    let term = SignedDuration::try_from(term).unwrap_or(SignedDuration::MAX);
    is_past(day, term.max(MARGIN), now)
}

/// Whether a day has ended that long ago.
fn is_past(day: Date, term: SignedDuration, now: Timestamp) -> bool {
    let end = day.tomorrow().and_then(|next| next.to_zoned(TimeZone::UTC));
    let over = end.and_then(|end| end.timestamp().checked_add(term));
    over.is_ok_and(|over| over <= now)
}

/// Which of the archives of a day are put together, by their sizes in the order of their names:
/// neighbours, as many as make no more than `most` bytes.
pub fn merges(sizes: &[u64], most: u64) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut at = 0;
    while at < sizes.len() {
        let (mut end, mut sum) = (at + 1, sizes[at]);
        while end < sizes.len() && sum.saturating_add(sizes[end]) <= most {
            sum += sizes[end];
            end += 1;
        }
        if end - at > 1 {
            runs.push(at..end);
        }
        at = end;
    }
    runs
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn names_of_archives_are_in_the_order_of_time_and_never_the_same() {
        let at: Timestamp = "2026-03-01T07:08:09.000123Z".parse().unwrap();
        let name = |term, nth| archive_name(at, term, nth);
        let (day, file) = name(Some(Term(7)), 0);
        assert_eq!((&*day, &*file), ("2026-03-01", "2026-03-01T07-08-09.000123Z-t7.jsonl.gz"));
        assert_eq!(name(Some(Term(7)), 2).1, "2026-03-01T07-08-09.000123Z-t7_2.jsonl.gz");
        assert_eq!(name(None, 0).1, "2026-03-01T07-08-09.000123Z-hand.jsonl.gz");
        let later = archive_name("2026-03-01T07:08:10Z".parse().unwrap(), None, 0).1;
        assert!(file < later, "{file} {later}");
    }

    #[test]
    fn a_merged_archive_stands_beside_the_last_that_it_is_made_of() {
        let at = |time: &str| time.parse::<Timestamp>().unwrap();
        let time = at("2026-03-01T07:08:09Z");
        let one = archive_name(time, Some(Term(7)), 0).1;
        let two = archive_name(time, Some(Term(7)), 1).1;
        let next = archive_name(at("2026-03-01T07:08:09.000001Z"), Some(Term(7)), 0).1;
        let merged = merged_name(&two, 1);
        assert_eq!(merged, "2026-03-01T07-08-09.000000Z-t7_1-m1.jsonl.gz");
        assert!(one < merged && merged < next && two < next);
        // Once more, and where the name is taken.
        let again = merged_name(&merged, 1);
        assert_eq!(again, "2026-03-01T07-08-09.000000Z-t7_1-m2.jsonl.gz");
        assert_eq!(again, merged_name(&two, 2));
        assert!(one < again && again < next);
        assert_eq!(merged_name("x-mine.jsonl.gz", 1), "x-mine-m1.jsonl.gz");
    }

    #[test]
    fn neighbours_are_put_together_as_far_as_they_make_no_large_file() {
        type Row = (&'static [u64], &'static [(usize, usize)]);
        let rows: [Row; 7] = [
            (&[], &[]),
            (&[3], &[]),
            (&[3, 3], &[(0, 2)]),
            (&[3, 8, 3], &[]),
            (&[3, 3, 9, 1, 3, 3], &[(0, 2), (2, 4), (4, 6)]),
            (&[11, 1, 1, 11], &[(1, 3)]),
            (&[5, 5, 5, 5, 5], &[(0, 2), (2, 4)]),
        ];
        for (sizes, runs) in rows {
            let found: Vec<_> =
                merges(sizes, 10).into_iter().map(|run| (run.start, run.end)).collect();
            assert_eq!(found, runs, "{sizes:?}");
        }
        // What was put together is not put together again and again.
        let mut sizes = vec![1; 1_000];
        let mut rounds = 0;
        loop {
            let runs = merges(&sizes, 10);
            if runs.is_empty() {
                break;
            }
            for run in runs.into_iter().rev() {
                let sum = sizes[run.clone()].iter().sum();
                sizes.splice(run, [sum]);
            }
            rounds += 1;
        }
        assert_eq!((rounds, sizes.len()), (1, 100));
    }

    #[test]
    fn a_day_is_closed_an_hour_after_its_end_and_over_its_term_after_that() {
        let day: Date = "2026-03-01".parse().unwrap();
        let days = |days: u64| Keep::For(Duration::from_secs(days * 24 * 60 * 60));
        let rows = [
            ("2026-02-28T00:00:00Z", false, false, false),
            ("2026-03-01T23:59:59Z", false, false, false),
            ("2026-03-02T00:59:59Z", false, false, false),
            ("2026-03-02T01:00:00Z", true, true, false),
            ("2026-03-11T23:59:59Z", true, true, false),
            ("2026-03-12T00:00:00Z", true, true, true),
        ];
        for (now, closed, over_soon, over) in rows {
            let now: Timestamp = now.parse().unwrap();
            assert_eq!(is_closed(day, now), closed, "{now}");
            let soon = Keep::For(Duration::from_secs(60));
            assert_eq!(is_over(day, soon, now), over_soon, "{now}: not before it is closed");
            assert_eq!(is_over(day, days(10), now), over, "{now}");
            assert!(!is_over(day, Keep::Forever, now));
        }
    }
}
