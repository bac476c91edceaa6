//! Finding the programs of Postgres on this machine.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::error::EmbeddedError;

/// The oldest major version that works with this build.
pub const OLDEST_VERSION: u32 = 14;
/// The newest major version that works with this build.
pub const NEWEST_VERSION: u32 = 18;

/// Directories of programs; a `*` stands for any text within one name.
const USUAL_PLACES: &[&str] = &[
    "/usr/lib/postgresql/*/bin",
    "/usr/lib64/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql/bin",
    "/usr/local/bin",
    "/usr/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
];

/// The programs of one version of Postgres.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The directory that holds `initdb` and `postgres`.
    pub bin_dir: PathBuf,
    /// The major version, as in 17.
    pub version: u32,
}

impl Installation {
    /// Whether this build knows how to work with this version.
    pub const fn is_supported(&self) -> bool {
        self.version >= OLDEST_VERSION && self.version <= NEWEST_VERSION
    }

    /// The path of one of its programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }
}

/// Finds the newest supported Postgres: in `bin_dir` alone where that is given, else on
/// `path_env` (the value of `PATH`) and in the places where packages put it.
///
/// Runs `postgres --version` of each one found, so it blocks for some milliseconds.
///
/// # Errors
///
/// [`EmbeddedError::NotInstalled`] or [`EmbeddedError::NotInBinDir`] where there is none, and
/// [`EmbeddedError::Unsupported`], which names what was found, where none of them is supported.
pub fn find(
    bin_dir: Option<&Path>,
    path_env: Option<&OsStr>,
) -> Result<Installation, EmbeddedError> {
    newest(all(bin_dir, path_env)?)
}

/// Like [`find`], for the cluster in `cluster`, which only its own major version can run.
///
/// # Errors
///
/// As [`find`], and [`EmbeddedError::OtherVersion`] where that version is not among those found.
pub(super) fn find_for(
    cluster: &Path,
    needed: u32,
    bin_dir: Option<&Path>,
    path_env: Option<&OsStr>,
) -> Result<Installation, EmbeddedError> {
    of_version(all(bin_dir, path_env)?, cluster, needed)
}

/// Everything there is, newest first, and among equals in the order of the places.
fn all(
    bin_dir: Option<&Path>,
    path_env: Option<&OsStr>,
) -> Result<Vec<Installation>, EmbeddedError> {
    let places = match bin_dir {
        Some(dir) => vec![dir.to_owned()],
        None => places(path_env, USUAL_PLACES),
    };
    let found = installations(&places, version_of);
    match bin_dir {
        Some(dir) if found.is_empty() => Err(EmbeddedError::NotInBinDir { path: dir.to_owned() }),
        _ if found.is_empty() => Err(EmbeddedError::NotInstalled),
        _ => Ok(found),
    }
}

fn newest(found: Vec<Installation>) -> Result<Installation, EmbeddedError> {
    match found.iter().find(|it| it.is_supported()) {
        Some(it) => Ok(it.clone()),
        None => Err(EmbeddedError::Unsupported { found }),
    }
}

fn of_version(
    found: Vec<Installation>,
    cluster: &Path,
    needed: u32,
) -> Result<Installation, EmbeddedError> {
    match found.iter().find(|it| it.version == needed) {
        Some(it) if it.is_supported() => Ok(it.clone()),
        Some(it) => Err(EmbeddedError::Unsupported { found: vec![it.clone()] }),
        None => Err(EmbeddedError::OtherVersion { path: cluster.to_owned(), needed, found }),
    }
}

/// The directories to look in, PATH first.
fn places(path_env: Option<&OsStr>, usual: &[&str]) -> Vec<PathBuf> {
    let on_path = path_env.into_iter().flat_map(std::env::split_paths);
    // A relative directory on PATH would depend on where the host was started.
    let mut places: Vec<PathBuf> = on_path.filter(|dir| dir.is_absolute()).collect();
    places.extend(usual.iter().flat_map(|pattern| expand(pattern)));
    places
}

/// The directories that `pattern` stands for, in the order of their names.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in Path::new(pattern) {
        let name = part.to_string_lossy();
        found = match name.split_once('*') {
            None => found.into_iter().map(|dir| dir.join(part)).collect(),
            Some((start, end)) => {
                found.iter().flat_map(|dir| entries(dir, start, end)).collect::<Vec<_>>()
            }
        };
    }
    found
}

/// What is in `dir` under a name with this start and end.
fn entries(dir: &Path, start: &str, end: &str) -> Vec<PathBuf> {
    let Ok(listing) = dir.read_dir() else {
        return Vec::new();
    };
    let fits = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
    };
    let mut found: Vec<PathBuf> =
        listing.filter_map(|entry| Some(entry.ok()?.path())).filter(fits).collect();
    found.sort();
    found
}

/// The installations in `places`; `version_of` is asked for those that have both programs.
fn installations(
    places: &[PathBuf],
    version_of: impl Fn(&Path) -> Option<u32>,
) -> Vec<Installation> {
    let mut found: Vec<Installation> = Vec::new();
    for dir in places {
        let complete = dir.join("initdb").is_file() && dir.join("postgres").is_file();
        if !complete || found.iter().any(|it| it.bin_dir == *dir) {
            continue;
        }
        if let Some(version) = version_of(&dir.join("postgres")) {
            found.push(Installation { bin_dir: dir.clone(), version });
        }
    }
    found.sort_by_key(|it| std::cmp::Reverse(it.version));
    found
}

/// Asks the program itself. `None` where it does not run, or says something else.
fn version_of(postgres: &Path) -> Option<u32> {
    let output =
        Command::new(postgres).arg("--version").env_clear().stdin(Stdio::null()).output().ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

/// The major version in `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`.
fn parse_version(text: &str) -> Option<u32> {
    let number = text.strip_prefix("postgres (PostgreSQL) ")?;
    let end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn installation(version: u32) -> Installation {
        Installation { bin_dir: format!("/pg/{version}/bin").into(), version }
    }

    #[test]
    fn versions_are_read_from_what_the_program_says() {
        let rows = [
            ("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n", Some(15)),
            ("postgres (PostgreSQL) 17.2\n", Some(17)),
            ("postgres (PostgreSQL) 19devel\n", Some(19)),
            ("postgres (PostgreSQL) 18beta1", Some(18)),
            ("postgres (PostgreSQL) 9.6.24", Some(9)),
            ("postgres (Other) 15.1", None),
            ("", None),
        ];
        for (text, version) in rows {
            assert_eq!(parse_version(text), version, "{text}");
        }
    }

    #[test]
    fn the_newest_supported_version_wins_and_others_are_named() {
        assert_eq!(newest([19, 17, 15].map(installation).to_vec()).unwrap().version, 17);
        let error = newest([19, 13].map(installation).to_vec()).unwrap_err().to_string();
        assert!(
            error.contains("PostgreSQL 19 (/pg/19/bin), PostgreSQL 13 (/pg/13/bin)"),
            "{error}"
        );
        assert!(error.contains("versions 14 to 18"), "{error}");
    }

    #[test]
    fn a_cluster_gets_its_own_version_or_a_message_that_names_it() {
        let cluster = Path::new("/data/cluster");
        let found = [17, 15, 13].map(installation).to_vec();
        assert_eq!(of_version(found.clone(), cluster, 15).unwrap().version, 15);
        let error = of_version(found.clone(), cluster, 16).unwrap_err().to_string();
        assert!(error.contains("`/data/cluster` was made by PostgreSQL 16"), "{error}");
        assert!(error.contains("PostgreSQL 17 (/pg/17/bin)"), "{error}");
        assert!(matches!(of_version(found, cluster, 13), Err(EmbeddedError::Unsupported { .. })));
    }

    #[test]
    fn without_the_programs_the_message_says_how_to_install_them() {
        let empty = tempfile::tempdir().unwrap();
        let error = all(Some(empty.path()), None).unwrap_err().to_string();
        assert!(error.contains("database.embedded.bin_dir"), "{error}");
        let error = EmbeddedError::NotInstalled.to_string();
        for command in ["apt-get install postgresql", "dnf install", "brew install postgresql@17"] {
            assert!(error.contains(command), "{error}");
        }
    }

    #[test]
    fn the_usual_places_and_path_are_searched_once_each() {
        let root = tempfile::tempdir().unwrap();
        for version in ["14", "16", "9.6", "empty"] {
            let bin = root.path().join("lib").join(version).join("bin");
            fs::create_dir_all(&bin).unwrap();
            if version != "empty" {
                fs::write(bin.join("initdb"), "").unwrap();
                fs::write(bin.join("postgres"), "").unwrap();
            }
        }
        let pattern = format!("{}/lib/*/bin", root.path().display());
        let on_path = root.path().join("lib/16/bin");
        let places = places(Some(on_path.as_os_str()), &[&pattern]);
        let found = installations(&places, |program| {
            let version = program.parent()?.parent()?.file_name()?.to_str()?;
            version.split('.').next()?.parse().ok()
        });
        let versions: Vec<u32> = found.iter().map(|it| it.version).collect();
        assert_eq!(versions, [16, 14, 9], "newest first, none twice, none without programs");
        assert_eq!(found[0].bin_dir, on_path);
    }
}
