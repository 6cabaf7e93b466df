//! Reads the fields of a message, each only if the message is long enough for it.

use bytes::{Buf, Bytes};

/// A message that does not follow the protocol; PostgreSQL's `protocol_violation`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WireError(pub String);

impl WireError {
    pub(crate) fn new(words: impl Into<String>) -> WireError {
        WireError(words.into())
    }
}

pub(crate) struct Fields {
    rest: Bytes,
}

impl Fields {
    pub(crate) fn new(message: Bytes) -> Fields {
        Fields { rest: message }
    }

    fn need(&self, count: usize) -> Result<(), WireError> {
        if self.rest.len() < count {
            return Err(WireError::new("a message ends before its last field"));
        }
        Ok(())
    }

    pub(crate) fn byte(&mut self) -> Result<u8, WireError> {
        self.need(1)?;
        Ok(self.rest.get_u8())
    }

    pub(crate) fn u16(&mut self) -> Result<u16, WireError> {
        self.need(2)?;
        Ok(self.rest.get_u16())
    }

    pub(crate) fn i32(&mut self) -> Result<i32, WireError> {
        self.need(4)?;
        Ok(self.rest.get_i32())
    }

    pub(crate) fn u32(&mut self) -> Result<u32, WireError> {
        self.need(4)?;
        Ok(self.rest.get_u32())
    }

    /// A count of things of which each takes at least so many bytes, and so cannot be more than would fit.
    pub(crate) fn count(&mut self, bytes_each: usize) -> Result<usize, WireError> {
        let count = usize::from(self.u16()?);
        self.need(count * bytes_each)?;
        Ok(count)
    }

    /// A text that ends with a zero.
    pub(crate) fn text(&mut self) -> Result<String, WireError> {
        let end = memchr::memchr(0, &self.rest)
            .ok_or_else(|| WireError::new("a text in a message does not end with a zero byte"))?;
        let text = self.rest.split_to(end);
        self.rest.advance(1);
        String::from_utf8(text.to_vec()).map_err(|_| WireError::new("a text in a message is not UTF-8"))
    }

    /// A value with its length in front; -1 is NULL.
    pub(crate) fn value(&mut self) -> Result<Option<Bytes>, WireError> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length)
                    .map_err(|_| WireError::new("the length of a value is negative"))?;
                self.need(length)?;
                Ok(Some(self.rest.split_to(length)))
            }
        }
    }

    pub(crate) fn rest(self) -> Bytes {
        self.rest
    }

    pub(crate) fn end(&self) -> Result<(), WireError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(WireError::new("a message goes on behind its last field"))
        }
    }
}
