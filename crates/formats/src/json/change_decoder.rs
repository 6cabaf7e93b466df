//! A record of a changelog becomes the rows of its change, each with its kind.
//!
//! 1. One walk over the record finds where the envelope's fields begin; nothing else is looked at.
//! 2. The rows are read from there, straight into the builders: an update is the row before it and the
//!    row after it. Where the record holds only what changed, the row before is the row after with the
//!    `old` fields over it.
//! 3. Whatever fails, all rows of the record are cut off again.

use super::changes::{Envelope, Metadata, MetadataKind, Shape};
use super::decoder::{Fault, JsonDecoder, append_or_null};
use super::scanner::{Next, Scanner, SyntaxError, unescape};
use crate::builder::{ColumnBuilder, Values, build_batch};
use crate::names::Names;
use crate::number_text::parse_integer;
use crate::scalar::{in_unit, shorten};
use crate::time_text::parse_timestamp;
use crate::{ChangeKind, DecodeError, FormatError, RowDecoder, WantedMetadata};
use arrow_array::RecordBatch;
use arrow_schema::{Fields, Schema, SchemaRef};
use base::options::Options;
use regex::Regex;
use std::sync::Arc;

const MS_PER_DAY: i64 = 86_400_000;

pub(crate) struct ChangeDecoder {
    envelope: &'static Envelope,
    json: JsonDecoder,
    /// The names of the `old` objects, which have an order of their own.
    old_names: Names,
    /// Whether the envelope lies in a `payload` beside its `schema`.
    has_schema: bool,
    database: Option<Regex>,
    table: Option<Regex>,
    metadata: Vec<(&'static Metadata, ColumnBuilder)>,
    kinds: Vec<ChangeKind>,
    schema: SchemaRef,
}

/// Where the fields of an envelope begin.
struct Places<'a> {
    record: &'a [u8],
    schema: Option<usize>,
    found: Vec<(&'static str, usize)>,
}

impl Places<'_> {
    /// Where a field's value begins, unless it is missing or null.
    fn get(&self, name: &str) -> Option<usize> {
        let (_, at) = self.found.iter().find(|(found, _)| *found == name)?;
        (!is_null(self.record, *at)).then_some(*at)
    }

    /// A field as text; numbers and words as they stand.
    fn text(&self, name: &str) -> Result<Option<String>, SyntaxError> {
        let Some(at) = self.get(name) else { return Ok(None) };
        let mut scanner = Scanner { bytes: self.record, at, depth: 0 };
        let mut plain = Vec::new();
        if scanner.peek() == b'"' {
            unescape(scanner.text()?, &mut plain);
        } else {
            let start = scanner.at;
            scanner.skip()?;
            plain.extend_from_slice(&self.record[start..scanner.at]);
        }
        Ok(Some(String::from_utf8_lossy(&plain).into_owned()))
    }
}

fn is_null(record: &[u8], at: usize) -> bool {
    Scanner { bytes: record, at, depth: 0 }.peek() == b'n'
}

/// Where the values of the wanted fields of the object at `at` begin; of a name that comes twice, the last.
fn locate(
    record: &[u8],
    at: usize,
    wanted: &[&'static str],
) -> Result<Vec<(&'static str, usize)>, SyntaxError> {
    let mut scanner = Scanner { bytes: record, at, depth: 0 };
    let mut found: Vec<(&'static str, usize)> = Vec::with_capacity(wanted.len());
    let mut plain = Vec::new();
    let mut next = scanner.enter(b'{', b'}')?;
    while next == Next::Element {
        let raw = scanner.name()?;
        let name: &[u8] = if raw.escaped {
            plain.clear();
            unescape(raw, &mut plain);
            &plain
        } else {
            raw.bytes
        };
        if let Some(name) = wanted.iter().find(|wanted| wanted.as_bytes() == name) {
            match found.iter_mut().find(|(found, _)| found == name) {
                Some((_, at)) => *at = scanner.at,
                None => found.push((name, scanner.at)),
            }
        }
        scanner.skip()?;
        next = scanner.next(b'}')?;
    }
    Ok(found)
}

/// Where the elements of the array at `at` begin.
fn elements(record: &[u8], at: usize) -> Result<Vec<usize>, SyntaxError> {
    let mut scanner = Scanner { bytes: record, at, depth: 0 };
    let mut places = Vec::new();
    let mut next = scanner.enter(b'[', b']')?;
    while next == Next::Element {
        places.push(scanner.at);
        scanner.skip()?;
        next = scanner.next(b']')?;
    }
    Ok(places)
}

fn pattern(options: &Options, key: &str) -> Result<Option<Regex>, FormatError> {
    let Some(text) = options.text(key) else { return Ok(None) };
    let compiled = Regex::new(&format!("^(?:{text})$"));
    compiled.map(Some).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim();
        FormatError(format!("'{key}' = '{text}' is no regular expression: {reason}"))
    })
}

impl ChangeDecoder {
    pub(crate) fn new(
        envelope: &'static Envelope,
        options: &Options,
        schema: &SchemaRef,
        projection: &[usize],
        metadata: &[WantedMetadata],
    ) -> Result<ChangeDecoder, FormatError> {
        let json = JsonDecoder::new(options, schema, projection)?;
        let has_schema = options.boolean("schema-include");
        let mut wanted = Vec::with_capacity(metadata.len());
        for column in metadata {
            let refuse = |reason: String| FormatError(format!("column '{}': {reason}", column.field.name()));
            let Some(known) = envelope.metadata.iter().find(|known| known.key == column.key) else {
                let keys: Vec<&str> = envelope.metadata.iter().map(|known| known.key).collect();
                let reason = format!(
                    "the format '{}' has no metadata '{}'; it has: {}",
                    envelope.name,
                    column.key,
                    keys.join(", ")
                );
                return Err(refuse(reason));
            };
            if !known.kind.fits(column.field.data_type()) {
                return Err(refuse(format!("the metadata '{}' is of another type", known.key)));
            }
            wanted.push((known, ColumnBuilder::new(&column.field).map_err(FormatError)?));
        }
        let fields = json.schema.fields().iter().chain(metadata.iter().map(|column| &column.field)).cloned();
        let schema = Arc::new(Schema::new(fields.collect::<Fields>()));
        let old_names = Names::new(json.columns.iter().map(|column| column.name.as_str()));
        Ok(ChangeDecoder {
            envelope,
            old_names,
            has_schema,
            database: pattern(options, "database.include")?,
            table: pattern(options, "table.include")?,
            metadata: wanted,
            kinds: Vec::new(),
            schema,
            json,
        })
    }

    fn places<'a>(&self, record: &'a [u8]) -> Result<Places<'a>, DecodeError> {
        let (mut at, mut schema) = (0, None);
        if self.has_schema {
            let outer = locate(record, 0, &["payload", "schema"]).map_err(Fault::from)?;
            let place = |name: &str| outer.iter().find(|(found, _)| *found == name).map(|(_, at)| *at);
            schema = place("schema");
            at = place("payload").filter(|at| !is_null(record, *at)).ok_or_else(|| {
                DecodeError::Record("there is no 'payload'; 'schema-include' is for records with one".into())
            })?;
        }
        let mut wanted = match self.envelope.shape {
            Shape::BeforeAfter => vec!["before", "after"],
            Shape::DataOld | Shape::DataOldArrays => vec!["data", "old"],
        };
        wanted.push(self.envelope.kind_field);
        if self.database.is_some() {
            wanted.push("database");
        }
        if self.table.is_some() {
            wanted.push("table");
        }
        for (metadata, _) in &self.metadata {
            if !wanted.contains(&metadata.field) {
                wanted.push(metadata.field);
            }
        }
        let found = locate(record, at, &wanted).map_err(Fault::from)?;
        Ok(Places { record, schema, found })
    }

    fn decode_changes(&mut self, record: &[u8]) -> Result<(), DecodeError> {
        let places = self.places(record)?;
        for (filter, field) in [(&self.database, "database"), (&self.table, "table")] {
            if let Some(filter) = filter {
                let name = places.text(field).map_err(Fault::from)?;
                if !name.is_some_and(|name| filter.is_match(&name)) {
                    return Ok(());
                }
            }
        }
        let envelope = self.envelope;
        let kind = places.text(envelope.kind_field).map_err(Fault::from)?;
        let Some(kind) = kind else {
            return Err(DecodeError::Record(format!(
                "there is no '{}' that says what happened",
                envelope.kind_field
            )));
        };
        let (is_insert, is_update, is_delete) = (
            envelope.inserts.contains(&kind.as_str()),
            envelope.updates.contains(&kind.as_str()),
            envelope.deletes.contains(&kind.as_str()),
        );
        // Canal also tells of tables that were created, which is no change of rows.
        if envelope.shape == Shape::DataOldArrays && kind == "CREATE" {
            return Ok(());
        }
        if !is_insert && !is_update && !is_delete {
            let reason =
                format!("'{}' is '{}', which is no known change", envelope.kind_field, shorten(&kind));
            return Err(DecodeError::Record(reason));
        }
        let missing = |field: &str| {
            let hint = match field {
                "before" => {
                    "; the source must log whole rows (in PostgreSQL: ALTER TABLE … REPLICA IDENTITY FULL)"
                }
                _ => "",
            };
            DecodeError::Record(format!("the change '{}' has no '{field}'{hint}", shorten(&kind)))
        };
        let place = |field: &str| places.get(field).ok_or_else(|| missing(field));
        match envelope.shape {
            Shape::BeforeAfter => {
                if is_update {
                    let (before, after) = (place("before")?, place("after")?);
                    self.push(&places, before, None, ChangeKind::UpdateBefore)?;
                    self.push(&places, after, None, ChangeKind::UpdateAfter)
                } else if is_insert {
                    self.push(&places, place("after")?, None, ChangeKind::Insert)
                } else {
                    self.push(&places, place("before")?, None, ChangeKind::Delete)
                }
            }
            Shape::DataOld => {
                let data = place("data")?;
                let old = if is_update { Some(place("old")?) } else { None };
                self.push_with_old(&places, data, old, is_insert)
            }
            Shape::DataOldArrays => {
                let data = elements(record, place("data")?).map_err(Fault::from)?;
                let old = if is_update {
                    elements(record, place("old")?).map_err(Fault::from)?
                } else {
                    Vec::new()
                };
                if is_update && old.len() != data.len() {
                    let (data, old) = (data.len(), old.len());
                    return Err(DecodeError::Record(format!("'data' has {data} rows, 'old' has {old}")));
                }
                for (index, data) in data.into_iter().enumerate() {
                    self.push_with_old(&places, data, old.get(index).copied(), is_insert)?;
                }
                Ok(())
            }
        }
    }

    /// The row at `data`; with `old`, also the row as it was before.
    fn push_with_old(
        &mut self,
        places: &Places<'_>,
        data: usize,
        old: Option<usize>,
        is_insert: bool,
    ) -> Result<(), DecodeError> {
        match old {
            Some(old) => {
                self.push(places, data, Some(old), ChangeKind::UpdateBefore)?;
                self.push(places, data, None, ChangeKind::UpdateAfter)
            }
            None if is_insert => self.push(places, data, None, ChangeKind::Insert),
            None => self.push(places, data, None, ChangeKind::Delete),
        }
    }

    fn push(
        &mut self,
        places: &Places<'_>,
        at: usize,
        over: Option<usize>,
        kind: ChangeKind,
    ) -> Result<(), DecodeError> {
        let over = over.map(|at| (at, &mut self.old_names));
        self.json.append_row(places.record, at, over)?;
        for (metadata, column) in &mut self.metadata {
            append_metadata(places, metadata, column, &mut self.json.rules)?;
        }
        self.kinds.push(kind);
        Ok(())
    }
}

fn append_metadata(
    places: &Places<'_>,
    metadata: &Metadata,
    column: &mut ColumnBuilder,
    rules: &mut super::decoder::Rules,
) -> Result<(), Fault> {
    let record = places.record;
    let mut at = match metadata.kind {
        MetadataKind::Schema => places.schema.filter(|at| !is_null(record, *at)),
        _ => places.get(metadata.field),
    };
    if let (Some(outer), Some(inner)) = (at, metadata.inner) {
        at = locate(record, outer, &[inner])?.first().map(|(_, at)| *at).filter(|at| !is_null(record, *at));
    }
    let Some(at) = at else {
        column.push_null();
        return Ok(());
    };
    let mut scanner = Scanner { bytes: record, at, depth: 0 };
    if metadata.kind != MetadataKind::Time {
        return append_or_null(&mut scanner, column, rules);
    }
    let instant = match scanner.peek() {
        b'"' => {
            let mut plain = Vec::new();
            unescape(scanner.text()?, &mut plain);
            parse_timestamp(&plain, rules.scalar.standard, false)
        }
        b'-' | b'0'..=b'9' => {
            let number = scanner.number()?;
            let ms = if number.is_integer { parse_integer(number.text, i64::MIN, i64::MAX) } else { None };
            ms.map(|ms| (ms.div_euclid(MS_PER_DAY), ms.rem_euclid(MS_PER_DAY) * 1_000_000))
        }
        _ => None,
    };
    let Values::Timestamp { values, unit, .. } = &mut column.values else {
        return Err(Fault::Value { path: vec![column.name.clone()], reason: "it holds no time".into() });
    };
    match instant.and_then(|(days, nanos)| in_unit(days, nanos, *unit)) {
        Some(value) => {
            values.push(value);
            column.end_value();
        }
        None if rules.null_on_error => column.push_null(),
        None => {
            let reason = format!("'{}' is no time", metadata.field);
            return Err(Fault::Value { path: vec![column.name.clone()], reason });
        }
    }
    Ok(())
}

impl RowDecoder for ChangeDecoder {
    fn decode(&mut self, record: &[u8]) -> Result<(), DecodeError> {
        if record.is_empty() {
            return Ok(());
        }
        let rows = self.json.rows;
        let decoded = self.decode_changes(record);
        if decoded.is_err() {
            self.json.truncate(rows);
            self.metadata.iter_mut().for_each(|(_, column)| column.truncate(rows));
            self.kinds.truncate(rows);
        }
        decoded
    }

    fn len(&self) -> usize {
        self.json.rows
    }

    fn kinds(&self) -> Option<&[ChangeKind]> {
        Some(&self.kinds)
    }

    fn finish(&mut self) -> Result<RecordBatch, DecodeError> {
        let rows = self.json.rows;
        self.json.rows = 0;
        self.kinds.clear();
        let mut columns = std::mem::take(&mut self.json.columns);
        let own = columns.len();
        let mut metadata = std::mem::take(&mut self.metadata);
        let (known, builders): (Vec<_>, Vec<_>) = metadata.drain(..).unzip();
        columns.extend(builders);
        let batch = build_batch(&self.schema, &mut columns, rows);
        self.metadata = known.into_iter().zip(columns.split_off(own)).collect();
        self.json.columns = columns;
        batch
    }
}
