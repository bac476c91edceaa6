//! Sockets of which the runtime is told only when there is something to read.
//!
//! Unix sockets of tokio are also told each time when the other end has taken what was written: for a question
//! and its answer this program would wake twice.

use std::{
    io::{self, Read as _, Write as _},
    net::Shutdown,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, unix::AsyncFd};

/// One end of a connection.
#[derive(Debug)]
pub struct QuietStream {
    stream: AsyncFd<UnixStream>,
    /// Told when there is room, while something waits for that.
    room: Option<AsyncFd<UnixStream>>,
}

impl QuietStream {
    /// Takes a connection. Within a runtime.
    ///
    /// # Errors
    ///
    /// The runtime can't watch it.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream: watch(stream, Interest::READABLE)?, room: None })
    }

    /// Connects to the socket at `path`. Within a runtime.
    ///
    /// # Errors
    ///
    /// Nobody listens there, or too many wait to be let in.
    pub async fn connect(path: &Path) -> io::Result<Self> {
        // Waits where the queue of those who knock is full, as tokio's does.
        let stream = tokio::net::UnixStream::connect(path).await?;
        Self::new(stream.into_std()?)
    }

    /// Waits until there may be something to read, then reads by `read`.
    ///
    /// # Errors
    ///
    /// Those of `read`. Where there was nothing after all, [`io::ErrorKind::WouldBlock`].
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits, nothing was read.
    pub async fn read_by<T>(
        &self,
        read: impl FnOnce(&UnixStream) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut guard = self.stream.readable().await?;
        let read = guard.try_io(|stream| read(stream.get_ref()));
        read.unwrap_or_else(|_| Err(io::ErrorKind::WouldBlock.into()))
    }

    /// Writes as much as there is room for.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] where there is none; the connection failed.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.stream.get_ref().write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => return written,
            }
        }
    }

    /// Waits until there may be room to write, after [`QuietStream::try_write`] found none.
    ///
    /// # Errors
    ///
    /// The runtime can't watch it.
    pub async fn room(&self) -> io::Result<()> {
        let again = watch(self.stream.get_ref().try_clone()?, Interest::WRITABLE)?;
        again.writable().await?.retain_ready();
        Ok(())
    }

    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let room = match self.room.take() {
            Some(room) => room,
            None => watch(self.stream.get_ref().try_clone()?, Interest::WRITABLE)?,
        };
        // Once there is room it is watched no more, until there is none again.
        if room.poll_write_ready(context)?.is_pending() {
            self.room = Some(room);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsFd for QuietStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.get_ref().as_fd()
    }
}

#[expect(unsafe_code, reason = "tokio can't see that the descriptor stays open")]
fn watch<T: Into<OwnedFd> + AsRawFd>(owner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: what can be made an `OwnedFd` owns its descriptor, never closes it before its own end,
    // and is owned by the AsyncFd.
    Ok(unsafe { AsyncFd::register_with_interest(owner, interest) }?)
}

impl AsyncRead for QuietStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.stream.poll_read_ready(context))?;
            let room = into.initialize_unfilled();
            let length = room.len();
            match guard.try_io(|stream| stream.get_ref().read(room)) {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Ok(count)) => {
                    // Less than there was room for: there is no more, and it need not be tried.
                    if count > 0 && count < length {
                        guard.clear_ready();
                    }
                    into.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                // Not ready after all: it is waited for again.
                Err(_) => {}
            }
        }
    }
}

impl AsyncWrite for QuietStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.poll_room(context))?;
                }
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.get_ref().shutdown(Shutdown::Write))
    }
}

/// Tells that somebody knocks at a socket that is listened on, whoever lets them in.
#[derive(Debug)]
pub struct Doorbell(AsyncFd<OwnedFd>);

impl Doorbell {
    /// Watches a socket. Within a runtime.
    ///
    /// # Errors
    ///
    /// The runtime can't watch it.
    pub fn new(listener: OwnedFd) -> io::Result<Self> {
        watch(listener, Interest::READABLE).map(Self)
    }

    /// Waits until somebody has knocked since it is watched, or stood there then.
    ///
    /// # Errors
    ///
    /// The runtime can't watch it.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn rings(&self) -> io::Result<()> {
        self.0.readable().await?.retain_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// More than the kernel takes at once, both ways at once: nothing is lost, and all is in order.
    #[tokio::test]
    async fn what_is_written_comes_out_whole_though_there_is_no_room_for_it() {
        let (one, other) = UnixStream::pair().unwrap();
        let (mut one, mut other) =
            (QuietStream::new(one).unwrap(), QuietStream::new(other).unwrap());
        let text: Vec<u8> = (0..4_000_000_u32).map(|at| (at % 251) as u8).collect();
        let sent = text.clone();
        let writes = async move {
            one.write_all(&sent).await.unwrap();
            one.shutdown().await.unwrap();
            one
        };
        let reads = async {
            let mut read = Vec::new();
            other.read_to_end(&mut read).await.unwrap();
            read
        };
        let (_one, read) = tokio::join!(writes, reads);
        assert!(read == text);
    }

    #[tokio::test]
    async fn the_end_of_the_other_side_is_told() {
        let (one, other) = UnixStream::pair().unwrap();
        let mut one = QuietStream::new(one).unwrap();
        drop(other);
        assert_eq!(one.read(&mut [0; 8]).await.unwrap(), 0);
        assert_eq!(one.try_write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
