//! Kafka's wire: requests from their header on, responses, record batches, what group members say to each other.

use bytes::Bytes;
use kafka_wire::consumer_protocol::{decode_assignment, decode_subscription};
use kafka_wire::header::encode_request;
use kafka_wire::messages::*;
use kafka_wire::records::{BatchBuilder, Batches, Compression, ControlKind, control_batch};
use kafka_wire::{Message, Reader, Request, RequestHeader};
use std::fmt::Debug;

/// What compressed records may grow to here.
const RECORDS_BYTES_MAX: usize = 1 << 20;

trait Visit {
    fn visit<R: Request + Default + PartialEq + Debug>(&mut self);
}

fn visit_all(visitor: &mut impl Visit) {
    macro_rules! visit {
        ($($request:ident)*) => { $(visitor.visit::<$request>();)* };
    }
    visit! {
        AddOffsetsToTxnRequest
        AddPartitionsToTxnRequest
        AlterClientQuotasRequest
        AlterConfigsRequest
        AlterPartitionReassignmentsRequest
        AlterReplicaLogDirsRequest
        AlterShareGroupOffsetsRequest
        AlterUserScramCredentialsRequest
        ApiVersionsRequest
        ConsumerGroupDescribeRequest
        ConsumerGroupHeartbeatRequest
        CreateAclsRequest
        CreatePartitionsRequest
        CreateTopicsRequest
        DeleteAclsRequest
        DeleteGroupsRequest
        DeleteRecordsRequest
        DeleteShareGroupOffsetsRequest
        DeleteTopicsRequest
        DescribeAclsRequest
        DescribeClientQuotasRequest
        DescribeClusterRequest
        DescribeConfigsRequest
        DescribeGroupsRequest
        DescribeLogDirsRequest
        DescribeProducersRequest
        DescribeQuorumRequest
        DescribeShareGroupOffsetsRequest
        DescribeTopicPartitionsRequest
        DescribeTransactionsRequest
        DescribeUserScramCredentialsRequest
        ElectLeadersRequest
        EndTxnRequest
        FetchRequest
        FindCoordinatorRequest
        HeartbeatRequest
        IncrementalAlterConfigsRequest
        InitProducerIdRequest
        JoinGroupRequest
        LeaveGroupRequest
        ListConfigResourcesRequest
        ListGroupsRequest
        ListOffsetsRequest
        ListPartitionReassignmentsRequest
        ListTransactionsRequest
        MetadataRequest
        OffsetCommitRequest
        OffsetDeleteRequest
        OffsetFetchRequest
        OffsetForLeaderEpochRequest
        ProduceRequest
        SaslAuthenticateRequest
        SaslHandshakeRequest
        ShareAcknowledgeRequest
        ShareFetchRequest
        ShareGroupDescribeRequest
        ShareGroupHeartbeatRequest
        SyncGroupRequest
        TxnOffsetCommitRequest
        WriteTxnMarkersRequest
    }
}

struct Body {
    header: RequestHeader,
    reader: Reader,
}

impl Visit for Body {
    fn visit<R: Request + Default + PartialEq + Debug>(&mut self) {
        let version = self.header.api_version;
        if R::API_KEY != self.header.api_key || !R::VERSIONS.contains(&version) {
            return;
        }
        let Ok(request) = R::decode(&mut self.reader, version) else { return };
        let bytes = request.to_bytes(version).expect("what was read can be written");
        let again = R::from_bytes(bytes, version).expect("what was written can be read");
        assert_eq!(request, again);
    }
}

/// A response behind its header, whose request said which it is.
struct Answer {
    api_key: i16,
    version: i16,
    reader: Reader,
}

impl Visit for Answer {
    fn visit<R: Request + Default + PartialEq + Debug>(&mut self) {
        if R::API_KEY != self.api_key || !R::VERSIONS.contains(&self.version) {
            return;
        }
        let Ok(response) = R::Response::decode(&mut self.reader, self.version) else { return };
        let bytes = response.to_bytes(self.version).expect("what was read can be written");
        R::Response::from_bytes(bytes, self.version).expect("what was written can be read");
    }
}

const REQUEST: u8 = 0;
const RESPONSE: u8 = 1;

/// The first byte says what follows: a request without its length; the key and the version of an API and a response; or
/// what members of a group say to each other.
pub fn message(data: &[u8]) {
    let Some((kind, rest)) = crate::choice(data) else { return };
    match (kind, rest) {
        (REQUEST, _) => request(rest),
        (RESPONSE, &[key_high, key_low, version, ref rest @ ..]) => {
            let api_key = i16::from_be_bytes([key_high, key_low]);
            let reader = Reader::new(Bytes::copy_from_slice(rest));
            visit_all(&mut Answer { api_key, version: version.into(), reader });
        }
        (RESPONSE, _) => {}
        _ => subscription(rest),
    }
}

fn request(data: &[u8]) {
    let mut reader = Reader::new(Bytes::copy_from_slice(data));
    if let Ok(header) = RequestHeader::decode(&mut reader) {
        visit_all(&mut Body { header, reader });
    }
}

struct Seeds(Vec<Vec<u8>>);

impl Visit for Seeds {
    fn visit<R: Request + Default + PartialEq + Debug>(&mut self) {
        for version in R::VERSIONS {
            let chunks = encode_request(&R::default(), version, 1, Some("client"));
            let frame = chunks.map(|chunks| chunks.concat()).unwrap_or_default();
            self.0.extend(frame.get(4..).map(|frame| [&[REQUEST], frame].concat()));
            let [high, low] = R::API_KEY.to_be_bytes();
            // Zeros are no error, no text, nothing in an array.
            self.0.push([&[RESPONSE, high, low, version as u8], &[0; 32][..]].concat());
        }
    }
}

pub fn messages() -> Vec<Vec<u8>> {
    let mut seeds = Seeds(Vec::new());
    visit_all(&mut seeds);
    seeds.0.extend(subscriptions().iter().map(|seed| [&[RESPONSE + 1], &seed[..]].concat()));
    seeds.0
}

pub fn batches(data: &[u8]) {
    for batch in Batches::new(Bytes::copy_from_slice(data)) {
        let Ok(batch) = batch else { return };
        // A wrong checksum keeps nothing from being read here: it would keep the fuzzer from all that lies behind.
        let _ = batch.check_crc();
        let _ = batch.check_produced();
        let checked = batch.check_records(RECORDS_BYTES_MAX);
        let Ok(records) = batch.records(RECORDS_BYTES_MAX) else { continue };
        let mut is_whole = true;
        for record in records.iter() {
            let Ok(record) = record else {
                is_whole = false;
                break;
            };
            assert!(record.headers.count() <= data.len().max(RECORDS_BYTES_MAX));
            let _ = record.key.and_then(ControlKind::from_key);
        }
        assert!(is_whole || checked.is_err(), "records that were checked cannot be read");
    }
}

pub fn batch_seeds() -> Vec<Vec<u8>> {
    let kinds = (0..8).filter_map(Compression::from_attribute);
    let mut seeds: Vec<Vec<u8>> = kinds
        .map(|compression| {
            let mut builder = BatchBuilder::new(compression).producer(7, 1, 3).transactional();
            for number in 0..5 {
                let headers: [(&str, Option<&[u8]>); 2] = [("trace", Some(b"abc")), ("empty", None)];
                let value = [b'v'; 40];
                builder.append(1000 + number, Some(b"key"), Some(&value), &headers).expect("a small record");
            }
            builder.build().expect("a small batch").to_vec()
        })
        .collect();
    seeds.extend(
        [ControlKind::Abort, ControlKind::Commit]
            .map(|kind| control_batch(kind, 7, 1, 0, 1000).expect("a control batch").to_vec()),
    );
    let both = seeds.concat();
    seeds.push(both);
    seeds
}

fn subscription(data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    let _ = decode_subscription(data.clone());
    let _ = decode_assignment(data);
}

fn subscriptions() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for version in ConsumerProtocolSubscription::VERSIONS {
        let subscription = ConsumerProtocolSubscription {
            topics: vec!["orders".into(), "payments".into()],
            ..ConsumerProtocolSubscription::default()
        };
        let body = subscription.to_bytes(version).unwrap_or_default();
        seeds.push([&version.to_be_bytes()[..], &body].concat());
    }
    for version in ConsumerProtocolAssignment::VERSIONS {
        let body = ConsumerProtocolAssignment::default().to_bytes(version).unwrap_or_default();
        seeds.push([&version.to_be_bytes()[..], &body].concat());
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Keys(Vec<i16>);

    impl Visit for Keys {
        fn visit<R: Request + Default + PartialEq + Debug>(&mut self) {
            self.0.push(R::API_KEY);
        }
    }

    #[test]
    fn every_request_is_visited() {
        let mut keys = Keys(Vec::new());
        visit_all(&mut keys);
        keys.0.sort_unstable();
        let mut all: Vec<i16> = ApiKey::ALL.iter().map(|key| *key as i16).collect();
        all.sort_unstable();
        assert_eq!(keys.0, all);
    }
}
