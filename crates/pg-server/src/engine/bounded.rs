//! Functions of DataFusion whose result may be far longer than what they are given: how long it gets is found before it is
//! made, for what a function allocates is not counted against the memory of queries.

use crate::error::{Code, PgError};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, Int64Array, LargeStringArray};
use arrow_schema::{DataType, FieldRef};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Bytes that a function may give for a batch of rows.
const BYTES_MAX: u128 = 64 << 20;

/// The functions with bounds around those that need one.
pub(super) fn bounded(functions: Vec<Arc<ScalarUDF>>) -> Vec<Arc<ScalarUDF>> {
    let bound = |inner: Arc<ScalarUDF>| match length_of(inner.name()) {
        Some(length) => Arc::new(ScalarUDF::from(Bounded { inner, length })),
        None => inner,
    };
    functions.into_iter().map(bound).collect()
}

/// Bytes of the result for the arguments of so many rows.
type Length = fn(&[ColumnarValue], usize) -> Result<u128>;

fn length_of(name: &str) -> Option<Length> {
    match name {
        "range" | "generate_series" => Some(of_range),
        "repeat" => Some(of_repeat),
        "lpad" | "rpad" => Some(of_padding),
        "replace" => Some(of_replace),
        _ => None,
    }
}

struct Bounded {
    inner: Arc<ScalarUDF>,
    length: Length,
}

impl std::fmt::Debug for Bounded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.inner.name())
    }
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Bounded) -> bool {
        self.inner == other.inner
    }
}

impl Eq for Bounded {}

impl Hash for Bounded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_scalar = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let bytes = (self.length)(&args.args, if is_scalar { 1 } else { args.number_rows })?;
        if bytes > BYTES_MAX {
            let message = format!("{}() would give more than {} MiB", self.name(), BYTES_MAX >> 20);
            let error = PgError::new(Code::LIMIT_EXCEEDED, message);
            return Err(error.hint("give it shorter texts or smaller numbers").into());
        }
        self.inner.invoke_with_args(args)
    }
}

/// The values of an argument; a literal has one for all rows.
struct Column<A> {
    values: A,
    is_one: bool,
}

impl<A: Array> Column<A> {
    /// None for NULL.
    fn at<T>(&self, row: usize, value: impl Fn(&A, usize) -> T) -> Option<T> {
        let row = if self.is_one { 0 } else { row };
        (!self.values.is_null(row)).then(|| value(&self.values, row))
    }
}

fn column(
    argument: &ColumnarValue,
    rows: usize,
    data_type: &DataType,
) -> Result<(arrow_array::ArrayRef, bool)> {
    let is_one = matches!(argument, ColumnarValue::Scalar(_));
    let array = argument.to_array(if is_one { 1 } else { rows })?;
    Ok((arrow_cast::cast(&array, data_type)?, is_one))
}

fn integers(argument: &ColumnarValue, rows: usize) -> Result<Column<Int64Array>> {
    let (array, is_one) = column(argument, rows, &DataType::Int64)?;
    Ok(Column { values: array.as_primitive::<Int64Type>().clone(), is_one })
}

fn texts(argument: &ColumnarValue, rows: usize) -> Result<Column<LargeStringArray>> {
    let (array, is_one) = column(argument, rows, &DataType::LargeUtf8)?;
    Ok(Column { values: array.as_string::<i64>().clone(), is_one })
}

/// A literal too becomes a text for each row.
fn bytes_given(column: &Column<LargeStringArray>, row: usize) -> u128 {
    column.at(row, |texts, row| texts.value(row).len()).unwrap_or(0) as u128
}

fn count(column: &Column<Int64Array>, row: usize) -> u128 {
    u128::try_from(column.at(row, Int64Array::value).unwrap_or(0)).unwrap_or(0)
}

fn of_repeat(args: &[ColumnarValue], rows: usize) -> Result<u128> {
    let [text, times] = args else { return Ok(0) };
    let (text, times) = (texts(text, rows)?, integers(times, rows)?);
    Ok((0..rows).map(|row| bytes_given(&text, row) * (1 + count(&times, row))).sum())
}

fn of_padding(args: &[ColumnarValue], rows: usize) -> Result<u128> {
    let [text, length, ..] = args else { return Ok(0) };
    let (text, length) = (texts(text, rows)?, integers(length, rows)?);
    let fill = args.get(2).map(|fill| texts(fill, rows)).transpose()?;
    // A character has up to four bytes.
    let bytes = |row| {
        let fill = fill.as_ref().map_or(0, |fill| bytes_given(fill, row));
        bytes_given(&text, row) + fill + 4 * count(&length, row)
    };
    Ok((0..rows).map(bytes).sum())
}

fn of_replace(args: &[ColumnarValue], rows: usize) -> Result<u128> {
    let [text, from, to] = args else { return Ok(0) };
    let (text, from, to) = (texts(text, rows)?, texts(from, rows)?, texts(to, rows)?);
    let bytes = |row| {
        let value =
            |column: &Column<LargeStringArray>| column.at(row, |texts, row| texts.value(row).to_string());
        let found = match (value(&text), value(&from)) {
            (Some(text), Some(from)) if from.is_empty() => text.chars().count() + 1,
            (Some(text), Some(from)) => memchr::memmem::find_iter(text.as_bytes(), from.as_bytes()).count(),
            _ => 0,
        };
        bytes_given(&text, row) + bytes_given(&from, row) + bytes_given(&to, row) * (1 + found as u128)
    };
    Ok((0..rows).map(bytes).sum())
}

fn of_range(args: &[ColumnarValue], rows: usize) -> Result<u128> {
    if args.iter().any(|argument| argument.data_type().is_null()) {
        return Ok(0);
    }
    if args.iter().any(|argument| argument.data_type() != DataType::Int64) {
        let words = "a list of dates or times is not available: a range of them stands behind FROM";
        return Err(PgError::new(Code::FEATURE_NOT_SUPPORTED, words).into());
    }
    let args = args.iter().map(|argument| integers(argument, rows)).collect::<Result<Vec<_>>>()?;
    let bytes = |row| {
        let value = |column: &Column<Int64Array>| column.at(row, Int64Array::value).map(i128::from);
        let given: Option<Vec<i128>> = args.iter().map(value).collect();
        let (start, stop, step) = match given.as_deref() {
            Some([stop]) => (0, *stop, 1),
            Some([start, stop]) => (*start, *stop, 1),
            Some([start, stop, step]) => (*start, *stop, *step),
            _ => return 0,
        };
        // It says itself that a step of 0 is none.
        let elements = (stop - start).checked_div(step).unwrap_or(-1) + 1;
        u128::try_from(elements).unwrap_or(0) * 8
    };
    Ok((0..rows).map(bytes).sum())
}
