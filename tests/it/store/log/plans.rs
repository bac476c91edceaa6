//! How the statements on the log are planned, and what they look at.

use super::*;

/// What a host does before the first task comes, so that it finds its plans made: all of them, and nothing
/// is written by that.
#[tokio::test]
async fn a_connection_is_warmed_without_a_trace() {
    let log = Log::new().await;
    let mut client = log.world.store.client().await.unwrap();
    let open = client.transaction().await.unwrap();
    log::warm(&open).await.unwrap();
    tasks::warm(&open).await.unwrap();
    let seen = "SELECT pg_current_xact_id_if_assigned() IS NULL AS clean,
        (
            SELECT array_agg(substring(statement FROM '^-- ([a-z_/]+):'))
            FROM pg_prepared_statements WHERE generic_plans = 1 AND statement LIKE '-- %'
        ) AS planned";
    let row = open.query_one(seen, &[]).await.unwrap();
    assert!(row.get::<_, bool>("clean"), "nothing was written");
    let mut planned: Vec<&str> = row.get("planned");
    planned.sort_unstable();
    let all = [
        "log/append",
        "log/append_claimed",
        "log/claim",
        "log/settle",
        "log/submit",
        "tasks/claim",
    ];
    assert_eq!(planned, all);
}

/// Of a table that was empty when a plan was made, and vacuumed, to read all is thought to cost no more than
/// to look one up: and a plan stays, however the table grows. What is done again and again leaves no choice.
#[tokio::test]
async fn a_plan_of_a_time_without_tasks_reads_by_keys_all_the_same() {
    let world = World::new().await;
    world.db.batch_execute("VACUUM ANALYZE").await.unwrap();
    for (name, text, given) in [
        ("claim", include_str!("../../../../sql/queries/log/claim.sql"), 6),
        ("submit", include_str!("../../../../sql/queries/log/submit.sql"), 13),
        ("append", include_str!("../../../../sql/queries/log/append.sql"), 8),
        ("append_claimed", include_str!("../../../../sql/queries/log/append_claimed.sql"), 11),
        ("settle", include_str!("../../../../sql/queries/log/settle.sql"), 7),
        ("again", include_str!("../../../../sql/queries/log/settle_again.sql"), 7),
        ("oldest", include_str!("../../../../sql/queries/queues/oldest.sql"), 1),
        ("feed", include_str!("../../../../sql/queries/feed/read.sql"), 5),
        ("tracked", include_str!("../../../../sql/queries/tasks/claim.sql"), 6),
        ("task", include_str!("../../../../sql/queries/tasks/get.sql"), 1),
        ("events", include_str!("../../../../sql/queries/tasks/events.sql"), 1),
        ("attempts", include_str!("../../../../sql/queries/tasks/attempts.sql"), 1),
    ] {
        let nulls = vec!["NULL"; given].join(", ");
        let plan = explained(&world.db, name, text, "FORMAT JSON", &nulls).await;
        let mut read = Vec::new();
        scans(&plan[0]["Plan"], "", &mut read);
        for (table, whole) in read {
            let large = ["tasks", "task_events", "attempts", "log_tasks", "log_ends", "log_feed"];
            assert!(!whole || !large.contains(&&*table), "{name} reads all of {table}: {plan:#}");
        }
    }
}

/// Prepares a statement as `name`, and what the server says of how it carries it out with `given`.
async fn explained(
    db: &Client,
    name: &str,
    text: &str,
    how: &str,
    given: &str,
) -> serde_json::Value {
    db.batch_execute(&format!("PREPARE {name} AS {text}")).await.unwrap();
    let explain = format!("EXPLAIN ({how}) EXECUTE {name}({given})");
    db.query_one(&explain, &[]).await.unwrap().get(0)
}

/// The tables that a plan reads, and whether it reads all of each. The first row of an index is not all.
fn scans(node: &serde_json::Value, above: &str, read: &mut Vec<(String, bool)>) {
    let kind = node["Node Type"].as_str().unwrap_or_default();
    if let Some(table) = node["Relation Name"].as_str()
        && kind.ends_with("Scan")
    {
        let by_key = node.get("Index Cond").is_some() || kind.starts_with("Bitmap");
        read.push((table.to_owned(), !by_key && above != "Limit"));
    }
    for below in node["Plans"].as_array().into_iter().flatten() {
        scans(below, kind, read);
    }
}

/// An old snapshot keeps every place that a cursor had and every claim that is over, and none of them is
/// met on the way to what counts.
#[tokio::test]
async fn what_an_old_snapshot_keeps_makes_nothing_dearer() {
    let log = Log::new().await;
    let db = &log.world.db;
    let mut other = log.world.store.client().await.unwrap();
    let strict = tokio_postgres::IsolationLevel::RepeatableRead;
    let snapshot = other.build_transaction().isolation_level(strict).start().await.unwrap();
    snapshot.query_one("SELECT count(*) FROM hostler.log_cursors", &[]).await.unwrap();
    let (host, lane, queue, claim) =
        (log.world.host.as_uuid(), log.lane.0, &log.world.queue, Uuid::new_v4());
    let past = format!(
        "DO $$ BEGIN FOR place IN -20000..0 LOOP
            UPDATE hostler.log_cursors SET taken = place;
            INSERT INTO hostler.log_claims (id, host_id, lane, first, last)
            VALUES (gen_random_uuid(), '{host}', {lane}, place, place);
        END LOOP; END $$;
        DELETE FROM hostler.log_claims"
    );
    db.batch_execute(&past).await.unwrap();
    db.batch_execute("VACUUM ANALYZE").await.unwrap();

    let submit = include_str!("../../../../sql/queries/log/submit.sql");
    let given = format!(
        "'{{{lane},{lane}}}', '{{2,3}}', ARRAY[gen_random_uuid(), gen_random_uuid()], '{{k,k}}',
        '{{1,1}}', '{{1,1}}', '{{null,null}}', '{{{lane}}}', '{{1}}', '{{2}}', '{host}',
        '{{{claim}}}', '{{1}}'"
    );
    let append = include_str!("../../../../sql/queries/log/append_claimed.sql");
    let appended = format!(
        "{lane}, 0, '{queue}', ARRAY[gen_random_uuid()], '{{k}}', '{{1}}', '{{1}}', '{{null}}',
        '{host}', gen_random_uuid(), 1"
    );
    let alone = include_str!("../../../../sql/queries/log/append.sql");
    let appended_alone = format!(
        "{lane}, 3, '{queue}', ARRAY[gen_random_uuid()], '{{k}}', '{{1}}', '{{1}}', '{{null}}'"
    );
    let claims = include_str!("../../../../sql/queries/log/claim.sql");
    let wanted = format!("'{host}', NULL, '{{{queue}}}', 1, gen_random_uuid(), 'agent'");
    let settle = include_str!("../../../../sql/queries/log/settle.sql");
    let ended =
        format!("'{host}', '{{{lane}}}', '{{1}}', '{{a}}', '{{5}}', '{{1}}', '{{{claim}}}'");
    for (name, text, given) in [
        ("append_claimed", append, appended),
        ("submit", submit, given),
        ("append", alone, appended_alone),
        ("claim", claims, wanted),
        ("settle", settle, ended),
    ] {
        let plan = explained(db, name, text, "ANALYZE, BUFFERS, FORMAT JSON", &given).await;
        let top = &plan[0]["Plan"];
        let pages = top["Shared Hit Blocks"].as_i64().unwrap()
            + top["Shared Read Blocks"].as_i64().unwrap();
        assert!(pages < 80, "{name} looks at {pages} pages: {plan:#}");
    }
    let counted = "SELECT (SELECT taken FROM hostler.log_cursors),
        (SELECT count(*) FROM hostler.log_claims), (SELECT count(*) FROM hostler.log_ends)";
    let row = db.query_one(counted, &[]).await.unwrap();
    let counted: [i64; 3] = [row.get(0), row.get(1), row.get(2)];
    assert_eq!(counted, [3, 2, 1], "two were handed out at once, one claimed, one is over");
}
