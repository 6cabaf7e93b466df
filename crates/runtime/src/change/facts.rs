//! What is known of a job's inputs when it is changed: what of them can be read again.

use super::compare::{Again, ScanFacts};
use crate::coordinates::ScanSplits;
use crate::journal::JournalState;
use crate::startup;
use base::{Offset, PartitionId};
use dataflow::source::Split;
use eventlog::EventLog;

/// Of a scan of the job, by its tag.
pub(super) fn of_scan(log: &EventLog, state: &JournalState, tag: u32) -> ScanFacts {
    let Some(scan) = state.scans.iter().find(|scan| scan.scan == tag) else {
        let again = Again::No("is not known to the journal".into());
        return ScanFacts { again, finished: false };
    };
    let finished = (0..).zip(&scan.splits).all(|(split, _)| startup::place(state, tag, split).1);
    ScanFacts { again: again(log, state, scan), finished }
}

fn again(log: &EventLog, state: &JournalState, scan: &ScanSplits) -> Again {
    let (mut gone, mut compacted) = (0u64, false);
    for (index, split) in (0..).zip(&scan.splits) {
        let Some(partition) = startup::partition_of(log, split) else {
            match split.fingerprint.is_empty() {
                true => return Again::No("gives what it gives once, and does not lie in the log".into()),
                false => continue,
            }
        };
        let Ok(bounds) = log.bounds(partition) else {
            return Again::No("lies in a topic that is gone".into());
        };
        let to = startup::place(state, scan.scan, index).0.0;
        if bounds.end.0 < to {
            return Again::No("lies in a topic that was made anew since".into());
        }
        gone += u64::try_from(bounds.log_start.0.min(to) - split.start.0).unwrap_or(0);
        compacted |= is_compacted(log, split, bounds.clean_to);
    }
    match (gone, compacted) {
        (0, false) => Again::Whole,
        (0, true) => Again::Partly("what compaction has taken out".into()),
        (gone, _) => Again::Partly(format!("the first {gone} records, which are over their retention,")),
    }
}

fn is_compacted(log: &EventLog, split: &Split, clean_to: Offset) -> bool {
    let compacts = |topic: &eventlog::Topic| topic.config.cleanup_compact;
    let topic = split.id.rsplit_once('/').and_then(|(topic, _)| log.topic(topic));
    topic.is_some_and(|topic| compacts(&topic)) && clean_to.0 > split.start.0
}

/// Where reading a split again begins: at its start, or at the first record that is left.
pub(super) fn first_left(log: &EventLog, partition: Option<PartitionId>, split: &Split) -> i64 {
    let start = partition.and_then(|partition| log.bounds(partition).ok()).map(|bounds| bounds.log_start.0);
    split.start.0.max(start.unwrap_or(i64::MIN))
}
