//! What is told of vacuum.

use serde_json::{Value, json};
use tokio_postgres::NoTls;

use crate::support::{
    cluster::on_a_runtime,
    host::{Host, WORKER},
};

#[test]
fn a_transaction_that_is_left_open_is_told_with_what_to_do() {
    let host = Host::new(WORKER).up();
    let done = host.submit(&json!({"input": {"op": "echo", "value": 1}}));
    host.wait(&done);
    let url = format!("HOSTLER__DATABASE__URL={}", host.database().url());
    let report = || -> Value {
        let (name, value) = url.split_once('=').unwrap();
        let mut command = host.command();
        let output = command.env(name, value).args(["db", "vacuum-report", "--json"]).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let config = host.database().config();
    let (held, pid) = on_a_runtime(async {
        let (mut client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        let open = client.transaction().await.unwrap();
        open.batch_execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").await.unwrap();
        let pid: i32 = open.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
        (report(), pid.to_string())
    });
    let holders = held["holders"].as_array().unwrap();
    let holder = holders.iter().find(|holder| holder["name"] == pid.as_str()).unwrap();
    assert_eq!(holder["state"], "idle in transaction");
    assert!(holder["since"].is_string(), "{holder}");
    let advice = holder["advice"].as_str().unwrap();
    assert!(advice.contains(&format!("pg_terminate_backend({pid})")), "{advice}");
    let names: Vec<_> = held["tables"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert!(names.contains(&&json!("tasks")) && names.contains(&&json!("log_tasks")), "{names:?}");
    assert!(held["indexes"].as_array().unwrap().iter().any(|one| one["name"] == "tasks_pending"));
    let after = report();
    let gone = !after["holders"].as_array().unwrap().iter().any(|one| one["name"] == pid.as_str());
    assert!(gone, "{after}");
}
