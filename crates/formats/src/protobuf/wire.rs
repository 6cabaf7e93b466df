//! Protocol Buffers' wire format: tags, varints and lengths, read with every bound checked, and written.

use crate::DecodeError;

/// Why a value was not appended.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The bytes are no message.
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

impl From<Fault> for DecodeError {
    fn from(fault: Fault) -> DecodeError {
        match fault {
            Fault::Syntax { position, reason } => {
                DecodeError::Syntax { format: "Protobuf", position, reason }
            }
            Fault::Value { path, reason } if path.is_empty() => DecodeError::Record(reason),
            Fault::Value { mut path, reason } => {
                path.reverse();
                DecodeError::Field { field: path.join("."), reason }
            }
        }
    }
}

/// How a value lies in the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireType {
    Varint,
    Fixed64,
    Bytes,
    Group,
    EndGroup,
    Fixed32,
}

/// Deeper nesting is refused, as Java's library does.
pub(crate) const DEPTH_MAX: usize = 100;

/// Bytes from `at` to `end`, a part of the record.
#[derive(Clone)]
pub(crate) struct Input<'a> {
    bytes: &'a [u8],
    pub at: usize,
    end: usize,
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Input<'a> {
        Input { bytes, at: 0, end: bytes.len() }
    }

    #[cold]
    pub(crate) fn error<T>(&self, reason: &'static str) -> Result<T, Fault> {
        Err(Fault::Syntax { position: self.at.min(self.bytes.len()), reason })
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.end
    }

    /// What is left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at.min(self.end)..self.end]
    }

    #[inline]
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        match self.at.checked_add(length) {
            Some(end) if end <= self.end => {
                let bytes = &self.bytes[self.at..end];
                self.at = end;
                Ok(bytes)
            }
            _ => self.error("the message ends too early"),
        }
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            if self.at >= self.end {
                return self.error("the message ends too early");
            }
            let byte = self.bytes[self.at];
            self.at += 1;
            // Of the tenth byte, one bit counts.
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        self.error("a number is longer than 64 bits")
    }

    /// A field's number and how its value lies.
    #[inline]
    pub(crate) fn tag(&mut self) -> Result<(u32, WireType), Fault> {
        let start = self.at;
        let tag = self.varint()? as u32;
        let wire = match tag & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Bytes,
            3 => WireType::Group,
            4 => WireType::EndGroup,
            5 => WireType::Fixed32,
            _ => {
                self.at = start;
                return self.error("there is no such wire type");
            }
        };
        if tag >> 3 == 0 {
            self.at = start;
            return self.error("a field has the number 0");
        }
        Ok((tag >> 3, wire))
    }

    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let part = self.part()?;
        Ok(&part.bytes[part.at..part.end])
    }

    /// What a length says is a part of its own; the input goes on behind it.
    #[inline]
    pub(crate) fn part(&mut self) -> Result<Input<'a>, Fault> {
        let start = self.at;
        let length = self.varint()?;
        match usize::try_from(length).ok().and_then(|length| self.at.checked_add(length)) {
            Some(end) if end <= self.end => {
                let part = Input { bytes: self.bytes, at: self.at, end };
                self.at = end;
                Ok(part)
            }
            _ => {
                self.at = start;
                self.error("a length reaches beyond the message")
            }
        }
    }

    /// The inside of a group, whose start tag was read; the input goes on behind its end tag.
    pub(crate) fn group(&mut self, number: u32, depth: usize) -> Result<Input<'a>, Fault> {
        let start = self.at;
        loop {
            let before = self.at;
            match self.tag()? {
                (found, WireType::EndGroup) if found == number => {
                    return Ok(Input { bytes: self.bytes, at: start, end: before });
                }
                (_, WireType::EndGroup) => return self.error("a group ends that did not begin"),
                (number, wire) => self.skip(number, wire, depth + 1)?,
            }
        }
    }

    /// Goes behind a value whose tag was read.
    pub(crate) fn skip(&mut self, number: u32, wire: WireType, depth: usize) -> Result<(), Fault> {
        if depth >= DEPTH_MAX {
            return self.error("groups are nested too deeply");
        }
        match wire {
            WireType::Varint => self.varint().map(drop),
            WireType::Fixed64 => self.take(8).map(drop),
            WireType::Bytes => self.bytes().map(drop),
            WireType::Group => self.group(number, depth).map(drop),
            WireType::EndGroup => self.error("a group ends that did not begin"),
            WireType::Fixed32 => self.take(4).map(drop),
        }
    }
}

pub(crate) fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn write_tag(number: u32, wire: WireType, out: &mut Vec<u8>) {
    let code = match wire {
        WireType::Varint => 0,
        WireType::Fixed64 => 1,
        WireType::Bytes => 2,
        WireType::Group => 3,
        WireType::EndGroup => 4,
        WireType::Fixed32 => 5,
    };
    write_varint(u64::from(number) << 3 | code, out);
}

pub(crate) fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
