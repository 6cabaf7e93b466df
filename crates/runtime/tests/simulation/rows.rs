//! Rows of the simulation: whole numbers, the first of which is the kind of change; in topics and as columns.
//!
//! A record is as many numbers of eight bytes as its topic is wide, so that one look at the bytes tells what a row was.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef, Int8Array, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use dataflow::batch::{Batch, RowKind};
use std::sync::Arc;

/// The kind, then the columns.
pub type Row = Vec<i64>;

pub const NULL: i64 = i64::MIN;
pub const INSERT: i64 = RowKind::Insert as i64;
pub const UPDATE: i64 = RowKind::UpdateAfter as i64;
pub const DELETE: i64 = RowKind::Delete as i64;
/// The last record of an input: no row follows.
pub const END: i64 = 9;

pub const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

/// Stands before the rows of a batch: what the log patches.
const HEADER_BYTES: usize = 16;

pub fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let fields: Vec<_> = columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect();
    Arc::new(Schema::new(fields))
}

pub fn encode(rows: &[Row]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    rows.iter().flatten().for_each(|cell| bytes.extend_from_slice(&cell.to_le_bytes()));
    bytes
}

/// The rows of a batch; `width` is the number of columns.
pub fn decode(bytes: &[u8], width: usize) -> Vec<Row> {
    let number = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    let rows = bytes[HEADER_BYTES..].chunks_exact((1 + width) * 8);
    rows.map(|row| row.chunks_exact(8).map(number).collect()).collect()
}

/// Rows as columns, and their kinds.
pub fn columns(schema: &SchemaRef, rows: &[Row]) -> (RecordBatch, Int8Array) {
    let kinds = rows.iter().map(|row| row[0] as i8).collect();
    let column = |(index, field): (usize, &Arc<Field>)| -> ArrayRef {
        let cells = rows.iter().map(|row| Some(row[1 + index]).filter(|cell| *cell != NULL));
        match field.data_type() {
            DataType::Int64 => Arc::new(cells.collect::<Int64Array>()),
            _ => Arc::new(cells.collect::<TimestampMillisecondArray>()),
        }
    };
    let columns = schema.fields().iter().enumerate().map(column).collect();
    (RecordBatch::try_new(schema.clone(), columns).expect("the columns fit the schema"), kinds)
}

/// What a sink gets, as rows.
pub fn rows_of(batch: &Batch) -> Vec<Row> {
    let cell = |column: &ArrayRef, row: usize| {
        if column.is_null(row) {
            return NULL;
        }
        match column.data_type() {
            DataType::Int64 => column.as_primitive::<Int64Type>().value(row),
            _ => column.as_primitive::<TimestampMillisecondType>().value(row),
        }
    };
    let row = |row: usize| {
        let cells = batch.rows.columns().iter().map(|column| cell(column, row));
        std::iter::once(batch.kind(row) as i64).chain(cells).collect()
    };
    (0..batch.len()).map(row).collect()
}

/// The partition of a row: rows of one key, or equal rows, stay together.
pub fn partition(row: &[i64], key: &[usize], partitions: u32) -> u32 {
    let mix = |hash: u64, cell: &i64| (hash ^ *cell as u64).wrapping_mul(0x100_0000_01b3).rotate_left(17);
    let hash = match key {
        [] => row[1..].iter().fold(7, mix),
        key => key.iter().map(|column| &row[1 + column]).fold(7, mix),
    };
    ((hash >> 7) % u64::from(partitions)) as u32
}
