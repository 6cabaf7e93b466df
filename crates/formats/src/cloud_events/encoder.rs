//! A row as an event. The attributes are its metadata columns, or texts of the options; only the query knows an id that
//! stays the same when a step is run again.

use super::attributes::{is_extension_name, time_text};
use super::{ATTRIBUTES, AttributeKind, problem};
use crate::cell::{self, Cell};
use crate::json::{JsonEncoder, quote};
use crate::{EncodeError, FormatError, RowEncoder, WantedMetadata};
use arrow_array::{Array, RecordBatch};
use arrow_schema::SchemaRef;
use base::options::Options;

pub(crate) struct CloudEventEncoder {
    data: JsonEncoder,
    /// Columns of the data; the metadata stands behind them.
    data_columns: Vec<usize>,
    /// The attribute of each metadata column.
    metadata: Vec<(String, AttributeKind)>,
    source: Option<String>,
    kind: Option<String>,
    is_binary: bool,
    headers: Vec<(String, Vec<u8>)>,
}

impl CloudEventEncoder {
    pub(crate) fn new(
        options: &Options,
        schema: &SchemaRef,
        metadata: &[WantedMetadata],
    ) -> Result<CloudEventEncoder, FormatError> {
        for column in metadata {
            if let Some(reason) = problem(&column.key, column.field.data_type()) {
                return Err(FormatError(format!("column '{}': {reason}", column.field.name())));
            }
        }
        let given = |key: &str| options.text(key).map(str::to_string);
        let (source, kind) = (given("source"), given("type"));
        for (key, is_given) in [("id", false), ("source", source.is_some()), ("type", kind.is_some())] {
            if !is_given && !metadata.iter().any(|column| column.key == key) {
                let way = match key {
                    "id" => String::new(),
                    _ => format!(", or give 'cloudevents.{key}'"),
                };
                return Err(FormatError(format!(
                    "an event has an '{key}': declare a column {key} STRING METADATA FROM 'value.{key}'{way}"
                )));
            }
        }
        let of = |column: &WantedMetadata| {
            let kind = super::find(&column.key).map_or(AttributeKind::Text, |attribute| attribute.kind);
            (column.key.clone(), kind)
        };
        Ok(CloudEventEncoder {
            data: JsonEncoder::new(options, schema)?,
            data_columns: (0..schema.fields().len()).collect(),
            metadata: metadata.iter().map(of).collect(),
            source,
            kind,
            is_binary: options.text("mode") == Some("binary"),
            headers: Vec::new(),
        })
    }

    /// The attributes of a row, in the order in which they are written.
    fn attributes(&self, rows: &RecordBatch, row: usize) -> Result<Vec<(String, String)>, EncodeError> {
        let refuse = |field: &str, reason: String| EncodeError { field: field.to_string(), reason };
        let mut attributes = vec![("specversion".to_string(), "1.0".to_string())];
        let mut extensions = Vec::new();
        for attribute in ATTRIBUTES.iter().filter(|attribute| attribute.is_writable) {
            let place = self.metadata.iter().position(|(key, _)| key == attribute.name);
            let cell = match place {
                Some(place) => {
                    let column = rows.column(self.data_columns.len() + place);
                    cell::read(column.as_ref(), row).map_err(|reason| refuse(attribute.name, reason))?
                }
                None => Cell::Null,
            };
            let text = match cell {
                Cell::Utf8(text) => Some(text.to_string()),
                Cell::Timestamp { days, nanos, .. } => Some(time_text(days, nanos)),
                Cell::Map(entries) => {
                    for index in 0..entries.len() {
                        let part = |column: usize| {
                            cell::read(entries.column(column).as_ref(), index)
                                .map_err(|reason| refuse(attribute.name, reason))
                        };
                        let (Cell::Utf8(name), Cell::Utf8(value)) = (part(0)?, part(1)?) else { continue };
                        if !is_extension_name(name) {
                            let reason = format!(
                                "'{}' is no name of an extension: lower case letters and digits, and none of the \
                                 specification's own",
                                crate::scalar::shorten(name)
                            );
                            return Err(refuse(attribute.name, reason));
                        }
                        extensions.push((name.to_string(), value.to_string()));
                    }
                    None
                }
                _ => match attribute.name {
                    "source" => self.source.clone(),
                    "type" => self.kind.clone(),
                    _ => None,
                },
            };
            match text {
                Some(text) if !text.is_empty() => attributes.push((attribute.name.to_string(), text)),
                _ if attribute.is_required => {
                    return Err(refuse(
                        attribute.name,
                        "an event must have it, and it is NULL or empty".into(),
                    ));
                }
                _ => {}
            }
        }
        attributes.extend(extensions);
        Ok(attributes)
    }
}

impl RowEncoder for CloudEventEncoder {
    fn encode(&mut self, rows: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let attributes = self.attributes(rows, row)?;
        let project =
            |error: arrow_schema::ArrowError| EncodeError { field: String::new(), reason: error.to_string() };
        let data = rows.project(&self.data_columns).map_err(project)?;
        self.headers.clear();
        if self.is_binary {
            self.headers.push(("content-type".into(), b"application/json".to_vec()));
            let header = |(name, text): (String, String)| (format!("ce_{name}"), text.into_bytes());
            self.headers.extend(attributes.into_iter().map(header));
            return self.data.encode(&data, row, out);
        }
        self.headers.push(("content-type".into(), b"application/cloudevents+json; charset=UTF-8".to_vec()));
        out.push(b'{');
        for (name, text) in attributes {
            quote(&name, out);
            out.push(b':');
            quote(&text, out);
            out.push(b',');
        }
        out.extend_from_slice(b"\"datacontenttype\":\"application/json\",\"data\":");
        self.data.encode(&data, row, out)?;
        out.push(b'}');
        Ok(())
    }

    fn headers(&self) -> &[(String, Vec<u8>)] {
        &self.headers
    }
}
