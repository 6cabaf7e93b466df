//! Values of matches: the rows that a step has to do with as columns, and expressions over many matches at once.

use super::super::batches::record_batch;
use super::super::error::DataflowError;
use super::super::stateless::evaluate;
use super::super::time::timestamps;
use super::super::window::{AccumulatorSpec, Argument};
use crate::expression::Expression;
use crate::plan::{Aggregate, MatchExpression, MatchInput};
use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::take::take;
use std::sync::Arc;

/// An expression made ready.
#[derive(Debug)]
pub(crate) struct Prepared {
    expression: Arc<dyn Expression>,
    inputs: Vec<Input>,
    schema: SchemaRef,
}

#[derive(Debug)]
enum Input {
    Row {
        variable: Option<usize>,
        from_first: bool,
        offset: usize,
        column: usize,
    },
    Aggregate {
        variable: Option<usize>,
        columns: Vec<usize>,
        argument: Option<Arc<dyn Expression>>,
        schema: SchemaRef,
        spec: AccumulatorSpec,
    },
    RowTime {
        data_type: DataType,
    },
}

/// A match, or one under way with the row that is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    /// The rows in their order, as numbers in the frame.
    pub(crate) rows: &'a [u32],
    pub(crate) counts: &'a [u32],
    /// The row that is looked at, and the variable that it is to be mapped to.
    pub(crate) current: Option<(usize, u32)>,
    pub(crate) row_time: i64,
}

impl View<'_> {
    /// The rows of a variable, or of all; behind them the row that is looked at, if it counts.
    fn of(&self, variable: Option<usize>) -> (&[u32], Option<u32>) {
        let Some(variable) = variable else {
            return (self.rows, self.current.map(|(_, row)| row));
        };
        let sum = |counts: &[u32]| counts.iter().map(|count| *count as usize).sum::<usize>();
        let before = sum(self.counts.get(..variable).unwrap_or_default());
        let count = self.counts.get(variable).copied().unwrap_or(0) as usize;
        let rows = self.rows.get(before..before + count).unwrap_or_default();
        (rows, self.current.filter(|(own, _)| *own == variable).map(|(_, row)| row))
    }

    fn row(&self, variable: Option<usize>, from_first: bool, offset: usize) -> Option<u32> {
        let (rows, current) = self.of(variable);
        let count = rows.len() + usize::from(current.is_some());
        if offset >= count {
            return None;
        }
        let place = if from_first { offset } else { count - 1 - offset };
        rows.get(place).copied().or(current)
    }
}

impl Prepared {
    pub(crate) fn new(expression: &MatchExpression, input: &Schema) -> Result<Prepared, DataflowError> {
        let mut inputs = Vec::new();
        let mut fields = Vec::new();
        for value in &expression.inputs {
            let (made, data_type) = match value {
                MatchInput::Row { variable, from_first, offset, column } => {
                    let made = Input::Row {
                        variable: *variable,
                        from_first: *from_first,
                        offset: *offset as usize,
                        column: *column,
                    };
                    (made, input.field(*column).data_type().clone())
                }
                MatchInput::Aggregate { variable, function, columns, argument, options, data_type } => {
                    let call = Aggregate {
                        function: *function,
                        argument: argument.as_ref().map(|_| 0),
                        distinct: false,
                        filter: None,
                        options: options.clone(),
                        data_type: data_type.clone(),
                    };
                    let argument_type = argument.as_ref().map(|argument| argument.data_type());
                    let fields = columns.iter().map(|column| input.field(*column).clone());
                    let made = Input::Aggregate {
                        variable: *variable,
                        columns: columns.clone(),
                        argument: argument.clone(),
                        schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
                        spec: AccumulatorSpec::new(&call, argument_type)?,
                    };
                    (made, data_type.clone())
                }
                MatchInput::RowTime { data_type } => {
                    (Input::RowTime { data_type: data_type.clone() }, data_type.clone())
                }
            };
            fields.push(Field::new(format!("${}", inputs.len()), data_type, true));
            inputs.push(made);
        }
        Ok(Prepared {
            expression: expression.expression.clone(),
            inputs,
            schema: Arc::new(Schema::new(fields)),
        })
    }

    /// A value for each view.
    pub(crate) fn evaluate(
        &self,
        frame: &Frame,
        views: &[View<'_>],
        clock_ms: i64,
    ) -> Result<ArrayRef, DataflowError> {
        let mut columns = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            columns.push(match input {
                Input::Row { variable, from_first, offset, column } => {
                    let rows = views.iter().map(|view| view.row(*variable, *from_first, *offset));
                    take(&frame.columns[*column], &UInt32Array::from_iter(rows), None)?
                }
                Input::Aggregate { variable, columns, argument, schema, spec } => {
                    let mut rows = Vec::new();
                    let mut slots = Vec::new();
                    for (slot, view) in (0u32..).zip(views) {
                        let (own, current) = view.of(*variable);
                        rows.extend(own.iter().copied().chain(current));
                        slots.resize(rows.len(), slot);
                    }
                    let argument = match argument {
                        None => None,
                        Some(argument) => {
                            let taken = frame.taken(schema, columns, &UInt32Array::from(rows.clone()))?;
                            Some(evaluate(argument.as_ref(), &taken, None, clock_ms)?)
                        }
                    };
                    aggregate(spec, argument.as_ref(), &slots, views.len())?
                }
                Input::RowTime { data_type } => {
                    timestamps(views.iter().map(|view| view.row_time), data_type)?
                }
            });
        }
        let batch = record_batch(&self.schema, columns, views.len())?;
        evaluate(self.expression.as_ref(), &batch, None, clock_ms)
    }
}

fn aggregate(
    spec: &AccumulatorSpec,
    argument: Option<&ArrayRef>,
    slots: &[u32],
    count: usize,
) -> Result<ArrayRef, DataflowError> {
    let distinct = spec.encoder.as_deref();
    let argument = Argument::new(argument, None, spec.representation, distinct)?;
    let mut accumulator = spec.make();
    accumulator.grow(count);
    let rows: Vec<u32> = (0..slots.len() as u32).collect();
    let ordinals: Vec<u64> = (0..slots.len() as u64).collect();
    accumulator.update(slots, &rows, &argument, &ordinals, 0)?;
    accumulator.finish(&(0..count as u32).collect::<Vec<_>>())
}

/// Rows as columns.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) columns: Vec<ArrayRef>,
    pub(crate) rows: usize,
}

impl Frame {
    pub(crate) fn batch(&self, schema: &SchemaRef) -> Result<RecordBatch, DataflowError> {
        record_batch(schema, self.columns.clone(), self.rows)
    }

    /// Some columns of some rows.
    pub(crate) fn taken(
        &self,
        schema: &SchemaRef,
        columns: &[usize],
        rows: &UInt32Array,
    ) -> Result<RecordBatch, DataflowError> {
        let taken = columns.iter().map(|column| take(&self.columns[*column], rows, None));
        record_batch(schema, taken.collect::<Result<Vec<_>, _>>()?, rows.len())
    }
}
