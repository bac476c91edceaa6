//! The body of a webhook.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hostler::http::fuzz::webhook(bytes));
