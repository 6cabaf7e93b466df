//! A node of the same process: requests are handed over as bytes, without a socket.
//!
//! Who serves people by another protocol asks the node like any client of it does, and gets the same answers and the same
//! refusals.

use bytes::Bytes;
use std::collections::VecDeque;
use std::io::{self, Read, Write};

/// The host and the port that such a node has to call its own, so that the client stays with the connection it has.
pub const WITHIN: (&str, u16) = ("within", 1);

/// Answers a request's frame, which comes without its size, with the answer's frame, which begins with it.
pub type NodeWithin = Box<dyn FnMut(Bytes) -> io::Result<Vec<Bytes>> + Send>;

pub(crate) struct Within {
    node: NodeWithin,
    /// Requests that have not been answered yet.
    sent: Vec<u8>,
    /// What is left of answers.
    answers: VecDeque<Bytes>,
}

impl Within {
    pub(crate) fn new(node: NodeWithin) -> Within {
        Within { node, sent: Vec::new(), answers: VecDeque::new() }
    }

    /// The frame of the oldest request that has no answer.
    fn next_request(&mut self) -> Option<Bytes> {
        let size = usize::try_from(u32::from_be_bytes(*self.sent.first_chunk::<4>()?)).ok()?;
        let frame = Bytes::copy_from_slice(self.sent.get(4..size.checked_add(4)?)?);
        self.sent.drain(..4 + size);
        Some(frame)
    }
}

impl Read for Within {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(first) = self.answers.front_mut() {
                let count = first.len().min(buffer.len());
                buffer[..count].copy_from_slice(&first.split_to(count));
                if first.is_empty() {
                    self.answers.pop_front();
                }
                if count > 0 || buffer.is_empty() {
                    return Ok(count);
                }
                continue;
            }
            let Some(request) = self.next_request() else { return Ok(0) };
            self.answers.extend((self.node)(request)?);
        }
    }
}

impl Write for Within {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sent.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
