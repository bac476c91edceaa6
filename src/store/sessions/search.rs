//! The search over all that is written down in sessions.

use deadpool_postgres::GenericClient;

use super::{memories::After, number};
use crate::{
    domain::session::{SearchFilter, SearchHit, SearchKind, SearchTerms},
    store::{
        StoreError,
        codec::plain_text,
        statement::{Sql, sql},
    },
};

const SEARCH: Sql = sql!("sessions/search");

/// What fits best, each with its number for a cursor; none if the session that is named is unknown.
pub async fn search(
    db: &impl GenericClient,
    filter: &SearchFilter,
    after: After,
) -> Result<Option<Vec<(i64, SearchHit)>>, StoreError> {
    let mut place = SearchTerms::any();
    if let Some(session) = &filter.session {
        let Some(no) = number(db, session).await? else { return Ok(None) };
        place = place.of_session(no.get());
    }
    let memories = place.clone().of_types(&filter.types).with_tags(&filter.tags);
    let kinds = if filter.kinds.is_empty() { SearchKind::ALL } else { &*filter.kinds };
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    let tags = (!filter.tags.is_empty()).then_some(&filter.tags);
    let types: Vec<&str> = filter.types.iter().map(|kind| kind.as_str()).collect();
    let types = (!types.is_empty()).then_some(&types);
    let rows = SEARCH
        .query(
            db,
            &[
                &plain_text(&filter.text),
                &kinds,
                &filter.session,
                &tags,
                &types,
                &filter.since,
                &filter.until,
                &after.rank,
                &i64::from(filter.limit),
                &after.number,
                &place.as_str(),
                &memories.as_str(),
            ],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let fields = SEARCH.fields(row);
            let tags: Option<Vec<String>> = fields.get("tags")?;
            let hit = SearchHit {
                kind: fields.parsed("kind")?,
                session_id: fields.get("session")?,
                session_title: fields.get("session_title")?,
                id: fields.get("name")?,
                of_type: fields.get("type")?,
                tags: tags.unwrap_or_default(),
                rank: fields.get("rank")?,
                highlight: fields.get("highlight")?,
                at: fields.get("at")?,
            };
            Ok((fields.get("number")?, hit))
        })
        .collect::<Result<_, _>>()
        .map(Some)
}
