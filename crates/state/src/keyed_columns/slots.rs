//! Slots in memory: keys, columns, and which of them changed.

use crate::error::StateError;
use crate::frozen::Frozen;
use crate::key_map::KeyMap;
use crate::layers::Layers;
use crate::table::{Key, entry_key, sort_by_entry_key};
use crate::ttl::TimeToLive;
use arrow_array::ArrayRef;
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::DataType;

/// The columns of an operator's keyed state.
pub trait Columns: Send + Sized {
    type Error: From<StateError> + std::fmt::Display;

    /// Columns of the same shape without slots.
    fn fresh(&self) -> Self;

    /// The types of what [`Columns::save`] gives.
    fn types(&self) -> Vec<DataType>;

    /// Makes room: slots `0..slots` exist afterwards, new ones hold nothing yet.
    fn grow(&mut self, slots: usize);

    /// The values of some slots, a row per slot.
    fn save(&self, slots: &[u32]) -> Result<Vec<ArrayRef>, Self::Error>;

    /// Puts values back: row `n` belongs to `slots[n]`, which exists and holds nothing yet.
    fn restore(&mut self, slots: &[u32], columns: &[ArrayRef]) -> Result<(), Self::Error>;

    fn memory_bytes(&self) -> usize;
}

/// Rows of columns as bytes and back.
pub(crate) struct RowCodec {
    converter: RowConverter,
}

impl RowCodec {
    pub(crate) fn new(types: Vec<DataType>) -> Result<RowCodec, StateError> {
        let converter = RowConverter::new(types.into_iter().map(SortField::new).collect())?;
        Ok(RowCodec { converter })
    }

    pub(crate) fn decode<'a>(
        &self,
        rows: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Vec<ArrayRef>, StateError> {
        let parser = self.converter.parser();
        Ok(self.converter.convert_rows(rows.map(|row| parser.parse(row)))?)
    }

    /// A row for each row of the columns; none if there are no columns.
    pub(crate) fn encode(&self, columns: &[ArrayRef]) -> Result<Option<Rows>, StateError> {
        if columns.is_empty() { Ok(None) } else { Ok(Some(self.converter.convert_columns(columns)?)) }
    }
}

const CHANGED: u8 = 1;
/// The layers hold something of the key.
const STORED: u8 = 2;
const REMOVED: u8 = 4;
/// Used since memory was last given back.
const TOUCHED: u8 = 8;
/// Another slot has the key now.
const REPLACED: u8 = 16;

pub struct Slots<C> {
    keys: KeyMap,
    flags: Vec<u8>,
    /// By slot, where there is a time to live: when it ends.
    expires: Vec<i64>,
    columns: C,
    changed: Vec<u32>,
    ttl: TimeToLive,
    /// Slots that are of no use any more.
    garbage: usize,
}

impl<C: Columns> Slots<C> {
    pub(crate) fn new(columns: C, ttl: TimeToLive) -> Slots<C> {
        let columns = columns.fresh();
        Slots {
            keys: KeyMap::new(),
            flags: Vec::new(),
            expires: Vec::new(),
            columns,
            changed: Vec::new(),
            ttl,
            garbage: 0,
        }
    }

    pub fn columns(&self) -> &C {
        &self.columns
    }

    pub fn columns_mut(&mut self) -> &mut C {
        &mut self.columns
    }

    pub fn keys(&self) -> &KeyMap {
        &self.keys
    }

    pub fn key(&self, slot: u32) -> &[u8] {
        self.keys.key(slot)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.keys.memory_bytes()
            + self.columns.memory_bytes()
            + self.flags.capacity()
            + self.expires.capacity() * size_of::<i64>()
            + self.changed.capacity() * size_of::<u32>()
    }

    /// Slots that are of use.
    pub(crate) fn live(&self) -> usize {
        self.keys.len().saturating_sub(self.garbage)
    }

    pub(crate) fn changed(&self) -> usize {
        self.changed.len()
    }

    /// The slots of keys; see [`super::KeyedColumns::slots`]. In the layers, if there are
    /// any, the keys stand behind `prefix`.
    pub(crate) fn take(
        &mut self,
        layers: Option<&Layers>,
        codec: &RowCodec,
        prefix: &[u8],
        keys: &[Key<'_>],
        now_ms: i64,
        slots: &mut Vec<u32>,
    ) -> Result<(), C::Error> {
        slots.clear();
        slots.reserve(keys.len());
        let mut loaded: Vec<(u32, Vec<u8>)> = Vec::new();
        let mut entry = Vec::new();
        for key in keys {
            let (mut slot, is_new) = self.keys.insert(key.hash, key.bytes);
            if is_new {
                self.flags.push(TOUCHED);
                if self.ttl.is_set() {
                    self.expires.push(i64::MAX);
                }
                if let Some(layers) = layers.filter(|layers| !layers.is_empty()) {
                    stored_key(&mut entry, *key, prefix);
                    if let Some(value) = layers.get(key.hash, &entry)? {
                        self.flags[slot as usize] |= STORED;
                        if let Some(row) = self.ttl.live(&value, now_ms) {
                            loaded.push((slot, row.to_vec()));
                        }
                    }
                }
            } else {
                let flags = self.flags[slot as usize];
                let expired = self.ttl.is_set() && self.expires[slot as usize] <= now_ms;
                if flags & REMOVED != 0 || expired {
                    self.flags[slot as usize] = REPLACED;
                    self.garbage += usize::from(flags & REMOVED == 0);
                    slot = self.keys.replace(slot);
                    self.flags.push(TOUCHED | (flags & STORED));
                    if self.ttl.is_set() {
                        self.expires.push(i64::MAX);
                    }
                }
            }
            let flags = &mut self.flags[slot as usize];
            if *flags & CHANGED == 0 {
                self.changed.push(slot);
            }
            *flags |= CHANGED | TOUCHED;
            slots.push(slot);
        }
        self.columns.grow(self.keys.len());
        if self.ttl.is_set() {
            let expires = self.ttl.expires_at(now_ms);
            slots.iter().for_each(|slot| self.expires[*slot as usize] = expires);
        }
        self.put_back(codec, &loaded)
    }

    fn put_back(&mut self, codec: &RowCodec, loaded: &[(u32, Vec<u8>)]) -> Result<(), C::Error> {
        if loaded.is_empty() {
            return Ok(());
        }
        let columns = codec.decode(loaded.iter().map(|(_, row)| row.as_slice()))?;
        let slots: Vec<u32> = loaded.iter().map(|(slot, _)| *slot).collect();
        self.columns.restore(&slots, &columns)
    }

    /// Puts stored keys (hash, key, row) beside those that are here already, which are newer.
    pub(crate) fn load(
        &mut self,
        codec: &RowCodec,
        entries: &[(u64, Vec<u8>, Vec<u8>)],
    ) -> Result<(), C::Error> {
        let mut loaded = Vec::new();
        for (hash, key, value) in entries {
            let (slot, is_new) = self.keys.insert(*hash, key);
            if is_new {
                self.flags.push(STORED);
                loaded.push((slot, value.clone()));
            }
        }
        self.columns.grow(self.keys.len());
        self.put_back(codec, &loaded)
    }

    pub(crate) fn remove(&mut self, slot: u32) {
        let flags = &mut self.flags[slot as usize];
        if *flags & (REMOVED | REPLACED) == 0 {
            *flags |= REMOVED;
            self.garbage += 1;
        }
    }

    /// Appends what changed, in the order of the layers' keys; without a time to live all of it
    /// expires at `expires`.
    pub(crate) fn freeze(
        &mut self,
        codec: &RowCodec,
        prefix: &[u8],
        expires: i64,
        frozen: &mut Frozen,
    ) -> Result<(), C::Error> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.retain(|slot| {
            let flags = self.flags[*slot as usize];
            // What was made and removed without being stored needs no trace.
            flags & REPLACED == 0 && (flags & REMOVED == 0 || flags & STORED != 0)
        });
        let key = |slot| Key { hash: self.keys.hash_of(slot), bytes: self.keys.key(slot) };
        sort_by_entry_key(&mut changed, key);
        let live: Vec<u32> =
            changed.iter().copied().filter(|slot| self.flags[*slot as usize] & REMOVED == 0).collect();
        let saved = self.columns.save(&live)?;
        let rows = codec.encode(&saved)?;
        let (mut entry, mut value) = (Vec::new(), Vec::new());
        let mut next = 0;
        for slot in changed {
            let key = Key { hash: self.keys.hash_of(slot), bytes: self.keys.key(slot) };
            stored_key(&mut entry, key, prefix);
            let expires = self.expires.get(slot as usize).copied().unwrap_or(expires);
            if self.flags[slot as usize] & REMOVED != 0 {
                frozen.push(key.hash, &entry, None, expires)?;
                self.flags[slot as usize] &= !(CHANGED | STORED);
                continue;
            }
            value.clear();
            if self.ttl.is_set() {
                value.extend_from_slice(&expires.to_le_bytes());
            }
            value.extend_from_slice(rows.as_ref().map_or(&[][..], |rows| rows.row(next).data()));
            next += 1;
            frozen.push(key.hash, &entry, Some(&value), expires)?;
            self.flags[slot as usize] = (self.flags[slot as usize] & !CHANGED) | STORED;
        }
        Ok(())
    }

    /// Builds the columns anew when too many slots are of no use.
    pub(crate) fn drop_garbage(&mut self) -> Result<(), C::Error> {
        if self.garbage * 2 > self.keys.len() { self.rebuild(|_| true) } else { Ok(()) }
    }

    /// Forgets what the layers have, the unused first, until little enough is left.
    pub(crate) fn forget(&mut self, target_bytes: usize) -> Result<(), C::Error> {
        if self.memory_bytes() <= target_bytes {
            return Ok(());
        }
        let touched = self.flags.iter().filter(|flags| **flags & TOUCHED != 0).count();
        // Keeping those in use is only worth the copying if there is room for them.
        let fit = touched.saturating_mul(self.memory_bytes() / self.keys.len().max(1)) <= target_bytes;
        self.rebuild(|flags| fit && flags & TOUCHED != 0)?;
        self.flags.iter_mut().for_each(|flags| *flags &= !TOUCHED);
        Ok(())
    }

    /// Keeps the slots that changed and those that `keep` wants.
    fn rebuild(&mut self, keep: impl Fn(u8) -> bool) -> Result<(), C::Error> {
        let kept: Vec<u32> = (0..self.keys.len() as u32)
            .filter(|slot| {
                let flags = self.flags[*slot as usize];
                flags & REPLACED == 0 && (flags & CHANGED != 0 || (flags & REMOVED == 0 && keep(flags)))
            })
            .collect();
        let saved = self.columns.save(&kept)?;
        let mut columns = self.columns.fresh();
        columns.grow(kept.len());
        let slots: Vec<u32> = (0..kept.len() as u32).collect();
        columns.restore(&slots, &saved)?;
        let mut keys = KeyMap::new();
        for slot in &kept {
            keys.insert(self.keys.hash_of(*slot), self.keys.key(*slot));
        }
        self.flags = kept.iter().map(|slot| self.flags[*slot as usize]).collect();
        if self.ttl.is_set() {
            self.expires = kept.iter().map(|slot| self.expires[*slot as usize]).collect();
        }
        self.garbage = self.flags.iter().filter(|flags| **flags & REMOVED != 0).count();
        self.changed = slots.into_iter().filter(|slot| self.flags[*slot as usize] & CHANGED != 0).collect();
        self.keys = keys;
        self.columns = columns;
        Ok(())
    }
}

/// The bytes of an entry: the group, the prefix, the key.
fn stored_key(out: &mut Vec<u8>, key: Key<'_>, prefix: &[u8]) {
    if prefix.is_empty() {
        return entry_key(out, key, &[]);
    }
    out.clear();
    out.push(crate::key_group(key.hash) as u8);
    out.extend_from_slice(prefix);
    out.extend_from_slice(key.bytes);
}
