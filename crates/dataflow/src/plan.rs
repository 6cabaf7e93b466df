//! Plans: what the planner hands to the engine. Pure data over compiled expressions.
//!
//! Nodes are listed in topological order; a node's inputs come before it. The canonical text of a
//! plan (its `describe`) is what EXPLAIN shows and what its fingerprint is taken from.

use crate::expression::Expression;
use crate::table::TableDefinition;
use arrow_schema::{DataType, SchemaRef};
use std::sync::Arc;

/// The index of a node in its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// One job: all the INSERTs of a statement set share one plan, and a table scanned twice with the
/// same columns is scanned once.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    pub nodes: Vec<Node>,
}

#[derive(Debug, Clone)]
pub struct Node {
    pub kind: NodeKind,
    pub inputs: Vec<NodeId>,
    /// The columns that leave the node.
    pub schema: SchemaRef,
}

#[derive(Debug, Clone)]
pub enum NodeKind {
    /// Reads the physical columns `projection` (indices into the table's schema), then the metadata
    /// columns `metadata` (indices into the table's metadata), in this order.
    Scan {
        table: Arc<TableDefinition>,
        projection: Vec<usize>,
        metadata: Vec<usize>,
        bounded: bool,
    },
    /// Declares the row time: `watermark` is evaluated per row; the running maximum within a split
    /// and the minimum across splits is the watermark (ms). A NULL in `column` fails the job.
    Watermark {
        column: usize,
        watermark: Arc<dyn Expression>,
    },
    Project {
        expressions: Vec<Arc<dyn Expression>>,
    },
    /// Keeps the rows for which the predicate is TRUE.
    Filter {
        predicate: Arc<dyn Expression>,
    },
    /// A window table function without an aggregate: appends window_start, window_end (both
    /// TIMESTAMP(3)) and window_time to each row, once per window that the row is in.
    WindowAssign {
        time_column: usize,
        window: WindowKind,
    },
    /// Windowed group aggregate. The output columns are: the keys, the aggregates, window_start,
    /// window_end, window_time. Emits when the watermark passes `window end - 1 ms`. A row is late
    /// for a window, and dropped for it and counted, when `window end - 1 ms <= watermark before the row`.
    WindowAggregate {
        time_column: usize,
        window: WindowKind,
        keys: Vec<usize>,
        aggregates: Vec<Aggregate>,
    },
    /// Joins a stream (input 0) with a bounded table (input 1), which is read to its end first. The
    /// output columns are those of input 0, then those of input 1. NULL keys never match.
    BoundedJoin {
        kind: JoinKind,
        stream_keys: Vec<usize>,
        table_keys: Vec<usize>,
        residual: Option<Arc<dyn Expression>>,
    },
    /// UNION ALL.
    Union,
    /// The end of the road: rows in the order of the table's physical columns, followed by its
    /// persisted (not virtual) metadata columns.
    Sink {
        table: Arc<TableDefinition>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowKind {
    /// Sizes and offsets in ms.
    Tumble { size_ms: i64, offset_ms: i64 },
    /// The size is a multiple of the slide.
    Hop { size_ms: i64, slide_ms: i64, offset_ms: i64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    Inner,
    /// Keeps every row of the stream.
    Left,
}

/// One aggregate call over columns of the input.
#[derive(Debug, Clone)]
pub struct Aggregate {
    pub function: AggregateFunction,
    /// The argument's column; `None` for COUNT(*).
    pub argument: Option<usize>,
    pub distinct: bool,
    /// A boolean column: rows where it is not TRUE are left out (FILTER).
    pub filter: Option<usize>,
    /// The result's type by Flink's rules (SUM(INT) is INT and wraps, AVG(INT) is INT and truncates,
    /// SUM(DECIMAL(p,s)) is DECIMAL(38,s), AVG(DECIMAL(p,s)) is DECIMAL(38,max(6,s)), COUNT is BIGINT NOT NULL).
    pub data_type: DataType,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AggregateFunction {
    Count,
    Sum,
    Min,
    Max,
    Avg,
    FirstValue,
    LastValue,
}
