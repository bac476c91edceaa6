//! Reading a JSON object field by field, so that every mistake in it is named at once. Pure.

mod values;

use std::{fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use jiff::Timestamp;
use serde_json::{Map, Value};

pub(super) use values::{check_text, kind_of};
use values::{json_size, storable};

use super::{api::FieldError, once::HeaderKey};
use crate::settings::parse_duration;

/// The most mistakes that are named; a batch of thousands may have as many.
const MAX_ERRORS: usize = 100;

/// The longest idempotency key, in characters; the schema's limit.
pub(super) const MAX_KEY: usize = 255;

/// The deepest nesting of an input. Readers of JSON give up at 128, and an input is shown inside
/// other objects.
pub(super) const MAX_DEPTH: usize = 64;

/// Room for the names of about so many fields that an object may have.
const FIELDS: usize = 24;

/// What is wrong so far.
#[derive(Debug, Default)]
pub(super) struct Errors(Vec<FieldError>);

impl Errors {
    /// Notes that `field` is wrong.
    pub(super) fn add(&mut self, field: impl Into<String>, detail: impl Into<String>) {
        if self.0.len() < MAX_ERRORS {
            self.0.push(FieldError { field: field.into(), detail: detail.into() });
        }
    }

    /// `value`, or what is wrong.
    pub(super) fn or<T>(self, value: T) -> Result<T, Vec<FieldError>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }
}

/// One object whose fields are taken out one after another.
///
/// A field that is `null` counts as absent, as in the answers of the API.
pub(super) struct Fields<'a> {
    at: String,
    object: Map<String, Value>,
    known: Vec<&'static str>,
    errors: &'a mut Errors,
}

impl<'a> Fields<'a> {
    /// Reads `object`, which stands at `at`: empty for the body itself, else `tasks[3]`.
    pub(super) fn new(at: String, object: Map<String, Value>, errors: &'a mut Errors) -> Self {
        Self { at, object, known: Vec::with_capacity(FIELDS), errors }
    }

    /// Where the object stands; empty for the body itself.
    pub(super) fn at(&self) -> &str {
        &self.at
    }

    /// The full name of a field.
    pub(super) fn path(&self, name: &str) -> String {
        if self.at.is_empty() { name.to_owned() } else { format!("{}.{name}", self.at) }
    }

    /// Notes that the field is wrong.
    pub(super) fn wrong(&mut self, name: &str, detail: impl Into<String>) {
        self.errors.add(self.path(name), detail);
    }

    /// Notes that something within the object is wrong.
    pub(super) fn add(&mut self, name: impl AsRef<str>, detail: impl Into<String>) {
        self.errors.add(self.path(name.as_ref()), detail);
    }

    /// Whether the field is there, and not `null`.
    pub(super) fn gives(&self, name: &str) -> bool {
        self.object.get(name).is_some_and(|value| !value.is_null())
    }

    /// Whether the field is a list without items.
    pub(super) fn gives_nothing_in(&self, name: &str) -> bool {
        matches!(self.object.get(name), Some(Value::Array(items)) if items.is_empty())
    }

    /// Takes the field as it is.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.object.remove(name).filter(|value| !value.is_null())
    }

    /// Takes true or false.
    pub(super) fn bool(&mut self, name: &'static str) -> Option<bool> {
        let value = self.take(name)?;
        if value.as_bool().is_none() {
            self.wrong(name, format!("must be true or false, not {}", kind_of(&value)));
        }
        value.as_bool()
    }

    fn string(&mut self, name: &'static str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            other => {
                self.wrong(name, format!("must be a string, not {}", kind_of(&other)));
                None
            }
        }
    }

    /// Takes a text of 1 to `max` characters, none of them a control character.
    pub(super) fn text(&mut self, name: &'static str, max: usize) -> Option<String> {
        let text = self.string(name)?;
        match check_text(&text, max) {
            Ok(()) => Some(text),
            Err(detail) => {
                self.wrong(name, detail);
                None
            }
        }
    }

    /// Takes an array of texts of 1 to `max` characters, none of them a control character.
    pub(super) fn texts(&mut self, name: &'static str, max: usize) -> Vec<String> {
        let items = match self.take(name) {
            None => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(other) => {
                self.wrong(name, format!("must be an array of strings, not {}", kind_of(&other)));
                return Vec::new();
            }
        };
        let mut texts = Vec::with_capacity(items.len());
        for (nth, item) in items.into_iter().enumerate() {
            let wrong = match item {
                Value::String(text) => match check_text(&text, max) {
                    Ok(()) => {
                        texts.push(text);
                        continue;
                    }
                    Err(detail) => detail,
                },
                other => format!("must be a string, not {}", kind_of(&other)),
            };
            self.wrong(&format!("{name}[{nth}]"), wrong);
        }
        texts
    }

    /// Takes a text that parses.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Option<T> {
        let text = self.string(name)?;
        text.parse().map_err(|error: T::Err| self.wrong(name, error.to_string())).ok()
    }

    /// Takes one of `words`.
    pub(super) fn word<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Option<T> {
        let text = self.string(name)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(name, format!("must be one of {}", words.join(", ")));
        }
        found
    }

    /// Takes a list of at most `max` texts that parse.
    pub(super) fn list<T: FromStr<Err: Display>>(
        &mut self,
        name: &'static str,
        max: usize,
    ) -> Option<Vec<T>> {
        let Value::Array(items) = self.take(name)? else {
            self.wrong(name, "must be an array of strings");
            return None;
        };
        if items.len() > max {
            let count = items.len();
            self.wrong(name, format!("has {count} items; at most {max} are taken"));
            return None;
        }
        let mut list = Vec::with_capacity(items.len());
        for (nth, item) in items.into_iter().enumerate() {
            let read = match item {
                Value::String(text) => text.parse().map_err(|error: T::Err| error.to_string()),
                other => Err(format!("must be a string, not {}", kind_of(&other))),
            };
            match read {
                Ok(item) => list.push(item),
                Err(detail) => self.errors.add(format!("{}[{nth}]", self.path(name)), detail),
            }
        }
        Some(list)
    }

    /// Takes a number from 0 to 1.
    pub(super) fn fraction(&mut self, name: &'static str) -> Option<f64> {
        let value = self.take(name)?;
        let found = value.as_f64().filter(|number| (0.0..=1.0).contains(number));
        if found.is_none() {
            self.wrong(name, "must be a number from 0 to 1");
        }
        found
    }

    /// Takes an object, to be read field by field.
    pub(super) fn object(&mut self, name: &'static str) -> Option<Fields<'_>> {
        match self.take(name)? {
            Value::Object(object) => Some(Fields::new(self.path(name), object, self.errors)),
            other => {
                self.wrong(name, format!("must be an object, not {}", kind_of(&other)));
                None
            }
        }
    }

    /// Reads `object`, which stands at `at` within this one.
    pub(super) fn within<T>(
        &mut self,
        at: String,
        object: Map<String, Value>,
        read: impl FnOnce(&mut Fields<'_>) -> T,
    ) -> T {
        read(&mut Fields::new(at, object, self.errors))
    }

    /// Takes `true` or `false`; false where it is absent.
    pub(super) fn flag(&mut self, name: &'static str) -> bool {
        self.bool(name).unwrap_or(false)
    }

    /// Takes a time.
    pub(super) fn time(&mut self, name: &'static str) -> Option<Timestamp> {
        let text = self.string(name)?;
        let detail = "must be a time with its offset after RFC 3339, as in `2030-01-31T08:00:00Z`";
        text.parse().map_err(|_| self.wrong(name, detail)).ok()
    }

    /// Takes a time to come: as such, or as a duration of at most `max` from `now`.
    pub(super) fn moment(
        &mut self,
        name: &'static str,
        now: Timestamp,
        max: Duration,
    ) -> Option<Timestamp> {
        let text = self.string(name)?;
        let time = match (text.parse::<Timestamp>(), parse_duration(&text)) {
            (Ok(time), _) => Some(time),
            (_, Ok(wait)) if wait <= max => now.checked_add(wait).ok(),
            (_, Ok(_)) => {
                let days = max.as_secs() / 86_400;
                self.wrong(name, format!("must not be later than {days} days from now"));
                return None;
            }
            _ => None,
        };
        let detail = match time {
            None => {
                "must be a time (RFC 3339, as `2030-01-31T08:00:00Z`) or a duration from now (`30m`)"
            }
            Some(time) if time <= now => "is past",
            Some(_) => return time,
        };
        self.wrong(name, detail);
        None
    }

    /// Takes a duration of at most `max`; one of nothing only where `zero` is allowed.
    pub(super) fn duration(
        &mut self,
        name: &'static str,
        zero: bool,
        max: Duration,
    ) -> Option<Duration> {
        let text = self.string(name)?;
        match parse_duration(&text) {
            Ok(value) if value > max => {
                let days = max.as_secs() / 86_400;
                self.wrong(name, format!("must not be longer than {days} days"));
            }
            Ok(value) if value.as_millis() == 0 && !zero => {
                self.wrong(name, "must be at least 1ms");
            }
            Ok(value) => return Some(value),
            Err(detail) => self.wrong(name, detail),
        }
        None
    }

    /// Takes a whole number of this range.
    pub(super) fn integer(
        &mut self,
        name: &'static str,
        range: RangeInclusive<i64>,
    ) -> Option<i64> {
        let value = self.take(name)?;
        let found = value.as_i64().filter(|number| range.contains(number));
        if found.is_none() {
            let (first, last) = range.into_inner();
            let got = match value {
                Value::Number(number) => number.to_string(),
                other => kind_of(&other).to_owned(),
            };
            self.wrong(name, format!("must be a whole number from {first} to {last}, not {got}"));
        }
        found
    }

    /// Whether the field is `"off"`; it is taken then.
    pub(super) fn is_off(&mut self, name: &'static str) -> bool {
        let off = self.object.get(name).is_some_and(|value| value == "off");
        off && self.take(name).is_some()
    }

    /// Takes any JSON that can be stored, of at most `max` bytes.
    pub(super) fn json(&mut self, name: &'static str, max: u64) -> Value {
        let Some(value) = self.take(name) else { return Value::Null };
        if let Err((within, detail)) = storable(&value, MAX_DEPTH) {
            self.errors.add(self.path(name) + &within, detail);
        } else {
            let size = json_size(&value);
            if size > max {
                self.wrong(name, format!("is {size} bytes of JSON; at most {max} are taken"));
            }
        }
        value
    }

    /// Takes `idempotency_key`, which `header` may say as well.
    pub(super) fn idempotency_key(&mut self, header: Option<HeaderKey<'_>>) -> Option<String> {
        let key = self.text("idempotency_key", MAX_KEY);
        match (key, header) {
            (Some(key), Some(header)) if key != header.said => {
                self.wrong("idempotency_key", "is not what the header `Idempotency-Key` says");
                None
            }
            (key, header) => key.or_else(|| header.map(|header| header.kept())),
        }
    }

    /// Everything was taken: what is left has no meaning.
    pub(super) fn finish(self) {
        if self.object.is_empty() {
            return;
        }
        let known = self.known.join(", ");
        for name in self.object.keys() {
            let detail = format!("is no field of this object; the fields are {known}");
            self.errors.add(self.path(&shown(name)), detail);
        }
    }
}

/// Reads an object field by field; none may be unknown.
///
/// # Errors
///
/// Every mistake, each with its field.
pub(super) fn read<T>(
    object: Map<String, Value>,
    take: impl FnOnce(&mut Fields<'_>) -> T,
) -> Result<T, Vec<FieldError>> {
    let mut errors = Errors::default();
    let mut fields = Fields::new(String::new(), object, &mut errors);
    let taken = take(&mut fields);
    fields.finish();
    errors.or(taken)
}

/// Refuses any field: for requests that say everything by their path.
pub(super) fn nothing(object: Map<String, Value>) -> Result<(), Vec<FieldError>> {
    let mut errors = Errors::default();
    for name in object.keys() {
        errors.add(shown(name), "has no meaning here: this request takes no fields");
    }
    errors.or(())
}

/// The name of a field that the caller made up, as it may be repeated.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}
