//! How many requests may be inside the broker at once, by what they may have to wait for.
//!
//! The broker is synchronous. What may take long in it (the disk, a full log) hands the worker's other work to another
//! thread (`os::blocking`), so each request that waits inside costs a thread. A lane has a fixed number of places, and
//! whoever finds none waits outside as a task: producers that wait for a disk that does not answer keep neither
//! consumers nor heartbeats up, however many they are.

use kafka_wire::ApiKey;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Requests of one lane that are inside at once.
const PLACES: usize = 32;
/// Lanes, and one for the passwords.
const LANES: usize = 5;
/// Threads for what is not a lane's: log-ins, the groups' clock.
const OTHER_THREADS: usize = 32;

/// Threads that can be needed at once.
pub(super) const fn threads_max(workers: usize) -> usize {
    LANES * PLACES + workers + OTHER_THREADS
}

/// What a request may have to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Room in the log, and its next file.
    Append,
    /// Records that are not in memory.
    Read,
    /// Nothing: the answer is in memory. What then turns out to append (Metadata that creates a topic) goes on in
    /// `Append`.
    Memory,
    /// As `Append`, for what is left of connections that have ended.
    Farewell,
}

impl Lane {
    /// What is no API is refused without a wait, but nobody is in a hurry for that.
    pub(super) fn of(api_key: i16) -> Lane {
        match ApiKey::from_number(api_key) {
            Some(
                ApiKey::Fetch | ApiKey::ListOffsets | ApiKey::OffsetForLeaderEpoch | ApiKey::DescribeLogDirs,
            ) => Lane::Read,
            Some(
                ApiKey::ApiVersions
                | ApiKey::Metadata
                | ApiKey::FindCoordinator
                | ApiKey::Heartbeat
                | ApiKey::SaslHandshake
                | ApiKey::SaslAuthenticate
                | ApiKey::DescribeCluster
                | ApiKey::DescribeConfigs
                | ApiKey::DescribeGroups
                | ApiKey::DescribeTopicPartitions
                | ApiKey::ListGroups,
            ) => Lane::Memory,
            _ => Lane::Append,
        }
    }
}

/// Whether an answer may be so long that it should not be made while the memory for answers is used up.
pub(super) fn may_be_long(api_key: i16) -> bool {
    !matches!(
        ApiKey::from_number(api_key),
        Some(
            // These wait by themselves, for as much as they have found.
            ApiKey::Fetch
                | ApiKey::ShareFetch
                | ApiKey::Produce
                | ApiKey::ApiVersions
                | ApiKey::SaslHandshake
                | ApiKey::SaslAuthenticate
                | ApiKey::FindCoordinator
                | ApiKey::Heartbeat
                | ApiKey::ConsumerGroupHeartbeat
                | ApiKey::ShareGroupHeartbeat
                | ApiKey::ShareAcknowledge
                | ApiKey::LeaveGroup
                | ApiKey::OffsetCommit
                | ApiKey::TxnOffsetCommit
                | ApiKey::InitProducerId
                | ApiKey::AddPartitionsToTxn
                | ApiKey::AddOffsetsToTxn
                | ApiKey::EndTxn
        )
    )
}

pub(super) struct Lanes {
    append: Semaphore,
    read: Semaphore,
    memory: Semaphore,
    farewell: Semaphore,
}

impl Lanes {
    pub(super) fn new() -> Lanes {
        let places = || Semaphore::new(PLACES);
        Lanes { append: places(), read: places(), memory: places(), farewell: places() }
    }

    /// A place in the lane, to be given back when the broker has answered. `None` only when the server is gone.
    pub(super) async fn enter(&self, lane: Lane) -> Option<SemaphorePermit<'_>> {
        let places = match lane {
            Lane::Append => &self.append,
            Lane::Read => &self.read,
            Lane::Memory => &self.memory,
            Lane::Farewell => &self.farewell,
        };
        places.acquire().await.ok()
    }
}
