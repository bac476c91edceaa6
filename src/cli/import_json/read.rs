//! The tree of the first system, session by session. A file that can't be read is told, and passed over.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Trouble;
use crate::domain::session::{
    ArtifactRecord, ChunkFormat, ChunkRecord, Export, Extracted, FORM, ItemName, MAX_TAG, MAX_TAGS,
    MemoryRecord, MemoryType, SessionId, SessionRecord, SessionState, SessionStats,
    SessionTaskRecord, is_tag,
};

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 256 << 20;

/// Reads the session in `dir`; none if its own file can't be read. What goes wrong is added to `failed`.
pub(super) fn session(dir: &Path, failed: &mut Vec<Trouble>) -> Option<Export> {
    let file = dir.join("session.json");
    let session = match json::<SessionFile>(&file).and_then(|read| record(dir, read)) {
        Ok(session) => session,
        Err(reason) => {
            failed.push(Trouble { file, reason });
            return None;
        }
    };
    let mut export = Export {
        hostler_session: FORM,
        chunks: Vec::new(),
        memories: Vec::new(),
        artifacts: Vec::new(),
        tasks: Vec::new(),
        session,
    };
    let id = export.session.session_id.clone();
    let made = export.session.created;
    export.chunks = each(&dir.join("conversation"), ".json", failed, |file| {
        json::<ChunkFile>(file).and_then(|read| chunk(&id, file, read, made))
    });
    export.memories = each(&dir.join("memories"), ".json", failed, |file| {
        json::<MemoryFile>(file).and_then(|read| memory(&id, file, read, made))
    });
    export.tasks = each(&dir.join("tasks"), ".json", failed, |file| {
        json::<TaskFile>(file).and_then(|read| task(&id, file, read, made))
    });
    let artifacts = each(&dir.join("artifacts"), "_meta.json", failed, |file| {
        json::<ArtifactFile>(file).and_then(|read| artifact(&id, file, read, made))
    });
    let contents: BTreeSet<OsString>;
    (export.artifacts, contents) = artifacts.into_iter().unzip();
    for (part, end) in PARTS {
        let is_content = |name: &OsStr| part == "artifacts" && contents.contains(name);
        strangers(&dir.join(part), failed, |name| {
            name.to_string_lossy().ends_with(end) || is_content(name)
        });
    }
    strangers(dir, failed, |name| {
        name == "session.json" || PARTS.iter().any(|(part, _)| name == *part)
    });
    Some(export)
}

/// The directories of a session, and how the names of the files in them end.
const PARTS: [(&str, &str); 4] = [
    ("conversation", ".json"),
    ("memories", ".json"),
    ("tasks", ".json"),
    ("artifacts", "_meta.json"),
];

/// Tells what is in a directory and was not imported, for nobody knows what it is. What is hidden is nobody's.
fn strangers(dir: &Path, failed: &mut Vec<Trouble>, known: impl Fn(&OsStr) -> bool) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    let mut names: Vec<_> =
        names.filter(|name| !known(name) && !name.to_string_lossy().starts_with('.')).collect();
    names.sort();
    for name in names {
        let reason = "it is no file of the tree, and was not imported".to_owned();
        failed.push(Trouble { file: dir.join(name), reason });
    }
}

/// Reads each file of a directory whose name ends so, the newest last; the newest comes first in what is
/// returned.
fn each<T>(
    dir: &Path,
    end: &str,
    failed: &mut Vec<Trouble>,
    read: impl Fn(&Path) -> Result<T, String>,
) -> Vec<T> {
    let listed = fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
    let mut files: Vec<PathBuf> = match listed {
        Ok(files) => files,
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        // Whatever is in it would be taken for imported.
        Err(error) => {
            failed.push(Trouble { file: dir.to_path_buf(), reason: error.to_string() });
            return Vec::new();
        }
    };
    files.retain(|file| file.to_string_lossy().ends_with(end));
    files.sort();
    let mut items = Vec::with_capacity(files.len());
    for file in files.into_iter().rev() {
        match read(&file) {
            Ok(item) => items.push(item),
            Err(reason) => failed.push(Trouble { file, reason }),
        }
    }
    items
}

fn json<T: for<'a> Deserialize<'a>>(file: &Path) -> Result<T, String> {
    serde_json::from_slice(&bytes(file)?).map_err(|error| error.to_string())
}

fn bytes(file: &Path) -> Result<Vec<u8>, String> {
    let length = fs::metadata(file).map_err(|error| error.to_string())?.len();
    if length > MAX_FILE {
        return Err(format!("it has {length} bytes; at most {MAX_FILE} are read"));
    }
    fs::read(file).map_err(|error| error.to_string())
}

/// A time; without a zone it means UTC.
fn time(text: &str) -> Result<Timestamp, String> {
    let civil = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
    let found = text.parse().ok().or_else(|| civil().map(|zoned| zoned.timestamp()));
    found.ok_or_else(|| format!("`{text}` is no time after ISO 8601"))
}

fn time_or(text: Option<&str>, other: Timestamp) -> Result<Timestamp, String> {
    text.map_or(Ok(other), time)
}

fn maybe(text: Option<&str>) -> Result<Option<Timestamp>, String> {
    text.map(time).transpose()
}

/// A name that the file gives, or else the name of the file.
fn name(given: Option<String>, file: &Path, cut: &str) -> Result<ItemName, String> {
    let of_file = || {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.trim_end_matches(cut).to_owned()
    };
    given.unwrap_or_else(of_file).parse().map_err(|error| format!("its name {error}"))
}

fn plain(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// The text of a content that may be any JSON.
fn text(content: Value) -> String {
    match content {
        Value::String(text) => plain(&text),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[derive(Deserialize)]
struct SessionFile {
    session_id: Option<String>,
    title: Option<String>,
    #[serde(default)]
    participants: Vec<String>,
    #[serde(default)]
    context: Value,
    #[serde(default)]
    metadata: Map<String, Value>,
    status: Option<SessionState>,
    created: Option<String>,
    last_activity: Option<String>,
    completed_at: Option<String>,
}

fn record(dir: &Path, read: SessionFile) -> Result<SessionRecord, String> {
    let of_dir = || dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let session_id: SessionId = read
        .session_id
        .unwrap_or_else(of_dir)
        .parse()
        .map_err(|error| format!("session_id {error}"))?;
    let status = read.status.unwrap_or(SessionState::Active);
    let last_activity = maybe(read.last_activity.as_deref())?;
    let created = time_or(read.created.as_deref(), last_activity.unwrap_or(Timestamp::UNIX_EPOCH))?;
    let last_activity = last_activity.unwrap_or(created);
    let ended = maybe(read.completed_at.as_deref())?;
    let completed_at = (status == SessionState::Completed).then(|| ended.unwrap_or(last_activity));
    Ok(SessionRecord {
        title: read.title.map_or_else(|| session_id.to_string(), |title| plain(&title)),
        participants: read.participants,
        context: text(read.context),
        metadata: read.metadata,
        status,
        created,
        last_activity,
        completed_at,
        duration_minutes: SessionRecord::minutes(created, completed_at.unwrap_or(last_activity)),
        stats: SessionStats::default(),
        session_id,
    })
}

#[derive(Deserialize)]
struct ChunkFile {
    chunk_id: Option<String>,
    #[serde(default)]
    content: Value,
    format: Option<ChunkFormat>,
    start_time: Option<String>,
    end_time: Option<String>,
    timestamp: Option<String>,
    #[serde(default)]
    participants: Vec<String>,
    #[serde(default)]
    extracted_items: Extracted,
    #[serde(default)]
    metadata: Map<String, Value>,
}

fn chunk(
    id: &SessionId,
    file: &Path,
    read: ChunkFile,
    made: Timestamp,
) -> Result<ChunkRecord, String> {
    let start_time = maybe(read.start_time.as_deref())?;
    let created = time_or(read.timestamp.as_deref(), start_time.unwrap_or(made))?;
    let content = text(read.content);
    Ok(ChunkRecord {
        session_id: id.clone(),
        chunk_id: name(read.chunk_id, file, ".json")?,
        format: read.format.unwrap_or(ChunkFormat::Dialogue),
        content_size: content.len() as u64,
        content: Some(content),
        start_time,
        end_time: maybe(read.end_time.as_deref())?,
        participants: read.participants,
        extracted_items: read.extracted_items,
        metadata: read.metadata,
        created,
        updated: created,
    })
}

#[derive(Deserialize)]
struct MemoryFile {
    #[serde(rename = "type")]
    kind: Option<MemoryType>,
    key: Option<String>,
    #[serde(default)]
    content: Value,
    #[serde(default)]
    tags: Vec<String>,
    timestamp: Option<String>,
}

fn memory(
    id: &SessionId,
    file: &Path,
    read: MemoryFile,
    made: Timestamp,
) -> Result<MemoryRecord, String> {
    let mut tags = read.tags;
    tags.retain(|tag| !tag.is_empty());
    if tags.len() > MAX_TAGS || !tags.iter().all(|tag| is_tag(tag)) {
        return Err(format!(
            "it has more than {MAX_TAGS} tags, or one of more than {MAX_TAG} characters or with a \
             control character"
        ));
    }
    let created = time_or(read.timestamp.as_deref(), made)?;
    Ok(MemoryRecord {
        session_id: id.clone(),
        key: name(read.key, file, ".json")?,
        kind: read.kind.unwrap_or(MemoryType::Note),
        content: read.content,
        tags,
        created,
        updated: created,
        rank: None,
        highlight: None,
    })
}

#[derive(Deserialize)]
struct TaskFile {
    task_id: Option<String>,
    agent_name: Option<String>,
    task_type: Option<String>,
    description: Option<String>,
    #[serde(default)]
    data: Value,
    status: Option<String>,
    created: Option<String>,
    started: Option<String>,
    completed: Option<String>,
    result: Option<Value>,
    error: Option<Value>,
}

fn task(
    id: &SessionId,
    file: &Path,
    read: TaskFile,
    made: Timestamp,
) -> Result<SessionTaskRecord, String> {
    let status = read.status.unwrap_or_else(|| "pending".to_owned());
    if !["pending", "in_progress", "completed", "failed", "cancelled"].contains(&&*status) {
        return Err(format!("`{}` is no status of a task", plain(&status)));
    }
    let described = || read.data["description"].as_str().map(str::to_owned);
    let description = read.description.clone().or_else(described).unwrap_or_default();
    Ok(SessionTaskRecord {
        session_id: id.clone(),
        task_id: name(read.task_id, file, ".json")?,
        task: None,
        agent_name: read.agent_name.unwrap_or_default(),
        task_type: read.task_type.unwrap_or_else(|| "task".to_owned()),
        description,
        priority: None,
        input_data: read.data,
        status,
        result: read.result,
        error: read.error.map(text),
        created: time_or(read.created.as_deref(), made)?,
        started: maybe(read.started.as_deref())?,
        completed: maybe(read.completed.as_deref())?,
    })
}

#[derive(Deserialize)]
struct ArtifactFile {
    id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    name: Option<String>,
    file: Option<String>,
    created: Option<String>,
    #[serde(default)]
    metadata: Map<String, Value>,
}

fn artifact(
    id: &SessionId,
    file: &Path,
    read: ArtifactFile,
    made: Timestamp,
) -> Result<(ArtifactRecord, OsString), String> {
    let artifact_id = name(read.id, file, "_meta.json")?;
    let beside = read.file.ok_or("it names no `file` with its content")?;
    // Only a file beside it: a name with directories in it leads elsewhere.
    let beside = Path::new(&beside).file_name().ok_or("`file` is no name of a file")?.to_owned();
    let content = bytes(&file.with_file_name(&beside))
        .map_err(|error| format!("{}: {error}", Path::new(&beside).display()))?;
    let content = String::from_utf8(content)
        .map_err(|_| format!("{}: it is no text in UTF-8", Path::new(&beside).display()))?;
    let content = plain(&content);
    let created = time_or(read.created.as_deref(), made)?;
    let format = Path::new(&beside).extension().map(|end| end.to_string_lossy().into_owned());
    let record = ArtifactRecord {
        session_id: id.clone(),
        name: read.name.unwrap_or_else(|| artifact_id.to_string()),
        artifact_id,
        kind: read.kind.unwrap_or_else(|| "document".to_owned()),
        format: format.unwrap_or_else(|| "text".to_owned()),
        content_size: content.len() as u64,
        content: Some(content),
        metadata: read.metadata,
        task_id: None,
        created,
        updated: created,
    };
    Ok((record, beside))
}
