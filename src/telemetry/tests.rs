//! The log from end to end: what is logged, and what is in the file and on the terminal.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use proptest::prelude::*;
use serde_json::Value;
use slog::{Level, debug, info, warn};

use super::*;
use crate::settings::LogFormat;

fn settings() -> Log {
    Log {
        level: Level::Info,
        components: BTreeMap::new(),
        format: LogFormat::Json,
        rotate_size: 1 << 20,
        rotate_age: Duration::from_secs(3600),
        keep_files: 3,
        buffer: 1024,
        agent_rotate_size: 1 << 20,
        agent_rotate_age: Duration::from_secs(86_400),
        agent_keep_files: 1,
        agent_rate: None,
    }
}

/// A terminal that remembers what it was given at a time.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<Vec<u8>>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Screen {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().concat()).unwrap()
    }

    fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn messages(&self) -> Vec<String> {
        self.lines().iter().map(|line| line["msg"].as_str().unwrap().to_owned()).collect()
    }
}

fn on_screen(settings: &Log, terminal: Terminal) -> (Screen, Logger, Guard) {
    let screen = Screen::default();
    let outputs = Outputs::new(None, terminal, Box::new(screen.clone()));
    let (log, guard) = start_with(settings, outputs);
    (screen, log, guard)
}

#[test]
fn a_line_is_json_with_its_fields_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("made/for/it");
    let (log, guard) = start(&settings(), Some(&logs), Terminal::Off).unwrap();
    let log = component(&log, Component::Queue).new(o!("task" => "tsk_1", "attempt" => 2));
    info!(log, "claimed"; "count" => 3_u64, "error" => Chain(&io::Error::other("no")),
        "path" => Option::<&str>::None, "elapsed_ms" => 1.5);
    drop(guard);
    let text = fs::read_to_string(logs.join(FILE_NAME)).unwrap();
    let (head, fields) = text.split_once(r#","level""#).unwrap();
    assert!(head.starts_with(r#"{"ts":"2"#) && head.ends_with(r#"Z""#), "{head}");
    assert_eq!(head.len(), r#"{"ts":"2026-03-01T12:00:00.000123Z""#.len());
    let expected = r#":"info","msg":"claimed","component":"queue","task":"tsk_1","attempt":2,"count":3,"error":"no","path":null,"elapsed_ms":1.5}"#;
    assert_eq!(fields.trim_end(), expected);
}

#[test]
fn the_nearest_value_of_a_name_counts() {
    let (screen, log, guard) = on_screen(&settings(), Terminal::Json);
    let log = component(&component(&log, Component::App).new(o!("task" => 1)), Component::Agent);
    info!(log.new(o!("task" => 2)), "x"; "task" => 3);
    drop(guard);
    let text = screen.text();
    assert_eq!(text.matches("\"task\"").count(), 1, "{text}");
    assert_eq!(screen.lines()[0]["task"], 3);
    assert_eq!(screen.lines()[0]["component"], "agent");
}

#[test]
fn a_component_has_its_own_level_higher_or_lower() {
    let mut settings = settings();
    settings.components =
        BTreeMap::from([("queue".to_owned(), Level::Debug), ("http".to_owned(), Level::Warning)]);
    let (screen, log, guard) = on_screen(&settings, Terminal::Json);
    let queue = component(&log, Component::Queue).new(o!("queue" => "q"));
    let http = component(&log, Component::Http);
    debug!(log, "root debug");
    info!(log, "root info");
    debug!(queue, "queue debug");
    info!(http, "http info");
    warn!(http, "http warning");
    debug!(component(&queue, Component::Http), "of http, though below queue");
    debug!(log, "root debug again");
    drop(guard);
    assert_eq!(screen.messages(), ["root info", "queue debug", "http warning"]);
}

/// A terminal that is stuck until it is let go.
struct Stuck {
    entered: mpsc::Sender<()>,
    go: mpsc::Receiver<()>,
    screen: Screen,
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Both ends fail once the test lets go: then nothing is stuck any more.
        if self.entered.send(()).is_ok() {
            self.go.recv().ok();
        }
        self.screen.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stuck_terminal_blocks_nobody_and_drops_are_told_and_counted() {
    let ((entered, has_entered), (let_go, go)) = (mpsc::channel(), mpsc::channel());
    let screen = Screen::default();
    let stuck = Stuck { entered, go, screen: screen.clone() };
    let outputs = Outputs::new(None, Terminal::Json, Box::new(stuck));
    let (log, guard) = start_with(&Log { buffer: 16, ..settings() }, outputs);
    let drops = guard.drops();
    info!(log, "first");
    has_entered.recv().unwrap();
    for number in 0..100 {
        info!(log, "more"; "count" => number);
    }
    assert_eq!(drops.dropped_lines(), 84, "16 wait, the rest is dropped");
    drop((has_entered, let_go));
    drop(guard);
    info!(log, "after the end");
    assert_eq!(drops.dropped_lines(), 85, "nobody is left to write it");
    let lines = screen.lines();
    assert_eq!(lines.len(), 18);
    assert_eq!(lines[1]["msg"], "log lines were dropped");
    assert_eq!((&lines[1]["count"], &lines[1]["level"]), (&84.into(), &"warning".into()));
    assert_eq!(lines[17]["count"], 15);
    let at_once = screen.0.lock().unwrap().len();
    assert_eq!(at_once, 3, "the first, that some were dropped, and what waited meanwhile together");
}

/// A terminal that is gone.
struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_line_that_cannot_be_written_is_counted() {
    let outputs = Outputs::new(None, Terminal::Json, Box::new(Gone));
    let (log, guard) = start_with(&settings(), outputs);
    let drops = guard.drops();
    info!(log, "lost");
    drop(guard);
    assert_eq!(drops.dropped_lines(), 1);
}

#[test]
fn the_file_rotates_under_load_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Log { rotate_size: 4096, keep_files: 1000, buffer: 10_000, ..settings() };
    let (log, guard) = start(&settings, Some(dir.path()), Terminal::Off).unwrap();
    for number in 0..500 {
        info!(log, "line"; "count" => number);
    }
    drop(guard);
    let files: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().path()).collect();
    let lines: usize = files
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .inspect(|text| assert!(text.len() <= 4096 && text.ends_with('\n')))
        .map(|text| text.lines().count())
        .sum();
    assert!(files.len() > 5, "{files:?}");
    assert_eq!(lines, 500);
}

#[test]
fn secrets_are_hidden_in_messages_and_values_of_both_forms() {
    for terminal in [Terminal::Json, Terminal::Human { colour: true }] {
        let (screen, log, guard) = on_screen(&settings(), terminal);
        guard.redactor().hide("hunter\"22");
        let log = log.new(o!("address" => "postgres://u:hunter\"22@h/db"));
        info!(log, "sent {}", "hunter\"22"; "error" => format_args!("bad key hunter\"22"));
        drop(guard);
        let text = screen.text();
        assert!(!text.contains("hunter") && text.matches("***").count() == 3, "{text}");
    }
}

#[test]
fn people_get_a_form_of_their_own() {
    let (screen, log, guard) = on_screen(&settings(), Terminal::Human { colour: false });
    let log = component(&log, Component::Agent).new(o!("agent" => "a-1"));
    warn!(log, "agent\u{1b}[31m changed\n"; "to" => "idle", "reason" => "two words", "count" => 2);
    drop(guard);
    let text = screen.text();
    let (time, rest) = text.split_once(' ').unwrap();
    assert_eq!(time.len(), "12:00:00.000Z".len());
    let expected = "warning  agent: agent\\u{1b}[31m changed\\n agent=a-1 to=idle reason=\"two words\" count=2\n";
    assert_eq!(rest, expected);
}

#[test]
fn colours_are_only_where_they_are_wanted() {
    for colour in [true, false] {
        let (screen, log, guard) = on_screen(&settings(), Terminal::Human { colour });
        info!(log, "x"; "count" => 1);
        drop(guard);
        assert_eq!(screen.text().contains('\u{1b}'), colour);
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = start(&settings(), Some(&file.join("logs")), Terminal::Off).err().unwrap();
    assert!(Chain(&error).to_string().contains("cannot open the log"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_line_is_valid_json_whatever_is_in_it(
        texts in prop::collection::vec(any::<String>(), 1..8),
        number: f64,
    ) {
        let (screen, log, guard) = on_screen(&settings(), Terminal::Json);
        guard.redactor().hide("level");
        guard.redactor().hide("\",\"");
        for text in &texts {
            info!(log, "{text}"; "reason" => text, "elapsed_ms" => number);
        }
        drop(guard);
        let lines = screen.lines();
        prop_assert_eq!(lines.len(), texts.len());
        for (line, text) in lines.iter().zip(&texts) {
            if !text.contains("level") && !text.contains("\",\"") {
                prop_assert_eq!(line["reason"].as_str(), Some(text.as_str()));
            }
        }
    }
}
