//! Against tokio's paused clock: no test waits for real.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::*;
use crate::domain::heartbeat::{Evidence, Ground};

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

/// Whether the actor has a timer.
#[derive(Message)]
#[rtype(result = "bool")]
struct IsArmed;

impl Handler<IsArmed> for HeartbeatActor {
    type Result = bool;

    fn handle(&mut self, _: IsArmed, _: &mut Self::Context) -> bool {
        self.timer.is_some()
    }
}

const LIMIT: Duration = Duration::from_secs(5);

fn limits() -> Limits {
    Limits {
        stale_after: Some(LIMIT),
        busy_stale_after: Duration::from_secs(60),
        ..Limits::default()
    }
}

struct World {
    handle: HeartbeatHandle,
    vitals: Arc<Vitals>,
    told: mpsc::UnboundedReceiver<HeartbeatReport>,
    looks: Arc<AtomicU64>,
}

/// An agent whose processes have used so much more CPU time at each look.
fn world(limits: Limits, cpu: Duration) -> World {
    let (tell, told) = mpsc::unbounded_channel();
    let owner = Collector(tell).start().recipient();
    let clock = Clock::start();
    let looks = Arc::new(AtomicU64::new(0));
    let counted = looks.clone();
    let trees: LookAtTrees = Arc::new(move |pids| {
        let nth = u32::try_from(counted.fetch_add(1, Ordering::Relaxed)).unwrap();
        let tree = Tree { processes: 1, cpu: cpu * nth, ..Tree::default() };
        vec![Some(tree); pids.len()]
    });
    let handle = HeartbeatHandle::start("f".parse().unwrap(), limits, clock, trees, owner);
    let vitals = Arc::new(Vitals::new(clock));
    vitals.set_pid(7);
    handle.watch("f-1".parse().unwrap(), Generation(3), vitals.clone());
    World { handle, vitals, told, looks }
}

impl World {
    async fn verdict(&mut self) -> Silence {
        match self.told.recv().await.unwrap() {
            HeartbeatReport::Stale { generation: Generation(3), silence, .. } => silence,
            other => panic!("{other:?}"),
        }
    }
}

#[actix::test]
async fn a_silent_agent_is_reported_once_with_its_generation() {
    tokio::time::pause();
    let mut world = world(limits(), Duration::ZERO);
    world.vitals.expect(Expect::Life);
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(4)).await;
        world.vitals.touch();
    }
    assert!(world.told.try_recv().is_err(), "it was heard every four seconds");
    let silence = world.verdict().await;
    assert!(silence.silent > LIMIT && silence.silent < LIMIT.mul_f64(1.1), "{silence:?}");
    assert!(silence.moved.is_some_and(|moved| moved.cpu.is_zero()), "{silence:?}");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(world.told.try_recv().is_err(), "once");
}

/// Whatever the fleet's own limit is: a verdict comes within a tenth of the limit that holds.
#[actix::test]
async fn a_limit_of_its_own_is_kept_as_closely_as_the_fleet_s() {
    tokio::time::pause();
    let own = Duration::from_secs(1);
    let stale_after = Some(Duration::from_secs(600));
    let mut world = world(Limits { stale_after, ..limits() }, Duration::ZERO);
    world.vitals.expect(Expect::Life);
    world.vitals.limit(Some(own));
    let silence = world.verdict().await;
    assert_eq!(silence.limit, own);
    assert!(silence.silent < own.mul_f64(1.1), "{silence:?}");
}

#[actix::test]
async fn after_a_long_tool_call_the_usual_limit_holds_at_once() {
    tokio::time::pause();
    let mut world = world(limits(), Duration::ZERO);
    world.vitals.expect(Expect::Life);
    world.vitals.open_tool("t".to_owned(), Duration::from_secs(1800));
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.vitals.touch();
    world.vitals.close_tool("t");
    let silence = world.verdict().await;
    assert_eq!(silence.ground, Ground::Quiet);
    assert!(silence.silent < LIMIT.mul_f64(1.1), "{silence:?}");
}

#[actix::test]
async fn what_a_process_said_of_itself_ends_with_it() {
    tokio::time::pause();
    let mut world = world(limits(), Duration::ZERO);
    world.vitals.limit(Some(Duration::from_secs(3600)));
    world.vitals.open_tool("t".to_owned(), Duration::from_secs(3600));
    world.vitals.set_told(Some("warming up".to_owned()));
    world.vitals.process_ended();
    assert_eq!((world.vitals.pid(), world.vitals.told()), (None, None));
    world.vitals.set_pid(8);
    world.vitals.expect(Expect::Life);
    let silence = world.verdict().await;
    assert_eq!((silence.limit, silence.ground), (LIMIT, Ground::Quiet));
}

/// The bar: an idle fleet costs nothing.
#[actix::test]
async fn where_nothing_is_expected_no_timer_runs_and_no_process_is_looked_at() {
    tokio::time::pause();
    let mut world = world(limits(), Duration::ZERO);
    world.vitals.expect(Expect::Nothing);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(world.told.try_recv().is_err());
    assert!(!world.handle.0.send(IsArmed).await.unwrap());
    assert_eq!(world.looks.load(Ordering::Relaxed), 0);
    world.vitals.expect(Expect::Life);
    tokio::task::yield_now().await;
    assert!(world.handle.0.send(IsArmed).await.unwrap());
    world.vitals.expect(Expect::Nothing);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(!world.handle.0.send(IsArmed).await.unwrap(), "it was let go again");
}

#[actix::test]
async fn work_counts_where_the_fleet_allows_it_and_not_for_ever() {
    tokio::time::pause();
    for cpu in [false, true] {
        let evidence = Evidence { cpu, ..Evidence::default() };
        let mut world = world(Limits { evidence, ..limits() }, Duration::from_secs(1));
        world.vitals.expect(Expect::Life);
        let silence = world.verdict().await;
        let (limit, ground) =
            if cpu { (Duration::from_secs(60), Ground::OnlyBusy) } else { (LIMIT, Ground::Quiet) };
        assert_eq!(silence.ground, ground);
        assert!(silence.silent > limit && silence.silent < limit.mul_f64(1.1), "{silence:?}");
        assert!(silence.moved.is_some_and(|moved| moved.cpu >= Duration::from_secs(1)));
    }
}

#[actix::test]
async fn an_open_tool_call_and_a_word_of_its_own_put_the_verdict_off() {
    tokio::time::pause();
    let mut world = world(limits(), Duration::ZERO);
    world.vitals.expect(Expect::Life);
    world.vitals.open_tool("a".to_owned(), Duration::from_secs(20));
    world.vitals.open_tool("b".to_owned(), Duration::from_secs(90));
    world.vitals.close_tool("b");
    let silence = world.verdict().await;
    assert_eq!((silence.ground, silence.limit), (Ground::Tool, Duration::from_secs(20)));

    let mut world = self::world(limits(), Duration::ZERO);
    world.vitals.expect(Expect::Life);
    world.vitals.extend(Duration::from_secs(30));
    let silence = world.verdict().await;
    assert!(silence.silent > Duration::from_secs(30), "{silence:?}");

    let mut world = self::world(limits(), Duration::ZERO);
    world.vitals.expect(Expect::Life);
    world.vitals.limit(Some(Duration::from_secs(1)));
    let silence = world.verdict().await;
    assert_eq!(silence.limit, Duration::from_secs(1));
    assert!(silence.silent < Duration::from_millis(1100), "{silence:?}");
    world.vitals.attempt_ended();
}

#[actix::test]
async fn many_open_tool_calls_are_bounded() {
    let vitals = Vitals::new(Clock::start());
    for nth in 0..1000_u64 {
        vitals.open_tool(nth.to_string(), Duration::from_secs(nth));
    }
    assert_eq!(vitals.signs().tool.unwrap().limit, Duration::from_secs(999));
    vitals.attempt_ended();
    assert_eq!(vitals.signs().tool, None);
}

#[actix::test]
async fn the_owner_is_told_of_a_panic() {
    let mut world = world(limits(), Duration::ZERO);
    world.handle.0.do_send(Explode);
    assert!(matches!(world.told.recv().await.unwrap(), HeartbeatReport::Gone { .. }));
}
