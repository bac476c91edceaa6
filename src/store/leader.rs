//! Who leads among the hosts: an advisory lock on a session of its own, and a term that fences the
//! leader's work.
//!
//! The lock is held for as long as its session lives: the server frees it when the connection ends,
//! and ends the connection of a leader that says nothing (see [`crate::domain::leadership`]). It is
//! a lock of the session, so the database must not be reached through a pooler that gives each
//! transaction another session.

use std::time::Duration;

use deadpool_postgres::{Client, ClientWrapper, Transaction};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::{
    Store, StoreError,
    codec::milliseconds,
    statement::{Sql, sql},
};
use crate::domain::leadership::{Matter, Term};

/// What the advisory lock goes by: any number that nobody else uses ("hostlead" in ASCII).
pub(super) const LOCK: i64 = 0x686f_7374_6c65_6164;

/// How long a transaction of the leader may rest between two statements: it waits for nothing but the
/// network, and the next leader waits for it.
const REST: Duration = Duration::from_secs(3);

const STAND: Sql = sql!("leader/stand");
const BEGIN_TERM: Sql = sql!("leader/begin_term");
const BEAT: Sql = sql!("leader/beat");
const OUTLOOK: Sql = sql!("leader/outlook");
const FENCE: Sql = sql!("leader/fence");
const BEGIN: &str = "begin";
const COMMIT: &str = "commit";

/// The right to lead, for as long as its connection lives. Dropping it gives the right up.
pub struct Leadership {
    client: ClientWrapper,
    term: Term,
    began: Instant,
}

/// Asks for the right to lead, for the host of `slot`; `None` while another session has it.
///
/// The server ends the right once nothing was said on its connection for `silence`.
///
/// # Errors
///
/// As [`Store::client`]; [`StoreError::Silent`] if there is no answer within `limit`;
/// [`StoreError::Statement`]. The right was not taken then, or is given up again.
///
/// # Cancel safety
///
/// Dropped before it answered, the right is given up again.
pub async fn stand(
    store: &Store,
    slot: Uuid,
    silence: Duration,
    limit: Duration,
) -> Result<Option<Leadership>, StoreError> {
    let mut standing = Standing(Some(store.client().await?));
    let Some(client) = &standing.0 else { return Ok(None) };
    let Ok(answer) = timeout(limit, ask(client, slot, silence)).await else {
        return Err(StoreError::Silent { limit });
    };
    let (answer, client) = (answer?, standing.0.take());
    // Without the right its connection goes back to the pool; with it, it never does.
    Ok(answer.zip(client).map(|((term, began), client)| Leadership {
        client: Client::take(client),
        term,
        began,
    }))
}

async fn ask(
    client: &Client,
    slot: Uuid,
    silence: Duration,
) -> Result<Option<(Term, Instant)>, StoreError> {
    let rows = STAND.query(client, &[&LOCK, &milliseconds(silence)]).await?;
    let leads = rows.first().map_or(Ok(false), |row| STAND.fields(row).get("leads"))?;
    if !leads {
        return Ok(None);
    }
    let began = Instant::now();
    let row = BEGIN_TERM.query_opt(client, &[&slot]).await?;
    let unknown = || StoreError::UnknownValue { statement: BEGIN_TERM.name, column: "term" };
    let term = BEGIN_TERM.fields(&row.ok_or_else(unknown)?).count("term")?;
    Ok(Some((Term(term), began)))
}

/// A connection that may have the lock. It must not go back to the pool with it.
struct Standing(Option<Client>);

impl Drop for Standing {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(Client::take(client));
        }
    }
}

impl Leadership {
    /// Its term.
    pub fn term(&self) -> Term {
        self.term
    }

    /// When the right was last known to be held, before any beat.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Whether the connection has ended, and the right with it.
    pub fn is_over(&self) -> bool {
        self.client.is_closed()
    }

    /// Shows the server that the leader lives, and asks what there will be for it to do, and in how long;
    /// nothing if its term is over.
    ///
    /// # Errors
    ///
    /// [`StoreError::Statement`] where the connection has ended; [`StoreError::UnknownValue`].
    pub async fn beat(&self) -> Result<Option<Vec<(Matter, Duration)>>, StoreError> {
        let failed = |sql: &'static Sql| move |source| sql.failed(source);
        let beat = self.client.prepare_cached(BEAT.text).await.map_err(failed(&BEAT))?;
        let outlook = self.client.prepare_cached(OUTLOOK.text).await.map_err(failed(&OUTLOOK))?;
        // Both in one breath.
        let term = term_number(self.term);
        let (row, rows) =
            tokio::join!(async { self.client.query_opt(&beat, &[&term]).await }, async {
                self.client.query(&outlook, &[]).await
            },);
        if row.map_err(failed(&BEAT))?.is_none() {
            return Ok(None);
        }
        let rows = rows.map_err(failed(&OUTLOOK))?;
        let matter = |row| {
            let fields = OUTLOOK.fields(row);
            let millis = fields.count("ms")?;
            Ok((fields.parsed("matter")?, Duration::from_millis(millis)))
        };
        rows.iter().map(matter).collect::<Result<_, StoreError>>().map(Some)
    }
}

/// Does `work` in one transaction that counts only while `term` lasts: the next term begins after
/// it. `None` if the term is over; nothing was done then. It must not rest between two statements.
///
/// # Errors
///
/// As [`Store::within`], also when a statement takes longer than `limit`.
pub async fn within<T>(
    store: &Store,
    term: Term,
    limit: Duration,
    work: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut client = store.client().await?;
    let fenced = timeout(limit, async {
        let failed = |statement| {
            move |source: tokio_postgres::Error| StoreError::Statement {
                statement,
                source: source.into(),
            }
        };
        let transaction = client.transaction().await.map_err(failed(BEGIN))?;
        let (number, rest) = (term_number(term), milliseconds(limit.min(REST)));
        let fence = FENCE.query_opt(&transaction, &[&number, &milliseconds(limit), &rest]).await?;
        if fence.is_none() {
            return Ok(None);
        }
        let done = work(&transaction).await?;
        transaction.commit().await.map_err(failed(COMMIT))?;
        Ok(Some(done))
    })
    .await;
    fenced.unwrap_or_else(|_| {
        // Back in the pool, it would make the next one wait behind what hangs.
        drop(Client::take(client));
        Err(StoreError::Silent { limit })
    })
}

fn term_number(term: Term) -> i64 {
    i64::try_from(term.0).unwrap_or(i64::MAX)
}
