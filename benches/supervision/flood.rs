//! An agent floods its log: what the tasks of others notice of it.

use std::{fs, thread, time::Instant};

use crate::{
    Outcome, Run,
    meter::pause,
    ours::{self, Host, NAME},
    stage::now,
    subject::Subject as _,
};

/// Tasks of each kind that are asked for, one after another.
const TASKS: usize = 300;

/// Tasks of two workers, before an agent begins to flood and while it does.
pub(crate) fn flood(run: &mut Run) -> Outcome<()> {
    run.stage.forget()?;
    let workers = format!(
        "[fleets.work]\nprotocol = \"worker\"\ncount = 2\ncommand = [\"{}\", \"mock-agent\"]\n",
        env!("CARGO_BIN_EXE_hostler")
    );
    let mut host = Host::start(&run.stage, &format!("flood-{}", now()), &workers)?;
    host.await_ready()?;
    tasks(run, &host, "task")?;
    host.add(&ours::services(&run.stage, "flood", 1, "flood"))?;
    run.stage.until("the flood", |stage| stage.newest.len() == 1)?;
    let pid = run.stage.newest.values().next().map_or(0, |said| said.pid);
    let (before, began) = (written(pid)?, Instant::now());
    tasks(run, &host, "task in flood")?;
    let rate = (written(pid)? - before) / began.elapsed().as_secs_f64() / 1e6;
    run.samples.add(NAME, "flood let through", &[rate]);
    host.ask_to_stop()?;
    host.await_end()
}

/// How long tasks take that do nothing, from the request to the answer with the result.
fn tasks(run: &mut Run, host: &Host, what: &'static str) -> Outcome<()> {
    let mut samples = Vec::with_capacity(TASKS);
    for _ in 0..TASKS {
        thread::sleep(pause());
        let began = Instant::now();
        let (_, task) = host.ask("POST", "/api/v1/tasks?wait=10s", "{}")?;
        samples.push(began.elapsed().as_secs_f64() * 1e3);
        if task["state"] != "completed" {
            return Err(format!("a task was not completed: {task}").into());
        }
    }
    run.samples.add(NAME, what, &samples);
    Ok(())
}

/// How many bytes a process has written.
fn written(pid: i32) -> Outcome<f64> {
    let io = fs::read_to_string(format!("/proc/{pid}/io"))?;
    let bytes = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    Ok(bytes.ok_or("the kernel does not count what is written")?.parse()?)
}
