//! Copying every table out and in, as the catalog has them: what a backup is made of.
//!
//! Rows go as text, one a line, in the form of `COPY`; what a table is made of is asked for each
//! time, so that a new table is never forgotten.

use std::pin::pin;

use bytes::Bytes;
use deadpool_postgres::{GenericClient, Transaction};
use futures_util::{SinkExt as _, Stream, StreamExt as _};
use serde::{Deserialize, Serialize};

use super::{
    StoreError,
    statement::{Sql, sql},
};

const TABLES: Sql = sql!("copy/tables");
const SEQUENCES: Sql = sql!("copy/sequences");
const SET_SEQUENCE: Sql = sql!("copy/set_sequence");
const FORMS: Sql = sql!("copy/forms");
const OTHERS: Sql = sql!("copy/others");
/// What the statements that the catalog wrote go by.
const COPY: Sql = Sql { name: "copy/tables (a statement of it)", text: "" };
const SNAPSHOT: Sql = Sql {
    name: "copy snapshot",
    text: "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
};

/// A table, and how it is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name, without the schema.
    pub name: String,
    /// The columns that are copied, in their order.
    pub columns: Vec<String>,
    /// About how many rows it has, as the server guesses.
    pub estimate: u64,
    copy_out: String,
    copy_in: String,
    hold_triggers: String,
    free_triggers: String,
    look: String,
    empty_all: String,
}

/// How far a sequence has counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Its name, without the schema.
    pub name: String,
    /// The newest number, or the first if it gave out none.
    pub value: i64,
    /// Whether it gave that out.
    pub is_called: bool,
}

/// Makes everything that this transaction reads be of one moment, in one form. Must come first.
///
/// # Errors
///
/// [`StoreError::Statement`].
pub async fn snapshot(db: &Transaction<'_>) -> Result<(), StoreError> {
    db.batch_execute(SNAPSHOT.text).await.map_err(|source| SNAPSHOT.failed(source))?;
    forms(db).await
}

/// Makes everything that this transaction copies be in one form.
///
/// # Errors
///
/// [`StoreError::Statement`].
pub async fn forms(db: &impl GenericClient) -> Result<(), StoreError> {
    FORMS.query(db, &[]).await?;
    Ok(())
}

/// Every table but the two in which migrations are written down, those first that others refer to.
///
/// # Errors
///
/// [`StoreError::Statement`].
pub async fn tables(db: &impl GenericClient) -> Result<Vec<Table>, StoreError> {
    let rows = TABLES.query(db, &[]).await?;
    rows.iter()
        .map(|row| {
            let fields = TABLES.fields(row);
            Ok(Table {
                name: fields.get("name")?,
                columns: fields.get("columns")?,
                estimate: fields.count("estimate")?,
                copy_out: fields.get("copy_out")?,
                copy_in: fields.get("copy_in")?,
                hold_triggers: fields.get("hold_triggers")?,
                free_triggers: fields.get("free_triggers")?,
                look: fields.get("look")?,
                empty_all: fields.get("empty_all")?,
            })
        })
        .collect()
}

/// Every sequence, as it is now: it is of no snapshot.
///
/// # Errors
///
/// [`StoreError::Statement`].
pub async fn sequences(db: &impl GenericClient) -> Result<Vec<Sequence>, StoreError> {
    let rows = SEQUENCES.query(db, &[]).await?;
    rows.iter()
        .map(|row| {
            let fields = SEQUENCES.fields(row);
            Ok(Sequence {
                name: fields.get("name")?,
                value: fields.get("value")?,
                is_called: fields.get("is_called")?,
            })
        })
        .collect()
}

/// Lets a sequence go on where it was.
///
/// # Errors
///
/// [`StoreError::Statement`].
pub async fn set_sequence(db: &impl GenericClient, sequence: &Sequence) -> Result<(), StoreError> {
    let Sequence { name, value, is_called } = sequence;
    SET_SEQUENCE.query(db, &[name, value, is_called]).await?;
    Ok(())
}

/// Who else uses the database: hosts whose lease lasts, sessions of hosts. In words, for people.
///
/// # Errors
///
/// [`StoreError::Statement`].
pub async fn others(db: &impl GenericClient) -> Result<Vec<String>, StoreError> {
    let rows = OTHERS.query(db, &[]).await?;
    rows.iter().map(|row| OTHERS.fields(row).get("who")).collect()
}

impl Table {
    /// Whether it has a row.
    ///
    /// # Errors
    ///
    /// [`StoreError::Statement`].
    pub async fn has_rows(&self, db: &impl GenericClient) -> Result<bool, StoreError> {
        let row = db.query_one(&self.look, &[]).await.map_err(|source| COPY.failed(source))?;
        COPY.fields(&row).get("has_rows")
    }

    /// Its rows, in pieces of whole lines.
    ///
    /// # Errors
    ///
    /// [`StoreError::Statement`], at once or at any piece.
    pub async fn rows<'a>(
        &self,
        db: &'a Transaction<'_>,
    ) -> Result<impl Stream<Item = Result<Bytes, StoreError>> + use<'a>, StoreError> {
        let out = db.copy_out(&self.copy_out).await.map_err(|source| COPY.failed(source))?;
        Ok(out.map(|piece| piece.map_err(|source| COPY.failed(source))))
    }

    /// Takes rows in, as [`Table::rows`] gave them, and returns how many.
    ///
    /// # Errors
    ///
    /// Those of `rows`, after which nothing was taken in; [`StoreError::Statement`].
    pub async fn fill<E: From<StoreError>>(
        &self,
        db: &Transaction<'_>,
        rows: impl Iterator<Item = Result<Bytes, E>>,
    ) -> Result<u64, E> {
        let failed = |source| COPY.failed(source);
        let sink = db.copy_in::<_, Bytes>(&self.copy_in).await.map_err(failed)?;
        let mut sink = pin!(sink);
        for piece in rows {
            sink.feed(piece?).await.map_err(failed)?;
        }
        Ok(sink.finish().await.map_err(failed)?)
    }
}

/// Empties all `tables`, and holds their triggers back until [`free_triggers`]. Nobody else reads
/// or writes them until the transaction ends.
///
/// # Errors
///
/// [`StoreError::Statement`].
pub async fn empty(db: &Transaction<'_>, tables: &[Table]) -> Result<(), StoreError> {
    let Some(first) = tables.first() else { return Ok(()) };
    let all = tables.iter().map(|table| &table.hold_triggers).chain([&first.empty_all]);
    for statement in all {
        db.batch_execute(statement).await.map_err(|source| COPY.failed(source))?;
    }
    Ok(())
}

/// Lets the triggers of `tables` go.
///
/// # Errors
///
/// [`StoreError::Statement`].
pub async fn free_triggers(db: &Transaction<'_>, tables: &[Table]) -> Result<(), StoreError> {
    for table in tables {
        let freed = db.batch_execute(&table.free_triggers).await;
        freed.map_err(|source| COPY.failed(source))?;
    }
    Ok(())
}
