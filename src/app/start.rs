//! Builds a host, bottom up.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    rc::Rc,
    sync::Arc,
};

use slog::{Logger, info};
use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

use super::{
    adopt::adopt,
    autoscale, housekeeping, merges,
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
    domain::{FleetName, HostId, QueueName, fleet::Fleet, leadership::Pace, record::UpgradeRecord},
    embedded::{DataDirLock, EmbeddedError, Postgres},
    events::EventsHandle,
    heartbeat::Clock,
    history::retention,
    http,
    janitor::{self, JanitorHandle},
    process::{self, Keeper, KeeperError, KeeperPlaces, look_at},
    queue::{Launch, OnLease, QueueHandle},
    sessions::{KEPT, Sessions},
    settings::{self, CgroupPlace, Settings},
    store::{
        Store, StoreError, hosts, limits,
        listen::Listener,
        migrate,
        notify::{self, News},
        queues, schedules,
    },
    supervisor::{Guard, Scales, SupervisorHandle},
    telemetry::{
        Component, Drops, Redactor, Rotation, component,
        metrics::{Metrics, Scrape},
    },
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
    let access = Access::start(
        store.clone(),
        settings.http.api_key.clone(),
        keys_changed.clone(),
        component(&log, Component::Http),
    )
    .await?;
    // Before anything runs.
    http::Server::may_bind(&settings.http, &access)?;
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
            env: Arc::new(env),
            attempts_dir: settings.host.attempts_dir(),
            standing_dir: settings.host.standing_dir(),
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
    let janitor = start_janitor(&log, &store, slot, (pace, &settings.history), &queue, &metrics);
    let sessions = Sessions::start(store.clone(), queue.clone(), metrics.clone(), &settings);
    let reloader = Reloader::new(&log, again, settings.clone(), &store, (&queue, &supervisor));
    let (upgrade, upgrades) = Upgrades::new();
    let parts = http::Parts {
        queue: queue.clone(),
        supervisor: supervisor.clone(),
        workspaces,
        sessions,
        access: access.clone(),
        feed,
        webhooks: webhooks.clone(),
        reload: reloader.for_requests(),
        upgrade: Arc::new(move |program| Box::pin(upgrade.clone().ask(program))),
    };
    let state = http_state(&settings, &log, parts, metrics, drops, info);
    let http = match http::Server::start(state, &settings.host.socket(), inherited).await {
        Ok(http) => http,
        Err(error) => {
            // The agents run already: they must not outlive a host that never was.
            supervisor.kill_all().await;
            janitor.stop().await;
            webhooks.stop(FINISH).await;
            queue.finish(FINISH).await;
            access.finish().await;
            keeper.shutdown().await;
            return Err(error.into());
        }
    };
    autoscale::start(log.clone(), reloader.settings(), queue.clone(), supervisor.clone(), clock);
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

/// Starts the janitor with the duties of the leader among the hosts.
fn start_janitor(
    log: &Logger,
    store: &Store,
    slot: Uuid,
    (pace, history): (Pace, &settings::History),
    queue: &QueueHandle,
    metrics: &Arc<Metrics>,
) -> JanitorHandle {
    let log = component(log, Component::Janitor);
    let for_ends = queue.clone();
    let ended: janitor::OnEnd = Rc::new(move |ended| for_ends.publish(ended));
    let for_terms = queue.clone();
    let terms: janitor::TermsNow = Rc::new(move || for_terms.terms());
    let duties = vec![
        janitor::lost_hosts(log.clone()),
        janitor::ended_pauses(log.clone()),
        janitor::fire_schedules(log.clone(), terms, ended.clone(), metrics.clone()),
        janitor::expire_tasks(log.clone(), ended.clone(), metrics.clone()),
        janitor::carry_out_plans(log.clone(), ended),
        janitor::forget_receipts(KEPT),
        retention::duty::duty(store.clone(), history, log.clone(), metrics.clone()),
    ];
    let (store, queue) = (store.clone(), queue.clone());
    let wake = Box::new(move |queues| queue.wake(queues));
    JanitorHandle::start(janitor::Launch { log, store, slot, pace, duties, wake })
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

fn http_state(
    settings: &Settings,
    log: &Logger,
    parts: http::Parts,
    metrics: Arc<Metrics>,
    drops: Drops,
    host: http::HostInfo,
) -> http::State {
    let (for_queue, for_supervisor) = (parts.queue.clone(), parts.supervisor.clone());
    let render: http::RenderMetrics = Arc::new(move || {
        let (queue, supervisor) = (for_queue.clone(), for_supervisor.clone());
        let (metrics, drops) = (metrics.clone(), drops.clone());
        Box::pin(async move {
            let scrape = Scrape {
                // What can't be looked up now is left out of this scrape.
                queues: queue.queues().await.unwrap_or_default(),
                agents: supervisor.agents().await.unwrap_or_default(),
                dropped_lines: drops.dropped_lines(),
            };
            metrics.render(&scrape)
        })
    });
    http::State::new(
        parts,
        settings.http.clone(),
        settings.tasks.clone(),
        host,
        render,
        component(log, Component::Http),
    )
}
