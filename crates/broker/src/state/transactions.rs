//! Transactional ids: whose they are, and the transactions that are going on.
//!
//! A fold of the log's transaction records. There is no state "prepared": the markers in all partitions, the
//! offsets and the end of the transaction are one frame of the log, which a crash keeps whole or not at all.

use super::codec::{DecodeError, Reader, put_count, put_text};
use super::offsets::{CommittedOffset, TopicPartition, committed_list, put_committed_list};
use base::PartitionId;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// "None" of Kafka's producer ids and epochs.
pub const NO_PRODUCER_ID: i64 = -1;
pub const NO_EPOCH: i16 = -1;

/// Whose turn a transactional id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pub producer_id: i64,
    pub epoch: i16,
    /// The epoch before, if the same producer had it: a request that is sent again is known by it (KIP-360).
    pub last_epoch: i16,
    /// The producer id before, whose epochs were used up.
    pub previous_producer_id: i64,
}

impl Identity {
    /// The last epoch is kept for fencing: nobody is ever given it.
    pub fn is_exhausted(&self) -> bool {
        self.epoch >= i16::MAX - 1
    }
}

/// Kafka's names, as far as its states exist here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionState {
    Empty,
    Ongoing,
    CompleteCommit,
    CompleteAbort,
}

impl TransactionState {
    pub fn name(self) -> &'static str {
        match self {
            TransactionState::Empty => "Empty",
            TransactionState::Ongoing => "Ongoing",
            TransactionState::CompleteCommit => "CompleteCommit",
            TransactionState::CompleteAbort => "CompleteAbort",
        }
    }
}

/// One transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    pub identity: Identity,
    pub timeout_ms: i32,
    pub state: TransactionState,
    /// Where the ongoing transaction has written.
    pub partitions: BTreeSet<PartitionId>,
    /// The groups whose offsets it commits.
    pub groups: BTreeSet<String>,
    /// When the last transaction began; -1 if there was none.
    pub started_at_ms: i64,
    pub updated_at_ms: i64,
}

/// What a look at some of the ids has found.
#[derive(Debug, Default)]
pub struct Looked {
    pub unused: Vec<String>,
    /// Where the next look goes on; `None` at the end.
    pub last: Option<String>,
}

/// What one log record changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionChange {
    /// A producer has taken the id.
    Taken { id: String, identity: Identity, timeout_ms: i32, at_ms: i64 },
    /// Partitions and groups take part; begins the transaction if there is none.
    Added { id: String, partitions: Vec<PartitionId>, groups: Vec<String>, at_ms: i64 },
    /// Offsets to be committed with the transaction.
    Offsets { id: String, group: String, offsets: Vec<(TopicPartition, CommittedOffset)> },
    /// The end; whose turn it is afterwards.
    Ended { id: String, committed: bool, identity: Identity, at_ms: i64 },
    /// Nobody has used the id for long.
    Forgotten { id: String },
}

const TAKEN: u8 = 1;
const ADDED: u8 = 2;
const OFFSETS: u8 = 3;
const ENDED: u8 = 4;
const FORGOTTEN: u8 = 5;

impl TransactionChange {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            TransactionChange::Taken { id, identity, timeout_ms, at_ms } => {
                out.push(TAKEN);
                put_text(&mut out, id);
                put_identity(&mut out, identity);
                out.extend_from_slice(&timeout_ms.to_be_bytes());
                out.extend_from_slice(&at_ms.to_be_bytes());
            }
            TransactionChange::Added { id, partitions, groups, at_ms } => {
                out.push(ADDED);
                put_text(&mut out, id);
                put_partitions(&mut out, partitions.iter());
                put_texts(&mut out, groups.iter());
                out.extend_from_slice(&at_ms.to_be_bytes());
            }
            TransactionChange::Offsets { id, group, offsets } => {
                out.push(OFFSETS);
                put_text(&mut out, id);
                put_text(&mut out, group);
                put_committed_list(&mut out, offsets);
            }
            TransactionChange::Ended { id, committed, identity, at_ms } => {
                out.push(ENDED);
                put_text(&mut out, id);
                out.push(u8::from(*committed));
                put_identity(&mut out, identity);
                out.extend_from_slice(&at_ms.to_be_bytes());
            }
            TransactionChange::Forgotten { id } => {
                out.push(FORGOTTEN);
                put_text(&mut out, id);
            }
        }
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<TransactionChange, DecodeError> {
        let mut reader = Reader::new(bytes);
        let (kind, id) = (reader.u8()?, reader.text()?);
        let change = match kind {
            TAKEN => TransactionChange::Taken {
                id,
                identity: identity(&mut reader)?,
                timeout_ms: reader.i32()?,
                at_ms: reader.i64()?,
            },
            ADDED => TransactionChange::Added {
                id,
                partitions: partitions(&mut reader)?,
                groups: texts(&mut reader)?,
                at_ms: reader.i64()?,
            },
            OFFSETS => TransactionChange::Offsets {
                id,
                group: reader.text()?,
                offsets: committed_list(&mut reader)?,
            },
            ENDED => TransactionChange::Ended {
                id,
                committed: reader.flag()?,
                identity: identity(&mut reader)?,
                at_ms: reader.i64()?,
            },
            FORGOTTEN => TransactionChange::Forgotten { id },
            _ => return Err(DecodeError("an unknown kind of transaction record")),
        };
        reader.end()?;
        Ok(change)
    }
}

/// All transactional ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transactions {
    by_id: BTreeMap<String, Transaction>,
}

impl Transactions {
    pub fn get(&self, id: &str) -> Option<&Transaction> {
        self.by_id.get(id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Transaction)> {
        self.by_id.iter().map(|(id, transaction)| (id.as_str(), transaction))
    }

    pub fn count(&self) -> usize {
        self.by_id.len()
    }

    pub fn any_unused(&self) -> bool {
        self.by_id.values().any(|transaction| transaction.state != TransactionState::Ongoing)
    }

    /// The ids without an open transaction that nobody has used for longest.
    pub fn longest_unused(&self, count: usize) -> Vec<String> {
        let idle = self.by_id.iter().filter(|(_, known)| known.state != TransactionState::Ongoing);
        let mut idle: Vec<_> = idle.map(|(id, known)| (known.updated_at_ms, id)).collect();
        if idle.len() > count {
            idle.select_nth_unstable(count);
            idle.truncate(count);
        }
        idle.into_iter().map(|(_, id)| id.clone()).collect()
    }

    /// Of the next `count` ids those without an open transaction that were used last at `at_ms` or before.
    pub fn unused_since(&self, from: Bound<&String>, at_ms: i64, count: usize) -> Looked {
        let mut looked = Looked::default();
        for (id, known) in self.by_id.range::<String, _>((from, Bound::Unbounded)).take(count) {
            if known.state != TransactionState::Ongoing && known.updated_at_ms <= at_ms {
                looked.unused.push(id.clone());
            }
            looked.last = Some(id.clone());
        }
        looked
    }

    /// Applies all of a change but for its offsets, which are the groups' business.
    pub(super) fn apply(&mut self, change: &TransactionChange) {
        match change {
            TransactionChange::Taken { id, identity, timeout_ms, at_ms } => {
                let transaction = Transaction {
                    identity: *identity,
                    timeout_ms: *timeout_ms,
                    state: TransactionState::Empty,
                    partitions: BTreeSet::new(),
                    groups: BTreeSet::new(),
                    started_at_ms: -1,
                    updated_at_ms: *at_ms,
                };
                self.by_id.insert(id.clone(), transaction);
            }
            TransactionChange::Added { id, partitions, groups, at_ms } => {
                let Some(transaction) = self.by_id.get_mut(id) else { return };
                if transaction.state != TransactionState::Ongoing {
                    transaction.state = TransactionState::Ongoing;
                    transaction.started_at_ms = *at_ms;
                }
                transaction.updated_at_ms = *at_ms;
                transaction.partitions.extend(partitions);
                transaction.groups.extend(groups.iter().cloned());
            }
            TransactionChange::Ended { id, committed, identity, at_ms } => {
                let Some(transaction) = self.by_id.get_mut(id) else { return };
                transaction.state = if *committed {
                    TransactionState::CompleteCommit
                } else {
                    TransactionState::CompleteAbort
                };
                transaction.identity = *identity;
                transaction.updated_at_ms = *at_ms;
                transaction.partitions.clear();
                transaction.groups.clear();
            }
            TransactionChange::Forgotten { id } => {
                self.by_id.remove(id);
            }
            TransactionChange::Offsets { .. } => {}
        }
    }

    pub(super) fn checkpoint(&self, out: &mut Vec<u8>) {
        put_count(out, self.by_id.len());
        for (id, transaction) in &self.by_id {
            put_text(out, id);
            put_identity(out, &transaction.identity);
            out.extend_from_slice(&transaction.timeout_ms.to_be_bytes());
            out.push(match transaction.state {
                TransactionState::Empty => 0,
                TransactionState::Ongoing => 1,
                TransactionState::CompleteCommit => 2,
                TransactionState::CompleteAbort => 3,
            });
            put_partitions(out, transaction.partitions.iter());
            put_texts(out, transaction.groups.iter());
            out.extend_from_slice(&transaction.started_at_ms.to_be_bytes());
            out.extend_from_slice(&transaction.updated_at_ms.to_be_bytes());
        }
    }

    pub(super) fn restore(reader: &mut Reader<'_>) -> Result<Transactions, DecodeError> {
        let mut by_id = BTreeMap::new();
        for _ in 0..reader.count(53)? {
            let id = reader.text()?;
            let (identity, timeout_ms) = (identity(reader)?, reader.i32()?);
            let state = match reader.u8()? {
                0 => TransactionState::Empty,
                1 => TransactionState::Ongoing,
                2 => TransactionState::CompleteCommit,
                3 => TransactionState::CompleteAbort,
                _ => return Err(DecodeError("an unknown state of a transaction")),
            };
            let transaction = Transaction {
                identity,
                timeout_ms,
                state,
                partitions: partitions(reader)?.into_iter().collect(),
                groups: texts(reader)?.into_iter().collect(),
                started_at_ms: reader.i64()?,
                updated_at_ms: reader.i64()?,
            };
            by_id.insert(id, transaction);
        }
        Ok(Transactions { by_id })
    }
}

fn put_identity(out: &mut Vec<u8>, identity: &Identity) {
    out.extend_from_slice(&identity.producer_id.to_be_bytes());
    out.extend_from_slice(&identity.epoch.to_be_bytes());
    out.extend_from_slice(&identity.last_epoch.to_be_bytes());
    out.extend_from_slice(&identity.previous_producer_id.to_be_bytes());
}

fn identity(reader: &mut Reader<'_>) -> Result<Identity, DecodeError> {
    Ok(Identity {
        producer_id: reader.i64()?,
        epoch: reader.i16()?,
        last_epoch: reader.i16()?,
        previous_producer_id: reader.i64()?,
    })
}

fn put_partitions<'a>(out: &mut Vec<u8>, partitions: impl ExactSizeIterator<Item = &'a PartitionId>) {
    put_count(out, partitions.len());
    partitions.for_each(|partition| out.extend_from_slice(&partition.0.to_be_bytes()));
}

fn partitions(reader: &mut Reader<'_>) -> Result<Vec<PartitionId>, DecodeError> {
    (0..reader.count(4)?).map(|_| Ok(PartitionId(reader.u32()?))).collect()
}

fn put_texts<'a>(out: &mut Vec<u8>, texts: impl ExactSizeIterator<Item = &'a String>) {
    put_count(out, texts.len());
    texts.for_each(|text| put_text(out, text));
}

fn texts(reader: &mut Reader<'_>) -> Result<Vec<String>, DecodeError> {
    (0..reader.count(4)?).map(|_| reader.text()).collect()
}
