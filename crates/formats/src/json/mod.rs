//! `json`: one object per record, fields matched to columns by name; Flink's format of that name.
//!
//! The decoder walks over the text once and appends wanted fields to their builders as it meets
//! them; nothing else is materialised.

mod change_decoder;
mod change_encoder;
mod changes;
mod decoder;
mod encoder;
mod scanner;
mod text;

pub(crate) use change_decoder::ChangeDecoder;
pub(crate) use change_encoder::ChangeEncoder;
pub(crate) use changes::{CANAL, DEBEZIUM, Envelope, MAXWELL, OGG};
pub(crate) use decoder::JsonDecoder;
pub(crate) use encoder::JsonEncoder;
pub(crate) use scanner::{Next, Scanner, SyntaxError, unescape};
pub(crate) use text::quote;

use crate::time_text::TimestampStandard;
use base::options::{OptionKind, OptionSpec, Options};

const fn spec(
    key: &'static str,
    kind: OptionKind,
    default: &'static str,
    doc: &'static str,
    example: &'static str,
) -> OptionSpec {
    OptionSpec { key, kind, required: false, default: Some(default), doc, example }
}

pub(crate) const FAIL_ON_MISSING_FIELD: OptionSpec = spec(
    "fail-on-missing-field",
    OptionKind::Boolean,
    "false",
    "Whether a record without one of the columns is an error; otherwise the column is NULL.",
    "true",
);
pub(crate) const IGNORE_PARSE_ERRORS: OptionSpec = spec(
    "ignore-parse-errors",
    OptionKind::Boolean,
    "false",
    "Whether records that are no JSON are skipped, and fields that do not fit their type become NULL.",
    "true",
);
pub(crate) const TIMESTAMP_STANDARD: OptionSpec = spec(
    "timestamp-format.standard",
    OptionKind::OneOf(&["SQL", "ISO-8601"]),
    "SQL",
    "How time stamps look: `2013-01-31 12:00:00.5` or `2013-01-31T12:00:00.5`, a TIMESTAMP_LTZ with a `Z` behind.",
    "ISO-8601",
);
pub(crate) const MAP_NULL_KEY_MODE: OptionSpec = spec(
    "map-null-key.mode",
    OptionKind::OneOf(&["FAIL", "DROP", "LITERAL"]),
    "FAIL",
    "What becomes of a NULL key of a map when it is written. No map has one here, for what would make one fails the job, so that it changes nothing.",
    "DROP",
);
pub(crate) const MAP_NULL_KEY_LITERAL: OptionSpec = spec(
    "map-null-key.literal",
    OptionKind::Text,
    "null",
    "The key that stands for NULL when `map-null-key.mode` is LITERAL.",
    "none",
);
pub(crate) const PLAIN_DECIMALS: OptionSpec = spec(
    "encode.decimal-as-plain-number",
    OptionKind::Boolean,
    "false",
    "Whether decimals are written without an exponent: 100 instead of 1E+2.",
    "true",
);
pub(crate) const IGNORE_NULL_FIELDS: OptionSpec = spec(
    "encode.ignore-null-fields",
    OptionKind::Boolean,
    "false",
    "Whether fields that are NULL are left out when a row is written.",
    "true",
);

pub(crate) const SPECS: &[OptionSpec] = &[
    FAIL_ON_MISSING_FIELD,
    IGNORE_PARSE_ERRORS,
    TIMESTAMP_STANDARD,
    MAP_NULL_KEY_MODE,
    MAP_NULL_KEY_LITERAL,
    PLAIN_DECIMALS,
    IGNORE_NULL_FIELDS,
    spec(
        "decode.json-parser.enabled",
        OptionKind::Boolean,
        "true",
        "Accepted for Flink's sake; it changes nothing here.",
        "true",
    ),
];

fn standard(options: &Options) -> TimestampStandard {
    match options.text("timestamp-format.standard") {
        Some("ISO-8601") => TimestampStandard::Iso,
        _ => TimestampStandard::Sql,
    }
}
