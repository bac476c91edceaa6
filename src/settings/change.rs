//! What differs between the settings that a host runs with and newer ones, and what of it can be
//! had without a new start. Pure.

use serde_json::Value;

use super::{Settings, layers::join, show::to_json};
use crate::domain::{
    fleet::Fleet,
    record::{FleetChange, FleetChangeRecord, ReloadRecord},
    rollout,
};

/// What is read again while the host runs; of `limits` all but how long patience lasts.
const LIVE: [&str; 4] = ["queues", "schedules", "limits", "webhooks"];

/// What is read once, though its section is read again.
const ONCE: [&str; 1] = ["limits.patience"];

/// Can be had while the host runs, except that TLS is spoken at all.
const TLS: &str = "http.tls";

/// What can be had of `new` while the host runs that has `old`, and what it changes.
pub fn change(old: &Settings, new: Settings) -> (Settings, ReloadRecord) {
    let mut record = ReloadRecord { fleets: fleets(old, &new), ..ReloadRecord::default() };
    let mut fields = Vec::new();
    let (shown_old, shown_new) = (sections(old), sections(&new));
    differences("", &shown_old, &shown_new, &mut fields);
    // What is shown is masked.
    let (secrets_old, secrets_new) = (old.named_secrets(), new.named_secrets());
    for name in secrets_old.keys().chain(secrets_new.keys()) {
        let [before, after] =
            [&secrets_old, &secrets_new].map(|all| all.get(name).map(|it| it.reveal()));
        if before != after && !fields.iter().any(|field| names(field, name)) {
            fields.push(name.clone());
        }
    }
    drop((secrets_old, secrets_new));
    // So may the files be the same, and not what is in them.
    let new_certificate = match (&old.http.tls, &new.http.tls) {
        (Some(old), Some(new)) => Some(!old.is_same_identity(new)),
        _ => None,
    };
    if new_certificate == Some(true) && !fields.iter().any(|field| field.starts_with(TLS)) {
        fields.push(TLS.to_owned());
    }
    for field in fields {
        let section = field.split('.').next().unwrap_or_default();
        let live = LIVE.contains(&section) && !ONCE.contains(&field.as_str())
            || new_certificate.is_some() && names(TLS, &field);
        if live { &mut record.applied } else { &mut record.needs_restart }.push(field);
    }
    let mut limits = new.limits;
    limits.patience = old.limits.patience;
    let mut http = old.http.clone();
    if new_certificate.is_some() {
        http.tls = new.http.tls;
    }
    let effective = Settings {
        http,
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

/// Whether `field` is the field `name`, or a table that it is in.
fn names(field: &str, name: &str) -> bool {
    name.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
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
