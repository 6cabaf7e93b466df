//! `cloudevents`: events of the CloudEvents specification 1.0 in its Kafka binding, with JSON for data.
//!
//! In the structured mode a record's value is a JSON object of the attributes with the data under `data`; in the binary
//! mode the value is the data and the attributes are headers whose names begin with `ce_`. Both are read, whichever a
//! record has; `cloudevents.mode` says what is written. The table's columns are the fields of the data, the attributes
//! are metadata: `value.id`, `value.source`, `value.type` and so on.

mod attributes;
mod decoder;
mod encoder;
mod event;

pub(crate) use decoder::CloudEventDecoder;
pub(crate) use encoder::CloudEventEncoder;
pub use event::CloudEvent;

use crate::FormatMetadata;
use crate::json;
use arrow_schema::{DataType, Field, Fields, TimeUnit};
use base::options::{OptionKind, OptionSpec};
use std::sync::Arc;

pub(crate) const SPECS: &[OptionSpec] = &[
    OptionSpec {
        key: "mode",
        kind: OptionKind::OneOf(&["structured", "binary"]),
        required: false,
        default: Some("structured"),
        doc: "How events are written: all in the value, or the attributes in headers. Both are read.",
        example: "binary",
    },
    OptionSpec {
        key: "source",
        kind: OptionKind::Text,
        required: false,
        default: None,
        doc: "The `source` of what is written, where no metadata column says it.",
        example: "/shop/orders",
    },
    OptionSpec {
        key: "type",
        kind: OptionKind::Text,
        required: false,
        default: None,
        doc: "The `type` of what is written, where no metadata column says it.",
        example: "com.example.order.created",
    },
    json::FAIL_ON_MISSING_FIELD,
    json::IGNORE_PARSE_ERRORS,
    json::TIMESTAMP_STANDARD,
    json::MAP_NULL_KEY_MODE,
    json::MAP_NULL_KEY_LITERAL,
    json::PLAIN_DECIMALS,
    json::IGNORE_NULL_FIELDS,
];

/// How an attribute is a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttributeKind {
    Text,
    Time,
    /// All attributes that the specification does not name.
    Extensions,
}

pub(crate) struct Attribute {
    pub name: &'static str,
    pub kind: AttributeKind,
    pub is_required: bool,
    pub is_writable: bool,
    pub doc: &'static str,
}

const fn attribute(name: &'static str, is_required: bool, doc: &'static str) -> Attribute {
    Attribute { name, kind: AttributeKind::Text, is_required, is_writable: true, doc }
}

pub(crate) const EXTENSIONS: &str = "extensions";

/// In the order in which they are written.
pub(crate) const ATTRIBUTES: &[Attribute] = &[
    Attribute {
        is_writable: false,
        ..attribute("specversion", true, "The version of the specification: 1.0.")
    },
    attribute("id", true, "What tells the event from the others of its source."),
    attribute("source", true, "Where the event comes from."),
    attribute("type", true, "What happened."),
    attribute("subject", false, "What it happened to."),
    Attribute { kind: AttributeKind::Time, ..attribute("time", false, "When it happened.") },
    attribute("dataschema", false, "The schema of the data."),
    Attribute {
        is_writable: false,
        ..attribute("datacontenttype", false, "What the data is; JSON where it is not given.")
    },
    Attribute {
        kind: AttributeKind::Extensions,
        ..attribute(EXTENSIONS, false, "The attributes that the specification does not name.")
    },
];

pub(crate) fn find(key: &str) -> Option<&'static Attribute> {
    ATTRIBUTES.iter().find(|attribute| attribute.name == key)
}

impl AttributeKind {
    fn data_type(self) -> DataType {
        match self {
            AttributeKind::Text => DataType::Utf8,
            AttributeKind::Time => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            AttributeKind::Extensions => {
                let entry = Fields::from(vec![
                    Field::new("keys", DataType::Utf8, false),
                    Field::new("values", DataType::Utf8, true),
                ]);
                DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entry), false)), false)
            }
        }
    }

    /// Whether a declared column can hold it; names within the type do not matter.
    fn fits(self, declared: &DataType) -> bool {
        match (self, declared) {
            (AttributeKind::Text, DataType::Utf8)
            | (AttributeKind::Time, DataType::Timestamp(_, Some(_))) => true,
            (AttributeKind::Extensions, DataType::Map(entries, _)) => match entries.data_type() {
                DataType::Struct(pair) => pair.iter().all(|field| field.data_type() == &DataType::Utf8),
                _ => false,
            },
            _ => false,
        }
    }
}

pub(crate) fn metadata() -> Vec<FormatMetadata> {
    let of = |attribute: &Attribute| FormatMetadata {
        key: attribute.name,
        data_type: attribute.kind.data_type(),
        doc: attribute.doc,
    };
    ATTRIBUTES.iter().map(of).collect()
}

/// Why a metadata column is none of these attributes.
fn problem(key: &str, declared: &DataType) -> Option<String> {
    match find(key) {
        None => {
            let keys: Vec<&str> = ATTRIBUTES.iter().map(|attribute| attribute.name).collect();
            Some(format!("the format 'cloudevents' has no metadata '{key}'; it has: {}", keys.join(", ")))
        }
        Some(attribute) if !attribute.kind.fits(declared) => {
            Some(format!("the metadata '{key}' is of another type"))
        }
        Some(_) => None,
    }
}
