//! Many tasks at once, and the failed ones.

use actix_web::{
    HttpRequest,
    web::{Data, Payload},
};
use serde_json::{Map, Value};

use super::{
    Answer, State,
    api::FieldError,
    body,
    error::ApiError,
    fields::{Errors, Fields},
    ok, query,
    submit::MAX_KIND,
};
use crate::{
    domain::{
        TaskId,
        bulk::{Deed, Selection},
        task::TaskState,
    },
    queue::{Bulk, QueueError},
};

/// The most tasks that a selection may name.
const MAX_NAMED: usize = 10_000;

/// The longest reason of a discard, in characters; the schema's limit.
const MAX_REASON: usize = 1000;

pub(super) async fn cancel(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    answer(&state, &request, payload, |_| Deed::Cancel).await
}

pub(super) async fn retry(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    answer(&state, &request, payload, |_| Deed::Retry { to: None, rate: None }).await
}

pub(super) async fn redrive(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let deed =
        |body: &mut Fields<'_>| Deed::Retry { to: body.parsed("to"), rate: body.parsed("rate") };
    answer(&state, &request, payload, deed).await
}

pub(super) async fn discard(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let deed = |body: &mut Fields<'_>| {
        let is_given = body.gives("reason");
        let reason = body.text("reason", MAX_REASON);
        if !is_given {
            body.wrong("reason", "say why, for whoever finds the task later");
        }
        Deed::Discard { reason: reason.unwrap_or_default() }
    };
    answer(&state, &request, payload, deed).await
}

pub(super) async fn letters(state: Data<State>, request: HttpRequest) -> Answer {
    let of = query::letters(request.query_string())?;
    Ok(ok(&state.queue.dead_letters(&of.selection, of.before, of.limit).await?))
}

pub(super) async fn letter(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    let id = query::path(&request, "id")?;
    Ok(ok(&state.queue.dead_letter(id).await?))
}

async fn answer(
    state: &State,
    request: &HttpRequest,
    payload: Payload,
    deed: impl Fn(&mut Fields<'_>) -> Deed,
) -> Answer {
    query::none(request)?;
    let body = body::object(request, payload, state.settings.max_body).await?;
    let bulk = read(body, deed).map_err(ApiError::invalid)?;
    let done = state.queue.bulk(bulk).await.map_err(|error| match &error {
        QueueError::UnknownQueue { .. } => {
            let (field, detail) = ("to".to_owned(), error.to_string());
            ApiError::invalid(vec![FieldError { field, detail }])
        }
        _ => error.into(),
    })?;
    Ok(ok(&done))
}

/// Reads a body. What it is about must be said: an empty body is a slip, not every task there is.
fn read(
    body: Map<String, Value>,
    deed: impl Fn(&mut Fields<'_>) -> Deed,
) -> Result<Bulk, Vec<FieldError>> {
    let mut errors = Errors::default();
    let mut body = Fields::new(String::new(), body, &mut errors);
    // Before any of them is taken.
    let is_narrow = NARROWING.iter().any(|name| body.gives(name));
    let deed = deed(&mut body);
    let states = states(&mut body, &deed);
    let selection = Selection {
        states,
        queue: body.parsed("queue"),
        kind: body.text("kind", MAX_KIND),
        group: body.parsed("group"),
        batch: body.parsed("batch"),
        class: body.parsed("class"),
        created_after: body.time("created_after"),
        created_before: body.time("created_before"),
        tasks: named(&mut body),
        discarded: !matches!(deed, Deed::Retry { .. }) || body.flag("discarded"),
    };
    let all = body.flag("all");
    match (is_narrow, all) {
        (false, false) => body.wrong(
            "all",
            format!("say which tasks by any of {}; or `\"all\": true`", NARROWING.join(", ")),
        ),
        (true, true) => body.wrong("all", "contradicts the other fields, which say which"),
        _ => {}
    }
    let bulk = Bulk {
        selection,
        deed,
        limit: body.integer("limit", 1..=i64::MAX).and_then(|limit| u64::try_from(limit).ok()),
        after: body.parsed("cursor"),
        dry_run: body.flag("dry_run"),
    };
    body.finish();
    errors.or(bulk)
}

/// The fields that say which tasks are meant.
const NARROWING: [&str; 9] = [
    "tasks",
    "queue",
    "kind",
    "states",
    "group",
    "batch",
    "class",
    "created_after",
    "created_before",
];

fn states(body: &mut Fields<'_>, deed: &Deed) -> Vec<TaskState> {
    if body.gives_nothing_in("states") {
        body.wrong("states", "must not be empty");
    }
    let narrowed = body.gives("states");
    let states: Option<Vec<TaskState>> = body.list("states", TaskState::ALL.len());
    let possible = deed.possible();
    for (nth, state) in states.iter().flatten().enumerate() {
        if !possible.contains(state) {
            let words: Vec<_> = possible.iter().map(|state| state.as_str()).collect();
            let detail = format!(
                "nothing can be done about a task that is {state}, only {}",
                words.join(", ")
            );
            body.wrong(&format!("states[{nth}]"), detail);
        }
    }
    states.filter(|_| narrowed).unwrap_or_else(|| deed.usual())
}

fn named(body: &mut Fields<'_>) -> Option<Vec<TaskId>> {
    if body.gives_nothing_in("tasks") {
        body.wrong("tasks", "must not be empty");
    }
    body.list("tasks", MAX_NAMED)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::{bulk::Cursor, task::FailureClass};

    fn of(body: Value, deed: impl Fn(&mut Fields<'_>) -> Deed) -> Result<Bulk, Vec<FieldError>> {
        let Value::Object(body) = body else { panic!("an object") };
        read(body, deed)
    }

    fn cancel(body: Value) -> Result<Bulk, Vec<FieldError>> {
        of(body, |_| Deed::Cancel)
    }

    fn redrive(body: Value) -> Result<Bulk, Vec<FieldError>> {
        of(body, |body| Deed::Retry { to: body.parsed("to"), rate: body.parsed("rate") })
    }

    const TASK: &str = "tsk_00000000000000000000000000000007";

    #[test]
    fn everything_is_read() {
        let body = json!({"queue": "q", "kind": "k", "states": ["failed", "cancelled"],
            "group": "g", "batch": "bat_00000000000000000000000000000009", "class": "timeout",
            "created_after": "2030-01-31T08:00:00Z", "created_before": "2030-02-01T08:00:00Z",
            "tasks": [TASK], "discarded": true, "limit": 7, "cursor": format!("{TASK}.3"),
            "dry_run": true, "to": "other", "rate": "10/s"});
        let bulk = redrive(body).unwrap();
        assert_eq!(bulk.selection.class, Some(FailureClass::Timeout));
        assert_eq!(bulk.selection.tasks, Some(vec![TASK.parse().unwrap()]));
        assert_eq!(bulk.selection.states, [TaskState::Failed, TaskState::Cancelled]);
        assert_eq!((bulk.limit, bulk.dry_run, bulk.selection.discarded), (Some(7), true, true));
        assert_eq!(bulk.after, Some(Cursor { after: TASK.parse().unwrap(), changed: 3 }));
        let (to, rate) = (Some("other".parse().unwrap()), Some("10/s".parse().unwrap()));
        assert_eq!(bulk.deed, Deed::Retry { to, rate });
        let plain = redrive(json!({"all": true})).unwrap();
        assert_eq!(plain.selection.states, [TaskState::Failed]);
        assert!(!plain.selection.discarded);
        let plain = cancel(json!({"queue": "q"})).unwrap();
        assert_eq!(plain.selection.states, Deed::Cancel.possible());
        // Each of them is enough.
        let by_state = cancel(json!({"states": ["pending"]})).unwrap();
        assert_eq!(by_state.selection.states, [TaskState::Pending]);
        let wrong = cancel(json!({"states": ["completed"]})).unwrap_err();
        assert_eq!(wrong.len(), 1, "{wrong:?}");
    }

    #[test]
    fn every_mistake_is_named_by_its_field() {
        let rows = [
            (json!({}), "all", "say which tasks by any of tasks, queue"),
            (json!({"dry_run": true}), "all", "say which"),
            (json!({"all": "yes"}), "all", ""),
            (json!({"all": true, "queue": "q"}), "all", "contradicts"),
            (json!({"queue": "Q"}), "queue", "name of a queue"),
            (json!({"kind": "", "queue": "q"}), "kind", "empty"),
            (json!({"states": []}), "states", "must not be empty"),
            (json!({"states": "failed"}), "states", "array"),
            (json!({"states": ["completed"]}), "states[0]", "only blocked"),
            (json!({"states": ["pending", "done"]}), "states[1]", "no task state"),
            (json!({"group": "G"}), "group", "name of a group"),
            (json!({"batch": TASK}), "batch", "bat_"),
            (json!({"class": "oops"}), "class", "exit, task"),
            (json!({"created_after": "today"}), "created_after", "RFC 3339"),
            (json!({"created_before": 7}), "created_before", "string"),
            (json!({"tasks": []}), "tasks", "must not be empty"),
            (json!({"tasks": [TASK, "7"]}), "tasks[1]", "tsk_"),
            (json!({"queue": "q", "limit": 0}), "limit", "from 1"),
            (json!({"queue": "q", "cursor": "x"}), "cursor", "next_cursor"),
            (json!({"queue": "q", "dry_run": "yes"}), "dry_run", "true or false"),
            (json!({"queue": "q", "que": 1}), "que", "no field"),
            (json!({"queue": "q", "to": "other"}), "to", "no field"),
        ];
        for (body, field, word) in rows {
            let shown = body.to_string();
            let errors = cancel(body).expect_err(&shown);
            assert_eq!(errors[0].field, field, "{shown}: {errors:?}");
            assert!(errors[0].detail.contains(word), "{shown}: {errors:?}");
        }
        let rows = [
            (json!({"all": true, "to": "X"}), "to"),
            (json!({"all": true, "rate": "fast"}), "rate"),
            (json!({"states": ["running"]}), "states[0]"),
            (json!({"queue": "q", "discarded": 1}), "discarded"),
        ];
        for (body, field) in rows {
            let errors = redrive(body).unwrap_err();
            assert_eq!(errors[0].field, field, "{errors:?}");
        }
    }
}
