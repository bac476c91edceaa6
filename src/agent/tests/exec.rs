//! Agents with a process for each task.

use super::*;

/// The outcome of an attempt whose process ends so.
async fn outcome_of(end: impl FnOnce(Fake)) -> (Outcome, bool) {
    let mut subject = Subject::start(fleet(Protocol::Exec));
    let Some(FromAgent::Ready { to, .. }) = subject.world.queue.recv().await else {
        panic!("it is ready as it is")
    };
    to.do_send(ToAgent::Run(vec![Arc::new(assignment())]));
    let fake = subject.world.started.recv().await.unwrap();
    // As the keeper makes them, to which the process would write.
    let dir = subject.world.around.attempts_dir.join(assignment().task.to_string()).join("1");
    for name in ["stdout", "stderr"] {
        std::fs::write(dir.join(name), "").unwrap();
    }
    end(fake);
    let outcome = subject.outcome().await;
    let offers = matches!(subject.world.queue.recv().await, Some(FromAgent::Ready { .. }));
    (outcome, offers)
}

#[actix::test]
async fn what_is_ended_for_the_silence_of_the_host_is_put_back() {
    let (outcome, offers) = outcome_of(Fake::end_for_silence).await;
    let Outcome::Released { reason } = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("the host was frozen"), "{reason}");
    assert!(offers, "it is ready for another");
}

#[actix::test]
async fn what_is_killed_by_others_has_failed() {
    let (outcome, offers) = outcome_of(|fake| fake.end(Exit::Signal(9))).await;
    assert_eq!(class(&outcome), Some(FailureClass::Exit));
    assert!(offers);
}

#[actix::test]
async fn want_of_memory_is_a_class_of_its_own() {
    let (outcome, offers) = outcome_of(Fake::end_for_memory).await;
    let Outcome::Failed { class, message, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(class, FailureClass::Memory);
    assert!(message.contains("limits.group_memory"), "{message}");
    assert!(offers);
}
