//! Frames and headers: what stands before the body of every request and response.
//!
//! A frame is a size of four bytes and so many bytes. A request begins with its API's number and
//! version, which decide how the rest of the header looks; a response begins with the request's
//! correlation id only, so the reader must remember which request it answers.

use bytes::{Bytes, BytesMut};

use crate::error::{DecodeError, EncodeError};
use crate::message::{Message, Request};
use crate::messages::ApiKey;
use crate::reader::Reader;
use crate::writer::Writer;

/// The number of the retired API whose version 0 has a header without a client id.
const CONTROLLED_SHUTDOWN: i16 = 7;

/// What precedes the body of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestHeader {
    /// A number and not an [`ApiKey`], because the header of an unknown API must be readable too.
    pub api_key: i16,
    pub api_version: i16,
    pub correlation_id: i32,
    pub client_id: Option<String>,
}

impl RequestHeader {
    /// Reads the header; the reader then stands at the body.
    ///
    /// The header of an API that has no messages here is read up to its client id.
    pub fn decode(reader: &mut Reader) -> Result<RequestHeader, DecodeError> {
        let api_key = reader.i16()?;
        let api_version = reader.i16()?;
        let correlation_id = reader.i32()?;
        let version = request_header_version(api_key, api_version);
        // The client id kept its two-byte length in flexible versions, so that it can be read first.
        let client_id = if version >= 1 { reader.nullable_string(false)? } else { None };
        if version >= 2 {
            reader.skip_tagged_fields()?;
        }
        Ok(RequestHeader { api_key, api_version, correlation_id, client_id })
    }

    pub fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i16(self.api_key);
        writer.i16(self.api_version);
        writer.i32(self.correlation_id);
        let version = request_header_version(self.api_key, self.api_version);
        if version >= 1 {
            writer.nullable_string(self.client_id.as_deref(), false)?;
        }
        if version >= 2 {
            writer.no_tagged_fields();
        }
        Ok(())
    }
}

/// The version of a request's header.
pub fn request_header_version(api_key: i16, api_version: i16) -> i16 {
    match ApiKey::from_number(api_key) {
        Some(api) if api_version >= api.flexible_from() => 2,
        None if api_key == CONTROLLED_SHUTDOWN && api_version == 0 => 0,
        _ => 1,
    }
}

/// The version of a response's header.
///
/// ApiVersions always answers with version 0 (KIP-511): a client that asks for the versions cannot yet
/// know what the broker speaks.
pub fn response_header_version(api: ApiKey, api_version: i16) -> i16 {
    i16::from(api != ApiKey::ApiVersions && api_version >= api.flexible_from())
}

/// Writes a response's header.
pub fn encode_response_header(writer: &mut Writer, api: ApiKey, api_version: i16, correlation_id: i32) {
    writer.i32(correlation_id);
    if response_header_version(api, api_version) >= 1 {
        writer.no_tagged_fields();
    }
}

/// Reads a response's header and returns the correlation id.
pub fn decode_response_header(
    reader: &mut Reader,
    api: ApiKey,
    api_version: i16,
) -> Result<i32, DecodeError> {
    let correlation_id = reader.i32()?;
    if response_header_version(api, api_version) >= 1 {
        reader.skip_tagged_fields()?;
    }
    Ok(correlation_id)
}

/// The size that the first four bytes of a frame announce, if it is not negative and at most `size_max`.
pub fn frame_size(prefix: [u8; 4], size_max: usize) -> Result<usize, DecodeError> {
    let size = i32::from_be_bytes(prefix);
    match usize::try_from(size) {
        Ok(accepted) if accepted <= size_max => Ok(accepted),
        _ => Err(DecodeError::FrameSize { size, size_max }),
    }
}

/// A whole frame with a request, as chunks to be sent in order.
pub fn encode_request<R: Request>(
    request: &R,
    api_version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
) -> Result<Vec<Bytes>, EncodeError> {
    let client_id = client_id.map(str::to_owned);
    let header = RequestHeader { api_key: R::API_KEY, api_version, correlation_id, client_id };
    let mut writer = Writer::start_frame();
    header.encode(&mut writer)?;
    request.encode(&mut writer, api_version)?;
    writer.finish_frame()
}

/// A whole frame with a response, as chunks to be sent in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseFrame {
    pub chunks: Vec<Bytes>,
    /// Where the throttle time stands, and what it is; `None` in a message without one.
    throttle: Option<(usize, i32)>,
}

impl ResponseFrame {
    /// For how long the client is told that it is not served.
    pub fn throttle_time_ms(&self) -> i32 {
        self.throttle.map_or(0, |(_, value)| value)
    }

    /// Tells the client of another time, if the message can.
    pub fn set_throttle_time_ms(&mut self, value: i32) {
        let Some((at, told)) = &mut self.throttle else { return };
        *told = value;
        let mut at = *at;
        for chunk in &mut self.chunks {
            if at >= chunk.len() {
                at -= chunk.len();
                continue;
            }
            let mut patched = BytesMut::from(std::mem::take(chunk));
            if let Some(field) = patched.get_mut(at..at + 4) {
                field.copy_from_slice(&value.to_be_bytes());
            }
            *chunk = patched.freeze();
            return;
        }
    }
}

/// Chunks that are a whole frame, without a throttle time.
impl From<Vec<Bytes>> for ResponseFrame {
    fn from(chunks: Vec<Bytes>) -> ResponseFrame {
        ResponseFrame { chunks, throttle: None }
    }
}

/// A whole frame with a response.
pub fn encode_response<R: Message>(
    response: &R,
    api: ApiKey,
    api_version: i16,
    correlation_id: i32,
) -> Result<ResponseFrame, EncodeError> {
    let mut writer = Writer::start_frame();
    encode_response_header(&mut writer, api, api_version, correlation_id);
    response.encode(&mut writer, api_version)?;
    let throttle = writer.throttle();
    Ok(ResponseFrame { chunks: writer.finish_frame()?, throttle })
}
