//! What the host is measured by: the real program, tasks in by HTTP, out by worker processes.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use tokio_postgres::IsolationLevel;

use crate::{
    Outcome, Run,
    agent::now,
    api::Api,
    ceiling::LONG,
    cluster::connect,
    host::{Agents, Host, PARKED, QUEUE, WORKERS},
    library,
    meter::{Drained, millis, pause, rate},
    sessions,
    state::{await_end, check, give_up},
};

/// Under which name the figures are kept.
pub(crate) const NAME: &str = "hostler";

/// Tasks in one request of a bulk submit.
pub(crate) const BULK: usize = 1_000;
/// Clients that submit so many at the same time: one alone would wait while its request is read.
const BULK_CLIENTS: usize = 4;
/// Clients that submit at the same time.
pub(crate) const CLIENTS: usize = 10;
/// Few submitters, and many: their number, what they come to over HTTP, and by SQL.
const SUBMITTERS: [(usize, &str, &str); 2] =
    [(8, "submit by 8", "enqueue by 8"), (64, "submit by 64", "enqueue by 64")];
/// A submit by SQL.
const ENQUEUE: &str = "SELECT hostler.enqueue('bench', 'task', $1)";
/// Agents that have nothing to do.
const IDLE: usize = 200;
/// How long a look at a drain is away from the next.
const GLANCE: Duration = Duration::from_millis(2);
/// How often a full table is drained in a repeat, an empty one, and one under a snapshot.
const ROUNDS: usize = 3;
/// The first pick-ups are not counted: everything is cold.
const WARM_UPS: usize = 5;

/// What all tasks have as input, as the peers' tasks have.
pub(crate) fn input(number: usize) -> serde_json::Value {
    serde_json::json!({"n": number, "pad": "x".repeat(180)})
}

/// One task for a submit over HTTP.
fn body(queue: &str, number: usize) -> String {
    format!(r#"{{"queue":"{queue}","input":{}}}"#, input(number))
}

/// Submits `count` tasks over HTTP, a thousand at a time, by a few clients at once; tasks a second.
fn bulk(host: &Host, queue: &str, count: usize) -> Outcome<f64> {
    let bodies: Vec<String> = (0..count.div_ceil(BULK))
        .map(|request| {
            let last = count.min((request + 1) * BULK);
            let tasks: Vec<_> = (request * BULK..last).map(|number| body(queue, number)).collect();
            format!(r#"{{"tasks":[{}]}}"#, tasks.join(","))
        })
        .collect();
    let socket = host.socket();
    let mut clients =
        (0..BULK_CLIENTS).map(|_| Api::connect(&socket)).collect::<Result<Vec<_>, _>>()?;
    let share = bodies.len().div_ceil(BULK_CLIENTS).max(1);
    let began = now();
    thread::scope(|scope| {
        let threads: Vec<_> = clients
            .iter_mut()
            .zip(bodies.chunks(share))
            .map(|(api, bodies)| {
                scope.spawn(move || bodies.iter().try_for_each(|body| api.post("tasks", body)))
            })
            .collect();
        for thread in threads {
            thread.join().map_err(|_| "a client panicked")??;
        }
        Ok::<(), crate::Failure>(())
    })?;
    Ok(rate(count, began, now()))
}

/// Lets the queue go, which was paused, and waits until the agents have had `count` tasks more and,
/// where they are all that there are, all of them are completed.
fn drain(run: &Run, database: &str, host: &Host, count: usize, all: bool) -> Outcome<Drained> {
    let session = run.cluster.session(database)?;
    let before = host.tasks_had()?;
    let began = now();
    host.connect()?.post(&format!("queues/{QUEUE}/resume"), "{}")?;
    let patience = Instant::now();
    while host.tasks_had()? < before + count {
        give_up(patience, run.sizes.patience)?;
        thread::sleep(GLANCE);
    }
    if all {
        await_end(&session, GLANCE, run.sizes.patience)?;
    }
    let completed = now();
    let moments = host.moments()?;
    let moments = moments.get(before..before + count).ok_or("an agent lost count")?;
    Ok(Drained::of(began, moments, completed))
}

/// Makes the queue wait.
fn hold(host: &Host) -> Outcome<()> {
    Ok(host.connect()?.post(&format!("queues/{QUEUE}/pause"), "{}")?)
}

/// Submits in bulk, and drains through four workers.
pub(crate) fn drains(run: &mut Run) -> Outcome<()> {
    let (database, count) = ("ours_drain", run.sizes.drain);
    run.cluster.make(database, Some(library::TEMPLATE))?;
    let host = Host::start(&run.cluster, database, database, Agents::Count(WORKERS))?;
    hold(&host)?;
    bulk(&host, QUEUE, count)?;
    run.cluster.settle(database, false)?;
    let drained = drain(run, database, &host, count, true)?;
    check(run, database, count)?;
    run.samples.add(NAME, "drain", &[drained.completed]);
    drop(host);
    run.cluster.remove(database)
}

/// One task a request, by ten clients, into a queue that waits; then a thousand a request, as many as the
/// ceiling copies.
pub(crate) fn submits(run: &mut Run) -> Outcome<()> {
    let database = "ours_submit";
    run.cluster.make(database, Some(library::TEMPLATE))?;
    let host = Host::start(&run.cluster, database, database, Agents::Count(WORKERS))?;
    run.samples.add(NAME, "submit", &[singles(&host.socket(), run.sizes.enqueue)?]);
    run.samples.add(NAME, "bulk", &[bulk(&host, PARKED, LONG * run.sizes.drain)?]);
    drop(host);
    run.cluster.remove(database)
}

/// Tasks a second of ten clients that submit one by one for so long, once they have warmed up.
pub(crate) fn singles(socket: &Path, limit: Duration) -> Outcome<f64> {
    submit_for(socket, PARKED, CLIENTS, limit / 10)?;
    let (count, took) = submit_for(socket, PARKED, CLIENTS, limit)?;
    Ok(count as f64 / took.as_secs_f64())
}

/// Has `clients` submit tasks one by one for so long. How many, and how long it really took.
fn submit_for(
    socket: &Path,
    queue: &str,
    clients: usize,
    limit: Duration,
) -> Outcome<(usize, Duration)> {
    let body = body(queue, 0);
    let mut clients = (0..clients).map(|_| Api::connect(socket)).collect::<Result<Vec<_>, _>>()?;
    let began = Instant::now();
    let counts = thread::scope(|scope| {
        let threads: Vec<_> = clients
            .iter_mut()
            .map(|api| {
                let body = &body;
                scope.spawn(move || {
                    let mut count = 0;
                    while began.elapsed() < limit {
                        api.post("tasks", body)?;
                        count += 1;
                    }
                    Ok::<usize, std::io::Error>(count)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|one| one.join().map_err(|_| "a client panicked"))
            .collect::<Result<Vec<_>, _>>()
    })?;
    let counts = counts.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok((counts.iter().sum(), began.elapsed()))
}

/// From before a submit to the moment at which an idle agent has the task.
pub(crate) fn pickups(run: &mut Run) -> Outcome<()> {
    let (database, count) = ("ours_pickup", run.sizes.pickups);
    run.cluster.make(database, Some(library::TEMPLATE))?;
    let host = Host::start(&run.cluster, database, database, Agents::Tell)?;
    let mut api = host.connect()?;
    let mut samples = Vec::with_capacity(count);
    for number in 0..count + WARM_UPS {
        let body = body(QUEUE, number);
        let began = now();
        api.post("tasks", &body)?;
        samples.push(millis(began, host.hear()?));
        thread::sleep(pause());
    }
    check(run, database, samples.len())?;
    run.samples.add(NAME, "pick-up", &samples[WARM_UPS..]);
    drop(host);
    run.cluster.remove(database)
}

/// Drains of a table with tasks finished beside, and with more pending behind, each after one of an empty table:
/// the machine changes its speed from minute to minute. They are long ones, for a short one is as much about
/// the moment as about the table.
pub(crate) fn backlog(run: &mut Run) -> Outcome<()> {
    let (empty, full) = ("ours_empty", "ours_full");
    let (count, finished) = (LONG * run.sizes.drain, run.sizes.finished);
    run.cluster.make(full, Some(library::TEMPLATE))?;
    drop(Host::start(&run.cluster, full, full, Agents::Count(WORKERS))?);
    library::finish(&run.cluster, full, finished)?;
    let mut there = finished;
    for (behind, what, ratio) in [
        (0, "drain, finished beside", "finished ratio"),
        (run.sizes.behind, "drain, finished beside and pending behind", "backlog ratio"),
    ] {
        for _ in 0..ROUNDS {
            run.cluster.make(empty, Some(library::TEMPLATE))?;
            let alone = before_others(run, empty, count, 0, count)?;
            run.cluster.remove(empty)?;
            there += count + behind;
            let beside = before_others(run, full, count, behind, there)?;
            run.samples.add(NAME, "drain, nothing beside", &[alone]);
            run.samples.add(NAME, what, &[beside]);
            run.samples.add(NAME, ratio, &[beside / alone]);
        }
    }
    run.cluster.remove(full)
}

/// Drains `count` tasks with as many behind them, and then those, by a host of its own; `all` is how many there
/// are at the end. Tasks a second, as the agents saw the first `count`.
fn before_others(
    run: &Run,
    database: &str,
    count: usize,
    behind: usize,
    all: usize,
) -> Outcome<f64> {
    let host = Host::start(&run.cluster, database, database, Agents::Count(WORKERS))?;
    hold(&host)?;
    bulk(&host, QUEUE, count + behind)?;
    run.cluster.settle(database, true)?;
    let drained = drain(run, database, &host, count, behind == 0)?;
    check(run, database, all)?;
    Ok(drained.handled)
}

/// Drains while another connection keeps its view of the database from before: longer ones than that of a
/// peer, for a third of half a second says little, and several, for a moment's noise is in one third or the other.
pub(crate) fn snapshots(run: &mut Run) -> Outcome<()> {
    (0..ROUNDS).try_for_each(|_| snapshot(run))
}

fn snapshot(run: &mut Run) -> Outcome<()> {
    let (database, count) = ("ours_snapshot", LONG * run.sizes.churn);
    run.cluster.make(database, Some(library::TEMPLATE))?;
    let host = Host::start(&run.cluster, database, database, Agents::Count(WORKERS))?;
    hold(&host)?;
    let held = Held::take(run, database)?;
    bulk(&host, QUEUE, count)?;
    run.cluster.settle(database, false)?;
    let drained = drain(run, database, &host, count, true)?;
    held.let_go()?;
    check(run, database, count)?;
    run.samples.add(NAME, "snapshot ratio", &[drained.thirds]);
    run.samples.add(NAME, "drain under a snapshot", &[drained.completed]);
    drop(host);
    run.cluster.remove(database)
}

/// A transaction that stands still.
pub(crate) struct Held {
    release: tokio::sync::oneshot::Sender<()>,
    thread: thread::JoinHandle<Outcome<()>>,
}

impl Held {
    /// Takes a snapshot of `database`, and keeps it.
    pub(crate) fn take(run: &Run, database: &str) -> Outcome<Self> {
        let config = run.cluster.config(database);
        let (release, released) = tokio::sync::oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = crate::cluster::alone(async move || {
            let mut client = connect(&config).await?;
            let held = client
                .build_transaction()
                .isolation_level(IsolationLevel::RepeatableRead)
                .start()
                .await?;
            held.query_one("SELECT count(*) FROM pg_class", &[]).await?;
            tell.send(())?;
            released.await.ok();
            Ok(held.rollback().await?)
        });
        told.recv().map_err(|_| "the snapshot could not be taken")?;
        Ok(Self { release, thread })
    }

    /// Ends it. It must have lasted until now.
    pub(crate) fn let_go(self) -> Outcome<()> {
        self.release.send(()).map_err(|()| "the snapshot did not last")?;
        crate::cluster::joined(self.thread)
    }
}

/// Statements a second on the server while 200 agents have nothing to do, by its log.
pub(crate) fn idle(run: &mut Run) -> Outcome<()> {
    let database = "ours_idle";
    run.cluster.make(database, Some(library::TEMPLATE))?;
    let host = Host::start(&run.cluster, database, database, Agents::Count(IDLE))?;
    thread::sleep(run.sizes.calm);
    let alter = |setting: &str| {
        run.cluster
            .execute("postgres", &[&format!("ALTER SYSTEM {setting}"), "SELECT pg_reload_conf()"])
    };
    alter("SET log_line_prefix = '%d '")?;
    alter("SET log_statement = 'all'")?;
    // Until every session has heard of it.
    thread::sleep(Duration::from_secs(1));
    let logged = fs::metadata(run.cluster.log())?.len();
    let began = Instant::now();
    thread::sleep(run.sizes.idle);
    let took = began.elapsed();
    let log = fs::read(run.cluster.log())?;
    alter("RESET ALL")?;
    let log = String::from_utf8_lossy(&log[usize::try_from(logged)?..]);
    let statements = log.lines().filter(|line| {
        line.strip_prefix(&format!("{database} LOG:  "))
            .is_some_and(|rest| rest.starts_with("statement: ") || rest.starts_with("execute "))
    });
    let per_second = statements.count() as f64 / took.as_secs_f64();
    run.samples.add(NAME, "idle statements", &[per_second]);
    drop(host);
    run.cluster.remove(database)
}

/// Few submitters and many, one task a request and one a transaction, while two hosts listen and
/// their agents take the tasks as they come.
pub(crate) fn submitters(run: &mut Run) -> Outcome<()> {
    let database = "ours_submitters";
    run.cluster.make(database, Some(library::TEMPLATE))?;
    let host = Host::start(&run.cluster, database, database, Agents::Count(WORKERS))?;
    let other = Host::start(&run.cluster, database, "ours_listener", Agents::Count(WORKERS))?;
    let config = run.cluster.config(database);
    let limit = run.sizes.enqueue;
    let mut submitted = submit_for(&host.socket(), QUEUE, CLIENTS, limit / 10)?.0;
    for (clients, http, sql) in SUBMITTERS {
        for what in [http, sql] {
            // None is left of those before.
            check(run, database, submitted)?;
            let (count, rate) = if what == http {
                let (count, took) = submit_for(&host.socket(), QUEUE, clients, limit)?;
                (count, count as f64 / took.as_secs_f64())
            } else {
                let done = sessions::repeat(&config, clients, ENQUEUE, limit)?;
                (done.count, done.rate)
            };
            submitted += count;
            run.samples.add(NAME, what, &[rate]);
        }
    }
    check(run, database, submitted)?;
    drop((host, other));
    run.cluster.remove(database)
}
