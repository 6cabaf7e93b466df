//! A stream as a target: the outbox's records become the stream's.

use super::options::{BATCH_SIZE, FAILS, HINT, IN_FLIGHT, ORDERING, PARTITION_KEY, PARTITIONER, StreamName};
use super::{call, stream};
use crate::http_answers::shown;
use crate::landed::Carried;
use crate::messages::hashed;
use crate::service::{BatchTarget, Call, Done, Entry, Failure, Limits, ServiceError};
use base::options::Options;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kafka_wire::records::Record;
use serde_json::{Value, json};

/// Of one call, keys included; a longer record goes alone.
const CALL_BYTES_MAX: usize = 5 << 20;
/// A record with its key, since 2025, where the stream says so; 1 MiB where it says nothing.
const RECORD_BYTES_MAX: usize = 10 << 20;
/// A key is not longer; what a longer one has behind is left out, as Flink does it.
const KEY_CHARACTERS_MAX: usize = 256;

pub(crate) struct Stream {
    stream: StreamName,
    /// Of this sink of this job.
    identity: String,
    has_fixed_key: bool,
    is_ordered: bool,
    limits: Limits,
}

impl Stream {
    pub(super) fn new(options: &Options, identity: &str) -> Stream {
        let number = |key: &str, otherwise: i64| options.integer(key).unwrap_or(otherwise).max(1) as usize;
        Stream {
            stream: stream(options),
            identity: hashed(identity),
            has_fixed_key: options.text(PARTITIONER) == Some("fixed"),
            is_ordered: options.text(ORDERING) != Some("none"),
            limits: Limits {
                fails_at_once: options.boolean(FAILS),
                ..Limits::of_entries(number(BATCH_SIZE, 500), CALL_BYTES_MAX, number(IN_FLIGHT, 16))
            },
        }
    }
}

impl BatchTarget for Stream {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn look(&self) -> Call {
        call("DescribeStreamSummary", self.stream.fields(), &[])
    }

    fn entry(&self, record: &Record<'_>) -> Result<Entry, String> {
        let carried = Carried::of(record);
        let mut entry = Entry::of(record);
        let of_columns = || record.key.map(|key| String::from_utf8_lossy(key).into_owned());
        let given = carried.text(PARTITION_KEY).or_else(of_columns);
        let key = match given {
            Some(key) => key.chars().take(KEY_CHARACTERS_MAX).collect(),
            None if self.has_fixed_key => self.identity.clone(),
            // What is sent again has the same.
            None => hashed(&format!("{}/{}", self.identity, record.offset)),
        };
        if key.is_empty() {
            return Err("its partition key is empty".into());
        }
        entry.bytes = entry.value.len() + key.len();
        if entry.bytes > RECORD_BYTES_MAX {
            return Err(format!(
                "it has {} bytes with its key, and a stream takes {RECORD_BYTES_MAX}",
                entry.bytes
            ));
        }
        entry.set("Data", Some(STANDARD.encode(&entry.value)));
        entry.set("PartitionKey", Some(key.as_str()));
        entry.ordered_by = Some(key).filter(|_| self.is_ordered);
        Ok(entry)
    }

    fn call(&self, entries: &[Entry]) -> Call {
        let records: Vec<Value> = entries.iter().map(|entry| Value::Object(entry.fields.clone())).collect();
        call("PutRecords", self.stream.fields(), &[("Records", json!(records))])
    }

    fn failures(&self, answer: &[u8], entries: &[Entry]) -> Done<Vec<Option<Failure>>> {
        let malformed = || ServiceError::malformed("what was sent is not said");
        let answer: Value = serde_json::from_slice(answer).map_err(|_| malformed())?;
        let said = answer["Records"].as_array().filter(|said| said.len() == entries.len());
        let one = |record: &Value| match (record["SequenceNumber"].as_str(), record["ErrorCode"].as_str()) {
            (_, Some(code)) => {
                let message = record["ErrorMessage"].as_str().unwrap_or_default();
                // Single records fail for what passes alone: too much is asked of a shard, or the service fails.
                let reason = shown(&format!("AWS says: {message} (code {code})"));
                Ok(Some(Failure { is_passing: true, reason }))
            }
            (Some(_), None) => Ok(None),
            (None, None) => Err(malformed()),
        };
        said.ok_or_else(malformed)?.iter().map(one).collect()
    }

    fn is_of_entries(&self, error: &ServiceError) -> bool {
        error.is_one_of(&["InvalidArgumentException", "ValidationException"])
    }

    fn hint(&self) -> &'static str {
        HINT
    }
}
