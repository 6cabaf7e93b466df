//! An event becomes a row: the fields of its data, and the wanted attributes behind them.

use super::attributes::{Attributes, is_json, parse_time};
use super::{AttributeKind, EXTENSIONS, problem};
use crate::builder::{ColumnBuilder, Values};
use crate::json::{JsonDecoder, Scanner};
use crate::scalar::{in_unit, shorten};
use crate::{DecodeError, FormatError, RowDecoder, WantedMetadata, base64};
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Fields, Schema, SchemaRef};
use base::options::Options;
use std::borrow::Cow;
use std::sync::Arc;

pub(crate) struct CloudEventDecoder {
    data: JsonDecoder,
    metadata: Vec<(String, AttributeKind, ColumnBuilder)>,
    schema: SchemaRef,
}

impl CloudEventDecoder {
    pub(crate) fn new(
        options: &Options,
        schema: &SchemaRef,
        projection: &[usize],
        wanted: &[WantedMetadata],
    ) -> Result<CloudEventDecoder, FormatError> {
        let data = JsonDecoder::new(options, schema, projection)?;
        let mut metadata = Vec::with_capacity(wanted.len());
        for column in wanted {
            if let Some(reason) = problem(&column.key, column.field.data_type()) {
                return Err(FormatError(format!("column '{}': {reason}", column.field.name())));
            }
            let kind = super::find(&column.key).map_or(AttributeKind::Text, |attribute| attribute.kind);
            metadata.push((
                column.key.clone(),
                kind,
                ColumnBuilder::new(&column.field).map_err(FormatError)?,
            ));
        }
        let own = schema.project(projection).map_err(|error| FormatError(error.to_string()))?;
        let fields = own.fields().iter().chain(wanted.iter().map(|column| &column.field)).cloned();
        let schema = Arc::new(Schema::new(fields.collect::<Fields>()));
        Ok(CloudEventDecoder { data, metadata, schema })
    }

    fn decode_event(&mut self, record: &[u8], headers: &[(&[u8], Option<&[u8]>)]) -> Result<(), DecodeError> {
        let content_type = headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(b"content-type"))
            .and_then(|(_, value)| *value)
            .map(String::from_utf8_lossy);
        let refuse = |reason: String| Err(DecodeError::Record(reason));
        let (attributes, data) = match Attributes::of_headers(headers) {
            Some(attributes) => (attributes, (!record.is_empty()).then_some(Cow::Borrowed(record))),
            None => {
                if content_type.is_some_and(|kind| kind.starts_with("application/cloudevents-batch")) {
                    return refuse("it is a batch of events, which has no place in a record of Kafka".into());
                }
                let (attributes, places) =
                    Attributes::of_json(&mut Scanner::new(record)).map_err(|error| DecodeError::Syntax {
                        format: "JSON",
                        position: error.position,
                        reason: error.reason,
                    })?;
                let data = match (places.data, places.base64) {
                    (Some(_), Some(_)) => return refuse("it has both 'data' and 'data_base64'".into()),
                    (Some(place), None) => Some(Cow::Borrowed(&record[place])),
                    (None, Some(text)) => {
                        let mut bytes = Vec::new();
                        if !base64::decode(text.as_bytes(), &mut bytes) {
                            return refuse("'data_base64' is no base64".into());
                        }
                        Some(Cow::Owned(bytes))
                    }
                    (None, None) => None,
                };
                (attributes, data)
            }
        };
        attributes.check().map_err(DecodeError::Record)?;
        if let Some(kind) = attributes.get("datacontenttype").filter(|kind| data.is_some() && !is_json(kind))
        {
            return refuse(format!("its data is '{}', and only JSON is read", shorten(kind)));
        }
        let rows = self.data.len();
        match data.as_deref().map(<[u8]>::trim_ascii_start) {
            // An event without data has no fields.
            None => self.data.decode(b"{}")?,
            Some(data) if data.starts_with(b"null") => self.data.decode(b"{}")?,
            Some(data) => self.data.decode(data)?,
        }
        if self.data.len() == rows {
            return Ok(());
        }
        for (key, kind, column) in &mut self.metadata {
            append(&attributes, key, *kind, column)?;
        }
        Ok(())
    }

    fn truncate(&mut self, rows: usize) {
        self.data.truncate(rows);
        self.metadata.iter_mut().for_each(|(.., column)| column.truncate(rows));
    }
}

fn append(
    attributes: &Attributes,
    key: &str,
    kind: AttributeKind,
    column: &mut ColumnBuilder,
) -> Result<(), DecodeError> {
    let refuse = |reason: String| DecodeError::Field { field: key.to_string(), reason };
    if kind == AttributeKind::Extensions {
        let Values::Map { offsets, key: names, value: values, .. } = &mut column.values else {
            return Err(refuse("it is no map".into()));
        };
        for (name, value) in attributes.extensions() {
            names.push_bytes(name.as_bytes()).map_err(|reason| refuse(reason.into()))?;
            values.push_bytes(value.as_bytes()).map_err(|reason| refuse(reason.into()))?;
        }
        let end = i32::try_from(names.len()).map_err(|_| refuse("too many entries in one batch".into()))?;
        offsets.push(end);
        column.end_value();
        return Ok(());
    }
    debug_assert_ne!(key, EXTENSIONS);
    let Some(text) = attributes.get(key) else {
        column.push_null();
        return Ok(());
    };
    match &mut column.values {
        Values::Timestamp { values, unit, .. } => {
            let time = parse_time(text).and_then(|(days, nanos)| in_unit(days, nanos, *unit));
            values.push(time.ok_or_else(|| refuse(format!("'{}' is no time of RFC 3339", shorten(text))))?);
            column.end_value();
            Ok(())
        }
        _ => column.push_bytes(text.as_bytes()).map_err(|reason| refuse(reason.into())),
    }
}

impl RowDecoder for CloudEventDecoder {
    fn decode(&mut self, record: &[u8]) -> Result<(), DecodeError> {
        self.decode_with_headers(record, &[])
    }

    fn wants_headers(&self) -> bool {
        true
    }

    fn decode_with_headers(
        &mut self,
        record: &[u8],
        headers: &[(&[u8], Option<&[u8]>)],
    ) -> Result<(), DecodeError> {
        let rows = self.data.len();
        let decoded = self.decode_event(record, headers);
        if decoded.is_err() {
            self.truncate(rows);
        }
        decoded
    }

    fn len(&self) -> usize {
        self.data.len()
    }

    fn finish(&mut self) -> Result<RecordBatch, DecodeError> {
        let own = self.data.finish()?;
        let mut columns = own.columns().to_vec();
        for (.., column) in &mut self.metadata {
            columns.push(column.finish().map_err(|error| DecodeError::Record(error.to_string()))?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(own.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|error| DecodeError::Record(error.to_string()))
    }
}
