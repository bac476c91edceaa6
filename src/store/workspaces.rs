//! What is known of the workspaces of attempts.

use deadpool_postgres::GenericClient;
use tokio_postgres::types::Json;

use super::{
    StoreError,
    admission::needs_of,
    statement::{Sql, sql},
};
use crate::domain::{TaskId, admission::Access, glob::Glob, workspace::WorkspaceRecord};

const PUT: Sql = sql!("workspaces/put");
const DECLARED: Sql = sql!("workspaces/declared");

/// Writes down what is known of a workspace.
pub async fn put(db: &impl GenericClient, record: &WorkspaceRecord) -> Result<(), StoreError> {
    PUT.query(db, &[&record.task, &record.attempt, &Json(record)]).await?;
    Ok(())
}

/// The globs of the files that a task writes, as it says.
pub async fn declared(db: &impl GenericClient, task: TaskId) -> Result<Vec<Glob>, StoreError> {
    let Some(row) = DECLARED.query_opt(db, &[&task]).await? else { return Ok(Vec::new()) };
    let needs = needs_of(&DECLARED.fields(&row))?;
    let written = needs.paths().iter().filter(|path| path.mode == Access::Write);
    Ok(written.map(|path| path.glob.clone()).collect())
}
