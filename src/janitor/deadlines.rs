//! The duty that fails tasks at their deadlines.

use std::{sync::Arc, time::Duration};

use slog::{Logger, info};

use super::{Done, Duty, OnEnd};
use crate::{
    domain::{leadership::Matter, task::TaskState},
    store::tasks,
    telemetry::metrics::Metrics,
};

/// How often deadlines are looked for though the database did not say that it is time.
const LOOK: Duration = Duration::from_secs(60);
/// How long a look may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The wait before another look at what somebody else holds just now.
const SOON: Duration = Duration::from_millis(50);

/// Fails the tasks that nobody holds, in the moment in which their deadline passes. Those that run
/// are called off by their agents.
///
/// Harmless whoever does it, so it needs no fence. `ended` hears of those that failed.
pub fn expire_tasks(log: Logger, ended: OnEnd, metrics: Arc<Metrics>) -> Duty {
    let duty = Duty::new("deadlines", LOOK, move |leading| {
        let (log, ended, metrics) = (log.clone(), ended.clone(), metrics.clone());
        async move {
            let next = async |db: &_| tasks::next_deadline(db).await;
            let mut wait = leading.store().within(LIMIT, next).await?;
            if wait.is_some_and(|wait| wait.is_zero()) {
                let expired =
                    leading.store().within(LIMIT, async |db| tasks::expire(db).await).await?;
                metrics.expired(expired.len());
                info!(log, "tasks failed at their deadline"; "count" => expired.len());
                ended(expired.into_iter().map(|task| (task, TaskState::Failed)).collect());
                wait = leading.store().within(LIMIT, next).await?;
            }
            Ok(Done { again_in: wait.map(|wait| wait.max(SOON)), ..Done::default() })
        }
    });
    duty.on(Matter::Deadlines)
}
