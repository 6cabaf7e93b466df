//! Cuts the bytes of a connection into request frames.
//!
//! A frame's announced size is checked against the limit before anything is allocated, and memory
//! grows with the bytes that really came: a connection that announces 100 MiB and sends nothing
//! costs a few kilobytes, and one that says nothing has no buffer at all: what comes first is received into one of the
//! thread. The buffer is used again once the frames cut from it are gone. A long frame that has begun to come
//! is received into a lent buffer, of which there is a fixed amount.
//!
//! A longer frame takes room in the memory for all requests before more of it is received, and has it until the next one
//! is asked for. Whoever has room must use it: the time for the whole frame is limited by its length.

use super::room::Requests;
use crate::budget::Room;
use crate::buffers::{Buffer, Buffers};
use bytes::{Buf, Bytes, BytesMut};
use kafka_wire::DecodeError;
use kafka_wire::header::frame_size;
use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::time::Instant;

const SIZE_BYTES: usize = 4;
/// The smallest request header: key, version, correlation id.
const FRAME_BYTES_MIN: usize = 8;
const TLS_HANDSHAKE: [u8; 2] = [22, 3];
const BUFFER_BYTES_MIN: usize = 8 << 10;
/// So much of a frame has come before a buffer is lent for the whole.
const BEGUN_BYTES_MIN: usize = 4 << 10;
/// Beyond this, the buffer at most doubles.
const GROWTH_BYTES_MIN: usize = 256 << 10;
/// Longer frames take room.
const ROOM_BYTES_MIN: usize = 8 << 10;
/// A frame that has room comes by so many bytes in a second on average, or it is given up.
const RECEIVED_BYTES_MIN: usize = 32 << 10;

#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("{0}")]
    Size(#[from] DecodeError),
    #[error(
        "the client speaks TLS, and this listener does not; set security.protocol=PLAINTEXT or SASL_PLAINTEXT in the client"
    )]
    TlsOnPlaintext,
    #[error("the client did not log in within {0:?}")]
    NotLoggedIn(Duration),
    #[error("the frame is too short for a request: size={0}")]
    TooShort(usize),
    #[error("the connection ended in the middle of a frame")]
    CutOff,
    #[error("no request came for {0:?}")]
    Idle(Duration),
    #[error("the client has used so much more than its quotas that it is not served for longer than {0:?}")]
    Throttled(Duration),
    #[error("a request did not go on for {0:?}")]
    Stalled(Duration),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

pub(super) struct Frames {
    buffer: BytesMut,
    frame_bytes_max: usize,
    idle_max: Duration,
    stall_max: Duration,
    buffers: Arc<Buffers>,
    /// A long frame, and how much of it has come; the other buffer is empty meanwhile.
    long: Option<(Buffer, usize)>,
    requests: Arc<Requests>,
    /// Of the frame that is being received, with the time when it must have come.
    receiving: Option<(Room, Instant)>,
    /// Of the frame that was given last.
    given: Option<Room>,
}

impl Frames {
    pub(super) fn new(
        frame_bytes_max: usize,
        idle_max: Duration,
        stall_max: Duration,
        buffers: Arc<Buffers>,
        requests: Arc<Requests>,
    ) -> Frames {
        Frames {
            buffer: BytesMut::new(),
            frame_bytes_max,
            idle_max,
            stall_max,
            buffers,
            long: None,
            requests,
            receiving: None,
            given: None,
        }
    }

    /// The frame that was given last needs no memory any more.
    pub(super) fn handled(&mut self) {
        self.given = None;
    }

    /// Frames may be so large from now on.
    pub(super) fn allow(&mut self, frame_bytes_max: usize) {
        self.frame_bytes_max = frame_bytes_max;
    }

    /// The next frame without its size; `None` when the client has ended its side between frames.
    pub(super) async fn next(
        &mut self,
        read: &mut (impl AsyncRead + Unpin),
    ) -> Result<Option<Bytes>, FrameError> {
        loop {
            if let Some(frame) = self.rest_of_long(read).await? {
                return Ok(Some(frame));
            }
            let wanted = match self.buffer.first_chunk::<SIZE_BYTES>() {
                None => SIZE_BYTES,
                Some(prefix) => {
                    // A TLS record of a handshake: as a size it would be 369 MB.
                    if prefix.starts_with(&TLS_HANDSHAKE) {
                        return Err(FrameError::TlsOnPlaintext);
                    }
                    let size = frame_size(*prefix, self.frame_bytes_max)?;
                    if size < FRAME_BYTES_MIN {
                        return Err(FrameError::TooShort(size));
                    }
                    SIZE_BYTES + size
                }
            };
            if wanted > SIZE_BYTES && self.buffer.len() >= wanted {
                self.buffer.advance(SIZE_BYTES);
                let frame = self.buffer.split_to(wanted - SIZE_BYTES).freeze();
                return Ok(Some(self.give(frame)));
            }
            if wanted - SIZE_BYTES > ROOM_BYTES_MIN && self.receiving.is_none() {
                let room = self.requests.take(wanted - SIZE_BYTES).await;
                let time = Duration::from_secs((wanted / RECEIVED_BYTES_MIN) as u64);
                self.receiving = Some((room, Instant::now() + self.stall_max + time));
            }
            if self.buffer.len() >= BEGUN_BYTES_MIN
                && let Some(mut long) = self.buffers.lend(wanted - SIZE_BYTES)
            {
                let come = &self.buffer[SIZE_BYTES..];
                long.bytes_mut()[..come.len()].copy_from_slice(come);
                self.long = Some((long, come.len()));
                self.buffer.clear();
                continue;
            }
            let missing = wanted - self.buffer.len();
            let growth_max = match self.buffer.len() {
                // What comes here of a long frame is copied when a buffer is lent.
                0..BEGUN_BYTES_MIN => BUFFER_BYTES_MIN,
                begun => begun.max(GROWTH_BYTES_MIN),
            };
            let idle = self.buffer.is_empty();
            let patience = if idle { self.idle_max } else { self.patience() };
            let receiving = async {
                if idle {
                    return receive_first(read, &mut self.buffer).await;
                }
                self.buffer.reserve(missing.clamp(BUFFER_BYTES_MIN, growth_max));
                read.read_buf(&mut self.buffer).await
            };
            match tokio::time::timeout(patience, receiving).await {
                Err(_) if idle => return Err(FrameError::Idle(patience)),
                Err(_) => return Err(FrameError::Stalled(patience)),
                // Many clients end TLS without saying so; amid a request it is a cut all the same.
                Ok(Err(error)) if idle && error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    return Ok(None);
                }
                Ok(Err(error)) => return Err(error.into()),
                Ok(Ok(0)) if idle => return Ok(None),
                Ok(Ok(0)) => return Err(FrameError::CutOff),
                Ok(Ok(_)) => {}
            }
        }
    }

    fn give(&mut self, frame: Bytes) -> Bytes {
        self.given = self.receiving.take().map(|(room, _)| room);
        frame
    }

    /// For how long the next bytes of a frame may not come.
    fn patience(&self) -> Duration {
        let left = |(_, by): &(Room, Instant)| by.saturating_duration_since(Instant::now());
        self.receiving.as_ref().map_or(self.stall_max, left).min(self.stall_max)
    }

    /// Receives the rest of a long frame, if one has begun. May be given up at any time and called again.
    async fn rest_of_long(
        &mut self,
        read: &mut (impl AsyncRead + Unpin),
    ) -> Result<Option<Bytes>, FrameError> {
        let mut patience = self.patience();
        while let Some((long, come)) = &mut self.long {
            let rest = &mut long.bytes_mut()[*come..];
            if rest.is_empty() {
                let frame = self.long.take().map(|(long, come)| long.freeze(come));
                return Ok(frame.map(|frame| self.give(frame)));
            }
            match tokio::time::timeout(patience, read.read(rest)).await {
                Err(_) => return Err(FrameError::Stalled(patience)),
                Ok(Err(error)) => return Err(error.into()),
                Ok(Ok(0)) => return Err(FrameError::CutOff),
                Ok(Ok(count)) => *come += count,
            }
            patience = self.patience();
        }
        Ok(None)
    }
}

thread_local! {
    /// Where the first bytes of requests come in.
    static FIRST: RefCell<[u8; BUFFER_BYTES_MIN]> = const { RefCell::new([0; BUFFER_BYTES_MIN]) };
}

/// Fills the buffer, which is empty, once there is something; thousands of connections may wait here.
async fn receive_first(read: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> std::io::Result<usize> {
    *buffer = BytesMut::new();
    std::future::poll_fn(|context| {
        FIRST.with_borrow_mut(|first| {
            let mut first = ReadBuf::new(first);
            std::task::ready!(Pin::new(&mut *read).poll_read(context, &mut first))?;
            buffer.extend_from_slice(first.filled());
            Poll::Ready(Ok(first.filled().len()))
        })
    })
    .await
}

#[cfg(test)]
mod tests;
