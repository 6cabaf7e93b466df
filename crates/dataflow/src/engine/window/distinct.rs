//! DISTINCT: lets a value through to the aggregate when its key sees it for the first time.

use super::super::error::DataflowError;
use super::super::keys::{KeyEncoder, Keys};
use super::accumulator::Accumulator;
use super::argument::{Argument, Representation};
use arrow_array::ArrayRef;
use arrow_schema::DataType;
use state::KeyMap;
use std::sync::Arc;

const SLOT_BYTES: usize = 4;

/// The values seen, by slot, and the aggregate over them.
#[derive(Debug)]
pub(crate) struct Distinct {
    /// Keys are the slot (big-endian) and the encoded value.
    seen: KeyMap,
    encoder: Arc<KeyEncoder>,
    representation: Representation,
    pub(crate) inner: Accumulator,
}

impl Distinct {
    pub(crate) fn new(
        encoder: Arc<KeyEncoder>,
        representation: Representation,
        inner: Accumulator,
    ) -> Distinct {
        Distinct { seen: KeyMap::new(), encoder, representation, inner }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.seen.memory_bytes() + self.inner.memory_bytes()
    }

    pub(crate) fn value_type(&self) -> DataType {
        self.encoder.first_type()
    }

    fn insert(&mut self, scratch: &mut Vec<u8>, slot: u32, value: &[u8]) -> bool {
        scratch.clear();
        scratch.extend_from_slice(&slot.to_be_bytes());
        scratch.extend_from_slice(value);
        self.seen.insert(state::hash(scratch), scratch).1
    }

    pub(crate) fn update(
        &mut self,
        slots: &[u32],
        rows: &[u32],
        argument: &Argument,
        encoded: &Keys,
    ) -> Result<(), DataflowError> {
        let (mut new_slots, mut new_rows, mut scratch) = (Vec::new(), Vec::new(), Vec::new());
        argument.for_each(slots, rows, |slot, row| {
            if self.insert(&mut scratch, slot as u32, encoded.bytes(row)) {
                new_slots.push(slot as u32);
                new_rows.push(row as u32);
            }
        });
        let plain = argument.plain.as_deref().unwrap_or(argument);
        self.inner.update(&new_slots, &new_rows, plain, &[], 0)
    }

    pub(crate) fn merge(&mut self, other: &Distinct, slots: &[u32]) -> Result<(), DataflowError> {
        let (mut new_slots, mut new_entries, mut scratch) = (Vec::new(), Vec::new(), Vec::new());
        for entry in 0..other.seen.len() as u32 {
            let (slot, value) = split(other.seen.key(entry));
            let slot = slots[slot as usize];
            if self.insert(&mut scratch, slot, value) {
                new_slots.push(slot);
                new_entries.push(entry);
            }
        }
        if new_slots.is_empty() {
            return Ok(());
        }
        let values = new_entries.iter().map(|entry| split(other.seen.key(*entry)).1);
        let columns = self.encoder.decode(values)?;
        let is_encoded =
            matches!(self.representation, Representation::Encoded | Representation::EncodedWithNulls);
        let encoder = is_encoded.then_some(&*self.encoder);
        let argument = Argument::new(columns.first(), None, self.representation, encoder)?;
        let rows: Vec<u32> = (0..new_slots.len() as u32).collect();
        self.inner.update(&new_slots, &rows, &argument, &[], 0)
    }

    /// For each slot the values in the order of their first appearance: how many, and all in a row.
    pub(crate) fn values(&self, slots: &[u32]) -> Result<(Vec<usize>, ArrayRef), DataflowError> {
        let highest = slots.iter().copied().max().map_or(0, |slot| slot as usize + 1);
        let mut by_slot: Vec<Vec<u32>> = vec![Vec::new(); highest];
        for entry in 0..self.seen.len() as u32 {
            let (slot, _) = split(self.seen.key(entry));
            if let Some(entries) = by_slot.get_mut(slot as usize) {
                entries.push(entry);
            }
        }
        let lengths = slots.iter().map(|slot| by_slot[*slot as usize].len()).collect();
        let entries = slots.iter().flat_map(|slot| &by_slot[*slot as usize]);
        let mut columns = self.encoder.decode(entries.map(|entry| split(self.seen.key(*entry)).1))?;
        let values = columns.pop().ok_or_else(|| DataflowError::internal("a value has no column"))?;
        Ok((lengths, values))
    }

    /// Puts values back that a snapshot held: `slot(n)` is the slot of value `n`.
    pub(crate) fn restore(&mut self, slots: &[u32], values: &ArrayRef) -> Result<(), DataflowError> {
        let encoded = self.encoder.encode_columns(std::slice::from_ref(values), values.len())?;
        let mut scratch = Vec::new();
        for (row, slot) in slots.iter().enumerate() {
            if !self.insert(&mut scratch, *slot, encoded.bytes(row)) {
                return Err(state::StateError::damaged("a distinct value stands there twice").into());
            }
        }
        Ok(())
    }
}

fn split(entry: &[u8]) -> (u32, &[u8]) {
    let (slot, value) = entry.split_at(SLOT_BYTES.min(entry.len()));
    (slot.try_into().map_or(0, u32::from_be_bytes), value)
}
