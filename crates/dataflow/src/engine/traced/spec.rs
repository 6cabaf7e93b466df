//! By which columns each node's contexts are found again in what leaves the node.

use super::super::error::DataflowError;
use super::super::keys::{KeyEncoder, Keys};
use super::super::time::{as_milliseconds, wall_clock};
use super::super::window::WindowSpec;
use crate::plan::{JoinKind, NodeId, NodeKind, Plan, WindowKind};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;

/// What a node does with the contexts of its rows.
#[derive(Debug)]
pub(crate) enum Keeps {
    /// Rows leave as they come, with what they carry.
    Nothing,
    /// They are kept by key, for rows that leave later or are made of several.
    By(Spec),
}

#[derive(Debug)]
pub(crate) struct Spec {
    /// By input; `None` for one whose contexts are not kept.
    pub(crate) sides: Vec<Option<Side>>,
    /// A row that leaves goes on with a kept context only if one of its key came in the same step: a running aggregate
    /// would never be done with a trace.
    pub(crate) needs_fresh: bool,
    /// Rows of input 0 go through with their own contexts.
    pub(crate) passes: bool,
    /// A match takes the contexts of its key with it.
    pub(crate) takes_away: bool,
    window: Option<Window>,
}

/// Rows of one input, and where what tells them apart stands in what leaves.
#[derive(Debug)]
pub(crate) struct Side {
    columns: Vec<usize>,
    leaves_at: Vec<usize>,
    encoder: KeyEncoder,
}

#[derive(Debug)]
struct Window {
    spec: WindowSpec,
}

impl Side {
    fn new(schema: &SchemaRef, columns: Vec<usize>, leaves_at: Vec<usize>) -> Option<Side> {
        let types = columns.iter().map(|column| schema.field(*column).data_type().clone()).collect();
        // What has no order cannot be a key; such rows lose their contexts here.
        let encoder = KeyEncoder::new(columns.clone(), types).ok()?;
        Some(Side { columns, leaves_at, encoder })
    }

    pub(crate) fn of_input(&self, rows: &RecordBatch) -> Result<Keys, DataflowError> {
        self.encode(&self.columns, rows)
    }

    pub(crate) fn of_output(&self, rows: &RecordBatch) -> Result<Keys, DataflowError> {
        self.encode(&self.leaves_at, rows)
    }

    fn encode(&self, columns: &[usize], rows: &RecordBatch) -> Result<Keys, DataflowError> {
        let columns: Vec<ArrayRef> = columns.iter().map(|column| rows.column(*column).clone()).collect();
        self.encoder.encode_columns(&columns, rows.num_rows())
    }
}

impl Spec {
    /// The times of rows of the input; all 0 where the node has no windows.
    pub(crate) fn times(&self, rows: &RecordBatch) -> Result<Vec<i64>, DataflowError> {
        match &self.window {
            None => Ok(vec![0; rows.num_rows()]),
            Some(Window { spec }) => Ok(wall_clock(rows, spec.time_column, spec.zone)?.to_vec()),
        }
    }

    /// By row that leaves, from when until before when its rows may be.
    pub(crate) fn ranges(&self, rows: &RecordBatch) -> Result<Option<Vec<(i64, i64)>>, DataflowError> {
        if self.window.is_none() {
            return Ok(None);
        }
        let bound = |from_end: usize| as_milliseconds(rows.column(rows.num_columns() - from_end).as_ref());
        let (starts, ends) = (bound(3)?, bound(2)?);
        Ok(Some(starts.iter().copied().zip(ends.iter().copied()).collect()))
    }
}

pub(crate) fn keeps(plan: &Plan, id: NodeId, schemas: &[SchemaRef]) -> Keeps {
    let node = plan.node(id);
    let width = |side: usize| schemas[node.inputs[side].0].fields().len();
    // All columns of an input, which stand together in what leaves.
    let whole = |side: usize, first: usize| {
        let width = width(side);
        Side::new(&schemas[node.inputs[side].0], (0..width).collect(), (first..first + width).collect())
    };
    let by_keys =
        |keys: &[usize]| Side::new(&schemas[node.inputs[0].0], keys.to_vec(), (0..keys.len()).collect());
    let spec = |sides: Vec<Option<Side>>| Spec {
        sides,
        needs_fresh: false,
        passes: false,
        takes_away: false,
        window: None,
    };
    let both = |kind: JoinKind| {
        let right = if kind.tests_left() { None } else { whole(1, width(0)) };
        spec(vec![whole(0, 0), right])
    };
    Keeps::By(match &node.kind {
        NodeKind::Scan { .. }
        | NodeKind::LookupAnswers
        | NodeKind::Watermark { .. }
        | NodeKind::ProcessingTime
        | NodeKind::Project { .. }
        | NodeKind::Filter { .. }
        | NodeKind::WindowAssign { .. }
        | NodeKind::Unnest(_)
        | NodeKind::Replicate
        | NodeKind::Union
        | NodeKind::Sink { .. } => return Keeps::Nothing,
        NodeKind::WindowAggregate { time_column, window, zone, keys, .. } => {
            let window = Window { spec: WindowSpec::new(*time_column, *window, *zone) };
            Spec { window: Some(window), ..spec(vec![by_keys(keys)]) }
        }
        NodeKind::SessionAggregate { time_column, gap_ms, zone, keys, .. } => {
            // Of the window nothing but the times of its rows is asked; what leaves says where it begins and ends.
            let window = WindowKind::Tumble { size_ms: *gap_ms, offset_ms: 0 };
            let window = Window { spec: WindowSpec::new(*time_column, window, *zone) };
            Spec { window: Some(window), ..spec(vec![by_keys(keys)]) }
        }
        NodeKind::GroupAggregate { keys, .. } => Spec { needs_fresh: true, ..spec(vec![by_keys(keys)]) },
        NodeKind::MatchRecognize { partition, .. } => {
            Spec { takes_away: true, ..spec(vec![by_keys(partition)]) }
        }
        NodeKind::BoundedJoin { .. } => Spec { passes: true, ..spec(vec![None, whole(1, width(0))]) },
        NodeKind::Join { kind, .. }
        | NodeKind::WindowJoin { kind, .. }
        | NodeKind::IntervalJoin { kind, .. }
        | NodeKind::TemporalJoin { kind, .. } => both(*kind),
        NodeKind::LookupJoin(_)
        | NodeKind::SessionWindow { .. }
        | NodeKind::WindowRank { .. }
        | NodeKind::Deduplicate { .. }
        | NodeKind::TemporalSort { .. }
        | NodeKind::Over { .. }
        | NodeKind::Rank { .. }
        | NodeKind::ChangelogNormalize { .. }
        | NodeKind::UpsertMaterialize { .. }
        | NodeKind::ConflictMaterialize { .. } => spec(vec![whole(0, 0)]),
    })
}
