//! The options of `sqs`: the names of Amazon's API and of Redpanda Connect's `aws_sqs`, with hyphens; those of its sink are
//! Flink's.

use crate::aws::options::{COUNT, DEAD_LETTER_TOPIC, with_common};
use crate::table_format::FORMAT;
use crate::{CONNECTOR, option_problem, optional};
use auth::https::Url;
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::{ConnectorError, Role};
use dataflow::table::TableDefinition;

pub(super) const QUEUE_URL: &str = "queue-url";
pub(super) const GROUP_ID: &str = "message-group-id";
pub(super) const DEDUPLICATION_ID: &str = "message-deduplication-id";
pub(super) const DELAY: &str = "delay-seconds";
pub(super) const ENCODING: &str = "body-encoding";
pub(super) const OUTSTANDING: &str = "max-outstanding-messages";
pub(super) const BATCH_SIZE: &str = "sink.batch.max-size";
pub(super) const IN_FLIGHT: &str = "sink.requests.max-inflight";

/// What to do where there is no such queue.
pub(super) const HINT: &str = "create the queue, or look at 'queue-url' and 'aws.region'";

const OWN: usize = 16;

const OWN_OPTIONS: [OptionSpec; OWN] = [
    CONNECTOR,
    OptionSpec {
        key: QUEUE_URL,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "The queue's URL, as the console and `aws sqs get-queue-url` show it. It must be there. One that ends in `.fifo` is a \
              FIFO queue.",
        example: "https://sqs.eu-central-1.amazonaws.com/123456789012/orders",
    },
    FORMAT,
    optional(
        ENCODING,
        OptionKind::OneOf(&["text", "base64"]),
        Some("text"),
        "How the format's bytes become a message's body, which is a text: as they are, or in base64 as binary formats need it.",
        "base64",
    ),
    optional(
        "max-number-of-messages",
        OptionKind::Integer { min: 1, max: 10 },
        Some("10"),
        "So many messages at most are received by one call.",
        "1",
    ),
    optional(
        "wait-time-seconds",
        OptionKind::Integer { min: 0, max: 20 },
        Some("20"),
        "How long one call waits in the service for messages.",
        "5",
    ),
    optional(
        "message-timeout",
        OptionKind::Duration,
        Some("30 s"),
        "The visibility timeout of received messages: for so long nobody else gets them. It is renewed when half of it is over, as \
         long as the node holds them.",
        "2 min",
    ),
    optional(
        OUTSTANDING,
        OptionKind::Integer { min: 1, max: 500 },
        Some("100"),
        "So many messages may be received and not yet in the log; a tenth of it is how many calls are under way at once.",
        "10",
    ),
    optional(
        "deduplicate",
        OptionKind::Boolean,
        Some("true"),
        "Leaves out a message whose id was seen in the last 24 hours or 5 million messages: one that is delivered again.",
        "false",
    ),
    optional(
        GROUP_ID,
        OptionKind::Text,
        None,
        "The group of messages whose row has none in the metadata column `message-group-id`. A FIFO queue needs one of both.",
        "orders",
    ),
    optional(
        DELAY,
        OptionKind::Integer { min: 0, max: 900 },
        None,
        "For so long nobody gets a message that is sent; without it the queue's own delay. FIFO queues have but their own.",
        "30",
    ),
    optional(
        BATCH_SIZE,
        OptionKind::Integer { min: 1, max: 10 },
        Some("10"),
        "So many messages at most are sent by one call.",
        "1",
    ),
    optional(
        IN_FLIGHT,
        OptionKind::Integer { min: 1, max: 50 },
        Some("8"),
        "So many calls of a sink are under way at once; one at a time to a FIFO queue, whose order they would change.",
        "1",
    ),
    optional(
        DEAD_LETTER_TOPIC,
        OptionKind::Text,
        None,
        "Messages that cannot be read, and those that the queue refuses, go to this topic of the embedded log with the reason in \
         a header, and the job goes on. Without it they fail the job.",
        "orders-rejected",
    ),
    crate::SCAN_RATE_LIMIT,
    crate::SINK_RATE_LIMIT,
];

const ALL: [OptionSpec; OWN + COUNT] = with_common(OWN_OPTIONS);

/// The options of `sqs`.
pub(super) const QUEUES: &[OptionSpec] = &ALL;

/// Whether a queue keeps the order of its groups.
pub(super) fn is_fifo(queue_url: &str) -> bool {
    queue_url.ends_with(".fifo")
}

/// What is wrong with a table beyond what one spec can see.
pub(super) fn problems(table: &TableDefinition, options: &Options, role: Role) -> Vec<ConnectorError> {
    let mut errors = Vec::new();
    let mut problem = |option: &str, message: String| errors.push(option_problem(table, option, message));
    let url = options.text(QUEUE_URL).unwrap_or_default();
    if let Some(timeout_ms) = options.duration_ms("message-timeout")
        && !(1_000..=43_200_000).contains(&timeout_ms)
    {
        problem("message-timeout", "'message-timeout' is from 1 s to 12 h".into());
    }
    if role == Role::Sink {
        let has_column =
            |key: &str| table.metadata.iter().any(|column| column.key == key && !column.is_virtual);
        if is_fifo(url) && options.text(GROUP_ID).is_none() && !has_column(GROUP_ID) {
            let message = format!(
                "messages of a FIFO queue have a group: give '{GROUP_ID}' = '…', or a column {GROUP_ID} STRING METADATA"
            );
            problem(QUEUE_URL, message);
        }
        if is_fifo(url) && (options.text(DELAY).is_some() || has_column(DELAY)) {
            problem(
                DELAY,
                "a FIFO queue delays all of its messages alike: set the delay in the queue".into(),
            );
        }
        if !is_fifo(url) && has_column(DEDUPLICATION_ID) {
            problem(QUEUE_URL, format!("only a FIFO queue has '{DEDUPLICATION_ID}'"));
        }
    }
    errors
}

/// Where the queue is.
pub(super) fn queue_url(options: &Options) -> Result<Url, String> {
    let text = options.text(QUEUE_URL).unwrap_or_default();
    let url = Url::parse(text).map_err(|error| format!("'{QUEUE_URL}': {error}"))?;
    if url.path.trim_matches('/').is_empty() {
        return Err(format!("'{QUEUE_URL}' names no queue: it ends in /ACCOUNT/NAME"));
    }
    Ok(url)
}
