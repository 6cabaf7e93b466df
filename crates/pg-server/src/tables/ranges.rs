//! Which part of a topic a query needs, from its filters: partitions, offsets and times.
//!
//! What is found is never too little; the filters are applied to the rows as well.

use super::topic::{OFFSET, PARTITION, TIMESTAMP};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::scalar::ScalarValue;

/// Of a topic; offsets are those of each partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    /// None are all.
    pub partitions: Option<Vec<i64>>,
    pub offset_from: i64,
    /// Not part of it any more.
    pub offset_to: i64,
    /// Records before this time are not needed.
    pub since_ms: Option<i64>,
}

impl Range {
    pub(super) fn of(filters: &[Expr]) -> Range {
        let mut range = Range { partitions: None, offset_from: 0, offset_to: i64::MAX, since_ms: None };
        filters.iter().for_each(|filter| range.narrow(filter));
        range
    }

    pub(super) fn has_partition(&self, index: usize) -> bool {
        let is_this = |partition: &i64| usize::try_from(*partition) == Ok(index);
        self.partitions.as_ref().is_none_or(|partitions| partitions.iter().any(is_this))
    }

    fn narrow(&mut self, filter: &Expr) {
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
                self.narrow(left);
                self.narrow(right);
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                if let (Some(column), Some(value)) = (column(left), literal(right)) {
                    self.compare(column, *op, value);
                } else if let (Some(value), Some(column), Some(op)) =
                    (literal(left), column(right), op.swap())
                {
                    self.compare(column, op, value);
                }
            }
            Expr::Between(between) if !between.negated => {
                let Some(column) = column(&between.expr) else { return };
                if let Some(low) = literal(&between.low) {
                    self.compare(column, Operator::GtEq, low);
                }
                if let Some(high) = literal(&between.high) {
                    self.compare(column, Operator::LtEq, high);
                }
            }
            Expr::InList(list) if !list.negated && column(&list.expr) == Some(PARTITION) => {
                let values: Option<Vec<i64>> = list.list.iter().map(|item| integer(literal(item)?)).collect();
                if let Some(values) = values {
                    self.keep_partitions(values);
                }
            }
            _ => {}
        }
    }

    fn compare(&mut self, column: &str, op: Operator, value: &ScalarValue) {
        match column {
            TIMESTAMP => {
                let (Operator::Gt | Operator::GtEq | Operator::Eq, Some(ms)) = (op, milliseconds(value))
                else {
                    return;
                };
                self.since_ms = Some(self.since_ms.map_or(ms, |since| since.max(ms)));
            }
            PARTITION => {
                if let (Operator::Eq, Some(partition)) = (op, integer(value)) {
                    self.keep_partitions(vec![partition]);
                }
            }
            OFFSET => {
                let Some(value) = integer(value) else { return };
                let (from, to) = match op {
                    Operator::Eq => (value, value.saturating_add(1)),
                    Operator::Gt => (value.saturating_add(1), i64::MAX),
                    Operator::GtEq => (value, i64::MAX),
                    Operator::Lt => (0, value),
                    Operator::LtEq => (0, value.saturating_add(1)),
                    _ => return,
                };
                self.offset_from = self.offset_from.max(from);
                self.offset_to = self.offset_to.min(to);
            }
            _ => {}
        }
    }

    fn keep_partitions(&mut self, partitions: Vec<i64>) {
        match &mut self.partitions {
            Some(kept) => kept.retain(|partition| partitions.contains(partition)),
            None => self.partitions = Some(partitions),
        }
    }
}

/// Whether a filter narrows what is read.
pub(super) fn narrows(filter: &Expr) -> bool {
    let nothing = Range::of(&[]);
    Range::of(std::slice::from_ref(filter)) != nothing
}

fn column(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Column(column) => Some(column.name()),
        // A wider type holds the same values.
        Expr::Cast(cast) if cast.field.data_type().is_numeric() || cast.field.data_type().is_temporal() => {
            column(&cast.expr)
        }
        _ => None,
    }
}

fn literal(expression: &Expr) -> Option<&ScalarValue> {
    match expression {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

fn integer(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::Int16(value) => value.map(i64::from),
        ScalarValue::Int32(value) => value.map(i64::from),
        ScalarValue::Int64(value) => *value,
        _ => None,
    }
}

/// Rounded down.
fn milliseconds(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::TimestampSecond(value, _) => value.and_then(|value| value.checked_mul(1_000)),
        ScalarValue::TimestampMillisecond(value, _) => *value,
        ScalarValue::TimestampMicrosecond(value, _) => value.map(|value| value.div_euclid(1_000)),
        ScalarValue::TimestampNanosecond(value, _) => value.map(|value| value.div_euclid(1_000_000)),
        _ => None,
    }
}
