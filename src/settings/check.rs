//! Rules about more than one field.

use std::time::Duration;

use config::{Map, Value, ValueKind};

use super::{
    Http, Tasks,
    layers::join,
    reader::Section,
    suggest,
    units::{format_duration, format_size},
    values::overlay,
};
use crate::domain::{FleetName, fleet::Fleet, order};

/// `backoff_min` is not more than `backoff_max`. Said of whichever was written later.
pub(super) fn backoff(section: &Section<'_>, min: Duration, max: Duration) {
    if min <= max {
        return;
    }
    let [min, max] = [min, max].map(format_duration);
    if later(section, "backoff_min", "backoff_max") {
        let message = format!("is {min}, more than backoff_max ({max}): lower it");
        section.problem("backoff_min", message);
    } else {
        let message = format!("is {max}, less than backoff_min ({min}): raise it");
        section.problem("backoff_max", message);
    }
}

/// A heartbeat comes before the agent counts as stale. Said of whichever was written later.
pub(super) fn heartbeat(section: &Section<'_>, every: Duration, stale_after: Option<Duration>) {
    let Some(stale_after) = stale_after.filter(|stale_after| every >= *stale_after) else {
        return;
    };
    let [every, stale_after] = [every, stale_after].map(format_duration);
    if later(section, "every", "stale_after") {
        let message = format!("is {every}, but must be less than stale_after ({stale_after})");
        section.problem("every", message);
    } else {
        let message = format!("is {stale_after}, but must be more than every ({every})");
        section.problem("stale_after", message);
    }
}

/// Fleets depend on fleets that are there, and never in a circle.
pub(super) fn dependencies<'a>(fleets: &[Fleet], section: impl Fn(&Fleet) -> Option<Section<'a>>) {
    for fleet in fleets {
        for (at, need) in fleet.depends_on.iter().enumerate() {
            let is_there = fleets.iter().any(|other| other.name == need.fleet);
            if let (false, Some(section)) = (is_there, section(fleet)) {
                let names = fleets.iter().map(|fleet| fleet.name.as_str());
                let message = match suggest::closest(need.fleet.as_str(), names) {
                    Some(name) => {
                        format!("there is no fleet `{}`; did you mean `{name}`?", need.fleet)
                    }
                    None => format!("there is no fleet `{}`: remove it, or make it", need.fleet),
                };
                section.wrong_item("depends_on", at, message);
            }
        }
    }
    let needs = fleets.iter().map(|fleet| (&fleet.name, fleet.depends_on.as_slice())).collect();
    let Some(circle) = order::circle(&needs) else { return };
    let first = fleets.iter().find(|fleet| Some(&fleet.name) == circle.first());
    if let Some(section) = first.and_then(section) {
        let mut names: Vec<&str> = circle.iter().map(FleetName::as_str).collect();
        names.extend(names.first().copied());
        let way = names.join(" -> ");
        let message = format!("no fleet of this circle would ever start: {way}; take one out");
        section.problem("depends_on", message);
    }
}

/// `min` is not more than `max`. Said of whichever was written later.
pub(super) fn scale(section: &Section<'_>, min: u16, max: u16) {
    if min <= max {
        return;
    }
    if later(section, "min", "max") {
        section.problem("min", format!("is {min}, more than max ({max}): lower it"));
    } else {
        section.problem("max", format!("is {max}, less than min ({min}): raise it"));
    }
}

/// A task that may be submitted fits into a request. Said of whichever was written later.
pub(super) fn input_fits_body(
    root: &Section<'_>,
    tasks: Option<&Tasks>,
    http: Option<&Http>,
) -> Option<()> {
    let (max_input, max_body) = (tasks?.max_input, http?.max_body);
    if max_input < max_body {
        return None;
    }
    let (tasks, http) = (root.section("tasks")?, root.section("http")?);
    let [input, body] = [max_input, max_body].map(format_size);
    let layer = |section: &Section<'_>, key| section.written(key).map(|spot| spot.layer);
    if layer(&http, "max_body") > layer(&tasks, "max_input") {
        let message = format!("is {body}, but must be more than tasks.max_input ({input})");
        http.problem("max_body", message);
    } else {
        let message = format!("is {input}, but must be less than http.max_body ({body})");
        tasks.problem("max_input", message);
    }
    Some(())
}

/// Whether `first` was written in a later source than `second`, or nearer to home.
fn later(section: &Section<'_>, first: &str, second: &str) -> bool {
    let weight = |key| section.written(key).map(|spot| (spot.layer, section.is_own(key)));
    weight(first) > weight(second)
}

/// The tables of `section`, by name, each over the defaults of its kind; with their dotted names.
pub(super) fn named_tables(
    root: &Map<String, Value>,
    section: &str,
    defaults: &str,
) -> Vec<(String, String, Value)> {
    let Some(ValueKind::Table(tables)) = root.get(section).map(|value| &value.kind) else {
        return Vec::new();
    };
    let Some(defaults) = root.get(defaults) else {
        return Vec::new();
    };
    let mut named: Vec<_> = tables
        .iter()
        .map(|(name, table)| (name.clone(), join(section, name), overlay(defaults, table)))
        .collect();
    named.sort_by(|a, b| a.0.cmp(&b.0));
    named
}
