//! What the processes of an agent say on its notification socket, and what follows.
//!
//! The socket belongs to the agent, not to one of its processes: its name stays, so that a process goes on
//! being heard under a host that comes after this one. A word counts only from a process of the agent's
//! newest one; of a sender that is gone before it could be looked at, nothing can be known.

use std::{sync::Arc, time::Duration};

use actix::{WeakAddr, prelude::*};
use slog::{debug, info, warn};
use tokio::{task::JoinHandle, time::Instant};

use super::{actor::AgentActor, messages::Timer};
use crate::{
    domain::{
        Millis,
        agent::{AgentEvent, AgentState},
        fleet::Protocol,
        health::Check,
        heartbeat::{Sign, Silence},
        restart, secret,
    },
    heartbeat::Vitals,
    process::{Datagram, NotifySocket, belongs},
    protocol::notify::{Notice, parse},
};

/// After so many words in a row the next ones wait for [`PAUSE`]: nobody needs more.
const BURST: u32 = 64;
const PAUSE: Duration = Duration::from_millis(50);

/// How much longer a process that is asked to leave may take than it was given, if it says so.
const MAX_LEAVE: Duration = Duration::from_secs(600);

/// How fast words come.
#[derive(Debug)]
struct Flow {
    /// How many came with less than the pause between them.
    burst: u32,
    last: Instant,
}

impl Flow {
    /// A word came; how long to wait before the next is heard.
    fn came(&mut self, now: Instant) -> Option<Duration> {
        self.burst = if now - self.last < PAUSE { self.burst + 1 } else { 1 };
        self.last = now;
        if self.burst < BURST {
            return None;
        }
        self.burst = 0;
        Some(PAUSE)
    }
}

/// The socket is heard for as long as this lives.
pub(super) struct Listening(JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A process of the agent said something.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Notified(Notice);

impl AgentActor {
    /// The name of the agent's socket, if its fleet has use for one.
    pub(super) fn notify_name(&self) -> Option<String> {
        let wanted =
            self.fleet.heartbeat.evidence.notify || self.fleet.readiness.check == Check::Notify;
        wanted.then(|| format!("{}/{}", self.around.notify_prefix, self.status.agent))
    }

    /// Opens the agent's socket, if that is wanted and was not done. Without it the agent works on.
    pub(super) fn listen(&mut self, ctx: &mut Context<Self>) {
        let (None, Some(name)) = (&self.listening, self.notify_name()) else { return };
        match NotifySocket::bind(&name) {
            Ok(socket) => {
                // A strong address would keep the actor alive for ever.
                let actor = ctx.address().downgrade();
                let heard = hear(socket, actor, self.vitals.clone(), self.log.clone());
                self.listening = Some(Listening(actix::spawn(heard)));
            }
            Err(error) => {
                warn!(self.log, "notifications of an agent can't be heard"; "error" => %error);
            }
        }
    }

    /// It needs more time: for its start, before it is stale, or to leave, whoever asked it to.
    fn extend(&mut self, by: Duration, ctx: &mut Context<Self>) {
        self.vitals.extend(by);
        let now = self.around.clock.now();
        // Once it has had the longest time that there is, what is left of the last grace must do.
        let longer = |since: Millis, least: Duration| {
            let gone = Duration::from_millis(now.saturating_sub(since));
            let left = MAX_LEAVE.saturating_sub(gone);
            (!left.is_zero()).then(|| by.min(left).max(least))
        };
        let leaves_since = self.leaves_since.filter(|_| self.agent.state == AgentState::Stopping);
        let grace = leaves_since.and_then(|since| longer(since, self.fleet.stop_grace));
        if let Some((by, timer)) = grace.and_then(|by| Some((by, self.grace.take()?))) {
            ctx.cancel_future(timer);
            let timer = Timer::Grace(self.status.generation);
            self.grace = Some(ctx.notify_later(timer, by));
        }
        if let (Some(work), Some(linger)) = (self.work.front_mut(), self.fleet.linger)
            && let Some((since, timer)) = work.linger
            && let Some(by) = longer(since, linger)
        {
            ctx.cancel_future(timer);
            let (task, attempt) = work.key();
            work.linger = Some((since, ctx.notify_later(Timer::Linger(task, attempt), by)));
        }
    }
}

/// Hears the socket until it can't be read any more.
async fn hear(
    socket: NotifySocket,
    actor: WeakAddr<AgentActor>,
    vitals: Arc<Vitals>,
    log: slog::Logger,
) {
    let mut flow = Flow { burst: 0, last: Instant::now() };
    let mut pause = None;
    loop {
        if let Some(pause) = pause.take() {
            tokio::time::sleep(pause).await;
        }
        // What comes before it is known which process is the agent's waits in the socket.
        let root = vitals.process().await;
        let Datagram { from, bytes } = match socket.receive().await {
            Ok(datagram) => datagram,
            Err(error) => {
                warn!(log, "notifications of an agent can't be heard"; "error" => %error);
                return;
            }
        };
        pause = flow.came(Instant::now());
        // The process may be another than it was when waiting began.
        let root = vitals.pid().unwrap_or(root);
        if !belongs(from, root) {
            debug!(log, "notification ignored"; "pid" => from,
                "reason" => "its sender is no process of this agent, or is gone");
            continue;
        }
        let Some(actor) = actor.upgrade() else { return };
        if actor.send(Notified(parse(&bytes))).await.is_err() {
            return;
        }
    }
}

impl Handler<Notified> for AgentActor {
    type Result = ();

    fn handle(&mut self, Notified(notice): Notified, ctx: &mut Self::Context) {
        let Some(process) = &mut self.process else { return };
        for why in &notice.ignored {
            debug!(self.log, "notification ignored"; "reason" => why);
        }
        let before = process.promise;
        // Who has beaten once is expected to go on, also while it has nothing to do.
        process.promise.beats |= notice.beat;
        if let Some(limit) = notice.limit {
            process.promise.limit_ms = Some(restart::millis(limit));
        }
        let promise = process.promise;
        if promise.beats && !before.beats && self.agent.state == AgentState::Idle {
            self.vitals.expect(self.expectation());
        }
        if self.fleet.heartbeat.evidence.notify {
            self.vitals.heard(Sign::Notified);
        }
        if let Some(status) = notice.status {
            let status = secret::hide(&self.fleet.secrets, &status).into_owned();
            self.vitals.set_told(Some(status).filter(|status| !status.is_empty()));
        }
        if let Some(limit) = notice.limit {
            self.vitals.limit(Some(limit));
        }
        if notice.ready && self.fleet.readiness.check == Check::Notify {
            self.shown(ctx);
        }
        if notice.trigger && self.agent.state.is_ready() {
            let silent = Duration::from_millis(self.vitals.silent_for());
            self.status.reason = Some(Silence::asked(silent).to_string());
            self.observe(AgentEvent::Silent, ctx);
        }
        if notice.stopping && self.agent.leaving.is_none() {
            info!(self.log, "agent is leaving by itself"; "generation" => self.status.generation.0);
            self.status.reason = Some("it said STOPPING=1".to_owned());
            self.observe(AgentEvent::Parting, ctx);
            if let (Some(work), Some(linger)) = (self.work.front_mut(), self.fleet.linger)
                && self.fleet.protocol == Protocol::Exec
                && work.linger.is_none()
            {
                let (task, attempt) = work.key();
                let timer = ctx.notify_later(Timer::Linger(task, attempt), linger);
                work.linger = Some((self.around.clock.now(), timer));
            }
        }
        if promise != before {
            self.note_standing();
        }
        // Last: what it asks for in one breath with STOPPING=1 is time to leave.
        if let Some(by) = notice.extend {
            self.extend(by, ctx);
        }
    }
}

impl AgentActor {
    /// How much longer the start may take than it was given, if its process asked for that.
    pub(super) fn start_extended(&self) -> Option<Duration> {
        let left = self.vitals.extended()?.checked_sub(self.around.clock.now())?;
        Some(Duration::from_millis(left)).filter(|left| !left.is_zero())
    }

    /// Now it is being sent away, or it is not any longer.
    pub(super) fn note_leaving(&mut self) {
        let now = self.around.clock.now();
        self.leaves_since = self.agent.leaving.map(|_| self.leaves_since.unwrap_or(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_so_many_words_in_a_row_there_is_a_pause() {
        let mut now = Instant::now();
        let mut flow = Flow { burst: 0, last: now };
        let mut said = |apart: Duration, count: u32| -> Vec<u32> {
            let heard = (1..=count).filter(|_| {
                now += apart;
                flow.came(now).is_some()
            });
            heard.collect()
        };
        assert_eq!(said(Duration::from_millis(1), 3 * BURST), [BURST, 2 * BURST, 3 * BURST]);
        assert_eq!(said(PAUSE, 1000), [] as [u32; 0], "those that are apart are no burst");
        assert_eq!(said(PAUSE / 2, BURST - 1), [BURST - 1], "with the last of those");
    }
}
