//! Keyed columnar state: a slot per key, and columns of the operator's own that are indexed by slot.
//!
//! Keys that were used lately have a slot in memory; the values of the others lie in the layers as
//! `arrow-row` bytes of the columns. An operator asks for the slots of a step's keys once and then
//! works on its columns without a look at where they came from. Slots hold within a step: forgetting
//! keys builds the columns anew with those that stay.

mod slots;

pub use slots::{Columns, Slots};

use crate::error::StateError;
use crate::frozen::Frozen;
use crate::layers::Layers;
use crate::store::Store;
use crate::table::{Key, Table, TableId};
use crate::ttl::TimeToLive;
pub(crate) use slots::RowCodec;
use std::ops::Range;

pub struct KeyedColumns<C: Columns> {
    layers: Layers,
    ttl: TimeToLive,
    codec: RowCodec,
    slots: Slots<C>,
    now_ms: i64,
}

impl<C: Columns> KeyedColumns<C> {
    /// The part of a table that holds `groups`; what the store was opened with is there at once.
    pub fn new(
        store: &Store,
        id: TableId,
        groups: Range<usize>,
        ttl_ms: Option<u64>,
        columns: C,
    ) -> Result<KeyedColumns<C>, C::Error> {
        let (layers, _) = Layers::open(store, id, groups)?;
        let codec = RowCodec::new(columns.types())?;
        let ttl = TimeToLive::new(ttl_ms);
        Ok(KeyedColumns { layers, ttl, codec, slots: Slots::new(columns, ttl), now_ms: i64::MIN })
    }

    /// The slots of keys, in their order; a key that is not there gets a new one that holds nothing
    /// yet. All of them count as changed.
    pub fn slots(&mut self, keys: &[Key<'_>], now_ms: i64, slots: &mut Vec<u32>) -> Result<(), C::Error> {
        self.now_ms = now_ms;
        self.slots.take(Some(&self.layers), &self.codec, &[], keys, now_ms, slots)
    }

    pub fn columns(&self) -> &C {
        self.slots.columns()
    }

    pub fn columns_mut(&mut self) -> &mut C {
        self.slots.columns_mut()
    }

    pub fn key(&self, slot: u32) -> &[u8] {
        self.slots.key(slot)
    }

    /// The key is gone; its slot must not be used again.
    pub fn remove(&mut self, slot: u32) {
        self.slots.remove(slot);
    }
}

impl<C: Columns> Table for KeyedColumns<C> {
    fn memory_bytes(&self) -> usize {
        self.slots.memory_bytes() + self.layers.memory_bytes()
    }

    fn keys(&self) -> usize {
        self.slots.live()
    }

    fn changed(&self) -> usize {
        self.slots.changed()
    }

    fn freeze(&mut self) -> Result<(), StateError> {
        let mut frozen = Frozen::default();
        self.slots.freeze(&self.codec, &[], i64::MAX, &mut frozen).map_err(operator_error)?;
        self.layers.push(frozen);
        if self.ttl.is_set() {
            self.layers.set_horizon(self.now_ms);
        }
        self.slots.drop_garbage().map_err(operator_error)
    }

    fn shrink(&mut self, target_bytes: usize) -> Result<(), StateError> {
        self.freeze()?;
        self.slots.forget(target_bytes).map_err(operator_error)
    }

    fn stamp_bytes(&self) -> usize {
        self.ttl.stamp_bytes()
    }

    fn layers(&self) -> &Layers {
        &self.layers
    }

    fn layers_mut(&mut self) -> &mut Layers {
        &mut self.layers
    }
}

pub(crate) fn operator_error(error: impl std::fmt::Display) -> StateError {
    StateError::Operator { reason: error.to_string() }
}
