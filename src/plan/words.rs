//! Figures as people read them.

use crate::{
    domain::{
        Millis,
        plan::{Cause, Conflict, FileUse, Pair, Worker},
    },
    settings::parse_duration,
};

/// Milliseconds in an hour.
const HOUR: f64 = 3_600_000.0;

/// A length of time in hours, to a ten-thousandth.
pub fn in_hours(time: Millis) -> f64 {
    (time as f64 / HOUR * 10_000.0).round() / 10_000.0
}

/// A length of time in hours where that is short to say, else in hours and minutes.
pub fn hours(time: Millis) -> String {
    let minutes = (time as f64 / 60_000.0).round() as u64;
    match (minutes / 60, minutes % 60) {
        (0, 0) if time > 0 => format!("{} s", time.div_ceil(1_000)),
        (hours, 0) => format!("{hours} h"),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes:02} min"),
    }
}

/// Reads how fast a rehearsal goes, as `1h=1s`: how many milliseconds of the clock an hour of the plan
/// takes.
///
/// # Errors
///
/// What to write.
pub fn parse_speed(text: &str) -> Result<u64, String> {
    let (plan, clock) = text.split_once('=').ok_or_else(|| {
        format!("`{text}` is no speed: write what a time of the plan takes, as \"1h=1s\"")
    })?;
    let [plan, clock] = [parse_duration(plan.trim())?, parse_duration(clock.trim())?];
    if plan.is_zero() {
        return Err("a speed begins with a time of the plan, as \"1h=1s\"".to_owned());
    }
    let hour =
        u128::from(crate::domain::plan::run::HOUR) * clock.as_millis() / plan.as_millis().max(1);
    match u64::try_from(hour) {
        Ok(hour) if hour > 0 => Ok(hour),
        _ => Err("is too fast, or too slow: an hour of the plan takes at least 1ms".to_owned()),
    }
}

/// A share, in whole percent.
pub fn percent(share: f64) -> String {
    format!("{share:.0} %")
}

/// Who it is.
pub fn worker(worker: Worker) -> String {
    match worker {
        Worker::Agent(number) => format!("agent {number}"),
        Worker::Person(number) => format!("person {number}"),
    }
}

/// Why a task waits.
pub const fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Dependency => "dependency",
        Cause::Files => "file conflict",
        Cause::Worker => "no agent free",
        Cause::Phase => "phase",
    }
}

/// The files that a conflict is about: one pattern where both are the same.
pub fn files(conflict: &Conflict) -> Vec<String> {
    let one = |pair: &Pair| {
        let used =
            |file: &FileUse| format!("{}{}", file.glob, if file.write { "" } else { " (read)" });
        if pair.first == pair.second {
            used(&pair.first)
        } else {
            format!("{} / {}", used(&pair.first), used(&pair.second))
        }
    };
    conflict.files.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_to_read() {
        let rows = [
            (0, "0 h"),
            (1, "1 s"),
            (7_200_000, "2 h"),
            (1_800_000, "30 min"),
            (5_400_000, "1 h 30 min"),
        ];
        for (time, text) in rows {
            assert_eq!(hours(time), text);
        }
        assert_eq!(in_hours(2_700_000), 0.75);
    }

    #[test]
    fn a_speed_is_what_an_hour_takes() {
        assert_eq!(parse_speed("1h=1s"), Ok(1_000));
        assert_eq!(parse_speed("30m = 500ms"), Ok(1_000));
        assert_eq!(parse_speed("1s=1h"), Ok(3_600_000 * 3_600));
        for bad in ["1h", "1h=", "0s=1s", "1h=0s", "1=1s", "1h=1h=1h"] {
            assert!(parse_speed(bad).is_err(), "{bad}");
        }
    }
}
