//! Many tasks at once, groups, and dead letters, on the command line and over HTTP.

use serde_json::{Value, json};

use crate::support::{
    host::{Host, WORKER},
    wire::Ask,
};

const FLEETS: &str = "
[fleets.other]
protocol = \"worker\"
command = [\"python3\", \"worker.py\"]
queues = [\"other\"]
";

fn echo() -> Value {
    json!({"input": {"op": "echo", "value": 1}})
}

fn failing(message: &str) -> Value {
    json!({"input": {"op": "fail", "message": message}, "max_attempts": 1})
}

fn count(host: &Host, path: &str) -> usize {
    host.get(path)["items"].as_array().unwrap().len()
}

#[test]
fn many_are_called_off_and_tried_again_by_what_they_are() {
    let host = Host::new(&format!("{WORKER}{FLEETS}")).up();
    let running = host.submit(&json!({"input": {"op": "sleep", "ms": 600_000}}));
    host.until_task(&running, "running");
    host.cli_json(&["task", "submit", "--count", "12", "--kind", "many", "--group", "import"]);
    host.cli_json(&["task", "submit", "--count", "3", "--kind", "few", "--delay", "1h"]);

    let dry =
        host.cli_json(&["task", "cancel", "--queue", "default", "--state", "pending", "--dry-run"]);
    let expected = json!({"matched": 12, "changed": 0, "requested": 0, "dry_run": true,
        "next_cursor": null});
    assert_eq!(dry, expected);
    assert_eq!(count(&host, "/api/v1/tasks?state=pending"), 12, "nothing was changed");
    let group = host.cli_json(&["group", "show", "import"]);
    assert_eq!((&group["total"], &group["counts"]["pending"]), (&json!(12), &json!(12)));
    assert_eq!(
        host.cli_json(&["task", "list", "--group", "import"])["items"].as_array().unwrap().len(),
        12
    );

    let some = host.cli_json(&["task", "cancel", "--group", "import", "--limit", "5"]);
    assert_eq!((&some["matched"], &some["changed"]), (&json!(5), &json!(5)));
    assert!(some["next_cursor"].is_string(), "{some}");
    let rest = host.cli_json(&["task", "cancel", "--group", "import"]);
    assert_eq!((&rest["changed"], &rest["requested"]), (&json!(7), &json!(0)));
    let group = host.get("/api/v1/groups/import");
    assert_eq!((&group["counts"], &group["total"]), (&json!({"cancelled": 12}), &json!(12)));

    let all = host.cli(&["task", "cancel", "--all"]);
    assert_eq!(all.code, 0, "{all:?}");
    assert!(all.stdout.contains("3 tasks cancelled; 1 that run are asked to stop"), "{all:?}");
    assert_eq!(host.wait(&running)["state"], "cancelled", "its agent was told");

    let none = host.cli_json(&["task", "retry", "--kind", "few"]);
    assert_eq!(none["matched"], 0, "called off ones only where somebody says so");
    let again = host.cli_json(&["task", "retry", "--kind", "few", "--state", "cancelled"]);
    assert_eq!(again["changed"], 3);
    let nothing = host.cli(&["task", "cancel"]);
    assert_eq!(nothing.code, 2, "{nothing:?}");
    assert!(nothing.stderr.contains("--all"), "{nothing:?}");
    let both = host.cli(&["task", "cancel", &running, "--queue", "default"]);
    assert_eq!(both.code, 2, "{both:?}");
    assert_eq!(host.cli(&["group", "show", "nobody"]).code, 4);
}

#[test]
fn a_request_does_a_part_and_says_where_to_go_on() {
    let host = Host::new(WORKER).up();
    host.cli_json(&["queue", "pause", "default"]);
    host.cli_json(&["task", "submit", "--count", "25", "--kind", "many"]);
    host.cli_json(&["task", "submit", "--count", "3", "--kind", "many", "--delay", "1h"]);
    // What is only counted comes to an end as well, though it stays where it is.
    for (dry_run, field) in [(true, "matched"), (false, "changed")] {
        let (mut cursor, mut dealt, mut rounds) = (Value::Null, 0, 0);
        loop {
            let body = json!({"kind": "many", "limit": 10, "cursor": cursor, "dry_run": dry_run});
            let part = host.ask(&Ask::new("POST", "/api/v1/tasks/cancel").json(&body)).expect(200);
            dealt += part[field].as_u64().unwrap();
            rounds += 1;
            cursor = part["next_cursor"].clone();
            if cursor.is_null() {
                break;
            }
            assert!(rounds < 10, "it goes on and on: {part}");
        }
        assert_eq!((dealt, rounds), (28, 3), "dry run: {dry_run}");
    }
}

#[test]
fn dead_letters_are_found_redriven_and_given_up() {
    let host = Host::new(&format!("{WORKER}{FLEETS}")).up();
    let ids: Vec<String> =
        ["one", "two", "three"].iter().map(|why| host.submit(&failing(why))).collect();
    let well = host.submit(&echo());
    for id in ids.iter().chain([&well]) {
        host.wait(id);
    }
    let listed = host.cli_json(&["dead", "list"]);
    let items = listed["items"].as_array().unwrap();
    assert_eq!(items.len(), 3, "{listed}");
    assert_eq!((&items[0]["id"], &items[0]["redrives"]), (&json!(ids[2]), &json!(0)));
    assert_eq!(items[0]["error"]["class"], "task");
    assert!(items[0]["error"]["message"].as_str().unwrap().contains("three"), "{listed}");
    let timeouts = host.cli_json(&["dead", "list", "--class", "timeout"]);
    assert_eq!(timeouts["items"], json!([]));
    let plain = host.cli(&["dead", "list"]);
    assert!(plain.stdout.contains("REDRIVES") && plain.stdout.contains("three"), "{plain:?}");

    let words = ["dead", "discard", &ids[0], "--reason", "no use"];
    assert_eq!(host.cli_json(&words)["changed"], 1);
    assert_eq!(host.cli_json(&["dead", "list"])["items"].as_array().unwrap().len(), 2);
    let shown = host.cli_json(&["dead", "show", &ids[0]]);
    assert_eq!(shown["letter"]["discard_reason"], "no use");
    assert_eq!(shown["attempts"].as_array().unwrap().len(), 1);
    assert!(host.cli(&["dead", "show", &ids[0]]).stdout.contains("no use"));
    assert_eq!(host.cli(&["dead", "show", &well]).code, 4, "it is not failed");

    // All that were not given up, to another queue, two a second: history and attempts go on.
    let dry = host.cli_json(&["dead", "redrive", "--class", "task", "--dry-run"]);
    assert_eq!(dry["matched"], 2);
    let words = ["dead", "redrive", "--class", "task", "--to", "other", "--rate", "2/s"];
    assert_eq!(host.cli_json(&words)["changed"], 2);
    for id in &ids[1..] {
        assert_eq!(host.wait(id)["state"], "failed");
        let letter = host.get(&format!("/api/v1/dead-letters/{id}"));
        assert_eq!((&letter["queue"], &letter["redrives"]), (&json!("other"), &json!(1)));
        assert_eq!((&letter["attempt"], &letter["failures"]), (&json!(2), &json!(1)));
        assert_eq!(host.history(id, "attempts").len(), 2);
    }
    let path = |id| {
        let events = host.history(id, "events");
        events.iter().map(|one| one["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = ["pending", "running", "failed", "pending", "running", "failed"];
    assert_eq!(path(&ids[1]), first);
    let second = ["pending", "running", "failed", "scheduled", "pending", "running", "failed"];
    assert_eq!(path(&ids[2]), second, "it had to wait for its turn");
    let named = host.cli_json(&["dead", "redrive", &ids[0]]);
    assert_eq!(named["changed"], 1, "who names it means it");
    assert_eq!(host.wait(&ids[0])["state"], "failed");
    let letter = host.get(&format!("/api/v1/dead-letters/{}", ids[0]));
    assert_eq!((&letter["redrives"], &letter["discarded_at"]), (&json!(1), &Value::Null));
}
