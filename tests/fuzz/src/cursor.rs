//! A place in a listing.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hostler::http::fuzz::cursor(bytes));
