//! One host per data directory.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use super::error::EmbeddedError;

/// The right to use a data directory, held until it is dropped or the process ends.
///
/// It is a lock on the file `lock` in that directory, which the kernel lets go of when the
/// process dies, however it dies. Child processes do not inherit it. The file stays, as removing
/// it would let two hosts lock two different files.
#[derive(Debug)]
pub struct DataDirLock {
    file: File,
}

impl DataDirLock {
    /// Locks `data_dir` for this process, making the directory where there is none.
    ///
    /// A directory that it makes can be entered by its owner alone (0700), except that root's can
    /// be passed through by everybody (0711), since the account that Postgres runs as must reach
    /// its own directory inside. Modes of a directory that exists are left as they are.
    ///
    /// # Errors
    ///
    /// [`EmbeddedError::Locked`] where another process holds it, [`EmbeddedError::File`] where
    /// the directory or the file cannot be made.
    pub fn acquire(data_dir: &Path) -> Result<Self, EmbeddedError> {
        make_data_dir(data_dir)?;
        let path = data_dir.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(EmbeddedError::file("open the lock file", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(EmbeddedError::Locked {
                    path: data_dir.to_owned(),
                    holder: holder(&mut file),
                });
            }
            Err(TryLockError::Error(source)) => {
                return Err(EmbeddedError::File { action: "lock", path, source });
            }
        }
        let mut lock = Self { file };
        lock.sign().map_err(EmbeddedError::file("write the lock file", &path))?;
        Ok(lock)
    }

    /// Writes this process's id into the file, for the message that others get.
    fn sign(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        writeln!(self.file, "{}", std::process::id())
    }
}

impl Drop for DataDirLock {
    fn drop(&mut self) {
        // The id must not outlive the lock, or the next message could name the wrong process for
        // a moment. If that fails the lock goes all the same, with the file's descriptor.
        self.file.set_len(0).ok();
    }
}

/// The process id that the holder wrote; `None` in the moment before it did.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn make_data_dir(data_dir: &Path) -> Result<(), EmbeddedError> {
    let mode = if nix::unistd::geteuid().is_root() { 0o711 } else { 0o700 };
    if data_dir.is_dir() {
        return Ok(());
    }
    let made = DirBuilder::new().recursive(true).mode(mode).create(data_dir);
    made.map_err(EmbeddedError::file("make the data directory", data_dir))?;
    // The mode above is cut by the umask.
    fs::set_permissions(data_dir, Permissions::from_mode(mode))
        .map_err(EmbeddedError::file("set the mode of", data_dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_and_told_who_holds_it() {
        let root = tempfile::tempdir().unwrap();
        let data_dir = root.path().join("a/data");
        let first = DataDirLock::acquire(&data_dir).unwrap();
        let error = DataDirLock::acquire(&data_dir).unwrap_err();
        let own = std::process::id();
        assert!(
            matches!(error, EmbeddedError::Locked { holder: Some(pid), .. } if pid == own),
            "{error:?}"
        );
        assert!(error.to_string().contains(&format!("in use by process {own}")), "{error}");

        drop(first);
        DataDirLock::acquire(&data_dir).expect("free again");
    }

    #[test]
    fn a_new_directory_is_closed_to_others_and_an_old_one_keeps_its_mode() {
        let root = tempfile::tempdir().unwrap();
        let mode = |dir: &Path| fs::metadata(dir).unwrap().permissions().mode() & 0o777;
        let data_dir = root.path().join("data");
        drop(DataDirLock::acquire(&data_dir).unwrap());
        let wanted = if nix::unistd::geteuid().is_root() { 0o711 } else { 0o700 };
        assert_eq!(mode(&data_dir), wanted);

        fs::set_permissions(&data_dir, Permissions::from_mode(0o755)).unwrap();
        drop(DataDirLock::acquire(&data_dir).unwrap());
        assert_eq!(mode(&data_dir), 0o755);
    }

    #[test]
    fn a_path_that_cannot_be_made_is_named() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        let error = DataDirLock::acquire(&file.join("data")).unwrap_err().to_string();
        assert!(error.contains("cannot make the data directory") && error.contains("file/data"));
    }
}
