//! The connection to a keeper, as the host sees it.

use std::{collections::VecDeque, io, os::fd::AsFd};

use tokio::{io::Interest, net::UnixStream};

use super::super::{
    sys::{self, Batch},
    wire::{self, Decoder, FrameError, Notice, Request},
};

/// The connection is over.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the connection ended")]
    End,
    #[error("the connection failed: {0}")]
    Failed(#[from] io::Error),
    #[error("the keeper sent {0}")]
    Frame(#[from] FrameError),
}

/// A notice, with the descriptors that came with it.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) notice: Notice,
    pub(super) batch: Batch,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Link {
    stream: UnixStream,
    decoder: Decoder,
    /// Descriptors whose frame was not taken yet: one batch for each frame that has any.
    batches: VecDeque<Batch>,
    waiting: Vec<u8>,
    written: usize,
}

impl Link {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            decoder: Decoder::default(),
            batches: VecDeque::new(),
            waiting: Vec::new(),
            written: 0,
        }
    }

    /// Queues a request; [`Link::next`] sends it.
    ///
    /// # Errors
    ///
    /// It is too long; nothing of it is sent.
    pub(super) fn ask(&mut self, request: &Request) -> Result<(), FrameError> {
        self.waiting.extend(wire::encode(request)?);
        Ok(())
    }

    /// Sends what is queued and waits for the next notice. Safe to drop and call again.
    pub(super) async fn next(&mut self) -> Result<Told, Broken> {
        loop {
            if let Some(notice) = self.decoder.next()? {
                let has_fds = matches!(&notice,
                    Notice::Spawned { pipes, .. } | Notice::Kept { pipes, .. } if !pipes.is_empty());
                let batch = has_fds.then(|| self.batches.pop_front()).flatten();
                return Ok(Told { notice, batch: batch.unwrap_or_default() });
            }
            let interest = if self.waiting.is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            let ready = self.stream.ready(interest).await?;
            if ready.is_writable() && !self.waiting.is_empty() {
                self.write()?;
            }
            if ready.is_readable() {
                self.read()?;
            }
        }
    }

    fn write(&mut self) -> Result<(), Broken> {
        match self.stream.try_write(&self.waiting[self.written..]) {
            Ok(length) => self.written += length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // What the keeper said before it closed may still be read; reading finds the end.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.written = self.waiting.len();
            }
            Err(error) => return Err(error.into()),
        }
        if self.written == self.waiting.len() {
            self.waiting.clear();
            self.written = 0;
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), Broken> {
        let mut buffer = [0; 1 << 14];
        let stream = &self.stream;
        let received =
            stream.try_io(Interest::READABLE, || sys::receive(stream.as_fd(), &mut buffer));
        match received {
            Ok((0, _)) => Err(Broken::End),
            Ok((length, batch)) => {
                self.decoder.feed(&buffer[..length]);
                self.batches.extend(batch);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
