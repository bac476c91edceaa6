//! The tour of the README is run as a reader would run it.
//!
//! A fenced `console` block after a line `<!-- tour -->` is part of the tour. Its lines that begin with
//! `$ ` are commands, run in order by `sh` in a copy of the repository's `examples/`; one that ends in
//! `\` goes on in the next line. One that ends in `&` is a host: it goes on in the background, and the
//! next command waits until it is ready, and `kill %1` stops it. Every other one must end with 0.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use nix::sys::signal::Signal;

use crate::support::{
    host::HOSTLER,
    processes::{self, PATIENCE, eventually, send, within},
    wire::Ask,
};

/// The commands of the tour, in order.
fn tour(readme: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let (mut announced, mut inside, mut goes_on) = (false, false, false);
    for line in readme.lines() {
        match line.trim_end() {
            "<!-- tour -->" => announced = true,
            "```console" if announced => inside = true,
            "```" => (announced, inside) = (false, false),
            line if inside && goes_on => {
                if let Some(command) = commands.last_mut() {
                    command.push('\n');
                    command.push_str(line.strip_prefix("> ").unwrap_or(line));
                }
                goes_on = line.ends_with('\\');
            }
            line if inside => {
                if let Some(command) = line.strip_prefix("$ ") {
                    commands.push(command.to_owned());
                    goes_on = command.ends_with('\\');
                }
            }
            _ => {}
        }
    }
    commands
}

#[test]
fn only_announced_blocks_are_part_of_the_tour() {
    let readme = "```console\n$ no\n```\n<!-- tour -->\n\n```console\n$ one \\\n    --two\nsaid\n$ three &\n```\n\
        ```console\n$ no\n```\n";
    assert_eq!(tour(readme), ["one \\\n    --two", "three &"]);
}

/// The place where the tour is taken.
struct Traveller {
    dir: tempfile::TempDir,
    hosts: Vec<Child>,
}

impl Traveller {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("tour-").tempdir().unwrap();
        // The user of a private Postgres must get through.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
        fs::create_dir(dir.path().join("tmp")).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        copy(&root.join("examples"), &dir.path().join("examples"));
        Self { dir, hosts: Vec::new() }
    }

    /// A shell in which `hostler` is the tested program, with a data directory of this place's own.
    fn shell(&self, command: &str) -> Command {
        let programs = Path::new(HOSTLER).parent().unwrap();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let places = std::iter::once(programs.to_owned()).chain(std::env::split_paths(&path));
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(self.dir.path()).stdin(Stdio::null());
        shell.env_clear().env("PATH", std::env::join_paths(places).unwrap());
        shell.env("HOME", self.dir.path()).env("TMPDIR", self.dir.path().join("tmp"));
        shell.env("HOSTLER__HOST__DATA_DIR", self.dir.path().join("data"));
        // Another test, or a person's own host, may have the usual port.
        shell.env("HOSTLER__HTTP__BIND", "off");
        shell
    }

    fn run(&mut self, command: &str) {
        // The one job of the reader's shell is the host.
        if command == "kill %1" {
            let mut host = self.hosts.remove(0);
            send(host.id().cast_signed(), Signal::SIGTERM);
            eventually("the host ends", || host.try_wait().unwrap().is_some());
            assert!(host.wait().unwrap().success(), "{}", self.log());
            return;
        }
        if let Some(host) = command.strip_suffix('&') {
            // In place of the shell, so that a signal reaches it.
            let log = fs::File::create(self.dir.path().join("host.log")).unwrap();
            let mut shell = self.shell(&format!("exec {host}"));
            self.hosts.push(shell.stdout(Stdio::null()).stderr(log).spawn().unwrap());
            let ask = Ask::new("GET", "/readyz");
            let socket = self.dir.path().join("data/hostler.sock");
            let ready = || ask.over_socket(&socket).is_ok_and(|answer| answer.status == 200);
            assert!(within(PATIENCE, ready), "`{command}` is not ready:\n{}", self.log());
            return;
        }
        let output = self.shell(command).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "`{command}`:\n{said}\n{complained}\n{}", self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("host.log")).unwrap_or_default()
    }

    /// Stops the hosts that the tour left running.
    fn go_home(mut self) {
        for mut host in std::mem::take(&mut self.hosts) {
            if host.try_wait().unwrap().is_none() {
                send(host.id().cast_signed(), Signal::SIGTERM);
            }
            eventually("the host ends", || host.try_wait().unwrap().is_some());
        }
        eventually("nothing is left", || processes::of(self.dir.path()).is_empty());
    }
}

impl Drop for Traveller {
    fn drop(&mut self) {
        for host in &mut self.hosts {
            host.kill().ok();
            host.wait().ok();
        }
        within(PATIENCE, || processes::of(self.dir.path()).is_empty());
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn the_tour_of_the_readme_works() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let commands = tour(&fs::read_to_string(readme).unwrap());
    assert!(commands.len() >= 3, "the README has a tour: {commands:?}");
    let mut traveller = Traveller::new();
    for command in &commands {
        traveller.run(command);
    }
    traveller.go_home();
}
