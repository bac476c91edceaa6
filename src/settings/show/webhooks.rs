//! How webhooks are shown, in and out.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    super::{Endpoint, Webhook, mask, units::format_duration, webhook::EVERY},
    masked, path,
};
use crate::domain::webhook::{GithubRule, Reach};

pub(super) fn webhook(webhook: &Webhook) -> Value {
    let fleets = match &webhook.reach {
        Reach::All => json!([EVERY]),
        Reach::These(fleets) => json!(fleets),
    };
    json!({
        "sync_wait": format_duration(webhook.sync_wait),
        "fleets": fleets,
        "command_fleet": webhook.command_fleet.as_ref().map_or("", |fleet| fleet.as_str()),
        "git": webhook.git,
        "roots": webhook.roots.iter().map(|root| path(root)).collect::<Vec<_>>(),
        "github_secret": if webhook.github_secret.is_some() { mask::MASK } else { "" },
    })
}

pub(super) fn of_rule(rule: &GithubRule) -> (String, Value) {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let shown = json!({
        "event": rule.event,
        "action": text(&rule.action),
        "repository": text(&rule.repository),
        "branch": text(&rule.branch),
        "queue": rule.queue,
        "kind": rule.kind,
        "priority": rule.priority,
        "input": masked(&rule.input),
    });
    (rule.name.to_string(), shown)
}

pub(super) fn endpoint(webhook: &Endpoint) -> Value {
    let (spec, filter) = (&webhook.spec, &webhook.spec.filter);
    json!({
        "url": spec.url.as_ref().map_or_else(String::new, |url| mask::urls(url.as_str()).into_owned()),
        "description": spec.description,
        "types": filter.types,
        "queues": filter.queues,
        "kinds": filter.kinds,
        "groups": filter.groups,
        "fleets": filter.fleets,
        "concurrency": spec.concurrency,
        "ordered": spec.ordered,
        "timeout": format_duration(Duration::from_millis(spec.timeout_ms.into())),
        "secret": if webhook.secret.is_some() { mask::MASK } else { "" },
    })
}
