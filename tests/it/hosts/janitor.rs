//! Janitors whose link to the database fails, with duties that write down when they run.

use std::{cell::RefCell, rc::Rc, time::Duration};

use hostler::{
    domain::{QueueName, leadership::Pace},
    janitor::{Done, Duty, JanitorHandle, Launch},
    store::Store,
};
use slog::{Discard, Logger, o};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::support::{TestDatabase, database::store};

const PATIENCE: Duration = Duration::from_secs(30);

/// How long a duty may take, and so keep the next leader waiting.
const LIMIT: Duration = Duration::from_secs(1);

/// That of a host with a lease of sixteen seconds and more.
fn pace() -> Pace {
    Pace::of(Duration::from_secs(60))
}

/// When a duty ran.
type Runs = Rc<RefCell<Vec<Instant>>>;

/// A janitor with one duty that is always due, and one that fails or panics.
fn janitor(store: Store) -> (JanitorHandle, Runs) {
    let runs = Runs::default();
    let of_duty = runs.clone();
    let often = Duty::new("often", Duration::from_millis(20), move |leading| {
        let runs = of_duty.clone();
        async move {
            let fenced = leading.fenced(LIMIT, async |_: &_| Ok(())).await?;
            if fenced.is_some() {
                runs.borrow_mut().push(Instant::now());
            }
            Ok(Done::default())
        }
    });
    let panics = Duty::new("panics", Duration::from_secs(1), |_| async { panic!("on purpose") });
    let launch = Launch {
        log: Logger::root(Discard, o!()),
        store,
        slot: Uuid::new_v4(),
        pace: pace(),
        duties: vec![panics, often],
        wake: Box::new(|_| {}),
    };
    (JanitorHandle::start(launch), runs)
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, holds).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

#[actix::test]
async fn a_leader_that_gets_no_answers_stops_before_another_leads() {
    let database = TestDatabase::new().await;
    let (proxy, url) = database.through_proxy();
    let (first, runs) = janitor(store(url.parse().unwrap()));
    until("the only one leads", || runs.borrow().len() > 3).await;
    let (second, others) = janitor(database.store().await);
    proxy.stall();
    let stalled = Instant::now();
    until("another one leads", || !others.borrow().is_empty()).await;
    let took = stalled.elapsed();
    assert!(took < pace().silence + pace().beat + Duration::from_secs(6), "{took:?}");
    let last = *runs.borrow().last().unwrap();
    assert!(last < stalled + pace().safe && last < others.borrow()[0], "it stopped before");
    // What was held up goes on: it changes nothing.
    let before = runs.borrow().len();
    proxy.mend();
    let more = others.borrow().len() + 50;
    until("the other one goes on", || others.borrow().len() > more).await;
    assert_eq!(runs.borrow().len(), before);
    second.stop().await;
    until("the first one leads again", || runs.borrow().len() > before).await;
    first.stop().await;
    let at_the_end = runs.borrow().len();
    sleep(Duration::from_millis(100)).await;
    assert_eq!(runs.borrow().len(), at_the_end);
}

#[actix::test]
async fn a_leader_that_is_heard_and_hears_nothing_leads_no_longer() {
    let database = TestDatabase::new().await;
    let (proxy, url) = database.through_proxy();
    let (first, runs) = janitor(store(url.parse().unwrap()));
    until("the only one leads", || runs.borrow().len() > 3).await;
    let (second, others) = janitor(database.store().await);
    proxy.deafen();
    until("another one leads", || !others.borrow().is_empty()).await;
    assert!(*runs.borrow().last().unwrap() < others.borrow()[0]);
    proxy.mend();
    first.stop().await;
    second.stop().await;
}

#[actix::test]
async fn a_leader_whose_connection_is_cut_leads_no_longer() {
    let database = TestDatabase::new().await;
    let (proxy, url) = database.through_proxy();
    let (first, runs) = janitor(store(url.parse().unwrap()));
    until("the only one leads", || runs.borrow().len() > 3).await;
    let (second, others) = janitor(database.store().await);
    proxy.cut();
    let cut = Instant::now();
    until("another one leads", || !others.borrow().is_empty()).await;
    assert!(cut.elapsed() < pace().beat * 2, "the server saw the end: {:?}", cut.elapsed());
    let before = runs.borrow().len();
    proxy.mend();
    let more = others.borrow().len() + 50;
    until("the other one goes on", || others.borrow().len() > more).await;
    assert_eq!(runs.borrow().len(), before);
    first.stop().await;
    second.stop().await;
}

#[actix::test]
async fn a_duty_wakes_queues_and_says_when_it_is_due_again() {
    let database = TestDatabase::new().await;
    let (heard, runs) = (Rc::new(RefCell::new(Vec::new())), Runs::default());
    let (of_wake, of_duty) = (heard.clone(), runs.clone());
    let queue: QueueName = "due".parse().unwrap();
    let woken = vec![queue.clone()];
    let duty = Duty::new("wakes", Duration::from_secs(600), move |_| {
        of_duty.borrow_mut().push(Instant::now());
        let done = Done { woken: woken.clone(), again_in: Some(Duration::from_millis(60)) };
        async move { Ok(done) }
    });
    let launch = Launch {
        log: Logger::root(Discard, o!()),
        store: database.store().await,
        slot: Uuid::new_v4(),
        pace: pace(),
        duties: vec![duty],
        wake: Box::new(move |queues| of_wake.borrow_mut().extend(queues)),
    };
    let janitor = JanitorHandle::start(launch);
    until("it ran again", || runs.borrow().len() > 2).await;
    let waits: Vec<_> = runs.borrow().windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.iter().all(|wait| *wait >= Duration::from_millis(59)), "{waits:?}");
    assert_eq!(heard.borrow()[..2], [queue.clone(), queue]);
    janitor.stop().await;
}
