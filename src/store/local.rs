//! Connections to a server on this machine: its unix socket, by [`QuietStream`], so that a statement wakes this
//! program once.

use std::path::PathBuf;

use deadpool_postgres::Connect;
use futures_util::{
    Stream,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Error, NoTls, config::Host};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::links::QuietStream;

/// Makes the connections of a pool.
pub(super) struct Connector(pub(super) MakeRustlsConnect);

/// What the server sends on its own, or why it sends no more.
pub(super) type Message = Result<AsyncMessage, Error>;

/// The socket of the server that `config` names, where that is one server and on this machine.
fn socket_of(config: &Config) -> Option<PathBuf> {
    let [Host::Unix(directory)] = config.get_hosts() else { return None };
    let port = match config.get_ports() {
        [] => 5432,
        [port] => *port,
        _ => return None,
    };
    config.get_hostaddrs().is_empty().then(|| directory.join(format!(".s.PGSQL.{port}")))
}

/// A connection to the server that `config` names. Polling the stream is what drives it.
pub(super) async fn connect(
    config: &Config,
    tls: MakeRustlsConnect,
) -> Result<(Client, BoxStream<'static, Message>), Error> {
    if let Some(path) = socket_of(config)
        // What is wrong the driver finds again, and tells.
        && let Ok(stream) = QuietStream::connect(&path).await
    {
        let (client, connection) = config.connect_raw(stream, NoTls).await?;
        return Ok((client, Box::pin(messages(connection))));
    }
    let (client, connection) = config.connect(tls).await?;
    Ok((client, Box::pin(messages(connection))))
}

fn messages<S, T>(mut connection: Connection<S, T>) -> impl Stream<Item = Message>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    stream::poll_fn(move |context| connection.poll_message(context))
}

impl Connect for Connector {
    fn connect(&self, config: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        let (config, tls) = (config.clone(), self.0.clone());
        Box::pin(async move {
            let (client, messages) = connect(&config, tls).await?;
            Ok((client, tokio::spawn(drive(messages))))
        })
    }
}

/// Drives a connection to its end, of which whoever uses it is told.
async fn drive(mut messages: BoxStream<'static, Message>) {
    use futures_util::StreamExt as _;
    while let Some(Ok(_)) = messages.next().await {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_on_this_machine_is_reached_by_its_socket() {
        let of = |url: &str| socket_of(&url.parse().unwrap());
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(of("postgres://u@/x?host=/run/pg"), path("/run/pg/.s.PGSQL.5432"));
        assert_eq!(of("postgres://u@/x?host=/run/pg&port=7"), path("/run/pg/.s.PGSQL.7"));
        assert_eq!(of("postgres://u@db/x"), None);
        assert_eq!(socket_of(Config::new().host_path("/run/pg").host_path("/run/other")), None);
    }
}
