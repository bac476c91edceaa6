//! Settings from end to end: files, environment and flags in, settings or problems out.

mod broken;
mod defaults;
mod guards;
mod layered;
mod life;
mod shown;
mod webhooks;

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use super::*;

/// A directory with a config file and a program, and the sources that name them.
struct World {
    dir: tempfile::TempDir,
    sources: Sources,
}

impl World {
    /// A world whose config file `hostler.toml` holds `toml`.
    fn with(toml: &str) -> Self {
        let mut world = Self::empty();
        world.file("hostler.toml", toml);
        world
    }

    /// A world without a config file; `agent` is a program in PATH.
    fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let program = bin.join("agent");
        fs::write(&program, "").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let sources = Sources {
            files: Vec::new(),
            env: BTreeMap::from([("PATH".to_owned(), bin.to_str().unwrap().to_owned())]),
            flags: Vec::new(),
            machine: Machine {
                cwd: dir.path().to_owned(),
                is_root: false,
                host_name: "box".to_owned(),
                data_dir: Some(PathBuf::from("/data")),
            },
            check_template: |words| match words.iter().find(|word| word.contains("{{ oops")) {
                Some(word) => Err(format!("`{word}` is not a template: close it with `}}}}`")),
                None => Ok(()),
            },
        };
        Self { dir, sources }
    }

    /// Writes a config file and names it as one more source.
    fn file(&mut self, name: &str, toml: &str) {
        self.write(name, toml);
        self.sources.files.push(PathBuf::from(name));
    }

    /// Writes a file that is no source.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.sources.env.insert(name.to_owned(), value.to_owned());
        self
    }

    fn flag(mut self, field: &str, value: &str) -> Self {
        self.sources.flags.push((field.to_owned(), value.to_owned()));
        self
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn settings(&self) -> Settings {
        load(&self.sources).unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// The problems, one a line, with the directory of this world as `DIR`.
    fn problems(&self) -> String {
        let problems = load(&self.sources).expect_err("no problem was found").to_string();
        problems.replace(self.path().to_str().unwrap(), "DIR")
    }
}
