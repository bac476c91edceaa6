//! What one request after another shows: memories stored and looked for, commands of git, a crowd.

use std::{
    net::SocketAddr,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    Outcome, Run,
    client::{Client, command, memory},
    cluster::{alone, connect, free_address, joined},
    floor::{self, Floor},
    host::Host,
    peer,
};

/// Those who store at the same time.
const CLIENTS: usize = 32;
/// Those who write to the sessions of a crowd.
const WRITERS: usize = 100;

/// Who is measured.
pub(crate) const OURS: &str = "hostler";
/// Bare statements on as many connections.
pub(crate) const BARE: &str = "bare INSERT, one key";
/// The same into our own table, with its indexes and triggers.
pub(crate) const SAME: &str = "bare INSERT, our table";

/// The same statement as ours, by a server that does nothing else.
pub(crate) const LEAST: &str = "the least server";

/// Numbers keys, so that none comes twice.
static NEXT: AtomicU64 = AtomicU64::new(0);

fn next() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What requests of many clients came to.
struct Crowd {
    /// So many a second.
    rate: f64,
    /// How long each took, in milliseconds.
    took: Vec<f64>,
}

/// Has `clients` ask again and again for as long as `time`; `body` makes what each sends.
fn ask(
    address: SocketAddr,
    clients: usize,
    time: Duration,
    body: impl Fn() -> String + Sync,
) -> Outcome<Crowd> {
    let mut connections =
        (0..clients).map(|_| Client::connect(address)).collect::<Result<Vec<_>, _>>()?;
    let began = Instant::now();
    let took = thread::scope(|scope| {
        let threads: Vec<_> = connections
            .iter_mut()
            .map(|client| {
                let body = &body;
                scope.spawn(move || {
                    let mut took = Vec::new();
                    while began.elapsed() < time {
                        let body = body();
                        let sent = Instant::now();
                        client.webhook(&body)?;
                        took.push(sent.elapsed().as_secs_f64() * 1e3);
                    }
                    Ok::<_, std::io::Error>(took)
                })
            })
            .collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().map_err(|_| "a client panicked")??);
        }
        Ok::<_, crate::Failure>(all)
    })?;
    Ok(Crowd { rate: took.len() as f64 / began.elapsed().as_secs_f64(), took })
}

/// Makes a session, unless it is there.
fn session(client: &mut Client, id: &str) -> Outcome<()> {
    let made = client.webhook(&command("create_session", id, &json!({ "title": id })));
    match made {
        Err(error) if !error.to_string().contains(" 409") => Err(error.into()),
        _ => Ok(()),
    }
}

/// `store_memory` by 32 clients; and what bare statements by as many connections come to.
pub(crate) fn store(run: &mut Run) -> Outcome<()> {
    let name = format!("store-{}", next());
    let one = || command("store_memory", &name, &memory(&format!("key-{}", next())));
    session(&mut run.host.connect()?, &name)?;
    let ours = ask(run.host.address(), CLIENTS, run.sizes.store, one)?;
    run.samples.add(OURS, "stored", &[ours.rate]);
    if let Some(peer) = &run.peer {
        session(&mut peer.connect()?, &name)?;
        let theirs = ask(peer.address(), CLIENTS, run.sizes.store, one)?;
        run.samples.add(peer::NAME, "stored", &[theirs.rate]);
    }
    let at = free_address()?;
    let floor = Floor::start(&run.cluster, floor::MEMORIES, "ours", &at.to_string())?;
    let least = ask(at, CLIENTS, run.sizes.store, one)?;
    drop(floor);
    run.samples.add(LEAST, "stored", &[least.rate]);
    let bare = inserts(run, BARE_INSERT, &name)?;
    run.samples.add(BARE, "stored", &[bare]);
    let same = inserts(run, SAME_INSERT, &name)?;
    run.samples.add(SAME, "stored", &[same]);
    Ok(())
}

const BARE_TABLE: &str = "CREATE SCHEMA IF NOT EXISTS bench;
    CREATE TABLE IF NOT EXISTS bench.memories (
        session text NOT NULL, key text NOT NULL, type text NOT NULL, content jsonb NOT NULL,
        tags text[] NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (session, key)
    )";
const BARE_INSERT: &str = "INSERT INTO bench.memories (session, key, type, content, tags)
    VALUES ($1, $2, $3, $4::text::jsonb, $5)";
const SAME_INSERT: &str = "INSERT INTO hostler.memories (session_no, key, type, content, tags)
    SELECT no, $2, $3, $4::text::jsonb, $5 FROM hostler.sessions WHERE id = $1";

/// One statement after another on each of 32 connections; a second.
fn inserts(run: &Run, statement: &'static str, session: &str) -> Outcome<f64> {
    run.cluster.execute("ours", &[BARE_TABLE])?;
    let (config, time) = (run.cluster.config("ours"), run.sizes.store);
    let session = session.to_owned();
    joined(alone(async move || {
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let client = connect(&config).await?;
            let insert = client.prepare(statement).await?;
            clients.push((client, insert));
        }
        let began = Instant::now();
        let counts = clients.iter().map(async |(client, insert)| {
            let mut count = 0_u64;
            while began.elapsed() < time {
                let key = format!("bare-{}", next());
                let memory = memory(&key);
                let content = memory["content"].to_string();
                let tags: Vec<&str> = memory["tags"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .collect();
                client.execute(insert, &[&session, &key, &"decision", &content, &tags]).await?;
                count += 1;
            }
            Ok::<_, crate::Failure>(count)
        });
        let counts = futures_util::future::try_join_all(counts).await?;
        Ok(counts.iter().sum::<u64>() as f64 / began.elapsed().as_secs_f64())
    }))
}

/// `git status` by a webhook that waits for it, beside the bare command, one after the other.
pub(crate) fn git(run: &mut Run) -> Outcome<()> {
    let root = run.host.root();
    let repository = root.join("repository");
    if !repository.exists() {
        std::fs::create_dir(&repository)?;
        bare(&repository, &["init", "-q"])?;
        for nth in 0..100 {
            std::fs::write(repository.join(format!("file-{nth}")), "x")?;
        }
        bare(&repository, &["add", "."])?;
    }
    let body = |dir: &str| {
        json!({
            "type": "task_command", "sync": true, "data": {
                "action_type": "git",
                "params": { "command": ["git", "status", "--short"], "working_dir": dir },
            },
        })
        .to_string()
    };
    let dir = repository.display().to_string();
    let (ours, whole) = (body("repository"), body(&dir));
    let mut client = run.host.connect()?;
    let mut theirs = run.peer.as_ref().map(peer::Peer::connect).transpose()?;
    let (mut of_ours, mut of_peer, mut of_bare) = (Vec::new(), Vec::new(), Vec::new());
    let took = |work: &mut dyn FnMut() -> Outcome<()>| -> Outcome<f64> {
        let began = Instant::now();
        work()?;
        Ok(began.elapsed().as_secs_f64() * 1e3)
    };
    for _ in 0..run.sizes.commands {
        of_bare.push(took(&mut || bare(&repository, &["status", "--short"]))?);
        of_ours.push(took(&mut || {
            let answer: Value = serde_json::from_slice(&client.webhook(&ours)?)?;
            if answer["status"] == "completed" { Ok(()) } else { Err(answer.to_string().into()) }
        })?);
        if let Some(theirs) = &mut theirs {
            of_peer.push(took(&mut || Ok(theirs.webhook(&whole).map(drop)?))?);
        }
        thread::sleep(Duration::from_millis(fastrand::u64(2..12)));
    }
    let floor = crate::meter::percentile(&of_bare, 0.5).unwrap_or_default();
    let over = |took: &[f64]| -> Vec<f64> { took.iter().map(|took| took - floor).collect() };
    run.samples.add(OURS, "git", &over(&of_ours));
    if !of_peer.is_empty() {
        run.samples.add(peer::NAME, "git", &over(&of_peer));
    }
    Ok(())
}

fn bare(directory: &std::path::Path, words: &[&str]) -> Outcome<()> {
    let ran = Command::new("git").current_dir(directory).args(words).output()?;
    if ran.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&ran.stderr).into()) }
}

/// Ten thousand open sessions, and a hundred who write to any of them.
pub(crate) fn crowd(run: &mut Run) -> Outcome<()> {
    let address = run.host.address();
    let count = run.sizes.sessions;
    let names: Vec<String> = (0..count).map(|nth| format!("crowd-{nth}")).collect();
    thread::scope(|scope| {
        let makers = names.chunks(count.div_ceil(8)).map(|some| {
            scope.spawn(move || {
                let mut client = Client::connect(address)?;
                some.iter().try_for_each(|name| session(&mut client, name))
            })
        });
        let makers: Vec<_> = makers.collect();
        makers.into_iter().try_for_each(|maker| maker.join().map_err(|_| "a maker panicked")?)
    })?;
    let one = || {
        let name = &names[fastrand::usize(..count)];
        command("store_memory", name, &memory(&format!("key-{}", next())))
    };
    // Until every buffer has the size that it needs.
    ask(address, WRITERS, run.sizes.crowd / 4, one)?;
    let before = run.host.memory()?;
    let crowd = ask(address, WRITERS, run.sizes.crowd, one)?;
    let after = run.host.memory()?;
    run.samples.add(OURS, "crowd", &crowd.took);
    run.samples.add(OURS, "crowd rate", &[crowd.rate]);
    run.samples.add(OURS, "crowd memory", &[after / 1024.0]);
    run.samples.add(OURS, "crowd growth", &[after / before]);
    Ok(())
}

/// Words that memories are made of: few are frequent, most are rare, as in any language.
const FILL: &str = "
    INSERT INTO hostler.memories (session_no, key, type, content, tags)
    SELECT session.no, 'fill-' || n, (ARRAY['idea', 'decision', 'fact', 'note'])[1 + n % 4],
        jsonb_build_object('what', (
            SELECT string_agg('word' || floor(power(random(), 4) * 20000)::int, ' ')
            FROM generate_series(1, 12 + n % 2)
        )),
        ARRAY['topic-' || n % 100, 'detail-' || floor(random() * 1000)::int]
    FROM hostler.sessions AS session, generate_series($from, $to) AS n
    WHERE session.id = 'large'";
const FILL_THEIRS: &str = "
    INSERT INTO memories (session_id, key, type, content, tags)
    SELECT 'large', 'fill-' || n, (ARRAY['idea', 'decision', 'fact', 'note'])[1 + n % 4],
        jsonb_build_object('what', (
            SELECT string_agg('word' || floor(power(random(), 4) * 20000)::int, ' ')
            FROM generate_series(1, 12 + n % 2)
        )),
        ARRAY['topic-' || n % 100, 'detail-' || floor(random() * 1000)::int]
    FROM generate_series($from, $to) AS n";

/// How many are filled in by one statement.
const FILLED: usize = 50_000;

fn fill(run: &Run, database: &str, statement: &str) -> Outcome<()> {
    for from in (1..=run.sizes.memories).step_by(FILLED) {
        let to = (from + FILLED - 1).min(run.sizes.memories);
        let filled = statement.replace("$from", &from.to_string()).replace("$to", &to.to_string());
        run.cluster.execute(database, &[&filled])?;
    }
    run.cluster.settle(database, true)
}

/// `query_memories` among many, by tag and by words.
pub(crate) fn looks(run: &mut Run) -> Outcome<()> {
    session(&mut run.host.connect()?, "large")?;
    fill(run, "ours", FILL)?;
    let (by_tag, by_text) = look(&mut run.host.connect()?, run.sizes.looks)?;
    run.samples.add(OURS, "by tag", &by_tag);
    run.samples.add(OURS, "by text", &by_text);
    let Some(peer) = &run.peer else { return Ok(()) };
    session(&mut peer.connect()?, "large")?;
    fill(run, peer.database(), FILL_THEIRS)?;
    let (by_tag, by_text) = look(&mut peer.connect()?, run.sizes.looks)?;
    run.samples.add(peer::NAME, "by tag", &by_tag);
    run.samples.add(peer::NAME, "by text", &by_text);
    Ok(())
}

/// Looks one by one for a tag, and for one or two words; how long each took, in milliseconds.
fn look(client: &mut Client, count: usize) -> Outcome<(Vec<f64>, Vec<f64>)> {
    // As frequent among what is looked for as among what there is.
    let word = || format!("word{}", (fastrand::f64().powi(4) * 20_000.0) as u32);
    let mut took = |data: Value| -> Outcome<f64> {
        let body = command("query_memories", "large", &data);
        let began = Instant::now();
        client.webhook(&body)?;
        Ok(began.elapsed().as_secs_f64() * 1e3)
    };
    let (mut by_tag, mut by_text) = (Vec::new(), Vec::new());
    for nth in 0..count {
        let tag = match nth % 2 {
            0 => format!("topic-{}", fastrand::u32(0..100)),
            _ => format!("detail-{}", fastrand::u32(0..1000)),
        };
        by_tag.push(took(json!({ "tags": [tag] }))?);
        let text = if nth % 2 == 0 { word() } else { format!("{} {}", word(), word()) };
        by_text.push(took(json!({ "text": text }))?);
    }
    Ok((by_tag, by_text))
}

/// Makes `count` tasks of agents that answer at once, one at a time.
pub(crate) fn submit(host: &Host, count: usize, mut each: impl FnMut()) -> Outcome<()> {
    let mut client = host.connect()?;
    let body = json!({ "queue": crate::host::QUEUE, "input": true }).to_string();
    for _ in 0..count {
        client.ask("POST", "/api/v1/tasks", &body)?;
        each();
    }
    Ok(())
}
