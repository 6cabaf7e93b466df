//! What an OVER keeps of a key, for those who look: the columns that rows are kept of, and the running sums by name.

use super::super::error::DataflowError;
use super::super::probe::ProbedField;
use super::super::window::{Representation, decimal_column, float_column, integer_column};
use super::running::take_bytes;
use super::spec::OverSpec;
use crate::plan::{AggregateFunction, NodeId, Plan};
use arrow_array::{ArrayRef, Int64Array};
use arrow_buffer::NullBuffer;
use arrow_schema::SchemaRef;
use std::sync::Arc;

pub(crate) struct OverShown {
    spec: OverSpec,
}

impl OverShown {
    pub(crate) fn new(plan: &Plan, id: NodeId, schemas: &[SchemaRef]) -> Result<OverShown, DataflowError> {
        Ok(OverShown { spec: OverSpec::new(plan, id, schemas)? })
    }

    /// The columns of the input that the rows of a frame are kept of.
    pub(crate) fn read(&self) -> &[usize] {
        &self.spec.read
    }

    /// What the calls that sum and count give so far.
    pub(crate) fn sums(&self, mut bytes: &[u8]) -> Result<Vec<ProbedField>, DataflowError> {
        let mut fields = Vec::new();
        let width = self.spec.schema.fields().len().saturating_sub(self.spec.calls.len());
        for (index, call) in self.spec.calls.iter().enumerate() {
            let bytes = &mut bytes;
            let value: ArrayRef = match call.function {
                AggregateFunction::Count => {
                    Arc::new(Int64Array::from(vec![i64::from_le_bytes(take_bytes(bytes)?)]))
                }
                AggregateFunction::Sum => {
                    let nulls = |count: i64| Some(NullBuffer::from(vec![count > 0]));
                    match Representation::numeric(&call.result) {
                        Some(Representation::Integers) => {
                            let sum = i64::from_le_bytes(take_bytes(bytes)?);
                            let count = i64::from_le_bytes(take_bytes(bytes)?);
                            integer_column(vec![sum], nulls(count), &call.result)?
                        }
                        Some(Representation::Floats) => {
                            let sum = f64::from_le_bytes(take_bytes(bytes)?);
                            let count = i64::from_le_bytes(take_bytes(bytes)?);
                            float_column(vec![sum], nulls(count), &call.result)?
                        }
                        _ => {
                            let sum = i128::from_le_bytes(take_bytes(bytes)?);
                            let wraps = i64::from_le_bytes(take_bytes(bytes)?);
                            let count = i64::from_le_bytes(take_bytes(bytes)?);
                            let sum = (count > 0 && wraps == 0).then_some(sum);
                            decimal_column(vec![sum], &call.result)?
                        }
                    }
                }
                _ => continue,
            };
            let name = self.spec.schema.field(width + index).name().clone();
            fields.push(ProbedField { name, value });
        }
        Ok(fields)
    }
}
