//! Protobuf: `.proto` texts compiled, printed from their descriptors, and compared.
//!
//! A text is kept as it was given. One that was registered as a serialized descriptor (Python's serializer does so)
//! becomes text, so that all who ask read the same. Blanks and comments do not make another schema.

mod compare;
mod print;
mod tokens;

pub(crate) use compare::differences;
pub(crate) use tokens::without_layout;

use protox::prost_reflect::prost::Message;
use protox::prost_reflect::prost_types::FileDescriptorProto;
use protox::prost_reflect::{DescriptorPool, FileDescriptor};
use std::collections::BTreeMap;

/// The name of the file that is registered among those that it imports.
const ROOT: &str = "registered.proto";

pub(crate) struct ProtobufSchema {
    pool: DescriptorPool,
    text: String,
}

impl ProtobufSchema {
    pub(crate) fn parse(text: &str, references: &[(&str, &str)]) -> Result<ProtobufSchema, String> {
        let mut texts: BTreeMap<String, String> =
            references.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
        texts.insert(ROOT.into(), text.into());
        let pool = formats::compile_proto(texts, ROOT)?;
        let mut schema = ProtobufSchema { pool, text: text.into() };
        let is_descriptor =
            |bytes: Vec<u8>| !bytes.is_empty() && FileDescriptorProto::decode(bytes.as_slice()).is_ok();
        if formats::base64_bytes(text.trim()).is_some_and(is_descriptor) {
            schema.text = print::text(schema.file().file_descriptor_proto());
        }
        Ok(schema)
    }

    fn file(&self) -> FileDescriptor {
        // It was compiled under this name.
        self.pool.get_file_by_name(ROOT).unwrap_or_else(|| FileDescriptor::new(self.pool.clone(), 0))
    }

    /// Normalized is what the descriptor says, without comments and in one layout.
    pub(crate) fn text(&self, normalize: bool) -> String {
        if normalize { print::text(self.file().file_descriptor_proto()) } else { self.text.clone() }
    }

    /// The descriptor in base64, as `format=serialized` wants it.
    pub(crate) fn serialized(&self) -> String {
        formats::base64_text(&self.file().encode_to_vec())
    }
}
