//! What a process does for the jobs that the journal knows, before any of them is taken up.
//!
//! * Pins live in memory. A job that is unfinished keeps what it needs of the log also while it is not running: nobody
//!   may have submitted it yet, or a target that it needs first is away. The splits of the log's own topics are known
//!   by their names (`topic/3`); once the job runs, it pins by itself and these pins end.
//! * A job's state goes with its end. What a crash between the two left over is removed.

use crate::coordinates::{Cursor, Range};
use crate::debug;
use crate::journal::{Journal, JournalState};
use crate::outbox;
use crate::state_folder::StateFolder;
use crate::topics;
use base::{Offset, PartitionId};
use dataflow::plan::Plan;
use dataflow::source::{Position, Split};
use eventlog::EventLog;
use os::Os;
use std::collections::BTreeMap;
use std::path::Path;

pub(crate) fn take_over(log: &EventLog, os: &Os, data: &Path, journal: &Journal) {
    debug::clear(os, data);
    let jobs = journal.jobs();
    for (job, is_finished) in jobs {
        if is_finished {
            clear(log, os, data, &job);
        } else if let Some(state) = journal.job(&job) {
            for (partition, from) in needed(log, &state) {
                log.pin(&owner(&job), partition, Some(from));
            }
            for (partition, from) in outboxes(log, &job) {
                log.pin(&outbox::pin(&job), partition, Some(from));
            }
        }
    }
}

/// Removes what a job has left that has ended.
pub(crate) fn clear(log: &EventLog, os: &Os, data: &Path, job: &str) {
    // What cannot be removed now stays until the next start; nobody reads it.
    let _ = StateFolder::open(os, data, job).map(|folder| folder.clear());
    let _ = topics::remove(log, job);
}

/// Gives up all that a job has pinned, whether it has run in this process or not.
pub(crate) fn release(log: &EventLog, job: &str) {
    for partition in log.topics().iter().flat_map(|topic| &topic.partitions) {
        for owner in [owner(job), running(job), outbox::pin(job)] {
            log.pin(&owner, *partition, None);
        }
    }
}

/// The job runs and has pinned what it needs. Its outboxes stay pinned until their targets have said where they are.
pub(crate) fn unpin(log: &EventLog, job: &str, state: &JournalState) {
    for (partition, _) in needed(log, state) {
        log.pin(&owner(job), partition, None);
    }
}

/// Keeps what a job will need that is about to be journalled so, along with what it needs as it is. It has been pinned
/// when it is journalled: from then on retention may be looked at before the job is open.
pub(crate) fn hold(log: &EventLog, job: &str, states: &[&JournalState]) {
    let mut lowest: BTreeMap<PartitionId, Offset> = BTreeMap::new();
    for (partition, from) in states.iter().flat_map(|state| needed(log, state)) {
        let known = lowest.entry(partition).or_insert(from);
        *known = from.min(*known);
    }
    for (partition, from) in lowest {
        log.pin(&owner(job), partition, Some(from));
    }
}

/// Gives up what the job needed for scans that it does not have any more.
pub(crate) fn unpin_dropped(log: &EventLog, job: &str, before: &JournalState, plan: &Plan) {
    let partitions = |is_wanted: &dyn Fn(u32) -> bool| -> Vec<PartitionId> {
        let scans = before.scans.iter().filter(|scan| is_wanted(scan.scan));
        scans.flat_map(|scan| &scan.splits).filter_map(|split| partition_of(log, split)).collect()
    };
    let read_on = partitions(&|tag| plan.tagged(tag).is_some());
    for partition in partitions(&|tag| plan.tagged(tag).is_none()) {
        if !read_on.contains(&partition) {
            log.pin(&owner(job), partition, None);
            log.pin(&running(job), partition, None);
        }
    }
}

/// Under which the input of a job is pinned that does not run.
fn owner(job: &str) -> String {
    format!("unfinished job {job}")
}

/// The same of one that runs, or has run in this process.
pub(crate) fn running(job: &str) -> String {
    format!("job {job}")
}

/// What a recovery reads: from its last snapshot on, or from its start.
fn needed(log: &EventLog, state: &JournalState) -> Vec<(PartitionId, Offset)> {
    lowest(log, state, |scan, index, split| {
        let cursor = snapshot_cursor(state, scan, index);
        match cursor {
            Some(cursor) if cursor.finished => None,
            Some(cursor) => Some(cursor.position),
            None => Some(split.start),
        }
    })
}

/// Up to where the steps that are in the log have read the log's own topics.
pub(crate) fn taken(log: &EventLog, state: &JournalState) -> Vec<(PartitionId, Offset)> {
    lowest(log, state, |scan, index, _| {
        let (position, finished) = place(state, scan, index);
        (!finished).then_some(position)
    })
}

/// Where a split is behind the last step, and whether nothing follows.
pub(crate) fn place(state: &JournalState, scan: u32, index: u32) -> (Position, bool) {
    let is_it = |range: &&Range| range.scan == scan && range.split == index;
    let range = state.steps.iter().rev().find_map(|step| step.ranges.iter().find(is_it));
    match (range, snapshot_cursor(state, scan, index)) {
        (Some(range), _) => (range.to, range.finished),
        (None, Some(cursor)) => (cursor.position, cursor.finished),
        (None, None) => {
            let scan = state.scans.iter().find(|splits| splits.scan == scan);
            let split = scan.and_then(|scan| scan.splits.get(index as usize));
            (split.map_or(Position(0), |split| split.start), false)
        }
    }
}

/// The partition of the log that a split reads, if it is one.
pub(crate) fn partition_of(log: &EventLog, split: &Split) -> Option<PartitionId> {
    let (topic, number) = split.id.rsplit_once('/')?;
    log.topic(topic)?.partitions.get(number.parse::<usize>().ok()?).copied()
}

fn snapshot_cursor(state: &JournalState, scan: u32, split: u32) -> Option<&Cursor> {
    let mut cursors = state.snapshot.iter().flat_map(|snapshot| &snapshot.cursors);
    cursors.find(|cursor| cursor.scan == scan && cursor.split == split)
}

/// The lowest place of each partition of the log that the job reads; splits without one are left out.
fn lowest(
    log: &EventLog,
    state: &JournalState,
    place: impl Fn(u32, u32, &Split) -> Option<Position>,
) -> Vec<(PartitionId, Offset)> {
    let mut lowest: Vec<(PartitionId, Offset)> = Vec::new();
    for scan in &state.scans {
        for (index, split) in (0..).zip(&scan.splits) {
            let place = place(scan.scan, index, split);
            let (Some(partition), Some(from)) = (partition_of(log, split), place) else { continue };
            let from = Offset(from.0);
            match lowest.iter_mut().find(|(known, _)| *known == partition) {
                Some((_, known)) => *known = from.min(*known),
                None => lowest.push((partition, from)),
            }
        }
    }
    lowest
}

/// Nobody but the targets knows what they still need.
fn outboxes(log: &EventLog, job: &str) -> Vec<(PartitionId, Offset)> {
    let prefix = outbox::topic_prefix(job);
    let mut found = Vec::new();
    let is_outbox = |name: &str| name.strip_prefix(&prefix).is_some_and(|sink| sink.parse::<usize>().is_ok());
    for topic in log.topics().into_iter().filter(|topic| is_outbox(&topic.name)) {
        for partition in &topic.partitions {
            if let Ok(bounds) = log.bounds(*partition) {
                found.push((*partition, bounds.log_start));
            }
        }
    }
    found
}
