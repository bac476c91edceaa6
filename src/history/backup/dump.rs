//! Making a backup.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    pin::pin,
};

use flate2::{Compression, write::GzEncoder};
use futures_util::StreamExt as _;

use super::{
    BackupError, PIECE, Progress, Watch,
    digest::Digest,
    format::{Header, Summary, TableHead, Writer},
    verify,
};
use crate::store::{Store, StoreError, copy, migrate};

/// The file that a backup is written to, before it is complete.
fn part(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".part");
    name.into()
}

/// Writes a backup to `path`, reads it back, and tells what it holds. A file of that name is
/// replaced only if `replace`. It blocks the thread while it writes.
///
/// # Errors
///
/// [`BackupError`]; there is no new file then, and an old one is as it was.
///
/// # Cancel safety
///
/// Dropped before it answered, it leaves at most a file whose name ends in `.part`, which the next
/// one replaces.
pub async fn dump(
    store: &Store,
    path: &Path,
    replace: bool,
    watch: Watch<'_>,
) -> Result<(Header, Vec<Summary>), BackupError> {
    if !replace && path.exists() {
        return Err(BackupError::Exists { path: path.to_owned() });
    }
    let part = part(path);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        // It holds inputs and outputs of tasks: its owner's alone.
        .mode(0o600)
        .open(&part)
        .map_err(BackupError::file("make", &part))?;
    let found = match written(store, file, &part, watch).await {
        Ok(written) => verify(&part, &mut |step| {
            watch(Progress { what: "verifying", done: step.done });
        })
        .and_then(|(header, found)| {
            if found != written {
                let problem = "what was read back is not what was written".to_owned();
                return Err(BackupError::Damaged { path: part.clone(), problem });
            }
            fs::rename(&part, path).map_err(BackupError::file("rename", &part))?;
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let directory = directory.unwrap_or(Path::new("."));
            File::open(directory)
                .and_then(|directory| directory.sync_all())
                .map_err(BackupError::file("sync", directory))?;
            Ok((header, found))
        }),
        Err(error) => Err(error),
    };
    if found.is_err() {
        fs::remove_file(&part).ok();
    }
    found
}

/// Writes everything, and has it on disk.
async fn written(
    store: &Store,
    file: File,
    path: &Path,
    watch: Watch<'_>,
) -> Result<Vec<Summary>, BackupError> {
    let mut client = store.client().await?;
    let db = client.transaction().await.map_err(StoreError::transaction)?;
    copy::snapshot(&db).await?;
    let (schema, tables) = (migrate::version(&db).await?, copy::tables(&db).await?);
    let names = tables.iter().map(|table| table.name.clone()).collect();
    let header = Header::new(schema, names, copy::sequences(&db).await?);
    let expected: u64 = tables.iter().map(|table| table.estimate).sum();

    let failed = |source| BackupError::file("write", path)(source);
    let packed = GzEncoder::new(BufWriter::with_capacity(PIECE, file), Compression::fast());
    let mut to = Writer::new(BufWriter::with_capacity(PIECE, packed), &header).map_err(failed)?;
    let (mut summaries, mut done) = (Vec::new(), 0);
    for table in &tables {
        let head = TableHead { table: table.name.clone(), columns: table.columns.clone() };
        to.begin(&head).map_err(failed)?;
        let mut digest = Digest::default();
        let mut rows = pin!(table.rows(&db).await?);
        while let Some(piece) = rows.next().await {
            let piece = piece?;
            digest.add_lines(&piece);
            to.rows(&piece).map_err(failed)?;
            // One piece is one row, as the server sends them.
            done += 1;
            if done % 1024 == 0 {
                #[expect(clippy::cast_precision_loss, reason = "it is for people")]
                let part = done as f64 / expected.max(done) as f64;
                watch(Progress { what: &table.name, done: part });
            }
        }
        let summary = Summary::of(&table.name, &digest);
        to.end(&summary).map_err(failed)?;
        summaries.push(summary);
    }
    let plain = to.finish().map_err(failed)?;
    let packed = plain.into_inner().map_err(|error| failed(error.into_error()))?;
    let mut file = packed.finish().map_err(failed)?;
    file.flush().map_err(failed)?;
    file.get_ref().sync_all().map_err(failed)?;
    Ok(summaries)
}
