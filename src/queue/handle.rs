//! The others' side of the queue actor.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use actix::prelude::*;
use tokio::{sync::oneshot, time::Instant};
use uuid::Uuid;

use super::{
    actor::{Launch, QueueActor},
    error::QueueError,
    inbox::{Inbox, Left, Request},
    messages::{
        Append, CancelHere, Close, DueIn, FromAgent, Halt, Holders, QueueReport, Reason, ReportTo,
        ServeFleets, Standing, TellWhenQuiet, TellWhenSettled, Wake,
    },
};
use crate::{
    domain::{
        FleetName, QueueName, TaskId,
        record::{
            AttemptRecord, EventRecord, Page, QueueRecord, RegisteredHost, SubmitOutcome,
            Submitted, TaskFilter, TaskRecord,
        },
        retry::AllQueueTerms,
        snooze,
        task::{NewTask, TaskState},
    },
    events::EventsHandle,
    store::{
        Store, StoreError, hosts,
        log::Ready,
        notify, queues,
        tasks::{self, CancelAnswer, RetryAnswer, SnoozeAnswer},
    },
    telemetry::metrics::Metrics,
};

/// How often a waiter looks for itself: the task may end on another host.
const WAIT_LOOK: Duration = Duration::from_secs(1);

/// Submits, reads and changes tasks and queues. Cheap to clone; usable from any thread.
#[derive(Clone)]
pub struct QueueHandle {
    pub(super) actor: Addr<QueueActor>,
    inbox: Inbox,
    pub(super) store: Store,
    slot: Uuid,
    /// How long a task is passed over before what it needs is kept for it.
    pub(super) wait_patience: Duration,
    pub(super) events: EventsHandle,
    pub(super) metrics: Arc<Metrics>,
    terms: Arc<RwLock<Arc<AllQueueTerms>>>,
    /// Which queues each fleet serves.
    fleets: Arc<RwLock<Served>>,
}

/// Fleets, each with the queues that it serves.
type Served = Vec<(FleetName, Vec<QueueName>)>;

impl QueueHandle {
    /// Starts the actor in the current arbiter.
    pub(crate) fn start(launch: Launch) -> Self {
        let (store, events, metrics) =
            (launch.store.clone(), launch.events.clone(), launch.metrics.clone());
        let slot = launch.host.slot;
        let terms = Arc::new(RwLock::new(launch.terms.clone()));
        let fleets = Arc::new(RwLock::new(launch.fleets.clone()));
        let wait_patience = launch.wait_patience;
        let of_queue = store.for_queue();
        let inbox = Inbox::default();
        let actor = QueueActor::new(Launch { store: of_queue, ..launch }, inbox.clone()).start();
        Self { actor, inbox, store, slot, wait_patience, events, metrics, terms, fleets }
    }

    /// What this host gives the tasks of its queues that do not say otherwise.
    pub fn terms(&self) -> Arc<AllQueueTerms> {
        self.terms.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Serves these queues with these fleets from now on, and gives tasks that do not say otherwise
    /// what `terms` say. What a fleet that is gone has in hand goes on.
    pub(crate) fn serve(
        &self,
        fleets: Vec<(FleetName, Vec<QueueName>)>,
        terms: Arc<AllQueueTerms>,
    ) {
        *self.terms.write().unwrap_or_else(PoisonError::into_inner) = terms.clone();
        fleets.clone_into(&mut self.fleets.write().unwrap_or_else(PoisonError::into_inner));
        // A report that must not be lost: fleets would wait for tasks in vain.
        self.actor.do_send(ServeFleets { fleets, terms });
    }

    /// The fleets of this host that serve `queue`.
    pub(super) fn fleets_of(&self, queue: &QueueName) -> Vec<FleetName> {
        let fleets = self.fleets.read().unwrap_or_else(PoisonError::into_inner);
        let serving = fleets.iter().filter(|(_, queues)| queues.contains(queue));
        serving.map(|(fleet, _)| fleet.clone()).collect()
    }

    /// How long the oldest task of these queues has waited that could run; `None` if none waits.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn oldest(&self, queues: &[QueueName]) -> Result<Option<Duration>, QueueError> {
        Ok(queues::oldest(&self.store.client().await?, queues).await?)
    }

    /// Where agents' messages go.
    pub fn for_agents(&self) -> Recipient<FromAgent> {
        self.actor.clone().recipient()
    }

    /// Says who hears of a lost lease.
    pub fn report_to(&self, watcher: Recipient<QueueReport>) {
        self.actor.do_send(ReportTo(watcher));
    }

    /// Whether the actor is still there; it is gone only after [`QueueHandle::finish`] or a panic.
    pub fn is_alive(&self) -> bool {
        self.actor.connected()
    }

    /// Submits `tasks` in one transaction: all of them, or none. Where all are plain they go to the
    /// log, else to the table of tracked tasks.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownQueue`] if one goes to a queue that no fleet serves,
    /// [`QueueError::UnknownDependency`] if one depends on a task that is not there,
    /// [`QueueError::Unstorable`] if one makes no sense, [`QueueError::NotUnique`] if one asks to be
    /// refused and another is in its way, [`QueueError::UnknownBatch`] and
    /// [`QueueError::BatchClosed`] by the batch of one; nothing was submitted. After
    /// [`QueueError::Unavailable`] a submit with idempotency keys can safely be
    /// sent again.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it answered, the tasks may or may not be there.
    pub async fn submit(&self, tasks: Vec<NewTask>) -> Result<Vec<Submitted>, QueueError> {
        if !tasks.is_empty() && tasks.iter().all(NewTask::is_plain) {
            let submitted = self.append(tasks).await?;
            self.metrics.submitted(submitted.len());
            return Ok(submitted);
        }
        let submitted = self.insert(&tasks).await?;
        self.submitted(&tasks, &submitted).await;
        Ok(submitted)
    }

    /// Counts what was submitted, and wakes whom it is for.
    pub(crate) async fn submitted(&self, tasks: &[NewTask], submitted: &[Submitted]) {
        self.metrics.submitted(submitted.iter().filter(|one| one.created).count());
        let mut queues: Vec<QueueName> = tasks
            .iter()
            .zip(submitted)
            .filter(|(_, one)| {
                one.outcome != SubmitOutcome::Existing && one.state == TaskState::Pending
            })
            .map(|(task, _)| task.queue.clone())
            .collect();
        queues.sort_unstable();
        queues.dedup();
        if !queues.is_empty() {
            let needing = tasks.iter().any(|task| !task.terms.needs.is_empty());
            let reason = if needing { Reason::Needing } else { Reason::Plain };
            self.wake_for(queues, reason);
        }
        if let Some(wait) = tasks.iter().filter_map(|task| task.run_at).min().map(until) {
            self.actor.do_send(DueIn(wait));
        }
        self.wake_dependencies(tasks).await;
    }

    /// Appends plain tasks to the log, together with what others submit at the same moment.
    async fn append(&self, tasks: Vec<NewTask>) -> Result<Vec<Submitted>, StoreError> {
        let gone = || StoreError::Unavailable { source: None };
        let tasks = Ready::all(tasks)?;
        let (tell, told) = oneshot::channel();
        match self.inbox.leave(Request { tasks, tell }) {
            // However full the mailbox is: it is told once, until it has looked.
            Left::Untold => self.actor.do_send(Append),
            Left::Awaited => {}
            Left::Closed => return Err(gone()),
        }
        let (submitted, _) = told.await.map_err(|_| gone())??;
        Ok(submitted)
    }

    /// Writes tracked tasks. Those with terms need more than one statement, and so a transaction.
    async fn insert(&self, tasks: &[NewTask]) -> Result<Vec<Submitted>, StoreError> {
        if tasks.iter().all(|task| task.terms.is_empty()) {
            return tasks::submit(&self.store.client().await?, tasks).await;
        }
        self.insert_graph(tasks).await
    }

    /// Wakes this host's idle agents at once, and other hosts soon: for work in these queues, and for
    /// whatever waits for something that may have changed.
    pub(crate) fn wake(&self, queues: Vec<QueueName>) {
        self.wake_for(queues, Reason::Changed);
    }

    pub(super) fn wake_for(&self, queues: Vec<QueueName>, reason: Reason) {
        // A full mailbox means that the actor is at work and looks again anyway; a closed one, that
        // the host is ending: the tasks are committed and wait for the next.
        self.actor.try_send(Wake { queues, reason }).unwrap_or_default();
    }

    /// One task.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn get(&self, id: TaskId) -> Result<Option<TaskRecord>, QueueError> {
        let mut found = tasks::get(&self.store.client().await?, id).await?;
        self.name_agents(found.as_mut_slice()).await;
        Ok(found.map(|task| self.complete(task)))
    }

    /// The queues of the tasks that stand already for the idempotency keys of these.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn queues_of_keys(&self, tasks: &[NewTask]) -> Result<Vec<QueueName>, QueueError> {
        let keys: Vec<_> =
            tasks.iter().filter_map(|task| task.idempotency_key.as_deref()).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        Ok(tasks::queues_of_keys(&self.store.client().await?, &keys).await?)
    }

    /// Names the agents of running plain tasks: only the host that runs them knows.
    async fn name_agents(&self, records: &mut [TaskRecord]) {
        let is_unnamed =
            |record: &TaskRecord| record.state == TaskState::Running && record.agent.is_none();
        let unnamed: Vec<_> = records.iter_mut().filter(|record| is_unnamed(record)).collect();
        if unnamed.is_empty() {
            return;
        }
        let asked = Holders(unnamed.iter().map(|record| record.id).collect());
        let holders = self.actor.send(asked).await.unwrap_or_default();
        for (record, agent) in unnamed.into_iter().zip(holders) {
            record.agent = agent;
        }
    }

    /// The ended attempts of a task, oldest first.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn attempts(&self, id: TaskId) -> Result<Vec<AttemptRecord>, QueueError> {
        Ok(tasks::attempts(&self.store.client().await?, id).await?)
    }

    /// What happened to a task, oldest first.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn events(&self, id: TaskId) -> Result<Vec<EventRecord>, QueueError> {
        Ok(tasks::events(&self.store.client().await?, id).await?)
    }

    /// A page of tasks, newest first.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn list(&self, filter: TaskFilter) -> Result<Page<TaskRecord>, QueueError> {
        let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX);
        let more = TaskFilter { limit: filter.limit.saturating_add(1), ..filter };
        let mut items = tasks::list(&self.store.client().await?, &more).await?;
        self.name_agents(&mut items).await;
        let next_cursor = (items.len() > limit).then(|| {
            items.truncate(limit);
            items.last().map(|task| task.id.to_string())
        });
        let items = items.into_iter().map(|task| self.complete(task)).collect();
        Ok(Page { items, next_cursor: next_cursor.flatten() })
    }

    /// Fills in what this host's settings say of a task's queue.
    pub(super) fn complete(&self, task: TaskRecord) -> TaskRecord {
        let terms = self.terms();
        let of_queue = terms.of(&task.queue);
        task.in_queue(of_queue)
    }

    /// A task once it is in a final state, or as it is when `limit` has passed; `None` if there is
    /// no such task.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn wait(
        &self,
        id: TaskId,
        limit: Duration,
    ) -> Result<Option<TaskRecord>, QueueError> {
        let deadline = Instant::now() + limit;
        loop {
            let ended = self.events.ended(id).await;
            let task = self.get(id).await?;
            let now = Instant::now();
            if now >= deadline || task.as_ref().is_none_or(|task| task.state.is_final()) {
                return Ok(task);
            }
            let look = WAIT_LOOK.min(deadline - now);
            // Passing without a word is as good a reason to look.
            tokio::time::timeout(look, ended.wait()).await.unwrap_or_default();
        }
    }

    /// Calls a task off: at once if it does not run, else by asking its agent.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownTask`]; [`QueueError::WrongState`] if it has ended already.
    pub async fn cancel(&self, id: TaskId) -> Result<TaskRecord, QueueError> {
        let db = self.store.client().await?;
        match tasks::cancel(&db, id).await? {
            CancelAnswer::Unknown => return Err(QueueError::UnknownTask { task: id }),
            CancelAnswer::AlreadyFinal(state) => {
                let what = "it has ended already, so there is nothing to call off";
                return Err(QueueError::WrongState { task: id, state, what });
            }
            CancelAnswer::Cancelled => {
                self.events.publish(vec![(id, TaskState::Cancelled)]);
                self.wake_after(&db, &[id]).await;
            }
            CancelAnswer::Requested { .. } => {
                self.actor.do_send(CancelHere(id));
                notify::cancel(&db, &[id]).await?;
            }
        }
        drop(db);
        self.get(id).await?.ok_or(QueueError::UnknownTask { task: id })
    }

    /// Gives a failed or cancelled task all its attempts again.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownTask`]; [`QueueError::WrongState`] if it is neither.
    pub async fn retry(&self, id: TaskId) -> Result<TaskRecord, QueueError> {
        match tasks::retry(&self.store.client().await?, id).await? {
            RetryAnswer::Unknown => return Err(QueueError::UnknownTask { task: id }),
            RetryAnswer::Refused(state) => {
                let what = "only a failed or cancelled task can be retried";
                return Err(QueueError::WrongState { task: id, state, what });
            }
            RetryAnswer::Retried { queue } => self.wake(vec![queue]),
        }
        self.get(id).await?.ok_or(QueueError::UnknownTask { task: id })
    }

    /// Puts off a task that waits for its turn, or sets another time for one that waits for its time.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownTask`]; [`QueueError::WrongState`] if it does neither.
    pub async fn snooze(&self, id: TaskId, time: snooze::Until) -> Result<TaskRecord, QueueError> {
        match tasks::snooze(&self.store.client().await?, id, time).await? {
            SnoozeAnswer::Unknown => return Err(QueueError::UnknownTask { task: id }),
            SnoozeAnswer::Refused(state) => {
                let what = "only a task that waits for its turn or for its time can be put off";
                return Err(QueueError::WrongState { task: id, state, what });
            }
            SnoozeAnswer::Snoozed => {}
        }
        let task = self.get(id).await?.ok_or(QueueError::UnknownTask { task: id })?;
        self.actor.do_send(DueIn(until(task.run_at)));
        Ok(task)
    }

    /// All queues.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn queues(&self) -> Result<Vec<QueueRecord>, QueueError> {
        Ok(queues::list(&self.store.client().await?).await?)
    }

    /// The hosts that share the database, this one among them.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn hosts(&self) -> Result<Vec<RegisteredHost>, QueueError> {
        Ok(hosts::list(&self.store.client().await?, self.slot).await?)
    }

    /// Returns once the actor has answered; `None` if it is gone.
    pub async fn answers(&self) -> Option<()> {
        self.actor.send(Standing).await.ok().map(drop)
    }

    /// Whether Postgres answers and the lease is held, or what is not so.
    ///
    /// # Errors
    ///
    /// A sentence for a person.
    pub async fn ready(&self) -> Result<(), String> {
        let standing = self.actor.send(Standing).await;
        standing.map_err(|_| "the queue actor does not answer".to_owned())??;
        self.store.ping().await.map_err(|_| "Postgres does not answer".to_owned())
    }

    /// Claims no more; what runs goes on.
    pub fn close(&self) {
        self.actor.do_send(Close);
    }

    /// Waits until every outcome that was told is written and no claim is under way, or until `limit` has
    /// passed; then ends the actor. The lease and what runs are left to the next host. Returns whether
    /// all was written.
    pub async fn hand_over(&self, limit: Duration) -> bool {
        let (tell, told) = oneshot::channel();
        self.actor.do_send(TellWhenSettled(tell));
        let settled = tokio::time::timeout(limit, told).await.is_ok_and(|told| told.is_ok());
        self.actor.send(Halt).await.is_ok() && settled
    }

    /// Waits until nothing runs and every outcome is written, or until `limit` has passed; then
    /// ends the actor and gives the lease back. Returns whether all was written.
    pub async fn finish(&self, limit: Duration) -> bool {
        let (tell, told) = oneshot::channel();
        self.actor.do_send(TellWhenQuiet(tell));
        let quiet = tokio::time::timeout(limit, told).await.is_ok_and(|told| told.is_ok());
        let Ok(host) = self.actor.send(Halt).await else { return false };
        let retire = async { hosts::retire(&self.store.client().await?, host).await };
        let retired = tokio::time::timeout(limit, retire).await.is_ok_and(|done| done.is_ok());
        quiet && retired
    }
}

/// How long from now until `time`; nothing if it is past.
fn until(time: jiff::Timestamp) -> Duration {
    Duration::try_from(time.duration_since(jiff::Timestamp::now())).unwrap_or(Duration::ZERO)
}
