//! Which host leads, and when the leader's duties are due.
//!
//! One host among those on a database leads: the one whose session holds an advisory lock. The
//! server frees the lock when that session ends, and it ends a session that has said nothing for
//! [`SILENCE`]; so the leader beats every [`BEAT_EVERY`], and by its own monotonic clock it stops
//! its duties [`SAFE`] after the last answered beat was sent, before the server lets another lead.
//! Each time somebody begins to lead the [`Term`] grows by one: work that a deposed leader still
//! has under way names an old term, and is refused.

use std::time::Duration;

use super::{
    Millis,
    restart::{backoff, millis},
};

/// How often a host that does not lead asks whether it may.
pub const STAND_EVERY: Duration = Duration::from_secs(2);
/// How often the leader asks whether it still leads.
pub const BEAT_EVERY: Duration = Duration::from_secs(2);
/// The server ends the leader's session once that has been silent for this long.
pub const SILENCE: Duration = Duration::from_secs(6);
/// The leader stops its duties this long after the last answered beat was sent.
pub const SAFE: Duration = Duration::from_secs(5);
/// The wait after a duty's first failure; it doubles up to the duty's interval.
const RETRY_MIN: Duration = Duration::from_millis(500);

/// The number of a leadership: the fencing token of the leader's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(pub u64);

/// What the age of the last answered beat says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Answered lately.
    Held,
    /// Time to beat.
    Due,
    /// Another host may lead soon: the duties must be stopped now.
    Lost,
}

/// Judges a leadership whose last answered beat was sent at `sent`.
pub fn judge(sent: Millis, now: Millis) -> Standing {
    let age = now.saturating_sub(sent);
    if age >= millis(SAFE) {
        Standing::Lost
    } else if age >= millis(BEAT_EVERY) {
        Standing::Due
    } else {
        Standing::Held
    }
}

/// When to judge again a leadership whose last answered beat was sent at `sent`.
pub fn next_look(sent: Millis, beat_under_way: bool) -> Millis {
    sent.saturating_add(millis(if beat_under_way { SAFE } else { BEAT_EVERY }))
}

/// How a run of a duty ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Done. It wants to run again after this time, if that is sooner than its interval.
    Done(Option<Duration>),
    /// It failed, and is tried again soon, and later with each further failure.
    Failed,
}

/// When each duty is due. Duties are known by their place in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agenda {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    every: Duration,
    due: Millis,
    under_way: bool,
    failures: u32,
}

impl Agenda {
    /// Duties with these intervals. All of them are due at once: who led before may have left
    /// them undone.
    pub fn new(intervals: impl IntoIterator<Item = Duration>, now: Millis) -> Self {
        let entry = |every| Entry { every, due: now, under_way: false, failures: 0 };
        Self { entries: intervals.into_iter().map(entry).collect() }
    }

    /// Takes the duties that are due: they count as under way until they end.
    pub fn take_due(&mut self, now: Millis) -> Vec<usize> {
        let mut due = Vec::new();
        for (place, entry) in self.entries.iter_mut().enumerate() {
            if !entry.under_way && entry.due <= now {
                entry.under_way = true;
                due.push(place);
            }
        }
        due
    }

    /// A duty that was taken has ended.
    pub fn ended(&mut self, place: usize, ended: Ended, now: Millis) {
        let Some(entry) = self.entries.get_mut(place) else { return };
        entry.under_way = false;
        let wait = match ended {
            Ended::Done(sooner) => {
                entry.failures = 0;
                sooner.map_or(entry.every, |sooner| sooner.min(entry.every))
            }
            Ended::Failed => {
                entry.failures = entry.failures.saturating_add(1);
                backoff(RETRY_MIN.min(entry.every), entry.every, entry.failures)
            }
        };
        entry.due = now.saturating_add(millis(wait));
    }

    /// When the next duty is due that is not under way.
    pub fn next_due(&self) -> Option<Millis> {
        let waiting = self.entries.iter().filter(|entry| !entry.under_way);
        waiting.map(|entry| entry.due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_leader_stops_before_the_server_ends_its_session() {
        let rows = [
            (0, Standing::Held),
            (1_999, Standing::Held),
            (2_000, Standing::Due),
            (4_999, Standing::Due),
            (5_000, Standing::Lost),
        ];
        for (age, standing) in rows {
            assert_eq!(judge(70, 70 + age), standing, "{age}");
        }
        assert!(BEAT_EVERY * 2 < SAFE && SAFE < SILENCE, "a lost beat is survived");
    }

    #[test]
    fn duties_run_at_once_then_by_their_intervals_or_sooner() {
        let mut agenda = Agenda::new([SECOND * 10, SECOND * 60], 5);
        assert_eq!(agenda.take_due(5), [0, 1]);
        assert_eq!((agenda.take_due(99_999), agenda.next_due()), (vec![], None), "one at a time");
        agenda.ended(0, Ended::Done(None), 1_000);
        agenda.ended(1, Ended::Done(Some(SECOND)), 1_000);
        assert_eq!(agenda.next_due(), Some(2_000));
        assert_eq!(agenda.take_due(2_000), [1]);
        agenda.ended(1, Ended::Done(Some(SECOND * 600)), 2_000);
        assert_eq!(agenda.next_due(), Some(11_000));
        assert_eq!(agenda.take_due(11_000), [0]);
        assert_eq!(agenda.next_due(), Some(62_000), "no later than the interval");
    }

    #[test]
    fn a_duty_that_fails_is_tried_again_and_less_and_less_often() {
        let mut agenda = Agenda::new([SECOND * 3], 0);
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..5 {
            assert_eq!(agenda.take_due(now), [0]);
            agenda.ended(0, Ended::Failed, now);
            let next = agenda.next_due().unwrap();
            waits.push(next - now);
            now = next;
        }
        assert_eq!(waits, [500, 1_000, 2_000, 3_000, 3_000]);
        agenda.take_due(now);
        agenda.ended(0, Ended::Done(None), now);
        agenda.take_due(now + 3_000);
        agenda.ended(0, Ended::Failed, now + 3_000);
        assert_eq!(agenda.next_due(), Some(now + 3_500), "a success makes it begin anew");
    }
}
