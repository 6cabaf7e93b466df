//! Chunks of a stream: a header, and entries that are messages or compressed batches of them.

use super::super::amqp::Reader;
use crate::messages::{Done, ServerError};
use bytes::Bytes;
use kafka_wire::records::Compression;
use std::io::Read;

const MAGIC_VERSION: u8 = 0x50;
/// Other kinds hold what servers remember of their clients.
const OF_USERS: u8 = 0;
/// An entry that is a batch of messages.
const BATCH: u8 = 0x80;
const SNAPPY: u8 = 2;
/// The batches of a chunk are decompressed up to this size together.
const PLAIN_BYTES_MAX: usize = 64 << 20;

/// The messages of a chunk.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// The offset of the first message; those of the others follow without a gap.
    pub first_offset: i64,
    /// When the chunk was written.
    pub timestamp_ms: i64,
    pub messages: Vec<Bytes>,
}

impl Chunk {
    pub(super) fn parse(bytes: Vec<u8>) -> Done<Chunk> {
        let bytes = Bytes::from(bytes);
        let mut reader = Reader(&bytes);
        if reader.u8()? != MAGIC_VERSION {
            return Err(ServerError::malformed("a chunk of an unknown version"));
        }
        let (kind, entries, records) = (reader.u8()?, reader.u16()?, reader.u32()?);
        let timestamp_ms = reader.u64()? as i64;
        reader.u64()?;
        let first_offset = reader.u64()? as i64;
        let (crc, data_bytes) = (reader.u32()?, reader.u32()?);
        reader.take(8)?;
        let mut chunk = Chunk { first_offset, timestamp_ms, messages: Vec::new() };
        if kind != OF_USERS {
            return Ok(chunk);
        }
        let data = reader.take(data_bytes as usize)?;
        let mut found = flate2::Crc::new();
        found.update(data);
        if found.sum() != crc {
            return Err(ServerError::malformed("the check sum of a chunk is wrong"));
        }
        let mut reader = Reader(data);
        let mut room = PLAIN_BYTES_MAX;
        for _ in 0..entries {
            take_entry(&bytes, &mut reader, &mut room, &mut chunk.messages)?;
        }
        if chunk.messages.len() != records as usize {
            return Err(ServerError::malformed("a chunk does not hold as many messages as it says"));
        }
        Ok(chunk)
    }
}

/// A message or a batch; what is decompressed takes of the chunk's `room` in bytes.
fn take_entry(
    chunk: &Bytes,
    reader: &mut Reader<'_>,
    room: &mut usize,
    messages: &mut Vec<Bytes>,
) -> Done<()> {
    let first = *reader.0.first().ok_or_else(|| ServerError::malformed("a chunk ends too early"))?;
    if first & BATCH == 0 {
        let length = reader.u32()?;
        messages.push(chunk.slice_ref(reader.take(length as usize)?));
        return Ok(());
    }
    let codec = (reader.u8()? & !BATCH) >> 4;
    let (count, plain_bytes, packed_bytes) = (reader.u16()?, reader.u32()?, reader.u32()?);
    let packed = chunk.slice_ref(reader.take(packed_bytes as usize)?);
    *room = room.checked_sub(plain_bytes as usize).ok_or_else(|| {
        ServerError::malformed(&format!(
            "the batches of a chunk exceed limit={PLAIN_BYTES_MAX} bytes together"
        ))
    })?;
    let plain = unpacked(codec, packed, plain_bytes as usize)?;
    let mut reader = Reader(&plain);
    for _ in 0..count {
        let length = reader.u32()?;
        messages.push(plain.slice_ref(reader.take(length as usize)?));
    }
    Ok(())
}

/// The codecs have Kafka's numbers, and their formats but for Snappy's, which is that of its frames.
fn unpacked(codec: u8, packed: Bytes, plain_bytes: usize) -> Done<Bytes> {
    let failed = |reason: &dyn std::fmt::Display| {
        ServerError::malformed(&format!("a batch of messages cannot be decompressed: {reason}"))
    };
    if codec == SNAPPY {
        let mut plain = Vec::new();
        let read =
            snap::read::FrameDecoder::new(&packed[..]).take(plain_bytes as u64).read_to_end(&mut plain);
        return read.map(|_| Bytes::from(plain)).map_err(|error| failed(&error));
    }
    let compression = Compression::from_attribute(codec.into());
    let compression = compression.ok_or_else(|| failed(&format!("the codec {codec} is unknown")))?;
    compression.decompress(packed, plain_bytes).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(message: &[u8]) -> Vec<u8> {
        [&(message.len() as u32).to_be_bytes(), message].concat()
    }

    fn batch(codec: u8, packed: &[u8], plain: &[u8], count: u16) -> Vec<u8> {
        let mut bytes = vec![BATCH | codec << 4];
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(&(plain.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&(packed.len() as u32).to_be_bytes());
        bytes.extend_from_slice(packed);
        bytes
    }

    fn chunk(kind: u8, entries: u16, records: u32, data: &[u8]) -> Vec<u8> {
        let mut crc = flate2::Crc::new();
        crc.update(data);
        let mut bytes = vec![MAGIC_VERSION, kind];
        bytes.extend_from_slice(&entries.to_be_bytes());
        bytes.extend_from_slice(&records.to_be_bytes());
        bytes.extend_from_slice(&1_700_000_000_000_i64.to_be_bytes());
        bytes.extend_from_slice(&1_u64.to_be_bytes());
        bytes.extend_from_slice(&40_u64.to_be_bytes());
        bytes.extend_from_slice(&crc.sum().to_be_bytes());
        bytes.extend_from_slice(&(data.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(data);
        bytes
    }

    #[test]
    fn messages_and_batches_of_all_codecs_are_read() {
        let plain = [entry(b"two"), entry(b"three")].concat();
        let mut snappy = snap::read::FrameEncoder::new(&plain[..]);
        let mut packed = Vec::new();
        snappy.read_to_end(&mut packed).unwrap();
        let mut data = [entry(b"one"), batch(SNAPPY, &packed, &plain, 2)].concat();
        for codec in [0, 1, 3, 4] {
            let compression = Compression::from_attribute(codec.into()).unwrap();
            data.extend(batch(codec, &compression.compress(&plain).unwrap(), &plain, 2));
        }
        let bytes = chunk(OF_USERS, 6, 11, &data);
        let read = Chunk::parse(bytes.clone()).unwrap();
        assert_eq!((read.first_offset, read.timestamp_ms), (40, 1_700_000_000_000));
        assert_eq!(read.messages[0], "one");
        assert!(read.messages[1..].chunks(2).all(|pair| pair == ["two", "three"]), "{read:?}");
        for length in 0..bytes.len() {
            assert!(Chunk::parse(bytes[..length].to_vec()).is_err(), "cut to {length} bytes");
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        let good = chunk(OF_USERS, 1, 1, &entry(b"one"));
        let mut damaged = good.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(Chunk::parse(damaged).unwrap_err().message.contains("check sum"));
        assert!(Chunk::parse(chunk(OF_USERS, 1, 2, &entry(b"one"))).is_err());
        assert!(Chunk::parse(chunk(OF_USERS, 1, 1, &batch(7, b"x", b"x", 1))).is_err());
        let mut bomb = batch(1, b"x", b"", 1);
        bomb[3..7].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(Chunk::parse(chunk(OF_USERS, 1, 1, &bomb)).unwrap_err().message.contains("limit"));
        // Two batches, each within the limit: of a chunk's time and memory they have one share.
        let mut half = batch(SNAPPY, &[], b"", 0);
        half[3..7].copy_from_slice(&(PLAIN_BYTES_MAX as u32 / 2 + 1).to_be_bytes());
        assert_eq!(Chunk::parse(chunk(OF_USERS, 1, 0, &half)).unwrap().messages.len(), 0);
        let both = [half.clone(), half].concat();
        assert!(Chunk::parse(chunk(OF_USERS, 2, 0, &both)).unwrap_err().message.contains("limit"));
        assert_eq!(Chunk::parse(chunk(1, 1, 1, b"what servers keep")).unwrap().messages.len(), 0);
    }
}
