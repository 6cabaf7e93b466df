//! Whole rows as byte strings that are as short as is cheap: what is kept of rows is mostly text and small numbers.
//!
//! Equal rows have equal bytes, down to the bits of floats; how bytes compare means nothing. Keys and what is sorted by its
//! bytes are [`super::keys`]'s.
//!
//! A row is the byte [`COMPACT`], a bit for each column that is NULL, and then the values that are not: whole numbers,
//! dates and times as varints; decimals without the bytes that only repeat the sign, behind their number; floats in their
//! width; text and bytes behind their length; what nests as `arrow-row` has it, behind its length.
//!
//! Rows were kept as `arrow-row` has them once, and still are in the state of jobs that began then. Those begin with a byte
//! that is less, so either form is read.

use super::error::DataflowError;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, make_array};
use arrow_buffer::{ArrowNativeType, BooleanBufferBuilder, Buffer, NullBufferBuilder};
use arrow_data::ArrayData;
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::{DataType, IntervalUnit, Schema};
use state::StateError;
use state::varint::{put_varint, take_varint};
use std::borrow::Cow;

/// The first byte of a row. `arrow-row` begins with 0, 1 or 2: a first column that is NULL, is there, is a text.
const COMPACT: u8 = 3;

/// Encodes rows of some types, and gives their columns again.
#[derive(Debug)]
pub(crate) struct RowEncoder {
    types: Vec<DataType>,
    forms: Vec<Form>,
    older: RowConverter,
}

/// How values of a type are written.
#[derive(Debug)]
enum Form {
    Boolean,
    /// Whole numbers of so many bytes.
    Integers(usize),
    Decimals,
    /// The bytes as they are, so many of them.
    Fixed(usize),
    Bytes,
    /// As `arrow-row` has them, NULL too.
    Nested(RowConverter),
}

impl Form {
    fn of(data_type: &DataType) -> Result<Form, DataflowError> {
        use DataType::{
            Binary, Boolean, Date32, Date64, Decimal128, Duration, Float16, Float32, Float64, Int8, Int16,
            Int32, Int64, Interval, Time32, Time64, Timestamp, UInt8, UInt16, UInt32, UInt64, Utf8,
        };
        Ok(match data_type {
            Boolean => Form::Boolean,
            Int8 | UInt8 => Form::Integers(1),
            Int16 | UInt16 => Form::Integers(2),
            Int32 | UInt32 | Date32 | Time32(_) | Interval(IntervalUnit::YearMonth) => Form::Integers(4),
            Int64 | UInt64 | Date64 | Time64(_) | Timestamp(..) | Duration(_) => Form::Integers(8),
            Decimal128(..) => Form::Decimals,
            Float16 => Form::Fixed(2),
            Float32 => Form::Fixed(4),
            Float64 => Form::Fixed(8),
            Utf8 | Binary => Form::Bytes,
            other => Form::Nested(RowConverter::new(vec![SortField::new(other.clone())])?),
        })
    }
}

/// Rows one behind the other.
#[derive(Debug, Default)]
pub(crate) struct EncodedRows {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl EncodedRows {
    #[inline]
    pub(crate) fn bytes(&self, row: usize) -> &[u8] {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[row]]
    }
}

impl RowEncoder {
    pub(crate) fn new(types: Vec<DataType>) -> Result<RowEncoder, DataflowError> {
        let forms = types.iter().map(Form::of).collect::<Result<_, _>>()?;
        let older = RowConverter::new(types.iter().cloned().map(SortField::new).collect())?;
        Ok(RowEncoder { types, forms, older })
    }

    /// For the rows of a relation.
    pub(crate) fn of(schema: &Schema) -> Result<RowEncoder, DataflowError> {
        RowEncoder::new(schema.fields().iter().map(|field| field.data_type().clone()).collect())
    }

    pub(crate) fn encode(&self, rows: &RecordBatch) -> Result<EncodedRows, DataflowError> {
        self.encode_columns(rows.columns(), rows.num_rows())
    }

    pub(crate) fn encode_columns(
        &self,
        columns: &[ArrayRef],
        rows: usize,
    ) -> Result<EncodedRows, DataflowError> {
        let fits = columns.len() == self.forms.len()
            && columns.iter().zip(&self.types).all(|(column, data_type)| {
                column.data_type().equals_datatype(data_type) && column.len() == rows
            });
        if !fits {
            return Err(DataflowError::internal("rows have other columns than they are kept with"));
        }
        let data: Vec<ArrayData> = columns.iter().map(Array::to_data).collect();
        let cells = self.forms.iter().zip(columns).zip(&data);
        let cells: Vec<Cells<'_>> =
            cells.map(|((form, column), data)| Cells::of(form, column, data)).collect::<Result<_, _>>()?;
        let values: usize = cells.iter().map(Cells::bytes).sum();
        let null_bytes = columns.len().div_ceil(8);
        let mut encoded = EncodedRows {
            bytes: Vec::with_capacity(values + rows * (1 + null_bytes)),
            ends: Vec::with_capacity(rows),
        };
        for row in 0..rows {
            let out = &mut encoded.bytes;
            out.push(COMPACT);
            let nulls = out.len();
            out.resize(nulls + null_bytes, 0);
            for (column, (cells, data)) in cells.iter().zip(&data).enumerate() {
                let is_null = data.is_null(row) && !matches!(cells, Cells::Nested(_));
                match is_null {
                    true => out[nulls + column / 8] |= 1 << (column % 8),
                    false => cells.write(row, out),
                }
            }
            encoded.ends.push(encoded.bytes.len());
        }
        Ok(encoded)
    }

    /// The columns again, of rows of either form.
    pub(crate) fn decode<'a>(
        &self,
        rows: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Vec<ArrayRef>, DataflowError> {
        let mut rows: Vec<&[u8]> = rows.collect();
        let older: Vec<&[u8]> = rows.iter().copied().filter(|row| row.first() != Some(&COMPACT)).collect();
        if older.is_empty() {
            return self.decode_compact(&rows);
        }
        let renewed = self.renew(&older)?;
        let places = rows.iter_mut().filter(|row| row.first() != Some(&COMPACT));
        places.enumerate().for_each(|(number, row)| *row = renewed.bytes(number));
        self.decode_compact(&rows)
    }

    /// A row in the form that it has today: what is kept is compared with what comes.
    pub(crate) fn current<'a>(&self, row: &'a [u8]) -> Result<Cow<'a, [u8]>, DataflowError> {
        match row.first() {
            Some(&COMPACT) => Ok(Cow::Borrowed(row)),
            _ => Ok(Cow::Owned(self.renew(&[row])?.bytes)),
        }
    }

    /// Rows of the older form in today's.
    fn renew(&self, rows: &[&[u8]]) -> Result<EncodedRows, DataflowError> {
        let is_known = |row: &&[u8]| match row.first() {
            Some(first) => *first < COMPACT,
            None => self.types.is_empty(),
        };
        if !rows.iter().all(is_known) {
            return Err(StateError::damaged("a row that was kept has an unknown form").into());
        }
        let parser = self.older.parser();
        let columns = match self.types.is_empty() {
            true => Vec::new(),
            false => self.older.convert_rows(rows.iter().map(|row| parser.parse(row)))?,
        };
        self.encode_columns(&columns, rows.len())
    }

    fn decode_compact(&self, rows: &[&[u8]]) -> Result<Vec<ArrayRef>, DataflowError> {
        // The text of a column is no more.
        if rows.iter().map(|row| row.len()).sum::<usize>() > i32::MAX as usize {
            return Err(DataflowError::invalid("the rows of one step take more than 2 GB"));
        }
        let mut columns: Vec<Gathered<'_>> =
            self.forms.iter().map(|form| Gathered::new(form, rows.len())).collect();
        let null_bytes = columns.len().div_ceil(8);
        for row in rows {
            let damaged = |what| StateError::damaged(format!("a row that was kept: {what}"));
            let mut at = 1 + null_bytes;
            let nulls = row.get(1..at).ok_or_else(|| damaged("it is too short"))?;
            for (number, column) in columns.iter_mut().enumerate() {
                let is_null = nulls[number / 8] >> (number % 8) & 1 == 1;
                column.take(row, &mut at, is_null).map_err(damaged)?;
            }
            if at != row.len() {
                return Err(damaged("bytes are left over").into());
            }
        }
        let columns = columns.into_iter().zip(&self.forms).zip(&self.types);
        columns.map(|((column, form), data_type)| column.finish(form, data_type, rows.len())).collect()
    }
}

/// The values of a column on their way into rows.
enum Cells<'a> {
    Boolean(&'a BooleanArray),
    I8(&'a [i8]),
    I16(&'a [i16]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    I128(&'a [i128]),
    Fixed(&'a [u8], usize),
    Bytes(&'a [i32], &'a [u8]),
    Nested(Rows),
}

impl<'a> Cells<'a> {
    fn of(form: &Form, column: &'a ArrayRef, data: &'a ArrayData) -> Result<Cells<'a>, DataflowError> {
        Ok(match form {
            Form::Boolean => Cells::Boolean(column.as_boolean()),
            Form::Integers(1) => Cells::I8(data.buffer(0)),
            Form::Integers(2) => Cells::I16(data.buffer(0)),
            Form::Integers(4) => Cells::I32(data.buffer(0)),
            Form::Integers(_) => Cells::I64(data.buffer(0)),
            Form::Decimals => Cells::I128(data.buffer(0)),
            Form::Fixed(width) => {
                Cells::Fixed(&data.buffers()[0].as_slice()[data.offset() * width..], *width)
            }
            Form::Bytes => Cells::Bytes(data.buffer(0), data.buffers()[1].as_slice()),
            Form::Nested(converter) => {
                Cells::Nested(converter.convert_columns(std::slice::from_ref(column))?)
            }
        })
    }

    /// About how many bytes all of them take.
    fn bytes(&self) -> usize {
        match self {
            Cells::Boolean(values) => values.len(),
            Cells::I8(values) => values.len() * 2,
            Cells::I16(values) => values.len() * 2,
            Cells::I32(values) => values.len() * 3,
            Cells::I64(values) => values.len() * 5,
            Cells::I128(values) => values.len() * 5,
            Cells::Fixed(values, _) => values.len(),
            Cells::Bytes(offsets, _) => {
                let ends = offsets.first().zip(offsets.last());
                ends.map_or(0, |(first, last)| (last - first) as usize) + offsets.len()
            }
            Cells::Nested(rows) => rows.iter().map(|row| row.data().len() + 2).sum(),
        }
    }

    #[inline]
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Cells::Boolean(values) => out.push(u8::from(values.value(row))),
            Cells::I8(values) => put_number(out, i64::from(values[row])),
            Cells::I16(values) => put_number(out, i64::from(values[row])),
            Cells::I32(values) => put_number(out, i64::from(values[row])),
            Cells::I64(values) => put_number(out, values[row]),
            Cells::I128(values) => put_wide(out, values[row]),
            Cells::Fixed(values, width) => out.extend_from_slice(&values[row * width..(row + 1) * width]),
            Cells::Bytes(offsets, values) => {
                let value = &values[offsets[row] as usize..offsets[row + 1] as usize];
                put_varint(out, value.len() as u64);
                out.extend_from_slice(value);
            }
            Cells::Nested(rows) => {
                let value = rows.row(row);
                put_varint(out, value.data().len() as u64);
                out.extend_from_slice(value.data());
            }
        }
    }
}

/// Numbers around zero take the fewest bytes, whatever their sign.
fn put_number(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

fn take_number(row: &[u8], at: &mut usize) -> Result<i64, &'static str> {
    let value = take_varint(row, at)?;
    Ok((value >> 1) as i64 ^ -((value & 1) as i64))
}

fn put_wide(out: &mut Vec<u8>, value: i128) {
    let spare = if value < 0 { value.leading_ones() } else { value.leading_zeros() };
    // The first bit that stays says the sign.
    let count = 16 - (spare.saturating_sub(1) / 8) as usize;
    out.push(count as u8);
    out.extend_from_slice(&value.to_le_bytes()[..count]);
}

fn take_wide(row: &[u8], at: &mut usize) -> Result<i128, &'static str> {
    let [count] = *take_slice(row, at, 1)? else { return Err("a value ends too early") };
    let count = usize::from(count);
    let own = take_slice(row, at, count)?;
    let sign = if own.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
    let mut bytes = [sign; 16];
    bytes.get_mut(..count).ok_or("a decimal is too long")?.copy_from_slice(own);
    Ok(i128::from_le_bytes(bytes))
}

fn take_slice<'a>(row: &'a [u8], at: &mut usize, count: usize) -> Result<&'a [u8], &'static str> {
    let end = at.checked_add(count).filter(|end| *end <= row.len()).ok_or("a value ends too early")?;
    Ok(&row[std::mem::replace(at, end)..end])
}

fn take_bytes<'a>(row: &'a [u8], at: &mut usize) -> Result<&'a [u8], &'static str> {
    let count = usize::try_from(take_varint(row, at)?).map_err(|_| "a value is too long")?;
    take_slice(row, at, count)
}

/// A column on its way out of rows.
struct Gathered<'a> {
    nulls: NullBufferBuilder,
    values: Values<'a>,
}

enum Values<'a> {
    Boolean(BooleanBufferBuilder),
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    I128(Vec<i128>),
    Fixed(Vec<u8>, usize),
    /// Where each ends, and all of them.
    Bytes(Vec<i32>, Vec<u8>),
    Nested(Vec<&'a [u8]>),
}

impl<'a> Gathered<'a> {
    fn new(form: &Form, rows: usize) -> Gathered<'a> {
        let values = match form {
            Form::Boolean => Values::Boolean(BooleanBufferBuilder::new(rows)),
            Form::Integers(1) => Values::I8(Vec::with_capacity(rows)),
            Form::Integers(2) => Values::I16(Vec::with_capacity(rows)),
            Form::Integers(4) => Values::I32(Vec::with_capacity(rows)),
            Form::Integers(_) => Values::I64(Vec::with_capacity(rows)),
            Form::Decimals => Values::I128(Vec::with_capacity(rows)),
            Form::Fixed(width) => Values::Fixed(Vec::with_capacity(rows * width), *width),
            Form::Bytes => {
                let mut offsets = Vec::with_capacity(rows + 1);
                offsets.push(0);
                Values::Bytes(offsets, Vec::new())
            }
            Form::Nested(_) => Values::Nested(Vec::with_capacity(rows)),
        };
        Gathered { nulls: NullBufferBuilder::new(rows), values }
    }

    /// Takes the next value out of a row; or says what is wrong with it.
    #[inline]
    fn take(&mut self, row: &'a [u8], at: &mut usize, is_null: bool) -> Result<(), &'static str> {
        fn narrow<T: TryFrom<i64> + Default>(
            row: &[u8],
            at: &mut usize,
            is_null: bool,
        ) -> Result<T, &'static str> {
            match is_null {
                true => Ok(T::default()),
                false => T::try_from(take_number(row, at)?).map_err(|_| "a number is out of range"),
            }
        }
        match &mut self.values {
            Values::Boolean(values) => values.append(!is_null && take_slice(row, at, 1)? != [0]),
            Values::I8(values) => values.push(narrow(row, at, is_null)?),
            Values::I16(values) => values.push(narrow(row, at, is_null)?),
            Values::I32(values) => values.push(narrow(row, at, is_null)?),
            Values::I64(values) => values.push(narrow(row, at, is_null)?),
            Values::I128(values) => values.push(if is_null { 0 } else { take_wide(row, at)? }),
            Values::Fixed(values, width) => match is_null {
                true => values.resize(values.len() + *width, 0),
                false => values.extend_from_slice(take_slice(row, at, *width)?),
            },
            Values::Bytes(offsets, values) => {
                if !is_null {
                    values.extend_from_slice(take_bytes(row, at)?);
                }
                offsets.push(i32::try_from(values.len()).map_err(|_| "a text is too long")?);
            }
            Values::Nested(values) => values.push(take_bytes(row, at)?),
        }
        self.nulls.append(!is_null);
        Ok(())
    }

    fn finish(mut self, form: &Form, data_type: &DataType, rows: usize) -> Result<ArrayRef, DataflowError> {
        fn buffer<T: ArrowNativeType>(values: Vec<T>) -> Vec<Buffer> {
            vec![Buffer::from_vec(values)]
        }
        let nulls = self.nulls.finish();
        let buffers = match self.values {
            Values::Boolean(mut values) => {
                return Ok(std::sync::Arc::new(BooleanArray::new(values.finish(), nulls)));
            }
            Values::Nested(values) => {
                let Form::Nested(converter) = form else {
                    return Err(DataflowError::internal("a column is kept in another form"));
                };
                let parser = converter.parser();
                let column = converter.convert_rows(values.into_iter().map(|value| parser.parse(value)))?;
                let column = column.into_iter().next();
                return column.ok_or_else(|| DataflowError::internal("a nested value has no column"));
            }
            Values::I8(values) => buffer(values),
            Values::I16(values) => buffer(values),
            Values::I32(values) => buffer(values),
            Values::I64(values) => buffer(values),
            Values::I128(values) => buffer(values),
            Values::Fixed(values, _) => buffer(values),
            Values::Bytes(offsets, values) => vec![Buffer::from_vec(offsets), Buffer::from_vec(values)],
        };
        let data = ArrayData::builder(data_type.clone()).len(rows).nulls(nulls).buffers(buffers);
        Ok(make_array(data.align_buffers(true).build()?))
    }
}

#[cfg(test)]
mod tests {
    use super::{COMPACT, RowEncoder};
    use crate::engine::KeyEncoder;
    use arrow_array::builder::{Int64Builder, MapBuilder, StringBuilder};
    use arrow_array::types::Int32Type;
    use arrow_array::*;
    use arrow_buffer::NullBuffer;
    use arrow_schema::{DataType, Field, Fields, Schema};
    use std::sync::Arc;

    const ROWS: usize = 4;

    /// A column of each kind, with a NULL in it; `name` says what it is.
    fn columns() -> Vec<(&'static str, ArrayRef)> {
        let text = ["a", "", "\u{e9}\u{1f600}"];
        let wide = [0, i128::MIN, i128::MAX];
        // As many nines as the type has, and one that it has not: sums may leave it before they are checked.
        let decimals = [-1, 10i128.pow(38) - 1, 10i128.pow(38)];
        let decimals: Decimal128Array = with_null(decimals).collect();
        let lists = with_null([vec![Some(1), None], vec![], vec![Some(i32::MIN)]]);
        vec![
            ("boolean", Arc::new(with_null([true, false, true]).collect::<BooleanArray>())),
            ("tinyint", Arc::new(with_null([0, i8::MIN, i8::MAX]).collect::<Int8Array>())),
            ("smallint", Arc::new(with_null([-1, i16::MIN, i16::MAX]).collect::<Int16Array>())),
            ("int", Arc::new(with_null([63, i32::MIN, i32::MAX]).collect::<Int32Array>())),
            ("bigint", Arc::new(with_null([-64, i64::MIN, i64::MAX]).collect::<Int64Array>())),
            ("unsigned", Arc::new(with_null([0, 1, u64::MAX]).collect::<UInt64Array>())),
            ("date", Arc::new(with_null([0, -719_162, 2_932_896]).collect::<Date32Array>())),
            ("time", Arc::new(with_null([0, 1, 86_399_999]).collect::<Time32MillisecondArray>())),
            (
                "timestamp",
                Arc::new(
                    with_null([0, -1, 1_700_000_000_000])
                        .collect::<TimestampMillisecondArray>()
                        .with_timezone("UTC"),
                ),
            ),
            ("wide", Arc::new(with_null(wide).collect::<Decimal128Array>())),
            ("decimal", Arc::new(decimals.with_precision_and_scale(38, 18).unwrap())),
            (
                "float",
                Arc::new(with_null([-0.0, f32::MIN_POSITIVE, f32::INFINITY]).collect::<Float32Array>()),
            ),
            ("double", Arc::new(with_null([0.1, -f64::NAN, f64::MAX]).collect::<Float64Array>())),
            ("text", Arc::new(with_null(text).collect::<StringArray>())),
            ("bytes", Arc::new(with_null([&[0u8][..], b"", &[3; 300]]).collect::<BinaryArray>())),
            ("list", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists))),
            ("month", Arc::new(with_null([0, -1, 12]).collect::<IntervalYearMonthArray>())),
            ("micros", Arc::new(with_null([0, -1, i64::MAX]).collect::<TimestampMicrosecondArray>())),
            ("nothing", Arc::new(NullArray::new(ROWS))),
            ("row", row()),
            ("map", map()),
        ]
    }

    fn row() -> ArrayRef {
        let fields =
            Fields::from(vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Utf8, true)]);
        let a: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, None, Some(-1)]));
        let b: ArrayRef = Arc::new(StringArray::from(vec![None, Some("x"), None, Some("")]));
        let nulls = NullBuffer::from(vec![true, true, false, true]);
        Arc::new(StructArray::new(fields, vec![a, b], Some(nulls)))
    }

    fn map() -> ArrayRef {
        let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
        map.keys().append_value("k");
        map.values().append_null();
        map.append(true).unwrap();
        map.append(false).unwrap();
        map.append(true).unwrap();
        map.keys().append_value("");
        map.values().append_value(i64::MIN);
        map.append(true).unwrap();
        Arc::new(map.finish())
    }

    fn with_null<T>([first, second, third]: [T; 3]) -> impl Iterator<Item = Option<T>> {
        [Some(first), None, Some(second), Some(third)].into_iter()
    }

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        let field = |(name, column): &(&str, ArrayRef)| Field::new(*name, column.data_type().clone(), true);
        let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
        let arrays = columns.into_iter().map(|(_, column)| column).collect();
        RecordBatch::try_new(Arc::new(schema), arrays).unwrap()
    }

    /// NaN is equal to itself here, as its bits are.
    fn assert_same(back: &[ArrayRef], rows: &RecordBatch, what: &str) {
        let keys = KeyEncoder::of(rows.schema_ref()).unwrap();
        let given = keys.encode(rows).unwrap();
        let back = keys.encode_columns(back, rows.num_rows()).unwrap();
        (0..rows.num_rows())
            .for_each(|row| assert_eq!(back.bytes(row), given.bytes(row), "{what}, row {row}"));
    }

    #[test]
    fn every_type_comes_back_alone_and_beside_others_and_of_a_part() {
        let all = batch(columns());
        let each = columns().into_iter().map(|(name, column)| batch(vec![(name, column)]));
        for rows in each.chain([all.clone(), all.slice(1, 2), all.slice(3, 1), all.slice(2, 0)]) {
            let encoder = RowEncoder::of(rows.schema_ref()).unwrap();
            let encoded = encoder.encode(&rows).unwrap();
            let back = encoder.decode((0..rows.num_rows()).map(|row| encoded.bytes(row))).unwrap();
            assert_same(&back, &rows, &format!("{:?}", rows.schema_ref().fields()));
            for (column, given) in back.iter().zip(rows.columns()) {
                assert_eq!(column.data_type(), given.data_type());
            }
        }
    }

    #[test]
    fn rows_of_the_older_form_come_back_among_others_and_have_one_form_today() {
        let all = batch(columns());
        let first = columns()
            .into_iter()
            .map(|(name, column)| batch(vec![(name, column.clone()), ("again", column)]));
        for rows in first.chain([all]) {
            let encoder = RowEncoder::of(rows.schema_ref()).unwrap();
            let encoded = encoder.encode(&rows).unwrap();
            let older = KeyEncoder::of(rows.schema_ref()).unwrap().encode(&rows).unwrap();
            let mixed = (0..ROWS).map(|row| if row % 2 == 0 { older.bytes(row) } else { encoded.bytes(row) });
            assert_same(&encoder.decode(mixed).unwrap(), &rows, &format!("{:?}", rows.schema_ref().fields()));
            for row in 0..ROWS {
                assert!(older.bytes(row)[0] < COMPACT);
                assert_eq!(*encoder.current(older.bytes(row)).unwrap(), *encoded.bytes(row));
                assert_eq!(*encoder.current(encoded.bytes(row)).unwrap(), *encoded.bytes(row));
            }
        }
    }

    #[test]
    fn small_values_take_few_bytes_and_no_columns_take_one() {
        let short = batch(vec![
            ("n", Arc::new(Int64Array::from(vec![-64, 64, 1_700_000_000_000]))),
            ("d", Arc::new(Decimal128Array::from(vec![0, -128, 128]))),
            ("t", Arc::new(StringArray::from(vec!["", "ab", "abc"]))),
        ]);
        let encoder = RowEncoder::of(short.schema_ref()).unwrap();
        let encoded = encoder.encode(&short).unwrap();
        let lengths: Vec<usize> = (0..3).map(|row| encoded.bytes(row).len()).collect();
        // The form and the NULLs; a number; a decimal and how long it is; a text and how long it is.
        assert_eq!(lengths, [2 + 1 + 2 + 1, 2 + 2 + 2 + 3, 2 + 6 + 3 + 4]);
        let nothing = RowEncoder::new(Vec::new()).unwrap();
        let rows = nothing.encode_columns(&[], 2).unwrap();
        assert_eq!((rows.bytes(0), rows.bytes(1)), (&[COMPACT][..], &[COMPACT][..]));
        assert!(nothing.decode([rows.bytes(0), &[]].into_iter()).unwrap().is_empty());
    }

    #[test]
    fn damaged_rows_are_an_error() {
        let all = batch(columns());
        let encoder = RowEncoder::of(all.schema_ref()).unwrap();
        let encoded = encoder.encode(&all).unwrap();
        for row in (0..ROWS).map(|row| encoded.bytes(row)) {
            for length in 1..row.len() {
                encoder.decode(std::iter::once(&row[..length])).unwrap_err();
            }
            let longer = [row, &[0]].concat();
            let error = encoder.decode(std::iter::once(longer.as_slice())).unwrap_err();
            assert!(error.message.contains("bytes are left over"), "{error}");
        }
        let number = RowEncoder::new(vec![DataType::Int8]).unwrap();
        for (bytes, told) in [
            (&[COMPACT, 0, 0x80, 2][..], "out of range"),
            (&[COMPACT, 0, 0x80], "too early"),
            (&[COMPACT, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1], "too long"),
        ] {
            let error = number.decode(std::iter::once(bytes)).unwrap_err();
            assert!(error.message.contains(told), "{error}");
        }
        for unknown in [&[][..], &[COMPACT + 1, 0, 0]] {
            let error = number.decode(std::iter::once(unknown)).unwrap_err();
            assert!(error.message.contains("an unknown form"), "{error}");
        }
        let text = RowEncoder::new(vec![DataType::Utf8]).unwrap();
        text.decode(std::iter::once(&[COMPACT, 0, 1, 0xff][..])).unwrap_err();
        let decimal = RowEncoder::new(vec![DataType::Decimal128(38, 0)]).unwrap();
        let wide = [&[COMPACT, 0, 17][..], &[0; 17]].concat();
        decimal.decode(std::iter::once(wide.as_slice())).unwrap_err();
        let other = batch(vec![("n", Arc::new(Int32Array::from(vec![1])))]);
        number.encode(&other).unwrap_err();
    }
}
