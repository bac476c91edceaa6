//! A database for one test.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use hostler::{
    settings::{Database, Embedded},
    store::{Store, migrate},
};
use tokio_postgres::Config;

use super::{
    cluster::{Cluster, on_a_runtime},
    proxy::Proxy,
};

/// The migrated database that the others are copies of.
const TEMPLATE: &str = "migrated";

/// A database of one test's own, dropped with this value.
pub(crate) struct TestDatabase {
    cluster: &'static Cluster,
    name: String,
}

impl TestDatabase {
    /// A migrated database without a row: a copy of a template, which is quick.
    pub(crate) async fn new() -> Self {
        tokio::task::spawn_blocking(|| {
            static MIGRATED: OnceLock<()> = OnceLock::new();
            let cluster = Cluster::get();
            MIGRATED.get_or_init(|| {
                cluster.execute("postgres", &[&format!("CREATE DATABASE {TEMPLATE}")]);
                on_a_runtime(migrate_and_leave(cluster.config(TEMPLATE)));
            });
            Self::create(cluster, &format!("TEMPLATE {TEMPLATE}"))
        })
        .await
        .expect("a database")
    }

    /// A database in which no migration has run.
    pub(crate) async fn empty() -> Self {
        let made = tokio::task::spawn_blocking(|| Self::create(Cluster::get(), ""));
        made.await.expect("a database")
    }

    /// How to connect to it, as its superuser.
    pub(crate) fn config(&self) -> Config {
        self.cluster.config(&self.name)
    }

    /// The same as a URL: `postgres://hostler@/name?host=/directory/of/the/socket`.
    pub(crate) fn url(&self) -> String {
        self.cluster.url(&self.name)
    }

    /// A link of its own to the server, which can be cut or held up, and the URL of this database
    /// through it.
    pub(crate) fn through_proxy(&self) -> (Proxy, String) {
        let proxy = Proxy::start(self.cluster.socket());
        let url = format!("postgres://hostler@{}/{}?sslmode=disable", proxy.address(), self.name);
        (proxy, url)
    }

    /// A pool on it, for eight users.
    pub(crate) async fn store(&self) -> Store {
        let store = store(self.config());
        store.ping().await.expect("the server answers");
        store
    }

    /// Takes the server away, as far as this database goes: every connection is cut, and no new one
    /// is let in. Not from within a runtime.
    pub(crate) fn cut(&self) {
        self.allow_connections(false);
        // One may have been let in just before: it is cut by the second round.
        let name = &self.name;
        let cut = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        );
        self.cluster.execute("postgres", &[&cut, &cut]);
    }

    /// Brings it back.
    pub(crate) fn mend(&self) {
        self.allow_connections(true);
    }

    /// Runs statements in it. Not from within a runtime.
    pub(crate) fn execute(&self, statements: &[&str]) {
        self.cluster.execute(&self.name, statements);
    }

    fn allow_connections(&self, allow: bool) {
        let statement = format!("ALTER DATABASE {} ALLOW_CONNECTIONS {allow}", self.name);
        self.cluster.execute("postgres", &[&statement]);
    }

    fn create(cluster: &'static Cluster, options: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        cluster.execute("postgres", &[&format!("CREATE DATABASE {name} {options}")]);
        Self { cluster, name }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let statement = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        let cluster = self.cluster;
        // A thread of its own: tests drop this inside their runtime. A failure is not this test's;
        // the whole cluster goes soon.
        let dropped = std::thread::spawn(move || cluster.execute("postgres", &[&statement])).join();
        if dropped.is_err() && !std::thread::panicking() {
            panic!("the test database could not be dropped");
        }
    }
}

/// A pool for eight users.
pub(crate) fn store(config: Config) -> Store {
    Store::new(&settings(), config).expect("a pool")
}

/// How tests use a database.
pub(crate) fn settings() -> Database {
    Database {
        url: None,
        pool_size: 8,
        connect_timeout: Duration::from_secs(20),
        embedded: Embedded { bin_dir: None, user: "nobody".to_owned(), shared_buffers: 64 << 20 },
    }
}

/// Migrates, and waits until the server has seen the connections go: a template must have none.
async fn migrate_and_leave(config: Config) {
    let store = store(config.clone());
    migrate::run(&store).await.expect("the migrations run");
    store.close();
    drop(store);
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.expect("connects");
    let connection = tokio::spawn(connection);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let others = "SELECT count(*) FROM pg_stat_activity \
            WHERE datname = current_database() AND pid <> pg_backend_pid() \
                AND backend_type = 'client backend'";
        let row = client.query_one(others, &[]).await.expect("counts");
        if row.get::<_, i64>(0) == 0 {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the template is still in use");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(client);
    connection.await.expect("no panic").expect("a clean end");
}
