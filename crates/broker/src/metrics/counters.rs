//! Counters of what happens, each a relaxed atomic that nobody waits for.

use crate::api::APIS;
use base::PartitionId;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use metrics::{Histogram, LATENCIES};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Connections spread over so many parts of the histograms.
const PARTS: usize = 8;

/// Error codes run from -1; Kafka 4 has 134 of them.
const CODES: usize = 160;

/// Places for partitions' counters, made by so many at once, as far as 4 million partitions.
const CHUNK: usize = 1_024;
const CHUNKS: usize = 4_096;

pub(crate) struct Counters {
    /// By API, in the order of `APIS`.
    requests: Box<[Requests]>,
    /// By the number of an API, its place in `APIS`.
    places: Box<[u8]>,
    fetched_bytes: PerPartition,
    pub(crate) connections: Connections,
    pub(crate) kafka_log_ins: LogIns,
    pub(crate) http_log_ins: LogIns,
    pub(crate) postgresql_log_ins: LogIns,
    pub(crate) transactions_committed: AtomicU64,
    pub(crate) transactions_aborted: AtomicU64,
}

struct Requests {
    seconds: Histogram,
    /// By code, from -1 on.
    errors: Box<[AtomicU64]>,
}

/// Connections of the Kafka port.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    pub(crate) opened: AtomicU64,
    pub(crate) closed: AtomicU64,
    /// One too many of all, of its address, or of those without a log-in.
    pub(crate) refused: AtomicU64,
    /// Ended by us, or in the middle of something.
    pub(crate) failed: AtomicU64,
    pub(crate) handshakes_failed: AtomicU64,
}

#[derive(Debug, Default)]
pub(crate) struct LogIns {
    pub(crate) done: AtomicU64,
    pub(crate) failed: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Default for Counters {
    fn default() -> Counters {
        let requests = |_| Requests {
            seconds: Histogram::of_parts(LATENCIES, PARTS),
            errors: (0..CODES).map(|_| AtomicU64::new(0)).collect(),
        };
        let greatest = APIS.iter().map(|api| api.key as usize).max().unwrap_or(0);
        let mut places = vec![u8::MAX; greatest + 1];
        for (place, api) in (0u8..).zip(APIS) {
            places[api.key as usize] = place;
        }
        Counters {
            requests: (0..APIS.len()).map(requests).collect(),
            places: places.into(),
            fetched_bytes: PerPartition::default(),
            connections: Connections::default(),
            kafka_log_ins: LogIns::default(),
            http_log_ins: LogIns::default(),
            postgresql_log_ins: LogIns::default(),
            transactions_committed: AtomicU64::new(0),
            transactions_aborted: AtomicU64::new(0),
        }
    }
}

impl Counters {
    fn of(&self, api_key: i16) -> Option<&Requests> {
        let place = self.places.get(usize::try_from(api_key).ok()?)?;
        self.requests.get(usize::from(*place))
    }

    /// A request that came over the connection of this number was answered after so long; an API that is not
    /// implemented does not count.
    pub(crate) fn answered(&self, api_key: i16, connection: u64, ns: u64) {
        if let Some(requests) = self.of(api_key) {
            requests.seconds.record_in(connection as usize, ns);
        }
    }

    /// An answer carries this code.
    pub(crate) fn told(&self, api: ApiKey, code: i16) {
        if code == ErrorCode::None.number() {
            return;
        }
        let index = usize::try_from(i32::from(code) + 1);
        if let (Some(requests), Ok(index)) = (self.of(api as i16), index)
            && let Some(counter) = requests.errors.get(index)
        {
            count(counter);
        }
    }

    pub(crate) fn seconds(&self) -> impl Iterator<Item = (ApiKey, &Histogram)> {
        APIS.iter().zip(&self.requests).map(|(api, requests)| (api.key, &requests.seconds))
    }

    /// The codes that were told, with how often.
    pub(crate) fn errors(&self) -> impl Iterator<Item = (ApiKey, ErrorCode, u64)> {
        APIS.iter().zip(&self.requests).flat_map(|(api, requests)| {
            requests.errors.iter().zip(-1i16..).filter_map(|(counter, number)| {
                let times = read(counter);
                let code = ErrorCode::from_number(number).filter(|_| times > 0)?;
                Some((api.key, code, times))
            })
        })
    }

    /// Bytes of record batches went to a consumer.
    pub(crate) fn fetched(&self, partition: PartitionId, bytes: usize) {
        if let Some(counter) = self.fetched_bytes.of(partition) {
            counter.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    pub(crate) fn fetched_bytes(&self, partition: PartitionId) -> u64 {
        self.fetched_bytes.read(partition)
    }

    /// Those of partitions that are gone too.
    pub(crate) fn fetched_bytes_in_all(&self) -> u64 {
        self.fetched_bytes.sum()
    }
}

/// A counter for each partition. Ids are dense and never used again, so that a place is found without a lock.
struct PerPartition(Box<[OnceLock<Box<[AtomicU64]>>]>);

impl Default for PerPartition {
    fn default() -> PerPartition {
        PerPartition((0..CHUNKS).map(|_| OnceLock::new()).collect())
    }
}

impl PerPartition {
    fn of(&self, partition: PartitionId) -> Option<&AtomicU64> {
        let index = partition.0 as usize;
        let chunk = self.0.get(index / CHUNK)?;
        chunk.get_or_init(|| (0..CHUNK).map(|_| AtomicU64::new(0)).collect()).get(index % CHUNK)
    }

    fn read(&self, partition: PartitionId) -> u64 {
        let index = partition.0 as usize;
        let chunk = self.0.get(index / CHUNK).and_then(OnceLock::get);
        chunk.and_then(|chunk| chunk.get(index % CHUNK)).map_or(0, read)
    }

    fn sum(&self) -> u64 {
        self.0.iter().filter_map(OnceLock::get).flatten().map(read).sum()
    }
}

/// What became of a share group's records since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShareCounts {
    /// Deliveries, so that a record that comes again counts again.
    pub delivered: u64,
    pub accepted: u64,
    pub released: u64,
    pub rejected: u64,
    /// Locks that ran out.
    pub expired: u64,
    /// Records given up because they had been delivered too often.
    pub over_limit: u64,
    /// Copies in the dead-letter topic.
    pub dead_letters: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_and_every_api_has_a_place() {
        assert!(ErrorCode::all().all(|code| ((code.number() + 1) as usize) < CODES));
        let counters = Counters::default();
        for api in APIS {
            counters.answered(api.key as i16, 3, 1);
            counters.told(api.key, ErrorCode::UnknownServerError.number());
            counters.told(api.key, ErrorCode::None.number());
        }
        counters.answered(-1, 0, 1);
        counters.answered(i16::MAX, 0, 1);
        assert!(counters.seconds().all(|(_, seconds)| seconds.snapshot().count() == 1));
        let errors: Vec<_> = counters.errors().collect();
        assert_eq!(errors.len(), APIS.len());
        assert!(errors.iter().all(|(_, code, times)| (*code, *times) == (ErrorCode::UnknownServerError, 1)));
    }

    #[test]
    fn partitions_have_counters_of_their_own() {
        let counters = Counters::default();
        for partition in [0, 1, 1_023, 1_024, 5_000_000] {
            counters.fetched(PartitionId(partition), 7 + partition as usize);
        }
        assert_eq!(counters.fetched_bytes(PartitionId(1_024)), 1_031);
        assert_eq!(counters.fetched_bytes(PartitionId(2)), 0);
        // There is no place for partitions that no node has.
        assert_eq!(counters.fetched_bytes_in_all(), 7 + 8 + 1_030 + 1_031);
    }
}
