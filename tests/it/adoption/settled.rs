//! Agents that end while there is no host.

use super::world::{Host, runs};

fn kill_9(pid: u32) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
}

/// The agent that runs `task`, and its pid.
fn runner(host: &Host, task: &str) -> (String, u32) {
    let agents = host.cli(&["agent", "list"]);
    let agents = agents.as_array().or_else(|| agents["items"].as_array()).unwrap();
    let agent = agents.iter().find(|agent| agent["task"] == task).unwrap();
    let name = agent["name"].as_str().unwrap().to_owned();
    let pid = host.pid(&name);
    (name, pid)
}

#[test]
fn an_attempt_that_finished_meanwhile_is_completed_with_its_output() {
    let mut host = Host::of_all_kinds();
    host.up();
    let task = host.begin("exec");
    let pid = host.pid("exec-1");
    host.kill9();
    host.go();
    host.until("it finishes", |_| !runs(pid));
    host.up();
    let record = host.ended(&task);
    assert_eq!((&record["state"], &record["attempt"]), (&"completed".into(), &1.into()));
    assert_eq!(record["output"], "first\nlast");
    host.ran_once(&task);
    // A host that comes after that hears of it no more.
    host.kill9();
    host.up();
    assert_eq!(host.agent("exec-1")["state"], "idle", "{}", host.log());
    let told = host.lines("stderr").iter().filter(|line| line.contains("1 had finished")).count();
    assert_eq!(told, 1, "{}", host.log());
}

#[test]
fn a_worker_that_answered_meanwhile_is_heard() {
    let mut host = Host::of_all_kinds();
    host.up();
    let task = host.begin("worker");
    let (agent, pid) = runner(&host, &task);
    host.kill9();
    host.go();
    host.until("it answers", |host| host.lines("effects").contains(&task));
    host.up();
    let record = host.ended(&task);
    assert_eq!((&record["state"], &record["attempt"]), (&"completed".into(), &1.into()));
    assert_eq!(record["output"], format!("done by {pid}"));
    assert_eq!(host.pid(&agent), pid);
    host.ran_once(&task);
}

#[test]
fn what_was_killed_meanwhile_has_failed_and_is_tried_again() {
    let mut host = Host::of_all_kinds();
    host.up();
    let tasks = [host.begin("exec"), host.begin("worker")];
    let runners = tasks.each_ref().map(|task| runner(&host, task));
    let service = host.pid("service-1");
    host.kill9();
    for pid in [runners[0].1, runners[1].1, service] {
        kill_9(pid);
        host.until("it is gone", |_| !runs(pid));
    }
    host.go();
    host.up();
    for task in &tasks {
        let record = host.ended(task);
        assert_eq!((&record["state"], &record["attempt"]), (&"completed".into(), &2.into()));
        let attempts = host.cli(&["task", "show", task])["attempts"].take();
        assert!(attempts.to_string().contains("signal 9"), "{attempts}");
    }
    host.until("another service", |host| host.agent("service-1")["pid"].is_u64());
    assert_eq!(host.agent("service-1")["generation"], 2);
    assert_eq!(host.agent(&runners[1].0)["generation"], 2);
}

/// Between the exit of a process and the commit of its outcome, between a claim and a start: wherever
/// the host is killed, no `exec` task is carried out a second time.
#[test]
fn no_exec_task_is_carried_out_twice_however_often_the_host_is_killed() {
    const TASKS: usize = 120;
    let mut host = Host::new();
    let fleet = "[fleets.exec]\nprotocol = \"exec\"\nqueues = [\"exec\"]\ncount = 3\n\
        command = [\"sh\", \"-c\", \"echo $HOSTLER_TASK_ID >>effects; echo done\"]\n";
    host.configure(&[fleet]);
    host.up();
    host.cli(&["task", "submit", "-q", "exec", "--count", &TASKS.to_string()]);
    for round in 1..=5 {
        host.until("some are done", |host| host.lines("effects").len() >= round * 20);
        host.kill9();
        host.up();
    }
    host.until("all are done", |host| {
        let queues = host.cli(&["queue", "list"]).to_string();
        assert!(!queues.contains("\"failed\":1"), "{queues}");
        host.cli(&["task", "list", "--state", "completed", "--limit", "200"])["items"]
            .as_array()
            .is_some_and(|all| all.len() == TASKS)
    });
    let mut effects = host.lines("effects");
    effects.sort();
    let count = effects.len();
    effects.dedup();
    assert_eq!((count, effects.len()), (TASKS, TASKS), "{}", host.log());
}
