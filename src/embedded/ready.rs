//! Waiting until the server answers, and giving the host what it needs there.
//!
//! The few statements here are not in `store`, as they run before there is a database for it.

use std::{io, time::Duration};

use tokio::{
    process::Child,
    time::{sleep, timeout},
};
use tokio_postgres::{Client, Error, NoTls, error::SqlState};

use super::{cluster::Cluster, error::EmbeddedError};

/// How often a server that does not answer yet is tried again.
const POLL: Duration = Duration::from_millis(20);
/// How long one try may take.
const TRY_LIMIT: Duration = Duration::from_secs(5);
/// How long a server may take to answer; recovery after a crash is within this.
const READY_LIMIT: Duration = Duration::from_secs(300);

/// Waits until the server in `child` answers and has the host's role and database. `log_from` is
/// where its output begins in its log file, in bytes.
///
/// # Errors
///
/// [`EmbeddedError::Ended`] at once where the server ends, [`EmbeddedError::Unresponsive`] after
/// five minutes, [`EmbeddedError::Refused`] where it answers with an error that does not pass.
/// The server is not ended by any of them.
///
/// # Cancel safety
///
/// Safe: it can be called again.
pub(super) async fn ready(
    child: &mut Child,
    cluster: &Cluster,
    log_from: u64,
) -> Result<(), EmbeddedError> {
    let output = || cluster.log_file().tail(log_from);
    tokio::select! {
        biased;
        exit = child.wait() => {
            let exit = exit.map_or_else(|error| error.to_string(), |exit| exit.to_string());
            Err(EmbeddedError::Ended { exit, output: output() })
        }
        done = timeout(READY_LIMIT, provide(cluster)) => done.unwrap_or_else(|_| {
            Err(EmbeddedError::Unresponsive { limit: READY_LIMIT, output: output() })
        }),
    }
}

/// Connects as soon as that works, and makes the role and the database where they are missing.
async fn provide(cluster: &Cluster) -> Result<(), EmbeddedError> {
    let refused = |action| move |source| EmbeddedError::Refused { action, source };
    let client = connect(cluster).await?;
    let row = client
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hostler') AS role, \
             EXISTS (SELECT FROM pg_database WHERE datname = 'hostler') AS database",
            &[],
        )
        .await
        .map_err(refused("look for the role and the database"))?;
    let has = |column| row.try_get(column).map_err(refused("look for the role and the database"));
    if !has("role")? {
        let made = client.batch_execute("CREATE ROLE hostler LOGIN").await;
        made.map_err(refused("make the role `hostler`"))?;
    }
    if !has("database")? {
        let made = client.batch_execute("CREATE DATABASE hostler OWNER hostler").await;
        made.map_err(refused("make the database `hostler`"))?;
    }
    Ok(())
}

async fn connect(cluster: &Cluster) -> Result<Client, EmbeddedError> {
    let config = cluster.admin_config();
    loop {
        match timeout(TRY_LIMIT, config.connect(NoTls)).await {
            Ok(Ok((client, connection))) => {
                // Ends with the client. What went wrong with it, the client's calls tell.
                tokio::spawn(async { connection.await.ok() });
                return Ok(client);
            }
            Ok(Err(error)) if !passes(&error) => {
                return Err(EmbeddedError::Refused { action: "log in", source: error });
            }
            Ok(Err(_)) | Err(_) => sleep(POLL).await,
        }
    }
}

/// Whether a failed connection is a matter of time: no socket yet, nobody listening yet, the
/// server starting or ending, every place taken, or the line cut.
fn passes(error: &Error) -> bool {
    if let Some(code) = error.code() {
        return *code == SqlState::CANNOT_CONNECT_NOW || *code == SqlState::TOO_MANY_CONNECTIONS;
    }
    let source = std::error::Error::source(error);
    error.is_closed() || source.is_some_and(|source| source.is::<io::Error>())
}
