//! The search over all that is written down: every kind of thing, by every filter, and bounded where a word is
//! everywhere.

use hostler::{
    domain::session::{
        ArtifactFilter, ItemName, MemoryType, NewArtifact, NewChunk, NewMemory, NewSession,
        SearchFilter, SearchHit, SearchKind, SessionId,
    },
    store::sessions::{
        self, contents,
        memories::{self, After},
        search,
        tasks::{self, Link},
    },
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::World;

async fn session(world: &World, id: &str) -> sessions::SessionNo {
    let new = NewSession {
        id: id.parse().unwrap(),
        title: format!("About {id}"),
        participants: Vec::new(),
        context: "Postgres and queues".to_owned(),
        metadata: Map::new(),
    };
    sessions::create(&world.db, &new, None).await.unwrap();
    sessions::lock(&world.db, &new.id).await.unwrap().unwrap().0
}

async fn memory(world: &World, of: &str, key: &str, kind: MemoryType, text: &str, tag: &str) {
    let memory = NewMemory {
        key: key.parse().unwrap(),
        kind,
        content: json!(text),
        tags: vec![tag.to_owned()],
        at: None,
    };
    let of: SessionId = of.parse().unwrap();
    memories::store(&world.db, &[(&of, &memory)]).await.unwrap();
}

async fn artifact(world: &World, no: sessions::SessionNo, name: &str, title: &str, text: &str) {
    let artifact = NewArtifact {
        name: name.parse().unwrap(),
        kind: "diagram".to_owned(),
        title: title.to_owned(),
        content: String::new(),
        format: "svg".to_owned(),
        metadata: Map::new(),
        task: None,
        at: None,
    };
    let (item, _) = contents::put_artifact(&world.db, no, &artifact).await.unwrap();
    contents::add(&world.db, item, 0, &[text]).await.unwrap();
}

/// The artifacts of session `one` that a filter lets through.
async fn made(world: &World, filter: ArtifactFilter, before: Option<i64>) -> Vec<(i64, String)> {
    let filter = ArtifactFilter { limit: filter.limit.max(1), ..filter };
    let of: SessionId = "one".parse().unwrap();
    let found = contents::artifacts(&world.db, &of, None, &filter, before).await.unwrap().unwrap();
    found.into_iter().map(|(number, one)| (number, one.artifact_id.to_string())).collect()
}

#[tokio::test]
async fn artifacts_are_listed_by_type_words_task_and_time_newest_first_and_of_their_session_alone()
{
    let world = World::new().await;
    let (one, two) = (session(&world, "one").await, session(&world, "two").await);
    for nth in 1..=4 {
        artifact(&world, one, &format!("a{nth}"), &format!("Sketch {nth}"), "caching queues").await;
    }
    artifact(&world, two, "other", "Sketch", "caching queues").await;
    artifact(&world, one, "plain", "Notes", "nothing of it").await;
    // The content of a large one is in several pieces, each of which is looked at.
    let long = NewArtifact {
        name: "long".parse().unwrap(),
        kind: "report".to_owned(),
        title: "Long".to_owned(),
        content: String::new(),
        format: "text".to_owned(),
        metadata: Map::new(),
        task: "t".parse().ok(),
        at: "2020-05-01T00:00:00Z".parse().ok(),
    };
    let (item, _) = contents::put_artifact(&world.db, one, &long).await.unwrap();
    contents::add(&world.db, item, 0, &["first piece", "cached in the second"]).await.unwrap();

    let text = |text: &str| ArtifactFilter {
        text: Some(text.to_owned()),
        limit: 50,
        ..ArtifactFilter::default()
    };
    let names = async |filter: ArtifactFilter| -> Vec<String> {
        made(&world, filter, None).await.into_iter().map(|(_, name)| name).collect()
    };
    assert_eq!(names(text("caching")).await, ["long", "a4", "a3", "a2", "a1"]);
    assert_eq!(names(text("sketch -2")).await, ["a4", "a3", "a1"], "by its name");
    assert_eq!(names(text("diagram plain")).await, ["plain"], "by its type and id");
    for none in ["nowhere", "the", "", "-", "other"] {
        assert!(names(text(none)).await.is_empty(), "{none}");
    }
    let of_type = ArtifactFilter { kind: Some("report".to_owned()), ..text("caching") };
    assert_eq!(names(of_type).await, ["long"]);
    let of_task = ArtifactFilter { task: "t".parse().ok(), text: None, ..text("") };
    assert_eq!(names(of_task.clone()).await, ["long"]);
    let at = "2020-05-01T00:00:00Z".parse::<Timestamp>().ok();
    let day = "2020-05-02T00:00:00Z".parse::<Timestamp>().ok();
    assert_eq!(names(ArtifactFilter { until: day, task: None, ..of_task.clone() }).await, ["long"]);
    assert!(names(ArtifactFilter { until: at, ..of_task.clone() }).await.is_empty());
    assert_eq!(names(ArtifactFilter { since: at, ..of_task.clone() }).await, ["long"]);
    assert!(names(ArtifactFilter { since: day, ..of_task }).await.is_empty());
    // Page by page, each once.
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = made(&world, ArtifactFilter { limit: 2, ..text("caching") }, before).await;
        let Some((number, _)) = page.last() else { break };
        before = Some(*number);
        seen.extend(page.into_iter().map(|(_, name)| name));
    }
    assert_eq!(seen, ["long", "a4", "a3", "a2", "a1"]);
    let nowhere = "nowhere".parse().unwrap();
    let found = contents::artifacts(&world.db, &nowhere, None, &text("caching"), None).await;
    assert_eq!(found.unwrap(), None);
}

async fn hits(world: &World, filter: SearchFilter) -> Vec<(i64, SearchHit)> {
    let limit = if filter.limit == 0 { 50 } else { filter.limit };
    let filter = SearchFilter { limit, ..filter };
    search::search(&world.db, &filter, After::default()).await.unwrap().unwrap()
}

fn words(text: &str) -> SearchFilter {
    SearchFilter { text: text.to_owned(), ..SearchFilter::default() }
}

async fn names(world: &World, filter: SearchFilter) -> Vec<String> {
    let found = hits(world, filter).await.into_iter();
    let mut names: Vec<_> = found.map(|(_, hit)| format!("{} {}", hit.kind, hit.id)).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_search_finds_whatever_there_is_by_every_filter_and_marks_the_place() {
    let world = World::new().await;
    let (one, _) = (session(&world, "one").await, session(&world, "two").await);
    memory(&world, "one", "m", MemoryType::Idea, "queues are fair", "q").await;
    memory(&world, "one", "n", MemoryType::Risk, "a queue may be full", "r").await;
    artifact(&world, one, "a", "The queue at work", "<svg/>").await;
    artifact(&world, one, "b", "Other", "of queues").await;
    let chunk = NewChunk {
        name: "c".parse().unwrap(),
        format: hostler::domain::session::ChunkFormat::Dialogue,
        content: String::new(),
        started_at: None,
        ended_at: None,
        participants: Vec::new(),
        extracted: Default::default(),
        metadata: Map::new(),
        at: "2020-01-01T00:00:00Z".parse().ok(),
    };
    let (item, _) = contents::put_chunk(&world.db, one, &chunk).await.unwrap();
    contents::add(&world.db, item, 0, &["we spoke of queues"]).await.unwrap();
    let link = Link {
        name: "t".parse().unwrap(),
        task: None,
        agent: "claude".to_owned(),
        kind: "review".to_owned(),
        description: "Look at the queue".to_owned(),
        input: Value::Null,
        past: Some((Default::default(), Timestamp::now())),
    };
    assert!(tasks::put(&world.db, one, &link).await.unwrap());

    let all = [
        "artifact a",
        "artifact b",
        "chunk c",
        "memory m",
        "memory n",
        "session one",
        "session two",
        "task t",
    ];
    assert_eq!(names(&world, words("queue")).await, all);
    let found = hits(&world, words("queue")).await;
    assert!(found.iter().all(|(_, hit)| hit.highlight.contains("**queue")), "{found:#?}");
    assert!(found.windows(2).all(|two| two[0].1.rank >= two[1].1.rank), "{found:#?}");
    let of_session = SearchFilter { session: "one".parse().ok(), ..words("queue") };
    assert_eq!(
        names(&world, of_session).await,
        all.iter().filter(|one| **one != "session two").copied().collect::<Vec<_>>()
    );
    for (kind, expected) in [
        (SearchKind::Session, &all[5..7]),
        (SearchKind::Memory, &all[3..5]),
        (SearchKind::Artifact, &all[..2]),
        (SearchKind::Chunk, &all[2..3]),
        (SearchKind::Task, &all[7..]),
    ] {
        assert_eq!(
            names(&world, SearchFilter { kinds: vec![kind], ..words("queue") }).await,
            expected
        );
    }
    let tagged = SearchFilter { tags: vec!["q".to_owned()], ..words("queue") };
    assert_eq!(names(&world, tagged).await, ["memory m"]);
    let typed = SearchFilter { types: vec![MemoryType::Risk], ..words("queue") };
    assert_eq!(names(&world, typed).await, ["memory n"]);
    let then = "2021-01-01T00:00:00Z".parse().ok();
    assert_eq!(names(&world, SearchFilter { until: then, ..words("queue") }).await, ["chunk c"]);
    assert_eq!(names(&world, SearchFilter { since: then, ..words("queue") }).await.len(), 7);
    let late = "2100-01-01T00:00:00Z".parse().ok();
    assert!(hits(&world, SearchFilter { since: late, ..words("queue") }).await.is_empty());
    for odd in ["the", "&|!()", "\u{1}1"] {
        assert!(hits(&world, words(odd)).await.is_empty(), "{odd:?}");
    }
    // By its type and its name in the caller's words, too; neither is a part of its content.
    assert_eq!(names(&world, words("diagrams")).await, ["artifact a", "artifact b"]);
    assert_eq!(names(&world, words("reviewing")).await, ["task t"]);
    let first: ItemName = "a".parse().unwrap();
    let of: SessionId = "one".parse().unwrap();
    let alone = ArtifactFilter { limit: 1, ..ArtifactFilter::default() };
    let found = contents::artifacts(&world.db, &of, Some(&first), &alone, None).await;
    let (number, _) = found.unwrap().unwrap()[0];
    assert_eq!(contents::read(&world.db, number, 0, 10).await.unwrap(), ["<svg/>"]);
    let nowhere = SearchFilter { session: "nowhere".parse().ok(), limit: 1, ..words("queue") };
    assert_eq!(search::search(&world.db, &nowhere, After::default()).await.unwrap(), None);

    // Page by page, each once.
    let (mut seen, mut after) = (Vec::new(), After::default());
    loop {
        let filter = SearchFilter { limit: 3, ..words("queue") };
        let page = search::search(&world.db, &filter, after).await.unwrap().unwrap();
        let Some((number, last)) = page.last() else { break };
        after = After { rank: Some(last.rank), number: Some(*number) };
        seen.extend(page.iter().map(|(_, hit)| format!("{} {}", hit.kind, hit.id)));
    }
    seen.sort();
    assert_eq!(seen, all);
    // What is replaced or deleted is not found any more.
    artifact(&world, one, "a", "Renamed", "<svg/>").await;
    assert!(!names(&world, words("queue")).await.contains(&"artifact a".to_owned()));
    sessions::delete(&world.db, one, true).await.unwrap();
    assert_eq!(names(&world, words("queue")).await, ["session two"]);
    let left = "SELECT count(*) FROM hostler.session_texts";
    assert_eq!(world.db.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 0);
}

/// As the connections of a host are.
const LIKE_A_HOST: &str = "SET enable_seqscan = off; SET jit = off";

#[tokio::test]
async fn where_a_word_is_everywhere_the_newest_are_looked_at_and_not_all() {
    let world = World::new().await;
    session(&world, "large").await;
    let fill = "INSERT INTO hostler.memories (session_no, key, type, content, tags)
            SELECT no, 'k' || n, CASE n % 2 WHEN 0 THEN 'idea' ELSE 'fact' END,
                to_jsonb('common ' || CASE WHEN n = 7 THEN 'seldom' ELSE 'words' END), ARRAY['t' || n % 3]
            FROM hostler.sessions, generate_series(1, 12000) AS n;
        UPDATE hostler.memories SET changed_at = '2020-01-01T00:00:00Z' WHERE id <= (SELECT min(id) + 9 FROM hostler.memories);
        INSERT INTO hostler.session_chunks (session_no, name, format, size, participants, extracted, metadata)
            SELECT no, 'c' || n, 'summary', 0, '{}', '{}', '{}'
            FROM hostler.sessions, generate_series(1, 2000) AS n;
        INSERT INTO hostler.session_texts (item_id, part, session_no, content)
            SELECT id, 0, session_no, 'common parts' FROM hostler.session_chunks";
    world.db.batch_execute(fill).await.unwrap();
    world
        .db
        .batch_execute("ANALYZE hostler.memories; ANALYZE hostler.session_texts")
        .await
        .unwrap();
    world.db.batch_execute(LIKE_A_HOST).await.unwrap();
    let ids = async |filter: SearchFilter| -> Vec<String> {
        hits(&world, filter).await.into_iter().map(|(_, hit)| hit.id).collect()
    };
    let newest = |letter: char, last: usize| -> Vec<String> {
        (0..5).map(|back| format!("{letter}{}", last - back)).collect()
    };
    let five = || SearchFilter { limit: 5, ..words("common") };
    for session in [None, "large".parse().ok()] {
        let memories = SearchFilter { kinds: vec![SearchKind::Memory], session, ..five() };
        assert_eq!(ids(memories.clone()).await, newest('k', 12_000), "{:?}", memories.session);
        // What is seldom is found wherever it is, and what is old.
        let seldom = SearchFilter { text: "common seldom".to_owned(), ..memories.clone() };
        assert_eq!(ids(seldom).await, ["k7"]);
        let old = SearchFilter { until: "2021-01-01T00:00:00Z".parse().ok(), ..memories.clone() };
        assert_eq!(ids(old).await, newest('k', 10));
        let narrow =
            SearchFilter { tags: vec!["t0".to_owned()], types: vec![MemoryType::Idea], ..memories };
        assert_eq!(ids(narrow).await, ["k12000", "k11994", "k11988", "k11982", "k11976"]);
    }
    let chunks = SearchFilter { kinds: vec![SearchKind::Chunk], ..five() };
    assert_eq!(ids(chunks).await, newest('c', 2000));
    // And where statistics say nothing yet.
    world
        .db
        .batch_execute(
            "UPDATE pg_class SET reltuples = -1 WHERE relname IN ('memories', 'session_texts')",
        )
        .await
        .unwrap();
    let memories = SearchFilter { kinds: vec![SearchKind::Memory], ..five() };
    assert_eq!(ids(memories).await, newest('k', 12_000));
}

/// The plans do without a look at all that fits: by the index of words where that is little, from the newest
/// end where it is much.
#[tokio::test]
async fn the_newest_of_all_are_read_from_the_end_of_an_index() {
    let world = World::new().await;
    session(&world, "large").await;
    let fill = "INSERT INTO hostler.memories (session_no, key, type, content, tags)
        SELECT no, 'k' || n, 'idea', to_jsonb('w' || n % 7), '{}'
        FROM hostler.sessions, generate_series(1, 20000) AS n";
    world.db.batch_execute(fill).await.unwrap();
    world.db.batch_execute("ANALYZE hostler.memories; ANALYZE hostler.sessions").await.unwrap();
    world.db.batch_execute(LIKE_A_HOST).await.unwrap();
    let text = include_str!("../../../sql/queries/memories/search.sql");
    world.db.batch_execute(&format!("PREPARE found AS {text}")).await.unwrap();
    let types = "'{idea,risk,note}'";
    for (session, index) in [("NULL", "memories_pkey"), ("1", "memories_newest")] {
        let explain = format!(
            "EXPLAIN EXECUTE found('w1', {session}, NULL, {types}, NULL, NULL, NULL, NULL, 10, '')"
        );
        let rows = world.db.query(&explain, &[]).await.unwrap();
        let plan: String = rows.iter().map(|row| row.get::<_, String>(0) + "\n").collect();
        assert!(plan.contains(&format!("Backward using {index}")), "{session}:\n{plan}");
        assert!(
            plan.contains("memories_search") && !plan.contains("Seq Scan on memories"),
            "{plan}"
        );
    }
}
