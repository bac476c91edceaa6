//! `[database]`.

use std::time::Duration;

use super::{Database, Embedded, reader::Section, secrets};

const MIB: u64 = 1 << 20;

/// Reads the section.
pub(super) fn read(section: &Section<'_>) -> Option<Database> {
    let url = secrets::read(section, "url", "url_file");
    if let Some(Some(url)) = &url
        && !["postgres://", "postgresql://"].iter().any(|scheme| url.reveal().starts_with(scheme))
    {
        let message = "is not a Postgres URL: write postgres://USER:PASSWORD@HOST:PORT/DATABASE";
        section.problem(secrets::used(section, "url", "url_file"), message.to_owned());
    }
    let pool_size = section.number("pool_size", 1..=500);
    let connect_timeout =
        section.duration("connect_timeout", Duration::from_millis(100)..=Duration::from_secs(300));
    let embedded = section.section("embedded").and_then(|section| embedded(&section));
    Some(Database {
        url: url?,
        pool_size: pool_size?,
        connect_timeout: connect_timeout?,
        embedded: embedded?,
    })
}

fn embedded(section: &Section<'_>) -> Option<Embedded> {
    let bin_dir = section.path_or_none("bin_dir");
    if let Some(Some(dir)) = &bin_dir
        && !dir.is_dir()
    {
        let message =
            format!("{} is not a directory: name the one that has `initdb`", dir.display());
        section.problem("bin_dir", message);
    }
    let user = section.text("user");
    if user.as_deref() == Some("") {
        section.problem("user", "must not be empty: name a user other than root".to_owned());
    }
    let shared_buffers = section.size("shared_buffers", MIB..=256 * 1024 * MIB);
    Some(Embedded { bin_dir: bin_dir?, user: user?, shared_buffers: shared_buffers? })
}
