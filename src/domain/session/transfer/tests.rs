use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;
use crate::domain::session::{ChunkFormat, Extracted, MemoryType, SessionState, SessionStats};

fn session() -> SessionRecord {
    SessionRecord {
        session_id: "walk".parse().unwrap(),
        title: "A walk\nin the ```json session".to_owned(),
        participants: vec!["me".to_owned()],
        context: String::new(),
        metadata: Map::new(),
        status: SessionState::Paused,
        created: Timestamp::UNIX_EPOCH,
        last_activity: Timestamp::UNIX_EPOCH,
        completed_at: None,
        duration_minutes: 0,
        stats: SessionStats::default(),
    }
}

fn chunk(content: &str) -> ChunkRecord {
    ChunkRecord {
        session_id: "walk".parse().unwrap(),
        chunk_id: "c1".parse().unwrap(),
        format: ChunkFormat::Transcript,
        content: Some(content.to_owned()),
        content_size: content.len() as u64,
        start_time: None,
        end_time: None,
        participants: Vec::new(),
        extracted_items: Extracted::default(),
        metadata: Map::new(),
        created: Timestamp::UNIX_EPOCH,
        updated: Timestamp::UNIX_EPOCH,
    }
}

fn memory(text: &str) -> MemoryRecord {
    MemoryRecord {
        session_id: "walk".parse().unwrap(),
        key: "k".parse().unwrap(),
        kind: MemoryType::Idea,
        content: json!({ "text": text }),
        tags: vec!["a".to_owned()],
        created: Timestamp::UNIX_EPOCH,
        updated: Timestamp::UNIX_EPOCH,
        rank: None,
        highlight: None,
    }
}

/// Writes it as a host does, the contents in pieces.
fn written(form: Form, export: &Export) -> String {
    let mut text = form.begin(&export.session);
    for part in Part::ALL {
        text += &form.open(part);
        match part {
            Part::Chunks => {
                for (nth, chunk) in export.chunks.iter().enumerate() {
                    let alone = ChunkRecord { content: None, ..chunk.clone() };
                    text += &form.item(part, nth == 0, "c", &alone, true);
                    let content: Vec<char> =
                        chunk.content.as_deref().unwrap_or_default().chars().collect();
                    for piece in content.chunks(3) {
                        text += &form.content(&piece.iter().collect::<String>());
                    }
                    text += form.end_content();
                }
            }
            Part::Memories => {
                for (nth, memory) in export.memories.iter().enumerate() {
                    text += &form.item(part, nth == 0, "m", memory, false);
                }
            }
            Part::Artifacts | Part::Tasks => {}
        }
        text += form.close();
    }
    text + form.end()
}

fn export(contents: &[String]) -> Export {
    Export {
        hostler_session: FORM,
        session: session(),
        chunks: contents.iter().map(|content| chunk(content)).collect(),
        memories: contents.iter().map(|content| memory(content)).collect(),
        artifacts: Vec::new(),
        tasks: Vec::new(),
    }
}

#[test]
fn what_is_no_session_is_refused_with_its_line() {
    for (text, line, word) in [
        ("# nothing\n", 1, "no fence"),
        ("\n```json session\n{", 2, "no end"),
        ("\n```json session\n{\n```\n", 2, "no JSON"),
        ("```json chunk\n{}\n```\n", 1, "first fence"),
    ] {
        let error = read_markdown(text).unwrap_err();
        assert_eq!(error.line, line, "{error}");
        assert!(error.what.contains(word), "{error}");
    }
    let good = written(Form::Markdown, &export(&[]));
    let odd = read_markdown(&format!("{good}\n```json poem\n{{}}\n```\n")).unwrap_err();
    assert!(odd.what.contains("poem"), "{odd}");
}

#[test]
fn what_no_host_would_have_written_is_refused_with_its_field() {
    let good = export(&["a".to_owned()]);
    assert_eq!(good.check(), Ok(()));
    let tagged = |tags: &[&str]| {
        let mut export = good.clone();
        export.memories[0].tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        export
    };
    let paused = SessionRecord { completed_at: Some(Timestamp::UNIX_EPOCH), ..session() };
    for (bad, field) in [
        (Export { hostler_session: 2, ..good.clone() }, "hostler_session"),
        (Export { session: paused, ..good.clone() }, "session.completed_at"),
        (tagged(&["\u{1}7"]), "memories[0].tags"),
        (tagged(&["a", ""]), "memories[0].tags"),
        (tagged(&[&"a".repeat(MAX_TAG + 1)]), "memories[0].tags"),
        (tagged(&["a"; MAX_TAGS + 1]), "memories[0].tags"),
    ] {
        assert_eq!(bad.check().map_err(|flaw| flaw.field), Err(field.to_owned()));
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        contents in prop::collection::vec("(\\PC|\n|```json chunk\n|    |\r\n|\"|\\\\){0,30}", 0..4),
    ) {
        let export = export(&contents);
        let json: Export = serde_json::from_str(&written(Form::Json, &export)).unwrap();
        prop_assert_eq!(&json, &export);
        let markdown = read_markdown(&written(Form::Markdown, &export)).unwrap();
        prop_assert_eq!(&markdown, &export);
    }

    #[test]
    fn no_markdown_makes_it_panic(text in "(\\PC|\n|```json session\n|```\n|\\{\\}|    ){0,40}") {
        drop(read_markdown(&text));
    }
}
