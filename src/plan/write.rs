//! A plan as a TOML file that reads back as the same plan.

use std::time::Duration;

use serde_json::Value;

use super::read::VERSION;
use crate::{
    domain::plan::{Estimate, FileUse, Merge, Needs, Owner, Plan, PlanTask},
    settings::format_duration,
};

/// The plan as TOML.
///
/// What TOML can not say is left out: a `null` within an input.
pub fn to_toml(plan: &Plan) -> String {
    let mut out = format!("version = {VERSION}\n");
    line(&mut out, "title", text(&plan.title), !plan.title.is_empty());
    line(&mut out, "people", plan.people.to_string(), plan.people != 1);
    for pool in &plan.pools {
        out.push_str("\n[[agents]]\n");
        if let Some(fleet) = &pool.fleet {
            line(&mut out, "fleet", text(fleet.as_str()), true);
        }
        line(&mut out, "count", pool.count.to_string(), true);
        line(
            &mut out,
            "queues",
            texts(pool.queues.iter().map(|it| it.as_str())),
            !pool.queues.is_empty(),
        );
        let capabilities = texts(pool.capabilities.iter().map(|it| it.as_str()));
        line(&mut out, "capabilities", capabilities, !pool.capabilities.is_empty());
    }
    for phase in &plan.phases {
        out.push_str("\n[[phases]]\n");
        line(&mut out, "name", text(phase.name.as_str()), true);
        line(&mut out, "title", text(&phase.title), phase.title != phase.name.as_str());
        line(&mut out, "preparation", "true".to_owned(), phase.preparation);
    }
    plan.tasks.iter().for_each(|it| task(&mut out, it));
    out
}

fn task(out: &mut String, task: &PlanTask) {
    out.push_str("\n[[tasks]]\n");
    line(out, "id", text(task.id.as_str()), true);
    line(out, "title", text(&task.title), task.title != task.id.as_str());
    if let Some(phase) = &task.phase {
        line(out, "phase", text(phase.as_str()), true);
    }
    line(out, "owner", text(task.owner.as_str()), task.owner != Owner::Agent);
    match &task.needs {
        Needs::Anyone => {}
        Needs::Fleet(name) => line(out, "fleet", text(name.as_str()), true),
        Needs::Queue(name) => line(out, "queue", text(name.as_str()), true),
        Needs::Capability(name) => line(out, "capability", text(name.as_str()), true),
    }
    line(out, "duration", estimate(&task.estimate), true);
    let depends = texts(task.depends_on.iter().map(|id| id.as_str()));
    line(out, "depends_on", depends, !task.depends_on.is_empty());
    let splits = texts(task.split_of.iter().map(|id| id.as_str()));
    line(out, "split_of", splits, !task.split_of.is_empty());
    line(out, "files", list(task.files.iter().map(file)), !task.files.is_empty());
    line(out, "priority", task.priority.to_string(), task.priority != 0);
    line(out, "approval", "true".to_owned(), task.approval);
    if let Some(limit) = task.stale_after {
        line(out, "stale_after", text(&format_duration(limit)), true);
    }
    if let Some(condition) = &task.condition {
        line(out, "condition", text(condition), true);
    }
    if let Some(branch) = &task.branch {
        line(out, "branch", text(branch), true);
    }
    line(out, "merge", text(task.merge.as_str()), task.merge != Merge::Merge);
    line(out, "workspace", workspace(task), task.git.is_some() || !task.on_conflict.is_agent());
    if let Some(input) = json(&task.input) {
        line(out, "input", input, true);
    }
}

/// What stands in no key beside it.
fn workspace(task: &PlanTask) -> String {
    let git = task.git.as_ref().map(|git| format!("git = {}", text(&git.to_string_lossy())));
    let base = task.base.as_ref().map(|base| format!("base = {}", text(base)));
    let resolver = task.on_conflict;
    let resolver =
        (!resolver.is_agent()).then(|| format!("on_conflict = {}", text(resolver.as_str())));
    let said: Vec<String> = [git, base, resolver].into_iter().flatten().collect();
    format!("{{ {} }}", said.join(", "))
}

fn line(out: &mut String, key: &str, value: String, wanted: bool) {
    if wanted {
        out.push_str(&format!("{key} = {value}\n"));
    }
}

fn file(file: &FileUse) -> String {
    let glob = text(file.glob.as_str());
    if file.write { glob } else { format!("{{ glob = {glob}, write = false }}") }
}

fn estimate(estimate: &Estimate) -> String {
    let short = |duration: &Duration| text(&format_duration(*duration));
    match estimate {
        Estimate::Fixed(duration) => short(duration),
        Estimate::Range { optimistic, likely, pessimistic } => format!(
            "{{ optimistic = {}, likely = {}, pessimistic = {} }}",
            short(optimistic),
            short(likely),
            short(pessimistic)
        ),
    }
}

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> String {
    list(values.map(text))
}

fn list(values: impl Iterator<Item = String>) -> String {
    let values: Vec<String> = values.collect();
    match values.len() {
        0 | 1 => format!("[{}]", values.join("")),
        _ => format!("[\n{}]", values.iter().map(|it| format!("    {it},\n")).collect::<String>()),
    }
}

/// A basic string, over several lines where the text has them.
fn text(value: &str) -> String {
    let is_long = value.contains('\n');
    let mut out = String::from(if is_long { "\"\"\"\n" } else { "\"" });
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push('\n'),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push_str(if is_long { "\"\"\"" } else { "\"" });
    out
}

fn json(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(value) => text(value),
        Value::Array(values) => {
            format!("[{}]", values.iter().filter_map(json).collect::<Vec<_>>().join(", "))
        }
        Value::Object(values) => {
            let one = |(key, value): (&String, &Value)| {
                let key = text(key).replace('\n', "\\n");
                json(value).map(|value| format!("{key} = {value}"))
            };
            format!("{{ {} }}", values.iter().filter_map(one).collect::<Vec<_>>().join(", "))
        }
    })
}
