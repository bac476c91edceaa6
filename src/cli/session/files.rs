//! `session export` and `session import`.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::path;
use crate::{
    cli::{
        client::Client,
        exit::{CliError, Exit, Outcome},
        output::Output,
    },
    domain::session::{Export as Exported, Imported, SessionId, Tally, read_markdown},
};

/// How a session is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// One JSON object
    Json,
    /// Markdown, for people; it can be imported, too
    Markdown,
}

/// Write a session with all that is in it to a file
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hostler session export walk > walk.json\n  \
    hostler session export walk --form markdown --output walk.md")]
pub(in crate::cli) struct Export {
    /// The session
    session: SessionId,
    /// How
    #[arg(long, value_enum, default_value_t = Form::Json)]
    form: Form,
    /// The file; it must not be there yet. Stdout where absent
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Make a session of a file that was exported
#[derive(Debug, Args)]
#[command(after_help = "Its tasks come as a record; they are not run again.\n\nExamples:\n  \
    hostler session import walk.json\n  hostler session import walk.md --merge")]
pub(in crate::cli) struct Import {
    /// The file: JSON, or Markdown if it ends in `.md`
    file: PathBuf,
    /// Put what it holds into the session if that is there already
    #[arg(long)]
    merge: bool,
}

impl Export {
    pub(super) async fn run(self, client: &Client, output: Output) -> Outcome<()> {
        let form = if self.form == Form::Json { "json" } else { "markdown" };
        let mut body = client.stream(&path(&self.session, &format!("/export?form={form}"))).await?;
        let Some(file) = &self.output else {
            let mut out = io::stdout().lock();
            while let Some(piece) = client.next_piece(&mut body).await? {
                out.write_all(&piece)?;
            }
            return Ok(out.flush()?);
        };
        let mut written = Written::create(file)?;
        while let Some(piece) = client.next_piece(&mut body).await? {
            written.add(&piece)?;
        }
        let bytes = written.keep()?;
        let shown = json!({ "session": self.session, "file": file, "bytes": bytes });
        output.show(&shown, |_| format!("{} ({bytes} bytes) was written", file.display()))
    }
}

/// A file on its way: if it does not come to its end, it is removed.
pub(in crate::cli) struct Written<'a> {
    file: Option<File>,
    path: &'a Path,
    bytes: u64,
}

impl<'a> Written<'a> {
    /// Begins a file that is not there yet.
    pub(in crate::cli) fn create(path: &'a Path) -> Outcome<Self> {
        let made = File::options().write(true).create_new(true).open(path);
        let file = made.map_err(|error| {
            CliError::new(Exit::Usage, format!("{} can't be made: {error}", path.display()))
        })?;
        Ok(Self { file: Some(file), path, bytes: 0 })
    }

    /// Goes on with it.
    pub(in crate::cli) fn add(&mut self, piece: &[u8]) -> Outcome<()> {
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
    pub(in crate::cli) fn keep(mut self) -> Outcome<u64> {
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

impl Import {
    pub(super) async fn run(self, client: &Client, output: Output) -> Outcome<()> {
        let shown = self.file.display();
        let wrong = |what: String| CliError::new(Exit::Usage, format!("{shown}: {what}"));
        let text = fs::read_to_string(&self.file).map_err(|error| wrong(error.to_string()))?;
        let is_markdown = self.file.extension().is_some_and(|end| end.eq_ignore_ascii_case("md"));
        let export: Exported = if is_markdown {
            read_markdown(&text).map_err(|error| wrong(error.to_string()))?
        } else {
            serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?
        };
        let imported = send(client, &export, self.merge).await?;
        output.show(&imported, told)
    }
}

/// Has the host make a session of `export`.
pub(in crate::cli) async fn send(
    client: &Client,
    export: &Exported,
    merge: bool,
) -> Outcome<Imported> {
    let path = format!("/api/v1/session-imports?merge={merge}");
    client.post(&path, export).await?.json()
}

fn told(imported: &Imported) -> String {
    let count = |what: &str, tally: Tally| format!("{} {what}", tally.created + tally.existing);
    let made = if imported.created { "was made" } else { "was there, and has it now" };
    format!(
        "session {} {made}: {}, {}, {}, {}",
        imported.session_id,
        count("chunks", imported.chunks),
        count("memories", imported.memories),
        count("artifacts", imported.artifacts),
        count("tasks", imported.tasks)
    )
}
