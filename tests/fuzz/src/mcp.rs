//! A message of MCP with its headers.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hostler::http::fuzz::mcp(bytes));
