//! Cuts the bytes of a connection into request frames.
//!
//! A frame's announced size is checked against the limit before anything is allocated, and memory
//! grows with the bytes that really came: a connection that announces 100 MiB and sends nothing
//! costs a few kilobytes. The buffer is used again once the frames cut from it are gone.

use bytes::{Buf, Bytes, BytesMut};
use kafka_wire::DecodeError;
use kafka_wire::header::frame_size;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};

const SIZE_BYTES: usize = 4;
/// The smallest request header: key, version, correlation id.
const FRAME_BYTES_MIN: usize = 8;
const TLS_HANDSHAKE: [u8; 2] = [22, 3];
const BUFFER_BYTES_MIN: usize = 8 << 10;
/// Beyond this, the buffer at most doubles.
const GROWTH_BYTES_MIN: usize = 256 << 10;

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
}

impl Frames {
    pub(super) fn new(frame_bytes_max: usize, idle_max: Duration, stall_max: Duration) -> Frames {
        Frames { buffer: BytesMut::new(), frame_bytes_max, idle_max, stall_max }
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
                return Ok(Some(self.buffer.split_to(wanted - SIZE_BYTES).freeze()));
            }
            let missing = wanted - self.buffer.len();
            let growth_max = self.buffer.len().max(GROWTH_BYTES_MIN);
            self.buffer.reserve(missing.clamp(BUFFER_BYTES_MIN, growth_max));
            let idle = self.buffer.is_empty();
            let patience = if idle { self.idle_max } else { self.stall_max };
            match tokio::time::timeout(patience, read.read_buf(&mut self.buffer)).await {
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
}

#[cfg(test)]
mod tests;
