//! The five ways in which the inside of a batch is compressed, each with a limit on what comes out.
//!
//! A decompressor never gets more memory than the caller's limit: what would exceed it is an error,
//! so that a small batch cannot fill the machine. Snappy comes in two dresses: Java and librdkafka
//! wrap it in xerial's framing (a magic, two versions, and length-prefixed blocks), others send one raw
//! block; both are read, and the framing is written.

use std::io::{Read, Write};

use bytes::Bytes;

use super::RecordsError;

/// How the records of a batch are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// The magic, a version and the oldest compatible version.
const XERIAL_HEADER_BYTES: usize = 16;
/// What goes into one block of xerial's framing; the same as in its default writer.
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;
/// Three bytes of snappy yield at most 64, so that a larger claim is a lie.
const SNAPPY_RATIO_MAX: usize = 22;
/// Zstandard's own default limit of its window, as a power of two.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// The window of the usual levels fits always, however small the limit.
const ZSTD_WINDOW_LOG_MIN: u32 = 23;
/// Zstandard's default level: fast, and denser than gzip.
const ZSTD_LEVEL: i32 = 3;

impl Compression {
    pub const ALL: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    /// From the lowest three bits of a batch's attributes.
    pub fn from_attribute(number: i16) -> Option<Compression> {
        usize::try_from(number).ok().and_then(|index| Compression::ALL.get(index).copied())
    }

    pub fn attribute(self) -> i16 {
        self as i16
    }

    /// The name that clients use in `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }

    pub fn from_name(name: &str) -> Option<Compression> {
        Compression::ALL.into_iter().find(|compression| compression.name() == name)
    }

    pub fn compress(self, plain: &[u8]) -> Result<Vec<u8>, RecordsError> {
        match self {
            Compression::None => Ok(plain.to_vec()),
            Compression::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(plain).map_err(damaged)?;
                encoder.finish().map_err(damaged)
            }
            Compression::Snappy => compress_snappy(plain),
            Compression::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(plain).map_err(damaged)?;
                encoder.finish().map_err(damaged)
            }
            Compression::Zstd => zstd::bulk::compress(plain, ZSTD_LEVEL).map_err(damaged),
        }
    }

    /// At most `limit_bytes` come out; more is an error.
    pub fn decompress(self, packed: Bytes, limit_bytes: usize) -> Result<Bytes, RecordsError> {
        let plain = match self {
            Compression::None if packed.len() > limit_bytes => {
                return Err(RecordsError::TooLarge { limit_bytes });
            }
            Compression::None => return Ok(packed),
            Compression::Gzip => read_limited(flate2::read::MultiGzDecoder::new(&packed[..]), limit_bytes)?,
            Compression::Snappy => decompress_snappy(&packed, limit_bytes)?,
            Compression::Lz4 => read_limited(lz4_flex::frame::FrameDecoder::new(&packed[..]), limit_bytes)?,
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(&packed[..]).map_err(damaged)?;
                let window_log = limit_bytes.max(1).ilog2() + 1;
                let window_log = window_log.clamp(ZSTD_WINDOW_LOG_MIN, ZSTD_WINDOW_LOG_MAX);
                decoder.window_log_max(window_log).map_err(damaged)?;
                read_limited(decoder, limit_bytes)?
            }
        };
        Ok(Bytes::from(plain))
    }
}

fn damaged(error: impl std::fmt::Display) -> RecordsError {
    RecordsError::Compressed { reason: error.to_string() }
}

/// Reads to the end, but stops one byte behind the limit.
fn read_limited(reader: impl Read, limit_bytes: usize) -> Result<Vec<u8>, RecordsError> {
    let mut plain = Vec::new();
    let mut reader = reader.take((limit_bytes as u64).saturating_add(1));
    reader.read_to_end(&mut plain).map_err(damaged)?;
    if plain.len() > limit_bytes {
        return Err(RecordsError::TooLarge { limit_bytes });
    }
    Ok(plain)
}

fn compress_snappy(plain: &[u8]) -> Result<Vec<u8>, RecordsError> {
    let mut packed = XERIAL_MAGIC.to_vec();
    packed.extend_from_slice(&1i32.to_be_bytes());
    packed.extend_from_slice(&1i32.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in plain.chunks(XERIAL_BLOCK_BYTES) {
        let block = encoder.compress_vec(block).map_err(damaged)?;
        packed.extend_from_slice(&(block.len() as i32).to_be_bytes());
        packed.extend_from_slice(&block);
    }
    Ok(packed)
}

fn decompress_snappy(packed: &[u8], limit_bytes: usize) -> Result<Vec<u8>, RecordsError> {
    let mut plain = Vec::new();
    if !packed.starts_with(&XERIAL_MAGIC) {
        append_snappy_block(&mut plain, packed, limit_bytes)?;
        return Ok(plain);
    }
    let mut rest = packed.get(XERIAL_HEADER_BYTES..).ok_or_else(|| damaged("the framing is cut off"))?;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk().ok_or_else(|| damaged("a block is cut off"))?;
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(damaged)?;
        let (block, after) = after.split_at_checked(length).ok_or_else(|| damaged("a block is cut off"))?;
        append_snappy_block(&mut plain, block, limit_bytes)?;
        rest = after;
    }
    Ok(plain)
}

fn append_snappy_block(plain: &mut Vec<u8>, block: &[u8], limit_bytes: usize) -> Result<(), RecordsError> {
    let length = snap::raw::decompress_len(block).map_err(damaged)?;
    let start = plain.len();
    if length > limit_bytes.saturating_sub(start) {
        return Err(RecordsError::TooLarge { limit_bytes });
    }
    if length > block.len().saturating_mul(SNAPPY_RATIO_MAX) {
        return Err(damaged("a block claims more than it can hold"));
    }
    plain.resize(start + length, 0);
    let written = snap::raw::Decoder::new().decompress(block, &mut plain[start..]).map_err(damaged)?;
    plain.truncate(start + written);
    Ok(())
}
