//! The account that Postgres runs as, where it is not the host's own.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
};

use nix::unistd::{User, geteuid};
use tokio::process::Command;

use super::error::EmbeddedError;

/// Whom Postgres runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Account {
    /// The same as the host, which is not root.
    Own {
        /// The host's uid.
        uid: u32,
    },
    /// An unprivileged account, as the host is root.
    Other {
        /// Its name.
        name: String,
        /// Its uid, which is not 0.
        uid: u32,
        /// Its primary group. It gets no other groups.
        gid: u32,
    },
}

impl Account {
    /// Looks the account up: `user` counts only where the host is root.
    ///
    /// # Errors
    ///
    /// [`EmbeddedError::User`] where the host is root and `user` is not there or is root as well.
    pub(super) fn resolve(user: &str) -> Result<Self, EmbeddedError> {
        let own = geteuid();
        if !own.is_root() {
            return Ok(Self::Own { uid: own.as_raw() });
        }
        let wrong = |problem| EmbeddedError::User { user: user.to_owned(), problem };
        match User::from_name(user) {
            Ok(Some(found)) if found.uid.is_root() => Err(wrong("is root")),
            Ok(Some(found)) => Ok(Self::Other {
                name: found.name,
                uid: found.uid.as_raw(),
                gid: found.gid.as_raw(),
            }),
            Ok(None) => Err(wrong("does not exist")),
            Err(_) => Err(wrong("cannot be looked up")),
        }
    }

    /// The uid that files of the cluster belong to.
    pub(super) const fn uid(&self) -> u32 {
        match self {
            Self::Own { uid } | Self::Other { uid, .. } => *uid,
        }
    }

    /// Makes `command` run as this account, without any group but its primary one.
    pub(super) fn apply(&self, command: &mut Command) {
        if let Self::Other { uid, gid, .. } = self {
            // Setting a uid as root also drops all supplementary groups.
            command.gid(*gid).uid(*uid);
        }
    }

    /// Gives `dir` to this account. Does nothing where that is the host's own.
    pub(super) fn give(&self, dir: &Path) -> io::Result<()> {
        match self {
            Self::Own { .. } => Ok(()),
            Self::Other { uid, gid, .. } => chown(dir, Some(*uid), Some(*gid)),
        }
    }

    /// Turns a failed spawn into the error that says most: the account often may not enter a
    /// directory above `dir`, where the host as root may.
    pub(super) fn explain(&self, dir: &Path, program: &Path, source: io::Error) -> EmbeddedError {
        if let Self::Other { name, uid, gid } = self
            && source.kind() == io::ErrorKind::PermissionDenied
            && let Some(path) = first_closed(dir, *uid, *gid)
        {
            return EmbeddedError::Untraversable { user: name.clone(), path };
        }
        EmbeddedError::Spawn { program: program.to_owned(), source }
    }
}

/// The first directory on the way to `dir`, from the root down, whose mode does not let this
/// account in.
fn first_closed(dir: &Path, uid: u32, gid: u32) -> Option<PathBuf> {
    let mut way: Vec<&Path> = dir.ancestors().collect();
    way.reverse();
    let closed = |path: &&Path| {
        fs::metadata(path).is_ok_and(|meta| {
            let bit = match (meta.uid() == uid, meta.gid() == gid) {
                (true, _) => 0o100,
                (false, true) => 0o010,
                (false, false) => 0o001,
            };
            meta.mode() & bit == 0
        })
    };
    way.into_iter().find(closed).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const STRANGER: u32 = 4_000_000;

    #[test]
    fn the_first_closed_directory_on_the_way_is_named() {
        let root = tempfile::tempdir().unwrap();
        let (outer, inner) = (root.path().join("outer"), root.path().join("outer/inner"));
        fs::create_dir_all(&inner).unwrap();
        let open = |dir: &Path, mode| fs::set_permissions(dir, PermissionsExt::from_mode(mode));

        open(root.path(), 0o711).unwrap();
        open(&outer, 0o700).unwrap();
        open(&inner, 0o700).unwrap();
        assert_eq!(first_closed(&inner, STRANGER, STRANGER), Some(outer.clone()));

        open(&outer, 0o711).unwrap();
        assert_eq!(first_closed(&inner, STRANGER, STRANGER), Some(inner.clone()));

        let owner = fs::metadata(&inner).unwrap().uid();
        assert_eq!(first_closed(&inner, owner, STRANGER), None, "its owner may enter");
    }

    #[test]
    fn only_a_host_that_is_root_needs_the_account() {
        let resolved = Account::resolve("no-such-user-here");
        if geteuid().is_root() {
            let error = resolved.unwrap_err().to_string();
            assert!(error.contains("`no-such-user-here` (database.embedded.user) does not exist"));
            let error = Account::resolve("root").unwrap_err().to_string();
            assert!(error.contains("is root"), "{error}");
        } else {
            assert_eq!(resolved.unwrap(), Account::Own { uid: geteuid().as_raw() });
        }
    }
}
