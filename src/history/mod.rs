//! What becomes of the past: backups, and the history that is kept, archived and given up.
//!
//! | part | what it does |
//! | --- | --- |
//! | [`backup`] | every table as one file of one moment, and back |
//! | [`retention`] | deletes what is over its term, as a duty of the leader or by hand |
//! | [`archive`] | what is deleted, as compressed lines of JSON, and reading them |

pub mod archive;
pub mod backup;
pub mod retention;
