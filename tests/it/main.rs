//! What is tested from outside: whole programs, and the documents.

#![allow(clippy::unwrap_used, reason = "a test that can't go on ends in a panic")]

mod examples;
mod protocol_doc;
