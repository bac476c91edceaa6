//! What is deleted is in the archives.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
};

use hostler::{
    domain::{TaskId, history::Kind},
    history::{
        archive,
        retention::{RetentionError, Right},
    },
    store::history::{self, Due},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::past::{Past, sweep};

/// Every record below `dir`, as a person would read it.
pub(super) fn read(dir: &Path) -> Vec<Value> {
    let script = "find \"$1\" -name '*.jsonl.gz' -print0 | sort -z | xargs -0 -r zcat";
    let mut zcat = Command::new("sh");
    let zcat = zcat.args(["-c", script, "sh"]).arg(dir).stderr(Stdio::inherit());
    let output = zcat.output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn the_archive_is_what_was_deleted() {
    let past = Past::new().await;
    let dir = tempfile::tempdir().unwrap();
    let mut tasks = Vec::new();
    for state in ["completed", "failed", "cancelled"] {
        tasks.push(past.ended(state, 100.0).await);
    }
    let lane = past.lane(1_500, 100.0, &[]).await;
    past.db
        .batch_execute(
            "UPDATE hostler.log_ends SET moved = true, host_id = NULL, agent = NULL,
                started_at = NULL, output = NULL WHERE number = 7;
            INSERT INTO hostler.dead_letter_notes (task_id, redrives, redriven_at)
            SELECT id, 2, now() FROM hostler.tasks WHERE state = 'failed'",
        )
        .await
        .unwrap();
    let all = Due::Tasks { kind: Kind::Completed, ids: tasks.clone(), versions: vec![3; 3] };
    let mut expected = history::records(&past.db, &all).await.unwrap();
    let numbers = (1..=1_500).collect();
    let plain = Due::Log { lane: hostler::domain::Lane(lane), numbers, moved: 1 };
    expected.extend(history::records(&past.db, &plain).await.unwrap());
    assert_eq!(expected.len(), 3 + 1_499);
    let ids = "SELECT array_agg(id) FROM hostler.log_tasks WHERE number IN (1, 1500)";
    let plain: Vec<Uuid> = past.db.query_one(ids, &[]).await.unwrap().get(0);

    let retention = past.retention(Some(dir.path().to_owned()));
    past.sweep_until(&retention, &tasks).await;
    past.sweep_down_to(&retention, "log_tasks", 0).await;
    let by_id = |records: Vec<Value>| -> BTreeMap<String, Value> {
        let count = records.len();
        let ids = records.into_iter().map(|one| (one["id"].as_str().unwrap().to_owned(), one));
        let all: BTreeMap<_, _> = ids.collect();
        assert_eq!(all.len(), count, "each is there once");
        all
    };
    let expected = expected.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    assert_eq!(by_id(read(dir.path())), by_id(expected));

    let only = |task: TaskId| archive::find(dir.path(), task).unwrap().pop().unwrap().record;
    let failed = only(tasks[1]);
    assert_eq!(failed["input"], json!({"n": [1, "a\nb"]}));
    assert_eq!(failed["attempts"][0]["message"], "status 1");
    let states = |record: &Value| -> Vec<Value> {
        record["events"].as_array().unwrap().iter().map(|event| event["state"].clone()).collect()
    };
    assert_eq!(states(&failed), ["pending", "running", "failed"]);
    assert_eq!(failed["dead_letter"]["redrives"], 2);
    assert_eq!(only(tasks[0])["result"], "done");
    let plain = plain.into_iter().map(|id| only(TaskId::from_uuid(id)));
    for record in plain {
        assert_eq!(states(&record), ["pending", "running", "completed"]);
        assert_eq!(record["result"].as_i64().unwrap(), -record["input"].as_i64().unwrap());
        assert_eq!(record["task"]["queue"], "default");
    }
}

#[tokio::test]
async fn without_an_archive_nothing_is_deleted() {
    let past = Past::new().await;
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("not mounted");
    let lane = past.lane(3, 100.0, &[]).await;
    past.db.batch_execute("DELETE FROM hostler.log_feed").await.unwrap();
    let retention = past.retention(Some(missing.clone()));
    let mut way = retention.sweep().await.unwrap();
    let error = loop {
        match retention.step(&mut way, Right::Hand).await {
            Ok(step) => assert_ne!(step, hostler::history::retention::Step::Done),
            Err(error) => break error,
        }
    };
    let RetentionError::Archive(error) = error else { panic!("{error}") };
    assert!(error.to_string().contains("not mounted"), "{error}");
    assert_eq!(past.count(&format!("log_tasks WHERE lane = {lane}")).await, 3);
    // Mounted, it goes on where it was.
    std::fs::create_dir(&missing).unwrap();
    assert_eq!(sweep(&retention, Right::Hand).await.tasks(), 3);
    assert_eq!(read(&missing).len(), 3);
}
