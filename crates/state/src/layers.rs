//! The part of a table that is not in its memory: frozen entries and runs, newest first.
//!
//! A key's value is what the newest layer says. Layers of about the same size are merged in the
//! background, so that their number grows with the logarithm of the state; the merge drops what is
//! deleted, overwritten or expired. Results never depend on when a merge ends.

use crate::error::StateError;
use crate::frozen::{Frozen, Written};
use crate::key_group::{KEY_GROUPS, key_group};
use crate::run::{Merge, SortedSource};
use crate::store::{Files, Store, StoredRun};
use crate::table::{TableId, after_prefix};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// So many neighbours of similar size are merged into one, if the table says nothing else.
const MERGE_RUNS_MIN: usize = 4;

/// A run joins a merge if it is at most this much larger than all newer ones of the merge together.
const MERGE_RATIO: u64 = 2;

pub struct Layers {
    store: Store,
    id: TableId,
    groups: Range<usize>,
    /// Newest first; what is frozen stands before all runs, if its writing has not failed.
    layers: Vec<Layer>,
    merging: Option<Merging>,
    /// So many neighbours of similar size are merged.
    merged_runs_min: usize,
    /// Entries that expire at this or before it are dead.
    horizon: i64,
}

/// Entries of some key groups; a run may hold more groups than its layer shows.
#[derive(Clone)]
pub(crate) struct Layer {
    pub(crate) groups: Range<usize>,
    pub(crate) body: Body,
}

#[derive(Clone)]
pub(crate) enum Body {
    Frozen(Arc<Frozen>),
    Run(Arc<StoredRun>),
}

type MergeOutcome = Arc<Mutex<Option<Result<Option<Arc<StoredRun>>, StateError>>>>;

struct Merging {
    /// The runs that are merged, and the groups of each: after a restore with fewer workers a run may stand in several
    /// layers, of which some are merged and others stay.
    inputs: Vec<(u64, Range<usize>)>,
    outcome: MergeOutcome,
}

impl Layers {
    /// The layers that the store was opened with for these key groups, and what the snapshot said of
    /// the table beside them.
    pub(crate) fn open(
        store: &Store,
        id: TableId,
        groups: Range<usize>,
    ) -> Result<(Layers, Vec<Vec<u8>>), StateError> {
        if groups.end > KEY_GROUPS || groups.start > groups.end {
            return Err(StateError::damaged(format!("key groups {groups:?} do not exist")));
        }
        let id = store.place_of(id);
        let mut metas = Vec::new();
        let mut layers = Vec::new();
        // Parts hold different key groups, so their order does not matter.
        for part in store.restored(id, &groups) {
            metas.push(part.meta);
            let layer = |(groups, run)| Layer { groups, body: Body::Run(run) };
            layers.extend(part.runs.into_iter().map(layer));
        }
        let layers = Layers {
            store: store.clone(),
            id,
            groups,
            layers,
            merging: None,
            merged_runs_min: MERGE_RUNS_MIN,
            horizon: i64::MIN,
        };
        Ok((layers, metas))
    }

    pub fn id(&self) -> TableId {
        self.id
    }

    pub(crate) fn groups(&self) -> &Range<usize> {
        &self.groups
    }

    pub(crate) fn all(&self) -> &[Layer] {
        &self.layers
    }

    pub(crate) fn horizon(&self) -> i64 {
        self.horizon
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// What the layers hold in memory: frozen entries, indexes, filters.
    pub fn memory_bytes(&self) -> usize {
        let bytes = |layer: &Layer| match &layer.body {
            Body::Frozen(frozen) => frozen.memory_bytes(),
            Body::Run(stored) => stored.run.memory_bytes(),
        };
        self.layers.iter().map(bytes).sum()
    }

    /// Bytes of the runs on disk.
    pub fn disk_bytes(&self) -> u64 {
        let bytes = |layer: &Layer| match &layer.body {
            Body::Frozen(_) => 0,
            Body::Run(stored) => stored.run.bytes(),
        };
        self.layers.iter().map(bytes).sum()
    }

    /// Entries of the runs on disk, deleted and older ones among them.
    pub fn disk_entries(&self) -> u64 {
        let entries = |layer: &Layer| match &layer.body {
            Body::Frozen(_) => 0,
            Body::Run(stored) => stored.run.entries(),
        };
        self.layers.iter().map(entries).sum()
    }

    /// Merges only so many runs or more.
    pub(crate) fn merge_from(&mut self, runs: usize) {
        self.merged_runs_min = runs;
    }

    /// Raises the bound below which entries are dead.
    pub(crate) fn set_horizon(&mut self, horizon: i64) {
        self.horizon = self.horizon.max(horizon);
    }

    /// Puts entries in front of all layers and has them written.
    pub(crate) fn push(&mut self, frozen: Frozen) {
        if frozen.is_empty() {
            return;
        }
        let frozen = Arc::new(frozen);
        self.store.write(&frozen);
        self.layers.insert(0, Layer { groups: self.groups.clone(), body: Body::Frozen(frozen) });
    }

    /// Whether any layer may hold entries that begin with `prefix`, all of the key with this hash.
    pub(crate) fn may_contain(&self, hash: u64, prefix: &[u8]) -> bool {
        let group = key_group(hash);
        let layers = self.layers.iter().filter(|layer| layer.groups.contains(&group));
        layers.into_iter().any(|layer| match &layer.body {
            Body::Run(stored) => stored.run.may_contain(hash),
            Body::Frozen(frozen) => frozen.contains_prefix(prefix),
        })
    }

    /// The value under the bytes of an entry, whose key has this hash.
    pub(crate) fn get(&self, hash: u64, entry: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(newest(&self.layers, hash, entry)?.flatten())
    }

    /// The entries that begin with `prefix` (a key group first), from `from` on; with a hash only of
    /// the layers that may hold that key. Deleted entries come as such.
    pub(crate) fn scan(&self, hash: Option<u64>, prefix: &[u8], from: &[u8]) -> Merge {
        let mut lower = prefix.to_vec();
        lower.extend_from_slice(from);
        let upper = after_prefix(prefix);
        let group = prefix.first().map_or(0, |group| usize::from(*group));
        let holds = |layer: &&Layer| {
            layer.groups.contains(&group)
                && match (&layer.body, hash) {
                    (Body::Run(stored), Some(hash)) => stored.run.may_contain(hash),
                    _ => true,
                }
        };
        let sources = self.layers.iter().filter(holds).map(|layer| layer.scan(&lower, upper.as_deref()));
        Merge::new(sources.collect())
    }

    /// Takes over what the background has done, and gives it what is to be done next. The first
    /// failure is the answer; what failed is tried again.
    pub fn settle(&mut self) -> Result<(), StateError> {
        let mut failure = None;
        for layer in &mut self.layers {
            let Body::Frozen(frozen) = &layer.body else { continue };
            match frozen.written() {
                Written::NotYet => {}
                Written::Done(run) => layer.body = Body::Run(run),
                Written::Failed(error) => {
                    frozen.forget_failure();
                    self.store.write(frozen);
                    failure = failure.or(Some(error));
                }
            }
        }
        let dead = |layer: &Layer| match &layer.body {
            Body::Run(stored) => stored.run.expires_max() <= self.horizon,
            Body::Frozen(_) => false,
        };
        // A merge counts on its inputs.
        if self.merging.is_none() && self.layers.iter().any(dead) {
            self.layers.retain(|layer| !dead(layer));
        }
        if let Err(error) = self.take_merged() {
            failure = failure.or(Some(error));
        }
        if failure.is_none() && self.merging.is_none() {
            self.begin_merge();
        }
        failure.map_or(Ok(()), Err)
    }

    fn take_merged(&mut self) -> Result<(), StateError> {
        let Some(merging) = &self.merging else { return Ok(()) };
        let outcome = merging.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(outcome) = outcome else { return Ok(()) };
        let inputs = std::mem::take(&mut self.merging).map(|merging| merging.inputs).unwrap_or_default();
        let merged = outcome?;
        let is_input = |layer: &Layer| match &layer.body {
            Body::Run(stored) => inputs.contains(&(stored.number, layer.groups.clone())),
            Body::Frozen(_) => false,
        };
        let Some(place) = self.layers.iter().position(is_input) else { return Ok(()) };
        self.layers.retain(|layer| !is_input(layer));
        if let Some(run) = merged {
            self.layers.insert(place, Layer { groups: self.groups.clone(), body: Body::Run(run) });
        }
        Ok(())
    }

    /// Merges the newest runs that are of similar size, if there are enough of them.
    fn begin_merge(&mut self) {
        let Some(first) = self.layers.iter().position(|layer| matches!(layer.body, Body::Run(_))) else {
            return;
        };
        // A writing that failed and is tried again: what lies before it must not forget what it deletes there.
        if self.layers[first..].iter().any(|layer| matches!(layer.body, Body::Frozen(_))) {
            return;
        }
        let runs: Vec<Layer> = self.layers[first..].to_vec();
        let sizes = runs.iter().map(|layer| match &layer.body {
            Body::Run(stored) => stored.run.bytes(),
            Body::Frozen(_) => 0,
        });
        let count = runs_to_merge(&sizes.collect::<Vec<_>>(), self.merged_runs_min);
        if count < self.merged_runs_min {
            return;
        }
        let is_oldest = count == runs.len();
        let inputs: Vec<Layer> = runs.into_iter().take(count).collect();
        let identity = |layer: &Layer| match &layer.body {
            Body::Run(stored) => Some((stored.number, layer.groups.clone())),
            Body::Frozen(_) => None,
        };
        let outcome = MergeOutcome::default();
        self.merging =
            Some(Merging { inputs: inputs.iter().filter_map(identity).collect(), outcome: outcome.clone() });
        let (files, horizon) = (self.store.files.clone(), self.horizon);
        self.store.submit_merge(move || {
            let merged = merge(&files, &inputs, horizon, is_oldest);
            // The inputs are let go first, so that whoever sees the outcome may be their last holder.
            drop(inputs);
            *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(merged);
        });
    }
}

/// What some layers, the newest first, say of an entry, whose key has this hash: nothing, that it was deleted, a value.
pub(crate) fn newest(
    layers: &[Layer],
    hash: u64,
    entry: &[u8],
) -> Result<Option<Option<Vec<u8>>>, StateError> {
    let group = key_group(hash);
    for layer in layers.iter().filter(|layer| layer.groups.contains(&group)) {
        match &layer.body {
            Body::Frozen(frozen) => {
                if let Some(found) = frozen.get(entry) {
                    return Ok(Some(found.map(<[u8]>::to_vec)));
                }
            }
            Body::Run(stored) => {
                if stored.run.may_contain(hash)
                    && let Some(found) = stored.run.get(hash, entry)?
                {
                    return Ok(Some(found));
                }
            }
        }
    }
    Ok(None)
}

impl Layer {
    /// How many different keys it has at most, if it is a run.
    fn hashes(&self) -> u64 {
        match &self.body {
            Body::Frozen(_) => 0,
            Body::Run(stored) => stored.run.hashes(),
        }
    }

    pub(crate) fn scan(&self, lower: &[u8], upper: Option<&[u8]>) -> Box<dyn SortedSource + Send> {
        // The run may hold groups that are another worker's by now.
        let first = [self.groups.start as u8];
        let end = [self.groups.end as u8];
        let lower = lower.max(&first[..]);
        let upper = upper.map_or(&end[..], |upper| upper.min(&end[..]));
        match &self.body {
            Body::Frozen(frozen) => Box::new(frozen.scan(lower, Some(upper))),
            Body::Run(stored) => Box::new(stored.run.scan(lower, Some(upper))),
        }
    }
}

/// How many of the newest runs are to be merged, from their sizes, newest first; `least` is how many make a merge.
fn runs_to_merge(sizes: &[u64], least: usize) -> usize {
    let mut total = 0u64;
    let mut count = 0;
    for size in sizes {
        if count >= least && *size > total.saturating_mul(MERGE_RATIO) {
            break;
        }
        if count > 0 && count < least && *size > total.saturating_mul(MERGE_RATIO * 4) {
            return 0;
        }
        total = total.saturating_add(*size);
        count += 1;
    }
    count
}

fn merge(
    files: &Arc<Files>,
    inputs: &[Layer],
    horizon: i64,
    is_oldest: bool,
) -> Result<Option<Arc<StoredRun>>, StateError> {
    let mut merged = Merge::new(inputs.iter().map(|layer| layer.scan(&[], None)).collect());
    let mut output = None;
    while let Some(entry) = merged.next()? {
        if entry.expires <= horizon || (is_oldest && entry.value.is_none()) {
            continue;
        }
        if output.is_none() {
            let (number, mut writer) = files.create()?;
            // A key that several of them hold is counted more than once.
            writer.expect(inputs.iter().fold(0, |hashes, layer| hashes.saturating_add(layer.hashes())));
            output = Some((number, writer));
        }
        if let Some((_, writer)) = &mut output {
            writer.add(entry.hash, entry.key, entry.value, entry.expires)?;
        }
    }
    output.map(|(number, writer)| files.finish(number, writer)).transpose()
}

#[cfg(test)]
mod tests {
    use super::{Body, Layer, Layers, MERGE_RUNS_MIN, runs_to_merge};
    use crate::frozen::Frozen;
    use crate::{KEY_GROUPS, Store, TableId, hash, key_group};
    use std::sync::Arc;

    /// One entry, which begins with its group.
    fn frozen(key: &[u8], value: Option<&[u8]>) -> (Frozen, Vec<u8>) {
        let entry = [&[key_group(hash(key)) as u8], key].concat();
        let mut frozen = Frozen::default();
        frozen.push(hash(key), &entry, value, i64::MAX).unwrap();
        (frozen, entry)
    }

    /// A writing that failed is tried again while what came later stands as runs already; among them is the deletion of
    /// what waits.
    #[test]
    fn nothing_is_merged_past_what_waits_to_be_written() {
        let store = Store::volatile(usize::MAX);
        let id = TableId { owner: 0, table: 0 };
        let (mut layers, _) = Layers::open(&store, id, 0..KEY_GROUPS).unwrap();
        let layer = |body| Layer { groups: 0..KEY_GROUPS, body };
        let run = |key: &[u8], value| {
            let (frozen, _) = frozen(key, value);
            frozen.write(&store.files);
            layer(Body::Run(frozen.run().unwrap()))
        };
        let deleted: Option<&[u8]> = None;
        layers.layers = vec![run(b"a", Some(b"1")), run(b"b", Some(b"1")), run(b"c", Some(b"1"))];
        layers.layers.push(run(b"key", deleted));
        let (waiting, entry) = frozen(b"key", Some(b"old"));
        layers.layers.push(layer(Body::Frozen(Arc::new(waiting))));
        for _ in 0..3 {
            layers.settle().unwrap();
            store.wait_idle();
            assert_eq!(layers.get(hash(b"key"), &entry).unwrap(), None);
        }
    }

    #[test]
    fn runs_of_similar_size_are_merged_and_large_ones_left_alone() {
        assert_eq!(runs_to_merge(&[], MERGE_RUNS_MIN), 0);
        assert_eq!(runs_to_merge(&[10, 10, 10], MERGE_RUNS_MIN), 3);
        assert_eq!(runs_to_merge(&[10, 10, 10, 10], MERGE_RUNS_MIN), 4);
        assert_eq!(runs_to_merge(&[10, 10, 10, 10, 1000], MERGE_RUNS_MIN), 4);
        assert_eq!(runs_to_merge(&[10, 10, 10, 10, 50, 90, 1000], MERGE_RUNS_MIN), 6);
        assert_eq!(runs_to_merge(&[10, 1000, 10, 10, 10], MERGE_RUNS_MIN), 0);
    }
}
