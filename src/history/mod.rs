//! What becomes of the past: backups, and the history that is kept, archived and given up.
//!
//! | part | what it does |
//! | --- | --- |
//! | [`backup`] | every table as one file of one moment, and back |

pub mod backup;
