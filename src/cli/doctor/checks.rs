//! What the doctor looks at. Nothing here changes anything.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    sys::{
        resource::{Resource, getrlimit},
        statvfs::statvfs,
    },
    unistd::{AccessFlags, User, access, geteuid},
};

use super::{
    super::{address::Address, client::Client, exit::Exit},
    report::Check,
};
use crate::{
    domain::fleet::Fleet,
    embedded,
    http::{
        MAX_SOCKET_PATH,
        api::{HostRecord, Readiness},
    },
    settings::{Settings, format_size},
    store::Store,
    telemetry::Chain,
};

/// Below this much free space the host will soon stop.
const LITTLE_SPACE: u64 = 256 << 20;

/// Below this much free space it is time to look.
const SOME_SPACE: u64 = 2 << 30;

/// Open files of the host itself, and of each agent: its pipes, its log, the files of its attempt.
const FILES_OF_HOST: u64 = 128;
const FILES_OF_AGENT: u64 = 8;

/// How long Postgres may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Who runs the host, and who runs Postgres for it.
pub(super) fn user(settings: &Settings) -> Check {
    let name = User::from_uid(geteuid())
        .ok()
        .flatten()
        .map_or_else(|| format!("uid {}", geteuid()), |user| user.name);
    if !geteuid().is_root() {
        return Check::ok("user", name);
    }
    if settings.database.url.is_some() {
        let help = "agents that name no user run as root too: set `user` in each fleet";
        return Check::warn("user", "root", help);
    }
    let postgres = &settings.database.embedded.user;
    match User::from_name(postgres) {
        Ok(Some(found)) if !found.uid.is_root() => Check::warn(
            "user",
            format!("root; Postgres runs as {postgres}"),
            "agents that name no user run as root too: set `user` in each fleet",
        ),
        _ => Check::fail(
            "user",
            format!("root, and Postgres can't be; there is no other user `{postgres}`"),
            "make that user, or name another in database.embedded.user",
        ),
    }
}

/// The nearest directory at or above `path` that is there.
fn standing(path: &Path) -> &Path {
    path.ancestors().find(|above| above.is_dir()).unwrap_or(Path::new("/"))
}

/// Whom the private Postgres runs as where that is not this process: its uid and its group.
pub(super) fn postgres_account(settings: &Settings) -> Option<(u32, u32)> {
    if settings.database.url.is_some() || !geteuid().is_root() {
        return None;
    }
    let user = User::from_name(&settings.database.embedded.user).ok().flatten()?;
    Some((user.uid.as_raw(), user.gid.as_raw()))
}

/// The first directory on the way to `path` that this account may not pass.
fn closed_to(path: &Path, (uid, gid): (u32, u32)) -> Option<PathBuf> {
    let may_pass = |found: &fs::Metadata| {
        let bit = match (found.uid() == uid, found.gid() == gid) {
            (true, _) => 0o100,
            (false, true) => 0o010,
            (false, false) => 0o001,
        };
        found.mode() & bit != 0
    };
    let closed = |dir: &&Path| fs::metadata(dir).is_ok_and(|found| !may_pass(&found));
    path.ancestors().filter(closed).last().map(Path::to_owned)
}

/// Whether the data directory is there, or can be made, and `account` can get to it.
pub(super) fn data_dir(path: &Path, account: Option<(u32, u32)>) -> Check {
    let name = "data directory";
    let shown = path.display();
    if path.exists() && !path.is_dir() {
        let help = "move it away, or set host.data_dir";
        return Check::fail(name, format!("{shown} is not a directory"), help);
    }
    let there = standing(path);
    let flags = AccessFlags::W_OK | AccessFlags::X_OK;
    if let Err(error) = access(there, flags) {
        let detail = format!("{} can't be written to: {}", there.display(), error.desc());
        return Check::fail(name, detail, "set host.data_dir, or --data-dir");
    }
    if let Some(closed) = account.and_then(|account| closed_to(path, account)) {
        let detail = format!("{}: the user that Postgres runs as can't pass", closed.display());
        return Check::fail(
            name,
            detail,
            format!("chmod o+x {}, or set host.data_dir", closed.display()),
        );
    }
    match there == path {
        true => Check::ok(name, shown.to_string()),
        false => Check::ok(name, format!("{shown}, made at the first start")),
    }
}

/// Whether the paths of the sockets fit.
pub(super) fn sockets(paths: [PathBuf; 2]) -> Check {
    let longest = paths.iter().map(|path| path.as_os_str().len()).max().unwrap_or(0);
    if longest <= MAX_SOCKET_PATH {
        return Check::ok("sockets", format!("paths of {longest} bytes, of {MAX_SOCKET_PATH}"));
    }
    let detail = format!("paths of {longest} bytes; the system takes {MAX_SOCKET_PATH}");
    Check::fail("sockets", detail, "use a shorter data directory: set host.data_dir")
}

/// How much room there is.
pub(super) fn disk(data_dir: &Path) -> Check {
    let there = standing(data_dir);
    match statvfs(there) {
        Ok(found) => space(found.blocks_available().saturating_mul(found.fragment_size())),
        Err(error) => {
            let detail = format!("{} can't be asked: {}", there.display(), error.desc());
            Check::warn("disk", detail, "look at it by hand: df")
        }
    }
}

fn space(free: u64) -> Check {
    let detail = format!("{} free", rounded(free));
    let help = "make room, or set host.data_dir to another disk";
    match free {
        ..LITTLE_SPACE => Check::fail("disk", detail, help),
        LITTLE_SPACE..SOME_SPACE => Check::warn("disk", detail, help),
        SOME_SPACE.. => Check::ok("disk", detail),
    }
}

/// A size in whole GiB or MiB.
fn rounded(bytes: u64) -> String {
    let unit = if bytes >= 1 << 30 { 1 << 30 } else { 1 << 20 };
    format_size(bytes / unit * unit)
}

/// Whether as many files may be open as the fleets need.
pub(super) fn open_files(settings: &Settings) -> Check {
    let agents: u64 = settings.fleets.iter().map(|fleet| u64::from(fleet.count)).sum();
    let needed = FILES_OF_HOST + u64::from(settings.database.pool_size) + agents * FILES_OF_AGENT;
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, _)) => files(soft, needed, agents),
        Err(error) => Check::warn("open files", error.desc(), "look by hand: ulimit -n"),
    }
}

fn files(limit: u64, needed: u64, agents: u64) -> Check {
    let detail = format!("{limit} may be open; {agents} agents need about {needed}");
    if limit >= needed {
        return Check::ok("open files", detail);
    }
    Check::fail("open files", detail, format!("raise the limit: ulimit -n {}", needed * 2))
}

/// Whether there is a Postgres: one to run, or one that answers.
pub(super) async fn postgres(settings: &Settings, path: Option<&str>) -> Check {
    let database = &settings.database;
    if database.url.is_none() {
        let found = embedded::find(database.embedded.bin_dir.as_deref(), path.map(OsStr::new));
        return match found {
            Ok(it) => Check::ok("postgres", format!("{} in {}", it.version, it.bin_dir.display())),
            Err(error) => Check::fail("postgres", Chain(&error).to_string(), "then look again"),
        };
    }
    match tokio::time::timeout(ANSWERS_WITHIN, answers(settings)).await {
        Ok(Ok(())) => Check::ok("postgres", "database.url answers"),
        Ok(Err(detail)) => Check::fail("postgres", detail, "check database.url and the server"),
        Err(_) => {
            let detail = format!("no answer within {} s", ANSWERS_WITHIN.as_secs());
            Check::fail("postgres", detail, "check database.url, the server and the network")
        }
    }
}

/// Asks the Postgres of `database.url`. What goes wrong never shows the URL.
async fn answers(settings: &Settings) -> Result<(), String> {
    let Some(url) = &settings.database.url else { return Ok(()) };
    let told = |error| Chain(&error).to_string();
    let config = Store::parse_url(url).map_err(told)?;
    let store = Store::new(&settings.database, config).map_err(told)?;
    store.ping().await.map_err(told)
}

/// Whether the command of a fleet can be run.
pub(super) fn fleet(fleet: &Fleet, path: Option<&str>) -> Check {
    let name = format!("fleet {}", fleet.name);
    let Some(program) = fleet.command.first() else {
        return Check::fail(name, "has no command", "set `command` in its table");
    };
    let path = fleet.env.get("PATH").map(String::as_str).or(path).unwrap_or_default();
    if program.contains("{{") {
        return Check::ok(name, format!("{program} is filled in for each task"));
    }
    match program_at(program, &fleet.cwd, path) {
        Some(found) if !fleet.cwd.is_dir() => {
            let detail =
                format!("{}, in {}, which is not there", found.display(), fleet.cwd.display());
            Check::fail(name, detail, "make the directory, or set `cwd`")
        }
        Some(found) => Check::ok(name, format!("{} × {}", fleet.count, found.display())),
        None => {
            let detail = format!("`{program}` is not there, or can't be run");
            Check::fail(name, detail, "install it, or write its whole path in `command`")
        }
    }
}

/// Where a program is: by its path, or on PATH.
fn program_at(program: &str, cwd: &Path, path: &str) -> Option<PathBuf> {
    let runs = |file: &PathBuf| {
        fs::metadata(file).is_ok_and(|found| found.is_file())
            && access(file, AccessFlags::X_OK).is_ok()
    };
    if program.contains('/') {
        return Some(cwd.join(program)).filter(runs);
    }
    std::env::split_paths(path).map(|dir| dir.join(program)).find(runs)
}

/// Whether a host runs on the data directory, and is ready.
pub(super) async fn host(socket: &Path) -> Check {
    let client = Client::new(Address::Socket(socket.to_owned()), None, None);
    let record = match client.get::<HostRecord>("/api/v1/host").await {
        Ok(record) => record,
        Err(error) if error.exit == Exit::NotReachable => {
            return Check::ok("host", "none runs on this data directory");
        }
        Err(error) => return Check::warn("host", error.what, error.help.unwrap_or_default()),
    };
    let runs = format!("{} {} runs as process {}", record.name, record.version, record.pid);
    match client.probe::<Readiness>("/readyz").await {
        Ok(Readiness { ready: true, .. }) => Check::ok("host", format!("{runs}, and is ready")),
        Ok(Readiness { checks, .. }) => {
            let lacking = checks.iter().find(|check| !check.ready);
            let detail = lacking.map_or("", |check| check.detail.as_deref().unwrap_or_default());
            Check::warn("host", format!("{runs}; {detail}"), "its log says more")
        }
        Err(error) => Check::warn("host", format!("{runs}; {}", error.what), "its log says more"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{super::report::Status, *};

    #[test]
    fn sizes_have_their_verdicts() {
        assert_eq!(space(100 << 20).status, Status::Fail);
        assert_eq!(space(1 << 30).status, Status::Warn);
        assert_eq!(space(90 << 30).status, Status::Ok);
        assert_eq!(space((90 << 30) + 5).detail, "90GiB free");
        assert_eq!(files(1024, 200, 3).status, Status::Ok);
        assert_eq!(files(100, 200, 3).status, Status::Fail);
    }

    #[test]
    fn long_sockets_and_wrong_directories_fail() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(data_dir(&file, None).status, Status::Fail);
        assert_eq!(data_dir(dir.path(), None).status, Status::Ok);
        assert!(data_dir(&dir.path().join("a/b"), None).detail.contains("first start"));
        let long = dir.path().join("x".repeat(200));
        assert_eq!(sockets([long.join("a"), long.join("b")]).status, Status::Fail);
        assert_eq!(sockets([file.clone(), file]).status, Status::Ok);
        assert_eq!(disk(&dir.path().join("a/b")).name, "disk");
    }

    #[test]
    fn another_account_must_be_able_to_pass() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner/data");
        fs::create_dir_all(&inner).unwrap();
        let set = |mode| fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        let stranger = (65_533, 65_533);
        set(0o700);
        assert!(closed_to(&inner, stranger).is_some());
        assert_eq!(data_dir(&inner, Some(stranger)).status, Status::Fail);
        set(0o711);
        assert_ne!(closed_to(&inner, stranger).as_deref(), Some(dir.path()));
    }

    #[test]
    fn programs_are_found_where_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let tool = dir.path().join("tool");
        fs::write(&tool, "#!/bin/sh\n").unwrap();
        let path = format!("/nowhere:{}", dir.path().display());
        assert_eq!(program_at("tool", Path::new("/"), &path), None, "not executable");
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(program_at("tool", Path::new("/"), &path), Some(tool.clone()));
        assert_eq!(program_at("./tool", dir.path(), ""), Some(dir.path().join("./tool")));
        assert_eq!(program_at(tool.to_str().unwrap(), Path::new("/"), ""), Some(tool));
        assert_eq!(program_at("tool", dir.path(), "/nowhere"), None);
    }

    #[tokio::test]
    async fn no_host_is_no_fault() {
        assert_eq!(host(Path::new("/nowhere/h.sock")).await.status, Status::Ok);
    }
}
