//! What all tables of keyed state have in common: identity, keys, freezing, shrinking.

use crate::error::StateError;
use crate::layers::Layers;

/// A table of an operator: the same in every snapshot of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId {
    /// The operator's node; on disk its tag ([`crate::Store::tagged`]).
    pub owner: u32,
    /// Counted within the operator.
    pub table: u32,
}

/// A key with its hash: [`crate::hash`] of the bytes, if the owner of the table does not give another, always the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    pub hash: u64,
    pub bytes: &'a [u8],
}

impl<'a> Key<'a> {
    pub fn new(bytes: &'a [u8]) -> Key<'a> {
        Key { hash: crate::hash(bytes), bytes }
    }
}

/// One worker's part of a table, as the engine sees it: something that can be snapshotted and spilled
/// without the operator's thinking of it.
pub trait Table {
    /// About how many bytes of memory the table holds.
    fn memory_bytes(&self) -> usize;

    /// How many keys it holds in memory, about; those of windows count once for each window.
    fn keys(&self) -> usize;

    /// How many keys or entries the next [`Table::freeze`] has to sort and copy, about.
    fn changed(&self) -> usize;

    /// Hands what changed since the last time over to be written; the table can be used on at once.
    fn freeze(&mut self) -> Result<(), StateError>;

    /// Gives memory back: writes what changed and forgets what was not used lately, until about
    /// `target_bytes` are left.
    fn shrink(&mut self, target_bytes: usize) -> Result<(), StateError>;

    /// What a snapshot says of the table beside its runs.
    fn meta(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Bytes in front of each value that say when it expires; 0 where nothing does.
    fn stamp_bytes(&self) -> usize {
        0
    }

    fn layers(&self) -> &Layers;

    fn layers_mut(&mut self) -> &mut Layers;
}

/// The bytes of an entry: the key group, the key, the sub key. Keys of one table never are prefixes of
/// each other (`arrow-row` sees to it), so the entries of a key lie together.
pub(crate) fn entry_key(out: &mut Vec<u8>, key: Key<'_>, sub: &[u8]) {
    out.clear();
    out.push(crate::key_group(key.hash) as u8);
    out.extend_from_slice(key.bytes);
    out.extend_from_slice(sub);
}

/// Puts places into the order of their keys' entries.
///
/// The first bytes of the keys are kept beside the places and end most comparisons: each look at a key itself would miss
/// the processor's caches, and steps wait for a freeze.
pub(crate) fn sort_by_entry_key<'a>(places: &mut [u32], key_of: impl Fn(u32) -> Key<'a>) {
    let mut order: Vec<(u128, u32)> =
        places.iter().map(|place| (entry_key_head(key_of(*place)), *place)).collect();
    order.sort_unstable_by(|left, right| {
        left.0.cmp(&right.0).then_with(|| key_of(left.1).bytes.cmp(key_of(right.1).bytes))
    });
    for (place, (_, sorted)) in places.iter_mut().zip(order) {
        *place = sorted;
    }
}

/// The first bytes of an entry's key as a number; a shorter one is filled with zeros.
fn entry_key_head(key: Key<'_>) -> u128 {
    let mut head = [0; size_of::<u128>()];
    head[0] = crate::key_group(key.hash) as u8;
    let length = key.bytes.len().min(head.len() - 1);
    head[1..=length].copy_from_slice(&key.bytes[..length]);
    u128::from_be_bytes(head)
}

/// The least byte string that is greater than everything that begins with `prefix`.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut after = prefix[..=last].to_vec();
    after[last] += 1;
    Some(after)
}
