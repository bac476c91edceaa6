//! Which faults happen when: a pure function of a seed.

use std::time::Duration;

use fastrand::Rng;

/// What happens to a host or to Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Action {
    /// SIGKILL of a host; its keeper and its agents go on.
    KillHost(usize),
    /// SIGKILL of a host and of its keeper.
    KillHostAndKeeper(usize),
    /// It starts again on its data directory.
    StartHost(usize),
    /// SIGKILL of a keeper.
    KillKeeper(usize),
    /// SIGKILL of one of the agents of a host: the number says which, among those there are then.
    KillAgent(usize, u32),
    /// SIGSTOP of a host.
    Freeze(usize),
    /// SIGCONT.
    Thaw(usize),
    /// Its connections end, and it gets no new one.
    Cut(usize),
    /// Nothing moves between it and Postgres.
    Stall(usize),
    /// What Postgres says to it gets lost.
    Deafen(usize),
    /// The way to Postgres is open again.
    Mend(usize),
    /// `pg_terminate_backend` of so many backends: the first number says which.
    EndBackends(u32, u32),
    /// SIGKILL of a backend, after which Postgres ends all of them, and recovers.
    KillBackend(u32),
    /// Postgres ends at once (its immediate mode), and recovers when it starts.
    StopPostgres,
    /// It starts again.
    StartPostgres,
    /// The disk of Postgres is full.
    FillDisk,
    /// There is room again.
    FreeDisk,
}

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Host,
    HostAndKeeper,
    Keeper,
    Agent,
    Freeze,
    Cut,
    Stall,
    Deafen,
    Backends,
    Backend,
    Postgres,
    Disk,
}

/// All of them.
pub(super) const ALL: [Kind; 12] = [
    Kind::Host,
    Kind::HostAndKeeper,
    Kind::Keeper,
    Kind::Agent,
    Kind::Freeze,
    Kind::Cut,
    Kind::Stall,
    Kind::Deafen,
    Kind::Backends,
    Kind::Backend,
    Kind::Postgres,
    Kind::Disk,
];

/// How much happens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan<'a> {
    /// What everything follows from.
    pub(super) seed: u64,
    /// All faults are over by then.
    pub(super) length: Duration,
    /// How many hosts there are.
    pub(super) hosts: usize,
    /// The mean time between two faults.
    pub(super) pace: Duration,
    /// The length of a host's lease.
    pub(super) lease: Duration,
    /// What may happen.
    pub(super) kinds: &'a [Kind],
}

/// A step of a schedule: when, and what.
pub(super) type Step = (Duration, Action);

impl Kind {
    /// The fault, with how long it lasts and what ends it, where something has to.
    fn draw(self, rng: &mut Rng, host: usize, lease: Duration) -> (Action, Option<(u64, Action)>) {
        let lease = u64::try_from(lease.as_millis()).expect("a short time");
        let pick = rng.u32(..);
        match self {
            Self::Host => {
                (Action::KillHost(host), Some((rng.u64(..lease * 3 / 2), Action::StartHost(host))))
            }
            Self::HostAndKeeper => (
                Action::KillHostAndKeeper(host),
                Some((rng.u64(..lease * 3 / 2), Action::StartHost(host))),
            ),
            Self::Keeper => (Action::KillKeeper(host), None),
            Self::Agent => (Action::KillAgent(host, pick), None),
            // Longer than the lease, so that it is taken for lost.
            Self::Freeze => {
                let length = lease + rng.u64(lease / 8..lease / 2);
                (Action::Freeze(host), Some((length, Action::Thaw(host))))
            }
            Self::Cut => {
                (Action::Cut(host), Some((rng.u64(100..lease * 3 / 2), Action::Mend(host))))
            }
            Self::Stall => {
                (Action::Stall(host), Some((rng.u64(100..lease * 3 / 2), Action::Mend(host))))
            }
            Self::Deafen => {
                (Action::Deafen(host), Some((rng.u64(100..lease * 3 / 2), Action::Mend(host))))
            }
            Self::Backends => (Action::EndBackends(pick, rng.u32(1..=6)), None),
            Self::Backend => (Action::KillBackend(pick), None),
            Self::Postgres => {
                (Action::StopPostgres, Some((rng.u64(100..3_000), Action::StartPostgres)))
            }
            Self::Disk => (Action::FillDisk, Some((rng.u64(500..3_000), Action::FreeDisk))),
        }
    }

    /// Whether it happens to Postgres, and not to one host.
    fn is_of_postgres(self) -> bool {
        matches!(self, Self::Backends | Self::Backend | Self::Postgres | Self::Disk)
    }
}

/// The faults, in the order of their times. What begins ends within the length; to one host, and to
/// Postgres, one thing happens at a time. Each kind comes once before any comes again, as far as it
/// finds room.
pub(super) fn schedule(plan: Plan<'_>) -> Vec<Step> {
    let Plan { length, hosts, pace, lease, kinds, .. } = plan;
    let mut rng = Rng::with_seed(plan.seed);
    // When each host is free for the next fault; behind them, Postgres.
    let mut free = vec![Duration::ZERO; hosts + 1];
    let (mut steps, mut deck, mut at) = (Vec::new(), Vec::new(), Duration::ZERO);
    loop {
        at += pace / 2 + pace.mul_f64(rng.f64());
        if at >= length {
            break;
        }
        if deck.is_empty() {
            deck = kinds.to_vec();
            rng.shuffle(&mut deck);
        }
        // The first of the deck that finds somebody to happen to, and time enough.
        let first = rng.usize(..hosts);
        let drawn = (0..deck.len()).rev().find_map(|nth| {
            let kind: Kind = deck[nth];
            let mut subjects = (0..hosts).map(|host| (first + host) % hosts);
            let subject = if kind.is_of_postgres() {
                Some(hosts).filter(|postgres| free[*postgres] <= at)
            } else {
                subjects.find(|host| free[*host] <= at)
            }?;
            let (action, end) = kind.draw(&mut rng, subject, lease);
            let end = end.map(|(ms, action)| (at + Duration::from_millis(ms), action));
            let fits = end.is_none_or(|(end, _)| end <= length);
            fits.then_some((nth, subject, action, end))
        });
        let Some((nth, subject, action, end)) = drawn else { continue };
        deck.remove(nth);
        steps.push((at, action));
        free[subject] = at;
        if let Some((end, action)) = end {
            steps.push((end, action));
            free[subject] = end;
        }
    }
    steps.sort_by_key(|(at, _)| *at);
    steps
}

mod tests {
    use std::collections::HashSet;

    use super::*;

    const MINUTES: Plan<'_> = Plan {
        seed: 0,
        length: Duration::from_secs(120),
        hosts: 3,
        pace: Duration::from_millis(1_500),
        lease: Duration::from_secs(4),
        kinds: &ALL,
    };

    /// Whose it is, and what it ends if it ends something.
    fn subject(action: Action) -> (Option<usize>, Option<bool>) {
        match action {
            Action::KillHost(host)
            | Action::KillHostAndKeeper(host)
            | Action::Freeze(host)
            | Action::Cut(host)
            | Action::Stall(host)
            | Action::Deafen(host) => (Some(host), Some(true)),
            Action::StartHost(host) | Action::Thaw(host) | Action::Mend(host) => {
                (Some(host), Some(false))
            }
            Action::KillKeeper(host) | Action::KillAgent(host, _) => (Some(host), None),
            Action::EndBackends(..) | Action::KillBackend(_) => (None, None),
            Action::StopPostgres | Action::FillDisk => (None, Some(true)),
            Action::StartPostgres | Action::FreeDisk => (None, Some(false)),
        }
    }

    #[test]
    fn the_same_seed_is_the_same_schedule() {
        assert_eq!(schedule(MINUTES), schedule(MINUTES));
        assert_ne!(schedule(MINUTES), schedule(Plan { seed: 1, ..MINUTES }));
    }

    #[test]
    fn what_begins_ends_in_time_and_one_after_the_other() {
        for seed in 0..200 {
            let steps = schedule(Plan { seed, ..MINUTES });
            let mut open = HashSet::new();
            for (at, action) in &steps {
                assert!(*at <= MINUTES.length, "{seed}: {action:?} at {at:?}");
                let (whose, begins) = subject(*action);
                match begins {
                    Some(true) => assert!(open.insert(whose), "{seed}: {action:?} at {at:?}"),
                    Some(false) => assert!(open.remove(&whose), "{seed}: {action:?} at {at:?}"),
                    None => assert!(!open.contains(&whose), "{seed}: {action:?} at {at:?}"),
                }
            }
            assert!(open.is_empty(), "{seed}: {open:?}");
            assert!(steps.is_sorted_by_key(|(at, _)| *at));
        }
    }

    #[test]
    fn every_kind_comes() {
        for seed in 0..200 {
            let steps = schedule(Plan { seed, ..MINUTES });
            let kinds: HashSet<_> =
                steps.iter().map(|(_, action)| std::mem::discriminant(action)).collect();
            // Twelve that begin, and five that end something.
            assert_eq!(kinds.len(), 17, "{seed}: {steps:?}");
            for (at, action) in &steps {
                let Action::Freeze(host) = action else { continue };
                let thaw = |(end, action): &&Step| end > at && *action == Action::Thaw(*host);
                assert!(steps.iter().find(thaw).unwrap().0 - *at >= MINUTES.lease, "{seed}");
            }
        }
    }
}
