//! How the tables and indexes are, and what keeps vacuum from its work.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    StoreError,
    statement::{Sql, sql},
};

const TABLES: Sql = sql!("upkeep/tables");
const INDEXES: Sql = sql!("upkeep/indexes");
const HOLDERS: Sql = sql!("upkeep/holders");

/// One table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableUpkeep {
    /// Its name.
    pub name: String,
    /// How many rows it has, as the server counts.
    pub live: u64,
    /// How many dead rows wait for a vacuum, as the server counts.
    pub dead: u64,
    /// The size of its rows, in bytes.
    pub heap_bytes: u64,
    /// The size of its indexes, in bytes.
    pub index_bytes: u64,
    /// The size of all of it, in bytes.
    pub total_bytes: u64,
    /// About how many bytes of the heap hold nothing; unknown before the first ANALYZE.
    pub bloat_bytes: Option<u64>,
    /// When it was last vacuumed, by the server itself or by somebody.
    pub vacuumed_at: Option<Timestamp>,
    /// How often it was, since the statistics began.
    pub vacuums: u64,
    /// When it was last analyzed.
    pub analyzed_at: Option<Timestamp>,
}

/// One index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IndexUpkeep {
    /// The table it is of.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Its size, in bytes.
    pub bytes: u64,
    /// How often it was used, since the statistics began.
    pub scans: u64,
}

/// Something that keeps dead rows from being taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// `session`, `prepared` or `slot`.
    pub kind: String,
    /// The process id of the session, the id of the prepared transaction, the name of the slot.
    pub name: String,
    /// Whose it is.
    pub owner: Option<String>,
    /// What it is.
    pub what: String,
    /// What it is doing; `unknown` where the server does not tell.
    pub state: String,
    /// Since when, where that is known.
    pub since: Option<Timestamp>,
    /// How many transactions ago its snapshot is from.
    pub age: u64,
}

/// Every table, the largest first.
///
/// # Errors
///
/// [`StoreError::Statement`].
pub async fn tables(db: &impl GenericClient) -> Result<Vec<TableUpkeep>, StoreError> {
    let rows = TABLES.query(db, &[]).await?;
    rows.iter()
        .map(|row| {
            let fields = TABLES.fields(row);
            Ok(TableUpkeep {
                name: fields.get("name")?,
                live: fields.count("live")?,
                dead: fields.count("dead")?,
                heap_bytes: fields.count("heap_bytes")?,
                index_bytes: fields.count("index_bytes")?,
                total_bytes: fields.count("total_bytes")?,
                bloat_bytes: fields.count_opt("bloat_bytes")?,
                vacuumed_at: fields.get("vacuumed_at")?,
                vacuums: fields.count("vacuums")?,
                analyzed_at: fields.get("analyzed_at")?,
            })
        })
        .collect()
}

/// Every index, the largest first.
///
/// # Errors
///
/// [`StoreError::Statement`].
pub async fn indexes(db: &impl GenericClient) -> Result<Vec<IndexUpkeep>, StoreError> {
    let rows = INDEXES.query(db, &[]).await?;
    rows.iter()
        .map(|row| {
            let fields = INDEXES.fields(row);
            Ok(IndexUpkeep {
                table: fields.get("table")?,
                name: fields.get("name")?,
                bytes: fields.count("bytes")?,
                scans: fields.count("scans")?,
            })
        })
        .collect()
}

/// What keeps vacuum from its work, the oldest first.
///
/// # Errors
///
/// [`StoreError::Statement`].
pub async fn holders(db: &impl GenericClient) -> Result<Vec<Holder>, StoreError> {
    let rows = HOLDERS.query(db, &[]).await?;
    rows.iter()
        .map(|row| {
            let fields = HOLDERS.fields(row);
            Ok(Holder {
                kind: fields.get("kind")?,
                name: fields.get("name")?,
                owner: fields.get("owner")?,
                what: fields.get("what")?,
                state: fields.get("state")?,
                since: fields.get("since")?,
                age: fields.count("age")?,
            })
        })
        .collect()
}

impl Holder {
    /// What a person can do about it.
    pub fn advice(&self) -> String {
        let name = &self.name;
        match (self.kind.as_str(), self.state.as_str()) {
            ("prepared", _) => {
                format!("COMMIT PREPARED '{name}' or ROLLBACK PREPARED '{name}', as it should end")
            }
            ("slot", _) => format!(
                "let its reader catch up, or drop it if nobody reads it: SELECT pg_drop_replication_slot('{name}')"
            ),
            (_, "idle in transaction" | "idle in transaction (aborted)") => format!(
                "its program forgot to commit: mend that, or end it: SELECT pg_terminate_backend({name})"
            ),
            (_, "active") => {
                format!("let its statement end, or stop it: SELECT pg_cancel_backend({name})")
            }
            _ => format!("see what it does in pg_stat_activity, pid {name}"),
        }
    }
}
