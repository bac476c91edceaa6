//! Tasks, groups, batches, dead letters.

use serde_json::{Value, json};

use super::{
    op::Op,
    parameters::{LOG, a, cursor, flag, idempotency_key, number, tail, time, wait, word, words},
    shape::{beside, either, listing, object, of, page},
};
use crate::{
    domain::{
        BatchId, GroupName, QueueName,
        batch::{BatchRecord, GroupRecord},
        bulk::{BulkRecord, DeadLetter},
        record::{AttemptRecord, EventRecord, GraphRecord, Submitted, TaskRecord},
        task::{FailureClass, TaskState},
    },
    http::{
        api::{
            BatchBody, BatchCancelled, BatchSubmitted, BulkBody, DiscardBody, Line, NothingBody,
            RedriveBody, RetryManyBody, SnoozeBody, SubmittedMany, TaskBody, TasksBody,
        },
        batches::PAGE,
        query::{DEFAULT_GRAPH, DEFAULT_LIMIT, MAX_GRAPH, MAX_LIMIT},
    },
};

fn filters() -> Vec<Value> {
    vec![
        a::<QueueName>("queue", "In this queue."),
        a::<Line>("kind", "Of this kind."),
        a::<GroupName>("group", "In this group."),
        a::<BatchId>("batch", "Of this batch."),
        a::<FailureClass>("class", "Whose newest failure is of this class."),
        time("created_after", "Submitted at this time or later."),
        time("created_before", "Submitted before this time."),
        number("limit", (DEFAULT_LIMIT, MAX_LIMIT), "At most so many."),
        cursor("^tsk_[0-9a-f]{32}$"),
    ]
}

/// What is said of them.
pub(super) fn operations() -> Vec<Op> {
    let mut all = of_tasks();
    all.extend(of_one());
    all.extend(together());
    all.extend(dead());
    all
}

fn of_tasks() -> Vec<Op> {
    let states =
        words("state", TaskState::ALL.iter().map(|one| one.as_str()), "In any of these states.");
    let submitted = || either(of::<Submitted>(), either(of::<SubmittedMany>(), of::<TaskRecord>()));
    let one = json!({ "queue": "default", "kind": "report", "input": { "month": "2030-01" } });
    let ids = json!({ "queue": "default", "states": ["pending"], "dry_run": true });
    vec![
        Op::get("/api/v1/tasks", "listTasks", "List tasks, newest first")
            .asks([states].into_iter().chain(filters()))
            .gives(page::<TaskRecord>()),
        Op::post("/api/v1/tasks", "submitTasks", "Submit one task, or several: all, or none")
            .asks([wait(), idempotency_key()])
            .takes(either(of::<TaskBody>(), of::<TasksBody>()), one)
            .answers("201", "Made; with `wait` the whole task", submitted())
            .answers("200", "It was there already", submitted()),
        Op::post("/api/v1/tasks/cancel", "cancelTasks", "Call off many tasks by what they are")
            .takes(of::<BulkBody>(), ids)
            .gives(of::<BulkRecord>()),
        Op::post("/api/v1/tasks/retry", "retryTasks", "Try many failed tasks again")
            .takes(beside::<BulkBody, RetryManyBody>(), json!({ "class": "timeout" }))
            .gives(of::<BulkRecord>()),
    ]
}

fn of_one() -> Vec<Op> {
    let post = |path, id, summary| {
        Op::post(path, id, summary)
            .may_take(of::<NothingBody>(), json!({}))
            .gives(of::<TaskRecord>())
    };
    vec![
        Op::get("/api/v1/tasks/{id}", "showTask", "One task")
            .asks([wait()])
            .gives(of::<TaskRecord>()),
        Op::get("/api/v1/tasks/{id}/attempts", "listAttempts", "Its ended attempts")
            .gives(listing::<AttemptRecord>()),
        Op::get("/api/v1/tasks/{id}/events", "listTaskEvents", "Its steps")
            .gives(listing::<EventRecord>()),
        Op::get(
            "/api/v1/tasks/{id}/logs",
            "readTaskLog",
            "What an attempt wrote, as far as this host has it",
        )
        .asks([
            number("attempt", (1, i32::MAX.unsigned_abs()), "Of this one, not of the newest."),
            word("stream", &["stdout", "stderr", "log"], "Which of its files."),
        ])
        .asks(tail())
        .prints("text/plain", "Its last lines")
        .prints("text/event-stream", LOG),
        Op::get("/api/v1/tasks/{id}/graph", "showGraph", "The tasks that it is connected with")
            .asks([
                word("extent", &["all", "near"], "Over any number of steps, or one."),
                number("limit", (DEFAULT_GRAPH, MAX_GRAPH), "At most so many tasks."),
            ])
            .gives(of::<GraphRecord>()),
        post("/api/v1/tasks/{id}/cancel", "cancelTask", "Call it off"),
        post("/api/v1/tasks/{id}/retry", "retryTask", "Try it again"),
        post("/api/v1/tasks/{id}/release", "releaseTask", "Let it run whatever it waits for"),
        Op::post("/api/v1/tasks/{id}/progress", "tellProgress", "Say how far the attempt is")
            .note("For the agent that is at work, with the token of its attempt.")
            .takes(object(), json!({ "done": 3, "of": 7 }))
            .gives(object()),
        Op::post("/api/v1/tasks/{id}/snooze", "snoozeTask", "Put it off")
            .takes(of::<SnoozeBody>(), json!({ "for": "1h" }))
            .gives(of::<TaskRecord>()),
    ]
}

fn together() -> Vec<Op> {
    let nothing = || of::<NothingBody>();
    let batch = json!({ "tasks": [{ "kind": "build" }], "on_success": { "kind": "deploy" } });
    vec![
        Op::get("/api/v1/groups", "listGroups", "Groups that have tasks, by their names")
            .asks([
                number("limit", PAGE, "At most so many."),
                cursor("^[a-z0-9][a-z0-9_.-]{0,62}$"),
            ])
            .gives(page::<GroupRecord>()),
        Op::get("/api/v1/groups/{name}", "showGroup", "How the tasks of a group stand")
            .gives(of::<GroupRecord>()),
        Op::get("/api/v1/batches", "listBatches", "Batches, newest first")
            .asks([
                flag("unfinished", "Those alone that are not done."),
                number("limit", PAGE, "At most so many."),
                cursor("^bat_[0-9a-f]{32}$"),
            ])
            .gives(page::<BatchRecord>()),
        Op::post("/api/v1/batches", "submitBatch", "Submit tasks that end together")
            .asks([idempotency_key()])
            .takes(of::<BatchBody>(), batch)
            .answers("201", "Made", of::<BatchSubmitted>())
            .answers("200", "It was there already", of::<BatchSubmitted>()),
        Op::get("/api/v1/batches/{id}", "showBatch", "One batch")
            .asks([wait()])
            .gives(of::<BatchRecord>()),
        Op::post("/api/v1/batches/{id}/tasks", "addToBatch", "Add tasks to an open batch")
            .takes(of::<TasksBody>(), json!({ "tasks": [{ "kind": "build" }] }))
            .answers("201", "Made", of::<SubmittedMany>())
            .answers("200", "They were there already", of::<SubmittedMany>()),
        Op::post("/api/v1/batches/{id}/close", "closeBatch", "Take no more tasks")
            .may_take(nothing(), json!({}))
            .gives(of::<BatchRecord>()),
        Op::post("/api/v1/batches/{id}/cancel", "cancelBatch", "Call its tasks off")
            .may_take(nothing(), json!({}))
            .gives(of::<BatchCancelled>()),
    ]
}

fn dead() -> Vec<Op> {
    let more = flag("discarded", "Those too that were given up.");
    let listed = Op::get("/api/v1/dead-letters", "listDeadLetters", "Failed tasks, newest first")
        .asks(filters().into_iter().chain([more]))
        .gives(page::<DeadLetter>());
    vec![
        listed,
        Op::get("/api/v1/dead-letters/{id}", "showDeadLetter", "One failed task")
            .gives(of::<DeadLetter>()),
        Op::post("/api/v1/dead-letters/redrive", "redrive", "Run failed tasks again")
            .takes(
                beside::<BulkBody, RedriveBody>(),
                json!({ "queue": "default", "rate": "10/1s" }),
            )
            .gives(of::<BulkRecord>()),
        Op::post("/api/v1/dead-letters/discard", "discard", "Give failed tasks up")
            .takes(
                beside::<BulkBody, DiscardBody>(),
                json!({ "kind": "report", "reason": "not wanted any more" }),
            )
            .gives(of::<BulkRecord>()),
    ]
}
