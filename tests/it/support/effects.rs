//! What `witness.py` wrote down: every step of every attempt, by the clock of the machine.

use std::{fs, path::Path};

/// A step of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// It began.
    Begin,
    /// It was at work.
    Alive,
    /// It is done, and this word went into its result.
    Done(String),
    /// It failed, as it was told.
    Failed,
    /// It was called off.
    Left,
}

/// A line of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Effect {
    pub(crate) step: Step,
    /// Nanoseconds, monotonic, the same for all processes of the machine.
    pub(crate) at: u64,
    pub(crate) task: String,
    pub(crate) attempt: u64,
    /// The agent, and where it wrote: agents of two hosts have the same names.
    pub(crate) agent: String,
    pub(crate) pid: i32,
}

/// All lines of the file `path`, in the order in which they were written; nothing if it is not
/// there. A last line without an end was cut off with its writer.
pub(crate) fn read(path: &Path, host: &str) -> Vec<Effect> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| parse(line, host).unwrap_or_else(|| panic!("{}: {line:?}", path.display())))
        .collect()
}

fn parse(line: &str, host: &str) -> Option<Effect> {
    let words: Vec<&str> = line.split(' ').collect();
    let [step, at, task, attempt, agent, pid, word] = words[..] else { return None };
    let step = match step {
        "begin" => Step::Begin,
        "alive" => Step::Alive,
        "done" => Step::Done(word.to_owned()),
        "failed" => Step::Failed,
        "left" => Step::Left,
        _ => return None,
    };
    Some(Effect {
        step,
        at: at.parse().ok()?,
        task: task.to_owned(),
        attempt: attempt.parse().ok()?,
        agent: format!("{host}/{agent}"),
        pid: pid.parse().ok()?,
    })
}
