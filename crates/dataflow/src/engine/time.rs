//! Timestamp columns of any unit as milliseconds, and back.

use super::error::DataflowError;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{Array, ArrayRef, Int64Array, PrimitiveArray, RecordBatch};
use arrow_buffer::ScalarBuffer;
use arrow_schema::{DataType, TimeUnit};
use base::Zone;
use std::sync::Arc;

/// Row times beyond this are refused, so that sums with window sizes never wrap (Flink's own range,
/// the years 1 to 9999, is a thousandth of it).
const TIME_MS_MAX: i64 = 1 << 60;

/// The values of a timestamp column in milliseconds, rounded down; what lies under NULL is arbitrary.
pub(crate) fn as_milliseconds(column: &dyn Array) -> Result<ScalarBuffer<i64>, DataflowError> {
    let floor =
        |values: &[i64], per_ms: i64| values.iter().map(|value| value.div_euclid(per_ms)).collect::<Vec<_>>();
    Ok(match column.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            let values = column.as_primitive::<TimestampSecondType>().values().iter();
            values.map(|value| value.saturating_mul(1000)).collect::<Vec<_>>().into()
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            column.as_primitive::<TimestampMillisecondType>().values().clone()
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            floor(column.as_primitive::<TimestampMicrosecondType>().values(), 1000).into()
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            floor(column.as_primitive::<TimestampNanosecondType>().values(), 1_000_000).into()
        }
        other => return Err(DataflowError::internal(format!("{other} is not a timestamp"))),
    })
}

/// The row times of a batch; NULL fails the job, as in Flink.
pub(crate) fn milliseconds(rows: &RecordBatch, column: usize) -> Result<ScalarBuffer<i64>, DataflowError> {
    let schema = rows.schema();
    let name = schema.field(column).name();
    let array = rows.column(column);
    if array.null_count() > 0 {
        return Err(DataflowError::invalid(format!(
            "the row time column `{name}` is NULL in a row; row times must not be NULL: \
             filter such rows out ahead of the watermark, or give them a time"
        )));
    }
    let times = as_milliseconds(array.as_ref())?;
    if let Some(time) = times.iter().find(|time| time.unsigned_abs() > TIME_MS_MAX as u64) {
        return Err(DataflowError::invalid(format!(
            "the row time column `{name}` is out of range: {time} ms"
        )));
    }
    Ok(times)
}

/// The row times of a batch as the clocks of a zone show them; a column without a zone is a wall clock itself.
pub(crate) fn wall_clock(
    rows: &RecordBatch,
    column: usize,
    zone: Zone,
) -> Result<ScalarBuffer<i64>, DataflowError> {
    let times = milliseconds(rows, column)?;
    let is_instant = matches!(rows.column(column).data_type(), DataType::Timestamp(_, Some(_)));
    if zone.is_utc() || !is_instant {
        return Ok(times);
    }
    Ok(times.iter().map(|time| zone.wall_ms(*time)).collect::<Vec<_>>().into())
}

/// The watermarks of rows as wall-clock times that have passed.
pub(crate) fn passed_times(watermarks: Int64Array, zone: Zone) -> Int64Array {
    if zone.is_utc() { watermarks } else { watermarks.unary(|watermark| zone.passed_wall_ms(watermark)) }
}

/// The watermark before the rows of a window that has fired: what was in force was less than the window's last moment.
pub(crate) fn before_end(window_end: i64, zone: Zone) -> i64 {
    zone.passed_ms(window_end - 1).saturating_sub(1)
}

/// Milliseconds as a column of a timestamp type.
pub(crate) fn timestamps(
    values_ms: impl Iterator<Item = i64>,
    data_type: &DataType,
) -> Result<ArrayRef, DataflowError> {
    fn column<T: arrow_array::ArrowPrimitiveType<Native = i64>>(
        values: Vec<i64>,
        data_type: &DataType,
    ) -> ArrayRef {
        Arc::new(PrimitiveArray::<T>::new(values.into(), None).with_data_type(data_type.clone()))
    }
    let scaled = |factor: i64| values_ms.map(|value| value.saturating_mul(factor)).collect::<Vec<_>>();
    Ok(match data_type {
        DataType::Timestamp(TimeUnit::Second, _) => {
            let values = scaled(1).into_iter().map(|value| value.div_euclid(1000)).collect();
            column::<TimestampSecondType>(values, data_type)
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            column::<TimestampMillisecondType>(scaled(1), data_type)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            column::<TimestampMicrosecondType>(scaled(1000), data_type)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            column::<TimestampNanosecondType>(scaled(1_000_000), data_type)
        }
        other => return Err(DataflowError::internal(format!("{other} is not a timestamp"))),
    })
}
