//! What is submitted of plans, and how what is left of them goes on.

use std::{collections::BTreeSet, path::Path};

use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::{
    domain::{
        PlanRunId, TaskId,
        fleet::Protocol,
        plan::{Graph, Owner, Plan, run::NewRun},
        record::FleetRecord,
    },
    plan::{
        analyze::{Analysis, Options, analyze},
        read,
        solve::Budget,
    },
};

fn plan(text: &str) -> Plan {
    read::parse(text, read::Format::Yaml, Path::new("plan.yaml")).unwrap()
}

fn seed() -> Plan {
    let text = include_str!("../../../examples/plans/seed.toml");
    read::parse(text, read::Format::Toml, Path::new("seed.toml")).unwrap()
}

fn analysis(plan: &Plan, agents: u32) -> Analysis {
    let elapsed = || std::time::Duration::ZERO;
    let time = std::time::Duration::from_secs(1);
    let budget = Budget { schedules: 500, nodes: 20_000, time, elapsed: &elapsed };
    let options =
        Options { agents: Some(agents), phased: false, split: false, seed: 1, draws: 0, budget };
    analyze(plan, &options)
}

fn fleet(name: &str, queues: &[&str], command: &[&str]) -> FleetRecord {
    FleetRecord {
        name: name.parse().unwrap(),
        protocol: Protocol::Worker,
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        queues: queues.iter().map(|queue| queue.parse().unwrap()).collect(),
        count: 1,
        configured: 1,
        scale: None,
        outdated: 0,
        states: [].into(),
        ready: 0,
    }
}

fn asked() -> Asked {
    Asked {
        id: PlanRunId::from_uuid(Uuid::from_u128(7)),
        queue: None,
        hour_ms: None,
        phased: false,
        idempotency_key: None,
        git: None,
    }
}

fn compiled(plan: &Plan, asked: &Asked, fleets: &[FleetRecord]) -> Result<NewRun, Vec<Flaw>> {
    let plan = carried_out(&plan.with_splits(&[]), asked.phased, asked.git.is_some());
    let mut last = 0;
    let crew = Crew { fleets, max_attempts: &|_| 3 };
    compile(&analysis(&plan, 3), asked, &crew, || {
        last += 1;
        TaskId::from_uuid(Uuid::from_u128(last))
    })
}

#[test]
fn the_seeds_plan_becomes_tasks_with_locks_and_an_order() {
    let run = compiled(&seed(), &asked(), &[]).unwrap();
    assert_eq!((run.tasks.len(), run.figures.makespan_ms), (9, 8 * 3_600_000));
    assert!(run.figures.is_proven() && !run.rehearsal);
    let of = |name: &str| run.tasks.iter().find(|task| task.name.as_str() == name).unwrap();
    let heartbeat = of("agent-heartbeat");
    let needs = &heartbeat.task.terms.needs;
    let paths: Vec<_> = needs.paths().iter().map(|path| path.glob.as_str()).collect();
    assert_eq!(paths, ["client/heartbeat.py", "control_agent.py"]);
    assert_eq!(needs.keys()[0].as_str(), "plan:run_00000000000000000000000000000007");
    let worker = of("task-queue-worker");
    let names: Vec<_> =
        worker.task.terms.graph.depends_on.iter().map(|on| on.name.as_str()).collect();
    assert_eq!(names, ["control-agent-implementation"]);
    assert_eq!(worker.task.terms.group.as_ref().unwrap().as_str(), run.id.to_string());
    assert_eq!(worker.task.kind, "task-queue-worker");
    // Who starts earlier goes first, and of those that start together the longest chain.
    for one in &run.tasks {
        for other in &run.tasks {
            if one.planned.start < other.planned.start {
                assert!(one.task.priority > other.task.priority, "{} {}", one.name, other.name);
            }
        }
    }
    let first = run.tasks.iter().max_by_key(|task| task.task.priority).unwrap();
    assert_eq!(first.name.as_str(), "agent-registry-configuration");
    assert_eq!(read::parse(&run.plan, read::Format::Toml, Path::new("x")).unwrap().tasks.len(), 9);
}

#[test]
fn phases_become_dependencies_of_what_begins_on_what_ends() {
    let run = compiled(&seed(), &Asked { phased: true, ..asked() }, &[]).unwrap();
    // Not the 13 of the document: without workspaces, three of phase 4 write the same files.
    assert_eq!(run.figures.makespan_ms, 15 * 3_600_000);
    let on = |name: &str| -> BTreeSet<String> {
        let task = run.tasks.iter().find(|task| task.name.as_str() == name).unwrap();
        task.task.terms.graph.depends_on.iter().map(|on| on.name.clone()).collect()
    };
    let phase_2 = ["llm-api-guide", "session-cli-tool", "webhook-examples"].map(str::to_owned);
    assert_eq!(on("agent-registry-configuration"), BTreeSet::from(phase_2));
    assert_eq!(on("listen-notify"), BTreeSet::from(["task-queue-worker".to_owned()]));
}

#[test]
fn a_rehearsal_sleeps_and_only_with_mock_agents() {
    let plan = plan(
        "version: 1\ntasks:\n  - {id: a, duration: 2h, input: {prompt: x}}\n  \
         - {id: b, duration: 1h, input: {mock: {sleep: 9s, fail: no}}}\n  \
         - {id: c, duration: 1h, input: words}\n  - {id: d, duration: 1h, owner: human}\n",
    );
    let quick = Asked { hour_ms: Some(1_000), ..asked() };
    let mock = fleet("mock", &["default"], &["hostler", "mock-agent"]);
    let run = compiled(&plan, &quick, std::slice::from_ref(&mock)).unwrap();
    let inputs: Vec<_> = run.tasks.iter().map(|task| task.task.input.clone()).collect();
    assert_eq!(inputs[0], json!({"prompt": "x", "mock": {"sleep": "2s"}}));
    assert_eq!(inputs[1], json!({"mock": {"sleep": "9s", "fail": "no"}}));
    assert_eq!(inputs[2], json!({"input": "words", "mock": {"sleep": "1s"}}));
    assert_eq!((&inputs[3], run.tasks[3].task.queue.as_str()), (&json!(null), "plan.people"));
    let real = fleet("claude", &["default"], &["claude"]);
    for fleets in [vec![], vec![real.clone()], vec![mock, real]] {
        let flaws = compiled(&plan, &quick, &fleets).unwrap_err();
        assert_eq!(flaws.len(), 3, "{flaws:?}");
    }
}

#[test]
fn a_task_goes_to_the_agents_that_may_take_it() {
    let fleets = [
        fleet("claude", &["default", "claude"], &["claude"]),
        fleet("codex", &["default", "codex"], &["codex"]),
    ];
    let agents = "agents:\n  - {fleet: claude, count: 2, capabilities: [code, write]}\n  \
        - {fleet: codex, capabilities: [code]}\n";
    let with = |agents: &str, task: &str| {
        plan(&format!("version: 1\n{agents}tasks:\n  - {{id: a, duration: 1h{task}}}\n"))
    };
    let queue = |plan: &Plan, asked: &Asked| {
        compiled(plan, asked, &fleets).map(|run| run.tasks[0].task.queue.to_string())
    };
    let rows = [
        (with("", ""), "default"),
        (with("", ", queue: gpu"), "gpu"),
        (with(agents, ", fleet: codex"), "codex"),
        (with(agents, ", capability: write"), "claude"),
        (with("agents:\n  - {count: 2, queues: [x, y]}\n  - {queues: [z, y]}\n", ""), "y"),
    ];
    for (plan, wanted) in rows {
        assert_eq!(queue(&plan, &asked()), Ok(wanted.to_owned()));
        let all = Asked { queue: Some("all".parse().unwrap()), ..asked() };
        assert_eq!(queue(&plan, &all), Ok("all".to_owned()));
    }
    // No queue is common to both: the schedule decides.
    let either = queue(&with(agents, ", capability: code"), &asked()).unwrap();
    assert!(["claude", "codex"].contains(&&*either), "{either}");
    let nobody = "agents:\n  - {fleet: nobody}\n";
    let flaws = queue(&with(nobody, ", fleet: nobody"), &asked()).unwrap_err();
    assert!(flaws[0].what.contains("this host has not"), "{flaws:?}");
}

#[test]
fn an_approval_is_a_task_of_its_own() {
    let plan = plan(
        "version: 1\ntasks:\n  - {id: a, duration: 1h}\n  \
         - {id: b, duration: 1h, depends_on: a, approval: true, stale_after: 20m}\n",
    );
    let run = compiled(&plan, &asked(), &[]).unwrap();
    let silences: Vec<_> = run.tasks.iter().map(|task| task.task.terms.stale_after).collect();
    assert_eq!(silences, [None, Some(std::time::Duration::from_secs(1200))]);
    let gate = run.tasks[1].gate.as_ref().unwrap();
    let on = |task: &crate::domain::task::NewTask| -> Vec<TaskId> {
        task.terms.graph.depends_on.iter().map(|on| on.task).collect()
    };
    assert_eq!(on(gate), [run.tasks[0].task.id]);
    assert_eq!(on(&run.tasks[1].task), [run.tasks[0].task.id, gate.id]);
    assert_eq!(gate.queue.as_str(), "plan.people");
    assert!(run.tasks[0].gate.is_none() && gate.terms.group.is_none());
}

#[test]
fn a_task_with_a_condition_waits_where_no_agent_is() {
    let with = |condition: &str| {
        plan(&format!(
            "version: 1\ntasks:\n  - {{id: a, duration: 1h}}\n  - {{id: z, duration: 1h}}\n  \
             - {{id: b, duration: 1h, depends_on: [a, z], condition: \"{condition}\"}}\n"
        ))
    };
    let run = compiled(&with("deps.a.output.ok"), &asked(), &[]).unwrap();
    let task = &run.tasks[2];
    assert_eq!((task.task.queue.as_str(), task.queue.as_str()), ("plan.people", "default"));
    let used: Vec<bool> = task.task.terms.graph.depends_on.iter().map(|on| on.used).collect();
    assert_eq!(used, [true, false]);
    let flaws = compiled(&with("deps.nobody.output"), &asked(), &[]).unwrap_err();
    assert!(flaws[0].what.starts_with("condition: "), "{flaws:?}");
}

#[test]
fn priorities_fall_and_are_apart() {
    for count in [1, 2, 9, 1_001, 20_000] {
        let all = priorities(count);
        assert_eq!(all.len(), count);
        assert!(all.windows(2).all(|pair| pair[0] > pair[1]), "{count}");
    }
    assert_eq!(priorities(3), [500, 0, -500]);
}

/// A plan of up to twelve tasks, how many agents it has, how many of its tasks have ended, and how
/// long what runs has been running.
fn situations() -> impl Strategy<Value = (Plan, u32, usize, u64)> {
    let task =
        (1..9_u64, prop::collection::vec(any::<prop::sample::Index>(), 0..3), 0..5_u8, 0..8_u8);
    (prop::collection::vec(task, 1..12), 1..4_u32, 0..12_usize, 0..12_u64).prop_map(
        |(tasks, agents, ended, since)| {
            let mut text = "version: 1\ntasks:\n".to_owned();
            for (at, (hours, on, file, owner)) in tasks.iter().enumerate() {
                let on: BTreeSet<String> = on
                    .iter()
                    .filter(|_| at > 0)
                    .map(|index| format!("t{}", index.index(at)))
                    .collect();
                let on: Vec<_> = on.into_iter().collect();
                let files = if *file < 2 { format!(", files: [f{file}]") } else { String::new() };
                let owner = if *owner == 0 { ", owner: human" } else { "" };
                text.push_str(&format!(
                    "  - {{id: t{at}, duration: {hours}h, depends_on: [{}]{files}{owner}}}\n",
                    on.join(", ")
                ));
            }
            (plan(&text), agents, ended, since)
        },
    )
}

/// How tasks stand after the first `ended` have ended and agents took what they could.
fn stands(plan: &Plan, agents: u32, ended: usize, since: u64) -> Vec<Stand> {
    let graph = Graph::of_plan(plan);
    let mut stands: Vec<Stand> = (0..plan.tasks.len())
        .map(|at| if at < ended { Stand::Ended } else { Stand::Waiting })
        .collect();
    let mut running: Vec<usize> = Vec::new();
    for at in 0..plan.tasks.len() {
        let is_ready = graph.before[at].iter().all(|on| stands[*on] == Stand::Ended);
        let files = |at: usize| plan.tasks[at].files.first().map(|file| file.glob.clone());
        let is_free = running.iter().all(|other| files(at).is_none() || files(*other) != files(at));
        let has_agent = running.len() < agents as usize && plan.tasks[at].owner == Owner::Agent;
        if stands[at] == Stand::Waiting && is_ready && is_free && has_agent {
            running.push(at);
        }
    }
    for at in running {
        stands[at] = Stand::Running { since: since * 3_600_000 };
    }
    stands
}

proptest! {
    #[test]
    fn what_is_left_is_within_its_bounds_and_gets_no_worse(
        (plan, agents, ended, since) in situations(),
        shuffle in any::<u64>(),
    ) {
        let stands = stands(&plan, agents, ended, since);
        let mut chance = fastrand::Rng::with_seed(shuffle);
        let mut priority: Vec<i16> = (0..plan.tasks.len() as i16).collect();
        chance.shuffle(&mut priority);
        let left = replan(&plan, agents, &stands, &priority);

        let rest = |at: usize| {
            let whole = plan.tasks[at].estimate.expected();
            match stands[at] {
                Stand::Ended => 0,
                Stand::Running { since } => whole.saturating_sub(since),
                Stand::Waiting => whole,
            }
        };
        let durations: Vec<u64> = (0..plan.tasks.len()).map(rest).collect();
        let chain = Graph::of_plan(&plan).times(&durations).length;
        let by_agents: u64 = (0..plan.tasks.len())
            .filter(|at| plan.tasks[*at].owner == Owner::Agent)
            .map(rest)
            .sum();
        let sum: u64 = durations.iter().sum();
        prop_assert!(left.time >= chain && left.time <= sum, "{} {chain} {sum}", left.time);
        prop_assert!(left.time * u64::from(agents) >= by_agents);

        if let Some(order) = left.order {
            let waiting: BTreeSet<usize> =
                (0..plan.tasks.len()).filter(|at| stands[*at] == Stand::Waiting).collect();
            prop_assert_eq!(order.iter().copied().collect::<BTreeSet<_>>(), waiting);
            prop_assert_eq!(order.len(), order.iter().collect::<BTreeSet<_>>().len());
            let place = |at: &usize| order.iter().position(|it| it == at);
            for (at, before) in Graph::of_plan(&plan).before.iter().enumerate() {
                for on in before {
                    prop_assert!(place(on).is_none() || place(on) < place(&at), "{on} {at}");
                }
            }
            // What was gained is there when it is looked at again, and nothing is left to gain.
            for (at, new) in order.iter().zip(priorities(order.len())) {
                priority[*at] = new;
            }
            let again = replan(&plan, agents, &stands, &priority);
            prop_assert_eq!((again.time, again.order), (left.time, None));
        }
    }
}

#[test]
fn what_was_second_goes_first_once_it_is_urgent() {
    let plan = plan(
        "version: 1\ntasks:\n  - {id: long, duration: 12h}\n  - {id: a, duration: 1h}\n  \
         - {id: b, duration: 1h}\n  - {id: c, duration: 9h, depends_on: b}\n",
    );
    let hours = |hours: u64| hours * 3_600_000;
    let at = |since| {
        let running = Stand::Running { since: hours(since) };
        replan(&plan, 2, &[running, Stand::Waiting, Stand::Waiting, Stand::Waiting], &[9, 8, 7, 6])
    };
    // While the long one takes as long as all the rest, the order is as good as any.
    assert_eq!(at(0), Left { time: hours(12), order: None });
    // It is further than was thought: what has most behind it goes before what has nothing.
    let sooner = at(3);
    assert_eq!((sooner.time, sooner.order.map(|order| order[0])), (hours(10), Some(2)));
    let over = replan(&plan, 2, &[Stand::Ended; 4], &[0; 4]);
    assert_eq!(over, Left::default());
}

#[test]
fn what_agents_make_in_workspaces_is_merged_in_the_order_of_the_plan() {
    let text = "version: 1\nworkspace: {git: /shop}\ntasks:\n  - {id: long, duration: 5h}\n  \
        - {id: short, duration: 1h}\n  - {id: after, duration: 1h, depends_on: short}\n  \
        - {id: left, duration: 2h, merge: leave}\n  - {id: by, duration: 1h, owner: human, depends_on: long}\n";
    let run = compiled(&plan(text), &asked(), &[]).unwrap();
    let of = |name: &str| run.tasks.iter().find(|task| task.name.as_str() == name).unwrap();
    let rank = |name: &str| of(name).merge.as_ref().map(|merge| merge.rank);
    let ranks = ["short", "after", "long", "left", "by"].map(rank);
    assert_eq!(ranks, [Some(0), Some(1), Some(2), None, None]);
    // What depends on a task waits for its merge, and the merge for the task.
    let merge = &of("short").merge.as_ref().unwrap().task;
    let waits_for = |name: &str| -> Vec<TaskId> {
        of(name).task.terms.graph.depends_on.iter().map(|on| on.task).collect()
    };
    assert_eq!(waits_for("after"), [of("short").task.id, merge.id]);
    assert_eq!(waits_for("by"), [of("long").task.id, of("long").merge.as_ref().unwrap().task.id]);
    assert_eq!(merge.terms.graph.depends_on[0].task, of("short").task.id);
    assert_eq!(merge.queue.as_str(), "plan.merges");
    let spec = of("short").task.terms.workspace.as_ref().unwrap();
    assert_eq!((spec.turn, spec.branch.as_str()), (Some(merge.id), "hostler/short"));
    assert_eq!(spec.into.as_deref(), Some("plan/run_00000000000000000000000000000007"));
    assert_eq!(merge.terms.workspace.as_ref().unwrap().turn, None);
    assert_eq!(of("left").task.terms.workspace.as_ref().unwrap().turn, None);
    // What is waited for is older: so a retry finds it open again.
    for task in &run.tasks {
        for on in &task.task.terms.graph.depends_on {
            assert!(on.task < task.task.id, "{}", task.name);
        }
        assert!(task.merge.as_ref().is_none_or(|merge| merge.task.id > task.task.id));
    }
}
