//! Many hosts at once. A checker reads what the database kept of it, and knows nothing of the code.

use std::{collections::BTreeMap, time::Duration};

use hostler::{
    domain::{
        admission::{Access, LimitChange, Limited},
        task::TaskEvent,
    },
    store::{limits, tasks},
};
use uuid::Uuid;

use super::*;

const TEXTS: [&str; 12] = [
    "a",
    "b",
    "a b",
    "~a",
    "~a b",
    "w:src/**",
    "w:src/http/*",
    "r:src/http/auth.rs",
    "r:**/*.rs",
    "@k",
    "@k ~a",
    "",
];

/// Three hosts that take turns at claiming and completing until nothing is left.
#[tokio::test]
async fn no_two_tasks_that_exclude_each_other_ever_run_at_once() {
    const TASKS: usize = 240;
    let world = World::new().await;
    let three = LimitChange { concurrency: Some(Some(3)), rate: None };
    limits::set(&world.db, &Limited::Key("k".parse().unwrap()), &three).await.unwrap();
    let batch: Vec<_> = (0..TASKS)
        .map(|n| {
            let mut task = needing(&world.queue, TEXTS[n % TEXTS.len()]);
            task.priority = i16::try_from(n % 5).unwrap() - 2;
            task
        })
        .collect();
    let ids = world.submit_all(&batch).await;
    let hosts = (0..3).map(|_| async {
        let db = world.store.client().await.unwrap();
        let host = register(&db, Uuid::new_v4(), Duration::from_secs(60)).await;
        let asked = order(host, std::slice::from_ref(&world.queue), super::super::agents(4));
        let mut ended = 0;
        loop {
            let given = choose(&world.store, &asked).await;
            // Plain tasks may be claimed by either way at the same time.
            let queues = [world.queue.clone()];
            let plain =
                tasks::claim(&db, host, &queues, &super::super::agents(1), i16::MIN).await.unwrap();
            let all: Vec<_> = given.assignments.into_iter().chain(plain).collect();
            if all.is_empty() && !given.blocked {
                return ended;
            }
            tokio::time::sleep(Duration::from_millis(fastrand_ms(ended))).await;
            let ends: Vec<_> = all.iter().map(|one| end(one, TaskEvent::Completed)).collect();
            assert_eq!(tasks::settle(&db, host, &ends).await.unwrap().len(), all.len());
            ended += all.len();
        }
    });
    let ended: Vec<usize> = futures_util::future::join_all(hosts).await;
    assert_eq!(ended.iter().sum::<usize>(), TASKS, "{ended:?}");
    assert!(ended.iter().all(|ended| *ended > 0), "all hosts took part: {ended:?}");

    let needs: BTreeMap<Uuid, Needs> = ids
        .iter()
        .zip(&batch)
        .map(|(id, task)| (*id.as_uuid(), task.terms.needs.clone()))
        .collect();
    check(&world.db, &needs).await;
    assert_eq!(world.held().await, 0);
}

/// A few milliseconds, differently for each number.
fn fastrand_ms(number: usize) -> u64 {
    u64::try_from(number * 7 % 5).unwrap()
}

/// Reads when each attempt began and ended, and looks at all that overlap.
async fn check(db: &Client, needs: &BTreeMap<Uuid, Needs>) {
    let overlapping = "
        SELECT one.task_id AS one, other.task_id AS other
        FROM hostler.attempts AS one JOIN hostler.attempts AS other
            ON one.task_id < other.task_id
            AND one.started_at < other.ended_at AND other.started_at < one.ended_at";
    let rows = db.query(overlapping, &[]).await.unwrap();
    assert!(rows.len() > 100, "much ran at once: {}", rows.len());
    for row in rows {
        let (one, other): (Uuid, Uuid) = (row.get("one"), row.get("other"));
        assert!(!exclude(&needs[&one], &needs[&other]), "{:?} {:?}", needs[&one], needs[&other]);
    }
    let most = "
        SELECT max(running) FROM (
            SELECT count(*) AS running
            FROM hostler.attempts AS began
            JOIN hostler.attempts AS runs
                ON runs.started_at <= began.started_at AND began.started_at < runs.ended_at
            JOIN hostler.task_needs
                ON task_needs.task_id = runs.task_id AND task_needs.kind = 'key'
            GROUP BY began.task_id
        ) AS moments";
    let most = count(db, most).await;
    assert!((1..=3).contains(&most), "{most} with one key at once");
}

fn exclude(one: &Needs, other: &Needs) -> bool {
    let locks = one.rows().any(|(kind, name)| {
        other.rows().any(|(theirs, same)| {
            let lock = |kind| matches!(kind, NeedKind::Exclusive | NeedKind::Shared);
            let shared = kind == NeedKind::Shared && theirs == NeedKind::Shared;
            lock(kind) && lock(theirs) && name == same && !shared
        })
    });
    let paths = one.paths().iter().any(|mine| {
        other.paths().iter().any(|theirs| {
            (mine.mode == Access::Write || theirs.mode == Access::Write)
                && mine.glob.overlaps(&theirs.glob)
        })
    });
    locks || paths
}

/// Rows are found by an index, whatever number of tasks there is, also by a plan that was made for
/// empty tables.
#[tokio::test]
async fn plans_made_for_empty_tables_read_by_index() {
    let world = World::new().await;
    world.db.batch_execute("SET plan_cache_mode = force_generic_plan").await.unwrap();
    let (candidates, gate) = (
        include_str!("../../../../sql/queries/tasks/candidates.sql"),
        include_str!("../../../../sql/queries/tasks/gate.sql"),
    );
    let prepare = format!("PREPARE candidates AS {candidates} PREPARE gate AS {gate}");
    world.db.batch_execute(&prepare).await.unwrap();
    let statements = [
        "EXPLAIN EXECUTE candidates('{default}', 4, '{-9223372036854775808}', 256, 256, -32768)",
        "EXPLAIN EXECUTE gate('{default}', 'agent')",
    ];
    for statement in statements {
        let rows = world.db.query(statement, &[]).await.unwrap();
        let plan: String = rows.iter().map(|row| row.get::<_, String>(0) + "\n").collect();
        assert!(!plan.contains("Seq Scan on tasks") && !plan.contains("hashed"), "{plan}");
        assert!(plan.contains("tasks_needing") && plan.contains("tasks_pending"), "{plan}");
    }
}
