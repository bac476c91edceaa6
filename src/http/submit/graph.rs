//! What the tasks of a submit say of each other: their names, and what they wait for.

use serde_json::Value;

use super::super::fields::{Errors, Fields};
use crate::domain::{
    graph::{
        Dependency, DependencyPolicy, MAX_REFERENCE, Names, Node, Target, Wanted, check, resolve,
    },
    task::NewTask,
};

/// The longest name of a dependency: that of a task of the submit, or an id.
const MAX_NAME: usize = MAX_REFERENCE;

/// What one task says.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Where the task stands: `tasks[3]`, or nowhere if it is the body.
    at: String,
    reference: Option<String>,
    depends_on: Vec<String>,
    policy: Option<DependencyPolicy>,
    template: bool,
}

impl Asked {
    /// Takes the fields of a task.
    pub(super) fn take(task: &mut Fields<'_>) -> Self {
        let reference = task.text("ref", MAX_REFERENCE);
        let depends_on = task.texts("depends_on", MAX_NAME);
        let policy = task.parsed("on_dependency_failure");
        let template = task.bool("template").unwrap_or(false);
        if depends_on.is_empty() {
            if policy.is_some() {
                task.wrong("on_dependency_failure", "has no meaning without `depends_on`");
            }
            if template {
                task.wrong("template", "has nothing to be filled in with without `depends_on`");
            }
        }
        Self { at: task.at().to_owned(), reference, depends_on, policy, template }
    }

    fn field(&self, name: &str) -> String {
        if self.at.is_empty() { name.to_owned() } else { format!("{}.{name}", self.at) }
    }
}

/// Finds what the tasks wait for, and writes it into them. `asked` has one entry for each task of
/// the body, `tasks` those that could be read; as many, unless a mistake has been noted.
pub(super) fn connect(tasks: &mut [NewTask], asked: &[Asked], errors: &mut Errors) {
    let says = |one: &Asked| one.reference.is_some() || !one.depends_on.is_empty();
    if !asked.iter().any(says) {
        return;
    }
    let wanted: Vec<_> = asked
        .iter()
        .map(|one| Wanted { reference: one.reference.as_deref(), depends_on: &one.depends_on })
        .collect();
    let targets = match resolve(&wanted) {
        Ok(targets) => targets,
        Err(faults) => {
            for fault in faults {
                let one = &asked[fault.task];
                let field = match fault.dependency {
                    Some(nth) => one.field(&format!("depends_on[{nth}]")),
                    None if one.reference.is_some() => one.field("ref"),
                    None => one.field("depends_on"),
                };
                errors.add(field, fault.what);
            }
            return;
        }
    };
    if tasks.len() < asked.len() {
        return;
    }
    let ids: Vec<_> = tasks.iter().map(|task| task.id).collect();
    for ((task, one), targets) in tasks.iter_mut().zip(asked).zip(targets) {
        let used = used(one, &task.input, errors);
        let depends_on = one.depends_on.iter().zip(targets).zip(used);
        let dependency = |((name, target), used): ((&String, Target), bool)| Dependency {
            task: match target {
                Target::Here(at) => ids[at],
                Target::There(id) => id,
            },
            name: name.clone(),
            used,
        };
        task.terms.graph = Node {
            reference: one.reference.clone(),
            depends_on: depends_on.map(dependency).collect(),
            policy: one.policy.unwrap_or_default(),
            template: one.template,
        };
    }
}

/// Which of the dependencies the input uses.
fn used(one: &Asked, input: &Value, errors: &mut Errors) -> Vec<bool> {
    let none = vec![false; one.depends_on.len()];
    if !one.template {
        return none;
    }
    let names: Vec<_> = one.depends_on.iter().map(String::as_str).collect();
    check(input, Names(&names)).unwrap_or_else(|wrong| {
        for unread in wrong {
            errors.add(one.field(&unread.at), unread.what);
        }
        none
    })
}
