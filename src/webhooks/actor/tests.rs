use super::*;

fn claimed(endpoint: &str, failures: u32) -> Claimed {
    Claimed {
        id: Uuid::from_u128(1),
        number: 1,
        endpoint: endpoint.parse().unwrap(),
        target: "http://a.example/".parse().unwrap(),
        payload: "{}".to_owned(),
        failures,
        timeout: Duration::from_secs(1),
        keys: Vec::new(),
        age: Duration::ZERO,
    }
}

fn of(endpoint: &str, failures: u32, answer: &Answer) -> Settled {
    let claimed = claimed(endpoint, failures);
    settlement(&claimed, answer, &judge(answer, failures, 0.0))
}

fn status(status: u16) -> Answer {
    Answer::Status { status, retry_after: None }
}

#[test]
fn what_one_receiver_of_a_callback_wants_is_not_for_the_others() {
    let gone = of("ops", 0, &status(410));
    assert_eq!((gone.state, gone.disable), (DeliveryState::Dead, Some(GONE)));
    let gone = of(CALLBACKS, 0, &status(410));
    assert_eq!((gone.state, gone.disable), (DeliveryState::Dead, None));
    assert!(of("ops", 0, &status(429)).hold.is_some());
    assert!(of(CALLBACKS, 0, &status(429)).hold.is_none());
}

#[test]
fn what_is_written_says_why() {
    let failed = of("ops", 2, &Answer::Nothing("no route".to_owned()));
    assert_eq!((failed.failures, failed.problem.as_deref()), (3, Some("no route")));
    let done = of("ops", 2, &status(204));
    assert_eq!((done.state, done.failures), (DeliveryState::Delivered, 2));
    assert_eq!((done.status, done.problem), (Some(204), None));
    let dead = of("ops", 9, &status(500));
    assert_eq!((dead.state, dead.failures), (DeliveryState::Dead, 10));
    assert_eq!(dead.problem.as_deref(), Some("it answered 500"));
}

#[test]
fn work_runs_once_at_a_time_and_once_more_if_asked() {
    let mut work = Work::default();
    assert!(work.begin());
    assert!(!work.begin());
    assert!(!work.begin());
    assert!(work.end(), "asked for meanwhile");
    assert!(work.begin());
    assert!(!work.end());
}

#[test]
fn news_for_nobody_wait_for_each_other_and_news_for_somebody_do_not() {
    let mut held = Held::default();
    assert_eq!(held.news(true), When::Later);
    assert_eq!(held.news(true), When::Planned, "one look for both");
    assert_eq!(held.news(false), When::Now, "somebody came meanwhile");
    assert_eq!(held.news(true), When::Planned);
    held.let_go();
    assert_eq!(held.news(true), When::Later);
}
