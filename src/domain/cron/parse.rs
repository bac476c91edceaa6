//! Reading an expression.

use super::{Cron, Days, Weekdays};

/// The longest expression, in bytes.
const MAX_LENGTH: usize = 200;

/// A text that is no cron expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no cron expression: {problem}")]
pub struct CronError {
    text: String,
    problem: String,
}

impl CronError {
    fn new(text: &str, problem: impl Into<String>) -> Self {
        let text = text.chars().filter(|c| !c.is_control()).take(MAX_LENGTH).collect();
        Self { text, problem: problem.into() }
    }

    /// No day is like that.
    pub(super) fn never(text: &str) -> Self {
        Self::new(text, "that day never comes: no month has it")
    }
}

/// One field: what it may hold.
struct Field {
    name: &'static str,
    least: u8,
    most: u8,
    /// Names of the values, from the least on.
    names: &'static [&'static str],
}

const SECOND: Field = Field { name: "second", least: 0, most: 59, names: &[] };
const MINUTE: Field = Field { name: "minute", least: 0, most: 59, names: &[] };
const HOUR: Field = Field { name: "hour", least: 0, most: 23, names: &[] };
const DAY: Field = Field { name: "day of the month", least: 1, most: 31, names: &[] };
const MONTH: Field = Field {
    name: "month",
    least: 1,
    most: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAY: Field = Field {
    name: "day of the week",
    least: 0,
    most: 7,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

/// Reads an expression; whether its day ever comes is not looked at.
pub(super) fn parse(text: &str) -> Result<Cron, CronError> {
    let wrong = |problem: String| CronError::new(text, problem);
    if text.len() > MAX_LENGTH {
        return Err(wrong(format!("it is longer than {MAX_LENGTH} characters")));
    }
    let words = match text.trim() {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        other => other,
    };
    let words: Vec<&str> = words.split_ascii_whitespace().collect();
    let (second, rest) = match *words.as_slice() {
        [minute, hour, day, month, weekday] => ("0", [minute, hour, day, month, weekday]),
        [second, minute, hour, day, month, weekday] => {
            (second, [minute, hour, day, month, weekday])
        }
        _ => {
            return Err(wrong(format!(
                "it has {} fields; write 5 (minute, hour, day of the month, month, day of the week), or 6 with the second first",
                words.len()
            )));
        }
    };
    let [minute, hour, day, month, weekday] = rest;
    let field = |field: &Field, word: &str| {
        field.set(word).map_err(|problem| wrong(format!("{} `{word}`: {problem}", field.name)))
    };
    Ok(Cron {
        text: text.trim().to_owned(),
        seconds: field(&SECOND, second)?,
        minutes: field(&MINUTE, minute)?,
        hours: field(&HOUR, hour)?,
        months: field(&MONTH, month)?,
        days: days(day).map_err(|problem| wrong(format!("{} `{day}`: {problem}", DAY.name)))?,
        weekdays: weekdays(weekday)
            .map_err(|problem| wrong(format!("{} `{weekday}`: {problem}", WEEKDAY.name)))?,
    })
}

impl Field {
    /// The values of a list, as bits.
    fn set(&self, list: &str) -> Result<u64, String> {
        list.split(',').try_fold(0, |set, item| Ok(set | self.item(item)?))
    }

    /// The values of one item: `*`, `a`, `a-b`, and each of them with a step.
    fn item(&self, item: &str) -> Result<u64, String> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(self.step(step)?)),
            None => (item, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (self.least, self.most.min(self.last_of_all())),
            Some((first, last)) => self.range(first, last)?,
            // With a step, a value is where to begin.
            None if step.is_some() => (self.value(range)?, self.last_of_all()),
            None => (self.value(range)?, self.value(range)?),
        };
        Ok((first..=last).step_by(step.unwrap_or(1).into()).fold(0, |set, value| set | 1 << value))
    }

    fn range(&self, first: &str, last: &str) -> Result<(u8, u8), String> {
        let (from, mut to) = (self.value(first)?, self.value(last)?);
        // A week that ends on Sunday.
        if self.most == 7 && to == 0 && from > 0 {
            to = 7;
        }
        if from > to {
            return Err(format!(
                "the range {first}-{last} goes backwards; write two: {first}-{},{}-{last}",
                self.last_of_all(),
                self.least
            ));
        }
        Ok((from, to))
    }

    /// The last value that is not another name of an earlier one.
    const fn last_of_all(&self) -> u8 {
        if self.most == 7 { 6 } else { self.most }
    }

    fn value(&self, word: &str) -> Result<u8, String> {
        let by_name = self.names.iter().position(|name| name.eq_ignore_ascii_case(word));
        let found = by_name.and_then(|at| u8::try_from(at).ok()).map(|at| at + self.least);
        let digits = !word.is_empty() && word.bytes().all(|c| c.is_ascii_digit());
        let number = if digits { word.parse().ok() } else { None };
        let fits = |value: &u8| (self.least..=self.most).contains(value);
        found.or_else(|| number.filter(fits)).ok_or_else(|| {
            let (least, most) = (self.least, self.most);
            let names = match (self.names.first(), self.names.last()) {
                (Some(first), Some(last)) => format!(", or {first} to {last}"),
                _ => String::new(),
            };
            format!("`{word}` is not {least} to {most}{names}")
        })
    }

    fn step(&self, word: &str) -> Result<u8, String> {
        let step = word.parse().ok().filter(|step: &u8| (1..=self.most).contains(step));
        step.ok_or_else(|| format!("the step `{word}` is not 1 to {}", self.most))
    }
}

fn is_any(list: &str) -> bool {
    list.starts_with(['*', '?'])
}

fn days(list: &str) -> Result<Days, String> {
    let mut days = Days { days: 0, last: false, is_any: is_any(list) };
    for item in list.split(',') {
        match item {
            "?" => days.days |= DAY.set("*")?,
            "L" | "l" => days.last = true,
            item => days.days |= DAY.set(item)?,
        }
    }
    Ok(days)
}

fn weekdays(list: &str) -> Result<Weekdays, String> {
    let mut found = Weekdays { days: 0, nth: [0; 7], last: 0, is_any: is_any(list) };
    for item in list.split(',') {
        if item == "?" {
            found.days |= WEEKDAY.set("*")?;
        } else if let Some((day, nth)) = item.split_once('#') {
            let nth = nth.parse().ok().filter(|nth| (1..=5).contains(nth));
            let nth: u8 = nth.ok_or("after `#` stands 1 to 5")?;
            found.nth[usize::from(WEEKDAY.value(day)? % 7)] |= 1 << (nth - 1);
        } else if let Some(day) = item.strip_suffix(['L', 'l']) {
            found.last |= 1 << (WEEKDAY.value(day)? % 7);
        } else {
            found.days |= WEEKDAY.set(item)?;
        }
    }
    // Sunday has two numbers.
    found.days |= found.days >> 7 & 1;
    found.days &= 0x7f;
    Ok(found)
}
