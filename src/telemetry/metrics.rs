//! What is counted, and how `/metrics` shows it (OpenMetrics text, which Prometheus reads).
//!
//! Counters and histograms are kept here from the start of the host; what can be looked up
//! (queue depths, agents' states) is filled in at each scrape by whoever can look.

use std::{fmt::Write, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};

use crate::domain::{
    FleetName,
    floors::Shortage,
    history::Counts,
    record::{AgentRecord, QueueRecord, RestartCause},
    schedule::FiringOutcome,
    task::{Outcome, TaskState},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    outcome: &'static str,
    class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RestartLabels {
    fleet: String,
    cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FiringLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabels {
    cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeliveryLabels {
    outcome: &'static str,
}

/// What came of sending a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// It was taken.
    Delivered,
    /// It failed, and is sent again.
    Again,
    /// It failed for the last time.
    Dead,
    /// Its receiver wants nothing any more.
    Gone,
}

impl DeliveryOutcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Again => "again",
            Self::Dead => "dead",
            Self::Gone => "gone",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommandLabels {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    queue: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabels {
    queue: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FleetStateLabels {
    fleet: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AgentLabels {
    agent: String,
}

/// The metrics of one host.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    submitted: Counter,
    expired: Counter,
    attempts: Family<AttemptLabels, Counter>,
    restarts: Family<RestartLabels, Counter>,
    firings: Family<FiringLabels, Counter>,
    deleted: Family<KindLabels, Counter>,
    stopped: Gauge,
    held: Family<CauseLabels, Gauge>,
    events_read: Counter,
    deliveries: Family<DeliveryLabels, Counter>,
    delivery_lag: Histogram,
    subscribers: Gauge,
    subscribers_dropped: Counter,
    commands: Family<CommandLabels, Counter>,
    calls: Family<CommandLabels, Counter>,
    relay_clients: Gauge,
    relay_dropped: Counter,
    memory_batch: Histogram,
    search_seconds: Histogram,
    claim_size: Histogram,
    claim_seconds: Histogram,
    settle_size: Histogram,
    settle_seconds: Histogram,
    pickup_seconds: Histogram,
}

/// What is looked up at each scrape.
#[derive(Debug, Default)]
pub struct Scrape {
    /// The queues, or nothing if Postgres does not answer.
    pub queues: Vec<QueueRecord>,
    /// The agents.
    pub agents: Vec<AgentRecord>,
    /// Log lines dropped since the start.
    pub dropped_lines: u64,
}

fn seconds() -> Histogram {
    // 100 µs to about 26 s.
    Histogram::new(exponential_buckets(0.0001, 2.0, 19))
}

fn sizes() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 11))
}

impl Metrics {
    /// Nothing counted yet, for a host of this version.
    pub fn new(version: &str) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("hostler"),
            submitted: Counter::default(),
            expired: Counter::default(),
            attempts: Family::default(),
            restarts: Family::default(),
            firings: Family::default(),
            deleted: Family::default(),
            stopped: Gauge::default(),
            held: Family::default(),
            events_read: Counter::default(),
            deliveries: Family::default(),
            delivery_lag: seconds(),
            subscribers: Gauge::default(),
            subscribers_dropped: Counter::default(),
            commands: Family::default(),
            calls: Family::default(),
            relay_clients: Gauge::default(),
            relay_dropped: Counter::default(),
            memory_batch: sizes(),
            search_seconds: seconds(),
            claim_size: sizes(),
            claim_seconds: seconds(),
            settle_size: sizes(),
            settle_seconds: seconds(),
            pickup_seconds: seconds(),
        };
        metrics.register(version);
        metrics
    }

    fn register(&mut self, version: &str) {
        let registry = &mut self.registry;
        let build = Info::new(vec![("version", version.to_owned())]);
        registry.register("build", "The running program", build);
        registry.register("tasks_submitted", "Tasks made by this host", self.submitted.clone());
        let help = "Tasks that this host failed as the leader: they waited past their deadline";
        registry.register("tasks_expired", help, self.expired.clone());
        registry.register(
            "attempts",
            "Attempts settled by this host, by outcome and failure class",
            self.attempts.clone(),
        );
        registry.register(
            "restarts",
            "Agent processes replaced, by fleet and cause",
            self.restarts.clone(),
        );
        registry.register(
            "schedule_firings",
            "Due times of schedules that this host looked at as the leader, by what became of them",
            self.firings.clone(),
        );
        registry.register(
            "history_deleted",
            "What this host deleted as the leader because its term was over, by kind",
            self.deleted.clone(),
        );
        let help = "1 while this host, as the leader, can't delete because it can't archive";
        registry.register("history_stopped", help, self.stopped.clone());
        let help = "Steps of tasks read for subscribers of events";
        registry.register("events_read", help, self.events_read.clone());
        registry.register("event_subscribers", "Who listens to events", self.subscribers.clone());
        let help = "Webhooks that this host sent, by what came of it";
        registry.register("webhook_deliveries", help, self.deliveries.clone());
        let help = "Subscribers of events that were dropped because they did not keep up";
        registry.register("event_subscribers_dropped", help, self.subscribers_dropped.clone());
        let help = "Commands of webhooks, by kind and by what came of them";
        registry.register("webhook_commands", help, self.commands.clone());
        let help = "Calls of tools over MCP, by tool and by what came of them";
        registry.register("mcp_calls", help, self.calls.clone());
        let help = "Clients that follow webhooks over /ws";
        registry.register("relay_clients", help, self.relay_clients.clone());
        let help = "Clients of /ws that were dropped because they could not keep up";
        registry.register("relay_dropped", help, self.relay_dropped.clone());
        let help = "Memories kept by one statement";
        registry.register("memory_batch_size", help, self.memory_batch.clone());
        let help = "1 while no process is started, because there is too little of this left";
        registry.register("starts_held", help, self.held.clone());
        registry.register("claim_batch_size", "Tasks in one claim", self.claim_size.clone());
        registry.register("settle_batch_size", "Outcomes in one settle", self.settle_size.clone());
        let mut timed = |name, help, histogram: &Histogram| {
            registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        };
        timed("claim", "Time of one claim statement", &self.claim_seconds);
        timed("settle", "Time of one settle statement", &self.settle_seconds);
        let lag = "Time from the decision to send a webhook until it was taken";
        timed("webhook_delivery_lag", lag, &self.delivery_lag);
        timed("session_search", "Time of one look for memories or words", &self.search_seconds);
        timed("pickup", "Time a task was ready before it was claimed", &self.pickup_seconds);
    }

    /// So many tasks were made.
    pub fn submitted(&self, count: usize) {
        self.submitted.inc_by(count as u64);
    }

    /// So many tasks that waited were past their deadline.
    pub fn expired(&self, count: usize) {
        self.expired.inc_by(count as u64);
    }

    /// A claim brought so many tasks in this time.
    pub fn claimed(&self, count: usize, took: Duration) {
        if count > 0 {
            self.claim_size.observe(count as f64);
        }
        self.claim_seconds.observe(took.as_secs_f64());
    }

    /// A settle wrote so many outcomes in this time.
    pub fn settled(&self, count: usize, took: Duration) {
        self.settle_size.observe(count as f64);
        self.settle_seconds.observe(took.as_secs_f64());
    }

    /// A task had been ready for this long when it was handed to its agent.
    pub fn picked_up(&self, waited: Duration) {
        self.pickup_seconds.observe(waited.as_secs_f64());
    }

    /// An attempt was settled.
    pub fn attempt_ended(&self, outcome: &Outcome) {
        let class = match outcome {
            Outcome::Failed { class, .. } => class.as_str(),
            _ => "",
        };
        let labels = AttemptLabels { outcome: outcome.as_str(), class };
        self.attempts.get_or_create(&labels).inc();
    }

    /// A process of `fleet` was replaced.
    pub fn restarted(&self, fleet: &FleetName, cause: RestartCause) {
        let labels = RestartLabels { fleet: fleet.to_string(), cause: cause.as_str() };
        self.restarts.get_or_create(&labels).inc();
    }

    /// So much was deleted because its term was over.
    pub fn history_deleted(&self, counts: &Counts) {
        for (kind, count) in counts.iter() {
            self.deleted.get_or_create(&KindLabels { kind: kind.as_str() }).inc_by(count);
        }
    }

    /// Whether nothing is deleted because the archive can't be written.
    pub fn history_stopped(&self, stopped: bool) {
        self.stopped.set(stopped.into());
    }

    /// Whether, and for want of what, no process is started.
    pub fn starts_held(&self, by: Option<&'static str>) {
        for cause in Shortage::CAUSES {
            self.held.get_or_create(&CauseLabels { cause }).set(i64::from(by == Some(cause)));
        }
    }

    /// So many steps were read for subscribers.
    pub fn events_read(&self, count: usize) {
        self.events_read.inc_by(count as u64);
    }

    /// A webhook was sent, so long after it was decided on.
    pub fn delivered(&self, outcome: DeliveryOutcome, lag: Duration) {
        self.deliveries.get_or_create(&DeliveryLabels { outcome: outcome.as_str() }).inc();
        if outcome == DeliveryOutcome::Delivered {
            self.delivery_lag.observe(lag.as_secs_f64());
        }
    }

    /// So many subscribers listen now.
    pub fn subscribers(&self, count: usize) {
        self.subscribers.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// So many subscribers were dropped because they did not keep up.
    pub fn subscribers_dropped(&self, count: usize) {
        self.subscribers_dropped.inc_by(count as u64);
    }

    /// Something became of a due time of a schedule.
    pub fn schedule_fired(&self, outcome: FiringOutcome) {
        self.firings.get_or_create(&FiringLabels { outcome: outcome.as_str() }).inc();
    }

    /// Something came of a call of a tool.
    pub fn called(&self, kind: &'static str, outcome: &'static str) {
        self.calls.get_or_create(&CommandLabels { kind, outcome }).inc();
    }

    /// Something came of a command of a webhook.
    pub fn commanded(&self, kind: &'static str, outcome: &'static str) {
        self.commands.get_or_create(&CommandLabels { kind, outcome }).inc();
    }

    /// A client of the relay has come.
    pub fn relay_joined(&self) {
        self.relay_clients.inc();
    }

    /// A client of the relay has gone, or was dropped because it could not keep up.
    pub fn relay_left(&self, dropped: bool) {
        self.relay_clients.dec();
        self.relay_dropped.inc_by(dropped.into());
    }

    /// So many memories were kept by one statement.
    pub fn memories_written(&self, count: usize) {
        self.memory_batch.observe(count as f64);
    }

    /// A look for memories or words took this long.
    pub fn searched(&self, took: Duration) {
        self.search_seconds.observe(took.as_secs_f64());
    }

    /// All of it, as OpenMetrics text.
    pub fn render(&self, scrape: &Scrape) -> String {
        let mut now = Registry::with_prefix("hostler");
        fill(&mut now, scrape);
        let mut text = String::new();
        let written = encode(&mut text, &now).and_then(|()| {
            // One text has one end mark; the second registry's stays.
            let end = text.trim_end().trim_end_matches("# EOF").len();
            text.truncate(end);
            encode(&mut text, &self.registry)
        });
        if written.is_err() {
            // Writing to a String fails only if a metric can't be encoded at all.
            text.clear();
            writeln!(text, "# EOF").unwrap_or_default();
        }
        text
    }
}

/// Fills in what was looked up.
fn fill(registry: &mut Registry, scrape: &Scrape) {
    let depth = Family::<StateLabels, Gauge>::default();
    let oldest = Family::<QueueLabels, Gauge<f64, std::sync::atomic::AtomicU64>>::default();
    let paused = Family::<QueueLabels, Gauge>::default();
    for queue in &scrape.queues {
        let name = queue.name.to_string();
        // A series that is at times not there can be neither added up nor watched: 0 is told, too.
        for state in TaskState::ALL.into_iter().filter(|state| !state.is_final()) {
            let labels = StateLabels { queue: name.clone(), state: state.as_str() };
            let count = queue.depth.get(&state).copied().unwrap_or(0);
            depth.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let age = queue.oldest_pending_ms.unwrap_or(0) as f64 / 1000.0;
        oldest.get_or_create(&QueueLabels { queue: name.clone() }).set(age);
        paused.get_or_create(&QueueLabels { queue: name }).set(i64::from(queue.paused));
    }
    let agents = Family::<FleetStateLabels, Gauge>::default();
    let silent = Family::<AgentLabels, Gauge<f64, std::sync::atomic::AtomicU64>>::default();
    for agent in &scrape.agents {
        let labels =
            FleetStateLabels { fleet: agent.fleet.to_string(), state: agent.state.as_str() };
        agents.get_or_create(&labels).inc();
        if let Some(heard) = agent.heard_ms_ago {
            let labels = AgentLabels { agent: agent.name.to_string() };
            silent.get_or_create(&labels).set(heard as f64 / 1000.0);
        }
    }
    let dropped: Counter = Counter::default();
    dropped.inc_by(scrape.dropped_lines);
    registry.register("tasks", "Tasks that are not final, by queue and state", depth);
    registry.register_with_unit(
        "queue_oldest_pending",
        "How long the oldest pending task has waited",
        Unit::Seconds,
        oldest,
    );
    registry.register("queue_paused", "1 where a queue is paused", paused);
    registry.register("agents", "Agents by fleet and state", agents);
    registry.register_with_unit(
        "heartbeat_age",
        "Time since an agent last showed life",
        Unit::Seconds,
        silent,
    );
    registry.register("log_lines_dropped", "Log lines dropped for want of room", dropped);
}

#[cfg(test)]
mod tests;
