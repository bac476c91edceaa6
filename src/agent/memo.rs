//! Where an agent writes down how far the conversation with its worker is, for a host that comes
//! after this one died.
//!
//! It is one small record, overwritten at every step by one write that the page cache takes at once:
//! it outlives the host, which is all that it must, since the worker does not outlive the machine.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::domain::{AgentName, adoption::Standing};

/// The length of the record, filled up with blanks, so that none is left of a longer one.
const LENGTH: usize = 256;

/// An open record.
pub(super) struct Memo {
    path: PathBuf,
    file: Option<File>,
}

/// The file of `agent` in `dir`.
fn path(dir: &Path, agent: &AgentName) -> PathBuf {
    dir.join(format!("{agent}.json"))
}

/// What was written down last of `agent`; nothing where that can't be read.
pub fn read_standing(dir: &Path, agent: &AgentName) -> Option<Standing> {
    serde_json::from_slice(&fs::read(path(dir, agent)).ok()?).ok()
}

impl Memo {
    /// The record of `agent` in `dir`. It is made, and opened, by the first write.
    pub(super) fn new(dir: &Path, agent: &AgentName) -> Self {
        Self { path: path(dir, agent), file: None }
    }

    /// Writes down where the conversation is.
    ///
    /// # Errors
    ///
    /// That of the write. Nothing is written down then, and the worker can't be taken over: an old
    /// record would have it run a task twice.
    pub(super) fn write(&mut self, standing: &Standing) -> io::Result<()> {
        let written = self.try_write(standing);
        if written.is_err() {
            self.file = None;
            match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        written
    }

    fn try_write(&mut self, standing: &Standing) -> io::Result<()> {
        let mut record = serde_json::to_vec(standing)?;
        record.resize(record.len().max(LENGTH), b' ');
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let mut options = OpenOptions::new();
                options.write(true).create(true).truncate(true).mode(0o600);
                none.insert(options.open(&self.path)?)
            }
        };
        file.write_all_at(&record, 0)?;
        file.flush()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        Attempt, Generation, TaskId,
        adoption::{Hold, Open},
    };

    #[test]
    fn what_was_written_last_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let agent: AgentName = "f-1".parse().unwrap();
        assert_eq!(read_standing(dir.path(), &agent), None);
        let hold = Hold {
            task: TaskId::from_uuid(Uuid::from_u128(u128::MAX)),
            attempt: Attempt(i32::MAX.unsigned_abs()),
        };
        let open = Some(Open { hold, request: u64::MAX });
        let busy = Standing { generation: Generation(u64::MAX), idle_heartbeat: false, open };
        let idle = Standing { generation: Generation(1), idle_heartbeat: true, open: None };
        let mut memo = Memo::new(dir.path(), &agent);
        for standing in [idle, busy, idle] {
            memo.write(&standing).unwrap();
            assert_eq!(read_standing(dir.path(), &agent), Some(standing));
            let length = fs::metadata(path(dir.path(), &agent)).unwrap().len();
            assert_eq!(length, LENGTH as u64, "the longest record fits");
        }
        drop(memo);
        Memo::new(dir.path(), &agent).write(&busy).unwrap();
        assert_eq!(read_standing(dir.path(), &agent), Some(busy));
    }

    #[test]
    fn a_record_that_can_not_be_written_does_not_stay() {
        let dir = tempfile::tempdir().unwrap();
        let agent: AgentName = "f-1".parse().unwrap();
        let idle = Standing { generation: Generation(1), idle_heartbeat: false, open: None };
        let gone = dir.path().join("gone");
        assert!(Memo::new(&gone, &agent).write(&idle).is_err());
        assert_eq!(read_standing(&gone, &agent), None);
    }
}
