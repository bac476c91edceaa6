//! The logs of agents and attempts, over the API and the command line.

use std::fs;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use crate::support::{
    host::{Host, WORKER},
    processes::eventually,
    wire::Ask,
};

/// An exec fleet that writes, waits for a file, and writes again.
fn writer(go: &str) -> String {
    format!(
        "[fleets.writer]\nprotocol = \"exec\"\ncommand = [\"sh\", \"-c\", \
         \"echo first; echo aside >&2; while [ ! -e {go} ]; do sleep 0.05; done; printf 'last\\\\377'\"]\n"
    )
}

#[test]
fn an_attempt_s_output_is_followed_to_its_end() {
    let go = tempfile::tempdir().unwrap();
    let file = go.path().join("go");
    let host = Host::new(&writer(file.to_str().unwrap())).up();
    let id = host.submit(&json!({}));
    host.until_task(&id, "running");
    let mut child = host.command();
    child.args(["task", "logs", &id, "-f"]).stdout(std::process::Stdio::piped());
    let child = child.spawn().unwrap();
    fs::write(&file, "").unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success());
    assert_eq!(out.stdout, b"first\nlast\xff");
    host.wait(&id);
    // As events, byte for byte, and to the end of the attempt.
    let events = Ask::new("GET", &format!("/api/v1/tasks/{id}/logs?stream=stdout&follow=true"))
        .header("Accept", "text/event-stream");
    let events = host.ask(&events).text();
    let bytes: Vec<u8> = events
        .split_terminator("\n\n")
        .flat_map(|event| {
            let data: Value = serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
            let encoded = data["base64"].as_str().map(|text| BASE64_STANDARD.decode(text).unwrap());
            encoded.unwrap_or_else(|| data["text"].as_str().unwrap().as_bytes().to_vec())
        })
        .collect();
    assert_eq!(bytes, b"first\nlast\xff", "{events}");
    let logs = host.cli(&["task", "logs", &id, "--attempt", "1", "--stream", "stderr"]);
    assert_eq!((logs.code, &*logs.stdout), (0, "aside\n"));
    assert_eq!(host.cli(&["task", "logs", &id, "--attempt", "7"]).code, 4);
    let ask = Ask::new("GET", &format!("/api/v1/tasks/{id}/logs?stream=stdin"));
    assert!(host.ask(&ask).expect(400)["detail"].as_str().unwrap().contains("`stream`"));
}

#[test]
fn a_worker_s_attempt_has_what_was_said_meanwhile_and_no_more() {
    // Says its number at the second task and at every one after it.
    let script = r#"read -r hello; echo '{"jsonrpc":"2.0","id":1,"result":{"protocol_version":1}}'; n=2
        while read -r task; do
            [ $n = 2 ] || echo '{"jsonrpc":"2.0","method":"task/log","params":{"message":"number '$n'"}}'
            echo '{"jsonrpc":"2.0","id":'$n',"result":null}'; n=$((n+1))
        done"#;
    let fleet = format!(
        "[fleets.says]\nprotocol = \"worker\"\ncommand = [\"sh\", \"-c\", '''{script}''']\n"
    );
    let host = Host::new(&fleet).up();
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let id = host.submit(&json!({}));
            assert_eq!(host.wait(&id)["state"], "completed");
            id
        })
        .collect();
    assert_eq!(host.cli(&["task", "logs", &tasks[0]]).code, 4, "nothing was written");
    for (task, wanted) in [(&tasks[1], "number 3"), (&tasks[2], "number 4")] {
        let said = || host.cli(&["task", "logs", task]).stdout;
        // It is written off the actors' thread: perhaps after the task has ended.
        eventually("its log", || said().ends_with(&format!("{wanted}\n")));
        assert_eq!(said().lines().count(), 1);
    }
}

/// One that floods is slowed down; tasks of another go on, and the disk is left alone.
#[test]
fn an_agent_that_floods_slows_nobody_else() {
    let fleets = format!(
        "{WORKER}\n[fleets.flood]\nprotocol = \"service\"\n\
         command = [\"sh\", \"-c\", \"exec cat /dev/zero >&2\"]\n"
    );
    let host = Host::new(&fleets)
        .set("log.agent_rate", "256KiB")
        .set("log.agent_rotate_size", "512KiB")
        .up();
    host.until_agent("flood-1", "idle");
    let tasks: Vec<_> = (0..200).map(|n| json!({"input": {"op": "echo", "value": n}})).collect();
    let answer = host.ask(&Ask::new("POST", "/api/v1/tasks").json(&json!({ "tasks": tasks })));
    for item in answer.expect(201)["items"].as_array().unwrap() {
        assert_eq!(host.wait(item["id"].as_str().unwrap())["state"], "completed");
    }
    let logs = fs::read_dir(host.data_dir().join("logs/agents")).unwrap();
    let size: u64 = logs.map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(size > 0 && size < 3 << 20, "{size} bytes");
    assert_eq!(host.agent("flood-1")["state"], "idle");
}

/// What an exec agent prints goes to a file, past everybody: what it may write at most is all that holds it.
#[test]
fn an_exec_agent_that_floods_is_ended_and_its_tasks_fail() {
    let fleets = "[fleets.pours]\nprotocol = \"exec\"\nstdin = \"null\"\noutput = \"jsonl\"\n\
         command = [\"sh\", \"-c\", \"while [ $1 = 1 ]; do head -c 65536 /dev/zero; sleep 0.02; done >&2; echo 7\", \
         \"sh\", \"{{ input.pours }}\"]\nmax_written = \"1MiB\"\n";
    let host = Host::new(fleets).up();
    let task = |pours: u32| host.submit(&json!({"input": {"pours": pours}, "max_attempts": 1}));
    let flood = host.wait(&task(1));
    assert_eq!(
        (&flood["state"], &flood["error"]["class"]),
        (&json!("failed"), &json!("protocol")),
        "{flood}"
    );
    assert!(flood["error"]["message"].as_str().unwrap().contains("`max_written`"), "{flood}");
    let honest = host.wait(&task(0));
    assert_eq!((&honest["state"], &honest["output"]), (&json!("completed"), &json!(7)), "{honest}");
    assert_eq!(host.agent("pours-1")["restarts"], json!({"protocol": 1}));
}
