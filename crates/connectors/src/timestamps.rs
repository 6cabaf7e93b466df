//! Times of a connector's metadata as a column of the declared type.

use arrow_array::{ArrayRef, Int64Array, TimestampMicrosecondArray};
use arrow_array::{TimestampMillisecondArray, TimestampNanosecondArray};
use arrow_schema::{DataType, TimeUnit};
use std::sync::Arc;

/// Milliseconds in the unit and zone of a TIMESTAMP or TIMESTAMP_LTZ column; BIGINT keeps them as they are.
pub(crate) fn timestamps(key: &str, ms: &[i64], data_type: &DataType) -> Result<ArrayRef, String> {
    let scaled = |factor: i64| ms.iter().map(|ms| ms.saturating_mul(factor)).collect::<Vec<i64>>();
    Ok(match data_type {
        DataType::Int64 => Arc::new(Int64Array::from(ms.to_vec())),
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            Arc::new(TimestampMillisecondArray::from(ms.to_vec()).with_timezone_opt(zone.clone()))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            Arc::new(TimestampMicrosecondArray::from(scaled(1000)).with_timezone_opt(zone.clone()))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            Arc::new(TimestampNanosecondArray::from(scaled(1_000_000)).with_timezone_opt(zone.clone()))
        }
        other => return Err(format!("the metadata '{key}' cannot be of type {other}")),
    })
}
