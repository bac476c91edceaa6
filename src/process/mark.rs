//! The mark in the environment of every agent process, which all that it forks inherits.

use std::{fmt, fs::File, io::Read, str::FromStr};

use uuid::Uuid;

/// The environment variable that holds the mark.
pub const VARIABLE: &str = "HOSTLER_MARK";

/// The most of an environment that is read: the kernel takes no more than this by default.
const MAX_ENVIRONMENT: u64 = 8 << 20;

/// Whose a process is: the keeper, and the process that it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The keeper. Every start of one makes a new id.
    pub(crate) instance: Uuid,
    /// The id of the process that the keeper started.
    pub(crate) id: u64,
}

impl Mark {
    /// The mark of a process, where it has one and this process may see it. Empty for a zombie.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let mut environment = Vec::new();
        let file = File::open(format!("/proc/{pid}/environ")).ok()?;
        file.take(MAX_ENVIRONMENT).read_to_end(&mut environment).ok()?;
        Self::find(&environment)
    }

    fn find(environment: &[u8]) -> Option<Self> {
        environment.split(|byte| *byte == 0).find_map(|entry| {
            let value = entry.strip_prefix(VARIABLE.as_bytes())?.strip_prefix(b"=")?;
            std::str::from_utf8(value).ok()?.parse().ok()
        })
    }
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
