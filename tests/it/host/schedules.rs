//! Schedules, with the real program.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::{
    host::{Host, WORKER},
    processes::eventually,
    wire::Ask,
};

fn with_schedules(schedules: &str) -> String {
    format!("{WORKER}count = 2\nrestart.backoff_min = \"10ms\"\n{schedules}")
}

fn schedule(host: &Host, name: &str) -> Value {
    host.get(&format!("/api/v1/schedules/{name}"))
}

fn firings(host: &Host, name: &str) -> Vec<Value> {
    let listing = host.get(&format!("/api/v1/schedules/{name}/firings?limit=200"));
    listing["items"].as_array().unwrap().clone()
}

fn count(host: &Host, name: &str, outcome: &str) -> usize {
    firings(host, name).iter().filter(|firing| firing["outcome"] == outcome).count()
}

#[test]
fn a_schedule_of_the_config_file_fires_and_its_tasks_run() {
    let tick = "[schedules.tick]\nevery = \"1s\"\nkind = \"tick\"\noverlap = \"queue\"\n\
        input = { op = \"echo\", value = \"{{ schedule }} {{ scheduled_for }}\" }\n";
    let host = Host::new(&with_schedules(tick)).up();
    eventually("three are done", || {
        let done = host.get("/api/v1/tasks?kind=tick&state=completed");
        done["items"].as_array().unwrap().len() >= 3
    });
    host.cli_json(&["schedule", "pause", "tick", "--reason", "enough"]);
    let firings = firings(&host, "tick");
    let mut dues = BTreeSet::new();
    for firing in &firings {
        assert_eq!(firing["outcome"], "fired", "{firing}");
        assert!(dues.insert(firing["scheduled_for"].as_str().unwrap().to_owned()));
        let task = host.wait(firing["task"].as_str().unwrap());
        let said = task["output"].as_str().unwrap();
        let (name, due) = said.split_once(' ').unwrap();
        assert_eq!(name, "tick");
        let parsed = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
        assert_eq!(parsed(due), parsed(firing["scheduled_for"].as_str().unwrap()));
    }
    let tasks = host.get("/api/v1/tasks?kind=tick&limit=500");
    assert_eq!(tasks["items"].as_array().unwrap().len(), firings.len(), "one each");
    let metrics = host.ask(&Ask::new("GET", "/metrics")).text();
    let counted = format!("hostler_schedule_firings_total{{outcome=\"fired\"}} {}", firings.len());
    assert!(metrics.contains(&counted), "{counted} in\n{metrics}");
    assert_eq!(schedule(&host, "tick")["origin"], "config");
}

#[test]
fn a_due_time_is_passed_over_or_takes_the_place_of_a_task_that_is_not_finished() {
    let slow = |name: &str, overlap: &str| {
        format!(
            "[schedules.{name}]\nevery = \"1s\"\nkind = \"{name}\"\noverlap = \"{overlap}\"\n\
             input = {{ op = \"sleep\", ms = 600000 }}\n"
        )
    };
    let schedules = [slow("skips", "skip"), slow("replaces", "replace")].concat();
    let host = Host::new(&with_schedules(&schedules)).up();
    eventually("two due times are passed over", || count(&host, "skips", "skipped") >= 2);
    let tasks = host.get("/api/v1/tasks?kind=skips");
    assert_eq!(tasks["items"].as_array().unwrap().len(), 1, "{tasks}");
    let note = firings(&host, "skips")[0]["note"].as_str().unwrap().to_owned();
    assert!(note.contains(tasks["items"][0]["id"].as_str().unwrap()), "{note}");

    eventually("a running task was called off for the next", || {
        let cancelled = host.get("/api/v1/tasks?kind=replaces&state=cancelled");
        cancelled["items"].as_array().unwrap().iter().any(|task| task["attempt"] == 1)
    });
    host.cli_json(&["schedule", "pause", "replaces"]);
    let last = schedule(&host, "replaces")["last_task"].as_str().unwrap().to_owned();
    host.until_task(&last, "running");
    let replaced: Vec<_> = firings(&host, "replaces")
        .iter()
        .filter_map(|firing| firing["replaced"].as_str().map(str::to_owned))
        .collect();
    assert!(!replaced.is_empty() && !replaced.contains(&last));
    for task in &replaced {
        assert_eq!(host.wait(task)["state"], "cancelled");
    }
}

#[test]
fn due_times_go_on_when_the_leader_is_lost_and_fire_once_each() {
    let tick = "[schedules.tick]\nevery = \"1s\"\nkind = \"tick\"\noverlap = \"queue\"\n\
        catch_up = \"all\"\ncatch_up_max = 100\ninput = { op = \"echo\" }\n";
    let fleets = with_schedules(tick);
    let mut first = Host::new(&fleets).set("host.lease", "2s").up();
    let second = first.beside(&fleets).set("host.lease", "2s").up();
    eventually("the first leads", || count(&second, "tick", "fired") >= 1);
    first.kill9();
    let before = firings(&second, "tick").len();
    eventually("the second goes on", || count(&second, "tick", "fired") >= before + 3);
    second.cli_json(&["schedule", "pause", "tick"]);
    let firings = firings(&second, "tick");
    let mut seconds: Vec<i64> = firings
        .iter()
        .map(|firing| {
            let due: jiff::Timestamp = firing["scheduled_for"].as_str().unwrap().parse().unwrap();
            due.as_second()
        })
        .collect();
    seconds.sort_unstable();
    for pair in seconds.windows(2) {
        assert_eq!(
            pair[1] - pair[0],
            1,
            "no due time is lost, and none is there twice: {seconds:?}"
        );
    }
    let tasks: BTreeMap<_, _> = firings
        .iter()
        .map(|firing| (firing["task"].as_str().unwrap().to_owned(), firing))
        .collect();
    let listed = second.get("/api/v1/tasks?kind=tick&limit=500");
    assert_eq!(listed["items"].as_array().unwrap().len(), tasks.len());
    for task in tasks.keys() {
        assert_eq!(second.wait(task)["state"], "completed");
    }
    first.until_nothing_is_left();
}

#[test]
fn a_schedule_lives_its_life_on_the_command_line() {
    let host = Host::new(WORKER).up();
    let add = ["schedule", "add", "nightly", "--cron", "30 2 * * *", "--zone", "Europe/Berlin"];
    let rest =
        ["--kind", "report", "--input", r#"{"op": "echo", "value": 7}"#, "--overlap", "queue"];
    let made = host.cli_json(&[&add[..], &rest[..]].concat());
    assert_eq!((&made["cron"], &made["zone"]), (&json!("30 2 * * *"), &json!("Europe/Berlin")));
    assert!(made["next_at"].as_str().is_some());
    let next = host.cli_json(&["schedule", "next", "nightly", "--count", "3"]);
    let next = next["items"].as_array().unwrap();
    assert_eq!((next.len(), &next[0]["at"]), (3, &made["next_at"]));
    assert!(next[0]["local"].as_str().unwrap().contains("T02:30:00+0"), "{next:?}");
    let preview = host.cli(&["schedule", "next", "--cron", "@hourly", "--count", "2"]);
    assert_eq!((preview.code, preview.stdout.lines().count()), (0, 2), "{preview:?}");

    let task = host.cli_json(&["schedule", "run", "nightly"]);
    let ended = host.wait(task["id"].as_str().unwrap());
    assert_eq!((&ended["kind"], &ended["output"]), (&json!("report"), &json!(7)));
    let shown = host.cli_json(&["schedule", "show", "nightly"]);
    assert_eq!(shown["schedule"]["last_task"], task["id"]);
    assert_eq!(shown["schedule"]["last_task_state"], "completed");
    assert_eq!(shown["firings"][0]["outcome"], "by_hand");
    let sheet = host.cli(&["schedule", "show", "nightly"]);
    assert!(sheet.stdout.contains("by_hand"), "{sheet:?}");

    let paused = host.cli_json(&["schedule", "pause", "nightly", "--reason", "moving house"]);
    assert_eq!(
        (&paused["paused_reason"], &paused["next_at"]),
        (&json!("moving house"), &json!(null))
    );
    let listed = host.cli(&["schedule", "list"]);
    assert!(listed.stdout.contains("moving house"), "{listed:?}");
    let resumed = host.cli_json(&["schedule", "resume", "nightly"]);
    assert_eq!((&resumed["paused"], &resumed["next_at"]), (&json!(false), &made["next_at"]));
    host.cli_json(&["schedule", "remove", "nightly"]);
    assert_eq!(host.cli_json(&["schedule", "list"])["items"], json!([]));

    let rows = [
        (&["schedule", "show", "nightly"][..], 4, "no schedule `nightly`"),
        (&["schedule", "run", "nightly"], 4, "no schedule `nightly`"),
        (&["schedule", "add", "x", "--every", "1h", "--queue", "gone"], 2, "no queue `gone`"),
        (&["schedule", "add", "x", "--cron", "0 25 * * *"], 2, "hour `25`"),
        (&["schedule", "add", "x"], 2, "--cron"),
    ];
    for (words, code, part) in rows {
        let done = host.cli(words);
        assert_eq!(done.code, code, "{words:?}: {done:?}");
        assert!(done.stderr.contains(part), "{words:?}: {done:?}");
    }
    let broken =
        Ask::new("PUT", "/api/v1/schedules/x").json(&json!({"every": "1s", "zone": "Mars"}));
    let problem = host.ask(&broken).expect(422);
    assert_eq!(problem["errors"][0]["field"], "zone");
}
