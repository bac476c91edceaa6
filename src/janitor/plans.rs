//! The duty that carries plans out: it writes down how tasks ended, looks how what is left goes on,
//! and ends what nobody is to do.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use serde_json::json;
use slog::{Logger, info, warn};

use super::{Done, Duty, Leading, OnDeed, OnEnd};
use crate::{
    domain::{
        PlanRunId, QueueName, TaskId,
        audit::Outcome,
        graph::holds,
        leadership::Matter,
        plan::{
            Plan,
            run::{PERSON, RunTaskRecord, by_clock, by_plan},
        },
        task::TaskState,
    },
    plan::{
        read,
        run::{Left, Stand, priorities, replan},
    },
    store::{
        StoreError,
        plans::{self, ByHand, Look, OpenRun},
        tasks,
    },
};

/// How often runs are looked at that go on.
const LOOK: Duration = Duration::from_secs(1);
/// How often they are looked for though the database did not say that there is a new one.
const LOOK_FOR_ANY: Duration = Duration::from_secs(60);
/// How long one statement, and what is written of one run, may take.
const LIMIT: Duration = Duration::from_secs(20);
/// The wait before the next look is so many times as long as the look was: large runs are looked at
/// less often.
const REST: u32 = 10;
/// How many priorities are changed at once: as long as that takes none of these tasks begins, and no
/// task ends on which one of them waits.
const PRIORITIES: usize = 200;
/// The shortest wait for a person of a rehearsal.
const SOON: Duration = Duration::from_millis(10);

/// Looks at the runs of plans that go on.
///
/// What it writes is fenced. What it ends by hand is harmless whoever does it: a task is ended once.
pub fn carry_out_plans(log: Logger, ended: OnEnd, did: OnDeed) -> Duty {
    let conductor = Rc::new(Conductor { log, ended, did, plans: RefCell::default() });
    let duty = Duty::new("plans", LOOK_FOR_ANY, move |leading| {
        let conductor = conductor.clone();
        async move { conductor.look(&leading).await }
    });
    duty.on(Matter::Plans)
}

struct Conductor {
    log: Logger,
    ended: OnEnd,
    did: OnDeed,
    /// The plans of the runs that go on; nothing of one that can't be read.
    plans: RefCell<HashMap<PlanRunId, Option<Arc<Plan>>>>,
}

impl Conductor {
    async fn look(&self, leading: &Leading) -> Result<Done, StoreError> {
        let begin = tokio::time::Instant::now();
        let open = leading.store().within(LIMIT, async |db| plans::open(db).await).await?;
        self.plans.borrow_mut().retain(|id, _| open.iter().any(|run| run.id == *id));
        let (mut woken, mut soonest) = (BTreeSet::new(), None::<Duration>);
        for run in open.iter().filter(|run| run.changed || run.rehearsal) {
            let (queues, next) = self.look_at(leading, run).await?;
            woken.extend(queues);
            soonest = [soonest, next].into_iter().flatten().min();
        }
        let rest = (begin.elapsed() * REST).max(LOOK);
        let next = soonest.map_or(rest, |soon| soon.clamp(SOON, rest));
        let again_in = (!open.is_empty()).then_some(next);
        Ok(Done { woken: woken.into_iter().collect(), again_in })
    }

    /// Looks at one run. The queues that got work, and when the next person of a rehearsal is done.
    async fn look_at(
        &self,
        leading: &Leading,
        run: &OpenRun,
    ) -> Result<(Vec<QueueName>, Option<Duration>), StoreError> {
        let read = async |db: &_| Ok((plans::now(db).await?, plans::tasks(db, run.id).await?));
        let (now, found) = leading.store().within(LIMIT, read).await?;
        let due = DueNow::of(run, &found, now);
        let mut woken = Vec::new();
        for (tasks, deed, output) in [
            (&due.skipped, "skip", json!({ "skipped": true })),
            (&due.played, "done", json!({ "rehearsed": true })),
        ] {
            if !tasks.is_empty() {
                let how = ByHand::Completed(output);
                woken.extend(self.end(leading, run.id, tasks, (deed, how)).await?);
            }
        }
        if found.iter().any(RunTaskRecord::is_undecided) {
            woken.extend(self.decide(leading, run).await?);
        }
        if run.changed {
            self.write_down(leading, run, found, now).await?;
        }
        Ok((woken, due.next))
    }

    /// Decides about the tasks that wait for nothing but their conditions. Of a rehearsal, whose
    /// results are no real ones, a condition that can't be decided holds.
    async fn decide(&self, leading: &Leading, run: &OpenRun) -> Result<Vec<QueueName>, StoreError> {
        let read = async |db: &_| plans::undecided(db, run.id).await;
        let mut woken = Vec::new();
        for one in leading.store().within(LIMIT, read).await? {
            let verdict = one.results.and_then(|results| holds(&one.condition, &results));
            let verdict = match verdict {
                Err(_) if run.rehearsal => Ok(true),
                verdict => verdict,
            };
            let to_do = verdict == Ok(true);
            let work = async |db: &deadpool_postgres::Transaction<'_>| {
                plans::decide(db, run.id, one.task, to_do).await
            };
            woken.extend(leading.store().transact_within(LIMIT, work).await?);
            let how = match verdict {
                Ok(true) => {
                    self.record(run.id, "tasks.begin", one.task.to_string());
                    continue;
                }
                Ok(false) => {
                    let output = json!({ "skipped": true, "condition": one.condition });
                    ("skip", ByHand::Completed(output))
                }
                Err(why) => {
                    ("fail", ByHand::Failed(format!("the condition can't be decided: {why}")))
                }
            };
            woken.extend(self.end(leading, run.id, &[one.task], how).await?);
        }
        Ok(woken)
    }

    /// Records what a run did by itself, under the name that it has where a person does it.
    fn record(&self, run: PlanRunId, deed: &str, object: String) {
        (self.did)(format!("plan:{run}"), &format!("plans.runs.{deed}"), object, Outcome::Done);
    }

    /// Ends tasks of a run that nobody is to do.
    async fn end(
        &self,
        leading: &Leading,
        run: PlanRunId,
        due: &[TaskId],
        (deed, how): (&str, ByHand),
    ) -> Result<Vec<QueueName>, StoreError> {
        let work = async |db: &deadpool_postgres::Transaction<'_>| {
            plans::end_by_hand(db, due, PERSON, &how).await
        };
        let ended = leading.store().transact_within(LIMIT, work).await?;
        let woken =
            leading.store().within(LIMIT, async |db| tasks::woken_queues(db, &ended).await).await?;
        for task in &ended {
            self.record(run, &format!("tasks.{deed}"), task.to_string());
        }
        let state = how.state();
        (self.ended)(ended.into_iter().map(|task| (task, state)).collect());
        Ok(woken)
    }

    /// Writes down what has ended, and how what is left goes on.
    async fn write_down(
        &self,
        leading: &Leading,
        run: &OpenRun,
        found: Vec<RunTaskRecord>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let has_ended = found.iter().all(RunTaskRecord::is_over);
        let plan = if has_ended { None } else { self.plan(leading, run.id).await? };
        let (agents, hour_ms) = (run.agents, run.hour_ms);
        // A large plan takes as long as many claims: not on the thread of the actors.
        let judged = tokio::task::spawn_blocking(move || match plan {
            Some(plan) => judge(&plan, agents, hour_ms, &found, now),
            None => (0, Vec::new()),
        });
        let Ok((left_ms, priorities)) = judged.await else {
            warn!(self.log, "plan could not be judged"; "plan_run" => %run.id);
            return Ok(());
        };
        let reordered = !priorities.is_empty();
        if reordered {
            info!(self.log, "plan goes on in another order"; "plan_run" => %run.id,
                "count" => priorities.len());
        }
        for some in priorities.chunks(PRIORITIES) {
            let work =
                async |db: &deadpool_postgres::Transaction<'_>| plans::prioritise(db, some).await;
            if leading.fenced(LIMIT, work).await?.is_none() {
                return Ok(());
            }
        }
        let look = Look { at: now, left_ms, reordered, ended: has_ended };
        let work =
            async |db: &deadpool_postgres::Transaction<'_>| plans::looked(db, run.id, &look).await;
        // Without an answer another host leads by now.
        let written = leading.fenced(LIMIT, work).await?;
        if written.is_some() && reordered {
            self.record(run.id, "reorder", run.id.to_string());
        }
        if written == Some(true) {
            info!(self.log, "plan has ended"; "plan_run" => %run.id);
            self.record(run.id, "end", run.id.to_string());
        }
        Ok(())
    }

    /// The plan of a run.
    async fn plan(
        &self,
        leading: &Leading,
        run: PlanRunId,
    ) -> Result<Option<Arc<Plan>>, StoreError> {
        if let Some(plan) = self.plans.borrow().get(&run) {
            return Ok(plan.clone());
        }
        let text = leading.store().within(LIMIT, async |db| plans::plan(db, run).await).await?;
        let text = text.unwrap_or_default();
        let plan = match read::parse(&text, read::Format::Toml, "the plan of the run".as_ref()) {
            Ok(plan) => Some(Arc::new(plan)),
            Err(problems) => {
                warn!(self.log, "plan can't be read, and keeps its order"; "plan_run" => %run,
                    "reason" => %problems);
                None
            }
        };
        self.plans.borrow_mut().insert(run, plan.clone());
        Ok(plan)
    }
}

/// The tasks that are to end by hand now.
#[derive(Default)]
struct DueNow {
    /// What was left out, and what nobody waits for any more.
    skipped: Vec<TaskId>,
    /// What people would have done by now, in a rehearsal.
    played: Vec<TaskId>,
    /// When the next of these is done.
    next: Option<Duration>,
}

impl DueNow {
    fn of(run: &OpenRun, tasks: &[RunTaskRecord], now: Timestamp) -> Self {
        let mut due = Self::default();
        for task in tasks {
            let gate = task.approval.filter(|_| task.approval_state == Some(TaskState::Pending));
            match gate {
                Some(gate) if task.skipped_at.is_some() || task.state.is_final() => {
                    due.skipped.push(gate);
                }
                Some(gate) if run.rehearsal => due.played.push(gate),
                _ => {}
            }
            // What nobody did has nothing to be merged.
            let undone = task.skipped_at.is_some() || task.decided == Some(false);
            if undone && task.state == TaskState::Completed && task.waits_for_its_turn() {
                due.skipped.extend(task.merge);
            }
            if task.state != TaskState::Pending {
                continue;
            }
            if task.skipped_at.is_some() {
                due.skipped.push(task.task);
            } else if task.human && run.rehearsal && !task.is_undecided() {
                let takes = Duration::from_millis(by_clock(task.planned.length, run.hour_ms));
                let waited = now.duration_since(task.ready_at.unwrap_or(now));
                let waited = Duration::try_from(waited).unwrap_or_default();
                match takes.checked_sub(waited).filter(|left| !left.is_zero()) {
                    None => due.played.push(task.task),
                    Some(left) => due.next = Some(due.next.map_or(left, |next| next.min(left))),
                }
            }
        }
        due
    }
}

/// How what is left goes on: how many milliseconds of the clock it takes, and the priorities that
/// change, in the order of the tasks' ids.
fn judge(
    plan: &Plan,
    agents: u32,
    hour_ms: u64,
    tasks: &[RunTaskRecord],
    now: Timestamp,
) -> (u64, Vec<(TaskId, i16)>) {
    let mut stands = vec![Stand::Ended; plan.tasks.len()];
    let mut priority = vec![0; plan.tasks.len()];
    let mut ids = HashMap::new();
    for task in tasks.iter().filter(|task| task.place < plan.tasks.len()) {
        let since = task.running_since.map_or(0, |at| {
            by_plan(u64::try_from(now.duration_since(at).as_millis()).unwrap_or(0), hour_ms)
        });
        stands[task.place] = match task.state {
            state if state.is_final() || task.skipped_at.is_some() => Stand::Ended,
            state if state.is_held() => Stand::Running { since },
            _ => Stand::Waiting,
        };
        priority[task.place] = task.priority;
        ids.insert(task.place, task.task);
    }
    let Left { time, order } = replan(plan, agents, &stands, &priority);
    let order = order.unwrap_or_default();
    let given = order.iter().zip(priorities(order.len()));
    let mut changed: Vec<(TaskId, i16)> = given
        .filter(|(place, new)| priority[**place] != *new)
        .filter_map(|(place, new)| Some((*ids.get(place)?, new)))
        .collect();
    changed.sort_unstable();
    (by_clock(time, hour_ms), changed)
}
