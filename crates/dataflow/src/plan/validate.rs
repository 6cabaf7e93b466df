//! Checks a plan before it runs: order, arity, types, watermarks above scans, joins that can be fed.
//!
//! A planner that keeps to `plan.rs` never fails here; whatever passes runs without a panic.

mod pattern;

use super::{
    Aggregate, AggregateFunction, JoinKind, Keep, LookupJoin, Node, NodeId, NodeKind, OverFrame, OverOrder,
    Plan, SortKey, Unnest, WindowKind, answers_schema, type_name,
};
use crate::engine::DataflowError;
use crate::engine::{accumulator_supports, over_supports};
use crate::expression::Expression;
use arrow_schema::{DataType, Schema};
use std::sync::Arc;

/// Sizes of windows stay far from the ends of 64 bits, so that sums of a few of them never wrap.
pub(crate) const WINDOW_MS_MAX: i64 = 1 << 55;

impl Plan {
    pub fn validate(&self) -> Result<(), DataflowError> {
        for (index, node) in self.nodes.iter().enumerate() {
            self.validate_node(NodeId(index), node)
                .map_err(|reason| DataflowError::plan(self, NodeId(index), reason))?;
        }
        Ok(())
    }

    fn validate_node(&self, id: NodeId, node: &Node) -> Result<(), String> {
        if node.inputs.iter().any(|input| *input >= id) {
            return Err("an input does not come before it".into());
        }
        let is_sink = |input: &NodeId| matches!(self.node(*input).kind, NodeKind::Sink { .. });
        if node.inputs.iter().any(is_sink) {
            return Err("it reads a sink".into());
        }
        let arity_fits = match node.kind {
            NodeKind::Scan { .. } | NodeKind::LookupAnswers => node.inputs.is_empty(),
            NodeKind::LookupJoin(_)
            | NodeKind::BoundedJoin { .. }
            | NodeKind::Join { .. }
            | NodeKind::WindowJoin { .. }
            | NodeKind::IntervalJoin { .. }
            | NodeKind::TemporalJoin { .. } => node.inputs.len() == 2,
            NodeKind::Union => !node.inputs.is_empty(),
            _ => node.inputs.len() == 1,
        };
        if !arity_fits {
            return Err(format!("it has {} inputs", node.inputs.len()));
        }
        let input = |side: usize| self.node(node.inputs[side]).schema.as_ref();
        match &node.kind {
            NodeKind::Scan { .. } => Ok(()),
            NodeKind::LookupAnswers => same_types(&answers_schema(), &node.schema),
            NodeKind::LookupJoin(join) => self.validate_lookup(node, join),
            NodeKind::Sink { .. } | NodeKind::ProcessingTime => same_types(input(0), &node.schema),
            NodeKind::Filter { predicate } => {
                same_types(input(0), &node.schema)?;
                is_boolean(predicate.data_type())
            }
            NodeKind::Union => {
                (0..node.inputs.len()).try_for_each(|side| same_types(input(side), &node.schema))
            }
            NodeKind::Watermark { column, watermark, .. } => {
                same_types(input(0), &node.schema)?;
                is_time(type_at(input(0), *column)?)?;
                is_time(watermark.data_type())?;
                self.watermark_scan(id).map(|_| ())
            }
            NodeKind::Project { expressions } => {
                expect_columns(&node.schema, expressions.len())?;
                let mut pairs = expressions.iter().zip(node.schema.fields());
                pairs.try_for_each(|(expression, field)| same_type(expression.data_type(), field.data_type()))
            }
            NodeKind::Unnest(unnest) => validate_unnest(input(0), &node.schema, unnest),
            NodeKind::WindowAssign { time_column, window, .. } => {
                is_time(type_at(input(0), *time_column)?)?;
                validate_window(*window)?;
                expect_columns(&node.schema, input(0).fields().len() + 3)?;
                window_columns(&node.schema)
            }
            NodeKind::WindowAggregate { time_column, window, keys, aggregates, .. } => {
                is_time(type_at(input(0), *time_column)?)?;
                validate_window(*window)?;
                self.needs_watermark(node)?;
                expect_columns(&node.schema, keys.len() + aggregates.len() + 3)?;
                validate_aggregates(input(0), &node.schema, keys, aggregates)?;
                window_columns(&node.schema)
            }
            NodeKind::SessionWindow { time_column, gap_ms, keys, .. } => {
                is_time(type_at(input(0), *time_column)?)?;
                validate_window(WindowKind::Tumble { size_ms: *gap_ms, offset_ms: 0 })?;
                self.needs_watermark(node)?;
                keys.iter().try_for_each(|key| can_be_kept(type_at(input(0), *key)?))?;
                kept_columns(input(0))?;
                expect_columns(&node.schema, input(0).fields().len() + 3)?;
                window_columns(&node.schema)
            }
            NodeKind::SessionAggregate { time_column, gap_ms, keys, aggregates, .. } => {
                is_time(type_at(input(0), *time_column)?)?;
                validate_window(WindowKind::Tumble { size_ms: *gap_ms, offset_ms: 0 })?;
                self.needs_watermark(node)?;
                expect_columns(&node.schema, keys.len() + aggregates.len() + 3)?;
                validate_aggregates(input(0), &node.schema, keys, aggregates)?;
                window_columns(&node.schema)
            }
            NodeKind::WindowRank { end_column, partition, order, first, last, with_number, .. } => {
                is_time(type_at(input(0), *end_column)?)?;
                self.needs_watermark(node)?;
                validate_rank(input(0), &node.schema, partition, order, (*first, *last), *with_number)
            }
            NodeKind::WindowJoin { kind, ends, left_keys, right_keys, residual, .. } => {
                is_time(type_at(input(0), ends[0])?)?;
                is_time(type_at(input(1), ends[1])?)?;
                self.needs_watermark(node)?;
                let keys = (left_keys.as_slice(), right_keys.as_slice());
                validate_stream_join(input(0), input(1), &node.schema, *kind, keys, residual.as_ref())
            }
            NodeKind::IntervalJoin { kind, times, lower_ms, upper_ms, left_keys, right_keys, residual } => {
                is_time(type_at(input(0), times[0])?)?;
                is_time(type_at(input(1), times[1])?)?;
                self.needs_watermark(node)?;
                let in_range = |bound: &i64| (-WINDOW_MS_MAX..=WINDOW_MS_MAX).contains(bound);
                if kind.tests_left() || lower_ms > upper_ms || ![lower_ms, upper_ms].into_iter().all(in_range)
                {
                    return Err(format!(
                        "an interval from {lower_ms} ms to {upper_ms} ms cannot be joined by {}",
                        kind.name()
                    ));
                }
                let keys = (left_keys.as_slice(), right_keys.as_slice());
                validate_stream_join(input(0), input(1), &node.schema, *kind, keys, residual.as_ref())
            }
            NodeKind::TemporalJoin { kind, times, left_keys, right_keys, residual } => {
                is_time(type_at(input(0), times[0])?)?;
                is_time(type_at(input(1), times[1])?)?;
                self.needs_watermark(node)?;
                if !matches!(kind, JoinKind::Inner | JoinKind::Left) || left_keys.is_empty() {
                    return Err("versions are joined by INNER or LEFT, and by a key".into());
                }
                let keys = (left_keys.as_slice(), right_keys.as_slice());
                validate_stream_join(input(0), input(1), &node.schema, *kind, keys, residual.as_ref())
            }
            NodeKind::TemporalSort { time_column, order } => {
                same_types(input(0), &node.schema)?;
                is_time(type_at(input(0), *time_column)?)?;
                self.needs_watermark(node)?;
                order.iter().try_for_each(|key| type_at(input(0), key.column).map(|_| ()))?;
                kept_columns(input(0))
            }
            NodeKind::Replicate => {
                let (count, rows) = input(0).fields().split_last().ok_or("it has no count")?;
                same_type(count.data_type(), &DataType::Int64)?;
                same_types(&Schema::new(rows.to_vec()), &node.schema)
            }
            NodeKind::Deduplicate { keys, keep } => {
                same_types(input(0), &node.schema)?;
                keys.iter().try_for_each(|key| can_be_kept(type_at(input(0), *key)?))?;
                match keep {
                    Keep::First => Ok(()),
                    Keep::NotOlderThan(time) => is_time(type_at(input(0), *time)?),
                    Keep::Earliest(time) => {
                        self.needs_watermark(node)?;
                        kept_columns(input(0))?;
                        is_time(type_at(input(0), *time)?)
                    }
                }
            }
            NodeKind::MatchRecognize { pattern, partition, time_column, order, measures } => {
                if let Some(column) = time_column {
                    is_time(type_at(input(0), *column)?)?;
                }
                self.needs_watermark(node)?;
                order.iter().try_for_each(|key| type_at(input(0), key.column).map(|_| ()))?;
                kept_columns(input(0))?;
                expect_columns(&node.schema, partition.len() + measures.len())?;
                for (place, column) in partition.iter().enumerate() {
                    same_type(type_at(input(0), *column)?, node.schema.field(place).data_type())?;
                }
                for (place, measure) in measures.iter().enumerate() {
                    let data_type = node.schema.field(partition.len() + place).data_type();
                    same_type(measure.expression.data_type(), data_type)?;
                    pattern::validate_expression(input(0), pattern, measure)?;
                }
                pattern::validate(input(0), pattern)
            }
            NodeKind::GroupAggregate { keys, aggregates } => {
                expect_columns(&node.schema, keys.len() + aggregates.len())?;
                validate_aggregates(input(0), &node.schema, keys, aggregates)
            }
            NodeKind::Over { partition, order, frame, aggregates } => {
                if let OverOrder::Time { column } = order {
                    is_time(type_at(input(0), *column)?)?;
                    self.needs_watermark(node)?;
                }
                validate_over(input(0), &node.schema, partition, (order, *frame), aggregates)
            }
            NodeKind::Join { kind, left_keys, right_keys, residual } => {
                let keys = (left_keys.as_slice(), right_keys.as_slice());
                validate_stream_join(input(0), input(1), &node.schema, *kind, keys, residual.as_ref())
            }
            NodeKind::Rank { partition, order, first, last, with_number, .. } => {
                validate_rank(input(0), &node.schema, partition, order, (*first, *last), *with_number)
            }
            NodeKind::ChangelogNormalize { keys } | NodeKind::UpsertMaterialize { keys } => {
                same_types(input(0), &node.schema)?;
                keys.iter().try_for_each(|key| can_be_kept(type_at(input(0), *key)?))?;
                kept_columns(input(0))
            }
            NodeKind::ConflictMaterialize { keys, own_key, .. } => {
                same_types(input(0), &node.schema)?;
                self.needs_watermark(node)?;
                keys.iter().chain(own_key).try_for_each(|key| can_be_kept(type_at(input(0), *key)?))?;
                kept_columns(input(0))
            }
            NodeKind::BoundedJoin { kind, stream_keys, table_keys, residual } => {
                if !matches!(kind, JoinKind::Inner | JoinKind::Left) {
                    return Err("a table that is read first is joined by INNER or LEFT".into());
                }
                if stream_keys.is_empty() {
                    return Err("the join needs a key column at least".into());
                }
                validate_join(input(0), input(1), &node.schema, stream_keys, table_keys, residual.as_ref())?;
                kept_columns(input(1))?;
                self.validate_phases(node)
            }
        }
    }

    /// The table side of a join must be complete before the stream side begins.
    fn validate_phases(&self, node: &Node) -> Result<(), String> {
        let tables = self.scans_of(node.inputs[1]);
        for table in &tables {
            if let NodeKind::Scan { bounded: false, table, .. } = &self.node(*table).kind {
                return Err(format!("its table side reads `{}`, which has no end", table.name));
            }
        }
        let phases = self.phases();
        let last_table = tables.iter().map(|scan| phases[scan]).max();
        let first_stream = self.scans_of(node.inputs[0]).iter().map(|scan| phases[scan]).min();
        if first_stream <= last_table {
            return Err("one scan would have to be read both before and after the end of the table side; \
                        scan the table a second time"
                .into());
        }
        Ok(())
    }

    fn validate_lookup(&self, node: &Node, join: &LookupJoin) -> Result<(), String> {
        let input = self.node(node.inputs[0]).schema.as_ref();
        let readers = self.nodes.iter().flat_map(|other| &other.inputs);
        let answers = node.inputs[1];
        if !matches!(self.node(answers).kind, NodeKind::LookupAnswers)
            || readers.filter(|other| **other == answers).count() != 1
        {
            return Err("its answers are its own".into());
        }
        if !matches!(join.kind, JoinKind::Inner | JoinKind::Left) || join.stream_keys.is_empty() {
            return Err("an outside table is joined by INNER or LEFT, and by a key".into());
        }
        let table = join.table.schema.as_ref();
        join.projection.iter().try_for_each(|column| type_at(table, *column).map(|_| ()))?;
        if join.stream_keys.len() != join.table_keys.len() {
            return Err("both sides need the same number of key columns".into());
        }
        for (stream, key) in join.stream_keys.iter().zip(&join.table_keys) {
            same_type(type_at(input, *stream)?, type_at(table, *key)?)?;
        }
        validate_join(input, &join.found_schema(), &node.schema, &[], &[], join.residual.as_ref())?;
        kept_columns(input)?;
        kept_columns(&join.found_schema())
    }

    fn needs_watermark(&self, node: &Node) -> Result<(), String> {
        if node.inputs.iter().all(|input| self.has_watermark(*input)) {
            return Ok(());
        }
        Err("a window needs a watermark: declare WATERMARK FOR the time column of every table that feeds it"
            .into())
    }

    /// Whether rows that leave the node carry a watermark.
    pub fn has_watermark(&self, id: NodeId) -> bool {
        let node = self.node(id);
        match node.kind {
            NodeKind::Watermark { .. } | NodeKind::ProcessingTime => true,
            NodeKind::Scan { .. } | NodeKind::LookupAnswers => false,
            NodeKind::Union
            | NodeKind::Join { .. }
            | NodeKind::WindowJoin { .. }
            | NodeKind::IntervalJoin { .. }
            | NodeKind::TemporalJoin { .. } => node.inputs.iter().all(|input| self.has_watermark(*input)),
            _ => node.inputs.first().is_some_and(|input| self.has_watermark(*input)),
        }
    }

    /// Whether the watermark of the rows that leave the node moves with the clock.
    pub(crate) fn follows_clock(&self, id: NodeId) -> bool {
        let node = self.node(id);
        match node.kind {
            NodeKind::ProcessingTime => true,
            NodeKind::Watermark { .. } | NodeKind::Scan { .. } | NodeKind::LookupAnswers => false,
            _ => node.inputs.iter().any(|input| self.follows_clock(*input)),
        }
    }

    /// The scan whose splits a watermark node follows: only projections and filters may lie between.
    pub(crate) fn watermark_scan(&self, id: NodeId) -> Result<NodeId, String> {
        let mut below = self.node(id).inputs[0];
        loop {
            let node = self.node(below);
            match node.kind {
                NodeKind::Scan { .. } => return Ok(below),
                NodeKind::Project { .. } | NodeKind::Filter { .. } => below = node.inputs[0],
                _ => return Err("a watermark is declared on a table, not on the result of a query".into()),
            }
        }
    }
}

fn validate_aggregates(
    input: &Schema,
    schema: &Schema,
    keys: &[usize],
    aggregates: &[Aggregate],
) -> Result<(), String> {
    for (position, key) in keys.iter().enumerate() {
        same_type(type_at(input, *key)?, schema.field(position).data_type())?;
        can_be_kept(type_at(input, *key)?)?;
    }
    for (position, call) in aggregates.iter().enumerate() {
        let argument = call.argument.map(|column| type_at(input, column)).transpose()?;
        accumulator_supports(call, argument)?;
        if let Some(filter) = call.filter {
            is_boolean(type_at(input, filter)?)?;
        }
        same_type(&call.data_type, schema.field(keys.len() + position).data_type())?;
    }
    Ok(())
}

fn validate_unnest(input: &Schema, schema: &Schema, unnest: &Unnest) -> Result<(), String> {
    let kept = unnest.kept.iter().map(|column| type_at(input, *column).cloned());
    let mut types = kept.collect::<Result<Vec<_>, _>>()?;
    types.extend(unnest.element_types()?);
    types.extend(unnest.with_ordinality.then_some(DataType::Int32));
    expect_columns(schema, types.len())?;
    types.iter().zip(schema.fields()).try_for_each(|(from, to)| same_type(from, to.data_type()))
}

fn validate_over(
    input: &Schema,
    schema: &Schema,
    partition: &[usize],
    (order, frame): (&OverOrder, OverFrame),
    aggregates: &[Aggregate],
) -> Result<(), String> {
    partition.iter().try_for_each(|column| can_be_kept(type_at(input, *column)?))?;
    kept_columns(input)?;
    expect_columns(schema, input.fields().len() + aggregates.len())?;
    let types = input.fields().iter().map(|field| field.data_type());
    let calls = aggregates.iter().map(|call| &call.data_type);
    types.chain(calls).zip(schema.fields()).try_for_each(|(from, to)| same_type(from, to.data_type()))?;
    let in_range = frame.preceding.is_none_or(|preceding| (0..=WINDOW_MS_MAX).contains(&preceding));
    if !in_range {
        return Err("the begin of the frame is out of range".into());
    }
    match order {
        OverOrder::Time { .. } => {}
        OverOrder::Arrival if frame.rows || frame.preceding.is_none() => {}
        OverOrder::Arrival => return Err("rows in the order of their arrival have no RANGE".into()),
        OverOrder::Columns { keys, ties } => {
            ties.iter().try_for_each(|tie| type_at(input, *tie).map(|_| ()))?;
            keys.iter().try_for_each(|key| type_at(input, key.column).map(|_| ()))?;
            if frame.preceding.is_some() {
                return Err("a frame over rows in an order of columns has no begin".into());
            }
        }
    }
    for call in aggregates {
        let argument = call.argument.map(|column| type_at(input, column)).transpose()?;
        over_supports(call, argument)?;
        if let Some(default) = call.options.default {
            same_type(type_at(input, default)?, &call.data_type)?;
        }
        let is_lag = call.function == AggregateFunction::Lag;
        if is_lag && (frame.preceding.is_some() || matches!(order, OverOrder::Columns { .. })) {
            return Err("LAG needs a frame without a begin, in the order of a time".into());
        }
    }
    Ok(())
}

fn validate_rank(
    input: &Schema,
    schema: &Schema,
    partition: &[usize],
    order: &[SortKey],
    (first, last): (u64, u64),
    with_number: bool,
) -> Result<(), String> {
    expect_columns(schema, input.fields().len() + usize::from(with_number))?;
    partition.iter().try_for_each(|column| can_be_kept(type_at(input, *column)?))?;
    order.iter().try_for_each(|key| type_at(input, key.column).map(|_| ()))?;
    let numbers = with_number.then_some(&DataType::Int64).into_iter();
    let types = input.fields().iter().map(|field| field.data_type()).chain(numbers);
    types.zip(schema.fields()).try_for_each(|(from, to)| same_type(from, to.data_type()))?;
    if first == 0 || last < first {
        return Err(format!("rows {first} to {last} are no range"));
    }
    kept_columns(input)
}

fn validate_join(
    left: &Schema,
    right: &Schema,
    schema: &Schema,
    left_keys: &[usize],
    right_keys: &[usize],
    residual: Option<&Arc<dyn Expression>>,
) -> Result<(), String> {
    if left_keys.len() != right_keys.len() {
        return Err("both sides need the same number of key columns".into());
    }
    for (left_key, right_key) in left_keys.iter().zip(right_keys) {
        same_type(type_at(left, *left_key)?, type_at(right, *right_key)?)?;
    }
    expect_columns(schema, left.fields().len() + right.fields().len())?;
    for (from, to) in left.fields().iter().chain(right.fields()).zip(schema.fields()) {
        same_type(from.data_type(), to.data_type())?;
    }
    residual.map_or(Ok(()), |residual| is_boolean(residual.data_type()))
}

/// A join that keeps the rows of both sides.
fn validate_stream_join(
    left: &Schema,
    right: &Schema,
    schema: &Schema,
    kind: JoinKind,
    (left_keys, right_keys): (&[usize], &[usize]),
    residual: Option<&Arc<dyn Expression>>,
) -> Result<(), String> {
    let pairs = Schema::new(left.fields().iter().chain(right.fields()).cloned().collect::<Vec<_>>());
    validate_join(left, right, &pairs, left_keys, right_keys, residual)?;
    same_types(if kind.tests_left() { left } else { &pairs }, schema)?;
    kept_columns(left).and_then(|()| kept_columns(right))
}

fn kept_columns(schema: &Schema) -> Result<(), String> {
    schema.fields().iter().try_for_each(|field| can_be_kept(field.data_type()))
}

fn type_at(schema: &Schema, column: usize) -> Result<&DataType, String> {
    let field = schema.fields().get(column);
    field
        .map(|field| field.data_type())
        .ok_or_else(|| format!("it reads column {column}, which is not there"))
}

fn same_type(from: &DataType, to: &DataType) -> Result<(), String> {
    if from.equals_datatype(to) {
        return Ok(());
    }
    Err(format!("{} does not fit {}", type_name(from), type_name(to)))
}

fn same_types(from: &Schema, to: &Schema) -> Result<(), String> {
    expect_columns(to, from.fields().len())?;
    from.fields()
        .iter()
        .zip(to.fields())
        .try_for_each(|(from, to)| same_type(from.data_type(), to.data_type()))
}

fn expect_columns(schema: &Schema, count: usize) -> Result<(), String> {
    if schema.fields().len() == count {
        return Ok(());
    }
    Err(format!("it should have {count} columns and has {}", schema.fields().len()))
}

fn is_time(data_type: &DataType) -> Result<(), String> {
    if let DataType::Timestamp(..) = data_type {
        return Ok(());
    }
    Err(format!("a time attribute is a TIMESTAMP or TIMESTAMP_LTZ, not {}", type_name(data_type)))
}

fn is_boolean(data_type: &DataType) -> Result<(), String> {
    if *data_type == DataType::Boolean {
        Ok(())
    } else {
        Err(format!("a condition is not {}", type_name(data_type)))
    }
}

fn can_be_kept(data_type: &DataType) -> Result<(), String> {
    if state::columns::supports(data_type) {
        return Ok(());
    }
    Err(format!("{} cannot be kept in state", type_name(data_type)))
}

/// The last three columns: window_start, window_end, window_time.
fn window_columns(schema: &Schema) -> Result<(), String> {
    let count = schema.fields().len();
    schema.fields()[count.saturating_sub(3)..].iter().try_for_each(|field| is_time(field.data_type()))
}

fn validate_window(window: WindowKind) -> Result<(), String> {
    let (size_ms, slide_ms, offset_ms) = window.size_slide_offset();
    let in_range = |value: i64| (1..=WINDOW_MS_MAX).contains(&value);
    if !in_range(size_ms) || !in_range(slide_ms) || !(-WINDOW_MS_MAX..=WINDOW_MS_MAX).contains(&offset_ms) {
        return Err("the size and the slide of a window must be positive and within reason".into());
    }
    if size_ms % slide_ms != 0 {
        let (name, part) = match window {
            WindowKind::Cumulate { .. } => ("CUMULATE", "step"),
            _ => ("HOP", "slide"),
        };
        return Err(format!(
            "{name} requires size to be an integral multiple of {part}, but got size {size_ms} ms and {part} {slide_ms} ms"
        ));
    }
    Ok(())
}

impl WindowKind {
    /// A tumbling window slides by its size.
    pub(crate) fn size_slide_offset(self) -> (i64, i64, i64) {
        match self {
            WindowKind::Tumble { size_ms, offset_ms } => (size_ms, size_ms, offset_ms),
            WindowKind::Hop { size_ms, slide_ms, offset_ms } => (size_ms, slide_ms, offset_ms),
            WindowKind::Cumulate { size_ms, step_ms, offset_ms } => (size_ms, step_ms, offset_ms),
            // The window that ends behind its last millisecond; where it began, the keys know.
            WindowKind::Attached => (1, 1, 0),
        }
    }
}
