//! Comparisons of two columns of one type.
//!
//! Arrow's kernels order floats totally; SQL and Java compare them by IEEE 754 (NaN equals nothing, -0.0 is 0.0),
//! so floats have their own loop. Nested values are equal or not, and have no order.

use super::equality::equality;
use super::value::{Value, wrap};
use arrow_array::types::{ArrowPrimitiveType, Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, Scalar};
use arrow_ord::cmp;
use arrow_ord::ord::make_comparator;
use arrow_schema::{DataType, SortOptions};
use std::cmp::Ordering;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    pub fn symbol(self) -> &'static str {
        match self {
            Comparison::Equal => "=",
            Comparison::NotEqual => "<>",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        }
    }

    /// The comparison that holds with the operands exchanged.
    pub fn mirrored(self) -> Comparison {
        match self {
            Comparison::Less => Comparison::Greater,
            Comparison::LessOrEqual => Comparison::GreaterOrEqual,
            Comparison::Greater => Comparison::Less,
            Comparison::GreaterOrEqual => Comparison::LessOrEqual,
            same => same,
        }
    }

    fn holds<T: PartialOrd>(self, left: T, right: T) -> bool {
        match self {
            Comparison::Equal => left == right,
            Comparison::NotEqual => left != right,
            Comparison::Less => left < right,
            Comparison::LessOrEqual => left <= right,
            Comparison::Greater => left > right,
            Comparison::GreaterOrEqual => left >= right,
        }
    }
}

/// NULL where one side is NULL.
pub fn compare(comparison: Comparison, left: &Value, right: &Value, rows: usize) -> Result<Value, String> {
    let constant = left.is_constant() && right.is_constant();
    let rows = if constant { 1 } else { rows };
    let array = match left.array().data_type() {
        DataType::Float32 => floats::<Float32Type>(comparison, left, right, rows)?,
        DataType::Float64 => floats::<Float64Type>(comparison, left, right, rows)?,
        DataType::Null => BooleanArray::new_null(rows),
        _ if right.array().data_type() == &DataType::Null => BooleanArray::new_null(rows),
        other if other.is_nested() => {
            let same = equality(left.array(), right.array())?;
            (0..rows)
                .map(|row| {
                    let known = !left.is_null(row) && !right.is_null(row);
                    // The binder lets nothing else through.
                    known.then(|| same(left.slot(row), right.slot(row)) == (comparison == Comparison::Equal))
                })
                .collect()
        }
        _ => {
            let kernel = match comparison {
                Comparison::Equal => cmp::eq,
                Comparison::NotEqual => cmp::neq,
                Comparison::Less => cmp::lt,
                Comparison::LessOrEqual => cmp::lt_eq,
                Comparison::Greater => cmp::gt,
                Comparison::GreaterOrEqual => cmp::gt_eq,
            };
            kernel(left, right).map_err(|error| error.to_string())?
        }
    };
    Ok(wrap(Arc::new(array), constant))
}

fn floats<T>(comparison: Comparison, left: &Value, right: &Value, rows: usize) -> Result<BooleanArray, String>
where
    T: ArrowPrimitiveType,
    T::Native: PartialOrd,
{
    let (left, right) = (left.numbers::<T>()?, right.numbers::<T>()?);
    Ok((0..rows).map(|row| Some(comparison.holds(left.get(row)?, right.get(row)?))).collect())
}

/// IS [NOT] DISTINCT FROM: NULL equals NULL.
pub fn distinct(negated: bool, left: &Value, right: &Value, rows: usize) -> Result<Value, String> {
    let equal = compare(Comparison::Equal, left, right, rows)?;
    let constant = equal.is_constant();
    let rows = if constant { 1 } else { rows };
    let truths = equal.truths()?;
    let array: BooleanArray = (0..rows)
        .map(|row| {
            let same = truths.get(row).unwrap_or(left.is_null(row) && right.is_null(row));
            Some(same == negated)
        })
        .collect();
    Ok(wrap(Arc::new(array), constant))
}

/// Which of two values of one column type is the greater; used by GREATEST and LEAST.
pub fn ordering(left: &ArrayRef, right: &ArrayRef) -> Result<impl Fn(usize, usize) -> Ordering, String> {
    make_comparator(left.as_ref(), right.as_ref(), SortOptions::default()).map_err(|error| error.to_string())
}

/// `operand = item` for one constant item, as IN needs it again and again.
pub fn equals_item(operand: &ArrayRef, item: &ArrayRef) -> Result<BooleanArray, String> {
    let left = Value::Column(operand.clone());
    match compare(Comparison::Equal, &left, &Value::Constant(item.clone()), operand.len())? {
        Value::Column(array) => Ok(arrow_array::cast::AsArray::as_boolean(&array).clone()),
        Value::Constant(array) => {
            let scalar = Scalar::new(array);
            Ok(arrow_array::cast::AsArray::as_boolean(&scalar.into_inner()).clone())
        }
    }
}
