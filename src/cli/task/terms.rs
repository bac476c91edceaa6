//! The flags of a submit that make a task more than plain.

use std::time::Duration;

use clap::Args;

use crate::{
    domain::{
        task::TaskState,
        unique::{KeyPart, OnConflict},
    },
    http::api::UniqueBody,
    settings::parse_duration,
};

/// `--unique` and what belongs to it.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct UniqueFlags {
    /// One task of this key in the queue, for as long as it is not final
    #[arg(long, value_name = "KEY", group = "is_unique", conflicts_with = "jsonl")]
    unique: Option<String>,
    /// The same, with a key that is made of these: queue, kind, input
    #[arg(
        long,
        value_name = "PARTS",
        value_delimiter = ',',
        group = "is_unique",
        conflicts_with = "jsonl"
    )]
    unique_by: Vec<KeyPart>,
    /// Only for so long after the first was submitted, but then also once it is completed
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, requires = "is_unique")]
    unique_window: Option<Duration>,
    /// Only while the first is in one of these states
    #[arg(long, value_name = "STATES", value_delimiter = ',', requires = "is_unique")]
    unique_states: Vec<TaskState>,
    /// If there is one: return it, replace what it says if it has not been started, or reject
    #[arg(long, value_name = "WAY", requires = "is_unique")]
    on_conflict: Option<OnConflict>,
}

impl UniqueFlags {
    /// What the API is told.
    pub(super) fn body(&self) -> Option<UniqueBody> {
        if self.unique.is_none() && self.unique_by.is_empty() {
            return None;
        }
        Some(UniqueBody {
            key: self.unique.clone(),
            by: self.unique_by.clone(),
            window: self.unique_window.map(|window| format!("{}ms", window.as_millis())),
            states: self.unique_states.clone(),
            on_conflict: self.on_conflict,
        })
    }
}
