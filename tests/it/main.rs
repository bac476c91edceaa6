//! The integration tests: one binary, which drives the real program.

mod keeper;
