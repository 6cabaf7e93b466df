//! What of a job's past can be run again: snapshots that newer ones have replaced, each with the steps that followed it.
//!
//! The journal needs the last snapshot and the steps behind it, and drops what came before. Where the job's owner wants
//! to look further back, the snapshot before stays, and its steps go into a file beside it: a chapter. Nothing depends on
//! it: a chapter that cannot be written or read is left out, and never stops the job.

use crate::ENGINE_VERSION;
use crate::coordinates::ScanSplits;
use crate::journal::{JournalState, SnapshotRecord, StepRecord};
use crate::state_folder::{StateFolder, read_file, read_manifest};
use base::codec::{CodecError, FieldReader, FieldWriter};
use os::Os;
use state::Manifest;
use std::path::Path;

/// The name of a chapter ends so; in front of it stands the step that its snapshot covers.
pub(crate) const EXTENSION: &str = ".steps";

const MAGIC: &str = "eventwright steps 1";

/// A snapshot and the steps from it to the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chapter {
    pub(crate) instance: u64,
    pub(crate) engine_version: u32,
    pub(crate) plan: u64,
    pub(crate) scans: Vec<ScanSplits>,
    /// None where the job began.
    pub(crate) snapshot: Option<SnapshotRecord>,
    /// Oldest first.
    pub(crate) steps: Vec<StepRecord>,
}

impl Chapter {
    /// What a new snapshot, which covers `step`, makes the past.
    pub(crate) fn of(state: &JournalState, step: u64) -> Chapter {
        Chapter {
            instance: state.instance,
            engine_version: state.engine_version,
            plan: state.plan,
            scans: state.scans.clone(),
            snapshot: state.snapshot.clone(),
            steps: state.steps.iter().filter(|own| own.number <= step).cloned().collect(),
        }
    }

    /// The step before its first one.
    pub(crate) fn step(&self) -> u64 {
        self.snapshot.as_ref().map_or(0, |snapshot| snapshot.step)
    }

    pub(crate) fn name(step: u64) -> String {
        format!("{step:020}{EXTENSION}")
    }

    /// Whether the job could be run again from here by this program.
    fn fits(&self, state: &JournalState) -> bool {
        let same = (self.instance, self.plan, &self.scans) == (state.instance, state.plan, &state.scans);
        let mut next = self.step();
        let is_whole = self.steps.iter().all(|step| {
            next += 1;
            step.number == next
        });
        same && is_whole && self.engine_version == ENGINE_VERSION
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        out.text(MAGIC).u64(self.instance).u32(self.engine_version).u64(self.plan);
        out.u32(self.scans.len() as u32);
        self.scans.iter().for_each(|scan| scan.encode(&mut out));
        out.u8(self.snapshot.is_some().into());
        if let Some(snapshot) = &self.snapshot {
            snapshot.encode(&mut out);
        }
        out.u32(self.steps.len() as u32);
        self.steps.iter().for_each(|step| step.encode(&mut out));
        let mut bytes = out.finish();
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Chapter, CodecError> {
        let (content, checksum) =
            bytes.split_last_chunk::<4>().ok_or(CodecError { what: "the steps are cut off" })?;
        if crc32c::crc32c(content).to_le_bytes() != *checksum {
            return Err(CodecError { what: "the checksum of the steps does not fit" });
        }
        let mut reader = FieldReader::new(content);
        if reader.text()? != MAGIC {
            return Err(CodecError { what: "the steps are of another version" });
        }
        let (instance, engine_version, plan) = (reader.u64()?, reader.u32()?, reader.u64()?);
        let scans =
            (0..reader.count(8)?).map(|_| ScanSplits::decode(&mut reader)).collect::<Result<_, _>>()?;
        let snapshot = if reader.u8()? != 0 { Some(SnapshotRecord::decode(&mut reader)?) } else { None };
        let steps =
            (0..reader.count(28)?).map(|_| StepRecord::decode(&mut reader)).collect::<Result<_, _>>()?;
        reader.finish()?;
        Ok(Chapter { instance, engine_version, plan, scans, snapshot, steps })
    }

    /// Writes the chapter beside its snapshot, whole or not at all.
    pub(crate) fn write(&self, os: &Os, folder: &Path) -> Result<(), state::StateError> {
        state::snapshot::write_whole(&os.disk, &folder.join(Chapter::name(self.step())), &self.encode())
    }
}

/// The chapters of a folder that fit the job, oldest first, with the manifests of their snapshots.
pub(crate) fn chapters(
    os: &Os,
    folder: &StateFolder,
    state: &JournalState,
) -> Vec<(Chapter, Option<Manifest>)> {
    let names = os.disk.list(folder.path()).unwrap_or_default();
    let read = |name: &String| {
        let chapter = Chapter::decode(&read_file(os, &folder.path().join(name)).ok()?).ok()?;
        let manifest = match &chapter.snapshot {
            Some(snapshot) => Some(read_manifest(os, &folder.path().join(&snapshot.file)).ok()?),
            None => None,
        };
        let runs = manifest.iter().flat_map(Manifest::run_names);
        let is_there = runs.into_iter().all(|run| os.disk.exists(&folder.path().join(run)).unwrap_or(false));
        (is_there && chapter.fits(state)).then_some((chapter, manifest))
    };
    let mut found: Vec<_> = names.iter().filter(|name| name.ends_with(EXTENSION)).filter_map(read).collect();
    found.sort_by_key(|(chapter, _)| chapter.step());
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinates::{Cursor, Range};
    use crate::journal::Counts;
    use dataflow::source::{Position, Split};

    fn chapter(snapshot: Option<u64>) -> Chapter {
        let split =
            Split { id: "orders/0".into(), start: Position(0), end: None, fingerprint: String::new() };
        let range =
            Range { scan: 0, split: 0, from: Position(3), to: Position(5), finished: false, idle: false };
        let first = snapshot.unwrap_or(0) + 1;
        let step = |number| StepRecord {
            number,
            clock_ms: 7,
            ranges: vec![range],
            output_hash: 9,
            counts: Counts::default(),
        };
        let cursors = vec![Cursor { scan: 0, split: 0, position: Position(3), finished: false }];
        Chapter {
            instance: 1,
            engine_version: ENGINE_VERSION,
            plan: 2,
            scans: vec![ScanSplits { scan: 0, splits: vec![split] }],
            snapshot: snapshot.map(|step| SnapshotRecord {
                step,
                clock_ms: 6,
                file: format!("{step:020}.snapshot"),
                cursors,
            }),
            steps: vec![step(first), step(first + 1)],
        }
    }

    #[test]
    fn chapters_come_back_from_their_bytes_and_damage_is_noticed() {
        for chapter in [chapter(None), chapter(Some(256))] {
            let bytes = chapter.encode();
            assert_eq!(Chapter::decode(&bytes), Ok(chapter));
            (0..bytes.len()).for_each(|length| assert!(Chapter::decode(&bytes[..length]).is_err()));
            for place in 0..bytes.len() {
                let mut other = bytes.clone();
                other[place] ^= 1;
                assert!(Chapter::decode(&other).is_err());
            }
        }
        assert_eq!(Chapter::name(chapter(Some(256)).step()), "00000000000000000256.steps");
    }
}
