//! The feed trait: what comes from an outside system lies in the log before a job reads it.
//!
//! The runtime polls a feed and appends what it brought to an internal topic, in one frame with the position after it;
//! only when that frame is durable is the outside told so. A job reads the topic like any other, so a replay asks
//! nobody, and what the outside has forgotten is still there.
//!
//! * A source that can be read again (an offset, an LSN, a resume token) gives positions: after a crash it goes on
//!   behind what the log holds.
//! * One that is acknowledged message by message gives ids: what is delivered again is left out.

use crate::sink::TopicBatch;
use crate::source::SourceError;
use crate::table::TableDefinition;
use std::sync::Arc;

/// Bytes of one record's key and value: it must fit into an entry of the log.
pub const RECORD_BYTES_MAX: usize = 16 << 20;

/// What a feed is made for.
#[derive(Debug, Clone)]
pub struct FeedRequest {
    pub table: Arc<TableDefinition>,
    /// Tells this scan of this job from all others, in any data directory: for groups, slots and client names.
    pub identity: String,
}

/// A record on its way into the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeedRecord {
    pub partition: u32,
    pub timestamp_ms: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// The outside's own headers, and what metadata columns show (see `connectors`).
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// What tells it from all others of its source: of two records with one id the second is left out.
    pub id: Option<Vec<u8>>,
}

/// What one poll brought. It lands in one frame, so it should be no more than some megabytes.
#[derive(Debug, Clone, Default)]
pub struct Haul {
    pub records: Vec<FeedRecord>,
    /// Record batches as they are, for a source that speaks of batches itself.
    pub batches: Vec<TopicBatch>,
    /// Where to go on after it, if the source can be read again.
    pub position: Option<Vec<u8>>,
    /// What [`Feed::confirm`] is told; a later haul has no smaller one.
    pub ticket: u64,
    /// Nothing follows.
    pub ended: bool,
}

impl Haul {
    /// Whether nothing of it need be kept.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.batches.is_empty() && self.position.is_none() && !self.ended
    }
}

/// A connection to an outside system that records come from.
///
/// Errors of the kinds `Retry` and `Unavailable` may pass: the feed is opened again after a pause. Others fail the job.
/// Every call must end by itself, also when the outside hangs.
pub trait Feed: Send {
    /// The partitions that the records land in; asked once, when the job begins.
    fn partitions(&mut self) -> Result<u32, SourceError> {
        Ok(1)
    }

    /// How many there are, which was asked when the job began; told before the feed is opened.
    fn has_partitions(&mut self, _count: u32) {}

    /// Connects (again), and goes on after `position`, which the log holds; without one, where the table says. Hauls
    /// that were not confirmed are void.
    fn open(&mut self, position: Option<&[u8]>) -> Result<(), SourceError>;

    /// What has come, after waiting for it for `wait_ms` at most.
    fn poll(&mut self, wait_ms: u64) -> Result<Haul, SourceError>;

    /// All hauls up to this ticket are durable: the outside may forget them.
    fn confirm(&mut self, _ticket: u64) -> Result<(), SourceError> {
        Ok(())
    }

    /// Records that came by themselves and found no room, since the feed was made.
    fn lost(&self) -> u64 {
        0
    }

    /// For how many ms more the outside wants to be left alone, as it has said; none where it has not, or that is over. What has
    /// failed meanwhile is opened again behind it, and that counts as no try.
    fn pause_ms(&self) -> Option<u64> {
        None
    }

    /// Called now and then while the job is too far behind for more to be polled, so that the connection lives on.
    fn keep_alive(&mut self) -> Result<(), SourceError> {
        Ok(())
    }
}
