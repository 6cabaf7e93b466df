//! A queue as a target: the outbox's records become messages.
//!
//! What is sent again, because it was taken and not yet noted when the node died, has the same deduplication id, of which a
//! FIFO queue takes none twice within 5 minutes.

use super::message::{Taken, attributes};
use super::options::{
    BATCH_SIZE, DEDUPLICATION_ID, DELAY, ENCODING, GROUP_ID, IN_FLIGHT, QUEUE_URL, is_fifo,
};
use crate::aws::passes;
use crate::http_answers::shown;
use crate::landed::Carried;
use crate::messages::hashed;
use crate::service::{BatchTarget, Call, Done, Entry, Failure, Limits, ServiceError};
use base::options::Options;
use kafka_wire::records::Record;
use serde_json::{Value, json};

/// Bytes of a batch that every server takes; a longer message goes alone.
const BATCH_BYTES_MAX: usize = 256 << 10;
/// What an entry has besides its body and attributes, at most.
const ENTRY_BYTES: usize = 1 << 10;

pub(crate) struct Queue {
    url: String,
    is_fifo: bool,
    is_base64: bool,
    group_id: Option<String>,
    delay_seconds: Option<i64>,
    batch_max: usize,
    calls_in_flight: usize,
    /// Deduplication ids begin with it.
    name: String,
}

impl Queue {
    pub(super) fn new(options: &Options, identity: &str) -> Queue {
        let url = options.text(QUEUE_URL).unwrap_or_default().to_string();
        let number = |key: &str, otherwise: i64| options.integer(key).unwrap_or(otherwise).max(1) as usize;
        let is_fifo = is_fifo(&url);
        Queue {
            url,
            is_base64: options.text(ENCODING) == Some("base64"),
            group_id: options.text(GROUP_ID).map(str::to_string),
            delay_seconds: options.integer(DELAY),
            batch_max: number(BATCH_SIZE, 10).min(10),
            // Several calls at once would change a FIFO queue's order.
            calls_in_flight: if is_fifo { 1 } else { number(IN_FLIGHT, 8) },
            name: hashed(identity),
            is_fifo,
        }
    }
}

impl BatchTarget for Queue {
    fn limits(&self) -> Limits {
        Limits::of_entries(self.batch_max, BATCH_BYTES_MAX, self.calls_in_flight)
    }

    fn look(&self) -> Call {
        super::attributes(&self.url)
    }

    fn entry(&self, record: &Record<'_>) -> Result<Entry, String> {
        let mut carried = Carried::of(record);
        let mut entry = Entry::of(record);
        let body = Taken::BY_QUEUES.body(&entry.value, self.is_base64)?;
        Taken::BY_QUEUES.fit(&body, &mut carried)?;
        let attributes = attributes(&carried.headers);
        entry.bytes = body.len() + attributes.to_string().len() + ENTRY_BYTES;
        entry.set("MessageBody", Some(body));
        let has_some = attributes.as_object().is_some_and(|all| !all.is_empty());
        entry.set("MessageAttributes", Some(attributes).filter(|_| has_some));
        entry.set("MessageGroupId", carried.text(GROUP_ID).or_else(|| self.group_id.clone()));
        let delay = carried.number(DELAY).or(self.delay_seconds);
        entry.set("DelaySeconds", delay.filter(|_| !self.is_fifo));
        if self.is_fifo {
            let made = || format!("{}-{}", self.name, record.offset);
            let id = carried.text(DEDUPLICATION_ID).unwrap_or_else(made);
            entry.set("MessageDeduplicationId", Some(id));
            if !entry.fields.contains_key("MessageGroupId") {
                return Err(format!("its '{GROUP_ID}' is NULL, and messages of a FIFO queue have a group"));
            }
        }
        Ok(entry)
    }

    fn call(&self, entries: &[Entry]) -> Call {
        let entries: Vec<Value> =
            entries.iter().enumerate().map(|(index, entry)| entry.numbered(index)).collect();
        let body = json!({"QueueUrl": self.url, "Entries": entries});
        Call::json("1.0", "AmazonSQS.SendMessageBatch", &body)
    }

    fn failures(&self, answer: &[u8], entries: &[Entry]) -> Done<Vec<Option<Failure>>> {
        let malformed = || ServiceError::malformed("what was sent is not said");
        let answer: Value = serde_json::from_slice(answer).map_err(|_| malformed())?;
        let said = |list: &str, index: usize| {
            let id = index.to_string();
            answer[list].as_array()?.iter().find(|entry| entry["Id"].as_str() == Some(&id))
        };
        let one = |index: usize| {
            if said("Successful", index).is_some() {
                return Ok(None);
            }
            let failure = said("Failed", index).ok_or_else(malformed)?;
            let text = |name: &str| failure[name].as_str().unwrap_or_default();
            let is_ours = failure["SenderFault"].as_bool().unwrap_or(false);
            let reason = shown(&format!("AWS says: {} (code {})", text("Message"), text("Code")));
            Ok(Some(Failure { is_passing: !is_ours || passes(text("Code")), reason }))
        };
        (0..entries.len()).map(one).collect()
    }

    fn is_of_entries(&self, error: &ServiceError) -> bool {
        error.is_one_of(&[
            "BatchRequestTooLong",
            "InvalidMessageContents",
            "InvalidParameterValue",
            "InvalidParameterValueException",
            "MissingParameter",
            "UnsupportedOperation",
        ])
    }

    fn hint(&self) -> &'static str {
        super::options::HINT
    }
}
