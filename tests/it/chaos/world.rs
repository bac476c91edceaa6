//! The hosts, their links and their Postgres, and what is done to them.

use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use nix::sys::signal::Signal;
use tokio_postgres::NoTls;

use super::{
    schedule::Action,
    work::{NARROW, PER_ACCOUNT},
};
use crate::support::{
    cluster::on_a_runtime,
    host::Host,
    processes::{Process, send},
    proxy::Proxy,
    server::Server,
};

/// Short, so that it passes often; four beats of a busy machine fit in.
pub(super) const LEASE: Duration = Duration::from_secs(4);

/// Two workers, and a process per task, all of which write down every step.
const FLEETS: &str = r#"
[fleets.quick]
protocol = "worker"
command = ["python3", "@FIXTURES@/witness.py"]
count = 2
queues = ["default", "narrow"]

[fleets.once]
protocol = "exec"
command = ["python3", "@FIXTURES@/witness.py", "exec"]
output = "json"
queues = ["once"]

[queues.narrow]
concurrency = @NARROW@

[limits]
patience = "2s"

[limits.keys."account:*"]
concurrency = @PER_ACCOUNT@
"#;

/// Everything that faults happen to.
pub(super) struct World {
    server: Mutex<Server>,
    hosts: Vec<Seat>,
}

/// A host with its link to Postgres.
struct Seat {
    host: Mutex<Host>,
    link: Proxy,
    /// The name of what it wrote.
    name: String,
}

impl World {
    /// So many hosts on one Postgres, all of them ready.
    pub(super) fn new(hosts: usize, disk_mebibytes: u32) -> Self {
        let server = Server::on_disk(disk_mebibytes);
        if let Some(reason) = server.no_disk() {
            eprintln!("skipped: a full disk, for Postgres can't be given a small one: {reason}");
        }
        let fleets = FLEETS
            .replace("@NARROW@", &NARROW.to_string())
            .replace("@PER_ACCOUNT@", &PER_ACCOUNT.to_string());
        let seat = |nth: usize| {
            let link = Proxy::start(server.socket());
            let url = server.url(Some(&link.address().to_string()));
            let host = Host::embedded(&fleets)
                .set("database.url", &url)
                .set("host.lease", &format!("{}s", LEASE.as_secs()))
                .set("log.level", "info")
                .up();
            Seat { host: Mutex::new(host), link, name: format!("host-{nth}") }
        };
        let hosts = (0..hosts).map(seat).collect();
        Self { server: Mutex::new(server), hosts }
    }

    pub(super) fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().expect("no panic")
    }

    pub(super) fn host(&self, nth: usize) -> MutexGuard<'_, Host> {
        self.hosts[nth].host.lock().expect("no panic")
    }

    /// The numbers of all hosts, with their names.
    pub(super) fn names(&self) -> impl Iterator<Item = (usize, &str)> {
        self.hosts.iter().map(|seat| &*seat.name).enumerate()
    }

    /// Carries a step of the schedule out.
    pub(super) fn perform(&self, action: Action) {
        match action {
            Action::KillHost(nth) => self.kill(nth),
            Action::KillHostAndKeeper(nth) => {
                let keeper = keeper(&self.host(nth));
                self.kill(nth);
                signal(keeper.as_ref());
            }
            Action::StartHost(nth) => self.start(nth),
            Action::KillKeeper(nth) => signal(keeper(&self.host(nth)).as_ref()),
            Action::KillAgent(nth, pick) => {
                let agents = processes(&self.host(nth), "witness.py");
                signal(chosen(&agents, pick));
            }
            Action::Freeze(nth) => self.tell(nth, Signal::SIGSTOP),
            Action::Thaw(nth) => self.tell(nth, Signal::SIGCONT),
            Action::Cut(nth) => self.hosts[nth].link.cut(),
            Action::Stall(nth) => self.hosts[nth].link.stall(),
            Action::Deafen(nth) => self.hosts[nth].link.deafen(),
            Action::Mend(nth) => self.hosts[nth].link.mend(),
            Action::EndBackends(pick, count) => {
                let end = |pid: i32| format!("SELECT pg_terminate_backend({pid})::int");
                for pid in self.backends(pick).into_iter().take(count as usize) {
                    self.pids(&end(pid));
                }
            }
            Action::KillBackend(pick) => {
                if let Some(pid) = self.backends(pick).first() {
                    send(*pid, Signal::SIGKILL);
                }
            }
            Action::StopPostgres => self.server().stop_at_once(),
            Action::StartPostgres => self.server().launch(),
            Action::FillDisk => self.server().fill_disk(),
            Action::FreeDisk => self.server().free_disk(),
        }
    }

    /// What an operator's service manager does: whatever ended by itself is started again. Nothing
    /// that a fault has stopped has ended by itself.
    pub(super) fn tend(&self) {
        let mut server = self.server();
        // With its disk full it can't even recover.
        if server.has_ended() {
            server.launch();
        }
        drop(server);
        for (nth, _) in self.names() {
            let mut host = self.host(nth);
            // It can't begin without Postgres.
            if host.has_ended().is_some() {
                host.launch();
            }
        }
    }

    fn kill(&self, nth: usize) {
        let mut host = self.host(nth);
        if host.launched().is_some() {
            host.kill9();
        }
    }

    fn start(&self, nth: usize) {
        let mut host = self.host(nth);
        if host.launched().is_none() {
            host.launch();
        }
    }

    fn tell(&self, nth: usize, what: Signal) {
        let host = self.host(nth);
        if let Some(pid) = host.launched() {
            send(pid, what);
        }
    }

    /// The backends of the hosts, in an order that the number says.
    fn backends(&self, pick: u32) -> Vec<i32> {
        let all = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' \
            AND pid <> pg_backend_pid() AND datname = current_database()";
        self.pids(&format!("{all} ORDER BY hashint4extended(pid, {pick})"))
    }

    /// The numbers that a statement returns; none where Postgres does not answer.
    fn pids(&self, statement: &str) -> Vec<i32> {
        let config = self.server().database();
        on_a_runtime(async {
            let Ok((client, connection)) = config.connect(NoTls).await else { return Vec::new() };
            let connection = tokio::spawn(connection);
            let rows = client.query(statement, &[]).await.unwrap_or_default();
            drop(client);
            // It may have ended with an error: Postgres can go at any time.
            connection.await.expect("no panic").unwrap_or_default();
            rows.iter().map(|row| row.get(0)).collect()
        })
    }
}

fn processes(host: &Host, what: &str) -> Vec<Process> {
    let mut found = host.processes();
    found.retain(|one| one.command.split(' ').any(|word| word.ends_with(what)));
    found.sort();
    found
}

fn keeper(host: &Host) -> Option<Process> {
    processes(host, "keeper").into_iter().next()
}

fn chosen(all: &[Process], pick: u32) -> Option<&Process> {
    all.get(pick as usize % all.len().max(1))
}

fn signal(process: Option<&Process>) {
    if let Some(process) = process {
        send(process.pid, Signal::SIGKILL);
    }
}
