//! Sessions: legal steps, counters that can't drift, memories by every way in, contents in pieces.

use std::collections::BTreeSet;

use hostler::{
    domain::session::{
        ItemName, MemoryFilter, MemoryType, NewMemory, NewSession, SessionEvent, SessionFilter,
        SessionId, SessionState, step,
    },
    store::{
        Store,
        sessions::{
            self, contents,
            memories::{self, After, Stored},
            receipts::{self, Take},
        },
    },
};
use serde_json::{Map, Value, json};
use std::time::Duration;

use super::World;

fn new(id: &str) -> NewSession {
    NewSession {
        id: id.parse().unwrap(),
        title: format!("About {id}"),
        participants: vec!["me".to_owned()],
        context: "Postgres and queues".to_owned(),
        metadata: Map::new(),
    }
}

fn memory(key: &str, content: Value, tags: &[&str]) -> NewMemory {
    NewMemory {
        key: key.parse().unwrap(),
        kind: MemoryType::Idea,
        content,
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        at: None,
    }
}

async fn keep(world: &World, session: &SessionId, memory: &NewMemory) -> Stored {
    memories::store(&world.db, &[(session, memory)]).await.unwrap()[0]
}

async fn keys(world: &World, session: &SessionId, filter: MemoryFilter) -> Vec<String> {
    let filter = MemoryFilter { limit: 100, ..filter };
    let found = memories::query(&world.db, session, &filter, After::default()).await.unwrap();
    found.unwrap().into_iter().map(|(_, memory)| memory.key.to_string()).collect()
}

#[tokio::test]
async fn the_database_refuses_the_steps_that_the_table_refuses() {
    let world = World::new().await;
    for from in SessionState::ALL {
        for to in SessionState::ALL {
            let id = format!("{from}-{to}");
            sessions::create(&world.db, &new(&id), None).await.unwrap();
            let (no, _) = sessions::lock(&world.db, &id.parse().unwrap()).await.unwrap().unwrap();
            if from != SessionState::Active {
                sessions::move_to(&world.db, no, from).await.unwrap();
            }
            let is_legal = SessionEvent::ALL.into_iter().any(|event| step(from, event) == Ok(to));
            let moved = sessions::move_to(&world.db, no, to).await;
            assert_eq!(moved.is_ok(), is_legal || from == to, "{from} {to}: {moved:?}");
        }
    }
}

/// What is new is found whether it has been entered into the index or not.
#[tokio::test]
async fn memories_gather_and_are_entered() {
    let world = World::new().await;
    let session: SessionId = "s".parse().unwrap();
    sessions::create(&world.db, &new("s"), None).await.unwrap();
    keep(&world, &session, &memory("k", json!("about elephants"), &["animals"])).await;
    let about = || MemoryFilter { text: Some("elephant".to_owned()), ..MemoryFilter::default() };
    assert_eq!(keys(&world, &session, about()).await, ["k"]);
    assert!(memories::enter(&world.db).await.unwrap() > 0, "there was something");
    assert_eq!(memories::enter(&world.db).await.unwrap(), 0, "and now there is not");
    assert_eq!(keys(&world, &session, about()).await, ["k"]);
}

#[tokio::test]
async fn counters_do_not_drift_however_many_write_at_once() {
    let world = World::new().await;
    let session: SessionId = "busy".parse().unwrap();
    sessions::create(&world.db, &new("busy"), None).await.unwrap();
    let before = sessions::get(&world.db, &session).await.unwrap().unwrap();
    let write = async |store: Store, writer: usize| {
        let session: SessionId = "busy".parse().unwrap();
        for nth in 0..40 {
            // Half of the keys are those of all writers, and are replaced again and again.
            let key =
                if nth % 2 == 0 { format!("shared-{nth}") } else { format!("{writer}-{nth}") };
            let tag = if writer.is_multiple_of(2) { "even" } else { "odd" };
            let one = memory(&key, json!(writer), &[tag, "all"]);
            let db = store.client().await.unwrap();
            memories::store(&db, &[(&session, &one)]).await.unwrap();
        }
    };
    let writers = (0..6).map(|writer| tokio::spawn(write(world.store.clone(), writer)));
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let after = sessions::get(&world.db, &session).await.unwrap().unwrap();
    let distinct = 20 + 6 * 20;
    assert_eq!(after.stats.memories, distinct);
    assert!(after.last_activity > before.last_activity);
    let all = MemoryFilter { limit: 1000, ..MemoryFilter::default() };
    let found =
        memories::query(&world.db, &session, &all, After::default()).await.unwrap().unwrap();
    assert_eq!(found.len() as u64, distinct);
    assert_eq!(found[0].1.updated, after.last_activity, "the newest is the last");
    // The tags are those of the memories, whoever wrote last.
    for tag in ["even", "odd", "all"] {
        let tagged =
            MemoryFilter { limit: 1000, tags: vec![tag.to_owned()], ..MemoryFilter::default() };
        let by_tag =
            memories::query(&world.db, &session, &tagged, After::default()).await.unwrap().unwrap();
        let with: Vec<_> = found
            .iter()
            .filter(|(_, one)| one.tags.iter().any(|its| its == tag))
            .cloned()
            .collect();
        assert_eq!(by_tag, with, "{tag}");
    }
    let rows = world.db.query_one("SELECT count(*) FROM hostler.memory_tags", &[]).await.unwrap();
    assert_eq!(rows.get::<_, i64>(0), 2 * i64::try_from(distinct).unwrap());
}

#[tokio::test]
async fn what_is_kept_is_found_by_type_tags_and_words() {
    let world = World::new().await;
    for id in ["one", "two"] {
        sessions::create(&world.db, &new(id), None).await.unwrap();
    }
    let (one, two): (SessionId, SessionId) = ("one".parse().unwrap(), "two".parse().unwrap());
    assert_eq!(
        keep(&world, &one, &memory("a", json!("we plan caching"), &["x"])).await,
        Stored::Created
    );
    assert_eq!(
        keep(&world, &one, &memory("b", json!({"what": "plans, plans"}), &["x", "it's"])).await,
        Stored::Created
    );
    keep(&world, &two, &memory("a", json!("a plan of another"), &["x"])).await;
    let risk = NewMemory { kind: MemoryType::Risk, ..memory("c", json!("disk"), &[]) };
    keep(&world, &one, &risk).await;
    let none = MemoryFilter::default;
    assert_eq!(keys(&world, &one, none()).await, ["c", "b", "a"]);
    let kinds = MemoryFilter { kinds: vec![MemoryType::Risk], ..none() };
    assert_eq!(keys(&world, &one, kinds).await, ["c"]);
    let tagged = |tags: &[&str]| MemoryFilter {
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ..MemoryFilter::default()
    };
    assert_eq!(keys(&world, &one, tagged(&["x"])).await, ["b", "a"]);
    assert_eq!(keys(&world, &one, tagged(&["x", "it's"])).await, ["b"]);
    assert!(keys(&world, &one, tagged(&["we"])).await.is_empty(), "a word is no tag");
    let words =
        |text: &str| MemoryFilter { text: Some(text.to_owned()), ..MemoryFilter::default() };
    assert_eq!(keys(&world, &one, words("planning")).await, ["b", "a"], "the better first");
    let both = MemoryFilter { tags: vec!["it's".to_owned()], ..words("plan") };
    assert_eq!(keys(&world, &one, both).await, ["b"]);
    // Neither does a tag that somebody wrote past all that looks at tags.
    let (no, _) = sessions::lock(&world.db, &one).await.unwrap().unwrap();
    let forged = format!("\u{1}{}", no.get());
    keep(&world, &two, &memory("forged", json!("a plan"), &[&forged])).await;
    assert_eq!(keys(&world, &one, words("plan")).await, ["b", "a"], "not that of another session");
    for odd in ["", "&|!()", "' OR 1", "the", "\u{1}1", "a\0b"] {
        assert!(keys(&world, &one, words(odd)).await.is_empty(), "{odd:?}");
    }

    // The same key again takes the place, and the tags go with it.
    assert_eq!(keep(&world, &one, &memory("a", json!("no"), &["y"])).await, Stored::Replaced);
    assert_eq!(keys(&world, &one, tagged(&["x"])).await, ["b"]);
    assert_eq!(keys(&world, &one, none()).await, ["a", "c", "b"]);

    let unknown: SessionId = "nowhere".parse().unwrap();
    assert_eq!(keep(&world, &unknown, &memory("a", json!(1), &[])).await, Stored::UnknownSession);
    let (no, _) = sessions::lock(&world.db, &two).await.unwrap().unwrap();
    sessions::move_to(&world.db, no, SessionState::Completed).await.unwrap();
    let refused = keep(&world, &two, &memory("z", json!(1), &[])).await;
    assert_eq!(refused, Stored::Refused(SessionState::Completed));
}

#[tokio::test]
async fn where_more_fit_than_are_ranked_the_newest_are_answered_with() {
    let world = World::new().await;
    let session: SessionId = "large".parse().unwrap();
    sessions::create(&world.db, &new("large"), None).await.unwrap();
    world
        .db
        .execute(
            "INSERT INTO hostler.memories (session_no, key, type, content, tags)
             SELECT no, 'k' || n, CASE n % 2 WHEN 0 THEN 'idea' ELSE 'fact' END,
                 to_jsonb('common words ' || n), ARRAY['t' || n % 3]
             FROM hostler.sessions, generate_series(1, 5200) AS n WHERE id = 'large'",
            &[],
        )
        .await
        .unwrap();
    let words = MemoryFilter { text: Some("common".to_owned()), ..MemoryFilter::default() };
    let newest: BTreeSet<String> = (5101..=5200).map(|n| format!("k{n}")).collect();
    assert_eq!(
        keys(&world, &session, words.clone()).await.into_iter().collect::<BTreeSet<_>>(),
        newest
    );
    let nothing = MemoryFilter { text: Some("the of &".to_owned()), ..MemoryFilter::default() };
    assert!(keys(&world, &session, nothing).await.is_empty(), "such words say nothing");
    let few = MemoryFilter { tags: vec!["t1".to_owned()], ..words };
    let found = keys(&world, &session, few).await;
    assert_eq!(found.len(), 100, "few enough to be ranked, and a page of them");
}

/// A session that has nearly all memories must not be read by their ids: a type that it lacks would be looked
/// for in all of them.
#[tokio::test]
async fn the_newest_of_a_type_are_found_by_its_index_however_large_a_session_is() {
    let world = World::new().await;
    sessions::create(&world.db, &new("large"), None).await.unwrap();
    let fill = "INSERT INTO hostler.memories (session_no, key, type, content, tags)
        SELECT no, 'k' || n, 'idea', to_jsonb('w' || n % 7), '{}'
        FROM hostler.sessions, generate_series(1, 20000) AS n";
    world.db.batch_execute(fill).await.unwrap();
    world.db.batch_execute("ANALYZE hostler.memories; ANALYZE hostler.sessions").await.unwrap();
    // As the connections of a host are.
    world.db.batch_execute("SET enable_seqscan = off; SET jit = off").await.unwrap();
    let types = "'{idea,risk,note}'";
    for (name, text, values) in [
        (
            "newest",
            include_str!("../../../sql/queries/memories/newest.sql"),
            format!("'large', {types}, NULL, 10"),
        ),
        (
            "matching",
            include_str!("../../../sql/queries/memories/matching.sql"),
            format!("'large', 'w1', NULL, {types}, NULL, NULL, 10, ''"),
        ),
        (
            "shown",
            include_str!("../../../sql/queries/sessions/list.sql"),
            "'large', NULL, NULL, NULL, NULL, NULL, 1".to_owned(),
        ),
    ] {
        world.db.batch_execute(&format!("PREPARE {name} AS {text}")).await.unwrap();
        let explain = format!("EXPLAIN EXECUTE {name}({values})");
        let rows = world.db.query(&explain, &[]).await.unwrap();
        let plan: String = rows.iter().map(|row| row.get::<_, String>(0) + "\n").collect();
        assert!(plan.contains("Backward using memories_newest"), "{name}:\n{plan}");
        assert!(!plan.contains("Backward using memories_pkey"), "{name}:\n{plan}");
    }
}

#[tokio::test]
async fn sessions_are_listed_by_state_and_participant_and_deleted_with_all_that_is_in_them() {
    let world = World::new().await;
    for id in ["a", "b", "c"] {
        sessions::create(&world.db, &new(id), None).await.unwrap();
    }
    let b: SessionId = "b".parse().unwrap();
    let (no, _) = sessions::lock(&world.db, &b).await.unwrap().unwrap();
    sessions::move_to(&world.db, no, SessionState::Paused).await.unwrap();
    let ids = async |filter: SessionFilter, before| {
        let filter = SessionFilter { limit: 2, ..filter };
        let found = sessions::list(&world.db, &filter, before).await.unwrap();
        found.into_iter().map(|(no, one)| (no, one.session_id.to_string())).collect::<Vec<_>>()
    };
    let first = ids(SessionFilter::default(), None).await;
    assert_eq!((&*first[0].1, &*first[1].1), ("c", "b"));
    assert_eq!(ids(SessionFilter::default(), Some(first[1].0)).await[0].1, "a");
    let paused = SessionFilter { states: vec![SessionState::Paused], ..SessionFilter::default() };
    assert_eq!(ids(paused, None).await[0].1, "b");
    let other = SessionFilter { participant: Some("you".to_owned()), ..SessionFilter::default() };
    assert!(ids(other, None).await.is_empty());

    keep(&world, &b, &memory("k", json!(1), &["t"])).await;
    assert_eq!(sessions::delete(&world.db, no, false).await.unwrap(), None, "it is not empty");
    let deleted = sessions::delete(&world.db, no, true).await.unwrap().unwrap();
    assert_eq!(deleted.memories, 1);
    assert_eq!(sessions::get(&world.db, &b).await.unwrap(), None);
    let left = "SELECT (SELECT count(*) FROM hostler.memories) + (SELECT count(*) FROM hostler.memory_tags)";
    assert_eq!(world.db.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test]
async fn a_request_with_a_key_is_carried_out_once() {
    let world = World::new().await;
    let take = async |print: &[u8], patience| {
        receipts::take(&world.db, "webhook", "k", print, patience).await.unwrap()
    };
    let hour = Duration::from_secs(3600);
    assert_eq!(take(b"1", hour).await, Take::Ours);
    assert_eq!(take(b"1", hour).await, Take::UnderWay);
    assert_eq!(take(b"2", hour).await, Take::Another);
    assert_eq!(take(b"2", Duration::ZERO).await, Take::Another);
    assert_eq!(take(b"1", Duration::ZERO).await, Take::Ours, "its host is lost");
    receipts::answer(&world.db, "webhook", "k", 201, &json!({"a": 1})).await.unwrap();
    let answered = Take::Answered { status: 201, answer: json!({"a": 1}) };
    assert_eq!(take(b"1", Duration::ZERO).await, answered);
    receipts::release(&world.db, "webhook", "k").await.unwrap();
    assert_eq!(take(b"1", hour).await, answered, "what was answered stays");
    assert_eq!(receipts::prune(&world.db, hour).await.unwrap(), 0);
    assert_eq!(receipts::prune(&world.db, Duration::ZERO).await.unwrap(), 1);
    assert_eq!(take(b"2", hour).await, Take::Ours);
}

#[tokio::test]
async fn a_content_is_kept_in_pieces_and_replaced_as_a_whole() {
    let world = World::new().await;
    let session: SessionId = "s".parse().unwrap();
    sessions::create(&world.db, &new("s"), None).await.unwrap();
    let (no, _) = sessions::hold(&world.db, &session).await.unwrap().unwrap();
    let name: ItemName = "c".parse().unwrap();
    let chunk = hostler::domain::session::NewChunk {
        name: name.clone(),
        format: hostler::domain::session::ChunkFormat::Transcript,
        content: String::new(),
        started_at: None,
        ended_at: None,
        participants: Vec::new(),
        extracted: Default::default(),
        metadata: Map::new(),
        at: None,
    };
    let (item, made) = contents::put_chunk(&world.db, no, &chunk).await.unwrap();
    assert!(made);
    contents::add(&world.db, item, 0, &["one ", "two"]).await.unwrap();
    contents::set_size(&world.db, item, 7).await.unwrap();
    assert_eq!(contents::read(&world.db, item.number(), 0, 10).await.unwrap().concat(), "one two");
    assert_eq!(contents::read(&world.db, item.number(), 1, 10).await.unwrap(), ["two"]);
    let (again, made) = contents::put_chunk(&world.db, no, &chunk).await.unwrap();
    assert!(!made && again != item);
    assert!(contents::read(&world.db, item.number(), 0, 10).await.unwrap().is_empty());
    let chunks =
        contents::chunks(&world.db, &session, Some(&name), None, 10).await.unwrap().unwrap();
    assert_eq!(chunks.len(), 1);
}
