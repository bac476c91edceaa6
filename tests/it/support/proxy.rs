//! A TCP link to the tests' Postgres that can be cut, held up, or made deaf on one side.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::JoinHandle,
};

/// What happens to what goes over the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// It goes through.
    Open,
    /// Connections end, and no new one is let in.
    Cut,
    /// Nothing moves in either direction, and nobody is told; it goes on later.
    Stalled,
    /// What the server says is lost; what it is told arrives.
    Deaf,
}

struct Link {
    mode: Mode,
    /// Both ends of each live connection, and whether it has lost something.
    ends: Vec<(TcpStream, UnixStream, bool)>,
    closing: bool,
}

struct Shared {
    link: Mutex<Link>,
    changed: Condvar,
    server: PathBuf,
}

impl Shared {
    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().expect("no panic")
    }
}

/// The link. It ends when it is dropped, and all its connections with it.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A link on a free port of the loopback to the socket of a server.
    pub(crate) fn start(server: PathBuf) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let link = Mutex::new(Link { mode: Mode::Open, ends: Vec::new(), closing: false });
        let shared = Arc::new(Shared { link, changed: Condvar::new(), server });
        let of_thread = shared.clone();
        let accepting = std::thread::spawn(move || accept(&listener, &of_thread));
        Self { address, shared, accepting: Some(accepting) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends every connection, and lets no new one in.
    pub(crate) fn cut(&self) {
        self.set(Mode::Cut);
    }

    /// Holds everything up.
    pub(crate) fn stall(&self) {
        self.set(Mode::Stalled);
    }

    /// Loses whatever the server says.
    pub(crate) fn deafen(&self) {
        self.set(Mode::Deaf);
    }

    /// As at the beginning. Connections that have lost something end.
    pub(crate) fn mend(&self) {
        self.set(Mode::Open);
    }

    fn set(&self, mode: Mode) {
        let mut link = self.shared.link();
        link.mode = mode;
        let all = link.closing || mode == Mode::Cut;
        link.ends.retain(|(client, server, lossy)| {
            let end = all || (*lossy && mode == Mode::Open);
            if end {
                client.shutdown(Shutdown::Both).unwrap_or_default();
                server.shutdown(Shutdown::Both).unwrap_or_default();
            }
            !end
        });
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.link().closing = true;
        self.cut();
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            accepting.join().unwrap_or_default();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        let mut link = shared.link();
        if link.closing {
            return;
        }
        let Ok(client) = client else { continue };
        if link.mode == Mode::Cut {
            continue;
        }
        let Ok(server) = UnixStream::connect(&shared.server) else { continue };
        client.set_nodelay(true).expect("a socket option");
        let copy = || (client.try_clone().expect("dup"), server.try_clone().expect("dup"));
        let (for_list, up, down) = (copy(), copy(), copy());
        link.ends.push((for_list.0, for_list.1, false));
        drop(link);
        let port = client.peer_addr().map(|peer| peer.port()).unwrap_or_default();
        let (there, back) = (shared.clone(), shared.clone());
        std::thread::spawn(move || pump(up.0, up.1, &there, port, false));
        std::thread::spawn(move || pump(down.1, down.0, &back, port, true));
    }
}

/// Moves bytes until either end is closed.
fn pump(
    mut from: impl Read,
    mut to: impl Write,
    shared: &Arc<Shared>,
    port: u16,
    from_server: bool,
) {
    let mut bytes = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let mut link = shared.link();
        while link.mode == Mode::Stalled && !link.closing {
            link = shared.changed.wait(link).expect("no panic");
        }
        let lost = link.mode == Mode::Deaf && from_server;
        if lost {
            let ours = |client: &TcpStream| client.peer_addr().is_ok_and(|at| at.port() == port);
            for (client, _, lossy) in &mut link.ends {
                *lossy |= ours(client);
            }
        }
        drop(link);
        if !lost && to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    // The other direction ends with this one.
    let mut link = shared.link();
    link.ends.retain(|(client, server, _)| {
        let ours = client.peer_addr().map_or(true, |at| at.port() == port);
        if ours {
            client.shutdown(Shutdown::Both).unwrap_or_default();
            server.shutdown(Shutdown::Both).unwrap_or_default();
        }
        !ours
    });
}
