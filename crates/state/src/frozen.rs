//! Entries that were handed over to be written: sorted, immutable, readable until their run stands.

use crate::error::StateError;
use crate::run::{Merge, SortedSource};
use crate::store::{Files, StoredRun};
use std::sync::{Arc, Mutex, PoisonError};

/// Sorted entries in one buffer.
#[derive(Debug, Default)]
pub(crate) struct Frozen {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    written: Mutex<Written>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u64,
    expires: i64,
    start: usize,
    key_bytes: u32,
    /// `u32::MAX` is a tombstone.
    value_bytes: u32,
}

const TOMBSTONE: u32 = u32::MAX;

/// What became of the writing.
#[derive(Debug, Clone, Default)]
pub(crate) enum Written {
    #[default]
    NotYet,
    Done(Arc<StoredRun>),
    Failed(StateError),
}

impl Frozen {
    pub(crate) fn with_capacity(entries: usize) -> Frozen {
        Frozen { entries: Vec::with_capacity(entries), ..Frozen::default() }
    }

    /// Appends an entry; keys come in ascending order.
    pub(crate) fn push(
        &mut self,
        hash: u64,
        key: &[u8],
        value: Option<&[u8]>,
        expires: i64,
    ) -> Result<(), StateError> {
        let bytes = |slice: &[u8]| u32::try_from(slice.len()).ok().filter(|length| *length < TOMBSTONE);
        let too_long = || StateError::damaged("an entry of more than 4 GB cannot be kept in state");
        let key_bytes = bytes(key).ok_or_else(too_long)?;
        let value_bytes = match value {
            Some(value) => bytes(value).ok_or_else(too_long)?,
            None => TOMBSTONE,
        };
        debug_assert!(self.entries.is_empty() || self.key(self.entries.len() - 1) < key);
        self.entries.push(Entry { hash, expires, start: self.bytes.len(), key_bytes, value_bytes });
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        Ok(())
    }

    /// One of several.
    pub(crate) fn merge(parts: Vec<Frozen>) -> Result<Frozen, StateError> {
        let mut merged = Frozen::with_capacity(parts.iter().map(|part| part.entries.len()).sum());
        let scan = |part: Frozen| Box::new(Arc::new(part).scan(&[], None)) as Box<dyn SortedSource + Send>;
        let mut entries = Merge::new(parts.into_iter().map(scan).collect());
        while let Some(entry) = entries.next()? {
            merged.push(entry.hash, entry.key, entry.value, entry.expires)?;
        }
        Ok(merged)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    fn key(&self, index: usize) -> &[u8] {
        let entry = &self.entries[index];
        &self.bytes[entry.start..entry.start + entry.key_bytes as usize]
    }

    fn value(&self, index: usize) -> Option<&[u8]> {
        let entry = &self.entries[index];
        let start = entry.start + entry.key_bytes as usize;
        (entry.value_bytes != TOMBSTONE).then(|| &self.bytes[start..start + entry.value_bytes as usize])
    }

    /// The first entry that is not less.
    fn lower_bound(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.entries.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.key(middle) < key { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// As [`crate::run::Run::get`].
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        let index = self.lower_bound(key);
        (index < self.entries.len() && self.key(index) == key).then(|| self.value(index))
    }

    /// Whether an entry begins with `prefix`.
    pub(crate) fn contains_prefix(&self, prefix: &[u8]) -> bool {
        let index = self.lower_bound(prefix);
        index < self.entries.len() && self.key(index).starts_with(prefix)
    }

    pub(crate) fn scan(self: &Arc<Frozen>, lower: &[u8], upper: Option<&[u8]>) -> FrozenScan {
        FrozenScan {
            next: self.lower_bound(lower),
            end: upper.map_or(self.entries.len(), |upper| self.lower_bound(upper)),
            current: 0,
            frozen: self.clone(),
        }
    }

    pub(crate) fn written(&self) -> Written {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The run, once the writing has had its turn.
    pub(crate) fn run(&self) -> Result<Arc<StoredRun>, StateError> {
        match self.written() {
            Written::Done(run) => Ok(run),
            Written::Failed(error) => Err(error),
            Written::NotYet => Err(StateError::Operator { reason: "a run was not written".into() }),
        }
    }

    /// Makes a failed writing one that was not tried.
    pub(crate) fn forget_failure(&self) {
        *self.written.lock().unwrap_or_else(PoisonError::into_inner) = Written::NotYet;
    }

    /// Writes the run and tells what became of it.
    pub(crate) fn write(&self, files: &Arc<Files>) {
        let outcome = match self.write_run(files) {
            Ok(run) => Written::Done(run),
            Err(error) => Written::Failed(error),
        };
        *self.written.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
    }

    fn write_run(&self, files: &Arc<Files>) -> Result<Arc<StoredRun>, StateError> {
        let (number, mut writer) = files.create()?;
        for (index, entry) in self.entries.iter().enumerate() {
            writer.add(entry.hash, self.key(index), self.value(index), entry.expires)?;
        }
        files.finish(number, writer)
    }
}

/// A range of frozen entries, for merging.
pub(crate) struct FrozenScan {
    frozen: Arc<Frozen>,
    next: usize,
    end: usize,
    current: usize,
}

impl SortedSource for FrozenScan {
    fn advance(&mut self) -> Result<bool, StateError> {
        if self.next >= self.end {
            return Ok(false);
        }
        self.current = self.next;
        self.next += 1;
        Ok(true)
    }

    fn key(&self) -> &[u8] {
        self.frozen.key(self.current)
    }

    fn hash(&self) -> u64 {
        self.frozen.entries[self.current].hash
    }

    fn value(&self) -> Option<&[u8]> {
        self.frozen.value(self.current)
    }

    fn expires(&self) -> i64 {
        self.frozen.entries[self.current].expires
    }
}
