//! The footer of a run: where the other parts are, and their checksums.

use crate::error::StateError;
use base::codec::{FieldReader, FieldWriter};

const MAGIC: u64 = 0x4e55_5245_5441_5453;
const VERSION: u32 = 1;

pub(super) const FOOTER_BYTES: usize = 8 + 4 + 8 * 6 + 4 * 2 + 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) entries: u64,
    pub(super) blocks: u64,
    /// The blocks end and the index begins here.
    pub(super) index_position: u64,
    pub(super) index_bytes: u64,
    pub(super) index_checksum: u32,
    pub(super) filter_bytes: u64,
    pub(super) filter_checksum: u32,
    pub(super) expires_max: i64,
}

impl Footer {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        out.u64(MAGIC).u32(VERSION).u64(self.entries).u64(self.blocks);
        out.u64(self.index_position).u64(self.index_bytes).u32(self.index_checksum);
        out.u64(self.filter_bytes).u32(self.filter_checksum).i64(self.expires_max);
        let mut bytes = out.finish();
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// `file_bytes` is the length of the file whose last bytes these are.
    pub(super) fn decode(bytes: &[u8], file_bytes: u64) -> Result<Footer, StateError> {
        let (content, checksum) =
            bytes.split_last_chunk::<4>().ok_or_else(|| StateError::damaged("a footer is cut off"))?;
        if crc32c::crc32c(content).to_le_bytes() != *checksum {
            return Err(StateError::damaged("the checksum of the footer does not fit"));
        }
        let mut reader = FieldReader::new(content);
        if reader.u64()? != MAGIC {
            return Err(StateError::damaged("it does not end as a run does"));
        }
        let version = reader.u32()?;
        if version != VERSION {
            return Err(StateError::Version { found: version, known: VERSION });
        }
        let footer = Footer {
            entries: reader.u64()?,
            blocks: reader.u64()?,
            index_position: reader.u64()?,
            index_bytes: reader.u64()?,
            index_checksum: reader.u32()?,
            filter_bytes: reader.u64()?,
            filter_checksum: reader.u32()?,
            expires_max: reader.i64()?,
        };
        reader.finish()?;
        let parts = [footer.index_position, footer.index_bytes, footer.filter_bytes, FOOTER_BYTES as u64];
        let total = parts.iter().try_fold(0u64, |total, part| total.checked_add(*part));
        if total != Some(file_bytes) {
            return Err(StateError::damaged("its parts do not fill the file"));
        }
        Ok(footer)
    }
}
