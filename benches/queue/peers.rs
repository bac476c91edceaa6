//! The peers, measured by the same work on the same server. Each step is one run of the peer's own
//! small program (see `peers/`) on a fresh copy of its database.
//!
//! They carry their jobs out inside of that program; none crosses to another process.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    Outcome, Run,
    catalog::{Load, PEERS, Peer},
    options::{Options, Scenario},
    ours::{BULK, CLIENTS, Held},
};

/// What a peer's program prints before what it came to.
const RESULT: &str = "RESULT ";
/// Seconds that pick-ups may take.
const PICKUP_LIMIT: f64 = 30.0;
/// How many jobs a peer loads in one call of its own.
const LOAD: usize = 5_000;

/// The peers that can be had.
pub(crate) struct Peers {
    directory: PathBuf,
    ready: Vec<&'static Peer>,
}

impl Peers {
    /// Finds those that were asked for where `peers.sh` puts them, and makes their schemas. One that
    /// is not there, or does not work, is told of and left out.
    pub(crate) fn prepare(run: &mut Run, options: &Options) -> Outcome<Self> {
        let directory = directory().ok_or("neither BENCH_PEERS nor HOME is set")?;
        let mut peers = Self { directory, ready: Vec::new() };
        for peer in PEERS.iter().filter(|peer| options.wants(peer.key)) {
            match peers.set_up(run, peer) {
                Ok(()) => peers.ready.push(peer),
                Err(error) => run.tell(format!("{} is left out: {error}", peer.name)),
            }
        }
        Ok(peers)
    }

    fn set_up(&self, run: &Run, peer: &Peer) -> Outcome<()> {
        if let Some(missing) =
            peer.program.iter().map(|part| self.directory.join(part)).find(|part| !part.exists())
        {
            return Err(
                format!("{} is missing; run benches/queue/peers.sh", missing.display()).into()
            );
        }
        let database = template(peer);
        run.cluster.make(&database, None)?;
        if let Some(schema) = peer.schema {
            let schema = fs::read_to_string(self.directory.join(schema))?;
            run.cluster.execute(&database, &[&schema])?;
        }
        self.step(run, peer, &database, "setup", 0, 0.0)?;
        Ok(())
    }

    /// Measures what `scenario` has for peers, of each of them. The order turns with the repeats.
    pub(crate) fn measure(&self, run: &mut Run, scenario: Scenario, repeat: usize) {
        let turn = repeat % self.ready.len().max(1);
        let (first, last) = self.ready.split_at(turn);
        let is_last = repeat + 1 == run.sizes.repeats;
        for peer in last.iter().chain(first) {
            let measured = match scenario {
                Scenario::Drain => self.drain(run, peer),
                Scenario::Submit => self.submit(run, peer),
                Scenario::Pickup => self.pickup(run, peer),
                // The slow ones once, when the drains that they are compared with are done.
                Scenario::Backlog if is_last => self.backlog(run, peer),
                Scenario::Snapshot if is_last => self.snapshot(run, peer),
                _ => Ok(()),
            };
            if let Err(error) = measured {
                run.tell(format!("{}: {} failed: {error}", peer.name, scenario.name()));
            }
        }
    }

    fn drain(&self, run: &mut Run, peer: &Peer) -> Outcome<()> {
        let count = run.sizes.drain;
        let result = self.on_a_copy(run, peer, |run, database| {
            self.load(run, peer, database, 0, count)?;
            self.drain_until(run, peer, database, count, peer.durable)
        })?;
        if result["capped"] == true {
            let handled = &result["handled"];
            run.tell(format!("{}: drain: {handled} of {count} in the time", peer.name));
        }
        run.samples.add(peer.name, "drain", &[drained(&result, "completed")?]);
        run.samples.add(peer.name, "drain, handled", &[drained(&result, "seconds")?]);
        Ok(())
    }

    fn submit(&self, run: &mut Run, peer: &Peer) -> Outcome<()> {
        let (singles, many) = self.on_a_copy(run, peer, |run, database| {
            let seconds = usize::try_from(run.sizes.enqueue.as_secs())?;
            let singles = self.step(run, peer, database, "submit", seconds, CLIENTS as f64)?;
            let many = self.step(run, peer, database, "bulk", run.sizes.drain, BULK as f64)?;
            Ok((singles, many))
        })?;
        for (what, result) in [("submit", singles), ("bulk", many)] {
            let rate = number(&result, "count")? / number(&result, "seconds")?;
            run.samples.add(peer.name, what, &[rate]);
        }
        Ok(())
    }

    fn pickup(&self, run: &mut Run, peer: &Peer) -> Outcome<()> {
        let result = self.on_a_copy(run, peer, |run, database| {
            self.step(run, peer, database, "pickup", run.sizes.pickups, PICKUP_LIMIT)
        })?;
        let samples: Vec<f64> = serde_json::from_value(result["samples"].clone())?;
        if samples.len() < run.sizes.pickups {
            run.tell(format!("{}: only {} pick-ups in the time", peer.name, samples.len()));
        }
        run.samples.add(peer.name, "pick-up", &samples);
        Ok(())
    }

    fn backlog(&self, run: &mut Run, peer: &Peer) -> Outcome<()> {
        let count = run.sizes.drain;
        if run.samples.median(peer.name, "drain, handled").is_none() {
            self.drain(run, peer)?;
        }
        let rates = self.on_a_copy(run, peer, |run, database| {
            self.load(run, peer, database, run.sizes.finished, count + run.sizes.behind)?;
            let drain = |_| drained(&self.drain_until(run, peer, database, count, "")?, "seconds");
            // Some handle nothing the second time, as the worker before left jobs locked.
            (0..2).map(drain).filter(|rate| !matches!(rate, Ok(0.0))).collect::<Outcome<Vec<_>>>()
        })?;
        run.samples.add(peer.name, "drain of a full table", &rates);
        let full = run.samples.median(peer.name, "drain of a full table");
        let empty = run.samples.median(peer.name, "drain, handled");
        if let (Some(full), Some(empty)) = (full, empty) {
            run.samples.add(peer.name, "backlog ratio", &[full / empty]);
        }
        Ok(())
    }

    fn snapshot(&self, run: &mut Run, peer: &Peer) -> Outcome<()> {
        let count = run.sizes.churn;
        let result = self.on_a_copy(run, peer, |run, database| {
            let held = Held::take(run, database)?;
            self.load(run, peer, database, 0, count)?;
            let result = self.drain_until(run, peer, database, count, "")?;
            held.let_go()?;
            Ok(result)
        })?;
        if result["capped"] == true {
            let handled = &result["handled"];
            run.tell(format!("{}: snapshot: {handled} of {count} in the time", peer.name));
        }
        run.samples.add(peer.name, "snapshot ratio", &[number(&result, "thirds")?]);
        Ok(())
    }

    /// Does `work` on a fresh copy of the peer's database.
    fn on_a_copy<T>(
        &self,
        run: &Run,
        peer: &Peer,
        work: impl FnOnce(&Run, &str) -> Outcome<T>,
    ) -> Outcome<T> {
        let database = format!("copy_{}", peer.key);
        run.cluster.make(&database, Some(&template(peer)))?;
        let done = work(run, &database);
        run.cluster.remove(&database)?;
        done
    }

    /// Puts jobs in: `other` that cannot be claimed, and `pending`.
    fn load(
        &self,
        run: &Run,
        peer: &Peer,
        database: &str,
        other: usize,
        pending: usize,
    ) -> Outcome<()> {
        match &peer.load {
            Load::Sql { pending: sql, other: others } => {
                let filled = |sql: &str, count: usize| sql.replace("{n}", &count.to_string());
                // No trigger: a NOTIFY for each row is not what is measured.
                let mut statements = vec!["SET session_replication_role = replica".to_owned()];
                if other > 0 {
                    statements.push(filled(others, other));
                }
                statements.push(filled(sql, pending));
                let statements: Vec<_> = statements.iter().map(|text| &**text).collect();
                run.cluster.execute(database, &statements)?;
            }
            Load::Itself => {
                for (command, count) in [("fill", other), ("bulk", pending)] {
                    if count > 0 {
                        self.step(run, peer, database, command, count, LOAD as f64)?;
                    }
                }
            }
        }
        run.cluster.settle(database, other > 0)
    }

    /// Has the peer drain `count` jobs, until `durable` says that all is completed.
    fn drain_until(
        &self,
        run: &Run,
        peer: &Peer,
        database: &str,
        count: usize,
        durable: &str,
    ) -> Outcome<Value> {
        let mut program = self.program(run, peer, database)?;
        let limit = run.sizes.cap.as_secs_f64();
        program.args(["drain", &count.to_string(), &limit.to_string()]);
        result_of(program.env("BENCH_DURABLE", durable))
    }

    /// Has the peer do another of its commands.
    fn step(
        &self,
        run: &Run,
        peer: &Peer,
        database: &str,
        command: &str,
        a: usize,
        b: f64,
    ) -> Outcome<Value> {
        let mut program = self.program(run, peer, database)?;
        result_of(program.args([command, &a.to_string(), &b.to_string()]))
    }

    /// The peer's program, to be told what to do.
    fn program(&self, run: &Run, peer: &Peer, database: &str) -> Outcome<Command> {
        let mut words = peer.program.iter().map(|part| self.directory.join(part));
        let program = words.next().ok_or("a peer without a program")?;
        let mut program = Command::new(program);
        program
            .args(words)
            .env("BENCH_URL", run.cluster.url(database))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(run.cluster.workplace("peers")?)
            .stdin(Stdio::null());
        Ok(program)
    }
}

/// Runs a peer's program, and reads what it came to.
fn result_of(program: &mut Command) -> Outcome<Value> {
    let output = program.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(result) = text.lines().find_map(|line| line.strip_prefix(RESULT)) else {
        let told = String::from_utf8_lossy(&output.stderr);
        let end = told.trim().lines().last().unwrap_or_default();
        return Err(format!("{}: {end}", output.status).into());
    };
    Ok(serde_json::from_str(result)?)
}

/// The database that a peer's copies are made of.
fn template(peer: &Peer) -> String {
    format!("peer_{}", peer.key)
}

/// Where `peers.sh` puts them.
fn directory() -> Option<PathBuf> {
    let given = std::env::var_os("BENCH_PEERS").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/hostler/peers"));
    given.or(home)
}

fn number(result: &Value, field: &str) -> Outcome<f64> {
    result[field].as_f64().ok_or_else(|| format!("no `{field}` in {result}").into())
}

/// Jobs a second, until the moment that `field` has; of what was done where the time was up, and
/// until the last handler where the peer does not say more.
fn drained(result: &Value, field: &str) -> Outcome<f64> {
    let seconds = number(result, field).or_else(|_| number(result, "seconds"))?;
    Ok(number(result, "handled")? / seconds)
}
