//! The one integration test program. Every module is about one part; `support` is what they share.

mod store;
mod support;
