//! Puts Kafka's primitive types into a buffer that is sent.
//!
//! Small fields go into one growing buffer. A large byte field, such as the records of a fetch response,
//! becomes a chunk of its own that shares memory with the caller, so that it is not copied on its way
//! to the socket; a vectored write sends the chunks in order.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::EncodeError;

/// From this size on, a byte field becomes a chunk of its own: below it a copy is cheaper than a chunk.
const SHARED_CHUNK_BYTES_MIN: usize = 4096;

/// Bytes of a message in the making.
#[derive(Debug, Default)]
pub struct Writer {
    /// What came before `tail`; the first of them can still be patched with the frame's size.
    head: Option<BytesMut>,
    shared: Vec<Bytes>,
    tail: BytesMut,
    chunk_bytes: usize,
    /// Where the response's throttle time stands, and what it is.
    throttle: Option<(usize, i32)>,
}

impl Writer {
    pub fn new() -> Writer {
        Writer::default()
    }

    /// A writer that has set aside so many bytes.
    pub fn with_capacity(capacity_bytes: usize) -> Writer {
        Writer { tail: BytesMut::with_capacity(capacity_bytes), ..Writer::default() }
    }

    /// How many bytes have been written.
    pub fn len(&self) -> usize {
        self.chunk_bytes + self.tail.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the four bytes that will hold the frame's size; [`Writer::finish_frame`] fills them in.
    pub fn start_frame() -> Writer {
        let mut writer = Writer::with_capacity(256);
        writer.i32(0);
        writer
    }

    /// Fills in the size that [`Writer::start_frame`] left open and returns the chunks to be sent in order.
    pub fn finish_frame(mut self) -> Result<Vec<Bytes>, EncodeError> {
        let length = self.len().saturating_sub(4);
        let size = i32::try_from(length).map_err(|_| EncodeError::TooLong { length })?;
        let first = self.head.as_mut().unwrap_or(&mut self.tail);
        if let Some(open) = first.get_mut(..4) {
            open.copy_from_slice(&size.to_be_bytes());
        }
        Ok(self.into_chunks())
    }

    /// The chunks in order; none of them is empty.
    pub fn into_chunks(self) -> Vec<Bytes> {
        let head = self.head.map(BytesMut::freeze);
        let chunks = head.into_iter().chain(self.shared).chain([self.tail.freeze()]);
        chunks.filter(|chunk| !chunk.is_empty()).collect()
    }

    /// All bytes in one piece; copies only if there is more than one chunk.
    pub fn into_bytes(self) -> Bytes {
        let length = self.len();
        let mut chunks = self.into_chunks();
        if chunks.len() <= 1 {
            return chunks.pop().unwrap_or_default();
        }
        let mut joined = BytesMut::with_capacity(length);
        chunks.iter().for_each(|chunk| joined.extend_from_slice(chunk));
        joined.freeze()
    }

    pub fn i8(&mut self, value: i8) {
        self.tail.put_i8(value);
    }

    pub fn i16(&mut self, value: i16) {
        self.tail.put_i16(value);
    }

    pub fn i32(&mut self, value: i32) {
        self.tail.put_i32(value);
    }

    /// The field of a response that says for how long the client is not served.
    pub fn throttle_time_ms(&mut self, value: i32) {
        self.throttle = Some((self.len(), value));
        self.i32(value);
    }

    pub(crate) fn throttle(&self) -> Option<(usize, i32)> {
        self.throttle
    }

    pub fn i64(&mut self, value: i64) {
        self.tail.put_i64(value);
    }

    pub fn u16(&mut self, value: u16) {
        self.tail.put_u16(value);
    }

    pub fn u32(&mut self, value: u32) {
        self.tail.put_u32(value);
    }

    pub fn f64(&mut self, value: f64) {
        self.tail.put_f64(value);
    }

    pub fn bool(&mut self, value: bool) {
        self.tail.put_u8(u8::from(value));
    }

    pub fn uuid(&mut self, value: &[u8; 16]) {
        self.tail.put_slice(value);
    }

    pub fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.tail.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.tail.put_u8(value as u8);
    }

    /// Bytes without a length before them.
    pub fn raw(&mut self, value: &[u8]) {
        self.tail.put_slice(value);
    }

    /// Bytes without a length before them, shared instead of copied if there are many.
    pub fn raw_shared(&mut self, value: &Bytes) {
        if value.len() < SHARED_CHUNK_BYTES_MIN {
            return self.tail.put_slice(value);
        }
        let written = self.tail.split();
        self.chunk_bytes += written.len() + value.len();
        if self.head.is_none() {
            self.head = Some(written);
        } else {
            self.shared.push(written.freeze());
        }
        self.shared.push(value.clone());
    }

    fn compact_length(&mut self, length: Option<usize>) -> Result<(), EncodeError> {
        let stored = match length {
            None => 0,
            Some(length) if length < i32::MAX as usize => length as u32 + 1,
            Some(length) => return Err(EncodeError::TooLong { length }),
        };
        self.unsigned_varint(stored);
        Ok(())
    }

    fn length_i32(&mut self, length: Option<usize>) -> Result<(), EncodeError> {
        let stored = match length {
            None => -1,
            Some(length) => i32::try_from(length).map_err(|_| EncodeError::TooLong { length })?,
        };
        self.i32(stored);
        Ok(())
    }

    pub fn nullable_string(&mut self, value: Option<&str>, compact: bool) -> Result<(), EncodeError> {
        let length = value.map(str::len);
        match length {
            // Kafka's texts are limited to 32,767 bytes in every encoding of the length.
            Some(length) if length > i16::MAX as usize => return Err(EncodeError::TooLong { length }),
            _ if compact => self.compact_length(length)?,
            Some(length) => self.i16(length as i16),
            None => self.i16(-1),
        }
        self.raw(value.unwrap_or_default().as_bytes());
        Ok(())
    }

    pub fn string(&mut self, value: &str, compact: bool) -> Result<(), EncodeError> {
        self.nullable_string(Some(value), compact)
    }

    pub fn nullable_bytes(&mut self, value: Option<&Bytes>, compact: bool) -> Result<(), EncodeError> {
        let length = value.map(Bytes::len);
        if compact {
            self.compact_length(length)?;
        } else {
            self.length_i32(length)?;
        }
        if let Some(value) = value {
            self.raw_shared(value);
        }
        Ok(())
    }

    pub fn bytes(&mut self, value: &Bytes, compact: bool) -> Result<(), EncodeError> {
        self.nullable_bytes(Some(value), compact)
    }

    pub fn nullable_array<T>(
        &mut self,
        values: Option<&[T]>,
        compact: bool,
        mut element: impl FnMut(&mut Writer, &T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let count = values.map(<[T]>::len);
        if compact {
            self.compact_length(count)?;
        } else {
            self.length_i32(count)?;
        }
        values.unwrap_or_default().iter().try_for_each(|value| element(self, value))
    }

    pub fn array<T>(
        &mut self,
        values: &[T],
        compact: bool,
        element: impl FnMut(&mut Writer, &T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.nullable_array(Some(values), compact, element)
    }

    /// A struct that may be null: one byte, -1 for null and 1 otherwise, precedes it.
    pub fn nullable_struct<T>(
        &mut self,
        value: Option<&T>,
        encode: impl FnOnce(&mut Writer, &T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        match value {
            None => self.i8(-1),
            Some(value) => {
                self.i8(1);
                encode(self, value)?;
            }
        }
        Ok(())
    }

    /// The end of a struct of a flexible version that has no tagged fields to write.
    pub fn no_tagged_fields(&mut self) {
        self.unsigned_varint(0);
    }

    pub fn tagged_fields(&mut self, fields: TaggedFields) {
        self.unsigned_varint(fields.count);
        self.raw(&fields.encoded);
    }
}

/// Tagged fields of one struct, to be added in rising order of their tags.
#[derive(Debug, Default)]
pub struct TaggedFields {
    count: u32,
    encoded: Vec<u8>,
}

impl TaggedFields {
    pub fn new() -> TaggedFields {
        TaggedFields::default()
    }

    pub fn add(
        &mut self,
        tag: u32,
        encode: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut field = Writer::new();
        encode(&mut field)?;
        let length = field.len();
        let size = u32::try_from(length).map_err(|_| EncodeError::TooLong { length })?;
        let mut header = Writer::new();
        header.unsigned_varint(tag);
        header.unsigned_varint(size);
        self.count += 1;
        self.encoded.extend_from_slice(&header.into_bytes());
        self.encoded.extend_from_slice(&field.into_bytes());
        Ok(())
    }
}
