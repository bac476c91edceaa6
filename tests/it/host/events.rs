//! The feed over HTTP and on the command line.

use serde_json::json;

use super::all_kinds;
use crate::support::{host::Host, wire::Ask};

#[test]
fn a_reader_of_the_feed_outlives_its_host() {
    let mut host = Host::new(&all_kinds()).up();
    let page = |host: &Host, query: &str| {
        host.ask(&Ask::new("GET", &format!("/api/v1/events{query}"))).expect(200)
    };
    let begin = page(&host, "?after=latest");
    assert_eq!(begin["items"], json!([]));
    let done = host.submit(&json!({"input": {"op": "echo", "value": 1}}));
    host.wait(&done);
    let waiting = host.submit(&json!({"delay": "1h"}));
    let first = page(&host, &format!("?after={}&limit=2&wait=5s", begin["next"].as_str().unwrap()));
    assert_eq!(first["items"][0]["state"], "pending");
    assert_eq!(first["items"][1]["state"], "running");

    host.kill9();
    host.restart();
    let rest = page(&host, &format!("?after={}", first["next"].as_str().unwrap()));
    let told: Vec<_> = rest["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            (
                event["task"].as_str().unwrap(),
                event["number"].as_u64().unwrap(),
                event["state"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(told, [(&*done, 3, "completed"), (&*waiting, 1, "scheduled")]);
    let shown = host.cli(&["events", "--after", begin["next"].as_str().unwrap()]);
    assert!(shown.code == 0 && shown.stdout.contains("completed"), "{shown:?}");
    assert!(shown.stdout.contains("next: "), "{shown:?}");

    for (query, field) in
        [("?after=x", "after"), ("?limit=0", "limit"), ("?wait=9", "wait"), ("?a=1", "`a`")]
    {
        let problem = host.ask(&Ask::new("GET", &format!("/api/v1/events{query}"))).expect(400);
        assert!(problem["detail"].as_str().unwrap().contains(field), "{problem}");
    }
}
