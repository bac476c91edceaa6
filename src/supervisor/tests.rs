//! Against fake processes.

use std::collections::BTreeMap;

use actix::prelude::*;

use super::{actor::SupervisorActor, *};
use crate::{
    agent::tests::{Fake, World, fleet, world},
    domain::{
        AgentName,
        agent::AgentState,
        fleet::{Fleet, Protocol},
        restart,
        rollout::Share,
        task::{FailureClass, Outcome},
    },
    process::Exit,
    queue::FromAgent,
};

fn supervise(protocol: Protocol, count: u16) -> (SupervisorHandle, World) {
    let world = world();
    let log = world.around.log.clone();
    let fleet = Fleet { count, ..fleet(protocol) };
    let handle = start(log, vec![fleet], world.around.clone());
    (handle, world)
}

fn start(
    log: slog::Logger,
    fleets: Vec<Fleet>,
    around: crate::agent::Surroundings,
) -> SupervisorHandle {
    let file = around.log_dir.join("scales.json");
    SupervisorHandle::start(
        log,
        (fleets, Scales::default(), file),
        around,
        BTreeMap::new(),
        (Guard::none(), tokio::sync::mpsc::channel(64).0),
    )
}

async fn until(supervisor: &SupervisorHandle, state: AgentState) {
    while !supervisor.agents().await.unwrap().iter().all(|agent| agent.state == state) {
        tokio::task::yield_now().await;
    }
}

#[actix::test]
async fn an_agent_actor_that_panics_is_rebuilt_after_its_process_is_gone() {
    let (supervisor, mut world) = supervise(Protocol::Service, 1);
    let first = world.started.recv().await.unwrap();
    until(&supervisor, AgentState::Idle).await;
    supervisor.address().send(ExplodeAgent("f-1".parse().unwrap())).await.unwrap();
    let (killed, _) = world.told.recv().await.unwrap();
    assert_eq!(killed, first.id);
    first.end(Exit::Signal(9));
    loop {
        if let FromAgent::Gone { outcome, .. } = world.queue.recv().await.unwrap() {
            assert!(matches!(outcome, Outcome::Failed { class: FailureClass::Internal, .. }));
            break;
        }
    }
    let second = world.started.recv().await.unwrap();
    assert_ne!(second.id, killed);
    until(&supervisor, AgentState::Idle).await;
    let agent = supervisor.agent("f-1".parse().unwrap()).await.unwrap();
    assert_eq!(agent.generation.0, 2, "generations are counted on");
}

/// A supervisor whose agent has no actor: one panic is one too many for it.
async fn without_actor() -> (SupervisorHandle, World, AgentName) {
    let mut world = world();
    let restart = restart::Policy { max_restarts: 0, ..fleet(Protocol::Service).restart };
    let fleets = vec![Fleet { count: 1, restart, ..fleet(Protocol::Service) }];
    let supervisor = start(world.around.log.clone(), fleets, world.around.clone());
    let first = world.started.recv().await.unwrap();
    until(&supervisor, AgentState::Idle).await;
    let agent: AgentName = "f-1".parse().unwrap();
    supervisor.address().send(ExplodeAgent(agent.clone())).await.unwrap();
    world.told.recv().await.unwrap();
    first.end(Exit::Signal(9));
    until(&supervisor, AgentState::Quarantined).await;
    (supervisor, world, agent)
}

#[actix::test]
async fn an_operator_has_an_agent_without_actor_do_what_he_says_and_nothing_else() {
    let rows = [
        (Command::Stop, AgentState::Stopped),
        (Command::Drain, AgentState::Stopped),
        (Command::Pause, AgentState::Paused),
        (Command::Start, AgentState::Starting),
        (Command::Restart, AgentState::Starting),
        (Command::Release, AgentState::Starting),
    ];
    for (command, state) in rows {
        let (supervisor, mut world, agent) = without_actor().await;
        let told = supervisor.command(agent.clone(), command).await.unwrap();
        assert_eq!(told.state, state, "{command:?}");
        if state == AgentState::Starting {
            world.started.recv().await.unwrap();
            until(&supervisor, AgentState::Idle).await;
        } else {
            // What it was told comes after whatever the new actor was told before it.
            until(&supervisor, state).await;
            assert!(world.started.try_recv().is_err(), "{command:?} starts nothing");
            supervisor.command(agent, Command::Start).await.unwrap();
            world.started.recv().await.unwrap();
        }
    }
}

#[actix::test]
async fn an_agent_without_actor_does_not_hold_up_a_stop() {
    let (supervisor, mut world, agent) = without_actor().await;
    supervisor.drain(std::time::Duration::from_secs(60)).await;
    assert_eq!(supervisor.agent(agent.clone()).await.unwrap().state, AgentState::Stopped);
    let error = supervisor.command(agent, Command::Start).await.unwrap_err();
    assert!(matches!(error, SupervisorError::Unreachable { .. }), "{error}");
    assert!(world.started.try_recv().is_err());
}

#[actix::test]
async fn a_drain_ends_when_every_process_is_gone() {
    let (supervisor, mut world) = supervise(Protocol::Service, 3);
    let mut fakes = Vec::new();
    for _ in 0..3 {
        fakes.push(world.started.recv().await.unwrap());
    }
    until(&supervisor, AgentState::Idle).await;
    let grace = std::time::Duration::from_secs(60);
    let mut drained = Box::pin(supervisor.drain(grace));
    assert!(futures_util::poll!(&mut drained).is_pending());
    for fake in fakes {
        world.told.recv().await.unwrap();
        assert!(futures_util::poll!(&mut drained).is_pending(), "one still lives");
        fake.end(Exit::Signal(15));
    }
    drained.await;
    until(&supervisor, AgentState::Stopped).await;
}

#[actix::test]
async fn an_operator_hears_why_a_command_makes_no_sense() {
    let (supervisor, mut world) = supervise(Protocol::Service, 1);
    let _fake = world.started.recv().await.unwrap();
    until(&supervisor, AgentState::Idle).await;
    let error = supervisor.command("f-1".parse().unwrap(), Command::Start).await.unwrap_err();
    assert_eq!(error.to_string(), "agent f-1 is idle: `start` makes no sense now");
    let error = supervisor.command("f-9".parse().unwrap(), Command::Start).await.unwrap_err();
    assert!(error.to_string().contains("there is no agent `f-9`"));
}

/// Has the actor of one agent panic.
#[derive(Message)]
#[rtype(result = "()")]
struct ExplodeAgent(AgentName);

impl Handler<ExplodeAgent> for SupervisorActor {
    type Result = ();

    fn handle(&mut self, ExplodeAgent(agent): ExplodeAgent, _: &mut Self::Context) {
        self.handle_of(&agent).expect("it is there").explode();
    }
}

/// The next process that is asked to leave ends, out of `fakes`.
async fn let_one_go(world: &mut World, fakes: &mut Vec<Fake>) {
    let (id, _) = world.told.recv().await.unwrap();
    let at = fakes.iter().position(|fake| fake.id == id).expect("one of them");
    fakes.remove(at).end(Exit::Signal(15));
}

fn generations(agents: &[crate::domain::record::AgentRecord]) -> Vec<(String, u64)> {
    agents.iter().map(|agent| (agent.name.to_string(), agent.generation.0)).collect()
}

#[actix::test]
async fn a_changed_fleet_is_replaced_one_by_one_and_another_is_not_touched() {
    let mut world = world();
    let old = Fleet { count: 2, max_unavailable: Share::Count(1), ..fleet(Protocol::Service) };
    let other = Fleet { name: "g".parse().unwrap(), ..fleet(Protocol::Service) };
    let log = world.around.log.clone();
    let supervisor = start(log, vec![old.clone(), other.clone()], world.around.clone());
    let mut fakes = Vec::new();
    for _ in 0..3 {
        fakes.push(world.started.recv().await.unwrap());
    }
    until(&supervisor, AgentState::Idle).await;
    let mut new = old.clone();
    new.command.push("-v".to_owned());
    supervisor.reshape(vec![new, other]).await.unwrap();
    for round in 0..2 {
        assert_eq!(supervisor.fleet("f".parse().unwrap()).await.unwrap().outdated, 2 - round);
        let_one_go(&mut world, &mut fakes).await;
        fakes.push(world.started.recv().await.unwrap());
    }
    until(&supervisor, AgentState::Idle).await;
    let agents = supervisor.agents().await.unwrap();
    let expected = [("f-1", 2), ("f-2", 2), ("g-1", 1)].map(|(name, n)| (name.to_owned(), n));
    assert_eq!(generations(&agents), expected);
    assert_eq!(supervisor.fleet("f".parse().unwrap()).await.unwrap().outdated, 0);
    assert_eq!(fakes.iter().filter(|fake| fake.argv.contains(&"-v".to_owned())).count(), 2);
}

#[actix::test]
async fn fleets_grow_and_shrink_come_and_go() {
    let (supervisor, mut world) = supervise(Protocol::Service, 1);
    let mut fakes = vec![world.started.recv().await.unwrap()];
    let name: crate::domain::FleetName = "f".parse().unwrap();
    assert_eq!(supervisor.scale(name.clone(), 3).await.unwrap().count, 3);
    for _ in 0..2 {
        fakes.push(world.started.recv().await.unwrap());
    }
    until(&supervisor, AgentState::Idle).await;
    supervisor.scale(name.clone(), 1).await.unwrap();
    for _ in 0..2 {
        let_one_go(&mut world, &mut fakes).await;
    }
    while supervisor.agents().await.unwrap().len() > 1 {
        tokio::task::yield_now().await;
    }
    supervisor.scale(name.clone(), 2).await.unwrap();
    fakes.push(world.started.recv().await.unwrap());
    until(&supervisor, AgentState::Idle).await;
    let agents = supervisor.agents().await.unwrap();
    let expected = [("f-1", 1), ("f-2", 2)].map(|(name, n)| (name.to_owned(), n));
    assert_eq!(generations(&agents), expected, "generations are counted on");
    supervisor.reshape(Vec::new()).await.unwrap();
    for _ in 0..2 {
        let_one_go(&mut world, &mut fakes).await;
    }
    while !supervisor.fleets().await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let error = supervisor.scale(name, 2).await.unwrap_err();
    assert!(error.to_string().contains("there is no fleet `f`"), "{error}");
}

#[actix::test]
async fn what_an_operator_stopped_stays_stopped_through_a_rolling_restart() {
    let (supervisor, mut world) = supervise(Protocol::Service, 2);
    let mut fakes = Vec::new();
    for _ in 0..2 {
        fakes.push(world.started.recv().await.unwrap());
    }
    until(&supervisor, AgentState::Idle).await;
    supervisor.command("f-1".parse().unwrap(), Command::Drain).await.unwrap();
    let_one_go(&mut world, &mut fakes).await;
    while supervisor.agent("f-1".parse().unwrap()).await.unwrap().state != AgentState::Stopped {
        tokio::task::yield_now().await;
    }
    let rolled = supervisor.roll("f".parse().unwrap(), Some(Share::Count(1))).await.unwrap();
    assert_eq!(rolled.outdated, 1);
    let_one_go(&mut world, &mut fakes).await;
    fakes.push(world.started.recv().await.unwrap());
    while supervisor.fleet("f".parse().unwrap()).await.unwrap().outdated > 0 {
        tokio::task::yield_now().await;
    }
    let agents = supervisor.agents().await.unwrap();
    assert_eq!(agents[0].state, AgentState::Stopped);
    assert_eq!(generations(&agents), [("f-1", 1), ("f-2", 2)].map(|(a, n)| (a.to_owned(), n)));
}
