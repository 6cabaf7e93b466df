//! Memory for long requests and long answers that is used again.
//!
//! Fresh memory costs as much as the copy into it: the system gives it page by page, each filled with zeros. So a few
//! buffers go from a request into the log and back here, or through an answer. There is never more than a fixed amount
//! of them; who gets none allocates.

use crate::sync::lock;
use bytes::Bytes;
use std::sync::{Arc, Mutex, Weak};

/// Shorter ones are left to the allocator.
const LENT_BYTES_MIN: usize = 64 << 10;
/// A batch is about a megabyte by default; few requests have several long ones.
const LENT_BYTES_MAX: usize = 8 << 20;
/// Buffers are powers of two and so much more: a batch of a megabyte in its request should fit that size.
const MARGIN_BYTES: usize = 64 << 10;
/// Lent and idle together.
const ALL_BYTES_MAX: usize = 64 << 20;
/// What is kept while nobody uses it.
const IDLE_BYTES_MAX: usize = 16 << 20;

#[derive(Debug, Default)]
pub(crate) struct Buffers(Arc<Mutex<Pool>>);

#[derive(Debug, Default)]
struct Pool {
    /// The last one used is used next: it is still in the processor's cache.
    idle: Vec<Vec<u8>>,
    idle_bytes: usize,
    all_bytes: usize,
}

/// Bytes to be filled by whoever holds them; what they were before is anybody's.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    length: usize,
    home: Weak<Mutex<Pool>>,
}

impl Buffers {
    /// A buffer that comes back, if there is one for this length.
    pub(crate) fn lend(&self, length: usize) -> Option<Buffer> {
        if !(LENT_BYTES_MIN..=LENT_BYTES_MAX).contains(&length) {
            return None;
        }
        let size = length.saturating_sub(MARGIN_BYTES).next_power_of_two() + MARGIN_BYTES;
        let home = Arc::downgrade(&self.0);
        {
            let mut pool = lock(&self.0);
            if let Some(index) = pool.idle.iter().rposition(|bytes| bytes.len() == size) {
                let bytes = pool.idle.remove(index);
                pool.idle_bytes -= size;
                return Some(Buffer { bytes, length, home });
            }
            // Idle ones of other lengths make room.
            while pool.all_bytes + size > ALL_BYTES_MAX && !pool.idle.is_empty() {
                let freed = pool.idle.remove(0).len();
                pool.idle_bytes -= freed;
                pool.all_bytes -= freed;
            }
            if pool.all_bytes + size > ALL_BYTES_MAX {
                return None;
            }
            pool.all_bytes += size;
        }
        Some(Buffer { bytes: vec![0; size], length, home })
    }

    /// A buffer of this length, lent or new.
    pub(crate) fn take(&self, length: usize) -> Buffer {
        let new = || Buffer { bytes: vec![0; length], length, home: Weak::new() };
        self.lend(length).unwrap_or_else(new)
    }
}

impl Buffer {
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.length]
    }

    /// The first bytes, as many as there are wanted at most; the buffer goes back when the last of them is dropped.
    pub(crate) fn freeze(mut self, length: usize) -> Bytes {
        self.length = self.length.min(length);
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(home) = self.home.upgrade() else { return };
        let bytes = std::mem::take(&mut self.bytes);
        let mut pool = lock(&home);
        if pool.idle_bytes + bytes.len() > IDLE_BYTES_MAX {
            pool.all_bytes -= bytes.len();
            return;
        }
        pool.idle_bytes += bytes.len();
        pool.idle.push(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_the_last_part_of_it_is_dropped() {
        let buffers = Buffers::default();
        assert!(buffers.lend(LENT_BYTES_MIN - 1).is_none() && buffers.lend(LENT_BYTES_MAX + 1).is_none());
        let mut one = buffers.lend(1_000_100).unwrap();
        one.bytes_mut().fill(7);
        let place = one.bytes_mut().as_ptr();
        let frozen = one.freeze(900_000);
        let part = frozen.slice(10..20);
        drop(frozen);
        assert_eq!(part, [7; 10][..]);
        assert_ne!(buffers.lend(1_000_000).unwrap().bytes_mut().as_ptr(), place, "the part is still in use");
        drop(part);
        assert_eq!(buffers.lend(1_100_000).unwrap().bytes_mut().as_ptr(), place);
        assert_eq!(buffers.take(100).bytes_mut(), [0; 100]);
    }

    #[test]
    fn there_is_never_more_than_the_limit() {
        let buffers = Buffers::default();
        let lent: Vec<Buffer> = std::iter::from_fn(|| buffers.lend(4 << 20)).collect();
        let bytes: usize = lent.iter().map(|buffer| buffer.bytes.len()).sum();
        assert!(bytes > ALL_BYTES_MAX / 2 && bytes <= ALL_BYTES_MAX, "{bytes}");
        assert_eq!(buffers.take(4 << 20).bytes_mut().len(), 4 << 20, "by the allocator");
        drop(lent);
        let idle = lock(&buffers.0).idle_bytes;
        assert!(idle > 0 && idle <= IDLE_BYTES_MAX && lock(&buffers.0).all_bytes == idle, "{idle}");
        let small: Vec<Buffer> = std::iter::from_fn(|| buffers.lend(100_000)).collect();
        let bytes: usize = small.iter().map(|buffer| buffer.bytes.len()).sum();
        assert!(bytes > ALL_BYTES_MAX - (1 << 20) && bytes <= ALL_BYTES_MAX, "idle ones made room: {bytes}");
    }
}
