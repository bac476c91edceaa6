//! Agents that live on: nobody starts twice, and nothing runs twice.

use std::fs;

use super::world::{EXEC_FLEET, Host, SERVICE_FLEET, WORKER_FLEET, runs};

const AGENTS: [&str; 4] = ["exec-1", "worker-1", "worker-2", "service-1"];

fn pids(host: &Host) -> Vec<u32> {
    AGENTS.iter().map(|agent| host.pid(agent)).collect()
}

fn is_idle(host: &Host, agent: &str) -> bool {
    host.agent(agent)["state"] == "idle"
}

/// An `exec` agent and a worker at work, another worker and a service at rest.
fn at_work() -> (Host, [String; 2]) {
    let mut host = Host::of_all_kinds();
    host.up();
    host.until("workers are ready", |host| is_idle(host, "worker-1") && is_idle(host, "worker-2"));
    let tasks = [host.begin("exec"), host.begin("worker")];
    (host, tasks)
}

/// The feed has the report of both take-overs, and each agent.
#[track_caller]
fn is_told(host: &Host) {
    let of = |host: &Host, word: &str| -> Vec<serde_json::Value> {
        let page = host.cli(&["events", "list", "--limit", "1000"]);
        let items = page["items"].as_array().unwrap().clone();
        items.into_iter().filter(|item| item["type"] == word).collect()
    };
    host.until("all is told", |host| {
        of(host, "host.adopted").len() == 2 && of(host, "agent.adopted").len() == 8
    });
    for report in of(host, "host.adopted") {
        assert_eq!((&report["detail"]["found"], &report["detail"]["kept"]), (&4.into(), &4.into()));
    }
    let told = of(host, "agent.adopted");
    for agent in AGENTS {
        let of_it: Vec<_> = told.iter().filter(|event| event["agent"] == agent).collect();
        assert_eq!(of_it.len(), 2, "{told:?}");
        assert_eq!(of_it[0]["detail"]["pid"], host.pid(agent), "{told:?}");
        assert_ne!(of_it[0]["host"], of_it[1]["host"], "{told:?}");
    }
}

#[test]
fn the_next_host_goes_on_with_every_agent_and_every_task_ends_once() {
    let (mut host, tasks) = at_work();
    let before = pids(&host);
    // A second crash is as good as the first.
    for _ in 0..2 {
        host.kill9();
        assert!(before.iter().all(|pid| runs(*pid)), "they outlive the host");
        host.up();
        assert_eq!(pids(&host), before, "{}", host.log());
    }
    is_told(&host);
    for agent in AGENTS {
        let agent = host.agent(agent);
        assert_eq!((&agent["generation"], &agent["restarts"]), (&1.into(), &serde_json::json!({})));
        assert!(agent["reason"].as_str().unwrap().contains("adopted"), "{agent}");
    }
    host.go();
    let [of_exec, of_worker] = tasks.each_ref().map(|task| host.ended(task));
    assert_eq!(of_exec["output"], "first\nlast", "no gap");
    assert!(of_worker["output"].as_str().unwrap().starts_with("done by"), "{of_worker}");
    for (task, record) in tasks.iter().zip([of_exec, of_worker]) {
        assert_eq!((&record["state"], &record["attempt"]), (&"completed".into(), &1.into()));
        host.ran_once(task);
    }
    // Both workers take tasks again, as the processes that they were.
    let more: Vec<_> = (0..4).map(|_| host.submit("worker")).collect();
    for task in &more {
        assert_eq!(host.ended(task)["state"], "completed");
        host.ran_once(task);
    }
    for (agent, pid) in AGENTS.iter().zip(&before).skip(1) {
        assert_eq!(host.pid(agent), *pid);
    }
    assert!(host.stop().success(), "{}", host.log());
    assert!(!before.iter().any(|pid| runs(*pid)), "a clean stop leaves nothing");
    assert!(host.keeper().is_none());
}

#[test]
fn what_the_config_does_not_name_any_more_is_ended() {
    let (mut host, [of_exec, of_worker]) = at_work();
    let before = pids(&host);
    host.kill9();
    // The worker's fleet is gone, the service's runs another command.
    host.configure(&[EXEC_FLEET, &SERVICE_FLEET.replace("tick", "tock")]);
    host.up();
    let gone: Vec<_> = before.iter().map(|pid| !runs(*pid)).collect();
    assert_eq!(gone, [false, true, true, true], "{}", host.log());
    assert_eq!(host.pid("exec-1"), before[0]);
    host.until("another service", |host| host.agent("service-1")["pid"].is_u64());
    host.go();
    assert_eq!(host.ended(&of_exec)["attempt"], 1);
    assert_eq!(host.task(&of_worker)["state"], "pending", "it was put back");
    host.kill9();
    host.configure(&[EXEC_FLEET, WORKER_FLEET]);
    host.up();
    assert_eq!(host.ended(&of_worker)["attempt"], 2);
}

#[test]
fn an_attempt_that_was_taken_away_ends_with_its_process() {
    let (mut host, tasks) = at_work();
    let before = pids(&host);
    host.kill9();
    let mut client = host.database.config();
    let text = "SELECT hostler.put_back(ARRAY(SELECT id FROM hostler.hosts), 'taken away')";
    crate::support::cluster::on_a_runtime(async move {
        let (client, connection) = client
            .connect_timeout(std::time::Duration::from_secs(20))
            .connect(tokio_postgres::NoTls)
            .await
            .unwrap();
        let connection = tokio::spawn(connection);
        client.execute(text, &[]).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
    });
    host.up();
    assert!(!runs(before[0]), "{}", host.log());
    let idle = 1 + usize::from(!runs(before[1]));
    assert!(!runs(before[3 - idle]) && runs(before[idle]), "the idle worker and no other goes on");
    host.go();
    for task in &tasks {
        let record = host.ended(task);
        assert_eq!((&record["state"], &record["attempt"]), (&"completed".into(), &2.into()));
    }
}

#[test]
fn without_a_host_all_end_with_the_lease() {
    let (mut host, _) = at_work();
    let before = pids(&host);
    host.kill9();
    assert!(before.iter().all(|pid| runs(*pid)));
    host.until("the keeper ends", |host| host.keeper().is_none());
    assert!(!before.iter().any(|pid| runs(*pid)));
    let log = fs::read_to_string(host.path("data/logs/keeper.log")).unwrap();
    assert!(log.contains("no host came in time"), "{log}");
}
