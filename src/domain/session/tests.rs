use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

/// The table: everything that is not here is refused.
const STEPS: &[(SessionState, SessionEvent, SessionState)] = &[
    (SessionState::Active, SessionEvent::Paused, SessionState::Paused),
    (SessionState::Active, SessionEvent::Completed, SessionState::Completed),
    (SessionState::Paused, SessionEvent::Resumed, SessionState::Active),
    (SessionState::Paused, SessionEvent::Completed, SessionState::Completed),
];

#[test]
fn a_session_takes_the_steps_of_the_table_and_no_other() {
    for state in SessionState::ALL {
        for event in SessionEvent::ALL {
            let wanted = STEPS.iter().find(|row| (row.0, row.1) == (state, event)).map(|row| row.2);
            match step(state, event) {
                Ok(next) => assert_eq!(Some(next), wanted, "{state} {event:?}"),
                Err(illegal) => {
                    assert_eq!(wanted, None, "{state} {event:?}");
                    assert!(illegal.to_string().contains(state.as_str()), "{illegal}");
                }
            }
        }
        assert_eq!(state.as_str().parse(), Ok(state));
        assert_eq!(state.takes(), state != SessionState::Completed);
    }
}

#[test]
fn a_completed_session_stays_completed_whatever_happens() {
    for event in SessionEvent::ALL {
        assert!(step(SessionState::Completed, event).is_err());
    }
}

#[test]
fn names_are_free_but_for_what_paths_and_logs_can_not_carry() {
    for good in ["s", "walk 2026-11-26", "Ünïcode", "a:b@c.d", &"x".repeat(200)] {
        assert!(good.parse::<SessionId>().is_ok(), "{good}");
    }
    for bad in ["", ".", "..", "a/b", "a\\b", "a\nb", "a\0b", &"x".repeat(201)] {
        assert!(bad.parse::<SessionId>().is_err(), "{bad:?}");
    }
    assert!("design/api".parse::<ItemName>().is_ok());
    assert_eq!(
        ItemName::made_of("  Use Postgres, not files!  ").as_str(),
        "use-postgres-not-files"
    );
    assert_eq!(ItemName::made_of("!?").as_str(), "unnamed");
    assert!(ItemName::made_of(&"word ".repeat(100)).as_str().len() <= 80);
}

#[test]
fn what_was_extracted_becomes_memories_with_keys_that_stay() {
    let extracted = Extracted {
        ideas: vec![json!("cache it"), json!({"what": "shard it"})],
        action_items: vec![json!("write the test")],
        ..Extracted::default()
    };
    let chunk: ItemName = "c1".parse().unwrap();
    let memories = extracted.memories(&chunk);
    let keys: Vec<_> = memories.iter().map(|memory| memory.key.as_str()).collect();
    assert_eq!(keys, ["c1:idea:1", "c1:idea:2", "c1:action_item:1"]);
    assert!(memories.iter().all(|memory| memory.tags == ["extracted"]));
    let long: ItemName = "x".repeat(255).parse().unwrap();
    assert_eq!(extracted.memories(&long).len(), 3);
}

#[test]
fn the_input_of_a_task_is_what_the_caller_gave_and_what_is_to_be_done() {
    let given = |input: Value| Delegation {
        name: None,
        agent: "claude".to_owned(),
        kind: "review".to_owned(),
        description: "look at it".to_owned(),
        priority: 0,
        input: input.as_object().cloned().unwrap_or_default(),
    };
    let session = "s1".parse().unwrap();
    let plain = given(json!({"pr": 7})).task_input(&session);
    assert_eq!(plain["prompt"], "look at it");
    assert_eq!((&plain["pr"], &plain["session_id"]), (&json!(7), &json!("s1")));
    assert_eq!(given(json!({"prompt": "mine"})).task_input(&session)["prompt"], "mine");
}

#[test]
fn an_insight_keeps_its_priority_and_its_followup_inside() {
    let insight = Insight {
        kind: MemoryType::Risk,
        priority: "high".to_owned(),
        title: "Disk fills".to_owned(),
        content: json!("in a week"),
        tags: vec!["ops".to_owned()],
        followup: Some("add retention".to_owned()),
    };
    let memory = insight.memory();
    assert_eq!(memory.key.as_str(), "disk-fills");
    assert_eq!(memory.content["priority"], "high");
    assert_eq!(memory.content["suggested_followup"], "add retention");
}

#[test]
fn a_search_term_can_not_break_out_of_its_quotes() {
    let tags = vec!["it's".to_owned(), "a\\".to_owned(), "' | 'x".to_owned()];
    let terms = SearchTerms::any().of_session(7).of_types(&[MemoryType::Idea]).with_tags(&tags);
    assert_eq!(terms.as_str(), "'\u{1}7' & ('\u{2}idea') & 'it''s' & 'a\\\\' & ''' | ''x'");
    assert_eq!(SearchTerms::any().of_types(&[]).as_str(), "");
}

#[test]
fn a_cursor_of_another_listing_is_refused() {
    let newest: Cursor = Cursor::Newest(7).to_string().parse().unwrap();
    assert_eq!(newest.newest(), Ok(7));
    assert!(newest.best().is_err());
    let best = Cursor::Best { rank: 0.5, number: -3 };
    assert_eq!(best.to_string().parse::<Cursor>().unwrap().best(), Ok((0.5, -3)));
    assert!(best.newest().is_err());
}

proptest! {
    #[test]
    fn a_cursor_reads_what_it_wrote(number: i64, rank in any::<f32>(), best: bool) {
        prop_assume!(rank.is_finite());
        let cursor = if best { Cursor::Best { rank, number } } else { Cursor::Newest(number) };
        prop_assert_eq!(cursor.to_string().parse::<Cursor>(), Ok(cursor));
    }

    #[test]
    fn a_text_that_is_no_cursor_is_refused_and_never_a_panic(text in "\\PC{0,60}") {
        prop_assert!(text.parse::<Cursor>().is_err());
    }

    #[test]
    fn a_cursor_with_one_changed_digit_is_refused(number: i64, at in 0usize..34, digit in 0u32..16) {
        let text = Cursor::Newest(number).to_string();
        let digit = char::from_digit(digit, 16).unwrap();
        prop_assume!(text.chars().nth(at) != Some(digit));
        let changed: String =
            text.chars().enumerate().map(|(nth, c)| if nth == at { digit } else { c }).collect();
        prop_assert!(changed.parse::<Cursor>().is_err());
    }

    #[test]
    fn pieces_are_short_and_make_the_whole(text in "(\\PC{1,40}|[ a-zäß]{200,900}){0,120}") {
        let pieces = pieces(&text);
        prop_assert_eq!(&pieces.concat(), &text);
        prop_assert!(pieces.iter().all(|piece| !piece.is_empty() && piece.len() <= 64 * 1024));
    }

    #[test]
    fn what_is_extracted_has_a_key_each(name in "\\PC{1,255}", count in 0usize..20) {
        let Ok(name) = name.parse::<ItemName>() else { return Ok(()) };
        let extracted =
            Extracted { questions: vec![Value::Object(Map::new()); count], ..Extracted::default() };
        let memories = extracted.memories(&name);
        let keys: std::collections::BTreeSet<_> = memories.iter().map(|one| &one.key).collect();
        prop_assert_eq!(keys.len(), count);
    }
}
