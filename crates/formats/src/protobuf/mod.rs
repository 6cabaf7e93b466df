//! `protobuf`: messages of Protocol Buffers, found by the name of their Java class in `.proto` files or descriptor sets.
//!
//! Flink loads the class that `protoc` made; here the description of the message says the same. By convention it lies
//! in the folder `proto` of the working directory, so that a table needs no option that Flink does not know.
//! How the fields become columns is planned once (`plan`) and carried out for each record (`decoder`, `encoder`).

mod confluent;
mod decoder;
mod derive;
mod encoder;
mod files;
mod plan;
mod rows;
pub(crate) mod wire;

pub(crate) use confluent::{ConfluentDecoder, ConfluentEncoder, SPECS as CONFLUENT_SPECS};

use crate::surroundings::Surroundings;
use crate::{DecodeError, EncodeError, FormatError, RowDecoder, RowEncoder};
use arrow_array::RecordBatch;
use arrow_schema::{Field, SchemaRef};
use base::options::{OptionKind, OptionSpec, Options};
use encoder::{to_error, write_message};
use plan::{MessagePlan, Rules};
use rows::Rows;
use wire::Input;

/// Compiles `.proto` texts by the paths that they import each other by; `root` is where to begin. A text may also be a
/// file's descriptor in base64, as some serializers register it.
pub fn compile_proto(
    texts: std::collections::BTreeMap<String, String>,
    root: &str,
) -> Result<protox::prost_reflect::DescriptorPool, String> {
    files::compile(texts, &[root])
}

pub(crate) const IGNORE_PARSE_ERRORS: OptionSpec = OptionSpec {
    key: "ignore-parse-errors",
    kind: OptionKind::Boolean,
    required: false,
    default: Some("false"),
    doc: "Whether records that cannot be read are skipped.",
    example: "true",
};
pub(crate) const WRITE_NULL_TEXT: OptionSpec = OptionSpec {
    key: "write-null-string-literal",
    kind: OptionKind::Text,
    required: false,
    default: Some(""),
    doc: "The text that stands for NULL in arrays and maps.",
    example: "none",
};

pub(crate) const SPECS: &[OptionSpec] = &[
    OptionSpec {
        key: "message-class-name",
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "The message: the name of its Java class, as Flink wants it, or its own full name.",
        example: "com.example.Shop$Order",
    },
    OptionSpec {
        key: "schema-path",
        kind: OptionKind::Text,
        required: false,
        default: Some("proto"),
        doc: "Where the message is described: a folder of .proto files, one such file, or a descriptor set as `protoc --include_imports --descriptor_set_out` writes it. Flink does not have it and finds the class itself.",
        example: "protos/shop.proto",
    },
    IGNORE_PARSE_ERRORS,
    OptionSpec {
        key: "read-default-values",
        kind: OptionKind::Boolean,
        required: false,
        default: Some("false"),
        doc: "Whether what is absent is read as its default instead of NULL. Single values of proto3 always are.",
        example: "true",
    },
    WRITE_NULL_TEXT,
];

/// The message of the options, fitted to columns.
fn plan<'a>(
    options: &Options,
    surroundings: &Surroundings,
    columns: impl Iterator<Item = &'a Field>,
) -> Result<MessagePlan, FormatError> {
    let pool = files::pool_of(&surroundings.schema_files).map_err(FormatError)?;
    let message =
        files::find(&pool, options.text("message-class-name").unwrap_or_default()).map_err(FormatError)?;
    let rules = Rules {
        read_defaults: options.boolean("read-default-values"),
        proto3_ignores_presence: true,
        missing_is_null: false,
    };
    MessagePlan::new(&message, columns, rules).map_err(FormatError)
}

pub(crate) struct ProtobufDecoder {
    rows: Rows,
    plan: MessagePlan,
}

impl ProtobufDecoder {
    pub(crate) fn new(
        options: &Options,
        schema: &SchemaRef,
        projection: &[usize],
        surroundings: &Surroundings,
    ) -> Result<ProtobufDecoder, FormatError> {
        let rows = Rows::new(schema, projection)?;
        let plan = plan(options, surroundings, rows.fields())?;
        Ok(ProtobufDecoder { rows, plan })
    }
}

impl RowDecoder for ProtobufDecoder {
    fn decode(&mut self, record: &[u8]) -> Result<(), DecodeError> {
        self.rows.append(Input::new(record), &self.plan)
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn finish(&mut self) -> Result<RecordBatch, DecodeError> {
        self.rows.finish()
    }
}

pub(crate) struct ProtobufEncoder {
    plan: MessagePlan,
    null_text: String,
}

impl ProtobufEncoder {
    pub(crate) fn new(
        options: &Options,
        schema: &SchemaRef,
        surroundings: &Surroundings,
    ) -> Result<ProtobufEncoder, FormatError> {
        let plan = plan(options, surroundings, schema.fields().iter().map(|field| field.as_ref()))?;
        let null_text = options.text("write-null-string-literal").unwrap_or_default().to_string();
        Ok(ProtobufEncoder { plan, null_text })
    }
}

impl RowEncoder for ProtobufEncoder {
    fn encode(&mut self, rows: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        write_message(&self.plan, rows.columns(), row, &self.null_text, out).map_err(to_error)
    }
}
