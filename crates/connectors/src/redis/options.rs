//! The options of `redis-streams`: the names of Redpanda Connect's `redis_streams`, with hyphens; where reading begins is said
//! as in Flink's `kafka`.

use super::stream::Id;
use crate::messages::options::{
    CERT_SPEC, DEAD_LETTERS, HEARTBEAT_SPEC, KEY_SPEC, PASSWORD_SPEC, ROOT_CAS_SPEC, TIMEOUT_SPEC, URL,
};
use crate::table_format::FORMAT;
use crate::{CONNECTOR, option_problem, optional};
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::ConnectorError;
use dataflow::table::TableDefinition;

pub(super) const STREAM: &str = "stream";
pub(super) const BODY: &str = "body-key";
/// As the body's name: all fields.
pub(super) const ALL_FIELDS: &str = "*";
pub(super) const GROUP: &str = "consumer-group";
pub(super) const CONSUMER: &str = "client-id";
pub(super) const CLAIM: &str = "claim-min-idle";
pub(super) const STARTUP: &str = "scan.startup.mode";
pub(super) const TIMESTAMP: &str = "scan.startup.timestamp-millis";
pub(super) const ENTRY: &str = "scan.startup.id";
pub(super) const LOST_ENTRIES: &str = "auto.offset.reset";
pub(super) const LENGTH: &str = "max-length";

pub(super) const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    OptionSpec {
        key: URL,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "Where the server is: `redis://USER:PASSWORD@HOST:PORT/DATABASE`, with `rediss` over TLS; all but the host may be \
              left out. Several servers are parted by commas, and the first that answers is taken; for a cluster any of its \
              nodes will do.",
        example: "redis://localhost:6379",
    },
    OptionSpec {
        key: STREAM,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "The key of the stream. One that is not there is empty.",
        example: "orders",
    },
    FORMAT,
    optional(
        BODY,
        OptionKind::Text,
        Some("body"),
        "The field of an entry that has the row; the others are its headers. With `*` the fields are the columns, as texts, \
         which needs the format `json`.",
        "payload",
    ),
    optional(
        "username",
        OptionKind::Text,
        None,
        "The user of an access list, where the URL names none; a password without a user is that of the user `default`.",
        "shop",
    ),
    PASSWORD_SPEC,
    ROOT_CAS_SPEC,
    CERT_SPEC,
    KEY_SPEC,
    HEARTBEAT_SPEC,
    TIMEOUT_SPEC,
    optional(
        GROUP,
        OptionKind::Text,
        None,
        "Reads by a consumer group of this name, which is made if it is not there, and which jobs and others may share. \
         Without it the job remembers the id itself, and the server keeps nothing for it.",
        "reports",
    ),
    optional(
        CONSUMER,
        OptionKind::Text,
        None,
        "The name of the consumer in the group; each job makes one of its own. What was delivered to it comes again when it \
         comes back.",
        "reports-1",
    ),
    optional(
        CLAIM,
        OptionKind::Duration,
        Some("60 s"),
        "What was delivered to a consumer of the group, and not acknowledged for so long, is taken over. 0 leaves it alone.",
        "5 min",
    ),
    optional(
        STARTUP,
        OptionKind::OneOf(&["earliest-offset", "latest-offset", "timestamp", "specific-offsets"]),
        Some("earliest-offset"),
        "Where a new job, or a group that is made, begins to read; a job that goes on continues where it was.",
        "latest-offset",
    ),
    optional(
        TIMESTAMP,
        OptionKind::Integer { min: 0, max: i64::MAX },
        None,
        "For the startup mode `timestamp`: milliseconds since the epoch, as they stand in ids.",
        "1357000000000",
    ),
    optional(
        ENTRY,
        OptionKind::Text,
        None,
        "For the startup mode `specific-offsets`: the id of the first entry.",
        "1526919030474-55",
    ),
    optional(
        LOST_ENTRIES,
        OptionKind::OneOf(&["none", "earliest"]),
        Some("none"),
        "What happens when entries were trimmed or deleted before they were read, or the stream is another: `none` ends the \
         job, `earliest` goes on with what is there.",
        "earliest",
    ),
    optional(
        LENGTH,
        OptionKind::Integer { min: 1, max: 1_000_000_000_000 },
        None,
        "A sink lets the stream grow to about so many entries (`MAXLEN ~`). Without it nothing is trimmed.",
        "100000",
    ),
    DEAD_LETTERS,
    crate::SCAN_RATE_LIMIT,
    crate::SINK_RATE_LIMIT,
];

/// What is wrong with a table beyond what one spec can see.
pub(super) fn problems(table: &TableDefinition, options: &Options) -> Vec<ConnectorError> {
    let mut errors = Vec::new();
    let mut problem = |option: &str, message: String| errors.push(option_problem(table, option, message));
    for key in [STREAM, BODY, GROUP, CONSUMER] {
        if options.text(key).is_some_and(str::is_empty) {
            problem(key, format!("'{key}' may not be empty"));
        }
    }
    if options.text(BODY) == Some(ALL_FIELDS)
        && table.options.get("format").map(String::as_str) != Some("json")
    {
        problem(
            BODY,
            format!("'{BODY}' = '{ALL_FIELDS}' makes columns of fields, and needs 'format' = 'json'"),
        );
    }
    if options.text(CONSUMER).is_some() && options.text(GROUP).is_none() {
        problem(CONSUMER, format!("'{CONSUMER}' names a consumer of a group: it needs '{GROUP}'"));
    }
    if options.text(STARTUP) == Some("timestamp") && options.integer(TIMESTAMP).is_none() {
        problem(STARTUP, format!("'{STARTUP}' = 'timestamp' needs '{TIMESTAMP}'"));
    }
    let entry = options.text(ENTRY);
    if entry.is_some_and(|id| Id::parse(id).is_none()) {
        problem(ENTRY, format!("'{ENTRY}' has to be an id: MILLISECONDS-SEQUENCE, such as 1526919030474-55"));
    } else if options.text(STARTUP) == Some("specific-offsets") && entry.is_none() {
        problem(STARTUP, format!("'{STARTUP}' = 'specific-offsets' needs '{ENTRY}'"));
    }
    errors
}
