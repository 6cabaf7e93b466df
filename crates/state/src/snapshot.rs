//! Snapshots as bytes: a header, sections addressed by owner and part, a checksum over everything.
//!
//! An owner is an operator (or the engine itself), a part is a key group or a piece that is not keyed.
//! Sections stand in ascending order, so that the same state gives the same bytes; later versions can
//! write only the sections that changed.

use crate::error::StateError;

const MAGIC: &[u8; 8] = b"EWSTATE\0";

/// Raise it whenever the meaning of the bytes changes.
pub const FORMAT_VERSION: u32 = 1;

/// The part number of a section that belongs to no key group.
pub const UNKEYED: u32 = u32::MAX;

const HEADER_BYTES: usize = 8 + 4 + 8;
const SECTION_HEADER_BYTES: usize = 4 + 4 + 8;
const CHECKSUM_BYTES: usize = 4;

/// Collects sections and closes them into one byte string.
#[derive(Debug)]
pub struct SnapshotWriter {
    fingerprint: u64,
    sections: Vec<(u32, u32, Vec<u8>)>,
}

impl SnapshotWriter {
    /// `fingerprint` names the plan whose state this is.
    pub fn new(fingerprint: u64) -> SnapshotWriter {
        SnapshotWriter { fingerprint, sections: Vec::new() }
    }

    /// Adds a section; an owner's part is written once.
    pub fn section(&mut self, owner: u32, part: u32, bytes: Vec<u8>) {
        self.sections.push((owner, part, bytes));
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.sections.sort_by_key(|(owner, part, _)| (*owner, *part));
        let body: usize = self.sections.iter().map(|(_, _, bytes)| SECTION_HEADER_BYTES + bytes.len()).sum();
        let mut out = Vec::with_capacity(HEADER_BYTES + body + CHECKSUM_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&self.fingerprint.to_le_bytes());
        for (owner, part, bytes) in &self.sections {
            out.extend_from_slice(&owner.to_le_bytes());
            out.extend_from_slice(&part.to_le_bytes());
            out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            out.extend_from_slice(bytes);
        }
        let checksum = crc32c::crc32c(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }
}

/// One section of a snapshot.
#[derive(Debug, Clone, Copy)]
pub struct Section<'a> {
    pub owner: u32,
    pub part: u32,
    pub bytes: &'a [u8],
}

/// A snapshot taken apart; borrows the bytes.
#[derive(Debug)]
pub struct SnapshotReader<'a> {
    pub fingerprint: u64,
    sections: Vec<Section<'a>>,
}

impl<'a> SnapshotReader<'a> {
    /// Checks the checksum, the version and the bounds of every section.
    pub fn open(bytes: &'a [u8]) -> Result<SnapshotReader<'a>, StateError> {
        if bytes.len() < HEADER_BYTES + CHECKSUM_BYTES || &bytes[..8] != MAGIC {
            return Err(StateError::damaged("it does not begin as a snapshot does"));
        }
        let (content, checksum) = bytes.split_at(bytes.len() - CHECKSUM_BYTES);
        if crc32c::crc32c(content).to_le_bytes() != checksum {
            return Err(StateError::damaged("its checksum does not fit"));
        }
        let version = u32::from_le_bytes(field(content, 8)?);
        if version != FORMAT_VERSION {
            return Err(StateError::Version { found: version, known: FORMAT_VERSION });
        }
        let fingerprint = u64::from_le_bytes(field(content, 12)?);
        let mut sections: Vec<Section<'a>> = Vec::new();
        let mut rest = &content[HEADER_BYTES..];
        while !rest.is_empty() {
            let owner = u32::from_le_bytes(field(rest, 0)?);
            let part = u32::from_le_bytes(field(rest, 4)?);
            let length = u64::from_le_bytes(field(rest, 8)?);
            let body = &rest[SECTION_HEADER_BYTES..];
            let length = usize::try_from(length).ok().filter(|length| *length <= body.len());
            let length =
                length.ok_or_else(|| StateError::damaged("a section is longer than the snapshot"))?;
            if sections.last().is_some_and(|last| (last.owner, last.part) >= (owner, part)) {
                return Err(StateError::damaged("its sections are out of order"));
            }
            sections.push(Section { owner, part, bytes: &body[..length] });
            rest = &body[length..];
        }
        Ok(SnapshotReader { fingerprint, sections })
    }

    /// The sections of an owner, by part.
    pub fn sections_of(&self, owner: u32) -> impl Iterator<Item = Section<'a>> + '_ {
        self.sections.iter().copied().filter(move |section| section.owner == owner)
    }

    pub fn section(&self, owner: u32, part: u32) -> Option<&'a [u8]> {
        self.sections_of(owner).find(|section| section.part == part).map(|section| section.bytes)
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], StateError> {
    let field = bytes.get(at..at + N).and_then(|field| field.try_into().ok());
    field.ok_or_else(|| StateError::damaged("it ends too early"))
}
