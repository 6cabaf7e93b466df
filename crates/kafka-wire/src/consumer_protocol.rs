//! What members of a classic consumer group tell each other through the broker: subscriptions and assignments.
//!
//! Each is a version of two bytes and the message of that version. A version above ours is read as far
//! as ours goes, as the protocol asks: later versions only append fields.

use bytes::Bytes;

use crate::error::{DecodeError, EncodeError};
use crate::message::Message;
use crate::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use crate::reader::Reader;
use crate::writer::Writer;

/// What a member wants to read.
pub fn decode_subscription(data: Bytes) -> Result<ConsumerProtocolSubscription, DecodeError> {
    decode(data)
}

/// What a member shall read; empty bytes are an empty assignment.
pub fn decode_assignment(data: Bytes) -> Result<ConsumerProtocolAssignment, DecodeError> {
    if data.is_empty() { Ok(ConsumerProtocolAssignment::default()) } else { decode(data) }
}

pub fn encode_subscription(
    subscription: &ConsumerProtocolSubscription,
    version: i16,
) -> Result<Bytes, EncodeError> {
    encode(subscription, version)
}

pub fn encode_assignment(
    assignment: &ConsumerProtocolAssignment,
    version: i16,
) -> Result<Bytes, EncodeError> {
    encode(assignment, version)
}

fn decode<M: Message>(data: Bytes) -> Result<M, DecodeError> {
    let mut reader = Reader::new(data);
    let version = reader.i16()?;
    M::decode(&mut reader, version.min(*M::VERSIONS.end()))
}

fn encode<M: Message>(message: &M, version: i16) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    writer.i16(version);
    message.encode(&mut writer, version)?;
    Ok(writer.into_bytes())
}
