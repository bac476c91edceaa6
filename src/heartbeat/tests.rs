//! Against tokio's paused clock: no test waits for real.

use std::time::Duration;

use tokio::sync::mpsc;

use super::*;
use crate::domain::heartbeat::Expect;

struct Collector(mpsc::UnboundedSender<HeartbeatReport>);

impl Actor for Collector {
    type Context = Context<Self>;
}

impl Handler<HeartbeatReport> for Collector {
    type Result = ();

    fn handle(&mut self, report: HeartbeatReport, _: &mut Self::Context) {
        self.0.send(report).unwrap();
    }
}

/// A handler that panics, as a bug would.
#[derive(Message)]
#[rtype(result = "()")]
struct Explode;

impl Handler<Explode> for HeartbeatActor {
    type Result = ();

    fn handle(&mut self, _: Explode, _: &mut Self::Context) {
        panic!("injected by a test");
    }
}

const LIMITS: Limits =
    Limits { every: Duration::from_secs(1), stale_after: Some(Duration::from_secs(5)) };

fn world() -> (HeartbeatHandle, Arc<Vitals>, mpsc::UnboundedReceiver<HeartbeatReport>) {
    let (tell, told) = mpsc::unbounded_channel();
    let owner = Collector(tell).start().recipient();
    let clock = Clock::start();
    let handle = HeartbeatHandle::start("f".parse().unwrap(), LIMITS, clock, owner);
    let vitals = Arc::new(Vitals::new(clock));
    handle.watch("f-1".parse().unwrap(), Generation(3), vitals.clone());
    (handle, vitals, told)
}

#[actix::test]
async fn a_silent_agent_is_reported_once_with_its_generation() {
    tokio::time::pause();
    let (_handle, vitals, mut told) = world();
    vitals.expect(Expect::Life);
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(4)).await;
        vitals.touch();
    }
    assert!(told.try_recv().is_err(), "it was heard every four seconds");
    let report = told.recv().await.unwrap();
    let HeartbeatReport::Stale { generation, silence, .. } = report else { panic!("{report:?}") };
    assert_eq!(generation, Generation(3));
    assert!(silence.silent > LIMITS.stale_after.unwrap());
    assert!(silence.silent < LIMITS.stale_after.unwrap().mul_f64(1.1));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(told.try_recv().is_err(), "once");
}

#[actix::test]
async fn an_agent_of_which_nothing_is_expected_may_be_silent() {
    tokio::time::pause();
    let (_handle, vitals, mut told) = world();
    vitals.expect(Expect::Nothing);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(told.try_recv().is_err());
}

#[actix::test]
async fn the_owner_is_told_of_a_panic() {
    let (handle, _vitals, mut told) = world();
    handle.0.do_send(Explode);
    assert!(matches!(told.recv().await.unwrap(), HeartbeatReport::Gone { .. }));
}
