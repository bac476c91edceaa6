//! What the integration tests share: a private Postgres, and a database per test in it.
//!
//! ```ignore
//! let database = TestDatabase::new().await;      // migrated, empty, this test's own
//! let store = database.store().await;            // a pool on it
//! let url = database.url();                      // for a program that is given a URL
//! ```
//!
//! The server is started by the first test that asks, is shared by all tests of the program, and is
//! gone when the program is, whichever way it ends: see `cluster`.

pub(crate) mod cluster;
pub(crate) mod database;
pub(crate) mod effects;
pub(crate) mod host;
pub(crate) mod netns;
pub(crate) mod processes;
pub(crate) mod proxy;
pub(crate) mod receiver;
pub(crate) mod server;
pub(crate) mod tools;
pub(crate) mod websocket;
pub(crate) mod wire;

pub(crate) use database::TestDatabase;
