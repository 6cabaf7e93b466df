//! What an OVER is, and everything about a batch that needs no state.

use super::super::changelog::is_add_code;
use super::super::error::DataflowError;
use super::super::join::only_inserts;
use super::super::keys::{KeyEncoder, Keys, one_nan};
use super::super::rows::RowEncoder;
use super::super::time::milliseconds;
use super::super::window::{Gather, Representation, accumulator_supports};
use super::super::window_rows::Place;
use crate::batch::Batch;
use crate::plan::{
    Aggregate, AggregateFunction, Changelog, NodeId, NodeKind, OverFrame, OverOrder, Plan, type_name,
};
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_row::SortField;
use arrow_schema::{DataType, SchemaRef, SortOptions};

/// What stays the same over the life of the operator.
#[derive(Debug)]
pub(crate) struct OverSpec {
    pub(crate) partition: KeyEncoder,
    /// Whole rows of the input.
    pub(crate) rows: RowEncoder,
    /// The columns of the input that calls read, and rows of them.
    pub(crate) read: Vec<usize>,
    pub(crate) read_rows: RowEncoder,
    pub(crate) calls: Vec<CallSpec>,
    pub(crate) order: Order,
    pub(crate) frame: OverFrame,
    /// What may leave the node.
    pub(crate) changelog: Changelog,
    /// Rows of the input may go again.
    pub(crate) retracts: bool,
    /// State is forgotten.
    pub(crate) forgets: bool,
    pub(crate) input: SchemaRef,
    pub(crate) schema: SchemaRef,
}

#[derive(Debug)]
pub(crate) enum Order {
    Time {
        column: usize,
    },
    Arrival,
    /// The sort key, and what orders rows that are equal in it.
    Columns {
        keys: Box<Sorting>,
        ties: Box<Sorting>,
    },
}

#[derive(Debug)]
pub(crate) struct Sorting {
    columns: Vec<usize>,
    encoder: KeyEncoder,
}

impl Sorting {
    fn new(
        schema: &SchemaRef,
        columns: impl Iterator<Item = (usize, SortOptions)>,
    ) -> Result<Sorting, DataflowError> {
        let (columns, options): (Vec<usize>, Vec<SortOptions>) = columns.unzip();
        let fields = columns.iter().zip(options).map(|(column, options)| {
            SortField::new_with_options(schema.field(*column).data_type().clone(), options)
        });
        let encoder = KeyEncoder::ordered(columns.clone(), fields.collect())?;
        Ok(Sorting { columns, encoder })
    }

    /// Of all columns of the input.
    pub(crate) fn encode(&self, columns: &[ArrayRef], rows: usize) -> Result<Keys, DataflowError> {
        let own: Vec<ArrayRef> = self.columns.iter().map(|column| one_nan(&columns[*column])).collect();
        self.encoder.encode_columns(&own, rows)
    }
}

/// One call; columns are places in [`OverSpec::read`].
#[derive(Debug)]
pub(crate) struct CallSpec {
    pub(crate) function: AggregateFunction,
    pub(crate) argument: Option<usize>,
    pub(crate) filter: Option<usize>,
    pub(crate) default: Option<usize>,
    pub(crate) offset: usize,
    pub(crate) distinct: bool,
    pub(crate) representation: Representation,
    pub(crate) encoder: Option<KeyEncoder>,
    pub(crate) gather: Option<Gather>,
    pub(crate) result: DataType,
    pub(crate) is_float32: bool,
}

/// Whether a call can stand OVER a window.
pub(crate) fn over_supports(call: &Aggregate, argument: Option<&DataType>) -> Result<(), String> {
    use AggregateFunction::{Avg, Lag, SquaredDeviations};
    match (call.function, argument) {
        (Lag, Some(argument)) if call.data_type.equals_datatype(argument) => Ok(()),
        (Avg | SquaredDeviations | Lag, _) => {
            let argument = argument.map_or_else(|| "*".into(), type_name);
            Err(format!("{} of {argument} cannot stand OVER a window", call.function.name()))
        }
        _ => accumulator_supports(call, argument),
    }
}

impl CallSpec {
    fn new(
        call: &Aggregate,
        place: &mut impl FnMut(usize) -> usize,
        argument: Option<&DataType>,
    ) -> Result<CallSpec, DataflowError> {
        use AggregateFunction::{ArrayAgg, Count, FirstValue, Lag, LastValue, Max, Min, Sum};
        over_supports(call, argument).map_err(DataflowError::invalid)?;
        let distinct = call.distinct && !matches!(call.function, Min | Max | FirstValue | LastValue | Lag);
        let gather = match argument.filter(|_| Gather::makes(call.function)) {
            Some(argument) => Some(Gather::new(call, argument)?),
            None => None,
        };
        let representation = match (call.function, argument) {
            (Count, _) | (_, None) => Representation::Nothing,
            (Sum, Some(argument)) => Representation::numeric(argument)
                .ok_or_else(|| DataflowError::internal(format!("{argument} is no number")))?,
            (ArrayAgg | Lag, _) => Representation::EncodedWithNulls,
            _ => Representation::Encoded,
        };
        let is_plain = matches!(call.function, Count | Sum) && !distinct;
        let encoder = match argument.filter(|_| !is_plain) {
            Some(argument) => Some(KeyEncoder::new(vec![0], vec![argument.clone()])?),
            None => None,
        };
        Ok(CallSpec {
            function: call.function,
            argument: call.argument.map(&mut *place),
            filter: call.filter.map(&mut *place),
            default: call.options.default.map(&mut *place),
            offset: call.options.offset,
            distinct,
            representation,
            encoder,
            gather,
            result: call.data_type.clone(),
            is_float32: argument == Some(&DataType::Float32),
        })
    }
}

/// A batch made ready for all workers.
pub(crate) struct Prepared {
    /// The number of its first row in the step.
    pub(crate) first: u32,
    pub(crate) keys: Keys,
    /// In the order of a time: the times.
    pub(crate) times: Vec<i64>,
    pub(crate) watermarks: Int64Array,
    pub(crate) places: Vec<Place>,
    pub(crate) rows: RecordBatch,
    /// By row, whether it comes or goes; `None` when all come.
    pub(crate) adds: Option<Vec<bool>>,
}

impl OverSpec {
    pub(crate) fn new(plan: &Plan, id: NodeId, schemas: &[SchemaRef]) -> Result<OverSpec, DataflowError> {
        let node = plan.node(id);
        let NodeKind::Over { partition, order, frame, aggregates } = &node.kind else {
            return Err(DataflowError::internal("the node is no OVER"));
        };
        let input = schemas[node.inputs[0].0].clone();
        let type_of = |column: usize| input.field(column).data_type();
        let mut read: Vec<usize> = Vec::new();
        let mut place = |column: usize| match read.iter().position(|known| *known == column) {
            Some(known) => known,
            None => {
                read.push(column);
                read.len() - 1
            }
        };
        let call = |call: &Aggregate| CallSpec::new(call, &mut place, call.argument.map(type_of));
        let calls = aggregates.iter().map(call).collect::<Result<Vec<_>, _>>()?;
        let encoder = |columns: Vec<usize>| {
            let types = columns.iter().map(|column| type_of(*column).clone()).collect();
            KeyEncoder::new(columns, types)
        };
        let order = match order {
            OverOrder::Time { column } => Order::Time { column: *column },
            OverOrder::Arrival => Order::Arrival,
            OverOrder::Columns { keys, ties } => Order::Columns {
                keys: Box::new(Sorting::new(
                    &input,
                    keys.iter().map(|key| (key.column, SortOptions::new(key.descending, key.nulls_first))),
                )?),
                ties: Box::new(Sorting::new(&input, ties.iter().map(|tie| (*tie, SortOptions::default())))?),
            },
        };
        let retracts = match plan.node(node.inputs[0]).changelog {
            Changelog::Insert => false,
            Changelog::Retract => true,
            Changelog::Upsert => {
                return Err(DataflowError::internal("an upsert changelog must be normalized before it"));
            }
        };
        Ok(OverSpec {
            partition: encoder(partition.clone())?,
            rows: RowEncoder::new((0..input.fields().len()).map(type_of).cloned().collect())?,
            read_rows: RowEncoder::new(read.iter().copied().map(type_of).cloned().collect())?,
            read,
            calls,
            order,
            frame: *frame,
            changelog: node.changelog,
            retracts,
            forgets: plan.state_ttl_ms.is_some(),
            input,
            schema: schemas[id.0].clone(),
        })
    }

    pub(crate) fn prepare(
        &self,
        first: u32,
        places: Vec<Place>,
        batch: &Batch,
    ) -> Result<Prepared, DataflowError> {
        let adds = match (&batch.kinds, self.retracts) {
            (_, false) => {
                only_inserts(batch)?;
                None
            }
            (None, true) => None,
            (Some(kinds), true) => Some(kinds.values().iter().map(|kind| is_add_code(*kind)).collect()),
        };
        let watermarks = batch.watermarks.clone();
        Ok(Prepared {
            first,
            keys: self.partition.encode(&batch.rows)?,
            times: match self.order {
                Order::Time { column } => milliseconds(&batch.rows, column)?.to_vec(),
                Order::Arrival | Order::Columns { .. } => Vec::new(),
            },
            watermarks: watermarks.ok_or_else(|| DataflowError::internal("rows without a watermark"))?,
            places,
            rows: batch.rows.clone(),
            adds,
        })
    }

    /// A frame with a begin: rows leave it.
    pub(crate) fn is_bounded(&self) -> bool {
        self.frame.preceding.is_some()
    }

    /// Rows leave one by one, also where they are equal in the order.
    pub(crate) fn counts_rows(&self) -> bool {
        self.frame.rows || matches!(self.order, Order::Arrival)
    }
}
