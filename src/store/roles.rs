//! The roles for programs and people that are given less than everything.

use deadpool_postgres::GenericClient;

use super::{StoreError, statement::Sql};

/// What makes the roles and says what each may do, for people to read first.
pub const TEXT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/roles.sql"));

const ROLES: Sql = Sql { name: "roles", text: TEXT };

/// Makes the roles that are not there, and grants each what it may do. Run in a transaction, or a
/// failure leaves half of it.
///
/// # Errors
///
/// [`StoreError::Statement`], where the connection may not make roles or does not own the schema.
pub async fn apply(db: &impl GenericClient) -> Result<(), StoreError> {
    db.batch_execute(ROLES.text).await.map_err(|source| ROLES.failed(source))
}
