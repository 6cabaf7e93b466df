//! Aggregates whose result is made of all their values: LISTAGG, ARRAY_AGG, COLLECT, PERCENTILE and the like.
//!
//! Whoever keeps the values (a window's slices, a group's map, the frame of an OVER window) shows them here as lists
//! of encoded values, one list per result. Those of one half of the functions stand in the order of their arrival, the
//! others in the order of their bytes, each with the number of its occurrences. The values of all lists are decoded
//! at once.

use super::super::error::DataflowError;
use super::super::keys::KeyEncoder;
use super::columns::encoded_column;
use crate::plan::{Aggregate, AggregateFunction, AggregateOptions};
use arrow_array::builder::{Float64Builder, ListBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, Float64Array, Int32Array, ListArray, MapArray, StructArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::DataType;
use std::ops::Range;
use std::sync::Arc;

/// How the result of one call is made.
#[derive(Debug)]
pub(crate) struct Gather {
    pub(crate) function: AggregateFunction,
    pub(crate) encoder: KeyEncoder,
    options: AggregateOptions,
    result: DataType,
}

/// Lists of encoded values, each value with a number.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    bytes: Vec<u8>,
    entries: Vec<(Range<usize>, i64)>,
    /// Where each list ends in `entries`.
    ends: Vec<usize>,
}

impl Lists {
    pub(crate) fn push(&mut self, value: &[u8], count: i64) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.entries.push((start..self.bytes.len(), count));
    }

    pub(crate) fn end(&mut self) {
        self.ends.push(self.entries.len());
    }

    fn values(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.iter().map(|(range, _)| &self.bytes[range.clone()])
    }

    fn count(&self, entry: usize) -> i64 {
        self.entries[entry].1
    }

    /// The entries of each list.
    fn lists(&self) -> impl Iterator<Item = Range<usize>> {
        let mut start = 0;
        self.ends.iter().map(move |end| std::mem::replace(&mut start, *end)..*end)
    }

    fn lengths(&self) -> Vec<usize> {
        self.lists().map(|list| list.len()).collect()
    }
}

impl Gather {
    pub(crate) fn new(call: &Aggregate, argument: &DataType) -> Result<Gather, DataflowError> {
        Ok(Gather {
            function: call.function,
            encoder: KeyEncoder::new(vec![0], vec![argument.clone()])?,
            options: call.options.clone(),
            result: call.data_type.clone(),
        })
    }

    /// Whether a function is made of all its values.
    pub(crate) fn makes(function: AggregateFunction) -> bool {
        Gather::by_arrival(function) || Gather::by_value(function)
    }

    /// Whether its values stand in the order of their arrival.
    pub(crate) fn by_arrival(function: AggregateFunction) -> bool {
        use AggregateFunction::{ArrayAgg, JsonArrayAgg, ListAgg};
        matches!(function, ListAgg | ArrayAgg | JsonArrayAgg)
    }

    /// Whether it needs to know how often each value occurs.
    pub(crate) fn by_value(function: AggregateFunction) -> bool {
        use AggregateFunction::{Collect, JsonObjectAgg, Percentile};
        matches!(function, Collect | JsonObjectAgg | Percentile)
    }

    /// Whether the types of the argument and of the result are the function's.
    pub(crate) fn supports(call: &Aggregate, argument: &DataType) -> bool {
        use AggregateFunction::{ArrayAgg, Collect, JsonArrayAgg, JsonObjectAgg, ListAgg, Percentile};
        let result = &call.data_type;
        let fits = match call.function {
            ListAgg | JsonArrayAgg => *argument == DataType::Utf8 && *result == DataType::Utf8,
            ArrayAgg => matches!(result, DataType::List(item) if item.data_type().equals_datatype(argument)),
            JsonObjectAgg => {
                *result == DataType::Utf8 && is_pair(argument, &[DataType::Utf8, DataType::Utf8])
            }
            Collect => match result {
                DataType::Map(entries, _) => matches!(entries.data_type(), DataType::Struct(fields)
                    if fields.len() == 2
                        && fields[0].data_type().equals_datatype(argument)
                        && *fields[1].data_type() == DataType::Int32),
                _ => false,
            },
            Percentile => {
                let takes = *argument == DataType::Float64
                    || is_pair(argument, &[DataType::Float64, DataType::Int64]);
                let gives = match result {
                    DataType::Float64 => call.options.percentages.len() == 1,
                    DataType::List(item) => *item.data_type() == DataType::Float64,
                    _ => false,
                };
                let in_range = call.options.percentages.iter().all(|part| (0.0..=1.0).contains(part));
                takes && gives && in_range
            }
            _ => false,
        };
        fits && state::columns::supports(argument)
    }

    /// One result per list.
    pub(crate) fn results(&self, lists: &Lists) -> Result<ArrayRef, DataflowError> {
        let argument = self.encoder.first_type();
        let values = match lists.entries.is_empty() {
            true => arrow_array::new_empty_array(&argument),
            false => encoded_column(&self.encoder, lists.values().map(Some), &argument)?,
        };
        match self.function {
            AggregateFunction::ListAgg => joined(&values, lists, ["", &self.options.separator, ""], true),
            AggregateFunction::JsonArrayAgg => joined(&values, lists, ["[", ",", "]"], false),
            AggregateFunction::JsonObjectAgg => objects(&values, lists),
            AggregateFunction::ArrayAgg => self.arrays(values, lists),
            AggregateFunction::Collect => self.multisets(values, lists),
            AggregateFunction::Percentile => self.percentiles(&values, lists),
            AggregateFunction::FirstValue | AggregateFunction::LastValue => {
                let firsts = lists.lists().map(|list| list.clone().next());
                let firsts =
                    firsts.map(|entry| entry.map(|entry| &lists.bytes[lists.entries[entry].0.clone()]));
                encoded_column(&self.encoder, firsts, &self.result)
            }
            _ => Err(DataflowError::internal("the aggregate is not made of its values")),
        }
    }

    fn arrays(&self, values: ArrayRef, lists: &Lists) -> Result<ArrayRef, DataflowError> {
        let DataType::List(item) = &self.result else {
            return Err(DataflowError::internal("ARRAY_AGG gives no array"));
        };
        let lengths = checked(lists.lengths())?;
        let nulls: NullBuffer = lengths.iter().map(|length| *length > 0).collect();
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(ListArray::try_new(item.clone(), offsets, values, Some(nulls))?))
    }

    fn multisets(&self, values: ArrayRef, lists: &Lists) -> Result<ArrayRef, DataflowError> {
        let DataType::Map(field, ordered) = &self.result else {
            return Err(DataflowError::internal("COLLECT gives no multiset"));
        };
        let DataType::Struct(fields) = field.data_type() else {
            return Err(DataflowError::internal("a multiset has no entries"));
        };
        let counts =
            (0..lists.entries.len()).map(|entry| i32::try_from(lists.count(entry)).unwrap_or(i32::MAX));
        let counts: ArrayRef = Arc::new(Int32Array::from_iter_values(counts));
        let entries = StructArray::try_new(fields.clone(), vec![values, counts], None)?;
        let offsets = OffsetBuffer::from_lengths(checked(lists.lengths())?);
        Ok(Arc::new(MapArray::try_new(field.clone(), offsets, entries, None, *ordered)?))
    }

    fn percentiles(&self, values: &ArrayRef, lists: &Lists) -> Result<ArrayRef, DataflowError> {
        let (numbers, weights) = match values.as_struct_opt() {
            Some(pairs) => {
                (pairs.column(0).clone(), Some(pairs.column(1).as_primitive::<Int64Type>().clone()))
            }
            None => (values.clone(), None),
        };
        let numbers: &Float64Array = numbers.as_primitive::<Float64Type>();
        let weight = |entry: usize| {
            let own = weights.as_ref().map_or(1, |weights| weights.value(entry));
            lists.count(entry).saturating_mul(own)
        };
        let mut single = Float64Builder::new();
        let mut several = ListBuilder::new(Float64Builder::new());
        let is_single = self.result == DataType::Float64;
        for list in lists.lists() {
            let weighted: Vec<(f64, i64)> = list
                .map(|entry| (numbers.value(entry), weight(entry)))
                .filter(|(_, weight)| *weight > 0)
                .collect();
            let found = percentiles(&weighted, &self.options.percentages);
            match (is_single, found) {
                (true, found) => single.append_option(found.and_then(|found| found.first().copied())),
                (false, Some(found)) if !found.is_empty() => {
                    several.values().append_slice(&found);
                    several.append(true);
                }
                (false, _) => several.append(false),
            }
        }
        if is_single {
            return Ok(Arc::new(single.finish()));
        }
        let (_, offsets, values, nulls) = several.finish().into_parts();
        match &self.result {
            DataType::List(item) => Ok(Arc::new(ListArray::try_new(item.clone(), offsets, values, nulls)?)),
            _ => Err(DataflowError::internal("PERCENTILE gives no array")),
        }
    }
}

fn is_pair(data_type: &DataType, types: &[DataType; 2]) -> bool {
    matches!(data_type, DataType::Struct(fields)
        if fields.len() == 2 && fields.iter().zip(types).all(|(field, wanted)| field.data_type() == wanted))
}

/// More values than an array's offsets can tell apart are refused.
fn checked(lengths: Vec<usize>) -> Result<Vec<usize>, DataflowError> {
    if i32::try_from(lengths.iter().sum::<usize>()).is_err() {
        return Err(DataflowError::invalid("the groups of one step gather more than 2^31 values"));
    }
    Ok(lengths)
}

fn joined(
    values: &ArrayRef,
    lists: &Lists,
    [open, between, close]: [&str; 3],
    empty_is_null: bool,
) -> Result<ArrayRef, DataflowError> {
    let texts = values.as_string::<i32>();
    let mut builder = StringBuilder::new();
    let mut text = String::new();
    for list in lists.lists() {
        if list.is_empty() && empty_is_null {
            builder.append_null();
            continue;
        }
        text.clear();
        text.push_str(open);
        for (number, entry) in list.enumerate() {
            if number > 0 {
                text.push_str(between);
            }
            text.push_str(texts.value(entry));
        }
        text.push_str(close);
        append(&mut builder, &text)?;
    }
    Ok(Arc::new(builder.finish()))
}

/// More bytes than an array's offsets can tell apart are refused.
fn append(builder: &mut StringBuilder, text: &str) -> Result<(), DataflowError> {
    if i32::try_from(builder.values_slice().len() + text.len()).is_err() {
        return Err(DataflowError::invalid("the groups of one step gather texts of more than 2^31 bytes"));
    }
    builder.append_value(text);
    Ok(())
}

/// The entries are in the order of their keys.
fn objects(values: &ArrayRef, lists: &Lists) -> Result<ArrayRef, DataflowError> {
    let pairs = values.as_struct();
    let (keys, texts) = (pairs.column(0).as_string::<i32>(), pairs.column(1).as_string::<i32>());
    let mut builder = StringBuilder::new();
    let mut text = String::new();
    for list in lists.lists() {
        text.clear();
        text.push('{');
        for entry in list.clone() {
            if keys.is_null(entry) {
                return Err(DataflowError::invalid("a key of JSON_OBJECTAGG is NULL; filter such rows out"));
            }
            let key = keys.value(entry);
            let is_repeated = entry > list.start && keys.value(entry - 1) == key;
            if is_repeated || lists.count(entry) > 1 {
                return Err(DataflowError::invalid(format!(
                    "key '{key}' is already present: keys must be unique in JSON_OBJECTAGG; \
                     group by the key too, or aggregate its values first"
                )));
            }
            if entry > list.start {
                text.push(',');
            }
            write_text(&mut text, key);
            text.push(':');
            text.push_str(texts.value(entry));
        }
        text.push('}');
        append(&mut builder, &text)?;
    }
    Ok(Arc::new(builder.finish()))
}

/// A text as JSON has it.
fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            control if u32::from(control) < 0x20 => out.push_str(&format!("\\u{:04X}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}

/// The exact percentiles of sorted values, each with its weight, between two of them where none is met.
fn percentiles(sorted: &[(f64, i64)], parts: &[f64]) -> Option<Vec<f64>> {
    let total = sorted.iter().fold(0_i64, |sum, (_, weight)| sum.saturating_add(*weight));
    if total <= 0 {
        return None;
    }
    let of = |part: &f64| {
        let position = part * (total - 1) as f64 + 1.0;
        let (lower, higher) = (position.floor() as i64, position.ceil() as i64);
        let mut passed = 0_i64;
        for (place, (value, weight)) in sorted.iter().enumerate() {
            passed = passed.saturating_add(*weight);
            if passed < lower {
                continue;
            }
            return match sorted.get(place + 1) {
                Some((next, _)) if passed < higher => {
                    (higher as f64 - position) * value + (position - lower as f64) * next
                }
                _ => *value,
            };
        }
        f64::NAN
    };
    Some(parts.iter().map(of).collect())
}
