//! Key groups: the fixed number of parts that keyed state is cut into, whatever the number of workers.
//!
//! A key's group comes from its hash; groups are dealt out to workers in contiguous ranges, so a
//! snapshot is restored at another number of workers by dealing the groups anew. The hash is part of
//! the snapshot's meaning: its function and its seed never change.

/// The number of key groups, and so the greatest useful number of workers.
pub const KEY_GROUPS: usize = 128;

/// The seed of [`hash`]; fixed forever, because groups of stored snapshots depend on it.
const SEED: u64 = 0x4556_5752_4947_4854;

/// The hash of a key's bytes.
#[inline]
pub fn hash(key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(key, SEED)
}

/// The group of a key, from its hash.
#[inline]
pub fn key_group(hash: u64) -> usize {
    (hash % KEY_GROUPS as u64) as usize
}

/// The worker that owns a group.
#[inline]
pub fn worker_of_group(group: usize, workers: usize) -> usize {
    group * workers / KEY_GROUPS
}

/// The groups that a worker owns.
pub fn groups_of_worker(worker: usize, workers: usize) -> std::ops::Range<usize> {
    let first = |worker: usize| (worker * KEY_GROUPS).div_ceil(workers);
    first(worker)..first(worker + 1).min(KEY_GROUPS)
}

/// The worker that owns the key with this hash.
#[inline]
pub fn worker_of_hash(hash: u64, workers: usize) -> usize {
    worker_of_group(key_group(hash), workers)
}
