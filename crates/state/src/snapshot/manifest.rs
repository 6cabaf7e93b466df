//! The manifest of a snapshot as bytes: sections, tables, a checksum over everything.

use super::UNKEYED;
use crate::error::StateError;
use crate::key_group::KEY_GROUPS;
use crate::table::TableId;
use base::codec::{CodecError, FieldReader, FieldWriter};
use std::collections::BTreeMap;
use std::ops::Range;

const MAGIC: &[u8; 8] = b"EWSTATE\0";

/// Raise it whenever the meaning of the bytes changes. 3: owners are tags, which outlive the plan. 4: an operator may
/// have tables that older programs do not look for. 5: rows that are kept have bytes of their own.
pub const FORMAT_VERSION: u32 = 5;

/// The oldest format that is read. In 2 owners were the numbers of nodes, which are the tags of a job that was never
/// changed.
const FORMAT_VERSION_MIN: u32 = 2;

const HEADER_BYTES: usize = 8 + 4;
const CHECKSUM_BYTES: usize = 4;

/// What a snapshot consists of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Names the plan whose state this is.
    pub fingerprint: u64,
    /// By owner and part.
    pub(crate) sections: BTreeMap<(u32, u32), Vec<u8>>,
    pub(crate) tables: Vec<TableManifest>,
}

/// A worker's part of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableManifest {
    pub id: TableId,
    pub groups: Range<usize>,
    /// What the table says of itself.
    pub meta: Vec<u8>,
    /// Newest first: the key groups that count, and the run's number.
    pub runs: Vec<(Range<usize>, u64)>,
}

impl Manifest {
    pub fn section(&self, owner: u32, part: u32) -> Option<&[u8]> {
        self.sections.get(&(owner, part)).map(Vec::as_slice)
    }

    /// The section of an owner that is not keyed.
    pub fn unkeyed(&self, owner: u32) -> Option<&[u8]> {
        self.section(owner, UNKEYED)
    }

    /// The numbers of all runs, ascending.
    pub fn numbers(&self) -> Vec<u64> {
        let mut numbers: Vec<u64> =
            self.tables.iter().flat_map(|table| table.runs.iter().map(|(_, number)| *number)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// The names of the runs' files.
    pub fn run_names(&self) -> Vec<String> {
        self.numbers().into_iter().map(crate::store::run_name).collect()
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut body = FieldWriter::new();
        body.u64(self.fingerprint).u32(self.sections.len() as u32);
        for ((owner, part), bytes) in &self.sections {
            body.u32(*owner).u32(*part).bytes(bytes);
        }
        body.u32(self.tables.len() as u32);
        for table in &self.tables {
            body.u32(table.id.owner).u32(table.id.table);
            write_groups(&mut body, &table.groups);
            body.bytes(&table.meta).u32(table.runs.len() as u32);
            for (groups, number) in &table.runs {
                write_groups(&mut body, groups);
                body.u64(*number);
            }
        }
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&body.finish());
        let checksum = crc32c::crc32c(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Checks the checksum, the version and every number.
    pub fn decode(bytes: &[u8]) -> Result<Manifest, StateError> {
        if bytes.len() < HEADER_BYTES + CHECKSUM_BYTES || &bytes[..8] != MAGIC {
            return Err(StateError::damaged("it does not begin as a snapshot does"));
        }
        let (content, checksum) = bytes.split_at(bytes.len() - CHECKSUM_BYTES);
        if crc32c::crc32c(content).to_le_bytes() != checksum {
            return Err(StateError::damaged("its checksum does not fit"));
        }
        let version = content[8..].first_chunk().map_or(0, |version| u32::from_le_bytes(*version));
        if !(FORMAT_VERSION_MIN..=FORMAT_VERSION).contains(&version) {
            return Err(StateError::Version { found: version, known: FORMAT_VERSION });
        }
        let mut reader = FieldReader::new(&content[HEADER_BYTES..]);
        let fingerprint = reader.u64()?;
        let mut sections = BTreeMap::new();
        for _ in 0..reader.count(12)? {
            let place = (reader.u32()?, reader.u32()?);
            if sections.last_key_value().is_some_and(|(last, _)| *last >= place) {
                return Err(StateError::damaged("its sections are out of order"));
            }
            sections.insert(place, reader.bytes()?.to_vec());
        }
        let tables = (0..reader.count(24)?).map(|_| read_table(&mut reader)).collect::<Result<_, _>>()?;
        reader.finish()?;
        Ok(Manifest { fingerprint, sections, tables })
    }
}

fn write_groups(out: &mut FieldWriter, groups: &Range<usize>) {
    out.u32(groups.start as u32).u32(groups.end as u32);
}

fn read_groups(reader: &mut FieldReader<'_>) -> Result<Range<usize>, CodecError> {
    let (start, end) = (reader.u32()? as usize, reader.u32()? as usize);
    if start > end || end > KEY_GROUPS {
        return Err(CodecError { what: "key groups are out of range" });
    }
    Ok(start..end)
}

fn read_table(reader: &mut FieldReader<'_>) -> Result<TableManifest, CodecError> {
    let id = TableId { owner: reader.u32()?, table: reader.u32()? };
    let groups = read_groups(reader)?;
    let meta = reader.bytes()?.to_vec();
    let run = |reader: &mut FieldReader<'_>| Ok((read_groups(reader)?, reader.u64()?));
    let runs = (0..reader.count(16)?).map(|_| run(reader)).collect::<Result<_, CodecError>>()?;
    Ok(TableManifest { id, groups, meta, runs })
}
