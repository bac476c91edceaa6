//! The search over all that is written down in sessions: a statement for each kind of thing, each with the best
//! that it has, and one that shows the best of all.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;

use super::{memories::After, number};
use crate::{
    domain::session::{MemoryType, SearchFilter, SearchHit, SearchKind, SearchTerms},
    store::{
        StoreError,
        codec::plain_text,
        statement::{Fields, Sql, sql},
    },
};

const SESSIONS: Sql = sql!("sessions/search");
const MEMORIES: Sql = sql!("memories/search");
const TEXTS: Sql = sql!("session_texts/search");
const FOUND: Sql = sql!("sessions/found");

/// What is looked for.
struct Wanted<'a> {
    filter: &'a SearchFilter,
    words: &'a str,
    /// The number of the session, if it is one alone.
    session: Option<i64>,
    /// What narrows by that in the words of the column `search`.
    place: SearchTerms,
    after: After,
    limit: i64,
}

/// Something that fits, and how well.
struct Found {
    kind: SearchKind,
    number: i64,
    session: i64,
    rank: f32,
    at: Timestamp,
}

/// What fits best, each with its number for a cursor; none if the session that is named is unknown.
pub async fn search(
    db: &impl GenericClient,
    filter: &SearchFilter,
    after: After,
) -> Result<Option<Vec<(i64, SearchHit)>>, StoreError> {
    let mut session = None;
    if let Some(named) = &filter.session {
        let Some(no) = number(db, named).await? else { return Ok(None) };
        session = Some(no.get());
    }
    let place = session.map_or_else(SearchTerms::any, |no| SearchTerms::any().of_session(no));
    let words = &*plain_text(&filter.text);
    let limit = i64::from(filter.limit);
    let wanted = Wanted { filter, words, session, place, after, limit };
    let found = tokio::try_join!(sessions(db, &wanted), memories(db, &wanted), texts(db, &wanted))?;
    let mut best: Vec<Found> = found.0.into_iter().chain(found.1).chain(found.2).collect();
    best.sort_unstable_by(|a, b| b.rank.total_cmp(&a.rank).then(b.number.cmp(&a.number)));
    best.truncate(usize::try_from(filter.limit).unwrap_or(usize::MAX));
    shown(db, words, best).await.map(Some)
}

impl Wanted<'_> {
    /// Whether things of this kind are. What has tags, or the type of a memory, is a memory.
    fn takes(&self, kind: SearchKind) -> bool {
        let filter = self.filter;
        let of_memories = !(filter.tags.is_empty() && filter.types.is_empty());
        (filter.kinds.is_empty() || filter.kinds.contains(&kind))
            && (kind == SearchKind::Memory || !of_memories)
    }
}

async fn sessions(db: &impl GenericClient, wanted: &Wanted<'_>) -> Result<Vec<Found>, StoreError> {
    if !wanted.takes(SearchKind::Session) {
        return Ok(Vec::new());
    }
    let rows = SESSIONS
        .query(
            db,
            &[
                &wanted.words,
                &wanted.session,
                &wanted.filter.since,
                &wanted.filter.until,
                &wanted.after.rank,
                &wanted.after.number,
                &wanted.limit,
                &wanted.place.as_str(),
            ],
        )
        .await?;
    rows.iter().map(|row| of_row(&SESSIONS, row, Some(SearchKind::Session))).collect()
}

async fn memories(db: &impl GenericClient, wanted: &Wanted<'_>) -> Result<Vec<Found>, StoreError> {
    if !wanted.takes(SearchKind::Memory) {
        return Ok(Vec::new());
    }
    let filter = wanted.filter;
    let tags = (!filter.tags.is_empty()).then_some(&filter.tags);
    let types = if filter.types.is_empty() { MemoryType::ALL } else { &*filter.types };
    let types: Vec<&str> = types.iter().map(|kind| kind.as_str()).collect();
    let narrowed = wanted.place.clone().of_types(&filter.types).with_tags(&filter.tags);
    let rows = MEMORIES
        .query(
            db,
            &[
                &wanted.words,
                &wanted.session,
                &tags,
                &types,
                &filter.since,
                &filter.until,
                &wanted.after.rank,
                &wanted.after.number,
                &wanted.limit,
                &narrowed.as_str(),
            ],
        )
        .await?;
    rows.iter().map(|row| of_row(&MEMORIES, row, Some(SearchKind::Memory))).collect()
}

/// Of chunks, artifacts and tasks.
async fn texts(db: &impl GenericClient, wanted: &Wanted<'_>) -> Result<Vec<Found>, StoreError> {
    let kinds = [SearchKind::Chunk, SearchKind::Artifact, SearchKind::Task];
    let kinds = kinds.into_iter().filter(|kind| wanted.takes(*kind));
    let kinds: Vec<&str> = kinds.map(SearchKind::as_str).collect();
    if kinds.is_empty() {
        return Ok(Vec::new());
    }
    let rows = TEXTS
        .query(
            db,
            &[
                &wanted.words,
                &wanted.session,
                &kinds,
                &wanted.filter.since,
                &wanted.filter.until,
                &wanted.after.rank,
                &wanted.after.number,
                &wanted.limit,
                &wanted.place.as_str(),
            ],
        )
        .await?;
    rows.iter().map(|row| of_row(&TEXTS, row, None)).collect()
}

fn of_row(
    statement: &Sql,
    row: &tokio_postgres::Row,
    kind: Option<SearchKind>,
) -> Result<Found, StoreError> {
    let fields = statement.fields(row);
    Ok(Found {
        kind: kind.map_or_else(|| fields.parsed("kind"), Ok)?,
        number: fields.get("number")?,
        session: fields.get("session_no")?,
        rank: fields.get("rank")?,
        at: fields.get("at")?,
    })
}

/// What was found, as it is shown. What is gone meanwhile is not.
async fn shown(
    db: &impl GenericClient,
    words: &str,
    found: Vec<Found>,
) -> Result<Vec<(i64, SearchHit)>, StoreError> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let kinds: Vec<&str> = found.iter().map(|one| one.kind.as_str()).collect();
    let numbers: Vec<i64> = found.iter().map(|one| one.number).collect();
    let sessions: Vec<i64> = found.iter().map(|one| one.session).collect();
    let rows = FOUND.query(db, &[&words, &kinds, &numbers, &sessions]).await?;
    let mut rows = rows.iter().map(|row| FOUND.fields(row)).peekable();
    let mut hits = Vec::with_capacity(found.len());
    // Both are in the same order.
    for one in found {
        let is_one = |fields: &Fields<'_>| fields.get("number").ok() == Some(one.number);
        let Some(fields) = rows.next_if(is_one) else { continue };
        let tags: Option<Vec<String>> = fields.get("tags")?;
        let hit = SearchHit {
            kind: one.kind,
            session_id: fields.get("session")?,
            session_title: fields.get("session_title")?,
            id: fields.get("name")?,
            of_type: fields.get("type")?,
            tags: tags.unwrap_or_default(),
            rank: one.rank,
            highlight: fields.get("highlight")?,
            at: one.at,
        };
        hits.push((one.number, hit));
    }
    Ok(hits)
}
