//! Builds a host, bottom up.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
};

use slog::{Logger, info};
use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

use super::{
    adopt::adopt,
    attempts, autoscale,
    duties::start_janitor,
    housekeeping, merges,
    parts::http_state,
    reload::{LoadSettings, Reloader},
    stop::FINISH,
    systemd::Service,
    telling,
    upgrade::{self, Upgrades},
    workspaces::open_workspaces,
};
use crate::{
    access::Access,
    agent::{LogPolicy, Starts, Surroundings},
    audit::Audit,
    domain::{
        FleetName, HostId, QueueName,
        audit::{Outcome, Surface},
        fleet::Fleet,
        leadership::Pace,
        record::UpgradeRecord,
    },
    embedded::{DataDirLock, EmbeddedError, Postgres},
    events::EventsHandle,
    heartbeat::Clock,
    http,
    janitor::JanitorHandle,
    process::{self, Keeper, KeeperError, KeeperPlaces, look_at},
    queue::{Launch, OnLease, QueueHandle},
    sessions::Sessions,
    settings::{self, CgroupPlace, Settings},
    store::{
        Store, StoreError, hosts, limits,
        listen::Listener,
        migrate,
        notify::{self, News},
        queues, schedules,
    },
    supervisor::{Guard, Scales, SupervisorHandle},
    telemetry::{Component, Drops, Redactor, Rotation, component, metrics::Metrics},
    webhooks::WebhookHandle,
};

/// How many notices may wait for the queue actor. More are as good as one: it looks at everything.
const NOTICES: usize = 1024;

/// Why a host could not be started, by the part that failed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory or the private Postgres.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// The database.
    #[error("the database can't be used")]
    Store(#[from] StoreError),
    /// The keeper.
    #[error("the keeper could not be started")]
    Keeper(#[from] KeeperError),
    /// The API.
    #[error(transparent)]
    Http(#[from] http::HttpError),
    /// Something in the data directory.
    #[error("{what} {path} can't be used")]
    Files {
        /// What it is.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A host that runs. Ended by [`Running::stop`]. A process that dies without it leaves its agents to the
/// keeper, which ends them with the lease, unless the next host takes them back before that.
pub struct Running {
    pub(super) log: Logger,
    pub(super) settings: Arc<Settings>,
    pub(super) queue: QueueHandle,
    pub(super) janitor: JanitorHandle,
    pub(super) supervisor: SupervisorHandle,
    pub(super) webhooks: WebhookHandle,
    pub(super) access: Access,
    pub(super) audit: Audit,
    pub(super) reloader: Reloader,
    pub(super) upgrades: Option<upgrade::Asked>,
    pub(super) http: http::Server,
    pub(super) keeper: Keeper,
    pub(super) listener: Listener,
    pub(super) postgres: Option<Postgres>,
    pub(super) store: Store,
    pub(super) lock: DataDirLock,
}

impl Running {
    /// The queue.
    pub fn queue(&self) -> &QueueHandle {
        &self.queue
    }

    /// The supervisor.
    pub fn supervisor(&self) -> &SupervisorHandle {
        &self.supervisor
    }

    /// Where the API is served over TCP.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.http.addresses().to_vec()
    }
}

/// Where the control groups of agents may go.
fn cgroup_base(host: &settings::Host) -> Option<PathBuf> {
    match &host.cgroups {
        CgroupPlace::Auto => process::own_cgroup(),
        CgroupPlace::Off => None,
        CgroupPlace::At(path) => Some(path.clone()),
    }
}

/// Starts a host on the data directory that `lock` holds. Must be called within an actix system;
/// `env` is the environment of the process.
///
/// # Errors
///
/// [`StartError`], by the part that failed; what was started before it is ended again by its drop.
pub(super) async fn start(
    settings: Settings,
    env: BTreeMap<String, String>,
    (log, drops): (Logger, Drops),
    again: (LoadSettings, Redactor, Service),
    (lock, upgraded, inherited): (DataDirLock, Option<UpgradeRecord>, Option<TcpListener>),
) -> Result<Running, StartError> {
    let settings = Arc::new(settings);
    let log_dir = settings.host.log_dir().join("agents");
    for dir in [&log_dir, &settings.host.attempts_dir(), &settings.host.standing_dir()] {
        make_dir(dir)?;
    }
    let host = new_host(&settings)?;
    let (postgres, store) = open_store(&settings, &log, host.slot).await?;
    let keys_changed = Arc::new(Notify::new());
    let audit = start_audit(&settings, &store, &log)?;
    let access = Access::start(
        store.clone(),
        settings.host.name.clone(),
        settings.http.api_key.clone(),
        keys_changed.clone(),
        component(&log, Component::Http),
    )
    .await?;
    // Before anything runs, so that nothing has to be ended where it may not be so, and so that agents are
    // told where the API will be. What connects until then waits.
    let tcp = http::Server::bind(&settings.http, &access, inherited)?;
    let attempts = attempts::key(&settings.host.data_dir).map_err(|source| {
        files("the key of attempts in", settings.host.data_dir.clone(), source)
    })?;
    let keeper_log = component(&log, Component::Keeper);
    // One that was replaced on the disk goes on under this name.
    let exe = std::env::current_exe()
        .ok()
        .filter(|path| path.exists())
        .unwrap_or_else(|| PathBuf::from("/proc/self/exe"));
    let places = KeeperPlaces {
        exe,
        socket: settings.host.keeper_socket(),
        log_dir: settings.host.log_dir(),
        groups: cgroup_base(&settings.host),
        grace: settings.fleets.iter().map(|fleet| fleet.stop_grace).max().unwrap_or_default(),
    };
    let (keeper, found) = Keeper::start(&keeper_log, places).await?;
    let (slot, pace) = (host.slot, Pace::of(host.lease));
    let scales = read_scales(&settings)?;
    let mut adoption = adopt(&settings, &scales, &log, &keeper, (found, &store, &host)).await?;
    let info = http::HostInfo {
        id: host.id,
        name: host.name.clone(),
        version: env!("CARGO_PKG_VERSION"),
        started_at: jiff::Timestamp::now(),
        upgrade: upgraded,
        adoption: adoption.report.clone(),
    };
    let workspaces = open_workspaces(&settings, &log, &store, &adoption.resumed);
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
    let (notify, notices) = mpsc::channel(NOTICES);
    let listener = Listener::spawn(&store, component(&log, Component::Store), notify, keys_changed);
    let events = EventsHandle::start();
    let (feed, webhooks) = telling::start(&store, &events, host.id, &settings, &log, &metrics);
    let news = telling::write_news(&store, &events, host.id, &adoption.report, &log);
    let queue = QueueHandle::start(Launch {
        log: component(&log, Component::Queue),
        store: store.clone(),
        host,
        registered: adoption.registered,
        resumed: std::mem::take(&mut adoption.resumed),
        on_lease: keep_agents(&keeper),
        fleets: serves(&settings.fleets),
        terms: Arc::new(settings.queue_terms()),
        poll: settings.tasks.poll,
        wait_patience: settings.limits.patience,
        settle_buffer: settings.tasks.settle_buffer as usize,
        max_input: settings.tasks.max_input,
        notices,
        events,
        metrics: metrics.clone(),
    });
    let clock = Clock::start();
    let guard = Guard::of(&settings.host).await;
    let supervisor = SupervisorHandle::start(
        component(&log, Component::Supervisor),
        (settings.fleets.clone(), scales, settings.host.scales_file()),
        Surroundings {
            processes: Arc::new(keeper.clone()),
            queue: queue.for_agents(),
            api: Arc::new(attempts::api(&settings, tcp.as_ref(), attempts.clone())),
            env: Arc::new(env),
            attempts_dir: settings.host.attempts_dir(),
            standing_dir: settings.host.standing_dir(),
            bounded: !settings.host.roots.is_empty(),
            workspaces: workspaces.clone(),
            starts: Starts::new(settings.host.start_concurrency),
            // By the identity of the directory: the next host on it hears the same processes.
            notify_prefix: format!("hostler/{}", slot.simple()),
            trees: Arc::new(look_at),
            log_dir,
            log_policy: LogPolicy {
                rotation: Rotation {
                    size: settings.log.agent_rotate_size,
                    age: Some(settings.log.agent_rotate_age),
                    keep: settings.log.agent_keep_files,
                },
                rate: settings.log.agent_rate,
            },
            clock,
            metrics: metrics.clone(),
            log: component(&log, Component::Agent),
        },
        std::mem::take(&mut adoption.agents),
        (guard, news),
    );
    adoption.settle(&settings.host.attempts_dir(), &keeper, &queue, &workspaces);
    queue.report_to(supervisor.for_queue());
    merges::start(workspaces.clone(), queue.clone(), component(&log, Component::Agent));
    housekeeping::start(&settings.host, supervisor.clone(), log.clone());
    let janitor =
        start_janitor(&log, &store, slot, (pace, &settings.history), (&queue, &audit), &metrics);
    let sessions = Sessions::start(store.clone(), queue.clone(), metrics.clone(), &settings);
    let certificate = settings.http.tls.as_ref().map(http::Certificate::new);
    let reloader = Reloader::new(
        &log,
        again,
        settings.clone(),
        &store,
        (&queue, &supervisor),
        (certificate.clone(), audit.clone()),
    );
    let (upgrade, upgrades) = Upgrades::new();
    let parts = http::Parts {
        queue: queue.clone(),
        supervisor: supervisor.clone(),
        workspaces,
        sessions,
        access: access.clone(),
        audit: audit.clone(),
        attempts,
        feed,
        webhooks: webhooks.clone(),
        reload: reloader.for_requests(),
        upgrade: Arc::new(move |program| Box::pin(upgrade.clone().ask(program))),
        counters: metrics,
    };
    let state = http_state(&settings, &log, parts, drops, info);
    let socket = settings.host.socket();
    let http = match http::Server::start(state, &socket, tcp, certificate).await {
        Ok(http) => http,
        Err(error) => {
            // The agents run already: they must not outlive a host that never was.
            supervisor.kill_all().await;
            janitor.stop().await;
            webhooks.stop(FINISH).await;
            queue.finish(FINISH).await;
            access.finish().await;
            audit.finish().await;
            keeper.shutdown().await;
            return Err(error.into());
        }
    };
    autoscale::start(
        (log.clone(), audit.clone()),
        reloader.settings(),
        queue.clone(),
        supervisor.clone(),
        clock,
    );
    audit.note_of_host(Surface::Host, "host.start", &settings.host.name, Outcome::Done);
    if settings.host.watch_config {
        actix::spawn(reloader.clone().watch());
    }
    Ok(Running {
        log,
        settings,
        queue,
        janitor,
        supervisor,
        webhooks,
        access,
        audit,
        reloader,
        upgrades: Some(upgrades),
        http,
        keeper,
        listener,
        postgres,
        store,
        lock,
    })
}

/// Takes up the audit record where the host before left it.
fn start_audit(settings: &Settings, store: &Store, log: &Logger) -> Result<Audit, StartError> {
    let (dir, name) = (&settings.host.data_dir, settings.host.name.clone());
    Audit::start(store.clone(), name, dir, component(log, Component::Http))
        .map_err(|source| files("the journal of the audit record in", dir.clone(), source))
}

/// Should this host die, the keeper keeps the agents for the next one, for as long as the lease allows.
fn keep_agents(keeper: &Keeper) -> OnLease {
    let keeper = keeper.clone();
    Box::new(move |until, unless_told| keeper.keep_until(until, unless_told))
}

/// Which fleets take tasks, and of which queues.
pub(super) fn serves(fleets: &[Fleet]) -> Vec<(FleetName, Vec<QueueName>)> {
    let takers = fleets.iter().filter(|fleet| fleet.protocol.takes_tasks());
    takers.map(|fleet| (fleet.name.clone(), fleet.queues.clone())).collect()
}

/// The sizes that fleets were given by hand or by their load.
fn read_scales(settings: &Settings) -> Result<Scales, StartError> {
    let path = settings.host.scales_file();
    Scales::read(&path).map_err(|source| files("the file of the fleets' sizes", path, source))
}

fn files(what: &'static str, path: PathBuf, source: io::Error) -> StartError {
    StartError::Files { what, path, source }
}

fn make_dir(path: &PathBuf) -> Result<(), StartError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| files("the directory", path.clone(), source))
}

/// Starts the private Postgres or connects to the one that is named, and brings its schema up.
async fn open_store(
    settings: &Settings,
    log: &Logger,
    slot: Uuid,
) -> Result<(Option<Postgres>, Store), StartError> {
    let (postgres, config) = match &settings.database.url {
        Some(url) => (None, Store::parse_url(url)?),
        None => {
            let log = component(log, Component::Embedded);
            let dir = settings.host.postgres_dir();
            let postgres = Postgres::start(&log, &settings.database.embedded, &dir).await?;
            let config = postgres.config();
            (Some(postgres), config)
        }
    };
    let store = Store::of_host(&settings.database, config, slot)?;
    let report = migrate::run(&store).await?;
    info!(log, "schema is up to date"; "from" => report.from, "to" => report.to);
    ensure(&store, settings).await?;
    Ok((postgres, store))
}

/// Writes down what the settings say of queues, limits, schedules and webhooks.
pub(super) async fn ensure(store: &Store, settings: &Settings) -> Result<(), StoreError> {
    let wanted: Vec<_> =
        settings.queues.iter().map(|(name, queue)| (name.clone(), queue.clone())).collect();
    let client = store.client().await?;
    queues::ensure(&client, &wanted).await?;
    queues::set_terms(&client, &settings.queue_terms()).await?;
    limits::ensure(&client, settings).await?;
    // Hosts that run already may have to wait, or need not wait any more.
    notify::say(&client, &[News::Freed]).await?;
    drop(client);
    if !settings.schedules.is_empty() {
        store.transact(async |db| schedules::ensure(db, &settings.schedules).await).await?;
    }
    telling::ensure(store, settings).await
}

/// A new host id, and the slot: the identity of the data directory, by which the next host on it
/// takes its predecessor's tasks back at once.
fn new_host(settings: &Settings) -> Result<hosts::NewHost, StartError> {
    let path = settings.host.data_dir.join("slot");
    let slot = match std::fs::read_to_string(&path) {
        Ok(text) => Uuid::parse_str(text.trim())
            .map_err(|error| files("the slot file", path, io::Error::other(error)))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let slot = Uuid::now_v7();
            std::fs::write(&path, slot.to_string())
                .map_err(|source| files("the slot file", path, source))?;
            slot
        }
        Err(source) => return Err(files("the slot file", path, source)),
    };
    Ok(hosts::NewHost {
        id: HostId::from_uuid(Uuid::now_v7()),
        slot,
        name: settings.host.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        lease: settings.host.lease,
    })
}
