//! What becomes of decisions when a clock jumps: the clock on the wall, forward and backward, under
//! whatever takes a time; and the monotonic one is never trusted to go on evenly.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use super::{
    AgentName, FleetName, HostId, QueueName, TaskId,
    admission::{
        Ask, Candidate, Choice, Limit, Needs, QueueRules, Rate, Rules, Scope, Situation, Start,
        Turns, choose,
    },
    heartbeat,
    leadership::{self, Pace},
    lease::{self, Standing},
    schedule::{Action, Cadence, CatchUp, Overlap, Schedule, Zone, plan},
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Times that the clock shows one after the other: steps of seconds, and jumps of up to months.
fn shown() -> impl Strategy<Value = Vec<Timestamp>> {
    let step = prop_oneof![4 => 0..120_i64, 1 => -10_000_000..10_000_000_i64];
    proptest::collection::vec(step, 1..40).prop_map(|steps| {
        let mut second = 1_900_000_000;
        let mut next = |step: i64| {
            second += step;
            at(second)
        };
        steps.into_iter().map(&mut next).collect()
    })
}

fn schedule(cadence: Cadence, overlap: Overlap, catch_up: CatchUp) -> Schedule {
    Schedule {
        name: "often".parse().unwrap(),
        description: String::new(),
        cadence,
        queue: queue(),
        kind: "tick".to_owned(),
        input: Value::Null,
        priority: 0,
        max_attempts: None,
        timeout: None,
        deadline: None,
        stale_after: None,
        overlap,
        catch_up,
        catch_up_max: 3,
    }
}

fn queue() -> QueueName {
    "q".parse().unwrap()
}

/// What is chosen of two tasks in a queue in which `count` may begin `per` window.
fn choice(now: Timestamp, rate: Rate, starts: Vec<Start>) -> Choice {
    let limit = Limit { concurrency: None, rate: Some(rate) };
    let mut rules = Rules::default();
    rules.queues.insert(queue(), QueueRules { limit, ..QueueRules::default() });
    let situation = Situation { now, rules, starts, ..Situation::default() };
    let candidate = |number| Candidate {
        task: TaskId::from_uuid(Uuid::from_u128(number)),
        queue: queue(),
        priority: 0,
        needs: Needs::default(),
    };
    let (fleet, queues): (FleetName, _) = ("f".parse().unwrap(), [queue()]);
    let candidates = [candidate(1), candidate(2)];
    let agents = [AgentName::of(&fleet, 1), AgentName::of(&fleet, 2)];
    let host = HostId::from_uuid(Uuid::from_u128(1));
    let (queues, candidates) = (&queues, &candidates);
    let ask = Ask { host, fleet: &fleet, queues, agents: &agents, candidates };
    choose(&situation, &ask, &mut Turns::default())
}

proptest! {
    /// Whatever the clock does: a due time fires once at the most and not before its time, in order;
    /// a jump forward fires no more than is caught up on, and one backward nothing again.
    #[test]
    fn no_due_time_fires_twice(
        shown in shown(),
        every in prop_oneof![Just(None), (1..7_200_u64).prop_map(Some)],
        overlap in proptest::sample::select(Overlap::ALL.to_vec()),
        catch_up in proptest::sample::select(CatchUp::ALL.to_vec()),
        busy: bool,
    ) {
        let cadence = match every {
            Some(seconds) => Cadence::Every(Duration::from_secs(seconds)),
            None => Cadence::Cron("*/5 * * * *".parse().unwrap(), Zone::UTC),
        };
        let schedule = schedule(cadence, overlap, catch_up);
        let anchor = at(1_900_000_000);
        let mut due = schedule.cadence.next_after(anchor, anchor).unwrap();
        let mut last = None;
        for now in shown {
            let plan = plan(&schedule, anchor, due, now, busy);
            prop_assert!(plan.firings.len() <= 3, "{plan:?}");
            for (time, action) in &plan.firings {
                prop_assert!(*time <= now && Some(*time) > last, "{time} at {now} after {last:?}");
                prop_assert!(*action != Action::Replace || busy);
                last = Some(*time);
            }
            let next = plan.next.unwrap();
            prop_assert!(next >= due && next > now && Some(next) > last, "{next} at {now}");
            due = next;
        }
    }

    /// A rate that is used up opens again within two windows, even if all that counts for it began
    /// in what is the future by now.
    #[test]
    fn a_rate_opens_within_two_windows(
        now in 0..4_000_000_000_i64,
        per in 1..86_400_u64,
        starts in proptest::collection::vec((-4_000_000_000..4_000_000_000_i64, 1..4_u32), 0..20),
    ) {
        let rate = Rate { count: 2, per: Duration::from_secs(per) };
        let start = |(second, count)| Start { scope: Scope::Queue(queue()), at: at(second), count };
        let choice = choice(at(now), rate, starts.into_iter().map(start).collect());
        let opens = choice.opens.map(|opens| opens.duration_since(at(now)));
        let windows = SignedDuration::from_secs(2 * i64::try_from(per).unwrap());
        prop_assert!(opens.is_none_or(|wait| wait > SignedDuration::ZERO && wait <= windows));
        prop_assert!(opens.is_some() || choice.take.len() == 2, "{choice:?}");
    }

    /// An age is a difference of two times of one clock, and not below zero: an earlier time never makes
    /// a lease, a leadership or an agent look worse, and all of them get worse only.
    #[test]
    fn ages_only_ever_grow(
        length in 16..3_600_000_u64, since: u64, first: u64, second: u64,
    ) {
        let length = Duration::from_millis(length);
        let (early, late) = (first.min(second), first.max(second));
        let rank = |standing| match standing {
            Standing::Held => 0,
            Standing::Due => 1,
            Standing::Lost => 2,
        };
        let of_lease = |now| rank(lease::judge(length, since, now));
        prop_assert!(of_lease(early) <= of_lease(late));
        let leads = |now| match Pace::of(length).judge(since, now) {
            leadership::Standing::Held => 0,
            leadership::Standing::Due => 1,
            leadership::Standing::Lost => 2,
        };
        prop_assert!(leads(early) <= leads(late));
        let limits = heartbeat::Limits {
            every: length / 2,
            stale_after: Some(length),
            ..heartbeat::Limits::default()
        };
        let is_stale = |now| {
            let signs = heartbeat::Signs { since, heard: since, looked_at: Some(now), ..Default::default() };
            matches!(heartbeat::judge(&limits, &signs, None, now), heartbeat::Verdict::Stale(_))
        };
        prop_assert!(!is_stale(early) || is_stale(late));
        if late <= since {
            prop_assert_eq!((of_lease(late), leads(late), is_stale(late)), (0, 0, false));
        }
    }

    /// Whatever its length, a lease is given up, and its agents ended by whoever does it, before it ends.
    #[test]
    fn what_ends_a_lease_comes_in_its_order(length in 1_000..3_600_000_u64) {
        let length = Duration::from_millis(length);
        let noticed = lease::safe(length) + lease::look_every(length);
        prop_assert!(lease::renew_every(length) < lease::safe(length));
        prop_assert!(noticed < lease::frozen(length) && lease::frozen(length) < length);
        prop_assert!(noticed + lease::stopping(length) <= lease::frozen(length) + length / 32);
    }
}
