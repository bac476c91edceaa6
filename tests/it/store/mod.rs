//! The store against a real Postgres.

mod admission;
mod audit;
mod batches;
mod bulk;
mod claim;
mod clock;
mod control;
mod enqueue;
mod errors;
mod external;
mod feed;
mod graph;
mod hosts;
mod leader;
mod listen;
mod log;
mod members;
mod migrate;
mod queues;
mod roles;
mod schedules;
mod schema;
mod search;
mod sessions;
mod settle;
mod sql_doc;
mod states;
mod submit;
mod unique;
mod webhooks;

use std::time::Duration;

use deadpool_postgres::Client;
use hostler::{
    domain::{
        AgentName, HostId, QueueName, TaskId,
        record::EventRecord,
        task::{Assignment, NewTask, Outcome, Settlement, TaskEvent, TaskState, Terms, step},
    },
    settings,
    store::{
        Store,
        hosts::{self as host_rows, NewHost},
        queues as queue_rows, tasks,
    },
};
use serde_json::json;
use uuid::Uuid;

use crate::support::TestDatabase;

/// A migrated database with one live host and one queue.
struct World {
    db: Client,
    store: Store,
    host: HostId,
    queue: QueueName,
    database: TestDatabase,
}

impl World {
    async fn new() -> Self {
        let database = TestDatabase::new().await;
        let store = database.store().await;
        let db = store.client().await.unwrap();
        let host = register(&db, Uuid::new_v4(), Duration::from_secs(60)).await;
        let queue = ensure(&db, "default").await;
        Self { db, store, host, queue, database }
    }

    /// Submits `count` ordinary tasks and returns their ids.
    async fn submit(&self, count: usize) -> Vec<TaskId> {
        let batch: Vec<NewTask> = (0..count).map(|_| task(&self.queue)).collect();
        let made = tasks::submit(&self.db, &batch).await.unwrap();
        made.into_iter().map(|made| made.id).collect()
    }

    /// Claims for `count` agents from the world's queue.
    async fn claim(&self, count: usize) -> Vec<Assignment> {
        let queues = std::slice::from_ref(&self.queue);
        tasks::claim(&self.db, self.host, queues, &agents(count), i16::MIN).await.unwrap()
    }

    /// One task of the world's queue that runs.
    async fn running(&self) -> Assignment {
        self.submit(1).await;
        self.claim(1).await.pop().unwrap()
    }

    async fn settle(&self, ends: &[Settlement]) -> Vec<tasks::Settled> {
        tasks::settle(&self.db, self.host, ends).await.unwrap()
    }

    async fn state(&self, task: TaskId) -> TaskState {
        tasks::get(&self.db, task).await.unwrap().unwrap().state
    }

    /// Checks that the events of a task have no gap, are legal steps, and end where it is.
    async fn check_events(&self, task: TaskId) -> Vec<EventRecord> {
        let events = tasks::events(&self.db, task).await.unwrap();
        for (event, number) in events.iter().zip(1..) {
            assert_eq!(event.number, number, "{events:?}");
        }
        for pair in events.windows(2) {
            assert!(is_legal(pair[0].state, pair[1].state), "{events:?}");
        }
        assert_eq!(events.last().unwrap().state, self.state(task).await, "{events:?}");
        events
    }
}

async fn register(db: &Client, slot: Uuid, lease: Duration) -> HostId {
    let host = new_host(slot, lease);
    host_rows::register(db, &host).await.unwrap();
    host.id
}

fn new_host(slot: Uuid, lease: Duration) -> NewHost {
    NewHost {
        id: HostId::from_uuid(Uuid::now_v7()),
        slot,
        name: "here".to_owned(),
        version: "0.1.0".to_owned(),
        lease,
    }
}

async fn ensure(db: &Client, name: &str) -> QueueName {
    let queue: QueueName = name.parse().unwrap();
    let settings = settings::Queue::default();
    queue_rows::ensure(db, &[(queue.clone(), settings)]).await.unwrap();
    queue
}

/// A task that any agent could run.
fn task(queue: &QueueName) -> NewTask {
    NewTask {
        id: TaskId::from_uuid(Uuid::now_v7()),
        queue: queue.clone(),
        kind: "test".to_owned(),
        input: json!({"n": 1}),
        priority: 0,
        run_at: None,
        max_attempts: 3,
        timeout: None,
        idempotency_key: None,
        terms: Terms::default(),
    }
}

fn agents(count: usize) -> Vec<AgentName> {
    let fleet = "agent".parse().unwrap();
    (1..=count).map(|number| AgentName::of(&fleet, number.try_into().unwrap())).collect()
}

/// The end of an attempt by `event`, with the outcome that goes with it.
fn end(attempt: &Assignment, event: TaskEvent) -> Settlement {
    let outcome = match event {
        TaskEvent::Completed => Outcome::Completed { output: json!({"ok": true}) },
        TaskEvent::Released => Outcome::Released { reason: "drained".to_owned() },
        TaskEvent::Snoozed => {
            Outcome::Snoozed { wait: Duration::from_secs(30), reason: "busy".to_owned() }
        }
        TaskEvent::Cancelled => Outcome::Cancelled,
        _ => Outcome::failed(hostler::domain::task::FailureClass::Exit, "status 1"),
    };
    Settlement {
        task: attempt.task,
        attempt: attempt.attempt,
        outcome,
        event,
        retry_after: Duration::from_secs(30),
        agent: attempt.agent.clone(),
        began_ago: Duration::from_millis(5),
        entry: attempt.entry,
    }
}

/// Looks again and again, until it is so; fails after a while with what did not come.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !is_so().await {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until the statement that the session `pid` runs waits for a lock.
async fn until_it_waits(world: &World, pid: i32) {
    let ask = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1";
    let waits = async || {
        let row = world.db.query_one(ask, &[&pid]).await.unwrap();
        row.get::<_, Option<bool>>(0) == Some(true)
    };
    until("it does not wait", waits).await;
}

/// Waits until the session `pid` waits for what the session `holder` holds.
async fn until_it_waits_for(world: &World, pid: i32, holder: i32) {
    let ask = "SELECT $2 = ANY (pg_blocking_pids($1))";
    let waits = async || world.db.query_one(ask, &[&pid, &holder]).await.unwrap().get(0);
    until("it does not wait for that one", waits).await;
}

/// How many sessions of the world's database wait for a lock.
async fn waiting(world: &World) -> usize {
    let waiting = "SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    world.db.query(waiting, &[]).await.unwrap().len()
}

/// Waits until some session of the world's database waits for a lock.
async fn until_one_waits(world: &World) {
    until("nobody waits", async || waiting(world).await != 0).await;
}

async fn pid(client: &Client) -> i32 {
    client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0)
}

/// Whether some event leads from one state to the other.
fn is_legal(from: TaskState, to: TaskState) -> bool {
    TaskEvent::ALL.into_iter().any(|event| step(from, event) == Ok(to))
}
