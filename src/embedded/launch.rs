//! Starting the server once, and ending it.

use std::{process::Stdio, time::Duration};

use nix::sys::signal::Signal;
use slog::{Logger, info, warn};
use tokio::{
    process::Child,
    time::{Instant, timeout},
};

use super::{
    cluster::Cluster,
    elapsed_ms,
    error::EmbeddedError,
    leftovers,
    ready::ready,
    spawner::{Spawner, signal},
};

/// How a server is asked to end, one after the other, and how long each has.
const SHUTDOWN: &[(Signal, Duration)] = &[
    (Signal::SIGINT, Duration::from_secs(30)),
    (Signal::SIGQUIT, Duration::from_secs(10)),
    (Signal::SIGKILL, Duration::from_secs(10)),
];

/// Starts the server and waits until it answers. One that does not is ended again.
///
/// # Errors
///
/// As [`leftovers::clear`], [`spawn`] and [`ready`].
pub(super) async fn launch(
    log: &Logger,
    cluster: &Cluster,
    spawner: &Spawner,
) -> Result<Child, EmbeddedError> {
    leftovers::clear(log, cluster).await?;
    let (mut child, log_from) = spawn(cluster, spawner).await?;
    match ready(&mut child, cluster, log_from).await {
        Ok(()) => Ok(child),
        Err(error) => {
            // The first error says more than one about the ending of what never worked.
            shut_down(log, cluster, child).await.ok();
            Err(error)
        }
    }
}

/// Starts the server, and tells where its output begins in its log file, in bytes.
///
/// # Errors
///
/// [`EmbeddedError::File`] for the log file; [`EmbeddedError::Untraversable`] or
/// [`EmbeddedError::Spawn`] for the process.
pub(super) async fn spawn(
    cluster: &Cluster,
    spawner: &Spawner,
) -> Result<(Child, u64), EmbeddedError> {
    let log_file = cluster.log_file();
    let failed =
        |source| EmbeddedError::File { action: "open", path: log_file.path().to_owned(), source };
    let (stdout, log_from) = log_file.open().map_err(failed)?;
    let stderr = stdout.try_clone().map_err(failed)?;
    let mut command = cluster.server();
    command.stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr));
    let spawned = spawner.spawn(command, Signal::SIGINT).await;
    Ok((spawned.map_err(|source| cluster.not_spawned(source))?, log_from))
}

/// Ends the server, gently at first, and waits until it and all its backends are gone.
///
/// # Errors
///
/// [`EmbeddedError::StillRunning`] where even SIGKILL did not end it in time, as when its disk
/// hangs.
pub(super) async fn shut_down(
    log: &Logger,
    cluster: &Cluster,
    mut child: Child,
) -> Result<(), EmbeddedError> {
    let began = Instant::now();
    let pid = child.id().unwrap_or_default();
    for (kind, limit) in SHUTDOWN {
        signal(&child, *kind);
        if let Ok(exit) = timeout(*limit, child.wait()).await {
            let exit = exit.map_or_else(|error| error.to_string(), |exit| exit.to_string());
            info!(log, "postgres stopped"; "pid" => pid, "exit" => exit,
                "elapsed_ms" => elapsed_ms(began));
            return leftovers::clear(log, cluster).await;
        }
        warn!(log, "postgres does not stop"; "pid" => pid, "signal" => kind.as_str(),
            "elapsed_ms" => elapsed_ms(began));
    }
    let (path, waited) = (cluster.dir().to_owned(), began.elapsed());
    Err(EmbeddedError::StillRunning { pid: i32::try_from(pid).unwrap_or_default(), path, waited })
}
