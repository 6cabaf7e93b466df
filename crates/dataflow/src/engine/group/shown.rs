//! What a group aggregate keeps, for those who look: the results of a key, and the values behind them.

use super::super::error::DataflowError;
use super::super::probe::ProbedField;
use super::columns::{GroupColumns, complement};
use super::kept::{LIST, PLACES};
use super::spec::{Call, GroupSpec, KeptIn, SetPart};
use super::values::counts;
use crate::plan::{NodeId, Plan};
use arrow_array::{ArrayRef, Int64Array, new_null_array};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{DataType, SchemaRef};
use state::{Columns, StateError};
use std::sync::Arc;

pub(crate) struct GroupShown {
    spec: Arc<GroupSpec>,
    input: SchemaRef,
    keys: usize,
    converter: RowConverter,
}

/// An entry of the values that a group keeps.
pub(crate) struct KeptValue {
    /// Part of the entry; of a list the value is the entry's.
    pub(crate) value: Option<ProbedField>,
}

impl GroupShown {
    /// `shares` as in [`GroupSpec::new`].
    pub(crate) fn new(
        plan: &Plan,
        id: NodeId,
        schemas: &[SchemaRef],
        shares: bool,
    ) -> Result<GroupShown, DataflowError> {
        let spec = Arc::new(GroupSpec::new(plan, id, schemas, shares)?);
        let types = GroupColumns::new(spec.clone()).types();
        let converter = RowConverter::new(types.into_iter().map(SortField::new).collect())?;
        let input = schemas[plan.node(id).inputs[0].0].clone();
        let keys = spec.schema.fields().len().saturating_sub(spec.calls.len());
        Ok(GroupShown { spec, input, keys, converter })
    }

    /// How many rows a key has and what its calls give, but for those that are made of kept values.
    pub(crate) fn results(&self, bytes: &[u8]) -> Result<Vec<ProbedField>, DataflowError> {
        let saved = self.converter.convert_rows([self.converter.parser().parse(bytes)])?;
        let mut columns = GroupColumns::new(self.spec.clone());
        columns.grow(1);
        columns.restore(&[0], &saved)?;
        let records: ArrayRef = Arc::new(Int64Array::from(columns.records.clone()));
        let mut fields = vec![ProbedField { name: "rows".into(), value: records }];
        let results = columns.finish(&[0], &mut |_| Ok(new_null_array(&DataType::Null, 1)))?;
        for (index, (call, value)) in self.spec.calls.iter().zip(results).enumerate() {
            if !matches!(call, Call::Kept(_)) {
                let name = self.spec.schema.field(self.keys + index).name().clone();
                fields.push(ProbedField { name, value });
            }
        }
        Ok(fields)
    }

    /// What an entry behind a key is; nothing for one that leads to another.
    pub(crate) fn kept(&self, sub: &[u8]) -> Result<Option<KeptValue>, DataflowError> {
        let (number, value) = number_of(sub)?;
        if number >= PLACES {
            return Ok(None);
        }
        if number >= LIST {
            return Ok(Some(KeptValue { value: None }));
        }
        let set = self.spec.sets.get(usize::from(number)).ok_or_else(damaged)?;
        let plain = if set.descending { complement(value) } else { value.to_vec() };
        let mut columns = set.encoder.decode(std::iter::once(plain.as_slice()))?;
        let name = self.input.field(set.argument).name().clone();
        let value = columns.pop().ok_or_else(damaged)?;
        Ok(Some(KeptValue { value: Some(ProbedField { name, value }) }))
    }

    /// How often a value of a set occurs, or a value of a list.
    pub(crate) fn kept_value(&self, sub: &[u8], bytes: &[u8]) -> Result<Vec<ProbedField>, DataflowError> {
        let (number, _) = number_of(sub)?;
        if number < LIST {
            return self.times(usize::from(number), bytes);
        }
        let list = self.spec.lists.get(usize::from(number - LIST)).ok_or_else(damaged)?;
        let value = list.encoder.decode(std::iter::once(bytes))?.pop().ok_or_else(damaged)?;
        Ok(vec![ProbedField { name: self.input.field(list.argument).name().clone(), value }])
    }

    /// How often a value occurs, for each part of its set that it occurs in.
    fn times(&self, set: usize, bytes: &[u8]) -> Result<Vec<ProbedField>, DataflowError> {
        let parts = self.spec.sets.get(set).ok_or_else(damaged)?.filters.len();
        let mut counts = Vec::with_capacity(parts);
        counts::read(bytes, parts, &mut counts)?;
        let times = counts.into_iter().enumerate().filter(|(_, count)| parts == 1 || *count != 0);
        Ok(times
            .map(|(part, count)| {
                let name = match parts {
                    1 => "times".into(),
                    _ => format!("times for {}", self.reader_of(SetPart { set, part })),
                };
                ProbedField { name, value: Arc::new(Int64Array::from(vec![count])) }
            })
            .collect())
    }

    /// The first result that is made of a part of a set.
    fn reader_of(&self, at: SetPart) -> &str {
        let reads = |call: &Call| match call {
            Call::Distinct { set, .. } => *set == at,
            Call::Kept(kept) => match kept.values {
                KeptIn::Set { set, .. } => set == at,
                KeptIn::List { list } => self.spec.lists[list].distinct == Some(at),
            },
            Call::Rows(_) | Call::Extreme { .. } => false,
        };
        let call = self.spec.calls.iter().position(reads);
        call.map_or("", |call| self.spec.schema.field(self.keys + call).name())
    }
}

fn number_of(sub: &[u8]) -> Result<(u16, &[u8]), DataflowError> {
    let (number, rest) = sub.split_first_chunk::<2>().ok_or_else(damaged)?;
    Ok((u16::from_be_bytes(*number), rest))
}

fn damaged() -> DataflowError {
    StateError::damaged("a value that a group keeps has no sense").into()
}
