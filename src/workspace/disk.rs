//! What worktrees take on the disk, and who is inside.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// What a directory takes on the disk, in bytes; what can't be read counts nothing. Blocks.
pub(super) fn used(dir: &Path) -> u64 {
    let (mut sum, mut open) = (0, vec![dir.to_owned()]);
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            // The unit of st_blocks is 512 bytes on Linux, whatever the file system says of itself.
            sum += meta.blocks() * 512;
            if meta.is_dir() {
                open.push(entry.path());
            }
        }
    }
    sum
}

/// The processes whose working directory is in `dir`, or whose program is. Those of other users can't be
/// seen. Blocks.
pub(super) fn inside(dir: &Path) -> io::Result<Vec<u32>> {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let at = |what| fs::read_link(entry.path().join(what)).ok();
        let is_in = |path: PathBuf| path.starts_with(&dir);
        if at("cwd").is_some_and(is_in) || at("exe").is_some_and(is_in) {
            pids.push(pid);
        }
    }
    Ok(pids)
}
