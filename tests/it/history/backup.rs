//! Backups: taken, verified, restored, compared, and worked on.

use std::{collections::BTreeMap, fs, path::Path};

use hostler::{
    history::backup::{self, BackupError, Progress, dump, restore},
    store::{Store, copy, migrate},
};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{
    TestDatabase,
    host::{Host, WORKER},
};

/// Every table as text, row by row, found without the code that is tested.
async fn contents(store: &Store) -> BTreeMap<String, Vec<String>> {
    let db = store.client().await.unwrap();
    let tables = "SELECT relname::text FROM pg_class
        WHERE relnamespace = 'hostler'::regnamespace AND relkind = 'r'
            AND relname NOT IN ('schema_history', 'schema_versions')";
    let mut all = BTreeMap::new();
    for table in db.query(tables, &[]).await.unwrap() {
        let name: String = table.get(0);
        // Ids of transactions are those of the server.
        let rows = format!(
            "SELECT (to_jsonb(whole_row) - 'tx')::text FROM hostler.{name} AS whole_row ORDER BY 1"
        );
        let rows = db.query(&rows, &[]).await.unwrap();
        all.insert(name, rows.iter().map(|row| row.get(0)).collect());
    }
    all
}

/// The tables that have rows here; a new one is compared, too, whatever is in it.
const FILLED: [&str; 18] = [
    "attempts",
    "hosts",
    "leader",
    "log_claims",
    "log_cursors",
    "log_ends",
    "log_feed",
    "log_lanes",
    "log_tasks",
    "queue_terms",
    "queues",
    "schedule_firings",
    "schedules",
    "task_events",
    "task_inputs",
    "task_results",
    "task_unique",
    "tasks",
];

/// Something in every table, odd texts among it.
async fn fill(store: &Store) {
    let db = store.client().await.unwrap();
    let statements = r#"
        INSERT INTO hostler.queues (name, description, paused, paused_reason)
        VALUES ('default', E'tab\t, line\n, back\\slash, \\N, \\.', false, NULL),
            ('other', 'ünïcode 🦀', true, 'upkeep'), ('elsewhere', '', false, NULL);
        SELECT hostler.enqueue('default', E'odd\t\n\\kind', '{"text": "a\tb\nc\\d", "n": 1.50, "null": null}');
        SELECT hostler.enqueue('default', 'later', delay => '30 days', idempotency_key => 'k');
        SELECT hostler.enqueue('other', 'waits', priority => -5, timeout => '5 s', max_attempts => 9);
        SELECT hostler.complete_task(task_id, '"done"', attempt)
        FROM hostler.claim_task('bot-1', 'swarm', '{default}');
        SELECT hostler.enqueue('elsewhere', 'fails', max_attempts => 1);
        SELECT hostler.fail_task(task_id, E'it\ndid\tnot', attempt, detail => '{"code": 3}')
        FROM hostler.claim_task('bot-1', 'swarm', '{elsewhere}');
        SELECT hostler.enqueue('elsewhere', 'runs');
        SELECT hostler.claim_task('bot-2', 'swarm', '{elsewhere}', lease => '1 day');
        SELECT hostler.enqueue('default', 'many') FROM generate_series(1, 2000);
        UPDATE hostler.tasks SET state = 'cancelled', version = version + 1, finished_at = now()
        WHERE kind = 'waits';
        INSERT INTO hostler.hosts (id, slot, name, version, lease_ends_at)
        VALUES (gen_random_uuid(), gen_random_uuid(), 'gone', '0', now() - interval '1 hour');
        INSERT INTO hostler.leader (term, slot) VALUES (41, gen_random_uuid());
        INSERT INTO hostler.task_unique (queue, key, task_id)
        SELECT 'default', 'u', id FROM hostler.tasks LIMIT 1;
        INSERT INTO hostler.log_lanes (slot, queue) VALUES (gen_random_uuid(), 'default');
        INSERT INTO hostler.log_cursors SELECT id, queue, 2 FROM hostler.log_lanes;
        INSERT INTO hostler.log_tasks (lane, number, id, kind, input, max_attempts)
        SELECT id, number, hostler.task_id_at(number), 'plain', '{}', 3
        FROM hostler.log_lanes, generate_series(1, 3) AS number;
        INSERT INTO hostler.log_claims SELECT gen_random_uuid(), gen_random_uuid(), id, 1, 2
        FROM hostler.log_lanes;
        INSERT INTO hostler.log_ends (lane, number, host_id, agent, started_at, output)
        SELECT id, 1, gen_random_uuid(), 'a-1', now(), '"out"' FROM hostler.log_lanes;
        INSERT INTO hostler.log_feed (step, lane, first, last) SELECT 1, id, 1, 3
        FROM hostler.log_lanes;
        INSERT INTO hostler.schedules (
            name, description, origin, cron, zone, queue, kind, input, priority, overlap, catch_up,
            catch_up_max, paused, anchor, next_at
        ) VALUES (
            'nightly', '', 'api', '0 3 * * *', 'Europe/Berlin', 'default', 'clean', '[1, 2]', 0,
            'skip', 'last', 5, false, now(), now() + interval '1 day'
        );
        INSERT INTO hostler.schedule_firings (schedule, due_at, outcome, task_id)
        SELECT 'nightly', '1999-12-31 23:59:59.123456+01', 'fired', id FROM hostler.tasks LIMIT 1;
    "#;
    db.batch_execute(statements).await.unwrap();
}

/// A pool that is not taken for a host's.
async fn pool(database: &TestDatabase) -> Store {
    let mut config = database.config();
    config.application_name("test");
    crate::support::database::store(config)
}

fn place() -> (TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hostler.backup");
    (dir, file)
}

fn quiet() -> impl FnMut(Progress<'_>) {
    |step| assert!((0.0..=1.0).contains(&step.done), "{step:?}")
}

#[tokio::test]
async fn every_table_comes_back_as_it_was() {
    let (_dir, file) = place();
    let from = TestDatabase::new().await;
    let store = pool(&from).await;
    fill(&store).await;
    let before = contents(&store).await;
    for table in FILLED {
        assert!(!before[table].is_empty(), "this test has to put a row into {table}");
    }
    let sequences = copy::sequences(&store.client().await.unwrap()).await.unwrap();

    let (header, tables) = dump(&store, &file, false, &mut quiet()).await.unwrap();
    assert_eq!(header.schema, migrate::KNOWN);
    let counted: BTreeMap<_, _> =
        tables.iter().map(|table| (table.table.clone(), table.rows)).collect();
    let rows = before.iter().map(|(name, rows)| (name.clone(), rows.len() as u64));
    assert_eq!(counted, rows.collect());
    let verified = backup::verify(&file, &mut quiet()).unwrap();
    assert_eq!(verified, (header, tables.clone()));
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "it holds what tasks were given");

    // Into a database without a schema, and into one with an empty one.
    for to in [TestDatabase::empty().await, TestDatabase::new().await] {
        let target = pool(&to).await;
        let restored = restore(&target, &file, false, &mut quiet()).await.unwrap();
        assert_eq!((restored.tables, restored.schema), (tables.clone(), migrate::KNOWN));
        assert_eq!(contents(&target).await, before);
        let db = target.client().await.unwrap();
        assert_eq!(copy::sequences(&db).await.unwrap(), sequences);
        // The feed tells of it from the beginning, whatever the ids of transactions were.
        let told = "SELECT count(*) FROM hostler.task_events
            WHERE position IS NOT NULL AND pg_visible_in_snapshot(tx, pg_current_snapshot())";
        let told: i64 = db.query_one(told, &[]).await.unwrap().get(0);
        let events = before["task_events"].iter().filter(|row| !row.contains("\"position\": null"));
        assert_eq!(usize::try_from(told).unwrap(), events.count());
        // The triggers are back: a step that is not legal is refused.
        let illegal = "UPDATE hostler.tasks SET state = 'completed' WHERE state = 'pending'";
        assert!(db.batch_execute(illegal).await.is_err());
    }
}

#[tokio::test]
async fn what_is_there_is_given_up_only_when_asked() {
    let (_dir, file) = place();
    let from = TestDatabase::new().await;
    let store = pool(&from).await;
    fill(&store).await;
    dump(&store, &file, false, &mut quiet()).await.unwrap();
    let before = contents(&store).await;
    // A file that is there stays, unless asked.
    let again = dump(&store, &file, false, &mut quiet()).await;
    assert!(matches!(again, Err(BackupError::Exists { .. })), "{again:?}");
    dump(&store, &file, true, &mut quiet()).await.unwrap();

    store
        .client()
        .await
        .unwrap()
        .batch_execute("SELECT hostler.enqueue('default', 'new')")
        .await
        .unwrap();
    let changed = contents(&store).await;
    let refused = restore(&store, &file, false, &mut quiet()).await;
    assert!(matches!(refused, Err(BackupError::NotEmpty { .. })), "{refused:?}");
    assert_eq!(contents(&store).await, changed);
    // Not under the hands of a host.
    let db = store.client().await.unwrap();
    let live =
        "UPDATE hostler.hosts SET lease_ends_at = now() + interval '1 hour' WHERE kind = 'host'";
    db.batch_execute(live).await.unwrap();
    let refused = restore(&store, &file, true, &mut quiet()).await;
    assert!(matches!(refused, Err(BackupError::InUse { .. })), "{refused:?}");
    db.batch_execute("UPDATE hostler.hosts SET lease_ends_at = now()").await.unwrap();
    restore(&store, &file, true, &mut quiet()).await.unwrap();
    assert_eq!(contents(&store).await, before);
}

/// A backup of which the file says something else than it did.
fn forged(file: &Path, change: impl Fn(&str) -> String) {
    use std::io::{Read as _, Write as _};
    let mut text = String::new();
    let bytes = fs::read(file).unwrap();
    flate2::read::GzDecoder::new(&*bytes).read_to_string(&mut text).unwrap();
    let to = fs::File::create(file).unwrap();
    let mut packed = flate2::write::GzEncoder::new(to, flate2::Compression::fast());
    packed.write_all(change(&text).as_bytes()).unwrap();
    packed.finish().unwrap();
}

#[tokio::test]
async fn a_backup_that_is_damaged_or_too_new_changes_nothing() {
    let (dir, file) = place();
    let from = TestDatabase::new().await;
    let store = pool(&from).await;
    fill(&store).await;
    dump(&store, &file, false, &mut quiet()).await.unwrap();
    let to = TestDatabase::new().await;
    let target = pool(&to).await;
    let before = contents(&target).await;
    let whole = fs::read(&file).unwrap();

    let other = dir.path().join("other");
    for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
        fs::write(&other, &whole[..cut]).unwrap();
        assert!(restore(&target, &other, false, &mut quiet()).await.is_err(), "cut at {cut}");
    }
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0x10;
    fs::write(&other, &flipped).unwrap();
    assert!(restore(&target, &other, false, &mut quiet()).await.is_err(), "one bit");
    type Told = fn(&BackupError) -> bool;
    let forgeries: [(&str, String, Told); 4] = [
        ("odd\\t", "ode\\t".to_owned(), |error| matches!(error, BackupError::Damaged { .. })),
        (
            &format!("\"schema\":{}", migrate::KNOWN),
            format!("\"schema\":{}", migrate::KNOWN + 1),
            |error| matches!(error, BackupError::TooNew { .. }),
        ),
        (&format!("\"schema\":{}", migrate::KNOWN), "\"schema\":1".to_owned(), |error| {
            matches!(error, BackupError::OtherSchema { .. })
        }),
        (
            "{\"table\":\"queues\",\"columns\":[\"name\",",
            "{\"table\":\"queues\",\"columns\":[\"nome\",".to_owned(),
            |error| matches!(error, BackupError::OtherTable { .. }),
        ),
    ];
    for (from, to, told) in forgeries {
        fs::write(&other, &whole).unwrap();
        forged(&other, |text| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, &to, 1)
        });
        let error = restore(&target, &other, false, &mut quiet()).await.unwrap_err();
        assert!(told(&error), "{from} -> {to}: {error}");
    }
    assert_eq!(contents(&target).await, before, "nothing of it was taken in");
    assert!(restore(&target, &file, false, &mut quiet()).await.is_ok());
}

#[test]
fn a_host_goes_on_where_the_backup_was_made() {
    let (_dir, file) = place();
    let path = file.to_str().unwrap();
    let mut old = Host::embedded(&format!("{WORKER}count = 2")).up();
    let done = old.submit(&json!({"input": {"op": "echo", "value": "kept"}}));
    let done_task = old.wait(&done);
    let running = old.submit(&json!({"input": {"op": "sleep", "ms": 600_000}}));
    old.until_task(&running, "running");
    let waiting = old.submit(&json!({"input": {"op": "echo", "value": "waits"}}));
    // Beside the host that runs on it.
    let made = old.cli_json(&["db", "backup", path]);
    assert!(made["rows"].as_u64().unwrap() > 5, "{made}");
    assert_eq!(old.cli(&["db", "backup", path]).code, 5, "it is there");
    let locked = old.cli(&["db", "restore", path, "--replace"]);
    assert_eq!(locked.code, 5, "not under the hands of a host: {locked:?}");
    assert_eq!(old.cli_json(&["db", "verify", path])["tables"], made["tables"]);
    old.kill9();
    old.until_nothing_is_left();

    let mut new = Host::embedded(&format!("{WORKER}count = 2"));
    let restored = new.cli_json(&["db", "restore", path]);
    assert_eq!(restored["tables"], made["tables"]);
    new.until_nothing_is_left();
    new.restart();
    assert_eq!(new.task(&done), done_task);
    assert_eq!(new.wait(&waiting)["output"], "waits", "what waited is done");
    // The host that was backed up is lost, and its task runs here.
    let again = new.task(&running);
    assert!(again["state"] == "pending" || again["state"] == "running", "{again}");
    let fresh = new.submit(&json!({"input": {"op": "echo", "value": 2}}));
    assert_eq!(new.wait(&fresh)["output"], 2);
    assert_eq!(new.cli(&["db", "verify", "/dev/null"]).code, 2);
}
