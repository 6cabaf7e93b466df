//! The options of `sns`: the names of Amazon's API and of Redpanda Connect's `aws_sns`, with hyphens; those of its batches are
//! Flink's.

use crate::aws::options::{COUNT, DEAD_LETTER_TOPIC, with_common};
use crate::table_format::FORMAT;
use crate::{CONNECTOR, option_problem, optional};
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::{ConnectorError, Role};
use dataflow::table::TableDefinition;

pub(super) const ARN: &str = "topic-arn";
pub(super) const SUBJECT: &str = "subject";
pub(super) const GROUP_ID: &str = "message-group-id";
pub(super) const DEDUPLICATION_ID: &str = "message-deduplication-id";
pub(super) const ENCODING: &str = "body-encoding";
pub(super) const BATCH_SIZE: &str = "sink.batch.max-size";
pub(super) const IN_FLIGHT: &str = "sink.requests.max-inflight";

/// What to do where there is no such topic.
pub(super) const HINT: &str = "create the topic, or look at 'topic-arn' and 'aws.region'";

const OWN: usize = 10;

const OWN_OPTIONS: [OptionSpec; OWN] = [
    CONNECTOR,
    OptionSpec {
        key: ARN,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "The topic. It must be there. One that ends in `.fifo` is a FIFO topic.",
        example: "arn:aws:sns:eu-central-1:123456789012:orders",
    },
    FORMAT,
    optional(
        ENCODING,
        OptionKind::OneOf(&["text", "base64"]),
        Some("text"),
        "How the format's bytes become a message, which is a text: as they are, or in base64 as binary formats need it.",
        "base64",
    ),
    optional(
        SUBJECT,
        OptionKind::Text,
        None,
        "The subject of messages whose row has none in the metadata column `subject`.",
        "An order",
    ),
    optional(
        GROUP_ID,
        OptionKind::Text,
        None,
        "The group of messages whose row has none in the metadata column `message-group-id`. A FIFO topic needs one of both.",
        "orders",
    ),
    optional(
        BATCH_SIZE,
        OptionKind::Integer { min: 1, max: 10 },
        Some("10"),
        "So many messages at most are published by one call.",
        "1",
    ),
    optional(
        IN_FLIGHT,
        OptionKind::Integer { min: 1, max: 50 },
        Some("8"),
        "So many calls are under way at once; one at a time to a FIFO topic, whose order they would change.",
        "1",
    ),
    optional(
        DEAD_LETTER_TOPIC,
        OptionKind::Text,
        None,
        "Messages that the topic refuses go to this topic of the embedded log with the reason in a header, and the job goes on. \
         Without it they fail the job.",
        "orders-rejected",
    ),
    crate::SINK_RATE_LIMIT,
];

const ALL: [OptionSpec; OWN + COUNT] = with_common(OWN_OPTIONS);

pub(super) const TOPICS: &[OptionSpec] = &ALL;

/// A topic's name in its ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TopicName {
    pub name: String,
    pub region: String,
}

impl TopicName {
    pub(super) fn of(options: &Options) -> Result<TopicName, String> {
        let arn = options.text(ARN).unwrap_or_default();
        match arn.split(':').collect::<Vec<&str>>().as_slice() {
            ["arn", _, "sns", region, _, name] if !region.is_empty() && !name.is_empty() => {
                Ok(TopicName { name: name.to_string(), region: region.to_string() })
            }
            _ => Err(format!(
                "'{ARN}': '{}' is no topic: write arn:aws:sns:REGION:ACCOUNT:NAME",
                arn.escape_debug()
            )),
        }
    }
}

/// Whether a topic keeps the order of its groups.
pub(super) fn is_fifo(arn: &str) -> bool {
    arn.ends_with(".fifo")
}

/// What is wrong with a table beyond what one spec can see.
pub(super) fn problems(table: &TableDefinition, options: &Options, role: Role) -> Vec<ConnectorError> {
    let mut errors = Vec::new();
    let mut problem = |option: &str, message: String| errors.push(option_problem(table, option, message));
    if role != Role::Sink {
        problem(
            "connector",
            "topics of SNS are written only: read a queue of SQS that subscribes to one".into(),
        );
    }
    let is_fifo = is_fifo(options.text(ARN).unwrap_or_default());
    let has_column = |key: &str| table.metadata.iter().any(|column| column.key == key && !column.is_virtual);
    if is_fifo && options.text(GROUP_ID).is_none() && !has_column(GROUP_ID) {
        let message = format!(
            "messages of a FIFO topic have a group: give '{GROUP_ID}' = '…', or a column {GROUP_ID} STRING METADATA"
        );
        problem(ARN, message);
    }
    if !is_fifo && has_column(DEDUPLICATION_ID) {
        problem(ARN, format!("only a FIFO topic has '{DEDUPLICATION_ID}'"));
    }
    errors
}
