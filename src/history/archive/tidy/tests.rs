//! On a disk of their own: what is in the archives is compared before and after.

use std::{
    io::Read as _,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

use super::*;
use crate::{
    domain::{TaskId, leadership::Term},
    history::archive::{find, write},
};

const DAY: &str = "2026-03-01";

fn at(time: &str) -> Timestamp {
    format!("{DAY}T{time}Z").parse().unwrap()
}

/// A time at which that day is closed.
fn later() -> Timestamp {
    "2026-03-02T01:00:00Z".parse().unwrap()
}

fn task(number: u128) -> TaskId {
    TaskId::from_uuid(uuid::Uuid::from_u128(number))
}

fn record(number: u128, state: &str) -> String {
    format!("{{\"id\": \"{}\", \"state\": \"{state}\"}}", task(number))
}

/// Three files of a day, in the second and third of which a task is that was tried again.
fn three() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (nth, time) in ["01:00:00", "02:00:00", "03:00:00"].into_iter().enumerate() {
        let number = u128::try_from(nth).unwrap();
        let records = [record(number, "completed"), record(9, &format!("state{nth}"))];
        write(dir.path(), at(time), Some(Term(3)), &records[..1 + nth.min(1)]).unwrap();
    }
    dir
}

/// The names of all files of the day, hidden ones too.
fn names(dir: &Path) -> Vec<String> {
    let all = entries(&dir.join(DAY)).unwrap();
    all.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

/// Every line of every archive, in order.
fn lines(dir: &Path) -> Vec<String> {
    let mut text = String::new();
    for archive in list(dir).unwrap() {
        let file = BufReader::new(File::open(&archive.path).unwrap());
        MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    }
    text.lines().map(str::to_owned).collect()
}

fn last_state(dir: &Path) -> String {
    find(dir, task(9)).unwrap().pop().unwrap().record["state"].as_str().unwrap().to_owned()
}

#[test]
fn the_files_of_a_closed_day_become_one_with_the_same_lines() {
    let dir = three();
    let (dir, before) = (dir.path(), lines(dir.path()));
    assert_eq!(before.len(), 5);
    let none = Tidied::default();
    let open = at("23:00:00");
    assert_eq!(tidy(dir, Keep::Forever, open).unwrap(), none, "the day is not closed");
    let three = Tidied { merged: 3, deleted: 0 };
    assert_eq!(tidy(dir, Keep::Forever, later()).unwrap(), three);
    assert_eq!(names(dir), ["2026-03-01T03-00-00.000000Z-t3-m1.jsonl.gz"]);
    assert_eq!(lines(dir), before);
    assert_eq!(last_state(dir), "state2");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(&list(dir).unwrap()[0].path).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(tidy(dir, Keep::Forever, later()).unwrap(), none, "it is done");
    // One that was late joins them.
    write(dir, at("02:30:00"), None, &[record(5, "late")]).unwrap();
    assert_eq!(tidy(dir, Keep::Forever, later()).unwrap().merged, 2);
    assert_eq!(names(dir), ["2026-03-01T03-00-00.000000Z-t3-m2.jsonl.gz"]);
    assert_eq!(lines(dir).len(), 6);
}

/// As it is after a crash at each of the steps.
#[test]
fn a_crash_at_any_step_loses_no_line() {
    let dir = three();
    let dir = dir.path();
    let sources = list(dir).unwrap();
    let name = merged_name(&names(dir)[2], 1);
    let merged = dir.join(DAY).join(&name);
    // A part of a file was written: it is nobody's any more, and in nobody's way.
    fs::write(dir.join(DAY).join(format!(".{name}.part")), "torn").unwrap();
    let before = lines(dir);
    assert_eq!(tidy(dir, Keep::Forever, later()).unwrap().merged, 3);
    assert_eq!(lines(dir), before);
    // It was complete, and only some or none of the others were deleted.
    for deleted in 0..3 {
        let again = three();
        let dir = again.path();
        let sources: Vec<_> = sources.iter().map(|it| it.path.file_name().unwrap()).collect();
        let bytes: Vec<_> =
            sources.iter().flat_map(|name| fs::read(dir.join(DAY).join(name)).unwrap()).collect();
        fs::write(dir.join(DAY).join(merged.file_name().unwrap()), bytes).unwrap();
        for name in &sources[..deleted] {
            fs::remove_file(dir.join(DAY).join(name)).unwrap();
        }
        assert_eq!(last_state(dir), "state2", "after {deleted}");
        assert_eq!(tidy(dir, Keep::Forever, later()).unwrap().merged, 4 - deleted as u64);
        let now = lines(dir);
        assert!(before.iter().all(|line| now.contains(line)), "after {deleted}: {now:?}");
        assert_eq!((names(dir).len(), last_state(dir)), (1, "state2".to_owned()));
    }
}

/// Says that its thread has ended, however it ended.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Whoever reads meanwhile finds what is there before and afterwards.
#[test]
fn a_reader_misses_nothing_while_files_are_put_together() {
    let dir = three();
    let path = dir.path().to_owned();
    let stop = AtomicBool::new(false);
    let (looked, looks) = mpsc::sync_channel(0);
    std::thread::scope(|scope| {
        let (stop, path) = (&stop, &path);
        scope.spawn(move || {
            let _ends = Ends(stop);
            for nth in 0..200_u32 {
                let time = at("04:00:00") + jiff::SignedDuration::from_secs(nth.into());
                write(path, time, None, &[record(5, "more")]).unwrap();
                tidy(path, Keep::Forever, later()).unwrap();
                // Files are put together once a day, not faster than anybody can read.
                if looks.recv().is_err() {
                    break;
                }
            }
        });
        while !stop.load(Ordering::Acquire) {
            let found = find(path, task(9)).unwrap();
            let states: Vec<_> = found.iter().map(|it| it.record["state"].clone()).collect();
            assert!(states.len() >= 2 && states.last().unwrap() == "state2", "{states:?}");
            assert!(!list(path).unwrap().is_empty());
            // Whoever writes may have ended.
            looked.send(()).unwrap_or_default();
        }
        drop(looked);
    });
    assert_eq!((names(&path).len(), lines(&path).len()), (1, 205));
}

#[test]
fn what_is_damaged_stays_as_it_is_and_hides_nothing() {
    let dir = three();
    let dir = dir.path();
    write(dir, at("04:00:00"), None, &[record(7, "completed")]).unwrap();
    write(dir, at("05:00:00"), None, &[record(8, "completed")]).unwrap();
    let damaged = list(dir).unwrap().swap_remove(2).path;
    let bytes = fs::read(&damaged).unwrap();
    fs::write(&damaged, &bytes[..bytes.len() - 5]).unwrap();
    assert_eq!(tidy(dir, Keep::Forever, later()).unwrap().merged, 4);
    let left = list(dir).unwrap();
    assert_eq!(left.len(), 3, "two and two");
    assert_eq!(fs::read(&damaged).unwrap().len(), bytes.len() - 5);
    fs::remove_file(&damaged).unwrap();
    assert_eq!(lines(dir).len(), 5);
}

#[test]
fn days_over_the_term_go_and_nothing_else() {
    let dir = three();
    let dir = dir.path();
    let next = "2026-03-02T00:00:01Z".parse().unwrap();
    write(dir, next, None, &[record(7, "completed")]).unwrap();
    fs::write(dir.join("2026-03-02/notes"), "mine").unwrap();
    fs::create_dir(dir.join("2026")).unwrap();
    fs::write(dir.join("2026/old.jsonl.gz"), "mine").unwrap();
    let keep = Keep::For(std::time::Duration::from_secs(24 * 60 * 60));
    let day_after = "2026-03-03T00:00:00Z".parse().unwrap();
    assert_eq!(tidy(dir, keep, later()).unwrap(), Tidied { merged: 3, deleted: 0 });
    assert_eq!(tidy(dir, keep, day_after).unwrap().deleted, 1);
    assert!(!dir.join(DAY).exists() && list(dir).unwrap().len() == 1);
    let long_after = "2027-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(tidy(dir, keep, long_after).unwrap().deleted, 1);
    assert!(dir.join("2026-03-02/notes").exists() && dir.join("2026/old.jsonl.gz").exists());
    assert_eq!(list(dir).unwrap(), []);
}
