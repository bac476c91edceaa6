//! Takes back what a host before this one left with the keeper: asks `domain::adoption` what becomes
//! of each process, and Postgres whose its attempt is.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use actix::Recipient;
use slog::{Logger, info, warn};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use crate::{
    agent::{self, Adopted},
    domain::{
        AgentName,
        adoption::{self, Hold, Left, Note, Verdict, Wish},
        fleet::{Fleet, Protocol},
        record::{AdoptionRecord, EndedRecord},
        task::{Assignment, FailureClass, Outcome},
    },
    process::{Found, Keeper, Kept, Processes, Spawned},
    queue::{self, FromAgent, QueueHandle},
    settings::Settings,
    store::{
        Store, StoreError,
        hosts::{self, Resumed},
        webhooks,
    },
    supervisor::Scales,
    workspace::Workspaces,
};

/// What this host goes on with.
pub(super) struct Adoption {
    /// When its lease was asked for.
    pub(super) registered: Instant,
    /// The attempts that are still its own, and how long they have run.
    pub(super) resumed: Vec<(Assignment, Duration)>,
    /// The processes, by their agents.
    pub(super) agents: BTreeMap<AgentName, Adopted>,
    /// What is told of it all.
    pub(super) report: AdoptionRecord,
    /// The ended processes whose outcomes are to be settled.
    outcomes: Vec<Finished>,
    /// Attempts of processes that could not be kept: they are put back.
    released: Vec<Assignment>,
}

/// An `exec` process that ended without a host.
struct Finished {
    process: Spawned,
    assignment: Assignment,
    fleet: Fleet,
}

/// Registers `host`, and takes back what it can of `found`. What it can't is gone when this returns,
/// and what was doomed anyway is gone before its attempt can be given to anybody else.
pub(super) async fn adopt(
    settings: &Settings,
    scales: &Scales,
    log: &Logger,
    keeper: &Keeper,
    (found, store, host): (Found, &Store, &hosts::NewHost),
) -> Result<Adoption, StoreError> {
    let Found { epoch, processes, replaced } = found;
    let left: Vec<Left> = processes.iter().map(|kept| look_at(settings, kept)).collect();
    let with_size = |fleet: &Fleet| Fleet { count: scales.count_of(fleet), ..fleet.clone() };
    let fleets: Vec<Fleet> = settings.fleets.iter().map(with_size).collect();
    let wishes = adoption::sort(&fleets, &left);
    let count = processes.len();
    let mut doomed = Vec::new();
    let mut hopeful = Vec::new();
    for ((kept, left), wish) in processes.into_iter().zip(left).zip(wishes) {
        match wish {
            Wish::Nothing(why) => doomed.push((kept, why)),
            wish => hopeful.push((kept, left, wish)),
        }
    }
    let mut ended = end_all(log, keeper, doomed, host.lease).await;

    let mut wanted: Vec<(Hold, AgentName)> = Vec::new();
    for (_, left, wish) in &hopeful {
        if let Ok(note) = &left.note {
            wanted.extend(wish.holds().iter().map(|hold| (*hold, note.agent.clone())));
        }
    }
    let db = store.client().await?;
    // Nothing that the host before this one sent comes after this.
    store.sever_predecessor(&db).await?;
    webhooks::release_predecessor(&db, host.slot).await?;
    let registered = Instant::now();
    let answer = hosts::resume(&db, host, &wanted).await?;
    info!(log, "host registered"; "host" => %host.id, "count" => answer.returned.len(),
        "version" => env!("CARGO_PKG_VERSION"));

    let mut ours: HashMap<Hold, Resumed> =
        answer.resumed.into_iter().map(|one| (hold_of(&one.assignment), one)).collect();
    let terms = settings.queue_terms();
    for Resumed { assignment, .. } in ours.values_mut() {
        assignment.timeout = assignment.timeout.or(terms.of(&assignment.queue).timeout);
    }
    let mut adoption = Adoption {
        registered,
        resumed: Vec::new(),
        agents: BTreeMap::new(),
        report: AdoptionRecord { found: count, replaced, ..AdoptionRecord::default() },
        outcomes: Vec::new(),
        released: Vec::new(),
    };
    let mut lost = Vec::new();
    for (kept, left, wish) in hopeful {
        let are_ours = wish.holds().iter().all(|hold| ours.contains_key(hold));
        match wish.settle(are_ours) {
            Verdict::Kill(why) => lost.push((kept, why)),
            Verdict::Keep(holds) => {
                let work = holds.iter().filter_map(|hold| ours.remove(hold)).collect();
                adoption.keep(epoch, kept, left, work);
            }
            Verdict::Settle(hold) => {
                let Ok(note) = left.note else { continue };
                let fleet = fleet_of(settings, &note).cloned();
                if let Some((one, fleet)) = ours.remove(&hold).zip(fleet) {
                    let Resumed { mut assignment, ran } = one;
                    assignment.agent = note.agent;
                    adoption.resumed.push((assignment.clone(), ran));
                    adoption.outcomes.push(Finished { process: kept.process, assignment, fleet });
                }
            }
        }
    }
    ended.extend(end_all(log, keeper, lost, host.lease).await);
    for Resumed { assignment, ran } in ours.into_values() {
        adoption.resumed.push((assignment.clone(), ran));
        adoption.released.push(assignment);
    }
    adoption.report.kept = adoption.agents.len();
    adoption.report.settled = adoption.outcomes.len();
    adoption.report.released = adoption.released.len();
    adoption.report.ended = ended;
    if count > 0 {
        let AdoptionRecord { kept, settled, ended, released, .. } = &adoption.report;
        let reason = format!(
            "{kept} of {count} processes go on, {settled} had finished, {} were ended; {released} attempts were put back",
            ended.len()
        );
        info!(log, "agents of the host before this taken over"; "count" => count, "reason" => reason);
    }
    Ok(adoption)
}

fn hold_of(assignment: &Assignment) -> Hold {
    Hold { task: assignment.task, attempt: assignment.attempt }
}

fn fleet_of<'a>(settings: &'a Settings, note: &Note) -> Option<&'a Fleet> {
    settings.fleets.iter().find(|fleet| fleet.name == note.fleet)
}

/// What can be known of a process without asking Postgres.
fn look_at(settings: &Settings, kept: &Kept) -> Left {
    let note = Note::parse(&kept.note);
    let fleet = note.as_ref().ok().and_then(|note| Some((fleet_of(settings, note)?, note)));
    let process = &kept.process;
    let outputs = process.stdout.is_some() && process.stderr.is_some();
    let has_pipes = match fleet {
        Some((Fleet { protocol: Protocol::Worker, .. }, _)) => outputs && process.stdin.is_some(),
        Some((Fleet { protocol: Protocol::Service, .. }, _)) => outputs,
        _ => true,
    };
    // One that writes nothing down leaves what an earlier process has written.
    let standing = fleet.and_then(|(_, note)| {
        let standing = agent::read_standing(&settings.host.standing_dir(), &note.agent)?;
        standing.pid.is_none_or(|pid| pid == process.pid).then_some(standing)
    });
    Left { note, is_over: kept.is_over, has_pipes, standing }
}

impl Adoption {
    fn keep(&mut self, epoch: u64, kept: Kept, left: Left, work: Vec<Resumed>) {
        // What has no note was not kept.
        let Ok(note) = left.note else { return };
        let mut work = work;
        for one in &mut work {
            // Of a plain task that left the log in its hands the database does not know whose they are.
            one.assignment.agent = note.agent.clone();
        }
        self.resumed.extend(work.iter().map(|one| (one.assignment.clone(), one.ran)));
        let adopted = Adopted {
            process: kept.process,
            generation: note.generation,
            work: work.into_iter().map(|one| (Arc::new(one.assignment), one.ran)).collect(),
            standing: left.standing.filter(|standing| standing.generation == note.generation),
            epoch,
        };
        self.agents.insert(note.agent, adopted);
    }

    /// Reads the outcomes that ended processes left, and has them settled.
    pub(super) fn settle(
        self,
        attempts_dir: &Path,
        keeper: &Keeper,
        queue: &QueueHandle,
        workspaces: &Workspaces,
    ) {
        let release = |assignment: &Assignment| {
            let Hold { task, attempt } = hold_of(assignment);
            let reason = "its process was not taken over".to_owned();
            queue::Ended { task, attempt, outcome: Outcome::Released { reason }, written: None }
        };
        let released = self.released.iter().map(release).collect();
        // A report that must not be lost: the tasks would hang until their lease ends.
        queue.for_agents().do_send(FromAgent::Ended(released));
        for finished in self.outcomes {
            let (dir, keeper) = (attempts_dir.to_owned(), keeper.clone());
            actix::spawn(finished.settle(dir, keeper, queue.for_agents(), workspaces.clone()));
        }
    }
}

impl Finished {
    async fn settle(
        self,
        attempts_dir: PathBuf,
        keeper: Keeper,
        queue: Recipient<FromAgent>,
        workspaces: Workspaces,
    ) {
        let Self { process, assignment, fleet } = self;
        let Hold { task, attempt } = hold_of(&assignment);
        // It is over, so this is at hand.
        let Ok(ended) = process.ended.await else { return };
        let read = move || agent::left_outcome(&fleet, &attempts_dir, &assignment, &ended);
        let outcome = tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| {
            Outcome::failed(FailureClass::Internal, "reading the attempt's output panicked")
        });
        let outcome = workspaces.close(task, attempt, outcome).await;
        let (written, told) = oneshot::channel();
        let end = queue::Ended { task, attempt, outcome, written: Some(written) };
        queue.do_send(FromAgent::Ended(vec![end]));
        if told.await.is_ok() {
            keeper.forget(process.id);
        }
    }
}

/// Kills processes and waits until they are gone, though no longer than a part of the lease: what a kill
/// does not end is beyond anybody's reach.
async fn end_all(
    log: &Logger,
    keeper: &Keeper,
    doomed: Vec<(Kept, &'static str)>,
    lease: Duration,
) -> Vec<EndedRecord> {
    let (mut ends, mut told) = (Vec::new(), Vec::new());
    for (Kept { process, note, is_over }, why) in doomed {
        let whose = Note::parse(&note).map_or(note, |note| note.agent.to_string());
        info!(log, "process of the host before this is not taken over"; "agent" => &whose,
            "pid" => process.pid, "reason" => why);
        told.push(EndedRecord { agent: whose, pid: process.pid, reason: why.to_owned() });
        if !is_over {
            keeper.kill(process.id);
        }
        ends.push(process);
    }
    let deadline = Instant::now() + lease / 8;
    for Spawned { id, pid, ended, .. } in ends {
        // An end without a word says that the keeper is gone, and the process with it.
        if timeout_at(deadline, ended).await.is_err() {
            warn!(log, "process does not end by SIGKILL"; "pid" => pid);
        }
        keeper.forget(id);
    }
    told
}
