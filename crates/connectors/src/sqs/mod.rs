//! `sqs`: queues of Amazon SQS, standard and FIFO, and of servers that speak its protocol.
//!
//! Reading is a feed: what is received lands in the log and is deleted from the queue when it is durable there; a message that
//! comes again is left out by its id. Writing is an outbox, sent in batches.

mod feed;
pub(crate) mod message;
mod options;
mod sink;

pub(crate) use feed::ReadQueue;
pub(crate) use message::Message;

use crate::aws;
use crate::landed::{HEADERS, headers_type, instant_type};
use crate::service::{Access, Call, Client, Done, LeaseFeed, Service};
use arrow_schema::DataType;
use base::options::Options;
use dataflow::connector::{ConnectorError, ConnectorSpec, MetadataSpec, Role};
use dataflow::feed::Feed;
use dataflow::table::TableDefinition;
use os::Os;
use std::sync::Arc;

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "sqs",
    doc: "A queue of Amazon SQS, standard or FIFO: its messages are deleted when they lie in the log. Messages are sent in batches.",
    options: options::QUEUES,
    formats: formats::FormatKind::names(),
    reads: true,
    writes: true,
    source_guarantee: "effectively once (left out by message id for 24 hours or 5 million messages; deleted when they lie in the \
                       log)",
    sink_guarantee: "at least once; a FIFO queue takes what is sent again within 5 minutes once (deduplication id of the outbox's \
                     offset)",
};

pub(crate) struct Sqs;

impl Service for Sqs {
    type Target = sink::Queue;

    const SPEC: &'static ConnectorSpec = &SPEC;
    const PLACE: &'static str = options::QUEUE_URL;
    const REACHED_BY: &'static str = aws::options::REGION;

    fn metadata() -> Vec<MetadataSpec> {
        let spec =
            |key, data_type, writable, doc| MetadataSpec { key, data_type, nullable: true, writable, doc };
        vec![
            spec("message-id", DataType::Utf8, false, "The id that the queue gave the message."),
            spec("sent-timestamp", instant_type(), false, "When the message was sent."),
            spec(
                "first-receive-timestamp",
                instant_type(),
                false,
                "When it was received for the first time.",
            ),
            spec("receive-count", DataType::Int64, false, "About how often it was received."),
            spec("sender-id", DataType::Utf8, false, "Who has sent it."),
            spec(
                options::GROUP_ID,
                DataType::Utf8,
                true,
                "Its group, within which a FIFO queue keeps the order.",
            ),
            spec(
                options::DEDUPLICATION_ID,
                DataType::Utf8,
                true,
                "By which a FIFO queue takes it once within 5 minutes; a sink makes one from its job and the row's offset.",
            ),
            spec(
                "sequence-number",
                DataType::Utf8,
                false,
                "Its place in a FIFO queue: a number of 20 digits.",
            ),
            spec(options::DELAY, DataType::Int32, true, "For so many seconds nobody gets it."),
            MetadataSpec {
                key: HEADERS,
                data_type: headers_type(),
                nullable: false,
                writable: true,
                doc: "The message's attributes, 10 at most; what is no text is binary.",
            },
        ]
    }

    fn problems(table: &TableDefinition, options: &Options, role: Role) -> Vec<ConnectorError> {
        let mut errors = aws::options::problems(table, options);
        errors.extend(options::problems(table, options, role));
        errors
    }

    fn name(options: &Options, _role: Role) -> Result<String, String> {
        let url = options::queue_url(options)?;
        Ok(url.path.rsplit('/').next().unwrap_or_default().to_string())
    }

    fn access(os: &Os, options: &Options) -> Result<Access, String> {
        let url = options::queue_url(options)?;
        aws::access(os, options, "sqs", aws::region_of_host(&url.host), Some(&url))
    }

    fn feed(table: Arc<TableDefinition>, access: Access, options: &Options) -> Option<Box<dyn Feed>> {
        let queue = feed::ReadQueue::new(&table, options);
        Some(Box::new(LeaseFeed::new(table, access, queue)))
    }

    fn target(_table: &TableDefinition, options: &Options, job: &str) -> sink::Queue {
        sink::Queue::new(options, job)
    }

    fn look(client: &mut Client, options: &Options, _role: Role) -> (&'static str, Done<String>) {
        let asked = client.call(&attributes(options.text(options::QUEUE_URL).unwrap_or_default()));
        let found = asked.map(|answer| {
            let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let text = |name: &str| answer["Attributes"][name].as_str().unwrap_or("?").to_string();
            format!("{}, about {} messages", text("QueueArn"), text("ApproximateNumberOfMessages"))
        });
        ("queue", found)
    }
}

/// Asks for what the queue says of itself, which takes nothing out of it.
fn attributes(queue_url: &str) -> Call {
    let names = ["ApproximateNumberOfMessages", "QueueArn"];
    let body = serde_json::json!({"QueueUrl": queue_url, "AttributeNames": names});
    Call::json("1.0", "AmazonSQS.GetQueueAttributes", &body)
}
