//! Commands of callers: git, other programs, and tasks for a fleet, each a task of a queue.

use std::{path::PathBuf, time::Duration};

use serde_json::{Value, json};

use super::{SessionError, Sessions, plain_task, reached};
use crate::{
    domain::{
        QueueName, TaskId,
        access::{About, Grants, Scope},
        record::TaskRecord,
        session::ItemName,
        task::{NewTask, TaskState},
        webhook::{Refused, git, shell},
    },
    queue::QueueError,
    settings::{OutOfBounds, Within, Workplace},
};

/// How much longer a task may take than its command: the agent ends that itself.
const GRACE: Duration = Duration::from_secs(10);

/// The longest `task_id`, in characters: it is part of an idempotency key.
const MAX_TASK_ID: usize = 200;

/// What is to be run.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// `git` in a directory.
    Git {
        /// Its argv.
        command: Value,
        /// Where; the first of the roots where absent.
        dir: Option<String>,
        /// How long it may take.
        timeout: Duration,
    },
    /// Another program, or a line for a shell.
    Shell {
        /// Its argv, or the line.
        command: Value,
        /// Where; the first of the roots where absent.
        dir: Option<String>,
        /// How long it may take.
        timeout: Duration,
    },
    /// A task for a fleet.
    Fleet {
        /// The fleet.
        fleet: String,
        /// The input of the task.
        params: Value,
    },
}

/// A command of a caller.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskCommand {
    /// What the caller calls it: the same again is the same task.
    pub name: Option<ItemName>,
    /// What is to be run.
    pub action: Action,
}

/// The task that a command became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commanded {
    /// What the caller calls it, or its id.
    pub name: ItemName,
    /// The task.
    pub task: TaskId,
    /// Whether it was made; otherwise it was there already.
    pub created: bool,
}

/// How a command ended, or stands.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandEnd {
    /// `completed` or `failed`, or where the task is while it has not ended.
    pub status: String,
    /// Whether it has ended.
    pub ended: bool,
    /// `success`, `stdout`, `stderr` and `returncode`; of a task for a fleet its result, too.
    pub output: Value,
    /// Why it failed.
    pub error: Option<String>,
    /// How long it took.
    pub execution_ms: u64,
}

impl Sessions {
    /// Has a command carried out, for a caller who may do this much; answers as soon as its task is submitted.
    ///
    /// # Errors
    ///
    /// [`SessionError::Invalid`] and [`SessionError::NotAllowed`] name the field.
    pub async fn task_command(
        &self,
        by: &Grants,
        command: TaskCommand,
    ) -> Result<Commanded, SessionError> {
        let is_program = !matches!(command.action, Action::Fleet { .. });
        let task = match command.action {
            Action::Git { command, dir, timeout } => {
                let argv = git(&command, &self.rules.webhook.git).map_err(refused)?;
                self.program(by, "git", argv, (dir, timeout)).await?
            }
            Action::Shell { command, dir, timeout } => {
                let argv = shell(&command, self.rules.shell).map_err(refused)?;
                self.program(by, "shell", argv, (dir, timeout)).await?
            }
            Action::Fleet { fleet, params } => {
                let queue = self.rules.queue_of(by, "data.action_type", &fleet)?;
                plain_task(queue, fleet, params, &self.queue.terms())
            }
        };
        let by_own_name = command.name.is_none();
        let name = match command.name {
            Some(name) if name.as_str().chars().count() > MAX_TASK_ID => {
                let detail = format!("must have at most {MAX_TASK_ID} characters");
                return Err(SessionError::Invalid { field: "data.task_id".to_owned(), detail });
            }
            Some(name) => name,
            None => {
                let name = task.id.to_string().parse();
                name.map_err(|_| SessionError::Fault("an id is no name"))?
            }
        };
        if is_program
            && !by_own_name
            && let Some(task) = self.by_id(&name, &task.queue).await?
        {
            return Ok(Commanded { name, task, created: false });
        }
        // A program without a name goes by its id, which is new and finds it again. Without a key it is
        // a plain task, which an idle agent gets in the moment in which it is submitted.
        let is_plain = is_program && by_own_name;
        let idempotency_key = (!is_plain).then(|| format!("task_command:{name}"));
        let submitted = self.submit(NewTask { idempotency_key, ..task }).await?;
        if !submitted.created && by.is_limited() {
            // It may have been a command for another queue that had the name.
            let found = self.queue.get(submitted.id).await?;
            let about = found.as_ref().map_or(About::Host, |task| About::Queue(&task.queue));
            by.allow(Scope::Submit, about)?;
        }
        Ok(Commanded { name, task: submitted.id, created: submitted.created })
    }

    /// The task that is meant by its id, if there is one in the queue of programs.
    async fn by_id(
        &self,
        name: &ItemName,
        queue: &QueueName,
    ) -> Result<Option<TaskId>, SessionError> {
        let Ok(id) = name.as_str().parse::<TaskId>() else { return Ok(None) };
        let found = self.queue.get(id).await?;
        Ok(found.filter(|task| task.queue == *queue).map(|task| task.id))
    }

    /// The task that runs a program.
    async fn program(
        &self,
        by: &Grants,
        kind: &str,
        argv: Vec<String>,
        (dir, timeout): (Option<String>, Duration),
    ) -> Result<NewTask, SessionError> {
        let webhook = &self.rules.webhook;
        let queues = webhook.command_fleet.as_ref().and_then(|fleet| self.rules.fleets.get(fleet));
        let queues = queues.ok_or_else(|| SessionError::NotAllowed {
            field: "data.action_type",
            detail: "no commands are run here (`webhook.command_fleet` in the config)".to_owned(),
        })?;
        let queue = reached(queues, by)?;
        let roots = webhook.roots.clone();
        // Outside of a repository it compares any two files, through whatever links.
        let of_repository = kind == "git" && argv.iter().any(|word| word == "diff");
        let look = move || {
            let dir = resolve(dir.as_deref(), &roots)?;
            let is_one = || dir.ancestors().any(|dir| dir.join(".git").exists());
            if of_repository && !is_one() {
                let detail = "is in no git repository".to_owned();
                let field = "data.params.working_dir".to_owned();
                return Err(SessionError::Invalid { field, detail });
            }
            Ok(dir)
        };
        let found = tokio::task::spawn_blocking(look).await;
        let dir = found.map_err(|_| SessionError::Fault("looking for a directory failed"))??;
        let input = json!({ "command": {
            "argv": argv,
            "working_dir": dir,
            "timeout_ms": u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
        } });
        let task = plain_task(queue.clone(), kind.to_owned(), input, &self.queue.terms());
        // What a command did is not known: it is not done again by itself.
        Ok(NewTask { max_attempts: 1, timeout: Some(timeout + GRACE), ..task })
    }

    /// How a command ended, or how it stands once the wait that the operator allows is over.
    ///
    /// # Errors
    ///
    /// [`SessionError::Queue`].
    pub async fn command_ended(&self, task: TaskId) -> Result<CommandEnd, SessionError> {
        Ok(end_of(&self.ended(task).await?))
    }

    /// How a command stands now.
    ///
    /// # Errors
    ///
    /// [`SessionError::Queue`].
    pub async fn command_stands(&self, task: TaskId) -> Result<CommandEnd, SessionError> {
        let found = self.queue.get(task).await?;
        Ok(end_of(&found.ok_or(QueueError::UnknownTask { task })?))
    }
}

fn refused(refused: Refused) -> SessionError {
    match refused {
        Refused::Malformed(detail) => {
            SessionError::Invalid { field: "data.params.command".to_owned(), detail }
        }
        Refused::NotAllowed(detail) => {
            SessionError::NotAllowed { field: "data.params.command", detail }
        }
    }
}

/// The directory that is meant, with all links followed, if it is one of the roots or below one.
fn resolve(dir: Option<&str>, roots: &[PathBuf]) -> Result<PathBuf, SessionError> {
    let not_allowed =
        |detail: String| SessionError::NotAllowed { field: "data.params.working_dir", detail };
    let Some(first) = roots.first() else {
        let detail = "no directory is open to commands (`webhook.roots` in the config)";
        return Err(not_allowed(detail.to_owned()));
    };
    let wanted = dir.map_or_else(|| first.clone(), |dir| first.join(dir));
    match Workplace::open(&wanted, Within::Roots(roots)) {
        Ok(place) => Ok(place.path().to_owned()),
        Err(OutOfBounds::Outside | OutOfBounds::Unusable(_)) => {
            Err(not_allowed("is not below a directory that is open to commands".to_owned()))
        }
        Err(error) => Err(SessionError::Invalid {
            field: "data.params.working_dir".to_owned(),
            detail: error.to_string(),
        }),
    }
}

/// What a caller is told of the task of a command.
fn end_of(task: &TaskRecord) -> CommandEnd {
    let result = task.output.clone().unwrap_or(Value::Null);
    let is_program = result["returncode"].is_i64() && result["stdout"].is_string();
    let completed = task.state == TaskState::Completed;
    let error = task.error.as_ref().map(|error| error.message.clone());
    let success =
        if is_program { completed && result["success"] == json!(true) } else { completed };
    let output = match (completed, is_program) {
        (true, true) => result,
        (true, false) => {
            let text = match &result {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            json!({ "success": true, "stdout": text, "stderr": "", "returncode": 0, "result": result })
        }
        (false, _) => {
            let said = error.as_deref().unwrap_or_default();
            json!({ "success": false, "stdout": "", "stderr": said, "returncode": Value::Null })
        }
    };
    let took = task.started_at.zip(task.finished_at).map(|(from, to)| to.duration_since(from));
    let status = match task.state {
        TaskState::Completed if success => "completed",
        TaskState::Completed | TaskState::Failed | TaskState::Cancelled => "failed",
        state => state.as_str(),
    };
    let error = match (task.state, error) {
        (TaskState::Cancelled, None) => Some("it was called off".to_owned()),
        (TaskState::Completed, _) if !success => {
            Some(format!("the command ended with status {}", output["returncode"]))
        }
        (TaskState::Completed, _) => None,
        (_, error) => error,
    };
    CommandEnd {
        status: status.to_owned(),
        ended: task.state.is_final(),
        output,
        error,
        execution_ms: took.and_then(|took| u64::try_from(took.as_millis()).ok()).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_run_below_the_roots_and_nowhere_else() {
        let inside = tempfile::tempdir().unwrap();
        std::fs::create_dir(inside.path().join("repo")).unwrap();
        let roots = [inside.path().to_path_buf()];
        let real = inside.path().canonicalize().unwrap();
        assert_eq!(resolve(None, &roots).unwrap(), real);
        assert_eq!(resolve(Some("repo"), &roots).unwrap(), real.join("repo"));
        assert!(matches!(resolve(Some("/etc"), &roots), Err(SessionError::NotAllowed { .. })));
        assert!(matches!(resolve(Some("nothing"), &roots), Err(SessionError::Invalid { .. })));
        assert!(matches!(resolve(None, &[]), Err(SessionError::NotAllowed { .. })));
    }
}
