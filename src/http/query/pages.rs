//! What is common to listings: how many a page holds, and where it begins.

use std::{fmt::Display, str::FromStr};

use super::{ApiError, Query, bad};
use crate::domain::BatchId;

impl Query {
    /// How many items a page has, and where it begins.
    fn page<T: FromStr<Err: Display>>(
        &self,
        (default, most): (u32, u32),
    ) -> Result<(u32, Option<T>), ApiError> {
        let cursor = self.get("cursor").map(|text| {
            text.parse().map_err(|_: T::Err| {
                bad("cursor", &"is no cursor; send the `next_cursor` of the page before")
            })
        });
        Ok((self.number("limit", default, 1, most)?, cursor.transpose()?))
    }
}

/// Reads how many items a page has, of which `sizes` says the usual and the largest number, and where it begins.
pub(in crate::http) fn page<T: FromStr<Err: Display>>(
    query: &str,
    sizes: (u32, u32),
) -> Result<(u32, Option<T>), ApiError> {
    Query::read(query, &["limit", "cursor"])?.page(sizes)
}

/// Reads what a listing of batches shows: as [`page`], and whether those alone that are not done.
pub(in crate::http) fn batches(
    query: &str,
    sizes: (u32, u32),
) -> Result<(u32, Option<BatchId>, bool), ApiError> {
    let query = Query::read(query, &["unfinished", "limit", "cursor"])?;
    let (limit, cursor) = query.page(sizes)?;
    Ok((limit, cursor, query.flag("unfinished")?))
}
