//! Where a record came from and where it went: the step that wrote it, and the steps that took it.
//!
//! A step's record lies in the frame of all that the step wrote, and says which range it took of each input. So nothing is
//! kept for this: backwards it is one frame of the log, forwards the frames behind the record's own. What a step kept in
//! its state and a later one gave out, the log does not tell; the later steps of these jobs are named, for whoever can tell
//! by the records themselves.

use crate::coordinates::ScanSplits;
use crate::job::Runtime;
use crate::journal::{Journal, LAYER, Record, StepRecord};
use base::{Lsn, Offset, PartitionId};
use eventlog::{EventLog, FramesEnd, LogError, WrittenFrame};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Bytes of the log that are looked through behind the record.
const BYTES_MAX: u64 = 512 << 20;
/// Steps that took the record.
const TAKEN_MAX: usize = 100;
/// Steps of the same jobs that came after these and wrote something.
const LATER_MAX: usize = 1_000;

/// One step of a job, as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedStep {
    pub job: String,
    pub number: u64,
    /// The step's clock.
    pub clock_ms: i64,
    pub lsn: Lsn,
    /// Nothing where the job has begun anew since: which inputs the numbers meant is not known any more.
    pub inputs: Vec<Stretch>,
    /// With dead letters, and with what lies ready for outside systems.
    pub outputs: Vec<Stretch>,
}

/// A range of one input or output, its end excluded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    pub of: Place,
    pub from: i64,
    pub to: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Partition {
        topic: String,
        index: u32,
    },
    /// A split of another input, by its id; positions are its own.
    Split(String),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lineage {
    /// The frame of the record; none where compaction has copied it out of its frame, and nothing is known then.
    pub lsn: Option<Lsn>,
    pub appended_ms: i64,
    pub written_by: Option<LoggedStep>,
    /// The job whose source brought it from an outside system.
    pub fed_by: Option<String>,
    pub taken_by: Vec<LoggedStep>,
    /// Steps that came behind them, of the same jobs, with outputs.
    pub later: Vec<LoggedStep>,
    /// All of the log behind the record was looked through.
    pub is_whole: bool,
}

impl Runtime {
    /// The steps around a durable record.
    pub fn lineage(&self, partition: PartitionId, offset: Offset) -> Result<Lineage, LogError> {
        around(&self.log, self.journal(), partition, offset)
    }
}

pub(crate) fn around(
    log: &EventLog,
    journal: &Journal,
    partition: PartitionId,
    offset: Offset,
) -> Result<Lineage, LogError> {
    let Some(place) = log.frame_of(partition, offset)? else { return Ok(Lineage::default()) };
    let Some((topic, index)) = log.partition_topic(partition) else {
        return Err(LogError::NotFound(format!("partition={partition} does not exist")));
    };
    let scans = journal.jobs().into_iter().filter_map(|(name, _)| {
        let scans = journal.look(&name, |state| [&state.scans[..], &state.former_scans].concat())?;
        Some((name, scans))
    });
    let mut search = Search {
        log,
        split: format!("{}/{index}", topic.name),
        offset: offset.0,
        scans: scans.collect(),
        found: Lineage { lsn: Some(place.lsn), ..Lineage::default() },
    };
    let end = log.frames(&place, LAYER, BYTES_MAX, &mut |frame| {
        search.look(&frame);
        ControlFlow::Continue(())
    })?;
    search.found.is_whole = end == FramesEnd::Durable;
    Ok(search.found)
}

struct Search<'a> {
    log: &'a EventLog,
    /// What the record's partition is called as a split.
    split: String,
    offset: i64,
    /// By job.
    scans: BTreeMap<String, Vec<ScanSplits>>,
    found: Lineage,
}

impl Search<'_> {
    fn look(&mut self, frame: &WrittenFrame) {
        let is_own = self.found.lsn == Some(frame.lsn);
        if is_own {
            self.found.appended_ms = frame.appended_ms;
        }
        // What cannot be decoded was written by a later version, and is none of its steps.
        for record in frame.entries.iter().filter_map(|bytes| Record::decode(bytes).ok()) {
            match record {
                Record::Started { job, scans, .. } => self.begins_anew(job, scans),
                Record::Step { job, step } if is_own => {
                    self.found.written_by = Some(self.logged(&job, &step, frame));
                }
                Record::Step { job, step } => self.step(&job, &step, frame),
                Record::Fed { job, .. } if is_own => self.found.fed_by = Some(job),
                Record::Fed { .. }
                | Record::Snapshot { .. }
                | Record::Finished { .. }
                | Record::Operators { .. } => {}
                Record::Altered { job, change } => self.reads_others(job, change.scans),
            }
        }
    }

    /// The numbers of splits in the steps before meant others.
    fn begins_anew(&mut self, job: String, scans: Vec<ScanSplits>) {
        self.found.taken_by.retain(|step| step.job != job);
        self.found.later.retain(|step| step.job != job);
        if let Some(step) = self.found.written_by.as_mut().filter(|step| step.job == job) {
            step.inputs.clear();
        }
        self.scans.insert(job, scans);
    }

    /// Tags are never given twice: what the steps before have read stays known.
    fn reads_others(&mut self, job: String, scans: Vec<ScanSplits>) {
        let known = self.scans.entry(job).or_default();
        known.retain(|scan| scans.iter().all(|now| now.scan != scan.scan));
        known.extend(scans);
    }

    fn step(&mut self, job: &str, step: &StepRecord, frame: &WrittenFrame) {
        let takes = step.ranges.iter().any(|range| {
            (range.from.0..range.to.0).contains(&self.offset)
                && self.split_id(job, range.scan, range.split) == Some(&self.split)
        });
        if takes && self.found.taken_by.len() < TAKEN_MAX {
            let logged = self.logged(job, step, frame);
            self.found.taken_by.push(logged);
        } else if self.found.later.len() < LATER_MAX
            && !frame.batches.is_empty()
            && self.found.taken_by.iter().any(|taken| taken.job == job)
        {
            let logged = self.logged(job, step, frame);
            self.found.later.push(logged);
        }
    }

    fn split_id(&self, job: &str, scan: u32, split: u32) -> Option<&str> {
        let scan = self.scans.get(job)?.iter().find(|splits| splits.scan == scan)?;
        scan.splits.get(split as usize).map(|split| split.id.as_str())
    }

    fn logged(&self, job: &str, step: &StepRecord, frame: &WrittenFrame) -> LoggedStep {
        let inputs = step.ranges.iter().filter(|range| range.from != range.to).filter_map(|range| {
            let id = self.split_id(job, range.scan, range.split)?;
            Some(Stretch { of: place(self.log, id), from: range.from.0, to: range.to.0 })
        });
        LoggedStep {
            job: job.to_owned(),
            number: step.number,
            clock_ms: step.clock_ms,
            lsn: frame.lsn,
            inputs: inputs.collect(),
            outputs: written(self.log, frame),
        }
    }
}

/// What a split's id names.
pub(crate) fn place(log: &EventLog, id: &str) -> Place {
    let known = id.rsplit_once('/').and_then(|(name, index)| {
        let (topic, index) = (log.topic(name)?, index.parse::<u32>().ok()?);
        ((index as usize) < topic.partitions.len())
            .then(|| Place::Partition { topic: name.to_owned(), index })
    });
    known.unwrap_or_else(|| Place::Split(id.to_owned()))
}

/// What was written with a frame.
pub(crate) fn written(log: &EventLog, frame: &WrittenFrame) -> Vec<Stretch> {
    joined(frame.batches.iter().filter_map(|batch| {
        // A topic that is gone has no name.
        let (topic, index) = log.partition_topic(batch.partition)?;
        let of = Place::Partition { topic: topic.name.clone(), index };
        let from = batch.base_offset.0;
        Some(Stretch { of, from, to: from.saturating_add(batch.records.into()) })
    }))
}

/// Batches of one partition that follow each other are one stretch.
fn joined(stretches: impl Iterator<Item = Stretch>) -> Vec<Stretch> {
    let mut all: Vec<Stretch> = Vec::new();
    for stretch in stretches {
        match all.iter_mut().find(|one| one.of == stretch.of && one.to == stretch.from) {
            Some(one) => one.to = stretch.to,
            None => all.push(stretch),
        }
    }
    all
}
