//! The one integration binary: a module per part, and `support` for all of them.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails; helpers are tests, too")]

mod adoption;
mod api;
mod chaos;
mod embedded;
mod examples;
mod faults;
mod history;
mod host;
mod hosts;
mod keeper;
mod model;
mod plan;
mod protocol_doc;
mod readme;
mod store;
mod support;
