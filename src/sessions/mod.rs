//! Sessions, for those who ask: the one implementation behind `POST /webhook`, `/api/v1/sessions` and
//! whatever else speaks of sessions.
//!
//! A caller makes a [`Command`] and gets a [`Done`]. A command is carried out whole or not at all;
//! several can be, together ([`Sessions::run_all`]). Memories, which come most often, go through the
//! writer of their thread, which keeps all that have arrived meanwhile by one statement (`writer`).
//!
//! # Guarantees
//!
//! - What was answered is committed. A task that was given away is linked to its session in the
//!   transaction that submits it.
//! - The same `task_id` again is the same task, in a session as in [`Sessions::task_command`].
//! - Nothing gets into a session that is completed, or deleted in the same moment.
//! - A caller whose key is limited to queues reaches tasks of these, wherever they were given away, and
//!   nothing else that is in a session.
//!
//! # Failures
//!
//! [`SessionError`] says what the caller can do. After [`crate::queue::QueueError::Unavailable`] it is
//! not known whether the command was carried out: all but `delegate_task` without a `task_id` and what
//! makes up a key may be sent again.

mod command;
mod commands;
mod contents;
mod deeds;
mod error;
mod gathered;
mod github;
mod reads;
mod receipts;
mod transfer;
mod writer;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    domain::{
        FleetName, QueueName, TaskId,
        access::{About, Denied, Grants, Limits, Scope},
        record::{Submitted, TaskRecord},
        session::{ItemName, SessionId, SessionTaskRecord},
        task::{NewTask, Terms},
        webhook::{GithubRule, ShellRule},
    },
    queue::{QueueError, QueueHandle},
    settings::{self, Settings},
    store::{Store, plans::ByHand},
    telemetry::metrics::Metrics,
};

pub use command::{ChunkDone, Command, Done, Receiver};
pub use commands::{Action, CommandEnd, Commanded, TaskCommand};
pub use contents::Upload;
pub use error::SessionError;
pub use github::Delivered;
pub use receipts::{KEPT, Receipt};

use deeds::{After, By};
use gathered::Gathered;
use writer::Writer;

/// What a host says of itself to callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The fleets that callers may give tasks to, in their order.
    pub fleets: Vec<FleetName>,
    /// Whether git commands are run.
    pub git: bool,
    /// Whether other commands are run, and how they may be given.
    pub shell: ShellRule,
    /// How long a caller who waits for a task waits at most.
    pub sync_wait: Duration,
}

/// Carries out what callers ask of sessions. Cheap to clone; usable from any thread.
#[derive(Clone)]
pub struct Sessions {
    store: Store,
    queue: QueueHandle,
    writer: Writer,
    gathered: Gathered,
    metrics: Arc<Metrics>,
    rules: Arc<Rules>,
}

/// What the operator allows.
struct Rules {
    webhook: settings::Webhook,
    github: Vec<GithubRule>,
    /// The fleets that take tasks, each with its queues.
    fleets: BTreeMap<FleetName, Vec<QueueName>>,
    /// What of callers' commands may reach a shell: what the fleet that runs them allows.
    shell: ShellRule,
    max_input: u64,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl Sessions {
    /// Starts the writer and what enters memories into their index in the current arbiter.
    pub(crate) fn start(
        store: Store,
        queue: QueueHandle,
        metrics: Arc<Metrics>,
        settings: &Settings,
    ) -> Self {
        let fleets = settings.fleets.iter().filter(|fleet| !fleet.queues.is_empty());
        let fleets = fleets.map(|fleet| (fleet.name.clone(), fleet.queues.clone()));
        let commands = settings.webhook.command_fleet.as_ref();
        let of_commands = settings.fleets.iter().find(|fleet| Some(&fleet.name) == commands);
        let rules = Rules {
            shell: of_commands.map_or(ShellRule::Off, |fleet| fleet.shell),
            webhook: settings.webhook.clone(),
            github: settings.github.clone(),
            fleets: fleets.collect(),
            max_input: settings.tasks.max_input,
        };
        let writer = Writer::start(store.clone(), metrics.clone());
        let gathered = Gathered::start(store.clone());
        Self { store, queue, writer, gathered, metrics, rules: Arc::new(rules) }
    }

    /// The same for those whom the current thread answers: with a writer of its own in the current arbiter.
    pub(crate) fn of_this_thread(&self) -> Self {
        let writer = Writer::start(self.store.clone(), self.metrics.clone());
        Self { writer, ..self.clone() }
    }

    /// What this host offers a caller.
    pub fn offer(&self, by: &Grants) -> Offer {
        let webhook = &self.rules.webhook;
        let of_commands =
            webhook.command_fleet.as_ref().and_then(|fleet| self.rules.fleets.get(fleet));
        let limits = by.limited_to();
        let reaches = |queues: &[QueueName]| {
            let is_own = |limits: &Limits| queues.iter().any(|queue| limits.queues.contains(queue));
            limits.as_ref().is_none_or(is_own)
        };
        let commands =
            of_commands.is_some_and(|queues| reaches(queues)) && !webhook.roots.is_empty();
        let shell = if commands { self.rules.shell } else { ShellRule::Off };
        let offered = |(fleet, queues): &(&FleetName, &Vec<QueueName>)| {
            self.rules.offers(fleet) && reaches(queues)
        };
        let fleets = self.rules.fleets.iter().filter(offered).map(|(fleet, _)| fleet.clone());
        Offer {
            fleets: fleets.collect(),
            git: commands && !webhook.git.is_empty(),
            shell,
            sync_wait: webhook.sync_wait,
        }
    }

    /// The secret that GitHub signs with.
    pub fn github_secret(&self) -> Option<&settings::Secret> {
        self.rules.webhook.github_secret.as_ref()
    }

    /// Whether a task was given away in a session.
    ///
    /// # Errors
    ///
    /// [`SessionError`], where the database can't be asked.
    pub async fn gave_away(&self, session: &SessionId, task: TaskId) -> Result<bool, SessionError> {
        let db = self.store.client().await?;
        Ok(crate::store::sessions::tasks::gave_away(&db, session, task).await?)
    }

    /// Carries out one command on a session, for a caller who may do this much.
    ///
    /// # Errors
    ///
    /// [`SessionError`]; nothing was done.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it answered, the command may or may not have been carried out.
    pub async fn run(
        &self,
        by: &Grants,
        session: &SessionId,
        command: Command,
    ) -> Result<Done, SessionError> {
        may(by, &command)?;
        let began = Instant::now();
        let is_search = command.is_search();
        let done = match command {
            Command::Store(memory) => {
                let key = memory.key.clone();
                let kind = memory.kind;
                let created = self.writer.store(session.clone(), memory).await?;
                self.gathered.came();
                Ok(Done::Stored { key, kind, created })
            }
            Command::CancelTask(name) => {
                self.cancel(by, session, &name).await.map(|task| Done::Task(Box::new(task)))
            }
            command if command.only_reads() => {
                let db = self.store.client().await?;
                let terms = self.queue.terms();
                let by = By { rules: &self.rules, terms: &terms, grants: by };
                deeds::one(&by, &db, session, command, &mut After::none()).await
            }
            command => {
                let done = self.run_all(by, session, vec![command]).await;
                let nothing = SessionError::Fault("a command came to nothing");
                done.map_err(|(_, error)| error)?.pop().ok_or(nothing)
            }
        };
        if is_search {
            self.metrics.searched(began.elapsed());
        }
        done
    }

    /// Carries out several commands on a session, all of them or none, for a caller who may do this much.
    ///
    /// # Errors
    ///
    /// The first that can't be carried out, and why.
    ///
    /// # Cancel safety
    ///
    /// As [`Sessions::run`].
    pub async fn run_all(
        &self,
        by: &Grants,
        session: &SessionId,
        commands: Vec<Command>,
    ) -> Result<Vec<Done>, (usize, SessionError)> {
        for (nth, command) in commands.iter().enumerate() {
            may(by, command).map_err(|denied| (nth, denied.into()))?;
        }
        let mut at = 0;
        let done = self
            .store
            .transact_for(async |db| {
                let mut after = After::none();
                let mut done = Vec::with_capacity(commands.len());
                for (nth, command) in commands.into_iter().enumerate() {
                    at = nth;
                    let terms = self.queue.terms();
                    let by = By { rules: &self.rules, terms: &terms, grants: by };
                    done.push(deeds::one(&by, db, session, command, &mut after).await?);
                }
                Ok::<_, SessionError>((done, after))
            })
            .await;
        match done {
            Ok((done, after)) => {
                // Whatever is kept may have left memories.
                self.gathered.came();
                self.submitted(after).await;
                Ok(done)
            }
            Err(error) => Err((at, error)),
        }
    }

    /// Wakes whom the tasks of a committed transaction are for.
    async fn submitted(&self, after: After) {
        if !after.tasks.is_empty() {
            self.queue.submitted(&after.tasks, &after.submitted).await;
        }
    }

    /// Calls a task of a session off.
    async fn cancel(
        &self,
        by: &Grants,
        session: &SessionId,
        name: &ItemName,
    ) -> Result<SessionTaskRecord, SessionError> {
        let task = self.task(session, name).await?;
        reads::may_task(&self.store.client().await?, by, Scope::Control, &task).await?;
        let Some(id) = task.task else {
            return Err(SessionError::WrongState {
                what: format!(
                    "task `{name}` was brought along from elsewhere and can't be called off"
                ),
            });
        };
        self.queue.cancel(id).await?;
        self.task(session, name).await
    }

    /// One task of a session, as it is now.
    ///
    /// # Errors
    ///
    /// [`SessionError::UnknownSession`], [`SessionError::Unknown`].
    pub async fn task(
        &self,
        session: &SessionId,
        name: &ItemName,
    ) -> Result<SessionTaskRecord, SessionError> {
        reads::task(&self.store.client().await?, session, name).await
    }

    /// A task of a session once it has ended, or as it is when the wait that the operator allows is over.
    ///
    /// # Errors
    ///
    /// As [`Sessions::task`].
    pub async fn task_ended(
        &self,
        task: &SessionTaskRecord,
    ) -> Result<SessionTaskRecord, SessionError> {
        if let Some(id) = task.task {
            self.ended(id).await?;
        }
        self.task(&task.session_id, &task.task_id).await
    }

    /// A task once it has ended, or as it is when the wait is over.
    async fn ended(&self, task: TaskId) -> Result<TaskRecord, SessionError> {
        let found = self.queue.wait(task, self.rules.webhook.sync_wait).await?;
        found.ok_or_else(|| QueueError::UnknownTask { task }.into())
    }

    /// A client of the relay has answered for a task: it ends so if no agent has it yet, else its agent is
    /// to leave it.
    ///
    /// # Errors
    ///
    /// [`SessionError::Queue`], if it has ended already among others.
    pub async fn answered_by_relay(
        &self,
        task: TaskId,
        end: &CommandEnd,
    ) -> Result<(), SessionError> {
        let how = if end.status == "completed" {
            ByHand::Completed(end.output.clone())
        } else {
            ByHand::Failed(end.error.clone().unwrap_or_default())
        };
        if !self.queue.by_hand(task, how).await? {
            self.queue.cancel(task).await?;
        }
        Ok(())
    }

    /// Submits a task that belongs to no session.
    async fn submit(&self, task: NewTask) -> Result<Submitted, SessionError> {
        let submitted = self.queue.submit(vec![task]).await?.into_iter().next();
        submitted.ok_or(SessionError::Fault("the queue answered a submit of one task with none"))
    }
}

impl Rules {
    /// Whether callers may give tasks to a fleet.
    fn offers(&self, fleet: &FleetName) -> bool {
        self.webhook.reach.allows(fleet) && self.webhook.command_fleet.as_ref() != Some(fleet)
    }

    /// The queue in which a fleet finds its tasks, by the name of the fleet or of one of its agents: the first
    /// that the caller reaches.
    fn queue_of(
        &self,
        by: &Grants,
        field: &'static str,
        name: &str,
    ) -> Result<QueueName, SessionError> {
        let by_agent = || {
            let agent: crate::domain::AgentName = serde_json::from_value(name.into()).ok()?;
            agent.fleet()
        };
        let fleet = name.parse::<FleetName>().ok().filter(|fleet| self.fleets.contains_key(fleet));
        let fleet = fleet.or_else(by_agent).filter(|fleet| self.offers(fleet));
        let queues = fleet.and_then(|fleet| self.fleets.get(&fleet)).ok_or_else(|| {
            let names = self.fleets.keys().filter(|fleet| self.offers(fleet));
            let names: Vec<_> = names.map(ToString::to_string).collect();
            let known =
                if names.is_empty() { "there is none".to_owned() } else { names.join(", ") };
            let detail = format!("is no fleet that may be given tasks here; those are: {known}");
            SessionError::Invalid { field: field.to_owned(), detail }
        })?;
        Ok(reached(queues, by)?.clone())
    }
}

/// Whether a caller may ask this at all. Whether he may about a task shows once it is known whose queue it is
/// of.
fn may(by: &Grants, command: &Command) -> Result<(), Denied> {
    let about = if command.is_of_task() { About::Nothing } else { About::Host };
    by.allow(command.scope(), about)
}

/// The first of these queues, of which there is one, that a caller may submit to.
fn reached<'a>(queues: &'a [QueueName], by: &Grants) -> Result<&'a QueueName, SessionError> {
    let of = |queue: &&QueueName| by.allow(Scope::Submit, About::Queue(queue));
    if let Some(queue) = queues.iter().find(|queue| of(queue).is_ok()) {
        return Ok(queue);
    }
    let first =
        queues.first().ok_or(SessionError::Fault("a fleet that takes tasks has no queue"))?;
    of(&first)?;
    Ok(first)
}

/// A task with nothing special about it.
fn plain_task(
    queue: QueueName,
    kind: String,
    input: serde_json::Value,
    terms: &crate::domain::retry::AllQueueTerms,
) -> NewTask {
    NewTask {
        id: TaskId::from_uuid(Uuid::now_v7()),
        kind,
        input,
        priority: 0,
        run_at: None::<Timestamp>,
        max_attempts: terms.of(&queue).max_attempts,
        queue,
        timeout: None,
        idempotency_key: None,
        terms: Terms::default(),
    }
}
