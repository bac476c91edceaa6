//! Which tables and keys there are. The built-in defaults are the list: a key that is not in them
//! is unknown, `[fleets.NAME]` has the keys of `[fleet_defaults]`, `[queues.NAME]` those of
//! `[queue_defaults]`, `[schedules.NAME]` those of `[schedule_defaults]`,
//! `[webhooks.NAME]` those of `[webhook_defaults]`, `[github.NAME]` those of `[github_defaults]`, and an
//! empty table (such as `env`) takes any key.

use config::{Map, Value, ValueKind};

use super::{
    layers::{Spot, spot_of},
    problem::{Origin, Problem},
    suggest,
};

/// Tables whose keys are names of the user's, and the table that each of them is like.
const NAMED: [(&str, &str); 5] = [
    ("fleets", "fleet_defaults"),
    ("queues", "queue_defaults"),
    ("schedules", "schedule_defaults"),
    ("webhooks", "webhook_defaults"),
    ("github", "github_defaults"),
];

/// Takes out of `layer` what `defaults` does not know, and says so.
pub(super) fn prune(
    layer: &mut Map<String, Value>,
    defaults: &Map<String, Value>,
    spots: &[Spot],
    problems: &mut Vec<Problem>,
) {
    let mut pruner = Pruner { defaults, spots, problems };
    let named = layer.extract_if(|key, _| NAMED.iter().any(|(name, _)| name == key)).collect();
    pruner.known_keys("", layer, defaults);
    pruner.named_tables(layer, named);
}

struct Pruner<'a> {
    defaults: &'a Map<String, Value>,
    spots: &'a [Spot],
    problems: &'a mut Vec<Problem>,
}

impl Pruner<'_> {
    fn problem(&mut self, value: &Value, message: String) {
        let spot = spot_of(value).and_then(|spot| self.spots.get(spot));
        let (origin, field) = match spot {
            Some(spot) => (spot.origin.clone(), spot.path.clone()),
            None => (Origin::BuiltIn, String::new()),
        };
        self.problems.push(Problem { origin, field, message });
    }

    /// Keeps the keys of `table` that `known` has, and looks into those that are tables.
    fn known_keys(
        &mut self,
        name: &str,
        table: &mut Map<String, Value>,
        known: &Map<String, Value>,
    ) {
        table.retain(|key, value| match known.get(key) {
            Some(like) => self.fits(key, value, like),
            None => {
                let message = unknown(name, key, known);
                self.problem(value, message);
                false
            }
        });
    }

    /// Whether `value` may stand where `like` does.
    fn fits(&mut self, key: &str, value: &mut Value, like: &Value) -> bool {
        let ValueKind::Table(known) = &like.kind else {
            return true;
        };
        match &mut value.kind {
            ValueKind::Table(table) => {
                if !known.is_empty() {
                    self.known_keys(key, table, known);
                }
                true
            }
            _ => {
                let message = format!("must be a table: write `[{key}]` and its keys below");
                self.problem(value, message);
                false
            }
        }
    }

    /// Looks into the tables of `named`, and puts what is sound back into `layer`.
    fn named_tables(&mut self, layer: &mut Map<String, Value>, named: Map<String, Value>) {
        for (section, mut value) in named {
            let like = NAMED.iter().find(|(name, _)| *name == section);
            let like = like.and_then(|(_, like)| self.defaults.get(*like));
            let (ValueKind::Table(tables), Some(like)) = (&mut value.kind, like) else {
                let message = format!("must be a table: write `[{section}.NAME]`");
                self.problem(&value, message);
                continue;
            };
            tables.retain(|_, table| {
                let is_table = matches!(table.kind, ValueKind::Table(_));
                if is_table {
                    self.fits("", table, like)
                } else {
                    let message = format!("must be a table: write `[{section}.NAME]`");
                    self.problem(table, message);
                    false
                }
            });
            layer.insert(section, value);
        }
    }
}

fn unknown(table: &str, key: &str, known: &Map<String, Value>) -> String {
    let mut names: Vec<&str> = known.keys().map(String::as_str).collect();
    if table.is_empty() && known.contains_key("fleet_defaults") {
        names.extend(NAMED.map(|(name, _)| name));
    }
    names.sort_unstable();
    match suggest::closest(key, names.iter().copied()) {
        Some(name) => format!("unknown key; did you mean `{name}`?"),
        None => format!("unknown key; the keys here are {}", suggest::list(names)),
    }
}
