//! `hostler memory`.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    address::{in_path, with_query},
    exit::{Exit, Outcome},
    global::Global,
    output::{brief, card, local},
    session::{path, render, words},
    task::read_input as input,
};
use crate::domain::{
    record::Page,
    session::{ItemName, MemoryRecord, MemoryType, SearchHit, SessionId},
};

/// Keep and find ideas, decisions, questions and whatever else is worth remembering
#[derive(Debug, Subcommand)]
pub(super) enum Memory {
    Add(Add),
    List(List),
    /// Show one memory
    #[command(after_help = "Examples:\n  hostler memory get walk format")]
    Get {
        /// The session
        session: SessionId,
        /// Its key
        key: ItemName,
    },
    /// Search memories, in all sessions or in one
    #[command(after_help = "Examples:\n  hostler memory search 'markdown export'\n  \
        hostler memory search cache --session walk --type decision")]
    Search {
        /// The words
        text: String,
        /// In this session
        #[arg(long)]
        session: Option<SessionId>,
        /// Of this type; with commas, or given several times
        #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
        types: Vec<MemoryType>,
        /// With this tag; with commas, or given several times
        #[arg(long, value_delimiter = ',')]
        tag: Vec<String>,
        /// Written at this time or later
        #[arg(long, value_name = "TIME")]
        since: Option<Timestamp>,
        /// Written before this time
        #[arg(long, value_name = "TIME")]
        until: Option<Timestamp>,
        /// At most so many
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
        /// Go on after a page: its `next_cursor`
        #[arg(long)]
        cursor: Option<String>,
    },
}

/// Keep a memory; the same key again takes its place
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    hostler memory add walk 'Exports are Markdown' --type decision --key format --tag export\n  \
    hostler memory add walk --content '{\"limit\": 50}' --type fact")]
pub(super) struct Add {
    /// The session
    session: SessionId,
    /// What is to be remembered, as text
    #[arg(required_unless_present = "content")]
    text: Option<String>,
    /// What is to be remembered: JSON, `@FILE`, or `-` for stdin
    #[arg(long, value_name = "JSON|@FILE|-", conflicts_with = "text")]
    content: Option<String>,
    /// Its key; made up if absent
    #[arg(long)]
    key: Option<ItemName>,
    /// Its type: idea, decision, question, context, preference, fact, risk, note, or `action_item`
    #[arg(long = "type", value_name = "TYPE", default_value_t = MemoryType::Note)]
    kind: MemoryType,
    /// A word under which it is found; with commas, or given several times
    #[arg(long, value_delimiter = ',')]
    tag: Vec<String>,
}

/// List the memories of a session, newest first
#[derive(Debug, Args)]
#[command(
    visible_alias = "ls",
    after_help = "Examples:\n  hostler memory list walk\n  \
    hostler memory list walk --type decision,risk --tag export --text markdown"
)]
pub(super) struct List {
    /// The session
    session: SessionId,
    /// Of this type; with commas, or given several times
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    types: Vec<MemoryType>,
    /// With all of these tags; with commas, or given several times
    #[arg(long, value_delimiter = ',')]
    tag: Vec<String>,
    /// That fit these words; the best first
    #[arg(long, value_name = "WORDS")]
    text: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Go on after a page: its `next_cursor`
    #[arg(long)]
    cursor: Option<String>,
}

impl Memory {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let (client, output) = (global.client()?, global.output());
        match self {
            Self::Add(add) => {
                let content = match (&add.text, &add.content) {
                    (Some(text), _) => json!(text),
                    (None, Some(content)) => input(content)?,
                    (None, None) => Value::Null,
                };
                let body = json!({
                    "key": add.key, "type": add.kind, "content": content, "tags": add.tag,
                });
                let path = path(&add.session, "/memories");
                let kept: Value = client.post(&path, &body).await?.json()?;
                output.show(&kept, |kept| {
                    let word = if kept["created"] == true { "is kept" } else { "was replaced" };
                    format!("memory {} {word}", brief(&kept["key"]))
                })?;
            }
            Self::List(list) => {
                let path = with_query(
                    &path(&list.session, "/memories"),
                    &[
                        ("type", words(&list.types)),
                        ("tag", words(&list.tag)),
                        ("text", list.text),
                        ("limit", Some(list.limit.to_string())),
                        ("cursor", list.cursor),
                    ],
                );
                let page: Page<MemoryRecord> = client.get(&path).await?;
                output.show(&page, |page| render::memories(page, Timestamp::now()))?;
            }
            Self::Get { session, key } => {
                let path = path(&session, &format!("/memories/{}", in_path(key.as_str())));
                let memory: MemoryRecord = client.get(&path).await?;
                output.show(&memory, shown)?;
            }
            Self::Search { text, session, types, tag, since, until, limit, cursor } => {
                let path = with_query(
                    "/api/v1/search",
                    &[
                        ("text", Some(text)),
                        ("kind", Some("memory".to_owned())),
                        ("session", session.map(|session| session.to_string())),
                        ("type", words(&types)),
                        ("tag", words(&tag)),
                        ("since", since.map(|time| time.to_string())),
                        ("until", until.map(|time| time.to_string())),
                        ("limit", Some(limit.to_string())),
                        ("cursor", cursor),
                    ],
                );
                let page: Page<SearchHit> = client.get(&path).await?;
                output.show(&page, render::hits)?;
            }
        }
        Ok(Exit::Done)
    }
}

fn shown(memory: &MemoryRecord) -> String {
    let lines = [
        ("key", memory.key.to_string()),
        ("type", memory.kind.to_string()),
        ("tags", memory.tags.join(", ")),
        ("created", local(memory.created)),
        ("updated", local(memory.updated)),
    ];
    let content = match &memory.content {
        Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    };
    // What was written down can't move the cursor.
    let plain: String =
        content.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    format!("{}\n{plain}\n", card(&lines))
}
