//! `[log]`.

use std::{collections::BTreeMap, time::Duration};

use slog::Level;

use super::{Component, Log, LogFormat, reader::Section, suggest};

const LEVELS: [(&str, Level); 6] = [
    ("critical", Level::Critical),
    ("error", Level::Error),
    ("warning", Level::Warning),
    ("info", Level::Info),
    ("debug", Level::Debug),
    ("trace", Level::Trace),
];

const FORMATS: [(&str, LogFormat); 2] = [("human", LogFormat::Human), ("json", LogFormat::Json)];

const MINUTE: Duration = Duration::from_secs(60);
const FILE_SIZES: std::ops::RangeInclusive<u64> = 4 << 10..=16 << 30;

/// Reads the section.
pub(super) fn read(section: &Section<'_>) -> Option<Log> {
    let level = section.word("level", &LEVELS);
    let components = section.section("components").and_then(|section| components(&section));
    let format = section.word("format", &FORMATS);
    let rotate_size = section.size("rotate_size", FILE_SIZES);
    let rotate_age = section.duration("rotate_age", MINUTE..=MINUTE * 60 * 24 * 365);
    let keep_files = section.number("keep_files", 0..=1000);
    let buffer = section.number("buffer", 16..=1_000_000);
    let agent_rotate_size = section.size("agent_rotate_size", FILE_SIZES);
    let agent_rotate_age = section.duration("agent_rotate_age", MINUTE..=MINUTE * 60 * 24 * 365);
    let agent_keep_files = section.number("agent_keep_files", 0..=1000);
    let agent_rate = section.size_or_off("agent_rate", 1 << 10..=1 << 40);
    Some(Log {
        level: level?,
        components: components?,
        format: format?,
        rotate_size: rotate_size?,
        rotate_age: rotate_age?,
        keep_files: keep_files?,
        buffer: buffer?,
        agent_rotate_size: agent_rotate_size?,
        agent_rotate_age: agent_rotate_age?,
        agent_keep_files: agent_keep_files?,
        agent_rate: agent_rate?,
    })
}

fn components(section: &Section<'_>) -> Option<BTreeMap<String, Level>> {
    let known = || Component::ALL.iter().map(|component| component.as_str());
    let mut levels = Some(BTreeMap::new());
    for name in section.keys() {
        if !known().any(|component| component == name) {
            let message = match suggest::closest(name, known()) {
                Some(word) => format!("unknown component; did you mean `{word}`?"),
                None => format!("unknown component; there are {}", suggest::list(known())),
            };
            section.problem(name, message);
        }
        match (section.word(name, &LEVELS), &mut levels) {
            (Some(level), Some(levels)) => _ = levels.insert(name.to_owned(), level),
            (Some(_), None) => {}
            (None, _) => levels = None,
        }
    }
    levels
}

/// The word of a level in the config.
pub(super) fn level_word(level: Level) -> &'static str {
    LEVELS.iter().find(|(_, known)| *known == level).map_or("info", |(word, _)| word)
}

/// The word of a format in the config.
pub(super) fn format_word(format: LogFormat) -> &'static str {
    FORMATS.iter().find(|(_, known)| *known == format).map_or("human", |(word, _)| word)
}
