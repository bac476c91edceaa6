use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Strategy, *};

fn name(text: &str) -> FleetName {
    text.parse().unwrap()
}

/// The needs of each fleet, as in `a: b c:started`.
fn world(text: &str) -> Vec<(FleetName, Vec<Dependency>)> {
    let fleet = |line: &str| {
        let (fleet, needs) = line.split_once(": ").unwrap_or((line, ""));
        (name(fleet), needs.split_whitespace().map(|need| need.parse().unwrap()).collect())
    };
    text.split(", ").map(fleet).collect()
}

fn needs(world: &[(FleetName, Vec<Dependency>)]) -> Needs<'_> {
    world.iter().map(|(fleet, needs)| (fleet, needs.as_slice())).collect()
}

#[test]
fn dependencies_are_read_and_written() {
    for (text, whole) in
        [("db", "db:healthy"), ("db:started", "db:started"), ("m:completed", "m:completed")]
    {
        let dependency: Dependency = text.parse().unwrap();
        assert_eq!(dependency.to_string(), whole);
        assert_eq!(whole.parse(), Ok(dependency));
    }
    assert!("db:ready".parse::<Dependency>().unwrap_err().contains("db:healthy"));
    assert!("".parse::<Dependency>().is_err() && ":started".parse::<Dependency>().is_err());
}

#[test]
fn circles_are_found_and_named() {
    let rows = [
        ("a, b, c", None),
        ("a: b, b: c, c", None),
        ("a: b c, b: d, c: d, d", None),
        ("a: a", Some("a")),
        ("a: b, b: a", Some("a b")),
        ("a: b, b: c, c: b", Some("b c")),
        ("a, x: y:started, y: z:completed a, z: x", Some("x y z")),
        ("a: gone", None),
    ];
    for (text, expected) in rows {
        let world = world(text);
        let found = circle(&needs(&world))
            .map(|circle| circle.iter().map(FleetName::as_str).collect::<Vec<_>>().join(" "));
        assert_eq!(found.as_deref(), expected, "{text}");
    }
}

#[test]
fn a_fleet_waits_for_each_condition() {
    let standing =
        |agents, started, ready, completed| FleetStanding { agents, started, ready, completed };
    let rows = [
        (standing(2, 1, 1, 0), [false, false, false]),
        (standing(2, 2, 1, 0), [true, false, false]),
        (standing(2, 2, 2, 0), [true, true, false]),
        (standing(2, 2, 0, 2), [true, false, true]),
        (standing(0, 0, 0, 0), [false, false, false]),
    ];
    for (standing, expected) in rows {
        let met = ["db:started", "db:healthy", "db:completed"]
            .map(|text| unmet(&[text.parse().unwrap()], |_| standing).is_none());
        assert_eq!(met, expected, "{standing:?}");
    }
    assert!(unmet(&[], |_| FleetStanding::default()).is_none());
}

#[test]
fn dependents_stop_first() {
    let world = world("db, api: db, web: api db, lone");
    let needs = needs(&world);
    let may = |fleet: &str, resting: &[&str]| {
        may_stop(&name(fleet), &needs, |other| resting.contains(&other.as_str()))
    };
    assert!(may("web", &[]) && may("lone", &[]));
    assert!(!may("api", &[]) && may("api", &["web"]));
    assert!(!may("db", &["web"]) && !may("db", &["api"]) && may("db", &["web", "api"]));
}

#[test]
fn who_is_restarted_with_whom() {
    use AgentState as S;
    let concerned = |strategy: Strategy| {
        (1..=4).filter(|n| strategy.concerns(2, *n, S::Idle)).collect::<Vec<u16>>()
    };
    assert_eq!(concerned(Strategy::OneForOne), [] as [u16; 0]);
    for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
        assert_eq!(strategy.takes_others(), !concerned(strategy).is_empty(), "{strategy:?}");
    }
    assert_eq!(concerned(Strategy::OneForAll), [1, 3, 4]);
    assert_eq!(concerned(Strategy::RestForOne), [3, 4]);
    for state in S::ALL {
        let lives = matches!(state, S::Starting | S::Idle | S::Busy);
        assert_eq!(Strategy::OneForAll.concerns(1, 2, state), lives, "{state}");
    }
}

proptest! {
    /// Without a circle everything starts and everything stops; with one, nothing on it would.
    #[test]
    fn all_start_and_all_stop_unless_there_is_a_circle(
        edges in prop::collection::vec((0_usize..7, 0_usize..7), 0..14),
    ) {
        let names: Vec<FleetName> = (0..7).map(|n| name(&format!("f{n}x"))).collect();
        let world: Vec<(FleetName, Vec<Dependency>)> = names.iter().enumerate().map(|(at, fleet)| {
            let of = edges.iter().filter(|(from, _)| *from == at);
            let need = |(_, to): &(usize, usize)| Dependency {
                fleet: names[*to].clone(),
                condition: Condition::Healthy,
            };
            (fleet.clone(), of.map(need).collect())
        }).collect();
        let needs = needs(&world);
        let circle = circle(&needs);
        let mut up: BTreeSet<FleetName> = BTreeSet::new();
        for _ in &names {
            let standing = |fleet: &FleetName| {
                let ready = u16::from(up.contains(fleet));
                FleetStanding { agents: 1, started: ready, ready, completed: 0 }
            };
            let next: Vec<_> = needs
                .iter()
                .filter(|(_, needs)| unmet(needs, standing).is_none())
                .map(|(fleet, _)| (*fleet).clone())
                .collect();
            up.extend(next);
        }
        prop_assert_eq!(circle.is_none(), up.len() == names.len());
        if let Some(circle) = circle {
            prop_assert!(circle.iter().all(|fleet| !up.contains(fleet)));
            for (at, fleet) in circle.iter().enumerate() {
                let next = &circle[(at + 1) % circle.len()];
                prop_assert!(needs[fleet].iter().any(|need| need.fleet == *next));
            }
            return Ok(());
        }
        let mut resting: BTreeSet<FleetName> = BTreeSet::new();
        for _ in &names {
            let next: Vec<_> = names
                .iter()
                .filter(|fleet| may_stop(fleet, &needs, |other| resting.contains(other)))
                .cloned()
                .collect();
            resting.extend(next);
        }
        prop_assert_eq!(resting.len(), names.len());
    }
}
