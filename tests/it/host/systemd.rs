//! A host under systemd, or whoever speaks its protocols.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt, net::UnixDatagram},
    },
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::sys::signal::Signal;

use crate::support::{
    host::{HOSTLER, Host, WORKER},
    processes::{eventually, send},
    wire::Ask,
};

/// What hears what a host tells.
struct Ear(UnixDatagram);

impl Ear {
    fn at(path: &Path) -> Self {
        let ear = UnixDatagram::bind(path).expect("a socket");
        ear.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
        Self(ear)
    }

    /// The next message that begins so; those before it are passed over.
    #[track_caller]
    fn until(&self, beginning: &str) -> String {
        let mut text = [0; 4096];
        let mut passed = Vec::new();
        loop {
            let Ok(length) = self.0.recv(&mut text) else {
                panic!("{beginning} never came, but {passed:?}");
            };
            let message = String::from_utf8_lossy(&text[..length]).into_owned();
            if message.starts_with(beginning) {
                return message;
            }
            passed.push(message);
        }
    }

    /// Whether a message that begins so comes before so long.
    fn hears_within(&self, beginning: &str, limit: Duration) -> bool {
        self.0.set_read_timeout(Some(limit)).expect("a limit");
        let mut text = [0; 4096];
        let mut heard = false;
        while let Ok(length) = self.0.recv(&mut text) {
            heard |= text[..length].starts_with(beginning.as_bytes());
        }
        self.0.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
        heard
    }
}

#[test]
fn the_one_who_started_it_hears_of_its_readiness_its_reloads_its_life_and_its_end() {
    let mut host = Host::new(WORKER);
    let socket = host.path("notify");
    let ear = Ear::at(&socket);
    host.env("NOTIFY_SOCKET", socket.to_str().expect("a name"));
    host.env("WATCHDOG_USEC", "3000000");
    host.restart();
    ear.until("READY=1");
    ear.until("WATCHDOG=1");
    let status = ear.until("STATUS=1 agent: ");
    assert!(status.contains("idle") || status.contains("starting"), "{status}");
    ear.until("WATCHDOG=1");
    send(host.pid(), Signal::SIGHUP);
    let reloading = ear.until("RELOADING=1\nMONOTONIC_USEC=");
    assert!(
        reloading["RELOADING=1\nMONOTONIC_USEC=".len()..].parse::<u64>().is_ok(),
        "{reloading}"
    );
    ear.until("READY=1");
    // What hangs tells nothing, though its process is there.
    send(host.pid(), Signal::SIGSTOP);
    // What it told before that is passed over.
    ear.hears_within("WATCHDOG=1", Duration::from_millis(1500));
    assert!(!ear.hears_within("WATCHDOG=1", Duration::from_secs(3)));
    send(host.pid(), Signal::SIGCONT);
    ear.until("WATCHDOG=1");
    assert!(host.stop().success());
    assert!(ear.until("STOPPING=1").contains("EXTEND_TIMEOUT_USEC="));
}

/// Starts a host that is handed this socket as its descriptor 3.
fn with_socket(host: &Host, listener: TcpListener, words: &[&str]) -> Child {
    let pass = "exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", pass, "sh", HOSTLER]).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", host.path(""));
    command.arg("--data-dir").arg(host.data_dir());
    command.args(["-c", host.path("base.toml").to_str().expect("a name")]);
    command.args(words).current_dir(host.path(""));
    let log = fs::File::create(host.path("stderr")).expect("a file");
    command.stdin(Stdio::from(OwnedFd::from(listener))).stdout(Stdio::null()).stderr(log);
    command.spawn().expect("it runs")
}

#[test]
fn a_socket_that_is_passed_is_listened_on_through_an_upgrade() {
    let host = Host::new("");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let database = format!("database.url={}", host.database().url());
    let mut child = with_socket(&host, listener, &["up", "--set", &database]);
    let answers = || {
        let answer = Ask::new("GET", "/api/v1/host").over_tcp(address);
        answer.ok().filter(|answer| answer.status == 200).map(|answer| answer.json())
    };
    eventually("it answers", || answers().is_some());
    let before = answers().expect("an answer");
    let done = host.cli(&["upgrade", HOSTLER]);
    assert_eq!(done.code, 0, "{done:?}\n{}", host.log());
    eventually("another answers at the same address", || {
        answers().is_some_and(|after| after["id"] != before["id"])
    });
    let pid = i32::try_from(child.id()).expect("a pid");
    assert_eq!(answers().expect("an answer")["pid"], pid, "the process is the same");
    // One that can't start its host gives the socket back, too.
    let broken = host.path("broken.sh");
    let text = "#!/bin/sh\ncase \"$*\" in *--probe*) exec @HOSTLER@ \"$@\" ;; esac\n\
                shift 2; exec @HOSTLER@ --data-dir /dev/null/none \"$@\"\n";
    fs::write(&broken, text.replace("@HOSTLER@", HOSTLER)).expect("a file");
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o755)).expect("chmod");
    let failed = host.cli(&["upgrade", broken.to_str().expect("a name")]);
    assert_eq!(failed.code, 1, "{failed:?}\n{}", host.log());
    eventually("the one before answers at the same address", || {
        answers().is_some_and(|after| after["upgrade"]["failed"].is_string())
    });
    // Over TCP nobody has it run a program.
    let upgrade =
        Ask::new("POST", "/api/v1/upgrade").json(&serde_json::json!({"program": HOSTLER}));
    assert_eq!(upgrade.over_tcp(address).expect("an answer").status, 403);
    send(pid, Signal::SIGTERM);
    assert!(child.wait().expect("it ends").success());
}

/// The fields of a unit file, section by section.
fn unit(name: &str) -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/systemd").join(name);
    let text = fs::read_to_string(path).expect("a unit");
    let mut section = String::new();
    let mut fields = BTreeMap::new();
    for line in
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{name}: {line}"));
        assert!(!section.is_empty() && key.chars().all(char::is_alphanumeric), "{name}: {line}");
        let field = format!("{section}.{key}");
        assert!(fields.insert(field, value.to_owned()).is_none(), "{name}: {line} is there twice");
    }
    fields
}

#[test]
fn the_unit_says_what_the_host_relies_on() {
    let service = unit("hostler.service");
    let is = |field: &str, value: &str| assert_eq!(service[&format!("Service.{field}")], value);
    is("Type", "notify-reload");
    is("KillMode", "process");
    is("NotifyAccess", "main");
    is("OOMPolicy", "continue");
    for controller in ["cpu", "memory", "pids"] {
        assert!(service["Service.Delegate"].split(' ').any(|word| word == controller));
    }
    // Its groups are made beside a host whose own has this name, and only there they can limit anything.
    is("DelegateSubgroup", "hostler");
    assert!(service.contains_key("Service.WatchdogSec"));
    // It is what a person could type.
    let command = &service["Service.ExecStart"];
    assert!(command.contains(" --data-dir /var/lib/hostler "), "{command}");
    // That directory is the tests' own here.
    let command = command.replace(" --data-dir /var/lib/hostler", "");
    let words: Vec<_> = command.split_whitespace().skip(1).collect();
    let host = Host::new("");
    let file = host.path("base.toml").display().to_string();
    let words: Vec<_> = words
        .iter()
        .map(|word| match *word {
            "/etc/hostler/hostler.toml" => file.as_str(),
            word => word,
        })
        .chain(["--probe"])
        .collect();
    assert_eq!(host.cli(&words).code, 0, "{command}");
    assert_eq!(unit("hostler.socket")["Socket.ListenStream"], "127.0.0.1:7117");
}
