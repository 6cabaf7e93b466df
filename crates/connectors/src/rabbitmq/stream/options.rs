//! The options of `rabbitmq-stream`; where reading begins is said as in Flink's `kafka`.

use crate::messages::options::{
    CERT_SPEC, DEAD_LETTER_TOPIC, HEARTBEAT_SPEC, KEY_SPEC, PASSWORD_SPEC, ROOT_CAS_SPEC, TIMEOUT_SPEC, URL,
};
use crate::rabbitmq::options::{USERNAME, VIRTUAL_HOST_SPEC};
use crate::table_format::FORMAT;
use crate::{CONNECTOR, option_problem, optional};
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::ConnectorError;
use dataflow::table::TableDefinition;

pub(super) const STREAM: &str = "stream";
pub(super) const PRODUCER: &str = "sink.producer-name-prefix";
pub(super) const LOST_OFFSETS: &str = "auto.offset.reset";

pub(super) const STREAMS: &[OptionSpec] = &[
    CONNECTOR,
    OptionSpec {
        key: URL,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "Where the server is: `rabbitmq-stream://USER:PASSWORD@HOST:PORT/VIRTUAL-HOST`, with `rabbitmq-stream+tls` over \
              TLS; all but the host may be left out. Several nodes are parted by commas, and the first that answers is taken: \
              each must hold a replica of the stream.",
        example: "rabbitmq-stream://localhost:5552",
    },
    OptionSpec {
        key: STREAM,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "The stream; it must be there.",
        example: "orders",
    },
    FORMAT,
    USERNAME,
    PASSWORD_SPEC,
    VIRTUAL_HOST_SPEC,
    ROOT_CAS_SPEC,
    CERT_SPEC,
    KEY_SPEC,
    HEARTBEAT_SPEC,
    TIMEOUT_SPEC,
    optional(
        "scan.startup.mode",
        OptionKind::OneOf(&["earliest-offset", "latest-offset", "timestamp", "specific-offsets"]),
        Some("earliest-offset"),
        "Where a new job begins to read; a job that goes on continues where it was. `timestamp` and `latest-offset` (which is \
         the time of the start) begin with the first chunk that the server wrote then or later.",
        "latest-offset",
    ),
    optional(
        "scan.startup.timestamp-millis",
        OptionKind::Integer { min: 0, max: i64::MAX },
        None,
        "For the startup mode `timestamp`: milliseconds since the epoch.",
        "1357000000000",
    ),
    optional(
        "scan.startup.specific-offsets",
        OptionKind::Text,
        None,
        "For the startup mode `specific-offsets`; a stream has the partition 0 alone.",
        "partition:0,offset:42",
    ),
    optional(
        LOST_OFFSETS,
        OptionKind::OneOf(&["none", "earliest"]),
        Some("none"),
        "What happens when the server has deleted messages before they were read: `none` ends the job, `earliest` goes on \
         behind them.",
        "earliest",
    ),
    optional(
        PRODUCER,
        OptionKind::Text,
        None,
        "What the name begins with under which a sink publishes, and by which the stream knows what it has; `eventwright` \
         without it.",
        "shop",
    ),
    optional(
        "content-type",
        OptionKind::Text,
        None,
        "The property `content-type` of messages whose row has none in a metadata column.",
        "application/json",
    ),
    optional(
        DEAD_LETTER_TOPIC,
        OptionKind::Text,
        None,
        "Messages that cannot be read, and those that are too long for the server, go to this topic of the embedded log with \
         the reason in a header, and the job goes on. Without it they fail the job.",
        "orders-rejected",
    ),
    crate::SCAN_RATE_LIMIT,
    crate::SINK_RATE_LIMIT,
];

/// What is wrong with a table beyond what one spec can see.
pub(super) fn problems(table: &TableDefinition, options: &Options) -> Vec<ConnectorError> {
    let mut errors = Vec::new();
    let mut problem = |option: &str, message: String| errors.push(option_problem(table, option, message));
    if options.text(STREAM).is_some_and(|name| name.is_empty() || name.len() > u8::MAX.into()) {
        problem(STREAM, "'stream' has to have 1 to 255 bytes".into());
    }
    match options.text("scan.startup.mode") {
        Some("timestamp") if options.text("scan.startup.timestamp-millis").is_none() => {
            let message = "'scan.startup.mode' = 'timestamp' needs 'scan.startup.timestamp-millis'";
            problem("scan.startup.mode", message.into());
        }
        Some("specific-offsets") if super::specific_offset(options).is_none() => {
            let message = "'scan.startup.mode' = 'specific-offsets' needs 'scan.startup.specific-offsets' = \
                           'partition:0,offset:42'";
            problem("scan.startup.mode", message.into());
        }
        _ => {}
    }
    errors
}
