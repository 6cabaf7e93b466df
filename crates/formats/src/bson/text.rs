//! Values as texts: extended JSON in its relaxed form, and what a STRING column gets of a value.

use super::{Bson, Document};
use crate::base64_text;
use crate::time_text::{Fraction, write_date, write_time};
use base::java_number::double_to_string;
use std::fmt::Write;

const MS_PER_DAY: i64 = 86_400_000;
/// The last moment that relaxed JSON shows as a date: the end of the year 9999.
const SHOWN_MS_MAX: i64 = 253_402_300_799_999;

/// What stands between the parts of objects and arrays.
#[derive(Clone, Copy)]
struct Marks {
    comma: &'static str,
    colon: &'static str,
}

const SHORT: Marks = Marks { comma: ",", colon: ":" };
/// As the driver for Java writes it.
const SPACED: Marks = Marks { comma: ", ", colon: ": " };

impl Document {
    /// Extended JSON without blanks.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        write_document(self, SHORT, &mut out);
        out
    }
}

impl Bson {
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        write_json(self, SHORT, &mut out);
        out
    }

    /// What a column of type STRING shows of it; none for what is no value.
    pub fn to_text(&self) -> Option<String> {
        Some(match self {
            Bson::Null | Bson::Undefined | Bson::MinKey | Bson::MaxKey => return None,
            Bson::String(text) | Bson::JavaScript(text) | Bson::Symbol(text) => text.clone(),
            Bson::JavaScriptWithScope { code, .. } => code.clone(),
            Bson::Binary { subtype: 3 | 4, bytes } if bytes.len() == 16 => uuid(bytes),
            Bson::Binary { bytes, .. } => hex(bytes),
            Bson::ObjectId(id) | Bson::DbPointer { id, .. } => hex(id),
            Bson::Int32(number) => number.to_string(),
            Bson::Int64(number) => number.to_string(),
            Bson::Double(number) => double_to_string(*number),
            Bson::Decimal128(number) => number.to_string(),
            Bson::Boolean(truth) => truth.to_string(),
            Bson::DateTime(ms) => moment(*ms),
            Bson::Timestamp { seconds, .. } => moment(i64::from(*seconds) * 1000),
            Bson::Regex { pattern, options } => format!("/{pattern}/{options}"),
            Bson::Document(_) | Bson::Array(_) => {
                let mut out = String::new();
                write_json(self, SPACED, &mut out);
                out
            }
        })
    }

    /// What kind of value it is, in MongoDB's words.
    pub fn kind(&self) -> &'static str {
        match self {
            Bson::Double(_) => "double",
            Bson::String(_) => "string",
            Bson::Document(_) => "object",
            Bson::Array(_) => "array",
            Bson::Binary { .. } => "binData",
            Bson::Undefined => "undefined",
            Bson::ObjectId(_) => "objectId",
            Bson::Boolean(_) => "bool",
            Bson::DateTime(_) => "date",
            Bson::Null => "null",
            Bson::Regex { .. } => "regex",
            Bson::DbPointer { .. } => "dbPointer",
            Bson::JavaScript(_) => "javascript",
            Bson::Symbol(_) => "symbol",
            Bson::JavaScriptWithScope { .. } => "javascriptWithScope",
            Bson::Int32(_) => "int",
            Bson::Timestamp { .. } => "timestamp",
            Bson::Int64(_) => "long",
            Bson::Decimal128(_) => "decimal",
            Bson::MinKey => "minKey",
            Bson::MaxKey => "maxKey",
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

fn uuid(bytes: &[u8]) -> String {
    let digits = hex(bytes);
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    parts.join("-")
}

/// `2013-01-31T12:34:56.789Z`
fn moment(ms: i64) -> String {
    let mut out = Vec::with_capacity(32);
    write_date(ms.div_euclid(MS_PER_DAY), &mut out);
    out.push(b'T');
    write_time(ms.rem_euclid(MS_PER_DAY) * 1_000_000, Fraction::Shortest, false, &mut out);
    out.push(b'Z');
    String::from_utf8_lossy(&out).into_owned()
}

fn write_text(text: &str, out: &mut String) {
    let mut quoted = Vec::new();
    crate::json::quote(text, &mut quoted);
    out.push_str(&String::from_utf8_lossy(&quoted));
}

fn write_document(document: &Document, marks: Marks, out: &mut String) {
    out.push('{');
    for (place, (name, value)) in document.0.iter().enumerate() {
        if place > 0 {
            out.push_str(marks.comma);
        }
        write_text(name, out);
        out.push_str(marks.colon);
        write_json(value, marks, out);
    }
    out.push('}');
}

/// `{"$name": …}`
fn wrapped(name: &str, value: Bson, marks: Marks, out: &mut String) {
    write_document(&Document::new().with(name, value), marks, out);
}

fn write_json(value: &Bson, marks: Marks, out: &mut String) {
    let text = |text: &str| Bson::from(text);
    match value {
        Bson::Null => out.push_str("null"),
        Bson::Boolean(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Bson::Int32(number) => {
            let _ = write!(out, "{number}");
        }
        Bson::Int64(number) => {
            let _ = write!(out, "{number}");
        }
        Bson::Double(number) if number.is_finite() => out.push_str(&double_to_string(*number)),
        Bson::Double(number) => {
            wrapped("$numberDouble", text(&double_to_string(*number)), marks, out);
        }
        Bson::String(value) => write_text(value, out),
        Bson::Document(document) => write_document(document, marks, out),
        Bson::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push_str(marks.comma);
                }
                write_json(item, marks, out);
            }
            out.push(']');
        }
        Bson::Binary { subtype, bytes } => {
            let inner =
                Document::new().with("base64", base64_text(bytes)).with("subType", format!("{subtype:02x}"));
            wrapped("$binary", inner.into(), marks, out);
        }
        Bson::Undefined => wrapped("$undefined", true.into(), marks, out),
        Bson::ObjectId(id) => wrapped("$oid", hex(id).into(), marks, out),
        Bson::DateTime(ms) if (0..=SHOWN_MS_MAX).contains(ms) => {
            wrapped("$date", moment(*ms).into(), marks, out);
        }
        Bson::DateTime(ms) => {
            let number = Document::new().with("$numberLong", ms.to_string());
            wrapped("$date", number.into(), marks, out);
        }
        Bson::Regex { pattern, options } => {
            let inner = Document::new().with("pattern", pattern.as_str()).with("options", options.as_str());
            wrapped("$regularExpression", inner.into(), marks, out);
        }
        Bson::DbPointer { namespace, id } => {
            let oid = Document::new().with("$oid", hex(id));
            let inner = Document::new().with("$ref", namespace.as_str()).with("$id", oid);
            wrapped("$dbPointer", inner.into(), marks, out);
        }
        Bson::JavaScript(code) => wrapped("$code", text(code), marks, out),
        Bson::Symbol(symbol) => wrapped("$symbol", text(symbol), marks, out),
        Bson::JavaScriptWithScope { code, scope } => {
            let inner = Document::new().with("$code", code.as_str()).with("$scope", scope.clone());
            write_document(&inner, marks, out);
        }
        Bson::Timestamp { seconds, increment } => {
            let inner = Document::new().with("t", i64::from(*seconds)).with("i", i64::from(*increment));
            wrapped("$timestamp", inner.into(), marks, out);
        }
        Bson::Decimal128(number) => wrapped("$numberDecimal", number.to_string().into(), marks, out),
        Bson::MinKey => wrapped("$minKey", 1.into(), marks, out),
        Bson::MaxKey => wrapped("$maxKey", 1.into(), marks, out),
    }
}
