//! The head of a request, as its bytes come: whether it is there as a whole.
//!
//! Nothing is parsed here. What cannot become a head counts as whole, since whoever parses it has the words for it.

use super::meter::Meter;
use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes of a request's first line and headers.
pub(super) const HEAD_BYTES_MAX: usize = 16 << 10;

/// What has come: a part of a head, or a head and what follows it.
#[derive(Default)]
pub(super) struct Head {
    bytes: Vec<u8>,
    /// In these is no end of a head, but for one of which the rest is missing.
    looked_through: usize,
    /// The memory that bytes take which nobody can see yet.
    hidden: usize,
}

thread_local! {
    /// Where bytes come in: thousands of connections may wait for theirs.
    static INLET: RefCell<[u8; HEAD_BYTES_MAX]> = const { RefCell::new([0; HEAD_BYTES_MAX]) };
}

impl Head {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.hidden == 0
    }

    /// The memory that it takes.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity() + self.hidden
    }

    /// Whether what is hidden is more or less than before.
    pub(super) fn measure(&mut self, meter: &Meter) -> bool {
        let before = std::mem::replace(&mut self.hidden, meter.memory());
        before != self.hidden
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn add(&mut self, mut come: &[u8]) {
        if self.bytes.is_empty() {
            // RFC 9112, 2.2: empty lines before a request are passed over.
            let begins = come.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
            come = &come[begins.unwrap_or(come.len())..];
        }
        self.bytes.extend_from_slice(come);
    }

    /// Waits for more of it, hidden bytes and empty lines included; false at the end of the stream.
    pub(super) async fn receive(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        meter: &Meter,
    ) -> std::io::Result<bool> {
        std::future::poll_fn(|context| {
            INLET.with_borrow_mut(|inlet| {
                let mut inlet = ReadBuf::new(inlet);
                let polled = Pin::new(&mut *stream).poll_read(context, &mut inlet);
                if self.measure(meter) && polled.is_pending() {
                    return Poll::Ready(Ok(true));
                }
                ready!(polled)?;
                self.add(inlet.filled());
                Poll::Ready(Ok(!inlet.filled().is_empty()))
            })
        })
        .await
    }

    /// Whether a parser has all that it needs for an answer.
    pub(super) fn is_whole(&mut self) -> bool {
        let Some(first) = self.bytes.first() else { return false };
        if !first.is_ascii_alphabetic() || self.ends() {
            return true;
        }
        // The end may lie over the border to what comes next.
        self.looked_through = self.bytes.len().saturating_sub(2);
        self.bytes.len() >= HEAD_BYTES_MAX
    }

    /// A head ends with an empty line; the parser takes lines without a carriage return as well.
    fn ends(&self) -> bool {
        let looked_at = &self.bytes[self.looked_through..];
        let mut lines = looked_at.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        lines.any(|(at, _)| matches!(looked_at[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many bytes it is whole, if they come one by one, or as a whole.
    fn whole_after(text: &[u8]) -> Option<usize> {
        let mut head = Head::default();
        let found = (0..text.len()).find(|at| {
            head.add(&text[*at..=*at]);
            head.is_whole()
        });
        let mut at_once = Head::default();
        at_once.add(text);
        assert_eq!(at_once.is_whole(), found.is_some(), "{text:?}");
        found.map(|at| at + 1)
    }

    #[test]
    fn a_head_is_whole_with_its_empty_line() {
        for (text, expected) in [
            (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], Some(27)),
            (b"GET / HTTP/1.1\nHost: a\n\n", Some(24)),
            (b"GET / HTTP/1.1\r\nHost: a\n\r\nbody", Some(26)),
            (b"\r\n\n\r\nGET / HTTP/1.1\r\n\r\n", Some(23)),
            (b"GET / HTTP/1.1\r\nHost: a\r\n", None),
            (b"GET / HTTP/1.1\r\n\r", None),
            (b"\r\n\r\n\r\n\r\n", None),
            (b"", None),
            // What cannot become one.
            (b"\x16\x03\x01", Some(1)),
            (b"\r\n\0", Some(3)),
        ] {
            assert_eq!(whole_after(text), expected, "{}", String::from_utf8_lossy(text));
        }
        assert_eq!(whole_after(&[b'x'; HEAD_BYTES_MAX + 1]), Some(HEAD_BYTES_MAX));
    }
}
