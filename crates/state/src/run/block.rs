//! Blocks: entries one after the other, each key without what it shares with the key before.
//!
//! An entry is a byte of flags, the length of what is shared, the length of the rest of the key, the
//! length of the value unless it is a tombstone, the hash unless it is that of the entry before, the
//! moment of expiry if there is one, the rest of the key, the value. Lengths are LEB128. A CRC32C of
//! all entries ends the block.

/// The hash is that of the entry before.
const SAME_HASH: u8 = 1;
const EXPIRES: u8 = 2;
const TOMBSTONE: u8 = 4;

pub(super) const CHECKSUM_BYTES: usize = 4;

/// A block that is being filled.
#[derive(Default)]
pub(super) struct BlockBuilder {
    bytes: Vec<u8>,
    last_key: Vec<u8>,
    last_hash: u64,
}

impl BlockBuilder {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn push(&mut self, hash: u64, key: &[u8], value: Option<&[u8]>, expires: i64) {
        let is_first = self.bytes.is_empty();
        let shared = if is_first { 0 } else { shared(&self.last_key, key) };
        let same_hash = !is_first && hash == self.last_hash;
        let mut flags = 0;
        flags |= if same_hash { SAME_HASH } else { 0 };
        flags |= if expires == i64::MAX { 0 } else { EXPIRES };
        flags |= if value.is_some() { 0 } else { TOMBSTONE };
        self.bytes.push(flags);
        write_length(&mut self.bytes, shared);
        write_length(&mut self.bytes, key.len() - shared);
        if let Some(value) = value {
            write_length(&mut self.bytes, value.len());
        }
        if !same_hash {
            self.bytes.extend_from_slice(&hash.to_le_bytes());
        }
        if expires != i64::MAX {
            self.bytes.extend_from_slice(&expires.to_le_bytes());
        }
        self.bytes.extend_from_slice(&key[shared..]);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.last_key.truncate(shared);
        self.last_key.extend_from_slice(&key[shared..]);
        self.last_hash = hash;
    }

    /// Appends the finished block and begins another; answers its length.
    pub(super) fn finish_into(&mut self, out: &mut Vec<u8>) -> usize {
        out.extend_from_slice(&self.bytes);
        out.extend_from_slice(&crc32c::crc32c(&self.bytes).to_le_bytes());
        let length = self.bytes.len() + CHECKSUM_BYTES;
        self.bytes.clear();
        length
    }
}

fn shared(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

pub(super) fn write_length(out: &mut Vec<u8>, length: usize) {
    let mut rest = length as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

pub(super) fn read_length(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let mut length = 0u64;
    for shift in (0..35).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        length |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return usize::try_from(length).ok();
        }
    }
    None
}

/// The entries of a block without its checksum, if that fits.
pub(super) fn checked(block: &[u8]) -> Option<&[u8]> {
    let (entries, checksum) = block.split_last_chunk::<CHECKSUM_BYTES>()?;
    (crc32c::crc32c(entries).to_le_bytes() == *checksum).then_some(entries)
}

/// A place in the entries of a block.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    at: usize,
    pub(super) key: Vec<u8>,
    pub(super) hash: u64,
    pub(super) expires: i64,
    /// Where the value lies in the entries; nothing is a tombstone.
    pub(super) value: Option<(usize, usize)>,
}

impl Cursor {
    pub(super) fn begin(&mut self) {
        self.at = 0;
        self.key.clear();
    }

    /// Goes to the next entry; false at the end, nothing where the bytes are no entry.
    #[inline]
    pub(super) fn advance(&mut self, entries: &[u8]) -> Option<bool> {
        if self.at >= entries.len() {
            return Some(false);
        }
        let mut at = self.at;
        let flags = entries[at];
        at += 1;
        let shared = read_length(entries, &mut at)?;
        let rest = read_length(entries, &mut at)?;
        let value = if flags & TOMBSTONE == 0 { Some(read_length(entries, &mut at)?) } else { None };
        if flags & SAME_HASH == 0 {
            self.hash = u64::from_le_bytes(*entries.get(at..)?.first_chunk()?);
            at += 8;
        }
        self.expires = i64::MAX;
        if flags & EXPIRES != 0 {
            self.expires = i64::from_le_bytes(*entries.get(at..)?.first_chunk()?);
            at += 8;
        }
        if shared > self.key.len() {
            return None;
        }
        self.key.truncate(shared);
        self.key.extend_from_slice(entries.get(at..at.checked_add(rest)?)?);
        at += rest;
        self.value = match value {
            Some(length) => {
                let end = at.checked_add(length)?;
                entries.get(at..end)?;
                Some((at, end))
            }
            None => None,
        };
        self.at = self.value.map_or(at, |(_, end)| end);
        Some(true)
    }
}
