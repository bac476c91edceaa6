//! One run: every figure of the host, each followed by its floor on the same server.

use std::{
    collections::BTreeMap,
    error::Error,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio_postgres::Client;

use crate::{
    agent::{Ear, now},
    api::Api,
    floor,
    host::{Host, WORKERS},
};

/// How much is measured in one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// How many runs.
    pub(crate) runs: usize,
    /// Tasks that are submitted alone, to idle agents.
    pub(crate) pickups: usize,
    /// Tasks that are drained.
    pub(crate) drain: usize,
    /// Tasks that ten clients submit one by one.
    pub(crate) singles: usize,
    /// Processes that are killed.
    pub(crate) crashes: usize,
}

/// The clients that submit at the same time.
pub(crate) const CLIENTS: usize = 10;
/// Tasks in one request of a bulk submit.
const BULK: usize = 1_000;
/// The most that a drain may take.
const DRAIN_LIMIT: Duration = Duration::from_secs(120);

/// The figures of one run, by their names.
pub(crate) type Figures = BTreeMap<&'static str, f64>;
type Outcome<T> = Result<T, Box<dyn Error>>;

/// From `began` to `at`, in milliseconds.
pub(crate) fn millis_since(began: u64, at: u64) -> f64 {
    Duration::from_nanos(at.saturating_sub(began)).as_secs_f64() * 1e3
}

/// How many a second.
pub(crate) fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// A wait between two tasks: long enough to be idle again, and never in step with anything.
pub(crate) fn pause() -> Duration {
    Duration::from_micros(fastrand::u64(5_000..9_000))
}

/// The value below which so much of `samples` lies.
pub(crate) fn percentile(samples: &mut [f64], part: f64) -> f64 {
    samples.sort_unstable_by(f64::total_cmp);
    let place = (samples.len() as f64 * part).ceil() as usize;
    samples.get(place.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// Starts a host, measures everything once, and stops it.
pub(crate) fn run(sizes: &Sizes) -> Outcome<Figures> {
    let host = Host::start()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let config = host.database();
    let client = runtime.block_on(async {
        let client = floor::connect(&config).await?;
        floor::prepare(&client).await?;
        Ok::<_, tokio_postgres::Error>(client)
    })?;
    let mut figures = Figures::new();
    let mut put = |name, value| {
        figures.insert(name, value);
    };

    let mut samples = pickups(&host, sizes.pickups)?;
    let mut bare = runtime.block_on(floor::pickup(&config, sizes))?;
    for (name, of_floor, part) in [
        ("pickup p50", "pickup p50 floor", 0.50),
        ("pickup p95", "pickup p95 floor", 0.95),
        ("pickup p99", "pickup p99 floor", 0.99),
    ] {
        put(name, percentile(&mut samples, part));
        put(of_floor, percentile(&mut bare, part));
    }

    put("singles", singles(&host, sizes.singles)?);
    put("singles floor", runtime.block_on(floor::singles(&config, CLIENTS, sizes.singles))?);

    put("bulk", bulk(&host, sizes.drain)?);
    put("bulk floor", runtime.block_on(floor::bulk(&client, sizes.drain))?);
    runtime.block_on(client.batch_execute("TRUNCATE bench.jobs"))?;

    let before = runtime.block_on(Spent::read(&client, &host))?;
    put("drain", drain(&host, sizes.drain, &client, &runtime)?);
    let spent = runtime.block_on(Spent::read(&client, &host))?;
    let tasks = sizes.drain as f64;
    put("drain commits", (spent.commits - before.commits) / tasks);
    put("drain wal", (spent.wal - before.wal) / tasks);
    put("drain cpu", (spent.cpu - before.cpu).as_secs_f64() * 1e6 / tasks);
    for (name, batch) in [("drain floor same", WORKERS as i64), ("drain floor large", 256)] {
        put(name, runtime.block_on(floor::drain(&client, sizes.drain, batch))?);
    }

    let mut samples = restarts(&host, sizes.crashes)?;
    let path = host.path("floor");
    let mut bare = floor::restarts(&Ear::open(&path)?, &path, sizes.crashes)?;
    for (name, of_floor, part) in
        [("restart p50", "restart p50 floor", 0.50), ("restart p95", "restart p95 floor", 0.95)]
    {
        put(name, percentile(&mut samples, part));
        put(of_floor, percentile(&mut bare, part));
    }
    Ok(figures)
}

/// From before a submit to the moment at which an agent has the task.
fn pickups(host: &Host, count: usize) -> Outcome<Vec<f64>> {
    let mut api = host.connect()?;
    let mut samples = Vec::with_capacity(count);
    for _ in 0..count {
        let began = now();
        api.post("tasks", r#"{"queue": "pickup", "input": true}"#)?;
        samples.push(millis_since(began, host.ear.hear()?.at));
        thread::sleep(pause());
    }
    Ok(samples)
}

fn singles(host: &Host, count: usize) -> Outcome<f64> {
    let socket = host.socket();
    let mut clients = (0..CLIENTS).map(|_| Api::connect(&socket)).collect::<Result<Vec<_>, _>>()?;
    let began = Instant::now();
    thread::scope(|scope| {
        let threads: Vec<_> = clients
            .iter_mut()
            .map(|api| {
                scope.spawn(move || {
                    (0..count / CLIENTS)
                        .try_for_each(|_| api.post("tasks", r#"{"queue": "parked", "input": 1}"#))
                })
            })
            .collect();
        threads.into_iter().try_for_each(|one| {
            one.join().unwrap_or_else(|_| Err(std::io::Error::other("a client panicked")))
        })
    })?;
    Ok(per_second(count, began.elapsed()))
}

/// Submits what [`drain`] drains.
fn bulk(host: &Host, count: usize) -> Outcome<f64> {
    let mut api = host.connect()?;
    let tasks = vec![r#"{"queue": "drain", "input": false}"#; BULK].join(", ");
    let body = format!(r#"{{"tasks": [{tasks}]}}"#);
    let began = Instant::now();
    for _ in 0..count / BULK {
        api.post("tasks", &body)?;
    }
    Ok(per_second(count, began.elapsed()))
}

fn drain(
    host: &Host,
    count: usize,
    client: &Client,
    runtime: &tokio::runtime::Runtime,
) -> Outcome<f64> {
    // The tracked ones, and those of the log.
    const LEFT: &str = "SELECT (SELECT count(*) FROM hostler.tasks \
        WHERE queue = 'drain' AND state IN ('pending', 'running')) \
        + (SELECT count(*) FROM hostler.log_tasks JOIN hostler.log_lanes ON log_lanes.id = lane \
            WHERE queue = 'drain') \
        - (SELECT count(*) FROM hostler.log_ends JOIN hostler.log_lanes ON id = lane \
            WHERE queue = 'drain')";
    const DONE: &str = "SELECT (SELECT count(*) FROM hostler.tasks \
        WHERE queue = 'drain' AND state = 'completed' AND attempt = 1) \
        + (SELECT count(*) FROM hostler.log_ends JOIN hostler.log_lanes ON id = lane \
            WHERE queue = 'drain' AND NOT moved)";
    let ask = |text| -> Outcome<i64> { Ok(runtime.block_on(client.query_one(text, &[]))?.get(0)) };
    let began = Instant::now();
    host.connect()?.post("queues/drain/resume", "{}")?;
    while ask(LEFT)? > 0 {
        if began.elapsed() > DRAIN_LIMIT {
            return Err("the tasks did not end in time".into());
        }
        thread::sleep(Duration::from_millis(50));
    }
    let took = began.elapsed();
    if ask(DONE)? != i64::try_from(count)? {
        return Err("not every task was completed by its first attempt".into());
    }
    Ok(per_second(count, took))
}

/// From a SIGKILL to the first instruction of the agent's next process.
fn restarts(host: &Host, count: usize) -> Outcome<Vec<f64>> {
    let (mut victim, mut samples) = (host.victim, Vec::with_capacity(count));
    for _ in 0..count {
        // Until the host has all its pipes and is quiet.
        thread::sleep(Duration::from_millis(5));
        let began = now();
        kill(Pid::from_raw(victim), Signal::SIGKILL)?;
        let said = host.ear.hear()?;
        samples.push(millis_since(began, said.at));
        victim = said.pid;
    }
    Ok(samples)
}

/// What the server and the host have spent so far.
struct Spent {
    commits: f64,
    wal: f64,
    cpu: Duration,
}

impl Spent {
    async fn read(client: &Client, host: &Host) -> Outcome<Self> {
        // Sessions tell of their commits once a second.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let row = client
            .query_one(
                "SELECT xact_commit::float8, (pg_current_wal_lsn() - '0/0'::pg_lsn)::float8 \
                 FROM pg_stat_database WHERE datname = current_database()",
                &[],
            )
            .await?;
        Ok(Self { commits: row.get(0), wal: row.get(1), cpu: host.cpu()? })
    }
}
