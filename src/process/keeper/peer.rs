//! The host's connection, as the keeper sees it. Never waits: what can't be written now is kept, and
//! while much is kept, no more requests are taken.

use std::{
    collections::VecDeque,
    io::{self, IoSlice, Read},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    rc::Rc,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        ControlMessage, MsgFlags, UnixAddr, getsockopt, sendmsg, sockopt::PeerCredentials,
    },
    unistd::geteuid,
};

use super::super::wire::{self, Decoder, Notice, Request};

/// No more requests are taken while more than this waits to be written.
const MAX_WAITING_BYTES: usize = 1 << 20;

/// Or more descriptors than this wait to be sent.
const MAX_WAITING_FDS: usize = 192;

/// One frame, or the rest of it.
#[derive(Debug)]
struct Outgoing {
    bytes: Vec<u8>,
    at: usize,
    /// Sent with the first byte.
    fds: Vec<Rc<OwnedFd>>,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Peer {
    stream: UnixStream,
    decoder: Decoder,
    waiting: VecDeque<Outgoing>,
    waiting_bytes: usize,
    waiting_fds: usize,
    /// Set once it said hello in the version that is spoken here.
    pub(super) is_host: bool,
    /// Nothing is read any more; it is gone when all is written.
    closing: bool,
    gone: bool,
    /// The kernel has too many descriptors under way; writing again at once is useless.
    stalled: bool,
    /// Requests may be there that were not taken, for want of room.
    held: bool,
}

impl Peer {
    /// Takes a connection; its other end must be a process of the same user.
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let is_allowed = getsockopt(&stream, PeerCredentials)?.uid() == geteuid().as_raw();
        let mut peer = Self {
            stream,
            decoder: Decoder::default(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            waiting_fds: 0,
            is_host: false,
            closing: false,
            gone: false,
            stalled: false,
            held: false,
        };
        if !is_allowed {
            peer.refuse("only the user that this keeper runs as may use it");
        }
        Ok(peer)
    }

    /// Whether the connection is over.
    pub(super) fn is_gone(&self) -> bool {
        self.gone || (self.closing && self.waiting.is_empty())
    }

    /// Whether the other end is closed, though bytes from before may still be there to read.
    pub(super) fn has_hung_up(&self) -> bool {
        let mut fds = [PollFd::new(self.stream.as_fd(), PollFlags::empty())];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// Whether something waits to be written.
    pub(super) fn has_waiting(&self) -> bool {
        !self.gone && !self.waiting.is_empty()
    }

    /// Whether writing goes on by itself after a while, where the socket will not tell.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled && self.has_waiting()
    }

    /// Whether requests are there, with room for them again, that the socket will not tell of.
    pub(super) fn is_due(&self) -> bool {
        self.held && !self.is_full()
    }

    fn is_full(&self) -> bool {
        self.waiting_bytes > MAX_WAITING_BYTES || self.waiting_fds > MAX_WAITING_FDS
    }

    /// What to poll the connection for.
    pub(super) fn interest(&self) -> PollFlags {
        let mut interest = PollFlags::empty();
        interest.set(PollFlags::POLLIN, !self.closing && !self.is_full());
        interest.set(PollFlags::POLLOUT, self.has_waiting() && !self.stalled);
        interest
    }

    /// Says why, and ends the connection.
    pub(super) fn refuse(&mut self, reason: &str) {
        self.close(Notice::Refused { reason: reason.to_owned(), in_use: false });
    }

    /// Says that another host has this keeper, and ends the connection.
    pub(super) fn refuse_second(&mut self) {
        let reason = "this keeper serves another host".to_owned();
        self.close(Notice::Refused { reason, in_use: true });
    }

    fn close(&mut self, notice: Notice) {
        self.tell(&notice, Vec::new());
        self.closing = true;
    }

    /// Queues a message.
    pub(super) fn tell(&mut self, notice: &Notice, fds: Vec<Rc<OwnedFd>>) {
        // Notices hold numbers and short texts, and notes that fitted into a frame before; were one too
        // long all the same, the host could not be told, and the connection ends.
        let Ok(bytes) = wire::encode(notice) else {
            self.gone = true;
            return;
        };
        self.waiting_bytes += bytes.len();
        self.waiting_fds += fds.len();
        match self.waiting.back_mut() {
            Some(last) if fds.is_empty() && last.fds.is_empty() => last.bytes.extend(bytes),
            _ => self.waiting.push_back(Outgoing { bytes, at: 0, fds }),
        }
    }

    /// Reads once; a longer frame comes in several turns of the loop.
    pub(super) fn receive(&mut self) {
        if self.closing || self.gone || self.is_full() {
            return;
        }
        let mut buffer = [0; 1 << 16];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.gone = true,
            Ok(length) => self.decoder.feed(&buffer[..length]),
            Err(error) if is_passing(&error) => {}
            Err(_) => self.gone = true,
        }
    }

    /// The next request, where there is one and room for its answer.
    pub(super) fn next(&mut self) -> Option<Request> {
        self.held = self.is_full();
        if self.closing || self.gone || self.held {
            return None;
        }
        match self.decoder.next() {
            Ok(request) => request,
            Err(error) => {
                self.refuse(&error.to_string());
                None
            }
        }
    }

    /// Whether no part of another request has come yet.
    pub(super) fn is_drained(&self) -> bool {
        self.decoder.is_empty()
    }

    /// Writes what can be written.
    pub(super) fn flush(&mut self) {
        self.stalled = false;
        while !self.gone
            && let Some(first) = self.waiting.front_mut()
        {
            let fds: Vec<_> = first.fds.iter().map(|fd| fd.as_raw_fd()).collect();
            let rights = [ControlMessage::ScmRights(&fds)];
            let sent = sendmsg::<UnixAddr>(
                self.stream.as_raw_fd(),
                &[IoSlice::new(&first.bytes[first.at..])],
                if fds.is_empty() { &[] } else { &rights },
                MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT,
                None,
            );
            match sent {
                Ok(length) => {
                    self.waiting_fds -= first.fds.len();
                    self.waiting_bytes -= length;
                    first.fds.clear();
                    first.at += length;
                    if first.at == first.bytes.len() {
                        self.waiting.pop_front();
                    }
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return,
                Err(Errno::ETOOMANYREFS | Errno::ENOMEM | Errno::ENOBUFS) => {
                    self.stalled = true;
                    return;
                }
                Err(_) => self.gone = true,
            }
        }
    }
}

impl AsFd for Peer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
