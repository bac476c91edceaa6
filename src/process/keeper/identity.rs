//! The user that a process becomes.

use std::{ffi::CString, path::PathBuf};

use nix::{
    errno::Errno,
    unistd::{Gid, Uid, User, geteuid, getgrouplist},
};

use super::spawn::failed;
use crate::process::{
    sys,
    wire::{Failure, Step},
};

/// A user, with all that a change to him needs.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    pub(super) groups: Vec<Gid>,
    pub(super) home: PathBuf,
}

impl Identity {
    /// Becomes that user, in a child: with the system calls themselves, for those of the C library would have
    /// the threads of the keeper become him, too.
    pub(super) fn assume(&self) -> Result<(), Errno> {
        sys::assume(self.uid, self.gid, &self.groups)
    }

    /// The user of that name; `None` where the keeper runs as that user already.
    pub(super) fn find(name: &str) -> Result<Option<Self>, Failure> {
        let user = User::from_name(name)
            .and_then(|user| user.ok_or(Errno::ENOENT))
            .map_err(failed(Step::User, name))?;
        if user.uid == geteuid() {
            return Ok(None);
        }
        let name_c = CString::new(name).map_err(|_| failed(Step::User, name)(Errno::EINVAL))?;
        let groups = getgrouplist(&name_c, user.gid).map_err(failed(Step::User, name))?;
        Ok(Some(Self { uid: user.uid, gid: user.gid, groups, home: user.dir }))
    }
}
