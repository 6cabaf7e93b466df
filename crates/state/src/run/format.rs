//! The bytes of a run: blocks of entries and the footer; nothing here reads or writes a file.
//!
//! A run is, from its beginning: data blocks, the index, the filter, the footer. Integers are
//! little-endian; a varint has seven bits in each byte, the lowest first. All checksums are CRC32C.
//!
//! A block holds entries in key order, then the places of its restart points (u32 each), then their
//! number (u32). An entry is
//!
//! | Field | Meaning |
//! |---|---|
//! | varint | bytes that its key has in common with the key before; 0 at a restart point |
//! | varint | bytes of the rest of its key |
//! | varint | bytes of its value, shifted left by three, and the flags |
//! | u64 | its hash, with `FLAG_HASH`; else it is that of the entry before |
//! | i64 | when it expires, with `FLAG_EXPIRES`; else never (`i64::MAX`) |
//! | bytes | the rest of the key |
//! | bytes | the value |
//!
//! A block's checksum stands in the index, the index's and the filter's in the footer, the footer's in
//! itself: every byte of the file is under a checksum, and a block of another file or of another
//! place never passes for the right one. Lengths are checked all the same, because a reader must not
//! fail on bytes that a program with a fault wrote.

use crate::varint::{self, put_varint};
use std::ops::Range;

/// The last bytes of every run.
pub(super) const MAGIC: [u8; 8] = *b"EVWRRUN\x01";

pub(super) const VERSION: u32 = 1;

pub(super) const FOOTER_BYTES: usize = 80;

/// So many entries lie between restart points: a point read decodes half of them after its search,
/// and a restart point costs four bytes and a whole key.
pub(super) const RESTART_ENTRIES: usize = 16;

const FLAG_TOMBSTONE: u64 = 1;
const FLAG_EXPIRES: u64 = 2;
const FLAG_HASH: u64 = 4;
const FLAG_BITS: u32 = 3;

/// The most that an entry takes beyond its key and value.
pub(super) const ENTRY_OVERHEAD_BYTES_MAX: usize = 3 * varint::VARINT_BYTES_MAX + 16;

/// The bytes are not what a writer writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// Reads a varint and moves `at` behind it.
#[inline]
pub(super) fn take_varint(bytes: &[u8], at: &mut usize) -> Result<u64, Malformed> {
    varint::take_varint(bytes, at).map_err(Malformed)
}

/// Takes so many bytes and moves `at` behind them.
#[inline]
pub(super) fn take_range(bytes: &[u8], at: &mut usize, count: u64) -> Result<Range<usize>, Malformed> {
    let start = *at;
    let rest = bytes.len().saturating_sub(start) as u64;
    if count > rest {
        return Err(Malformed("a length reaches beyond the end"));
    }
    *at = start + count as usize;
    Ok(start..*at)
}

#[inline]
pub(super) fn take_u64(bytes: &[u8], at: &mut usize) -> Result<u64, Malformed> {
    let field = bytes.get(*at..*at + 8).ok_or(Malformed("a field ends too early"))?;
    *at += 8;
    Ok(u64::from_le_bytes(field.try_into().expect("eight bytes")))
}

#[inline]
pub(super) fn take_u32(bytes: &[u8], at: &mut usize) -> Result<u32, Malformed> {
    let field = bytes.get(*at..*at + 4).ok_or(Malformed("a field ends too early"))?;
    *at += 4;
    Ok(u32::from_le_bytes(field.try_into().expect("four bytes")))
}

/// How many bytes two keys begin with in common.
#[inline]
pub(super) fn common_bytes(left: &[u8], right: &[u8]) -> usize {
    let mut at = 0;
    while let (Some(left), Some(right)) = (chunk(left, at), chunk(right, at)) {
        let difference = left ^ right;
        if difference != 0 {
            return at + (difference.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let most = left.len().min(right.len());
    while at < most && left[at] == right[at] {
        at += 1;
    }
    at
}

#[inline]
fn chunk(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

/// An entry as it stands in a block; the ranges are places in the block's bytes.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) shared: usize,
    pub(super) suffix: Range<usize>,
    /// `None` is a tombstone.
    pub(super) value: Option<Range<usize>>,
    /// `None` is the hash of the entry before.
    pub(super) hash: Option<u64>,
    pub(super) expires: i64,
    /// Where the next entry begins.
    pub(super) end: usize,
}

/// Reads the entry that begins at a place.
#[inline(always)]
pub(super) fn entry_at(entries: &[u8], place: usize) -> Result<Entry, Malformed> {
    let mut at = place;
    let shared = take_varint(entries, &mut at)?;
    let suffix_bytes = take_varint(entries, &mut at)?;
    let tag = take_varint(entries, &mut at)?;
    let hash = if tag & FLAG_HASH != 0 { Some(take_u64(entries, &mut at)?) } else { None };
    let expires = if tag & FLAG_EXPIRES != 0 { take_u64(entries, &mut at)?.cast_signed() } else { i64::MAX };
    let suffix = take_range(entries, &mut at, suffix_bytes)?;
    let value = take_range(entries, &mut at, tag >> FLAG_BITS)?;
    let value = (tag & FLAG_TOMBSTONE == 0).then_some(value);
    let shared = usize::try_from(shared).map_err(|_| Malformed("a key is too long"))?;
    Ok(Entry { shared, suffix, value, hash, expires, end: at })
}

/// Appends an entry; `hash` is `None` where it is that of the entry before.
#[inline]
pub(super) fn put_entry(
    out: &mut Vec<u8>,
    shared: usize,
    suffix: &[u8],
    value: Option<&[u8]>,
    hash: Option<u64>,
    expires: i64,
) {
    let value_bytes = value.map_or(0, <[u8]>::len) as u64;
    let mut tag = value_bytes << FLAG_BITS;
    if value.is_none() {
        tag |= FLAG_TOMBSTONE;
    }
    if hash.is_some() {
        tag |= FLAG_HASH;
    }
    if expires != i64::MAX {
        tag |= FLAG_EXPIRES;
    }
    put_varint(out, shared as u64);
    put_varint(out, suffix.len() as u64);
    put_varint(out, tag);
    if let Some(hash) = hash {
        out.extend_from_slice(&hash.to_le_bytes());
    }
    if expires != i64::MAX {
        out.extend_from_slice(&expires.to_le_bytes());
    }
    out.extend_from_slice(suffix);
    out.extend_from_slice(value.unwrap_or_default());
}

/// Appends what stands behind the entries of a block.
pub(super) fn put_restarts(out: &mut Vec<u8>, restarts: &[u32]) {
    for restart in restarts {
        out.extend_from_slice(&restart.to_le_bytes());
    }
    out.extend_from_slice(&(restarts.len() as u32).to_le_bytes());
}

/// A block, whose checksum was compared before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) entries: &'a [u8],
    restarts: &'a [u8],
}

impl<'a> Block<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Block<'a>, Malformed> {
        let (body, count) = bytes.split_last_chunk::<4>().ok_or(Malformed("a block is too short"))?;
        let restarts_bytes = u64::from(u32::from_le_bytes(*count)) * 4;
        if restarts_bytes == 0 || restarts_bytes > body.len() as u64 {
            return Err(Malformed("a block has no right number of restart points"));
        }
        let (entries, restarts) = body.split_at(body.len() - restarts_bytes as usize);
        Ok(Block { entries, restarts })
    }

    fn restart(&self, index: usize) -> usize {
        let place = &self.restarts[index * 4..index * 4 + 4];
        u32::from_le_bytes(place.try_into().expect("four bytes")) as usize
    }

    /// The place of the last restart point whose key is not greater, or of the first one.
    pub(super) fn seek(&self, key: &[u8]) -> Result<usize, Malformed> {
        let (mut low, mut high) = (0, self.restarts.len() / 4);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let entry = entry_at(self.entries, self.restart(middle))?;
            if self.entries[entry.suffix] <= *key { low = middle } else { high = middle }
        }
        Ok(self.restart(low))
    }

    /// The entry of a key. No key is put together for it: what an entry shares with the one before
    /// says how it compares, unless it is exactly as much as the sought key shares.
    pub(super) fn find(&self, key: &[u8]) -> Result<Option<Entry>, Malformed> {
        let mut place = self.seek(key)?;
        // Bytes that the sought key has in common with the entry before, which is less than it.
        let mut matched = 0;
        while place < self.entries.len() {
            let entry = entry_at(self.entries, place)?;
            place = entry.end;
            if entry.shared > matched {
                continue;
            }
            if entry.shared < matched {
                return Ok(None);
            }
            let (suffix, rest) = (&self.entries[entry.suffix.clone()], &key[matched..]);
            let common = common_bytes(suffix, rest);
            match (suffix.get(common), rest.get(common)) {
                (None, None) => return Ok(Some(entry)),
                (Some(_), None) => return Ok(None),
                (Some(own), Some(sought)) if own > sought => return Ok(None),
                _ => matched += common,
            }
        }
        Ok(None)
    }
}

/// The last bytes of a run. The sections before it follow each other without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) entries: u64,
    /// Hashes, those of neighbours with the same one counted once.
    pub(super) hashes: u64,
    pub(super) blocks: u64,
    pub(super) data_bytes: u64,
    pub(super) index_bytes: u64,
    pub(super) filter_bytes: u64,
    /// `i64::MIN` without entries.
    pub(super) expires_max: i64,
    pub(super) index_checksum: u32,
    pub(super) filter_checksum: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FooterError {
    Malformed(Malformed),
    Version(u32),
}

impl Footer {
    pub(super) fn encode(&self) -> [u8; FOOTER_BYTES] {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        let lengths = [
            self.entries,
            self.hashes,
            self.blocks,
            self.data_bytes,
            self.index_bytes,
            self.filter_bytes,
            self.expires_max.cast_unsigned(),
        ];
        for length in lengths {
            out.extend_from_slice(&length.to_le_bytes());
        }
        for number in [self.index_checksum, self.filter_checksum, VERSION] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out.extend_from_slice(&MAGIC);
        out.try_into().expect("the fields take as much as the footer has")
    }

    /// Reads the footer of a file of this length. Afterwards no length in it is greater than that.
    pub(super) fn decode(bytes: &[u8; FOOTER_BYTES], file_bytes: u64) -> Result<Footer, FooterError> {
        let malformed = |what| FooterError::Malformed(Malformed(what));
        let (rest, magic) = bytes.split_at(FOOTER_BYTES - MAGIC.len());
        if magic != MAGIC {
            return Err(malformed("it does not end as a run ends"));
        }
        let at = &mut 0;
        let mut length = || take_u64(rest, at).map_err(FooterError::Malformed);
        let (entries, hashes, blocks) = (length()?, length()?, length()?);
        let (data_bytes, index_bytes, filter_bytes) = (length()?, length()?, length()?);
        let expires_max = length()?.cast_signed();
        let mut number = || take_u32(rest, at).map_err(FooterError::Malformed);
        let (index_checksum, filter_checksum, version) = (number()?, number()?, number()?);
        if version != VERSION {
            return Err(FooterError::Version(version));
        }
        if number()? != crc32c::crc32c(&rest[..rest.len() - 4]) {
            return Err(malformed("the footer's checksum is wrong"));
        }
        let total = [data_bytes, index_bytes, filter_bytes, FOOTER_BYTES as u64]
            .into_iter()
            .try_fold(0u64, u64::checked_add);
        if total != Some(file_bytes) {
            return Err(malformed("the sections are not as long as the file"));
        }
        Ok(Footer {
            entries,
            hashes,
            blocks,
            data_bytes,
            index_bytes,
            filter_bytes,
            expires_max,
            index_checksum,
            filter_checksum,
        })
    }

    pub(super) fn index_position(&self) -> u64 {
        self.data_bytes
    }

    pub(super) fn filter_position(&self) -> u64 {
        self.data_bytes + self.index_bytes
    }
}
