//! Little-endian fields in and out of byte buffers, for our own records in the log and in snapshots.
//!
//! The reader checks every length against the bytes that remain before anything is allocated, so
//! that damaged bytes give an error and never a panic or a large allocation.

/// Bytes ended, or a field has a value that no writer writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record is damaged or was written by another version: {what}")]
pub struct CodecError {
    pub what: &'static str,
}

/// Appends fields to a buffer.
#[derive(Debug, Default)]
pub struct FieldWriter {
    bytes: Vec<u8>,
}

impl FieldWriter {
    pub fn new() -> FieldWriter {
        FieldWriter::default()
    }

    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes.push(value);
        self
    }

    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// A length and the bytes.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.u32(u32::try_from(value.len()).expect("a field is below 4 GiB"));
        self.bytes.extend_from_slice(value);
        self
    }

    pub fn text(&mut self, value: &str) -> &mut Self {
        self.bytes(value.as_bytes())
    }

    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Takes fields from a buffer, in the order in which they were written.
#[derive(Debug, Clone)]
pub struct FieldReader<'a> {
    rest: &'a [u8],
}

impl<'a> FieldReader<'a> {
    pub fn new(bytes: &'a [u8]) -> FieldReader<'a> {
        FieldReader { rest: bytes }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], CodecError> {
        if count > self.rest.len() {
            return Err(CodecError { what: "it ends too early" });
        }
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        Ok(self.take(N)?.try_into().expect("take gives N bytes"))
    }

    pub fn u8(&mut self) -> Result<u8, CodecError> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u32(&mut self) -> Result<u32, CodecError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, CodecError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub fn i64(&mut self) -> Result<i64, CodecError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let length = self.u32()? as usize;
        self.take(length)
    }

    pub fn text(&mut self) -> Result<String, CodecError> {
        let bytes = self.bytes()?;
        Ok(std::str::from_utf8(bytes).map_err(|_| CodecError { what: "a text is not UTF-8" })?.to_string())
    }

    /// The count of a list whose elements take at least `element_bytes_min` bytes each.
    pub fn count(&mut self, element_bytes_min: usize) -> Result<usize, CodecError> {
        let count = self.u32()? as usize;
        if count.saturating_mul(element_bytes_min.max(1)) > self.rest.len() {
            return Err(CodecError { what: "a list is longer than the record" });
        }
        Ok(count)
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Fails unless everything was read.
    pub fn finish(self) -> Result<(), CodecError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CodecError { what: "bytes are left over" }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_and_damage_is_an_error() {
        let mut writer = FieldWriter::new();
        writer.u8(7).u32(8).u64(9).i64(-10).text("elf").bytes(&[1, 2]);
        let bytes = writer.finish();
        let mut reader = FieldReader::new(&bytes);
        assert_eq!(reader.u8(), Ok(7));
        assert_eq!(reader.u32(), Ok(8));
        assert_eq!(reader.u64(), Ok(9));
        assert_eq!(reader.i64(), Ok(-10));
        assert_eq!(reader.text().as_deref(), Ok("elf"));
        assert_eq!(reader.bytes(), Ok(&[1, 2][..]));
        reader.finish().unwrap();
        let mut hostile = FieldReader::new(&[0xff, 0xff, 0xff, 0xff, 1]);
        assert!(hostile.clone().bytes().is_err());
        assert!(hostile.count(1).is_err());
    }
}
