//! The journal in a checkpoint of the log: the state of all jobs.

use super::{Counts, FeedPosition, Journal, JournalState, SnapshotRecord, StepRecord};
use crate::coordinates::ScanSplits;
use crate::operators;
use base::codec::{CodecError, FieldReader, FieldWriter};
use eventlog::Fold;
use std::collections::BTreeMap;

/// All jobs, by name.
pub(super) fn decode(bytes: &[u8]) -> Result<BTreeMap<String, JournalState>, CodecError> {
    let mut jobs = BTreeMap::new();
    let mut reader = FieldReader::new(bytes);
    for _ in 0..reader.count(16)? {
        let name = reader.text()?;
        jobs.insert(name, decode_state(&mut reader)?);
    }
    // Checkpoints from before there were feeds end here.
    if !reader.is_empty() {
        decode_feeds(&mut reader, &mut jobs)?;
    }
    // And those from before jobs could be changed here.
    if !reader.is_empty() {
        decode_operators(&mut reader, &mut jobs)?;
    }
    reader.finish()?;
    Ok(jobs)
}

impl Fold for Journal {
    fn checkpoint(&self, out: &mut Vec<u8>) {
        let jobs = self.lock();
        let mut writer = FieldWriter::new();
        writer.u32(jobs.len() as u32);
        for (name, state) in jobs.iter() {
            writer.text(name);
            encode_state(state, &mut writer);
        }
        for state in jobs.values() {
            writer.u32(state.feeds.len() as u32);
            state.feeds.values().for_each(|feed| feed.encode(&mut writer));
        }
        for state in jobs.values() {
            operators::encode_all(&state.operators, &mut writer);
            writer.u32(state.next_tag).u64(state.changed_step).u32(state.former_scans.len() as u32);
            state.former_scans.iter().for_each(|scan| scan.encode(&mut writer));
        }
        out.extend_from_slice(&writer.finish());
    }
}

/// The feeds of all jobs, in their order.
fn decode_feeds(
    reader: &mut FieldReader<'_>,
    jobs: &mut BTreeMap<String, JournalState>,
) -> Result<(), CodecError> {
    for state in jobs.values_mut() {
        for _ in 0..reader.count(FeedPosition::ENCODED_BYTES)? {
            let feed = FeedPosition::decode(reader)?;
            state.feeds.insert(feed.scan, feed);
        }
    }
    Ok(())
}

/// The operators of all jobs, in their order.
fn decode_operators(
    reader: &mut FieldReader<'_>,
    jobs: &mut BTreeMap<String, JournalState>,
) -> Result<(), CodecError> {
    for state in jobs.values_mut() {
        state.operators = operators::decode_all(reader)?;
        (state.next_tag, state.changed_step) = (reader.u32()?, reader.u64()?);
        state.former_scans =
            (0..reader.count(8)?).map(|_| ScanSplits::decode(reader)).collect::<Result<_, _>>()?;
    }
    Ok(())
}

fn encode_state(state: &JournalState, out: &mut FieldWriter) {
    out.u64(state.instance)
        .u32(state.engine_version)
        .u64(state.plan)
        .u64(state.origin)
        .u64(state.last_step)
        .u8(state.finished.into());
    out.u32(state.scans.len() as u32);
    state.scans.iter().for_each(|scan| scan.encode(out));
    out.u8(state.snapshot.is_some().into());
    if let Some(snapshot) = &state.snapshot {
        snapshot.encode(out);
    }
    out.u32(state.steps.len() as u32);
    state.steps.iter().for_each(|step| step.encode(out));
    state.counts.encode(out);
}

fn decode_state(reader: &mut FieldReader<'_>) -> Result<JournalState, CodecError> {
    let instance = reader.u64()?;
    let engine_version = reader.u32()?;
    let plan = reader.u64()?;
    let origin = reader.u64()?;
    let last_step = reader.u64()?;
    let finished = reader.u8()? != 0;
    let scans = (0..reader.count(8)?).map(|_| ScanSplits::decode(reader)).collect::<Result<_, _>>()?;
    let snapshot = if reader.u8()? != 0 { Some(SnapshotRecord::decode(reader)?) } else { None };
    let steps = (0..reader.count(28)?).map(|_| StepRecord::decode(reader)).collect::<Result<_, _>>()?;
    let counts = Counts::decode(reader)?;
    Ok(JournalState {
        instance,
        engine_version,
        plan,
        origin,
        scans,
        snapshot,
        steps,
        last_step,
        counts,
        finished,
        feeds: BTreeMap::new(),
        operators: Vec::new(),
        next_tag: 0,
        changed_step: 0,
        former_scans: Vec::new(),
    })
}
