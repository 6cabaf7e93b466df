//! The fold: what the log says comes back from replay and from a checkpoint alike.

use super::offsets::CommittedOffset;
use super::producers::Verdict;
use super::*;
use base::{Offset, PartitionId, TopicId};
use kafka_wire::error_code::ErrorCode;

fn batch(producer_id: i64, epoch: i16, base_sequence: i32, records: i32) -> SequencedBatch {
    SequencedBatch {
        producer_id,
        epoch,
        base_sequence,
        last_offset_delta: records - 1,
        max_timestamp_ms: 7,
        is_transactional: false,
    }
}

fn committed(offset: i64, metadata: Option<&str>) -> CommittedOffset {
    CommittedOffset { offset, leader_epoch: 0, metadata: metadata.map(str::to_string), committed_at_ms: 5 }
}

const P: PartitionId = PartitionId(3);
const TOPIC: TopicId = TopicId([9; 16]);

#[test]
fn retries_gaps_and_fences_are_told_apart() {
    let mut producers = Producers::default();
    let mut offset = 100;
    for index in 0..7 {
        let next = batch(1, 0, index * 10, 10);
        assert_eq!(producers.check(P, &next), Verdict::Append);
        producers.apply(P, offset, &next);
        offset += 10;
    }
    // The last five are known by their sequences, with the offsets they got.
    for index in 2..7 {
        assert_eq!(
            producers.check(P, &batch(1, 0, index * 10, 10)),
            Verdict::Duplicate(100 + i64::from(index) * 10)
        );
    }
    let cases = [
        (batch(1, 0, 10, 10), Verdict::Refuse(ErrorCode::OutOfOrderSequenceNumber)),
        (batch(1, 0, 60, 9), Verdict::Refuse(ErrorCode::OutOfOrderSequenceNumber)),
        (batch(1, 0, 80, 1), Verdict::Refuse(ErrorCode::OutOfOrderSequenceNumber)),
        (batch(1, 0, 70, 1), Verdict::Append),
        (batch(1, 1, 5, 1), Verdict::Refuse(ErrorCode::OutOfOrderSequenceNumber)),
        (batch(1, 1, 0, 1), Verdict::Append),
        (batch(2, 0, 44, 1), Verdict::Append),
    ];
    for (batch, verdict) in cases {
        assert_eq!(producers.check(P, &batch), verdict, "{batch:?}");
    }
    producers.apply(P, offset, &batch(1, 1, 0, 1));
    assert_eq!(producers.check(P, &batch(1, 0, 70, 1)), Verdict::Refuse(ErrorCode::InvalidProducerEpoch));
}

#[test]
fn sequences_wrap() {
    let mut producers = Producers::default();
    producers.apply(P, 0, &batch(1, 0, i32::MAX - 1, 1));
    assert_eq!(producers.check(P, &batch(1, 0, i32::MAX, 3)), Verdict::Append);
    producers.apply(P, 1, &batch(1, 0, i32::MAX, 3));
    assert_eq!(producers.check(P, &batch(1, 0, i32::MAX, 3)), Verdict::Duplicate(1));
    assert_eq!(producers.check(P, &batch(1, 0, 2, 1)), Verdict::Append);
}

#[test]
fn a_checkpoint_holds_everything_and_replaying_over_it_changes_nothing() {
    let mut state = BrokerState::default();
    let records = [
        OffsetChange::Commit {
            group: "g".into(),
            protocol_type: "consumer".into(),
            offsets: vec![((TOPIC, 0), committed(41, None)), ((TOPIC, 1), committed(7, Some("é")))],
        },
        OffsetChange::Commit {
            group: "g".into(),
            protocol_type: String::new(),
            offsets: vec![((TOPIC, 0), committed(42, Some("")))],
        },
        OffsetChange::Commit { group: "h".into(), protocol_type: String::new(), offsets: vec![] },
        OffsetChange::Forget { group: "g".into(), partitions: vec![(TOPIC, 1)] },
        OffsetChange::DeleteGroup { group: "h".into() },
    ];
    for record in &records {
        let bytes = record.encode();
        state.apply(Lsn(1), &Entry::Layer { layer: Layer::GROUP_OFFSETS, bytes: &bytes }).unwrap();
    }
    let reservation = encode_reservation(2_000);
    state.apply(Lsn(2), &Entry::Layer { layer: Layer::PRODUCERS, bytes: &reservation }).unwrap();
    let written = crate::testing::sequenced_batch(1_005, 0, 0, 5);
    let entry = Entry::Batch {
        partition: P,
        base_offset: Offset(10),
        records: 5,
        max_timestamp_ms: 0,
        bytes: &written,
    };
    state.apply(Lsn(3), &entry).unwrap();
    let group = state.offsets.group("g").unwrap();
    assert_eq!(group.protocol_type, "consumer");
    assert_eq!(group.offsets.get(&(TOPIC, 0)), Some(&committed(42, Some(""))));
    assert_eq!(group.offsets.len(), 1);
    assert_eq!(state.offsets.group("h"), None);
    assert_eq!(state.producers.next_block(), 2_000);
    assert_eq!(state.producers.check(P, &batch(1_005, 0, 0, 5)), Verdict::Duplicate(10));

    let mut bytes = Vec::new();
    state.checkpoint(&mut bytes);
    let mut restored = BrokerState::restore(Some(&bytes)).unwrap();
    assert_eq!(restored, state);
    restored.apply(Lsn(3), &entry).unwrap();
    assert_eq!(restored, state);

    // Damage of any length is an error, never a panic, and never silence.
    for length in 0..bytes.len() {
        assert!(BrokerState::restore(Some(&bytes[..length])).is_err(), "{length}");
    }
    for record in &records {
        let bytes = record.encode();
        assert_eq!(OffsetChange::decode(&bytes).as_ref(), Ok(record));
        for length in 0..bytes.len() {
            assert!(OffsetChange::decode(&bytes[..length]).is_err());
        }
    }
}
