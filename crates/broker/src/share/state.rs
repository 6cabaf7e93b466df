//! What share groups have worked off, and the log records it is a fold of.
//!
//! A share-partition is known by the log's own id of the partition, which is never used again: a topic that is made
//! anew begins anew. Records hold what is, not by how much it changed, so that replaying them over a checkpoint
//! that already holds them changes nothing.

use super::bell::Bell;
use super::partition::{Cause, Fate, Run, SharePartition};
use super::session::ShareSessions;
use crate::metrics::ShareCounts;
use crate::sync::lock;
use base::PartitionId;
use base::codec::{CodecError, FieldReader, FieldWriter};
use eventlog::{Entry, Fold, Layer};
use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

/// The name under which the log keeps the checkpoints.
pub const SHARE_LAYER: &str = "share";

const CHECKPOINT_VERSION: u8 = 1;
const UPDATED: u8 = 1;
const RESET: u8 = 2;
const PARTITIONS_FORGOTTEN: u8 = 3;
const GROUP_FORGOTTEN: u8 = 4;
const GROUP_KNOWN: u8 = 5;

const DONE: u8 = 0;
const AGAIN: u8 = 1;
const DEAD_REJECTED: u8 = 2;
const DEAD_LIMIT: u8 = 3;

/// First offset, count and fate.
const RUN_BYTES_MIN: usize = 13;
/// No writer makes a longer run: it is what one answer delivers, or what a group may hold back.
const RUN_RECORDS_MAX: u32 = 10_000_000;

/// What one log record changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShareChange {
    /// Records of a share-partition have these fates, and it has been looked at up to `end`.
    Updated {
        group: String,
        partition: PartitionId,
        end: i64,
        runs: Vec<Run>,
    },
    /// The group reads the partition from `start` on, whatever was before.
    Reset {
        group: String,
        partition: PartitionId,
        start: i64,
    },
    PartitionsForgotten {
        group: String,
        partitions: Vec<PartitionId>,
    },
    GroupForgotten {
        group: String,
    },
    /// Somebody has joined the group: its name is that of a share group from now on.
    GroupKnown {
        group: String,
    },
}

impl ShareChange {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        match self {
            ShareChange::Updated { group, partition, end, runs } => {
                out.u8(UPDATED).text(group).u32(partition.0).i64(*end);
                put_runs(&mut out, runs);
            }
            ShareChange::Reset { group, partition, start } => {
                out.u8(RESET).text(group).u32(partition.0).i64(*start);
            }
            ShareChange::PartitionsForgotten { group, partitions } => {
                out.u8(PARTITIONS_FORGOTTEN).text(group).u32(count_of(partitions.len()));
                for partition in partitions {
                    out.u32(partition.0);
                }
            }
            ShareChange::GroupForgotten { group } => {
                out.u8(GROUP_FORGOTTEN).text(group);
            }
            ShareChange::GroupKnown { group } => {
                out.u8(GROUP_KNOWN).text(group);
            }
        }
        out.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<ShareChange, CodecError> {
        let mut reader = FieldReader::new(bytes);
        let change = match reader.u8()? {
            UPDATED => {
                let (group, partition) = (reader.text()?, PartitionId(reader.u32()?));
                let end = reader.i64()?;
                ShareChange::Updated { group, partition, end, runs: runs(&mut reader)? }
            }
            RESET => {
                let (group, partition) = (reader.text()?, PartitionId(reader.u32()?));
                ShareChange::Reset { group, partition, start: reader.i64()? }
            }
            PARTITIONS_FORGOTTEN => {
                let group = reader.text()?;
                let partitions = (0..reader.count(4)?).map(|_| Ok(PartitionId(reader.u32()?)));
                ShareChange::PartitionsForgotten { group, partitions: partitions.collect::<Result<_, _>>()? }
            }
            GROUP_FORGOTTEN => ShareChange::GroupForgotten { group: reader.text()? },
            GROUP_KNOWN => ShareChange::GroupKnown { group: reader.text()? },
            _ => return Err(CodecError { what: "an unknown kind of share record" }),
        };
        reader.finish()?;
        Ok(change)
    }
}

fn put_runs(out: &mut FieldWriter, runs: &[Run]) {
    out.u32(count_of(runs.len()));
    for run in runs {
        let records = u32::try_from(run.last - run.first + 1).unwrap_or(u32::MAX);
        out.i64(run.first).u32(records);
        match run.fate {
            Fate::Done => drop(out.u8(DONE)),
            Fate::Again { deliveries, not_before_ms } => {
                out.u8(AGAIN).u32(deliveries.unsigned_abs().into()).i64(not_before_ms);
            }
            Fate::Dead { deliveries, cause } => {
                out.u8(if cause == Cause::Rejected { DEAD_REJECTED } else { DEAD_LIMIT });
                out.u32(deliveries.unsigned_abs().into());
            }
        }
    }
}

fn runs(reader: &mut FieldReader<'_>) -> Result<Vec<Run>, CodecError> {
    let mut runs = Vec::new();
    for _ in 0..reader.count(RUN_BYTES_MIN)? {
        let (first, records) = (reader.i64()?, reader.u32()?);
        let last = first.checked_add(i64::from(records) - 1);
        let last = last.filter(|_| (1..=RUN_RECORDS_MAX).contains(&records) && first >= 0);
        let last = last.ok_or(CodecError { what: "a run of records has an impossible length" })?;
        let kind = reader.u8()?;
        let mut deliveries = || -> Result<i16, CodecError> {
            i16::try_from(reader.u32()?).map_err(|_| CodecError { what: "a record has too many deliveries" })
        };
        let fate = match kind {
            DONE => Fate::Done,
            AGAIN => Fate::Again { deliveries: deliveries()?, not_before_ms: reader.i64()? },
            DEAD_REJECTED => Fate::Dead { deliveries: deliveries()?, cause: Cause::Rejected },
            DEAD_LIMIT => Fate::Dead { deliveries: deliveries()?, cause: Cause::DeliveryLimit },
            _ => return Err(CodecError { what: "a record has an unknown fate" }),
        };
        runs.push(Run { first, last, fate });
    }
    Ok(runs)
}

/// Counts come from requests of at most 100 MiB, so they fit.
fn count_of(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// All share groups that have read anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShareGroups {
    groups: BTreeMap<String, BTreeMap<PartitionId, SharePartition>>,
}

impl ShareGroups {
    /// The state of the last checkpoint; `None` is the state before the first entry.
    pub fn restore(checkpoint: Option<&[u8]>) -> Result<ShareGroups, CodecError> {
        let mut groups = ShareGroups::default();
        let Some(bytes) = checkpoint else { return Ok(groups) };
        let mut reader = FieldReader::new(bytes);
        if reader.u8()? != CHECKPOINT_VERSION {
            return Err(CodecError { what: "an unknown version of the checkpoint of share groups" });
        }
        for _ in 0..reader.count(8)? {
            let name = reader.text()?;
            let mut partitions = BTreeMap::new();
            for _ in 0..reader.count(16)? {
                let (id, start) = (PartitionId(reader.u32()?), reader.i64()?);
                let mut partition = SharePartition::new(start);
                partition.apply(start, &runs(&mut reader)?);
                partitions.insert(id, partition);
            }
            groups.groups.insert(name, partitions);
        }
        reader.finish()?;
        Ok(groups)
    }

    pub fn apply(&mut self, change: &ShareChange) {
        match change {
            ShareChange::Updated { group, partition, end, runs } => {
                if let Some(known) = self.partition_mut(group, *partition) {
                    known.apply(*end, runs);
                }
            }
            ShareChange::Reset { group, partition, start } => {
                let partitions = self.groups.entry(group.clone()).or_default();
                partitions.insert(*partition, SharePartition::new(*start));
            }
            ShareChange::PartitionsForgotten { group, partitions } => {
                if let Some(known) = self.groups.get_mut(group) {
                    known.retain(|partition, _| !partitions.contains(partition));
                }
            }
            ShareChange::GroupForgotten { group } => drop(self.groups.remove(group)),
            ShareChange::GroupKnown { group } => drop(self.groups.entry(group.clone()).or_default()),
        }
    }

    pub fn checkpoint(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        out.u8(CHECKPOINT_VERSION).u32(count_of(self.groups.len()));
        for (name, partitions) in &self.groups {
            out.text(name).u32(count_of(partitions.len()));
            for (id, partition) in partitions {
                out.u32(id.0).i64(partition.end());
                put_runs(&mut out, &partition.runs());
            }
        }
        out.finish()
    }

    pub fn group(&self, name: &str) -> Option<&BTreeMap<PartitionId, SharePartition>> {
        self.groups.get(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    pub fn partition(&self, group: &str, partition: PartitionId) -> Option<&SharePartition> {
        self.groups.get(group)?.get(&partition)
    }

    pub fn partition_mut(&mut self, group: &str, partition: PartitionId) -> Option<&mut SharePartition> {
        self.groups.get_mut(group)?.get_mut(&partition)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, PartitionId, &SharePartition)> {
        let groups = self.groups.iter();
        groups.flat_map(|(name, known)| known.iter().map(|(id, known)| (name.as_str(), *id, known)))
    }

    /// Forgets what belongs to partitions that are gone.
    pub fn retain_partitions(&mut self, mut exists: impl FnMut(PartitionId) -> bool) {
        for partitions in self.groups.values_mut() {
            partitions.retain(|id, _| exists(*id));
        }
    }
}

/// What the share groups have worked off, and who works now.
#[derive(Debug, Default)]
pub struct Shared {
    pub groups: ShareGroups,
    pub sessions: ShareSessions,
    /// When locks are to be looked at, in monotonic time: not later than the first of them ends.
    pub alarm_ms: Option<i64>,
    bells: HashMap<String, Bell>,
    /// When the bells become so many, those that nobody hears are forgotten.
    bells_sweep_at: usize,
    counts: HashMap<String, ShareCounts>,
}

/// So few bells are not worth a look.
const BELLS_SWEEP_MIN: usize = 64;

impl Shared {
    /// The bell of a group's fetches, for those that wait: it is there as long as one of them holds it. The names of
    /// groups are their clients' choice, and there is no end of them.
    pub fn bell(&mut self, group: &str) -> Bell {
        if let Some(bell) = self.bells.get(group) {
            return bell.clone();
        }
        if self.bells.len() >= self.bells_sweep_at.max(BELLS_SWEEP_MIN) {
            self.bells.retain(|_, bell| bell.is_held());
            self.bells_sweep_at = self.bells.len() * 2;
        }
        self.bells.entry(group.to_string()).or_default().clone()
    }

    /// Wakes the group's fetches.
    pub fn ring(&self, group: &str) {
        if let Some(bell) = self.bells.get(group) {
            bell.ring();
        }
    }

    /// There is something to do at this time; whether that is earlier than was known.
    pub fn alarm(&mut self, at_ms: i64) -> bool {
        let earlier = self.alarm_ms.is_none_or(|known| at_ms < known);
        if earlier {
            self.alarm_ms = Some(at_ms);
        }
        earlier
    }

    /// What became of a group's records so far.
    pub fn counts_of(&self, group: &str) -> ShareCounts {
        self.counts.get(group).copied().unwrap_or_default()
    }

    /// Where it is counted.
    pub fn counts(&mut self, group: &str) -> &mut ShareCounts {
        self.counts.entry(group.to_string()).or_default()
    }

    pub fn apply(&mut self, change: &ShareChange) {
        self.groups.apply(change);
        if let ShareChange::GroupForgotten { group } = change {
            self.bells.remove(group);
            self.counts.remove(group);
        }
    }
}

/// The same, as the log and the APIs share it. Lock order: the log's append lock first.
#[derive(Debug, Default)]
pub struct SharedShareGroups(pub Mutex<Shared>);

impl SharedShareGroups {
    pub fn new(groups: ShareGroups) -> SharedShareGroups {
        SharedShareGroups(Mutex::new(Shared { groups, ..Shared::default() }))
    }

    /// Takes an entry of the replay; entries of other layers do nothing.
    pub fn replay(&self, entry: &Entry<'_>) -> Result<(), CodecError> {
        if let Entry::Layer { layer: Layer::SHARE_GROUPS, bytes } = entry {
            lock(&self.0).groups.apply(&ShareChange::decode(bytes)?);
        }
        Ok(())
    }
}

impl Fold for SharedShareGroups {
    fn checkpoint(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&lock(&self.0).groups.checkpoint());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bells_that_nobody_hears_are_forgotten() {
        let mut shared = Shared::default();
        let held = shared.bell("held");
        let rung = held.rung();
        for number in 0..10_000 {
            shared.bell(&format!("group {number}"));
        }
        assert!(shared.bells.len() <= 2 * BELLS_SWEEP_MIN, "{}", shared.bells.len());
        shared.ring("held");
        assert_eq!(held.rung(), rung + 1, "who waits still hears it");
        shared.ring("nobody waits");
        assert!(!shared.bells.contains_key("nobody waits"));
        // Many that are held stay, and are not looked at for each new one.
        let all: Vec<Bell> = (0..1_000).map(|number| shared.bell(&format!("held {number}"))).collect();
        let silent: Vec<usize> = (0..1_000)
            .filter(|number| {
                shared.ring(&format!("held {number}"));
                all[*number].rung() == 0
            })
            .collect();
        assert_eq!(silent, Vec::<usize>::new());
    }
}
