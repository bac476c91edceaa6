//! Reads typed values out of the merged tree. Each method returns `None` after it wrote down what
//! is wrong, so that reading goes on and every problem is found.

use std::{
    collections::BTreeMap, fmt::Display, ops::RangeInclusive, path::PathBuf, time::Duration,
};

use config::{Map, Value, ValueKind};

use super::{
    context::Context,
    layers::{Spot, join, spot_of},
    problem::{Origin, Problem},
    suggest, units,
    values::as_json,
};

/// What stands for an optional limit that is not wanted.
pub(super) const OFF: &str = "off";

/// One table of the merged tree.
#[derive(Clone)]
pub(super) struct Section<'a> {
    /// What all sections share.
    pub(super) context: &'a Context<'a>,
    /// The dotted name of the table.
    pub(super) path: String,
    table: &'a Map<String, Value>,
}

impl<'a> Section<'a> {
    /// The table `table`, which has the dotted name `path`.
    pub(super) const fn new(
        context: &'a Context<'a>,
        path: String,
        table: &'a Map<String, Value>,
    ) -> Self {
        Self { context, path, table }
    }

    /// The table `key` in this one.
    pub(super) fn section(&self, key: &str) -> Option<Section<'a>> {
        match &self.table.get(key)?.kind {
            ValueKind::Table(table) => {
                Some(Section::new(self.context, join(&self.path, key), table))
            }
            _ => {
                self.problem(key, "must be a table".to_owned());
                None
            }
        }
    }

    /// The names in this table, in their order.
    pub(super) fn keys(&self) -> Vec<&'a str> {
        let mut keys: Vec<&str> = self.table.keys().map(String::as_str).collect();
        keys.sort_unstable();
        keys
    }

    /// The value of `key`, noting where it came from.
    fn value(&self, key: &str) -> Option<&'a Value> {
        let value = self.table.get(key);
        match value.and_then(|value| self.spot(value)) {
            Some(spot) => self.came_from(key, spot.origin.clone()),
            None if value.is_none() => self.missing(key, "is not in config/default.toml"),
            None => {}
        }
        value
    }

    /// Notes that `key` came from `origin`.
    pub(super) fn came_from(&self, key: &str, origin: Origin) {
        self.context.provenance.borrow_mut().insert(join(&self.path, key), origin);
    }

    fn spot(&self, value: &Value) -> Option<&'a Spot> {
        self.context.spots.get(spot_of(value)?)
    }

    /// Where `key` is written; where it is a table, or not written, where the table is.
    pub(super) fn written(&self, key: &str) -> Option<&'a Spot> {
        let value = self.table.get(key).and_then(|value| self.spot(value));
        value.or_else(|| {
            let table = self.context.tables.get(&join(&self.path, key))?;
            self.context.spots.get(*table)
        })
    }

    /// Where this table is written.
    pub(super) fn origin(&self) -> Origin {
        let spot = self.context.tables.get(&self.path).and_then(|at| self.context.spots.get(*at));
        spot.map_or(Origin::BuiltIn, |spot| spot.origin.clone())
    }

    /// Writes down what is wrong with `key`, under the name that it is written by.
    pub(super) fn problem(&self, key: &str, message: String) {
        match self.written(key) {
            Some(spot) => self.push(spot.origin.clone(), spot.path.clone(), message),
            None => self.missing(key, &message),
        }
    }

    /// Writes down that `key` of this very table is wrong, though it may not be written here.
    pub(super) fn missing(&self, key: &str, message: &str) {
        self.push(self.origin(), join(&self.path, key), message.to_owned());
    }

    /// Writes down what is wrong with this table.
    pub(super) fn wrong(&self, message: String) {
        self.push(self.origin(), self.path.clone(), message);
    }

    fn push(&self, origin: Origin, field: String, message: String) {
        self.context.problems.borrow_mut().push(Problem { origin, field, message });
    }

    /// Whether `key` is written in this very table and not in the defaults of its kind.
    pub(super) fn is_own(&self, key: &str) -> bool {
        self.written(key).is_some_and(|spot| spot.path == join(&self.path, key))
    }

    /// A text. Of environment and flags the text is taken as it stands.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        let value = self.value(key)?;
        let text = self.plain(value);
        if text.is_none() {
            self.problem(key, format!("must be a text in quotes, got {}", kind(value)));
        }
        text
    }

    fn plain(&self, value: &Value) -> Option<String> {
        match &value.kind {
            ValueKind::String(text) => Some(text.clone()),
            ValueKind::Table(_) => None,
            _ => self.spot(value)?.raw.clone(),
        }
    }

    /// A text, or nothing where it is empty.
    pub(super) fn text_or_none(&self, key: &str) -> Option<Option<String>> {
        self.text(key).map(|text| Some(text).filter(|text| !text.is_empty()))
    }

    /// A path, made absolute from where it is written, or nothing where it is empty.
    pub(super) fn path_or_none(&self, key: &str) -> Option<Option<PathBuf>> {
        let text = self.text_or_none(key)?;
        Some(text.map(|text| self.base(key).join(text)))
    }

    /// The directory that relative paths in `key` begin at.
    pub(super) fn base(&self, key: &str) -> PathBuf {
        let origin = self.written(key).map_or(Origin::BuiltIn, |spot| spot.origin.clone());
        self.context.base(&origin)
    }

    /// True or false.
    pub(super) fn bool(&self, key: &str) -> Option<bool> {
        let value = self.value(key)?;
        if let ValueKind::Boolean(value) = value.kind {
            return Some(value);
        }
        self.problem(key, format!("must be true or false, got {}", shown(value)));
        None
    }

    /// A whole number.
    pub(super) fn number<T>(&self, key: &str, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + Display,
    {
        let value = self.value(key)?;
        self.number_of(key, value, &range)
    }

    fn number_of<T>(&self, key: &str, value: &Value, range: &RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + Display,
    {
        let (least, most) = (range.start(), range.end());
        let ValueKind::I64(number) = value.kind else {
            let got = shown(value);
            self.problem(key, format!("must be a whole number, {least} to {most}, got {got}"));
            return None;
        };
        let fits = T::try_from(number).ok().filter(|number| range.contains(number));
        if fits.is_none() {
            self.problem(key, format!("must be {least} to {most}, got {number}"));
        }
        fits
    }

    /// A whole number, or nothing where it is `"off"`.
    pub(super) fn number_or_off(
        &self,
        key: &str,
        range: RangeInclusive<u64>,
    ) -> Option<Option<u64>> {
        let value = self.value(key)?;
        if is_off(value) {
            return Some(None);
        }
        self.number_of(key, value, &range).map(Some)
    }

    /// A duration.
    pub(super) fn duration(&self, key: &str, range: RangeInclusive<Duration>) -> Option<Duration> {
        let value = self.value(key)?;
        self.measure(key, value, &range, &DURATION)
    }

    /// A duration, or nothing where it is `"off"`.
    pub(super) fn duration_or_off(
        &self,
        key: &str,
        range: RangeInclusive<Duration>,
    ) -> Option<Option<Duration>> {
        let value = self.value(key)?;
        if is_off(value) {
            Some(None)
        } else {
            self.measure(key, value, &range, &DURATION).map(Some)
        }
    }

    /// A duration, or nothing where it is this word.
    pub(super) fn duration_or(
        &self,
        word: &str,
        key: &str,
        range: RangeInclusive<Duration>,
    ) -> Option<Option<Duration>> {
        let value = self.value(key)?;
        if let ValueKind::String(text) = &value.kind {
            if text == word {
                return Some(None);
            }
            if let Err(problem) = units::parse_duration(text) {
                self.problem(key, format!("{problem}, or \"{word}\""));
                return None;
            }
        }
        self.measure(key, value, &range, &DURATION).map(Some)
    }

    /// What `read` makes of `key`, or nothing where it is empty.
    pub(super) fn given<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Self, &str) -> Option<T>,
    ) -> Option<Option<T>> {
        match &self.value(key)?.kind {
            ValueKind::String(text) if text.is_empty() => Some(None),
            _ => read(self, key).map(Some),
        }
    }

    /// A table of anything, as JSON.
    pub(super) fn json(&self, key: &str) -> Option<serde_json::Value> {
        let value = self.value(key)?;
        let json = as_json(value);
        if json.is_none() {
            self.problem(key, "holds something that JSON has no word for".to_owned());
        }
        json
    }

    /// A part of a whole: a number from 0 to 1.
    pub(super) fn fraction(&self, key: &str) -> Option<f64> {
        let value = self.value(key)?;
        let number = match value.kind {
            ValueKind::Float(number) => Some(number),
            ValueKind::I64(number @ 0..=1) => Some(number as f64),
            _ => None,
        };
        let found = number.filter(|number| (0.0..=1.0).contains(number));
        if found.is_none() {
            self.problem(key, format!("must be a number from 0 to 1, got {}", shown(value)));
        }
        found
    }

    /// A size in bytes.
    pub(super) fn size(&self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.value(key)?;
        self.measure(key, value, &range, &SIZE)
    }

    /// A size in bytes, or nothing where it is `"off"`.
    pub(super) fn size_or_off(&self, key: &str, range: RangeInclusive<u64>) -> Option<Option<u64>> {
        let value = self.value(key)?;
        if is_off(value) { Some(None) } else { self.measure(key, value, &range, &SIZE).map(Some) }
    }

    fn measure<T: PartialOrd + Copy>(
        &self,
        key: &str,
        value: &Value,
        range: &RangeInclusive<T>,
        measure: &Measure<T>,
    ) -> Option<T> {
        let read = match &value.kind {
            ValueKind::String(text) => (measure.parse)(text),
            ValueKind::I64(number) => Err((measure.needs_a_unit)(&number.to_string())),
            _ => Err(format!("must be {}, got {}", measure.what, shown(value))),
        };
        let checked = read.and_then(|got| {
            if range.contains(&got) {
                return Ok(got);
            }
            let [least, most, got] = [*range.start(), *range.end(), got].map(measure.format);
            Err(format!("must be {least} to {most}, got {got}"))
        });
        checked.map_err(|message| self.problem(key, message)).ok()
    }

    /// One word of `words`.
    pub(super) fn word<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let value = self.value(key)?;
        if let ValueKind::String(text) = &value.kind
            && let Some((_, meaning)) = words.iter().find(|(word, _)| word == text)
        {
            return Some(*meaning);
        }
        let names = || words.iter().map(|(word, _)| *word);
        let mut message =
            format!("must be one of {}, got {}", suggest::list(names()), shown(value));
        if let ValueKind::String(text) = &value.kind
            && let Some(word) = suggest::closest(text, names())
        {
            message += &format!("; did you mean `{word}`?");
        }
        self.problem(key, message);
        None
    }

    /// A list of texts. What is wrong with one of them can be said with [`Self::wrong_item`].
    pub(super) fn texts(&self, key: &str) -> Option<Vec<String>> {
        let value = self.value(key)?;
        let ValueKind::Array(items) = &value.kind else {
            let got = shown(value);
            self.problem(key, format!("must be a list such as [\"a\", \"b\"], got {got}"));
            return None;
        };
        let mut texts = Some(Vec::with_capacity(items.len()));
        for (at, item) in items.iter().enumerate() {
            match (&item.kind, &mut texts) {
                (ValueKind::String(text), Some(texts)) => texts.push(text.clone()),
                (ValueKind::String(_), None) => {}
                _ => {
                    texts = None;
                    self.wrong_item(
                        key,
                        at,
                        format!("must be a text in quotes, got {}", shown(item)),
                    );
                }
            }
        }
        texts
    }

    /// Writes down what is wrong with item `at` of the list `key`.
    pub(super) fn wrong_item(&self, key: &str, at: usize, message: String) {
        let item = match self.table.get(key).map(|value| &value.kind) {
            Some(ValueKind::Array(items)) => items.get(at),
            _ => None,
        };
        match item.and_then(|item| self.spot(item)) {
            Some(spot) => self.push(spot.origin.clone(), spot.path.clone(), message),
            None => self.problem(key, message),
        }
    }

    /// A table of texts under names of the user's.
    pub(super) fn named_texts(&self, key: &str) -> Option<BTreeMap<String, String>> {
        self.value(key)?;
        let section = self.section(key)?;
        let mut texts = Some(BTreeMap::new());
        for name in section.keys() {
            match (section.text(name), &mut texts) {
                (Some(text), Some(texts)) => _ = texts.insert(name.to_owned(), text),
                (Some(_), None) => {}
                (None, _) => texts = None,
            }
        }
        texts
    }
}

/// How a kind of measure is read and written.
struct Measure<T> {
    what: &'static str,
    parse: fn(&str) -> Result<T, String>,
    needs_a_unit: fn(&str) -> String,
    format: fn(T) -> String,
}

const DURATION: Measure<Duration> = Measure {
    what: "a duration such as \"30s\"",
    parse: units::parse_duration,
    needs_a_unit: units::needs_a_unit,
    format: units::format_duration,
};

const SIZE: Measure<u64> = Measure {
    what: "a size such as \"10MiB\"",
    parse: units::parse_size,
    needs_a_unit: units::size_needs_a_unit,
    format: units::format_size,
};

fn is_off(value: &Value) -> bool {
    matches!(&value.kind, ValueKind::String(text) if text == OFF)
}

/// What a value is, without saying it: it may be a secret.
fn kind(value: &Value) -> &'static str {
    match value.kind {
        ValueKind::Nil => "nothing",
        ValueKind::Boolean(_) => "true or false",
        ValueKind::Float(_) => "a number",
        ValueKind::String(_) => "a text",
        ValueKind::Table(_) => "a table",
        ValueKind::Array(_) => "a list",
        _ => "a whole number",
    }
}

/// A value in a message.
fn shown(value: &Value) -> String {
    match &value.kind {
        ValueKind::Boolean(value) => value.to_string(),
        ValueKind::I64(number) => number.to_string(),
        ValueKind::Float(number) => number.to_string(),
        ValueKind::String(text) => format!("{text:?}"),
        _ => kind(value).to_owned(),
    }
}
