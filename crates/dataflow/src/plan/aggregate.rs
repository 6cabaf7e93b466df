//! Aggregate calls, and what an OVER window is.

use super::SortKey;
use arrow_schema::DataType;

/// One aggregate call over columns of the input.
#[derive(Debug, Clone)]
pub struct Aggregate {
    pub function: AggregateFunction,
    /// The argument's column; `None` for COUNT(*).
    pub argument: Option<usize>,
    pub distinct: bool,
    /// A boolean column: rows where it is not TRUE are left out (FILTER).
    pub filter: Option<usize>,
    pub options: AggregateOptions,
    /// The result's type by Flink's rules (SUM(INT) is INT and wraps, AVG(INT) is INT and truncates,
    /// SUM(DECIMAL(p,s)) is DECIMAL(38,s), AVG(DECIMAL(p,s)) is DECIMAL(38,max(6,s)), COUNT is BIGINT NOT NULL).
    pub data_type: DataType,
}

/// What a call says beside its argument; what a function does not know of is left as it is by default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AggregateOptions {
    /// LISTAGG: what stands between two values.
    pub separator: String,
    /// PERCENTILE: from 0 to 1. The result is an array where its type is one.
    pub percentages: Vec<f64>,
    /// LAG: how many rows back.
    pub offset: usize,
    /// LAG: the column of what stands for a row that is not there; NULL without.
    pub default: Option<usize>,
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
    /// The sum of the squares of the distances from the mean, of DOUBLEs: what variances are computed from.
    SquaredDeviations,
    /// Texts one after the other, in the order of their arrival.
    ListAgg,
    /// All values in the order of their arrival, NULLs too.
    ArrayAgg,
    /// A JSON array of texts that are JSON values.
    JsonArrayAgg,
    /// A JSON object of rows of a key and a text that is a JSON value; a key must not occur twice.
    JsonObjectAgg,
    /// A multiset.
    Collect,
    /// Of DOUBLEs, or of rows of a DOUBLE and how often it counts (BIGINT).
    Percentile,
    /// The value some rows before; OVER an order of times only.
    Lag,
}

impl AggregateFunction {
    pub fn name(self) -> &'static str {
        match self {
            AggregateFunction::Count => "COUNT",
            AggregateFunction::Sum => "SUM",
            AggregateFunction::Min => "MIN",
            AggregateFunction::Max => "MAX",
            AggregateFunction::Avg => "AVG",
            AggregateFunction::FirstValue => "FIRST_VALUE",
            AggregateFunction::LastValue => "LAST_VALUE",
            AggregateFunction::SquaredDeviations => "SQUARED_DEVIATIONS",
            AggregateFunction::ListAgg => "LISTAGG",
            AggregateFunction::ArrayAgg => "ARRAY_AGG",
            AggregateFunction::JsonArrayAgg => "JSON_ARRAYAGG",
            AggregateFunction::JsonObjectAgg => "JSON_OBJECTAGG",
            AggregateFunction::Collect => "COLLECT",
            AggregateFunction::Percentile => "PERCENTILE",
            AggregateFunction::Lag => "LAG",
        }
    }
}

/// The order of the rows of an OVER window, and with it when they leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverOrder {
    /// By a time that the watermark follows: a row leaves, once, when the watermark passes its time.
    Time { column: usize },
    /// As they come: each row leaves at once. RANGE and ROWS are the same here.
    Arrival,
    /// By other columns, of rows that may change: rows leave at once, and again when rows before them come or
    /// go. Rows that are equal in `keys` stand in the order of `ties`, then of their arrival. The frame has no
    /// begin, and LAG has no place here.
    Columns { keys: Vec<SortKey>, ties: Vec<usize> },
}

/// Which rows up to the current one are aggregated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverFrame {
    /// ROWS: each row by itself. Else RANGE: rows that are equal in the order see each other.
    pub rows: bool,
    /// How many rows before the current one, or how many ms before its time; all without.
    pub preceding: Option<i64>,
}
