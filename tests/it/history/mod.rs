//! What becomes of the past: backups, retention, archives.

mod archive;
mod backup;
mod feed;
mod host;
mod needed;
mod past;
mod retention;
mod upkeep;
