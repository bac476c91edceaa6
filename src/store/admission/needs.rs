//! What tasks need, written down with them.

use deadpool_postgres::GenericClient;

use crate::{
    domain::{TaskId, admission::Needs},
    store::{
        StoreError,
        statement::{Sql, sql},
    },
};

const INSERT: Sql = sql!("task_needs/insert");
const FORGET: Sql = sql!("task_needs/forget");

/// Writes down what new tasks need, in the transaction that inserts them with their lanes.
pub(in crate::store) async fn insert<'a>(
    db: &impl GenericClient,
    tasks: impl IntoIterator<Item = (TaskId, &'a Needs)>,
) -> Result<(), StoreError> {
    let (mut ids, mut kinds, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for (task, needs) in tasks {
        for (kind, name) in needs.rows() {
            ids.push(task);
            kinds.push(kind);
            names.push(name);
        }
    }
    if !ids.is_empty() {
        INSERT.query(db, &[&ids, &kinds, &names]).await?;
    }
    Ok(())
}

/// Writes down what tasks need instead of what they needed, in the transaction that has locked them
/// and writes their new lanes.
pub(in crate::store) async fn replace<'a>(
    db: &impl GenericClient,
    tasks: impl IntoIterator<Item = (TaskId, &'a Needs)>,
) -> Result<(), StoreError> {
    let tasks: Vec<_> = tasks.into_iter().collect();
    let ids: Vec<TaskId> = tasks.iter().map(|(task, _)| *task).collect();
    FORGET.query(db, &[&ids]).await?;
    insert(db, tasks).await
}
