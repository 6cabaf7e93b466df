//! The producers: each writes numbered records and keeps what it was told about them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use kafka_client::{ClientError, OffsetToCommit, TransactionalProducer};
use kafka_wire::records::{BatchBuilder, Compression};

use crate::{IDEMPOTENT_TOPIC, PAUSE, Random, TOPICS, connect, now_ms};

/// Longer than a run takes: nothing may end by time-out but what a fenced producer has left.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(600);
const RECORDS_MAX: u64 = 6;

/// What became of a transaction, as far as its producer knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Committed,
    Aborted,
    /// The commit was asked for and not answered.
    Unanswered,
    /// The node died before the end was asked for, or the abort was not answered.
    Left,
}

/// A transaction with the number of its records in each topic; its number is its place.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    pub records: [u64; TOPICS.len()],
    pub end: End,
}

pub fn group(producer: u64) -> String {
    format!("group-{producer}")
}

/// A value names its producer, its transaction or batch, and its place there.
pub fn value(producer: u64, number: usize, place: u64) -> String {
    format!("{producer}:{number}:{place}")
}

/// Writes transactions until it is stopped; then takes the id once more, so that nothing stays open.
pub fn transactional(number: u64, address: &str, stop: &AtomicBool, seed: u64) -> Result<Vec<Ended>> {
    let mut random = Random(seed);
    let mut ended = Vec::new();
    loop {
        let stopped = stop.load(Ordering::Acquire);
        let id = format!("id-{number}");
        let taken =
            connect(address).and_then(|client| TransactionalProducer::new(client, &id, TRANSACTION_TIMEOUT));
        let mut producer = match interrupted(taken)? {
            Some(producer) => producer,
            None => {
                std::thread::sleep(PAUSE);
                continue;
            }
        };
        if stopped {
            return Ok(ended);
        }
        while !stop.load(Ordering::Acquire) {
            let transaction = one_transaction(&mut producer, number, ended.len(), &mut random)?;
            ended.push(transaction);
            if matches!(transaction.end, End::Unanswered | End::Left) {
                break;
            }
        }
    }
}

fn one_transaction(
    producer: &mut TransactionalProducer,
    number: u64,
    transaction: usize,
    random: &mut Random,
) -> Result<Ended> {
    let records = TOPICS.map(|_| 1 + random.below(RECORDS_MAX));
    let left = Ended { records, end: End::Left };
    for (topic, count) in TOPICS.into_iter().zip(records) {
        let values: Vec<String> = (0..count).map(|place| value(number, transaction, place)).collect();
        if interrupted(producer.write(topic, 0, now_ms(), &values))?.is_none() {
            return Ok(left);
        }
    }
    let position = OffsetToCommit { topic: TOPICS[0].to_owned(), partition: 0, offset: transaction as i64 };
    if interrupted(producer.commit_offset(&group(number), &position))?.is_none() {
        return Ok(left);
    }
    let commits = random.below(5) > 0;
    let end = if commits { producer.commit() } else { producer.abort() };
    let end = match (interrupted(end)?, commits) {
        (Some(()), true) => End::Committed,
        (Some(()), false) => End::Aborted,
        (None, true) => End::Unanswered,
        (None, false) => End::Left,
    };
    Ok(Ended { records, end })
}

/// What an idempotent producer has written; all of it was acknowledged in the end.
#[derive(Debug, Default)]
pub struct Written {
    pub batches: Vec<u64>,
    pub sent_again: u64,
}

/// Writes batches under one identity until it is stopped; a batch is sent until it is acknowledged.
pub fn idempotent(number: u64, address: &str, stop: &AtomicBool, seed: u64) -> Result<Written> {
    let mut random = Random(seed);
    let mut written = Written::default();
    let (mut identity, mut sequence) = (None, 0);
    let mut client = None;
    let mut tries = 0;
    let mut records = 1 + random.below(RECORDS_MAX);
    loop {
        if client.is_none() {
            client = interrupted(connect(address))?;
        }
        let Some(connected) = &mut client else {
            std::thread::sleep(PAUSE);
            continue;
        };
        let Some(known) = identity else {
            match interrupted(connected.init_producer_id(None, TRANSACTION_TIMEOUT))? {
                Some(known) => identity = Some(known),
                None => client = None,
            }
            continue;
        };
        if tries == 0 && stop.load(Ordering::Acquire) {
            return Ok(written);
        }
        let mut builder = BatchBuilder::new(Compression::None).producer(known.id, known.epoch, sequence);
        for place in 0..records {
            builder.append(
                now_ms(),
                None,
                Some(value(number, written.batches.len(), place).as_bytes()),
                &[],
            )?;
        }
        tries += 1;
        if interrupted(connected.produce(IDEMPOTENT_TOPIC, 0, builder.build()?, -1))?.is_none() {
            client = None;
            continue;
        }
        written.sent_again += u64::from(tries > 1);
        written.batches.push(records);
        sequence += records as i32;
        tries = 0;
        records = 1 + random.below(RECORDS_MAX);
    }
}

/// `None` if the node was killed meanwhile; an error that a living node answered with is a violation.
fn interrupted<T>(result: Result<T, ClientError>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.code().is_none() && (error.closes_connection() || is_down(&error)) => Ok(None),
        Err(error) => bail!("the node answered a producer: {error}"),
    }
}

fn is_down(error: &ClientError) -> bool {
    matches!(error, ClientError::Unreachable { .. })
}
