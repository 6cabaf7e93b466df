//! Entries and rows: a field with the row, or the fields as its columns; the others are headers.

use super::options::{ALL_FIELDS, BODY};
use super::stream::{Entry, Fields, Id};
use crate::landed::{Carried, Landing, keeps_header};
use crate::messages::{Delivered, is_time, keeps_headers};
use base::options::Options;
use dataflow::feed::FeedRecord;
use dataflow::table::TableDefinition;
use os::Clock;
use serde_json::Value;
use std::sync::Arc;

/// What an entry of ours may have: the script that writes it puts them on a stack.
const FIELDS_MAX: usize = 1000;

/// Which field has the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    Field(String),
    /// All of them are columns.
    Fields,
}

impl Body {
    pub(super) fn of(options: &Options) -> Body {
        match options.text(BODY).unwrap_or("body") {
            ALL_FIELDS => Body::Fields,
            name => Body::Field(name.to_string()),
        }
    }

    /// The fields of an entry that a record becomes, or why there is none. Its trace is left out where it does not fit.
    pub(super) fn fields(&self, carried: &Carried<'_>, value: &[u8]) -> Result<Fields, String> {
        match self.fields_with(&carried.headers, value) {
            Err(_) if carried.traced > 0 => self.fields_with(carried.own_headers(), value),
            done => done,
        }
    }

    fn fields_with(&self, headers: &[(&str, Option<&[u8]>)], value: &[u8]) -> Result<Fields, String> {
        let mut fields = match self {
            Body::Field(name) => vec![(name.as_bytes().to_vec(), value.to_vec())],
            Body::Fields => columns(value)?,
        };
        for (name, value) in headers {
            if fields.iter().any(|(known, _)| known == name.as_bytes()) {
                return Err(format!("the header '{}' has the name of another field", name.escape_debug()));
            }
            fields.push((name.as_bytes().to_vec(), value.unwrap_or_default().to_vec()));
        }
        match fields.len() {
            0 => Err("an entry has to have a field, and all columns are NULL".into()),
            1..=FIELDS_MAX => Ok(fields),
            count => Err(format!("it has {count} fields, and limit={FIELDS_MAX}")),
        }
    }
}

/// The columns of a row in JSON, as texts; NULL is no field.
fn columns(value: &[u8]) -> Result<Fields, String> {
    let row: Value = serde_json::from_slice(value).map_err(|error| format!("the row is no JSON: {error}"))?;
    let Value::Object(columns) = row else { return Err("the row is no JSON object".into()) };
    let field = |(name, value): (String, Value)| {
        let text = match value {
            Value::Null => return None,
            Value::String(text) => text,
            other => other.to_string(),
        };
        Some((name.into_bytes(), text.into_bytes()))
    };
    Ok(columns.into_iter().filter_map(field).collect())
}

/// Makes records of entries.
pub(super) struct Records {
    table: Arc<TableDefinition>,
    clock: Arc<dyn Clock>,
    body: Body,
    keeps_headers: bool,
}

impl Records {
    pub(super) fn new(table: Arc<TableDefinition>, options: &Options, clock: Arc<dyn Clock>) -> Records {
        Records { keeps_headers: keeps_headers(&table), body: Body::of(options), clock, table }
    }

    pub(super) fn delivered(&self, entry: Entry, ticket: u64, id: Option<Vec<u8>>) -> Delivered {
        Delivered { ticket, bytes: entry.bytes(), record: self.record(entry, id) }
    }

    fn record(&self, entry: Entry, id: Option<Vec<u8>>) -> FeedRecord {
        let Entry { id: Id { ms, .. }, .. } = entry;
        let mut fields = entry.fields.unwrap_or_default();
        let timestamp_ms = i64::try_from(ms).ok().filter(is_time);
        let mut landing = Landing::new(&self.table);
        landing.text("id", Some(&entry.id.to_string()));
        landing.number("timestamp", timestamp_ms);
        let value = match &self.body {
            Body::Fields => object(&fields),
            Body::Field(name) => match fields.iter().position(|(known, _)| known == name.as_bytes()) {
                Some(index) => fields.remove(index).1,
                None => {
                    landing.unreadable(&format!(
                        "the entry id={} has no field '{name}'; '{BODY}' names the field with the row, or is \
                         '{ALL_FIELDS}' where the fields are the columns",
                        entry.id
                    ));
                    object(&fields)
                }
            },
        };
        // As JSON it may be six times as long as the entry.
        let value = landing.value(&format!("the entry id={}", entry.id), value);
        if self.body != Body::Fields {
            for (name, value) in fields {
                let name = String::from_utf8_lossy(&name);
                if keeps_header(&name, self.keeps_headers) {
                    landing.header(&name, Some(value));
                }
            }
        }
        FeedRecord {
            partition: 0,
            timestamp_ms: timestamp_ms.unwrap_or_else(|| self.clock.now_ms()),
            key: None,
            value: Some(value),
            headers: landing.finish(),
            id,
        }
    }
}

/// The fields as an object of texts; what is no text is shown as one.
fn object(fields: &Fields) -> Vec<u8> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let members = fields.iter().map(|(name, value)| (text(name), Value::String(text(value))));
    Value::Object(members.collect()).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_become_fields() {
        let row = br#"{"a":"x","b":1.5,"c":null,"d":{"e":[true]}}"#;
        let pair = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        let expected = vec![pair("a", "x"), pair("b", "1.5"), pair("d", r#"{"e":[true]}"#)];
        let none = Carried { metadata: Vec::new(), headers: Vec::new(), traced: 0 };
        assert_eq!(Body::Fields.fields(&none, row), Ok(expected));
        let body = Body::Field("body".into());
        assert_eq!(body.fields(&none, row).unwrap(), [("body".into(), row.to_vec())]);
        let headers = |names: &[&'static str]| Carried {
            metadata: Vec::new(),
            headers: names.iter().map(|name| (*name, Some(&b"v"[..]))).collect(),
            traced: 0,
        };
        let traced = |names: &[&'static str]| Carried { traced: 1, ..headers(names) };
        let fields = body.fields(&traced(&["h", traces::TRACEPARENT]), b"1").unwrap();
        assert_eq!(fields[1..], [pair("h", "v"), pair(traces::TRACEPARENT, "v")]);
        let of_trace = Body::Field(traces::TRACEPARENT.into());
        let fields = of_trace.fields(&traced(&["h", traces::TRACEPARENT]), b"1");
        assert_eq!(fields.unwrap(), [pair(traces::TRACEPARENT, "1"), pair("h", "v")]);
        assert_eq!(body.fields(&headers(&["h"]), b"1").unwrap()[1], pair("h", "v"));
        for (body, headers, row, words) in [
            (&body, headers(&["body"]), &b"1"[..], "name of another field"),
            (&Body::Fields, headers(&["a"]), row, "name of another field"),
            (&Body::Fields, headers(&[]), b"{\"a\":null}", "all columns are NULL"),
            (&Body::Fields, headers(&[]), b"[1]", "no JSON object"),
            (&Body::Fields, headers(&[]), b"{", "no JSON"),
            (&body, headers(&["h"; 1]), b"1", ""),
        ] {
            let refused = body.fields(&headers, row).err().unwrap_or_default();
            assert!(refused.contains(words), "{refused}");
        }
    }
}
