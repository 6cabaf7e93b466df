//! What a session of TLS keeps of bytes that have come and that it cannot give out yet.
//!
//! It tells nobody. So the bytes are watched below it and above it: a record of which the rest has not come is kept, and
//! so is what has come since it last gave out something (pieces of a message of a handshake, up to 64 KiB).

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A session reads so much at a time.
const READ_BYTES: usize = 4 << 10;
/// Type, version and length of a record (RFC 8446, 5.1).
const RECORD_HEAD_BYTES: usize = 5;

/// Of a connection without TLS it measures nothing.
#[derive(Clone, Default)]
pub(crate) struct Meter(Option<Arc<Kept>>);

#[derive(Default)]
struct Kept {
    of_record: AtomicUsize,
    not_given: AtomicUsize,
}

/// A stream whose bytes are watched.
pub(crate) struct Metered<S> {
    stream: S,
    kept: Arc<Kept>,
    /// Below the session; else it is above it.
    record: Option<Record>,
}

/// The record that bytes are of.
#[derive(Debug, Default)]
struct Record {
    come: usize,
    length: usize,
}

impl Meter {
    /// Of a session over the stream, and the stream to make it of.
    pub(crate) fn below<S>(stream: S) -> (Meter, Metered<S>) {
        let kept = Arc::new(Kept::default());
        (Meter(Some(kept.clone())), Metered { stream, kept, record: Some(Record::default()) })
    }

    /// The session, when it is there: what has come for its handshake is used up.
    pub(crate) fn above<S>(&self, session: S) -> Metered<S> {
        let kept = self.0.clone().unwrap_or_default();
        kept.not_given.store(0, Ordering::Relaxed);
        Metered { stream: session, kept, record: None }
    }

    /// The memory that what is kept takes: a buffer that grows by doubling, with room for the next read.
    pub(crate) fn memory(&self) -> usize {
        let kept = self.0.as_ref().map_or(0, |kept| {
            kept.of_record.load(Ordering::Relaxed).max(kept.not_given.load(Ordering::Relaxed))
        });
        if kept == 0 { 0 } else { 2 * kept + READ_BYTES }
    }
}

impl<S> Metered<S> {
    fn has_come(&mut self, bytes: &[u8]) {
        match &mut self.record {
            _ if bytes.is_empty() => {}
            None => self.kept.not_given.store(0, Ordering::Relaxed),
            Some(record) => {
                record.add(bytes);
                self.kept.of_record.store(record.come, Ordering::Relaxed);
                self.kept.not_given.fetch_add(bytes.len(), Ordering::Relaxed);
            }
        }
    }
}

impl Record {
    fn add(&mut self, mut bytes: &[u8]) {
        while let Some(first) = bytes.first() {
            let taken = match self.come {
                0..RECORD_HEAD_BYTES => 1,
                come => bytes.len().min(RECORD_HEAD_BYTES + self.length - come),
            };
            if (3..RECORD_HEAD_BYTES).contains(&self.come) {
                self.length = (self.length << 8) | usize::from(*first);
            }
            self.come += taken;
            bytes = &bytes[taken..];
            if self.come >= RECORD_HEAD_BYTES && self.come == RECORD_HEAD_BYTES + self.length {
                *self = Record::default();
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let had = into.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, into);
        self.has_come(&into.filled()[had..]);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_kept_until_it_is_whole() {
        // One of three bytes, one of none, and one of 258.
        let bytes =
            [&b"\x17\x03\x03\x00\x03abc\x17\x03\x03\x00\x00\x17\x03\x03\x01\x02"[..], &[0; 258]].concat();
        for step in 1..=bytes.len() {
            let mut record = Record::default();
            let mut come = 0;
            for some in bytes.chunks(step) {
                record.add(some);
                come += some.len();
                let begins = [0, 8, 13, 276].into_iter().filter(|begin| *begin <= come).max().unwrap();
                assert_eq!(record.come, come - begins, "{come} by {step}");
            }
        }
    }
}
