//! Cron expressions: which times of day on which days, in a time zone.
//!
//! Five fields (minute, hour, day of the month, month, day of the week), or six with the second
//! first. A field is `*`, a value, a range `a-b`, a list `a,b`, each with a step `/n` if wanted;
//! months and days of the week have their English names (`jan`, `mon`), and 7 is Sunday, as 0 is. The day of the
//! month may be `L`, its last; a day of the week may be `fri#2`, its second in the month, or `friL`,
//! its last. `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly` and `@annually` are
//! short for what they say.
//!
//! - **Days.** Where both day fields are restricted, a day that fits either fits. A field that begins
//!   with `*` or `?` is not: then both must fit. So it is in every cron since Vixie's.
//! - **Clocks that are set forward.** A time that is left out fires once, in the moment after the
//!   gap, however many such times there are.
//! - **Clocks that are set back.** A time that comes twice fires the first time.
//! - An expression whose hour is any (`*`) says no time of day but a beat: what is left out is left
//!   out, and what comes twice fires twice.
//!
//! Pure: the zone's rules come with [`TimeZone`].

use std::{fmt, str::FromStr};

use jiff::{
    Timestamp,
    civil::{Date, DateTime, Time},
    tz::{AmbiguousOffset, TimeZone},
};

mod parse;

pub use parse::CronError;

/// How far ahead a match is looked for. February 29 on a given day of the week comes within 40.
const YEARS: i16 = 100;

/// Every hour.
const ALL_HOURS: u64 = (1 << 24) - 1;

/// A checked expression.
#[derive(Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    seconds: u64,
    minutes: u64,
    hours: u64,
    months: u64,
    days: Days,
    weekdays: Weekdays,
}

/// The field of the days of the month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Days {
    days: u64,
    last: bool,
    is_any: bool,
}

/// The field of the days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Weekdays {
    /// Any of these, Sunday being 0.
    days: u64,
    /// The nth of each weekday: bit n - 1.
    nth: [u8; 7],
    /// The last of these in the month.
    last: u8,
    is_any: bool,
}

const fn has(set: u64, value: u64) -> bool {
    set >> value & 1 == 1
}

/// The least value of `set` that is not below `from`.
const fn next_in(set: u64, from: i8) -> Option<i8> {
    let rest = if from >= 64 { 0 } else { set >> from << from };
    if rest == 0 { None } else { Some(rest.trailing_zeros() as i8) }
}

impl Days {
    fn fit(self, date: Date) -> bool {
        has(self.days, date.day().unsigned_abs().into())
            || self.last && date.day() == date.days_in_month()
    }
}

impl Weekdays {
    fn fit(self, date: Date) -> bool {
        let weekday = date.weekday().to_sunday_zero_offset().unsigned_abs();
        let nth = (date.day() - 1) / 7;
        has(self.days, weekday.into())
            || self.nth[usize::from(weekday)] >> nth & 1 == 1
            || self.last >> weekday & 1 == 1 && date.day() + 7 > date.days_in_month()
    }
}

impl Cron {
    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first time after `after` that fits, by the clocks of `zone`. `None` only where the
    /// calendar ends.
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        if self.hours == ALL_HOURS {
            self.next_beat(after, zone)
        } else {
            self.next_time(after, zone)
        }
    }

    /// As [`Cron::next_after`], of an expression that names times of day.
    fn next_time(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        // Each time of day has one moment, and later ones have no earlier moment. So those at or
        // before the time of day of `after` are over.
        let mut from = zone.to_datetime(after);
        loop {
            let civil = self.next_civil(next_second(from)?)?;
            let moment = moment_of(civil, zone)?;
            if moment > after {
                return Some(moment);
            }
            from = civil;
        }
    }

    /// As [`Cron::next_after`], of an expression that fits every hour: from one change of the clocks
    /// to the next, the times of day go by like any others.
    fn next_beat(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut from = next_second(zone.to_datetime(after))?;
        let mut since = after;
        loop {
            let offset = zone.to_offset(since);
            let change = zone.following(since).next().map(|change| change.timestamp());
            let moment = self.next_civil(from).and_then(|civil| offset.to_timestamp(civil).ok());
            match (moment, change) {
                (Some(moment), None) => return Some(moment),
                (Some(moment), Some(change)) if moment < change => return Some(moment),
                (_, Some(change)) => {
                    since = change;
                    from = zone.to_datetime(change);
                }
                (None, None) => return None,
            }
        }
    }

    /// The first time of day that fits and is not before `from`, which is a whole second.
    fn next_civil(&self, from: DateTime) -> Option<DateTime> {
        if self.fits_day(from.date())
            && let Some(time) = self.next_of_day(from.time())
        {
            return Some(from.date().to_datetime(time));
        }
        let first = self.next_of_day(Time::midnight())?;
        let mut date = from.date().tomorrow().ok()?;
        let end = from.year().saturating_add(YEARS);
        while date.year() <= end {
            if !has(self.months, date.month().unsigned_abs().into()) {
                date = date.last_of_month().tomorrow().ok()?;
            } else if self.fits_day(date) {
                return Some(date.to_datetime(first));
            } else {
                date = date.tomorrow().ok()?;
            }
        }
        None
    }

    fn fits_day(&self, date: Date) -> bool {
        let (day, weekday) = (self.days.fit(date), self.weekdays.fit(date));
        let fits =
            if self.days.is_any || self.weekdays.is_any { day && weekday } else { day || weekday };
        fits && has(self.months, date.month().unsigned_abs().into())
    }

    /// The first time within a day that fits and is not before `from`.
    fn next_of_day(&self, from: Time) -> Option<Time> {
        let least = |set| next_in(set, 0);
        let hour = next_in(self.hours, from.hour())?;
        if hour == from.hour() {
            let minute = next_in(self.minutes, from.minute());
            if minute == Some(from.minute())
                && let Some(second) = next_in(self.seconds, from.second())
            {
                return Time::new(hour, from.minute(), second, 0).ok();
            }
            if let Some(minute) = next_in(self.minutes, from.minute() + 1) {
                return Time::new(hour, minute, least(self.seconds)?, 0).ok();
            }
            let hour = next_in(self.hours, from.hour() + 1)?;
            return Time::new(hour, least(self.minutes)?, least(self.seconds)?, 0).ok();
        }
        Time::new(hour, least(self.minutes)?, least(self.seconds)?, 0).ok()
    }
}

/// The next whole second after `time`.
fn next_second(time: DateTime) -> Option<DateTime> {
    let whole = time.with().subsec_nanosecond(0).build().ok()?;
    whole.checked_add(jiff::SignedDuration::from_secs(1)).ok()
}

/// The one moment of a time of day: the first of two, or, where it is left out, the moment in which
/// the clocks go on.
fn moment_of(civil: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(civil).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(civil).ok(),
        AmbiguousOffset::Gap { after, .. } => {
            // By the clocks of afterwards that time is before the gap.
            let before_gap = after.to_timestamp(civil).ok()?;
            zone.following(before_gap).next().map(|change| change.timestamp())
        }
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cron({:?})", self.text)
    }
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        let cron = parse::parse(text)?;
        // Whether it ever comes can be seen from any day.
        let begin = DateTime::constant(2000, 1, 1, 0, 0, 0, 0);
        if cron.next_civil(begin).is_none() {
            return Err(CronError::never(text));
        }
        Ok(cron)
    }
}

#[cfg(test)]
mod tests;
