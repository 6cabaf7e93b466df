//! JSON: one object per record, fields matched to columns by name; Flink's `json` format.

mod decoder;
mod encoder;
mod scanner;

pub(crate) use decoder::{JsonDecoder, finish_columns};
pub(crate) use encoder::JsonEncoder;

use base::options::{OptionKind, OptionSpec};

const fn spec(key: &'static str, kind: OptionKind, default: &'static str, doc: &'static str, example: &'static str) -> OptionSpec {
    OptionSpec { key, kind, required: false, default: Some(default), doc, example }
}

pub(crate) const SPECS: &[OptionSpec] = &[
    spec(
        "fail-on-missing-field",
        OptionKind::Boolean,
        "false",
        "Whether a record without one of the columns is an error; otherwise the column is NULL.",
        "true",
    ),
    spec(
        "ignore-parse-errors",
        OptionKind::Boolean,
        "false",
        "Whether records that are no JSON are skipped, and fields that do not fit their type become NULL.",
        "true",
    ),
    spec(
        "timestamp-format.standard",
        OptionKind::OneOf(&["SQL", "ISO-8601"]),
        "SQL",
        "How time stamps look: `2013-01-31 12:00:00.5` or `2013-01-31T12:00:00.5`.",
        "ISO-8601",
    ),
    spec(
        "map-null-key.mode",
        OptionKind::OneOf(&["FAIL", "DROP", "LITERAL"]),
        "FAIL",
        "What becomes of a NULL key of a map when it is written.",
        "DROP",
    ),
    spec(
        "map-null-key.literal",
        OptionKind::Text,
        "null",
        "The key that stands for NULL when `map-null-key.mode` is LITERAL.",
        "none",
    ),
    spec(
        "encode.decimal-as-plain-number",
        OptionKind::Boolean,
        "false",
        "Whether decimals are never written with an exponent; here they never are.",
        "true",
    ),
    spec("encode.ignore-null-fields", OptionKind::Boolean, "false", "Whether NULLs are left out when a row is written.", "true"),
    spec("decode.json-parser.enabled", OptionKind::Boolean, "true", "Accepted for Flink's sake; it changes nothing here.", "true"),
];
