//! `hostler artifact`.

use std::{
    fs,
    io::{self, Read},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    address::{in_path, with_query},
    download,
    exit::{CliError, Exit, Outcome},
    global::Global,
    output::brief,
    session::{path, render},
};
use crate::domain::{
    record::Page,
    session::{ArtifactRecord, ItemName, SessionId},
};

/// Keep and get what was made in a session: documents, code, reports
#[derive(Debug, Subcommand)]
pub(super) enum Artifact {
    Add(Add),
    /// Get the content of an artifact
    #[command(after_help = "Examples:\n  hostler artifact get walk design\n  \
        hostler artifact get walk design --output design.md")]
    Get {
        /// The session
        session: SessionId,
        /// Its id
        artifact: ItemName,
        /// The file; it must not be there yet. Stdout where absent
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// List the artifacts of a session, newest first
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  hostler artifact list walk --type code\n  \
            hostler artifact list walk --text 'csv export' --since 2026-11-01T00:00:00Z"
    )]
    List(List),
}

/// Which artifacts are listed.
#[derive(Debug, Args)]
pub(super) struct List {
    /// The session
    session: SessionId,
    /// Of this type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Whose content, name, id or type fits these words
    #[arg(long, value_name = "WORDS")]
    text: Option<String>,
    /// That this task made, by its name in the session
    #[arg(long)]
    task: Option<ItemName>,
    /// Written at this time or later
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Written before this time
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// At most so many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Go on after a page: its `next_cursor`
    #[arg(long)]
    cursor: Option<String>,
}

/// Keep an artifact; the same id again takes its place
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hostler artifact add walk design.md --type document --format markdown\n  \
    cargo doc | hostler artifact add walk - --id log --name 'Log of the build'"
)]
pub(super) struct Add {
    /// The session
    session: SessionId,
    /// The file with its content, text in UTF-8; `-` for stdin
    file: PathBuf,
    /// Its id; the name of the file if absent
    #[arg(long)]
    id: Option<ItemName>,
    /// What kind of thing it is
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Its name, for people
    #[arg(long)]
    name: Option<String>,
    /// What the content is: markdown, python, …
    #[arg(long)]
    format: Option<String>,
    /// The task that made it, by its name in the session
    #[arg(long)]
    task: Option<ItemName>,
}

impl Artifact {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let (client, output) = (global.client()?, global.output());
        match self {
            Self::Add(add) => {
                let is_stdin = add.file.as_os_str() == "-";
                let name = add.file.file_name().map(|name| name.to_string_lossy().into_owned());
                let named = name.filter(|_| !is_stdin);
                let id = add.id.or_else(|| named.as_deref().and_then(|name| name.parse().ok()));
                let body = json!({
                    "artifact_id": id, "type": add.kind, "name": add.name.or(named),
                    "format": add.format, "task_id": add.task, "content": content(&add.file)?,
                });
                let path = path(&add.session, "/artifacts");
                let kept: Value = client.post(&path, &body).await?.json()?;
                output.show(&kept, |kept| {
                    let word = if kept["created"] == true { "is kept" } else { "was replaced" };
                    format!("artifact {} {word}", brief(&kept["artifact_id"]))
                })?;
            }
            Self::Get { session, artifact, output: file } => {
                let at = path(&session, &format!("/artifacts/{}", in_path(artifact.as_str())));
                if output.json {
                    let record: ArtifactRecord = client.get(&at).await?;
                    output.show(&record, |_| String::new())?;
                    return Ok(Exit::Done);
                }
                let at = format!("{at}/content");
                let Some(file) = &file else {
                    download::print(&client, &at).await?;
                    return Ok(Exit::Done);
                };
                let bytes = download::save(&client, &at, file).await?;
                output.text(&format!("{} ({bytes} bytes) was written", file.display()))?;
            }
            Self::List(list) => {
                let path = with_query(
                    &path(&list.session, "/artifacts"),
                    &[
                        ("type", list.kind),
                        ("text", list.text),
                        ("task_id", list.task.map(|task| task.to_string())),
                        ("since", list.since.map(|time| time.to_string())),
                        ("until", list.until.map(|time| time.to_string())),
                        ("limit", Some(list.limit.to_string())),
                        ("cursor", list.cursor),
                    ],
                );
                let page: Page<ArtifactRecord> = client.get(&path).await?;
                output.show(&page, |page| render::artifacts(page, Timestamp::now()))?;
            }
        }
        Ok(Exit::Done)
    }
}

fn content(file: &PathBuf) -> Outcome<String> {
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(file)
    };
    read.map_err(|error| CliError::new(Exit::Usage, format!("{}: {error}", file.display())))
}
