//! The one integration test program. Every module is about one part; `support` is what they share.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod store;
mod support;
