//! From the lines of a document to drafts of tasks: who says what, and where.

use std::time::Duration;

use super::{
    lines::{Line, bold},
    text::{duration, without_signs, words},
};

/// A phase, as the document has it.
#[derive(Debug, Default)]
pub(super) struct DraftPhase {
    /// Its number or letter.
    pub(super) mark: String,
    /// Its title.
    pub(super) title: String,
    /// Whether its tasks are said to come one after the other.
    pub(super) sequential: bool,
    /// What all its tasks take together, if that is said, and where.
    pub(super) total: Option<(Duration, usize)>,
    /// What is said to be split, and where.
    pub(super) split: Option<(String, usize)>,
    line: usize,
    depth: usize,
}

/// Where a draft comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Source {
    /// A heading with fields below it.
    #[default]
    Section,
    /// A row of a table.
    Row,
    /// A numbered item.
    Item,
    /// A stream of a way to split tasks.
    Part,
    /// The work of putting parts together again.
    Join,
}

/// A task, as the document has it.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// Its title.
    pub(super) title: String,
    /// The line of the title.
    pub(super) line: usize,
    /// Where it comes from.
    pub(super) source: Source,
    /// The place of its phase.
    pub(super) phase: Option<usize>,
    /// Who does it, as it is said.
    pub(super) agent: Option<String>,
    /// How long it takes, and the upper end of a range.
    pub(super) time: Option<(Duration, Option<Duration>)>,
    /// What is said of files, with lines.
    pub(super) files: Vec<(String, usize)>,
    /// What is to be done: a sentence and its bullets.
    pub(super) task: Vec<String>,
    /// What it depends on, as it is said, with lines.
    pub(super) depends: Vec<(String, usize)>,
    /// What blocks it, as it is said, with lines.
    pub(super) blockers: Vec<(String, usize)>,
    /// Whether it follows the item before it.
    pub(super) in_sequence: bool,
    /// Whether it has a field that only tasks have.
    is_task: bool,
}

/// Everything that a document says.
#[derive(Debug, Default)]
pub(super) struct Collected {
    /// The title of the document.
    pub(super) title: String,
    /// The phases.
    pub(super) phases: Vec<DraftPhase>,
    /// The tasks.
    pub(super) drafts: Vec<Draft>,
    /// Branches that the document makes, with lines.
    pub(super) branches: Vec<(String, usize)>,
    /// The marks of phases that a sum of times names, with lines.
    pub(super) summed: Vec<(String, usize)>,
    /// What was passed over.
    pub(super) doubts: Vec<(usize, String)>,
}

/// Which field the bullets belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Target {
    #[default]
    None,
    Files,
    Task,
    Depends,
    Blockers,
}

#[derive(Default)]
struct Collector {
    out: Collected,
    phase: Option<usize>,
    draft: Option<Draft>,
    target: Target,
    /// The heads of the table that is being read.
    heads: Vec<String>,
    /// Whether the heading above says that what follows is a sequence.
    sequence: bool,
}

/// Goes through the lines once.
pub(super) fn collect(lines: &[(usize, Line<'_>)]) -> Collected {
    let mut collector = Collector::default();
    for (number, line) in lines {
        if !matches!(line, Line::Row(_)) {
            collector.heads.clear();
        }
        match line {
            Line::Heading(depth, title) => collector.heading(*depth, title, *number),
            Line::Field(name, value) => collector.field(name, value, *number),
            Line::Bold(text) => collector.bold(text, *number),
            Line::Bullet(text) => collector.bullet(text, *number),
            Line::Numbered(text) => collector.numbered(text, *number),
            Line::Row(cells) => collector.row(cells, *number),
            Line::Fenced(text) => collector.fenced(text, *number),
            Line::Text(text) => collector.text(text, *number),
            Line::Blank => {}
        }
    }
    collector.close();
    collector.out
}

/// The title of a stream: `Parallel Stream 2: Title`, `Task 3 - Title`.
fn stream(title: &str) -> Option<&str> {
    let (head, rest) = title.split_once(':').or_else(|| title.split_once(" - "))?;
    let words = words(head);
    let numbered = words.last().is_some_and(|word| word.bytes().all(|c| c.is_ascii_digit()));
    let is_stream = words.iter().any(|word| matches!(word.as_str(), "stream" | "task" | "track"));
    (numbered && is_stream).then(|| rest.trim())
}

/// The mark and the title of a phase: `Phase 2: Title`.
fn phase(title: &str) -> Option<(&str, &str)> {
    let rest = title.strip_prefix("Phase ").or_else(|| title.strip_prefix("PHASE "))?;
    let (mark, rest) = rest.split_once(':').or_else(|| rest.split_once(" - "))?;
    let is_mark = mark.chars().count() <= 3 && mark.chars().all(char::is_alphanumeric);
    (is_mark && !mark.is_empty()).then(|| (mark, rest.trim()))
}

/// Whether a text says that what follows is done one after the other.
fn says_sequence(text: &str) -> bool {
    let words = words(text);
    words.iter().any(|word| word == "sequential")
        && !words.iter().any(|word| word.starts_with("paralleli"))
}

impl Collector {
    /// Ends the draft; it counts if it has a field that only tasks have.
    fn close(&mut self) {
        self.target = Target::None;
        let Some(draft) = self.draft.take() else { return };
        if draft.is_task && draft.time.is_some() {
            self.out.drafts.push(draft);
        } else if draft.is_task {
            let message = format!("`{}` looks like a task but has no time: left out", draft.title);
            self.out.doubts.push((draft.line, message));
        }
    }

    fn heading(&mut self, depth: usize, title: &str, line: usize) {
        self.close();
        self.sequence = says_sequence(title);
        if depth == 1 && self.out.title.is_empty() {
            self.out.title = without_signs(title).0.to_owned();
            return;
        }
        if let Some((mark, rest)) = phase(title) {
            // A later heading of the same phase says more of it.
            if let Some(known) = self.out.phases.iter().position(|phase| phase.mark == mark) {
                self.phase = Some(known);
                self.out.phases[known].depth = depth;
                return;
            }
            let (name, signs) = without_signs(rest);
            self.phase = Some(self.out.phases.len());
            self.out.phases.push(DraftPhase {
                mark: mark.to_owned(),
                title: name.to_owned(),
                sequential: says_sequence(signs),
                line,
                depth,
                ..DraftPhase::default()
            });
            return;
        }
        let leaves = self.phase.is_some_and(|at| depth <= self.out.phases[at].depth);
        if leaves {
            self.phase = None;
        }
        let title = stream(title).unwrap_or(title);
        self.open(without_signs(title).0, line, Source::Section);
    }

    fn open(&mut self, title: &str, line: usize, source: Source) {
        self.draft = Some(Draft {
            title: title.to_owned(),
            line,
            source,
            phase: self.phase,
            ..Draft::default()
        });
    }

    fn field(&mut self, name: &str, value: &str, line: usize) {
        self.target = Target::None;
        let lower = name.to_lowercase();
        let Some(draft) = &mut self.draft else { return self.text(value, line) };
        let said = |text: &str| (!text.is_empty()).then(|| (text.to_owned(), line));
        match lower.as_str() {
            "agent" | "owner" | "assignee" => draft.agent = Some(value.to_owned()),
            "time" | "duration" | "estimate" | "effort" => draft.time = duration(value),
            "files" | "file" => {
                draft.files.extend(said(value));
                (draft.is_task, self.target) = (true, Target::Files);
            }
            "task" | "description" | "goal" => {
                draft.task.extend(said(value).map(|(text, _)| text));
                (draft.is_task, self.target) = (true, Target::Task);
            }
            "dependencies" | "depends on" | "dependency" => {
                draft.depends.extend(said(value));
                (draft.is_task, self.target) = (true, Target::Depends);
            }
            "blockers" | "blocked by" => {
                draft.blockers.extend(said(value));
                (draft.is_task, self.target) = (true, Target::Blockers);
            }
            _ => self.text(value, line),
        }
    }

    fn bold(&mut self, text: &str, line: usize) {
        if let Some(title) = stream(text) {
            self.close();
            let splits = self.phase.is_some_and(|at| self.out.phases[at].split.is_some());
            let source = if splits { Source::Part } else { Source::Section };
            return self.open(title, line, source);
        }
        let known = ["files", "task", "dependencies", "blockers", "depends on"];
        if known.contains(&text.to_lowercase().as_str()) {
            return self.field(text, "", line);
        }
        self.target = Target::None;
        let words = words(text);
        if let Some(at) = words.iter().position(|word| word == "split").filter(|_| words[0] == "if")
        {
            self.close();
            if let Some(phase) = self.phase {
                self.out.phases[phase].split = Some((words[at + 1..].join(" "), line));
            }
        }
    }

    fn bullet(&mut self, text: &str, line: usize) {
        let Some(draft) = &mut self.draft else { return };
        match self.target {
            Target::Files => draft.files.push((text.to_owned(), line)),
            Target::Task => draft.task.push(format!("- {text}")),
            Target::Depends => draft.depends.push((text.to_owned(), line)),
            Target::Blockers => draft.blockers.push((text.to_owned(), line)),
            Target::None => {}
        }
    }

    /// `1. **Title** (2 hours)` is a task of its phase.
    fn numbered(&mut self, text: &str, line: usize) {
        let Some((title, rest)) = bold(text) else { return };
        let (Some(phase), Some(time)) = (self.phase, duration(rest)) else { return };
        let in_sequence = self.sequence || self.out.phases[phase].sequential;
        self.out.drafts.push(Draft {
            title: title.to_owned(),
            line,
            source: Source::Item,
            phase: Some(phase),
            time: Some(time),
            in_sequence,
            ..Draft::default()
        });
    }

    /// A row of a table whose heads name a task is a task of its phase.
    fn row(&mut self, cells: &[&str], line: usize) {
        if self.heads.is_empty() {
            self.heads = cells.iter().map(|cell| cell.to_lowercase()).collect();
            return;
        }
        let is_rule = cells.iter().all(|cell| cell.chars().all(|c| matches!(c, '-' | ':' | ' ')));
        let Some(phase) = self.phase.filter(|_| !is_rule) else { return };
        let cell = |names: &[&str]| {
            let at = self.heads.iter().position(|head| names.contains(&head.as_str()))?;
            cells.get(at).copied().filter(|cell| !cell.is_empty())
        };
        let Some(title) = cell(&["task", "stream"]) else { return };
        self.out.drafts.push(Draft {
            title: title.to_owned(),
            line,
            source: Source::Row,
            phase: Some(phase),
            agent: cell(&["agent", "owner", "who"]).map(str::to_owned),
            time: cell(&["time", "duration", "estimate", "hours"]).and_then(duration),
            in_sequence: self.out.phases[phase].sequential,
            ..Draft::default()
        });
    }

    fn fenced(&mut self, text: &str, line: usize) {
        if let Some(branch) = text.strip_prefix("git checkout -b ") {
            self.out
                .branches
                .extend(branch.split_whitespace().next().map(|it| (it.to_owned(), line)));
        }
        if let Some((mark, _)) = phase(text).filter(|(_, rest)| duration(rest).is_some()) {
            self.out.summed.push((mark.to_owned(), line));
        }
    }

    /// Sentences that say something of a phase.
    fn text(&mut self, text: &str, line: usize) {
        self.target = Target::None;
        let Some(at) = self.phase else { return };
        let Some((time, _)) = duration(text) else { return };
        let words = words(text);
        let says = |wanted: &str| words.iter().any(|word| word == wanted);
        if self.out.phases[at].split.is_some() && says("merge") {
            self.close();
            let title = format!("Merge the parts of phase {}", self.out.phases[at].mark);
            self.out.drafts.push(Draft {
                title,
                line,
                source: Source::Join,
                phase: Some(at),
                time: Some((time, None)),
                ..Draft::default()
            });
        } else if says("total") {
            self.out.phases[at].total = Some((time, line));
        }
    }
}

impl DraftPhase {
    /// The line of its heading.
    pub(super) const fn line(&self) -> usize {
        self.line
    }
}
