//! Secrets are given directly, or by the name of a file that holds one.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use super::{Secret, reader::Section};

/// A larger file holds something else.
pub(super) const MAX_FILE: u64 = 64 * 1024;

/// Group or others may write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Reads the secret `key`, or the file that `file_key` names. The later source wins; both in the
/// same one contradict each other.
pub(super) fn read(section: &Section<'_>, key: &str, file_key: &str) -> Option<Option<Secret>> {
    let (text, path) = (section.text_or_none(key), section.path_or_none(file_key));
    let (text, path) = (text?, path?);
    if text.is_some() && path.is_some() && layer(section, key) == layer(section, file_key) {
        let message = format!("contradicts `{file_key}`, which is set too: remove one of them");
        section.problem(key, message);
        return None;
    }
    match path {
        Some(path) if used(section, key, file_key) == file_key => {
            let secret = read_file(&path, "the secret")
                .map_err(|message| section.problem(file_key, message));
            let origin = section.written(file_key)?.origin.clone();
            section.came_from(key, origin);
            Some(Some(Secret::new(secret.ok()?)))
        }
        _ => Some(text.map(Secret::new)),
    }
}

/// Which of the two keys is the one that counts.
pub(super) fn used<'k>(section: &Section<'_>, key: &'k str, file_key: &'k str) -> &'k str {
    if layer(section, file_key) > layer(section, key) { file_key } else { key }
}

fn layer(section: &Section<'_>, key: &str) -> usize {
    section.written(key).map_or(0, |spot| spot.layer)
}

/// What the file holds, trimmed; `what` that is. Files that others may write are refused: the secret
/// would be theirs. Files that others may read are not, because secret mounts of containers are such.
pub(super) fn read_file(path: &Path, what: &str) -> Result<String, String> {
    let shown = path.display();
    let metadata = fs::metadata(path)
        .map_err(|error| format!("{shown} cannot be read ({error}): check the path"))?;
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return Err(format!("{shown} is not a small file: name one that holds {what} alone"));
    }
    if metadata.permissions().mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(format!("{shown} can be written by others: run `chmod go-w` on it"));
    }
    let text = fs::read_to_string(path)
        .map_err(|error| format!("{shown} cannot be read ({error}): check its owner and mode"))?;
    let text = text.trim();
    if text.is_empty() {
        return Err(format!("{shown} is empty: put {what} into it"));
    }
    Ok(text.to_owned())
}
