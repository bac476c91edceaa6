//! `[history]`.

use std::{ops::RangeInclusive, time::Duration};

use super::{History, reader::Section, units::format_duration};
use crate::domain::history::{Keep, Terms};

/// The word for no end.
pub(super) const FOREVER: &str = "forever";

const MINUTE: Duration = Duration::from_secs(60);
/// A minute is longer than anybody is on the way with what he knows of a task.
const RANGE: RangeInclusive<Duration> = MINUTE..=Duration::from_secs(100 * 31_557_600);

/// Reads the section.
pub(super) fn read(section: &Section<'_>) -> Option<History> {
    let completed = keep(section, "completed");
    let cancelled = keep(section, "cancelled");
    let failed = keep(section, "failed");
    let dead_letters = keep(section, "dead_letters");
    let feed = keep(section, "feed");
    let plans = keep(section, "plans");
    let audit = keep(section, "audit");
    let archive = section.path_or_none("archive");
    let archive_keep = keep(section, "archive_keep");
    let terms = Terms {
        completed: completed?,
        cancelled: cancelled?,
        failed: failed?,
        dead_letters: dead_letters?,
        feed: feed?,
        plans: plans?,
    };
    Some(History { terms, archive: archive?, archive_keep: archive_keep?, audit: audit? })
}

fn keep(section: &Section<'_>, key: &str) -> Option<Keep> {
    let term = section.duration_or(FOREVER, key, RANGE)?;
    Some(term.map_or(Keep::Forever, Keep::For))
}

/// The word of a term in the config.
pub(super) fn keep_word(keep: Keep) -> String {
    match keep {
        Keep::Forever => FOREVER.to_owned(),
        Keep::For(term) => format_duration(term),
    }
}
