//! The nodes of a plan at work: state, and what each does with the rows of a step.

use super::batches::Chunk;
use super::conflicts::ConflictsNode;
use super::deduplicate::DeduplicateNode;
use super::error::DataflowError;
use super::exchange::Exchange;
use super::group::GroupNode;
use super::interval_join::IntervalJoinNode;
use super::join::{JoinSpec, JoinTable, only_inserts};
use super::keyed_rows::KeyedRowsNode;
use super::keys::KeyEncoder;
use super::late::LateKeeper;
use super::lookup_join::LookupJoinNode;
use super::match_recognize::MatchRecognizeNode;
use super::materialize::Materialize;
use super::normalize::Normalize;
use super::over::OverNode;
use super::rank::RankNode;
use super::regular_join::RegularJoinNode;
use super::replicate::replicate;
use super::rows::RowEncoder;
use super::sessions::SessionsNode;
use super::stateless::{assign_windows, evaluate, filter, project, union};
use super::temporal_join::TemporalJoinNode;
use super::temporal_sort::TemporalSortNode;
use super::track::Track;
use super::unnest::unnest;
use super::watermark::{Candidates, ReadInfo, WatermarkState, follow_clock};
use super::window::{AggregateNode, AggregateSpec, WindowSpec};
use super::window_rows::WindowRowsNode;
use crate::batch::Batch;
use crate::expression::Randomness;
use crate::plan::{NodeId, NodeKind, Plan};
use arrow_array::{Array, RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use state::{AppendLog, Store, Table, TableId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Rows on their way between two nodes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flow {
    /// In canonical order.
    pub(crate) chunks: Vec<Chunk>,
    /// Behind a watermark node: how the watermark moved.
    pub(crate) track: Option<Arc<Track>>,
}

/// What all operators may look at in a step.
pub(crate) struct StepContext<'a> {
    pub(crate) exchange: &'a Exchange,
    pub(crate) clock_ms: i64,
    /// Rows read before this step.
    pub(crate) sequence: u64,
    pub(crate) reads: &'a [ReadInfo],
    /// By scan, whether all of its splits have ended with this step.
    pub(crate) splits: &'a BTreeMap<NodeId, Vec<bool>>,
    pub(crate) late: LateKeeper,
}

/// A node's state.
pub(crate) enum Operator {
    Stateless,
    Watermark {
        scan: NodeId,
        state: WatermarkState,
    },
    /// The clock as a watermark, and where it stands.
    ProcessingTime {
        scans: BTreeSet<NodeId>,
        watermark: i64,
    },
    Aggregate(Box<AggregateNode>),
    Sessions(SessionsNode),
    Join {
        spec: Arc<JoinSpec>,
        table: Arc<JoinTable>,
        rows: Box<AppendLog>,
    },
    Group(Box<GroupNode>),
    Normalize(KeyedRowsNode<Normalize>),
    Materialize(KeyedRowsNode<Materialize>),
    RegularJoin(RegularJoinNode),
    Rank(RankNode),
    WindowRows(WindowRowsNode),
    IntervalJoin(IntervalJoinNode),
    Over(Box<OverNode>),
    TemporalJoin(TemporalJoinNode),
    Deduplicate(DeduplicateNode),
    TemporalSort(TemporalSortNode),
    MatchRecognize(MatchRecognizeNode),
    LookupJoin(Box<LookupJoinNode>),
    Conflicts(ConflictsNode),
}

impl Operator {
    pub(crate) fn new(
        plan: &Plan,
        id: NodeId,
        schemas: &[SchemaRef],
        workers: usize,
        store: &Store,
    ) -> Result<Operator, DataflowError> {
        let node = plan.node(id);
        let input = |side: usize| &schemas[node.inputs[side].0];
        Ok(match &node.kind {
            NodeKind::Watermark { .. } => {
                let scan = plan.watermark_scan(id).map_err(DataflowError::invalid)?;
                Operator::Watermark { scan, state: WatermarkState::new(1) }
            }
            NodeKind::ProcessingTime => {
                Operator::ProcessingTime { scans: plan.scans_of(id), watermark: i64::MIN }
            }
            NodeKind::WindowAggregate { time_column, window, zone, keys, aggregates } => {
                let spec = AggregateSpec::new(
                    input(0),
                    schemas[id.0].clone(),
                    *time_column,
                    (*window, *zone),
                    keys,
                    aggregates,
                )?;
                let table = TableId { owner: id.0 as u32, table: 0 };
                Operator::Aggregate(Box::new(AggregateNode::new(spec, store, table, workers)?))
            }
            NodeKind::BoundedJoin { kind, stream_keys, table_keys, residual } => {
                let encoder = |side: usize, keys: &[usize]| {
                    let types = keys.iter().map(|key| input(side).field(*key).data_type().clone());
                    KeyEncoder::new(keys.to_vec(), types.collect())
                };
                let spec = JoinSpec {
                    kind: *kind,
                    stream_keys: encoder(0, stream_keys)?,
                    table_keys: encoder(1, table_keys)?,
                    table_rows: RowEncoder::of(input(1))?,
                    residual: residual.clone(),
                    schema: schemas[id.0].clone(),
                };
                let mut table = JoinTable::new(input(1));
                let id = TableId { owner: id.0 as u32, table: 0 };
                let rows = AppendLog::new(store, id, |saved| table.restore(&spec, saved))?;
                Operator::Join { spec: Arc::new(spec), table: Arc::new(table), rows: Box::new(rows) }
            }
            NodeKind::GroupAggregate { .. } => {
                Operator::Group(Box::new(GroupNode::new(plan, id, schemas, workers, store)?))
            }
            NodeKind::ChangelogNormalize { keys } => {
                Operator::Normalize(KeyedRowsNode::new(plan, id, keys, &schemas[id.0], workers, store)?)
            }
            NodeKind::UpsertMaterialize { keys } => {
                Operator::Materialize(KeyedRowsNode::new(plan, id, keys, &schemas[id.0], workers, store)?)
            }
            NodeKind::Join { .. } => {
                Operator::RegularJoin(RegularJoinNode::new(plan, id, schemas, workers, store)?)
            }
            NodeKind::Rank { .. } => Operator::Rank(RankNode::new(plan, id, schemas, workers, store)?),
            NodeKind::SessionAggregate { .. } => {
                Operator::Sessions(SessionsNode::new(plan, id, schemas, workers, store)?)
            }
            NodeKind::SessionWindow { .. } | NodeKind::WindowRank { .. } | NodeKind::WindowJoin { .. } => {
                Operator::WindowRows(WindowRowsNode::new(plan, id, schemas, workers, store)?)
            }
            NodeKind::IntervalJoin { .. } => {
                Operator::IntervalJoin(IntervalJoinNode::new(plan, id, schemas, workers, store)?)
            }
            NodeKind::Over { .. } => {
                Operator::Over(Box::new(OverNode::new(plan, id, schemas, workers, store)?))
            }
            NodeKind::TemporalJoin { .. } => {
                Operator::TemporalJoin(TemporalJoinNode::new(plan, id, schemas, workers, store)?)
            }
            NodeKind::TemporalSort { .. } => {
                Operator::TemporalSort(TemporalSortNode::new(plan, id, schemas, workers, store)?)
            }
            NodeKind::Deduplicate { .. } => {
                Operator::Deduplicate(DeduplicateNode::new(plan, id, schemas, workers, store)?)
            }
            NodeKind::MatchRecognize { .. } => {
                Operator::MatchRecognize(MatchRecognizeNode::new(plan, id, schemas, workers, store)?)
            }
            NodeKind::LookupJoin(_) => {
                Operator::LookupJoin(Box::new(LookupJoinNode::new(plan, id, schemas, store)?))
            }
            NodeKind::ConflictMaterialize { .. } => {
                Operator::Conflicts(ConflictsNode::new(plan, id, schemas, workers, store)?)
            }
            NodeKind::Scan { .. }
            | NodeKind::LookupAnswers
            | NodeKind::Project { .. }
            | NodeKind::Filter { .. }
            | NodeKind::WindowAssign { .. }
            | NodeKind::Unnest(_)
            | NodeKind::Union
            | NodeKind::Replicate
            | NodeKind::Sink { .. } => Operator::Stateless,
        })
    }

    pub(crate) fn set_splits(&mut self, changed: NodeId, count: usize) {
        if let Operator::Watermark { scan, state } = self
            && *scan == changed
        {
            *state = WatermarkState::new(count);
        }
    }

    /// The state, as the snapshots and the memory budget see it.
    pub(crate) fn tables(&mut self) -> Vec<&mut dyn Table> {
        match self {
            Operator::Stateless | Operator::Watermark { .. } | Operator::ProcessingTime { .. } => Vec::new(),
            Operator::Aggregate(node) => node.tables(),
            Operator::Sessions(node) => node.tables(),
            Operator::Join { rows, .. } => vec![rows.as_mut()],
            Operator::Group(node) => node.tables(),
            Operator::Normalize(node) => node.tables(),
            Operator::Materialize(node) => node.tables(),
            Operator::RegularJoin(node) => node.tables(),
            Operator::Rank(node) => node.tables(),
            Operator::WindowRows(node) => node.tables(),
            Operator::IntervalJoin(node) => node.tables(),
            Operator::Over(node) => node.tables(),
            Operator::TemporalJoin(node) => node.tables(),
            Operator::Deduplicate(node) => node.tables(),
            Operator::TemporalSort(node) => node.tables(),
            Operator::MatchRecognize(node) => node.tables(),
            Operator::LookupJoin(node) => node.tables(),
            Operator::Conflicts(node) => node.tables(),
        }
    }

    /// What the table side of a join holds beside its table of state: it is read first, and stays in memory.
    pub(crate) fn joined_bytes(&self) -> usize {
        match self {
            Operator::Join { table, .. } => table.memory_bytes(),
            _ => 0,
        }
    }

    pub(crate) fn watermark(&self) -> Option<i64> {
        match self {
            Operator::Watermark { state, .. } => Some(state.combined),
            Operator::ProcessingTime { watermark, .. } => Some(*watermark),
            _ => None,
        }
    }

    /// Nobody waits for the watermark of the node.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self, Operator::Watermark { state, .. } if state.is_idle())
    }

    /// The end of the next window that fires behind the watermark `fired`, if rows wait for one.
    pub(crate) fn next_window_end(&self, fired: i64) -> Option<i64> {
        match self {
            Operator::Aggregate(node) => node.next_window_end(fired),
            Operator::Sessions(node) => node.next_window_end(),
            Operator::WindowRows(node) => node.next_window_end(),
            Operator::Over(node) => node.next_window_end(),
            Operator::TemporalSort(node) => node.next_due(),
            Operator::MatchRecognize(node) => node.next_window_end(),
            _ => None,
        }
    }

    /// The rows that leave the node, and how many were late.
    pub(crate) fn step(
        &mut self,
        plan: &Arc<Plan>,
        id: NodeId,
        schema: &SchemaRef,
        mut inputs: Vec<Flow>,
        context: &StepContext<'_>,
    ) -> Result<(Flow, u64), DataflowError> {
        let clock_ms = context.clock_ms;
        let exchange = context.exchange;
        if let NodeKind::Union = plan.node(id).kind {
            let (chunks, track) =
                union(inputs.into_iter().map(|flow| (flow.chunks, flow.track)).collect(), schema)?;
            return Ok((Flow { chunks, track }, 0));
        }
        match self {
            Operator::WindowRows(node) => {
                node.step(exchange, inputs, (context.sequence, clock_ms), &context.late)
            }
            Operator::MatchRecognize(node) => {
                node.step(exchange, inputs, (context.sequence, clock_ms), &context.late)
            }
            Operator::TemporalSort(node) => node.step(exchange, inputs, context.sequence, &context.late),
            Operator::IntervalJoin(node) => Ok((node.step(exchange, inputs, context.sequence, clock_ms)?, 0)),
            Operator::TemporalJoin(node) => Ok((node.step(exchange, inputs, context.sequence, clock_ms)?, 0)),
            Operator::LookupJoin(node) => Ok((node.step(exchange, inputs, clock_ms)?, 0)),
            Operator::RegularJoin(node) => {
                let right = inputs.pop().unwrap_or_default();
                Ok((node.step(exchange, first(inputs), right, clock_ms)?, 0))
            }
            Operator::Deduplicate(node) => {
                node.step(exchange, first(inputs), (context.sequence, clock_ms), &context.late)
            }
            Operator::Over(node) => {
                node.step(exchange, first(inputs), (context.sequence, clock_ms), &context.late)
            }
            Operator::Conflicts(node) => {
                Ok((node.step(exchange, first(inputs), (context.sequence, clock_ms))?, 0))
            }
            Operator::Stateless => {
                let Flow { chunks, track } = first(inputs);
                let rows = chunks.iter().map(|chunk| chunk.batch.len()).sum();
                let seed = step_seed(context, id);
                let mut first = context.sequence;
                let task = |chunk: Chunk| {
                    let (plan, schema) = (plan.clone(), schema.clone());
                    let randomness = Randomness { seed, first };
                    first += chunk.batch.len() as u64;
                    move || {
                        let batch = step_stateless(&plan, id, &schema, chunk.batch, (clock_ms, randomness))?;
                        Ok(Chunk { read: chunk.read, batch })
                    }
                };
                let chunks = exchange.run(chunks.into_iter().map(task).collect(), rows)?;
                let chunks = chunks.into_iter().collect::<Result<Vec<Chunk>, DataflowError>>()?;
                let chunks = chunks.into_iter().filter(|chunk| !chunk.batch.is_empty()).collect();
                Ok((Flow { chunks, track }, 0))
            }
            Operator::Watermark { scan, state } => {
                let Flow { chunks, .. } = first(inputs);
                let plan = plan.clone();
                let run = move |chunk: Chunk| {
                    let candidates = watermark_candidates(&plan, id, &chunk.batch, clock_ms)?;
                    Ok((chunk, candidates))
                };
                let (chunks, track) = state.advance(scan.0, context.reads, exchange.map(chunks, run)?)?;
                Ok((Flow { chunks, track: Some(Arc::new(track)) }, 0))
            }
            Operator::ProcessingTime { scans, watermark } => {
                let Flow { chunks, .. } = first(inputs);
                let ended =
                    |scan: &NodeId| context.splits.get(scan).is_some_and(|splits| !splits.contains(&false));
                let last = context.reads.last().map_or(0, |read| read.last_ordinal);
                let ended = scans.iter().all(ended).then_some(last);
                let (chunks, track) = follow_clock(*watermark, clock_ms, ended, chunks);
                *watermark = track.end();
                Ok((Flow { chunks, track: Some(Arc::new(track)) }, 0))
            }
            Operator::Aggregate(node) => {
                let Flow { chunks, track } = first(inputs);
                let moved =
                    track.as_ref().ok_or_else(|| DataflowError::internal("rows without a watermark"))?;
                let (chunks, late_rows) =
                    node.step(exchange, chunks, moved, context.sequence, &context.late)?;
                Ok((Flow { chunks, track }, late_rows))
            }
            Operator::Sessions(node) => {
                let Flow { chunks, track } = first(inputs);
                let moved =
                    track.as_ref().ok_or_else(|| DataflowError::internal("rows without a watermark"))?;
                let (chunks, late_rows) = node.step(exchange, chunks, moved, &context.late)?;
                Ok((Flow { chunks, track }, late_rows))
            }
            Operator::Group(node) => {
                let Flow { chunks, track } = first(inputs);
                let chunks = node.step(exchange, chunks, context.sequence, clock_ms)?;
                Ok((Flow { chunks, track }, 0))
            }
            Operator::Normalize(node) => {
                let Flow { chunks, track } = first(inputs);
                Ok((Flow { chunks: node.step(exchange, chunks, clock_ms)?, track }, 0))
            }
            Operator::Rank(node) => {
                let Flow { chunks, track } = first(inputs);
                let chunks = node.step(exchange, chunks, clock_ms)?;
                Ok((Flow { chunks, track }, 0))
            }
            Operator::Materialize(node) => {
                let Flow { chunks, track } = first(inputs);
                Ok((Flow { chunks: node.step(exchange, chunks, clock_ms)?, track }, 0))
            }
            Operator::Join { spec, table: known, rows } => {
                let table = inputs.pop().unwrap_or_default();
                let Flow { chunks, track } = first(inputs);
                for chunk in table.chunks {
                    only_inserts(&chunk.batch)?;
                    Arc::make_mut(known).insert(&spec.table_keys, &chunk.batch.rows)?;
                    let saved = spec.table_rows.encode(&chunk.batch.rows)?;
                    (0..chunk.batch.len()).try_for_each(|row| rows.append(saved.bytes(row)))?;
                }
                if !chunks.is_empty() {
                    Arc::make_mut(known).consolidate()?;
                }
                let (spec, known) = (spec.clone(), known.clone());
                let run = move |chunk: Chunk| {
                    let batch = spec.probe(&known, &chunk.batch, clock_ms)?;
                    Ok(Chunk { read: chunk.read, batch })
                };
                let chunks = exchange.map(chunks, run)?;
                let chunks = chunks.into_iter().filter(|chunk| !chunk.batch.is_empty()).collect();
                Ok((Flow { chunks, track }, 0))
            }
        }
    }
}

fn first(inputs: Vec<Flow>) -> Flow {
    inputs.into_iter().next().unwrap_or_default()
}

/// What random values of a node are made of in a step: what its record in the journal says of the step, and nothing else.
fn step_seed(context: &StepContext<'_>, id: NodeId) -> u64 {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&context.sequence.to_le_bytes());
    bytes[8..16].copy_from_slice(&context.clock_ms.to_le_bytes());
    bytes[16..].copy_from_slice(&(id.0 as u64).to_le_bytes());
    state::hash(&bytes)
}

fn step_stateless(
    plan: &Plan,
    id: NodeId,
    schema: &SchemaRef,
    batch: Batch,
    (clock_ms, randomness): (i64, Randomness),
) -> Result<Batch, DataflowError> {
    match &plan.node(id).kind {
        NodeKind::Project { expressions } => project(expressions, schema, batch, clock_ms, randomness),
        NodeKind::Filter { predicate } => filter(predicate.as_ref(), batch, clock_ms, randomness),
        NodeKind::Replicate => replicate(schema, batch),
        NodeKind::WindowAssign { time_column, window, zone } => {
            assign_windows(&WindowSpec::new(*time_column, *window, *zone), schema, batch)
        }
        NodeKind::Unnest(node) => unnest(node, schema, batch, clock_ms),
        _ => Ok(batch),
    }
}

fn watermark_candidates(
    plan: &Plan,
    id: NodeId,
    batch: &Batch,
    clock_ms: i64,
) -> Result<Candidates, DataflowError> {
    let NodeKind::Watermark { column, watermark, .. } = &plan.node(id).kind else {
        return Err(DataflowError::internal("the node declares no watermark"));
    };
    let values = evaluate(watermark.as_ref(), &batch.rows, None, clock_ms)?;
    Candidates::new(batch, *column, &values)
}

/// The rows as the table declares them: NOT NULL is held.
pub(crate) fn enforce_not_null(plan: &Plan, sink: NodeId, batch: Batch) -> Result<Batch, DataflowError> {
    let schema = &plan.node(sink).schema;
    for (field, column) in schema.fields().iter().zip(batch.rows.columns()) {
        if !field.is_nullable() && column.logical_null_count() > 0 {
            let error = DataflowError::invalid(format!(
                "column `{}` is declared NOT NULL, but a NULL is to be written into it",
                field.name()
            ));
            return Err(error.at(plan, sink));
        }
    }
    let options = RecordBatchOptions::new().with_match_field_names(false).with_row_count(Some(batch.len()));
    let columns = batch.rows.columns().to_vec();
    let rows = RecordBatch::try_new_with_options(schema.clone(), columns, &options);
    Ok(Batch { rows: rows?, ..batch })
}
