//! The way of a record: the filter by component, the bounded way to the writing thread, the files.

use std::{
    cell::Cell,
    collections::BTreeMap,
    io::{self, Write},
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
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

/// Lets through what the levels allow, stamps it with its time, and hands it to the writing thread;
/// where that one is behind, the line is counted as lost and the caller goes on at once.
pub(super) struct Front {
    pub(super) levels: Levels,
    pub(super) writer: AsyncCore,
    pub(super) lost: Arc<Lost>,
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
        if self.writer.log(&record, values).is_err() {
            self.lost.add(1);
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
    pub(super) file: Option<RotatingFile>,
    pub(super) terminal: Terminal,
    pub(super) stderr: Box<dyn Write + Send>,
}

/// The end of the way, on the writing thread.
pub(super) struct Sink {
    outputs: Mutex<Outputs>,
    redactor: Redactor,
    lost: Arc<Lost>,
}

impl Sink {
    pub(super) fn new(outputs: Outputs, redactor: Redactor, lost: Arc<Lost>) -> Self {
        Self { outputs: Mutex::new(outputs), redactor, lost }
    }

    /// Tells of lines that were lost since the last time, and writes out what is held back.
    pub(super) fn finish(&self) {
        let mut outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        self.tell_of_lost(&mut outputs);
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
        let line = Line::own(Level::Warning, "log lines were dropped", fields);
        if outputs.write(&line).is_err() {
            self.lost.untold.fetch_add(lines, Ordering::Relaxed);
        }
    }
}

impl Outputs {
    fn write(&mut self, line: &Line) -> io::Result<()> {
        let mut text = String::with_capacity(256);
        let to_file = match &mut self.file {
            Some(file) => {
                line.json(&mut text);
                file.write_line(text.as_bytes(), SystemTime::now())
            }
            None => Ok(()),
        };
        text.clear();
        match self.terminal {
            Terminal::Human { colour } => line.human(&mut text, colour),
            Terminal::Json => line.json(&mut text),
            Terminal::Off => return to_file,
        }
        let to_terminal = self.stderr.write_all(text.as_bytes());
        // A terminal that is gone loses nothing, as long as the file has the line.
        if self.file.is_some() { to_file } else { to_terminal }
    }
}

impl Drain for Sink {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        let line = Line::of(record, values, &self.redactor);
        let mut outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        self.tell_of_lost(&mut outputs);
        if outputs.write(&line).is_err() {
            self.lost.add(1);
        }
        mem::drop(outputs);
        Ok(())
    }
}
