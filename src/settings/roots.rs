//! Where may be worked. This is the only place that says so, for whoever starts something in a
//! directory: agents, their workspaces, commands of callers.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::{Component, Path, PathBuf},
};

use super::reader::Section;

/// Where may be worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within<'a> {
    /// Anywhere.
    Anywhere,
    /// In these directories and below them.
    Roots(&'a [PathBuf]),
}

impl<'a> Within<'a> {
    /// In these directories and below them; anywhere if there are none.
    pub const fn of(roots: &'a [PathBuf]) -> Self {
        if roots.is_empty() { Self::Anywhere } else { Self::Roots(roots) }
    }
}

/// Why a directory can't be worked in.
#[derive(Debug, thiserror::Error)]
pub enum OutOfBounds {
    /// It is not below a directory that is open; whether it is there at all is nobody's business then.
    #[error("is not below a directory that is open to it")]
    Outside,
    /// It is not there.
    #[error("is not there")]
    Missing,
    /// It is something else.
    #[error("is not a directory")]
    NotADirectory,
    /// It can't be opened.
    #[error("can't be used")]
    Unusable(#[source] io::Error),
}

/// A directory that may be worked in, held open: whatever becomes of its name, this is the one that was
/// looked at.
#[derive(Debug)]
pub struct Workplace {
    file: File,
    path: PathBuf,
}

impl Workplace {
    /// Opens `dir` if it may be worked in. All links in it are followed by the kernel in one go, and what
    /// is looked at is where that has led. Blocks.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`].
    pub fn open(dir: &Path, within: Within<'_>) -> Result<Self, OutOfBounds> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC);
        let opened = options.open(dir);
        let file = opened.map_err(|error| refusal(error, dir, within))?;
        let path = fs::read_link(by_descriptor(&file)).map_err(OutOfBounds::Unusable)?;
        let below = |root: &PathBuf| root.canonicalize().is_ok_and(|root| path.starts_with(root));
        match within {
            Within::Roots(roots) if !roots.iter().any(below) => Err(OutOfBounds::Outside),
            _ => Ok(Self { file, path }),
        }
    }

    /// Where it is, without a link in it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path by which this process and its children reach this very directory, for as long as it is
    /// held open.
    pub fn pinned(&self) -> PathBuf {
        by_descriptor(&self.file)
    }
}

fn by_descriptor(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Why it could not be opened, for somebody who may know of it only if it is below a root.
fn refusal(error: io::Error, dir: &Path, within: Within<'_>) -> OutOfBounds {
    let plain = !dir.components().any(|part| part == Component::ParentDir);
    // As far as it is there, it is looked at where it leads.
    let there = dir.ancestors().find_map(|above| above.canonicalize().ok());
    let known = match within {
        Within::Anywhere => true,
        Within::Roots(roots) => roots
            .iter()
            .filter_map(|root| root.canonicalize().ok())
            .any(|root| plain && there.as_ref().is_some_and(|there| there.starts_with(root))),
    };
    match error.kind() {
        _ if !known => OutOfBounds::Outside,
        ErrorKind::NotFound => OutOfBounds::Missing,
        ErrorKind::NotADirectory => OutOfBounds::NotADirectory,
        _ => OutOfBounds::Unusable(error),
    }
}

/// Reads a list of directories, made absolute from where they are written.
pub(super) fn read(section: &Section<'_>, key: &str) -> Option<Vec<PathBuf>> {
    let base = section.base(key);
    let roots: Vec<_> = section.texts(key)?.iter().map(|root| base.join(root)).collect();
    for (at, root) in roots.iter().enumerate() {
        if !root.is_dir() {
            section.wrong_item(key, at, format!("{} is not a directory", root.display()));
        }
    }
    Some(roots)
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::fs::{MetadataExt as _, symlink},
        process::Command,
        sync::atomic::{AtomicBool, Ordering},
    };

    use super::*;

    #[test]
    fn links_are_followed_before_it_is_looked_whether_a_directory_is_below() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(inside.path().join("repo")).unwrap();
        fs::write(inside.path().join("file"), "").unwrap();
        symlink(outside.path(), inside.path().join("escape")).unwrap();
        symlink(inside.path().join("repo"), inside.path().join("alias")).unwrap();
        symlink("/no/such/place", inside.path().join("broken")).unwrap();
        let (roots, real) = ([inside.path().to_owned()], inside.path().canonicalize().unwrap());
        let go = |dir: &str| Workplace::open(&inside.path().join(dir), Within::Roots(&roots));
        for (dir, leads) in [("", ""), ("repo", "repo"), ("alias", "repo"), ("repo/..", "")] {
            let there = real.join(leads).components().collect::<PathBuf>();
            assert_eq!(go(dir).unwrap().path(), there, "{dir}");
        }
        for dir in
            ["escape", "..", "/", "/etc", "repo/../..", "/no/such/place", "../nowhere", "escape/x"]
        {
            assert!(matches!(go(dir), Err(OutOfBounds::Outside)), "{dir}: {:?}", go(dir));
        }
        assert!(matches!(go("file"), Err(OutOfBounds::NotADirectory)));
        assert!(matches!(go("nothing"), Err(OutOfBounds::Missing)));
        assert!(matches!(go("broken"), Err(OutOfBounds::Missing)));
        let anywhere = Workplace::open(&inside.path().join("escape"), Within::of(&[])).unwrap();
        assert_eq!(anywhere.path(), outside.path().canonicalize().unwrap());
        let nowhere = Workplace::open(Path::new("/no/such/place"), Within::Anywhere);
        assert!(matches!(nowhere, Err(OutOfBounds::Missing)));
    }

    #[test]
    fn a_directory_that_is_held_stays_the_one_that_was_looked_at() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (work, roots) = (inside.path().join("work"), [inside.path().to_owned()]);
        fs::create_dir(&work).unwrap();
        let held = Workplace::open(&work, Within::Roots(&roots)).unwrap();
        fs::rename(&work, inside.path().join("before")).unwrap();
        symlink(outside.path(), &work).unwrap();
        let run = Command::new("pwd").arg("-P").current_dir(held.pinned()).output().unwrap();
        let there = inside.path().canonicalize().unwrap().join("before");
        assert_eq!(String::from_utf8(run.stdout).unwrap().trim(), there.to_str().unwrap());
        assert!(matches!(Workplace::open(&work, Within::Roots(&roots)), Err(OutOfBounds::Outside)));
    }

    /// Somebody swaps a directory for a link that leads outside, again and again: whatever is opened
    /// meanwhile is inside.
    #[test]
    fn a_link_that_comes_and_goes_never_leads_outside() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (work, aside) = (inside.path().join("work"), inside.path().join("aside"));
        let roots = [inside.path().to_owned()];
        fs::create_dir(&work).unwrap();
        let over = AtomicBool::new(false);
        let of = |dir: &Path| {
            let it = fs::metadata(dir).unwrap();
            (it.dev(), it.ino())
        };
        let away = of(outside.path());
        std::thread::scope(|scope| {
            // Also where the assertion fails.
            let _over = Over(&over);
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    fs::rename(&work, &aside).unwrap();
                    symlink(outside.path(), &work).unwrap();
                    fs::remove_file(&work).unwrap();
                    fs::rename(&aside, &work).unwrap();
                }
            });
            for _ in 0..5_000 {
                if let Ok(place) = Workplace::open(&work, Within::Roots(&roots)) {
                    assert_ne!(of(&place.pinned()), away);
                }
            }
        });
    }

    /// Says that it is over.
    struct Over<'a>(&'a AtomicBool);

    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}
