//! What process an agent wants.

use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::{
    Surroundings,
    attempt::AttemptFiles,
    messages::{StartError, Started},
    starts::Place,
};
use crate::{
    domain::{
        AgentName, Generation,
        adoption::{Hold, Note},
        fleet::{Fleet, Protocol, StdinMode},
        task::Assignment,
    },
    process::{Spawned, Spec, Stdio},
    protocol::exec::{self, Template},
};

/// All that goes into one start.
pub(super) struct Start {
    pub(super) around: Arc<Surroundings>,
    pub(super) fleet: Arc<Fleet>,
    /// That of the fleet.
    pub(super) fingerprint: String,
    pub(super) agent: AgentName,
    pub(super) generation: Generation,
    /// The name of its notification socket, if it has one.
    pub(super) notify: Option<String>,
    /// The attempt that the process is made for, of an `exec` agent.
    pub(super) assignment: Option<Arc<Assignment>>,
    /// Its place among those that start, if there was one at once.
    pub(super) place: Option<Place>,
    /// Ends when nobody wants the process any more.
    pub(super) wanted: oneshot::Receiver<()>,
}

impl Start {
    /// Starts the process and tells the actor how it went. Goes on if the actor ends meanwhile:
    /// then the process is ended, too.
    pub(super) fn go(self, tell: Recipient<Started>) {
        actix::spawn(async move {
            let generation = self.generation;
            let processes = self.around.processes.clone();
            let (workspaces, agent) = (self.around.workspaces.clone(), self.agent.clone());
            let (result, place) = self.in_turn().await;
            let id = result.as_ref().ok().map(|spawned| spawned.id);
            if tell.send(Started { generation, result, place }).await.is_err() {
                id.into_iter().for_each(|id| processes.kill(id));
                workspaces.close_of(&agent).await;
            }
        });
    }

    /// Starts the process once there is a place for it. Only until then it can be called off.
    async fn in_turn(mut self) -> (Result<Spawned, StartError>, Option<Place>) {
        let place = match self.place.take() {
            Some(place) => place,
            None => {
                let starts = self.around.starts.clone();
                tokio::select! {
                    biased;
                    _ = &mut self.wanted => return (Err(StartError::CalledOff), None),
                    place = starts.take(&self.fleet) => place,
                }
            }
        };
        (self.spawn().await, Some(place))
    }

    async fn spawn(self) -> Result<Spawned, StartError> {
        let spec = match self.assignment.clone() {
            None => self.resident(),
            Some(assignment) => {
                let assignment = self.placed(assignment).await?;
                let files = AttemptFiles::of(&self.around.attempts_dir, &assignment);
                let path = files.dir().to_owned();
                let (made, fleet) = (files.clone(), self.fleet.clone());
                let task = assignment.clone();
                tokio::task::spawn_blocking(move || made.make(&fleet, &task))
                    .await
                    .map_err(std::io::Error::other)
                    .and_then(|made| made)
                    .map_err(|source| StartError::Files { path, source })?;
                self.per_task(&assignment, &files)?
            }
        };
        Ok(self.around.processes.spawn(spec).await?)
    }

    /// The assignment with the workspace that is made for it, if it is to have one.
    async fn placed(&self, assignment: Arc<Assignment>) -> Result<Arc<Assignment>, StartError> {
        match self.around.workspaces.prepare(&self.fleet, &assignment).await? {
            None => Ok(assignment),
            place => {
                let mut placed = Assignment::clone(&assignment);
                placed.terms.place = place;
                Ok(Arc::new(placed))
            }
        }
    }

    fn resident(&self) -> Spec {
        let stdin = if self.fleet.protocol == Protocol::Worker { Stdio::Pipe } else { Stdio::Null };
        Spec { stdin, stdout: Stdio::Pipe, stderr: Stdio::Pipe, ..self.common(None) }
    }

    /// A process that looks at the agent's own: `argv` in the same surroundings. Its note is none that
    /// a later host could read, so that this does not go on with it.
    pub(super) fn check(&self, argv: Vec<String>) -> Spec {
        Spec { argv, note: format!("a check of {}", self.agent), ..self.common(None) }
    }

    fn per_task(&self, assignment: &Assignment, files: &AttemptFiles) -> Result<Spec, StartError> {
        let template = |error: exec::TemplateError| StartError::Template(error.to_string());
        let argv = Template::parse(&self.fleet.command).map_err(template)?;
        let stdin = match self.fleet.stdin {
            StdinMode::Task => Stdio::File(files.stdin()),
            StdinMode::Null => Stdio::Null,
        };
        Ok(Spec {
            argv: argv.render(assignment).map_err(template)?,
            stdin,
            stdout: Stdio::File(files.stdout()),
            stderr: Stdio::File(files.stderr()),
            ..self.common(Some(assignment))
        })
    }

    fn common(&self, assignment: Option<&Assignment>) -> Spec {
        let fleet = &*self.fleet;
        let place = assignment.and_then(|one| one.terms.place.as_ref());
        let note = Note {
            agent: self.agent.clone(),
            fleet: fleet.name.clone(),
            generation: self.generation,
            fingerprint: self.fingerprint.clone(),
            hold: assignment.map(|one| Hold { task: one.task, attempt: one.attempt }),
        };
        Spec {
            agent: self.agent.clone(),
            generation: self.generation,
            argv: fleet.command.clone(),
            env: exec::environment(
                &self.around.env,
                fleet,
                &exec::Process {
                    agent: &self.agent,
                    generation: self.generation,
                    attempt: assignment.map(|one| (one.task, one.attempt)),
                    api: exec::Api {
                        url: self.around.api.url.as_deref(),
                        socket: self.around.api.socket.as_deref(),
                        attempts: self.around.api.attempts.as_ref(),
                    },
                    notify: self.notify.as_deref(),
                    stale_after: assignment
                        .and_then(|one| one.terms.stale_after)
                        .or(fleet.heartbeat.stale_after),
                },
            ),
            cwd: place.map_or_else(|| fleet.cwd.clone(), |place| place.path.clone()),
            pinned: self.around.bounded && place.is_none(),
            user: fleet.user.clone(),
            limits: fleet.limits,
            stdin: Stdio::Null,
            stdout: Stdio::Null,
            stderr: Stdio::Null,
            note: note.write(),
            keep_pipes: fleet.protocol.is_resident(),
        }
    }
}
