//! Submitting many tasks: some at a time, all of a batch or none, with a progress bar. Tasks that name
//! each other go in one submit: from the first of them on, nothing is sent before the end.

use std::{
    fmt, fs,
    io::{self, BufRead, BufReader},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Map, Value};

use super::super::{
    client::Client,
    exit::{CliError, Exit, Outcome},
    output::Output,
};
use crate::{
    domain::record::SubmitOutcome,
    http::api::{FieldError, HostRecord, SubmittedMany, TasksBody},
};

/// The most tasks in one request; the host may want fewer.
const MAX_TASKS: usize = 1000;

/// About the most bytes in one request: well below the usual `http.max_body`.
const MAX_BYTES: usize = 4 << 20;

/// How much longer the answer to a submit may take for each of its tasks: they are one transaction.
const PER_TASK: Duration = Duration::from_millis(2);

/// The longest line: more than any host takes.
const MAX_LINE: u64 = 1 << 30;

/// How many tasks were submitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(in crate::cli) struct Totals {
    submitted: u64,
    created: u64,
    existing: u64,
    replaced: u64,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.submitted == 1 { "" } else { "s" };
        write!(f, "{} task{s} submitted", self.submitted)?;
        if self.submitted == self.created {
            return Ok(());
        }
        write!(f, ": {} new, {} were there already", self.created, self.existing)?;
        if self.replaced > 0 {
            write!(f, ", {} were replaced", self.replaced)?;
        }
        Ok(())
    }
}

/// Where tasks come from, for telling which of them is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Each is a line of a file.
    Lines,
    /// All are the same.
    Copies,
}

/// Tasks on their way to the host.
pub(super) struct Batches<'a> {
    client: &'a Client,
    /// Where they are sent.
    path: String,
    source: Source,
    tasks: Vec<Map<String, Value>>,
    /// The most tasks in one request that this host takes.
    most: usize,
    /// The number of the line of each task.
    lines: Vec<u64>,
    bytes: usize,
    /// There was a task that others may name, or that names others.
    connected: bool,
    totals: Totals,
    bar: ProgressBar,
}

impl<'a> Batches<'a> {
    /// Nothing yet; `expected` is how many will come, if that is known.
    pub(super) async fn new(
        client: &'a Client,
        output: Output,
        path: String,
        source: Source,
        expected: Option<u64>,
    ) -> Outcome<Self> {
        let host: HostRecord = client.get("/api/v1/host").await?;
        let most = usize::try_from(host.max_batch).map_or(MAX_TASKS, |most| most.min(MAX_TASKS));
        let bar = if output.json { ProgressBar::hidden() } else { bar(expected) };
        let totals = Totals::default();
        let (tasks, lines) = (Vec::new(), Vec::new());
        let connected = false;
        Ok(Self { client, path, source, tasks, most, lines, bytes: 0, connected, totals, bar })
    }

    /// Adds the task of `line`; sends what there is if that is enough.
    pub(super) async fn push(&mut self, task: Map<String, Value>, line: u64) -> Outcome<()> {
        let bytes = serde_json::to_string(&task).map_err(io::Error::from)?.len();
        self.connected |= task.contains_key("ref") || task.contains_key("depends_on");
        if !self.connected && !self.tasks.is_empty() && self.bytes + bytes > MAX_BYTES {
            self.send().await?;
        }
        self.tasks.push(task);
        self.lines.push(line);
        self.bytes += bytes;
        if !self.connected && self.tasks.len() >= self.most {
            self.send().await?;
        }
        Ok(())
    }

    /// Sends the rest.
    pub(super) async fn finish(mut self) -> Outcome<Totals> {
        if !self.tasks.is_empty() {
            self.send().await?;
        }
        self.bar.finish_and_clear();
        Ok(self.totals)
    }

    async fn send(&mut self) -> Outcome<()> {
        let count = self.tasks.len() as u64;
        let body = TasksBody { tasks: std::mem::take(&mut self.tasks) };
        let lines = std::mem::take(&mut self.lines);
        self.bytes = 0;
        let longer = PER_TASK.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
        let answer = match self.client.post_within(&self.path, &body, longer).await {
            Ok(reply) => reply.json::<SubmittedMany>()?,
            Err(error) => return Err(self.stopped(error, &lines)),
        };
        self.totals.submitted += count;
        self.totals.created += answer.created as u64;
        let replaced =
            answer.items.iter().filter(|item| item.outcome == SubmitOutcome::Replaced).count();
        self.totals.replaced += replaced as u64;
        self.totals.existing = self.totals.submitted - self.totals.created - self.totals.replaced;
        self.bar.inc(count);
        Ok(())
    }

    /// The error of a batch, in the words of whoever made the tasks.
    pub(super) fn stopped(&self, mut error: CliError, lines: &[u64]) -> CliError {
        self.bar.finish_and_clear();
        error.fields = match self.source {
            Source::Lines => error.fields.into_iter().map(|field| by_line(field, lines)).collect(),
            Source::Copies => error.fields.into_iter().filter_map(of_first).collect(),
        };
        match error.fields.as_slice() {
            [] => {}
            [one] => error.what = format!("{}: {}", one.field, one.detail),
            many => error.what = format!("{} fields are not valid", many.len()),
        }
        if self.totals.submitted > 0 {
            error.what.push_str(&format!("\n  before that, {}", self.totals));
            let again = "mend it and submit the rest, or all of it again if each has its own \
                         idempotency_key";
            error.help.get_or_insert_with(|| again.to_owned());
        }
        error
    }
}

fn bar(expected: Option<u64>) -> ProgressBar {
    let (bar, template) = match expected {
        Some(count) => (ProgressBar::new(count), "{wide_bar} {pos}/{len} {per_sec} {eta}"),
        None => (ProgressBar::new_spinner(), "{spinner} {pos} submitted, {per_sec}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// `tasks[3].priority` is `line 2004: priority`.
fn by_line(error: FieldError, lines: &[u64]) -> FieldError {
    let Some((nth, rest)) = place(&error.field) else { return error };
    let Some(line) = lines.get(nth) else { return error };
    let field =
        if rest.is_empty() { format!("line {line}") } else { format!("line {line}: {rest}") };
    FieldError { field, ..error }
}

/// All tasks are the same: the mistakes of the first are those of all.
fn of_first(error: FieldError) -> Option<FieldError> {
    match place(&error.field) {
        Some((0, rest)) => Some(FieldError { field: rest.to_owned(), ..error }),
        Some(_) => None,
        None => Some(error),
    }
}

/// Splits `tasks[3].priority` into 3 and `priority`.
fn place(field: &str) -> Option<(usize, &str)> {
    let (nth, rest) = field.strip_prefix("tasks[")?.split_once(']')?;
    Some((nth.parse().ok()?, rest.strip_prefix('.').unwrap_or(rest)))
}

/// Submits each line of a file, or of stdin for `-`.
pub(in crate::cli) async fn submit_lines(
    client: &Client,
    output: Output,
    path: String,
    from: &str,
) -> Outcome<Totals> {
    let wrong = |why: io::Error| CliError::new(Exit::Usage, format!("--jsonl {from}: {why}"));
    let mut reader: Box<dyn BufRead> = match from {
        "-" => Box::new(BufReader::new(io::stdin())),
        path => Box::new(BufReader::new(fs::File::open(path).map_err(wrong)?)),
    };
    let mut batches = Batches::new(client, output, path, Source::Lines, None).await?;
    let mut text = Vec::new();
    for number in 1.. {
        text.clear();
        let length = io::Read::take(&mut reader, MAX_LINE).read_until(b'\n', &mut text);
        if length.map_err(wrong)? == 0 {
            break;
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        match line(&text, number) {
            Ok(task) => batches.push(task, number).await?,
            Err(error) => {
                // What came before it is sound: it is sent, as it would have been in a larger file.
                if !batches.tasks.is_empty() {
                    batches.send().await?;
                }
                return Err(batches.stopped(error, &[]));
            }
        }
    }
    batches.finish().await
}

/// Reads one line.
fn line(text: &[u8], number: u64) -> Outcome<Map<String, Value>> {
    let wrong = |why: String| CliError::new(Exit::Usage, format!("line {number}: {why}"));
    match serde_json::from_slice(text.trim_ascii_end()) {
        Ok(Value::Object(task)) if task.contains_key("tasks") => {
            Err(wrong("tasks: a line is one task, not several".to_owned()))
        }
        Ok(Value::Object(task)) => Ok(task),
        Ok(_) => Err(wrong("must be an object, as {\"kind\": \"echo\"}".to_owned())),
        Err(error) => Err(wrong(format!("is not JSON, at its column {}", error.column()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str) -> FieldError {
        FieldError { field: name.to_owned(), detail: "is odd".to_owned() }
    }

    #[test]
    fn mistakes_are_told_by_their_line() {
        let rows = [
            ("tasks[1].priority", "line 8: priority"),
            ("tasks[0].input.a[3]", "line 5: input.a[3]"),
            ("tasks[1]", "line 8"),
            ("tasks[9].kind", "tasks[9].kind"),
            ("tasks", "tasks"),
            ("tasks[x].kind", "tasks[x].kind"),
        ];
        for (name, told) in rows {
            assert_eq!(by_line(field(name), &[5, 8]).field, told);
        }
    }

    #[test]
    fn mistakes_of_copies_are_told_once() {
        assert_eq!(of_first(field("tasks[0].kind")).unwrap().field, "kind");
        assert_eq!(of_first(field("tasks[1].kind")), None);
        assert_eq!(of_first(field("tasks")).unwrap().field, "tasks");
    }

    #[test]
    fn lines_are_objects() {
        assert!(line(b"{\"kind\": \"echo\"}\n", 1).is_ok());
        let rows: [(&[u8], &str); 5] = [
            (b"{\"kind\": }", "line 7: is not JSON, at its column 10"),
            (b"[1]", "line 7: must be an object"),
            (b"{} {}", "line 7: is not JSON"),
            (b"{\"tasks\": []}", "line 7: tasks"),
            (b"\xff", "line 7: is not JSON"),
        ];
        for (text, told) in rows {
            let error = line(text, 7).unwrap_err();
            assert!(error.what.starts_with(told), "{}", error.what);
            assert_eq!(error.exit, Exit::Usage);
        }
    }

    #[test]
    fn totals_are_told() {
        let totals = Totals { submitted: 5, created: 3, existing: 2, replaced: 0 };
        assert_eq!(totals.to_string(), "5 tasks submitted: 3 new, 2 were there already");
        let json = serde_json::to_value(totals).unwrap();
        let told = serde_json::json!({"submitted": 5, "created": 3, "existing": 2, "replaced": 0});
        assert_eq!(json, told);
        let one = Totals { submitted: 1, created: 1, ..Totals::default() };
        assert_eq!(one.to_string(), "1 task submitted");
        let last = Totals { submitted: 3, created: 1, existing: 1, replaced: 1 };
        assert!(last.to_string().ends_with("1 new, 1 were there already, 1 were replaced"));
    }
}
