//! What a message says of itself besides its value, on its way through a record of the log.
//!
//! A record that lands from outside, or waits in an outbox, carries it in headers: `m:` and the metadata key for what the
//! connector knows, `h:` and the name for the message's own headers, `t:` and the name for those by which its trace goes on and that
//! nobody else wrote, `u:` why no row can be made of it. Texts and bytes lie there as they are, numbers and
//! times (in milliseconds) as eight bytes, big-endian, booleans as one.

use crate::kafka::VALUE_PREFIX;
use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Int64Builder, MapBuilder, MapFieldNames, StringBuilder,
    TimestampMillisecondBuilder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int32Array, RecordBatch};
use arrow_schema::{DataType, Field, Fields, TimeUnit};
use dataflow::connector::MetadataSpec;
use dataflow::feed::RECORD_BYTES_MAX;
use dataflow::table::{MetadataColumn, TableDefinition};
use kafka_wire::records::Record;
use std::sync::Arc;

const METADATA: &str = "m:";
/// Why no row can be made of a record, whatever its format says.
const UNREADABLE: &str = "u:";
/// What is kept of a value that is too long for a record.
const SHOWN_BYTES: usize = 1024;
/// In front of the name of a message's own header.
pub(crate) const HEADER: &str = "h:";
/// In front of the name of a header that only traces have added: a message may go without it.
const TRACE: &str = "t:";
/// The metadata key of a message's own headers.
pub(crate) const HEADERS: &str = "headers";

pub(crate) type Headers = Vec<(String, Option<Vec<u8>>)>;

/// MAP<STRING, BYTES>, as Arrow has it.
pub(crate) fn headers_type() -> DataType {
    let entry = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Binary, true),
    ]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entry), false)), false)
}

/// TIMESTAMP_LTZ(3).
pub(crate) fn instant_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

/// How a record calls one of the message's own headers.
pub(crate) fn header_name(name: &str) -> String {
    format!("{HEADER}{name}")
}

/// Whether a message's own header lands: with all of them, or as one by which its trace goes on.
pub(crate) fn keeps_header(name: &str, all: bool) -> bool {
    all || [traces::TRACEPARENT, traces::TRACESTATE].contains(&name)
}

/// Adds the trace of a row to its message's headers, unless the query writes one of them itself.
pub(crate) fn add_trace<'a>(headers: &mut Headers, trace: impl Iterator<Item = (&'static str, &'a [u8])>) {
    let mut trace = trace.peekable();
    let has = |name: &str| headers.iter().any(|(known, _)| known.strip_prefix(HEADER) == Some(name));
    if trace.peek().is_none() || has(traces::TRACEPARENT) {
        return;
    }
    let has_state = has(traces::TRACESTATE);
    let trace = trace.filter(|(name, _)| !has_state || *name != traces::TRACESTATE);
    headers.extend(trace.map(|(name, value)| (format!("{TRACE}{name}"), Some(value.to_vec()))));
}

/// Collects what a table declares of a message; the rest is not kept.
pub(crate) struct Landing<'a> {
    table: &'a TableDefinition,
    headers: Headers,
}

impl<'a> Landing<'a> {
    pub(crate) fn new(table: &'a TableDefinition) -> Landing<'a> {
        Landing { table, headers: Vec::new() }
    }

    pub(crate) fn wants(&self, key: &str) -> bool {
        self.table.metadata.iter().any(|column| column.key == key)
    }

    pub(crate) fn bytes(&mut self, key: &str, value: Option<&[u8]>) {
        if let Some(value) = value.filter(|_| self.wants(key)) {
            self.headers.push((format!("{METADATA}{key}"), Some(value.to_vec())));
        }
    }

    pub(crate) fn text(&mut self, key: &str, value: Option<&str>) {
        self.bytes(key, value.map(str::as_bytes));
    }

    pub(crate) fn number(&mut self, key: &str, value: Option<i64>) {
        self.bytes(key, value.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice));
    }

    pub(crate) fn boolean(&mut self, key: &str, value: bool) {
        self.bytes(key, Some(&[u8::from(value)]));
    }

    /// One of the message's own headers.
    pub(crate) fn header(&mut self, name: &str, value: Option<Vec<u8>>) {
        self.headers.push((header_name(name), value));
    }

    /// No row can be made of it: it is a dead letter, whatever its format says.
    pub(crate) fn unreadable(&mut self, reason: &str) {
        self.headers.push((UNREADABLE.into(), Some(reason.as_bytes().to_vec())));
    }

    /// What was read as the record's value. Of one that fits into no record the beginning is kept, as a dead letter; `what`
    /// names it.
    pub(crate) fn value(&mut self, what: &str, mut value: Vec<u8>) -> Vec<u8> {
        let bytes = value.len();
        if bytes > RECORD_BYTES_MAX {
            self.unreadable(&format!(
                "{what} has bytes={bytes}, and limit={RECORD_BYTES_MAX}; here are the first {SHOWN_BYTES}"
            ));
            value.truncate(SHOWN_BYTES);
        }
        value
    }

    /// The message's own headers: all of them, or those alone by which its trace goes on.
    pub(crate) fn headers(
        &mut self,
        headers: impl IntoIterator<Item = (String, Option<Vec<u8>>)>,
        all: bool,
    ) {
        for (name, value) in headers {
            if keeps_header(&name, all) {
                self.header(&name, value);
            }
        }
    }

    pub(crate) fn finish(self) -> Headers {
        self.headers
    }
}

/// Why no row can be made of a record that has landed, if its connector has said so.
pub(crate) fn unreadable(record: &Record<'_>) -> Option<String> {
    let found = record.headers.into_iter().find(|header| header.key == UNREADABLE.as_bytes())?;
    Some(String::from_utf8_lossy(found.value.unwrap_or_default()).into_owned())
}

/// What a record carries, by key and by name.
pub(crate) struct Carried<'a> {
    pub metadata: Vec<(&'a str, &'a [u8])>,
    pub headers: Vec<(&'a str, Option<&'a [u8]>)>,
    /// How many of the headers, the last ones, are there for traces only.
    pub traced: usize,
}

impl<'a> Carried<'a> {
    pub(crate) fn of(record: &Record<'a>) -> Carried<'a> {
        let mut carried = Carried { metadata: Vec::new(), headers: Vec::new(), traced: 0 };
        for header in record.headers {
            let Ok(name) = std::str::from_utf8(header.key) else { continue };
            if let Some(key) = name.strip_prefix(METADATA) {
                carried.metadata.extend(header.value.map(|value| (key, value)));
            } else if let Some(name) = name.strip_prefix(HEADER) {
                carried.headers.push((name, header.value));
            } else if let Some(name) = name.strip_prefix(TRACE) {
                // They are written last.
                carried.headers.push((name, header.value));
                carried.traced += 1;
            }
        }
        carried
    }

    /// Those of the message itself.
    pub(crate) fn own_headers(&self) -> &[(&'a str, Option<&'a [u8]>)] {
        &self.headers[..self.headers.len() - self.traced]
    }

    pub(crate) fn leave_trace_out(&mut self) {
        self.headers.truncate(self.headers.len() - std::mem::take(&mut self.traced));
    }

    fn bytes(&self, key: &str) -> Option<&'a [u8]> {
        self.metadata.iter().find(|(known, _)| *known == key).map(|(_, value)| *value)
    }

    pub(crate) fn text(&self, key: &str) -> Option<String> {
        self.bytes(key).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    pub(crate) fn number(&self, key: &str) -> Option<i64> {
        Some(i64::from_be_bytes(self.bytes(key)?.try_into().ok()?))
    }

    fn boolean(&self, key: &str) -> Option<bool> {
        self.bytes(key)?.first().map(|byte| *byte != 0)
    }
}

/// Makes the declared metadata columns of the records that became rows.
pub(crate) struct LandedRows {
    columns: Vec<MetadataColumn>,
    builders: Vec<Option<Builder>>,
}

enum Builder {
    Text(StringBuilder),
    Boolean(BooleanBuilder),
    Number(Int64Builder),
    Instant(TimestampMillisecondBuilder),
    Headers(Box<MapBuilder<StringBuilder, BinaryBuilder>>),
}

impl Builder {
    fn new(data_type: &DataType) -> Builder {
        match data_type {
            DataType::Boolean => Builder::Boolean(BooleanBuilder::new()),
            DataType::Int64 | DataType::Int32 => Builder::Number(Int64Builder::new()),
            DataType::Timestamp(..) => {
                Builder::Instant(TimestampMillisecondBuilder::new().with_timezone("UTC"))
            }
            DataType::Map(..) => {
                let names =
                    MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
                Builder::Headers(Box::new(MapBuilder::new(
                    Some(names),
                    StringBuilder::new(),
                    BinaryBuilder::new(),
                )))
            }
            _ => Builder::Text(StringBuilder::new()),
        }
    }

    fn push(&mut self, key: &str, carried: &Carried<'_>) -> Result<(), String> {
        match self {
            Builder::Text(builder) => builder.append_option(carried.text(key)),
            Builder::Boolean(builder) => builder.append_option(carried.boolean(key)),
            Builder::Number(builder) => builder.append_option(carried.number(key)),
            Builder::Instant(builder) => builder.append_option(carried.number(key)),
            Builder::Headers(builder) => {
                for (name, value) in &carried.headers {
                    builder.keys().append_value(name);
                    builder.values().append_option(*value);
                }
                builder.append(true).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Builder::Text(builder) => Arc::new(builder.finish()),
            Builder::Boolean(builder) => Arc::new(builder.finish()),
            Builder::Number(builder) => Arc::new(builder.finish()),
            Builder::Instant(builder) => Arc::new(builder.finish()),
            Builder::Headers(builder) => Arc::new(builder.finish()),
        }
    }
}

impl LandedRows {
    /// `specs` are those of the connector; a column that none of them names is the format's.
    pub(crate) fn new(columns: Vec<MetadataColumn>, specs: &[MetadataSpec]) -> LandedRows {
        let builder = |column: &MetadataColumn| {
            specs.iter().find(|spec| spec.key == column.key).map(|spec| Builder::new(&spec.data_type))
        };
        LandedRows { builders: columns.iter().map(builder).collect(), columns }
    }

    /// Notes a record for each of the rows that it became.
    pub(crate) fn push(&mut self, record: &Record<'_>, rows: usize) -> Result<(), String> {
        if self.columns.is_empty() {
            return Ok(());
        }
        let carried = Carried::of(record);
        for (column, builder) in self.columns.iter().zip(&mut self.builders) {
            let Some(builder) = builder else { continue };
            for _ in 0..rows {
                builder.push(&column.key, &carried)?;
            }
        }
        Ok(())
    }

    /// One array per column, in order; none for those of the format.
    pub(crate) fn finish(&mut self) -> Result<Vec<Option<ArrayRef>>, String> {
        let arrays = self.columns.iter().zip(&mut self.builders).map(|(column, builder)| {
            let Some(builder) = builder else { return Ok(None) };
            let array = builder.finish();
            match &column.data_type {
                same if same == array.data_type() => Ok(Some(array)),
                other => arrow_cast::cast(&array, other).map(Some).map_err(|error| error.to_string()),
            }
        });
        arrays.collect()
    }
}

/// Where in a sink's rows the metadata lies that is written.
pub(crate) struct WrittenMetadata(Vec<(usize, String)>);

impl WrittenMetadata {
    /// Physical columns come first, then the metadata that is not virtual; what is the format's is no message's.
    pub(crate) fn new(table: &TableDefinition) -> WrittenMetadata {
        let first = table.schema.fields().len();
        let persisted = table.metadata.iter().filter(|column| !column.is_virtual);
        let all = (first..).zip(persisted.map(|column| column.key.clone()));
        WrittenMetadata(all.filter(|(_, key)| !key.starts_with(VALUE_PREFIX)).collect())
    }

    /// What a row says of its message; NULL is nothing.
    pub(crate) fn of(&self, rows: &RecordBatch, row: usize) -> Headers {
        let mut headers = Headers::new();
        for (column, key) in &self.0 {
            let column = rows.column(*column);
            if column.is_null(row) {
                continue;
            }
            if key == HEADERS {
                let own = crate::kafka::headers_of(column, row);
                headers.extend(own.into_iter().map(|(name, value)| (header_name(&name), value)));
            } else if let Some(bytes) = bytes_of(column, row) {
                headers.push((format!("{METADATA}{key}"), Some(bytes)));
            }
        }
        headers
    }
}

fn bytes_of(column: &ArrayRef, row: usize) -> Option<Vec<u8>> {
    let number = |number: i64| number.to_be_bytes().to_vec();
    match column.data_type() {
        DataType::Utf8 => column.as_string_opt::<i32>().map(|texts| texts.value(row).as_bytes().to_vec()),
        DataType::Int64 => column.as_primitive_opt::<Int64Type>().map(|numbers| number(numbers.value(row))),
        DataType::Int32 => {
            column.as_any().downcast_ref::<Int32Array>().map(|numbers| number(numbers.value(row).into()))
        }
        DataType::Timestamp(..) => crate::kafka::timestamp_ms(column, row).map(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_added_where_the_query_writes_none() {
        let trace: [(&str, &[u8]); 2] = [(traces::TRACEPARENT, b"00-"), (traces::TRACESTATE, b"a=1")];
        let added = |own: &[&str], trace: &[(&'static str, &'static [u8])]| {
            let mut headers: Headers =
                own.iter().map(|name| (header_name(name), Some(b"x".to_vec()))).collect();
            add_trace(&mut headers, trace.iter().copied());
            headers.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(added(&["a"], &trace), ["h:a", "t:traceparent", "t:tracestate"]);
        assert_eq!(added(&["tracestate"], &trace), ["h:tracestate", "t:traceparent"]);
        assert_eq!(added(&["traceparent"], &trace), ["h:traceparent"]);
        assert_eq!(added(&["a"], &[]), ["h:a"]);
    }
}
