//! The columns of a group aggregate's state: how many rows each key has, and what the calls keep.

use super::super::error::DataflowError;
use super::super::layout::ColumnsLayout;
use super::super::window::{Accumulator, encoded_column};
use super::spec::{Call, GroupSpec, Kept, ValueSet};
use arrow_array::builder::BinaryBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, Int64Array, UInt64Array};
use arrow_schema::DataType;
use state::{Columns, StateError};
use std::sync::Arc;

/// The number of rows of a key that is not there.
pub(crate) const ABSENT: i64 = -1;

/// What a value of any length takes, by rule of thumb.
const VALUE_BYTES: usize = 48;

#[derive(Debug)]
pub(crate) struct GroupColumns {
    spec: Arc<GroupSpec>,
    /// Rows of the input, or [`ABSENT`].
    pub(crate) records: Vec<i64>,
    /// Values that the sets keep for the key.
    pub(crate) kept: Vec<i64>,
    /// The next place in the lists of the key.
    pub(crate) next: Vec<u64>,
    /// By call; what is made of kept values has none.
    pub(crate) accumulators: Vec<Option<Accumulator>>,
    /// By set that a MIN or MAX reads: the first value, as the set's map holds it.
    pub(crate) firsts: Vec<Option<FirstValues>>,
}

/// By slot.
type FirstValues = Vec<Option<Box<[u8]>>>;

impl GroupColumns {
    pub(crate) fn new(spec: Arc<GroupSpec>) -> GroupColumns {
        let accumulators = spec.calls.iter().map(|call| match call {
            Call::Rows(spec) | Call::Distinct { spec, .. } => Some(spec.plain()),
            Call::Extreme { .. } | Call::Kept(_) => None,
        });
        let firsts = spec.sets.iter().map(|set| set.keeps_first.then(Vec::new));
        GroupColumns {
            accumulators: accumulators.collect(),
            firsts: firsts.collect(),
            spec,
            records: Vec::new(),
            kept: Vec::new(),
            next: Vec::new(),
        }
    }

    /// The results of some slots, as far as they stand here; what is made of kept values, `kept` shows by call.
    pub(crate) fn finish(
        &self,
        slots: &[u32],
        kept: &mut dyn FnMut(&Kept) -> Result<ArrayRef, DataflowError>,
    ) -> Result<Vec<ArrayRef>, DataflowError> {
        let calls = self.accumulators.iter().zip(&self.spec.calls);
        let results = calls.map(|(accumulator, call)| match (accumulator, call) {
            (Some(accumulator), _) => accumulator.finish(slots),
            (None, Call::Extreme { set }) if self.firsts[*set].is_some() => {
                let values = self.firsts[*set].as_deref().unwrap_or_default();
                first_values(&self.spec.sets[*set], values, slots)
            }
            (None, Call::Kept(call)) => kept(call),
            (None, _) => Err(DataflowError::internal("a call keeps nothing")),
        });
        results.collect()
    }

    fn has_lists(&self) -> bool {
        !self.spec.lists.is_empty()
    }

    /// The columns of [`Columns::types`] by what they belong to: to every group, to one of the calls, or to the values
    /// that are kept (`shape` says which).
    pub(crate) fn layout(&self, calls: &[u64], shape: u64) -> Vec<ColumnsLayout> {
        let one = |identity: u64, own: DataType| ColumnsLayout { identity, types: vec![own] };
        let of_values = |number: u64| shape.wrapping_add(number);
        let mut columns = vec![one(0, DataType::Int64)];
        if self.spec.keeps_values() {
            columns.push(one(of_values(0), DataType::Int64));
        }
        if self.has_lists() {
            columns.push(one(of_values(1), DataType::UInt64));
        }
        columns.extend(self.accumulators.iter().zip(calls).filter_map(|(accumulator, identity)| {
            Some(ColumnsLayout { identity: *identity, types: accumulator.as_ref()?.saved_types() })
        }));
        let firsts = (2..).zip(self.firsts.iter().flatten());
        columns.extend(firsts.map(|(number, _)| one(of_values(number), DataType::Binary)));
        columns
    }
}

fn first_values(
    set: &ValueSet,
    values: &[Option<Box<[u8]>>],
    slots: &[u32],
) -> Result<ArrayRef, DataflowError> {
    let result = set.encoder.first_type();
    let values = slots.iter().map(|slot| values[*slot as usize].as_deref());
    if !set.descending {
        return encoded_column(&set.encoder, values, &result);
    }
    let plain: Vec<Option<Vec<u8>>> = values.map(|value| value.map(complement)).collect();
    encoded_column(&set.encoder, plain.iter().map(|value| value.as_deref()), &result)
}

/// Bytes that compare the other way round; doing it twice gives the first ones again.
pub(crate) fn complement(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}

impl Columns for GroupColumns {
    type Error = DataflowError;

    fn fresh(&self) -> GroupColumns {
        GroupColumns::new(self.spec.clone())
    }

    fn types(&self) -> Vec<DataType> {
        let mut types = vec![DataType::Int64];
        if self.spec.keeps_values() {
            types.push(DataType::Int64);
        }
        if self.has_lists() {
            types.push(DataType::UInt64);
        }
        types.extend(self.accumulators.iter().flatten().flat_map(Accumulator::saved_types));
        types.extend(self.firsts.iter().flatten().map(|_| DataType::Binary));
        types
    }

    fn grow(&mut self, slots: usize) {
        self.records.resize(slots, ABSENT);
        if self.spec.keeps_values() {
            self.kept.resize(slots, 0);
        }
        if self.has_lists() {
            self.next.resize(slots, 0);
        }
        self.accumulators.iter_mut().flatten().for_each(|accumulator| accumulator.grow(slots));
        self.firsts.iter_mut().flatten().for_each(|values| values.resize(slots, None));
    }

    fn save(&self, slots: &[u32]) -> Result<Vec<ArrayRef>, DataflowError> {
        let gather = |values: &[i64]| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(slots.iter().map(|slot| values[*slot as usize])))
        };
        let mut columns = vec![gather(&self.records)];
        if self.spec.keeps_values() {
            columns.push(gather(&self.kept));
        }
        if self.has_lists() {
            let next = slots.iter().map(|slot| self.next[*slot as usize]);
            columns.push(Arc::new(UInt64Array::from_iter_values(next)));
        }
        for accumulator in self.accumulators.iter().flatten() {
            columns.extend(accumulator.save(slots)?);
        }
        for values in self.firsts.iter().flatten() {
            let mut builder = BinaryBuilder::new();
            slots.iter().for_each(|slot| builder.append_option(values[*slot as usize].as_deref()));
            columns.push(Arc::new(builder.finish()));
        }
        Ok(columns)
    }

    fn restore(&mut self, slots: &[u32], columns: &[ArrayRef]) -> Result<(), DataflowError> {
        let types = self.types();
        let fits = columns.len() == types.len()
            && columns.iter().zip(&types).all(|(column, data_type)| {
                column.len() == slots.len() && column.data_type().equals_datatype(data_type)
            });
        if !fits {
            return Err(StateError::damaged("a group's columns do not fit").into());
        }
        let scatter = |values: &mut [i64], column: &ArrayRef| {
            for (slot, value) in slots.iter().zip(column.as_primitive::<Int64Type>().values()) {
                values[*slot as usize] = *value;
            }
        };
        scatter(&mut self.records, &columns[0]);
        let mut rest = &columns[1..];
        if self.spec.keeps_values() {
            scatter(&mut self.kept, &rest[0]);
            rest = &rest[1..];
        }
        if self.has_lists() {
            for (slot, next) in slots.iter().zip(rest[0].as_primitive::<UInt64Type>().values()) {
                self.next[*slot as usize] = *next;
            }
            rest = &rest[1..];
        }
        for accumulator in self.accumulators.iter_mut().flatten() {
            let (own, others) = rest.split_at(accumulator.saved_types().len());
            accumulator.restore(slots, own)?;
            rest = others;
        }
        for (values, column) in self.firsts.iter_mut().flatten().zip(rest) {
            let column = column.as_binary::<i32>();
            for (row, slot) in slots.iter().enumerate() {
                values[*slot as usize] = column.is_valid(row).then(|| column.value(row).into());
            }
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        let accumulators = self.accumulators.iter().flatten().map(Accumulator::memory_bytes);
        let firsts =
            self.firsts.iter().flatten().map(|values| {
                values.capacity() * size_of::<Option<Box<[u8]>>>() + values.len() * VALUE_BYTES
            });
        (self.records.capacity() + self.kept.capacity() + self.next.capacity()) * size_of::<i64>()
            + accumulators.chain(firsts).sum::<usize>()
    }
}
