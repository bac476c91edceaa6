//! Tasks that wait for other tasks.

mod members;
mod plain;
mod policies;
mod races;
mod submit;
mod told;
mod walk;

use hostler::{
    domain::{
        TaskId,
        graph::{Dependency, DependencyPolicy, Node},
        record::{Submitted, TaskRecord},
        task::{NewTask, TaskEvent, TaskState},
    },
    store::{StoreError, tasks},
};

use super::{World, end, states::put_first, task};

/// What a test says of a task: its policy, and which of the earlier tasks it depends on.
type Row<'a> = (DependencyPolicy, &'a [usize]);

/// New tasks that depend on each other, by their places.
fn batch(world: &World, rows: &[Row<'_>]) -> Vec<NewTask> {
    let mut batch: Vec<NewTask> = rows.iter().map(|_| task(&world.queue)).collect();
    for (at, (policy, before)) in rows.iter().enumerate() {
        let ids: Vec<TaskId> = before.iter().map(|one| batch[*one].id).collect();
        batch[at].terms.graph = node(*policy, &ids);
    }
    batch
}

fn node(policy: DependencyPolicy, on: &[TaskId]) -> Node {
    let dependency =
        |task: &TaskId| Dependency { task: *task, name: task.to_string(), used: false };
    Node { depends_on: on.iter().map(dependency).collect(), policy, ..Node::default() }
}

/// A task that depends on tasks that are there.
fn dependent(world: &World, policy: DependencyPolicy, on: &[TaskId]) -> NewTask {
    let mut task = task(&world.queue);
    task.terms.graph = node(policy, on);
    task
}

async fn try_submit(world: &World, batch: &[NewTask]) -> Result<Vec<Submitted>, StoreError> {
    world.store.transact(async |db| tasks::submit(db, batch).await).await
}

async fn submit(world: &World, batch: &[NewTask]) -> Vec<TaskId> {
    let made = try_submit(world, batch).await.unwrap();
    made.into_iter().map(|made| made.id).collect()
}

/// Submits a graph, and returns its ids.
async fn graph(world: &World, rows: &[Row<'_>]) -> Vec<TaskId> {
    submit(world, &batch(world, rows)).await
}

/// Lets a pending task run and end.
async fn run(world: &World, id: TaskId, event: TaskEvent) {
    put_first(world, id).await;
    let given = world.claim(1).await.pop().unwrap();
    assert_eq!(given.task, id, "it is pending");
    assert_eq!(world.settle(&[end(&given, event)]).await.len(), 1);
}

async fn record(world: &World, id: TaskId) -> TaskRecord {
    tasks::get(&world.db, id).await.unwrap().unwrap()
}

async fn states(world: &World, ids: &[TaskId]) -> Vec<TaskState> {
    let mut states = Vec::new();
    for id in ids {
        states.push(world.state(*id).await);
        world.check_events(*id).await;
    }
    states
}

/// Why a task is blocked or was cancelled.
async fn reason(world: &World, id: TaskId) -> String {
    record(world, id).await.blocked_reason.unwrap_or_default()
}
