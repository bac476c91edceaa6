//! The signs of life of one agent, shared between the tasks that see them and the actor that
//! judges them: no message per line of output.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::domain::{
    Millis,
    heartbeat::{self, Expect, Limits, OpenTool, Sign, Signs},
    restart::millis,
};

/// The most open tool calls of an agent that are kept; more replace the one that ends first.
const MAX_TOOLS: usize = 64;

/// A monotonic clock that begins with the host. Tests may pause it: it is tokio's.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// Begins now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Milliseconds since it began.
    pub fn now(&self) -> Millis {
        Millis::try_from(self.0.elapsed().as_millis()).unwrap_or(Millis::MAX)
    }
}

/// When the actor that judges the agents of a fleet looks at them next. While it need not, it sleeps, and
/// whoever makes it necessary wakes it: an idle fleet costs nothing.
#[derive(Debug)]
pub(super) struct Alarm {
    next: AtomicU64,
    wake: Notify,
}

impl Alarm {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { next: AtomicU64::new(Millis::MAX), wake: Notify::new() })
    }

    /// The actor looks then.
    pub(super) fn set(&self, next: Millis) {
        self.next.store(next, Ordering::Release);
    }

    /// The actor must look by then.
    fn by(&self, at: Millis) {
        if at < self.next.load(Ordering::Acquire) {
            self.next.store(at, Ordering::Release);
            self.wake.notify_one();
        }
    }

    /// The time by which it must look has come nearer.
    pub(super) async fn moved(self: Arc<Self>) {
        self.wake.notified().await;
    }

    /// By when it must look.
    pub(super) fn next(&self) -> Millis {
        self.next.load(Ordering::Acquire)
    }
}

/// When one agent was last heard, and whether life is expected of it.
#[derive(Debug)]
pub struct Vitals {
    clock: Clock,
    heard: AtomicU64,
    last: AtomicU8,
    expected: AtomicBool,
    /// The pid of its process; 0 while it has none.
    pid: watch::Sender<u32>,
    more: Mutex<More>,
}

/// What changes rarely.
#[derive(Debug, Default)]
struct More {
    since: Millis,
    worked: Option<Millis>,
    own_limit: Option<Duration>,
    tools: BTreeMap<String, OpenTool>,
    extended: Option<Millis>,
    progress: Option<Value>,
    told: Option<String>,
    alarm: Option<(Arc<Alarm>, Limits)>,
}

impl Vitals {
    /// Of an agent that is heard now, and of which nothing is expected.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            heard: AtomicU64::new(clock.now()),
            last: AtomicU8::new(Sign::None as u8),
            expected: AtomicBool::new(false),
            pid: watch::Sender::new(0),
            more: Mutex::default(),
        }
    }

    fn more(&self) -> MutexGuard<'_, More> {
        self.more.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A sign of life: output, progress or a heartbeat.
    pub fn touch(&self) {
        self.heard(Sign::Said);
    }

    /// A sign of life of that kind.
    pub fn heard(&self, sign: Sign) {
        self.last.store(sign as u8, Ordering::Relaxed);
        self.heard.store(self.clock.now(), Ordering::Relaxed);
    }

    /// How long ago it was last heard.
    pub fn silent_for(&self) -> Millis {
        self.clock.now().saturating_sub(self.heard.load(Ordering::Relaxed))
    }

    /// Says what is expected from now on; the silence before does not count.
    pub fn expect(&self, expect: Expect) {
        self.heard(Sign::None);
        self.expected.store(expect == Expect::Life, Ordering::Release);
        let mut more = self.more();
        more.since = self.clock.now();
        (more.worked, more.extended) = (None, None);
        self.alarm(&more);
    }

    /// Wakes whoever judges it, if that would come too late.
    fn alarm(&self, more: &More) {
        if self.expected() == Expect::Life
            && let Some((alarm, limits)) = &more.alarm
            && let Some(soon) = heartbeat::first_look(limits, more.own_limit)
        {
            alarm.by(self.clock.now().saturating_add(millis(soon)));
        }
    }

    /// What is expected now.
    pub fn expected(&self) -> Expect {
        if self.expected.load(Ordering::Acquire) { Expect::Life } else { Expect::Nothing }
    }

    /// The limit that holds in place of the fleet's, for the attempt that begins or until its process
    /// says another.
    pub fn limit(&self, own: Option<Duration>) {
        let mut more = self.more();
        more.own_limit = own;
        self.alarm(&more);
    }

    /// It asks for this much time from now before it is stale, whatever it shows.
    pub fn extend(&self, by: Duration) {
        self.more().extended = Some(self.clock.now().saturating_add(millis(by)));
    }

    /// Until when it asked to be waited for.
    pub fn extended(&self) -> Option<Millis> {
        self.more().extended
    }

    /// A tool call has begun that may take so long.
    pub fn open_tool(&self, id: String, limit: Duration) {
        self.reopen_tool(id, limit, limit);
    }

    /// A tool call is under way that may take so much longer, and so long in all.
    pub fn reopen_tool(&self, id: String, left: Duration, limit: Duration) {
        let until = self.clock.now().saturating_add(millis(left));
        let mut more = self.more();
        more.tools.insert(id, OpenTool { until, limit });
        if more.tools.len() > MAX_TOOLS {
            let first = more.tools.iter().min_by_key(|(_, tool)| tool.until);
            if let Some(id) = first.map(|(id, _)| id.clone()) {
                more.tools.remove(&id);
            }
        }
    }

    /// The open tool calls, by their names.
    pub fn tools(&self) -> Vec<(String, OpenTool)> {
        self.more().tools.iter().map(|(id, tool)| (id.clone(), *tool)).collect()
    }

    /// A tool call has ended: its limit counts no more, and the agent's own may come sooner.
    pub fn close_tool(&self, id: &str) {
        let mut more = self.more();
        more.tools.remove(id);
        self.alarm(&more);
    }

    /// No attempt is under way any more: what it had said of itself is over, too.
    pub fn attempt_ended(&self) {
        let mut more = self.more();
        more.tools.clear();
        more.own_limit = None;
        more.progress = None;
        self.alarm(&more);
    }

    /// It has no process any more: what that had said of itself is over.
    pub fn process_ended(&self) {
        self.set_pid(0);
        let mut more = self.more();
        more.tools.clear();
        (more.own_limit, more.told) = (None, None);
    }

    /// Its process; 0 where it has none any longer.
    pub fn set_pid(&self, pid: u32) {
        self.pid.send_replace(pid);
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        Some(*self.pid.borrow()).filter(|pid| *pid != 0)
    }

    /// Its process, once it has one.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped.
    pub async fn process(&self) -> u32 {
        let mut pid = self.pid.subscribe();
        // The sender is here: waiting can't fail.
        pid.wait_for(|pid| *pid != 0).await.map_or(0, |pid| *pid)
    }

    /// Its processes were seen to do something that counts.
    pub(super) fn worked(&self) {
        self.more().worked = Some(self.clock.now());
    }

    /// Who must be woken when it is to be judged.
    pub(super) fn watched_by(&self, alarm: Arc<Alarm>, limits: Limits) {
        let mut more = self.more();
        more.alarm = Some((alarm, limits));
        self.alarm(&more);
    }

    /// All that is known, but for when its processes were looked at.
    pub(super) fn signs(&self) -> Signs {
        let more = self.more();
        Signs {
            since: more.since,
            heard: self.heard.load(Ordering::Relaxed).max(more.since),
            last: match self.last.load(Ordering::Relaxed) {
                last if last == Sign::Said as u8 => Sign::Said,
                last if last == Sign::Notified as u8 => Sign::Notified,
                _ => Sign::None,
            },
            worked: more.worked,
            own_limit: more.own_limit,
            tool: more.tools.values().max_by_key(|tool| tool.until).copied(),
            extended: more.extended,
            looked_at: None,
            found: false,
        }
    }

    /// Keeps what the agent last said of its progress; `None` when its task ends.
    pub fn set_progress(&self, progress: Option<Value>) {
        self.more().progress = progress;
    }

    /// What the agent last said of its progress.
    pub fn progress(&self) -> Option<Value> {
        self.more().progress.clone()
    }

    /// Keeps what its process says of itself by `STATUS=`.
    pub fn set_told(&self, told: Option<String>) {
        self.more().told = told;
    }

    /// What its process last said of itself.
    pub fn told(&self) -> Option<String> {
        self.more().told.clone()
    }
}
