//! What every generated message can do: name its versions, come out of bytes, and go into bytes.

use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::writer::Writer;

/// A request, a response, or a message that travels inside another one's byte field.
///
/// A field that a version does not carry decodes to its default. Encoding a value other than the
/// default into a version that cannot carry it is an error, unless Kafka declares the field ignorable.
pub trait Message: Sized {
    /// The number of the API; -1 for a message that belongs to none.
    const API_KEY: i16;
    /// The message's name in Kafka's own tables, such as `FetchRequest`.
    const NAME: &'static str;
    const VERSIONS: RangeInclusive<i16>;
    /// The first version with compact lengths and tagged fields; `i16::MAX` if there is none.
    const FLEXIBLE_FROM: i16;

    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError>;

    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError>;

    /// Shows every error code in it, those that say that there is none too.
    fn errors(&self, _visit: &mut dyn FnMut(i16)) {}

    fn is_flexible(version: i16) -> bool {
        version >= Self::FLEXIBLE_FROM
    }

    /// Decodes a message that must use up all bytes.
    fn from_bytes(data: Bytes, version: i16) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(data);
        let message = Self::decode(&mut reader, version)?;
        reader.finish()?;
        Ok(message)
    }

    /// The message's bytes, without a header.
    fn to_bytes(&self, version: i16) -> Result<Bytes, EncodeError> {
        let mut writer = Writer::new();
        self.encode(&mut writer, version)?;
        Ok(writer.into_bytes())
    }
}

/// A request, which knows what its response is.
pub trait Request: Message {
    type Response: Message;
}
