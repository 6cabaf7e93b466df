//! What a million producers take of memory, and of time to be forgotten.
//!
//! An allocator that counts what is in use watches the fold of the log.

use base::{Lsn, Offset, PartitionId};
use broker::state::producers::BATCHES_REMEMBERED;
use broker::state::{BrokerState, encode_forgotten};
use bytes::BytesMut;
use eventlog::{Entry, Layer};
use kafka_wire::records::{BatchBuilder, Compression};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct CountingAllocator;

static IN_USE_BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the pointer came from the system's allocator with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const PRODUCERS: i64 = 1_000_000;
/// As the reference of `max.producer.ids` says.
const BYTES_MAX: usize = 300;
const P: PartitionId = PartitionId(1);

/// A batch of one record, whose producer and sequence are put in where a record batch has them.
fn batch(template: &[u8], producer_id: i64, sequence: i32) -> BytesMut {
    let mut bytes = BytesMut::from(template);
    bytes[43..51].copy_from_slice(&producer_id.to_be_bytes());
    bytes[53..57].copy_from_slice(&sequence.to_be_bytes());
    bytes
}

#[test]
fn a_million_producers_stay_within_the_memory_that_is_promised() {
    let mut builder = BatchBuilder::new(Compression::None).producer(0, 0, 0);
    builder.append(1_700_000_000_000, None, Some(b"x"), &[]).unwrap();
    let template = builder.build().unwrap();
    let before = IN_USE_BYTES.load(Ordering::Relaxed);
    let mut state = BrokerState::default();
    let mut lsn = 0;
    let mut each = [0, 0];
    for sequence in 0..2 {
        for producer_id in 0..PRODUCERS {
            lsn += 1;
            let bytes = batch(&template, producer_id, sequence);
            let (base_offset, max_timestamp_ms) = (Offset(lsn), 1_700_000_000_000);
            let entry =
                Entry::Batch { partition: P, base_offset, records: 1, max_timestamp_ms, bytes: &bytes };
            state.apply(Lsn(lsn as u64), &entry).unwrap();
        }
        each[sequence as usize] = (IN_USE_BYTES.load(Ordering::Relaxed) - before) / PRODUCERS as usize;
    }
    let of_all_batches = each[0] + (each[1] - each[0]) * (BATCHES_REMEMBERED - 1);
    println!("with one batch bytes={}, with all bytes={of_all_batches}", each[0]);
    assert!(each[0] < each[1] && of_all_batches <= BYTES_MAX, "each producer takes bytes={of_all_batches}");
    assert_eq!(state.producers.count() as i64, PRODUCERS);
    // They go piece by piece; nothing of them stays.
    let mut pieces = 0;
    while let Some(until) = state.oldest_producers(1_000, i64::MAX) {
        lsn += 1;
        let forgotten = encode_forgotten(until);
        state.apply(Lsn(lsn as u64), &Entry::Layer { layer: Layer::PRODUCERS, bytes: &forgotten }).unwrap();
        pieces += 1;
    }
    assert_eq!((pieces, state.producers.count()), (PRODUCERS / 1_000, 0));
    drop(state);
    // What the test prints is kept by its harness.
    let left = IN_USE_BYTES.load(Ordering::Relaxed).saturating_sub(before);
    assert!(left < 64 << 10, "bytes={left} stay");
}
