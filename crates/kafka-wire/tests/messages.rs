//! Every message at every version: round trips, cut-off bytes, hostile lengths, and random damage.
//!
//! An allocator that notes the largest request watches that no wire bytes make the decoder allocate
//! more than a small multiple of what it was given.

mod tables;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use kafka_wire::messages::*;
use kafka_wire::{DecodeError, EncodeError, Message};
use tables::{Random, Table};

struct WatchingAllocator;

thread_local! {
    static LARGEST_BYTES: Cell<usize> = const { Cell::new(0) };
}

fn note(size: usize) {
    // A thread that is ending has no cell any more; nothing is measured then.
    let _ = LARGEST_BYTES.try_with(|largest| largest.set(largest.get().max(size)));
}

// SAFETY: every call goes to the system's allocator unchanged; noting a size allocates nothing.
unsafe impl GlobalAlloc for WatchingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from the system's allocator with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: the pointer came from the system's allocator with this layout.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: WatchingAllocator = WatchingAllocator;

/// The result of `work` and the largest single allocation that it made.
fn watched<T>(work: impl FnOnce() -> T) -> (T, usize) {
    LARGEST_BYTES.set(0);
    let result = work();
    (result, LARGEST_BYTES.get())
}

/// What a test does with each message.
trait Check {
    fn run<M: Message + PartialEq + std::fmt::Debug + Default>(&mut self, table: &Table);
}

/// Runs the check for every table; a table that is not listed here fails.
fn for_every_message(check: &mut impl Check) {
    macro_rules! dispatch {
        ($table:expr, $($message:ident),*) => {
            match $table.message.as_str() {
                $(stringify!($message) => {
                    assert_eq!($message::NAME, stringify!($message));
                    let versions = *$message::VERSIONS.start()..=*$message::VERSIONS.end();
                    assert_eq!(versions, $table.versions.0..=$table.versions.1);
                    check.run::<$message>($table)
                })*
                unknown => panic!("a table without a test: {unknown}"),
            }
        };
    }
    let tables = tables::all();
    assert!(tables.len() >= 80, "the tables are found");
    for table in &tables {
        dispatch!(
            table,
            AddOffsetsToTxnRequest,
            AddOffsetsToTxnResponse,
            AddPartitionsToTxnRequest,
            AddPartitionsToTxnResponse,
            AlterClientQuotasRequest,
            AlterClientQuotasResponse,
            AlterConfigsRequest,
            AlterConfigsResponse,
            AlterPartitionReassignmentsRequest,
            AlterPartitionReassignmentsResponse,
            AlterReplicaLogDirsRequest,
            AlterReplicaLogDirsResponse,
            AlterShareGroupOffsetsRequest,
            AlterShareGroupOffsetsResponse,
            AlterUserScramCredentialsRequest,
            AlterUserScramCredentialsResponse,
            ApiVersionsRequest,
            ApiVersionsResponse,
            ConsumerGroupDescribeRequest,
            ConsumerGroupDescribeResponse,
            ConsumerGroupHeartbeatRequest,
            ConsumerGroupHeartbeatResponse,
            ConsumerProtocolAssignment,
            ConsumerProtocolSubscription,
            CreateAclsRequest,
            CreateAclsResponse,
            CreatePartitionsRequest,
            CreatePartitionsResponse,
            CreateTopicsRequest,
            CreateTopicsResponse,
            DeleteAclsRequest,
            DeleteAclsResponse,
            DeleteGroupsRequest,
            DeleteGroupsResponse,
            DeleteRecordsRequest,
            DeleteRecordsResponse,
            DeleteShareGroupOffsetsRequest,
            DeleteShareGroupOffsetsResponse,
            DeleteTopicsRequest,
            DeleteTopicsResponse,
            DescribeAclsRequest,
            DescribeAclsResponse,
            DescribeClientQuotasRequest,
            DescribeClientQuotasResponse,
            DescribeClusterRequest,
            DescribeClusterResponse,
            DescribeConfigsRequest,
            DescribeConfigsResponse,
            DescribeGroupsRequest,
            DescribeGroupsResponse,
            DescribeLogDirsRequest,
            DescribeLogDirsResponse,
            DescribeProducersRequest,
            DescribeProducersResponse,
            DescribeQuorumRequest,
            DescribeQuorumResponse,
            DescribeShareGroupOffsetsRequest,
            DescribeShareGroupOffsetsResponse,
            DescribeTopicPartitionsRequest,
            DescribeTopicPartitionsResponse,
            DescribeTransactionsRequest,
            DescribeTransactionsResponse,
            DescribeUserScramCredentialsRequest,
            DescribeUserScramCredentialsResponse,
            ElectLeadersRequest,
            ElectLeadersResponse,
            EndTxnRequest,
            EndTxnResponse,
            FetchRequest,
            FetchResponse,
            FindCoordinatorRequest,
            FindCoordinatorResponse,
            HeartbeatRequest,
            HeartbeatResponse,
            IncrementalAlterConfigsRequest,
            IncrementalAlterConfigsResponse,
            InitProducerIdRequest,
            InitProducerIdResponse,
            JoinGroupRequest,
            JoinGroupResponse,
            LeaveGroupRequest,
            LeaveGroupResponse,
            ListConfigResourcesRequest,
            ListConfigResourcesResponse,
            ListGroupsRequest,
            ListGroupsResponse,
            ListOffsetsRequest,
            ListOffsetsResponse,
            ListPartitionReassignmentsRequest,
            ListPartitionReassignmentsResponse,
            ListTransactionsRequest,
            ListTransactionsResponse,
            MetadataRequest,
            MetadataResponse,
            OffsetCommitRequest,
            OffsetCommitResponse,
            OffsetDeleteRequest,
            OffsetDeleteResponse,
            OffsetFetchRequest,
            OffsetFetchResponse,
            OffsetForLeaderEpochRequest,
            OffsetForLeaderEpochResponse,
            ProduceRequest,
            ProduceResponse,
            SaslAuthenticateRequest,
            SaslAuthenticateResponse,
            SaslHandshakeRequest,
            SaslHandshakeResponse,
            ShareAcknowledgeRequest,
            ShareAcknowledgeResponse,
            ShareFetchRequest,
            ShareFetchResponse,
            ShareGroupDescribeRequest,
            ShareGroupDescribeResponse,
            ShareGroupHeartbeatRequest,
            ShareGroupHeartbeatResponse,
            SyncGroupRequest,
            SyncGroupResponse,
            TxnOffsetCommitRequest,
            TxnOffsetCommitResponse,
            WriteTxnMarkersRequest,
            WriteTxnMarkersResponse
        );
    }
}

struct RoundTrip;

impl Check for RoundTrip {
    fn run<M: Message + PartialEq + std::fmt::Debug + Default>(&mut self, table: &Table) {
        for version in M::VERSIONS {
            for seed in 0..24 {
                let bytes = Bytes::from(table.random_bytes(version, &mut Random::new(seed)));
                let context = || format!("{} version={version} seed={seed}", M::NAME);
                let message = M::from_bytes(bytes.clone(), version)
                    .unwrap_or_else(|error| panic!("{}: {error}", context()));
                let encoded =
                    message.to_bytes(version).unwrap_or_else(|error| panic!("{}: {error}", context()));
                assert_eq!(encoded, bytes, "{}: {message:?}", context());
            }
            let default = M::default().to_bytes(version).expect("every version carries the defaults");
            assert_eq!(M::from_bytes(default, version), Ok(M::default()), "{} {version}", M::NAME);
        }
        for version in [-1, *M::VERSIONS.end() + 1, i16::MAX, i16::MIN] {
            let decoded = M::from_bytes(Bytes::from_static(&[0; 64]), version);
            assert_eq!(decoded, Err(DecodeError::UnsupportedVersion { message: M::NAME, version }));
            let encoded = M::default().to_bytes(version);
            assert_eq!(encoded, Err(EncodeError::UnsupportedVersion { message: M::NAME, version }));
        }
    }
}

#[test]
fn every_message_survives_a_round_trip_at_every_version() {
    for_every_message(&mut RoundTrip);
}

struct CutOff;

impl Check for CutOff {
    fn run<M: Message + PartialEq + std::fmt::Debug + Default>(&mut self, table: &Table) {
        for version in M::VERSIONS {
            let bytes = Bytes::from(table.random_bytes(version, &mut Random::new(7)));
            for length in 0..bytes.len() {
                let decoded = M::from_bytes(bytes.slice(..length), version);
                assert!(decoded.is_err(), "{} version={version} length={length}", M::NAME);
            }
            let mut longer = bytes.to_vec();
            longer.push(0);
            let decoded = M::from_bytes(longer.into(), version);
            assert_eq!(decoded, Err(DecodeError::TrailingBytes { count: 1 }), "{} {version}", M::NAME);
        }
    }
}

#[test]
fn cut_off_bytes_and_trailing_bytes_are_errors() {
    for_every_message(&mut CutOff);
}

/// However small the frame: an error's text and the first elements of arrays need some memory.
const ALLOCATION_BYTES_MIN: usize = 8 * 1024;
/// An element in memory may be so many times larger than on the wire, doubled by a vector's growth.
const ALLOCATION_RATIO_MAX: usize = 600;

struct Hostile;

impl Check for Hostile {
    fn run<M: Message + PartialEq + std::fmt::Debug + Default>(&mut self, table: &Table) {
        let lies: [&[u8]; 7] = [
            &[0x7f, 0xff, 0xff, 0xff],
            &[0xff, 0xff, 0xff, 0xfe],
            &[0x80, 0, 0, 0],
            &[0xff, 0xff, 0xff, 0xff, 0x0f],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0xff, 0xff, 0xff, 0xff, 0x07],
            &[0x7f, 0xff],
        ];
        for version in M::VERSIONS {
            let bytes = table.random_bytes(version, &mut Random::new(3));
            for lie in lies {
                for at in 0..bytes.len().min(400) {
                    let mut damaged = bytes.clone();
                    let end = (at + lie.len()).min(damaged.len());
                    damaged.splice(at..end, lie.iter().copied());
                    self.decode::<M>(damaged, version);
                }
            }
            // Zeros and ones all over, as counts of many small elements.
            for filler in [0u8, 1, 2, 3, 0x7f, 0x80, 0xff] {
                self.decode::<M>(vec![filler; 2000], version);
            }
        }
    }
}

impl Hostile {
    fn decode<M: Message + std::fmt::Debug>(&self, bytes: Vec<u8>, version: i16) {
        let length = bytes.len();
        let data = Bytes::from(bytes);
        let (decoded, largest) = watched(|| M::from_bytes(data, version));
        let limit = ALLOCATION_BYTES_MIN + ALLOCATION_RATIO_MAX * length;
        assert!(largest <= limit, "{} version={version} length={length} allocated={largest}", M::NAME);
        if let Ok(message) = decoded {
            let encoded = message.to_bytes(version).expect("what was decoded can be encoded");
            let again = M::from_bytes(encoded.clone(), version).expect("what was encoded can be decoded");
            // By their bytes: a number that is none is not equal to itself.
            assert_eq!(again.to_bytes(version), Ok(encoded), "{} version={version}: {message:?}", M::NAME);
        }
    }
}

#[test]
fn hostile_lengths_neither_panic_nor_allocate() {
    for_every_message(&mut Hostile);
}

struct Mutations {
    random: Random,
    accepted: usize,
    refused: usize,
}

impl Check for Mutations {
    fn run<M: Message + PartialEq + std::fmt::Debug + Default>(&mut self, table: &Table) {
        for version in M::VERSIONS {
            for _ in 0..60 {
                let mut bytes = table.random_bytes(version, &mut self.random);
                for _ in 0..=self.random.below(4) {
                    self.damage(&mut bytes);
                }
                match M::from_bytes(bytes.into(), version) {
                    Err(_) => self.refused += 1,
                    Ok(message) => {
                        self.accepted += 1;
                        let encoded = message.to_bytes(version).expect("what was decoded can be encoded");
                        assert_eq!(M::from_bytes(encoded, version), Ok(message));
                    }
                }
            }
        }
    }
}

impl Mutations {
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        let random = &mut self.random;
        let at = random.below(bytes.len() + 1);
        match random.below(5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.next() as u8),
            2 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            3 if at < bytes.len() => bytes[at] = [0, 0xff, 0x7f, 0x80][random.below(4)],
            _ if at < bytes.len() => drop(bytes.remove(at)),
            _ => bytes.extend_from_slice(&random.next().to_be_bytes()),
        }
    }
}

#[test]
fn damaged_messages_are_refused_or_consistent() {
    let mut mutations = Mutations { random: Random::new(2026), accepted: 0, refused: 0 };
    for_every_message(&mut mutations);
    // Both paths must have been walked, or the test shows nothing.
    assert!(mutations.accepted > 1000, "accepted={}", mutations.accepted);
    assert!(mutations.refused > 1000, "refused={}", mutations.refused);
}
