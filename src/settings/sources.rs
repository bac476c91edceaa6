//! Where settings come from: files, environment, flags, and what the machine says.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Everything that [`load`](super::load()) reads. Later sources win: the built-in defaults, the files
/// in their order, the environment, the flags.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The user's files; what they name by a relative path is relative to the file.
    pub files: Vec<PathBuf>,
    /// The environment of this process. `HOSTLER__SECTION__FIELD` sets a field, `PATH` is where
    /// commands are searched; nothing else is looked at.
    pub env: BTreeMap<String, String>,
    /// Fields that flags set, by their dotted names.
    pub flags: Vec<(String, String)>,
    /// What the machine says.
    pub machine: Machine,
    /// Checks the templates in the argv of an `exec` fleet; the error says what is wrong with them.
    pub check_template: fn(&[String]) -> Result<(), String>,
}

/// What the machine says about this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The working directory, which relative paths of flags and environment begin at.
    pub cwd: PathBuf,
    /// Whether the process runs as root.
    pub is_root: bool,
    /// The machine's host name.
    pub host_name: String,
    /// The data directory where no setting names one; `None` where there is no home for it.
    pub data_dir: Option<PathBuf>,
}

impl Machine {
    /// Asks the machine.
    pub fn detect(env: &BTreeMap<String, String>) -> Self {
        let is_root = nix::unistd::geteuid().is_root();
        Self {
            cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            is_root,
            host_name: host_name(env),
            data_dir: data_dir(is_root, env),
        }
    }
}

/// The data directory where no setting names one.
fn data_dir(is_root: bool, env: &BTreeMap<String, String>) -> Option<PathBuf> {
    if is_root {
        return Some(PathBuf::from("/var/lib/hostler"));
    }
    home(env, "XDG_DATA_HOME", ".local/share").map(|home| home.join("hostler"))
}

/// A directory of the XDG base directory specification, which says to ignore relative ones.
fn home(env: &BTreeMap<String, String>, xdg: &str, fallback: &str) -> Option<PathBuf> {
    let absolute = |name: &str| env.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(xdg).or_else(|| absolute("HOME").map(|home| home.join(fallback)))
}

/// The machine's host name, from the kernel, else from the environment.
fn host_name(env: &BTreeMap<String, String>) -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| env.get("HOSTNAME").cloned())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

/// The config file that is read when the user names none: the first of `./hostler.toml`,
/// `$XDG_CONFIG_HOME/hostler/hostler.toml` (or below `~/.config`) and `/etc/hostler/hostler.toml`
/// that is there.
pub fn default_file(env: &BTreeMap<String, String>) -> Option<PathBuf> {
    first_file(Path::new(""), env, Path::new("/etc"))
}

fn first_file(cwd: &Path, env: &BTreeMap<String, String>, etc: &Path) -> Option<PathBuf> {
    let user =
        home(env, "XDG_CONFIG_HOME", ".config").map(|home| home.join("hostler/hostler.toml"));
    [Some(cwd.join("hostler.toml")), user, Some(etc.join("hostler/hostler.toml"))]
        .into_iter()
        .flatten()
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn data_has_a_home() {
        let rows = [
            (true, env(&[("HOME", "/root")]), Some("/var/lib/hostler")),
            (false, env(&[("HOME", "/home/a")]), Some("/home/a/.local/share/hostler")),
            (false, env(&[("HOME", "/home/a"), ("XDG_DATA_HOME", "/d")]), Some("/d/hostler")),
            (
                false,
                env(&[("HOME", "/home/a"), ("XDG_DATA_HOME", "d")]),
                Some("/home/a/.local/share/hostler"),
            ),
            (false, env(&[]), None),
        ];
        for (is_root, env, dir) in rows {
            assert_eq!(data_dir(is_root, &env), dir.map(PathBuf::from), "{is_root} {env:?}");
        }
    }

    #[test]
    fn the_nearest_file_is_the_default() {
        let dir = tempfile::tempdir().unwrap();
        let (cwd, etc) = (dir.path().join("cwd"), dir.path().join("etc"));
        let env = env(&[("HOME", dir.path().to_str().unwrap())]);
        let places = [
            etc.join("hostler/hostler.toml"),
            dir.path().join(".config/hostler/hostler.toml"),
            cwd.join("hostler.toml"),
        ];
        assert_eq!(first_file(&cwd, &env, &etc), None);
        for place in places {
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(&place, "").unwrap();
            assert_eq!(first_file(&cwd, &env, &etc), Some(place));
        }
    }

    #[test]
    fn the_machine_has_a_name() {
        assert!(!Machine::detect(&BTreeMap::new()).host_name.is_empty());
    }
}
