//! Deleting as a duty of the leader.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use slog::{Logger, error, info, warn};

use super::{Retention, RetentionError, Right, Step};
use crate::{
    domain::{
        history::{Counts, Sweep},
        leadership::Term,
    },
    history::archive::Tidied,
    janitor::{Done, Duty, Leading},
    settings,
    store::{Store, StoreError},
    telemetry::{Chain, metrics::Metrics},
};

/// How often it is looked for what is over its term.
const EVERY: Duration = Duration::from_secs(600);
/// The pause between two batches: others want the disk, too.
const PAUSE: Duration = Duration::from_millis(100);
/// When an archive is tried again that could not be written.
const AGAIN: Duration = Duration::from_secs(60);

/// Deletes what is over its term, a batch at a time.
pub fn duty(store: Store, history: &settings::History, log: Logger, metrics: Arc<Metrics>) -> Duty {
    let work = Rc::new(Work {
        retention: Retention::new(store, history),
        log,
        metrics,
        under_way: RefCell::new(None),
    });
    Duty::new("history", EVERY, move |leading| {
        let work = work.clone();
        async move { work.run(&leading).await }
    })
}

struct Work {
    retention: Retention,
    log: Logger,
    metrics: Arc<Metrics>,
    /// Where this leader is, and how much it has deleted so far.
    under_way: RefCell<Option<UnderWay>>,
}

struct UnderWay {
    term: Term,
    sweep: Sweep,
    counts: Counts,
}

impl Work {
    /// One batch. What a dropped run had in hand is forgotten with it, and found again.
    async fn run(&self, leading: &Leading) -> Result<Done, StoreError> {
        let term = leading.term();
        let begun = self.under_way.take().filter(|under_way| under_way.term == term);
        let mut now = match begun {
            Some(under_way) => under_way,
            None => {
                let sweep = self.retention.sweep().await?;
                UnderWay { term, sweep, counts: Counts::default() }
            }
        };
        let step = self.retention.step(&mut now.sweep, Right::Leader(term)).await;
        let again_in = match step {
            Ok(Step::Went(counts)) => {
                self.metrics.history_deleted(&counts);
                now.counts.add(&counts);
                // What found nothing has taken no time that others could want.
                let pause = if counts == Counts::default() { Duration::ZERO } else { PAUSE };
                self.under_way.replace(Some(now));
                Some(pause)
            }
            Ok(Step::Done) => {
                self.metrics.history_stopped(false);
                self.tell(&now.counts);
                self.tidy().await;
                None
            }
            Ok(Step::TermOver) => None,
            Err(RetentionError::Archive(error)) => {
                self.metrics.history_stopped(true);
                error!(self.log, "nothing is deleted, because the archive can't be written";
                    "error" => %Chain(&error), "advice" => error.advice());
                Some(AGAIN)
            }
            Err(RetentionError::Store(error)) => return Err(error),
        };
        Ok(Done { again_in, ..Done::default() })
    }

    /// Looks after the archives. What goes wrong there stops nothing else.
    async fn tidy(&self) {
        match self.retention.tidy().await {
            Ok(Tidied { merged, deleted }) => {
                if merged > 0 {
                    info!(self.log, "archives put together"; "count" => merged);
                }
                if deleted > 0 {
                    info!(self.log, "archives deleted"; "count" => deleted);
                }
            }
            Err(error) => warn!(self.log, "archives can't be put together or deleted";
                "error" => %Chain(&error), "advice" => error.advice()),
        }
    }

    fn tell(&self, counts: &Counts) {
        for (kind, count) in counts.iter() {
            info!(self.log, "history deleted"; "kind" => kind.as_str(), "count" => count);
        }
    }
}
