//! Agents that go on with a process of a host before this one.

use super::*;
use crate::{
    domain::{
        Generation,
        adoption::{Hold, Open, Promise, Standing},
    },
    process::Stdio,
};

/// A process as the keeper hands it over, with the pipes of `protocol`.
async fn left(world: &mut World, protocol: Protocol) -> (Spawned, Fake) {
    let pipe = if protocol == Protocol::Worker { Stdio::Pipe } else { Stdio::Null };
    let spec = Spec {
        agent: "f-1".parse().unwrap(),
        generation: Generation(3),
        argv: Vec::new(),
        env: BTreeMap::new(),
        cwd: "/".into(),
        pinned: false,
        user: None,
        limits: Limits::default(),
        stdin: pipe.clone(),
        stdout: pipe,
        stderr: Stdio::Null,
        note: String::new(),
        keep_pipes: true,
    };
    let spawned = world.around.processes.spawn(spec).await.unwrap();
    (spawned, world.started.recv().await.unwrap())
}

fn go_on(world: World, protocol: Protocol, process: Spawned, busy: bool, ran: Duration) -> Subject {
    let work = assignment();
    let hold = Hold { task: work.task, attempt: work.attempt };
    let open = busy.then_some(Open { hold, request: 7 }).into_iter().collect();
    let standing = Standing {
        generation: Generation(3),
        idle_heartbeat: false,
        open,
        pid: Some(process.pid),
        promise: Promise::default(),
        tools: Vec::new(),
    };
    let adopted = Adopted {
        process,
        generation: Generation(3),
        work: busy.then(|| (Arc::new(work), ran)).into_iter().collect(),
        standing: (protocol == Protocol::Worker).then_some(standing),
        epoch: 2,
    };
    let (watcher, reports) = collect();
    let status =
        AgentStatus { generation: Generation(3), ..AgentStatus::new("f-1".parse().unwrap()) };
    let handle = AgentHandle::launch(
        Arc::new(fleet(protocol)),
        status,
        world.around.clone(),
        watcher,
        Some(adopted),
    );
    Subject { handle, world, reports }
}

#[actix::test]
async fn a_worker_at_work_is_heard_on_from_the_middle_of_a_line() {
    let mut world = world();
    let (process, mut fake) = left(&mut world, Protocol::Worker).await;
    // The host before read the beginning of this line.
    fake.stdout.as_mut().unwrap().write_all(b"\"x\":{}}}\n").unwrap();
    let mut subject = go_on(world, Protocol::Worker, process, true, Duration::ZERO);
    let resumed = subject.world.queue.recv().await.unwrap();
    assert!(matches!(resumed, FromAgent::Resumed { .. }), "it can be called off");
    fake.say(&json!({"jsonrpc": "2.0", "id": 7, "result": "done"}));
    assert_eq!(subject.outcome().await, Outcome::Completed { output: json!("done") });
    let FromAgent::Ready { to, .. } = subject.world.queue.recv().await.unwrap() else {
        panic!("it takes another task")
    };
    let (_fake, request) = Subject::run(&to, fake).await;
    assert_eq!(request["method"], "task/run", "it is not greeted again");
    assert_eq!(request["id"], (2_u64 << 32) + 1, "a number that no host before used");
    assert!(subject.world.started.try_recv().is_err(), "nothing is started");
}

#[actix::test]
async fn a_second_line_that_makes_no_sense_is_a_fault() {
    let mut world = world();
    let (process, mut fake) = left(&mut world, Protocol::Worker).await;
    fake.stdout.as_mut().unwrap().write_all(b"half\nwhole\n").unwrap();
    let mut subject = go_on(world, Protocol::Worker, process, false, Duration::ZERO);
    let status = subject.until(AgentState::Stopping).await;
    assert!(status.reason.unwrap().contains("`whole`"));
}

#[actix::test]
async fn what_is_left_of_the_attempts_time_is_counted_on() {
    let mut world = world();
    let (process, mut fake) = left(&mut world, Protocol::Worker).await;
    let limit = fleet(Protocol::Worker).task_timeout.unwrap();
    let _subject = go_on(world, Protocol::Worker, process, true, limit);
    let cancel = tokio::task::spawn_blocking(move || fake.hear()).await.unwrap();
    assert_eq!(cancel["method"], "task/cancel", "its time is over at once");
}

#[actix::test]
async fn the_end_of_an_exec_process_is_forgotten_once_its_outcome_is_written() {
    let mut world = world();
    let (process, fake) = left(&mut world, Protocol::Exec).await;
    let files = attempt::AttemptFiles::of(&world.around.attempts_dir, &assignment());
    files.make(&fleet(Protocol::Exec), &assignment()).unwrap();
    std::fs::write(files.stdout(), "all of it").unwrap();
    std::fs::write(files.stderr(), "").unwrap();
    let id = process.id;
    let mut subject = go_on(world, Protocol::Exec, process, true, Duration::ZERO);
    fake.end(Exit::Code(0));
    let (outcome, written) = loop {
        if let FromAgent::Ended(mut ends) = subject.world.queue.recv().await.unwrap() {
            let end = ends.remove(0);
            break (end.outcome, end.written.unwrap());
        }
    };
    assert_eq!(outcome, Outcome::Completed { output: json!("all of it") });
    subject.until(AgentState::Idle).await;
    assert!(subject.world.forgotten.try_recv().is_err(), "this host may die now");
    written.send(()).unwrap();
    assert_eq!(subject.world.forgotten.recv().await, Some(id));
}

/// How the attempt ends of a worker that falls silent, perhaps after it said something under this host.
async fn end_of_a_silent_one(speaks: bool) -> Outcome {
    let mut world = world();
    let (process, mut fake) = left(&mut world, Protocol::Worker).await;
    let mut subject = go_on(world, Protocol::Worker, process, true, Duration::ZERO);
    subject.world.queue.recv().await.unwrap();
    if speaks {
        let params = json!({"task_id": assignment().task, "attempt": 1, "percent": 5});
        fake.say(&json!({"jsonrpc": "2.0", "method": "task/progress", "params": params}));
        while subject.handle.vitals().progress().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let silence = Silence::asked(Duration::from_secs(9));
    subject.handle.silent(Generation(3), silence);
    subject.world.told.recv().await.unwrap();
    fake.end(Exit::Signal(15));
    subject.outcome().await
}

#[actix::test]
async fn one_that_was_not_heard_since_it_was_taken_over_uses_up_no_try() {
    assert!(matches!(end_of_a_silent_one(false).await, Outcome::Released { .. }));
    let failed = end_of_a_silent_one(true).await;
    assert!(matches!(failed, Outcome::Failed { class: FailureClass::Stale, .. }), "{failed:?}");
}
