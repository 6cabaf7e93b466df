//! Bytes become values; what the bytes announce is compared with what is there before it is kept.

use super::{Bson, DEPTH_MAX, Decimal128, Document, VALUES_MAX};

/// Bytes that are no BSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not valid BSON at byte {position}: {reason}")]
pub struct BsonError {
    pub position: usize,
    pub reason: &'static str,
}

/// Length and end of a document.
const DOCUMENT_BYTES_MIN: usize = 5;

impl Document {
    /// The document that `bytes` are, and nothing else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Document, BsonError> {
        let mut reader = Reader::new(bytes);
        let document = reader.document(0)?;
        match reader.at == bytes.len() {
            true => Ok(document),
            false => Err(reader.wrong("something stands behind the document")),
        }
    }

    /// The document that `bytes` begin with, and its length.
    pub fn first_of(bytes: &[u8]) -> Result<(Document, usize), BsonError> {
        let mut reader = Reader::new(bytes);
        Ok((reader.document(0)?, reader.at))
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// How many more values may come.
    values_left: usize,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0, values_left: VALUES_MAX }
    }

    fn wrong(&self, reason: &'static str) -> BsonError {
        BsonError { position: self.at, reason }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], BsonError> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| self.wrong("it ends too early"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BsonError> {
        let mut taken = [0; N];
        taken.copy_from_slice(self.take(N)?);
        Ok(taken)
    }

    fn i32(&mut self) -> Result<i32, BsonError> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    fn length(&mut self) -> Result<usize, BsonError> {
        let length = self.i32()?;
        usize::try_from(length).map_err(|_| self.wrong("a length is negative"))
    }

    /// A text up to a byte 0, which is not part of it.
    fn name(&mut self) -> Result<String, BsonError> {
        let rest = &self.bytes[self.at..];
        let length =
            rest.iter().position(|byte| *byte == 0).ok_or_else(|| self.wrong("a name has no end"))?;
        let name = String::from_utf8_lossy(&rest[..length]).into_owned();
        self.at += length + 1;
        Ok(name)
    }

    /// A text with its length before it and a byte 0 behind it. Drivers of some languages let wrong UTF-8 through; as others
    /// do, it is read with marks in its place, so that one such document does not stop a job.
    fn text(&mut self) -> Result<String, BsonError> {
        let length = self.length()?;
        match self.take(length)?.split_last() {
            Some((0, text)) => Ok(String::from_utf8_lossy(text).into_owned()),
            _ => Err(self.wrong("a text has no end")),
        }
    }

    /// Calls `each` with the fields of a document, which it takes.
    fn fields(&mut self, depth: usize, mut each: impl FnMut(String, Bson)) -> Result<(), BsonError> {
        if depth > DEPTH_MAX {
            return Err(self.wrong("documents lie too deep in one another"));
        }
        let begin = self.at;
        let length = self.length()?;
        if length < DOCUMENT_BYTES_MIN {
            return Err(self.wrong("a document is too short"));
        }
        let end = begin.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| self.wrong("a document ends too early"))?;
        // What lies within reaches no further.
        let mut inner = Reader { bytes: &self.bytes[..end], at: self.at, values_left: self.values_left };
        loop {
            let [kind] = inner.array()?;
            if kind == 0 {
                break;
            }
            let left = inner.values_left.checked_sub(1);
            inner.values_left = left.ok_or_else(|| inner.wrong("it has too many values"))?;
            let name = inner.name()?;
            let value = inner.value(kind, depth)?;
            each(name, value);
        }
        (self.at, self.values_left) = (inner.at, inner.values_left);
        match inner.at == end {
            true => Ok(()),
            false => Err(self.wrong("a document is shorter than it says")),
        }
    }

    fn document(&mut self, depth: usize) -> Result<Document, BsonError> {
        let mut document = Document::new();
        self.fields(depth, |name, value| document.0.push((name, value)))?;
        Ok(document)
    }

    fn value(&mut self, kind: u8, depth: usize) -> Result<Bson, BsonError> {
        Ok(match kind {
            0x01 => Bson::Double(f64::from_le_bytes(self.array()?)),
            0x02 => Bson::String(self.text()?),
            0x03 => Bson::Document(self.document(depth + 1)?),
            0x04 => {
                let mut items = Vec::new();
                self.fields(depth + 1, |_, item| items.push(item))?;
                Bson::Array(items)
            }
            0x05 => self.binary()?,
            0x06 => Bson::Undefined,
            0x07 => Bson::ObjectId(self.array()?),
            0x08 => match self.array()? {
                [0] => Bson::Boolean(false),
                [1] => Bson::Boolean(true),
                _ => return Err(self.wrong("a truth is neither 0 nor 1")),
            },
            0x09 => Bson::DateTime(i64::from_le_bytes(self.array()?)),
            0x0a => Bson::Null,
            0x0b => Bson::Regex { pattern: self.name()?, options: self.name()? },
            0x0c => Bson::DbPointer { namespace: self.text()?, id: self.array()? },
            0x0d => Bson::JavaScript(self.text()?),
            0x0e => Bson::Symbol(self.text()?),
            0x0f => {
                let begin = self.at;
                let length = self.length()?;
                let (code, scope) = (self.text()?, self.document(depth + 1)?);
                if self.at - begin != length {
                    return Err(self.wrong("code with a scope has another length than it says"));
                }
                Bson::JavaScriptWithScope { code, scope }
            }
            0x10 => Bson::Int32(self.i32()?),
            0x11 => {
                let increment = u32::from_le_bytes(self.array()?);
                Bson::Timestamp { seconds: u32::from_le_bytes(self.array()?), increment }
            }
            0x12 => Bson::Int64(i64::from_le_bytes(self.array()?)),
            0x13 => Bson::Decimal128(Decimal128(u128::from_le_bytes(self.array()?))),
            0xff => Bson::MinKey,
            0x7f => Bson::MaxKey,
            _ => return Err(self.wrong("a value is of an unknown type")),
        })
    }

    fn binary(&mut self) -> Result<Bson, BsonError> {
        let length = self.length()?;
        let [subtype] = self.array()?;
        let mut bytes = self.take(length)?;
        // The old form has its length twice.
        if subtype == 2 {
            let (inner, rest) =
                bytes.split_at_checked(4).ok_or_else(|| self.wrong("old binary data is too short"))?;
            if i32::from_le_bytes([inner[0], inner[1], inner[2], inner[3]]) as usize != rest.len() {
                return Err(self.wrong("old binary data has another length than it says"));
            }
            bytes = rest;
        }
        Ok(Bson::Binary { subtype, bytes: bytes.to_vec() })
    }
}
