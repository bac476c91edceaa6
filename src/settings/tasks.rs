//! `[tasks]`.

use std::time::Duration;

use super::{Tasks, reader::Section, retries};

/// Reads the section.
pub(super) fn read(section: &Section<'_>) -> Option<Tasks> {
    let max_attempts = section.number("max_attempts", 1..=100);
    let retry = section.section("retry").and_then(|section| retries::policy(&section));
    let max_input = section.size("max_input", 1 << 10..=256 << 20);
    let max_batch = section.number("max_batch", 1..=1_000_000);
    let poll = section.duration("poll", Duration::from_millis(10)..=Duration::from_secs(600));
    let settle_buffer = section.number("settle_buffer", 1..=10_000_000);
    Some(Tasks {
        max_attempts: max_attempts?,
        retry: retry?,
        max_input: max_input?,
        max_batch: max_batch?,
        poll: poll?,
        settle_buffer: settle_buffer?,
    })
}
