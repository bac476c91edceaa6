//! The leader at work, killed in the middle, without room, and by hand.

use std::fs;

use deadpool_postgres::Client;
use hostler::{domain::TaskId, history::archive};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{archive::read, past};
use crate::support::{
    cluster::on_a_runtime,
    host::{Host, WORKER},
    processes::eventually,
    wire::Ask,
};

/// Does `work` on the database of the host.
fn on_database<T>(host: &Host, work: impl AsyncFnOnce(&Client) -> T) -> T {
    on_a_runtime(async {
        let store = host.database().store().await;
        let db = store.client().await.unwrap();
        db.batch_execute(
            "INSERT INTO hostler.queues (name) VALUES ('default') ON CONFLICT DO NOTHING",
        )
        .await
        .unwrap();
        work(&db).await
    })
}

fn ended(host: &Host, count: usize) -> Vec<TaskId> {
    on_database(host, async |db| {
        let mut tasks = Vec::new();
        for _ in 0..count {
            tasks.push(past::ended(db, "completed", 8.0).await);
        }
        past::settled(db).await;
        tasks
    })
}

fn count(host: &Host, what: &str) -> i64 {
    let ask = format!("SELECT count(*) FROM hostler.{what}");
    on_database(host, async |db| db.query_one(&ask, &[]).await.unwrap().get(0))
}

const PAST: &str = "tasks WHERE kind = 'past'";

fn metric(host: &Host, name: &str) -> Option<String> {
    let text = host.ask(&Ask::new("GET", "/metrics")).text();
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.rsplit(' ').next().map(str::to_owned)
}

/// A place whose host archives into a directory of its own.
fn archiving(host: Host, name: &str) -> Host {
    fs::create_dir(host.path(name)).unwrap();
    let dir = host.path(name).display().to_string();
    host.set("history.archive", &dir)
}

#[test]
fn the_leader_deletes_and_no_other_host() {
    let mut first = archiving(Host::new(WORKER), "archive");
    let tasks = ended(&first, 3);
    first.restart();
    eventually("the leader has deleted them", || count(&first, PAST) == 0);
    assert_eq!(read(&first.path("archive")).len(), 3);
    let gone = first.ask(&Ask::new("GET", &format!("/api/v1/tasks/{}", tasks[0])));
    gone.expect(404);
    eventually("it has counted them", || {
        metric(&first, "hostler_history_deleted_total").as_deref() == Some("3")
    });

    // Of another host nothing is to be seen until it leads.
    ended(&first, 2);
    let second = archiving(first.beside(WORKER), "archive").up();
    assert_eq!(count(&first, PAST), 2);
    first.kill9();
    eventually("the next leader has deleted them", || count(&second, PAST) == 0);
    assert_eq!(read(&second.path("archive")).len(), 2);
    assert_eq!(read(&first.path("archive")).len(), 3);
}

#[test]
fn killed_between_archive_and_deletion_a_host_loses_nothing() {
    let mut host = archiving(Host::new(WORKER), "archive");
    let tasks = ended(&host, 5);
    on_a_runtime(async {
        let store = host.database().store().await;
        let mut db = store.client().await.unwrap();
        db.batch_execute("INSERT INTO hostler.feed_horizon DEFAULT VALUES").await.unwrap();
        // The deletion comes to this row when everything else is done.
        let held = db.transaction().await.unwrap();
        held.batch_execute("SELECT FROM hostler.feed_horizon FOR UPDATE").await.unwrap();
        host.launch();
        eventually("the host waits in the middle", || read(&host.path("archive")).len() == 5);
        host.kill9();
        held.commit().await.unwrap();
    });
    assert_eq!(count(&host, PAST), 5, "nothing was deleted");
    host.restart();
    eventually("they are deleted", || count(&host, PAST) == 0);
    let records = read(&host.path("archive"));
    for task in tasks {
        let task = task.to_string();
        let times = records.iter().filter(|record| record["id"] == task.as_str()).count();
        assert!(times >= 1, "{task} is in no archive");
    }
}

/// Beside what it deletes, the leader looks after what is archived.
#[test]
fn the_leader_puts_archives_together_and_deletes_old_ones() {
    let host = archiving(Host::new(WORKER), "archive").set("history.archive_keep", "30days");
    let dir = host.path("archive");
    let days_ago = |days: i64| Timestamp::now() - SignedDuration::from_hours(24 * days);
    for (nth, days) in [40, 40, 3, 3, 3, 0, 0].into_iter().enumerate() {
        let record = format!("{{\"id\": \"{nth}\"}}");
        archive::write(&dir, days_ago(days), None, &[record]).unwrap();
    }
    let host = host.up();
    eventually("they are put together", || archive::list(&dir).unwrap().len() == 3);
    let ids: Vec<_> = read(&dir).into_iter().map(|it| it["id"].clone()).collect();
    assert_eq!(ids, ["2", "3", "4", "5", "6"]);
    let listed = host.cli_json(&["db", "archive", "list", "--dir", dir.to_str().unwrap()]);
    assert_eq!(listed["items"].as_array().unwrap().len(), 3);
}

/// The archive is on a disk of 64 KiB, which is gone with the host.
#[test]
fn a_full_disk_stops_the_deletion_and_says_so() {
    if !std::process::Command::new("unshare")
        .args(["-m", "true"])
        .status()
        .is_ok_and(|it| it.success())
    {
        eprintln!("left out: no mount namespaces here");
        return;
    }
    let host = Host::new(WORKER);
    let dir = host.path("full");
    fs::create_dir(&dir).unwrap();
    let mount = format!("mount -t tmpfs -o size=64k tmpfs '{}' && exec \"$@\"", dir.display());
    let mut host = host
        .within(&["unshare", "-m", "sh", "-c", &mount, "sh"])
        .set("history.archive", &dir.display().to_string());
    ended(&host, 30);
    on_database(&host, async |db| {
        // Nothing that could be compressed to fit.
        let noise = "UPDATE hostler.task_inputs SET input = to_jsonb(noise.text) FROM (
                SELECT task_id AS id, string_agg(md5(random()::text), '') AS text
                FROM hostler.task_inputs, generate_series(1, 300) GROUP BY 1
            ) AS noise WHERE task_id = noise.id";
        db.batch_execute(noise).await.unwrap();
    });
    host.restart();
    eventually("it has given up", || {
        metric(&host, "hostler_history_stopped").as_deref() == Some("1")
    });
    assert_eq!(count(&host, PAST), 30, "nothing was deleted");
    eventually("the log says so", || {
        let log = host.log();
        log.contains("nothing is deleted") && log.contains("make room")
    });
    // It serves all the same.
    let task = host.submit(&serde_json::json!({"input": {"op": "echo", "value": 1}}));
    assert_eq!(host.wait(&task)["output"], 1);
    host.stop();
}

#[test]
fn a_person_prunes_and_reads_the_archive() {
    let host = archiving(Host::new(WORKER).set("history.completed", "forever"), "archive").up();
    let tasks = ended(&host, 3);
    let url = host.database().url();
    let archive = host.path("archive");
    let run = |words: &[&str]| -> Value {
        let mut command = host.command();
        command.env("HOSTLER__DATABASE__URL", &url).env("HOSTLER__HISTORY__ARCHIVE", &archive);
        let output = command.args(words).arg("--json").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    eventually("they can be deleted", || run(&["db", "prune", "--dry-run"])["tasks"] == 3);
    assert_eq!(count(&host, PAST), 3, "a dry run changes nothing");
    let before = host.get("/api/v1/events?after=latest&wait=0s")["next"].clone();
    let kept = host.get("/api/v1/events?limit=1")["next"].clone();
    let done = run(&["db", "prune"]);
    assert_eq!((&done["tasks"], &done["deleted"]["completed"]), (&3.into(), &3.into()), "{done}");
    assert_eq!(count(&host, PAST), 0);
    let files = run(&["db", "archive", "list"]);
    assert_eq!(files["items"].as_array().unwrap().len(), 1, "{files}");
    let id = tasks[1].to_string();
    assert_eq!(run(&["db", "archive", "show", &id])["result"], "done");
    let dir = host.path("archive").display().to_string();
    let shown = host.cli(&["db", "archive", "show", &id, "--dir", &dir]);
    assert!(shown.code == 0 && shown.stdout.contains("\"input\""), "{shown:?}");
    let unknown =
        host.cli(&["db", "archive", "show", "tsk_00000000000000000000000000000000", "--dir", &dir]);
    assert_eq!(unknown.code, 4, "{unknown:?}");
    assert_eq!(host.cli(&["db", "archive", "list"]).code, 2, "no directory is named");

    // Who was in the middle of the feed is told; who was at its end goes on.
    let ask = |cursor: &Value| {
        let cursor = cursor.as_str().unwrap();
        host.ask(&Ask::new("GET", &format!("/api/v1/events?after={cursor}")))
    };
    let told = ask(&kept).expect(410);
    assert_eq!(told["type"], "urn:hostler:problem:feed-cut");
    assert!(told["detail"].as_str().unwrap().contains("latest"), "{told}");
    ask(&before).expect(200);
}
