//! The unix socket of the API. Whoever can open it is trusted, so there is no moment in which it
//! is there for others: it is made in a directory of its own that nobody else can enter, gets its
//! mode there, and is then moved to its place.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use super::server::HttpError;

/// The longest path of a unix socket in bytes: what the kernel has room for, less the final NUL.
pub const MAX_SOCKET_PATH: usize = 107;

/// A socket file that is removed with this value, unless another has taken its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode);
        if ours {
            // A file that can't be removed is found stale, and replaced, by the next start.
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Listens on `path`, which only this user can open.
pub(super) fn listen(path: &Path) -> Result<(UnixListener, SocketFile), HttpError> {
    let failed = |source| HttpError::Socket { path: path.to_owned(), source };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let nursery = directory.unwrap_or(Path::new(".")).join(".api");
    let cradle = nursery.join("s");
    let longest = path.as_os_str().len().max(cradle.as_os_str().len());
    if longest > MAX_SOCKET_PATH {
        return Err(HttpError::SocketPathTooLong { path: path.to_owned(), length: longest });
    }
    vacant(path)?;
    let made = make(&nursery, &cradle, path);
    // Whether it was made or not, the nursery has no further use.
    drop(fs::remove_dir_all(&nursery));
    made.map_err(failed)
}

fn make(nursery: &Path, cradle: &Path, path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    match fs::remove_dir_all(nursery) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => fs::DirBuilder::new().mode(0o700).create(nursery)?,
    }
    let listener = UnixListener::bind(cradle)?;
    fs::set_permissions(cradle, fs::Permissions::from_mode(0o600))?;
    let inode = fs::symlink_metadata(cradle)?.ino();
    fs::rename(cradle, path)?;
    Ok((listener, SocketFile { path: path.to_owned(), inode }))
}

/// Whether the place is free: nothing there, or a socket that nobody listens on any more.
fn vacant(path: &Path) -> Result<(), HttpError> {
    let failed = |source| HttpError::Socket { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(HttpError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(HttpError::SocketInUse { path: path.to_owned() }),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_its_users_alone_and_goes_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("h.sock");
        let (_listener, file) = listen(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(UnixStream::connect(&path).is_ok());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("h.sock");
        drop(UnixListener::bind(&path).unwrap());
        let (_listener, _file) = listen(&path).unwrap();
        assert!(matches!(listen(&path), Err(HttpError::SocketInUse { .. })));
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn an_owner_leaves_its_successors_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("h.sock");
        let (listener, first) = listen(&path).unwrap();
        drop(listener);
        let (_listener, _second) = listen(&path).unwrap();
        drop(first);
        assert!(path.exists());
    }

    #[test]
    fn other_files_long_paths_and_missing_directories_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "precious").unwrap();
        assert!(matches!(listen(&file), Err(HttpError::NotASocket { .. })));
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
        let long = dir.path().join("x".repeat(120)).join("h.sock");
        let error = listen(&long).unwrap_err().to_string();
        assert!(error.contains("107"), "{error}");
        assert!(matches!(listen(&dir.path().join("no/h.sock")), Err(HttpError::Socket { .. })));
    }

    #[test]
    fn what_a_crash_left_in_the_nursery_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(".api")).unwrap();
        drop(UnixListener::bind(dir.path().join(".api/s")).unwrap());
        assert!(listen(&dir.path().join("h.sock")).is_ok());
    }
}
