//! Which host leads, and when the leader's duties are due.
//!
//! One host among those on a database leads: the one whose session holds an advisory lock. The
//! server frees the lock when that session ends, and it ends a session that has said nothing for
//! [`Pace::silence`]; so the leader beats every [`Pace::beat`], and by its own monotonic clock it
//! stops its duties [`Pace::safe`] after the last answered beat was sent, before the server lets
//! another lead. Each time somebody begins to lead the [`Term`] grows by one: work that a deposed
//! leader still has under way names an old term, and is refused.

use std::{str::FromStr, time::Duration};

use super::{
    Millis,
    restart::{backoff, millis},
    rounds,
};

/// The longest time between two beats, and between two questions whether this host may lead.
const BEAT: Duration = Duration::from_millis(2_500);
/// The wait after a duty's first failure; it doubles up to the duty's interval.
const RETRY_MIN: Duration = Duration::from_millis(500);

/// Duties with this interval, or a longer one, clean up.
const RARE: Duration = Duration::from_secs(300);
/// How long these wait when a host begins to lead.
const BREATHER: Duration = Duration::from_secs(2);

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

/// How fast leaders beat and are given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How often the leader asks whether it still leads, and every other host whether it may.
    pub beat: Duration,
    /// The leader stops its duties this long after the last answered beat was sent.
    pub safe: Duration,
    /// The server ends the leader's session once that has been silent for this long.
    pub silence: Duration,
}

impl Pace {
    /// The pace of hosts with this lease: another one leads well within it, so that the tasks of a
    /// lost leader are taken over in time, too.
    pub fn of(lease: Duration) -> Self {
        let beat = BEAT.min(lease / 8);
        Self { beat, safe: beat * 5 / 2, silence: beat * 3 }
    }

    /// When the next beat is due after one that was sent at `sent`.
    fn next_beat(self, sent: Millis) -> Millis {
        round_after(sent, self.beat)
    }

    /// Judges a leadership whose last answered beat was sent at `sent`.
    pub fn judge(self, sent: Millis, now: Millis) -> Standing {
        if now.saturating_sub(sent) >= millis(self.safe) {
            Standing::Lost
        } else if now >= self.next_beat(sent) {
            Standing::Due
        } else {
            Standing::Held
        }
    }

    /// When to judge again a leadership whose last answered beat was sent at `sent`.
    pub fn next_look(self, sent: Millis, beat_under_way: bool) -> Millis {
        if beat_under_way { sent.saturating_add(millis(self.safe)) } else { self.next_beat(sent) }
    }
}

/// The common look of those who look every `every` that comes next after `now`: see [`rounds`].
pub fn round_after(now: Millis, every: Duration) -> Millis {
    let wait = rounds::until(Duration::from_millis(now), every);
    // Rounded up, as waits are.
    now.saturating_add(u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(Millis::MAX))
}

/// What leaders look after whenever the database says that it is time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matter {
    /// Hosts whose lease has ended.
    LostHosts,
    /// Pauses of queues and keys that end.
    Pauses,
    /// Schedules that are due.
    Schedules,
    /// Tasks whose deadline passes.
    Deadlines,
    /// Runs of plans.
    Plans,
}

impl FromStr for Matter {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "lost_hosts" => Ok(Self::LostHosts),
            "pauses" => Ok(Self::Pauses),
            "schedules" => Ok(Self::Schedules),
            "deadlines" => Ok(Self::Deadlines),
            "plans" => Ok(Self::Plans),
            _ => Err(()),
        }
    }
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
    /// Duties with these intervals. They are due at once, as who led before may have left them undone; but those
    /// that are rare (every five minutes, or seldomer) a moment later: whoever begins to lead often has agents to start.
    pub fn new(intervals: impl IntoIterator<Item = Duration>, now: Millis) -> Self {
        let first = |every| if every < RARE { now } else { now.saturating_add(millis(BREATHER)) };
        let entry = |every| Entry { every, due: first(every), under_way: false, failures: 0 };
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
        entry.due = match ended {
            Ended::Done(sooner) => {
                entry.failures = 0;
                let round = round_after(now, entry.every);
                sooner.map_or(round, |wait| now.saturating_add(millis(wait)).min(round))
            }
            Ended::Failed => {
                entry.failures = entry.failures.saturating_add(1);
                let wait = backoff(RETRY_MIN.min(entry.every), entry.every, entry.failures);
                now.saturating_add(millis(wait))
            }
        };
    }

    /// A duty is due at `at`, if it is not before that.
    pub fn due_by(&mut self, place: usize, at: Millis) {
        if let Some(entry) = self.entries.get_mut(place) {
            entry.due = entry.due.min(at);
        }
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
        let pace = Pace::of(SECOND * 30);
        let rows = [
            (70, Standing::Held),
            (2_499, Standing::Held),
            // With all others, and no later than it wants to.
            (2_500, Standing::Due),
            (6_319, Standing::Due),
            (6_320, Standing::Lost),
        ];
        for (now, standing) in rows {
            assert_eq!(pace.judge(70, now), standing, "{now}");
        }
        for lease in [SECOND, SECOND * 2, SECOND * 16, SECOND * 3600] {
            let pace = Pace::of(lease);
            assert!(pace.beat * 2 < pace.safe && pace.safe < pace.silence, "{pace:?}");
            assert!(pace.silence + pace.beat <= lease / 2, "{pace:?}");
        }
    }

    #[test]
    fn duties_run_at_once_then_by_their_intervals_or_sooner() {
        let mut rare = Agenda::new([SECOND * 600, SECOND], 5);
        assert_eq!((rare.take_due(2_004), rare.take_due(2_005)), (vec![1], vec![0]));
        let mut agenda = Agenda::new([SECOND * 10, SECOND * 60], 5);
        assert_eq!(agenda.take_due(5), [0, 1]);
        assert_eq!((agenda.take_due(99_999), agenda.next_due()), (vec![], None), "one at a time");
        agenda.ended(0, Ended::Done(None), 1_000);
        agenda.ended(1, Ended::Done(Some(SECOND)), 1_000);
        assert_eq!(agenda.next_due(), Some(2_000));
        assert_eq!(agenda.take_due(2_000), [1]);
        agenda.ended(1, Ended::Done(Some(SECOND * 600)), 2_000);
        assert_eq!(agenda.next_due(), Some(10_000), "at a common moment");
        assert_eq!(agenda.take_due(10_000), [0]);
        assert_eq!(agenda.next_due(), Some(60_000), "no later than the interval");
        agenda.due_by(1, 30_000);
        assert_eq!(agenda.next_due(), Some(30_000), "or sooner, if it is told so");
        agenda.due_by(1, 40_000);
        assert_eq!(agenda.next_due(), Some(30_000), "but not later");
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
        let next = agenda.next_due().unwrap();
        agenda.take_due(next);
        agenda.ended(0, Ended::Failed, next);
        assert_eq!(agenda.next_due(), Some(next + 500), "a success makes it begin anew");
    }
}
