//! An exported session, as JSON and as Markdown.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hostler::http::fuzz::export(bytes));
