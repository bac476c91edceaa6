//! A server that is there while somebody is connected: its threads would else wake this program several times
//! a second, to keep the time for nobody.

use std::{
    io,
    net::TcpListener,
    os::unix::net::UnixListener,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix_web::dev::{Server, ServerHandle};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{links::Doorbell, memory, rounds};

/// How often it is looked whether anybody is connected still.
const LOOK: Duration = Duration::from_millis(1_250);

/// How long one that was let in may take until it is counted.
const COUNTS_WITHIN: Duration = Duration::from_millis(100);

/// The pause before it is tried again to answer, where that failed.
const AGAIN: Duration = Duration::from_secs(1);

/// Where callers come in. Who knocks while nobody answers waits.
#[derive(Debug)]
pub(super) struct Doors {
    pub(super) unix: UnixListener,
    pub(super) tcp: Option<TcpListener>,
}

impl Doors {
    async fn knock(&self) -> io::Result<()> {
        let unix = Doorbell::new(self.unix.try_clone()?.into())?;
        let Some(tcp) = &self.tcp else { return unix.rings().await };
        let tcp = Doorbell::new(tcp.try_clone()?.into())?;
        tokio::select! {
            rings = unix.rings() => rings,
            rings = tcp.rings() => rings,
        }
    }
}

/// Counts the connections. All clones count together.
#[derive(Debug, Clone, Default)]
pub(super) struct Guests {
    came: Arc<AtomicU64>,
    left: Arc<AtomicU64>,
}

/// One connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Guest(Arc<AtomicU64>);

impl Guests {
    /// Another one.
    pub(super) fn enter(&self) -> Guest {
        self.came.fetch_add(1, Ordering::Relaxed);
        Guest(self.left.clone())
    }

    /// How many came so far, if all of them have left.
    fn came_and_left(&self) -> Option<u64> {
        let left = self.left.load(Ordering::Relaxed);
        Some(self.came.load(Ordering::Relaxed)).filter(|came| *came == left)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Serves until it is told to stop, and whether gracefully: by `awake` at first, and by what `open` makes
/// whenever somebody knocks later.
pub(super) async fn serve(
    (doors, guests): (Doors, Guests),
    awake: Server,
    mut stopped: oneshot::Receiver<bool>,
    open: impl Fn(&Doors, &Guests) -> io::Result<Server>,
) {
    let mut awake = Some(Awake::new(awake));
    loop {
        if let Some(server) = awake.take() {
            tokio::select! {
                graceful = &mut stopped => return server.stop(graceful.unwrap_or_default()).await,
                () = server.until_alone(&guests) => {
                    server.stop(true).await;
                    memory::give_back();
                }
            }
        }
        tokio::select! {
            _ = &mut stopped => return,
            knocked = doors.knock() => {
                match knocked.and_then(|()| open(&doors, &guests)) {
                    Ok(server) => awake = Some(Awake::new(server)),
                    Err(_) => tokio::time::sleep(AGAIN).await,
                }
            }
        }
    }
}

/// A server whose threads are there.
struct Awake {
    handle: ServerHandle,
    running: JoinHandle<io::Result<()>>,
}

impl Awake {
    fn new(server: Server) -> Self {
        Self { handle: server.handle(), running: tokio::spawn(server) }
    }

    /// Returns when nobody has been connected for a while, and nobody is let in any more.
    async fn until_alone(&self, guests: &Guests) {
        let mut before = None;
        loop {
            rounds::next(LOOK).await;
            let now = guests.came_and_left();
            if now.is_some() && now == before {
                self.handle.pause().await;
                // One that was let in just before may not be counted yet.
                tokio::time::sleep(COUNTS_WITHIN).await;
                if guests.came_and_left() == now {
                    return;
                }
                self.handle.resume().await;
            }
            before = now;
        }
    }

    async fn stop(self, graceful: bool) {
        self.handle.stop(graceful).await;
        // It ends by that; how its threads ended is of no consequence any more.
        drop(self.running.await);
    }
}
