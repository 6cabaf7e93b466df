//! Builders of one column each, which can be cut back to an earlier length.
//!
//! Arrow's own builders only grow. A record that turns out to be bad after half of its fields were
//! appended must leave no trace, so these keep plain vectors, become arrays without copying, and
//! know `truncate`.

use crate::names::Names;
use crate::{DecodeError, FormatError};
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, ListArray, MapArray, PrimitiveArray, RecordBatch,
    RecordBatchOptions, StringArray, StructArray,
};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use std::sync::Arc;

/// A column that grows by values and NULLs.
pub(crate) struct ColumnBuilder {
    pub name: String,
    /// Whether the column may be NULL.
    pub nullable: bool,
    pub values: Values,
    nulls: NullBufferBuilder,
    length: usize,
}

/// The values by type; a NULL takes a place of its own.
pub(crate) enum Values {
    Boolean(BooleanBufferBuilder),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Decimal { values: Vec<i128>, precision: u8, scale: i8 },
    Utf8(Bytes),
    Binary(Bytes),
    Date(Vec<i32>),
    Time(Vec<i32>),
    Timestamp { values: Vec<i64>, unit: TimeUnit, zone: Option<Arc<str>> },
    Struct { fields: Fields, children: Children, names: Names },
    List { item: FieldRef, offsets: Vec<i32>, child: Box<ColumnBuilder> },
    Map { entries: FieldRef, offsets: Vec<i32>, key: Box<ColumnBuilder>, value: Box<ColumnBuilder> },
}

/// The columns of a row within a row.
///
/// Where most rows are NULL, as in a table of several kinds of events with a row for each, putting a NULL into each column
/// of each would cost more than reading what is there: they are counted, and put in together.
pub(crate) struct Children {
    columns: Vec<ColumnBuilder>,
    /// The last rows, all NULL, which the columns do not have yet.
    nulls: usize,
}

impl Children {
    /// The columns, all as long as the rows are, for one more row.
    pub(crate) fn columns(&mut self) -> &mut [ColumnBuilder] {
        let nulls = std::mem::take(&mut self.nulls);
        if nulls > 0 {
            self.columns.iter_mut().for_each(|column| column.push_nulls(nulls));
        }
        &mut self.columns
    }

    /// Cuts `rows` back to `length`; a row that is not finished goes too.
    fn truncate(&mut self, rows: usize, length: usize) {
        let in_columns = rows - self.nulls;
        self.nulls = self.nulls.min(length.saturating_sub(in_columns));
        self.columns.iter_mut().for_each(|column| column.truncate(length.min(in_columns)));
    }
}

/// Values of variable length, one behind the other.
pub(crate) struct Bytes {
    offsets: Vec<i32>,
    pub bytes: Vec<u8>,
}

/// What is said of a batch whose texts are longer together than Arrow's offsets reach.
pub(crate) const TOO_LONG: &str = "the texts of one batch are longer than 2 GiB together";

impl Bytes {
    fn new() -> Bytes {
        Bytes { offsets: vec![0], bytes: Vec::new() }
    }

    /// Ends a value whose bytes were appended to `bytes`; the caller appends them first.
    fn end_value(&mut self) -> Result<(), &'static str> {
        let end = i32::try_from(self.bytes.len()).map_err(|_| TOO_LONG)?;
        self.offsets.push(end);
        Ok(())
    }

    /// A value that is there.
    pub(crate) fn value(&self, index: usize) -> &[u8] {
        &self.bytes[self.offsets[index] as usize..self.offsets[index + 1] as usize]
    }

    fn truncate(&mut self, length: usize) {
        self.offsets.truncate(length + 1);
        self.bytes.truncate(self.offsets.last().map_or(0, |end| *end as usize));
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        // Offsets only ever grow, by construction.
        (OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(std::mem::take(&mut self.bytes)))
    }
}

impl ColumnBuilder {
    pub(crate) fn new(field: &Field) -> Result<ColumnBuilder, String> {
        let values = match field.data_type() {
            DataType::Boolean => Values::Boolean(BooleanBufferBuilder::new(0)),
            DataType::Int8 => Values::Int8(Vec::new()),
            DataType::Int16 => Values::Int16(Vec::new()),
            DataType::Int32 => Values::Int32(Vec::new()),
            DataType::Int64 => Values::Int64(Vec::new()),
            DataType::Float32 => Values::Float32(Vec::new()),
            DataType::Float64 => Values::Float64(Vec::new()),
            DataType::Decimal128(precision, scale) => {
                Values::Decimal { values: Vec::new(), precision: *precision, scale: *scale }
            }
            DataType::Utf8 => Values::Utf8(Bytes::new()),
            DataType::Binary => Values::Binary(Bytes::new()),
            DataType::Date32 => Values::Date(Vec::new()),
            DataType::Time32(TimeUnit::Millisecond) => Values::Time(Vec::new()),
            DataType::Timestamp(unit, zone) => {
                Values::Timestamp { values: Vec::new(), unit: *unit, zone: zone.clone() }
            }
            DataType::Struct(fields) => {
                let columns =
                    fields.iter().map(|field| ColumnBuilder::new(field)).collect::<Result<_, _>>()?;
                let children = Children { columns, nulls: 0 };
                let names = Names::new(fields.iter().map(|field| field.name().as_str()));
                Values::Struct { fields: fields.clone(), children, names }
            }
            DataType::List(item) => {
                let child = Box::new(ColumnBuilder::new(item)?);
                Values::List { item: item.clone(), offsets: vec![0], child }
            }
            DataType::Map(entries, _) => {
                let DataType::Struct(fields) = entries.data_type() else {
                    return Err(format!("column '{}' has a map without entries", field.name()));
                };
                let [key, value] = fields.as_ref() else {
                    return Err(format!("column '{}' has a map without key and value", field.name()));
                };
                let key = Box::new(ColumnBuilder::new(key)?);
                let value = Box::new(ColumnBuilder::new(value)?);
                Values::Map { entries: entries.clone(), offsets: vec![0], key, value }
            }
            other => return Err(format!("column '{}': no format takes the type {other}", field.name())),
        };
        let nulls = NullBufferBuilder::new(0);
        Ok(ColumnBuilder {
            name: field.name().clone(),
            nullable: field.is_nullable(),
            values,
            nulls,
            length: 0,
        })
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Makes the value that was just put into `values` count.
    #[inline]
    pub(crate) fn end_value(&mut self) {
        self.length += 1;
        self.nulls.append_non_null();
    }

    pub(crate) fn push_bytes(&mut self, value: &[u8]) -> Result<(), &'static str> {
        match &mut self.values {
            Values::Utf8(bytes) | Values::Binary(bytes) => {
                bytes.bytes.extend_from_slice(value);
                bytes.end_value()?;
            }
            _ => return Err("the column holds no bytes"),
        }
        self.end_value();
        Ok(())
    }

    /// Ends a text whose bytes the caller has appended to the values' `bytes`.
    pub(crate) fn end_bytes(&mut self) -> Result<(), &'static str> {
        self.push_bytes(&[])
    }

    /// Appends a NULL, whether or not the column may be one: the caller has checked.
    #[inline]
    pub(crate) fn push_null(&mut self) {
        self.push_nulls(1);
    }

    fn push_nulls(&mut self, count: usize) {
        fn fill<T: Copy + Default>(values: &mut Vec<T>, count: usize) {
            values.resize(values.len() + count, T::default());
        }
        fn repeat(offsets: &mut Vec<i32>, count: usize) {
            let end = offsets.last().copied().unwrap_or(0);
            offsets.resize(offsets.len() + count, end);
        }
        match &mut self.values {
            Values::Boolean(values) => values.append_n(count, false),
            Values::Int8(values) => fill(values, count),
            Values::Int16(values) => fill(values, count),
            Values::Int32(values) | Values::Date(values) | Values::Time(values) => fill(values, count),
            Values::Int64(values) | Values::Timestamp { values, .. } => fill(values, count),
            Values::Float32(values) => fill(values, count),
            Values::Float64(values) => fill(values, count),
            Values::Decimal { values, .. } => fill(values, count),
            Values::Utf8(bytes) | Values::Binary(bytes) => repeat(&mut bytes.offsets, count),
            Values::Struct { children, .. } => children.nulls += count,
            Values::List { offsets, .. } | Values::Map { offsets, .. } => repeat(offsets, count),
        }
        self.length += count;
        self.nulls.append_n_nulls(count);
    }

    /// Cuts the column back to `length` values; also drops what an unfinished value left behind.
    pub(crate) fn truncate(&mut self, length: usize) {
        match &mut self.values {
            Values::Boolean(values) => values.truncate(length),
            Values::Int8(values) => values.truncate(length),
            Values::Int16(values) => values.truncate(length),
            Values::Int32(values) | Values::Date(values) | Values::Time(values) => values.truncate(length),
            Values::Int64(values) | Values::Timestamp { values, .. } => values.truncate(length),
            Values::Float32(values) => values.truncate(length),
            Values::Float64(values) => values.truncate(length),
            Values::Decimal { values, .. } => values.truncate(length),
            Values::Utf8(bytes) | Values::Binary(bytes) => bytes.truncate(length),
            Values::Struct { children, .. } => children.truncate(self.length, length),
            Values::List { offsets, child, .. } => {
                offsets.truncate(length + 1);
                child.truncate(last(offsets));
            }
            Values::Map { offsets, key, value, .. } => {
                offsets.truncate(length + 1);
                key.truncate(last(offsets));
                value.truncate(last(offsets));
            }
        }
        self.length = self.length.min(length);
        self.nulls.truncate(length);
    }

    /// The values so far as an array; the builder begins anew.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let length = std::mem::take(&mut self.length);
        let nulls = self.nulls.finish();
        macro_rules! primitive {
            ($type:ty, $values:expr) => {
                PrimitiveArray::<$type>::try_new(ScalarBuffer::from(std::mem::take($values)), nulls)?
            };
        }
        Ok(match &mut self.values {
            Values::Boolean(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Int8(values) => Arc::new(primitive!(Int8Type, values)),
            Values::Int16(values) => Arc::new(primitive!(Int16Type, values)),
            Values::Int32(values) => Arc::new(primitive!(Int32Type, values)),
            Values::Int64(values) => Arc::new(primitive!(Int64Type, values)),
            Values::Float32(values) => Arc::new(primitive!(Float32Type, values)),
            Values::Float64(values) => Arc::new(primitive!(Float64Type, values)),
            Values::Decimal { values, precision, scale } => {
                Arc::new(primitive!(Decimal128Type, values).with_precision_and_scale(*precision, *scale)?)
            }
            Values::Utf8(bytes) => {
                let (offsets, bytes) = bytes.take();
                Arc::new(StringArray::try_new(offsets, bytes, nulls)?)
            }
            Values::Binary(bytes) => {
                let (offsets, bytes) = bytes.take();
                Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?)
            }
            Values::Date(values) => Arc::new(primitive!(Date32Type, values)),
            Values::Time(values) => Arc::new(primitive!(Time32MillisecondType, values)),
            Values::Timestamp { values, unit, zone } => {
                let zone = zone.clone();
                match unit {
                    TimeUnit::Second => {
                        Arc::new(primitive!(TimestampSecondType, values).with_timezone_opt(zone))
                    }
                    TimeUnit::Millisecond => {
                        Arc::new(primitive!(TimestampMillisecondType, values).with_timezone_opt(zone))
                    }
                    TimeUnit::Microsecond => {
                        Arc::new(primitive!(TimestampMicrosecondType, values).with_timezone_opt(zone))
                    }
                    TimeUnit::Nanosecond => {
                        Arc::new(primitive!(TimestampNanosecondType, values).with_timezone_opt(zone))
                    }
                }
            }
            Values::Struct { fields, children, .. } => {
                let arrays = children
                    .columns()
                    .iter_mut()
                    .map(ColumnBuilder::finish)
                    .collect::<Result<Vec<_>, _>>()?;
                Arc::new(StructArray::try_new_with_length(fields.clone(), arrays, nulls, length)?)
            }
            Values::List { item, offsets, child } => {
                Arc::new(ListArray::try_new(item.clone(), take(offsets), child.finish()?, nulls)?)
            }
            Values::Map { entries, offsets, key, value } => {
                let DataType::Struct(fields) = entries.data_type() else {
                    return Err(ArrowError::SchemaError("a map without entries".into()));
                };
                let pairs = StructArray::try_new(fields.clone(), vec![key.finish()?, value.finish()?], None)?;
                Arc::new(MapArray::try_new(entries.clone(), take(offsets), pairs, nulls, false)?)
            }
        })
    }
}

/// Builders of the wanted columns, and the schema of what they become; for formats whose maps have texts for keys.
pub(crate) fn columns_of(
    schema: &SchemaRef,
    projection: &[usize],
) -> Result<(SchemaRef, Vec<ColumnBuilder>), FormatError> {
    for index in projection {
        let field = schema.field(*index);
        if has_other_keys(field.data_type()) {
            let message = format!("column '{}': the keys of a MAP must be of type STRING", field.name());
            return Err(FormatError(message));
        }
    }
    columns_with_any_keys(schema, projection)
}

fn has_other_keys(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => fields.iter().any(|field| has_other_keys(field.data_type())),
        DataType::List(item) => has_other_keys(item.data_type()),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => {
                pair.first().is_some_and(|key| key.data_type() != &DataType::Utf8)
                    || pair.iter().any(|field| has_other_keys(field.data_type()))
            }
            _ => false,
        },
        _ => false,
    }
}

/// The same for formats whose maps may have other keys.
pub(crate) fn columns_with_any_keys(
    schema: &SchemaRef,
    projection: &[usize],
) -> Result<(SchemaRef, Vec<ColumnBuilder>), FormatError> {
    let projected: Schema = schema.project(projection).map_err(|error| FormatError(error.to_string()))?;
    let columns = projected.fields().iter().map(|field| ColumnBuilder::new(field));
    let columns = columns.collect::<Result<Vec<_>, _>>().map_err(FormatError)?;
    Ok((Arc::new(projected), columns))
}

/// The rows so far; the builders begin anew.
pub(crate) fn build_batch(
    schema: &SchemaRef,
    columns: &mut [ColumnBuilder],
    rows: usize,
) -> Result<RecordBatch, DecodeError> {
    let failed = |error: ArrowError| DecodeError::Record(error.to_string());
    let arrays =
        columns.iter_mut().map(ColumnBuilder::finish).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), arrays, &options).map_err(failed)
}

fn last(offsets: &[i32]) -> usize {
    offsets.last().map_or(0, |end| *end as usize)
}

fn take(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(offsets, vec![0])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Action {
        Null,
        Inner(Option<i64>),
        Unfinished,
        Truncate(usize),
        Finish,
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            6 => Just(Action::Null),
            3 => any::<Option<i64>>().prop_map(Action::Inner),
            1 => Just(Action::Unfinished),
            2 => (0usize..12).prop_map(Action::Truncate),
            1 => Just(Action::Finish),
        ]
    }

    /// A row in a row: NULL outside, inside, or a number.
    type Row = Option<Option<i64>>;

    fn rows(array: &ArrayRef) -> Vec<Row> {
        let outer = array.as_struct();
        let inner = outer.column(0).as_struct();
        let numbers = inner.column(0).as_primitive::<Int64Type>();
        assert_eq!(outer.column(1).len(), outer.len());
        let number = |row| inner.is_valid(row).then(|| numbers.value(row));
        (0..outer.len()).map(|row| outer.is_valid(row).then(|| number(row))).collect()
    }

    proptest! {
        #[test]
        fn rows_within_rows_are_as_their_model(actions in prop::collection::vec(action(), 0..80)) {
            let number = Field::new("n", DataType::Int64, true);
            let inner = Field::new("inner", DataType::Struct(vec![number].into()), true);
            let text = Field::new("text", DataType::Utf8, true);
            let outer = Field::new("outer", DataType::Struct(vec![inner, text].into()), true);
            let (mut column, mut model) = (ColumnBuilder::new(&outer).unwrap(), Vec::<Row>::new());
            for action in actions {
                match action {
                    Action::Null => {
                        column.push_null();
                        model.push(None);
                    }
                    Action::Inner(n) => {
                        let Values::Struct { children, .. } = &mut column.values else { unreachable!() };
                        let [inner, text] = children.columns() else { unreachable!() };
                        match n {
                            None => inner.push_null(),
                            Some(n) => {
                                let Values::Struct { children, .. } = &mut inner.values else { unreachable!() };
                                let Values::Int64(numbers) = &mut children.columns()[0].values else {
                                    unreachable!()
                                };
                                numbers.push(n);
                                children.columns()[0].end_value();
                                inner.end_value();
                            }
                        }
                        text.push_bytes(b"text").unwrap();
                        column.end_value();
                        model.push(Some(n));
                    }
                    Action::Unfinished => {
                        let Values::Struct { children, .. } = &mut column.values else { unreachable!() };
                        children.columns()[1].push_bytes(b"left").unwrap();
                        column.truncate(model.len());
                    }
                    Action::Truncate(less) => {
                        model.truncate(model.len().saturating_sub(less));
                        column.truncate(model.len());
                    }
                    Action::Finish => {
                        prop_assert_eq!(rows(&column.finish().unwrap()), std::mem::take(&mut model));
                    }
                }
                prop_assert_eq!(column.len(), model.len());
            }
            prop_assert_eq!(rows(&column.finish().unwrap()), model);
        }
    }
}
