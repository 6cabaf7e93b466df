//! Rows on their way through the operators: an Arrow record batch and what the engine must know of each row.
//!
//! The system columns travel beside the user's columns, so that a projection can never lose them.

use arrow_array::{BinaryArray, Int8Array, Int64Array, RecordBatch, UInt32Array, UInt64Array};

/// Flink's row kinds, as stored in the changelog column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i8)]
pub enum RowKind {
    Insert = 0,
    UpdateBefore = 1,
    UpdateAfter = 2,
    Delete = 3,
}

impl RowKind {
    /// The prefix that Flink prints: `+I`, `-U`, `+U`, `-D`.
    pub fn short(self) -> &'static str {
        match self {
            RowKind::Insert => "+I",
            RowKind::UpdateBefore => "-U",
            RowKind::UpdateAfter => "+U",
            RowKind::Delete => "-D",
        }
    }

    pub fn from_code(code: i8) -> Option<RowKind> {
        match code {
            0 => Some(RowKind::Insert),
            1 => Some(RowKind::UpdateBefore),
            2 => Some(RowKind::UpdateAfter),
            3 => Some(RowKind::Delete),
            _ => None,
        }
    }
}

/// Rows with their system columns. Every system column has as many values as there are rows.
#[derive(Debug, Clone)]
pub struct Batch {
    pub rows: RecordBatch,
    /// Codes of [`RowKind`]; `None` when every row is an insert.
    pub kinds: Option<Int8Array>,
    /// The ordinal, within the step, of the input row that caused each row; merges of several
    /// workers order by it.
    pub ordinals: UInt64Array,
    /// Orders rows of equal ordinal that timers emitted (window end and key, memcmp-comparable), so
    /// that the order does not depend on the number of workers.
    pub ties: Option<BinaryArray>,
    /// The watermark in force just before each row (ms; `i64::MIN` when none yet); `None` ahead of
    /// the watermark operator.
    pub watermarks: Option<Int64Array>,
    /// The place of each row's trace among those of the step, counted from 1; 0 for a row without one. `None` when no row
    /// has one. It is no part of a result.
    pub traces: Option<UInt32Array>,
}

impl Batch {
    pub fn len(&self) -> usize {
        self.rows.num_rows()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The kind of one row.
    pub fn kind(&self, row: usize) -> RowKind {
        self.kinds.as_ref().and_then(|kinds| RowKind::from_code(kinds.value(row))).unwrap_or(RowKind::Insert)
    }
}
