//! `[limits]`, and the limits of queues and fleets.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Limits,
    reader::Section,
    units::{format_duration, parse_duration},
};
use crate::domain::admission::{KeyPattern, Limit, Rate};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The most that a limit may allow.
const MOST: u32 = 1_000_000;

/// The longest window of a rate.
const LONGEST: Duration = DAY.saturating_mul(366);

/// Reads the section `[limits]`.
pub(super) fn all(section: &Section<'_>) -> Option<Limits> {
    let concurrency = concurrency(section, "concurrency");
    let patience = section.duration("patience", Duration::ZERO..=DAY);
    let keys = section.section("keys").and_then(|section| keys(&section));
    Some(Limits {
        all: Limit { concurrency: concurrency?, rate: None },
        patience: patience?,
        keys: keys?,
    })
}

/// Reads the tables of keys. They have no defaults, so that what a table says is all there is.
fn keys(section: &Section<'_>) -> Option<BTreeMap<KeyPattern, Limit>> {
    const KNOWN: [&str; 2] = ["concurrency", "rate"];
    let mut read = Some(BTreeMap::new());
    for name in section.keys() {
        let table = section.section(name);
        let pattern = name.parse::<KeyPattern>().map_err(|error| {
            section.problem(name, error.to_string());
        });
        let limit = table.and_then(|table| {
            let mut sound = true;
            for key in table.keys().into_iter().filter(|key| !KNOWN.contains(key)) {
                table.problem(
                    key,
                    "unknown key; the keys here are `concurrency`, `rate`".to_owned(),
                );
                sound = false;
            }
            let has = |key| table.keys().contains(&key);
            let concurrency =
                if has("concurrency") { concurrency(&table, "concurrency") } else { Some(None) };
            let rate = if has("rate") { rate(&table, "rate") } else { Some(None) };
            sound.then_some(Limit { concurrency: concurrency?, rate: rate? })
        });
        match (pattern, limit, &mut read) {
            (Ok(pattern), Some(limit), Some(read)) => _ = read.insert(pattern, limit),
            (Ok(_), Some(_), None) => {}
            _ => read = None,
        }
    }
    read
}

/// Reads a limit out of the two keys that say it.
pub(super) fn read(section: &Section<'_>, concurrency: &str, rate: &str) -> Option<Limit> {
    let (concurrency, rate) = (self::concurrency(section, concurrency), self::rate(section, rate));
    Some(Limit { concurrency: concurrency?, rate: rate? })
}

/// How many may run at once, or nothing where it is `"off"`.
pub(super) fn concurrency(section: &Section<'_>, key: &str) -> Option<Option<u32>> {
    let read = section.number_or_off(key, 0..=u64::from(MOST))?;
    Some(read.and_then(|number| u32::try_from(number).ok()))
}

/// A rate, or nothing where it is `"off"`.
fn rate(section: &Section<'_>, key: &str) -> Option<Option<Rate>> {
    let text = section.text(key)?;
    if text == super::reader::OFF {
        return Some(None);
    }
    parse_rate(&text).map_err(|message| section.problem(key, message)).ok().map(Some)
}

/// Reads a rate such as `60/1m`: so many may begin within such a window.
///
/// # Errors
///
/// What is wrong with it, for people.
pub fn parse_rate(text: &str) -> Result<Rate, String> {
    let wrong = || {
        format!("`{text}` is not a rate: write how many may begin within which time, as \"60/1m\"")
    };
    let (count, per) = text.split_once('/').ok_or_else(wrong)?;
    let count: u32 = count.trim().parse().map_err(|_| wrong())?;
    if count == 0 || count > MOST {
        return Err(format!("must let 1 to {MOST} begin, got {count}"));
    }
    let per = parse_duration(per.trim())?;
    if per < Duration::from_millis(1) || per > LONGEST {
        return Err(format!("must have a window of 1ms to {}", format_duration(LONGEST)));
    }
    Ok(Rate { count, per })
}

/// Writes a rate so that [`parse_rate`] reads it again.
pub fn format_rate(rate: Rate) -> String {
    format!("{}/{}", rate.count, format_duration(rate.per))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_count_and_a_window() {
        let rows = [("60/1m", 60, 60_000), ("1 / 250ms", 1, 250), ("5/1h 30m", 5, 5_400_000)];
        for (text, count, ms) in rows {
            let rate = Rate { count, per: Duration::from_millis(ms) };
            assert_eq!(parse_rate(text), Ok(rate), "{text}");
            assert_eq!(parse_rate(&format_rate(rate)), Ok(rate), "{text}");
        }
        for bad in ["", "60", "60/", "/1m", "0/1s", "1/0s", "1/2", "-1/1s", "1/1000days", "x/1s"] {
            assert!(parse_rate(bad).is_err(), "{bad}");
        }
    }
}
