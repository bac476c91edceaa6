//! The server: where it listens, and how it starts and ends.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    App, HttpServer,
    dev::Server as ActixServer,
    middleware::from_fn,
    web::{Data, route},
};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};

use super::{
    State,
    caller::Caller,
    configure,
    doze::{self, Doors, Guests},
    layers, no_route,
    socket::{self, SocketFile},
    tls::{self, Certificate},
};
use crate::{access::Access, settings};

/// Threads that answer, for each place that is listened on. The work is done by the actors.
const WORKERS: usize = 2;

/// How long a connection may be idle between requests.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long a client may take to send the head of a request.
const HEAD_ARRIVES_WITHIN: Duration = Duration::from_secs(10);

/// How long a client may take to close a connection that is over.
const CLOSES_WITHIN: Duration = Duration::from_secs(5);

/// How long requests under way may take once the server stops.
const STOPS_WITHIN_SECS: u64 = 5;

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The path of the socket does not fit into what the kernel has room for.
    #[error(
        "the path of the socket {} needs {length} bytes, and the system takes {}: use a shorter data directory",
        path.display(), socket::MAX_SOCKET_PATH
    )]
    SocketPathTooLong {
        /// The path.
        path: PathBuf,
        /// How long it is, or how long the path is that it is made at.
        length: usize,
    },
    /// Something else is where the socket belongs.
    #[error("{} is there and is not a socket: move it away", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// Another host answers on the socket.
    #[error("another host already listens on {}", path.display())]
    SocketInUse {
        /// The path.
        path: PathBuf,
    },
    /// The socket can't be made.
    #[error("cannot listen on {}", path.display())]
    Socket {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The address can be reached from other machines, and there is no key.
    #[error(
        "`http.bind` is {address}, which other machines can reach, and there is no API key: bind to 127.0.0.1, make a key with `hostler key create`, and start again; or set `http.api_key`"
    )]
    KeyNeeded {
        /// The address.
        address: SocketAddr,
    },
    /// The address can be reached from other machines, and whoever is on the way could read the keys.
    #[error(
        "`http.bind` is {address}, which other machines can reach, and keys would cross the network readable: set `http.tls`, or `http.allow_plain` where a proxy in front speaks TLS"
    )]
    PlainRefused {
        /// The address.
        address: SocketAddr,
    },
    /// TLS can't be spoken.
    #[error("TLS can't be set up (`http.tls`)")]
    Tls(#[source] rustls::Error),
    /// The address can't be listened on.
    #[error("cannot listen on {address} (`http.bind`)")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The running server. Dropping it without [`Server::stop`] leaves it running until the process
/// ends.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    socket: SocketFile,
    closing: watch::Sender<bool>,
    stop: oneshot::Sender<bool>,
    running: JoinHandle<()>,
}

impl Server {
    /// Listens on `inherited`, or else on `settings.bind` if it is set, for [`Server::start`] to answer there:
    /// what connects before waits. An address that other machines can reach needs a key, and TLS to keep
    /// it.
    ///
    /// # Errors
    ///
    /// [`HttpError::KeyNeeded`], [`HttpError::PlainRefused`], [`HttpError::Bind`].
    pub fn bind(
        settings: &settings::Http,
        access: &Access,
        inherited: Option<TcpListener>,
    ) -> Result<Option<TcpListener>, HttpError> {
        match (inherited, settings.bind) {
            (Some(listener), _) => checked(listener, settings, access).map(Some),
            (None, None) => Ok(None),
            (None, Some(address)) => {
                may_listen(address, settings, access)?;
                let listener = TcpListener::bind(address);
                listener.map(Some).map_err(|source| HttpError::Bind { address, source })
            }
        }
    }

    /// Listens on the unix socket `socket`, and answers there and on `tcp`; over TCP by TLS if there is a
    /// `certificate`. Must be called within an actix system; the requests are answered on threads of
    /// their own, which are there while somebody is connected.
    ///
    /// # Errors
    ///
    /// [`HttpError`], whose text says what to do. Nothing is left listening.
    pub async fn start(
        state: State,
        socket: &Path,
        tcp: Option<TcpListener>,
        certificate: Option<Arc<Certificate>>,
    ) -> Result<Self, HttpError> {
        let tls = certificate.map(tls::config).transpose().map_err(HttpError::Tls)?;
        let addresses: Vec<_> =
            tcp.as_ref().and_then(|listener| listener.local_addr().ok()).into_iter().collect();
        let (unix, file) = socket::listen(socket)?;
        let failed = |source| HttpError::Socket { path: socket.to_owned(), source };
        unix.set_nonblocking(true).map_err(failed)?;
        let (closing, closed) = watch::channel(false);
        let state = Data::new(State { closing: Closing::of(closed), ..state });
        let log = state.log.clone();
        let doors = Doors { unix, tcp };
        // Once now, so that what is wrong is told.
        let guests = Guests::default();
        let awake = open(&doors, &state, tls.clone(), &guests).map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let server = doze::serve((doors, guests), awake, stopped, {
            let log = log.clone();
            move |doors, guests| {
                let opened = open(doors, &state, tls.clone(), guests);
                opened.inspect_err(
                    |error| slog::error!(log, "api can't be served"; "error" => %error),
                )
            }
        });
        let running = actix::spawn(server);
        slog::info!(log, "api listening"; "path" => socket.display().to_string(),
            "address" => addresses.first().map(ToString::to_string));
        Ok(Self { addresses, socket: file, closing, stop, running })
    }

    /// The TCP addresses that are listened on, with their real ports; empty where there are none.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops listening and removes the socket. Requests that wait for a task, and logs that are
    /// followed, end at once; if `graceful`, others under way are answered first, for some seconds
    /// at the most.
    pub async fn stop(self, graceful: bool) {
        let Self { socket, closing, stop, running, .. } = self;
        drop(socket);
        closing.send_replace(true);
        // One that has ended needs not be told; how it ended is of no consequence any more.
        stop.send(graceful).unwrap_or_default();
        drop(running.await);
    }
}

/// Answers at the doors from now on, on threads of its own.
fn open(
    doors: &Doors,
    state: &Data<State>,
    tls: Option<rustls::ServerConfig>,
    guests: &Guests,
) -> io::Result<ActixServer> {
    let (state, guests) = (state.clone(), guests.clone());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(Data::new(state.of_this_thread()))
            .configure(configure)
            .default_service(route().to(no_route))
            .wrap(from_fn(layers::around))
    })
    .workers(WORKERS)
    .keep_alive(KEEP_ALIVE)
    .client_request_timeout(HEAD_ARRIVES_WITHIN)
    .tls_handshake_timeout(HEAD_ARRIVES_WITHIN)
    .client_disconnect_timeout(CLOSES_WITHIN)
    // A client that hung up ends its request: an idle log that is followed would never notice.
    .h1_allow_half_closed(false)
    .shutdown_timeout(STOPS_WITHIN_SECS)
    .disable_signals()
    .on_connect(move |connection, marks| {
        layers::mark(connection, marks);
        marks.insert(guests.enter());
    })
    .listen_uds(doors.unix.try_clone()?)?;
    let server = match &doors.tcp {
        Some(tcp) => match tls {
            Some(tls) => server.listen_rustls_0_23(tcp.try_clone()?, tls)?,
            None => server.listen(tcp.try_clone()?)?,
        },
        None => server,
    };
    Ok(server.run())
}

/// An address that other machines can reach needs a key, and TLS to keep it.
fn may_listen(
    address: SocketAddr,
    settings: &settings::Http,
    access: &Access,
) -> Result<(), HttpError> {
    if address.ip().is_loopback() {
        Ok(())
    } else if !access.has_live_key() {
        Err(HttpError::KeyNeeded { address })
    } else if settings.tls.is_none() && !settings.allow_plain {
        Err(HttpError::PlainRefused { address })
    } else {
        Ok(())
    }
}

/// A socket that somebody else has bound: the same holds for it as for one of ours.
fn checked(
    listener: TcpListener,
    settings: &settings::Http,
    access: &Access,
) -> Result<TcpListener, HttpError> {
    let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
    let broken = |source| HttpError::Bind { address: unknown, source };
    may_listen(listener.local_addr().map_err(broken)?, settings, access)?;
    listener.set_nonblocking(true).map_err(broken)?;
    Ok(listener)
}

/// Tells the requests that take long that the server stops.
#[derive(Debug, Clone, Default)]
pub(super) struct Closing(Option<watch::Receiver<bool>>);

impl Closing {
    /// Says that the server stops once `closed` holds true, or its sender is gone.
    pub(super) const fn of(closed: watch::Receiver<bool>) -> Self {
        Self(Some(closed))
    }

    /// Whether the server stops.
    pub(super) fn is_closed(&self) -> bool {
        self.0.as_ref().is_some_and(|closed| *closed.borrow() || closed.has_changed().is_err())
    }

    /// Returns once the server stops.
    pub(super) async fn closed(&self) {
        match &self.0 {
            // An error means that the server is gone: it has stopped just as well.
            Some(closed) => drop(closed.clone().wait_for(|stops| *stops).await),
            None => std::future::pending().await,
        }
    }
}

/// The last word to a caller who is let in no more.
pub(super) const KEY_ENDED: &str =
    "the key that this was opened with has ended, or one is needed now";

/// How long something that goes on may do so: until the server stops, or its caller is let in no more.
#[derive(Debug, Clone)]
pub(super) struct Until {
    closing: Closing,
    caller: Option<(Caller, Access)>,
}

/// Why it goes on no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// The server stops.
    Closing,
    /// The caller would not be let in any more.
    Caller,
}

impl Until {
    /// What this caller began.
    pub(super) fn of(state: &State, caller: Caller) -> Self {
        Self { closing: state.closing.clone(), caller: Some((caller, state.access.clone())) }
    }

    /// What ends with the server alone.
    #[cfg(test)]
    pub(super) const fn of_server(closing: Closing) -> Self {
        Self { closing, caller: None }
    }

    /// Returns once it is over.
    pub(super) async fn over(&self) -> Over {
        let caller = async {
            match &self.caller {
                Some((caller, access)) => caller.ended(access).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.closing.closed() => Over::Closing,
            () = caller => Over::Caller,
        }
    }
}
