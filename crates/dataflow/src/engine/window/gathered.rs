//! The values that an aggregate of a window keeps, where its result is made of all of them.

use super::super::error::DataflowError;
use super::super::keys::Keys;
use super::argument::Argument;
use super::gather::{Gather, Lists};
use arrow_array::builder::{BinaryBuilder, Int64Builder, ListBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field};
use state::StateError;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a kept value takes beside its bytes, by rule of thumb.
const ENTRY_BYTES: usize = 48;

#[derive(Debug)]
pub(crate) struct Gathered {
    gather: Arc<Gather>,
    values: Kept,
    memory_bytes: usize,
}

/// By slot.
#[derive(Debug)]
enum Kept {
    /// In the order of arrival.
    Arrived(Vec<Vec<Box<[u8]>>>),
    /// With the number of occurrences.
    Counted(Vec<BTreeMap<Box<[u8]>, i64>>),
}

impl Gathered {
    pub(crate) fn new(gather: Arc<Gather>) -> Gathered {
        let values = match Gather::by_arrival(gather.function) {
            true => Kept::Arrived(Vec::new()),
            false => Kept::Counted(Vec::new()),
        };
        Gathered { gather, values, memory_bytes: 0 }
    }

    pub(crate) fn grow(&mut self, slots: usize) {
        match &mut self.values {
            Kept::Arrived(values) => values.resize(slots, Vec::new()),
            Kept::Counted(values) => values.resize(slots, BTreeMap::new()),
        }
    }

    fn add(&mut self, slot: usize, value: &[u8], count: i64) {
        match &mut self.values {
            Kept::Arrived(values) => values[slot].push(value.into()),
            Kept::Counted(values) => {
                if let Some(known) = values[slot].get_mut(value) {
                    *known += count;
                    return;
                }
                values[slot].insert(value.into(), count);
            }
        }
        self.memory_bytes += value.len() + ENTRY_BYTES;
    }

    pub(crate) fn update(&mut self, slots: &[u32], rows: &[u32], argument: &Argument, values: &Keys) {
        argument.for_each(slots, rows, |slot, row| self.add(slot, values.bytes(row), 1));
    }

    /// The other's values come behind the own ones.
    pub(crate) fn merge(&mut self, other: &Gathered, slots: &[u32]) {
        for (from, to) in slots.iter().enumerate() {
            let to = *to as usize;
            match &other.values {
                Kept::Arrived(values) => values[from].iter().for_each(|value| self.add(to, value, 1)),
                Kept::Counted(values) => {
                    values[from].iter().for_each(|(value, count)| self.add(to, value, *count));
                }
            }
        }
    }

    pub(crate) fn finish(&self, slots: &[u32]) -> Result<ArrayRef, DataflowError> {
        let mut lists = Lists::default();
        for slot in slots {
            match &self.values {
                Kept::Arrived(values) => {
                    values[*slot as usize].iter().for_each(|value| lists.push(value, 1));
                }
                Kept::Counted(values) => {
                    values[*slot as usize].iter().for_each(|(value, count)| lists.push(value, *count));
                }
            }
            lists.end();
        }
        self.gather.results(&lists)
    }

    pub(crate) fn saved_types(&self) -> Vec<DataType> {
        let list = |item: DataType| DataType::List(Arc::new(Field::new("item", item, true)));
        let mut types = vec![list(DataType::Binary)];
        if let Kept::Counted(_) = self.values {
            types.push(list(DataType::Int64));
        }
        types
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    pub(crate) fn save(&self, slots: &[u32]) -> Vec<ArrayRef> {
        let mut values = ListBuilder::new(BinaryBuilder::new());
        let mut counts = ListBuilder::new(Int64Builder::new());
        for slot in slots {
            match &self.values {
                Kept::Arrived(kept) => {
                    kept[*slot as usize].iter().for_each(|value| values.values().append_value(value));
                }
                Kept::Counted(kept) => {
                    for (value, count) in &kept[*slot as usize] {
                        values.values().append_value(value);
                        counts.values().append_value(*count);
                    }
                    counts.append(true);
                }
            }
            values.append(true);
        }
        let mut columns: Vec<ArrayRef> = vec![Arc::new(values.finish())];
        if let Kept::Counted(_) = self.values {
            columns.push(Arc::new(counts.finish()));
        }
        columns
    }

    /// The columns have the types of [`Gathered::saved_types`].
    pub(crate) fn restore(&mut self, slots: &[u32], columns: &[ArrayRef]) -> Result<(), DataflowError> {
        let lists = columns[0].as_list::<i32>();
        for (row, slot) in slots.iter().enumerate() {
            let values = lists.value(row);
            let values = values.as_binary::<i32>();
            let counts = columns.get(1).map(|counts| counts.as_list::<i32>().value(row));
            if counts.as_ref().is_some_and(|counts| counts.len() != values.len()) || values.null_count() > 0 {
                return Err(StateError::damaged("gathered values do not fit their numbers").into());
            }
            for entry in 0..values.len() {
                let count =
                    counts.as_ref().map_or(1, |counts| counts.as_primitive::<Int64Type>().value(entry));
                self.add(*slot as usize, values.value(entry), count);
            }
        }
        Ok(())
    }
}
