//! One log line: collected from slog, cleaned of secrets, written as JSON or for people.

use std::fmt::{self, Write};

use anstyle::{AnsiColor, Color, Style};
use slog::{Key, Level, OwnedKVList, Record};

use super::redact::Redactor;

/// The hidden field that carries the time of a line, in microseconds, from where it was logged to
/// where it is written.
pub(super) const TIME: &str = "ts";

/// A line, before it has a form.
pub(super) struct Line {
    time: jiff::Timestamp,
    level: Level,
    message: String,
    /// In the order logged; the value is a JSON literal.
    fields: Vec<(Key, String)>,
}

impl Line {
    /// Collects the line of a record. Where a name is bound twice, the nearest value counts.
    pub(super) fn of(record: &Record<'_>, values: &OwnedKVList, redactor: &Redactor) -> Self {
        let mut fields = Fields { redactor, time: None, fields: Vec::new() };
        let own = slog::KV::serialize(&record.kv(), record, &mut fields);
        let bound = slog::KV::serialize(values, record, &mut fields);
        let mut message = redactor.clean(&record.msg().to_string()).into_owned();
        if own.is_err() || bound.is_err() {
            message.push_str(" (some fields could not be written)");
        }
        // slog hands the newest field over first; people read them in the order they were bound.
        fields.fields.reverse();
        Self {
            time: fields.time.unwrap_or_else(jiff::Timestamp::now),
            level: record.level(),
            message,
            fields: fields.fields,
        }
    }

    /// A line that telemetry itself writes.
    pub(super) fn own(level: Level, message: &str, fields: Vec<(Key, String)>) -> Self {
        Self { time: jiff::Timestamp::now(), level, message: message.to_owned(), fields }
    }

    /// Appends the line as one JSON object and a line feed.
    pub(super) fn json(&self, out: &mut String) {
        let time = self.time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ");
        let level = level_word(self.level);
        written(write!(
            out,
            r#"{{"ts":"{time}","level":"{level}","msg":{}"#,
            quoted(&self.message)
        ));
        for (key, value) in &self.fields {
            written(write!(out, ",{}:{value}", quoted(key)));
        }
        out.push_str("}\n");
    }

    /// Appends the line for people, and a line feed: time, level, component, message, fields.
    pub(super) fn human(&self, out: &mut String, colour: bool) {
        let style = |style: Style| if colour { style } else { Style::new() };
        let (dim, strong) = (style(Style::new().dimmed()), style(level_style(self.level)));
        let time = self.time.strftime("%H:%M:%S%.3fZ");
        let level = level_word(self.level);
        written(write!(out, "{dim}{time}{dim:#} {strong}{level:<8}{strong:#} "));
        let is_component = |field: &&(Key, String)| field.0 == super::keys::COMPONENT;
        if let Some((_, component)) = self.fields.iter().find(is_component) {
            written(write!(out, "{}: ", plain(component)));
        }
        out.push_str(&without_controls(&self.message));
        for (key, value) in self.fields.iter().filter(|field| !is_component(field)) {
            written(write!(out, " {dim}{key}={dim:#}{}", plain(value)));
        }
        out.push('\n');
    }
}

/// Writing to a String cannot fail.
fn written(result: fmt::Result) {
    debug_assert!(result.is_ok());
}

/// `text` as a JSON string, which every text has.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// A JSON literal without its quotes, where it needs none to be read.
fn plain(literal: &str) -> String {
    let text = literal.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    match text {
        Some(text) if !text.is_empty() && !text.contains([' ', '=', '\\']) => {
            without_controls(text)
        }
        _ => without_controls(literal),
    }
}

/// `text` with control characters escaped: a value must not steer a terminal.
fn without_controls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// The word of a level in a line.
fn level_word(level: Level) -> &'static str {
    match level {
        Level::Critical => "critical",
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

fn level_style(level: Level) -> Style {
    let colour = match level {
        Level::Critical | Level::Error => AnsiColor::Red,
        Level::Warning => AnsiColor::Yellow,
        Level::Info => AnsiColor::Green,
        Level::Debug => AnsiColor::Cyan,
        Level::Trace => AnsiColor::BrightBlack,
    };
    Style::new().fg_color(Some(Color::Ansi(colour)))
}

/// Collects fields; the first of a name stays.
struct Fields<'a> {
    redactor: &'a Redactor,
    time: Option<jiff::Timestamp>,
    fields: Vec<(Key, String)>,
}

impl Fields<'_> {
    fn push(&mut self, key: Key, literal: String) -> slog::Result {
        let taken = super::keys::FIXED.contains(&key);
        if !taken && !self.fields.iter().any(|(known, _)| *known == key) {
            self.fields.push((key, literal));
        }
        Ok(())
    }
}

macro_rules! emit_literals {
    ($($name:ident: $type:ty,)*) => {
        $(fn $name(&mut self, key: Key, value: $type) -> slog::Result {
            self.push(key, value.to_string())
        })*
    };
}

impl slog::Serializer for Fields<'_> {
    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        self.emit_str(key, &value.to_string())
    }

    fn emit_str(&mut self, key: Key, value: &str) -> slog::Result {
        let literal = quoted(&self.redactor.clean(value));
        self.push(key, literal)
    }

    fn emit_i64(&mut self, key: Key, value: i64) -> slog::Result {
        if key == TIME && self.time.is_none() {
            self.time = jiff::Timestamp::from_microsecond(value).ok();
            return Ok(());
        }
        self.push(key, value.to_string())
    }

    fn emit_f64(&mut self, key: Key, value: f64) -> slog::Result {
        // JSON has no NaN and no infinity.
        self.push(key, serde_json::Value::from(value).to_string())
    }

    fn emit_f32(&mut self, key: Key, value: f32) -> slog::Result {
        self.emit_f64(key, f64::from(value))
    }

    fn emit_unit(&mut self, key: Key) -> slog::Result {
        self.push(key, "null".to_owned())
    }

    fn emit_none(&mut self, key: Key) -> slog::Result {
        self.push(key, "null".to_owned())
    }

    emit_literals! {
        emit_bool: bool,
        emit_u8: u8,
        emit_i8: i8,
        emit_u16: u16,
        emit_i16: i16,
        emit_u32: u32,
        emit_i32: i32,
        emit_u64: u64,
        emit_usize: usize,
        emit_isize: isize,
    }
}
