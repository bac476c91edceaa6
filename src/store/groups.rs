//! Groups: how many of their tasks are in each state.

use deadpool_postgres::GenericClient;

use super::{
    StoreError,
    statement::{Sql, sql},
};
use crate::domain::{GroupName, batch::GroupRecord, task::TaskState};

const GROUPS: Sql = sql!("task_tally/groups");

/// One group; nothing if it has no task.
pub async fn get(
    db: &impl GenericClient,
    name: &GroupName,
) -> Result<Option<GroupRecord>, StoreError> {
    let found = list(db, Some(name), 1).await?.into_iter().next();
    Ok(found.filter(|found| found.name == *name))
}

/// Up to `limit` groups that have a task, by their names, from one on.
pub async fn list(
    db: &impl GenericClient,
    from: Option<&GroupName>,
    limit: u32,
) -> Result<Vec<GroupRecord>, StoreError> {
    let from = from.map_or("", GroupName::as_str);
    let rows = GROUPS.query(db, &[&from, &i64::from(limit)]).await?;
    rows.iter()
        .map(|row| {
            let fields = GROUPS.fields(row);
            let (states, tasks): (Vec<TaskState>, Vec<i64>) =
                (fields.get("states")?, fields.get("tasks")?);
            let counts = states.into_iter().zip(tasks);
            Ok(GroupRecord {
                name: fields.parsed("name")?,
                total: fields.count("total")?,
                counts: counts
                    .filter_map(|(state, tasks)| Some((state, u64::try_from(tasks).ok()?)))
                    .filter(|(_, tasks)| *tasks > 0)
                    .collect(),
                first_at: fields.get("first_at")?,
                last_at: fields.get("last_at")?,
            })
        })
        .collect()
}
