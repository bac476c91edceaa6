//! Groups: how many of their tasks are in each state.

use deadpool_postgres::GenericClient;

use super::{
    StoreError,
    statement::{Sql, sql},
};
use crate::domain::{GroupName, batch::GroupRecord, task::TaskState};

const GROUP: Sql = sql!("task_tally/group");

/// One group; nothing if it has no task.
pub async fn get(
    db: &impl GenericClient,
    name: &GroupName,
) -> Result<Option<GroupRecord>, StoreError> {
    let mut group = GroupRecord {
        name: name.clone(),
        total: 0,
        counts: [].into(),
        first_at: None,
        last_at: None,
    };
    for row in GROUP.query(db, &[name]).await? {
        let fields = GROUP.fields(&row);
        let (state, tasks): (TaskState, u64) = (fields.get("state")?, fields.count("tasks")?);
        group.total += tasks;
        if tasks > 0 {
            group.counts.insert(state, tasks);
        }
        // The first that anything came to any state is when the first task was made.
        let (first, last) = (fields.get("first_at")?, fields.get("last_at")?);
        group.first_at = [group.first_at, first].into_iter().flatten().min();
        group.last_at = [group.last_at, last].into_iter().flatten().max();
    }
    Ok((group.total > 0).then_some(group))
}
