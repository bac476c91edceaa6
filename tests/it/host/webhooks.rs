//! Signed webhooks out.

use std::{
    collections::BTreeSet,
    io::Write as _,
    process::{Command, Stdio},
};

use hostler::domain::delivery::signature::{SigningKey, verify};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::all_kinds;
use crate::support::{
    host::Host,
    processes::eventually,
    receiver::{Got, Receiver},
    tools,
    wire::Ask,
};

/// A host that may tell receivers of this machine; not started yet.
fn telling(config: &str) -> Host {
    Host::new(config).set("deliveries.allow_loopback", "true")
}

fn host() -> Host {
    telling(&all_kinds()).up()
}

/// Makes an endpoint; its secret.
fn endpoint(host: &Host, name: &str, body: &Value) -> SigningKey {
    let path = format!("/api/v1/webhooks/endpoints/{name}");
    let made = host.ask(&Ask::new("PUT", &path).json(body)).expect(201);
    made["secret"].as_str().unwrap().parse().unwrap()
}

fn post(host: &Host, path: &str, body: &Value) -> Value {
    host.ask(&Ask::new("POST", &format!("/api/v1/webhooks{path}")).json(body)).expect(200)
}

fn is_signed(got: &Got, key: &SigningKey) -> bool {
    let headers = (
        got.header("webhook-id"),
        got.header("webhook-timestamp"),
        got.header("webhook-signature"),
    );
    verify(key, headers, &got.body, Timestamp::now().as_second()).is_ok()
}

#[test]
fn an_endpoint_is_told_of_what_its_filter_takes_over_a_crash() {
    let receiver = Receiver::new(&[]);
    // What a worker was just being told, or had just said, as the host died, is given up by silence.
    let mut host = telling(&all_kinds())
        .set("fleets.quick.heartbeat.every", "1s")
        .set("fleets.quick.heartbeat.stale_after", "8s")
        .up();
    let before = host.submit(&json!({"kind": "wanted", "input": {"op": "echo", "value": 0}}));
    host.wait(&before);
    let filter = json!({"types": ["task.ended"], "kinds": ["wanted"]});
    let key = endpoint(&host, "ops", &json!({"url": receiver.url("/in"), "filter": filter}));
    let mut expected = BTreeSet::new();
    for nth in 0..5 {
        host.submit(&json!({"kind": "other", "input": {"op": "echo", "value": nth}}));
        expected
            .insert(host.submit(&json!({"kind": "wanted", "input": {"op": "echo", "value": nth}})));
    }
    host.kill9();
    host.restart();
    expected.insert(
        host.submit(&json!({"kind": "wanted", "input": {"op": "fail"}, "max_attempts": 1})),
    );
    for task in &expected {
        host.wait(task);
    }
    let tasks = |got: &[Got]| -> BTreeSet<String> {
        got.iter().map(|one| one.json()["data"]["task"].as_str().unwrap().to_owned()).collect()
    };
    eventually("all are told", || tasks(&receiver.got()) == expected);
    for one in receiver.got() {
        assert!(is_signed(&one, &key), "{one:?}");
        let body = one.json();
        assert!(one.header("webhook-id").starts_with("msg_"));
        match body["type"].as_str().unwrap() {
            "task.completed" => assert!(body["data"]["output"].is_number(), "{body}"),
            "task.failed" => assert_eq!(body["data"]["error"]["class"], "task", "{body}"),
            other => panic!("{other}"),
        }
    }
    let ids: BTreeSet<_> =
        receiver.got().iter().map(|one| one.header("webhook-id").to_owned()).collect();
    assert_eq!(ids.len(), expected.len(), "one delivery each, whatever was sent twice");
    let metrics = host.ask(&Ask::new("GET", "/metrics")).text();
    assert!(
        metrics.contains("hostler_webhook_deliveries_total{outcome=\"delivered\"}"),
        "{metrics}"
    );
}

#[test]
fn what_was_on_its_way_when_the_host_was_killed_goes_again_at_once() {
    let receiver = Receiver::new(&[""]);
    let mut host = host();
    let filter = json!({"types": ["task.completed"]});
    endpoint(&host, "ops", &json!({"url": receiver.url("/in"), "filter": filter, "timeout": "1m"}));
    host.submit(&json!({"input": {"op": "echo", "value": 7}}));
    receiver.wait(1);
    host.kill9();
    host.restart();
    // By the time that its answer could have taken, it would come half a minute too late for this.
    let got = receiver.wait(2);
    assert_eq!(got[0].header("webhook-id"), got[1].header("webhook-id"));
}

#[test]
fn a_callback_tells_the_end_of_its_task_once() {
    let receiver = Receiver::new(&[]);
    let host = host();
    let url = receiver.url("/done?x=1");
    let task = host.submit(&json!({"input": {"op": "echo", "value": 7}, "callback_url": url}));
    let got = receiver.wait(1);
    assert_eq!(got[0].json()["data"]["task"], json!(task));
    assert_eq!(got[0].json()["data"]["output"], 7);
    let rotated = post(&host, "/endpoints/callbacks/rotate", &json!({"both": "1h"}));
    let key: SigningKey = rotated["secret"].as_str().unwrap().parse().unwrap();
    assert!(!is_signed(&got[0], &key), "by the secret of then");
    let again = json!({"input": {"op": "echo", "value": 8}, "callback_url": url});
    host.submit(&again);
    let got = receiver.wait(2);
    assert!(is_signed(&got[1], &key));
    assert_eq!(got[1].header("webhook-signature").split(' ').count(), 2, "both secrets sign");
    let bad =
        host.ask(&Ask::new("POST", "/api/v1/tasks").json(&json!({"callback_url": "ftp://a"})));
    assert_eq!(bad.expect(422)["errors"][0]["field"], "callback_url");
    let listed =
        host.cli_json(&["webhook", "deliveries", "--endpoint", "callbacks", "--task", &task]);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(listed["items"][0]["state"], "delivered");
}

#[test]
fn failures_are_kept_and_sent_again_and_410_is_the_end() {
    let receiver = Receiver::new(&[
        "302 Found\r\nLocation: /elsewhere",
        "503 Busy\r\nRetry-After: 7",
        "410 Gone",
    ]);
    let host = host();
    let key = endpoint(&host, "ops", &json!({"url": receiver.url("/in")}));
    let failed = host.cli(&["webhook", "test", "ops"]);
    assert!(failed.code == 1 && failed.stderr.contains("it answered 302"), "{failed:?}");
    // Five seconds later it comes again by itself, under the same id.
    let got = receiver.wait(2);
    assert_eq!(got[0].header("webhook-id"), got[1].header("webhook-id"));
    assert!(got.iter().all(|one| is_signed(one, &key)));
    let of_one = |id: &str| host.get(&format!("/api/v1/webhooks/deliveries/{id}"));
    let id = got[0].header("webhook-id").to_owned();
    eventually("two failures", || of_one(&id)["failures"] == 2);
    let record = of_one(&id);
    assert_eq!((&record["status"], &record["state"]), (&json!(503), &json!("pending")));
    let ops = || host.get("/api/v1/webhooks/endpoints/ops");
    assert!(ops()["not_before"].is_string(), "it asked for time: {}", ops());
    // What waits is not sent before that; then it is gone.
    host.ask(&Ask::new("POST", "/api/v1/webhooks/endpoints/ops/test").json(&json!({}))).expect(202);
    eventually("gone", || ops()["enabled"] == false);
    assert!(ops()["disabled_reason"].as_str().unwrap().contains("410"));
    let dead = host.cli_json(&["webhook", "deliveries", "--state", "dead"]);
    let dead = dead["items"][0]["id"].as_str().unwrap().to_owned();
    let before = receiver.got().len();
    host.cli_json(&["webhook", "enable", "ops"]);
    assert_eq!(host.cli_json(&["webhook", "replay", "--dead", "ops"])["replayed"], 1);
    eventually("taken", || of_one(&dead)["state"] == "delivered");
    assert!(receiver.got().len() > before);
    assert_eq!(host.cli_json(&["webhook", "replay", &dead])["replayed"], 1);
    eventually("taken again", || {
        receiver.got().iter().filter(|one| one.header("webhook-id") == dead).count() >= 3
    });
    let unknown = host.cli(&["webhook", "replay", "msg_00000000000000000000000000000001"]);
    assert_eq!(unknown.code, 4, "{unknown:?}");
}

#[test]
fn an_ordered_endpoint_is_told_one_after_another() {
    let receiver = Receiver::new(&["500 No"]);
    // A host that polls often gives back at once what its agents, slow on a busy machine, have not begun yet: two steps more.
    let host = telling(&all_kinds()).set("tasks.poll", "1m").up();
    let filter = json!({"types": ["task.*"]});
    let body = json!({"url": receiver.url("/in"), "ordered": true, "filter": filter});
    endpoint(&host, "audit", &body);
    let tasks: Vec<_> =
        (0..4).map(|nth| host.submit(&json!({"input": {"op": "echo", "value": nth}}))).collect();
    for task in &tasks {
        host.wait(task);
    }
    // Twelve steps, of which the first is sent twice.
    let got = receiver.wait(13);
    assert_eq!(got[0].header("webhook-id"), got[1].header("webhook-id"));
    for task in &tasks {
        let numbers: Vec<_> = got[1..]
            .iter()
            .map(Got::json)
            .filter(|body| body["data"]["task"] == json!(task))
            .map(|body| body["data"]["number"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers, [1, 2, 3], "{task}");
    }
}

#[test]
fn the_inside_of_a_network_is_not_asked_unless_that_is_allowed() {
    let receiver = Receiver::new(&[]);
    let host = Host::new(&all_kinds()).up();
    for url in [receiver.url("/"), receiver.url("/").replace("127.0.0.1", "localhost")] {
        let path = "/api/v1/webhooks/endpoints/inside";
        host.ask(&Ask::new("PUT", path).json(&json!({ "url": url })));
        let refused = host.cli(&["webhook", "test", "inside"]);
        assert!(refused.code == 1 && refused.stderr.contains("does not call"), "{refused:?}");
    }
    assert_eq!(receiver.got().len(), 0);
}

#[test]
fn endpoints_of_the_config_file_are_there_and_their_secret_does_not_show() {
    let receiver = Receiver::new(&[]);
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let config = format!(
        "{}\n[webhooks.ops]\nurl = \"{}\"\nsecret = \"{secret}\"\n",
        all_kinds(),
        receiver.url("/in")
    );
    let host = telling(&config).up();
    let task = host.submit(&json!({"input": {"op": "echo", "value": 1}}));
    let got = receiver.wait(1);
    assert!(is_signed(&got[0], &secret.parse().unwrap()));
    assert_eq!(got[0].json()["data"]["task"], json!(task));
    let listed = host.cli_json(&["webhook", "endpoints"]);
    assert_eq!(listed["items"][0]["origin"], "config");
    assert!(!listed.to_string().contains("MfKQ9") && !host.log().contains("MfKQ9"));
}

/// Sends one webhook, and gives it with its secret to a program that knows the reference library.
fn as_the_reference_says(program: &str, script: &str, env: (&str, std::path::PathBuf)) {
    let receiver = Receiver::new(&[]);
    let host = host();
    let filter = json!({"types": ["task.completed"]});
    let key = endpoint(&host, "ops", &json!({"url": receiver.url("/in"), "filter": filter}));
    let task = host.submit(&json!({"input": {"op": "echo", "value": "grüße"}}));
    host.wait(&task);
    let got = receiver.wait(1).remove(0);
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: Value =
        names.iter().map(|name| ((*name).to_owned(), json!(got.header(name)))).collect();
    let body = String::from_utf8(got.body).unwrap();
    let input = json!({"secret": key.reveal(), "headers": headers, "body": body});
    let flag = if program == "node" { "-e" } else { "-c" };
    let mut child = Command::new(program)
        .args([flag, script])
        .env(env.0, env.1)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said.trim(), "good, forged refused", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_reference_library_for_python_takes_what_is_sent() {
    let Some(dir) = tools::python("standardwebhooks-py", &["standardwebhooks==1.0.1"]) else {
        return;
    };
    let script = r#"
import json, sys
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
got = json.load(sys.stdin)
hook = Webhook(got["secret"])
assert hook.verify(got["body"], got["headers"])["data"]["output"] == "grüße"
try:
    hook.verify(got["body"] + " ", got["headers"])
except WebhookVerificationError:
    print("good, forged refused")
"#;
    as_the_reference_says("python3", script, ("PYTHONPATH", dir));
}

#[test]
fn the_reference_library_for_node_takes_what_is_sent() {
    let Some(dir) = tools::node("standardwebhooks-js", &["standardwebhooks@1.0.0"]) else { return };
    let script = r#"
const { Webhook } = require("standardwebhooks");
const got = JSON.parse(require("fs").readFileSync(0, "utf8"));
const hook = new Webhook(got.secret);
if (hook.verify(got.body, got.headers).data.output !== "grüße") throw new Error("not the output");
try { hook.verify(got.body + " ", got.headers); } catch (error) { console.log("good, forged refused"); }
"#;
    as_the_reference_says("node", script, ("NODE_PATH", dir.join("node_modules")));
}
