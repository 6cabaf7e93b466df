//! Avro's binary encoding of single values, read with every length checked, and written.
//!
//! Elements of arrays may take no bytes at all, so a count alone could make a short record grow without
//! limit. A record may therefore have no more elements than it has bytes.

use super::schema::{AvroSchema, Node, NodeId};

/// Why a value was not appended.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The bytes are no Avro.
    Syntax { position: usize, reason: &'static str },
    /// It does not fit; the field's path, innermost first.
    Value { path: Vec<String>, reason: String },
}

impl Fault {
    pub(crate) fn value(reason: impl Into<String>) -> Fault {
        Fault::Value { path: Vec::new(), reason: reason.into() }
    }

    pub(crate) fn within(self, name: &str) -> Fault {
        match self {
            Fault::Value { mut path, reason } => {
                path.push(name.to_string());
                Fault::Value { path, reason }
            }
            syntax => syntax,
        }
    }
}

impl From<Fault> for crate::DecodeError {
    fn from(fault: Fault) -> crate::DecodeError {
        match fault {
            Fault::Syntax { position, reason } => {
                crate::DecodeError::Syntax { format: "Avro", position, reason }
            }
            Fault::Value { path, reason } if path.is_empty() => crate::DecodeError::Record(reason),
            Fault::Value { mut path, reason } => {
                path.reverse();
                crate::DecodeError::Field { field: path.join("."), reason }
            }
        }
    }
}

/// Deeper nesting is refused.
const DEPTH_MAX: usize = 100;
/// Types that take no bytes are passed over so many times in a record, besides one for each of its bytes.
const EMPTY_STEPS: usize = 10_000;

#[derive(Clone)]
pub(crate) struct Input<'a> {
    bytes: &'a [u8],
    pub at: usize,
    /// So many more elements of arrays and maps may come.
    items_left: usize,
    steps_left: usize,
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Input<'a> {
        Input { bytes, at, items_left: bytes.len(), steps_left: bytes.len().saturating_add(EMPTY_STEPS) }
    }

    /// Of the elements of arrays and maps, only so many may come.
    pub(crate) fn share_items(&mut self, items_left: usize) {
        self.items_left = items_left;
    }

    pub(crate) fn items_left(&self) -> usize {
        self.items_left
    }

    #[cold]
    pub(crate) fn error<T>(&self, reason: &'static str) -> Result<T, Fault> {
        Err(Fault::Syntax { position: self.at.min(self.bytes.len()), reason })
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    #[inline]
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let end = self.at.checked_add(length);
        match end.and_then(|end| self.bytes.get(self.at..end)) {
            Some(bytes) => {
                self.at += length;
                Ok(bytes)
            }
            None => self.error("the record ends too early"),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    #[inline]
    pub(crate) fn long(&mut self) -> Result<i64, Fault> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let Some(byte) = self.bytes.get(self.at) else {
                return self.error("the record ends too early");
            };
            // Of the tenth byte, one bit is left.
            if shift == 63 && *byte > 1 {
                break;
            }
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        self.error("a number is longer than 64 bits")
    }

    #[inline]
    pub(crate) fn int(&mut self) -> Result<i32, Fault> {
        let start = self.at;
        let value = self.long()?;
        i32::try_from(value).or_else(|_| {
            self.at = start;
            self.error("an int is longer than 32 bits")
        })
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, Fault> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => {
                self.at -= 1;
                self.error("a boolean is neither 0 nor 1")
            }
        }
    }

    pub(crate) fn float(&mut self) -> Result<f32, Fault> {
        Ok(f32::from_le_bytes(self.array()?))
    }

    pub(crate) fn double(&mut self) -> Result<f64, Fault> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let start = self.at;
        match usize::try_from(self.long()?) {
            Ok(length) => self.take(length),
            Err(_) => {
                self.at = start;
                self.error("a length is negative")
            }
        }
    }

    /// The index of one of `count` branches or symbols.
    pub(crate) fn index(&mut self, count: usize) -> Result<usize, Fault> {
        let start = self.at;
        match usize::try_from(self.long()?).ok().filter(|index| *index < count) {
            Some(index) => Ok(index),
            None => {
                self.at = start;
                self.error("there is no such branch or symbol")
            }
        }
    }

    /// How many elements the next block of an array or a map has; 0 at its end.
    pub(crate) fn block(&mut self) -> Result<usize, Fault> {
        let start = self.at;
        let count = self.long()?;
        if count < 0 {
            // The length of the block in bytes follows, for those who skip.
            if usize::try_from(self.long()?).map_or(true, |length| length > self.bytes.len() - self.at) {
                self.at = start;
                return self.error("a block is longer than the record");
            }
        }
        match usize::try_from(count.unsigned_abs()).ok().and_then(|count| self.items_left.checked_sub(count))
        {
            Some(left) => {
                self.items_left = left;
                Ok(count.unsigned_abs() as usize)
            }
            None => {
                self.at = start;
                self.error("an array or a map has more elements than the record has bytes")
            }
        }
    }

    /// Goes behind a value, whatever it is.
    pub(crate) fn skip(&mut self, schema: &AvroSchema, id: NodeId, depth: usize) -> Result<(), Fault> {
        if depth >= DEPTH_MAX {
            return self.error("values are nested too deeply");
        }
        let Some(left) = self.steps_left.checked_sub(1) else {
            return self.error("too many values take no bytes");
        };
        self.steps_left = left;
        match schema.node(id) {
            Node::Null => Ok(()),
            Node::Boolean => self.boolean().map(drop),
            Node::Int(_) => self.int().map(drop),
            Node::Long(_) => self.long().map(drop),
            Node::Float => self.take(4).map(drop),
            Node::Double => self.take(8).map(drop),
            Node::Bytes(_) | Node::Text => self.bytes().map(drop),
            Node::Fixed { size, .. } => self.take(*size).map(drop),
            Node::Enum { symbols, .. } => self.index(symbols.len()).map(drop),
            Node::Record { fields, .. } => {
                fields.iter().try_for_each(|field| self.skip(schema, field.node, depth + 1))
            }
            Node::Array(items) => {
                while let count @ 1.. = self.block()? {
                    for _ in 0..count {
                        self.skip(schema, *items, depth + 1)?;
                    }
                }
                Ok(())
            }
            Node::Map(values) => {
                while let count @ 1.. = self.block()? {
                    for _ in 0..count {
                        self.bytes()?;
                        self.skip(schema, *values, depth + 1)?;
                    }
                }
                Ok(())
            }
            Node::Union(branches) => {
                let branch = self.index(branches.len())?;
                self.skip(schema, branches[branch], depth + 1)
            }
        }
    }
}

pub(crate) fn write_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

pub(crate) fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_long(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}
