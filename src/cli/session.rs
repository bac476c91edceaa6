//! `hostler session`.

mod files;
pub(super) mod render;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    address::{in_path, with_query},
    client::Client,
    exit::{Exit, Outcome},
    global::Global,
    output::Output,
    task::read_input as input,
};
use crate::domain::{
    record::Page,
    session::{
        MemoryRecord, MemoryType, SearchHit, SearchKind, SessionId, SessionRecord, SessionState,
        SessionTaskRecord,
    },
};

/// Look at what people and their assistants write down, and write it down yourself
#[derive(Debug, Subcommand)]
pub(super) enum Session {
    Create(Create),
    List(List),
    /// Show one session with its newest memories and tasks
    #[command(after_help = "Examples:\n  hostler session show walk")]
    Show {
        /// The session
        session: SessionId,
    },
    /// Show how much is in a session
    #[command(after_help = "Examples:\n  hostler session summary walk --json | jq .stats")]
    Summary {
        /// The session
        session: SessionId,
    },
    /// Put a session aside
    #[command(after_help = "Examples:\n  hostler session pause walk")]
    Pause {
        /// The session
        session: SessionId,
    },
    /// Go on with a session that was put aside
    #[command(after_help = "Examples:\n  hostler session resume walk")]
    Resume {
        /// The session
        session: SessionId,
    },
    /// End a session for good; nothing can be added to it after that
    #[command(after_help = "Examples:\n  hostler session complete walk")]
    Complete {
        /// The session
        session: SessionId,
    },
    /// Delete sessions with all that is in them; their tasks stay in their queues
    #[command(
        visible_alias = "rm",
        after_help = "Examples:\n  hostler session delete walk\n  \
        hostler session delete walk --if-empty"
    )]
    Delete {
        /// The sessions
        #[arg(required = true)]
        sessions: Vec<SessionId>,
        /// Only those that have nothing in them
        #[arg(long)]
        if_empty: bool,
    },
    Search(Search),
    Export(files::Export),
    Import(files::Import),
}

/// Make a session
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hostler session create walk --title 'Plan the export' \
    --participant me --participant claude")]
pub(super) struct Create {
    /// What you call it; made up if absent
    session: Option<SessionId>,
    /// What it is about, in a line
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// Who takes part; several times
    #[arg(long, value_name = "NAME")]
    participant: Vec<String>,
    /// What one must know to go on with it
    #[arg(long, value_name = "TEXT")]
    context: Option<String>,
    /// Anything more: a JSON object, `@FILE`, or `-` for stdin
    #[arg(long, value_name = "JSON|@FILE|-")]
    metadata: Option<String>,
}

/// List sessions, newest first
#[derive(Debug, Args)]
#[command(
    visible_alias = "ls",
    after_help = "Examples:\n  hostler session list\n  \
    hostler session list --status active,paused --participant claude --text export --since 2026-11-01T00:00:00Z"
)]
pub(super) struct List {
    /// In one of these states; with commas, or given several times
    #[arg(long, value_delimiter = ',')]
    status: Vec<SessionState>,
    /// That this one takes part in
    #[arg(long, value_name = "NAME")]
    participant: Option<String>,
    /// Whose title or context has these words
    #[arg(long, value_name = "WORDS")]
    text: Option<String>,
    /// Made at this time or later, as in 2030-01-31T08:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// At most so many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Go on after a page: its `next_cursor`
    #[arg(long)]
    cursor: Option<String>,
}

/// Search everything that was written down
#[derive(Debug, Args)]
#[command(
    after_help = "Words are found in other forms, too: `plan` finds `planning`. \"In quotes\" \
    they stand together; `or` and `-not` mean what they say.\n\nExamples:\n  \
    hostler session search 'markdown export'\n  \
    hostler session search cache --kind memory --type decision --tag api --session walk"
)]
pub(super) struct Search {
    /// The words
    text: String,
    /// Only this: session, chunk, memory, artifact, task; with commas, or given several times
    #[arg(long, value_delimiter = ',')]
    kind: Vec<SearchKind>,
    /// In this session
    #[arg(long)]
    session: Option<SessionId>,
    /// Memories of this type; with commas, or given several times
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    types: Vec<MemoryType>,
    /// Memories with this tag; with commas, or given several times
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
}

/// The path of a session, and of something in it.
pub(super) fn path(session: &SessionId, rest: &str) -> String {
    format!("/api/v1/sessions/{}{rest}", in_path(session.as_str()))
}

/// Has the host make a session of an exported one.
pub(super) use files::send;

/// Several words as one parameter; none if there are none.
pub(super) fn words<T: ToString>(words: &[T]) -> Option<String> {
    let words: Vec<_> = words.iter().map(ToString::to_string).collect();
    (!words.is_empty()).then(|| words.join(","))
}

impl Session {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let (client, output) = (global.client()?, global.output());
        match self {
            Self::Create(create) => create.run(&client, output).await?,
            Self::List(list) => list.run(&client, output).await?,
            Self::Show { session } => show(&client, output, &session).await?,
            Self::Summary { session } => {
                let record: SessionRecord = client.get(&path(&session, "")).await?;
                output.show(&record, render::summary)?;
            }
            Self::Pause { session } => step(&client, output, &session, "pause").await?,
            Self::Resume { session } => step(&client, output, &session, "resume").await?,
            Self::Complete { session } => step(&client, output, &session, "complete").await?,
            Self::Delete { sessions, if_empty } => {
                for session in &sessions {
                    let query = if if_empty { "?cascade=false" } else { "" };
                    client.delete(&path(session, query)).await?;
                }
                output.show(&json!({ "deleted": sessions }), |_| {
                    let names: Vec<_> = sessions.iter().map(ToString::to_string).collect();
                    format!("deleted {}", names.join(", "))
                })?;
            }
            Self::Search(search) => search.run(&client, output).await?,
            Self::Export(export) => export.run(&client, output).await?,
            Self::Import(import) => import.run(&client, output).await?,
        }
        Ok(Exit::Done)
    }
}

impl Create {
    async fn run(self, client: &Client, output: Output) -> Outcome<()> {
        let metadata = self.metadata.as_deref().map(input).transpose()?;
        let body = json!({
            "session_id": self.session, "title": self.title, "participants": self.participant,
            "context": self.context, "metadata": metadata,
        });
        let made: SessionRecord = client.post("/api/v1/sessions", &body).await?.json()?;
        output.show(&made, |made| format!("session {} is {}", made.session_id, made.status))
    }
}

impl List {
    async fn run(self, client: &Client, output: Output) -> Outcome<()> {
        let path = with_query(
            "/api/v1/sessions",
            &[
                ("state", words(&self.status)),
                ("participant", self.participant),
                ("text", self.text),
                ("since", self.since.map(|time| time.to_string())),
                ("limit", Some(self.limit.to_string())),
                ("cursor", self.cursor),
            ],
        );
        let page: Page<SessionRecord> = client.get(&path).await?;
        output.show(&page, |page| render::list(page, Timestamp::now()))
    }
}

impl Search {
    async fn run(self, client: &Client, output: Output) -> Outcome<()> {
        let path = with_query(
            "/api/v1/search",
            &[
                ("text", Some(self.text)),
                ("kind", words(&self.kind)),
                ("session", self.session.map(|session| session.to_string())),
                ("type", words(&self.types)),
                ("tag", words(&self.tag)),
                ("since", self.since.map(|time| time.to_string())),
                ("until", self.until.map(|time| time.to_string())),
                ("limit", Some(self.limit.to_string())),
                ("cursor", self.cursor),
            ],
        );
        let page: Page<SearchHit> = client.get(&path).await?;
        output.show(&page, render::hits)
    }
}

async fn step(client: &Client, output: Output, session: &SessionId, step: &str) -> Outcome<()> {
    let record: SessionRecord = client.command(&path(session, &format!("/{step}"))).await?;
    output.show(&record, |record| format!("session {session} is {}", record.status))
}

async fn show(client: &Client, output: Output, session: &SessionId) -> Outcome<()> {
    let record: SessionRecord = client.get(&path(session, "")).await?;
    let memories: Page<MemoryRecord> = client.get(&path(session, "/memories?limit=20")).await?;
    let tasks: Page<SessionTaskRecord> = client.get(&path(session, "/tasks?limit=20")).await?;
    let shown: Value = json!({
        "session": record, "memories": memories.items, "tasks": tasks.items,
    });
    output.show(&shown, |_| {
        let now = Timestamp::now();
        let mut text = render::summary(&record);
        text += &format!("\n{}", render::memories(&memories, now));
        text += &format!("\n{}", render::tasks(&tasks.items, now));
        text
    })
}
