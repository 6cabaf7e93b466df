//! Values in binary format.

use super::instants::{EPOCH_DAYS, MICROS_PER_DAY};
use super::{Style, by_oid, decimal, element_of, oid_of_type};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use bytes::{BufMut, BytesMut};

/// Writes the value of a row, which is not null, of a canonical array; `oid` is the type that was announced.
pub fn write_binary(array: &ArrayRef, row: usize, oid: u32, out: &mut BytesMut) {
    match array.data_type() {
        DataType::Boolean => out.put_u8(array.as_boolean().value(row).into()),
        DataType::Int16 => out.put_i16(array.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => out.put_i32(array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => out.put_i64(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => out.put_f32(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => out.put_f64(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(..) => {
            decimal::write(&array.as_primitive::<Decimal128Type>().value_as_string(row), out)
        }
        DataType::Decimal256(..) => {
            decimal::write(&array.as_primitive::<Decimal256Type>().value_as_string(row), out)
        }
        DataType::Utf8 => write_string(array.as_string::<i32>().value(row), oid, out),
        DataType::Binary => out.put_slice(array.as_binary::<i32>().value(row)),
        DataType::Date32 => {
            out.put_i32(array.as_primitive::<Date32Type>().value(row).saturating_sub(EPOCH_DAYS));
        }
        DataType::Time64(_) => out.put_i64(array.as_primitive::<Time64MicrosecondType>().value(row)),
        DataType::Timestamp(..) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            out.put_i64(micros.saturating_sub(i64::from(EPOCH_DAYS) * MICROS_PER_DAY));
        }
        DataType::Interval(_) => {
            let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            out.put_i64(value.nanoseconds / 1_000);
            out.put_i32(value.days);
            out.put_i32(value.months);
        }
        DataType::List(_) => write_list(&array.as_list::<i32>().value(row), oid, out),
        _ => super::write_text(array, row, &Style::default(), out),
    }
}

fn write_string(text: &str, oid: u32, out: &mut BytesMut) {
    match oid {
        super::JSONB => {
            out.put_u8(1);
            out.put_slice(text.as_bytes());
        }
        super::PG_LSN => out.put_u64(crate::lsn::parse(text).map_or(0, |lsn| lsn.0)),
        _ => out.put_slice(text.as_bytes()),
    }
}

fn write_list(items: &ArrayRef, oid: u32, out: &mut BytesMut) {
    let element = element_of(oid)
        .or_else(|| by_oid(oid_of_type(items.data_type())))
        .map_or(super::TEXT, |known| known.oid);
    out.put_i32(i32::from(!items.is_empty()));
    out.put_i32(i32::from(items.null_count() > 0));
    out.put_u32(element);
    if items.is_empty() {
        return;
    }
    out.put_i32(i32::try_from(items.len()).unwrap_or(i32::MAX));
    out.put_i32(1);
    for row in 0..items.len() {
        if items.is_null(row) {
            out.put_i32(-1);
            continue;
        }
        let start = out.len();
        out.put_i32(0);
        write_binary(items, row, element, out);
        let length = (out.len() - start - 4) as i32;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
}
