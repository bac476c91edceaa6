//! The one integration binary: a module per part, and `support` for all of them.

mod embedded;
mod examples;
mod keeper;
mod protocol_doc;
mod store;
mod support;
