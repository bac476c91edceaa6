//! Runs of plans.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::LOCATION,
    web::{self, Data, Payload},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use self::read::Request;
use super::{
    Answer, State,
    api::{FieldError, Listing, RunPreview, RunSubmitted},
    body,
    caller::Caller,
    error::{ApiError, Kind},
    fields::Fields,
    ok,
    once::HeaderKey,
    query, workspaces,
};
use crate::{
    domain::{
        PlanRunId, PlanTaskId, TaskId,
        plan::{
            Plan,
            run::{Deed, NewRun, RunTaskRecord},
        },
        record::Page,
    },
    plan::{
        analyze::{Options, analyze, backward},
        read as plan_file,
        run::{self, Asked, Crew, carried_out, compile},
        solve::Budget,
    },
};

mod read;

/// The most schedules that the search makes for a run.
const SCHEDULES: u64 = 20_000;
/// The most steps of its exact search.
const NODES: u64 = 400_000;
/// How long it looks for a better schedule, at the most.
const TIME: Duration = Duration::from_secs(2);

/// The longest reason and message, in characters.
pub(super) const MAX_TEXT: usize = 1_000;

/// The most names that are asked about at once: as many as a plan has tasks.
const MAX_NAMES: usize = 100_000;

/// How many runs a page has, and at most.
const PAGE: (u32, u32) = (50, 500);

pub(super) async fn submit(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    query::none(&request)?;
    let header_key = HeaderKey::read(request.headers(), &caller)?;
    let body = body::object(&request, payload, state.settings.max_body).await?;
    take(&state, body, header_key).await
}

/// Reads a plan alone: what it is, or every mistake of it.
///
/// # Errors
///
/// Every mistake, each with its place.
pub(super) fn check(body: Map<String, Value>) -> Result<Value, Vec<FieldError>> {
    let plan = read::read(body, None)?.plan;
    Ok(json!({ "sound": true, "title": plan.title, "tasks": plan.tasks.len() }))
}

/// Carries out what a body asks for.
pub(super) async fn take(
    state: &State,
    body: Map<String, Value>,
    header_key: Option<HeaderKey<'_>>,
) -> Answer {
    let wanted = read::read(body, header_key).map_err(ApiError::invalid)?;
    let dry_run = wanted.dry_run;
    let wanted = with_history(state, wanted).await?;
    let fleets = state.supervisor.fleets().await?;
    let terms = state.queue.terms();
    // A schedule may take seconds, and nobody else is to wait for it.
    let made = web::block(move || {
        let max_attempts = |queue: &_| terms.of(queue).max_attempts;
        make(wanted, &Crew { fleets: &fleets, max_attempts: &max_attempts })
    });
    let new = made.await.map_err(|_| ApiError::fault("the schedule could not be made"))?;
    let new = new.map_err(ApiError::invalid)?;
    if dry_run {
        return Ok(ok(&RunPreview::of(&new)));
    }
    let (run, created) = state.queue.submit_run(&new).await?;
    let mut answer = if created { HttpResponse::Created() } else { HttpResponse::Ok() };
    answer.insert_header((LOCATION, format!("/api/v1/plans/runs/{}", run.id)));
    Ok(answer.json(RunSubmitted { run, created }))
}

/// The same request, with what earlier runs say if that is asked for.
async fn with_history(state: &State, mut wanted: Request) -> Result<Request, ApiError> {
    if wanted.from_history {
        let names: Vec<PlanTaskId> = wanted.plan.tasks.iter().map(|task| task.id.clone()).collect();
        let learned = state.queue.learned(&names).await?;
        wanted.plan = wanted.plan.with_history(&learned);
    }
    Ok(wanted)
}

/// Makes a run of what was asked: schedules the plan and says which task goes where.
fn make(wanted: Request, crew: &Crew<'_>) -> Result<NewRun, Vec<FieldError>> {
    let plan: &Plan = &wanted.plan;
    if let Some((task, earlier)) = backward(plan).filter(|_| wanted.phased) {
        let (task, earlier) = (&plan.tasks[task].id, &plan.tasks[earlier].id);
        let detail = format!("`{task}` waits for `{earlier}`, which is in a later phase");
        return Err(vec![FieldError { field: "phased".to_owned(), detail }]);
    }
    let begin = tokio::time::Instant::now();
    let elapsed = || begin.elapsed();
    let budget = Budget { schedules: SCHEDULES, nodes: NODES, time: TIME, elapsed: &elapsed };
    let options = Options {
        agents: wanted.agents,
        phased: wanted.phased,
        split: true,
        seed: 1,
        draws: 0,
        budget,
    };
    let flat = if wanted.split { analyze(plan, &options).plan } else { plan.with_splits(&[]) };
    let flat = carried_out(&flat, wanted.phased, wanted.git.is_some());
    let analysis = analyze(&flat, &Options { phased: false, split: false, ..options });
    let asked = Asked {
        id: PlanRunId::from_uuid(Uuid::now_v7()),
        queue: wanted.queue,
        hour_ms: wanted.hour_ms,
        phased: wanted.phased,
        idempotency_key: wanted.idempotency_key,
        git: wanted.git,
    };
    compile(&analysis, &asked, crew, || TaskId::from_uuid(Uuid::now_v7())).map_err(|flaws| {
        let field = |task: Option<PlanTaskId>| {
            task.map_or_else(|| "plan".to_owned(), |task| format!("plan.tasks.{task}"))
        };
        flaws
            .into_iter()
            .map(|flaw| FieldError { field: field(flaw.task), detail: flaw.what })
            .collect()
    })
}

pub(super) async fn history(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let take = |fields: &mut Fields<'_>| fields.list("tasks", MAX_NAMES);
    let names: Option<Vec<PlanTaskId>> = body::fields(&state, &request, payload, take).await?;
    Ok(ok(&Listing { items: state.queue.learned(&names.unwrap_or_default()).await? }))
}

pub(super) async fn list(state: Data<State>, request: HttpRequest) -> Answer {
    let (limit, cursor) = query::page(request.query_string(), PAGE)?;
    let found = state.queue.runs(cursor, limit + 1).await?;
    Ok(ok(&Page::cut(found, limit, |run| run.id)))
}

pub(super) async fn show(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    Ok(ok(&state.queue.run(query::path(&request, "id")?).await?))
}

pub(super) async fn tasks(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    let items = state.queue.run_tasks(query::path(&request, "id")?).await?;
    Ok(ok(&Listing { items }))
}

pub(super) async fn report(state: Data<State>, request: HttpRequest) -> Answer {
    query::none(&request)?;
    report_of(&state, query::path(&request, "id")?).await
}

/// What came of a run.
pub(super) async fn report_of(state: &State, id: PlanRunId) -> Answer {
    let (run, text) = (state.queue.run(id).await?, state.queue.run_plan(id).await?);
    let tasks = state.queue.run_tasks(id).await?;
    let made = web::block(move || {
        let plan = plan_file::parse(&text, plan_file::Format::Toml, "the plan of the run".as_ref());
        plan.map(|plan| run::report(run, &plan, &tasks, Timestamp::now()))
    });
    let made = made.await.map_err(|_| ApiError::fault("the report could not be made"))?;
    Ok(ok(&made.map_err(|problems| ApiError::fault(problems.to_string()))?))
}

pub(super) async fn pause(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let reason = text(&state, &request, payload, "reason").await?;
    Ok(ok(&state.queue.pause_run(query::path(&request, "id")?, reason).await?))
}

pub(super) async fn resume(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let id = body::bare(&state, &request, payload, "id").await?;
    Ok(ok(&state.queue.resume_run(id).await?))
}

pub(super) async fn cancel(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let id = body::bare(&state, &request, payload, "id").await?;
    Ok(ok(&state.queue.cancel_run(id).await?))
}

pub(super) async fn retry(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let task = text(&state, &request, payload, "task").await?;
    let wrong = |error: crate::domain::ParseNameError| {
        ApiError::of_field(Kind::Invalid, "task".to_owned(), error.to_string())
    };
    let task = task.map(|task| task.parse().map_err(wrong)).transpose()?;
    Ok(ok(&state.queue.retry_run(query::path(&request, "id")?, task).await?))
}

pub(super) async fn done(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let take = |fields: &mut Fields<'_>| fields.json("output", state.tasks.max_input);
    let output: Value = body::fields(&state, &request, payload, take).await?;
    deal(&state, &request, Deed::Done(output)).await
}

pub(super) async fn fail(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let message = text(&state, &request, payload, "message").await?;
    deal(&state, &request, Deed::Fail(message.unwrap_or_else(without_reason))).await
}

pub(super) async fn approve(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    body::nothing(&state, &request, payload).await?;
    deal(&state, &request, Deed::Approve).await
}

pub(super) async fn skip(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    body::nothing(&state, &request, payload).await?;
    deal(&state, &request, Deed::Skip).await
}

fn without_reason() -> String {
    "a person could not do it".to_owned()
}

/// Takes a deed by its word, with the output or the message that it may have.
pub(super) fn deed(fields: &mut Fields<'_>, max_output: u64) -> Option<Deed> {
    let words = ["approve", "done", "fail", "skip"].map(|word| (word, word));
    let word = fields.word("deed", &words)?;
    for (field, of) in [("output", "done"), ("message", "fail")] {
        if word != of && fields.gives(field) {
            fields.wrong(field, format!("goes with `{of}` alone"));
        }
    }
    let (output, message) = (fields.json("output", max_output), fields.text("message", MAX_TEXT));
    Some(match word {
        "approve" => Deed::Approve,
        "done" => Deed::Done(output),
        "fail" => Deed::Fail(message.unwrap_or_else(without_reason)),
        _ => Deed::Skip,
    })
}

/// Does what a person does to the task of the path.
async fn deal(state: &State, request: &HttpRequest, deed: Deed) -> Answer {
    let (run, task) = (query::path(request, "id")?, query::path(request, "task")?);
    Ok(ok(&deal_with(state, run, &task, deed).await?))
}

/// Does what a person does to one task of a run. That a conflict is resolved is merged first, and what is
/// told of it is what it came to.
pub(super) async fn deal_with(
    state: &State,
    run: PlanRunId,
    task: &PlanTaskId,
    deed: Deed,
) -> Result<RunTaskRecord, ApiError> {
    if matches!(deed, Deed::Done(_)) {
        let tasks = state.queue.run_tasks(run).await?;
        let found = tasks.into_iter().find(|found| found.id == *task);
        if let Some(merge) = found.filter(RunTaskRecord::is_to_be_resolved).and_then(|it| it.merge)
        {
            workspaces::resolve(state, merge).await?;
            return Ok(state.queue.run_task(run, task).await?);
        }
    }
    Ok(state.queue.deal_with(run, task, deed).await?)
}

/// The one text that the body of a request may have.
async fn text(
    state: &State,
    request: &HttpRequest,
    payload: Payload,
    name: &'static str,
) -> Result<Option<String>, ApiError> {
    body::fields(state, request, payload, |fields| fields.text(name, MAX_TEXT)).await
}
