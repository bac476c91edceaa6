//! Sources become layers of values, and layers become one tree in which each value knows where it
//! was written.

use std::{collections::BTreeMap, fs, ops::Range, path::Path};

use config::{Config, ConfigError, Map, Source, Value, ValueKind};
use toml_edit::{Document, Item, Key, TableLike};

use super::{
    problem::{Origin, Problem},
    shape,
    sources::Sources,
};

/// The text of the defaults.
pub(super) const DEFAULTS: &str = include_str!("../../config/default.toml");

/// What an environment variable that sets a field begins with.
const ENV_PREFIX: &str = "HOSTLER__";

/// The longest dotted name of a field, in words: `fleets.NAME.limits.memory` with some to spare.
const MAX_DEPTH: usize = 6;

/// One place where a value is written.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    /// Where.
    pub(super) origin: Origin,
    /// The dotted name that it is written under.
    pub(super) path: String,
    /// Which layer it is in; higher ones win.
    pub(super) layer: usize,
    /// The text of an environment variable or flag, before it was read as TOML.
    pub(super) raw: Option<String>,
}

/// All layers, merged.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// Where values are written; a value's `origin()` is an index into this.
    pub(super) spots: Vec<Spot>,
    /// Where tables of the user begin, by their dotted names.
    pub(super) tables: BTreeMap<String, usize>,
    /// The tree.
    pub(super) root: Map<String, Value>,
    /// What was found wrong on the way.
    pub(super) problems: Vec<Problem>,
}

/// The index into [`Merged::spots`] of a value that came from a layer.
pub(super) fn spot_of(value: &Value) -> Option<usize> {
    value.origin()?.parse().ok()
}

/// Reads every source and merges them, later ones over earlier ones.
pub(super) fn merge(sources: &Sources) -> Merged {
    let mut collector = Collector::default();
    let defaults = collector.text(&Origin::BuiltIn, DEFAULTS);
    let mut layers = vec![defaults.clone()];
    for path in &sources.files {
        collector.layer += 1;
        let layer = collector.file(path, &sources.machine.cwd);
        layers.push(layer);
    }
    collector.layer += 1;
    for (name, text) in &sources.env {
        if let Some(field) = name.strip_prefix(ENV_PREFIX) {
            let origin = Origin::Env(name.clone());
            layers.push(collector.assignment(&origin, &env_path(field), text));
        }
    }
    collector.layer += 1;
    for (field, text) in &sources.flags {
        let origin = Origin::Flag(field.clone());
        match Key::parse(field) {
            Ok(keys) => {
                let path: Vec<String> = keys.iter().map(|key| key.get().to_owned()).collect();
                layers.push(collector.assignment(&origin, &path, text));
            }
            Err(_) => collector.problem(
                origin,
                String::new(),
                "is not the name of a field: write it as `section.field`".to_owned(),
            ),
        }
    }
    for layer in layers.iter_mut().skip(1) {
        shape::prune(layer, &defaults, &collector.spots, &mut collector.problems);
    }
    collector.finish(layers)
}

/// The words of a field's name in an environment variable. They are lower case, but for the names
/// of a fleet's own variables.
fn env_path(field: &str) -> Vec<String> {
    let mut path: Vec<String> = Vec::new();
    for word in field.split("__") {
        let in_env = match path.as_slice() {
            [first, second] => first == "fleet_defaults" && second == "env",
            [first, _, third] => first == "fleets" && third == "env",
            _ => false,
        };
        path.push(if in_env { word.to_owned() } else { word.to_lowercase() });
    }
    path
}

/// `path.key`, quoted as TOML would where the key is not plain.
pub(super) fn join(path: &str, key: &str) -> String {
    let plain = !key.is_empty()
        && key.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-'));
    let key = if plain { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// One layer, as the `config` crate takes it.
#[derive(Debug, Clone)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

#[derive(Default)]
struct Collector {
    spots: Vec<Spot>,
    tables: BTreeMap<String, usize>,
    problems: Vec<Problem>,
    layer: usize,
}

/// What the values of one text are written in: the origin, and where its lines begin.
struct Text<'a> {
    origin: &'a Origin,
    raw: Option<&'a str>,
    line_starts: Vec<usize>,
}

impl Text<'_> {
    fn at(&self, span: Option<Range<usize>>) -> Origin {
        match (self.origin, span) {
            (Origin::File { path, .. }, Some(span)) => {
                let line = self.line_starts.partition_point(|start| *start <= span.start);
                Origin::File { path: path.clone(), line: Some(line) }
            }
            (origin, _) => origin.clone(),
        }
    }
}

impl Collector {
    fn problem(&mut self, origin: Origin, field: String, message: String) {
        self.problems.push(Problem { origin, field, message });
    }

    fn spot(&mut self, text: &Text<'_>, span: Option<Range<usize>>, path: &str) -> usize {
        self.spots.push(Spot {
            origin: text.at(span),
            path: path.to_owned(),
            layer: self.layer,
            raw: text.raw.map(str::to_owned),
        });
        self.spots.len() - 1
    }

    fn file(&mut self, path: &Path, cwd: &Path) -> Map<String, Value> {
        let origin = Origin::File { path: path.to_owned(), line: None };
        match fs::read_to_string(cwd.join(path)) {
            Ok(text) => self.text(&origin, &text),
            Err(error) => {
                let message = format!("cannot be read ({error}): check the path and its mode");
                self.problem(origin, String::new(), message);
                Map::new()
            }
        }
    }

    fn text(&mut self, origin: &Origin, toml: &str) -> Map<String, Value> {
        let line_starts =
            std::iter::once(0).chain(toml.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let text = Text { origin, raw: None, line_starts };
        match Document::parse(toml) {
            Ok(document) => self.table(&text, "", document.as_table()),
            Err(error) => {
                let message = format!("is not TOML: {}", error.message().replace('\n', ", "));
                self.problem(text.at(error.span()), String::new(), message);
                Map::new()
            }
        }
    }

    /// A layer with one value: `text` read as TOML where it is, else as it stands.
    fn assignment(&mut self, origin: &Origin, path: &[String], raw: &str) -> Map<String, Value> {
        let text = Text { origin, raw: Some(raw), line_starts: Vec::new() };
        let dotted = path.iter().fold(String::new(), |dotted, word| join(&dotted, word));
        if path.len() > MAX_DEPTH || path.iter().any(String::is_empty) {
            let message =
                "is not the name of a field: write SECTION__FIELD, with two underlines for a dot";
            self.problem(origin.clone(), dotted, message.to_owned());
            return Map::new();
        }
        let mut value = match raw.parse::<toml_edit::Value>() {
            Ok(value) => self.value(&text, &dotted, None, &value),
            Err(_) => {
                let spot = self.spot(&text, None, &dotted);
                Value::new(Some(&spot.to_string()), raw)
            }
        };
        for (depth, word) in path.iter().enumerate().rev() {
            let parent =
                path[..depth].iter().fold(String::new(), |dotted, word| join(&dotted, word));
            let spot = self.spot(&text, None, &parent);
            self.tables.entry(parent).or_insert(spot);
            let table = Map::from([(word.clone(), value)]);
            value = Value::new(Some(&spot.to_string()), table);
        }
        match value.kind {
            ValueKind::Table(root) => root,
            _ => Map::new(),
        }
    }

    fn table(&mut self, text: &Text<'_>, path: &str, table: &dyn TableLike) -> Map<String, Value> {
        let mut map = Map::new();
        for (key, item) in table.iter() {
            let path = join(path, key);
            let span = table.key(key).and_then(Key::span);
            let value = match item {
                Item::None => continue,
                Item::Value(value) => self.value(text, &path, span, value),
                Item::Table(inner) => self.inner(text, &path, span, inner),
                Item::ArrayOfTables(tables) => {
                    let spot = self.spot(text, span, &path).to_string();
                    let values = tables.iter().map(|inner| self.inner(text, &path, None, inner));
                    Value::new(Some(&spot), values.collect::<Vec<_>>())
                }
            };
            map.insert(key.to_owned(), value);
        }
        map
    }

    fn inner(
        &mut self,
        text: &Text<'_>,
        path: &str,
        span: Option<Range<usize>>,
        table: &dyn TableLike,
    ) -> Value {
        let spot = self.spot(text, span, path);
        if self.layer > 0 {
            self.tables.entry(path.to_owned()).or_insert(spot);
        }
        let map = self.table(text, path, table);
        Value::new(Some(&spot.to_string()), map)
    }

    fn value(
        &mut self,
        text: &Text<'_>,
        path: &str,
        span: Option<Range<usize>>,
        value: &toml_edit::Value,
    ) -> Value {
        if let toml_edit::Value::InlineTable(table) = value {
            return self.inner(text, path, span, table);
        }
        let spot = self.spot(text, span.or_else(|| value.span()), path).to_string();
        let kind = match value {
            toml_edit::Value::String(value) => ValueKind::String(value.value().clone()),
            toml_edit::Value::Integer(value) => ValueKind::I64(*value.value()),
            toml_edit::Value::Float(value) => ValueKind::Float(*value.value()),
            toml_edit::Value::Boolean(value) => ValueKind::Boolean(*value.value()),
            toml_edit::Value::Datetime(value) => ValueKind::String(value.value().to_string()),
            toml_edit::Value::Array(values) => {
                let element = |(at, value)| self.value(text, &format!("{path}[{at}]"), None, value);
                ValueKind::Array(values.iter().enumerate().map(element).collect())
            }
            toml_edit::Value::InlineTable(_) => ValueKind::Nil,
        };
        Value::new(Some(&spot), kind)
    }

    fn finish(mut self, layers: Vec<Map<String, Value>>) -> Merged {
        let mut builder = Config::builder();
        for layer in layers {
            builder = builder.add_source(Layer(layer));
        }
        let root = match builder.build() {
            Ok(Config { cache, .. }) => cache.into_table().unwrap_or_default(),
            Err(error) => {
                let message = format!("cannot be merged: {error}");
                self.problem(Origin::BuiltIn, String::new(), message);
                Map::new()
            }
        };
        Merged { spots: self.spots, tables: self.tables, root, problems: self.problems }
    }
}
