//! Many hosts on one database.

mod janitor;
mod leader;
