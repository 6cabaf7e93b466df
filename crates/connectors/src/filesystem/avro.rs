//! Avro's container files: rows of a range of row numbers as the table's columns, and encoded rows written as blocks.
//!
//! 1. A file is a head (four bytes, a map with schema and codec, a mark of 16 bytes) and blocks (how many values, how
//!    many bytes, the bytes, the mark). Every length is checked before memory is taken for it.
//! 2. Values have no places of their own, so a position is a row number. A read that goes on where the last one ended
//!    costs nothing more; another one passes over whole blocks.
//! 3. A block is written when enough rows wait; a file's name stands for its rows, its mark for nothing but itself.

use super::files::{Files, Input};
use super::source::RowsRead;
use super::target::GrowingFile;
use arrow_schema::SchemaRef;
use base::options::Options;
use flate2::Crc;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use formats::{AvroFileDecoder, AvroValue, AvroValues, avro_file_schema};
use os::Os;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::Arc;

const MAGIC: &[u8; 4] = b"Obj\x01";
pub(crate) const MARK_BYTES: usize = 16;
/// Of the head's map: entries, and bytes of all of them.
const ENTRIES_MAX: i64 = 1000;
const HEAD_BYTES_MAX: usize = 16 << 20;
/// Bytes of a block, packed and not.
const BLOCK_BYTES_MAX: usize = 256 << 20;
/// Bytes that are read at once.
const CHUNK_BYTES: usize = 256 << 10;
/// A block is written when it has so many bytes, as Avro's Java library does.
const BLOCK_BYTES: usize = 64_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    None,
    Deflate,
    Snappy,
    Zstandard,
}

impl Codec {
    const ALL: [(&'static str, Codec); 4] = [
        ("null", Codec::None),
        ("deflate", Codec::Deflate),
        ("snappy", Codec::Snappy),
        ("zstandard", Codec::Zstandard),
    ];

    fn lookup(name: &str) -> Option<Codec> {
        Codec::ALL.iter().find(|(known, _)| *known == name).map(|(_, codec)| *codec)
    }

    fn name(self) -> &'static str {
        Codec::ALL.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }

    fn unpack(self, packed: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Codec::None => Ok(packed),
            Codec::Deflate => limited(DeflateDecoder::new(packed.as_slice())),
            Codec::Zstandard => limited(zstd::stream::read::Decoder::with_buffer(packed.as_slice())?),
            Codec::Snappy => {
                // Behind the bytes stands a checksum of what they hold.
                let (packed, sum) =
                    packed.split_last_chunk::<4>().ok_or_else(|| bad("a block without a checksum"))?;
                let length = snap::raw::decompress_len(packed).map_err(io::Error::other)?;
                if length > BLOCK_BYTES_MAX {
                    return Err(bad("a block is too long"));
                }
                let plain = snap::raw::Decoder::new().decompress_vec(packed).map_err(io::Error::other)?;
                if checksum(&plain) != *sum {
                    return Err(bad("the checksum of a block is another one"));
                }
                Ok(plain)
            }
        }
    }

    fn pack(self, plain: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Codec::None => Ok(plain.to_vec()),
            Codec::Deflate => {
                let mut encoder = DeflateEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(plain)?;
                encoder.finish()
            }
            Codec::Zstandard => zstd::bulk::compress(plain, 3),
            Codec::Snappy => {
                let mut packed = snap::raw::Encoder::new().compress_vec(plain).map_err(io::Error::other)?;
                packed.extend_from_slice(&checksum(plain));
                Ok(packed)
            }
        }
    }
}

fn bad(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_string())
}

/// Reads all, up to what a block may have.
fn limited(input: impl Read) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    input.take(BLOCK_BYTES_MAX as u64 + 1).read_to_end(&mut plain)?;
    if plain.len() > BLOCK_BYTES_MAX { Err(bad("a block is too long")) } else { Ok(plain) }
}

fn checksum(plain: &[u8]) -> [u8; 4] {
    let mut crc = Crc::new();
    crc.update(plain);
    crc.sum().to_be_bytes()
}

/// A number in Avro's encoding; none at the end of the file.
fn read_long(input: &mut impl BufRead) -> io::Result<Option<i64>> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        match input.read_exact(&mut byte) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && shift == 0 => return Ok(None),
            other => other?,
        }
        if shift == 63 && byte[0] > 1 {
            break;
        }
        value |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            return Ok(Some((value >> 1) as i64 ^ -((value & 1) as i64)));
        }
    }
    Err(bad("a number is longer than 64 bits"))
}

pub(crate) fn write_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = (value << 1 ^ value >> 63) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

pub(crate) fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_long(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

/// So many bytes, which are taken as they come: a length alone takes no memory.
fn read_bytes(input: &mut impl BufRead, limit: usize) -> io::Result<Vec<u8>> {
    let length = read_long(input)?.and_then(|length| usize::try_from(length).ok());
    let length = length.filter(|length| *length <= limit).ok_or_else(|| bad("a length is not valid"))?;
    let mut bytes = Vec::new();
    input.take(length as u64).read_to_end(&mut bytes)?;
    if bytes.len() < length { Err(bad("the file ends too early")) } else { Ok(bytes) }
}

/// What the head of a file says.
struct Head {
    schema: String,
    codec: Codec,
    mark: [u8; MARK_BYTES],
}

impl Head {
    fn read(input: &mut impl BufRead) -> io::Result<Head> {
        let mut magic = [0; 4];
        input.read_exact(&mut magic)?;
        if &magic != MAGIC {
            return Err(bad("it is no container file of Avro"));
        }
        let (mut schema, mut codec) = (None, Codec::None);
        let (mut entries, mut left) = (0, HEAD_BYTES_MAX);
        loop {
            let count = match read_long(input)?.ok_or_else(|| bad("the file ends in its head"))? {
                0 => break,
                // A negative count has the number of bytes behind it.
                count if count < 0 => {
                    read_long(input)?;
                    count.checked_neg().unwrap_or(i64::MAX)
                }
                count => count,
            };
            entries = count.saturating_add(entries);
            if entries > ENTRIES_MAX {
                return Err(bad("its head has too many entries"));
            }
            for _ in 0..count {
                let key = read_bytes(input, left)?;
                left -= key.len();
                let value = read_bytes(input, left)?;
                left -= value.len();
                let text =
                    || String::from_utf8(value.clone()).map_err(|_| bad("its head is not valid UTF-8"));
                match key.as_slice() {
                    b"avro.schema" => schema = Some(text()?),
                    b"avro.codec" => {
                        let name = text()?;
                        let message = || {
                            bad(&format!(
                                "the codec '{name}' is not supported; there are null, deflate, snappy and zstandard"
                            ))
                        };
                        codec = Codec::lookup(&name).ok_or_else(message)?;
                    }
                    _ => {}
                }
            }
        }
        let mut mark = [0; MARK_BYTES];
        input.read_exact(&mut mark)?;
        let schema = schema.ok_or_else(|| bad("its head has no schema"))?;
        Ok(Head { schema, codec, mark })
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes_with(&[])
    }

    /// With more entries than a file needs.
    fn bytes_with(&self, more: &[(&str, &str)]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        let own = [("avro.schema", self.schema.as_str()), ("avro.codec", self.codec.name())];
        let entries = [&own, more].concat();
        write_long(entries.len() as i64, &mut out);
        for (key, value) in entries {
            write_bytes(key.as_bytes(), &mut out);
            write_bytes(value.as_bytes(), &mut out);
        }
        write_long(0, &mut out);
        out.extend_from_slice(&self.mark);
        out
    }
}

/// Reads the wanted columns of files, one file at a time.
pub(super) struct AvroFiles {
    files: Arc<dyn Files>,
    options: Options,
    schema: SchemaRef,
    projection: Vec<usize>,
    open: Option<OpenFile>,
}

struct OpenFile {
    path: String,
    position: i64,
    blocks: Blocks<BufReader<Input>>,
    decoder: AvroFileDecoder,
    block: Vec<u8>,
    /// Where the next row begins in the block.
    at: usize,
    /// Rows of the block that were not read yet.
    left: i64,
}

impl AvroFiles {
    pub(super) fn new(
        files: Arc<dyn Files>,
        options: &Options,
        schema: SchemaRef,
        projection: Vec<usize>,
    ) -> AvroFiles {
        AvroFiles { files, options: options.clone(), schema, projection, open: None }
    }

    /// At most `count` rows from `position` on: the columns, how many rows there are, and whether the file has ended.
    pub(super) fn read(&mut self, path: &str, position: i64, count: usize) -> Result<RowsRead, String> {
        let mut open = match self.open.take() {
            Some(open) if open.path == path && open.position == position => open,
            _ => self.open(path, position)?,
        };
        let mut rows = 0;
        let mut finished = false;
        while rows < count {
            if open.left == 0 && !open.next_block().map_err(|error| error.to_string())? {
                finished = true;
                break;
            }
            if open.left > 0 {
                let next = open.decoder.decode(&open.block, open.at);
                open.at = next.map_err(|error| format!("row {}: {error}", open.position))?;
                open.left -= 1;
                open.position += 1;
                rows += 1;
            }
        }
        let batch = open.decoder.finish().map_err(|error| error.to_string())?;
        self.open = Some(open);
        Ok((batch.columns().to_vec(), rows, finished))
    }

    fn open(&self, path: &str, position: i64) -> Result<OpenFile, String> {
        let file = self.files.open(path).map_err(|error| error.to_string())?;
        let mut input = BufReader::with_capacity(CHUNK_BYTES, file);
        let head = Head::read(&mut input).map_err(|error| error.to_string())?;
        let decoder = AvroFileDecoder::new(&self.options, &self.schema, &self.projection, &head.schema);
        let blocks = Blocks { input, head };
        let decoder = decoder.map_err(|error| error.to_string())?;
        let path = path.to_string();
        let mut open = OpenFile { path, position: 0, blocks, decoder, block: Vec::new(), at: 0, left: 0 };
        while open.position < position {
            if open.left == 0 && !open.next_block().map_err(|error| error.to_string())? {
                return Err("it has fewer rows than it had".into());
            }
            if open.left <= position - open.position {
                open.position += open.left;
                open.left = 0;
                open.at = open.block.len();
                continue;
            }
            let next = open.decoder.skip(&open.block, open.at);
            open.at = next.map_err(|error| format!("row {}: {error}", open.position))?;
            open.left -= 1;
            open.position += 1;
        }
        Ok(open)
    }
}

impl OpenFile {
    /// Reads the next block; false at the end of the file.
    fn next_block(&mut self) -> io::Result<bool> {
        if self.at < self.block.len() {
            return Err(bad("there are bytes behind the last row of a block"));
        }
        let Some((count, block)) = self.blocks.next()? else { return Ok(false) };
        self.block = block;
        self.decoder.begin_block(self.block.len());
        (self.at, self.left) = (0, count);
        Ok(true)
    }
}

/// The blocks of a file, behind its head.
struct Blocks<R> {
    input: R,
    head: Head,
}

impl<R: BufRead> Blocks<R> {
    /// How many values the next block has, and their bytes; none at the end of the file.
    fn next(&mut self) -> io::Result<Option<(i64, Vec<u8>)>> {
        let Some(count) = read_long(&mut self.input)? else { return Ok(None) };
        if count < 0 {
            return Err(bad("a block has a negative number of rows"));
        }
        let packed = read_bytes(&mut self.input, BLOCK_BYTES_MAX)?;
        let mut mark = [0; MARK_BYTES];
        self.input.read_exact(&mut mark)?;
        if mark != self.head.mark {
            return Err(bad("the mark behind a block is not that of the file"));
        }
        Ok(Some((count, self.head.codec.unpack(packed)?)))
    }
}

/// All values of a file that lies in memory, whatever its schema is; no more bytes than one block may have.
pub(crate) fn values_of(bytes: &[u8]) -> Result<Vec<AvroValue>, String> {
    let mut input = bytes;
    let head = Head::read(&mut input).map_err(|error| error.to_string())?;
    let decoder = AvroValues::new(&head.schema).map_err(|error| error.to_string())?;
    let (mut blocks, mut values) = (Blocks { input, head }, Vec::new());
    let mut left = BLOCK_BYTES_MAX;
    while let Some((count, block)) = blocks.next().map_err(|error| error.to_string())? {
        left = left.checked_sub(block.len()).ok_or("it is too long")?;
        values.extend(decoder.block(&block, count).map_err(|error| error.to_string())?);
    }
    Ok(values)
}

/// A file of values in the binary encoding, packed as Iceberg's own writers do; its head says some more.
pub(crate) fn file_of(
    schema: &str,
    more: &[(&str, &str)],
    values: &[Vec<u8>],
    mark: [u8; MARK_BYTES],
) -> io::Result<Vec<u8>> {
    let head = Head { schema: schema.into(), codec: Codec::Deflate, mark };
    let mut out = head.bytes_with(more);
    for some in values.chunks(1000) {
        write_long(some.len() as i64, &mut out);
        write_bytes(&head.codec.pack(&some.concat())?, &mut out);
        out.extend_from_slice(&mark);
    }
    Ok(out)
}

/// What the files of a table have in common.
pub(super) struct AvroRows {
    schema: String,
    codec: Codec,
    os: Os,
}

impl AvroRows {
    pub(super) fn new(os: &Os, schema: &SchemaRef, options: &Options) -> Result<AvroRows, String> {
        let text = avro_file_schema(options, schema).map_err(|error| error.to_string())?;
        let codec = options.text("codec").and_then(Codec::lookup).unwrap_or(Codec::Snappy);
        Ok(AvroRows { schema: text, codec, os: os.clone() })
    }

    /// Begins a file.
    pub(super) fn create(&self, file: Arc<dyn GrowingFile>) -> io::Result<AvroFile> {
        let mut mark = [0; MARK_BYTES];
        self.os.random.fill(&mut mark);
        let head = Head { schema: self.schema.clone(), codec: self.codec, mark };
        let bytes = head.bytes();
        file.append(&bytes)?;
        Ok(AvroFile { file, written: bytes.len() as u64, head, block: Vec::new(), rows: 0 })
    }
}

/// What a table's options must not say where its files are of Avro.
pub(super) fn check(options: &Options) -> Result<(), String> {
    match options.text("encoding") {
        Some("json") => Err("files of Avro have the binary encoding; leave out 'avro.encoding'".into()),
        _ => Ok(()),
    }
}

/// A file that is being written.
pub(super) struct AvroFile {
    file: Arc<dyn GrowingFile>,
    written: u64,
    head: Head,
    block: Vec<u8>,
    rows: i64,
}

impl AvroFile {
    /// Appends a row in the binary encoding.
    pub(super) fn append(&mut self, row: &[u8]) -> io::Result<()> {
        self.block.extend_from_slice(row);
        self.rows += 1;
        if self.block.len() < BLOCK_BYTES { Ok(()) } else { self.flush() }
    }

    /// Writes the rows that wait as a block.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(self.block.len() + 32);
        write_long(self.rows, &mut bytes);
        write_bytes(&self.head.codec.pack(&self.block)?, &mut bytes);
        bytes.extend_from_slice(&self.head.mark);
        self.file.append(&bytes)?;
        self.written += bytes.len() as u64;
        self.block.clear();
        self.rows = 0;
        Ok(())
    }

    /// Its length so far, with what waits in memory.
    pub(super) fn bytes(&self) -> u64 {
        self.written + self.block.len() as u64
    }
}

/// The schema in a file's head.
#[cfg(test)]
pub(crate) fn schema_of(path: &std::path::Path) -> serde_json::Value {
    let mut input = BufReader::new(std::fs::File::open(path).expect("the file is there"));
    serde_json::from_str(&Head::read(&mut input).expect("it has a head").schema).expect("its schema is JSON")
}
