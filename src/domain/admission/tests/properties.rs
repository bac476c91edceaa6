//! What holds whatever happens.

use proptest::prelude::*;

use super::*;

fn any_need() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-c]",
        3 => "~[a-c]",
        2 => prop::sample::select(vec!["w:src/**", "w:src/a/*", "w:src/a/x.rs", "w:docs/**"])
            .prop_map(str::to_owned),
        2 => prop::sample::select(vec!["r:src/**", "r:src/a/x.rs", "r:**/x.rs"]).prop_map(str::to_owned),
        3 => "@k[1-3]",
    ]
}

fn any_job() -> impl Strategy<Value = Job> {
    (prop::collection::vec(any_need(), 0..4), 0u8..3, -1i16..2).prop_map(
        |(texts, queue, priority)| Job {
            needs: needs(&texts.join(" ")),
            queue: format!("q{queue}").parse().unwrap(),
            priority,
        },
    )
}

fn any_limit() -> impl Strategy<Value = Limit> {
    let rate = (1u32..4, 1u64..400);
    (prop::option::of(1u32..4), prop::option::of(rate)).prop_map(|(concurrency, rate)| Limit {
        concurrency,
        rate: rate.map(|(count, per)| Rate { count, per: Duration::from_millis(per) }),
    })
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let of_queue = (any_limit(), any_limit(), 1u32..4, any::<bool>()).prop_map(
        |(limit, key_limit, weight, fair)| QueueRules {
            limit,
            key_limit,
            weight,
            fair,
            paused: None,
        },
    );
    let queues = prop::collection::btree_map("q[0-2]", of_queue, 0..3);
    let keys = prop::collection::btree_map("k[1-3]|k\\*", any_limit(), 0..3);
    (any_limit(), any_limit(), queues, keys).prop_map(|(all, of_fleet, queues, keys)| Rules {
        all,
        fleets: BTreeMap::from([(fleet(), of_fleet)]),
        queues: queues.into_iter().map(|(name, rules)| (name.parse().unwrap(), rules)).collect(),
        keys: keys.into_iter().map(|(name, limit)| (name.parse().unwrap(), limit)).collect(),
        paused_keys: BTreeMap::new(),
    })
}

/// What happens, in any order: tasks come, agents ask, tasks end, time passes.
fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any_job().prop_map(Step::Submit),
        4 => (1usize..5, any::<prop::sample::Index>()).prop_map(|(agents, cut)| Step::Claim(agents, cut)),
        3 => any::<prop::sample::Index>().prop_map(Step::End),
        1 => (1i64..500).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever happens in whatever order: no two running tasks hold what only one may, no limit
    /// is exceeded, a task has all that it needs or nothing. And in the end everything has run.
    #[test]
    fn nothing_is_held_twice_no_limit_is_exceeded_and_everything_runs(
        rules in any_rules(),
        steps in prop::collection::vec(any_step(), 1..120),
    ) {
        let mut world = World::new(rules);
        for step in steps {
            world.step(step);
            world.check()?;
        }
        world.drain()?;
    }

    /// While tasks of the same priority that share what it wants come without end, one that wants
    /// it alone begins once it has been passed over for the patience, and what was before it is
    /// done.
    #[test]
    fn starvation_is_bounded(
        wanted in prop::sample::select(vec!["a", "a b", "w:src/**", "a @k1", "w:src/a/x.rs b"]),
        others in prop::collection::vec(
            prop::sample::select(vec!["~a", "b", "~a ~b", "r:src/**", "w:src/a/*", "@k1", "~a @k1"]), 1..12),
        runs in 1i64..400,
        agents in 1usize..6,
    ) {
        let mut rules = Rules::default();
        rules.keys.insert("k1".parse().unwrap(), limit(2));
        let mut world = World::new(rules);
        // They run before it comes.
        for other in &others {
            world.step(Step::Submit(Job { needs: needs(other), queue: queue("q0"), priority: 0 }));
        }
        world.claim(agents);
        let victim = world.submit(Job { needs: needs(wanted), queue: queue("q0"), priority: 0 });
        let (began, step) = (world.now(), runs / 10 + 1);
        // Before it come at most those that were there before it, one after the other.
        let limit = PATIENCE + (runs + step) * (i64::try_from(others.len()).unwrap() + 2);
        while !world.has_begun(victim) {
            for other in &others {
                world.submit(Job { needs: needs(other), queue: queue("q0"), priority: 0 });
            }
            world.claim(agents);
            world.step(Step::Pass(step));
            world.end_older_than(runs);
            world.forget_but(victim, 40);
            world.check()?;
            prop_assert!(world.now() - began <= limit, "starved");
        }
    }
}
