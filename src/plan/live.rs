//! A plan for the fleets that a host has now, in the place of the agents that it names itself.

use crate::{
    domain::{
        PlanTaskId, QueueName,
        plan::{Needs, Owner, Plan, PlanTask, Pool},
        record::FleetRecord,
    },
    settings::suggest,
};

/// A task that no live fleet may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// Which.
    pub task: PlanTaskId,
    /// Why, in words.
    pub what: String,
}

/// `plan` with the live `fleets` as its agents, and with each task bound to the queue that
/// [`run`](super::run) would put it into: `queue` for all, if it is said.
///
/// A fleet can do what the plan says of its agents. Where the plan says nothing of agents, all fleets count,
/// and tasks for anyone go to the queue `default`; else those count that it names: by their queues, by themselves,
/// or, by neither, those of that queue.
///
/// # Errors
///
/// Each task for which no agent is there.
pub fn with_fleets(
    mut plan: Plan,
    fleets: &[FleetRecord],
    queue: Option<&QueueName>,
) -> Result<Plan, Vec<Unmet>> {
    let planned = std::mem::take(&mut plan.pools);
    let default = QueueName::default();
    let is_meant = |fleet: &FleetRecord, pool: &Pool| match (&pool.fleet, pool.queues.as_slice()) {
        (Some(name), []) => *name == fleet.name,
        (None, []) => fleet.queues.contains(&default),
        (_, queues) => queues.iter().any(|queue| fleet.queues.contains(queue)),
    };
    for fleet in fleets.iter().filter(|fleet| fleet.count > 0 && !fleet.queues.is_empty()) {
        let of_plan: Vec<&Pool> = planned.iter().filter(|pool| is_meant(fleet, pool)).collect();
        if of_plan.is_empty() && !planned.is_empty() && queue.is_none() {
            continue;
        }
        let mut capabilities: Vec<_> =
            of_plan.iter().flat_map(|pool| pool.capabilities.clone()).collect();
        capabilities.sort();
        capabilities.dedup();
        plan.pools.push(Pool {
            fleet: Some(fleet.name.clone()),
            count: fleet.count.into(),
            queues: fleet.queues.clone(),
            capabilities,
        });
    }
    for task in &mut plan.tasks {
        match (queue, &task.needs) {
            (Some(queue), _) => task.needs = Needs::Queue(queue.clone()),
            (None, Needs::Anyone) if planned.is_empty() => {
                task.needs = Needs::Queue(default.clone());
            }
            _ => {}
        }
    }
    let unmet = unmet(&plan, fleets);
    if unmet.is_empty() { Ok(plan) } else { Err(unmet) }
}

/// The tasks that nobody can take.
fn unmet(plan: &Plan, fleets: &[FleetRecord]) -> Vec<Unmet> {
    let agents = plan.tasks.iter().filter(|task| task.owner == Owner::Agent);
    let without = agents.filter(|task| !plan.has_agent_for(task));
    let of = |task: &PlanTask| {
        let what = match &task.needs {
            Needs::Anyone => "is for any agent of the plan, and no fleet has one now: without `fleet` and `queues` \
                they are those of the queue `default`".to_owned(),
            Needs::Fleet(name) => {
                let known = fleets.iter().map(|fleet| fleet.name.as_str());
                let close = suggest::closest(name.as_str(), known);
                let hint = close.filter(|close| *close != name.as_str());
                let hint = hint.map_or_else(String::new, |it| format!("; did you mean `{it}`?"));
                format!("is for fleet `{name}`, which has no agents now{hint}")
            }
            Needs::Queue(queue) => format!("is for queue `{queue}`, which no fleet serves now"),
            Needs::Capability(one) => format!(
                "needs the capability `{one}`, which the plan's `agents` give to no fleet that is there now"
            ),
        };
        Unmet { task: task.id.clone(), what }
    };
    without.map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::plan::read::{Format, parse};

    fn fleet(name: &str, count: u16, queues: &[&str]) -> FleetRecord {
        let queues = queues.iter().map(|queue| queue.parse().unwrap()).collect();
        FleetRecord {
            name: name.parse().unwrap(),
            protocol: crate::domain::fleet::Protocol::Worker,
            command: vec!["it".to_owned()],
            queues,
            count,
            configured: count,
            scale: None,
            outdated: 0,
            states: std::collections::BTreeMap::new(),
            ready: count,
        }
    }

    fn plan(text: &str) -> Plan {
        let text = format!("version = 1\n{text}");
        parse(&text, Format::Toml, Path::new("it.toml")).unwrap_or_else(|it| panic!("{it}"))
    }

    fn seen(plan: &Plan) -> Vec<(String, u32)> {
        let name = |pool: &Pool| pool.fleet.as_ref().unwrap().to_string();
        plan.pools.iter().map(|pool| (name(pool), pool.count)).collect()
    }

    #[test]
    fn what_a_plan_does_not_say_is_what_the_host_has() {
        let fleets =
            [fleet("a", 2, &["default"]), fleet("b", 0, &["default"]), fleet("c", 3, &["slow"])];
        let made = plan("[[tasks]]\nid = \"x\"\nduration = \"1h\"\n");
        let made = with_fleets(made, &fleets, None).unwrap();
        assert_eq!(seen(&made), [("a".to_owned(), 2), ("c".to_owned(), 3)]);
        assert_eq!(made.tasks[0].needs, Needs::Queue("default".parse().unwrap()));
    }

    #[test]
    fn a_plan_gives_its_capabilities_to_the_fleets_that_it_names() {
        let text = "[[agents]]\nfleet = \"a\"\ncount = 9\ncapabilities = [\"code\"]\n\
            [[agents]]\nqueues = [\"slow\"]\ncount = 1\ncapabilities = [\"wait\"]\n\
            [[tasks]]\nid = \"x\"\nduration = \"1h\"\ncapability = \"code\"\n\
            [[tasks]]\nid = \"y\"\nduration = \"1h\"\n";
        let fleets = [fleet("a", 2, &["q"]), fleet("c", 3, &["slow"]), fleet("d", 4, &["other"])];
        let made = with_fleets(plan(text), &fleets, None).unwrap();
        assert_eq!(seen(&made), [("a".to_owned(), 2), ("c".to_owned(), 3)]);
        assert_eq!(made.pools[0].capabilities, ["code".parse().unwrap()]);
        assert_eq!(made.tasks[1].needs, Needs::Anyone);
        let any = "[[agents]]\ncount = 9\n[[tasks]]\nid = \"y\"\nduration = \"1h\"\n";
        let mixed = [fleet("a", 2, &["q"]), fleet("c", 3, &["default"])];
        assert_eq!(seen(&with_fleets(plan(any), &mixed, None).unwrap()), [("c".to_owned(), 3)]);
        assert!(
            with_fleets(plan(any), &mixed[..1], None).unwrap_err()[0].what.contains("`default`")
        );
        let gone = with_fleets(plan(text), &fleets[1..], None).unwrap_err();
        assert_eq!(gone.len(), 1);
        assert!(gone[0].task.as_str() == "x" && gone[0].what.contains("`code`"), "{gone:?}");
    }

    #[test]
    fn one_queue_for_all_is_served_by_whoever_serves_it() {
        let text = "[[agents]]\nfleet = \"a\"\n[[tasks]]\nid = \"x\"\nduration = \"1h\"\nfleet = \"a\"\n\
            [[tasks]]\nid = \"p\"\nduration = \"1h\"\nowner = \"human\"\n";
        let fleets = [fleet("b", 5, &["mocks"])];
        let queue: QueueName = "mocks".parse().unwrap();
        assert_eq!(seen(&with_fleets(plan(text), &fleets, Some(&queue)).unwrap())[0].1, 5);
        let close = with_fleets(plan(text), &[fleet("aa", 5, &["q"])], None).unwrap_err();
        assert!(close[0].what.contains("did you mean `aa`?"), "{close:?}");
        let none: QueueName = "none".parse().unwrap();
        let unmet = with_fleets(plan(text), &fleets, Some(&none)).unwrap_err();
        assert_eq!(unmet.len(), 1, "a person's task needs no agent: {unmet:?}");
    }
}
