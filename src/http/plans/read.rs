//! From the body of a request to a plan and what is asked of its run. Pure.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::super::{
    api::FieldError,
    fields::{Errors, Fields, MAX_KEY, kind_of},
    once::HeaderKey,
    workspaces::{self, MAX_PATH},
};
use crate::{
    domain::{QueueName, plan::Plan},
    plan::{
        read::{self, Format},
        words::parse_speed,
    },
    settings::Problems,
};

/// The most agents of a run.
const MAX_AGENTS: i64 = 10_000;

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Request {
    pub(super) plan: Plan,
    pub(super) agents: Option<u32>,
    pub(super) queue: Option<QueueName>,
    pub(super) hour_ms: Option<u64>,
    pub(super) phased: bool,
    pub(super) split: bool,
    pub(super) from_history: bool,
    pub(super) git: Option<(PathBuf, String)>,
    pub(super) dry_run: bool,
    pub(super) idempotency_key: Option<String>,
}

/// Reads a body.
///
/// # Errors
///
/// Every mistake, each with its field; those of the plan with their lines.
pub(super) fn read(
    body: Map<String, Value>,
    header_key: Option<HeaderKey<'_>>,
) -> Result<Request, Vec<FieldError>> {
    let mut errors = Errors::default();
    let mut fields = Fields::new(String::new(), body, &mut errors);
    let formats = [("toml", Format::Toml), ("yaml", Format::Yaml), ("json", Format::Json)];
    let format = fields.word("format", &formats);
    let plan = fields.take("plan");
    let agents = fields.integer("agents", 1..=MAX_AGENTS);
    let queue = fields.parsed("queue");
    let speed = fields.text("speed", MAX_KEY);
    let hour_ms = speed.and_then(|text| match parse_speed(&text) {
        Ok(hour) => Some(hour),
        Err(why) => {
            fields.wrong("speed", why);
            None
        }
    });
    let (phased, split) = (fields.flag("phased"), fields.flag("split"));
    let from_history = fields.flag("from_history");
    let git = workspaces::repository(&mut fields);
    let dir = fields.text("dir", MAX_PATH).map(PathBuf::from);
    if dir.as_ref().is_some_and(|dir| !dir.is_absolute()) {
        fields.wrong("dir", "must be the absolute path of a directory");
    }
    let dry_run = fields.flag("dry_run");
    let idempotency_key = fields.idempotency_key(header_key);
    let text = match plan {
        Some(Value::String(text)) => Some((text, format.unwrap_or(Format::Toml))),
        Some(plan @ Value::Object(_)) => Some((plan.to_string(), Format::Json)),
        other => {
            let got = other.as_ref().map_or("nothing", kind_of);
            fields.wrong(
                "plan",
                format!("must be a plan: an object, or the text of a file, not {got}"),
            );
            None
        }
    };
    fields.finish();
    let plan = text.map(|(text, format)| read::parse(&text, format, Path::new("plan")));
    let plan = match plan {
        Some(Ok(mut plan)) => {
            from_root(&mut plan, dir.as_deref())
                .into_iter()
                .for_each(|it| errors.add(it.field, it.detail));
            Some(plan)
        }
        Some(Err(found)) => {
            problems(&found).into_iter().for_each(|it| errors.add(it.field, it.detail));
            None
        }
        None => None,
    };
    let Some(plan) = errors.or(plan)? else { return Err(Vec::new()) };
    Ok(Request {
        plan,
        agents: agents.and_then(|agents| u32::try_from(agents).ok()),
        queue,
        hour_ms,
        phased,
        split,
        from_history,
        git,
        dry_run,
        idempotency_key,
    })
}

/// Lets the repositories of a plan be named from the root. What is wrong with the others.
fn from_root(plan: &mut Plan, dir: Option<&Path>) -> Vec<FieldError> {
    let mut wrong = Vec::new();
    for task in &mut plan.tasks {
        let Some(git) = task.git.take() else { continue };
        let path = dir.map_or_else(|| git.clone(), |dir| dir.join(&git));
        if !path.is_absolute() {
            wrong.push(FieldError {
                field: format!("plan.tasks.{}.workspace.git", task.id),
                detail: format!(
                    "`{}` begins nowhere: say an absolute path, or `dir` beside the plan",
                    git.display()
                ),
            });
        }
        task.git = Some(path);
    }
    wrong
}

/// Problems of a plan, as mistakes of the field that holds it.
pub(super) fn problems(found: &Problems) -> Vec<FieldError> {
    found
        .as_slice()
        .iter()
        .map(|problem| FieldError {
            field: match &*problem.field {
                "" => "plan".to_owned(),
                field => format!("plan.{field}"),
            },
            detail: match problem.line() {
                Some(line) => format!("line {line}: {}", problem.message),
                None => problem.message.clone(),
            },
        })
        .collect()
}
