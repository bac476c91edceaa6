//! Against fake processes.

use std::collections::BTreeMap;

use actix::prelude::*;

use super::{actor::SupervisorActor, *};
use crate::{
    agent::tests::{World, fleet, world},
    domain::{
        AgentName,
        agent::AgentState,
        fleet::Protocol,
        task::{FailureClass, Outcome},
    },
    process::Exit,
    queue::FromAgent,
};

fn supervise(protocol: Protocol, count: u16) -> (SupervisorHandle, World) {
    let world = world();
    let log = world.around.log.clone();
    let fleet = crate::domain::fleet::Fleet { count, ..fleet(protocol) };
    let handle = SupervisorHandle::start(log, vec![fleet], world.around.clone(), BTreeMap::new());
    (handle, world)
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
