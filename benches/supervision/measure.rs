//! One pass over everything that is measured.

use std::{
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::{
    Outcome, Run,
    meter::{millis, pause},
    ours::{self, Host, NAME},
    stage::{Cost, PATIENCE, Stage, now},
    subject::{Flags, Peer, Subject},
};

/// The usual number of children.
pub(crate) const FEW: usize = 200;
/// The larger one.
pub(crate) const MANY: usize = 1_000;
/// And the largest, of which only the memory is looked at.
const MOST: usize = 2_000;
/// How long children live before they are killed: `runit` and `s6` wait with shorter lives.
const SETTLE: Duration = Duration::from_millis(2_500);
/// How long survivors are waited for.
const SURVIVORS: Duration = Duration::from_secs(5);

fn strike(pid: i32) -> Outcome<u64> {
    let at = now();
    kill(Pid::from_raw(pid), Signal::SIGKILL)?;
    Ok(at)
}

/// The floor and ours with few and with many; each with the names of its figures.
pub(crate) fn fleets(run: &mut Run, first: bool) -> Outcome<()> {
    for count in [FEW, MANY] {
        run.stage.forget()?;
        let floor = Peer::Floor.start(&run.stage, count, &[])?;
        fleet(run, Peer::Floor.name(), floor, count, false)?;
        run.stage.forget()?;
        let fleets = ours::many(&run.stage, count);
        let mut host = Host::start(&run.stage, &format!("ours-{count}"), &fleets)?;
        host.await_ready()?;
        fleet(run, NAME, host, count, first)?;
        start_beside(run, count)?;
    }
    Ok(())
}

/// So many are started by a host that is up, so that nothing of its own start is meanwhile.
fn start_beside(run: &mut Run, count: usize) -> Outcome<()> {
    run.stage.forget()?;
    let fleets = ours::many(&run.stage, count);
    let mut host = Host::start(&run.stage, &format!("up-{count}"), "")?;
    host.await_ready()?;
    thread::sleep(SETTLE);
    host.add(&fleets)?;
    run.stage.until("the start of all", |stage| stage.newest.len() == count)?;
    let what = if count == FEW { "start" } else { "start many" };
    run.samples.add(NAME, what, &[millis(host.began()?, run.stage.last())]);
    host.ask_to_stop()?;
    run.stage.await_none(SURVIVORS)?;
    host.await_end()?;
    run.stage.clear()
}

/// The peers that are installed, with few.
pub(crate) fn peers(run: &mut Run) -> Outcome<()> {
    for peer in Peer::OTHERS {
        if !peer.is_there() {
            run.tell(format!("{} is not installed: left out", peer.name()));
            continue;
        }
        run.stage.forget()?;
        let running = peer.start(&run.stage, FEW, &[])?;
        fleet(run, peer.name(), running, FEW, true)?;
        run.stage.forget()?;
        let flags = misbehaving();
        let running = peer.start(&run.stage, FEW, &flags)?;
        stop(run, peer.name(), "stop", running)?;
    }
    Ok(())
}

fn fleet(run: &mut Run, who: &str, subject: impl Subject, count: usize, idle: bool) -> Outcome<()> {
    let few = count == FEW;
    let all = |stage: &Stage| stage.newest.len() == count;
    run.stage.until("the start of all", all)?;
    let (began, last) = (subject.began()?, run.stage.last());
    let what = match (who == NAME, few) {
        (true, true) => "start with their host",
        (true, false) => "start many with their host",
        (false, true) => "start",
        (false, false) => "start many",
    };
    run.samples.add(who, what, &[millis(began, last)]);
    thread::sleep(SETTLE);
    if few {
        if idle {
            idleness(run, who, &subject)?;
        }
        restarts(run, who)?;
        thread::sleep(SETTLE);
    }
    storm(run, who, &subject, few)?;
    let mut subject = subject;
    subject.ask_to_stop()?;
    run.stage.await_none(SURVIVORS)?;
    subject.await_end()?;
    run.stage.clear()
}

fn idleness(run: &mut Run, who: &str, subject: &impl Subject) -> Outcome<()> {
    let pids = subject.supervisors()?;
    // The caches that a start has filled are given back by then, and late timers have run.
    thread::sleep(run.sizes.calm);
    let before = Cost::of(&pids)?;
    thread::sleep(run.sizes.idle);
    let after = Cost::of(&pids)?;
    let per_ten = 10.0 / run.sizes.idle.as_secs_f64();
    run.samples.add(who, "idle cpu", &[(after.cpu - before.cpu) * per_ten]);
    run.samples.add(who, "idle wake-ups", &[(after.sleeps - before.sleeps) * per_ten]);
    run.samples.add(who, "memory", &[after.pss / 1e6]);
    Ok(())
}

fn restarts(run: &mut Run, who: &str) -> Outcome<()> {
    let mut ids: Vec<String> = run.stage.newest.keys().cloned().collect();
    fastrand::shuffle(&mut ids);
    let mut samples = Vec::with_capacity(ids.len());
    for id in ids.iter().take(run.sizes.kills) {
        let pid = run.stage.newest[id].pid;
        let at = strike(pid)?;
        run.stage.until("a restart", |stage| stage.newest[id].pid != pid)?;
        samples.push(millis(at, run.stage.newest[id].at));
        thread::sleep(pause());
    }
    run.samples.add(who, "restart", &samples);
    Ok(())
}

fn storm(run: &mut Run, who: &str, subject: &impl Subject, few: bool) -> Outcome<()> {
    let before = run.stage.newest.clone();
    let began = now();
    for said in before.values() {
        strike(said.pid)?;
    }
    let is_back = |stage: &Stage| {
        before.iter().all(|(id, old)| stage.newest.get(id).is_some_and(|new| new.pid != old.pid))
    };
    let mut slowest = Duration::ZERO;
    run.stage.until("the end of the storm", |stage| {
        // Ours is asked meanwhile, and must answer.
        if who == NAME {
            let asked = Instant::now();
            if !subject.answers() {
                slowest = PATIENCE;
            }
            slowest = slowest.max(asked.elapsed());
            thread::sleep(Duration::from_millis(10));
        }
        is_back(stage)
    })?;
    run.samples.add(
        who,
        if few { "storm" } else { "storm many" },
        &[millis(began, run.stage.last())],
    );
    if who == NAME {
        let what = if few { "answer in storm" } else { "answer in storm many" };
        run.samples.add(who, what, &[slowest.as_secs_f64() * 1e3]);
    }
    Ok(())
}

/// What each idle agent more costs.
pub(crate) fn memory(run: &mut Run) -> Outcome<()> {
    let mut of = [0.0; 2];
    for (place, count) in [FEW, MOST].into_iter().enumerate() {
        run.stage.forget()?;
        let fleets = ours::many(&run.stage, count);
        let mut host = Host::start(&run.stage, &format!("memory-{count}"), &fleets)?;
        host.await_ready()?;
        run.stage.until("the start of all", |stage| stage.newest.len() == count)?;
        thread::sleep(run.sizes.calm);
        of[place] = Cost::of(&host.supervisors()?)?.pss;
        host.ask_to_stop()?;
        host.await_end()?;
    }
    let each = (of[1] - of[0]) / (MOST - FEW) as f64;
    run.samples.add(NAME, "memory of one more", &[each / 1e3]);
    Ok(())
}

/// Five that are deaf, five that fork, five that fork and leave, one that is stopped.
fn misbehaving() -> Vec<(usize, &'static str)> {
    let five = |first: usize, flag| (first..first + 5).map(move |number| (number, flag));
    five(1, "deaf").chain(five(6, "fork")).chain(five(11, "setsid")).chain([(16, "stop")]).collect()
}

/// A stop of those who do not want to, with control groups and without.
pub(crate) fn stops(run: &mut Run) -> Outcome<()> {
    let flags: Flags<'_> = &misbehaving();
    let kinds = ["deaf", "fork", "setsid", "stop"];
    let of = |kind: &str| flags.iter().filter(|(_, flag)| *flag == kind).count();
    for (what, cgroups) in [("stop", "auto"), ("stop without groups", "off")] {
        run.stage.forget()?;
        let fleets = kinds.map(|kind| ours::services(&run.stage, kind, of(kind), kind)).concat();
        let rest = ours::services(&run.stage, "rest", FEW - flags.len(), "stay");
        let host = format!("[host]\ncgroups = \"{cgroups}\"\n");
        let host = Host::start(&run.stage, what, &(host + &fleets + &rest))?;
        stop(run, NAME, what, host)?;
    }
    Ok(())
}

fn stop(run: &mut Run, who: &str, what: &'static str, mut subject: impl Subject) -> Outcome<()> {
    run.stage.until("the start of all", |stage| {
        let forked = stage.said.iter().filter(|said| said.kind == 'G').count();
        stage.newest.len() == FEW && forked >= 10
    })?;
    thread::sleep(SETTLE);
    let began = now();
    subject.ask_to_stop()?;
    let left = run.stage.await_none(SURVIVORS)?;
    let took = millis(began, now());
    subject.await_end()?;
    run.samples.add(who, what, &[took]);
    run.samples.add(who, "survivors", &[left as f64]);
    run.stage.clear()
}

/// A child is killed that had forked: what becomes of its own child.
pub(crate) fn leaks(run: &mut Run) -> Outcome<()> {
    run.stage.forget()?;
    let fleets = ["fork", "setsid"].map(|kind| ours::services(&run.stage, kind, 1, kind)).concat();
    let mut host = Host::start(&run.stage, "leaks", &fleets)?;
    host.await_ready()?;
    run.stage.until("both", |stage| stage.said.len() == 4)?;
    let old: Vec<i32> = run.stage.said.iter().map(|said| said.pid).collect();
    for said in run.stage.newest.clone().values() {
        strike(said.pid)?;
    }
    run.stage
        .until("both again", |stage| stage.newest.values().all(|said| !old.contains(&said.pid)))?;
    // They were gone before those who replace them said a word.
    let alive = run.stage.alive()?;
    let left = old.iter().filter(|pid| alive.contains(pid)).count();
    run.samples.add(NAME, "left after a restart", &[left as f64]);
    host.ask_to_stop()?;
    host.await_end()
}

/// The lines that each task writes.
const LINES: usize = 150;
/// The agents at work.
const AT_WORK: usize = 20;

/// The host is killed while its agents work, and started again.
pub(crate) fn crash(run: &mut Run) -> Outcome<()> {
    run.stage.forget()?;
    let (child, log) = (run.stage.child(), run.stage.log());
    let (child, log) = (child.display(), log.display());
    let fleets = format!(
        "[fleets.work]\nprotocol = \"exec\"\n\
         command = [\"{child}\", \"{log}\", \"-\", \"count\", \"{LINES}\"]\ncount = {AT_WORK}\n"
    );
    // One that has no tasks of an earlier round.
    let name = format!("crash-{}", now());
    let mut host = Host::start(&run.stage, &name, &fleets)?;
    host.await_ready()?;
    let tasks = json!({"tasks": vec![json!({}); AT_WORK]}).to_string();
    let (status, _) = host.ask("POST", "/api/v1/tasks", &tasks)?;
    if status >= 300 {
        return Err(format!("the tasks were not taken: {status}").into());
    }
    run.stage.until("all at work", |stage| stage.newest.len() == AT_WORK)?;
    thread::sleep(Duration::from_millis(500));
    host.kill()?;
    let alive = run.stage.alive()?.len();
    let mut host = Host::start(&run.stage, &name, &fleets)?;
    host.await_ready()?;
    let back = millis(host.launched, now());
    let began = Instant::now();
    let done = loop {
        let (_, all) = host.ask("GET", "/api/v1/tasks?state=completed&limit=100", "")?;
        let done = all["items"].as_array().cloned().unwrap_or_default();
        if done.len() == AT_WORK || began.elapsed() > PATIENCE {
            break done;
        }
        thread::sleep(Duration::from_millis(20));
    };
    run.stage.listen()?;
    let starts = run.stage.said.iter().filter(|said| said.kind == 'C').count();
    let mut whole = 0;
    for task in &done {
        let path = format!("/api/v1/tasks/{}", task["id"].as_str().unwrap_or_default());
        let (_, task) = host.ask("GET", &path, "")?;
        let wanted: String = (0..LINES).map(|line| format!("{line}\n")).collect();
        let result = task["output"].as_str().unwrap_or_default();
        whole += usize::from(result.trim_end() == wanted.trim_end());
    }
    let mut add = |what, value: f64| run.samples.add(NAME, what, &[value]);
    add("alive after the crash", alive as f64);
    add("started twice", (starts - AT_WORK) as f64);
    add("whole results", whole as f64);
    add("back", back);
    host.ask_to_stop()?;
    host.await_end()
}

/// A worker that beats stops to.
pub(crate) fn hang(run: &mut Run) -> Outcome<()> {
    run.stage.forget()?;
    let (child, log) = (run.stage.child(), run.stage.log());
    let (child, log) = (child.display(), log.display());
    let fleets = format!(
        "[fleets.hang]\nprotocol = \"worker\"\ncommand = [\"{child}\", \"{log}\", \"-\", \"beat\"]\n\
         heartbeat = {{ every = \"100ms\", stale_after = \"1s\" }}\nstop_grace = \"0s\"\n\
         restart = {{ backoff_min = \"0s\", backoff_max = \"0s\", max_restarts = 10000 }}\n"
    );
    let mut host = Host::start(&run.stage, "hang", &fleets)?;
    host.await_ready()?;
    let is = |kind, count| {
        move |stage: &Stage| stage.said.iter().filter(|said| said.kind == kind).count() >= count
    };
    run.stage.until("the last beat", is('B', 1))?;
    run.stage.until("the next process", is('C', 2))?;
    let beat = run.stage.said.iter().find(|said| said.kind == 'B').map_or(0, |said| said.at);
    let next = run.stage.said.iter().filter(|said| said.kind == 'C').nth(1).map_or(0, |one| one.at);
    run.samples.add(NAME, "hang", &[millis(beat, next)]);
    host.ask_to_stop()?;
    host.await_end()
}

/// A child that fails at once, over and over.
pub(crate) fn loops(run: &mut Run) -> Outcome<()> {
    run.stage.forget()?;
    let fleets = ours::services(&run.stage, "loop", 1, "fail").replace(
        r#"backoff_min = "0s", backoff_max = "0s", max_restarts = 10000"#,
        r#"backoff_min = "200ms", backoff_max = "30s", max_restarts = 4"#,
    );
    let mut host = Host::start(&run.stage, "loop", &fleets)?;
    host.await_ready()?;
    let pids = host.supervisors()?;
    let (before, began) = (Cost::of(&pids)?, Instant::now());
    let mut state = Value::Null;
    while state != "quarantined" && began.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(500));
        state = host.ask("GET", "/api/v1/agents/loop-1", "")?.1["state"].clone();
    }
    let took = began.elapsed().as_secs_f64() * 1e3;
    run.samples.add(NAME, "crash loop", &[(Cost::of(&pids)?.cpu - before.cpu) / took * 100.0]);
    run.samples.add(NAME, "quarantined", &[f64::from(u8::from(state == "quarantined"))]);
    host.ask_to_stop()?;
    host.await_end()
}
