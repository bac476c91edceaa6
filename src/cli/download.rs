//! Bodies that are read piece by piece: to standard output, or into a new file.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use super::{
    client::Client,
    exit::{CliError, Exit, Outcome},
};

/// Writes what `path` answers to standard output, each piece as it comes.
pub(super) async fn print(client: &Client, path: &str) -> Outcome<()> {
    let mut body = client.stream(path).await?;
    let mut out = io::stdout().lock();
    while let Some(piece) = client.next_piece(&mut body).await? {
        out.write_all(&piece)?;
        out.flush()?;
    }
    Ok(())
}

/// Writes what `path` answers into `file`, which must not be there yet; says how long it is. A file
/// that does not come to its end is removed.
pub(super) async fn save(client: &Client, path: &str, file: &Path) -> Outcome<u64> {
    let mut body = client.stream(path).await?;
    let mut written = Written::create(file)?;
    while let Some(piece) = client.next_piece(&mut body).await? {
        written.add(&piece)?;
    }
    written.keep()
}

/// A file on its way: if it does not come to its end, it is removed.
struct Written<'a> {
    file: Option<File>,
    path: &'a Path,
    bytes: u64,
}

impl<'a> Written<'a> {
    fn create(path: &'a Path) -> Outcome<Self> {
        let made = File::options().write(true).create_new(true).open(path);
        let file = made.map_err(|error| {
            CliError::new(Exit::Usage, format!("{} can't be made: {error}", path.display()))
        })?;
        Ok(Self { file: Some(file), path, bytes: 0 })
    }

    fn add(&mut self, piece: &[u8]) -> Outcome<()> {
        self.bytes += piece.len() as u64;
        let wrote = self.file.as_mut().map_or(Ok(()), |file| file.write_all(piece));
        wrote.map_err(|error| {
            CliError::new(
                Exit::Failed,
                format!("{} can't be written: {error}", self.path.display()),
            )
        })
    }

    /// It has come to its end; says how long it is.
    fn keep(mut self) -> Outcome<u64> {
        if let Some(file) = self.file.take() {
            file.sync_all()?;
        }
        Ok(self.bytes)
    }
}

impl Drop for Written<'_> {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            fs::remove_file(self.path).unwrap_or_default();
        }
    }
}
