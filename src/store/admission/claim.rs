//! The transaction that chooses.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use deadpool_postgres::GenericClient;
use jiff::Timestamp;

use super::situation;
use crate::{
    domain::{
        AgentName, FleetName, HostId, QueueName, TaskId,
        admission::{
            Ask, Candidate, Choice, Held, Rate, Rules, Scope, Situation, Turns, Waiter, choose,
        },
        task::Assignment,
    },
    store::{
        StoreError,
        codec::{int4, milliseconds},
        log,
        statement::{Sql, sql},
        tasks, transaction_failed,
    },
};

const TAKE_TURNS: Sql = sql!("task_holds/take_turns");
const CANDIDATES: Sql = sql!("tasks/candidates");
const BEGIN: Sql = sql!("tasks/begin");
const PASS_OVER: Sql = sql!("task_waits/pass_over");
const ADD_STARTS: Sql = sql!("rate_starts/add");
const GATE: Sql = sql!("tasks/gate");

/// What the advisory lock goes by: any number that nobody else uses ("admit" in ASCII).
const LOCK: i64 = 0x0061_646d_6974;
/// How long a host that chooses may say nothing before it loses its turn, in milliseconds.
const SILENCE: i32 = 5_000;
/// How many lanes of a queue are looked at.
const LANES: i32 = 256;
/// How many tasks that need something are looked at in each queue, the first ones.
const FIRST: i32 = 256;
/// A window of more starts than this keeps them in so many groups.
const GROUPS: u32 = 256;

/// For whom tasks are to be chosen.
#[derive(Debug, Clone)]
pub struct Order {
    /// The host.
    pub host: HostId,
    /// The fleet whose agents are free.
    pub fleet: FleetName,
    /// The queues that it serves.
    pub queues: Vec<QueueName>,
    /// The agents that could take a task, in their order; one that could take several stands there as
    /// often.
    pub agents: Vec<AgentName>,
    /// Only tasks of this priority and higher.
    pub floor: i16,
    /// How long a task is passed over before what it needs is kept for it.
    pub patience: Duration,
    /// How long it counts that a task was passed over: until this host looks again, and longer.
    pub remember: Duration,
}

/// What a fleet of a host remembers from one choice to the next. Forgetting it does no harm but
/// that turns begin anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    turns: Turns,
    /// Where the next look at the lanes of a queue begins, if the last one did not see all.
    lanes: BTreeMap<QueueName, i64>,
}

/// What was given out, and what is to be known of the rest.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Claimed {
    /// One assignment per task, the first chosen first.
    pub assignments: Vec<Assignment>,
    /// Tasks wait that could not begin.
    pub blocked: bool,
    /// There are more tasks than were looked at: it is worth to look again.
    pub more: bool,
    /// When one of those that wait could begin because time has passed.
    pub opens: Option<Duration>,
    /// To be given to the next choice of the same fleet.
    pub memory: Memory,
}

/// What a plain claim leaves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gate {
    /// Queues that plain claims give nothing of.
    pub limited: BTreeSet<QueueName>,
    /// Whether a task waits that plain claims do not give out.
    pub waiting: bool,
    /// When the next pause of one of the queues ends.
    pub resumes: Option<Duration>,
}

/// Looks whether there is anything to choose among. Cheap.
///
/// # Errors
///
/// Those of the statement.
pub async fn gate(
    db: &impl GenericClient,
    fleet: &FleetName,
    queues: &[QueueName],
) -> Result<Gate, StoreError> {
    let Some(row) = GATE.query_opt(db, &[&queues, &fleet.as_str()]).await? else {
        return Ok(Gate::default());
    };
    let fields = GATE.fields(&row);
    let limited: Vec<QueueName> = fields.get("limited")?;
    Ok(Gate {
        limited: limited.into_iter().collect(),
        waiting: fields.get("waiting")?,
        resumes: fields.count_opt("resumes_ms")?.map(Duration::from_millis),
    })
}

/// Chooses and hands out tasks for the agents of `order`: those that need something, those of
/// what is limited, and plain ones between them, in their common order.
///
/// It is a transaction of its own on `db`, where none is open: two round trips, and one more each
/// where plain tasks are to be found, a limit counts what runs, or a rate what began.
///
/// Waits for whoever chooses just now. `limited` are the queues whose plain tasks are to be found:
/// those that the gate named.
///
/// # Errors
///
/// Those of the statements. The transaction may be open then: [`crate::store::Store::pipeline_within`]
/// ends it. Where the answer to the commit is lost, what was handed out is held unheard.
pub async fn begin(
    db: &impl GenericClient,
    order: &Order,
    limited: &BTreeSet<QueueName>,
    mut memory: Memory,
) -> Result<Claimed, StoreError> {
    for statement in [&TAKE_TURNS, &CANDIDATES, &BEGIN, &PASS_OVER] {
        statement.prepare(db).await?;
    }
    situation::prepare(db).await?;
    let Seen { now, rules, found, held, waiters } = if limited.is_empty() {
        // All of it is sent at once, and carried out in this order.
        let (turn, seen) = tokio::join!(take_turn(db), look(db, order, &memory));
        turn?;
        seen?
    } else {
        take_turn(db).await?;
        log::divert(db, order.host, limited, order.agents.len()).await?;
        look(db, order, &memory).await?
    };
    let rates = rates(&rules, order, &found.tasks);
    let scopes: BTreeSet<Scope> =
        rates.values().flatten().map(|(scope, _)| scope.clone()).collect();
    let (running, starts) =
        tokio::try_join!(situation::running(db, &rules), situation::starts(db, &scopes))?;
    let situation = Situation { now, rules, held, running, starts, waiters };
    let ask = Ask {
        host: order.host,
        fleet: &order.fleet,
        queues: &order.queues,
        agents: &order.agents,
        candidates: &found.tasks,
    };
    let Choice { take, passed, blocked, opens } = choose(&situation, &ask, &mut memory.turns);
    let assignments = write(db, order, &take, passed, &found.lane, &rates).await?;
    memory.lanes = found.lanes;
    // What was looked at is used up, or a part of the lanes is still to be looked at.
    let agents_left = assignments.len() < order.agents.len();
    let more = agents_left && (found.more && !assignments.is_empty() || !memory.lanes.is_empty());
    let opens =
        opens.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO));
    Ok(Claimed { assignments, blocked, more, opens, memory })
}

/// Begins the transaction, and waits until nobody else chooses.
async fn take_turn(db: &impl GenericClient) -> Result<(), StoreError> {
    let (begun, turn) =
        tokio::join!(db.batch_execute("BEGIN"), TAKE_TURNS.query(db, &[&LOCK, &SILENCE]));
    begun.map_err(transaction_failed)?;
    turn.map(drop)
}

/// What was seen while nobody else chose.
struct Seen {
    now: Timestamp,
    rules: Rules,
    found: Found,
    held: Vec<Held>,
    waiters: Vec<Waiter>,
}

async fn look(db: &impl GenericClient, order: &Order, memory: &Memory) -> Result<Seen, StoreError> {
    let ((now, rules), found, held, waiters) = tokio::try_join!(
        situation::rules(db),
        candidates(db, order, memory),
        situation::held(db),
        situation::waiters(db, order.patience, situation::MOST_WAITERS),
    )?;
    Ok(Seen { now, rules, found, held, waiters })
}

/// Writes down what was chosen and what was passed over, and commits.
async fn write(
    db: &impl GenericClient,
    order: &Order,
    take: &[(TaskId, AgentName)],
    passed: Vec<TaskId>,
    lane: &BTreeMap<TaskId, i64>,
    rates: &Rates,
) -> Result<Vec<Assignment>, StoreError> {
    let commit = async { db.batch_execute("COMMIT").await.map_err(transaction_failed) };
    if rates.is_empty() {
        // Where one fails the commit undoes all; the first error is the one that says why.
        let (handed, passed, committed) =
            tokio::join!(hand_out(db, order, take, lane), pass_over(db, order, passed), commit);
        let (assignments, _) = handed?;
        passed.and(committed)?;
        return Ok(assignments);
    }
    let (assignments, began) = hand_out(db, order, take, lane).await?;
    if let Some(began) = began {
        add_starts(db, began, rates, &assignments).await?;
    }
    let (passed, committed) = tokio::join!(pass_over(db, order, passed), commit);
    passed.and(committed)?;
    Ok(assignments)
}

/// What was found.
struct Found {
    tasks: Vec<Candidate>,
    /// The lane of each that needs something: what it needed when it was looked at.
    lane: BTreeMap<TaskId, i64>,
    /// Where to go on in queues of which not all lanes were seen.
    lanes: BTreeMap<QueueName, i64>,
    /// A limit of the look was reached.
    more: bool,
}

async fn candidates(
    db: &impl GenericClient,
    order: &Order,
    memory: &Memory,
) -> Result<Found, StoreError> {
    let agents = int4(u32::try_from(order.agents.len()).unwrap_or(u32::MAX));
    let first = |queue| memory.lanes.get(queue).copied().unwrap_or(i64::MIN);
    let from: Vec<i64> = order.queues.iter().map(first).collect();
    let rows = CANDIDATES
        .query(db, &[&order.queues, &agents, &from, &LANES, &FIRST, &order.floor])
        .await?;
    let mut tasks = Vec::with_capacity(rows.len());
    let mut lane_of = BTreeMap::new();
    let mut seen: BTreeMap<QueueName, BTreeSet<i64>> = BTreeMap::new();
    for row in &rows {
        let fields = CANDIDATES.fields(row);
        let candidate = Candidate {
            task: fields.get("id")?,
            queue: fields.get("queue")?,
            priority: fields.get("priority")?,
            needs: situation::needs(&fields)?,
        };
        if let Some(lane) = fields.get::<Option<i64>>("lane")? {
            lane_of.insert(candidate.task, lane);
            if fields.get("by_lane")? {
                seen.entry(candidate.queue.clone()).or_default().insert(lane);
            }
        }
        tasks.push(candidate);
    }
    let many = usize::try_from(LANES).unwrap_or(usize::MAX);
    let lanes: BTreeMap<_, _> = seen
        .into_iter()
        .filter(|(_, lanes)| lanes.len() >= many)
        .filter_map(|(queue, lanes)| Some((queue, lanes.last()?.checked_add(1)?)))
        .collect();
    let more = !lanes.is_empty() || rows.len() >= order.agents.len();
    Ok(Found { tasks, lane: lane_of, lanes, more })
}

/// The rates under which each task would begin.
type Rates = BTreeMap<TaskId, Vec<(Scope, Rate)>>;

fn rates(rules: &Rules, order: &Order, tasks: &[Candidate]) -> Rates {
    let of = |task: &Candidate| {
        let scopes = rules.scopes(Some(&order.fleet), &task.queue, task.needs.keys());
        let rates: Vec<_> =
            scopes.filter_map(|(scope, limit)| Some((scope, limit.rate?))).collect();
        (!rates.is_empty()).then_some((task.task, rates))
    };
    tasks.iter().filter_map(of).collect()
}

/// Hands out what was chosen, and says when the last of it began.
async fn hand_out(
    db: &impl GenericClient,
    order: &Order,
    take: &[(TaskId, AgentName)],
    lane: &BTreeMap<TaskId, i64>,
) -> Result<(Vec<Assignment>, Option<Timestamp>), StoreError> {
    if take.is_empty() {
        return Ok((Vec::new(), None));
    }
    let (tasks, agents): (Vec<TaskId>, Vec<&AgentName>) =
        take.iter().map(|(task, agent)| (*task, agent)).unzip();
    let lanes: Vec<Option<i64>> = tasks.iter().map(|task| lane.get(task).copied()).collect();
    let rows = BEGIN.query(db, &[&order.host, &tasks, &agents, &lanes]).await?;
    let (mut assignments, mut began) = (Vec::with_capacity(rows.len()), None);
    for row in &rows {
        let fields = BEGIN.fields(row);
        began = began.max(Some(fields.get("started_at")?));
        assignments.push(tasks::assignment(&fields, true)?);
    }
    Ok((assignments, began))
}

/// Counts what began, in groups where a window has many: a group counts as if all of it had begun
/// when its last one could have, so that no window ever has more than it may.
async fn add_starts(
    db: &impl GenericClient,
    began: Timestamp,
    rates: &Rates,
    begun: &[Assignment],
) -> Result<(), StoreError> {
    let mut counts: BTreeMap<&Scope, (Rate, i32)> = BTreeMap::new();
    for (scope, rate) in begun.iter().filter_map(|one| rates.get(&one.task)).flatten() {
        counts.entry(scope).or_insert((*rate, 0)).1 += 1;
    }
    if counts.is_empty() {
        return Ok(());
    }
    let scopes: Vec<String> = counts.keys().map(ToString::to_string).collect();
    let (mut at, mut past, mut tasks) = (Vec::new(), Vec::new(), Vec::new());
    for (rate, count) in counts.values() {
        at.push(group(began, *rate));
        past.push(began.checked_sub(rate.per).unwrap_or(Timestamp::MIN));
        tasks.push(*count);
    }
    ADD_STARTS.query(db, &[&scopes, &at, &tasks, &past]).await?;
    Ok(())
}

/// The time that a start of now is kept under.
fn group(now: Timestamp, rate: Rate) -> Timestamp {
    if rate.count <= GROUPS {
        return now;
    }
    let span = i64::try_from(rate.per.as_micros()).unwrap_or(i64::MAX) / i64::from(GROUPS);
    let span = span.max(1);
    let now = now.as_microsecond();
    let end = now.div_euclid(span).saturating_add(1).saturating_mul(span);
    Timestamp::from_microsecond(end).unwrap_or(Timestamp::MAX)
}

async fn pass_over(
    db: &impl GenericClient,
    order: &Order,
    mut passed: Vec<TaskId>,
) -> Result<(), StoreError> {
    // The oldest wait longest.
    passed.sort_unstable();
    passed.truncate(GROUPS as usize);
    if passed.is_empty() {
        return Ok(());
    }
    PASS_OVER.query(db, &[&passed, &milliseconds(order.remember)]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_ends_after_what_is_in_it_and_within_its_share_of_the_window() {
        let now = Timestamp::from_microsecond(1_700_000_000_123_456).unwrap();
        let rate = |count, per| Rate { count, per: Duration::from_millis(per) };
        assert_eq!(group(now, rate(256, 1_000)), now);
        for per in [1, 7, 256, 60_000] {
            let at = group(now, rate(1_000, per));
            let late = at.duration_since(now);
            assert!(late.is_positive() && late.as_micros() <= i128::from(per * 1_000 / 256 + 1));
        }
    }
}
