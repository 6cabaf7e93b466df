//! The stream of a connection: whole messages in, answers out, and no client that holds either up for ever.

use super::budget::Held;
use crate::error::PgError;
use crate::wire::{Answer, WireError, split};
use bytes::{Buf, Bytes, BytesMut};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Answers are sent when so much of them is ready.
pub(super) const FLUSH_BYTES: usize = 64 << 10;
/// A client that takes nothing for so long has gone.
const SEND_MAX: Duration = Duration::from_secs(120);
/// What a buffer keeps of its size when it is empty.
const KEPT_BYTES: usize = 256 << 10;

#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("{0}")]
    Io(#[from] io::Error),
    /// In the middle of a message, or while it was to take an answer.
    #[error("the client has gone")]
    Gone,
    #[error("{0}")]
    Memory(PgError),
}

pub(super) struct Link<S> {
    stream: S,
    read: BytesMut,
    out: BytesMut,
    /// For a message that is large; none before the log-in, where it may not be.
    held: Option<Held>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// `read` is what was read of the stream already.
    pub(super) fn new(stream: S, read: BytesMut) -> Link<S> {
        Link { stream, read, out: BytesMut::new(), held: None }
    }

    /// Counts what the messages take from now on.
    pub(super) fn count(&mut self, held: Held) {
        self.held = Some(held);
    }

    /// The next message; `None` where the client has ended the connection. Giving up on it loses nothing.
    pub(super) async fn message(&mut self, bytes_max: usize) -> Result<Option<(u8, Bytes)>, LinkError> {
        loop {
            if let Some(message) = split(&mut self.read, bytes_max)? {
                return Ok(Some(message));
            }
            if self.read.is_empty() && self.read.capacity() > KEPT_BYTES {
                self.read = BytesMut::new();
            }
            // Room grows with what comes, whatever the head of the message promises.
            self.read.reserve(8 << 10);
            if let Some(held) = &self.held {
                let bytes = self.read.capacity();
                held.resize(if bytes > KEPT_BYTES { bytes } else { 0 }).map_err(LinkError::Memory)?;
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return if self.read.is_empty() { Ok(None) } else { Err(LinkError::Gone) };
            }
        }
    }

    /// Whether a message, or part of one, has come already.
    pub(super) fn has_more(&self) -> bool {
        !self.read.is_empty()
    }

    pub(super) fn answer(&mut self) -> Answer<'_> {
        Answer(&mut self.out)
    }

    pub(super) fn out(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// Sends what is ready, if it is much. Giving up on it loses nothing.
    pub(super) async fn flush_much(&mut self) -> Result<(), LinkError> {
        if self.out.len() < FLUSH_BYTES { Ok(()) } else { self.flush().await }
    }

    pub(super) async fn flush(&mut self) -> Result<(), LinkError> {
        while self.out.has_remaining() {
            let written = tokio::time::timeout(SEND_MAX, self.stream.write_buf(&mut self.out)).await;
            if written.map_err(|_| LinkError::Gone)?? == 0 {
                return Err(LinkError::Gone);
            }
        }
        if self.out.capacity() > KEPT_BYTES {
            self.out = BytesMut::new();
        }
        tokio::time::timeout(SEND_MAX, self.stream.flush()).await.map_err(|_| LinkError::Gone)??;
        Ok(())
    }

    /// Ends the stream in good order.
    pub(super) async fn end(mut self) {
        let _ = self.flush().await;
        let _ = tokio::time::timeout(Duration::from_secs(1), self.stream.shutdown()).await;
    }
}
