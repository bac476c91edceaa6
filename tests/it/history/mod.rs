//! What becomes of the past: backups, retention, archives.

mod backup;
mod upkeep;
