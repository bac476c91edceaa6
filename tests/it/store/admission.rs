//! Tasks that need something for themselves, and what is limited: never held twice, never more
//! than may run, whoever claims.

mod crowd;
mod limited;
mod locks;
mod replaced;

use std::{
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use deadpool_postgres::Client;
use hostler::{
    domain::{
        AgentName, HostId, QueueName, TaskId,
        admission::{NeedKind, Needs},
        task::{Assignment, NewTask, TaskEvent},
    },
    store::{
        Store,
        admission::{self, Claimed, Memory, Order},
        tasks,
    },
};

use super::{World, end, ensure, register, task};

/// What a task needs, in short: `repo` and `~repo` (shared), `w:src/**` and `r:src/**`, `@alice`.
fn needs(text: &str) -> Needs {
    let rows = text.split_whitespace().map(|word| {
        let kinds = [
            ("~", NeedKind::Shared),
            ("w:", NeedKind::Write),
            ("r:", NeedKind::Read),
            ("@", NeedKind::Key),
        ];
        let found =
            kinds.into_iter().find_map(|(start, kind)| Some((kind, word.strip_prefix(start)?)));
        found.unwrap_or((NeedKind::Exclusive, word))
    });
    Needs::from_rows(rows).unwrap()
}

fn needing(queue: &QueueName, text: &str) -> NewTask {
    let mut task = task(queue);
    task.terms.needs = needs(text);
    task
}

fn order(host: HostId, queues: &[QueueName], agents: Vec<AgentName>) -> Order {
    Order {
        host,
        fleet: "agent".parse().unwrap(),
        queues: queues.to_vec(),
        agents,
        floor: i16::MIN,
        patience: Duration::from_secs(10),
        remember: Duration::from_secs(10),
    }
}

/// Chooses and hands out, as the queue actor does.
async fn choose(store: &Store, order: &Order) -> Claimed {
    let limit = Duration::from_secs(20);
    let db = store.client().await.unwrap();
    let limited = admission::gate(&db, &order.fleet, &order.queues).await.unwrap().limited;
    drop(db);
    let begun = store
        .pipeline_within(limit, async |db| {
            admission::begin(db, order, &limited, Memory::default()).await
        })
        .await;
    begun.unwrap()
}

impl World {
    async fn submit_needing(&self, texts: &[&str]) -> Vec<TaskId> {
        let batch: Vec<NewTask> = texts.iter().map(|text| needing(&self.queue, text)).collect();
        self.submit_all(&batch).await
    }

    async fn submit_all(&self, batch: &[NewTask]) -> Vec<TaskId> {
        let made = self.store.transact(async |db| tasks::submit(db, batch).await).await.unwrap();
        made.into_iter().map(|made| made.id).collect()
    }

    /// What is handed out to `count` agents, which have had nothing before.
    async fn choose(&self, count: usize) -> Vec<Assignment> {
        static USED: AtomicU16 = AtomicU16::new(1_000);
        let first = USED.fetch_add(u16::try_from(count).unwrap(), Ordering::Relaxed);
        let fleet = "agent".parse().unwrap();
        let agents = (first..).take(count).map(|number| AgentName::of(&fleet, number));
        self.choose_for(agents.collect()).await
    }

    /// What is handed out to `agents`.
    async fn choose_for(&self, agents: Vec<AgentName>) -> Vec<Assignment> {
        let order = order(self.host, std::slice::from_ref(&self.queue), agents);
        choose(&self.store, &order).await.assignments
    }

    /// As [`World::choose`], in the numbers of `ids`, counted from 0.
    async fn chosen(&self, ids: &[TaskId], count: usize) -> Vec<usize> {
        let place = |one: &Assignment| ids.iter().position(|id| *id == one.task).unwrap();
        self.choose(count).await.iter().map(place).collect()
    }

    async fn complete(&self, given: &[Assignment]) {
        let ends: Vec<_> = given.iter().map(|one| end(one, TaskEvent::Completed)).collect();
        assert_eq!(self.settle(&ends).await.len(), given.len());
    }

    async fn held(&self) -> i64 {
        count(&self.db, "SELECT count(*) FROM hostler.task_holds").await
    }
}

async fn count(db: &Client, statement: &str) -> i64 {
    db.query_one(statement, &[]).await.unwrap().get(0)
}
