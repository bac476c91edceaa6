//! The integration tests: one binary, which drives the real program.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails where it stands")]

mod keeper;
