//! The others' side of the janitor.

use actix::prelude::*;

use super::actor::{Halt, JanitorActor, Launch};

/// The janitor of this host. Cheap to clone; usable from any thread.
#[derive(Debug, Clone)]
pub struct JanitorHandle {
    actor: Addr<JanitorActor>,
}

impl JanitorHandle {
    /// Starts the actor in the current arbiter.
    pub fn start(launch: Launch) -> Self {
        Self { actor: JanitorActor::new(launch).start() }
    }

    /// Whether the actor is still there; it is gone only after [`JanitorHandle::stop`] or a panic.
    pub fn is_alive(&self) -> bool {
        self.actor.connected()
    }

    /// Stops the duties, and gives the right to lead up. What a duty has under way is dropped.
    pub async fn stop(&self) {
        // An actor that does not answer is gone, and its connection with it.
        self.actor.send(Halt).await.unwrap_or_default();
    }
}
