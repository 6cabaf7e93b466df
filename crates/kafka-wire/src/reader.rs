//! Takes Kafka's primitive types out of received bytes.
//!
//! Every length and every count is compared with the bytes that remain before anything is allocated,
//! and byte fields are slices of the received buffer, not copies. A count of elements is accepted only
//! if so many elements of the smallest possible size fit; even then no more memory is set aside at
//! once than the frame itself has, because elements in memory are larger than on the wire.

use bytes::Bytes;

use crate::error::DecodeError;

/// A position in received bytes.
#[derive(Debug, Clone)]
pub struct Reader {
    data: Bytes,
    position: usize,
}

/// However small the frame, so many elements may be set aside for at once.
const ELEMENTS_RESERVED_MIN: usize = 8;

impl Reader {
    pub fn new(data: Bytes) -> Reader {
        Reader { data, position: 0 }
    }

    /// How many bytes have not been read yet.
    pub fn remaining(&self) -> usize {
        self.data.len() - self.position
    }

    /// How many bytes have been read.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The message must have used up all bytes.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            count => Err(DecodeError::TrailingBytes { count }),
        }
    }

    /// The bytes that have not been read yet, without a copy.
    pub fn take_rest(&mut self) -> Bytes {
        let rest = self.data.slice(self.position..);
        self.position = self.data.len();
        rest
    }

    fn take(&mut self, count: usize) -> Result<&[u8], DecodeError> {
        let remaining = self.remaining();
        if count > remaining {
            return Err(DecodeError::Truncated { needed: count, remaining });
        }
        let start = self.position;
        self.position += count;
        Ok(&self.data[start..start + count])
    }

    fn take_bytes(&mut self, count: usize) -> Result<Bytes, DecodeError> {
        let remaining = self.remaining();
        if count > remaining {
            return Err(DecodeError::Truncated { needed: count, remaining });
        }
        let start = self.position;
        self.position += count;
        Ok(self.data.slice(start..start + count))
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let remaining = self.remaining();
        match self.data[self.position..].first_chunk::<N>() {
            Some(chunk) => {
                self.position += N;
                Ok(*chunk)
            }
            None => Err(DecodeError::Truncated { needed: N, remaining }),
        }
    }

    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        self.take_array().map(i8::from_be_bytes)
    }

    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        self.take_array().map(i16::from_be_bytes)
    }

    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.take_array().map(i32::from_be_bytes)
    }

    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.take_array().map(i64::from_be_bytes)
    }

    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.take_array().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.take_array().map(u32::from_be_bytes)
    }

    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        self.take_array().map(f64::from_be_bytes)
    }

    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? != 0)
    }

    pub fn uuid(&mut self) -> Result<[u8; 16], DecodeError> {
        self.take_array()
    }

    /// An unsigned variable-length number of at most 32 bits, seven bits a byte, lowest first.
    pub fn unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.take_array()?;
            if shift == 28 && byte > 0x0f {
                return Err(DecodeError::VarintTooLong);
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::VarintTooLong)
    }

    /// A compact length is stored one higher, so that zero can stand for null.
    fn compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        Ok(self.unsigned_varint()?.checked_sub(1).map(|length| length as usize))
    }

    fn signed_length(length: i64) -> Result<Option<usize>, DecodeError> {
        match length {
            -1 => Ok(None),
            _ => usize::try_from(length).map(Some).map_err(|_| DecodeError::NegativeLength { length }),
        }
    }

    pub fn nullable_string(&mut self, compact: bool) -> Result<Option<String>, DecodeError> {
        let length =
            if compact { self.compact_length()? } else { Self::signed_length(i64::from(self.i16()?))? };
        let Some(length) = length else { return Ok(None) };
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| DecodeError::InvalidText)?;
        Ok(Some(text.to_owned()))
    }

    pub fn string(&mut self, compact: bool) -> Result<String, DecodeError> {
        self.nullable_string(compact)?.ok_or(DecodeError::UnexpectedNull { field: "string" })
    }

    pub fn nullable_bytes(&mut self, compact: bool) -> Result<Option<Bytes>, DecodeError> {
        let length =
            if compact { self.compact_length()? } else { Self::signed_length(i64::from(self.i32()?))? };
        length.map(|length| self.take_bytes(length)).transpose()
    }

    pub fn bytes(&mut self, compact: bool) -> Result<Bytes, DecodeError> {
        self.nullable_bytes(compact)?.ok_or(DecodeError::UnexpectedNull { field: "bytes" })
    }

    /// An array whose elements take at least `element_bytes_min` bytes each.
    pub fn nullable_array<T>(
        &mut self,
        compact: bool,
        element_bytes_min: usize,
        mut element: impl FnMut(&mut Reader) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let count =
            if compact { self.compact_length()? } else { Self::signed_length(i64::from(self.i32()?))? };
        let Some(count) = count else { return Ok(None) };
        let remaining = self.remaining();
        if count.saturating_mul(element_bytes_min.max(1)) > remaining {
            return Err(DecodeError::CountTooLarge { count, remaining });
        }
        let reserve_max = (remaining / size_of::<T>().max(1)).max(ELEMENTS_RESERVED_MIN);
        let mut elements = Vec::with_capacity(count.min(reserve_max));
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(Some(elements))
    }

    pub fn array<T>(
        &mut self,
        compact: bool,
        element_bytes_min: usize,
        element: impl FnMut(&mut Reader) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        self.nullable_array(compact, element_bytes_min, element)?
            .ok_or(DecodeError::UnexpectedNull { field: "array" })
    }

    /// A struct that may be null: one byte, negative for null, precedes it.
    pub fn nullable_struct<T>(
        &mut self,
        decode: impl FnOnce(&mut Reader) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.i8()? < 0 { Ok(None) } else { decode(self).map(Some) }
    }

    /// The tagged fields at the end of a struct of a flexible version (KIP-482).
    ///
    /// `known` reads the field of a tag and says true, or says false for a tag it does not know; unknown
    /// fields are skipped. A known field must use exactly the bytes that its size announces.
    pub fn tagged_fields(
        &mut self,
        mut known: impl FnMut(u32, &mut Reader) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        let count = self.unsigned_varint()?;
        for _ in 0..count {
            let tag = self.unsigned_varint()?;
            let size = self.unsigned_varint()? as usize;
            let mut field = Reader::new(self.take_bytes(size)?);
            if known(tag, &mut field)? {
                field.finish()?;
            }
        }
        Ok(())
    }

    /// Skips tagged fields of a struct that has none of its own.
    pub fn skip_tagged_fields(&mut self) -> Result<(), DecodeError> {
        self.tagged_fields(|_, _| Ok(false))
    }
}
