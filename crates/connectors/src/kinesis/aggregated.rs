//! Several records of a producer in one of the stream's, as the Kinesis Producer Library packs them.
//!
//! Behind four bytes stands a message of Protobuf (a table of keys, a table of hashes, and records that point into both), and
//! behind it its MD5. What only looks like that, or holds more than is sound, is a record as any other.
//!
//! <https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>

use super::record::hash_of;
use md5::{Digest, Md5};

const MAGIC: &[u8] = &[0xf3, 0x89, 0x9a, 0xc2];
const SUM_BYTES: usize = 16;
/// Records in one, at most: a megabyte of records of a few bytes each.
const RECORDS_MAX: usize = 200_000;
/// Of keys and data, at most, when they are unpacked: a few bytes may name a long key again and again.
const UNPACKED_BYTES_MAX: usize = 64 << 20;
/// The service takes no longer keys.
const KEY_CHARS_MAX: usize = 256;

/// One of the records that were packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unpacked {
    pub partition_key: String,
    pub data: Vec<u8>,
    /// By which its shard was chosen.
    pub hash: u128,
}

/// The records in a record; none where it holds but itself.
pub(super) fn unpacked(data: &[u8]) -> Option<Vec<Unpacked>> {
    let (message, sum) = data.strip_prefix(MAGIC)?.split_last_chunk::<SUM_BYTES>()?;
    if Md5::digest(message)[..] != sum[..] {
        return None;
    }
    let (mut keys, mut hashes, mut records) = (Vec::new(), Vec::new(), Vec::new());
    for field in Fields(message) {
        match field? {
            (1, Value::Bytes(key)) => {
                let key = std::str::from_utf8(key).ok()?;
                keys.push(Some(key).filter(|key| key.chars().count() <= KEY_CHARS_MAX)?);
            }
            (2, Value::Bytes(hash)) => hashes.push(std::str::from_utf8(hash).ok()?.parse::<u128>().ok()?),
            (3, Value::Bytes(record)) => records.push(record),
            _ => {}
        }
        if keys.len().max(hashes.len()).max(records.len()) > RECORDS_MAX {
            return None;
        }
    }
    let mut bytes = 0;
    let mut found = Vec::with_capacity(records.len());
    for record in records {
        let one = one(record, &keys, &hashes)?;
        bytes += one.partition_key.len() + one.data.len();
        if bytes > UNPACKED_BYTES_MAX {
            return None;
        }
        found.push(one);
    }
    Some(found).filter(|found| !found.is_empty())
}

fn one(record: &[u8], keys: &[&str], hashes: &[u128]) -> Option<Unpacked> {
    let (mut key, mut hash, mut data) = (None, None, None);
    for field in Fields(record) {
        match field? {
            (1, Value::Number(index)) => key = Some(*keys.get(usize::try_from(index).ok()?)?),
            (2, Value::Number(index)) => hash = Some(*hashes.get(usize::try_from(index).ok()?)?),
            (3, Value::Bytes(bytes)) => data = Some(bytes.to_vec()),
            _ => {}
        }
    }
    let key = key?;
    Some(Unpacked { partition_key: key.to_string(), data: data?, hash: hash.unwrap_or_else(|| hash_of(key)) })
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message of Protobuf; none in place of what is none.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn bytes(&mut self, count: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = rest;
        Some(bytes)
    }

    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => Value::Number(self.number()?),
            1 => Value::Bytes(self.bytes(8)?),
            2 => {
                let count = self.number()?;
                Value::Bytes(self.bytes(count)?)
            }
            5 => Value::Bytes(self.bytes(4)?),
            _ => return None,
        };
        Some((tag >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// As a producer packs them: keys, and data with an explicit hash perhaps.
#[cfg(test)]
pub(crate) fn packed(records: &[(&str, Option<u128>, &[u8])]) -> Vec<u8> {
    fn field(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
        assert!(bytes.len() < 128);
        out.extend([number << 3 | 2, bytes.len() as u8]);
        out.extend_from_slice(bytes);
    }
    let mut message = Vec::new();
    let mut hashes = 0;
    for (key, _, _) in records {
        field(1, key.as_bytes(), &mut message);
    }
    for hash in records.iter().filter_map(|(_, hash, _)| *hash) {
        field(2, hash.to_string().as_bytes(), &mut message);
    }
    for (index, (_, hash, data)) in records.iter().enumerate() {
        let mut record = vec![1 << 3, index as u8];
        if hash.is_some() {
            record.extend([2 << 3, hashes]);
            hashes += 1;
        }
        field(3, data, &mut record);
        field(3, &record, &mut message);
    }
    [MAGIC, &message, &Md5::digest(&message)[..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_unpacked_as_they_were_packed() {
        let data = packed(&[("a", None, b"1"), ("b", Some(7), b""), ("a", None, b"3")]);
        let all = unpacked(&data).unwrap();
        let one = |key: &str, data: &[u8], hash: u128| Unpacked {
            partition_key: key.into(),
            data: data.to_vec(),
            hash,
        };
        assert_eq!(all, [one("a", b"1", hash_of("a")), one("b", b"", 7), one("a", b"3", hash_of("a"))]);
    }

    /// Many records that point to one key.
    fn many(key: &str, count: usize) -> Vec<u8> {
        let mut message = vec![1 << 3 | 2, key.len() as u8 & 0x7f | 0x80, (key.len() >> 7) as u8];
        message.extend_from_slice(key.as_bytes());
        for _ in 0..count {
            message.extend([3 << 3 | 2, 4, 1 << 3, 0, 3 << 3 | 2, 0]);
        }
        [MAGIC, &message, &Md5::digest(&message)[..]].concat()
    }

    #[test]
    fn a_record_that_would_become_too_much_is_one_of_its_own() {
        let longest = "ü".repeat(KEY_CHARS_MAX);
        assert_eq!(unpacked(&many(&longest, 3)).map(|found| found.len()), Some(3));
        assert_eq!(unpacked(&many(&(longest.clone() + "x"), 3)), None);
        assert_eq!(unpacked(&many("k", RECORDS_MAX)).map(|found| found.len()), Some(RECORDS_MAX));
        assert_eq!(unpacked(&many("k", RECORDS_MAX + 1)), None);
        assert_eq!(unpacked(&many(&longest, UNPACKED_BYTES_MAX / longest.len() + 1)), None);
    }

    #[test]
    fn what_only_looks_like_it_is_a_record_of_its_own() {
        let data = packed(&[("a", Some(1), b"1"), ("b", None, b"2")]);
        for length in 0..data.len() {
            assert_eq!(unpacked(&data[..length]), None, "cut to {length} bytes");
            // A message that is broken, with the right sum.
            let message = &data[MAGIC.len()..length.max(MAGIC.len())];
            let broken = [MAGIC, message, &Md5::digest(message)[..]].concat();
            if length + SUM_BYTES < data.len() {
                let found = unpacked(&broken).unwrap_or_default();
                assert!(found.len() < 2, "{length}");
            }
        }
        // An index into nothing.
        let message = [3 << 3 | 2, 4, 1 << 3, 9, 3 << 3 | 2, 0];
        assert_eq!(unpacked(&[MAGIC, &message, &Md5::digest(message)[..]].concat()), None);
        assert_eq!(unpacked(b"{}"), None);
    }
}
