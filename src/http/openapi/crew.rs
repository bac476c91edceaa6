//! Agents, queues, limits, keys, and the host itself.

use serde_json::json;

use super::{
    op::Op,
    parameters::{LOG, a, cursor, number, tail, time, word},
    shape::{listing, of, page},
};
use crate::{
    domain::{
        access::{ApiKeyRecord, NewApiKeyRecord},
        audit::{AuditRecord, Outcome, Surface},
        record::{
            AgentRecord, FleetRecord, KeyPauseRecord, LimitsRecord, LockRecord, QueueRecord,
            RegisteredHost, ReloadRecord,
        },
        workspace::{WorkspaceList, WorkspacePruning},
    },
    http::{
        api::{
            Alive, ApiKeyBody, DryRunBody, HostRecord, KeyBody, KeyPauseBody, LimitBody, Line,
            NothingBody, PauseBody, QueueLimitsBody, Readiness, Resolved, RollBody, ScaleBody,
            UpgradeBody, UpgradeStarted,
        },
        query::{DEFAULT_LIMIT, MAX_LIMIT},
    },
};

/// What is said of them.
pub(super) fn operations() -> Vec<Op> {
    let mut all = agents();
    all.extend(limits());
    all.extend(keys());
    all.extend(host());
    all
}

fn agents() -> Vec<Op> {
    let post = |path, id, summary| {
        Op::post(path, id, summary)
            .may_take(of::<NothingBody>(), json!({}))
            .gives(of::<AgentRecord>())
    };
    vec![
        Op::get("/api/v1/fleets", "listFleets", "Fleets").gives(listing::<FleetRecord>()),
        Op::get("/api/v1/agents", "listAgents", "Agents").gives(listing::<AgentRecord>()),
        Op::get("/api/v1/agents/{name}", "showAgent", "One agent").gives(of::<AgentRecord>()),
        post("/api/v1/agents/{name}/start", "startAgent", "Start it"),
        post("/api/v1/agents/{name}/stop", "stopAgent", "Ask it to leave"),
        post(
            "/api/v1/agents/{name}/restart",
            "restartAgent",
            "Ask it to leave, and start it again",
        ),
        post("/api/v1/agents/{name}/pause", "pauseAgent", "Give it no more tasks"),
        post("/api/v1/agents/{name}/release", "releaseAgent", "Take it out of quarantine"),
        post("/api/v1/agents/{name}/drain", "drainAgent", "Let it finish, and then leave"),
        Op::post("/api/v1/reload", "reload", "Read the settings again")
            .may_take(of::<NothingBody>(), json!({}))
            .gives(of::<ReloadRecord>()),
        Op::get("/api/v1/fleets/{name}", "showFleet", "One fleet").gives(of::<FleetRecord>()),
        Op::post("/api/v1/fleets/{name}/scale", "scaleFleet", "Give it so many agents")
            .takes(of::<ScaleBody>(), json!({ "count": 8 }))
            .gives(of::<FleetRecord>()),
        Op::post("/api/v1/fleets/{name}/restart", "restartFleet", "Restart it, a few at a time")
            .may_take(of::<RollBody>(), json!({ "max_unavailable": "25%" }))
            .gives(of::<FleetRecord>()),
        Op::get("/api/v1/agents/{name}/logs", "readAgentLog", "Its log")
            .asks(tail())
            .prints("text/plain", "Its last lines")
            .prints("text/event-stream", LOG),
        Op::post("/api/v1/upgrade", "upgrade", "Let another program take the host's place")
            .note("Only the socket in the data directory takes it: over TCP it is always 403.")
            .takes(of::<UpgradeBody>(), json!({ "program": "/usr/local/bin/hostler" }))
            .answers("202", "It begins", of::<UpgradeStarted>()),
        Op::get("/api/v1/workspaces", "listWorkspaces", "The worktrees of this host")
            .gives(of::<WorkspaceList>()),
        Op::post("/api/v1/workspaces/prune", "pruneWorkspaces", "Remove those that may go")
            .may_take(of::<DryRunBody>(), json!({ "dry_run": true }))
            .gives(of::<WorkspacePruning>()),
        Op::post(
            "/api/v1/workspaces/{task}/resolved",
            "resolveWorkspace",
            "Merge what a person has resolved in its worktree",
        )
        .may_take(of::<NothingBody>(), json!({}))
        .gives(of::<Resolved>()),
    ]
}

fn limits() -> Vec<Op> {
    let queue = of::<QueueRecord>;
    let pause = json!({ "reason": "the quota is used up", "for": "2h" });
    let of_queue = json!({ "concurrency": 3, "rate": "60/1m", "key_concurrency": "off" });
    vec![
        Op::get("/api/v1/queues", "listQueues", "Queues with their depth")
            .gives(listing::<QueueRecord>()),
        Op::post("/api/v1/queues/{name}/pause", "pauseQueue", "Hold its tasks back")
            .may_take(of::<PauseBody>(), pause)
            .gives(queue()),
        Op::post("/api/v1/queues/{name}/resume", "resumeQueue", "Hand them out again")
            .may_take(of::<NothingBody>(), json!({}))
            .gives(queue()),
        Op::patch("/api/v1/queues/{name}/limits", "limitQueue", "Change what is limited of it")
            .may_take(of::<QueueLimitsBody>(), of_queue)
            .gives(queue()),
        Op::get("/api/v1/locks", "listLocks", "What running tasks hold")
            .gives(listing::<LockRecord>()),
        Op::get("/api/v1/limits", "listLimits", "Limits that are no queue's")
            .gives(of::<LimitsRecord>()),
        Op::patch("/api/v1/limits", "changeLimit", "Change one")
            .takes(of::<LimitBody>(), json!({ "fleet": "claude", "concurrency": 8 }))
            .gives(of::<LimitsRecord>()),
        Op::post("/api/v1/keys/pause", "pauseKey", "Hold back the tasks with a key")
            .takes(of::<KeyPauseBody>(), json!({ "key": "account:alice", "for": "10m" }))
            .gives(of::<KeyPauseRecord>()),
        Op::post("/api/v1/keys/resume", "resumeKey", "Hand them out again")
            .takes(of::<KeyBody>(), json!({ "key": "account:alice" }))
            .gives(of::<LimitsRecord>())
            .fails("NotFound"),
    ]
}

fn keys() -> Vec<Op> {
    let wanted = json!({ "name": "phone", "scopes": ["read", "submit"], "expires": "90d" });
    vec![
        Op::get("/api/v1/api-keys", "listApiKeys", "API keys, the newest last")
            .gives(listing::<ApiKeyRecord>()),
        Op::post("/api/v1/api-keys", "createApiKey", "Make one; it is told this once")
            .takes(of::<ApiKeyBody>(), wanted)
            .answers("201", "Made", of::<NewApiKeyRecord>()),
        Op::get("/api/v1/api-keys/{id}", "showApiKey", "One").gives(of::<ApiKeyRecord>()),
        Op::post("/api/v1/api-keys/{id}/revoke", "revokeApiKey", "Take it back")
            .may_take(of::<NothingBody>(), json!({}))
            .gives(of::<ApiKeyRecord>()),
        Op::get("/api/v1/audit", "listAudit", "Who changed what, and who was refused")
            .asks([
                a::<Line>("who", "Of this caller."),
                a::<Line>("operation", "Of this operation, or those that begin so before a dot."),
                a::<Line>("object", "About this."),
                a::<Outcome>("outcome", "With this outcome."),
                a::<Surface>("surface", "By this way."),
                time("since", "At this time or later."),
                time("until", "Before this time."),
                word("order", &["newest", "oldest"], "Which comes first."),
                number("limit", (DEFAULT_LIMIT, MAX_LIMIT), "At most so many."),
                cursor("^[0-9]{1,18}$"),
            ])
            .gives(page::<AuditRecord>()),
    ]
}

fn host() -> Vec<Op> {
    vec![
        Op::get("/livez", "isAlive", "Whether the host answers at all").gives(of::<Alive>()),
        Op::get("/readyz", "isReady", "Whether it can work").gives(of::<Readiness>()).answers(
            "503",
            "It can not, and why",
            of::<Readiness>(),
        ),
        Op::get("/metrics", "readMetrics", "Metrics for Prometheus")
            .prints("application/openmetrics-text", "OpenMetrics"),
        Op::get("/api/v1/host", "showHost", "What this host is").gives(of::<HostRecord>()),
        Op::get("/api/v1/hosts", "listHosts", "The hosts that share the database")
            .gives(listing::<RegisteredHost>()),
        Op::get("/openapi.json", "readOpenApi", "This document")
            .prints("application/json", "OpenAPI 3.1"),
        Op::get("/docs", "openDocs", "A page to read and try all of this")
            .prints("text/html", "The page"),
        Op::get("/docs/page.js", "docsScript", "Its script")
            .prints("text/javascript", "The script"),
        Op::get("/docs/page.css", "docsStyle", "Its looks").prints("text/css", "The style sheet"),
    ]
}
