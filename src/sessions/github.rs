//! Deliveries of GitHub, as tasks.

use serde_json::Value;

use super::{SessionError, Sessions, plain_task};
use crate::domain::{ScheduleName, TaskId, graph, task::NewTask, webhook::GithubRule};

/// What became of a delivery: which rule made which task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The rule.
    pub rule: ScheduleName,
    /// The task.
    pub task: TaskId,
}

impl Sessions {
    /// Submits the tasks that the operator's rules make of a delivery; none if no rule is for it. The
    /// same delivery again makes no other task.
    ///
    /// # Errors
    ///
    /// [`SessionError::Invalid`] where the input of a rule can't be made of the payload; nothing was
    /// submitted.
    pub async fn delivered(
        &self,
        event: &str,
        delivery: &str,
        payload: &Value,
    ) -> Result<Vec<Delivered>, SessionError> {
        let facts = GithubRule::facts(event, delivery, payload);
        let mut tasks = Vec::new();
        for rule in self.rules.github.iter().filter(|rule| rule.matches(event, payload)) {
            let input = graph::render_of(&rule.input, &facts, self.rules.max_input);
            let input = input.map_err(|error| SessionError::Invalid {
                field: format!("github.{}", rule.name),
                detail: error.to_string(),
            })?;
            let task =
                plain_task(rule.queue.clone(), rule.kind.clone(), input, &self.queue.terms());
            let key = format!("github:{delivery}:{}", rule.name);
            tasks.push((
                rule.name.clone(),
                NewTask { priority: rule.priority, idempotency_key: Some(key), ..task },
            ));
        }
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        let (rules, tasks): (Vec<_>, Vec<_>) = tasks.into_iter().unzip();
        let submitted = self.queue.submit(tasks).await?;
        let made = rules.into_iter().zip(submitted);
        Ok(made.map(|(rule, submitted)| Delivered { rule, task: submitted.id }).collect())
    }
}
