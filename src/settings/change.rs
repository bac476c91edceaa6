//! What differs between the settings that a host runs with and newer ones, and what of it can be
//! had without a new start. Pure.

use serde_json::Value;

use super::{Secret, Settings, layers::join, show::to_json};
use crate::domain::{
    fleet::Fleet,
    record::{FleetChange, FleetChangeRecord, ReloadRecord},
    rollout,
};

/// What is read again while the host runs; of `limits` all but how long patience lasts.
const LIVE: [&str; 4] = ["queues", "schedules", "limits", "webhooks"];

/// What is read once, though its section is read again.
const ONCE: [&str; 1] = ["limits.patience"];

/// Where a secret is in settings.
type SecretOf = fn(&Settings) -> Option<&Secret>;

/// What can be had of `new` while the host runs that has `old`, and what it changes.
pub fn change(old: &Settings, new: Settings) -> (Settings, ReloadRecord) {
    let mut record = ReloadRecord { fleets: fleets(old, &new), ..ReloadRecord::default() };
    let mut fields = Vec::new();
    let (shown_old, shown_new) = (sections(old), sections(&new));
    differences("", &shown_old, &shown_new, &mut fields);
    // What is shown is masked.
    let secrets: [(&str, SecretOf); 2] = [
        ("database.url", |settings| settings.database.url.as_ref()),
        ("http.api_key", |settings| settings.http.api_key.as_ref()),
    ];
    for (name, of) in secrets {
        let differs = of(old).map(Secret::reveal) != of(&new).map(Secret::reveal);
        if differs && !fields.iter().any(|field| field == name) {
            fields.push(name.to_owned());
        }
    }
    for field in fields {
        let section = field.split('.').next().unwrap_or_default();
        let live = LIVE.contains(&section) && !ONCE.contains(&field.as_str());
        if live { &mut record.applied } else { &mut record.needs_restart }.push(field);
    }
    let mut limits = new.limits;
    limits.patience = old.limits.patience;
    let effective = Settings {
        limits,
        queues: new.queues,
        schedules: new.schedules,
        webhooks: new.webhooks,
        fleets: new.fleets,
        provenance: new.provenance,
        ..old.clone()
    };
    (effective, record)
}

/// Everything but the fleets, as it is shown.
fn sections(settings: &Settings) -> Value {
    let mut shown = to_json(settings);
    if let Some(root) = shown.as_object_mut() {
        root.remove("fleets");
    }
    shown
}

/// What became of each fleet that is not as it was.
fn fleets(old: &Settings, new: &Settings) -> Vec<FleetChangeRecord> {
    let of = |settings: &Settings, name| {
        let found = settings.fleets.iter().find(|fleet: &&Fleet| fleet.name == name);
        found.cloned()
    };
    let shown = |settings: &Settings, fleet: &Fleet| {
        to_json(settings)["fleets"][fleet.name.as_str()].clone()
    };
    let mut changes = Vec::new();
    for fleet in &new.fleets {
        let (change, fields) = match of(old, fleet.name.clone()) {
            None => (FleetChange::Added, Vec::new()),
            Some(before) if before == *fleet => continue,
            Some(before) => {
                let mut fields = Vec::new();
                differences("", &shown(old, &before), &shown(new, fleet), &mut fields);
                if before.env != fleet.env && !fields.iter().any(|it| it.starts_with("env")) {
                    fields.push("env".to_owned());
                }
                let replaces = rollout::replaces(&before, fleet);
                (if replaces { FleetChange::Replaced } else { FleetChange::Adjusted }, fields)
            }
        };
        changes.push(FleetChangeRecord { name: fleet.name.clone(), change, fields });
    }
    for fleet in &old.fleets {
        if of(new, fleet.name.clone()).is_none() {
            let (name, change) = (fleet.name.clone(), FleetChange::Removed);
            changes.push(FleetChangeRecord { name, change, fields: Vec::new() });
        }
    }
    changes.sort_by(|a, b| a.name.cmp(&b.name));
    changes
}

/// The dotted names of what differs; a table that is on one side alone counts as one.
fn differences(at: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    match (old, new) {
        (old, new) if old == new => {}
        (Value::Object(before), Value::Object(after)) => {
            let names: std::collections::BTreeSet<&String> =
                before.keys().chain(after.keys()).collect();
            for name in names {
                let [old, new] = [before, after].map(|side| side.get(name).unwrap_or(&Value::Null));
                differences(&join(at, name), old, new, found);
            }
        }
        _ => found.push(at.to_owned()),
    }
}
