//! Where fleets work: below the roots of the host, all links followed.

use std::path::{Path, PathBuf};

use config::{Map, Value, ValueKind};

use super::{
    check,
    context::Context,
    reader::Section,
    roots::{OutOfBounds, Within, Workplace},
};
use crate::domain::fleet::Fleet;

/// Where there are roots, each fleet gets the directory that its `cwd` leads to, and its repository as
/// well; one that is not below a root is a problem.
pub(super) fn settle(
    context: &Context<'_>,
    root: &Map<String, Value>,
    roots: &[PathBuf],
    fleets: &mut [Fleet],
) {
    if roots.is_empty() {
        return;
    }
    let tables = check::named_tables(root, "fleets", "fleet_defaults");
    for fleet in fleets {
        let table = tables.iter().find(|(name, ..)| *name == fleet.name.as_str());
        let Some((_, path, ValueKind::Table(table))) =
            table.map(|(name, path, value)| (name, path, &value.kind))
        else {
            continue;
        };
        let section = Section::new(context, path.clone(), table);
        match open(&fleet.cwd, roots) {
            Ok(real) => fleet.cwd = real,
            Err(message) => section.problem("cwd", message),
        }
        if let Some(workspace) = &mut fleet.workspace {
            match open(&workspace.git, roots) {
                Ok(real) => workspace.git = real,
                Err(message) => {
                    if let Some(section) = section.section("workspace") {
                        section.problem("git", message);
                    }
                }
            }
        }
    }
}

fn open(dir: &Path, roots: &[PathBuf]) -> Result<PathBuf, String> {
    let opened = Workplace::open(dir, Within::Roots(roots));
    opened.map(|place| place.path().to_owned()).map_err(|error| {
        let shown = dir.display();
        match error {
            OutOfBounds::Outside => {
                format!("{shown} is not below a directory of host.roots: add one, or name another")
            }
            other => format!("{shown} {other}: check the path"),
        }
    })
}
