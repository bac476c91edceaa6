//! What is submitted: a pure function of a seed.

use std::{collections::BTreeMap, time::Duration};

use fastrand::Rng;
use serde_json::{Value, json};

/// What the hosts' config file says is limited. The checker holds the agents to it.
pub(super) const NARROW: u32 = 2;
/// One at a time of each key `account:…`.
pub(super) const PER_ACCOUNT: u32 = 1;

/// A task, as its submitter means it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Spec {
    /// What the submitter knows it by; it comes back in its input and its output.
    pub(super) tag: u64,
    pub(super) queue: &'static str,
    /// How long an attempt takes.
    pub(super) ms: u64,
    /// Attempts up to this one fail.
    pub(super) fail: u32,
    /// It is to fail for good.
    pub(super) hopeless: bool,
    pub(super) priority: i16,
    pub(super) delay_ms: u64,
    /// Locks, and whether each is shared.
    pub(super) locks: Vec<(String, bool)>,
    /// Patterns of files, and whether they are only read.
    pub(super) paths: Vec<(String, bool)>,
    pub(super) keys: Vec<String>,
    /// The tags of what it waits for.
    pub(super) depends_on: Vec<u64>,
    /// It may be submitted again under its key.
    pub(super) keyed: bool,
    /// It is called off a moment later.
    pub(super) cancelled: bool,
}

/// Who is told of new tasks, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Route {
    Http(usize),
    Cli(usize),
    /// In a transaction of the submitter's own, which is committed or not.
    Sql {
        commits: bool,
    },
}

/// One submit.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Submit {
    pub(super) route: Route,
    pub(super) tasks: Vec<Spec>,
}

/// Draws submits for so many hosts, for ever.
pub(super) struct Submitter {
    rng: Rng,
    hosts: usize,
    /// The length of a host's lease, in milliseconds.
    lease: u64,
    next: u64,
}

impl Submitter {
    /// Tags begin at `first`: two submitters must not draw the same.
    pub(super) fn new(seed: u64, hosts: usize, lease: Duration, first: u64) -> Self {
        let lease = u64::try_from(lease.as_millis()).expect("a short time");
        Self { rng: Rng::with_seed(seed ^ first), hosts, lease, next: first }
    }

    /// How long to wait before the next, in milliseconds.
    pub(super) fn rest(&mut self) -> u64 {
        self.rng.u64(10..150)
    }

    pub(super) fn draw(&mut self) -> Submit {
        let host = self.rng.usize(..self.hosts);
        let http = Route::Http(host);
        match self.rng.u32(..12) {
            0..=3 => Submit { route: http, tasks: self.plain(1, 12) },
            4 | 5 => Submit { route: http, tasks: vec![self.tracked()] },
            6 | 7 => Submit { route: http, tasks: self.needy() },
            8 => Submit { route: http, tasks: self.graph() },
            9 => Submit { route: Route::Cli(host), tasks: self.plain(2, 20) },
            _ => {
                let commits = self.rng.u32(..4) > 0;
                Submit { route: Route::Sql { commits }, tasks: self.plain(1, 4) }
            }
        }
    }

    fn one(&mut self) -> Spec {
        let tag = self.next;
        self.next += 1;
        let queue = if self.rng.u32(..10) == 0 { "once" } else { "default" };
        // Most are short, and a few about as long as a lease, or longer.
        let ms = match self.rng.u32(..100) {
            0 => self.rng.u64(self.lease * 3 / 4..self.lease * 3 / 2),
            1..=9 => self.rng.u64(100..600),
            _ => self.rng.u64(..30),
        };
        Spec { tag, queue, ms, ..Spec::default() }
    }

    fn plain(&mut self, least: usize, most: usize) -> Vec<Spec> {
        let count = self.rng.usize(least..=most);
        (0..count).map(|_| self.one()).collect()
    }

    /// Retries, priorities, delays, keys, cancels.
    fn tracked(&mut self) -> Spec {
        let mut spec = self.one();
        match self.rng.u32(..6) {
            0 => spec.fail = self.rng.u32(1..3),
            1 => spec.hopeless = true,
            2 => spec.priority = self.rng.i16(-5..5),
            3 => spec.delay_ms = self.rng.u64(10..1_500),
            4 => spec.cancelled = true,
            _ => spec.keyed = true,
        }
        spec
    }

    /// Locks, files, keys, and what is limited.
    fn needy(&mut self) -> Vec<Spec> {
        let count = self.rng.usize(1..=4);
        let mut tasks: Vec<Spec> = (0..count).map(|_| self.one()).collect();
        for spec in &mut tasks {
            spec.queue = "default";
            let rng = &mut self.rng;
            match rng.u32(..5) {
                0 => spec.locks = vec![(format!("lock-{}", rng.u32(..2)), rng.bool())],
                1 => {
                    let names = ["lock-0", "lock-1", "lock-2"].iter();
                    spec.locks = names.map(|name| ((*name).to_owned(), rng.bool())).collect();
                }
                2 => {
                    let globs = ["src/**", "src/http/**", "src/http/auth.rs", "docs/*.md"];
                    let glob = globs[rng.usize(..globs.len())];
                    spec.paths = vec![(glob.to_owned(), rng.bool())];
                }
                3 => spec.keys = vec![format!("account:{}", rng.u32(..2))],
                _ => spec.queue = "narrow",
            }
            spec.cancelled = rng.u32(..12) == 0;
        }
        tasks
    }

    /// A diamond, or a chain, whose root may fail at first.
    fn graph(&mut self) -> Vec<Spec> {
        let mut tasks: Vec<Spec> = (0..4).map(|_| self.one()).collect();
        let tags: Vec<u64> = tasks.iter().map(|spec| spec.tag).collect();
        tasks[0].fail = self.rng.u32(..2);
        tasks[0].hopeless = self.rng.u32(..5) == 0;
        let chain = self.rng.bool();
        for nth in 1..4 {
            tasks[nth].depends_on = match (chain, nth) {
                (true, _) => vec![tags[nth - 1]],
                (false, 3) => vec![tags[1], tags[2]],
                (false, _) => vec![tags[0]],
            };
        }
        tasks
    }
}

impl Spec {
    /// More than agents can die in a test, where the task is not to fail.
    pub(super) fn max_attempts(&self) -> u32 {
        if self.hopeless { 2 } else { 1_000 }
    }

    /// The input of its agents.
    pub(super) fn input(&self) -> Value {
        let fail = if self.hopeless { 1_000_000 } else { self.fail };
        json!({"ms": self.ms, "fail": fail, "value": self.tag})
    }

    /// As the API and the command line take it. What is not asked for is not said, or no task
    /// would be a plain one.
    pub(super) fn json(&self) -> Value {
        let mut task = json!({
            "queue": self.queue, "input": self.input(), "max_attempts": self.max_attempts(),
        });
        let mut say = |field: &str, value: Value| {
            task[field] = value;
        };
        if self.priority != 0 {
            say("priority", json!(self.priority));
        }
        if self.delay_ms > 0 {
            say("delay", json!(format!("{}ms", self.delay_ms)));
        }
        if self.keyed {
            say("idempotency_key", json!(format!("key-{}", self.tag)));
        }
        let named = |list: &[(String, bool)], name: &str, weak: &str, strong: &str| {
            let items = list.iter().map(
                |(text, is_weak)| json!({name: text, "mode": if *is_weak { weak } else { strong }}),
            );
            Value::Array(items.collect())
        };
        if !self.locks.is_empty() {
            say("locks", named(&self.locks, "name", "shared", "exclusive"));
        }
        if !self.paths.is_empty() {
            say("paths", named(&self.paths, "glob", "read", "write"));
        }
        if !self.keys.is_empty() {
            say("keys", json!(self.keys));
        }
        if !self.depends_on.is_empty() {
            let refs: Vec<_> = self.depends_on.iter().map(u64::to_string).collect();
            say("depends_on", json!(refs));
        }
        task
    }
}

impl Submit {
    /// All tasks of it; those that others wait for have a name.
    pub(super) fn json(&self) -> Vec<Value> {
        let graph = self.tasks.iter().any(|spec| !spec.depends_on.is_empty());
        let task = |spec: &Spec| {
            let mut task = spec.json();
            if graph {
                task["ref"] = json!(spec.tag.to_string());
            }
            task
        };
        self.tasks.iter().map(task).collect()
    }
}

mod tests {
    use super::*;

    #[test]
    fn everything_is_drawn_and_no_tag_twice() {
        let mut submitter = Submitter::new(3, 2, Duration::from_secs(4), 1);
        let submits: Vec<_> = (0..600).map(|_| submitter.draw()).collect();
        let mut seen: BTreeMap<u64, &Spec> = BTreeMap::new();
        for spec in submits.iter().flat_map(|submit| &submit.tasks) {
            assert!(seen.insert(spec.tag, spec).is_none(), "{spec:?}");
        }
        let any = |of: fn(&Spec) -> bool| assert!(seen.values().any(|spec| of(spec)));
        any(|spec| spec.hopeless && spec.depends_on.is_empty());
        any(|spec| spec.cancelled && spec.locks.is_empty());
        any(|spec| spec.locks.len() == 3);
        any(|spec| !spec.paths.is_empty());
        any(|spec| !spec.keys.is_empty());
        any(|spec| spec.depends_on.len() == 2);
        any(|spec| spec.keyed);
        any(|spec| spec.queue == "narrow");
        any(|spec| spec.priority < 0);
        for route in [
            Route::Http(0),
            Route::Http(1),
            Route::Cli(0),
            Route::Cli(1),
            Route::Sql { commits: true },
            Route::Sql { commits: false },
        ] {
            assert!(submits.iter().any(|submit| submit.route == route), "{route:?}");
        }
        let mut again = Submitter::new(3, 2, Duration::from_secs(4), 1);
        assert!(submits.iter().all(|submit| *submit == again.draw()));
    }

    #[test]
    fn a_plain_task_says_nothing_more_than_it_must() {
        let spec = Spec { tag: 7, queue: "default", ms: 5, ..Spec::default() };
        let said = json!({"queue": "default", "input": {"ms": 5, "fail": 0, "value": 7}, "max_attempts": 1000});
        assert_eq!(spec.json(), said);
    }
}
