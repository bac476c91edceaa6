//! Reads what Postgres has on record.

use deadpool_postgres::Client;
use hostler::{
    domain::record::{AttemptRecord, EventRecord, TaskFilter, TaskRecord},
    store::tasks,
};

use super::{
    history::{Recorded, Stepped, Tried},
    world::World,
};
use crate::support::{cluster::on_a_runtime, database::store};

const PAGE: u32 = 500;

/// All tasks, with all that became of them.
pub(super) fn read(world: &World) -> Vec<Recorded> {
    let config = world.server().database();
    on_a_runtime(async {
        let store = store(config);
        let db = store.client().await.expect("the server answers");
        let mut filter = TaskFilter { limit: PAGE, ..TaskFilter::default() };
        let mut all = Vec::new();
        loop {
            let page = tasks::list(&db, &filter).await.expect("a page");
            let Some(last) = page.last() else { break };
            filter.before = Some(last.id);
            for task in &page {
                all.push(recorded(&db, task).await);
            }
        }
        all
    })
}

async fn recorded(db: &Client, task: &TaskRecord) -> Recorded {
    let attempts = tasks::attempts(db, task.id).await.expect("its attempts");
    let events = tasks::events(db, task.id).await.expect("its events");
    let output = task.output.as_ref();
    Recorded {
        id: task.id.to_string(),
        tag: task.input["value"].as_u64(),
        state: task.state,
        attempt: task.attempt.0.into(),
        word: output.and_then(|output| output["word"].as_str()).map(str::to_owned),
        attempts: attempts.iter().map(tried).collect(),
        events: events.iter().map(stepped).collect(),
    }
}

fn tried(record: &AttemptRecord) -> Tried {
    Tried {
        number: record.attempt.0.into(),
        outcome: record.outcome.clone(),
        agent: format!("{:?} {:?}", record.host, record.agent),
        from: record.started_at.as_microsecond(),
        to: record.ended_at.as_microsecond(),
    }
}

fn stepped(record: &EventRecord) -> Stepped {
    Stepped { number: record.number, state: record.state, attempt: record.attempt.0.into() }
}
