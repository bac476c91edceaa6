use proptest::prelude::*;

use super::*;
use crate::domain::{Attempt, event::Labels, record::FeedEvent, task::TaskState};

fn status(status: u16) -> Answer {
    Answer::Status { status, retry_after: None }
}

fn after(status: u16, seconds: u64) -> Answer {
    Answer::Status { status, retry_after: Some(Duration::from_secs(seconds)) }
}

fn again(wait: Duration, hold: Option<Duration>) -> Verdict {
    Verdict::Again { wait, hold }
}

fn minute() -> Duration {
    Duration::from_secs(60)
}

#[test]
fn the_schedule_is_that_of_the_specification() {
    let total: Duration = WAITS.iter().sum();
    assert_eq!(total, Duration::from_secs((75 * 60 + 35) * 60 + 5), "75:35:05 after the first");
}

#[test]
fn each_answer_has_its_verdict() {
    let rows = [
        (status(200), 0, Verdict::Delivered),
        (status(204), 9, Verdict::Delivered),
        (status(299), 3, Verdict::Delivered),
        (status(199), 0, again(WAITS[0], None)),
        (status(301), 0, again(WAITS[0], None)),
        (status(307), 1, again(WAITS[1], None)),
        (status(400), 0, again(WAITS[0], None)),
        (status(404), 8, again(WAITS[8], None)),
        (status(500), 9, Verdict::Dead),
        (status(503), 0, again(WAITS[0], None)),
        (status(429), 0, again(WAITS[0], Some(WAITS[0]))),
        (status(502), 0, again(WAITS[0], Some(WAITS[0]))),
        (status(504), 2, again(WAITS[2], Some(WAITS[0]))),
        (status(410), 0, Verdict::Gone),
        (status(410), 9, Verdict::Gone),
        (after(429, 60), 0, again(minute(), Some(minute()))),
        (after(503, 60), 0, again(minute(), Some(minute()))),
        (after(500, 60), 0, again(minute(), None)),
        (after(503, 7), 1, again(WAITS[1], Some(Duration::from_secs(7)))),
        (after(500, 1), 1, again(WAITS[1], None)),
        (after(429, u64::MAX), 0, again(MAX_RETRY_AFTER, Some(MAX_RETRY_AFTER))),
        (after(200, 60), 0, Verdict::Delivered),
        (Answer::Nothing("no route".to_owned()), 0, again(WAITS[0], None)),
        (Answer::Nothing("no route".to_owned()), 9, Verdict::Dead),
    ];
    for (answer, failures, verdict) in rows {
        assert_eq!(judge(&answer, failures, 0.0), verdict, "{answer:?} after {failures}");
    }
}

proptest! {
    #[test]
    fn a_wait_is_never_short_and_never_without_an_end(
        code in 100_u16..600,
        asked in proptest::option::of(any::<u64>()),
        failures in 0_u32..20,
        chance in any::<f64>(),
    ) {
        let retry_after = asked.map(Duration::from_secs);
        match judge(&Answer::Status { status: code, retry_after }, failures, chance) {
            Verdict::Again { wait, .. } => {
                prop_assert!(failures < 9);
                let least = WAITS[failures as usize];
                prop_assert!(wait >= least && wait >= retry_after.unwrap_or_default().min(MAX_RETRY_AFTER));
                prop_assert!(wait <= least.mul_f64(1.1).max(MAX_RETRY_AFTER) + Duration::from_micros(1));
            }
            Verdict::Delivered => prop_assert!((200..300).contains(&code)),
            Verdict::Gone => prop_assert_eq!(code, 410),
            Verdict::Dead => prop_assert!(failures >= 9),
        }
    }

    #[test]
    fn no_retry_after_makes_it_fall_over(text in ".{0,60}") {
        retry_after(&text, Timestamp::UNIX_EPOCH);
    }
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let now: Timestamp = "2015-10-21T07:28:00Z".parse().unwrap();
    let rows = [
        ("120", Some(120)),
        (" 0 ", Some(0)),
        ("Wed, 21 Oct 2015 07:29:00 GMT", Some(60)),
        ("Wed, 21 Oct 2015 07:27:00 GMT", Some(0)),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
    ];
    for (text, seconds) in rows {
        assert_eq!(retry_after(text, now), seconds.map(Duration::from_secs), "{text}");
    }
}

#[test]
fn a_message_id_is_read_as_it_was_written() {
    let id = Uuid::from_u128(7);
    assert_eq!(message_id(id), "msg_00000000000000000000000000000007");
    assert_eq!(parse_message_id(&message_id(id)), Some(id));
    for bad in ["", "msg_", "msg_7", "00000000000000000000000000000007", "msg_{00000000-0000}"] {
        assert_eq!(parse_message_id(bad), None, "{bad}");
    }
}

fn event(state: TaskState) -> TaskEvent {
    let step = FeedEvent {
        task: TaskId::from_uuid(Uuid::from_u128(1)),
        number: 3,
        state,
        attempt: Attempt(1),
        at: Timestamp::UNIX_EPOCH,
    };
    TaskEvent::of(step, Labels { kind: Some("pr".to_owned()), ..Labels::default() })
}

fn read(payload: &str) -> Value {
    serde_json::from_str(payload).unwrap()
}

#[test]
fn the_payload_has_the_result_or_where_it_is() {
    let small = Ending { output: Some(json!({"a": 1})), failure: None };
    let body = read(&payload(&event(TaskState::Completed), Some(small)));
    assert_eq!(
        (&body["type"], &body["timestamp"]),
        (&json!("task.completed"), &json!("1970-01-01T00:00:00Z"))
    );
    assert_eq!((&body["data"]["output"], &body["data"]["kind"]), (&json!({"a": 1}), &json!("pr")));
    assert!(body["data"].get("type").is_none());

    let large = Ending { output: Some(json!("x".repeat(MAX_RESULT))), failure: None };
    let body = read(&payload(&event(TaskState::Completed), Some(large)));
    assert_eq!(body["data"]["output"], Value::Null);
    assert_eq!(body["data"]["output_bytes"], MAX_RESULT + 2);
    assert_eq!(body["data"]["result_path"], "/api/v1/tasks/tsk_00000000000000000000000000000001");

    let failed = Ending { output: None, failure: Some((FailureClass::Stale, "silent".to_owned())) };
    let body = read(&payload(&event(TaskState::Failed), Some(failed)));
    assert_eq!(body["data"]["error"], json!({"class": "stale", "message": "silent"}));
    let body = read(&payload(&event(TaskState::Running), None));
    assert!(body["data"].get("output").is_none(), "{body}");
}
