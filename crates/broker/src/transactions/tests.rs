//! Epochs at their end, which no test through the APIs would reach in time.

use super::*;
use std::collections::BTreeSet;

fn transaction(state: TransactionState, epoch: i16) -> Transaction {
    Transaction {
        identity: Identity { producer_id: 5, epoch, last_epoch: epoch - 1, previous_producer_id: -1 },
        timeout_ms: 1,
        state,
        partitions: BTreeSet::new(),
        groups: BTreeSet::new(),
        started_at_ms: 0,
        updated_at_ms: 0,
    }
}

fn next(known: &Transaction, expected: Option<(i64, i16)>) -> Result<(Identity, Option<i16>), ErrorCode> {
    match next_identity(known, expected, None) {
        Err(Undecided::Needs(NewProducerId)) => match next_identity(known, expected, Some(9)) {
            Ok(found) => Ok(found.unwrap_or((known.identity, None))),
            Err(_) => panic!("a fresh id was not enough"),
        },
        Err(Undecided::Refused(error)) => Err(error.code),
        Ok(found) => Ok(found.unwrap_or((known.identity, None))),
    }
}

#[test]
fn used_up_epochs_lead_to_a_new_producer_id() {
    let last = i16::MAX - 1;
    let known = transaction(TransactionState::CompleteCommit, last - 1);
    let (identity, fences) = next(&known, None).unwrap();
    assert_eq!((identity.producer_id, identity.epoch, fences), (5, last, None));

    let known = transaction(TransactionState::CompleteCommit, last);
    let (identity, _) = next(&known, Some((5, last))).unwrap();
    assert_eq!((identity.producer_id, identity.epoch), (9, 0));
    assert_eq!((identity.previous_producer_id, identity.last_epoch), (5, last));
    // The answer is lost; the producer asks again as whom it was.
    let rotated = Transaction { identity, ..known };
    assert_eq!(next(&rotated, Some((5, last))).unwrap().0, identity);
    assert_eq!(next(&rotated, Some((5, last - 1))), Err(ErrorCode::ProducerFenced));

    // Fencing uses the one epoch that nobody is given.
    let open = transaction(TransactionState::Ongoing, last);
    let (identity, fences) = next(&open, None).unwrap();
    assert_eq!((identity.producer_id, identity.epoch, fences), (9, 0, Some(i16::MAX)));
    // A transaction that timed out at the last epoch has left that one behind.
    let fenced = transaction(TransactionState::CompleteAbort, i16::MAX);
    assert_eq!(next(&fenced, None).unwrap().0.producer_id, 9);
    // Nor is its own producer given it.
    let (identity, fences) = next(&fenced, Some((5, last))).unwrap();
    assert_eq!((identity.producer_id, identity.epoch, identity.last_epoch, fences), (9, 0, last, None));
}

#[test]
fn an_end_at_the_last_epoch_is_known_when_it_is_repeated() {
    let last = i16::MAX - 1;
    let mut known = transaction(TransactionState::CompleteCommit, 0);
    known.identity = Identity { producer_id: 9, epoch: 0, last_epoch: last, previous_producer_id: 5 };
    let claim = |producer_id, epoch| Claim { id: "x", producer_id, epoch };
    let repeated = ended_before(&known, &claim(5, last), ControlKind::Commit, true);
    assert_eq!(repeated, Ok(Some(known.identity)));
    let other = ended_before(&known, &claim(5, last - 1), ControlKind::Commit, true);
    assert_eq!(other, Err(ErrorCode::InvalidProducerIdMapping));
    let aborted = ended_before(&known, &claim(5, last), ControlKind::Abort, true);
    assert_eq!(aborted, Err(ErrorCode::InvalidTxnState));
}
