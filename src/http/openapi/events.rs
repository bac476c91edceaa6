//! What is told to those who listen: the feed, and webhooks that go out.

use serde_json::json;

use super::{
    op::Op,
    parameters::{a, cursor, list, number, query, wait, word},
    shape::{listing, of, page},
};
use crate::{
    domain::{
        BatchId, EndpointName, FleetName, GroupName, QueueName, TaskId,
        delivery::{DeliveryRecord, EndpointRecord},
        event::TypePattern,
    },
    http::{
        api::{
            EndpointAnswer, EndpointBody, FeedAnswer, Line, NothingBody, ReasonBody, ReplayBody,
            Replayed, RotateBody,
        },
        query::{DEFAULT_FEED, DEFAULT_LIMIT, MAX_FEED, MAX_LIMIT},
    },
};

/// What is said of them.
pub(super) fn operations() -> Vec<Op> {
    let mut all = vec![feed()];
    all.extend(endpoints());
    all.extend(deliveries());
    all
}

fn feed() -> Op {
    let after =
        json!({ "type": "string", "pattern": "^(latest|beginning|1~.+~.+~[0-9]+~[0-9]+)$" });
    Op::get("/api/v1/events", "readFeed", "What becomes of all tasks, from a cursor on")
        .note(
            "As pages, or with `Accept: text/event-stream` as a stream of server-sent events that goes on \
             after `Last-Event-ID`.",
        )
        .asks([
            query("after", after, "Go on after this cursor; `latest`: with what happens from now on."),
            number("limit", (DEFAULT_FEED, MAX_FEED), "As a page: at most so many steps."),
            wait(),
            list::<TypePattern>("type", "As a stream: events of these types."),
            list::<TaskId>("task", "As a stream: of these tasks."),
            list::<QueueName>("queue", "As a stream: of tasks of these queues."),
            list::<Line>("kind", "As a stream: of tasks of these kinds."),
            list::<GroupName>("group", "As a stream: of tasks of these groups."),
            list::<BatchId>("batch", "As a stream: of tasks of these batches."),
            list::<FleetName>("fleet", "As a stream: of attempts by agents of these fleets."),
        ])
        .gives(of::<FeedAnswer>())
        .prints("text/event-stream", "A page, or the stream")
        .fails("Gone")
}

fn endpoints() -> Vec<Op> {
    let one = "/api/v1/webhooks/endpoints/{name}";
    let spec = json!({ "url": "https://ops.example/hooks", "filter": { "types": ["task.ended"] } });
    let secret = "Its secret is told where it was made just now, and never again.";
    vec![
        Op::get("/api/v1/webhooks/endpoints", "listEndpoints", "Endpoints, by name")
            .gives(listing::<EndpointRecord>()),
        Op::get(one, "showEndpoint", "One endpoint").gives(of::<EndpointRecord>()),
        Op::put(one, "putEndpoint", "Make it, or replace it as a whole")
            .note(secret)
            .takes(of::<EndpointBody>(), spec)
            .answers("201", "Made", of::<EndpointAnswer>())
            .gives(of::<EndpointAnswer>()),
        Op::delete(one, "removeEndpoint", "Take it out, with what was still to be sent")
            .gives_nothing(),
        Op::post(
            "/api/v1/webhooks/endpoints/{name}/rotate",
            "rotateEndpoint",
            "Give it another secret",
        )
        .note(secret)
        .may_take(of::<RotateBody>(), json!({ "both": "12h" }))
        .gives(of::<EndpointAnswer>()),
        Op::post("/api/v1/webhooks/endpoints/{name}/enable", "enableEndpoint", "Send to it again")
            .may_take(of::<NothingBody>(), json!({}))
            .gives(of::<EndpointRecord>()),
        Op::post("/api/v1/webhooks/endpoints/{name}/disable", "disableEndpoint", "Send it nothing")
            .may_take(of::<ReasonBody>(), json!({ "reason": "it moves" }))
            .gives(of::<EndpointRecord>()),
        Op::post(
            "/api/v1/webhooks/endpoints/{name}/test",
            "testEndpoint",
            "Send it an event that means nothing",
        )
        .may_take(of::<NothingBody>(), json!({}))
        .answers("202", "It will be sent", of::<DeliveryRecord>()),
        Op::post(
            "/api/v1/webhooks/endpoints/{name}/replay",
            "replayEndpoint",
            "Send again what nobody took",
        )
        .may_take(of::<ReplayBody>(), json!({ "limit": 100 }))
        .gives(of::<Replayed>()),
    ]
}

fn deliveries() -> Vec<Op> {
    vec![
        Op::get("/api/v1/webhooks/deliveries", "listDeliveries", "What was sent, newest first")
            .asks([
                a::<EndpointName>("endpoint", "To this endpoint."),
                word("state", &["pending", "delivered", "dead"], "In this state."),
                a::<TaskId>("task", "About this task."),
                number("limit", (DEFAULT_LIMIT, MAX_LIMIT), "At most so many."),
                cursor("^[0-9]{1,18}$"),
            ])
            .gives(page::<DeliveryRecord>()),
        Op::get("/api/v1/webhooks/deliveries/{id}", "showDelivery", "One delivery")
            .gives(of::<DeliveryRecord>()),
        Op::post("/api/v1/webhooks/deliveries/{id}/replay", "replayDelivery", "Send it again")
            .may_take(of::<NothingBody>(), json!({}))
            .gives(of::<Replayed>()),
    ]
}
