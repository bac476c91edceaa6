//! Claims: what is handed out, in which order, and to whom.

use std::time::Duration;

use hostler::{
    domain::task::{NewTask, TaskState},
    store::{queues, tasks},
};
use jiff::Timestamp;

use super::{World, agents, ensure, register, task};

#[tokio::test]
async fn higher_priorities_come_first_and_then_older_tasks() {
    let world = World::new().await;
    let other = ensure(&world.db, "other").await;
    let mut batch: Vec<NewTask> = (0..4).map(|_| task(&world.queue)).collect();
    batch[2].priority = 5;
    batch[3].queue = other.clone();
    batch[3].priority = 1;
    batch[1].timeout = Some(Duration::from_millis(1_500));
    tasks::submit(&world.db, &batch).await.unwrap();

    let queues = [world.queue.clone(), other];
    let given = tasks::claim(&world.db, world.host, &queues, &agents(9), i16::MIN).await.unwrap();
    let order: Vec<_> = given.iter().map(|given| given.task).collect();
    assert_eq!(order, [batch[2].id, batch[3].id, batch[0].id, batch[1].id]);
    for (given, agent) in given.iter().zip(agents(9)) {
        assert_eq!((given.attempt.0, given.failures, given.max_attempts), (1, 0, 3));
        assert_eq!(given.agent, agent);
        assert_eq!(given.input, batch[0].input);
    }
    assert_eq!(given[3].timeout, Some(Duration::from_millis(1_500)));
    assert_eq!(given[1].queue, queues[1]);
    let record = tasks::get(&world.db, order[0]).await.unwrap().unwrap();
    assert_eq!((record.state, record.host), (TaskState::Running, Some(world.host)));
    assert!(record.started_at.is_some());
}

#[tokio::test]
async fn what_another_session_holds_is_skipped_without_waiting() {
    let world = World::new().await;
    let ids = world.submit(200).await;
    let mut other = world.store.client().await.unwrap();
    let transaction = other.transaction().await.unwrap();
    let queues = [world.queue.clone()];
    let theirs =
        tasks::claim(&transaction, world.host, &queues, &agents(60), i16::MIN).await.unwrap();
    let ours = world.claim(3).await;
    assert_eq!(theirs.iter().map(|given| given.task).collect::<Vec<_>>(), ids[..60]);
    assert_eq!(ours.iter().map(|given| given.task).collect::<Vec<_>>(), ids[60..63]);
    transaction.rollback().await.unwrap();
    assert_eq!(world.claim(1).await[0].task, ids[0]);
}

#[tokio::test]
async fn many_claimers_share_without_a_double() {
    let world = World::new().await;
    world.submit(300).await;
    let claimers = (0..6).map(|_| async {
        let db = world.store.client().await.unwrap();
        let mut got = Vec::new();
        loop {
            let queues = [world.queue.clone()];
            let given = tasks::claim(&db, world.host, &queues, &agents(7), i16::MIN).await.unwrap();
            if given.is_empty() {
                return got;
            }
            got.extend(given.into_iter().map(|given| given.task));
        }
    });
    let mut all: Vec<_> = futures_util::future::join_all(claimers).await.concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 300);
}

#[tokio::test]
async fn nothing_runs_before_its_time_or_out_of_a_paused_queue() {
    let world = World::new().await;
    let mut later = task(&world.queue);
    later.run_at = Some(Timestamp::now() + Duration::from_secs(3_600));
    let made = tasks::submit(&world.db, &[later]).await.unwrap();
    assert_eq!(made[0].state, TaskState::Scheduled);
    let promoted = tasks::promote_due(&world.db).await.unwrap();
    assert_eq!(promoted.queues, []);
    let wait = promoted.next_due.unwrap();
    assert!(wait > Duration::from_secs(3_500) && wait <= Duration::from_secs(3_600), "{wait:?}");
    assert_eq!(world.claim(5).await, []);

    world.submit(1).await;
    assert!(queues::pause(&world.db, &world.queue, "maintenance").await.unwrap());
    assert_eq!(world.claim(5).await, []);
    assert!(queues::resume(&world.db, &world.queue).await.unwrap());
    assert_eq!(world.claim(5).await.len(), 1);
}

#[tokio::test]
async fn due_tasks_are_promoted_and_their_queues_named() {
    let world = World::new().await;
    let ids = world.submit(2).await;
    world
        .db
        .execute(
            "INSERT INTO hostler.tasks (id, queue, kind, state, max_attempts, run_at)
             SELECT gen_random_uuid(), 'default', 'bulk', 'scheduled', 1, now() - interval '1 s'
             FROM generate_series(1, 1500)",
            &[],
        )
        .await
        .unwrap();
    let first = tasks::promote_due(&world.db).await.unwrap();
    assert_eq!(first.next_due, Some(Duration::ZERO), "more than one batch is due");
    let second = tasks::promote_due(&world.db).await.unwrap();
    assert_eq!((second.queues, second.next_due), (vec![world.queue.clone()], None));
    assert_eq!(world.state(ids[0]).await, TaskState::Pending);
    assert_eq!(tasks::promote_due(&world.db).await.unwrap().queues, []);
}

#[tokio::test]
async fn a_host_without_a_lease_claims_nothing() {
    let world = World::new().await;
    world.submit(1).await;
    let late = register(&world.db, uuid::Uuid::new_v4(), Duration::ZERO).await;
    let queues = [world.queue.clone()];
    assert_eq!(tasks::claim(&world.db, late, &queues, &agents(1), i16::MIN).await.unwrap(), []);
    assert_eq!(tasks::claim(&world.db, world.host, &[], &agents(1), i16::MIN).await.unwrap(), []);
    assert_eq!(tasks::claim(&world.db, world.host, &queues, &[], i16::MIN).await.unwrap(), []);
}

/// A plan that is kept from when the table was empty must be as good for a full one.
#[tokio::test]
async fn plans_made_for_an_empty_table_read_by_index() {
    let world = World::new().await;
    world.db.batch_execute("SET plan_cache_mode = force_generic_plan").await.unwrap();
    let host = world.host.as_uuid();
    let claim = include_str!("../../../sql/queries/tasks/claim.sql");
    let settle = include_str!("../../../sql/queries/tasks/settle.sql");
    world
        .db
        .batch_execute(&format!("PREPARE claim AS {claim} PREPARE settle AS {settle}"))
        .await
        .unwrap();
    let claim = format!("EXECUTE claim('{host}', '{{default}}', '{{a,b}}', 64, -32768)");
    let settle = format!(
        "EXECUTE settle('{host}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}')"
    );
    let empty = [explain(&world, &claim).await, explain(&world, &settle).await];
    world
        .db
        .batch_execute(
            "ALTER TABLE hostler.tasks DISABLE TRIGGER USER;
             INSERT INTO hostler.tasks
                 (id, queue, kind, state, max_attempts, attempt, version, finished_at)
             SELECT gen_random_uuid(), 'default', 'k', 'completed', 1, 1, 3, now()
             FROM generate_series(1, 20000);
             ALTER TABLE hostler.tasks ENABLE TRIGGER USER;
             ANALYZE hostler.tasks;",
        )
        .await
        .unwrap();
    let full = [explain(&world, &claim).await, explain(&world, &settle).await];
    for plan in empty.iter().chain(&full) {
        assert!(!plan.contains("Seq Scan on tasks"), "{plan}");
        assert!(!plan.contains("Join"), "{plan}");
    }
    for plan in [&empty[0], &full[0]] {
        assert!(plan.contains("using tasks_pending on tasks"), "{plan}");
        assert!(plan.contains("using tasks_pkey on tasks"), "{plan}");
    }
}

async fn explain(world: &World, statement: &str) -> String {
    let rows = world.db.query(&format!("EXPLAIN {statement}"), &[]).await.unwrap();
    rows.iter().map(|row| row.get::<_, String>(0) + "\n").collect()
}
