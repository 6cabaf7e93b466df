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
    let metadata = metadata.map(str::to_string);
    CommittedOffset { offset, leader_epoch: 0, metadata, committed_at_ms: 5, expires_at_ms: None }
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
        producers.apply(Lsn(1), P, offset, &next);
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
    producers.apply(Lsn(1), P, offset, &batch(1, 1, 0, 1));
    assert_eq!(producers.check(P, &batch(1, 0, 70, 1)), Verdict::Refuse(ErrorCode::InvalidProducerEpoch));
}

#[test]
fn sequences_wrap() {
    let mut producers = Producers::default();
    producers.apply(Lsn(1), P, 0, &batch(1, 0, i32::MAX - 1, 1));
    assert_eq!(producers.check(P, &batch(1, 0, i32::MAX, 3)), Verdict::Append);
    producers.apply(Lsn(1), P, 1, &batch(1, 0, i32::MAX, 3));
    assert_eq!(producers.check(P, &batch(1, 0, i32::MAX, 3)), Verdict::Duplicate(1));
    assert_eq!(producers.check(P, &batch(1, 0, 2, 1)), Verdict::Append);
}

#[test]
fn producers_are_forgotten_in_the_order_in_which_they_were_heard_of() {
    let mut state = BrokerState::default();
    for id in 0..100 {
        state.apply_data(Lsn(1 + id as u64), P, id, &batch(id, 0, 0, 1));
    }
    state.apply_data(Lsn(101), P, 100, &batch(0, 0, 1, 1));
    let mut bytes = Vec::new();
    state.checkpoint(&mut bytes);
    let mut restored = BrokerState::restore(Some(&bytes)).unwrap();
    for state in [&mut state, &mut restored] {
        assert_eq!(state.oldest_producers(10, 5), Some(5));
        let until = state.oldest_producers(10, i64::MAX).unwrap();
        assert_eq!(until, 11);
        state
            .apply(Lsn(102), &Entry::Layer { layer: Layer::PRODUCERS, bytes: &encode_forgotten(until) })
            .unwrap();
        let left = state.producers.of_partition(P);
        let left: Vec<i64> = left.iter().map(|one| one.producer_id).collect();
        assert_eq!(left, [0].into_iter().chain(11..100).collect::<Vec<_>>());
    }
    assert_eq!(state, restored);
}

#[test]
fn marks_tell_how_old_frames_are_and_go_with_them() {
    let mut state = BrokerState::default();
    let mark = |state: &mut BrokerState, lsn: u64, at_ms: i64| {
        state.apply(Lsn(lsn), &Entry::Layer { layer: Layer::PRODUCERS, bytes: &encode_mark(at_ms) }).unwrap();
    };
    assert!(!state.producers.wants_mark());
    state.apply_data(Lsn(1), P, 0, &batch(1, 0, 0, 1));
    assert!(state.producers.wants_mark());
    mark(&mut state, 2, 1_000);
    assert!(!state.producers.wants_mark());
    // The same frame once more, and a clock that was set back.
    mark(&mut state, 2, 5_000);
    mark(&mut state, 7, 900);
    let until = |state: &BrokerState| [999, 1_000, 5_000].map(|at_ms| state.producers.heard_until(at_ms));
    assert_eq!(until(&state), [None, Some(7), Some(7)]);
    mark(&mut state, 9, 2_000);
    assert_eq!(until(&state), [None, Some(7), Some(9)]);
    state.forget_producers(7);
    assert_eq!((until(&state), state.producers.count()), ([None, None, Some(9)], 0));
}

#[test]
fn idle_transactional_ids_make_room_in_the_order_of_their_use() {
    let mut state = BrokerState::default();
    let identity = transactions::Identity {
        producer_id: 1,
        epoch: 0,
        last_epoch: transactions::NO_EPOCH,
        previous_producer_id: transactions::NO_PRODUCER_ID,
    };
    for (id, at_ms) in [("a", 4), ("b", 1), ("c", 3), ("d", 2)] {
        let id = id.to_string();
        state.apply_transaction(&TransactionChange::Taken { id, identity, timeout_ms: 1, at_ms });
    }
    let (id, groups) = ("b".to_string(), vec!["g".to_string()]);
    state.apply_transaction(&TransactionChange::Added { id, partitions: vec![], groups, at_ms: 1 });
    let oldest = |count| {
        let mut found = state.transactions.longest_unused(count);
        found.sort();
        found
    };
    assert_eq!(
        (oldest(2), oldest(9)),
        (vec!["c".into(), "d".into()], vec!["a".into(), "c".into(), "d".into()])
    );
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

#[test]
fn a_checkpoint_of_version_1_is_still_read() {
    let mut bytes = vec![1];
    for text in [None, Some("g"), Some("consumer")] {
        let count = text.map_or(1, str::len) as u32;
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
    }
    // One group without offsets; then the next block of ids, and one producer with one batch.
    bytes.extend_from_slice(&0u32.to_be_bytes());
    bytes.extend_from_slice(&3_000i64.to_be_bytes());
    bytes.extend_from_slice(&1u32.to_be_bytes());
    bytes.extend_from_slice(&P.0.to_be_bytes());
    bytes.extend_from_slice(&5i64.to_be_bytes());
    bytes.extend_from_slice(&0i16.to_be_bytes());
    bytes.extend_from_slice(&7i64.to_be_bytes());
    bytes.extend_from_slice(&1u32.to_be_bytes());
    for sequence in [0i32, 9] {
        bytes.extend_from_slice(&sequence.to_be_bytes());
    }
    bytes.extend_from_slice(&40i64.to_be_bytes());
    bytes.push(0);
    let state = BrokerState::restore(Some(&bytes)).unwrap();
    assert_eq!(state.offsets.group("g").unwrap().protocol_type, "consumer");
    assert_eq!(state.producers.next_block(), 3_000);
    assert_eq!(state.producers.check(P, &batch(5, 0, 0, 10)), Verdict::Duplicate(40));
    assert_eq!((state.transactions.count(), state.partitions), (0, Default::default()));
}

#[test]
fn records_and_checkpoints_of_transactions_survive_no_damage_unnoticed() {
    use super::transactions::{Identity, TransactionChange};
    let identity = Identity { producer_id: 5, epoch: 3, last_epoch: 2, previous_producer_id: 1 };
    let id = String::from("x");
    let changes = [
        TransactionChange::Taken { id: id.clone(), identity, timeout_ms: 60_000, at_ms: 9 },
        TransactionChange::Added { id: id.clone(), partitions: vec![P], groups: vec!["g".into()], at_ms: 10 },
        TransactionChange::Offsets {
            id: id.clone(),
            group: "g".into(),
            offsets: vec![((TOPIC, 0), committed(41, Some("é")))],
        },
        TransactionChange::Ended { id: id.clone(), committed: true, identity, at_ms: 11 },
        TransactionChange::Forgotten { id },
    ];
    let mut state = BrokerState::default();
    for (lsn, change) in (1..).zip(&changes) {
        let bytes = change.encode();
        assert_eq!(TransactionChange::decode(&bytes).as_ref(), Ok(change));
        for length in 0..bytes.len() {
            assert!(TransactionChange::decode(&bytes[..length]).is_err(), "{change:?} {length}");
        }
        state.apply(Lsn(lsn), &Entry::Layer { layer: Layer::TRANSACTIONS, bytes: &bytes }).unwrap();
        // A transaction that is open, with an open and an aborted one in a partition.
        state.partitions.apply_data(P, 5, 10 * lsn as i64);
        state.partitions.apply_marker(P, 5, kafka_wire::records::ControlKind::Abort, 10 * lsn as i64 + 5);
        state.partitions.apply_data(P, 6, 10 * lsn as i64 + 7);
        let mut bytes = Vec::new();
        state.checkpoint(&mut bytes);
        assert_eq!(BrokerState::restore(Some(&bytes)).as_ref(), Ok(&state));
        for length in 0..bytes.len() {
            assert!(BrokerState::restore(Some(&bytes[..length])).is_err(), "{length}");
        }
    }
    assert_eq!(state.offsets.group("g").unwrap().offsets.get(&(TOPIC, 0)), Some(&committed(41, Some("é"))));
    assert_eq!(state.transactions.count(), 0);
}
