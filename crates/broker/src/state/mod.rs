//! The broker's own state as a fold of the log: committed offsets and idempotent producers.
//!
//! At the start it comes from the last checkpoint plus the entries after it; while the node runs,
//! each change goes into the log and into the state under the log's append lock. Both ways use
//! `apply`, and every change is idempotent, because a checkpoint may already hold the entry that
//! follows it.

mod codec;
pub mod offsets;
pub mod producers;

#[cfg(test)]
mod tests;

pub use codec::DecodeError;

use crate::sync::lock;
use base::Lsn;
use codec::Reader;
use eventlog::{CatalogChange, Entry, Fold, Layer};
use offsets::{OffsetChange, Offsets};
use producers::{Producers, SequencedBatch};
use std::sync::Mutex;

/// The name under which the log keeps the checkpoints.
pub const LAYER_NAME: &str = "broker";

const CHECKPOINT_VERSION: u8 = 1;
const PRODUCER_IDS: u8 = 1;
const CLUSTER_ID: u8 = 2;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct BrokerState {
    pub offsets: Offsets,
    pub producers: Producers,
    /// Made at the first start.
    pub cluster_id: Option<String>,
}

impl BrokerState {
    /// The state of the last checkpoint; `None` is the state before the first entry.
    pub fn restore(checkpoint: Option<&[u8]>) -> Result<BrokerState, DecodeError> {
        let Some(bytes) = checkpoint else { return Ok(BrokerState::default()) };
        let mut reader = Reader::new(bytes);
        if reader.u8()? != CHECKPOINT_VERSION {
            return Err(DecodeError("an unknown version of the checkpoint"));
        }
        let state = BrokerState {
            offsets: Offsets::restore(&mut reader)?,
            producers: Producers::restore(&mut reader)?,
            cluster_id: reader.optional_text()?,
        };
        reader.end()?;
        Ok(state)
    }

    /// Takes one entry of the log; entries of other layers do nothing.
    pub fn apply(&mut self, _lsn: Lsn, entry: &Entry<'_>) -> Result<(), DecodeError> {
        match entry {
            Entry::Batch { partition, base_offset, bytes, .. } => {
                if let Some(batch) = sequenced(bytes) {
                    self.producers.apply(*partition, base_offset.0, &batch);
                }
            }
            Entry::Layer { layer, bytes } if *layer == Layer::GROUP_OFFSETS => {
                self.offsets.apply(OffsetChange::decode(bytes)?);
            }
            Entry::Layer { layer, bytes } if *layer == Layer::PRODUCERS => {
                self.apply_identity(bytes)?;
            }
            Entry::Catalog(change) => self.apply_catalog(change),
            Entry::Layer { .. } => {}
        }
        Ok(())
    }

    fn apply_catalog(&mut self, change: &CatalogChange) {
        // Producers of deleted partitions stay until the next start: partition ids are never reused.
        if let CatalogChange::TopicDeleted { id, .. } = change {
            self.offsets.forget_topic(*id);
        }
    }

    /// A record of the `PRODUCERS` layer: identities that were given out.
    fn apply_identity(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(bytes);
        match reader.u8()? {
            PRODUCER_IDS => self.producers.reserve(reader.i64()?),
            CLUSTER_ID => self.cluster_id = Some(reader.text()?),
            _ => return Err(DecodeError("an unknown kind of identity record")),
        }
        reader.end()
    }

    pub fn checkpoint(&self, out: &mut Vec<u8>) {
        out.push(CHECKPOINT_VERSION);
        self.offsets.checkpoint(out);
        self.producers.checkpoint(out);
        codec::put_optional_text(out, self.cluster_id.as_deref());
    }
}

/// The state as the log and the APIs share it. Lock order: the log's append lock first.
#[derive(Debug, Default)]
pub struct SharedState(pub Mutex<BrokerState>);

impl Fold for SharedState {
    fn checkpoint(&self, out: &mut Vec<u8>) {
        lock(&self.0).checkpoint(out);
    }
}

/// The log record that reserves the producer ids below `end`.
pub fn encode_reservation(end: i64) -> Vec<u8> {
    let mut out = vec![PRODUCER_IDS];
    out.extend_from_slice(&end.to_be_bytes());
    out
}

/// The log record of the cluster's id.
pub fn encode_cluster_id(cluster_id: &str) -> Vec<u8> {
    let mut out = vec![CLUSTER_ID];
    codec::put_text(&mut out, cluster_id);
    out
}

/// The producer's fields of a batch header (record batch v2); `None` if no idempotent producer wrote it.
pub fn sequenced(batch: &[u8]) -> Option<SequencedBatch> {
    fn field<const N: usize>(batch: &[u8], at: usize) -> Option<[u8; N]> {
        batch.get(at..)?.first_chunk::<N>().copied()
    }
    let producer_id = i64::from_be_bytes(field(batch, 43)?);
    let base_sequence = i32::from_be_bytes(field(batch, 53)?);
    // Control batches (transaction markers) carry a producer id but no sequence.
    if producer_id < 0 || base_sequence < 0 {
        return None;
    }
    Some(SequencedBatch {
        producer_id,
        epoch: i16::from_be_bytes(field(batch, 51)?),
        base_sequence,
        last_offset_delta: i32::from_be_bytes(field(batch, 23)?).max(0),
        max_timestamp_ms: i64::from_be_bytes(field(batch, 35)?),
    })
}
