//! The records of a batch, one after the other, as slices of its (decompressed) bytes.
//!
//! A record: its length, attributes (unused), the deltas of timestamp and offset against the batch's
//! header, the key, the value, and a counted list of headers; all numbers are zigzag varints. Every
//! length is checked before use, and a record must use up exactly the length it announces.

use bytes::Bytes;

use super::RecordsError;
use super::batch::BatchHeader;
use super::varint::{take_varint, take_varlong};

/// The smallest record: seven one-byte fields.
pub(super) const RECORD_BYTES_MIN: usize = 7;
/// The smallest header: an empty key and no value.
const HEADER_BYTES_MIN: usize = 2;

/// The decompressed records of one batch.
#[derive(Debug, Clone)]
pub struct Records {
    header: BatchHeader,
    inside: Bytes,
}

/// One record; its parts borrow from [`Records`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    pub offset: i64,
    /// Milliseconds since 1970; -1 if the producer gave none.
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    /// None is a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// A record's headers, in order, duplicates included; iterating reads them from the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    count: usize,
    rest: &'a [u8],
}

/// One header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// UTF-8 by agreement, but brokers do not check it.
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
}

impl<'a> Headers<'a> {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.count = self.count.checked_sub(1)?;
        take_header(&mut self.rest)
    }
}

impl Records {
    pub(super) fn new(header: BatchHeader, inside: Bytes) -> Records {
        Records { header, inside }
    }

    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// How many bytes the records take when not compressed.
    pub fn size_bytes(&self) -> usize {
        self.inside.len()
    }

    /// The bytes that `part` of one of these records lies in, sharing memory instead of copying.
    pub fn share(&self, part: &[u8]) -> Bytes {
        self.inside.slice_ref(part)
    }

    pub fn iter(&self) -> RecordIterator<'_> {
        let remaining = usize::try_from(self.header.records_count).unwrap_or(0);
        RecordIterator { header: &self.header, rest: &self.inside, index: 0, remaining, failed: false }
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = Result<Record<'a>, RecordsError>;
    type IntoIter = RecordIterator<'a>;

    fn into_iter(self) -> RecordIterator<'a> {
        self.iter()
    }
}

/// Reads the records of one batch; after an error it ends.
#[derive(Debug, Clone)]
pub struct RecordIterator<'a> {
    header: &'a BatchHeader,
    rest: &'a [u8],
    index: usize,
    remaining: usize,
    failed: bool,
}

impl<'a> Iterator for RecordIterator<'a> {
    type Item = Result<Record<'a>, RecordsError>;

    fn next(&mut self) -> Option<Result<Record<'a>, RecordsError>> {
        if self.failed {
            return None;
        }
        let read = if self.remaining > 0 {
            self.read_record()
        } else if self.rest.is_empty() && self.header.records_count >= 0 {
            return None;
        } else {
            Err("bytes follow the last record")
        };
        let index = self.index;
        self.index += 1;
        self.remaining = self.remaining.saturating_sub(1);
        self.failed = read.is_err();
        Some(read.map_err(|reason| RecordsError::Record { index, reason }))
    }
}

impl<'a> RecordIterator<'a> {
    fn read_record(&mut self) -> Result<Record<'a>, &'static str> {
        let length = take_varint(&mut self.rest).ok_or("no length")?;
        let length = usize::try_from(length).map_err(|_| "the length is negative")?;
        let mut body = take_slice(&mut self.rest, length).ok_or("the length exceeds the batch")?;
        let body = &mut body;
        take_slice(body, 1).ok_or("no attributes")?;
        let timestamp_delta = take_varlong(body).ok_or("no timestamp delta")?;
        let offset_delta = take_varint(body).ok_or("no offset delta")?;
        if offset_delta < 0 || offset_delta > self.header.last_offset_delta {
            return Err("the offset delta lies outside the batch");
        }
        let key = take_nullable(body).ok_or("the key's length is wrong")?;
        let value = take_nullable(body).ok_or("the value's length is wrong")?;
        let headers = take_headers(body)?;
        let timestamp = match self.header.is_log_append_time() {
            true => self.header.max_timestamp,
            false => {
                self.header.base_timestamp.checked_add(timestamp_delta).ok_or("the timestamp overflows")?
            }
        };
        if timestamp < -1 {
            return Err("the timestamp is negative");
        }
        let offset = self.header.base_offset.checked_add(i64::from(offset_delta));
        Ok(Record { offset: offset.ok_or("the offset overflows")?, timestamp, key, value, headers })
    }
}

fn take_slice<'a>(data: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = data.split_at_checked(length)?;
    *data = rest;
    Some(taken)
}

/// A length, -1 for null, and so many bytes.
fn take_nullable<'a>(data: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match take_varint(data)? {
        -1 => Some(None),
        length => take_slice(data, usize::try_from(length).ok()?).map(Some),
    }
}

fn take_header<'a>(data: &mut &'a [u8]) -> Option<Header<'a>> {
    let key = take_nullable(data)??;
    let value = take_nullable(data)?;
    Some(Header { key, value })
}

/// Checks the headers up to the record's end, so that iterating over them later cannot fail.
fn take_headers<'a>(data: &mut &'a [u8]) -> Result<Headers<'a>, &'static str> {
    let count = take_varint(data).ok_or("no count of headers")?;
    let count = usize::try_from(count).map_err(|_| "the count of headers is negative")?;
    if count.saturating_mul(HEADER_BYTES_MIN) > data.len() {
        return Err("the count of headers exceeds the record");
    }
    let headers = Headers { count, rest: data };
    for _ in 0..count {
        take_header(data).ok_or("a header is malformed")?;
    }
    if data.is_empty() { Ok(headers) } else { Err("bytes follow the last header") }
}
