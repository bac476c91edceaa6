//! What the peers' programs share: the command line, the pacing, the clock.
//!
//! A program does one thing and prints one line, `RESULT {json}`:
//!
//! | arguments | what it does | the result |
//! | --- | --- | --- |
//! | `setup` | makes the schema, and puts one job in | `{}` |
//! | `submit SECONDS CLIENTS` | one job a call, so many calls at a time | `count`, `seconds` |
//! | `bulk COUNT SIZE` | so many jobs a call, by the peer's own call for many | `count`, `seconds` |
//! | `fill COUNT SIZE` | the same, with jobs that are due tomorrow; only where SQL cannot do it | |
//! | `drain COUNT SECONDS` | works until so many jobs were handled, or for so long | `handled`, `seconds`, `completed`, `capped`, `thirds` |
//! | `pickup COUNT SECONDS` | from a submit to the handler, each alone | `samples`, in milliseconds |
//!
//! `BENCH_URL` is the database; `BENCH_DURABLE` a statement that says whether all is completed.

use std::{
    env, fmt,
    future::Future,
    ops::Range,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc, Mutex,
    },
    time::{Duration, Instant},
};

use serde_json::{json, Value};
use tokio::sync::{mpsc, Notify};

/// The database.
pub fn url() -> String {
    env::var("BENCH_URL").expect("BENCH_URL")
}

/// What every job carries.
pub fn payload(number: usize) -> Value {
    json!({"n": number, "pad": "x".repeat(180)})
}

/// The one line that is printed.
pub fn out(result: Value) {
    println!("RESULT {result}");
}

/// The command and its two numbers.
pub fn arguments() -> (String, usize, f64) {
    let words: Vec<String> = env::args().skip(1).collect();
    let number = |place: usize| words.get(place).and_then(|word| word.parse().ok()).unwrap_or(0.0);
    (words[0].clone(), number(1) as usize, number(2))
}

/// A connection of the plain driver.
pub async fn client() -> tokio_postgres::Client {
    let (client, connection) =
        tokio_postgres::connect(&url(), tokio_postgres::NoTls).await.expect("connect");
    tokio::spawn(async move {
        let _ = connection.await;
    });
    client
}

/// When jobs were handled.
pub struct Meter {
    wanted: usize,
    moments: Mutex<Vec<Instant>>,
    done: Notify,
}

impl Meter {
    /// Counts up to `wanted`.
    pub fn new(wanted: usize) -> Arc<Self> {
        let moments = Mutex::new(Vec::with_capacity(wanted));
        Arc::new(Self { wanted, moments, done: Notify::new() })
    }

    /// So many were handled just now.
    pub fn hit(&self, count: usize) {
        let now = Instant::now();
        let mut moments = self.moments.lock().unwrap();
        let room = self.wanted - moments.len();
        moments.extend(std::iter::repeat(now).take(count.min(room)));
        if moments.len() == self.wanted {
            self.done.notify_one();
        }
    }

    fn report(&self, began: Instant) -> Value {
        let moments = self.moments.lock().unwrap();
        let handled = moments.len();
        let Some(last) = moments.last() else { return json!({"handled": 0}) };
        let since = |moment: Instant| moment.duration_since(began).as_secs_f64();
        let mut report = json!({"handled": handled, "seconds": since(*last)});
        let third = handled / 3;
        if third > 10 {
            let first = third as f64 / since(moments[third - 1]);
            let final_ = third as f64 / (since(*last) - since(moments[handled - 1 - third]));
            report["thirds"] = json!(final_ / first);
        }
        report
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meter")
    }
}

/// Starts a worker by `start`, which must not block, and waits until the meter is full or the time
/// is up, and then until all is completed.
pub async fn drain<Started: Future<Output = ()>>(
    meter: Arc<Meter>,
    limit: f64,
    start: impl FnOnce() -> Started,
) -> ! {
    let durable = env::var("BENCH_DURABLE").ok().filter(|statement| !statement.is_empty());
    let client = client().await;
    let began = Instant::now();
    start().await;
    let limit = Duration::from_secs_f64(limit);
    let capped = tokio::time::timeout(limit, meter.done.notified()).await.is_err();
    let mut report = meter.report(began);
    report["capped"] = json!(capped);
    if capped {
        report["seconds"] = json!(began.elapsed().as_secs_f64());
    } else if let Some(statement) = durable {
        while !client.query_one(&statement, &[]).await.expect("the check").get::<_, bool>(0) {
            assert!(began.elapsed() < limit + Duration::from_secs(20), "it is never completed");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        report["completed"] = json!(began.elapsed().as_secs_f64());
    }
    out(report);
    std::process::exit(0)
}

/// Where the handler of a job rings.
#[derive(Clone)]
pub struct Bell(mpsc::UnboundedSender<Instant>);

/// What hears it.
pub type Heard = mpsc::UnboundedReceiver<Instant>;

impl Bell {
    /// A bell, and what hears it.
    pub fn new() -> (Self, Heard) {
        let (bell, heard) = mpsc::unbounded_channel();
        (Self(bell), heard)
    }

    /// The handler has its job now.
    pub fn ring(&self) {
        let _ = self.0.send(Instant::now());
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bell")
    }
}

/// What a handler tells.
#[derive(Clone, Debug)]
pub enum Sink {
    /// That it had one more.
    Meter(Arc<Meter>),
    /// That it has it now.
    Bell(Bell),
}

impl Sink {
    /// A job was handled.
    pub fn tell(&self) {
        match self {
            Self::Meter(meter) => meter.hit(1),
            Self::Bell(bell) => bell.ring(),
        }
    }
}

/// Submits one job after another, each once the last was picked up.
pub async fn pickup<Submitted: Future<Output = ()>>(
    count: usize,
    limit: f64,
    mut heard: Heard,
    submit: impl Fn(usize) -> Submitted,
) -> ! {
    const WARM_UPS: usize = 5;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (begin, limit) = (Instant::now(), Duration::from_secs_f64(limit));
    let mut samples = vec![];
    let mut dice: u64 = 0x9E37_79B9_7F4A_7C15;
    for number in 0..count + WARM_UPS {
        while heard.try_recv().is_ok() {}
        let began = Instant::now();
        submit(number).await;
        let left = limit.saturating_sub(begin.elapsed());
        let Ok(Some(at)) = tokio::time::timeout(left, heard.recv()).await else { break };
        if number >= WARM_UPS {
            samples.push(at.duration_since(began).as_secs_f64() * 1e3);
        }
        // 5 to 25 ms, by xorshift.
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        tokio::time::sleep(Duration::from_micros(5_000 + dice % 20_000)).await;
    }
    out(json!({"samples": samples}));
    std::process::exit(0)
}

/// Calls `submit` from so many loops for so many seconds.
pub async fn submit<F, Submitted>(seconds: usize, clients: usize, submit: F)
where
    F: Fn(usize) -> Submitted + Clone + Send + 'static,
    Submitted: Future<Output = ()> + Send,
{
    submit(0).await;
    let limit = Duration::from_secs(seconds as u64);
    let count = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let loops: Vec<_> = (0..clients)
        .map(|_| {
            let (count, submit) = (count.clone(), submit.clone());
            tokio::spawn(async move {
                while began.elapsed() < limit {
                    submit(count.load(Ordering::Relaxed)).await;
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for one in loops {
        one.await.expect("a submitter");
    }
    let seconds = began.elapsed().as_secs_f64();
    out(json!({"count": count.load(Ordering::Relaxed), "seconds": seconds}));
}

/// Calls `submit` with so many jobs at a time until all are in.
pub async fn bulk<Submitted: Future<Output = ()>>(
    count: usize,
    size: usize,
    submit: impl Fn(Range<usize>) -> Submitted,
) {
    let began = Instant::now();
    for first in (0..count).step_by(size) {
        submit(first..count.min(first + size)).await;
    }
    out(json!({"count": count, "seconds": began.elapsed().as_secs_f64()}));
}
