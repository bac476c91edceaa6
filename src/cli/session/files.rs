//! `session export` and `session import`.

use std::{fs, path::PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::path;
use crate::{
    cli::{
        client::Client,
        download,
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
        let path = path(&self.session, &format!("/export?form={form}"));
        let Some(file) = &self.output else { return download::print(client, &path).await };
        let bytes = download::save(client, &path, file).await?;
        let shown = json!({ "session": self.session, "file": file, "bytes": bytes });
        output.show(&shown, |_| format!("{} ({bytes} bytes) was written", file.display()))
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
