//! Plans and schedules.

use serde_json::json;

use super::{
    op::Op,
    parameters::{cursor, idempotency_key, number},
    shape::{either, listing, of, page},
};
use crate::{
    domain::{
        plan::{
            Learned,
            run::{RunRecord, RunTaskRecord},
        },
        record::Submitted,
        schedule::{FiringRecord, ScheduleRecord, Upcoming},
    },
    http::api::{
        DoneBody, FailBody, HistoryBody, NothingBody, ReasonBody, RunBody, RunPreview,
        RunRetryBody, RunSubmitted, ScheduleBody,
    },
    plan::run::RunReport,
};

/// What is said of them.
pub(super) fn operations() -> Vec<Op> {
    let mut all = runs();
    all.extend(of_people());
    all.extend(schedules());
    all
}

fn runs() -> Vec<Op> {
    let plan = json!({ "format": "toml", "plan": "version = 1\ntitle = \"Two steps\"\n[[tasks]]\nid = \"a\"\n\
        duration = \"1h\"\n[[tasks]]\nid = \"b\"\nduration = \"2h\"\ndepends_on = [\"a\"]\n" });
    let (one, change) = (of::<RunRecord>, "/api/v1/plans/runs/{id}");
    vec![
        Op::post("/api/v1/plans/history", "planHistory", "What earlier runs say of tasks")
            .may_take(of::<HistoryBody>(), json!({ "tasks": ["parser"] }))
            .gives(listing::<Learned>()),
        Op::get("/api/v1/plans/runs", "listRuns", "Runs of plans, newest first")
            .asks([number("limit", (50, 500), "At most so many."), cursor("^run_[0-9a-f]{32}$")])
            .gives(page::<RunRecord>()),
        Op::post("/api/v1/plans/runs", "submitPlan", "Carry a plan out")
            .asks([idempotency_key()])
            .takes(of::<RunBody>(), plan)
            .answers("201", "Made", of::<RunSubmitted>())
            .answers(
                "200",
                "It was there already, or what would be submitted",
                either(of::<RunSubmitted>(), of::<RunPreview>()),
            ),
        Op::get(change, "showRun", "One run").gives(one()),
        Op::get("/api/v1/plans/runs/{id}/tasks", "listRunTasks", "Its tasks")
            .gives(listing::<RunTaskRecord>()),
        Op::get("/api/v1/plans/runs/{id}/report", "reportRun", "Planned against real")
            .gives(of::<RunReport>()),
        Op::post("/api/v1/plans/runs/{id}/pause", "pauseRun", "Hold it back")
            .may_take(of::<ReasonBody>(), json!({ "reason": "the tests are red" }))
            .gives(one()),
        Op::post("/api/v1/plans/runs/{id}/resume", "resumeRun", "Let it go on")
            .may_take(of::<NothingBody>(), json!({}))
            .gives(one()),
        Op::post("/api/v1/plans/runs/{id}/cancel", "cancelRun", "Call it off")
            .may_take(of::<NothingBody>(), json!({}))
            .gives(one()),
        Op::post("/api/v1/plans/runs/{id}/retry", "retryRun", "Try again what failed")
            .may_take(of::<RunRetryBody>(), json!({ "task": "parser" }))
            .gives(one()),
    ]
}

fn of_people() -> Vec<Op> {
    let one = of::<RunTaskRecord>;
    vec![
        Op::post(
            "/api/v1/plans/runs/{id}/tasks/{task}/done",
            "doneRunTask",
            "A person has done it",
        )
        .may_take(of::<DoneBody>(), json!({ "output": "signed" }))
        .gives(one()),
        Op::post(
            "/api/v1/plans/runs/{id}/tasks/{task}/fail",
            "failRunTask",
            "They could not do it",
        )
        .may_take(of::<FailBody>(), json!({ "message": "the key is lost" }))
        .gives(one()),
        Op::post("/api/v1/plans/runs/{id}/tasks/{task}/approve", "approveRunTask", "It may start")
            .may_take(of::<NothingBody>(), json!({}))
            .gives(one()),
        Op::post("/api/v1/plans/runs/{id}/tasks/{task}/skip", "skipRunTask", "Leave it out")
            .may_take(of::<NothingBody>(), json!({}))
            .gives(one()),
    ]
}

fn schedules() -> Vec<Op> {
    let one = of::<ScheduleRecord>;
    let body = json!({ "cron": "0 7 * * mon-fri", "zone": "Europe/Berlin", "kind": "report" });
    vec![
        Op::get("/api/v1/schedules", "listSchedules", "Schedules, by name")
            .gives(listing::<ScheduleRecord>()),
        Op::get("/api/v1/schedules/{name}", "showSchedule", "One schedule").gives(one()),
        Op::put("/api/v1/schedules/{name}", "putSchedule", "Make it, or replace it as a whole")
            .takes(of::<ScheduleBody>(), body)
            .answers("201", "Made", one())
            .gives(one()),
        Op::delete("/api/v1/schedules/{name}", "removeSchedule", "Take it out; its tasks go on")
            .gives_nothing(),
        Op::get("/api/v1/schedules/{name}/firings", "listFirings", "What became of its due times")
            .asks([number("limit", (50, 200), "At most so many.")])
            .gives(listing::<FiringRecord>()),
        Op::get("/api/v1/schedules/{name}/next", "nextTimes", "Its next due times")
            .asks([number("count", (5, 1000), "How many.")])
            .gives(listing::<Upcoming>()),
        Op::post("/api/v1/schedules/{name}/pause", "pauseSchedule", "Submit nothing")
            .may_take(of::<ReasonBody>(), json!({ "reason": "holidays" }))
            .gives(one()),
        Op::post("/api/v1/schedules/{name}/resume", "resumeSchedule", "Go on")
            .may_take(of::<NothingBody>(), json!({}))
            .gives(one()),
        Op::post("/api/v1/schedules/{name}/run", "runSchedule", "Submit its task now")
            .may_take(of::<NothingBody>(), json!({}))
            .answers("201", "Made", of::<Submitted>()),
    ]
}
