//! The mark in the environment of every agent process, which all that it forks inherits.

use std::{
    fmt,
    fs::{self, File},
    io::Read,
    str::FromStr,
};

use uuid::Uuid;

use super::stat;

/// The environment variable that holds the mark.
pub const VARIABLE: &str = "HOSTLER_MARK";

/// The most of an environment that is read: the kernel takes no more than this by default.
const MAX_ENVIRONMENT: u64 = 8 << 20;

/// What environments have at the most, as a rule.
const USUAL_ENVIRONMENT: usize = 16 << 10;

/// Whose a process is: the keeper, and the process that it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The keeper. Every start of one makes a new id.
    pub(crate) instance: Uuid,
    /// The id of the process that the keeper started.
    pub(crate) id: u64,
}

/// What a look for the mark of a process found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// This mark.
    Mark(Mark),
    /// None, or this process may not see it. So it is of a zombie.
    None,
    /// The process is becoming another program, and has no environment for that moment: look again.
    Changing,
}

impl Mark {
    /// The mark of a process, where it has one and this process may see it just now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        match Self::look(pid) {
            Seen::Mark(mark) => Some(mark),
            Seen::None | Seen::Changing => None,
        }
    }

    /// Looks for the mark of a process.
    pub(crate) fn look(pid: i32) -> Seen {
        // As a rule one reading takes all of it.
        let mut environment = Vec::with_capacity(USUAL_ENVIRONMENT);
        let read = File::open(format!("/proc/{pid}/environ"))
            .and_then(|file| file.take(MAX_ENVIRONMENT).read_to_end(&mut environment));
        match (read, Self::find(&environment)) {
            (Ok(_), Some(mark)) => Seen::Mark(mark),
            (Ok(length), None) if is_changing(pid, length) => Seen::Changing,
            _ => Seen::None,
        }
    }

    fn find(environment: &[u8]) -> Option<Self> {
        environment.split(|byte| *byte == 0).find_map(|entry| {
            let value = entry.strip_prefix(VARIABLE.as_bytes())?.strip_prefix(b"=")?;
            std::str::from_utf8(value).ok()?.parse().ok()
        })
    }
}

/// Whether a process of whose environment so many bytes were read has more than that: it is in the middle of an
/// `execve`, or was since the file was opened.
///
/// The kernel gives it the memory of the new program first, and writes down where in that the environment is
/// after (the 50th and 51st field of `stat` of proc(5), 0 until then). What is dead, and what is a part of the
/// kernel, has no memory (the 23rd field).
fn is_changing(pid: i32, length: usize) -> bool {
    let Ok(line) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let Some(fields) = stat::fields(&line) else { return false };
    let field = |number: usize| -> u64 {
        fields.get(number - 3).and_then(|field| field.parse().ok()).unwrap_or(0)
    };
    let (memory, start, end) = (field(23), field(50), field(51));
    let whole = end.saturating_sub(start).min(MAX_ENVIRONMENT);
    memory > 0 && (end == 0 || u64::try_from(length).is_ok_and(|length| length < whole))
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.instance.simple(), self.id)
    }
}

/// The text is no mark.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoMark;

impl FromStr for Mark {
    type Err = NoMark;

    fn from_str(text: &str) -> Result<Self, NoMark> {
        let (instance, id) = text.split_once(':').ok_or(NoMark)?;
        Ok(Self {
            instance: Uuid::try_parse(instance).map_err(|_| NoMark)?,
            id: id.parse().map_err(|_| NoMark)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_among_other_variables() {
        let mark = Mark { instance: Uuid::from_u128(5), id: 7 };
        let text = format!("A=1\0{VARIABLE}={mark}\0B={VARIABLE}=x\0");
        assert_eq!(Mark::find(text.as_bytes()), Some(mark));
    }

    #[test]
    fn what_is_no_mark_is_none() {
        for text in ["", "HOSTLER_MARKS=a:1", "HOSTLER_MARK=a:1", "X=HOSTLER_MARK=", "HOSTLER_MARK"]
        {
            assert_eq!(Mark::find(text.as_bytes()), None, "{text}");
        }
    }
}
