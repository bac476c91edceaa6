//! Those who submit, by every way there is, and write down what they were answered.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hostler::domain::TaskId;
use serde_json::{Value, json};
use tokio_postgres::NoTls;
use uuid::Uuid;

use super::{
    feed::Reader,
    history::{Answer, Submitted},
    work::{Route, Spec, Submit, Submitter},
    world::World,
};
use crate::support::{cluster::on_a_runtime, processes::pause, wire::Ask};

/// No more is submitted while so many have not ended.
const BACKLOG: usize = 300;

/// What submitters know so far.
#[derive(Default)]
pub(super) struct Ledger(Mutex<Vec<Submitted>>);

impl Ledger {
    fn write(&self, specs: Vec<Spec>, answers: Vec<Answer>) {
        assert_eq!(specs.len(), answers.len(), "an answer for each");
        let lines = specs.into_iter().zip(answers);
        let lines = lines.map(|(spec, answer)| Submitted { spec, answer });
        self.0.lock().expect("no panic").extend(lines);
    }

    pub(super) fn read(&self) -> Vec<Submitted> {
        self.0.lock().expect("no panic").clone()
    }

    /// How many tasks there are for certain.
    pub(super) fn accepted(&self) -> usize {
        let ledger = self.0.lock().expect("no panic");
        ledger.iter().filter(|one| matches!(one.answer, Answer::Accepted(_))).count()
    }
}

/// Submits until it is told to stop.
pub(super) fn submit(
    world: &World,
    mut submitter: Submitter,
    ledger: &Ledger,
    reader: &Reader,
    over: &AtomicBool,
) {
    while !over.load(Ordering::Relaxed) {
        pause(Duration::from_millis(submitter.rest()));
        if reader.unfinished() > BACKLOG {
            continue;
        }
        let submit = submitter.draw();
        let answers = match submit.route {
            Route::Http(nth) => by_http(world, nth, &submit),
            Route::Cli(nth) => by_cli(world, nth, &submit),
            Route::Sql { commits } => by_sql(world, commits, &submit.tasks),
        };
        for (spec, answer) in submit.tasks.iter().zip(&answers) {
            let id = if let Answer::Accepted(Some(id)) = answer { id } else { continue };
            if spec.cancelled {
                // It may come too late, or never.
                let path = format!("/api/v1/tasks/{id}/cancel");
                drop(ask(world, spec_host(submit.route), &Ask::new("POST", &path)));
            }
        }
        ledger.write(submit.tasks, answers);
    }
}

fn spec_host(route: Route) -> usize {
    match route {
        Route::Http(nth) | Route::Cli(nth) => nth,
        Route::Sql { .. } => 0,
    }
}

fn ask(world: &World, nth: usize, ask: &Ask) -> std::io::Result<crate::support::wire::Answer> {
    let socket: PathBuf = world.host(nth).data_dir().join("hostler.sock");
    ask.over_socket(&socket)
}

/// What has a key is sent again until somebody says what became of it.
fn by_http(world: &World, nth: usize, submit: &Submit) -> Vec<Answer> {
    let tasks = submit.json();
    let post = Ask::new("POST", "/api/v1/tasks").json(&json!({ "tasks": tasks }));
    let keyed = submit.tasks.iter().all(|spec| spec.keyed);
    let count = tasks.len();
    let mut answers = vec![Answer::Unknown; count];
    for _ in 0..if keyed { 20 } else { 1 } {
        answers = match ask(world, nth, &post) {
            Ok(answer) if matches!(answer.status, 200 | 201) => accepted(&answer.json(), count),
            // It is understood and not wanted: nothing that is drawn here is.
            Ok(answer) if (400..500).contains(&answer.status) => {
                panic!("{post:?} was refused: {}", answer.text())
            }
            _ => vec![Answer::Unknown; count],
        };
        if answers[0] != Answer::Unknown {
            break;
        }
        pause(Duration::from_millis(200));
    }
    answers
}

fn accepted(answer: &Value, count: usize) -> Vec<Answer> {
    let items = answer["items"].as_array().cloned().unwrap_or_default();
    assert_eq!(items.len(), count, "{answer}");
    let id = |item: &Value| item["id"].as_str().map(str::to_owned);
    items.iter().map(|item| Answer::Accepted(id(item))).collect()
}

fn by_cli(world: &World, nth: usize, submit: &Submit) -> Vec<Answer> {
    let lines: String = submit.json().iter().map(|task| format!("{task}\n")).collect();
    let (mut command, file) = {
        let host = world.host(nth);
        (host.command(), host.path(&format!("tasks-{}.jsonl", submit.tasks[0].tag)))
    };
    fs::write(&file, lines).expect("a file");
    command.args(["task", "submit", "--json", "--jsonl"]).arg(&file);
    let output = command.stdin(std::process::Stdio::null()).output().expect("it runs");
    fs::remove_file(&file).expect("it was there");
    let count = submit.tasks.len();
    if !output.status.success() {
        return vec![Answer::Unknown; count];
    }
    let totals: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(totals["created"], json!(count), "{totals}");
    vec![Answer::Accepted(None); count]
}

/// In a transaction that is the submitter's own. What was not committed was refused; only where the
/// answer to the commit got lost, nobody knows.
fn by_sql(world: &World, commits: bool, specs: &[Spec]) -> Vec<Answer> {
    let config = world.server().database();
    let all = |answer: Answer| vec![answer; specs.len()];
    let result = on_a_runtime(async {
        let Ok((mut client, connection)) = config.connect(NoTls).await else {
            return Ok(all(Answer::Refused));
        };
        let connection = tokio::spawn(connection);
        let answers = async {
            let refused = |_| all(Answer::Refused);
            let transaction = client.transaction().await.map_err(refused)?;
            let mut ids = Vec::new();
            for spec in specs {
                let (queue, input) = (spec.queue, spec.input());
                let most = i32::try_from(spec.max_attempts()).expect("a small number");
                let row = transaction.query_one(ENQUEUE, &[&queue, &input, &most]).await;
                let id = TaskId::from_uuid(row.map_err(refused)?.get::<_, Uuid>(0));
                ids.push(Answer::Accepted(Some(id.to_string())));
            }
            if !commits {
                drop(transaction);
                return Err(all(Answer::Refused));
            }
            transaction.commit().await.map_err(|_| all(Answer::Unknown))?;
            Ok(ids)
        }
        .await;
        drop(client);
        // It may have ended with an error: Postgres can go at any time.
        connection.await.expect("no panic").unwrap_or_default();
        answers
    });
    result.unwrap_or_else(|answers| answers)
}

const ENQUEUE: &str = "SELECT hostler.enqueue($1, 'task', $2, max_attempts => $3)";
