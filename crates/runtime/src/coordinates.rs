//! Where a job's inputs are: the splits of each scan and the range that a step takes of them.

use base::codec::{CodecError, FieldReader, FieldWriter};
use dataflow::source::{Position, Split};

/// The splits of one scan, journalled when the job starts; a range names them by index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanSplits {
    /// The scan's tag ([`dataflow::plan::Plan::tag`]), here and below.
    pub scan: u32,
    pub splits: Vec<Split>,
}

/// What one step took of one split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub scan: u32,
    pub split: u32,
    pub from: Position,
    pub to: Position,
    /// No row follows in this split.
    pub finished: bool,
    /// Nothing came for so long that the split no longer holds the watermark back; the range is empty then.
    pub idle: bool,
}

const FINISHED: u8 = 1;
const IDLE: u8 = 2;

/// Where one split is after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub scan: u32,
    pub split: u32,
    pub position: Position,
    pub finished: bool,
}

impl ScanSplits {
    pub fn encode(&self, out: &mut FieldWriter) {
        out.u32(self.scan).u32(self.splits.len() as u32);
        for split in &self.splits {
            out.text(&split.id).i64(split.start.0).u8(split.end.is_some().into());
            out.i64(split.end.map_or(0, |end| end.0)).text(&split.fingerprint);
        }
    }

    pub fn decode(reader: &mut FieldReader<'_>) -> Result<ScanSplits, CodecError> {
        let scan = reader.u32()?;
        let count = reader.count(25)?;
        let mut splits = Vec::with_capacity(count);
        for _ in 0..count {
            let id = reader.text()?;
            let start = Position(reader.i64()?);
            let bounded = reader.u8()? != 0;
            let end = Position(reader.i64()?);
            splits.push(Split { id, start, end: bounded.then_some(end), fingerprint: reader.text()? });
        }
        Ok(ScanSplits { scan, splits })
    }
}

impl Range {
    pub fn encode(&self, out: &mut FieldWriter) {
        let flags = if self.finished { FINISHED } else { 0 } | if self.idle { IDLE } else { 0 };
        out.u32(self.scan).u32(self.split).i64(self.from.0).i64(self.to.0).u8(flags);
    }

    pub fn decode(reader: &mut FieldReader<'_>) -> Result<Range, CodecError> {
        let (scan, split) = (reader.u32()?, reader.u32()?);
        let (from, to) = (Position(reader.i64()?), Position(reader.i64()?));
        let flags = reader.u8()?;
        Ok(Range { scan, split, from, to, finished: flags & FINISHED != 0, idle: flags & IDLE != 0 })
    }

    /// The bytes that one encoded range takes.
    pub const ENCODED_BYTES: usize = 25;
}

impl Cursor {
    pub fn encode(&self, out: &mut FieldWriter) {
        out.u32(self.scan).u32(self.split).i64(self.position.0).u8(self.finished.into());
    }

    pub fn decode(reader: &mut FieldReader<'_>) -> Result<Cursor, CodecError> {
        Ok(Cursor {
            scan: reader.u32()?,
            split: reader.u32()?,
            position: Position(reader.i64()?),
            finished: reader.u8()? != 0,
        })
    }

    /// The bytes that one encoded cursor takes.
    pub const ENCODED_BYTES: usize = 17;
}
