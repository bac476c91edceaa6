//! What commands print: tables for people, JSON for programs.
//!
//! Colour is only ever written to a terminal (`anstream` sees to that), and what agents or tasks
//! say can't move the cursor: control characters are taken out of every cell.

use std::{collections::BTreeMap, fmt::Display, io::Write};

use anstyle::{AnsiColor, Style};
use comfy_table::{Table as Grid, presets::NOTHING};
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use serde_json::Value;

use super::exit::Outcome;
use crate::domain::{agent::AgentState, task::TaskState};

/// The longest cell of a table, in characters.
const MAX_CELL: usize = 60;

/// Where and how a command prints.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    /// JSON, and nothing else.
    pub(super) json: bool,
}

impl Output {
    /// Prints `value` as JSON, or what `human` makes of it.
    pub(super) fn show<T: Serialize>(
        self,
        value: &T,
        human: impl FnOnce(&T) -> String,
    ) -> Outcome<()> {
        if !self.json {
            return self.text(&human(value));
        }
        let text = serde_json::to_string_pretty(value).map_err(std::io::Error::from)?;
        self.text(&text)
    }

    /// Prints text, ended by a line end.
    pub(super) fn text(self, text: &str) -> Outcome<()> {
        let mut out = anstream::stdout().lock();
        out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        Ok(out.flush()?)
    }
}

/// How a row or a word looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// As it is.
    Plain,
    /// All is well.
    Good,
    /// Worth a look.
    Warn,
    /// Something is wrong.
    Bad,
    /// Over and done.
    Dim,
}

impl Tone {
    /// The style of the tone.
    pub(super) fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warn => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default(),
            Self::Dim => Style::new().dimmed(),
        }
    }

    /// `text` in the tone.
    pub(super) fn paint(self, text: &str) -> String {
        let style = self.style();
        format!("{style}{text}{style:#}")
    }
}

/// The tone of a task's state.
pub(super) const fn task_tone(state: TaskState) -> Tone {
    match state {
        TaskState::Blocked | TaskState::Scheduled | TaskState::Pending => Tone::Plain,
        TaskState::Running | TaskState::Completed => Tone::Good,
        TaskState::AwaitingInput => Tone::Warn,
        TaskState::Failed => Tone::Bad,
        TaskState::Cancelled => Tone::Dim,
    }
}

/// The tone of an agent's state.
pub(super) const fn agent_tone(state: AgentState) -> Tone {
    match state {
        AgentState::Idle | AgentState::Starting => Tone::Plain,
        AgentState::Busy => Tone::Good,
        AgentState::Stale | AgentState::Backoff | AgentState::Paused => Tone::Warn,
        AgentState::Quarantined => Tone::Bad,
        AgentState::Stopped | AgentState::Stopping => Tone::Dim,
    }
}

/// A table without lines: one row, one line.
pub(super) struct Table {
    grid: Grid,
    tones: Vec<Tone>,
}

impl Table {
    /// A table with these heads.
    pub(super) fn new(heads: &[&str]) -> Self {
        let mut grid = Grid::new();
        grid.load_style(NOTHING).set_header(heads.to_vec());
        for column in grid.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Self { grid, tones: Vec::new() }
    }

    /// Adds a row.
    pub(super) fn row<const N: usize>(&mut self, tone: Tone, cells: [String; N]) {
        self.grid.add_row(cells.map(|cell| short(&cell, MAX_CELL)));
        self.tones.push(tone);
    }

    /// The table as lines, or `empty` if it has no rows.
    pub(super) fn render(&self, empty: &str) -> String {
        if self.tones.is_empty() {
            return format!("{empty}\n");
        }
        let text = self.grid.to_string();
        let bold = Style::new().bold();
        let mut out = String::new();
        for (nth, line) in text.lines().enumerate() {
            let line = line.trim_end();
            let painted = match nth.checked_sub(1).and_then(|row| self.tones.get(row)) {
                None => format!("{bold}{line}{bold:#}"),
                Some(Tone::Plain) => line.to_owned(),
                Some(tone) => tone.paint(line),
            };
            out.push_str(&painted);
            out.push('\n');
        }
        out
    }
}

/// Lines of `name: value`, the values under each other.
pub(super) fn card(lines: &[(&str, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    lines.iter().map(|(name, value)| format!("{name:<width$}  {}\n", clean(value))).collect()
}

/// `text` on one line, at most `max` characters long.
fn short(text: &str, max: usize) -> String {
    let clean = clean(text);
    if clean.chars().count() <= max {
        return clean;
    }
    clean.chars().take(max.saturating_sub(1)).chain(['…']).collect()
}

/// `text` on one line, without anything that a terminal would obey.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

/// JSON for a person: text as it is, anything else compact.
pub(super) fn brief(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// What is there, or a dash.
pub(super) fn or_dash<T: Display>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// `idle 3, busy 1`, without what is zero.
pub(super) fn counts<K: Display, V: Display>(counts: &BTreeMap<K, V>) -> String {
    let words: Vec<_> = counts.iter().map(|(what, count)| format!("{what} {count}")).collect();
    if words.is_empty() { "-".to_owned() } else { words.join(", ") }
}

/// A length of time in its largest unit that has a whole one: `850ms`, `42s`, `7m`, `3h`, `12d`.
pub(super) fn span(ms: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = UNITS.into_iter().find(|(size, _)| ms >= *size);
    unit.map_or_else(|| format!("{ms}ms"), |(size, word)| format!("{}{word}", ms / size))
}

/// How long ago, or how far ahead, `at` is at `now`.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    let ms = now.duration_since(at).as_millis();
    match u64::try_from(ms) {
        Ok(past) => format!("{} ago", span(past)),
        Err(_) => format!("in {}", span(u64::try_from(-ms).unwrap_or(u64::MAX))),
    }
}

/// A time of day in the zone of this machine.
pub(super) fn local(at: Timestamp) -> String {
    at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_table_is_lined_up_whatever_its_tones() {
        let mut table = Table::new(&["NAME", "STATE"]);
        table.row(Tone::Plain, ["a-1".to_owned(), "idle".to_owned()]);
        table.row(Tone::Bad, ["long-name-2".to_owned(), "quarantined".to_owned()]);
        let rendered = table.render("no agents");
        assert_eq!(
            plain(&rendered),
            "NAME         STATE\na-1          idle\nlong-name-2  quarantined\n"
        );
        assert!(rendered.contains("\u{1b}[31mlong-name-2"), "{rendered:?}");
        assert_eq!(Table::new(&["NAME"]).render("no agents"), "no agents\n");
    }

    #[test]
    fn cells_are_one_short_line_that_a_terminal_does_not_obey() {
        let mut table = Table::new(&["ERROR"]);
        table.row(Tone::Plain, [format!("\u{1b}[2Ja\nb\t{}", "x".repeat(100))]);
        let rendered = plain(&table.render(""));
        let cell = rendered.lines().nth(1).unwrap();
        assert!(cell.starts_with("[2Ja b x"), "{cell}");
        assert_eq!((cell.chars().count(), rendered.lines().count()), (MAX_CELL, 2));
        assert!(cell.ends_with('…'));
        assert_eq!(
            card(&[("a", "x\r\ny".to_owned()), ("long", "z".to_owned())]),
            "a     x  y\nlong  z\n"
        );
    }

    #[test]
    fn spans_and_times_are_short() {
        let rows = [
            (0, "0ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (59_999, "59s"),
            (61_500, "1m"),
            (7_200_000, "2h"),
            (200_000_000, "2d"),
        ];
        for (ms, text) in rows {
            assert_eq!(span(ms), text);
        }
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(ago(at(0), at(90)), "1m ago");
        assert_eq!(ago(at(90), at(0)), "in 1m");
    }

    #[test]
    fn values_for_people_are_brief() {
        assert_eq!(brief(&serde_json::json!({"a": [1]})), r#"{"a":[1]}"#);
        assert_eq!(brief(&Value::from("plain")), "plain");
        assert_eq!(brief(&Value::Null), "");
        assert_eq!(or_dash(None::<u8>), "-");
        assert_eq!(counts(&BTreeMap::from([("busy", 1), ("idle", 3)])), "busy 1, idle 3");
    }
}
