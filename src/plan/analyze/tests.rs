//! The seed's own figures, the better schedule with its proof, and what holds for any plan.

use std::{path::Path, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{
    domain::plan::{Cause, Worker},
    plan::{
        read::{Format, parse},
        report::{Remedy, remedy, to_json},
    },
};

const SEED: &str = include_str!("../../../examples/plans/seed.toml");

fn options(agents: Option<u32>, phased: bool, split: bool) -> Options<'static> {
    let budget =
        Budget { schedules: 400, nodes: 20_000, time: Duration::MAX, elapsed: &|| Duration::ZERO };
    Options { agents, phased, split, seed: 1, draws: 200, budget }
}

fn seed(phased: bool, split: bool) -> Analysis {
    let plan = parse(SEED, Format::Toml, Path::new("seed.toml")).unwrap();
    analyze(&plan, &options(Some(3), phased, split))
}

const HOUR: Millis = 3_600_000;

#[test]
fn the_seed_says_what_it_says_under_its_own_assumptions() {
    let analysis = seed(true, false);
    let of = |figures: &Figures| {
        (figures.sequential / HOUR, figures.makespan / HOUR, figures.saved_percent().round() as u32)
    };
    let phases: Vec<_> = analysis.phases.iter().map(|phase| of(&phase.figures)).collect();
    assert_eq!(phases, [(5, 2, 60), (8, 8, 0), (7, 3, 57)]);
    assert_eq!(of(&analysis.figures), (20, 13, 35));
    assert!(analysis.figures.is_proven());
    assert_eq!(analysis.preparation, 3 * HOUR);
    assert!(analysis.figures.merges, "phase 4 at once needs workspaces");
}

#[test]
fn without_phases_the_seed_takes_what_its_chain_does_and_merges_nothing() {
    let analysis = seed(false, false);
    assert_eq!(analysis.figures.makespan, 8 * HOUR);
    assert_eq!(analysis.figures.bound, 8 * HOUR);
    assert!(analysis.figures.is_proven() && !analysis.figures.merges);
    assert_eq!(analysis.other.unwrap().makespan, 13 * HOUR);
    let path: Vec<_> =
        analysis.critical_path.iter().map(|at| analysis.plan.tasks[*at].id.as_str()).collect();
    assert_eq!(
        path,
        ["agent-registry-configuration", "control-agent-implementation", "task-queue-worker"]
    );
    assert!(analysis.conflicts.iter().all(|it| remedy(&analysis, it) == Remedy::Order));
    let listen_and_logging = analysis.conflicts.iter().any(|it| {
        let id = |at: usize| analysis.plan.tasks[at].id.as_str();
        (id(it.first), id(it.second)) == ("listen-notify", "structured-logging")
    });
    assert!(listen_and_logging, "the conflict that the document saw");
    assert_eq!(analysis.best_agents, 3);
}

#[test]
fn the_split_of_the_seed_saves_one_hour_of_its_phase_and_not_two() {
    let analysis = seed(true, false);
    let [split] = analysis.splits.as_slice() else { panic!("one split") };
    assert_eq!((split.chains.0 / HOUR, split.chains.1 / HOUR), (5, 4));
    assert_eq!((split.makespans.0 / HOUR, split.makespans.1 / HOUR), (13, 12));
    assert!(!split.taken);
    let with = seed(true, true);
    assert!(with.splits[0].taken);
    assert_eq!(with.figures.makespan, 12 * HOUR);
}

#[test]
fn the_json_has_the_fields_that_programs_rely_on() {
    let json = to_json(&seed(true, false));
    let figures = ["agents", "sequential_h", "makespan_h", "saved_percent", "lower_bound_h"];
    let found: Vec<f64> = figures.iter().map(|field| json[*field].as_f64().unwrap()).collect();
    assert_eq!(found, [3.0, 20.0, 13.0, 35.0, 13.0]);
    assert_eq!(json["proven_optimal"], true);
    assert_eq!(json["unphased"]["makespan_h"], 8.0);
    for field in ["critical_path", "conflicts", "schedule"] {
        assert!(!json[field].as_array().unwrap().is_empty(), "{field}");
    }
    assert_eq!(json["phases"][2]["saved_percent"], 57.1);
}

#[test]
fn a_task_of_a_capability_waits_for_the_one_agent_that_has_it() {
    let text = "version: 1\nagents:\n  - {count: 2}\n  - {count: 1, capabilities: gpu}\ntasks:\n  - {id: a, duration: 2h, capability: gpu}\n  - {id: b, duration: 2h, capability: gpu}\n  - {id: c, duration: 1h}\n  - {id: d, duration: 1h, owner: human}\n";
    let plan = parse(text, Format::Yaml, Path::new("p")).unwrap();
    let analysis = analyze(&plan, &options(None, false, false));
    assert_eq!((analysis.agents, analysis.figures.makespan), (3, 4 * HOUR));
    let worker = |id: &str| {
        let slot =
            analysis.schedule.slots.iter().find(|slot| plan.tasks[slot.task].id.as_str() == id);
        slot.unwrap().worker
    };
    assert_eq!((worker("a"), worker("b")), (Worker::Agent(3), Worker::Agent(3)));
    assert_eq!(worker("d"), Worker::Person(1));
    let second = analysis.waits[3].unwrap();
    assert_eq!(second.cause, Cause::Worker);
}

#[test]
fn three_figures_make_a_spread_and_the_seed_of_chance_makes_it_the_same() {
    let text = "version: 1\ntasks:\n  - {id: a, duration: {optimistic: 1h, likely: 2h, pessimistic: 6h}}\n  - {id: b, duration: 2h}\n";
    let plan = parse(text, Format::Yaml, Path::new("p")).unwrap();
    let risk = || analyze(&plan, &options(Some(2), false, false)).risk.unwrap();
    let one = risk();
    assert_eq!(one, risk());
    assert!(one.p50 <= one.p80 && one.p80 <= one.p95 && one.p95 <= 6 * HOUR && one.p50 >= 2 * HOUR);
}

/// Any plan: tasks with files, people, capabilities and phases.
fn plans() -> impl Strategy<Value = String> {
    let files = prop_oneof![Just("a"), Just("b/**"), Just("b/c"), Just("*")];
    let task = (
        0_u32..5,
        proptest::collection::vec(any::<prop::sample::Index>(), 0..=2),
        proptest::collection::vec((files, any::<bool>()), 0..=2),
        0_u8..6,
        any::<bool>(),
    );
    (proptest::collection::vec(task, 1..14), 1_u32..4).prop_map(|(tasks, count)| {
        let mut text = format!(
            "version: 1\nagents:\n  - {{count: {count}}}\n  - {{count: 1, capabilities: [x]}}\ntasks:\n"
        );
        for (at, (hours, earlier, files, kind, apart)) in tasks.iter().enumerate() {
            let kind = match kind {
                0 => ", owner: human",
                1 => ", capability: x",
                _ => "",
            };
            let depends: Vec<String> = match at {
                0 => Vec::new(),
                _ => earlier.iter().map(|it| format!("t{}", it.index(at))).collect(),
            };
            let files: Vec<String> = files
                .iter()
                .map(|(glob, write)| format!("{{glob: \"{glob}\", write: {write}}}"))
                .collect();
            let branch = if *apart { ", branch: own" } else { "" };
            text.push_str(&format!(
                "  - {{id: t{at}, duration: {hours}h, depends_on: [{}], files: [{}], phase: p{}{kind}{branch}}}\n",
                depends.join(", "),
                files.join(", "),
                at / 5,
            ));
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_schedule_keeps_dependencies_locks_capabilities_and_numbers(
        text in plans(), agents in 1_u32..4, phased: bool,
    ) {
        let plan = parse(&text, Format::Yaml, Path::new("p")).unwrap();
        let mut options = options(Some(agents), phased, false);
        options.budget.schedules = 20;
        options.budget.nodes = 300;
        let analysis = analyze(&plan, &options);
        let locked = |one: usize, other: usize| analysis.conflicts.iter().any(|it| {
            (it.first, it.second) == (one.min(other), one.max(other)) && !it.apart
        });
        let schedule = &analysis.schedule;
        prop_assert_eq!(schedule.slots.len(), plan.tasks.len());
        prop_assert_eq!(schedule.breach(&Graph::of(&plan.tasks), locked), None);
        let figures = analysis.figures;
        prop_assert!(figures.bound <= figures.makespan && figures.makespan <= figures.sequential);
        prop_assert_eq!(schedule.makespan, figures.makespan);
        let pools: u32 = plan.pools[0].count;
        for slot in &schedule.slots {
            let task = &plan.tasks[slot.task];
            match slot.worker {
                Worker::Person(_) => prop_assert_eq!(task.owner, Owner::Human),
                Worker::Agent(number) => {
                    prop_assert_eq!(task.owner, Owner::Agent);
                    let able = task.needs.met_by(&plan.pools[usize::from(number > pools)]);
                    prop_assert!(able, "agent {} for {}", number, task.id);
                }
            }
            let at_once = schedule.slots.iter().filter(|other| {
                matches!(other.worker, Worker::Agent(_))
                    && other.start <= slot.start && slot.start < other.finish
            });
            prop_assert!(at_once.count() <= analysis.agents as usize);
        }
    }
}
