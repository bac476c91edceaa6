//! What happened to hosts, fleets and agents, for the feed.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use tokio_postgres::types::Json;

use super::{
    StoreError,
    codec::plain_text,
    statement::{Sql, sql},
};
use crate::domain::{HostId, event::News};

const TELL: Sql = sql!("host_events/tell");

/// Writes down what happened on `host`, and when, in this order.
pub async fn tell(
    db: &impl GenericClient,
    host: HostId,
    news: &[(Timestamp, News)],
) -> Result<(), StoreError> {
    let times: Vec<_> = news.iter().map(|(at, _)| *at).collect();
    let words: Vec<_> = news.iter().map(|(_, one)| one.word.as_str()).collect();
    let fleets: Vec<_> = news.iter().map(|(_, one)| one.fleet.as_ref()).collect();
    let agents: Vec<_> = news.iter().map(|(_, one)| one.agent.as_ref()).collect();
    let reasons: Vec<_> =
        news.iter().map(|(_, one)| one.reason.as_deref().map(plain_text)).collect();
    let details: Vec<_> = news.iter().map(|(_, one)| Json(&one.detail)).collect();
    TELL.query(db, &[&host, &words, &fleets, &agents, &reasons, &details, &times]).await?;
    Ok(())
}
