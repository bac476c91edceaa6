//! Opens the workspaces of a host, and keeps what is known of them in Postgres.

use std::time::Duration;

use futures_util::future::BoxFuture;
use slog::Logger;
use uuid::Uuid;

use crate::{
    domain::{
        TaskId,
        glob::Glob,
        task::Assignment,
        workspace::{Conflict, WorkspaceRecord, for_person},
    },
    settings::Settings,
    store::{Store, queues, tasks, workspaces},
    telemetry::{Chain, Component, component},
    workspace::{Bounds, Journal, Workspaces},
};

/// Opens the workspaces of the data directory. Those of attempts that are not among `resumed` have nobody
/// who works in them any longer: what was left there is committed.
pub(super) fn open_workspaces(
    settings: &Settings,
    log: &Logger,
    store: &Store,
    resumed: &[(Assignment, Duration)],
) -> Workspaces {
    let bounds = Bounds {
        max_disk: settings.workspaces.max_disk,
        git_timeout: settings.workspaces.git_timeout,
        roots: settings.host.roots.clone(),
    };
    let log = component(log, Component::Agent);
    let journal = Box::new(InPostgres(store.clone()));
    let opened = Workspaces::open(settings.host.workspaces_dir(), bounds, journal, log);
    let held: Vec<_> = resumed.iter().map(|(one, _)| (one.task, one.attempt)).collect();
    let others = opened.clone();
    actix::spawn(async move { others.close_others(&held).await });
    opened
}

struct InPostgres(Store);

impl Journal for InPostgres {
    fn declared(&self, task: TaskId) -> BoxFuture<'static, Result<Vec<Glob>, String>> {
        let store = self.0.clone();
        Box::pin(async move {
            let read = async || workspaces::declared(&store.client().await?, task).await;
            read().await.map_err(|error| Chain(&error).to_string())
        })
    }

    fn write(&self, record: WorkspaceRecord) -> BoxFuture<'static, Result<(), String>> {
        let store = self.0.clone();
        Box::pin(async move {
            let write = async || workspaces::put(&store.client().await?, &record).await;
            write().await.map_err(|error| Chain(&error).to_string())
        })
    }

    fn for_person(
        &self,
        record: WorkspaceRecord,
        conflict: Conflict,
    ) -> BoxFuture<'static, Result<TaskId, String>> {
        let store = self.0.clone();
        Box::pin(async move {
            let id = TaskId::from_uuid(Uuid::now_v7());
            let task = for_person(&record, &conflict, id).ok_or("there is no queue for people")?;
            let submit = async |db: &deadpool_postgres::Transaction<'_>| {
                queues::for_people(db).await?;
                tasks::submit(db, std::slice::from_ref(&task)).await
            };
            let submitted = store.transact(submit).await;
            submitted.map_err(|error| Chain(&error).to_string())?;
            Ok(id)
        })
    }
}
