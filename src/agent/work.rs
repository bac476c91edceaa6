//! The attempts that an agent has in hand, and what goes with them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix::prelude::*;
use slog::warn;
use tokio::{sync::oneshot, time::Instant};

use super::{
    actor::AgentActor, attempt::AttemptFiles, messages::Timer, stdio::Pump, tombstone::WhenEnded,
};
use crate::{
    domain::{
        Attempt, Millis, TaskId,
        agent::Fault,
        fleet::Protocol,
        task::{Assignment, FailureClass, Outcome, TimeLeft},
    },
    process::{ProcessId, Processes},
    protocol::worker::{Artifact, ArtifactBody},
    queue::Ended,
};

/// Why an attempt is being ended before it ended itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CalledOff {
    /// Somebody cancelled the task.
    Cancel,
    /// It takes too long.
    Timeout,
    /// The task's deadline has come.
    Deadline,
}

impl CalledOff {
    /// What it is that ends when the time is up.
    pub(super) const fn of(left: TimeLeft) -> Self {
        if left.is_deadline { Self::Deadline } else { Self::Timeout }
    }
}

/// The attempt in hand.
pub(super) struct Work {
    pub(super) assignment: Arc<Assignment>,
    pub(super) called_off: Option<CalledOff>,
    /// The timer of its limit, once it is under way.
    pub(super) limit: Option<SpawnHandle>,
    /// What it means when that runs out.
    pub(super) at_limit: CalledOff,
    /// Since when it is in hand: the time to its deadline counts from there.
    pub(super) received: Instant,
    /// Whether it is under way, or was: its time has begun.
    pub(super) begun: bool,
    /// Whether the process has it.
    pub(super) given: bool,
    /// Since when its process says that it is leaving, and the timer of how long that may take.
    pub(super) linger: Option<(Millis, SpawnHandle)>,
    /// Its process has given its result, and went on for too long: what it left counts as if it had ended.
    pub(super) gave_result: Arc<AtomicBool>,
    /// How far its workspace is, if it is to have one and the process is not made for it alone.
    pub(super) placing: Placing,
}

/// How far the workspace of an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placing {
    /// It was not asked for.
    Wanted,
    /// It is being made.
    UnderWay,
    /// It is there.
    Done,
}

impl Work {
    pub(super) fn new(assignment: Arc<Assignment>) -> Self {
        Self {
            assignment,
            called_off: None,
            limit: None,
            at_limit: CalledOff::Timeout,
            received: Instant::now(),
            begun: false,
            given: false,
            linger: None,
            gave_result: Arc::default(),
            placing: Placing::Wanted,
        }
    }

    pub(super) fn key(&self) -> (TaskId, Attempt) {
        (self.assignment.task, self.assignment.attempt)
    }

    /// How long it may still run when it has run for `ran`.
    pub(super) fn time_left(&self, of_fleet: Option<Duration>, ran: Duration) -> Option<TimeLeft> {
        self.assignment.time_left(of_fleet, ran, self.received.elapsed())
    }

    /// What the agent's own answer means for an attempt that was called off: a result counts, and
    /// anything else is the end that was asked for.
    pub(super) fn judge(&self, outcome: Outcome) -> Outcome {
        match (self.called_off, outcome) {
            (_, done @ Outcome::Completed { .. }) => done,
            (Some(CalledOff::Timeout), Outcome::Cancelled) => {
                let message =
                    "the attempt took longer than its limit, and let go when it was asked to";
                Outcome::failed(FailureClass::Timeout, message)
            }
            (
                Some(CalledOff::Cancel),
                Outcome::Failed { .. } | Outcome::Released { .. } | Outcome::Snoozed { .. },
            ) => Outcome::Cancelled,
            (Some(CalledOff::Deadline), _) => {
                let message = "the deadline of the task passed while it ran";
                Outcome::failed(FailureClass::Deadline, message)
            }
            (_, outcome) => outcome,
        }
    }
}

/// To be told when the outcome that the ended process `id` left is written: then no later host needs to
/// read it again.
pub(super) fn when_written(processes: Arc<dyn Processes>, id: ProcessId) -> oneshot::Sender<()> {
    let (tell, written) = oneshot::channel();
    actix::spawn(async move {
        // Not told, it may not be written: the next host settles it, or finds that it is.
        if written.await.is_ok() {
            processes.forget(id);
        }
    });
    tell
}

impl AgentActor {
    /// The first of what is in hand is under way from here: its time begins.
    pub(super) fn begin_next(&mut self, ctx: &mut Context<Self>) {
        let Some(mut work) = self.work.pop_front() else { return };
        if self.fleet.protocol == Protocol::Worker {
            let files = AttemptFiles::of(&self.around.attempts_dir, &work.assignment);
            self.write_said();
            self.own_log.concerns(Some(files.log()));
        }
        if !work.begun {
            self.begin(&mut work, ctx);
        }
        self.work.push_front(work);
    }

    fn begin(&self, work: &mut Work, ctx: &mut Context<Self>) {
        work.begun = true;
        self.heed_silence(work);
        let (task, attempt) = work.key();
        if work.called_off.is_some() {
            ctx.notify_later(Timer::CallOff(task, attempt), self.fleet.stop_grace);
        }
        self.limit(work, Duration::ZERO, ctx);
    }

    /// What the task says of silence holds from here, until its attempt ends or its process says another.
    pub(super) fn heed_silence(&self, work: &Work) {
        if let Some(limit) = work.assignment.terms.stale_after {
            self.vitals.limit(Some(limit));
        }
    }

    /// Sets the timer of what is left of the time of an attempt that has run for `ran`.
    pub(super) fn limit(&self, work: &mut Work, ran: Duration, ctx: &mut Context<Self>) {
        let Some(left) = work.time_left(self.fleet.task_timeout, ran) else { return };
        let (task, attempt) = work.key();
        work.limit = Some(ctx.notify_later(Timer::Attempt(task, attempt), left.limit));
        work.at_limit = CalledOff::of(left);
    }

    /// Takes an attempt that ended out of hand.
    pub(super) fn take_end(
        &mut self,
        key: (TaskId, Attempt),
        outcome: Outcome,
        ctx: &mut Context<Self>,
    ) -> Option<Ended> {
        let place = self.work.iter().position(|work| work.key() == key)?;
        let work = self.work.remove(place)?;
        // Left in the context, it would be polled with every message until its time has come.
        for timer in work.limit.into_iter().chain(work.linger.map(|(_, timer)| timer)) {
            ctx.cancel_future(timer);
        }
        // What its process has said of itself is about the one under way.
        if place == 0 {
            self.write_said();
            self.own_log.concerns(None);
            self.vitals.attempt_ended();
            if let Some(process) = &mut self.process {
                process.promise.limit_ms = None;
            }
        }
        self.status.attempts_ended += 1;
        let (task, attempt) = key;
        let outcome = work.judge(outcome).without(&self.fleet.secrets);
        let written =
            self.unsettled.take().map(|id| when_written(self.around.processes.clone(), id));
        Some(Ended { task, attempt, outcome, written })
    }

    /// The attempt under way ended with `outcome`, and the process has no others any longer: those
    /// behind it are put back.
    pub(super) fn settle(&mut self, outcome: Outcome, ctx: &mut Context<Self>) {
        let mut outcome = Some(outcome);
        let mut ends = Vec::with_capacity(self.work.len());
        while let Some(key) = self.work.front().map(Work::key) {
            let reason = "its agent stopped before it began".to_owned();
            let end = outcome.take().unwrap_or(Outcome::Released { reason });
            ends.extend(self.take_end(key, end, ctx));
        }
        if !ends.is_empty() {
            self.tell_ends(ends);
        }
    }

    /// The process of an `exec` attempt has given its result, and does not end.
    pub(super) fn lingers(&mut self, ctx: &mut Context<Self>) {
        let (Some(work), Some(linger)) = (self.work.front(), self.fleet.linger) else { return };
        if self.agent.leaving.is_none() {
            work.gave_result.store(true, Ordering::Release);
            let linger = humantime::format_duration(linger);
            let reason = format!("it gave its result, and had not ended {linger} later");
            self.fault(Fault::Linger, reason, serde_json::Value::Null, ctx);
        }
    }

    /// The process of an `exec` attempt has written more than it may.
    pub(super) fn floods(&mut self, ctx: &mut Context<Self>) {
        let most = self.fleet.max_written.unwrap_or_default();
        let reason = format!(
            "it wrote more than {most} bytes to stdout and stderr, the limit of `max_written`"
        );
        self.fault(Fault::Protocol, reason, serde_json::Value::Null, ctx);
    }

    /// Keeps a worker's `task/log` for the agent's own log.
    pub(super) fn write_log(&mut self, level: &str, message: &str) {
        let task = self.work.front().map_or_else(String::new, |work| work.key().0.to_string());
        self.said.add(&format!("{} {level} {task} {message}\n", jiff::Timestamp::now()));
    }

    /// Writes what was said to the agent's own log and that of the attempt under way. How long its process
    /// must wait until more of it is read.
    pub(super) fn write_said(&mut self) -> Duration {
        let (lines, wait) = self.said.take(Instant::now());
        if !lines.is_empty() {
            let (written, log) = (self.own_log.append(lines), self.log.clone());
            actix::spawn(async move {
                if let Err(error) = written.await {
                    warn!(log, "an agent's log can't be written"; "error" => %error);
                }
            });
        }
        wait
    }

    /// Keeps what a worker sent by `task/artifact` among the files of the attempt.
    pub(super) fn keep_artifact(&self, artifact: Artifact) {
        let Some(work) = self.work.front() else { return };
        let files = AttemptFiles::of(&self.around.attempts_dir, &work.assignment);
        let log = self.log.clone();
        let keep = move || {
            // One that is a file already stays where its agent put it.
            let ArtifactBody::Content(content) = &artifact.body else { return };
            let content = content.as_str().map_or_else(|| content.to_string(), str::to_owned);
            if let Err(error) = files.keep_artifact(&artifact.name, content.as_bytes()) {
                warn!(log, "an artifact can't be kept"; "error" => %error,
                    "path" => %files.dir().display());
            }
        };
        actix::spawn(async move {
            // The closure does not panic, and nothing else could be done about it here.
            tokio::task::spawn_blocking(keep).await.unwrap_or_default();
        });
    }

    /// Follows the process of an `exec` attempt to its end, and reads what it left.
    pub(super) fn follow_attempt(&self, pump: Pump, ended: WhenEnded) {
        debug_assert_eq!(self.fleet.protocol, Protocol::Exec);
        let Some(work) = self.work.front() else { return };
        let files = AttemptFiles::of(&self.around.attempts_dir, &work.assignment);
        let fleet = self.fleet.clone();
        let stale_after = work.assignment.terms.stale_after.or(fleet.heartbeat.stale_after);
        let floods = files.clone().watch(self.vitals.clone(), stale_after, fleet.max_written);
        let lingers = files.clone().lingers(fleet.clone());
        let gave_result = work.gave_result.clone();
        actix::spawn(async move {
            let ended = tokio::select! {
                ended = ended => ended,
                () = async {
                    floods.await;
                    pump.floods().await;
                    std::future::pending().await
                } => unreachable!("telling never ends by itself"),
                () = async {
                    lingers.await;
                    pump.lingers().await;
                    std::future::pending().await
                } => unreachable!("telling never ends by itself"),
            };
            let (read, end) = (files.clone(), ended);
            let gave_result = gave_result.load(Ordering::Acquire);
            let outcome = move || read.outcome(&fleet, &end, gave_result);
            let outcome = tokio::task::spawn_blocking(outcome).await;
            let outcome = outcome.unwrap_or_else(|_| {
                Outcome::failed(FailureClass::Internal, "reading the attempt's output panicked")
            });
            pump.left(ended, outcome).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;
    use uuid::Uuid;

    use super::*;
    use crate::domain::task::RunTerms;

    #[test]
    fn what_an_answer_means_for_an_attempt_that_was_called_off() {
        let assignment = Assignment {
            task: TaskId::from_uuid(Uuid::nil()),
            attempt: Attempt(1),
            failures: 0,
            max_attempts: 1,
            agent: "a-1".parse().unwrap(),
            queue: "q".parse().unwrap(),
            kind: String::new(),
            input: Value::Null,
            results: None,
            timeout: None,
            waited: Duration::ZERO,
            frees: false,
            entry: None,
            terms: RunTerms::default(),
        };
        let done = Outcome::Completed { output: Value::Null };
        let failed = Outcome::failed(FailureClass::Task, "no");
        let judged = |called_off, outcome: &Outcome| {
            Work { called_off, ..Work::new(Arc::new(assignment.clone())) }.judge(outcome.clone())
        };
        for called_off in
            [None, Some(CalledOff::Cancel), Some(CalledOff::Timeout), Some(CalledOff::Deadline)]
        {
            assert_eq!(judged(called_off, &done), done, "a result counts");
        }
        assert_eq!(judged(None, &failed), failed);
        assert_eq!(judged(Some(CalledOff::Cancel), &failed), Outcome::Cancelled);
        assert_eq!(judged(Some(CalledOff::Timeout), &failed), failed);
        let timeout = judged(Some(CalledOff::Timeout), &Outcome::Cancelled);
        assert!(matches!(timeout, Outcome::Failed { class: FailureClass::Timeout, .. }));
        let wait = Duration::from_secs(1);
        let snoozed = Outcome::Snoozed { wait, reason: String::new() };
        assert_eq!(judged(None, &snoozed), snoozed);
        assert_eq!(judged(Some(CalledOff::Cancel), &snoozed), Outcome::Cancelled);
        for outcome in [&failed, &snoozed, &Outcome::Cancelled] {
            let late = judged(Some(CalledOff::Deadline), outcome);
            assert!(matches!(late, Outcome::Failed { class: FailureClass::Deadline, .. }));
        }
    }
}
