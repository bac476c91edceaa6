use std::{fs, path::Path};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Trouble, read::session};
use crate::domain::session::Export;

/// One of what stands in these files, and much that does not.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        prop::sample::select(
            &[
                "completed",
                "idea",
                "dialogue",
                "a.md",
                "../a.md",
                "a\0b",
                "2025-03-01T10:00:00",
                "9999-12-31T23:59:59"
            ][..]
        )
        .prop_map(Value::from),
    ];
    let name = prop::sample::select(
        &[
            "session_id",
            "title",
            "participants",
            "context",
            "status",
            "created",
            "last_activity",
            "completed_at",
            "metadata",
            "content",
            "format",
            "extracted_items",
            "ideas",
            "type",
            "key",
            "tags",
            "timestamp",
            "task_id",
            "data",
            "result",
            "error",
            "id",
            "file",
            "name",
        ][..],
    );
    leaf.prop_recursive(3, 40, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..8).prop_map(|fields| {
                fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            }),
        ]
    })
}

const FILES: [&str; 5] = [
    "session.json",
    "conversation/chunk_1.json",
    "memories/key.json",
    "tasks/task.json",
    "artifacts/a_meta.json",
];

fn write(dir: &Path, file: &str, content: &[u8]) {
    let path = dir.join(file);
    fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
    fs::write(path, content).expect("a file");
}

fn read(dir: &Path) -> (Option<Export>, Vec<Trouble>) {
    let mut failed = Vec::new();
    let export = session(dir, &mut failed);
    (export, failed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the files hold, each is read or told, and what is read is what a host takes.
    #[test]
    fn every_file_of_a_tree_is_read_or_told(files in prop::collection::vec(any_json(), 5), cut in any::<[bool; 5]>()) {
        let place = tempfile::tempdir().expect("a directory");
        let dir = place.path().join("walk");
        for ((file, content), cut) in FILES.iter().zip(&files).zip(cut) {
            let text = content.to_string();
            let whole = if cut { &text[..text.len() - 1] } else { &text };
            write(&dir, file, whole.as_bytes());
        }
        write(&dir, "artifacts/a.md", b"# A");
        let (export, failed) = read(&dir);
        let Some(export) = export else {
            prop_assert!(failed.iter().any(|one| one.file.ends_with("session.json")), "{failed:?}");
            return Ok(());
        };
        prop_assert_eq!(export.check(), Ok(()));
        let lists = [export.chunks.len(), export.memories.len(), export.tasks.len(), export.artifacts.len()];
        for (file, count) in FILES[1..].iter().zip(lists) {
            let is_told = failed.iter().any(|one| one.file.ends_with(file));
            prop_assert!((count == 1) != is_told, "{file}: {count}, {failed:?}");
        }
        // A content that no artifact names is told, too.
        let is_told = failed.iter().any(|one| one.file.ends_with("a.md"));
        prop_assert!(export.artifacts.is_empty() == is_told, "{failed:?}");
    }
}

#[test]
fn what_nobody_knows_is_told_and_what_is_hidden_is_not() {
    let place = tempfile::tempdir().expect("a directory");
    let dir = place.path().join("walk");
    write(&dir, "session.json", b"{}");
    write(&dir, "artifacts/a_meta.json", json!({"file": "a.md"}).to_string().as_bytes());
    write(&dir, "artifacts/a.md", b"# A");
    write(&dir, ".DS_Store", b"");
    let (export, failed) = read(&dir);
    assert!(
        export.is_some_and(|export| export.artifacts.len() == 1) && failed.is_empty(),
        "{failed:?}"
    );
    for (file, content) in [("notes.txt", "x"), ("memories/key.yaml", "x"), ("artifacts/b.md", "x")]
    {
        write(&dir, file, content.as_bytes());
    }
    fs::write(dir.join("conversation"), "").expect("a file");
    let (_, failed) = read(&dir);
    let mut told: Vec<_> = failed
        .iter()
        .map(|one| one.file.strip_prefix(&dir).expect("within").display().to_string())
        .collect();
    told.sort();
    assert_eq!(told, ["artifacts/b.md", "conversation", "memories/key.yaml", "notes.txt"]);
}
