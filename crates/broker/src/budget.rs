//! How many bytes of answers, and of requests, may be in memory at once, in all.
//!
//! A client that asks for much and takes nothing keeps its answer in memory for as long as its connection lives. Each
//! connection holds one answer with records at most, but there are thousands of them. So an answer with records takes
//! room before they are read, and gives it back when the last of its bytes is sent. One answer may have a quarter of
//! the room that is left: the more clients are slow, the smaller are the answers of all, and others go on. Who finds
//! no room waits, and so does what it asks next, in its socket.
//!
//! Other answers are counted when they are made. They may use what records leave, an eighth of all at least.
//!
//! A request takes room for its whole length before it is received, and gives it back when it is handled.

use bytes::Bytes;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// A request that finds no room for records so long is answered without any: what waits behind it on its connection may be
/// what takes up the room.
pub(crate) const WAIT_MS_MAX: i64 = 5_000;

/// Of what is left, one answer may have this part.
const PART_OF_FREE: usize = 4;
/// So much of all is left to answers without records.
const PART_OF_OTHERS: usize = 8;

pub(crate) struct Budget {
    bytes_max: usize,
    /// Of them, what is not for those who count what is there already.
    taken_bytes_max: usize,
    used: AtomicUsize,
    watch: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// A part of the memory; given back when dropped.
pub(crate) struct Room {
    all: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(crate) fn of_answers(bytes_max: usize) -> Arc<Budget> {
        Budget::new(bytes_max, bytes_max - bytes_max / PART_OF_OTHERS)
    }

    pub(crate) fn of_requests(bytes_max: usize) -> Arc<Budget> {
        Budget::new(bytes_max, bytes_max)
    }

    fn new(bytes_max: usize, taken_bytes_max: usize) -> Arc<Budget> {
        Arc::new(Budget { bytes_max, taken_bytes_max, used: AtomicUsize::new(0), watch: OnceLock::new() })
    }

    /// Has `watch` called whenever room is given back. Only the first call takes effect.
    pub(crate) fn watch(&self, watch: impl Fn() + Send + Sync + 'static) {
        // A second edge over the same broker sees less of it, but not nothing: who waits there is woken by its own.
        let _ = self.watch.set(Box::new(watch));
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }

    pub(crate) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Whether answers whose length nobody knows before should wait.
    pub(crate) fn is_full(&self) -> bool {
        self.used() >= self.bytes_max
    }

    /// How many bytes of records an answer should have at most.
    pub(crate) fn answer_bytes_max(&self) -> usize {
        self.taken_bytes_max.saturating_sub(self.used()) / PART_OF_FREE
    }

    /// Whether so many bytes find room. What is larger than all must find half of it, or it never could.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.fits(self.used(), bytes)
    }

    fn fits(&self, used: usize, bytes: usize) -> bool {
        let most = self.taken_bytes_max;
        bytes == 0 || used.saturating_add(bytes.min(most / 2)) <= most
    }

    /// Room for so many bytes, if there is.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Option<Room> {
        let taken = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
            self.fits(used, bytes).then_some(used.saturating_add(bytes))
        });
        taken.ok().map(|_| Room { all: self.clone(), bytes })
    }

    /// Counts an answer that is there already.
    pub(crate) fn count(self: &Arc<Self>, bytes: usize) -> Room {
        self.used.fetch_add(bytes, Ordering::AcqRel);
        Room { all: self.clone(), bytes }
    }

    fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            self.used.fetch_sub(bytes, Ordering::AcqRel);
            if let Some(watch) = self.watch.get() {
                watch();
            }
        }
    }
}

impl Room {
    /// So much turned out to be needed.
    pub(crate) fn resize(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.all.used.fetch_add(bytes - self.bytes, Ordering::AcqRel);
        } else {
            self.all.give_back(self.bytes - bytes);
        }
        self.bytes = bytes;
    }

    /// A part of it, as much as there is.
    pub(crate) fn split(&mut self, bytes: usize) -> Room {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Room { all: self.all.clone(), bytes }
    }

    /// The bytes take up the room for as long as any part of them lives.
    pub(crate) fn hold(self, bytes: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        if self.bytes == 0 {
            Bytes::copy_from_slice(bytes.as_ref())
        } else {
            Bytes::from_owner(Held { bytes, _room: self })
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.all.give_back(self.bytes);
    }
}

struct Held<B> {
    bytes: B,
    _room: Room,
}

impl<B: AsRef<[u8]>> AsRef<[u8]> for Held<B> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_back_with_the_last_part_of_an_answer() {
        let all = Budget::of_answers(1_000);
        let given_back = Arc::new(AtomicUsize::new(0));
        let times = given_back.clone();
        all.watch(move || {
            times.fetch_add(1, Ordering::Relaxed);
        });
        let mut room = all.take(300).unwrap();
        let first = room.split(100).hold(vec![7; 100]);
        room.resize(150);
        let second = room.hold(vec![8; 150]);
        assert_eq!((all.used(), given_back.load(Ordering::Relaxed)), (250, 1));
        let part = first.slice(10..20);
        drop((first, second));
        assert_eq!(all.used(), 100, "a part is still in use");
        drop(part);
        assert_eq!((all.used(), given_back.load(Ordering::Relaxed)), (0, 3));
    }

    #[test]
    fn answers_become_smaller_and_leave_room_to_others() {
        let all = Budget::of_answers(8_000);
        let mut held = Vec::new();
        let mut last = usize::MAX;
        while let bytes @ 1.. = all.answer_bytes_max() {
            assert!(bytes <= last);
            last = bytes;
            held.push(all.take(bytes).unwrap());
        }
        assert!(held.len() > 10 && all.used() > 6_990 && all.used() <= 7_000, "{}", all.used());
        assert!(!all.is_full() && all.take(100).is_none() && !all.has_room(100));
        let other = all.count(1_000);
        assert!(all.take(0).is_some(), "an answer without records is not held up");
        drop(held);
        assert_eq!(all.used(), 1_000);
        drop(other);
    }

    #[test]
    fn a_batch_that_is_larger_than_all_room_comes_through() {
        let all = Budget::of_answers(8_000);
        let half = all.take(3_500).unwrap();
        let large = all.take(20_000).unwrap();
        assert!(all.is_full() && all.take(1).is_none() && all.take(20_000).is_none());
        drop((half, large));
        assert_eq!(all.used(), 0);
    }
}
