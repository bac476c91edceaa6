//! `[webhook]`, and `[github.NAME]` over `[github_defaults]`.

use std::{collections::BTreeMap, time::Duration};

use config::{Map, Value, ValueKind};

use super::{
    Queue, Webhook, check,
    context::Context,
    reader::Section,
    roots,
    schedules::{kind, parsed},
    secrets,
};
use crate::domain::{
    FleetName, QueueName, ScheduleName,
    fleet::Fleet,
    webhook::{GithubRule, Reach},
};

/// A shorter secret can be guessed.
const MIN_SECRET: usize = 16;

/// Stands for every fleet.
pub(super) const EVERY: &str = "*";

/// Reads the section. `fleets` are those of this host, if all of them are known.
pub(super) fn read(section: &Section<'_>, fleets: Option<&[Fleet]>) -> Option<Webhook> {
    let limit = Duration::from_secs(600);
    let sync_wait = section.duration("sync_wait", Duration::ZERO..=limit);
    let reach = reach(section, fleets);
    let commands = section.given("command_fleet", parsed::<FleetName>);
    if let (Some(Some(name)), Some(fleets)) = (&commands, fleets)
        && !fleets.iter().any(|fleet| fleet.name == *name && !fleet.queues.is_empty())
    {
        let message = format!("there is no fleet `{name}` that takes tasks");
        section.problem("command_fleet", message);
    }
    let git = section.texts("git");
    let roots = roots::read(section, "roots");
    let github_secret = github_secret(section);
    Some(Webhook {
        sync_wait: sync_wait?,
        reach: reach?,
        command_fleet: commands?,
        git: git?,
        roots: roots?,
        github_secret: github_secret?,
    })
}

fn reach(section: &Section<'_>, fleets: Option<&[Fleet]>) -> Option<Reach> {
    let words = section.texts("fleets")?;
    if words == [EVERY] {
        return Some(Reach::All);
    }
    let mut names = Vec::with_capacity(words.len());
    for (at, word) in words.iter().enumerate() {
        let name = word.parse::<FleetName>().map_err(|error| error.to_string());
        let known = name.and_then(|name| match fleets {
            Some(fleets) if !fleets.iter().any(|fleet| fleet.name == name) => {
                Err(format!("there is no fleet `{name}`; `[\"*\"]` stands for every one"))
            }
            _ => Ok(name),
        });
        match known {
            Ok(name) => names.push(name),
            Err(message) => section.wrong_item("fleets", at, message),
        }
    }
    (names.len() == words.len()).then_some(Reach::These(names))
}

fn github_secret(section: &Section<'_>) -> Option<Option<super::Secret>> {
    let secret = secrets::read(section, "github_secret", "github_secret_file")?;
    let short = secret.as_ref().is_some_and(|secret| secret.reveal().chars().count() < MIN_SECRET);
    if short {
        let used = secrets::used(section, "github_secret", "github_secret_file");
        let message = format!(
            "must have at least {MIN_SECRET} characters: make one with `openssl rand -hex 32`"
        );
        section.problem(used, message);
    }
    Some(secret)
}

/// Reads every rule, and the defaults even where there is none.
pub(super) fn rules(
    context: &Context<'_>,
    root: &Map<String, Value>,
    queues: &BTreeMap<QueueName, Queue>,
    complete: bool,
) -> Vec<GithubRule> {
    if let Some(ValueKind::Table(table)) = root.get("github_defaults").map(|value| &value.kind) {
        fields(&Section::new(context, "github_defaults".to_owned(), table));
    }
    check::named_tables(root, "github", "github_defaults")
        .iter()
        .filter_map(|(name, path, value)| match &value.kind {
            ValueKind::Table(table) => {
                let section = Section::new(context, path.clone(), table);
                rule(name, &section, complete.then_some(queues))
            }
            _ => None,
        })
        .collect()
}

/// The fields that can be read of a rule and of the defaults alike.
struct Fields {
    event: Option<String>,
    action: Option<Option<String>>,
    repository: Option<Option<String>>,
    branch: Option<Option<String>>,
    queue: Option<QueueName>,
    kind: Option<String>,
    priority: Option<i16>,
    input: Option<serde_json::Value>,
}

fn fields(section: &Section<'_>) -> Fields {
    Fields {
        event: section.text("event"),
        action: section.text_or_none("action"),
        repository: section.text_or_none("repository"),
        branch: section.text_or_none("branch"),
        queue: parsed(section, "queue"),
        kind: kind(section),
        priority: section.number("priority", i16::MIN..=i16::MAX),
        input: section.json("input"),
    }
}

fn rule(
    name: &str,
    section: &Section<'_>,
    queues: Option<&BTreeMap<QueueName, Queue>>,
) -> Option<GithubRule> {
    let name: Option<ScheduleName> =
        name.parse().map_err(|error| section.wrong(format!("{error}"))).ok();
    let fields = fields(section);
    if let (Some(queue), Some(queues)) = (&fields.queue, queues)
        && !queues.contains_key(queue)
    {
        let message =
            format!("no fleet serves the queue `{queue}`: put it into the `queues` of a fleet");
        section.problem("queue", message);
    }
    Some(GithubRule {
        name: name?,
        event: fields.event?,
        action: fields.action?,
        repository: fields.repository?,
        branch: fields.branch?,
        queue: fields.queue?,
        kind: fields.kind?,
        priority: fields.priority?,
        input: fields.input?,
    })
}
