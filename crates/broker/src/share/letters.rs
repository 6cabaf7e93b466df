//! Dead letters (KIP-1191): what a record looks like in the dead-letter topic of its group.
//!
//! A letter carries the record's key, value and headers, and says in headers of its own where it lay and why it is
//! dead. The letters are written in the frame that archives their records: there is never one without the other.

use super::contents::records_of;
use super::options::DeadLetters;
use super::partition::{Cause, Decided, Verdict};
use crate::broker::Broker;
use crate::errors::ApiError;
use base::{Offset, PartitionId};
use bytes::Bytes;
use eventlog::Frame;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::records::{BatchBuilder, Compression};
use std::collections::BTreeMap;

/// Kafka's names of the headers.
const TOPIC: &str = "__dlq.errors.topic";
const PARTITION: &str = "__dlq.errors.partition";
const OFFSET: &str = "__dlq.errors.offset";
const GROUP: &str = "__dlq.errors.group";
const DELIVERY_COUNT: &str = "__dlq.errors.delivery.count";
const MESSAGE: &str = "__dlq.errors.message";

/// The topic's own consent: without it a group could write anywhere.
pub(crate) const TOPIC_CONSENTS: &str = "errors.deadletterqueue.group.enable";

/// What one letter is about; letters are made before the append lock is taken, and checked under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Death {
    pub offset: i64,
    pub deliveries: i16,
    pub cause: Cause,
}

pub(crate) fn deaths(decided: &[Decided]) -> Vec<Death> {
    let deaths = decided.iter().filter_map(|one| match one.verdict {
        Verdict::Bury(cause) => Some(Death { offset: one.offset, deliveries: one.deliveries, cause }),
        _ => None,
    });
    deaths.collect()
}

/// Letters of one frame: they are copies of records, each of which may be as large as its topic allows.
pub(crate) const LETTERS_BYTES_MAX: usize = 8 << 20;

/// Letters in the form in which they are appended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Letters {
    /// What letters were wanted for …
    pub deaths: Vec<Death>,
    /// … and how many of them, from the first on, there was room for.
    pub written: usize,
    batches: Vec<(u32, Bytes)>,
    written_ms: i64,
}

/// Where dead records come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub group: &'a str,
    pub topic: &'a str,
    pub index: u32,
    pub partition: PartitionId,
}

/// Reads the dead records and makes their letters, up to a number of bytes; one at least.
pub(crate) fn write_letters(
    broker: &Broker,
    origin: Origin<'_>,
    config: &DeadLetters,
    deaths: Vec<Death>,
    now_ms: i64,
) -> Result<Letters, ApiError> {
    let bytes_max = match broker.log.topic(&config.topic) {
        Some(topic) => topic.config.max_message_bytes,
        None => broker.log.default_topic_config().max_message_bytes,
    };
    let mut letters = Letters { written_ms: now_ms, ..Letters::default() };
    let mut builder = BatchBuilder::new(Compression::None);
    let mut source: Option<(i64, i64, Option<kafka_wire::records::Records>)> = None;
    let mut bytes_left = LETTERS_BYTES_MAX;
    for death in &deaths {
        if config.copies && !source.as_ref().is_some_and(|(from, to, _)| (*from..*to).contains(&death.offset))
        {
            source = read_batch(broker, origin.partition, death.offset);
        }
        let records = source.as_ref().filter(|_| config.copies).and_then(|(_, _, records)| records.as_ref());
        let record =
            records.and_then(|records| records.iter().flatten().find(|record| record.offset == death.offset));
        let own = own_headers(origin, death);
        let mut headers: Vec<(String, Option<&[u8]>)> = Vec::new();
        let (mut key, mut value) = (None, None);
        if let Some(record) = record {
            (key, value) = (record.key, record.value);
            let copied = record.headers.filter(|header| !header.key.starts_with(b"__dlq.errors."));
            headers.extend(
                copied.map(|header| (String::from_utf8_lossy(header.key).into_owned(), header.value)),
            );
        }
        headers.extend(own.iter().map(|(name, value)| (name.to_string(), Some(value.as_bytes()))));
        let named: Vec<(&str, Option<&[u8]>)> =
            headers.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let mut alone = BatchBuilder::new(Compression::None);
        alone.append(now_ms, key, value, &named)?;
        // A record that is as large as may be has no room for our headers: then the letter says only where it lies.
        let fits = alone.size_bytes() <= bytes_max;
        let only_own: Vec<(&str, Option<&[u8]>)> =
            own.iter().map(|(name, value)| (*name, Some(value.as_bytes()))).collect();
        let (key, value, named) = if fits { (key, value, named) } else { (None, None, only_own) };
        if letters.written > 0 && alone.size_bytes() > bytes_left {
            break;
        }
        bytes_left = bytes_left.saturating_sub(alone.size_bytes());
        letters.written += 1;
        if !builder.is_empty() && builder.size_bytes() + alone.size_bytes() > bytes_max {
            letters.push(std::mem::replace(&mut builder, BatchBuilder::new(Compression::None)))?;
        }
        builder.append(now_ms, key, value, &named)?;
    }
    if !builder.is_empty() {
        letters.push(builder)?;
    }
    letters.deaths = deaths;
    Ok(letters)
}

fn own_headers(origin: Origin<'_>, death: &Death) -> [(&'static str, String); 6] {
    let message = match death.cause {
        Cause::Rejected => "Offset rejected by client.",
        Cause::DeliveryLimit => "Maximum delivery count reached.",
    };
    [
        (TOPIC, origin.topic.to_string()),
        (PARTITION, origin.index.to_string()),
        (OFFSET, death.offset.to_string()),
        (GROUP, origin.group.to_string()),
        (DELIVERY_COUNT, death.deliveries.to_string()),
        (MESSAGE, message.to_string()),
    ]
}

/// The batch with an offset: the offsets it spans, and its records if they can be read.
fn read_batch(
    broker: &Broker,
    partition: PartitionId,
    offset: i64,
) -> Option<(i64, i64, Option<kafka_wire::records::Records>)> {
    let slices = broker.log.read(partition, Offset(offset), 1).ok()?;
    let slice = slices.first()?;
    let mut bytes = Vec::new();
    slice.read(&mut bytes).ok()?;
    Some((slice.base_offset.0, slice.last_offset.0 + 1, records_of(&Bytes::from(bytes))))
}

impl Letters {
    fn push(&mut self, builder: BatchBuilder) -> Result<(), ApiError> {
        let records = u32::try_from(builder.count()).unwrap_or(u32::MAX);
        self.batches.push((records, builder.build()?));
        Ok(())
    }

    /// Appends the letters to the topic, which is made if it may be; false if it does not take them.
    pub(crate) fn append(
        &self,
        broker: &Broker,
        frame: &mut Frame<'_>,
        config: &DeadLetters,
        index: u32,
    ) -> Result<bool, ApiError> {
        if self.batches.is_empty() {
            return Ok(true);
        }
        let topic = match frame.topic(&config.topic) {
            Some(topic) => topic,
            None => {
                let key = "errors.deadletterqueue.auto.create.topics.enable";
                if broker.config.text(key) != Some("true") {
                    return Ok(false);
                }
                let given = BTreeMap::from([(TOPIC_CONSENTS.to_string(), "true".to_string())]);
                frame.create_topic(&config.topic, broker.config.partitions_default, given)?;
                let created = frame.topic(&config.topic);
                created.ok_or_else(|| ApiError::from(ErrorCode::UnknownServerError))?
            }
        };
        if topic.config.text(TOPIC_CONSENTS).as_deref() != Some("true") {
            return Ok(false);
        }
        let at = index as usize % topic.partitions.len().max(1);
        let Some(partition) = topic.partitions.get(at) else { return Ok(false) };
        for (records, bytes) in &self.batches {
            frame.batch(*partition, *records, self.written_ms, bytes)?;
        }
        Ok(true)
    }
}
