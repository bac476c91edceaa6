//! Tasks that ended long ago, made by hand.

use std::{path::PathBuf, time::Duration};

use deadpool_postgres::Client;
use hostler::{
    domain::{
        TaskId,
        history::{Counts, Keep, Terms},
    },
    history::retention::{Retention, Right, Step},
    settings,
    store::{Store, leader},
};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::support::TestDatabase;

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const PATIENCE: Duration = Duration::from_secs(60);

/// The terms of the tests.
pub(super) const TERMS: Terms = Terms {
    completed: Keep::For(DAY.saturating_mul(7)),
    cancelled: Keep::For(DAY.saturating_mul(3)),
    failed: Keep::For(DAY.saturating_mul(30)),
    dead_letters: Keep::For(DAY.saturating_mul(90)),
    feed: Keep::For(DAY.saturating_mul(7)),
    plans: Keep::For(DAY.saturating_mul(100)),
};

/// A database with a past.
pub(super) struct Past {
    pub(super) db: Client,
    pub(super) store: Store,
    _database: TestDatabase,
}

impl Past {
    pub(super) async fn new() -> Self {
        let database = TestDatabase::new().await;
        let store = database.store().await;
        let db = store.client().await.unwrap();
        db.batch_execute("INSERT INTO hostler.queues (name) VALUES ('default')").await.unwrap();
        Self { db, store, _database: database }
    }

    /// A task that ended so many days ago in this state, after one attempt.
    pub(super) async fn ended(&self, state: &str, days: f64) -> TaskId {
        ended(&self.db, state, days).await
    }

    /// A task that waits for its turn, made so many days ago.
    pub(super) async fn pending(&self, days: f64) -> TaskId {
        pending(&self.db, days).await
    }

    /// A lane with plain tasks, all claimed and completed so many days ago, but for those that
    /// are named.
    pub(super) async fn lane(&self, tasks: i64, days: f64, open: &[i64]) -> i32 {
        lane(&self.db, tasks, days, open).await
    }

    pub(super) async fn count(&self, what: &str) -> i64 {
        self.db
            .query_one(&format!("SELECT count(*) FROM hostler.{what}"), &[])
            .await
            .unwrap()
            .get(0)
    }

    pub(super) async fn is_there(&self, task: TaskId) -> bool {
        self.count(&format!("tasks WHERE id = '{}'", task.as_uuid())).await == 1
    }

    pub(super) fn retention(&self, archive: Option<PathBuf>) -> Retention {
        Retention::new(
            self.store.clone(),
            &settings::History {
                terms: TERMS,
                archive,
                archive_keep: Keep::Forever,
                audit: Keep::Forever,
            },
        )
    }

    /// Sweeps by hand until these tasks and rows are gone: while tests beside this one have
    /// transactions open that are older, they stay.
    pub(super) async fn sweep_until(&self, retention: &Retention, gone: &[TaskId]) -> Counts {
        let (deadline, mut all) = (Instant::now() + PATIENCE, Counts::default());
        loop {
            all.add(&sweep(retention, Right::Hand).await);
            let mut left = 0;
            for task in gone {
                left += usize::from(self.is_there(*task).await);
            }
            if left == 0 {
                return all;
            }
            assert!(Instant::now() < deadline, "{left} tasks are still there: {all:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sweeps by hand until so many of this are left.
    pub(super) async fn sweep_down_to(
        &self,
        retention: &Retention,
        what: &str,
        left: i64,
    ) -> Counts {
        let (deadline, mut all) = (Instant::now() + PATIENCE, Counts::default());
        loop {
            all.add(&sweep(retention, Right::Hand).await);
            let now = self.count(what).await;
            if now <= left {
                assert_eq!(now, left, "{what}");
                return all;
            }
            assert!(Instant::now() < deadline, "{now} of {what} are left: {all:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) async fn settled(&self) {
        settled(&self.db).await;
    }

    /// Somebody leads.
    pub(super) async fn lead(&self) -> leader::Leadership {
        let limit = Duration::from_secs(20);
        leader::stand(&self.store, Uuid::new_v4(), limit, limit)
            .await
            .unwrap()
            .expect("nobody leads")
    }
}

/// One way through everything.
pub(super) async fn sweep(retention: &Retention, right: Right) -> Counts {
    let (mut sweep, mut all) = (retention.sweep().await.unwrap(), Counts::default());
    while let Step::Went(counts) = retention.step(&mut sweep, right).await.unwrap() {
        all.add(&counts);
    }
    all
}

/// Waits until no transaction is open that is older than what was done here so far.
pub(super) async fn settled(db: &Client) {
    let (now, deadline) = ("SELECT pg_current_xact_id()::text", Instant::now() + PATIENCE);
    let now: String = db.query_one(now, &[]).await.unwrap().get(0);
    let is_over = "SELECT pg_snapshot_xmin(pg_current_snapshot()) > $1::text::xid8";
    while !db.query_one(is_over, &[&now]).await.unwrap().get::<_, bool>(0) {
        assert!(Instant::now() < deadline, "something is open for ever");
        sleep(Duration::from_millis(20)).await;
    }
}

pub(super) async fn pending(db: &Client, days: f64) -> TaskId {
    let make = "
        WITH made AS (
            INSERT INTO hostler.tasks (id, queue, kind, state, max_attempts, created_at, run_at)
            SELECT hostler.task_id_at((extract(epoch FROM at) * 1000000)::bigint), 'default', 'past',
                'pending', 1, at, at
            FROM (SELECT now() - $1::float8 * interval '1 day') AS past (at)
            RETURNING id
        ), inputs AS (
            INSERT INTO hostler.task_inputs (task_id, input) SELECT id, '{\"n\": [1, \"a\\nb\"]}' FROM made
        )
        SELECT id FROM made";
    TaskId::from_uuid(db.query_one(make, &[&days]).await.unwrap().get(0))
}

pub(super) async fn ended(db: &Client, state: &str, days: f64) -> TaskId {
    let task = pending(db, days + 0.01).await;
    let begin = "
        UPDATE hostler.tasks SET state = 'running', version = 2, attempt = 1, agent = 'bot-1',
            host_id = gen_random_uuid(), started_at = now() - $2::float8 * interval '1 day'
        WHERE id = $1";
    db.execute(begin, &[task.as_uuid(), &days]).await.unwrap();
    let end = "
        WITH history AS (
            INSERT INTO hostler.attempts
                (task_id, attempt, outcome, class, message, detail, host_id, agent, started_at)
            SELECT id, 1, $3::text::hostler.attempt_outcome, CASE $3 WHEN 'failed' THEN 'exit' END
                    ::hostler.failure_class, CASE $3 WHEN 'failed' THEN 'status 1' END,
                CASE $3 WHEN 'failed' THEN '{}' END::jsonb, host_id, agent, started_at
            FROM hostler.tasks WHERE id = $1
        ), results AS (
            INSERT INTO hostler.task_results SELECT $1, '\"done\"' WHERE $3 = 'completed'
        )
        UPDATE hostler.tasks SET state = $3::text::hostler.task_state, version = 3, agent = NULL,
            host_id = NULL, started_at = NULL, failures = ($3 = 'failed')::integer,
            finished_at = now() - $2::float8 * interval '1 day'
        WHERE id = $1";
    db.execute(end, &[task.as_uuid(), &days, &state]).await.unwrap();
    task
}

pub(super) async fn lane(db: &Client, tasks: i64, days: f64, open: &[i64]) -> i32 {
    let make = "
        INSERT INTO hostler.log_lanes (slot, queue) VALUES (gen_random_uuid(), 'default')
        RETURNING id";
    let lane: i32 = db.query_one(make, &[]).await.unwrap().get(0);
    let cursor = "INSERT INTO hostler.log_cursors (lane, queue, taken) VALUES ($1, 'default', $2)";
    db.execute(cursor, &[&lane, &tasks]).await.unwrap();
    let fill = "
        WITH past AS (
            SELECT number, now() - $3::float8 * interval '1 day' AS at
            FROM generate_series(1, $2::bigint) AS number
        ), tasks AS (
            INSERT INTO hostler.log_tasks (lane, number, id, kind, input, max_attempts, created_at)
            SELECT $1, number, hostler.task_id_at((extract(epoch FROM at) * 1000000)::bigint), 'plain',
                to_jsonb(number), 1, at
            FROM past
        ), ends AS (
            INSERT INTO hostler.log_ends
                (lane, number, host_id, agent, started_at, ended_at, output)
            SELECT $1, number, gen_random_uuid(), 'bot-1', at, at, to_jsonb(-number)
            FROM past WHERE number <> ALL ($4::bigint[])
        )
        INSERT INTO hostler.log_feed (at, step, lane, first, last)
        SELECT now() - $3 * interval '1 day', step, $1, 1, $2 FROM unnest('{1,2}'::integer[]) AS step
        UNION ALL
        SELECT now() - $3 * interval '1 day', 3, $1, 1, $2";
    db.execute(fill, &[&lane, &tasks, &days, &open]).await.unwrap();
    lane
}
