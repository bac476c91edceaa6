//! The conversation, line by line.

mod fuzz;
mod notices;

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::{
    domain::{
        Attempt, Generation,
        task::{Assignment, FailureClass, Outcome},
    },
    protocol::task::sample::assignment,
};

const TASK: &str = "tsk_00000000000000000000000000000007";

fn terms() -> Terms {
    Terms {
        agent: "claude-1".parse().unwrap(),
        fleet: "claude".parse().unwrap(),
        generation: Generation(4),
        heartbeat: Duration::from_secs(5),
        max_output: 100,
        prefetch: 1,
        attempts: None,
    }
}

/// A session whose agent has said hello: its next request has the id 2.
fn ready() -> WorkerSession {
    let mut session = WorkerSession::new(terms());
    session.hello();
    let hello = br#"{"jsonrpc":"2.0","id":1,"result":{"protocol_version":1}}"#;
    assert!(matches!(session.receive(hello), Ok(Received::Ready { .. })));
    session
}

/// A session whose agent has attempt 1 of the sample task, as request 2.
fn busy() -> WorkerSession {
    let mut session = ready();
    session.run(&assignment(json!("in")), None).unwrap();
    session
}

fn hear(session: &mut WorkerSession, message: &Value) -> Result<Received, ProtocolError> {
    session.receive(message.to_string().as_bytes())
}

fn json_of(bytes: &[u8]) -> Value {
    assert_eq!(bytes.iter().position(|byte| *byte == b'\n'), Some(bytes.len() - 1));
    serde_json::from_slice(bytes).unwrap()
}

fn answer(id: u64, result: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

fn finished(outcome: Outcome) -> Result<Received, ProtocolError> {
    let assignment = assignment(json!(0));
    Ok(Received::Finished { task: assignment.task, attempt: assignment.attempt, outcome })
}

/// Calls the sample task off.
fn cancel(session: &mut WorkerSession) -> Option<Vec<u8>> {
    let assignment = assignment(json!(0));
    session.cancel(assignment.task, assignment.attempt)
}

#[test]
fn the_host_speaks_as_documented() {
    let mut session = WorkerSession::new(terms());
    assert_eq!(
        json_of(&session.hello()),
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocol_version": 1, "agent": "claude-1", "fleet": "claude", "generation": 4,
            "heartbeat_ms": 5000,
        }})
    );
    let mut session = ready();
    let run = session.run(&assignment(json!({"a": "ä\n"})), Some(Duration::from_secs(9))).unwrap();
    assert_eq!(
        json_of(&run),
        json!({"jsonrpc": "2.0", "id": 2, "method": "task/run", "params": {
            "task_id": TASK, "attempt": 1, "kind": "review", "queue": "default",
            "input": {"a": "ä\n"}, "timeout_ms": 9000, "attempts_left": 2,
        }})
    );
    assert_eq!(
        json_of(&cancel(&mut session).unwrap()),
        json!({"jsonrpc": "2.0", "method": "task/cancel", "params": {"task_id": TASK, "attempt": 1}})
    );
    assert_eq!(json_of(&session.shutdown()), json!({"jsonrpc": "2.0", "method": "shutdown"}));
}

#[test]
fn an_agent_says_who_it_is() {
    let mut session = WorkerSession::new(terms());
    session.hello();
    let hello =
        json!({"protocol_version": 1, "name": "w", "version": "2", "idle_heartbeat": true, "x": 0});
    assert_eq!(
        hear(&mut session, &answer(1, &hello)),
        Ok(Received::Ready {
            name: Some("w".into()),
            version: Some("2".into()),
            idle_heartbeat: true
        })
    );
}

#[test]
fn a_task_ends_with_its_result_or_its_error() {
    for result in [json!(null), json!({"a": [1]}), json!("text"), json!(false)] {
        let mut session = busy();
        let outcome = Outcome::Completed { output: result.clone() };
        assert_eq!(hear(&mut session, &answer(2, &result)), finished(outcome));
        assert_eq!(session.current(), None);
        assert!(session.run(&assignment(json!(0)), None).is_ok());
    }
    let error = json!({"code": 7, "message": "no such file", "data": {"path": "x"}});
    let failed = Outcome::Failed {
        class: FailureClass::Task,
        message: "no such file".into(),
        detail: json!({"code": 7, "data": {"path": "x"}}),
    };
    let told = json!({"jsonrpc": "2.0", "id": 2, "error": error});
    assert_eq!(hear(&mut busy(), &told), finished(failed));
}

#[test]
fn a_cancelled_task_ends_cancelled_unless_it_was_done() {
    let error =
        |code: i64| json!({"jsonrpc": "2.0", "id": 2, "error": {"code": code, "message": "m"}});
    for code in [REQUEST_CANCELLED, 1] {
        let mut session = busy();
        assert!(cancel(&mut session).is_some());
        assert!(cancel(&mut session).is_none(), "a second cancel says nothing new");
        assert_eq!(hear(&mut session, &error(code)), finished(Outcome::Cancelled));
    }
    let mut session = busy();
    cancel(&mut session);
    let done = finished(Outcome::Completed { output: json!("done") });
    assert_eq!(hear(&mut session, &answer(2, &json!("done"))), done);
    assert!(cancel(&mut session).is_none());
    // Asked to leave, the agent gives its task back: that is no failure.
    let mut session = busy();
    session.shutdown();
    let given_back = hear(&mut session, &error(REQUEST_CANCELLED));
    assert!(matches!(given_back, Ok(Received::Finished { outcome: Outcome::Released { .. }, .. })));
    // Nobody called it off: the agent gave up by itself.
    assert!(matches!(
        hear(&mut busy(), &error(REQUEST_CANCELLED)),
        Ok(Received::Finished { outcome: Outcome::Failed { class: FailureClass::Task, .. }, .. })
    ));
}

#[test]
fn an_agent_can_put_its_task_off() {
    let not_now = |data: Value| {
        let error = json!({"code": NOT_NOW, "message": "the API is busy", "data": data});
        json!({"jsonrpc": "2.0", "id": 2, "error": error})
    };
    for (data, seconds) in [(json!({"retry_after_ms": 600_000}), 600), (json!(null), 60)] {
        let outcome = Outcome::Snoozed {
            wait: Duration::from_secs(seconds),
            reason: "the API is busy".to_owned(),
        };
        let mut session = busy();
        assert_eq!(hear(&mut session, &not_now(data)), finished(outcome));
        assert_eq!(session.current(), None, "it can take another");
    }
    // Called off, it is over, whatever the agent says.
    let mut session = busy();
    cancel(&mut session);
    assert_eq!(hear(&mut session, &not_now(json!(null))), finished(Outcome::Cancelled));
}

#[test]
fn a_result_that_can_not_be_kept_fails_the_task_and_not_the_agent() {
    let deep = "[".repeat(1000) + &"]".repeat(1000);
    let session = || {
        let mut session = WorkerSession::new(Terms { max_output: 5000, ..terms() });
        session.hello();
        hear(&mut session, &answer(1, &json!({"protocol_version": 1}))).unwrap();
        session.run(&assignment(json!(0)), None).unwrap();
        session
    };
    for (result, text) in [
        (json!("x".repeat(4999)).to_string(), "the result has 5001 bytes; the limit is 5000"),
        (deep, "the result `[[[["),
        ("\"\\ud800\"".to_owned(), "the result `\"\\ud800\"` can't be kept: "),
        ("1e999".to_owned(), "the result `1e999` can't be kept: "),
    ] {
        let mut session = session();
        let line = format!("{{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{result}}}");
        let Ok(Received::Finished { outcome: Outcome::Failed { class, message, .. }, .. }) =
            session.receive(line.as_bytes())
        else {
            panic!("expected a failure: {text}");
        };
        assert_eq!(class, FailureClass::Protocol);
        assert!(message.starts_with(text), "{message}");
        assert!(session.run(&assignment(json!(0)), None).is_ok());
    }
    let deepest = "[".repeat(127) + &"]".repeat(127);
    let line = format!("{{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{deepest}}}");
    assert!(matches!(
        session().receive(line.as_bytes()),
        Ok(Received::Finished { outcome: Outcome::Completed { .. }, .. })
    ));
}

#[test]
fn error_messages_and_data_are_bounded() {
    let told = json!({"jsonrpc": "2.0", "id": 2, "error": {
        "code": 1, "message": "m".repeat(10_000), "data": "d".repeat(200),
    }});
    let Ok(Received::Finished { outcome: Outcome::Failed { message, detail, .. }, .. }) =
        hear(&mut busy(), &told)
    else {
        panic!("it failed");
    };
    assert!(message.len() <= MAX_MESSAGE);
    assert_eq!(detail["data"], "left out: 202 bytes");
}

#[test]
fn an_attempt_is_answered_once_and_only_by_its_own_id() {
    let mut session = busy();
    assert!(hear(&mut session, &answer(2, &json!("first"))).is_ok());
    let late = |heard| matches!(heard, Ok(Received::Ignored { .. }));
    assert!(late(hear(&mut session, &answer(2, &json!("second")))));
    let again = Assignment { attempt: Attempt(2), ..assignment(json!(0)) };
    session.run(&again, None).unwrap();
    assert!(late(hear(&mut session, &answer(2, &json!("third")))));
    assert_eq!(session.current(), Some((again.task, Attempt(2))));
    // A language whose numbers are all floats.
    let float = br#"{"jsonrpc":"2.0","id":3.0,"result":1}"#;
    let outcome = Outcome::Completed { output: json!(1) };
    let done = Received::Finished { task: again.task, attempt: Attempt(2), outcome };
    assert_eq!(session.receive(float), Ok(done));
}

#[test]
fn a_worker_that_is_given_several_answers_each() {
    let mut session = WorkerSession::new(Terms { prefetch: 3, ..terms() });
    session.hello();
    session.receive(br#"{"jsonrpc":"2.0","id":1,"result":{"protocol_version":1}}"#).unwrap();
    let of = |number: u128| Assignment {
        task: crate::domain::TaskId::from_uuid(uuid::Uuid::from_u128(number)),
        ..assignment(json!(0))
    };
    for number in 1..=3 {
        session.run(&of(number), None).unwrap();
    }
    assert!(matches!(session.run(&of(4), None), Err(RunError::Busy(task)) if task == of(1).task));
    assert_eq!(session.current(), Some((of(1).task, Attempt(1))));
    assert_eq!(session.open().iter().map(|one| one.request).collect::<Vec<_>>(), [2, 3, 4]);
    assert!(session.cancel(of(2).task, Attempt(1)).is_some(), "one that waits");
    assert!(session.cancel(of(2).task, Attempt(2)).is_none(), "another attempt of it");
    let refused = json!({"jsonrpc": "2.0", "id": 3, "error": {"code": 1, "message": "m"}});
    let cancelled = |heard| match heard {
        Ok(Received::Finished { task, outcome, .. }) => (task, outcome),
        other => panic!("{other:?}"),
    };
    assert_eq!(cancelled(hear(&mut session, &refused)), (of(2).task, Outcome::Cancelled));
    let done = Outcome::Completed { output: json!(1) };
    let answered = cancelled(hear(&mut session, &answer(2, &json!(1))));
    assert_eq!(answered, (of(1).task, done));
    assert_eq!(session.current(), Some((of(3).task, Attempt(1))));
    assert!(session.run(&of(5), None).is_ok());
}

#[test]
fn requests_of_the_agent_are_refused() {
    let asked = br#"{"jsonrpc":"2.0","id":12345678901234567890123,"method":"heartbeat"}"#;
    let Ok(Received::Reply { bytes, why }) = ready().receive(asked) else {
        panic!("expected a reply");
    };
    assert_eq!(why, "the host has no method `heartbeat`");
    let text = str::from_utf8(&bytes).unwrap();
    assert!(text.contains("\"id\":12345678901234567890123,"), "{text}");
    assert_eq!(json_of(&bytes)["error"]["code"], -32601);
}

#[test]
fn what_breaks_the_protocol_is_told() {
    let not_json = "expected one JSON-RPC 2.0 message a line, and nothing else on stdout; got `";
    let rows: [(&str, &str); 22] = [
        ("Loading model...", not_json),
        ("", not_json),
        ("{\"jsonrpc\":\"2.0\",\"method\":\"heartb", not_json),
        ("{\"jsonrpc\":\"2.0\",\"method\":\"heartbeat\"} {}", not_json),
        ("[]", "expected a JSON-RPC 2.0 message; got `[]`: it is no object"),
        (
            "[\"2.0\",2,null,null,1]",
            "expected a JSON-RPC 2.0 message; got `[\"2.0\",2,null,null,1]`: it is no",
        ),
        ("42", "expected a JSON-RPC 2.0 message; got `42`: it is no object"),
        ("{}", "expected a JSON-RPC 2.0 message; got `{}`: missing field `jsonrpc`"),
        (r#"{"jsonrpc":2,"id":2,"result":1}"#, "expected a JSON-RPC 2.0 message; got"),
        (r#"{"jsonrpc":"1.0","id":2,"result":1}"#, "expected a JSON-RPC 2.0 message; got"),
        (r#"{"jsonrpc":"2.0"}"#, "expected a JSON-RPC 2.0 message; got"),
        (r#"{"jsonrpc":"2.0","id":2,"id":3,"result":1}"#, "expected a JSON-RPC 2.0 message; got"),
        (r#"{"jsonrpc":"2.0","result":1}"#, "expected a JSON-RPC 2.0 message; got"),
        (
            r#"{"jsonrpc":"2.0","id":2,"result":1,"error":{"code":1,"message":""}}"#,
            "expected a JSON-RPC",
        ),
        (r#"{"jsonrpc":"2.0","id":2,"method":"x","result":1}"#, "expected a JSON-RPC 2.0 message"),
        (r#"{"jsonrpc":"2.0","id":2,"error":"boom"}"#, "expected a JSON-RPC 2.0 message"),
        (r#"{"jsonrpc":"2.0","id":2,"error":{"code":1}}"#, "expected a JSON-RPC 2.0 message"),
        (r#"{"jsonrpc":"2.0","id":{},"method":"x"}"#, "expected a JSON-RPC 2.0 message"),
        (
            r#"{"jsonrpc":"2.0","id":3,"result":1}"#,
            "expected an answer with the id 2, as a number; got",
        ),
        (
            r#"{"jsonrpc":"2.0","id":0,"result":1}"#,
            "expected an answer with the id 2, as a number; got",
        ),
        (
            r#"{"jsonrpc":"2.0","id":"2","result":1}"#,
            "expected an answer with the id 2, as a number; got",
        ),
        (
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"?"}}"#,
            "the agent could not read",
        ),
    ];
    for (line, text) in rows {
        let error = busy().receive(line.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(text), "{line}\n{error}");
    }
    let error = busy().receive(b"\xff\xfe").unwrap_err().to_string();
    assert!(error.starts_with(&format!("{not_json}\\xff\\xfe`")), "{error}");
}

#[test]
fn a_result_beside_a_null_error_is_a_result() {
    let both = br#"{"jsonrpc":"2.0","id":2,"result":null,"error":null}"#;
    assert_eq!(busy().receive(both), finished(Outcome::Completed { output: json!(null) }));
    let error = br#"{"jsonrpc":"2.0","id":2,"result":null,"error":{"code":1,"message":"m"}}"#;
    assert!(matches!(
        busy().receive(error),
        Ok(Received::Finished { outcome: Outcome::Failed { .. }, .. })
    ));
}

#[test]
fn a_greeting_that_is_none_is_told() {
    let rows = [
        (
            json!({"result": {"protocol_version": 2}}),
            "expected protocol version 1; the agent speaks 2",
        ),
        (
            json!({"result": {"protocol_version": "1"}}),
            "expected protocol version 1; the agent speaks \"1\"",
        ),
        (json!({"result": {}}), "expected a result of `initialize` with `protocol_version`; got `"),
        (
            json!({"result": [1]}),
            "expected a result of `initialize` with `protocol_version`; got `",
        ),
        (
            json!({"error": {"code": 1, "message": "no"}}),
            "expected the result of `initialize`; the agent",
        ),
    ];
    for (mut told, text) in rows {
        told["jsonrpc"] = json!("2.0");
        told["id"] = json!(1);
        let mut session = WorkerSession::new(terms());
        session.hello();
        let error = hear(&mut session, &told).unwrap_err().to_string();
        assert!(error.starts_with(text), "{error}");
    }
    let mut session = WorkerSession::new(terms());
    let error = hear(&mut session, &answer(1, &json!({}))).unwrap_err().to_string();
    assert!(error.starts_with("expected no answer, since nothing was asked; got `"), "{error}");
}

#[test]
fn a_task_is_given_only_to_a_worker_that_can_take_it() {
    let task = assignment(json!(0));
    let mut fresh = WorkerSession::new(terms());
    fresh.hello();
    assert!(matches!(fresh.run(&task, None), Err(RunError::NotReady)));
    assert!(matches!(busy().run(&task, None), Err(RunError::Busy(busy)) if busy == task.task));
    let mut stopping = busy();
    stopping.shutdown();
    assert!(hear(&mut stopping, &answer(2, &json!(1))).is_ok(), "what is under way still counts");
    assert!(matches!(stopping.run(&task, None), Err(RunError::Stopping)));
    // A refused run uses up no id.
    let mut session = busy();
    assert!(session.run(&task, None).is_err());
    assert!(hear(&mut session, &answer(3, &json!(1))).is_err());
}
