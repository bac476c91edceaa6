//! Programs of others that a test compares with: installed below the build directory when a test
//! first wants them. Where that can't be done the test says so, and is left out.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
};

/// One at a time: `pip` and `npm` don't like company in one directory.
static INSTALLS: Mutex<()> = Mutex::new(());

fn dir(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("tools").join(name)
}

fn install(name: &str, command: &mut Command) -> Option<PathBuf> {
    let _one = INSTALLS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (dir, done) = (dir(name), dir(name).join(".done"));
    if done.exists() {
        return Some(dir);
    }
    fs::create_dir_all(&dir).ok()?;
    let output = command.stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => {
            fs::write(done, "").ok()?;
            Some(dir)
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            eprintln!("SKIPPED: {name} can't be installed: {said}");
            None
        }
        Err(error) => {
            eprintln!("SKIPPED: {name} can't be installed: {error}");
            None
        }
    }
}

/// A directory for `PYTHONPATH` that has these packages.
pub(crate) fn python(name: &str, packages: &[&str]) -> Option<PathBuf> {
    let mut pip = Command::new("timeout");
    pip.args(["300", "python3", "-m", "pip", "install", "--quiet", "--no-input", "--target"]);
    install(name, pip.arg(dir(name)).args(packages))
}

/// A directory whose `node_modules` has these packages.
pub(crate) fn node(name: &str, packages: &[&str]) -> Option<PathBuf> {
    let mut npm = Command::new("timeout");
    npm.args(["300", "npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix"]);
    install(name, npm.arg(dir(name)).args(packages))
}
