//! Puts the checksums of a log file right whose bytes were changed: for fuzzing, which would else be kept from all that
//! lies behind them.

use super::{
    ENTRY_HEADER_BYTES, FILE_HEADER_BYTES, FILE_HEADER_COPY_AT, FILE_HEADER_LENGTH, FRAME_HEADER_BYTES,
    FRAME_MAGIC, entry_seed, entry_space, u32_at, u64_at,
};
use base::Lsn;

/// Of the file header's copies, and of every frame that begins where one may begin.
pub fn mend_checksums(file: &mut [u8]) {
    for at in [0, FILE_HEADER_COPY_AT] {
        if let Some(header) = file.get_mut(at..at + FILE_HEADER_LENGTH) {
            let crc = crc32c::crc32c(&header[12..]);
            header[8..12].copy_from_slice(&crc.to_le_bytes());
        }
    }
    let mut at = FILE_HEADER_BYTES as usize;
    while at + FRAME_HEADER_BYTES <= file.len() {
        at += if u32_at(file, at) == FRAME_MAGIC { mend_frame(file, at) } else { 8 };
    }
}

/// Answers the bytes that the frame takes.
fn mend_frame(file: &mut [u8], at: usize) -> usize {
    let (header, rest) = file[at..].split_at_mut(FRAME_HEADER_BYTES);
    let crc = crc32c::crc32c(&header[8..]);
    header[4..8].copy_from_slice(&crc.to_le_bytes());
    let seed = entry_seed(u64_at(header, 8), u64_at(header, 24), Lsn(u64_at(header, 16)));
    let length = (u32_at(header, 48) as usize).min(rest.len());
    let mut body = &mut rest[..length];
    while body.len() >= ENTRY_HEADER_BYTES {
        let data = (u32_at(body, 12) as usize).min(body.len() - ENTRY_HEADER_BYTES);
        let crc = crc32c::crc32c(&body[ENTRY_HEADER_BYTES..ENTRY_HEADER_BYTES + data]);
        body[36..40].copy_from_slice(&crc.to_le_bytes());
        let crc = crc32c::crc32c_append(seed, &body[4..ENTRY_HEADER_BYTES]);
        body[..4].copy_from_slice(&crc.to_le_bytes());
        let space = entry_space(data).min(body.len());
        body = &mut body[space..];
    }
    FRAME_HEADER_BYTES + length.next_multiple_of(8)
}
