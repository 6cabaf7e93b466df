//! `sqs`: queues of Amazon SQS, standard and FIFO, and of servers that speak its protocol.
//!
//! Reading is a feed: what is received lands in the log and is deleted from the queue when it is durable there; a message that
//! comes again is left out by its id. Writing is an outbox, sent in batches.

mod feed;
mod message;
mod options;
mod sink;

use crate::aws::{self, Access};
use crate::kafka::{Node, landed_source};
use crate::landed::{HEADERS, headers_type, instant_type};
use crate::messages::MessageEncoder;
use crate::option_problem;
use crate::positions::Positions;
use crate::table_format::{self, Checked, Formats};
use arrow_schema::DataType;
use dataflow::connector::{
    Connector, ConnectorError, ConnectorSpec, MetadataSpec, Probed, Role, SourceRequest,
};
use dataflow::feed::{Feed, FeedRequest};
use dataflow::plan::Changelog;
use dataflow::sink::Sink;
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use std::sync::Arc;
use std::time::Duration;

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

pub(crate) struct Sqs {
    node: Node,
}

impl Sqs {
    pub(crate) fn new(node: Node) -> Sqs {
        Sqs { node }
    }

    fn checked(&self, table: &TableDefinition, role: Role) -> Result<Checked, Vec<ConnectorError>> {
        let mut checked = table_format::check(table, options::QUEUES, Formats::Message)?;
        let mut errors = options::problems(table, &checked, &self.metadata(), role);
        let letters = checked.options.text(aws::options::DEAD_LETTER_TOPIC);
        let keeps_going = checked.value.ignores_errors() || letters.is_some();
        let queue = checked.options.text(options::QUEUE_URL).unwrap_or_default();
        let subject = format!("{}-value", queue.rsplit('/').next().unwrap_or_default());
        errors.extend(self.node.give_registry(table, &mut checked.value, subject, keeps_going).err());
        errors.extend(checked.value.schema_problem(table, &table.schema, &[], role));
        if errors.is_empty() { Ok(checked) } else { Err(errors) }
    }

    /// The same where the first problem is enough, and how the queue is reached.
    fn ready(&self, table: &TableDefinition, role: Role) -> Result<(Checked, Access), ConnectorError> {
        let checked = self.checked(table, role).map_err(|mut errors| errors.remove(0))?;
        let problem = |message: String| option_problem(table, options::QUEUE_URL, message);
        let url = options::queue_url(&checked.options).map_err(problem)?;
        let region = aws::region_of_host(&url.host);
        let access = Access::new(self.node.os(), &checked.options, "sqs", region, Some(&url));
        let access = access.map_err(|message| aws::access_problem(table, message))?;
        Ok((checked, access))
    }
}

impl Connector for Sqs {
    fn spec(&self) -> &'static ConnectorSpec {
        &SPEC
    }

    fn metadata(&self) -> Vec<MetadataSpec> {
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

    fn check(&self, table: &TableDefinition, role: Role) -> Result<(), Vec<ConnectorError>> {
        self.checked(table, role).map(drop)
    }

    fn is_bounded(&self, _table: &TableDefinition) -> bool {
        false
    }

    fn source_changelog(&self, table: &TableDefinition) -> Changelog {
        table_format::changelog(table, &["format"])
    }

    fn sink_changelog(&self, table: &TableDefinition) -> Changelog {
        table_format::changelog(table, &["format"])
    }

    fn lands(&self, _table: &TableDefinition) -> bool {
        true
    }

    fn feed(&self, request: FeedRequest) -> Result<Box<dyn Feed>, ConnectorError> {
        let (checked, access) = self.ready(&request.table, Role::Source)?;
        Ok(Box::new(feed::QueueFeed::new(request.table, access, &checked.options)))
    }

    fn probe(&self, table: &TableDefinition, role: Role, timeout_ms: u64) -> Vec<Probed> {
        match self.ready(table, role) {
            Err(error) => vec![Probed::failed("declared", error)],
            Ok((checked, access)) => {
                let access = access.with_timeout(Duration::from_millis(timeout_ms));
                probe(&access, checked.options.text(options::QUEUE_URL).unwrap_or_default())
            }
        }
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        let checked = self.checked(&request.table, Role::Source).map_err(|mut errors| errors.remove(0))?;
        let log = self.node.log(&request.table)?;
        landed_source(log, request, checked, self.metadata())
    }

    fn sink(&self, table: &Arc<TableDefinition>, job: &str) -> Result<Sink, ConnectorError> {
        let log = self.node.log(table)?;
        let (checked, access) = self.ready(table, Role::Sink)?;
        let rows = MessageEncoder::new(table, &checked)?;
        let positions = Positions::new(self.node.os().clone(), log, format!("sqs/{job}"));
        let sink = sink::QueueSink::new(table.clone(), access, rows, positions, &checked.options, job);
        Ok(Sink::Outbox(Box::new(sink)))
    }
}

/// Asks for what the queue says of itself, which takes nothing out of it.
fn attributes(queue_url: &str) -> aws::Call {
    let names = ["ApproximateNumberOfMessages", "QueueArn"];
    let body = serde_json::json!({"QueueUrl": queue_url, "AttributeNames": names});
    aws::Call::json("1.0", "AmazonSQS.GetQueueAttributes", &body)
}

fn probe(access: &Access, queue_url: &str) -> Vec<Probed> {
    let asked = access.client(1).and_then(|mut client| client.call(&attributes(queue_url)));
    match asked {
        Err(error) => vec![Probed::failed("queue", error.message)],
        Ok(answer) => {
            let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let text = |name: &str| answer["Attributes"][name].as_str().unwrap_or("?").to_string();
            let found =
                format!("{}, about {} messages", text("QueueArn"), text("ApproximateNumberOfMessages"));
            vec![Probed::well("queue", found)]
        }
    }
}
