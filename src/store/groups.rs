//! Groups: how many of their tasks are in each state.

use deadpool_postgres::GenericClient;

use super::{
    StoreError,
    statement::{Sql, sql},
};
use crate::domain::{GroupName, batch::GroupRecord};

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
            let mut counts = fields.tally("states", "tasks")?;
            counts.retain(|_, tasks| *tasks > 0);
            Ok(GroupRecord {
                name: fields.parsed("name")?,
                total: fields.count("total")?,
                counts,
                first_at: fields.get("first_at")?,
                last_at: fields.get("last_at")?,
            })
        })
        .collect()
}
