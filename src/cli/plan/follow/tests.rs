use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::*;

fn run(state: &str) -> RunRecord {
    serde_json::from_value(json!({
        "id": "run_00000000000000000000000000000007", "title": "T", "state": state, "agents": 2,
        "hour_ms": 1000, "rehearsal": true, "phased": false, "sequential_ms": 1, "makespan_ms": 1,
        "lower_bound_ms": 1, "found_by": "x", "proven_optimal": true, "total": 3,
        "counts": {"completed": 1, "running": 1, "pending": 1},
        "created_at": "1970-01-01T00:00:00Z", "looked_at": null,
        "expected_end_at": "1970-01-01T00:00:09Z", "replanned": 0, "paused_at": null,
        "paused_reason": null, "cancelled_at": null, "ended_at": null,
    }))
    .unwrap()
}

fn task(place: usize, state: &str, phase: Option<&str>) -> RunTaskRecord {
    serde_json::from_value(json!({
        "id": format!("t{place}"), "place": place, "title": "", "phase": phase, "human": place == 2,
        "state": state, "task": format!("tsk_0000000000000000000000000000000{place}"),
        "approval": null, "approval_state": null, "depends_on": [], "planned_ms": 3_600_000,
        "planned_start_ms": 0, "planned_finish_ms": 0, "worker": "agent 1", "critical": place == 1,
        "priority": 0, "condition": null, "decided": null, "skipped_at": null, "ready_at": null, "began_at": null,
        "running_since": if state == "running" { Some("1970-01-01T00:00:01Z") } else { None },
        "ended_at": null, "agent": null, "took_ms": null, "message": null,
    }))
    .unwrap()
}

fn all() -> [RunTaskRecord; 3] {
    [task(0, "completed", Some("one")), task(1, "running", Some("one")), task(2, "pending", None)]
}

#[test]
fn a_phase_is_as_far_as_its_tasks_are_long() {
    let names = |tasks: &[RunTaskRecord]| {
        parts(tasks).into_iter().map(|part| part.name).collect::<Vec<_>>()
    };
    let mut tasks = all();
    assert_eq!(names(&tasks), ["one", "plan"], "one stream alone is no news");
    let first = &parts(&tasks)[0];
    assert_eq!((first.ended, first.tasks), (1, 2));
    assert_eq!((first.done, first.length), (3_600_000, 7_200_000));
    tasks[0].worker = "agent 2".to_owned();
    assert_eq!(names(&tasks), ["one", "plan", "agent 1", "agent 2"]);
    assert_eq!((parts(&tasks)[3].ended, parts(&tasks)[2].ended), (1, 0));
    let of = |number: usize| {
        let mut task = task(1, "pending", None);
        task.worker = format!("agent {number}");
        task
    };
    let crowd: Vec<_> = (0..20).map(of).collect();
    assert_eq!(names(&crowd), ["plan"]);
}

#[test]
fn what_is_at_work_and_who_is_waited_for_is_named() {
    let now = Timestamp::from_second(3).unwrap();
    let line = at_work(&run("running"), &all(), now);
    assert_eq!(line, "t2 waits for a person, t1* 2s/1s");
    let line = headline(&run("running"), now);
    assert!(line.ends_with("running: 1/3 done, 6s to go"), "{line}");
    assert!(headline(&run("paused"), now).ends_with("paused: 1/3 done"));
}

#[test]
fn each_change_is_a_line_once() {
    let mut seen = BTreeMap::new();
    let mut tasks = all();
    let lines = changes(&run("running"), &tasks, &mut seen);
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(lines[2], "t1 * running");
    assert!(changes(&run("running"), &tasks, &mut seen).is_empty());
    tasks[1].state = TaskState::Failed;
    tasks[1].message = Some("no luck".to_owned());
    assert_eq!(changes(&run("running"), &tasks, &mut seen), ["t1 * failed: no luck"]);
}
