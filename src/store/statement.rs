//! A statement, the name it goes by, and reading its rows.

use std::collections::BTreeMap;

use deadpool_postgres::GenericClient;
use tokio_postgres::{
    Row,
    types::{FromSql, ToSql},
};

use super::error::{Cause, StoreError};
use crate::domain::task::TaskState;

/// A statement and the name it goes by in errors, logs and metrics.
pub(super) struct Sql {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
}

/// The statement in `sql/queries/<name>.sql`.
macro_rules! sql {
    ($name:literal) => {
        $crate::store::statement::Sql {
            name: $name,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/queries/", $name, ".sql")),
        }
    };
}
pub(super) use sql;

/// What a statement is given.
type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Sql {
    /// Runs the statement: one round trip, and one more the first time on a connection.
    pub(super) async fn query(
        &self,
        db: &impl GenericClient,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let failed = |source| self.failed(source);
        let statement = db.prepare_cached(self.text).await.map_err(failed)?;
        db.query(&statement, parameters).await.map_err(failed)
    }

    /// Prepares the statement on this connection, if it is not. [`Sql::query`] sends it at the first
    /// poll from then on: statements that are polled in an order are carried out in that order.
    pub(super) async fn prepare(&self, db: &impl GenericClient) -> Result<(), StoreError> {
        db.prepare_cached(self.text).await.map_err(|source| self.failed(source))?;
        Ok(())
    }

    /// Runs the statement, which returns one row or none.
    pub(super) async fn query_opt(
        &self,
        db: &impl GenericClient,
        parameters: Parameters<'_>,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.query(db, parameters).await?.into_iter().next())
    }

    /// The error of this statement.
    pub(super) fn failed(&self, source: tokio_postgres::Error) -> StoreError {
        StoreError::Statement { statement: self.name, source: Cause::from(source) }
    }

    /// Reads the columns of `row`, which this statement returned.
    pub(super) const fn fields<'a>(&self, row: &'a Row) -> Fields<'a> {
        Fields { statement: self.name, row }
    }
}

/// The columns of one row, read by their names.
pub(super) struct Fields<'a> {
    statement: &'static str,
    row: &'a Row,
}

impl<'a> Fields<'a> {
    /// The value of `column`.
    pub(super) fn get<T: FromSql<'a>>(&self, column: &'static str) -> Result<T, StoreError> {
        self.row.try_get(column).map_err(|_| self.unknown(column))
    }

    /// The value of `column`, which holds a number that is never negative.
    pub(super) fn count<T: TryFrom<i64>>(&self, column: &'static str) -> Result<T, StoreError> {
        self.count_opt(column)?.ok_or_else(|| self.unknown(column))
    }

    /// The value of `column`, which holds a number that is never negative, or nothing.
    pub(super) fn count_opt<T: TryFrom<i64>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let value: Option<Integer> = self.get(column)?;
        value.map(|value| T::try_from(value.0).map_err(|_| self.unknown(column))).transpose()
    }

    /// How many tasks there are in each state, of two lists of the same length: an empty one is null.
    pub(super) fn tally(
        &self,
        states: &'static str,
        counts: &'static str,
    ) -> Result<BTreeMap<TaskState, u64>, StoreError> {
        let states: Option<Vec<TaskState>> = self.get(states)?;
        let counts: Option<Vec<i64>> = self.get(counts)?;
        let per = states.unwrap_or_default().into_iter().zip(counts.unwrap_or_default());
        Ok(per.filter_map(|(state, tasks)| Some((state, u64::try_from(tasks).ok()?))).collect())
    }

    /// The value of `column`, a text that parses.
    pub(super) fn parsed<T: std::str::FromStr>(
        &self,
        column: &'static str,
    ) -> Result<T, StoreError> {
        self.get::<&str>(column)?.parse().map_err(|_| self.unknown(column))
    }

    /// The error of a value that this program does not know.
    pub(super) const fn unknown(&self, column: &'static str) -> StoreError {
        StoreError::UnknownValue { statement: self.statement, column }
    }
}

/// An integer column of any width.
struct Integer(i64);

impl<'a> FromSql<'a> for Integer {
    fn from_sql(
        ty: &tokio_postgres::types::Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        if <i32 as FromSql>::accepts(ty) {
            return i32::from_sql(ty, raw).map(|value| Self(value.into()));
        }
        i64::from_sql(ty, raw).map(Self)
    }

    fn accepts(ty: &tokio_postgres::types::Type) -> bool {
        <i32 as FromSql>::accepts(ty) || <i64 as FromSql>::accepts(ty)
    }
}
