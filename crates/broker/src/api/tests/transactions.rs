//! Transactions through the APIs: what readers see, who is fenced with which code, and what time ends.

use super::transactional::*;
use crate::call::{Outcome, Until, Wait, Woken};
use crate::state::transactions::{Identity, TransactionChange};
use crate::testing::{Answer, Node, batch, produce_request, response, sequenced_batch};
use base::Offset;
use eventlog::AbortedRange;
use kafka_wire::error_code::ErrorCode as E;
use kafka_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_wire::messages::*;
use kafka_wire::records::Compression;
use kafka_wire::records::ControlKind::{Abort, Commit};

const LATEST: i64 = -1;

fn node() -> Node {
    let node = Node::new();
    node.create_topic("t", 2, &[]);
    node
}

#[test]
fn committed_records_are_seen_and_aborted_ones_are_not() {
    let node = node();
    let (mut a, mut b) = (Producer::init(&node, "a"), Producer::init(&node, "b"));
    assert_eq!(a.write(&node, "t", 0, &["a1", "a2"]), 0);
    assert_eq!(b.write(&node, "t", 0, &["b1"]), 0);
    assert_eq!(a.write(&node, "t", 0, &["a3"]), 0);
    node.produce("t", 0, batch(Compression::None, &[(5, "plain")]));
    let open = fetch(&node, "t", 0, 0, true);
    assert_eq!((open.high_watermark, open.last_stable_offset), (5, 0));
    assert_eq!((values(&open), open.aborted_transactions.clone()), (vec![], Some(vec![])));
    let uncommitted = fetch(&node, "t", 0, 0, false);
    assert_eq!(values(&uncommitted), ["a1", "a2", "b1", "a3", "plain"]);
    assert_eq!(uncommitted.aborted_transactions, None);
    assert_eq!((end_offset(&node, "t", true, LATEST), end_offset(&node, "t", false, LATEST)), (0, 5));
    // The records at a time are not pointed to before they are decided.
    assert_eq!((end_offset(&node, "t", true, 5), end_offset(&node, "t", false, 5)), (-1, 0));

    assert_eq!(a.end(&node, Abort), 0);
    // What b began with is the first undecided record now; a is decided up to there.
    let half = fetch(&node, "t", 0, 0, true);
    assert_eq!((half.high_watermark, half.last_stable_offset), (6, 2));
    assert_eq!(half.aborted_transactions.as_ref().unwrap().len(), 1);
    assert_eq!(values(&half), Vec::<String>::new());
    assert_eq!(b.end(&node, Commit), 0);
    let all = fetch(&node, "t", 0, 0, true);
    assert_eq!((all.high_watermark, all.last_stable_offset), (7, 7));
    assert_eq!(values(&all), ["b1", "plain"]);
    let aborted = all.aborted_transactions.as_ref().unwrap();
    assert_eq!((aborted.len(), aborted[0].producer_id, aborted[0].first_offset), (1, a.producer_id, 0));
    // The log's other readers are told the same.
    let partition = node.log.topic("t").unwrap().partitions[0];
    assert_eq!(node.log.last_stable_offset(partition).unwrap(), Offset(7));
    let range = AbortedRange { producer_id: a.producer_id, first_offset: Offset(0), last_offset: Offset(5) };
    assert_eq!(node.log.aborted(partition, Offset(0), Offset(7)), [range]);
    assert_eq!(node.log.aborted(partition, Offset(6), Offset(7)), []);
    // From the middle of the aborted transaction on, its records are still void.
    assert_eq!(values(&fetch(&node, "t", 0, 3, true)), ["plain"]);
    // Behind its marker it is not listed any more.
    assert_eq!(fetch(&node, "t", 0, 6, true).aborted_transactions, Some(vec![]));
    // The same producer's next transaction counts.
    assert_eq!(a.write(&node, "t", 0, &["a4"]), 0);
    assert_eq!(a.end(&node, Commit), 0);
    assert_eq!(committed_values(&node, "t", 0), ["b1", "plain", "a4"]);
    assert_eq!(end_offset(&node, "t", true, LATEST), 9);
}

#[test]
fn an_end_that_a_crash_could_take_back_is_not_seen() {
    let node = node();
    let mut a = Producer::init(&node, "a");
    assert_eq!(a.write(&node, "t", 0, &["a1"]), 0);
    let outcome = node.send(&a.end_request(Commit), 5);
    assert!(matches!(outcome, Outcome::Wait(Wait { until: Until::Durable(_), .. })));
    let data = fetch(&node, "t", 0, 0, true);
    assert_eq!((data.high_watermark, data.last_stable_offset, values(&data).len()), (1, 0, 0));
    assert_eq!(a.take_end(&node, outcome), 0);
    assert_eq!(committed_values(&node, "t", 0), ["a1"]);
}

#[test]
fn a_reader_of_committed_records_wakes_at_the_commit() {
    let node = node();
    let mut a = Producer::init(&node, "a");
    assert_eq!(a.write(&node, "t", 0, &["a1"]), 0);
    let mut request = fetch_request("t", 0, 0, true);
    request.max_wait_ms = 500;
    let Outcome::Wait(turn) = node.send(&request, 12) else { panic!("it does not wait") };
    let Outcome::Wait(wait) = (turn.resume)(&node.broker, node.now().monotonic_ms, Woken::Ready) else {
        panic!("undecided records satisfied it")
    };
    let Until::Data { seen, partitions } = &wait.until else { panic!("it waits for something else") };
    assert_eq!(partitions[..], node.log.topic("t").unwrap().partitions[..1]);
    let seen = *seen;
    assert_eq!(a.end(&node, Commit), 0);
    // The marker moves the partition that is waited for.
    assert!(node.log.seen().is_beyond(seen));
    let outcome = (wait.resume)(&node.broker, node.now().monotonic_ms, Woken::Ready);
    let Answer::Frame(frame) = node.finish(outcome) else { panic!("no answer") };
    let data = response::<FetchRequest>(frame, 12).responses.remove(0).partitions.remove(0);
    assert_eq!(values(&data), ["a1"]);
}

#[test]
fn a_new_producer_ends_the_open_transaction_and_fences_the_old_one() {
    let node = node();
    let mut old = Producer::init(&node, "a");
    assert_eq!(old.write(&node, "t", 0, &["old"]), 0);
    assert_eq!(old.add_group(&node, "g", 3), 0);
    let mut new = Producer::init(&node, "a");
    assert_eq!(new.producer_id, old.producer_id);
    assert!(new.epoch > old.epoch);
    let data = fetch(&node, "t", 0, 0, true);
    assert_eq!((values(&data).len(), data.last_stable_offset), (0, 2));
    // Each API has its own code for a producer that was fenced, and had another in its first versions.
    let (producer_fenced, invalid_epoch) = (E::ProducerFenced as i16, E::InvalidProducerEpoch as i16);
    for version in 3..=12 {
        assert_eq!(old.write_version(&node, "t", 0, &["late"], version), invalid_epoch, "{version}");
    }
    for (version, expected) in
        [(0, invalid_epoch), (1, invalid_epoch), (2, producer_fenced), (3, producer_fenced)]
    {
        assert_eq!(old.add(&node, "t", &[1], version), [expected]);
        assert_eq!(old.add_group(&node, "g", version), expected);
        assert_eq!(old.end_version(&node, Commit, version), expected);
    }
    assert_eq!(old.end_version(&node, Commit, 5), producer_fenced);
    for version in 0..=5 {
        assert_eq!(old.commit_offset(&node, "g", "t", 1, version), invalid_epoch);
    }
    let expected = Some((old.producer_id, old.epoch));
    assert_eq!(init(&node, "a", expected, 3).error_code, invalid_epoch);
    assert_eq!(init(&node, "a", expected, 4).error_code, producer_fenced);
    // The new one is not disturbed by any of this.
    assert_eq!(new.write(&node, "t", 0, &["new"]), 0);
    assert_eq!(init(&node, "a", expected, 5).error_code, producer_fenced);
    assert_eq!(new.end(&node, Commit), 0);
    assert_eq!(committed_values(&node, "t", 0), ["new"]);
}

#[test]
fn unknown_ids_and_foreign_producers_are_told_apart_from_fenced_ones() {
    let node = node();
    let a = Producer::init(&node, "a");
    let mapping = E::InvalidProducerIdMapping as i16;
    for stranger in [
        Producer { id: "nobody".into(), ..a.clone() },
        Producer { producer_id: a.producer_id + 1_000_000, ..a.clone() },
    ] {
        assert_eq!(stranger.clone().write(&node, "t", 0, &["x"]), mapping);
        assert_eq!(stranger.add(&node, "t", &[0], 3), [mapping]);
        assert_eq!(stranger.add_group(&node, "g", 3), mapping);
        assert_eq!(stranger.end_version(&node, Abort, 5), mapping);
        assert_eq!(stranger.commit_offset(&node, "g", "t", 1, 5), mapping);
    }
    let empty = Producer { id: String::new(), ..a.clone() };
    assert_eq!(empty.add(&node, "t", &[0], 3), [E::InvalidRequest as i16]);
    assert_eq!(empty.end_version(&node, Abort, 5), E::InvalidRequest as i16);
    assert_eq!(init(&node, "", None, 5).error_code, E::InvalidRequest as i16);
    assert_eq!(init(&node, "a", Some((a.producer_id, -1)), 5).error_code, E::InvalidRequest as i16);
    let fenced = init(&node, "a", Some((a.producer_id + 1, a.epoch)), 5);
    assert_eq!(fenced.error_code, E::ProducerFenced as i16);
    for timeout in [0, -1, 900_001] {
        let request = InitProducerIdRequest {
            transactional_id: Some("a".into()),
            transaction_timeout_ms: timeout,
            ..Default::default()
        };
        assert_eq!(node.call(&request, 4).error_code, E::InvalidTransactionTimeout as i16, "{timeout}");
    }
}

#[test]
fn a_producer_goes_on_after_an_error_and_its_retries_are_known() {
    let node = node();
    let a = Producer::init(&node, "a");
    // KIP-360: the producer asks for the next epoch; the answer is lost, and it asks again.
    let expected = Some((a.producer_id, a.epoch));
    let first = init(&node, "a", expected, 5);
    assert_eq!((first.error_code, first.producer_epoch), (0, a.epoch + 1));
    let again = init(&node, "a", expected, 5);
    assert_eq!((again.error_code, again.producer_epoch), (0, a.epoch + 1));
    // Once somebody else has taken the id, the old epoch counts no more.
    let other = Producer::init(&node, "a");
    assert_eq!(other.epoch, a.epoch + 2);
    assert_eq!(init(&node, "a", expected, 5).error_code, E::ProducerFenced as i16);
    assert_eq!(
        init(&node, "a", Some((a.producer_id, first.producer_epoch)), 5).error_code,
        E::ProducerFenced as i16
    );
}

#[test]
fn ends_are_repeated_and_refused_as_the_state_says() {
    let node = node();
    let refused = E::InvalidTxnState as i16;
    // The older protocol: the epoch stays, so a repeated end is known by the state.
    let mut a = Producer::init(&node, "a");
    assert_eq!([a.end_version(&node, Commit, 3), a.end_version(&node, Abort, 3)], [refused; 2]);
    assert_eq!(a.add(&node, "t", &[0], 3), [0]);
    assert_eq!(a.write_version(&node, "t", 0, &["a1"], 9), 0);
    assert_eq!([a.end_version(&node, Commit, 3), a.end_version(&node, Commit, 3)], [0, 0]);
    assert_eq!(a.end_version(&node, Abort, 3), refused);
    assert_eq!(a.add(&node, "t", &[0], 3), [0]);
    assert_eq!(a.write_version(&node, "t", 0, &["a2"], 9), 0);
    assert_eq!([a.end_version(&node, Abort, 3), a.end_version(&node, Abort, 3)], [0, 0]);
    assert_eq!(a.end_version(&node, Commit, 3), refused);

    // With version 5 the epoch says which end is meant.
    let mut b = Producer::init(&node, "b");
    let before = b.clone();
    assert_eq!(b.end_version(&node, Commit, 5), refused);
    assert_eq!(b.write(&node, "t", 0, &["b1"]), 0);
    assert_eq!(b.end(&node, Commit), 0);
    assert_eq!((b.producer_id, b.epoch), (before.producer_id, before.epoch + 1));
    let again = node.call(&before.end_request(Commit), 5);
    assert_eq!((again.error_code, again.producer_epoch), (0, b.epoch));
    assert_eq!(before.end_version(&node, Abort, 5), refused);
    assert_eq!(b.end_version(&node, Commit, 5), refused);
    // An abort of nothing is how a producer gets a new epoch.
    let epoch = b.epoch;
    assert_eq!(b.end(&node, Abort), 0);
    assert_eq!(b.epoch, epoch + 1);
    // A late end of the transaction before must not touch the one that is open.
    let late = b.clone();
    assert_eq!(b.write(&node, "t", 0, &["b2"]), 0);
    assert_eq!(b.end(&node, Commit), 0);
    assert_eq!(b.write(&node, "t", 0, &["b3"]), 0);
    assert_eq!(late.end_version(&node, Commit, 5), E::ProducerFenced as i16);
    assert_eq!(b.end(&node, Abort), 0);
    assert_eq!(committed_values(&node, "t", 0), ["a1", "b1", "b2"]);
}

#[test]
fn a_partition_must_take_part_before_it_is_written_to() {
    let node = node();
    let mut a = Producer::init(&node, "a");
    assert_eq!(a.write_version(&node, "t", 0, &["x"], 10), E::InvalidTxnState as i16);
    assert_eq!(a.write_version(&node, "t", 0, &["x"], 11), E::TransactionAbortable as i16);
    // An unknown partition spoils the request, and says which it was.
    let unknown = [E::OperationNotAttempted as i16, E::UnknownTopicOrPartition as i16];
    assert_eq!(a.add(&node, "t", &[0, 9], 3), unknown);
    assert_eq!(a.write_version(&node, "t", 0, &["x"], 10), E::InvalidTxnState as i16);
    assert_eq!(a.add(&node, "t", &[0], 0), [0]);
    assert_eq!(a.write_version(&node, "t", 0, &["x"], 10), 0);
    assert_eq!(a.write_version(&node, "t", 1, &["y"], 10), E::InvalidTxnState as i16);
    // The same producer's records outside of the transaction would end up inside.
    let plain = produce_request("t", 0, sequenced_batch(a.producer_id, a.epoch, 1, 1));
    let refused = node.call(&plain, 9).responses.remove(0).partition_responses.remove(0);
    assert_eq!(refused.error_code, E::InvalidTxnState as i16);
    // Transactional records without a transactional id are nobody's.
    let nameless = ProduceRequest { transactional_id: None, ..a.clone().batch("t", 0, &["z"]) };
    let refused = node.call(&nameless, 12).responses.remove(0).partition_responses.remove(0);
    assert_eq!(refused.error_code, E::TransactionalIdAuthorizationFailed as i16);
    assert_eq!(a.end(&node, Commit), 0);
    assert_eq!(committed_values(&node, "t", 0), ["x"]);
    // After the end the partition has to join again, and sequences begin anew with the epoch.
    assert_eq!(a.write_version(&node, "t", 0, &["x2"], 10), E::InvalidTxnState as i16);
    assert_eq!(a.write(&node, "t", 0, &["x3"]), 0);
}

#[test]
fn a_batch_that_is_sent_again_counts_once() {
    let node = node();
    let mut a = Producer::init(&node, "a");
    let request = a.batch("t", 0, &["once"]);
    for _ in 0..3 {
        let answer = node.call(&request, 12).responses.remove(0).partition_responses.remove(0);
        assert_eq!((answer.error_code, answer.base_offset), (0, 0));
    }
    assert_eq!(a.write(&node, "t", 0, &["twice"]), 0);
    let gap = Producer { ..a.clone() };
    let mut gap = gap;
    gap.batch("t", 0, &["lost"]);
    assert_eq!(gap.write(&node, "t", 0, &["x"]), E::OutOfOrderSequenceNumber as i16);
    assert_eq!(a.end(&node, Commit), 0);
    // What comes late from before the end is fenced, though its sequence would fit.
    let late = node.call(&request, 12).responses.remove(0).partition_responses.remove(0);
    assert_eq!(late.error_code, E::InvalidProducerEpoch as i16);
    // A new epoch begins with sequence 0, wherever the producer has written before.
    let mut skipping = a.clone();
    skipping.batch("t", 0, &["lost"]);
    assert_eq!(skipping.write(&node, "t", 0, &["x"]), E::OutOfOrderSequenceNumber as i16);
    assert_eq!(committed_values(&node, "t", 0), ["once", "twice"]);
}

#[test]
fn offsets_count_when_their_transaction_commits() {
    let node = node();
    let mut a = Producer::init(&node, "a");
    // Before version 5 the group must have been added.
    assert_eq!(a.commit_offset(&node, "g", "t", 5, 3), E::InvalidTxnState as i16);
    assert_eq!(a.commit_offset(&node, "g", "t", 5, 4), E::TransactionAbortable as i16);
    assert_eq!(a.add_group(&node, "g", 3), 0);
    assert_eq!(a.commit_offset(&node, "g", "t", 5, 3), 0);
    let unstable = E::UnstableOffsetCommit as i16;
    assert_eq!(committed_offset(&node, "g", "t", false), (-1, 0));
    assert_eq!(committed_offset(&node, "g", "t", true), (-1, unstable));
    assert_eq!(a.end(&node, Commit), 0);
    assert_eq!(committed_offset(&node, "g", "t", true), (5, 0));
    // From version 5 on the group joins by it; an abort leaves the old position.
    assert_eq!(a.commit_offset(&node, "g", "t", 9, 5), 0);
    assert_eq!(committed_offset(&node, "g", "t", true), (-1, unstable));
    assert_eq!(committed_offset(&node, "g", "t", false), (5, 0));
    assert_eq!(a.end(&node, Abort), 0);
    assert_eq!(committed_offset(&node, "g", "t", true), (5, 0));
    // What the group commits itself after that is newer than what the transaction brings.
    assert_eq!(a.commit_offset(&node, "g", "t", 20, 5), 0);
    let partition = OffsetCommitRequestPartition { committed_offset: 30, ..Default::default() };
    let plain = OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    };
    assert_eq!(node.call(&plain, 8).topics[0].partitions[0].error_code, 0);
    assert_eq!(a.end(&node, Commit), 0);
    assert_eq!(committed_offset(&node, "g", "t", true), (30, 0));
    // A member that is unknown, or of another generation, may not commit (KIP-447).
    let mut request = a.offset_request("g", "t", 40);
    (request.generation_id_or_member_epoch, request.member_id) = (3, "stranger".into());
    let refused = node.call(&request, 5).topics.remove(0).partitions.remove(0).error_code;
    assert_eq!(refused, E::IllegalGeneration as i16);
    // An unknown topic is no reason to begin a transaction, nor to fail the others.
    assert_eq!(a.commit_offset(&node, "g", "none", 1, 5), E::UnknownTopicOrPartition as i16);
}

#[test]
fn a_transaction_that_lasts_too_long_is_aborted() {
    let node = node();
    let mut a = Producer::init(&node, "a");
    let mut b = Producer::init(&node, "b");
    assert_eq!(a.write(&node, "t", 0, &["a1"]), 0);
    node.pass_ms(30_000);
    assert_eq!(b.write(&node, "t", 0, &["b1"]), 0);
    assert_eq!(b.end(&node, Commit), 0);
    // A clock that is set forward is no reason.
    node.sim.clock.jump_to_ms(node.now().wall_ms + 86_400_000);
    node.pass_ms(29_999);
    assert_eq!(fetch(&node, "t", 0, 0, true).last_stable_offset, 0);
    assert!(node.broker.tick(node.now().monotonic_ms).unwrap() - node.now().monotonic_ms <= 1);
    node.pass_ms(1);
    assert_eq!(committed_values(&node, "t", 0), ["b1"]);
    assert_eq!(a.write(&node, "t", 0, &["late"]), E::InvalidProducerEpoch as i16);
    assert_eq!(a.end_version(&node, Commit, 3), E::ProducerFenced as i16);
    assert_eq!(a.end_version(&node, Commit, 5), E::InvalidTxnState as i16);
    // Nobody else has taken the id: a producer that learns of the abort goes on.
    let mut next = a.clone();
    assert_eq!(next.end(&node, Abort), 0);
    assert_eq!(next.epoch, a.epoch + 1);
    assert_eq!(next.write(&node, "t", 0, &["a2"]), 0);
    assert_eq!(next.end(&node, Commit), 0);
    // One that has ended in time is left alone.
    node.pass_ms(10 * TIMEOUT_MS as u64);
    assert_eq!(committed_values(&node, "t", 0), ["b1", "a2"]);
    assert_eq!(next.write(&node, "t", 0, &["a3"]), 0);
    assert_eq!(next.end(&node, Commit), 0);
}

#[test]
fn after_a_restart_the_time_goes_on() {
    let mut node = node();
    let mut a = Producer::init(&node, "a");
    assert_eq!(a.write(&node, "t", 0, &["a1"]), 0);
    node.pass_ms(40_000);
    node = node.restart();
    assert_eq!(fetch(&node, "t", 0, 0, true).last_stable_offset, 0);
    node.pass_ms(19_000);
    assert_eq!(a.write(&node, "t", 0, &["a2"]), 0);
    node.pass_ms(1_000);
    let data = fetch(&node, "t", 0, 0, true);
    assert_eq!((data.last_stable_offset, values(&data).len()), (3, 0));
}

#[test]
fn ids_that_nobody_uses_are_forgotten() {
    let node = node();
    let mut a = Producer::init(&node, "a");
    let week = 604_800_000;
    node.pass_ms(1_000);
    node.sim.clock.jump_to_ms(node.now().wall_ms + 2 * week);
    node.pass_ms(3_600_001);
    // The clock was set forward; not so much time has passed.
    assert_eq!(a.write(&node, "t", 0, &["a1"]), 0);
    assert_eq!(a.end(&node, Commit), 0);
    node.sim.clock.jump_to_ms(node.now().wall_ms - 2 * week);
    for _ in 0..4 {
        node.pass_ms(week as u64);
    }
    assert_eq!(a.write(&node, "t", 0, &["a2"]), E::InvalidProducerIdMapping as i16);
    let again = Producer::init(&node, "a");
    assert_ne!(again.producer_id, a.producer_id);
    // One round takes them all, however many frames it needs.
    let identity = Identity { producer_id: 1, epoch: 0, last_epoch: -1, previous_producer_id: -1 };
    let at_ms = node.now().wall_ms;
    for number in 0..20_001 {
        let taken = TransactionChange::Taken { id: format!("x{number}"), identity, timeout_ms: 1, at_ms };
        crate::sync::lock(&node.broker.state.0).apply_transaction(&taken);
    }
    node.pass_ms(2 * week as u64);
    assert_eq!(crate::sync::lock(&node.broker.state.0).transactions.count(), 0);
}

#[test]
fn a_late_repeat_of_a_grant_leaves_an_open_transaction_alone() {
    let node = node();
    let mut a = Producer::init(&node, "a");
    assert_eq!(a.write(&node, "t", 0, &["a1"]), 0);
    let before = Some((a.producer_id, a.epoch));
    assert_eq!(a.end(&node, Commit), 0);
    // Nothing is open: the answer of then, as often as it is asked for.
    assert_eq!(init(&node, "a", before, 5).producer_epoch, a.epoch);
    assert_eq!(a.write(&node, "t", 0, &["a2"]), 0);
    assert_eq!(a.commit_offset(&node, "g", "t", 7, 5), 0);
    assert_eq!(init(&node, "a", before, 5).error_code, E::ProducerFenced as i16);
    assert_eq!(a.write(&node, "t", 1, &["a3"]), 0);
    assert_eq!(fetch(&node, "t", 0, 0, true).last_stable_offset, 2);
    assert_eq!(a.end(&node, Commit), 0);
    assert_eq!(
        (committed_values(&node, "t", 0), committed_values(&node, "t", 1)),
        (vec!["a1".to_string(), "a2".to_string()], vec!["a3".to_string()],)
    );
    assert_eq!(fetch(&node, "t", 0, 0, true).last_stable_offset, 4);
    assert_eq!(committed_offset(&node, "g", "t", true), (7, 0));
}

#[test]
fn an_end_by_a_fenced_producer_is_no_repeat_of_its_successors_end() {
    let node = node();
    let mut zombie = Producer::init(&node, "a");
    assert_eq!(zombie.write(&node, "t", 0, &["lost"]), 0);
    // The successor speaks the older protocol, which leaves the epoch as it is.
    let mut successor = Producer::init(&node, "a");
    assert_eq!(successor.epoch, zombie.epoch + 1);
    assert_eq!(successor.add(&node, "t", &[0], 3), [0]);
    assert_eq!(successor.write_version(&node, "t", 0, &["kept"], 9), 0);
    assert_eq!(successor.end_version(&node, Commit, 3), 0);
    assert_eq!(zombie.end_version(&node, Commit, 5), E::ProducerFenced as i16);
    assert_eq!(committed_values(&node, "t", 0), ["kept"]);
}

#[test]
fn records_deleted_up_to_the_middle_of_a_batch_do_not_show_the_rest_of_it() {
    let node = node();
    let mut a = Producer::init(&node, "a");
    assert_eq!(a.write(&node, "t", 0, &["a1", "a2", "a3"]), 0);
    let partition = delete_records_request::DeleteRecordsPartition { partition_index: 0, offset: 1 };
    let topic = delete_records_request::DeleteRecordsTopic { name: "t".into(), partitions: vec![partition] };
    let deleted = node.call(&DeleteRecordsRequest { topics: vec![topic], ..Default::default() }, 2);
    assert_eq!(deleted.topics[0].partitions[0].error_code, 0);
    let data = fetch(&node, "t", 0, 1, true);
    assert_eq!((data.log_start_offset, data.last_stable_offset, values(&data).len()), (1, 1, 0));
    assert_eq!(a.end(&node, Abort), 0);
    assert_eq!(values(&fetch(&node, "t", 0, 1, true)).len(), 0);
}

#[test]
fn ends_that_a_restart_finds_are_durable() {
    let node = node();
    let mut a = Producer::init(&node, "a");
    for _ in 0..5 {
        assert_eq!(a.write(&node, "t", 0, &["a1"]), 0);
        assert_eq!(a.end(&node, Commit), 0);
    }
    let node = node.restart();
    assert_eq!(crate::sync::lock(&node.broker.state.0).partitions.undurable_ends(), 0);
}

#[test]
fn a_time_out_at_the_last_epoch_leads_to_a_new_producer_id() {
    let node = node();
    let first = Producer::init(&node, "a");
    let identity = Identity {
        producer_id: first.producer_id,
        epoch: i16::MAX - 1,
        last_epoch: -1,
        previous_producer_id: -1,
    };
    let taken = TransactionChange::Taken {
        id: "a".into(),
        identity,
        timeout_ms: TIMEOUT_MS,
        at_ms: node.now().wall_ms,
    };
    crate::sync::lock(&node.broker.state.0).apply_transaction(&taken);
    let mut a = Producer::known("a", first.producer_id, i16::MAX - 1);
    assert_eq!(a.write(&node, "t", 0, &["a1"]), 0);
    node.pass_ms(TIMEOUT_MS as u64 + 1);
    let late = a.clone();
    assert_eq!(a.end(&node, Abort), 0);
    assert_eq!(a.epoch, 0);
    assert_ne!(a.producer_id, late.producer_id);
    let again = node.call(&late.end_request(Abort), 5);
    assert_eq!((again.producer_id, again.producer_epoch), (a.producer_id, 0));
    assert_eq!(late.clone().write(&node, "t", 0, &["late"]), E::InvalidProducerIdMapping as i16);
    assert_eq!(a.write(&node, "t", 0, &["a2"]), 0);
    assert_eq!(a.end(&node, Commit), 0);
    assert_eq!(committed_values(&node, "t", 0), ["a2"]);
}

#[test]
fn everything_comes_back_from_the_log_and_from_checkpoints() {
    let mut node = node();
    node.create_topic("filler", 1, &[]);
    let (mut a, mut b) = (Producer::init(&node, "a"), Producer::init(&node, "b"));
    assert_eq!(a.write(&node, "t", 0, &["a1"]), 0);
    assert_eq!(a.end(&node, Abort), 0);
    assert_eq!(a.write(&node, "t", 0, &["a2"]), 0);
    assert_eq!(a.commit_offset(&node, "g", "t", 7, 5), 0);
    assert_eq!(b.write(&node, "t", 0, &["b1"]), 0);
    assert_eq!(b.end(&node, Commit), 0);
    for round in 0..3 {
        let state = crate::sync::lock(&node.broker.state.0).clone();
        match round {
            0 => node = node.restart(),
            1 => node = node.crash(7),
            _ => {
                // Enough that the log moves to other files, whose checkpoints hold the state.
                let values: Vec<(i64, &str)> = (0..500).map(|_| (5, "value")).collect();
                for _ in 0..40 {
                    node.produce("filler", 0, batch(Compression::None, &values));
                }
                assert!(node.log.metrics().files > 1);
                node = node.restart();
            }
        }
        assert_eq!(*crate::sync::lock(&node.broker.state.0), state, "{round}");
        assert_eq!(fetch(&node, "t", 0, 0, true).last_stable_offset, 2);
        assert_eq!(committed_offset(&node, "g", "t", true).1, E::UnstableOffsetCommit as i16);
    }
    assert_eq!(a.write(&node, "t", 1, &["a3"]), 0);
    assert_eq!(a.end(&node, Commit), 0);
    assert_eq!(committed_values(&node, "t", 0), ["a2", "b1"]);
    assert_eq!(committed_values(&node, "t", 1), ["a3"]);
    assert_eq!(committed_offset(&node, "g", "t", true), (7, 0));
}

#[test]
fn deleted_records_and_topics_do_not_hold_a_transaction_up() {
    let node = node();
    node.create_topic("gone", 1, &[]);
    let mut a = Producer::init(&node, "a");
    assert_eq!(a.write(&node, "t", 0, &["a1"]), 0);
    assert_eq!(a.write(&node, "gone", 0, &["x"]), 0);
    assert_eq!(a.commit_offset(&node, "g", "gone", 3, 5), 0);
    let topic_names = vec!["gone".to_string()];
    node.call(&DeleteTopicsRequest { topic_names, ..Default::default() }, 5);
    assert_eq!(a.end(&node, Abort), 0);
    assert_eq!(a.write(&node, "t", 0, &["a2"]), 0);
    let partition = delete_records_request::DeleteRecordsPartition { partition_index: 0, offset: 2 };
    let topic = delete_records_request::DeleteRecordsTopic { name: "t".into(), partitions: vec![partition] };
    let deleted = node.call(&DeleteRecordsRequest { topics: vec![topic], ..Default::default() }, 2);
    assert_eq!(deleted.topics[0].partitions[0].error_code, 0);
    assert_eq!(a.end(&node, Commit), 0);
    // The aborted transaction lies before the log's start.
    let data = fetch(&node, "t", 0, 2, true);
    assert_eq!((values(&data), data.aborted_transactions.clone()), (vec!["a2".to_string()], Some(vec![])));
}

#[test]
fn tools_see_open_transactions_and_end_those_that_hang() {
    let node = node();
    let (mut a, mut b) = (Producer::init(&node, "a-1"), Producer::init(&node, "b-1"));
    assert_eq!(a.write(&node, "t", 1, &["a1"]), 0);
    assert_eq!(b.write(&node, "t", 1, &["b1"]), 0);
    assert_eq!(b.end(&node, Commit), 0);
    let list = |request: ListTransactionsRequest| {
        let response = node.call(&request, 2);
        let ids: Vec<String> =
            response.transaction_states.into_iter().map(|state| state.transactional_id).collect();
        (response.error_code, ids, response.unknown_state_filters)
    };
    let filters = |names: &[&str]| ListTransactionsRequest {
        state_filters: names.iter().map(|name| name.to_string()).collect(),
        ..Default::default()
    };
    let ids = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    assert_eq!(list(filters(&[])), (0, ids(&["a-1", "b-1"]), vec![]));
    assert_eq!(list(filters(&["Ongoing", "Nonsense"])), (0, ids(&["a-1"]), ids(&["Nonsense"])));
    let of_producer =
        ListTransactionsRequest { producer_id_filters: vec![b.producer_id], ..Default::default() };
    assert_eq!(list(of_producer).1, ids(&["b-1"]));
    let named = |pattern: &str| ListTransactionsRequest {
        transactional_id_pattern: Some(pattern.into()),
        ..Default::default()
    };
    assert_eq!(list(named("b.*")).1, ids(&["b-1"]));
    assert_eq!(list(named("b")).1, ids(&[]));
    assert_eq!(list(named("(")).0, E::InvalidRegularExpression as i16);
    let lasting = |duration_filter| ListTransactionsRequest { duration_filter, ..filters(&["Ongoing"]) };
    node.sim.clock.advance_ms(50);
    assert_eq!(list(lasting(49)).1, ids(&["a-1"]));
    assert_eq!(list(lasting(50)).1, ids(&[]));

    let asked = DescribeTransactionsRequest { transactional_ids: ids(&["a-1", "none", ""]) };
    let described = node.call(&asked, 0).transaction_states;
    let codes: Vec<i16> = described.iter().map(|state| state.error_code).collect();
    assert_eq!(codes, [0, E::TransactionalIdNotFound as i16, E::InvalidRequest as i16]);
    assert_eq!(
        (described[0].transaction_state.as_str(), described[0].transaction_timeout_ms),
        ("Ongoing", TIMEOUT_MS)
    );
    assert_eq!((described[0].producer_id, described[0].producer_epoch), (a.producer_id, a.epoch));
    assert_eq!((described[0].topics[0].topic.as_str(), &described[0].topics[0].partitions), ("t", &vec![1]));

    let topic = describe_producers_request::TopicRequest { name: "t".into(), partition_indexes: vec![1] };
    let asked = DescribeProducersRequest { topics: vec![topic] };
    let producers = |node: &Node| {
        let mut found = node.call(&asked, 0).topics.remove(0).partitions.remove(0).active_producers;
        found.sort_by_key(|producer| producer.producer_id);
        found
            .iter()
            .map(|producer| (producer.current_txn_start_offset, producer.coordinator_epoch))
            .collect::<Vec<_>>()
    };
    assert_eq!(producers(&node), [(0, -1), (-1, 0)]);

    let abort = |epoch, coordinator_epoch, partition| {
        let marker = write_txn_markers_request::WritableTxnMarker {
            producer_id: a.producer_id,
            producer_epoch: epoch,
            transaction_result: false,
            topics: vec![write_txn_markers_request::WritableTxnMarkerTopic {
                name: "t".into(),
                partition_indexes: vec![partition],
            }],
            coordinator_epoch,
            ..Default::default()
        };
        let response = node.call(&WriteTxnMarkersRequest { markers: vec![marker] }, 1);
        response.markers[0].topics[0].partitions[0].error_code
    };
    assert_eq!(abort(a.epoch - 1, 0, 1), E::InvalidProducerEpoch as i16);
    assert_eq!(abort(a.epoch, -1, 1), E::TransactionCoordinatorFenced as i16);
    assert_eq!(abort(a.epoch, 0, 7), E::UnknownTopicOrPartition as i16);
    assert_eq!(committed_values(&node, "t", 1), Vec::<String>::new());
    assert_eq!(abort(a.epoch, 0, 1), 0);
    assert_eq!(producers(&node), [(-1, 0), (-1, 0)]);
    assert_eq!(committed_values(&node, "t", 1), ["b1"]);
    assert_eq!(fetch(&node, "t", 1, 0, true).last_stable_offset, 4);
}
