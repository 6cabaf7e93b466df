//! The values of a Delta table's log: of partitions as texts, and of columns the bounds that let readers pass over files.

use crate::lake::DataFile;
use crate::lake::values::{self, ColumnBounds, Value, shortened_max, shortened_min, timestamp_text};
use arrow_schema::{DataType, Fields};
use serde_json::{Map, Value as Json, json};

/// How many columns have bounds where the table says nothing else.
pub(super) const INDEXED_COLUMNS: usize = 32;
/// Letters of a text in bounds.
const LETTERS: usize = 32;
/// Digits that a number of JSON keeps for all readers.
const DIGITS_MAX: u8 = 15;

/// A value in `partitionValues`; none for NULL, which an empty text is too.
pub(super) fn partition_text(value: &Value, data_type: &DataType) -> Option<String> {
    match value {
        Value::Text(text) if text.is_empty() => None,
        // Each byte is a letter.
        Value::Bytes(bytes) => Some(bytes.iter().map(|byte| char::from(*byte)).collect()),
        Value::Timestamp(micros) if matches!(data_type, DataType::Timestamp(_, Some(_))) => {
            Some(timestamp_text(*micros, 'T') + "Z")
        }
        value => value.text(),
    }
}

/// What is known of a file's rows.
pub(super) fn of(fields: &Fields, file: &DataFile, columns_max: usize) -> Json {
    let (mut min, mut max, mut nulls) = (Map::new(), Map::new(), Map::new());
    for bounds in values::bounds(fields, &file.metadata).iter().take(columns_max) {
        if let Some(count) = bounds.nulls {
            put(&mut nulls, &bounds.path, count.into());
        }
        let (least, greatest) = (bounds.min.as_ref(), bounds.max.as_ref());
        let precise =
            !matches!(bounds.field.data_type(), DataType::Decimal128(digits, _) if *digits > DIGITS_MAX);
        if let Some(least) = least.filter(|_| precise).and_then(|value| bound(value, bounds, false)) {
            put(&mut min, &bounds.path, least);
        }
        if let Some(greatest) = greatest.filter(|_| precise).and_then(|value| bound(value, bounds, true)) {
            put(&mut max, &bounds.path, greatest);
        }
    }
    json!({"numRecords": file.rows, "minValues": min, "maxValues": max, "nullCount": nulls})
}

fn put(into: &mut Map<String, Json>, path: &[&str], value: Json) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        into.insert(first.to_string(), value);
        return;
    }
    let within = into.entry(first.to_string()).or_insert_with(|| Json::Object(Map::new()));
    if let Some(within) = within.as_object_mut() {
        put(within, rest, value);
    }
}

/// A bound as the protocol writes it; none of a type that has none there.
fn bound(value: &Value, of: &ColumnBounds<'_>, is_max: bool) -> Option<Json> {
    Some(match value {
        Value::Int(number) => (*number).into(),
        Value::Long(number) => (*number).into(),
        Value::Decimal(..) => serde_json::from_str(&value.text()?).ok()?,
        Value::Date(_) => value.text()?.into(),
        Value::Timestamp(micros) => {
            // Milliseconds, to the outside.
            let millis = micros.div_euclid(1000);
            let millis = if is_max && micros.rem_euclid(1000) > 0 { millis.checked_add(1)? } else { millis };
            let text = timestamp_text(millis.checked_mul(1000)?, 'T');
            let text = text.get(..text.len().checked_sub(3)?)?;
            let has_zone = matches!(of.field.data_type(), DataType::Timestamp(_, Some(_)));
            if has_zone { format!("{text}Z").into() } else { text.into() }
        }
        Value::Text(text) if is_max => shortened_max(text, LETTERS)?.into(),
        Value::Text(text) => shortened_min(text, LETTERS).into(),
        _ => return None,
    })
}
