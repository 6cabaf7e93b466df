//! The options of `pubsub`: the names of the connectors for Flink, and of Beam and Kafka where these have none.

use crate::google::Resource;
use crate::google::options::{
    ACCESS_TOKEN_SPEC, EMULATOR_SPEC, ENDPOINT_SPEC, KEY_FILE_SPEC, PROJECT_SPEC, ROOT_CAS_SPEC, TIMEOUT_SPEC,
};
use crate::messages::options::DEAD_LETTERS;
use crate::table_format::FORMAT;
use crate::{CONNECTOR, option_problem, optional};
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::{ConnectorError, Role};
use dataflow::table::TableDefinition;

pub(super) const SUBSCRIPTION: &str = "subscription";
pub(super) const TOPIC: &str = "topic";
pub(super) const ORDERING_KEY: &str = "ordering-key";
pub(super) const KEY_FIELDS: &str = "key.fields";
pub(super) const ID_ATTRIBUTE: &str = "id-attribute";
pub(super) const PULL_TIMEOUT: &str = "scan.pull-timeout";
pub(super) const PULLS: &str = "scan.parallel-pull-count";
pub(super) const OUTSTANDING: &str = "scan.flow-control.max-outstanding-element-count";
pub(super) const OUTSTANDING_BYTES: &str = "scan.flow-control.max-outstanding-request-bytes";
pub(super) const BATCH_SIZE: &str = "sink.batching.element-count-threshold";
pub(super) const BATCH_BYTES: &str = "sink.batching.request-byte-threshold";
pub(super) const IN_FLIGHT: &str = "sink.requests.max-inflight";

/// Of a call that publishes, and so of a message.
pub(super) const CALL_BYTES_MAX: usize = 10_000_000;
/// What names of attributes may not begin with.
pub(super) const RESERVED: &str = "goog";

pub(super) const ALL: &[OptionSpec] = &[
    CONNECTOR,
    optional(
        SUBSCRIPTION,
        OptionKind::Text,
        None,
        "The subscription that is read: its name, or `projects/PROJECT/subscriptions/NAME`. It must be there, and be pulled from.",
        "orders-to-shop",
    ),
    optional(
        TOPIC,
        OptionKind::Text,
        None,
        "The topic that is written: its name, or `projects/PROJECT/topics/NAME`. It must be there.",
        "orders",
    ),
    FORMAT,
    PROJECT_SPEC,
    ENDPOINT_SPEC,
    EMULATOR_SPEC,
    KEY_FILE_SPEC,
    ACCESS_TOKEN_SPEC,
    ROOT_CAS_SPEC,
    TIMEOUT_SPEC,
    optional(
        PULLS,
        OptionKind::Integer { min: 1, max: 32 },
        Some("4"),
        "So many pulls are under way at once when much comes; one at a time where messages have ordering keys.",
        "1",
    ),
    optional(
        PULL_TIMEOUT,
        OptionKind::Duration,
        Some("60 s"),
        "For so long a pull waits in the service while there are no messages, besides `timeout`. Then another one, which does not \
         wait, tells whether the service is there.",
        "10 s",
    ),
    optional(
        OUTSTANDING,
        OptionKind::Integer { min: 1, max: 100_000 },
        Some("4000"),
        "So many messages may be pulled and not yet in the log.",
        "100",
    ),
    optional(
        OUTSTANDING_BYTES,
        OptionKind::Size,
        Some("64 mb"),
        "The same in bytes; one round of pulls may go beyond it.",
        "16 mb",
    ),
    optional(
        "deduplicate",
        OptionKind::Boolean,
        Some("true"),
        "Leaves out a message whose id was seen in the last 24 hours or 5 million messages: one that is delivered again.",
        "false",
    ),
    optional(
        ID_ATTRIBUTE,
        OptionKind::Text,
        None,
        "An attribute with an id of the sender's, as Beam and Dataflow have it. A sink writes one that stays the same when a row is \
         published again; a source leaves out messages by it, and by the message id where it is missing.",
        "event-id",
    ),
    optional(
        KEY_FIELDS,
        OptionKind::Text,
        None,
        "The columns of a sink whose texts are the ordering key, parted by `;`; between several of them stands `|`.",
        "customer;region",
    ),
    optional(
        BATCH_SIZE,
        OptionKind::Integer { min: 1, max: 1000 },
        Some("1000"),
        "So many messages at most are published by one call. Those of a call have one ordering key, or none.",
        "100",
    ),
    optional(
        BATCH_BYTES,
        OptionKind::Size,
        Some("4 mb"),
        "So many bytes at most, up to 10 MB; a longer message goes alone.",
        "1 mb",
    ),
    optional(
        IN_FLIGHT,
        OptionKind::Integer { min: 1, max: 50 },
        Some("8"),
        "So many calls of a sink are under way at once; of one ordering key one at a time.",
        "1",
    ),
    DEAD_LETTERS,
    crate::SCAN_RATE_LIMIT,
    crate::SINK_RATE_LIMIT,
];

fn place(role: Role) -> (&'static str, &'static str) {
    match role {
        Role::Sink => (TOPIC, "topics"),
        _ => (SUBSCRIPTION, "subscriptions"),
    }
}

pub(super) fn collection(role: Role) -> &'static str {
    place(role).1
}

/// What is read, or written.
pub(super) fn resource(options: &Options, role: Role) -> Result<Resource, String> {
    let (key, collection) = place(role);
    if options.text(key).is_none_or(str::is_empty) {
        let what = if role == Role::Sink { "written" } else { "read" };
        return Err(format!("a table that is {what} needs '{key}'"));
    }
    Resource::of(options, key, collection)
}

pub(super) fn key_fields(options: &Options) -> impl Iterator<Item = &str> {
    let text = options.text(KEY_FIELDS).unwrap_or_default();
    text.split(';').map(str::trim).filter(|name| !name.is_empty())
}

/// What is wrong with a table beyond what one spec can see.
pub(super) fn problems(table: &TableDefinition, options: &Options, _role: Role) -> Vec<ConnectorError> {
    let mut errors = Vec::new();
    let mut problem = |option: &str, message: String| errors.push(option_problem(table, option, message));
    for name in key_fields(options).filter(|name| table.schema.index_of(name).is_err()) {
        problem(KEY_FIELDS, format!("'{KEY_FIELDS}': there is no column '{name}'"));
    }
    if let Some(name) = options.text(ID_ATTRIBUTE)
        && (name.is_empty() || name.len() > 256 || name.starts_with(RESERVED))
    {
        problem(
            ID_ATTRIBUTE,
            format!("'{ID_ATTRIBUTE}' has 1 to 256 bytes, and does not begin with '{RESERVED}'"),
        );
    }
    for (key, most) in [(OUTSTANDING_BYTES, u64::MAX), (BATCH_BYTES, CALL_BYTES_MAX as u64)] {
        if options.bytes(key).is_some_and(|bytes| !(1..=most).contains(&bytes)) {
            let to = if most == u64::MAX { String::new() } else { format!(" to {most} bytes") };
            problem(key, format!("'{key}' is from 1 byte on{to}"));
        }
    }
    errors
}
