//! The connection to a keeper, as the host sees it.

use std::{
    collections::VecDeque,
    io,
    os::{fd::AsFd, unix::net::UnixStream},
    path::Path,
};

use super::super::{
    sys::{self, Batch},
    wire::{self, Decoder, FrameError, Notice, Request},
};
use crate::links::QuietStream;

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
    stream: QuietStream,
    decoder: Decoder,
    /// Descriptors whose frame was not taken yet: one batch for each frame that has any.
    batches: VecDeque<Batch>,
    waiting: Vec<u8>,
    written: usize,
}

impl Link {
    /// Connects to the keeper that listens at `path`.
    pub(super) async fn connect(path: &Path) -> io::Result<Self> {
        Ok(Self {
            stream: QuietStream::connect(path).await?,
            decoder: Decoder::default(),
            batches: VecDeque::new(),
            waiting: Vec::new(),
            written: 0,
        })
    }

    /// Queues a request; [`Link::flush`] sends it, or [`Link::next`].
    ///
    /// # Errors
    ///
    /// It is too long; nothing of it is sent.
    pub(super) fn ask(&mut self, request: &Request) -> Result<(), FrameError> {
        wire::encode_into(&mut self.waiting, request)
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
            self.flush()?;
            let read = read(&self.stream, &mut self.decoder, &mut self.batches);
            if self.waiting.is_empty() {
                read.await?;
            } else {
                tokio::select! {
                    read = read => read?,
                    room = self.stream.room() => room?,
                }
            }
        }
    }

    /// Sends of what is queued as much as there is room for.
    pub(super) fn flush(&mut self) -> Result<(), Broken> {
        while self.written < self.waiting.len() {
            match self.stream.try_write(&self.waiting[self.written..]) {
                Ok(length) => self.written += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // What the keeper said before it closed may still be read; reading finds the end.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.waiting.clear();
        self.written = 0;
        Ok(())
    }
}

/// Reads once, when there is something.
async fn read(
    stream: &QuietStream,
    decoder: &mut Decoder,
    batches: &mut VecDeque<Batch>,
) -> Result<(), Broken> {
    let take = |stream: &UnixStream| {
        let mut buffer = [0; 1 << 14];
        let (length, batch) = sys::receive(stream.as_fd(), &mut buffer)?;
        decoder.feed(&buffer[..length]);
        batches.extend(batch);
        Ok(length)
    };
    match stream.read_by(take).await {
        Ok(0) => Err(Broken::End),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error.into()),
    }
}
