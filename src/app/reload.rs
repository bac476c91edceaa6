//! Has a running host go by newer settings.
//!
//! What is read is checked as a whole before anything happens: settings with a problem change nothing.
//! Then come, in this order, Postgres, the certificate of TLS, the queue, the supervisor. If Postgres does not answer, the
//! fleets stay as they are.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use slog::{Logger, error, info, warn};
use tokio::sync::{Mutex, watch};

use super::{
    start::{ensure, serves},
    systemd::Service,
};
use crate::{
    audit::Audit,
    domain::{
        audit::{Outcome, Surface},
        record::ReloadRecord,
    },
    http,
    queue::QueueHandle,
    settings::{self, Problems, Settings},
    store::{Store, StoreError},
    supervisor::{SupervisorError, SupervisorHandle},
    telemetry::{Chain, Redactor},
};

/// How often the config files are looked at, where that is wanted.
const LOOK: Duration = Duration::from_secs(2);

/// Reads the settings again, from where they were read at first; and which files these are.
#[derive(Clone)]
pub struct LoadSettings {
    /// The files, for whoever watches them; those that the settings name are watched as well.
    pub files: Vec<PathBuf>,
    /// Reads and checks all sources.
    pub load: Arc<dyn Fn() -> Result<Settings, Problems> + Send + Sync>,
}

impl LoadSettings {
    /// Settings that never change.
    pub(super) fn same(settings: Settings) -> Self {
        Self { files: Vec::new(), load: Arc::new(move || Ok(settings.clone())) }
    }
}

/// Why the settings were not taken over.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReloadError {
    /// They are not sound: nothing has changed.
    #[error("the settings are not sound, nothing has changed: {0}")]
    Unsound(Problems),
    /// Postgres could not be told: the fleets have not changed.
    #[error("the database could not be told of the new settings; the fleets are as they were")]
    Store(#[from] StoreError),
    /// The supervisor could not do it, or not keep it.
    #[error(transparent)]
    Supervisor(#[from] SupervisorError),
}

/// The settings of a running host. Clones share them.
#[derive(Clone)]
pub(super) struct Reloader(Arc<Inner>);

struct Inner {
    log: Logger,
    from: LoadSettings,
    redactor: Redactor,
    service: Service,
    store: Store,
    queue: QueueHandle,
    supervisor: SupervisorHandle,
    /// What callers are shown, where TLS is spoken.
    certificate: Option<Arc<http::Certificate>>,
    audit: Audit,
    /// What the host goes by; held while that changes.
    current: Mutex<watch::Sender<Arc<Settings>>>,
    told: watch::Receiver<Arc<Settings>>,
}

impl Reloader {
    /// What the API calls to have the settings read again.
    pub(super) fn for_requests(&self) -> http::Reload {
        let reloader = self.clone();
        Arc::new(move || {
            let reloader = reloader.clone();
            Box::pin(async move { reloader.reload().await.map_err(refusal) })
        })
    }

    pub(super) fn new(
        log: &Logger,
        (from, redactor, service): (LoadSettings, Redactor, Service),
        settings: Arc<Settings>,
        store: &Store,
        (queue, supervisor): (&QueueHandle, &SupervisorHandle),
        (certificate, audit): (Option<Arc<http::Certificate>>, Audit),
    ) -> Self {
        let (current, told) = watch::channel(settings);
        Self(Arc::new(Inner {
            log: log.clone(),
            from,
            redactor,
            service,
            store: store.clone(),
            queue: queue.clone(),
            supervisor: supervisor.clone(),
            certificate,
            audit,
            current: Mutex::new(current),
            told,
        }))
    }

    /// What the host goes by, as it changes.
    pub(super) fn settings(&self) -> watch::Receiver<Arc<Settings>> {
        self.0.told.clone()
    }

    /// The same, for nobody who asked over the API: the audit record says by which way.
    pub(super) async fn reload_by(&self, surface: Surface) {
        let outcome = match self.reload().await {
            Ok(_) => Outcome::Done,
            // It is in the log what came of it.
            Err(_) => Outcome::Failed,
        };
        self.0.audit.note_of_host(surface, "reload", "", outcome);
    }

    /// Reads the settings again, and goes by them as far as a running host can. Says in the log what
    /// came of it, too.
    ///
    /// # Errors
    ///
    /// [`ReloadError`], which says what has not changed.
    pub(super) async fn reload(&self) -> Result<ReloadRecord, ReloadError> {
        self.0.service.reloading();
        let result = self.try_reload().await;
        self.0.service.ready();
        let log = &self.0.log;
        match &result {
            Ok(record) if record.is_empty() => info!(log, "settings read again: nothing differs"),
            Ok(record) => {
                info!(log, "settings read again"; "reason" => describe(record));
                if !record.needs_restart.is_empty() {
                    warn!(log, "some settings hold only from the next start on";
                        "field" => record.needs_restart.join(", "));
                }
            }
            Err(ReloadError::Unsound(problems)) => {
                for problem in problems.as_slice() {
                    error!(log, "settings are not sound: nothing has changed";
                        "field" => &problem.field, "reason" => %problem);
                }
            }
            Err(failed) => {
                error!(log, "settings could not be taken over"; "error" => %Chain(failed))
            }
        }
        result
    }

    async fn try_reload(&self) -> Result<ReloadRecord, ReloadError> {
        let inner = &self.0;
        let current = inner.current.lock().await;
        let load = inner.from.load.clone();
        let loaded = tokio::task::spawn_blocking(move || load()).await;
        let new = match loaded {
            Ok(loaded) => loaded.map_err(ReloadError::Unsound)?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        inner.redactor.hide_secrets_of(&new);
        let old = current.borrow().clone();
        let (effective, record) = settings::change(&old, new);
        let effective = Arc::new(effective);
        ensure(&inner.store, &effective).await?;
        if let (Some(shown), Some(tls)) = (&inner.certificate, &effective.http.tls) {
            shown.replace(tls);
        }
        inner.queue.serve(serves(&effective.fleets), Arc::new(effective.queue_terms()));
        current.send_replace(effective.clone());
        inner.supervisor.reshape(effective.fleets.clone()).await?;
        Ok(record)
    }

    /// Reads the settings again whenever a file of theirs has changed, for as long as the host runs.
    pub(super) async fn watch(self) {
        let mut tick = tokio::time::interval(LOOK);
        let mut seen = self.stamps().await;
        loop {
            tick.tick().await;
            let now = self.stamps().await;
            if now != seen {
                seen = now;
                self.reload_by(Surface::Host).await;
            }
        }
    }

    /// When each file was written, and how long it is.
    async fn stamps(&self) -> Vec<Option<(SystemTime, u64)>> {
        let tls = self.0.told.borrow().http.tls.clone();
        let of_tls = tls.map(|tls| [tls.cert, tls.key]);
        let mut stamps = Vec::new();
        for file in self.0.from.files.iter().chain(of_tls.iter().flatten()) {
            let found = tokio::fs::metadata(file).await.ok();
            stamps.push(found.and_then(|found| Some((found.modified().ok()?, found.len()))));
        }
        stamps
    }
}

/// What has changed, in one sentence.
fn describe(record: &ReloadRecord) -> String {
    let fleets = record.fleets.iter().map(|one| format!("{} {}", one.name, one.change.as_str()));
    let parts: Vec<String> = fleets.chain(record.applied.iter().cloned()).collect();
    if parts.is_empty() {
        "nothing that a running host can change".to_owned()
    } else {
        parts.join(", ")
    }
}

/// What the API says of settings that were not taken over.
fn refusal(error: ReloadError) -> http::ReloadRefused {
    match error {
        ReloadError::Unsound(problems) => http::ReloadRefused::Unsound(problems),
        ReloadError::Supervisor(error) => http::ReloadRefused::Supervisor(error),
        ReloadError::Store(error) => http::ReloadRefused::Unavailable(Chain(&error).to_string()),
    }
}
