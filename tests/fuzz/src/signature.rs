//! A signed delivery.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hostler::http::fuzz::signature(bytes));
