//! Where an agent writes down how far the conversation with its worker is, for a host that comes
//! after this one died.
//!
//! It is one record, overwritten at every step by one write into the page cache: it outlives the host,
//! which is all that it must, since the worker does not outlive the machine. The record of a worker
//! with many tasks is longer than a page, and a host that is killed may leave a part of one: the
//! number of the record stands at both of its ends, and one whose numbers differ is not read.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::domain::{AgentName, adoption::Standing};

use serde::{Deserialize, Serialize};

/// The least length of the record, which is filled up with blanks: one that has room for a single task
/// is always as long.
const LENGTH: usize = 320;

/// What stands in the file.
#[derive(Serialize, Deserialize)]
struct Record<'a> {
    first: u64,
    standing: std::borrow::Cow<'a, Standing>,
    last: u64,
}

/// An open record.
pub(super) struct Memo {
    path: PathBuf,
    file: Option<File>,
    /// The number of the newest record.
    number: u64,
    /// The length of the newest record: the next one covers it.
    length: usize,
}

/// The file of `agent` in `dir`.
fn path(dir: &Path, agent: &AgentName) -> PathBuf {
    dir.join(format!("{agent}.json"))
}

/// What was written down last of `agent`; nothing where that can't be read.
pub fn read_standing(dir: &Path, agent: &AgentName) -> Option<Standing> {
    let record: Record<'_> = serde_json::from_slice(&fs::read(path(dir, agent)).ok()?).ok()?;
    (record.first == record.last).then(|| record.standing.into_owned())
}

impl Memo {
    /// The record of `agent` in `dir`. It is made, and opened, by the first write.
    pub(super) fn new(dir: &Path, agent: &AgentName) -> Self {
        Self { path: path(dir, agent), file: None, number: 0, length: LENGTH }
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
        self.number += 1;
        let standing = std::borrow::Cow::Borrowed(standing);
        let record = Record { first: self.number, standing, last: self.number };
        let mut record = serde_json::to_vec(&record)?;
        let length = record.len().max(LENGTH);
        record.resize(length.max(self.length), b' ');
        self.length = length;
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
        adoption::{Hold, Open, Promise, Tool},
    };

    fn resting(open: Vec<Open>) -> Standing {
        Standing {
            generation: Generation(1),
            idle_heartbeat: false,
            open,
            pid: None,
            promise: Promise::default(),
            tools: Vec::new(),
        }
    }

    #[test]
    fn what_was_written_last_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let agent: AgentName = "f-1".parse().unwrap();
        assert_eq!(read_standing(dir.path(), &agent), None);
        let hold = Hold {
            task: TaskId::from_uuid(Uuid::from_u128(u128::MAX)),
            attempt: Attempt(i32::MAX.unsigned_abs()),
        };
        let open = Open { hold, request: u64::MAX };
        let of = |count| Standing {
            generation: Generation(u64::MAX),
            idle_heartbeat: false,
            open: vec![open; count],
            pid: Some(u32::MAX),
            promise: Promise::default(),
            tools: Vec::new(),
        };
        let busy = of(1);
        let idle = Standing { idle_heartbeat: true, ..of(0) };
        let promise = Promise { beats: true, limit_ms: Some(u64::MAX) };
        let tool = Tool { id: "build".to_owned(), until_ms: u64::MAX, limit_ms: 1 };
        let beats = Standing { promise, tools: vec![tool], ..of(1) };
        let mut memo = Memo::new(dir.path(), &agent);
        for standing in [&idle, &busy, &of(100), &busy, &beats, &idle] {
            memo.write(standing).unwrap();
            assert_eq!(read_standing(dir.path(), &agent).as_ref(), Some(standing));
        }
        drop(memo);
        Memo::new(dir.path(), &agent).write(&busy).unwrap();
        assert_eq!(read_standing(dir.path(), &agent), Some(busy));
    }

    #[test]
    fn a_part_of_a_record_over_another_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let agent: AgentName = "f-1".parse().unwrap();
        let of = |task| {
            let hold = Hold { task: TaskId::from_uuid(Uuid::from_u128(task)), attempt: Attempt(1) };
            let open = vec![Open { hold, request: 1 }; 100];
            resting(open)
        };
        let mut memo = Memo::new(dir.path(), &agent);
        memo.write(&of(1)).unwrap();
        let old = fs::read(path(dir.path(), &agent)).unwrap();
        memo.write(&of(2)).unwrap();
        let mut torn = fs::read(path(dir.path(), &agent)).unwrap();
        assert_eq!(torn.len(), old.len());
        torn[4096..].copy_from_slice(&old[4096..]);
        fs::write(path(dir.path(), &agent), torn).unwrap();
        assert_eq!(read_standing(dir.path(), &agent), None);
    }

    #[test]
    fn a_record_that_can_not_be_written_does_not_stay() {
        let dir = tempfile::tempdir().unwrap();
        let agent: AgentName = "f-1".parse().unwrap();
        let idle = resting(Vec::new());
        let gone = dir.path().join("gone");
        assert!(Memo::new(&gone, &agent).write(&idle).is_err());
        assert_eq!(read_standing(&gone, &agent), None);
    }
}
