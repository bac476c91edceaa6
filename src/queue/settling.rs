//! Outcomes on their way to Postgres: which go next, and what is done when they can't.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use crate::domain::{
    TaskId,
    task::{FailureClass, Outcome, Settlement, TaskEvent},
};

/// The most outcomes in one statement.
const BATCH: usize = 500;

/// The most of them of tracked tasks, on which others may wait: these go on only once all of the
/// batch is written.
const TRACKED: usize = 100;

/// How often the time that a batch may take is doubled.
const DOUBLINGS: u32 = 6;

/// An outcome, and when its attempt began.
#[derive(Debug)]
struct Waiting {
    settlement: Settlement,
    since: Instant,
}

/// The outcomes that wait, in order, and the batch that is under way.
#[derive(Debug, Default)]
pub(super) struct Settling {
    waiting: VecDeque<Waiting>,
    under_way: Vec<Waiting>,
    /// A batch was refused as a whole: its outcomes go one by one, so that one bad outcome can't
    /// hold up the others.
    singly: usize,
    /// How often in a row the database said nothing in time.
    silences: u32,
}

impl Settling {
    pub(super) fn push(&mut self, settlement: Settlement, since: Instant) {
        self.waiting.push_back(Waiting { settlement, since });
    }

    /// How many have not been written yet.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.under_way.len()
    }

    /// The next batch to write, if none is under way.
    pub(super) fn next(&mut self, now: Instant) -> Option<Vec<Settlement>> {
        if !self.under_way.is_empty() || self.waiting.is_empty() {
            return None;
        }
        let most = if self.singly > 0 { 1 } else { BATCH };
        self.singly = self.singly.saturating_sub(1);
        let (mut tasks, mut tracked) = (HashSet::new(), 0);
        let fits = |next: &&Waiting| {
            tracked += usize::from(next.settlement.entry.is_none());
            // One row can't be written twice by one statement.
            tasks.insert(next.settlement.task) && tracked <= TRACKED
        };
        let take = self.waiting.iter().take(most).take_while(fits).count();
        self.under_way = self.waiting.drain(..take).collect();
        let dated = |one: &Waiting| Settlement {
            began_ago: now.saturating_duration_since(one.since),
            ..one.settlement.clone()
        };
        Some(self.under_way.iter().map(dated).collect())
    }

    /// How long the next batch may take, where one usually may take `usual`: longer after each
    /// silence, for the end of a task on which very many others wait takes long by right, and must
    /// not be given up each time.
    pub(super) fn patience(&self, usual: Duration) -> Duration {
        usual.saturating_mul(1 << self.silences.min(DOUBLINGS))
    }

    /// The database said nothing in time.
    pub(super) const fn silent(&mut self) {
        self.silences = self.silences.saturating_add(1);
    }

    /// The batch under way is written.
    pub(super) fn written(&mut self) -> Vec<Settlement> {
        self.silences = 0;
        self.under_way.drain(..).map(|one| one.settlement).collect()
    }

    /// The batch under way could not be sent; it goes again, first.
    pub(super) fn again(&mut self) {
        for one in self.under_way.drain(..).rev() {
            self.waiting.push_front(one);
        }
    }

    /// The database refused the batch for what is in it. A larger batch is taken apart; a single
    /// outcome is replaced by one that says so, and that is returned for the log. An outcome that
    /// was already replaced is dropped, and returned as well: its attempt ends with the lease.
    pub(super) fn refused(&mut self, why: &str) -> Option<TaskId> {
        if self.under_way.len() > 1 {
            self.singly = self.under_way.len();
            self.again();
            return None;
        }
        let Waiting { settlement, since } = self.under_way.pop()?;
        let task = settlement.task;
        let replaced =
            matches!(settlement.outcome, Outcome::Failed { class: FailureClass::Internal, .. });
        if !replaced {
            let message = format!("the outcome of the attempt could not be stored: {why}");
            let settlement = Settlement {
                outcome: Outcome::failed(FailureClass::Internal, message),
                event: TaskEvent::FailedForGood,
                ..settlement
            };
            self.waiting.push_front(Waiting { settlement, since });
            self.singly = self.singly.max(1);
        }
        Some(task)
    }

    /// The tasks whose outcomes have not been written yet.
    pub(super) fn tasks(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.waiting.iter().chain(&self.under_way).map(|one| one.settlement.task)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{AgentName, Attempt, ClaimId, Entry, Lane};

    fn settlement(task: u128) -> Settlement {
        Settlement {
            task: TaskId::from_uuid(Uuid::from_u128(task)),
            attempt: Attempt(1),
            outcome: Outcome::Completed { output: Value::Null },
            event: TaskEvent::Completed,
            retry_after: Duration::ZERO,
            agent: AgentName::nobody(),
            began_ago: Duration::ZERO,
            entry: None,
        }
    }

    fn tasks(batch: &[Settlement]) -> Vec<u128> {
        batch.iter().map(|one| one.task.as_uuid().as_u128()).collect()
    }

    #[test]
    fn what_arrives_during_a_batch_goes_in_the_next_one() {
        let mut settling = Settling::default();
        settling.push(settlement(1), Instant::now());
        assert_eq!(tasks(&settling.next(Instant::now()).unwrap()), [1]);
        settling.push(settlement(2), Instant::now());
        settling.push(settlement(3), Instant::now());
        assert!(settling.next(Instant::now()).is_none(), "one at a time");
        settling.written();
        assert_eq!(tasks(&settling.next(Instant::now()).unwrap()), [2, 3]);
        assert_eq!(settling.len(), 2);
    }

    #[test]
    fn tasks_on_which_others_may_wait_are_not_held_up_by_very_many() {
        let mut settling = Settling::default();
        let plain = Entry { lane: Lane(1), number: 1, claim: ClaimId(Uuid::nil()) };
        for task in 0..700 {
            let entry = (task % 4 > 0).then_some(plain);
            settling.push(Settlement { entry, ..settlement(task) }, Instant::now());
        }
        let mut sizes = Vec::new();
        while let Some(batch) = settling.next(Instant::now()) {
            sizes.push(batch.len());
            settling.written();
        }
        // 100 tracked ones and the plain ones between them; then all that are left.
        assert_eq!(sizes, [400, 300]);
    }

    #[test]
    fn a_batch_that_could_not_be_sent_goes_again_in_order() {
        let mut settling = Settling::default();
        for task in 1..=3 {
            settling.push(settlement(task), Instant::now());
        }
        settling.next(Instant::now());
        settling.push(settlement(4), Instant::now());
        settling.again();
        assert_eq!(tasks(&settling.next(Instant::now()).unwrap()), [1, 2, 3, 4]);
    }

    #[test]
    fn after_each_silence_a_batch_may_take_longer() {
        let (mut settling, second) = (Settling::default(), Duration::from_secs(1));
        assert_eq!(settling.patience(second), second);
        settling.silent();
        settling.silent();
        assert_eq!(settling.patience(second), second * 4);
        (0..100).for_each(|_| settling.silent());
        assert_eq!(settling.patience(second), second * 64);
        settling.written();
        assert_eq!(settling.patience(second), second);
    }

    #[test]
    fn one_bad_outcome_does_not_hold_up_the_others() {
        let mut settling = Settling::default();
        for task in 1..=3 {
            settling.push(settlement(task), Instant::now());
        }
        settling.next(Instant::now());
        assert_eq!(settling.refused("bad"), None);
        settling.next(Instant::now());
        settling.written();
        assert_eq!(tasks(&settling.next(Instant::now()).unwrap()), [2], "alone now");
        assert_eq!(settling.refused("no such character").unwrap().as_uuid().as_u128(), 2);
        let replaced = settling.next(Instant::now()).unwrap();
        assert_eq!(replaced[0].event, TaskEvent::FailedForGood);
        assert!(matches!(&replaced[0].outcome,
            Outcome::Failed { message, .. } if message.contains("no such character")));
        assert!(settling.refused("still bad").is_some());
        assert_eq!(tasks(&settling.next(Instant::now()).unwrap()), [3]);
    }

    #[test]
    fn two_attempts_of_one_task_are_not_in_one_batch() {
        let mut settling = Settling::default();
        settling.push(settlement(1), Instant::now());
        settling.push(Settlement { attempt: Attempt(2), ..settlement(1) }, Instant::now());
        assert_eq!(settling.next(Instant::now()).unwrap().len(), 1);
    }
}
