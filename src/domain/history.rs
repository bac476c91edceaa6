//! What of the past is deleted, and in which order.
//!
//! Ended tasks are kept for a [`Keep`] by how they ended. A [`Sweep`] goes through everything that
//! may be over its term, one small batch at a time: it says where to look next, and is told how far
//! that look went. What a look finds, and whether somebody still needs it, the database decides in
//! the moment in which it deletes.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{Lane, PlanRunId, TaskId, task::TaskState};

mod archive;

pub use archive::{ARCHIVE_END, archive_name, is_closed, is_over, merged_name, merges};

/// How long something is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Until somebody deletes it by hand.
    Forever,
    /// For this long after it ended.
    For(Duration),
}

impl Keep {
    /// The shorter one.
    #[must_use]
    pub fn or_sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::For(one), Self::For(other)) => Self::For(one.min(other)),
            (Self::Forever, other) => other,
            (one, Self::Forever) => one,
        }
    }

    fn term(self) -> Option<Duration> {
        match self {
            Self::Forever => None,
            Self::For(term) => Some(term),
        }
    }
}

/// How long everything is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Completed tasks.
    pub completed: Keep,
    /// Cancelled tasks.
    pub cancelled: Keep,
    /// Failed tasks that somebody discarded, from then on.
    pub failed: Keep,
    /// Failed tasks that nobody discarded.
    pub dead_letters: Keep,
    /// What the feed tells of plain tasks.
    pub feed: Keep,
    /// Runs of plans; what is learned from them stays.
    pub plans: Keep,
}

/// The kinds of what is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Completed tasks.
    Completed,
    /// Cancelled tasks.
    Cancelled,
    /// Discarded dead letters.
    Failed,
    /// Dead letters.
    DeadLetters,
    /// Rows of the feed.
    Feed,
    /// Runs of plans.
    Plans,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Completed,
        Self::Cancelled,
        Self::Failed,
        Self::DeadLetters,
        Self::Feed,
        Self::Plans,
    ];

    /// The word of the config, of metrics and of answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::DeadLetters => "dead_letters",
            Self::Feed => "feed",
            Self::Plans => "plans",
        }
    }
}

/// Where to look next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The oldest rows of the feed.
    Feed {
        /// How long they are kept.
        term: Duration,
    },
    /// A lane of the log.
    Log {
        /// How long completed tasks are kept.
        term: Duration,
        /// The lane.
        lane: Lane,
        /// The number after which to go on.
        after: i64,
    },
    /// Tracked tasks.
    Tasks {
        /// Which.
        kind: Kind,
        /// How long they are kept.
        term: Duration,
        /// The task after which to go on.
        after: TaskId,
    },
    /// Runs of plans.
    Plans {
        /// How long they are kept.
        term: Duration,
        /// The run after which to go on.
        after: PlanRunId,
    },
}

impl Look {
    /// The state of the tracked tasks that are looked for.
    pub const fn state(kind: Kind) -> TaskState {
        match kind {
            Kind::Completed | Kind::Feed | Kind::Plans => TaskState::Completed,
            Kind::Cancelled => TaskState::Cancelled,
            Kind::Failed | Kind::DeadLetters => TaskState::Failed,
        }
    }
}

/// How far a look went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Went {
    /// There is nothing more of it.
    ToTheEnd,
    /// There is more of the feed, or of the same run.
    On,
    /// There is more of the lane, after this number.
    AfterNumber(i64),
    /// There are more tasks, after this one.
    AfterTask(TaskId),
    /// There may be more runs, after this one.
    AfterRun(PlanRunId),
}

/// One way through all that may be over its term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    looks: VecDeque<Look>,
}

impl Sweep {
    /// The way for these terms, through these lanes. The feed comes first: a plain task is deleted
    /// only after what the feed tells of it.
    pub fn new(terms: &Terms, lanes: impl IntoIterator<Item = Lane>) -> Self {
        let mut looks = VecDeque::new();
        // What the feed tells of tasks that are gone is of no use.
        if let Some(term) = terms.feed.or_sooner(terms.completed).term() {
            looks.push_back(Look::Feed { term });
        }
        if let Some(term) = terms.completed.term() {
            looks.extend(lanes.into_iter().map(|lane| Look::Log { term, lane, after: 0 }));
        }
        for (kind, keep) in [
            (Kind::Completed, terms.completed),
            (Kind::Cancelled, terms.cancelled),
            (Kind::Failed, terms.failed),
            (Kind::DeadLetters, terms.dead_letters),
        ] {
            if let Some(term) = keep.term() {
                looks.push_back(Look::Tasks {
                    kind,
                    term,
                    after: TaskId::from_uuid(uuid::Uuid::nil()),
                });
            }
        }
        // After their tasks: a run stays for as long as one of these.
        if let Some(term) = terms.plans.term() {
            let after = PlanRunId::from_uuid(uuid::Uuid::nil());
            looks.push_back(Look::Plans { term, after });
        }
        Self { looks }
    }

    /// Where to look next; nowhere once all is done.
    pub fn next(&self) -> Option<Look> {
        self.looks.front().copied()
    }

    /// The look that [`Sweep::next`] named went this far.
    pub fn looked(&mut self, went: Went) {
        match (self.looks.front_mut(), went) {
            (Some(Look::Feed { .. } | Look::Plans { .. }), Went::On) => {}
            (Some(Look::Plans { after, .. }), Went::AfterRun(run)) => *after = run,
            (Some(Look::Log { after, .. }), Went::AfterNumber(number)) => *after = number,
            (Some(Look::Tasks { after, .. }), Went::AfterTask(task)) => *after = task,
            _ => _ = self.looks.pop_front(),
        }
    }
}

/// How many of each kind were deleted, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts(BTreeMap<Kind, u64>);

impl Counts {
    /// So many of this kind.
    pub fn of(kind: Kind, count: u64) -> Self {
        Self(if count == 0 { BTreeMap::new() } else { BTreeMap::from([(kind, count)]) })
    }

    /// And so many more.
    pub fn add(&mut self, more: &Self) {
        for (kind, count) in more.iter() {
            *self.0.entry(kind).or_default() += count;
        }
    }

    /// Of each kind of which there is one at least.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, u64)> {
        self.0.iter().map(|(kind, count)| (*kind, *count))
    }

    /// How many of this kind.
    pub fn get(&self, kind: Kind) -> u64 {
        self.0.get(&kind).copied().unwrap_or_default()
    }

    /// All tasks together.
    pub fn tasks(&self) -> u64 {
        let is_tasks = |kind: Kind| !matches!(kind, Kind::Feed | Kind::Plans);
        self.iter().filter(|(kind, _)| is_tasks(*kind)).map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn terms() -> Terms {
        Terms {
            completed: Keep::For(DAY),
            cancelled: Keep::For(DAY * 2),
            failed: Keep::Forever,
            dead_letters: Keep::For(DAY * 90),
            feed: Keep::For(DAY * 7),
            plans: Keep::For(DAY * 365),
        }
    }

    #[test]
    fn the_shorter_term_counts() {
        let (day, week) = (Keep::For(DAY), Keep::For(DAY * 7));
        let rows = [
            (day, week, day),
            (week, day, day),
            (Keep::Forever, day, day),
            (day, Keep::Forever, day),
            (Keep::Forever, Keep::Forever, Keep::Forever),
        ];
        for (one, other, shorter) in rows {
            assert_eq!(one.or_sooner(other), shorter, "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_sweep_goes_through_everything_that_has_a_term_the_feed_first() {
        let mut sweep = Sweep::new(&terms(), [Lane(3), Lane(5)]);
        let task = |n: u128| TaskId::from_uuid(uuid::Uuid::from_u128(n));
        let log = |lane, after| Look::Log { term: DAY, lane: Lane(lane), after };
        let tasks = |kind, days, after| Look::Tasks { kind, term: DAY * days, after: task(after) };
        let run = |n: u128| PlanRunId::from_uuid(uuid::Uuid::from_u128(n));
        let runs = |after| Look::Plans { term: DAY * 365, after: run(after) };
        let way = [
            // The feed goes with what it tells of, though it might stay for longer.
            (Look::Feed { term: DAY }, Went::On),
            (Look::Feed { term: DAY }, Went::ToTheEnd),
            (log(3, 0), Went::AfterNumber(1_000)),
            (log(3, 1_000), Went::ToTheEnd),
            (log(5, 0), Went::ToTheEnd),
            (tasks(Kind::Completed, 1, 0), Went::AfterTask(task(9))),
            (tasks(Kind::Completed, 1, 9), Went::ToTheEnd),
            (tasks(Kind::Cancelled, 2, 0), Went::ToTheEnd),
            (tasks(Kind::DeadLetters, 90, 0), Went::ToTheEnd),
            (runs(0), Went::On),
            (runs(0), Went::AfterRun(run(7))),
            (runs(7), Went::ToTheEnd),
        ];
        for (look, went) in way {
            assert_eq!(sweep.next(), Some(look));
            sweep.looked(went);
        }
        assert_eq!(sweep.next(), None);
        sweep.looked(Went::ToTheEnd);
        assert_eq!(sweep.next(), None);
    }

    #[test]
    fn what_is_kept_for_ever_is_not_looked_at() {
        let forever = Terms {
            completed: Keep::Forever,
            cancelled: Keep::Forever,
            failed: Keep::Forever,
            dead_letters: Keep::Forever,
            feed: Keep::Forever,
            plans: Keep::Forever,
        };
        assert_eq!(Sweep::new(&forever, [Lane(1)]).next(), None);
        let feed = Terms { feed: Keep::For(DAY), ..forever };
        let mut sweep = Sweep::new(&feed, [Lane(1)]);
        assert_eq!(sweep.next(), Some(Look::Feed { term: DAY }));
        sweep.looked(Went::ToTheEnd);
        assert_eq!(sweep.next(), None, "completed tasks stay, in the log too");
    }

    #[test]
    fn counts_add_up_by_kind() {
        let mut counts = Counts::of(Kind::Completed, 2);
        counts.add(&Counts::of(Kind::Feed, 9));
        counts.add(&Counts::of(Kind::Completed, 3));
        counts.add(&Counts::of(Kind::Failed, 0));
        counts.add(&Counts::of(Kind::Plans, 4));
        let all: Vec<_> = counts.iter().collect();
        assert_eq!(all, [(Kind::Completed, 5), (Kind::Feed, 9), (Kind::Plans, 4)]);
        assert_eq!((counts.tasks(), counts.get(Kind::Failed)), (5, 0));
    }
}
