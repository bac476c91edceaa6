//! The way of a record: the filter by component, the bounded way to the writing thread, the files.

use std::{
    cell::Cell,
    collections::BTreeMap,
    io::Write,
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use slog::{BorrowedKV, Drain, KV, Level, Never, OwnedKVList, Record, RecordStatic, Serializer};
use slog_async::AsyncCore;

use super::{
    Terminal,
    line::{Line, TIME},
    redact::Redactor,
    rotate::RotatingFile,
};
use crate::settings::{Component, Log};

/// The most that is held back until it is written, in bytes: the least size of a file, which no more is put
/// into at once.
const HELD: usize = 4 << 10;

/// How long lines gather while they come one upon the other: the writing thread is not woken for each, and writes
/// them together. With 12,000 a second it takes 3.5 us for a line, and took 6.2 (the scheduler's account of the
/// thread).
const GATHER: Duration = Duration::from_millis(2);

thread_local! {
    /// The component that the record now on its way through this thread's drains belongs to.
    static PASSING: Cell<Option<Component>> = const { Cell::new(None) };
}

/// Names its component to the filter below while a record passes. This is how a level per component
/// costs one comparison, and no search through the fields of a record.
pub(super) struct Named {
    pub(super) component: Component,
    pub(super) below: slog::Logger,
}

impl Named {
    fn pass<T>(&self, through: impl FnOnce(&slog::Logger) -> T) -> T {
        let outer = PASSING.get();
        // The innermost name counts.
        PASSING.set(outer.or(Some(self.component)));
        let result = through(&self.below);
        PASSING.set(outer);
        result
    }
}

impl Drain for Named {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        self.pass(|below| Drain::log(below, record, values))
    }

    fn is_enabled(&self, level: Level) -> bool {
        self.pass(|below| Drain::is_enabled(below, level))
    }
}

/// The least level that is logged, of each component.
pub(super) struct Levels {
    otherwise: Level,
    of: BTreeMap<Component, Level>,
}

impl Levels {
    pub(super) fn new(settings: &Log) -> Self {
        let named = |component: &Component| {
            let level = settings.components.get(component.as_str())?;
            Some((*component, *level))
        };
        let of = Component::ALL.iter().filter_map(named).collect();
        Self { otherwise: settings.level, of }
    }

    fn let_pass(&self, level: Level) -> bool {
        let least = PASSING.get().and_then(|component| self.of.get(&component));
        level.is_at_least(*least.unwrap_or(&self.otherwise))
    }
}

/// How many lines never reached the log.
#[derive(Debug, Default)]
pub(super) struct Lost {
    /// All of them.
    pub(super) total: AtomicU64,
    /// Those that no line has told of yet.
    untold: AtomicU64,
}

impl Lost {
    fn add(&self, lines: u64) {
        self.total.fetch_add(lines, Ordering::Relaxed);
        self.untold.fetch_add(lines, Ordering::Relaxed);
    }
}

/// How many lines are on their way to the writing thread: less than there are for a moment, never more.
#[derive(Debug, Default)]
pub(super) struct Coming(AtomicI64);

impl Coming {
    /// A line was handed over; the thread may have had it before this is said.
    fn sent(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// A line was received. Whether there are certainly more.
    fn received(&self) -> bool {
        self.0.fetch_sub(1, Ordering::Relaxed) > 1
    }
}

/// Lets through what the levels allow, stamps it with its time, and hands it to the writing thread;
/// where that one is behind, the line is counted as lost and the caller goes on at once.
pub(super) struct Front {
    pub(super) levels: Levels,
    pub(super) writer: AsyncCore,
    pub(super) lost: Arc<Lost>,
    pub(super) coming: Arc<Coming>,
}

impl Drain for Front {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        if !self.levels.let_pass(record.level()) {
            return Ok(());
        }
        let time = jiff::Timestamp::now().as_microsecond();
        let stamped = Stamped { time, record };
        let at =
            RecordStatic { location: record.location(), tag: record.tag(), level: record.level() };
        let record = Record::new(&at, record.msg(), BorrowedKV(&stamped));
        match self.writer.log(&record, values) {
            Ok(()) => self.coming.sent(),
            Err(_) => self.lost.add(1),
        }
        Ok(())
    }

    fn is_enabled(&self, level: Level) -> bool {
        self.levels.let_pass(level)
    }
}

/// The fields of a record and the time at which it was logged.
struct Stamped<'a> {
    time: i64,
    record: &'a Record<'a>,
}

impl KV for Stamped<'_> {
    fn serialize(&self, record: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        KV::serialize(&self.record.kv(), record, serializer)?;
        serializer.emit_i64(TIME, self.time)
    }
}

/// Where lines end up.
pub(super) struct Outputs {
    file: Option<RotatingFile>,
    terminal: Terminal,
    stderr: Box<dyn Write + Send>,
    held: Held,
    /// When it was last found that no more lines were coming.
    rested: Option<Instant>,
}

/// Lines that are not written yet.
#[derive(Default)]
struct Held {
    lines: u64,
    of_file: String,
    of_terminal: String,
}

/// So many lines could not be written.
struct Failed(u64);

/// The end of the way, on the writing thread.
pub(super) struct Sink {
    outputs: Mutex<Outputs>,
    redactor: Redactor,
    lost: Arc<Lost>,
    coming: Arc<Coming>,
}

impl Sink {
    pub(super) fn new(
        outputs: Outputs,
        redactor: Redactor,
        lost: Arc<Lost>,
        coming: Arc<Coming>,
    ) -> Self {
        Self { outputs: Mutex::new(outputs), redactor, lost, coming }
    }

    /// Tells of lines that were lost since the last time, and writes out what is held back.
    pub(super) fn finish(&self) {
        let mut outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        self.tell_of_lost(&mut outputs);
        self.count(outputs.write());
        // Nobody is left to tell about a terminal that is gone.
        drop(outputs.stderr.flush());
    }

    fn tell_of_lost(&self, outputs: &mut Outputs) {
        let lines = self.lost.untold.swap(0, Ordering::Relaxed);
        if lines == 0 {
            return;
        }
        let fields = vec![
            (super::keys::COMPONENT, format!("\"{}\"", Component::App)),
            (super::keys::COUNT, lines.to_string()),
        ];
        // What is held back is written before, for its failure is another one.
        self.count(outputs.write());
        let line = Line::own(Level::Warning, "log lines were dropped", fields);
        if outputs.hold(&line).and_then(|()| outputs.write()).is_err() {
            self.lost.untold.fetch_add(lines, Ordering::Relaxed);
        }
    }

    fn count(&self, written: Result<(), Failed>) {
        if let Err(Failed(lines)) = written {
            self.lost.add(lines);
        }
    }
}

/// Waits until more lines have come.
#[expect(
    clippy::disallowed_methods,
    reason = "the writing thread has no runtime, and nothing tells it that lines will come"
)]
fn gather() {
    thread::sleep(GATHER);
}

impl Outputs {
    pub(super) fn new(
        file: Option<RotatingFile>,
        terminal: Terminal,
        stderr: Box<dyn Write + Send>,
    ) -> Self {
        Self { file, terminal, stderr, held: Held::default(), rested: None }
    }

    /// Keeps a line until it is written; what it has no room beside is written now.
    fn hold(&mut self, line: &Line) -> Result<(), Failed> {
        let (mut of_file, mut of_terminal) = (String::new(), String::new());
        if self.file.is_some() {
            line.json(&mut of_file);
        }
        match self.terminal {
            Terminal::Human { colour } => line.human(&mut of_terminal, colour),
            Terminal::Json => line.json(&mut of_terminal),
            Terminal::Off => {}
        }
        let is_full = |held: &str, more: &str| held.len() + more.len() > HELD;
        let is_full =
            is_full(&self.held.of_file, &of_file) || is_full(&self.held.of_terminal, &of_terminal);
        let written = if is_full { self.write() } else { Ok(()) };
        self.held.lines += 1;
        self.held.of_file.push_str(&of_file);
        self.held.of_terminal.push_str(&of_terminal);
        written
    }

    /// Writes what is held back.
    fn write(&mut self) -> Result<(), Failed> {
        let Held { lines, of_file, of_terminal } = &mut self.held;
        if *lines == 0 {
            return Ok(());
        }
        let to_file = match &mut self.file {
            Some(file) => file.write_line(of_file.as_bytes(), SystemTime::now()),
            None => Ok(()),
        };
        let to_terminal = self.stderr.write_all(of_terminal.as_bytes());
        // A terminal that is gone loses nothing, as long as the file has the line.
        let written = if self.file.is_some() { to_file } else { to_terminal };
        let lines = mem::take(lines);
        of_file.clear();
        of_terminal.clear();
        written.map_err(|_| Failed(lines))
    }

    /// All that has come is written. Whether it was so a moment ago as well: then more will come soon.
    #[expect(clippy::disallowed_methods, reason = "the writing thread has no clock of tokio")]
    fn rests(&mut self) -> bool {
        let before = self.rested.replace(Instant::now());
        before.is_some_and(|before| before.elapsed() < GATHER)
    }
}

impl Drain for Sink {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        let line = Line::of(record, values, &self.redactor);
        let mut outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        self.tell_of_lost(&mut outputs);
        self.count(outputs.hold(&line));
        if self.coming.received() {
            return Ok(());
        }
        self.count(outputs.write());
        let is_busy = outputs.rests();
        mem::drop(outputs);
        if is_busy {
            gather();
        }
        Ok(())
    }
}
