//! Agents with one process for all of their tasks.

use std::path::Path;

use super::*;
use crate::domain::workspace::WorkspaceSpec;

#[actix::test]
async fn a_worker_answers_a_task_and_is_idle_again() {
    let (mut subject, fake, to) = Subject::ready().await;
    let (mut fake, request) = Subject::run(&to, fake).await;
    assert_eq!(request["method"], "task/run");
    fake.answer(&request, &json!({"done": true}));
    assert_eq!(subject.outcome().await, Outcome::Completed { output: json!({"done": true}) });
    assert!(matches!(subject.world.queue.recv().await, Some(FromAgent::Ready { .. })));
}

/// What a process says of itself is about the attempt that it is at, not about one that waits behind it.
#[actix::test]
async fn what_is_said_of_the_first_attempt_outlasts_the_end_of_the_second() {
    let mut subject = Subject::start(Fleet { prefetch: 2, ..fleet(Protocol::Worker) });
    let (fake, to) = subject.next_life().await;
    let (fake, first) = Subject::run(&to, fake).await;
    let behind = Assignment { task: TaskId::from_uuid(Uuid::from_u128(2)), ..assignment() };
    to.do_send(ToAgent::Run(vec![Arc::new(behind)]));
    let (mut fake, second) = tokio::task::spawn_blocking(move || {
        let mut fake = fake;
        let request = fake.hear();
        (fake, request)
    })
    .await
    .unwrap();
    let task = &first["params"]["task_id"];
    let params = json!({"task_id": task, "attempt": 1, "percent": 50});
    fake.say(&json!({"jsonrpc": "2.0", "method": "task/progress", "params": params}));
    while subject.handle.vitals().progress().is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    fake.answer(&second, &json!("second"));
    assert_eq!(subject.outcome().await, Outcome::Completed { output: json!("second") });
    assert!(subject.handle.vitals().progress().is_some(), "the first goes on");
    fake.answer(&first, &json!("first"));
    assert_eq!(subject.outcome().await, Outcome::Completed { output: json!("first") });
    assert_eq!(subject.handle.vitals().progress(), None);
}

#[actix::test]
async fn an_answer_written_just_before_death_counts() {
    let (mut subject, fake, to) = Subject::ready().await;
    let (mut fake, request) = Subject::run(&to, fake).await;
    fake.answer(&request, &json!("last words"));
    fake.end(Exit::Code(1));
    assert_eq!(subject.outcome().await, Outcome::Completed { output: json!("last words") });
}

#[actix::test]
async fn a_worker_that_dies_at_work_fails_its_task_and_is_replaced() {
    let (mut subject, fake, to) = Subject::ready().await;
    let (fake, _) = Subject::run(&to, fake).await;
    fake.end(Exit::Signal(9));
    let outcome = subject.outcome().await;
    assert_eq!(class(&outcome), Some(FailureClass::Exit));
    let Outcome::Failed { message, .. } = outcome else { unreachable!() };
    assert!(message.contains("signal 9 (SIGKILL) in the middle of a task"), "{message}");
    subject.next_life().await;
}

#[actix::test]
async fn a_worker_that_dies_for_want_of_memory_says_so() {
    let (mut subject, fake, to) = Subject::ready().await;
    let (fake, _) = Subject::run(&to, fake).await;
    fake.end_for_memory();
    let Outcome::Failed { class, message, .. } = subject.outcome().await else {
        panic!("it failed")
    };
    assert_eq!(class, FailureClass::Memory);
    assert!(message.contains("limits.group_memory"), "{message}");
    // The next one's end is judged for itself.
    let (fake, to) = subject.next_life().await;
    let (fake, _) = Subject::run(&to, fake).await;
    fake.end(Exit::Signal(9));
    assert_eq!(super::class(&subject.outcome().await), Some(FailureClass::Exit));
}

/// What ends by the fault of its host has not failed.
#[actix::test]
async fn a_worker_that_is_ended_for_the_silence_of_its_host_puts_its_task_back() {
    let (mut subject, fake, to) = Subject::ready().await;
    let (fake, _) = Subject::run(&to, fake).await;
    let id = fake.id;
    fake.end_for_silence();
    let Outcome::Released { reason } = subject.outcome().await else { panic!("it failed") };
    assert!(reason.contains("the host was frozen"), "{reason}");
    assert_eq!(subject.world.forgotten.recv().await, Some(id));
    // At once: no failure is counted against it.
    subject.next_life().await;
}

#[actix::test]
async fn garbage_is_a_protocol_failure_and_the_task_ends_only_with_the_process() {
    let (mut subject, fake, to) = Subject::ready().await;
    let (mut fake, _) = Subject::run(&to, fake).await;
    writeln!(fake.stdout.as_mut().unwrap(), "rubbish").unwrap();
    assert_eq!(
        subject.world.told.recv().await.unwrap(),
        (fake.id, Told::Signal(StopSignal::Sigterm))
    );
    subject.until(AgentState::Stopping).await;
    assert!(subject.world.queue.try_recv().is_err(), "the process still lives");
    fake.end(Exit::Signal(15));
    assert_eq!(class(&subject.outcome().await), Some(FailureClass::Protocol));
}

#[actix::test]
async fn a_process_that_ignores_the_stop_signal_is_killed() {
    let (mut subject, fake, to) = Subject::ready().await;
    let (fake, _) = Subject::run(&to, fake).await;
    tokio::time::pause();
    subject.handle.tell(AgentEvent::Stop { hard: false }, None);
    let told = subject.world.told.recv().await.unwrap();
    assert_eq!(told, (fake.id, Told::Signal(StopSignal::Sigterm)));
    assert_eq!(subject.world.told.recv().await.unwrap(), (fake.id, Told::Kill));
    fake.end(Exit::Signal(9));
    assert!(matches!(subject.outcome().await, Outcome::Released { .. }), "put back, not failed");
    subject.until(AgentState::Stopped).await;
}

#[actix::test]
async fn a_worker_that_never_says_hello_is_replaced() {
    tokio::time::pause();
    let mut subject = Subject::start(fleet(Protocol::Worker));
    let fake = subject.world.started.recv().await.unwrap();
    let status = subject.until(AgentState::Stopping).await;
    assert!(status.reason.unwrap().contains("did not answer `initialize` within 10s"));
    fake.end(Exit::Signal(15));
    subject.until(AgentState::Backoff).await;
}

#[actix::test]
async fn a_cancelled_task_is_asked_off_before_anything_is_killed() {
    let (mut subject, fake, to) = Subject::ready().await;
    let (mut fake, request) = Subject::run(&to, fake).await;
    let Assignment { task, attempt, .. } = assignment();
    to.do_send(ToAgent::Cancel { task, attempt });
    let (mut fake, cancel) = tokio::task::spawn_blocking(move || {
        let cancel = fake.hear();
        (fake, cancel)
    })
    .await
    .unwrap();
    assert_eq!(cancel["method"], "task/cancel");
    fake.say(&json!({"jsonrpc": "2.0", "id": request["id"],
        "error": {"code": -32800, "message": "cancelled"}}));
    assert_eq!(subject.outcome().await, Outcome::Cancelled);
    assert!(subject.world.told.try_recv().is_err(), "no signal was needed");
}

#[actix::test]
async fn a_task_over_its_time_that_is_not_let_go_ends_with_its_process() {
    let (mut subject, fake, to) = Subject::ready().await;
    let (fake, _) = Subject::run(&to, fake).await;
    tokio::time::pause();
    assert!(matches!(subject.world.told.recv().await.unwrap(), (_, Told::Signal(_))));
    fake.end(Exit::Signal(15));
    assert_eq!(class(&subject.outcome().await), Some(FailureClass::Timeout));
}

#[actix::test]
async fn a_stale_verdict_on_an_older_process_is_dropped() {
    let (mut subject, fake, to) = Subject::ready().await;
    let (_fake, _) = Subject::run(&to, fake).await;
    let silence = Silence {
        silent: Duration::from_secs(9),
        limit: Duration::from_secs(5),
        ground: heartbeat::Ground::Quiet,
        last: heartbeat::Sign::Said,
        moved: None,
    };
    subject.handle.silent(Generation(0), silence);
    subject.handle.silent(Generation(1), silence);
    let status = subject.until(AgentState::Stale).await;
    assert!(status.reason.unwrap().contains("no output, progress or heartbeat for 9.0 s"));
    assert_eq!(status.restarts.values().sum::<u64>(), 1);
}

#[actix::test]
async fn a_second_task_for_a_busy_agent_is_put_back() {
    let (mut subject, fake, to) = Subject::ready().await;
    let (_fake, _) = Subject::run(&to, fake).await;
    let second = Assignment { task: TaskId::from_uuid(Uuid::from_u128(2)), ..assignment() };
    to.do_send(ToAgent::Run(vec![Arc::new(second)]));
    assert!(matches!(subject.outcome().await, Outcome::Released { .. }));
}

#[actix::test]
async fn a_panic_kills_the_process_before_anyone_is_told() {
    let (mut subject, fake, to) = Subject::ready().await;
    let (fake, _) = Subject::run(&to, fake).await;
    subject.handle.explode();
    assert_eq!(subject.world.told.recv().await.unwrap(), (fake.id, Told::Kill));
    while let Ok(report) = subject.reports.try_recv() {
        assert!(!matches!(report, AgentReport::Gone { .. }), "the process still lives");
    }
    fake.end(Exit::Signal(9));
    loop {
        if let AgentReport::Gone { agent } = subject.reports.recv().await.unwrap() {
            assert_eq!(agent.as_str(), "f-1");
            break;
        }
    }
}

#[actix::test]
async fn a_panic_leaves_no_workspace_open() {
    let (mut subject, fake, to) = Subject::ready().await;
    let repo = tempfile::tempdir().unwrap();
    crate::workspace::tests::repository(repo.path());
    let mut apart = assignment();
    let spec = WorkspaceSpec::new(repo.path().to_owned(), "main".into(), "x/{task}".into());
    apart.terms.workspace = Some(spec);
    let key = (apart.task, apart.attempt);
    to.do_send(ToAgent::Run(vec![Arc::new(apart)]));
    let (fake, request) = tokio::task::spawn_blocking(move || {
        let mut fake = fake;
        let request = fake.hear();
        (fake, request)
    })
    .await
    .unwrap();
    let place = request["params"]["workspace"]["path"].as_str().unwrap().to_owned();
    std::fs::write(Path::new(&place).join("left.txt"), "left").unwrap();
    let workspaces = subject.world.around.workspaces.clone();
    assert!(workspaces.is_open(key.0, key.1));
    subject.handle.explode();
    fake.end(Exit::Signal(9));
    while !matches!(subject.reports.recv().await.unwrap(), AgentReport::Gone { .. }) {}
    // Before the owner hears of it, so before another attempt can begin.
    assert!(!workspaces.is_open(key.0, key.1));
    let list = workspaces.list().await;
    assert!(list.items[0].workspace.left_over, "{list:?}");
}

/// What it says is written at once, and it must wait until its next words are read.
#[actix::test]
async fn a_worker_that_says_too_much_is_held_back() {
    let mut world = world();
    world.around.log_policy.rate = Some(1000);
    let path = world.around.log_path(&"f-1".parse().unwrap());
    let mut subject = Subject::start_in(world, fleet(Protocol::Worker));
    let (fake, to) = subject.next_life().await;
    let (_fake, _) = Subject::run(&to, fake).await;
    let params = json!({"task_id": assignment().task, "attempt": 1, "message": "x".repeat(100)});
    let line = json!({"jsonrpc": "2.0", "method": "task/log", "params": params}).to_string() + "\n";
    let say = async |lines: usize| {
        let what = messages::What::Output(bytes::Bytes::from(line.repeat(lines)));
        let message = messages::FromProcess { generation: crate::domain::Generation(1), what };
        subject.handle.actor.send(message).await.unwrap().unwrap()
    };
    assert_eq!(say(1).await, Duration::ZERO, "that is nothing");
    assert!(say(29).await > Duration::from_secs(1));
    let written = || std::fs::read_to_string(&path).unwrap_or_default().lines().count();
    while written() < 30 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(written(), 30);
}
