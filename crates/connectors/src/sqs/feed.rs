//! Brings the messages of a queue: received, landed, then deleted.
//!
//! While nothing comes, one call waits in the service. Once it brings as much as a call can, several are made at once, until
//! they bring little. What is held (received and not polled, or polled and not confirmed) has its visibility renewed when half
//! of it is over, so that nobody else gets it; what was held for longer than that is given up, and comes again.

use super::message::{Message, received};
use super::options::{DEDUPLICATION_ID, ENCODING, GROUP_ID, OUTSTANDING, QUEUE_URL};
use crate::aws::{Access, AwsError, Call, Cause, Client, Done, passes, source_error};
use crate::landed::Landing;
use crate::messages::{HAUL_BYTES_MAX, is_time, keeps_headers};
use crate::socket::monotonic;
use base::ErrorKind;
use base::options::Options;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dataflow::feed::{Feed, FeedRecord, Haul};
use dataflow::source::SourceError;
use dataflow::table::TableDefinition;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Entries of a call for a batch.
const BATCH_MAX: usize = 10;
/// How often what passes is tried again when messages are deleted.
const DELETES_MAX: u32 = 4;

pub(super) struct QueueFeed {
    table: Arc<TableDefinition>,
    access: Access,
    queue: Queue,
    /// Messages that may be received and not confirmed.
    outstanding_max: usize,
    deduplicates: bool,
    is_base64: bool,
    keeps_headers: bool,
    open: Option<Open>,
}

/// How messages are received.
struct Queue {
    url: String,
    /// One call's messages.
    messages_max: usize,
    wait_seconds: u64,
    visibility: Duration,
}

struct Open {
    client: Client,
    /// Received and not polled.
    held: VecDeque<Held>,
    /// Polled and not confirmed.
    polled: VecDeque<Polled>,
    last_ticket: u64,
    /// The last calls brought much: the next ones do not wait.
    is_busy: bool,
}

struct Held {
    message: Message,
    since: Duration,
}

struct Polled {
    ticket: u64,
    receipt: String,
    since: Duration,
}

impl Queue {
    fn receive(&self, wait_seconds: u64) -> Call {
        let body = json!({
            "QueueUrl": self.url,
            "MaxNumberOfMessages": self.messages_max,
            "WaitTimeSeconds": wait_seconds,
            "VisibilityTimeout": self.visibility.as_secs(),
            "MessageSystemAttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        });
        Call::json("1.0", "AmazonSQS.ReceiveMessage", &body)
    }

    fn delete(&self, receipts: &[String]) -> Call {
        let entries: Vec<Value> = receipts
            .iter()
            .enumerate()
            .map(|(index, receipt)| json!({"Id": index.to_string(), "ReceiptHandle": receipt}))
            .collect();
        let body = json!({"QueueUrl": self.url, "Entries": entries});
        Call::json("1.0", "AmazonSQS.DeleteMessageBatch", &body)
    }

    fn renew(&self, receipts: &[&str]) -> Call {
        let seconds = self.visibility.as_secs();
        let entries: Vec<Value> = receipts
            .iter()
            .enumerate()
            .map(|(index, receipt)| {
                json!({"Id": index.to_string(), "ReceiptHandle": receipt, "VisibilityTimeout": seconds})
            })
            .collect();
        let body = json!({"QueueUrl": self.url, "Entries": entries});
        Call::json("1.0", "AmazonSQS.ChangeMessageVisibilityBatch", &body)
    }
}

impl Open {
    fn outstanding(&self) -> usize {
        self.held.len() + self.polled.len()
    }

    fn hold(&mut self, messages: Vec<Message>, now: Duration) {
        self.held.extend(messages.into_iter().map(|message| Held { message, since: now }));
    }

    /// Makes as many calls at once as messages may come; answers how many came.
    fn receive_at_once(&mut self, queue: &Queue, outstanding_max: usize, now: Duration) -> Done<usize> {
        let free = outstanding_max.saturating_sub(self.outstanding());
        let count = free.div_ceil(queue.messages_max).min(self.client.lanes());
        let calls = vec![queue.receive(0); count];
        let before = self.held.len();
        let mut failed = None;
        for answer in self.client.call_all(&calls) {
            // What other calls brought is held by us alone, so it is kept.
            match answer.and_then(|answer| received(&answer.body)) {
                Ok(messages) => self.hold(messages, now),
                Err(error) => failed = Some(error),
            }
        }
        let came = self.held.len() - before;
        self.is_busy = came > count * queue.messages_max / 2 && came > 1;
        match failed {
            Some(error) if came == 0 => Err(error),
            _ => Ok(came),
        }
    }

    /// Takes what the call brought that waits in the service, if it is back within `wait`.
    fn receive_long(&mut self, queue: &Queue, wait: Duration, now: impl Fn() -> Duration) -> Done<()> {
        match self.client.end_long(wait) {
            Ok(None) => Ok(()),
            Ok(Some(answer)) => {
                let messages = received(&answer.body)?;
                self.is_busy = messages.len() >= queue.messages_max;
                self.hold(messages, now());
                Ok(())
            }
            // A call that does not wait is made again by itself, with other keys if there are.
            Err(error) if error.cause != Cause::Other => {
                self.receive_at_once(queue, queue.messages_max, now()).map(drop)
            }
            Err(error) => Err(error),
        }
    }

    /// Renews the visibility of what is held, when half of it is over; gives up what is held for longer than that.
    fn renew(&mut self, queue: &Queue, now: Duration) -> Done<()> {
        self.held.retain(|held| now.saturating_sub(held.since) < queue.visibility);
        let half = queue.visibility / 2;
        let is_due = |since: Duration| now.saturating_sub(since) >= half;
        let held =
            self.held.iter().filter(|held| is_due(held.since)).map(|held| held.message.receipt.as_str());
        let polled =
            self.polled.iter().filter(|polled| is_due(polled.since)).map(|polled| polled.receipt.as_str());
        let receipts: Vec<&str> = held.chain(polled).collect();
        if receipts.is_empty() {
            return Ok(());
        }
        let calls: Vec<Call> = receipts.chunks(BATCH_MAX).map(|receipts| queue.renew(receipts)).collect();
        // Single messages may be gone, which is seen when they are deleted.
        for answer in self.client.call_all(&calls) {
            answer?;
        }
        let sinces = self.held.iter_mut().map(|held| &mut held.since);
        for since in sinces.chain(self.polled.iter_mut().map(|polled| &mut polled.since)) {
            if now.saturating_sub(*since) >= half {
                *since = now;
            }
        }
        Ok(())
    }

    /// Deletes messages. One that cannot be deleted comes again, and is left out then.
    fn delete(&mut self, queue: &Queue, mut receipts: Vec<String>) -> Done<()> {
        let mut tries = 0;
        while !receipts.is_empty() {
            let batches: Vec<&[String]> = receipts.chunks(BATCH_MAX).collect();
            let calls: Vec<Call> = batches.iter().map(|receipts| queue.delete(receipts)).collect();
            let mut again = Vec::new();
            for (answer, receipts) in self.client.call_all(&calls).into_iter().zip(batches) {
                let answer: Value = serde_json::from_slice(&answer?.body)
                    .map_err(|_| AwsError::malformed("what was deleted is no JSON"))?;
                for failed in answer["Failed"].as_array().into_iter().flatten() {
                    let index: Option<usize> = failed["Id"].as_str().and_then(|id| id.parse().ok());
                    let is_passing = passes(failed["Code"].as_str().unwrap_or_default());
                    again.extend(index.and_then(|index| receipts.get(index)).filter(|_| is_passing).cloned());
                }
            }
            tries += 1;
            if tries == DELETES_MAX {
                break;
            }
            if !again.is_empty() {
                self.client.pause(tries);
            }
            receipts = again;
        }
        Ok(())
    }
}

impl QueueFeed {
    pub(super) fn new(table: Arc<TableDefinition>, access: Access, options: &Options) -> QueueFeed {
        let number = |key: &str| options.integer(key).and_then(|number| u64::try_from(number).ok());
        let visibility_ms = options.duration_ms("message-timeout").unwrap_or(30_000);
        let outstanding_max = number(OUTSTANDING).unwrap_or(100) as usize;
        QueueFeed {
            queue: Queue {
                url: options.text(QUEUE_URL).unwrap_or_default().to_string(),
                messages_max: (number("max-number-of-messages").unwrap_or(10) as usize).min(outstanding_max),
                wait_seconds: number("wait-time-seconds").unwrap_or(20),
                visibility: Duration::from_secs(visibility_ms.div_ceil(1000)),
            },
            outstanding_max,
            deduplicates: options.boolean("deduplicate"),
            is_base64: options.text(ENCODING) == Some("base64"),
            keeps_headers: keeps_headers(&table),
            open: None,
            table,
            access,
        }
    }

    fn now(&self) -> Duration {
        monotonic(&*self.access.os().clock)
    }

    /// With an error what is held is given up: it comes again.
    fn with<T>(&mut self, call: impl FnOnce(&mut Open, &Queue) -> Done<T>) -> Result<T, SourceError> {
        let called = match &mut self.open {
            Some(open) => call(open, &self.queue),
            None => Err(AwsError::unavailable("the queue is not open")),
        };
        called.map_err(|error| {
            self.open = None;
            let error = match error.kind {
                ErrorKind::NotFound => AwsError {
                    message: format!(
                        "{}; create the queue, or look at 'queue-url' and 'aws.region'",
                        error.message
                    ),
                    ..error
                },
                _ => error,
            };
            source_error(&self.table, error)
        })
    }

    fn record(&self, message: Message) -> FeedRecord {
        let mut landing = Landing::new(&self.table);
        landing.text("message-id", Some(&message.id));
        landing.number("sent-timestamp", message.number("SentTimestamp"));
        landing.number("first-receive-timestamp", message.number("ApproximateFirstReceiveTimestamp"));
        landing.number("receive-count", message.number("ApproximateReceiveCount"));
        landing.text("sender-id", message.fact("SenderId"));
        landing.text(GROUP_ID, message.fact("MessageGroupId"));
        landing.text(DEDUPLICATION_ID, message.fact("MessageDeduplicationId"));
        landing.text("sequence-number", message.fact("SequenceNumber"));
        let sent_ms = message.number("SentTimestamp").filter(is_time);
        if self.keeps_headers {
            for (name, value) in message.attributes {
                landing.header(&name, value);
            }
        }
        // What is no base64 lands as it is, and the format says what is wrong with it.
        let decoded = self.is_base64.then(|| STANDARD.decode(message.body.trim()).ok()).flatten();
        FeedRecord {
            partition: 0,
            timestamp_ms: sent_ms.unwrap_or_else(|| self.access.os().clock.now_ms()),
            key: None,
            value: Some(decoded.unwrap_or_else(|| message.body.into_bytes())),
            headers: landing.finish(),
            id: self.deduplicates.then(|| message.id.into_bytes()),
        }
    }
}

impl Feed for QueueFeed {
    fn open(&mut self, _position: Option<&[u8]>) -> Result<(), SourceError> {
        let lanes = self.outstanding_max.div_ceil(BATCH_MAX);
        let client = self.access.client(lanes).map_err(|error| source_error(&self.table, error))?;
        let (held, polled) = (VecDeque::new(), VecDeque::new());
        self.open = Some(Open { client, held, polled, last_ticket: 0, is_busy: false });
        // It is seen at once whether there is such a queue and we are let in.
        let (now, messages_max) = (self.now(), self.queue.messages_max);
        self.with(|open, queue| open.receive_at_once(queue, messages_max, now).map(drop))
    }

    fn poll(&mut self, wait_ms: u64) -> Result<Haul, SourceError> {
        let (clock, outstanding_max) = (self.access.os().clock.clone(), self.outstanding_max);
        let now = || monotonic(&*clock);
        self.with(|open, queue| {
            open.renew(queue, now())?;
            if !open.held.is_empty() || open.outstanding() + queue.messages_max > outstanding_max {
                return Ok(());
            }
            if open.client.is_long_under_way() || !open.is_busy {
                if !open.client.is_long_under_way() {
                    let wait = Duration::from_secs(queue.wait_seconds);
                    open.client.begin_long(queue.receive(queue.wait_seconds), wait)?;
                }
                open.receive_long(queue, Duration::from_millis(wait_ms), now)
            } else {
                open.receive_at_once(queue, outstanding_max, now()).map(drop)
            }
        })?;
        let mut haul = Haul::default();
        let Some(open) = &mut self.open else { return Ok(haul) };
        let (mut taken, mut bytes) = (Vec::new(), 0);
        open.last_ticket += 1;
        while bytes < HAUL_BYTES_MAX
            && let Some(Held { message, since }) = open.held.pop_front()
        {
            bytes += message.bytes();
            open.polled.push_back(Polled {
                ticket: open.last_ticket,
                receipt: message.receipt.clone(),
                since,
            });
            taken.push(message);
        }
        haul.ticket = open.last_ticket;
        haul.records = taken.into_iter().map(|message| self.record(message)).collect();
        Ok(haul)
    }

    fn confirm(&mut self, ticket: u64) -> Result<(), SourceError> {
        self.with(|open, queue| {
            let count = open.polled.partition_point(|polled| polled.ticket <= ticket);
            let receipts = open.polled.drain(..count).map(|polled| polled.receipt).collect();
            open.delete(queue, receipts)
        })
    }

    /// Takes what comes of the call that waits in the service, and begins no other.
    fn keep_alive(&mut self) -> Result<(), SourceError> {
        let clock = self.access.os().clock.clone();
        let now = || monotonic(&*clock);
        self.with(|open, queue| {
            open.receive_long(queue, Duration::ZERO, now)?;
            open.renew(queue, now())
        })
    }
}
