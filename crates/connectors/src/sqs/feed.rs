//! A queue as it is read: what its calls are, and what lands of its messages.

use super::message::{Message, received};
use super::options::{DEDUPLICATION_ID, ENCODING, GROUP_ID, HINT, OUTSTANDING, QUEUE_URL};
use crate::aws::passes;
use crate::http_connection::HttpAnswer;
use crate::landed::Landing;
use crate::messages::{is_time, keeps_headers};
use crate::service::{Call, Done, LeaseLimits, Leased, Leases, ServiceError};
use base::options::Options;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dataflow::feed::FeedRecord;
use dataflow::table::TableDefinition;
use serde_json::{Value, json};
use std::time::Duration;

/// Entries of a call for a batch.
const BATCH_MAX: usize = 10;

pub(crate) struct ReadQueue {
    url: String,
    limits: LeaseLimits,
    deduplicates: bool,
    is_base64: bool,
    keeps_headers: bool,
}

impl ReadQueue {
    pub(super) fn new(table: &TableDefinition, options: &Options) -> ReadQueue {
        let number = |key: &str| options.integer(key).and_then(|number| u64::try_from(number).ok());
        let visibility_ms = options.duration_ms("message-timeout").unwrap_or(30_000);
        let outstanding_max = number(OUTSTANDING).unwrap_or(100) as usize;
        let messages_max = number("max-number-of-messages").unwrap_or(10) as usize;
        ReadQueue {
            url: options.text(QUEUE_URL).unwrap_or_default().to_string(),
            limits: LeaseLimits {
                messages_max,
                much: messages_max.min(outstanding_max),
                calls_max: outstanding_max.div_ceil(BATCH_MAX),
                outstanding_max,
                outstanding_bytes_max: usize::MAX,
                lease: Duration::from_secs(visibility_ms.div_ceil(1000)),
                wait: Duration::from_secs(number("wait-time-seconds").unwrap_or(20)),
            },
            deduplicates: options.boolean("deduplicate"),
            is_base64: options.text(ENCODING) == Some("base64"),
            keeps_headers: keeps_headers(table),
        }
    }

    /// A queue whose messages are read for what they say of something else.
    pub(crate) fn plain(url: &str) -> ReadQueue {
        ReadQueue {
            url: url.to_string(),
            limits: LeaseLimits {
                messages_max: BATCH_MAX,
                much: BATCH_MAX,
                calls_max: 1,
                outstanding_max: usize::MAX,
                outstanding_bytes_max: usize::MAX,
                lease: Duration::from_secs(60),
                wait: Duration::from_secs(20),
            },
            deduplicates: false,
            is_base64: false,
            keeps_headers: false,
        }
    }

    fn batch(&self, action: &str, receipts: &[&str], more: &[(&str, Value)]) -> Call {
        let entry = |(index, receipt): (usize, &&str)| {
            let mut entry = json!({"Id": index.to_string(), "ReceiptHandle": receipt});
            for (name, value) in more {
                entry[*name] = value.clone();
            }
            entry
        };
        let entries: Vec<Value> = receipts.iter().enumerate().map(entry).collect();
        let body = json!({"QueueUrl": self.url, "Entries": entries});
        Call::json("1.0", &format!("AmazonSQS.{action}"), &body)
    }
}

impl Leases for ReadQueue {
    type Message = Message;

    const RECEIPTS_MAX: usize = BATCH_MAX;
    const HINT: &'static str = HINT;

    fn limits(&self) -> LeaseLimits {
        self.limits
    }

    fn receive(&self, messages_max: usize, waits: bool) -> Call {
        let body = json!({
            "QueueUrl": self.url,
            "MaxNumberOfMessages": messages_max,
            "WaitTimeSeconds": if waits { self.limits.wait.as_secs() } else { 0 },
            "VisibilityTimeout": self.limits.lease.as_secs(),
            "MessageSystemAttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        });
        Call::json("1.0", "AmazonSQS.ReceiveMessage", &body)
    }

    fn received(&mut self, answer: &[u8]) -> Done<Vec<Leased<Message>>> {
        let leased =
            |message: Message| Leased { receipt: message.receipt.clone(), bytes: message.bytes(), message };
        Ok(received(answer)?.into_iter().map(leased).collect())
    }

    fn confirm(&self, receipts: &[&str]) -> Call {
        self.batch("DeleteMessageBatch", receipts, &[])
    }

    fn unconfirmed(&self, answer: Done<HttpAnswer>) -> Done<Vec<usize>> {
        let answer: Value = serde_json::from_slice(&answer?.body)
            .map_err(|_| ServiceError::malformed("what was deleted is no JSON"))?;
        let failed = answer["Failed"].as_array().into_iter().flatten();
        let passing = failed.filter(|failed| passes(failed["Code"].as_str().unwrap_or_default()));
        Ok(passing.filter_map(|failed| failed["Id"].as_str()?.parse().ok()).collect())
    }

    fn renew(&self, receipts: &[&str]) -> Call {
        let seconds = self.limits.lease.as_secs();
        self.batch("ChangeMessageVisibilityBatch", receipts, &[("VisibilityTimeout", seconds.into())])
    }

    fn renewed(&self, answer: Done<HttpAnswer>) -> Done<()> {
        answer.map(drop)
    }

    fn record(&self, table: &TableDefinition, message: Message, now_ms: i64) -> FeedRecord {
        let mut landing = Landing::new(table);
        landing.text("message-id", Some(&message.id));
        landing.number("sent-timestamp", message.number("SentTimestamp"));
        landing.number("first-receive-timestamp", message.number("ApproximateFirstReceiveTimestamp"));
        landing.number("receive-count", message.number("ApproximateReceiveCount"));
        landing.text("sender-id", message.fact("SenderId"));
        landing.text(GROUP_ID, message.fact("MessageGroupId"));
        landing.text(DEDUPLICATION_ID, message.fact("MessageDeduplicationId"));
        landing.text("sequence-number", message.fact("SequenceNumber"));
        let sent_ms = message.number("SentTimestamp").filter(is_time);
        landing.headers(message.attributes, self.keeps_headers);
        // What is no base64 lands as it is, and the format says what is wrong with it.
        let decoded = self.is_base64.then(|| STANDARD.decode(message.body.trim()).ok()).flatten();
        FeedRecord {
            partition: 0,
            timestamp_ms: sent_ms.unwrap_or(now_ms),
            key: None,
            value: Some(decoded.unwrap_or_else(|| message.body.into_bytes())),
            headers: landing.finish(),
            id: self.deduplicates.then(|| message.id.into_bytes()),
        }
    }
}
