//! The envelopes of changelogs in JSON: where each keeps the kind, the rows and its metadata.
//!
//! Debezium and Oracle GoldenGate have the row `before` and `after` a change. Canal and Maxwell have the
//! row as it now is, and of an update the `old` values of those fields that changed; Canal has many rows
//! in one record. The options and metadata keys are those of Flink's formats.

use super::{
    IGNORE_NULL_FIELDS, IGNORE_PARSE_ERRORS, MAP_NULL_KEY_LITERAL, MAP_NULL_KEY_MODE, PLAIN_DECIMALS,
    TIMESTAMP_STANDARD, spec,
};
use crate::FormatMetadata;
use arrow_schema::{DataType, Field, Fields, TimeUnit};
use base::options::{OptionKind, OptionSpec};
use std::sync::Arc;

/// One changelog format.
pub(crate) struct Envelope {
    pub name: &'static str,
    pub specs: &'static [OptionSpec],
    /// The field that says what happened.
    pub kind_field: &'static str,
    pub shape: Shape,
    /// What the kinds are called; the first of each is written.
    pub inserts: &'static [&'static str],
    pub updates: &'static [&'static str],
    pub deletes: &'static [&'static str],
    pub metadata: &'static [Metadata],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `before` and `after`, whole.
    BeforeAfter,
    /// `data`, and in `old` what changed.
    DataOld,
    /// The same, each an array with as many rows.
    DataOldArrays,
}

/// A metadata key: the field it is read from, and perhaps a field within that.
pub(crate) struct Metadata {
    pub key: &'static str,
    pub field: &'static str,
    pub inner: Option<&'static str>,
    pub kind: MetadataKind,
    pub doc: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MetadataKind {
    Text,
    /// Milliseconds since the epoch, or a time stamp as text.
    Time,
    Texts,
    TextByText,
    IntegerByText,
    /// The `schema` beside Debezium's payload.
    Schema,
}

impl Envelope {
    pub(crate) fn metadata(&self) -> Vec<FormatMetadata> {
        let of = |metadata: &Metadata| FormatMetadata {
            key: metadata.key,
            data_type: metadata.kind.data_type(),
            doc: metadata.doc,
        };
        self.metadata.iter().map(of).collect()
    }
}

impl MetadataKind {
    pub(crate) fn data_type(self) -> DataType {
        let map = |value: DataType| {
            let entry = Fields::from(vec![
                Field::new("keys", DataType::Utf8, false),
                Field::new("values", value, true),
            ]);
            DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entry), false)), false)
        };
        match self {
            MetadataKind::Text | MetadataKind::Schema => DataType::Utf8,
            MetadataKind::Time => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            MetadataKind::Texts => DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))),
            MetadataKind::TextByText => map(DataType::Utf8),
            MetadataKind::IntegerByText => map(DataType::Int32),
        }
    }

    /// Whether a declared column can hold it; names within the type do not matter.
    pub(crate) fn fits(self, declared: &DataType) -> bool {
        let value_of = |entries: &Field| match entries.data_type() {
            DataType::Struct(pair) => pair.get(1).map(|value| value.data_type().clone()),
            _ => None,
        };
        match (self, declared) {
            (MetadataKind::Text | MetadataKind::Schema, DataType::Utf8) => true,
            (MetadataKind::Time, DataType::Timestamp(..)) => true,
            (MetadataKind::Texts, DataType::List(item)) => item.data_type() == &DataType::Utf8,
            (MetadataKind::TextByText, DataType::Map(entries, _)) => {
                value_of(entries) == Some(DataType::Utf8)
            }
            (MetadataKind::IntegerByText, DataType::Map(entries, _)) => {
                value_of(entries) == Some(DataType::Int32)
            }
            _ => false,
        }
    }
}

const fn metadata(
    key: &'static str,
    field: &'static str,
    inner: Option<&'static str>,
    kind: MetadataKind,
    doc: &'static str,
) -> Metadata {
    Metadata { key, field, inner, kind, doc }
}

const SCHEMA_INCLUDE: OptionSpec = spec(
    "schema-include",
    OptionKind::Boolean,
    "false",
    "Whether records have a `schema` beside the `payload`; only for reading.",
    "true",
);

pub(crate) const DEBEZIUM: Envelope = Envelope {
    name: "debezium-json",
    specs: &[
        SCHEMA_INCLUDE,
        IGNORE_PARSE_ERRORS,
        TIMESTAMP_STANDARD,
        MAP_NULL_KEY_MODE,
        MAP_NULL_KEY_LITERAL,
        PLAIN_DECIMALS,
        IGNORE_NULL_FIELDS,
    ],
    kind_field: "op",
    shape: Shape::BeforeAfter,
    inserts: &["c", "r"],
    updates: &["u"],
    deletes: &["d"],
    metadata: &[
        metadata("schema", "", None, MetadataKind::Schema, "The payload's schema, as JSON."),
        metadata(
            "ingestion-timestamp",
            "ts_ms",
            None,
            MetadataKind::Time,
            "When the connector saw the change.",
        ),
        metadata(
            "source.timestamp",
            "source",
            Some("ts_ms"),
            MetadataKind::Time,
            "When the change was made.",
        ),
        metadata("source.database", "source", Some("db"), MetadataKind::Text, "The database it was made in."),
        metadata("source.schema", "source", Some("schema"), MetadataKind::Text, "The database's schema."),
        metadata("source.table", "source", Some("table"), MetadataKind::Text, "The table it was made in."),
        metadata(
            "source.properties",
            "source",
            None,
            MetadataKind::TextByText,
            "All that is known of the source.",
        ),
    ],
};

const DATABASE_INCLUDE: OptionSpec = OptionSpec {
    key: "database.include",
    kind: OptionKind::Text,
    required: false,
    default: None,
    doc: "A regular expression; only changes in databases whose whole name matches are read.",
    example: "shop_.*",
};

pub(crate) const CANAL: Envelope = Envelope {
    name: "canal-json",
    specs: &[
        IGNORE_PARSE_ERRORS,
        TIMESTAMP_STANDARD,
        DATABASE_INCLUDE,
        OptionSpec {
            key: "table.include",
            doc: "A regular expression; only changes in tables whose whole name matches are read.",
            example: "orders|users",
            ..DATABASE_INCLUDE
        },
        MAP_NULL_KEY_MODE,
        MAP_NULL_KEY_LITERAL,
        PLAIN_DECIMALS,
        IGNORE_NULL_FIELDS,
    ],
    kind_field: "type",
    shape: Shape::DataOldArrays,
    inserts: &["INSERT"],
    updates: &["UPDATE"],
    deletes: &["DELETE"],
    metadata: &[
        metadata("database", "database", None, MetadataKind::Text, "The database of the change."),
        metadata("table", "table", None, MetadataKind::Text, "The table of the change."),
        metadata(
            "sql-type",
            "sqlType",
            None,
            MetadataKind::IntegerByText,
            "The columns' types, as JDBC numbers them.",
        ),
        metadata("pk-names", "pkNames", None, MetadataKind::Texts, "The columns of the primary key."),
        metadata("ingestion-timestamp", "ts", None, MetadataKind::Time, "When the connector saw the change."),
        metadata("event-timestamp", "es", None, MetadataKind::Time, "When the change was made."),
    ],
};

pub(crate) const MAXWELL: Envelope = Envelope {
    name: "maxwell-json",
    specs: &[
        IGNORE_PARSE_ERRORS,
        TIMESTAMP_STANDARD,
        MAP_NULL_KEY_MODE,
        MAP_NULL_KEY_LITERAL,
        PLAIN_DECIMALS,
        IGNORE_NULL_FIELDS,
    ],
    kind_field: "type",
    shape: Shape::DataOld,
    inserts: &["insert"],
    updates: &["update"],
    deletes: &["delete"],
    metadata: &[
        metadata("database", "database", None, MetadataKind::Text, "The database of the change."),
        metadata("table", "table", None, MetadataKind::Text, "The table of the change."),
        metadata(
            "primary-key-columns",
            "primary_key_columns",
            None,
            MetadataKind::Texts,
            "The columns of the primary key.",
        ),
        metadata(
            "ingestion-timestamp",
            "ts",
            None,
            MetadataKind::Time,
            "The record's `ts`, taken for milliseconds, as in Flink.",
        ),
    ],
};

pub(crate) const OGG: Envelope = Envelope {
    name: "ogg-json",
    specs: MAXWELL.specs,
    kind_field: "op_type",
    shape: Shape::BeforeAfter,
    inserts: &["I"],
    updates: &["U"],
    deletes: &["D"],
    metadata: &[
        metadata("table", "table", None, MetadataKind::Text, "The table of the change."),
        metadata(
            "primary-key-columns",
            "primary_keys",
            None,
            MetadataKind::Texts,
            "The columns of the primary key.",
        ),
        metadata(
            "ingestion-timestamp",
            "current_ts",
            None,
            MetadataKind::Time,
            "When the connector saw the change.",
        ),
        metadata("event-timestamp", "op_ts", None, MetadataKind::Time, "When the change was made."),
    ],
};
