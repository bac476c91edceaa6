//! Signed webhooks out: endpoints and the callbacks of single tasks are told what happens.
//!
//! The actor is a thin shell. What an answer means is [`crate::domain::delivery::judge`]; what is to
//! be sent is decided in Postgres, from the feed of all steps ([`crate::store::webhooks::decide`]).
//!
//! # Guarantees
//!
//! - A delivery is made for each event that an endpoint's filter takes, and for the end of each task
//!   that has a callback: in the transaction that moves the place up to which was decided. So none
//!   is lost and none is made up, whichever host decides, and whatever ends in between.
//! - One host sends a delivery at a time. Should that host die, it sends it again when it has
//!   started again, or another does once the time has passed that the answer could have taken: a receiver may get
//!   one twice, under the same id.
//! - A receiver is never asked at an address of the inside of a network, unless the settings allow it:
//!   names are looked up once, and the address that was judged is the one that is connected to.
//!
//! # Failures
//!
//! If the actor panics, deliveries stay where they are: other hosts send them, and this one when it
//! has started again.

mod actor;
mod looks;
mod send;

use std::{sync::Arc, time::Duration};

use actix::prelude::*;
use slog::Logger;
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use crate::{
    domain::{
        EndpointName, HostId,
        delivery::{
            DeliveryRecord, EndpointRecord, EndpointSpec, message_id, signature::SigningKey,
        },
        schedule::Origin,
    },
    queue::QueueError,
    settings,
    store::{Store, webhooks},
    telemetry::metrics::Metrics,
};
use actor::{Close, Look, WebhookActor};

pub use crate::store::webhooks::{Again, DeliveryFilter};

/// What the actor is made of.
pub struct Launch {
    /// Where deliveries are.
    pub store: Store,
    /// Who sends.
    pub host: HostId,
    /// Changes whenever this host has settled something.
    pub news: watch::Receiver<u64>,
    /// What is allowed, and how long things are kept.
    pub settings: settings::Deliveries,
    /// Its log.
    pub log: Logger,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// The others' side of the actor. Cheap to clone; usable from any thread.
#[derive(Clone)]
pub struct WebhookHandle {
    actor: Addr<WebhookActor>,
    store: Store,
}

impl WebhookHandle {
    /// Starts the actor in the current arbiter.
    pub fn start(launch: Launch) -> Self {
        let store = launch.store.clone();
        Self { actor: WebhookActor::new(launch).start(), store }
    }

    /// Sends nothing more; waits for what is on its way, for as long as `limit`. What is not settled
    /// by then is given back.
    pub async fn stop(&self, limit: Duration) {
        let (tell, told) = oneshot::channel();
        self.actor.do_send(Close { tell, limit });
        // An actor that is gone has nothing on its way.
        told.await.unwrap_or_default();
    }

    /// There may be something to send.
    fn look(&self) {
        // A full mailbox means that it is at work, and looks again anyway.
        self.actor.try_send(Look).unwrap_or_default();
    }

    /// All endpoints, in the order of their names.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn endpoints(&self) -> Result<Vec<EndpointRecord>, QueueError> {
        Ok(webhooks::endpoints(&self.store.client().await?, None).await?)
    }

    /// One endpoint.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownEndpoint`].
    pub async fn endpoint(&self, name: &EndpointName) -> Result<EndpointRecord, QueueError> {
        let mut found = webhooks::endpoints(&self.store.client().await?, Some(name)).await?;
        found.pop().ok_or_else(|| QueueError::UnknownEndpoint { endpoint: name.clone() })
    }

    /// Makes an endpoint, or changes it. The secret is the one that is given; else a new endpoint
    /// gets one that is returned here and nowhere else, and one that is there keeps its own.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn put(
        &self,
        name: &EndpointName,
        spec: &EndpointSpec,
        secret: Option<SigningKey>,
    ) -> Result<Put, QueueError> {
        let keep = secret.is_none();
        let key = secret.unwrap_or_else(webhooks::new_key);
        let db = self.store.client().await?;
        let created = webhooks::put(&db, name, spec, Origin::Api, (&key, keep)).await?;
        drop(db);
        self.look();
        let record = self.endpoint(name).await?;
        Ok(Put { record, created, secret: (created && keep).then_some(key) })
    }

    /// Gives an endpoint a new secret: the one that is given, or one that is made. The old one signs,
    /// too, for as long as `both`.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownEndpoint`].
    pub async fn rotate(
        &self,
        name: &EndpointName,
        secret: Option<SigningKey>,
        both: Duration,
    ) -> Result<Put, QueueError> {
        let key = secret.unwrap_or_else(webhooks::new_key);
        known(name, webhooks::rotate(&self.store.client().await?, name, &key, both).await?)?;
        Ok(Put { record: self.endpoint(name).await?, created: false, secret: Some(key) })
    }

    /// Tells an endpoint again, or no more where there is a reason.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownEndpoint`].
    pub async fn enable(
        &self,
        name: &EndpointName,
        why_not: Option<&str>,
    ) -> Result<EndpointRecord, QueueError> {
        known(name, webhooks::enable(&self.store.client().await?, name, why_not).await?)?;
        self.look();
        self.endpoint(name).await
    }

    /// Takes an endpoint out, with its deliveries.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownEndpoint`].
    pub async fn remove(&self, name: &EndpointName) -> Result<(), QueueError> {
        known(name, webhooks::remove(&self.store.client().await?, name).await?)
    }

    /// Sends a test to an endpoint, as a delivery like any other.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownEndpoint`].
    pub async fn test(&self, name: &EndpointName) -> Result<DeliveryRecord, QueueError> {
        self.endpoint(name).await?;
        let id = webhooks::test(&self.store.client().await?, name).await?;
        self.look();
        self.delivery(id).await
    }

    /// Deliveries, newest first.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`], [`QueueError::Internal`].
    pub async fn deliveries(
        &self,
        filter: &DeliveryFilter,
    ) -> Result<Vec<DeliveryRecord>, QueueError> {
        Ok(webhooks::deliveries(&self.store.client().await?, filter).await?)
    }

    /// One delivery.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownDelivery`].
    pub async fn delivery(&self, id: Uuid) -> Result<DeliveryRecord, QueueError> {
        let found = webhooks::find(&self.store.client().await?, id).await?;
        found.ok_or_else(|| QueueError::UnknownDelivery { delivery: message_id(id) })
    }

    /// Has deliveries that ended sent again, under their ids; returns how many. One that is still
    /// pending is left as it is.
    ///
    /// # Errors
    ///
    /// [`QueueError::UnknownDelivery`], [`QueueError::UnknownEndpoint`].
    pub async fn replay(&self, again: &Again) -> Result<u64, QueueError> {
        let count = webhooks::replay(&self.store.client().await?, again).await?;
        match again {
            Again::One(id) if count == 0 => drop(self.delivery(*id).await?),
            Again::Dead(name, _) if count == 0 => drop(self.endpoint(name).await?),
            _ => self.look(),
        }
        Ok(count)
    }
}

/// An endpoint that was made or changed.
#[derive(Debug)]
pub struct Put {
    /// As it is now.
    pub record: EndpointRecord,
    /// Whether it was not there before.
    pub created: bool,
    /// Its secret, if that was made just now.
    pub secret: Option<SigningKey>,
}

fn known(name: &EndpointName, is_there: bool) -> Result<(), QueueError> {
    if is_there { Ok(()) } else { Err(QueueError::UnknownEndpoint { endpoint: name.clone() }) }
}
