//! The options of `stomp`.

use crate::messages::options::{
    CERT_SPEC, DEAD_LETTERS, HEARTBEAT_SPEC, KEY_SPEC, PASSWORD_SPEC, ROOT_CAS_SPEC, TIMEOUT_SPEC, URL,
    USERNAME_SPEC,
};
use crate::table_format::FORMAT;
use crate::{CONNECTOR, option_problem, optional};
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::{ConnectorError, Role};
use dataflow::table::TableDefinition;

pub(super) const QUEUE: &str = "queue";
pub(super) const TOPIC: &str = "topic";
pub(super) const DESTINATION: &str = "destination";
pub(super) const SUBSCRIPTION: &str = "subscription";
pub(super) const CLIENT_ID: &str = "client-id";
pub(super) const SELECTOR: &str = "selector";
pub(super) const PREFETCH: &str = "prefetch-count";
pub(super) const DEDUPLICATE: &str = "deduplicate";
pub(super) const ID_HEADER: &str = "id-header";
pub(super) const MESSAGE_TYPE: &str = "message-type";
pub(super) const TEXT: &str = "text";

pub(super) const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    OptionSpec {
        key: URL,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "Where the server is: `stomp://USER:PASSWORD@HOST:PORT/VIRTUAL-HOST`, with `stomps` over TLS; all but the host \
              may be left out. A virtual host is RabbitMQ's (`/` without one). Several, of which one is up, are parted by \
              commas, and the first that answers is taken.",
        example: "stomp://localhost:61613",
    },
    FORMAT,
    USERNAME_SPEC,
    PASSWORD_SPEC,
    ROOT_CAS_SPEC,
    CERT_SPEC,
    KEY_SPEC,
    HEARTBEAT_SPEC,
    TIMEOUT_SPEC,
    optional(
        QUEUE,
        OptionKind::Text,
        None,
        "The queue that is read or written: `/queue/NAME`, or at Artemis the address of that name.",
        "orders",
    ),
    optional(
        TOPIC,
        OptionKind::Text,
        None,
        "The topic that is read by a durable subscription, or written: `/topic/NAME`, or at Artemis the address of that name.",
        "prices",
    ),
    optional(
        DESTINATION,
        OptionKind::Text,
        None,
        "In place of `queue` and `topic`, a destination as the server writes it, such as `/amq/queue/orders` and \
         `/exchange/orders/new` of RabbitMQ.",
        "/amq/queue/orders",
    ),
    optional(
        SUBSCRIPTION,
        OptionKind::Text,
        None,
        "What the durable subscription of a `topic` is called; by the job without it. It is made when it is first read, and \
         nothing here deletes it.",
        "reports",
    ),
    optional(
        CLIENT_ID,
        OptionKind::Text,
        None,
        "Whose subscription it is: with `subscription` it names what ActiveMQ Classic and Artemis keep. One connection can \
         have it at a time.",
        "shop",
    ),
    optional(
        SELECTOR,
        OptionKind::Text,
        None,
        "Which messages are wanted, as JMS writes it, by their headers; for ActiveMQ Classic and Artemis.",
        "region = 'north'",
    ),
    optional(
        PREFETCH,
        OptionKind::Integer { min: 1, max: 65_535 },
        Some("1000"),
        "So many messages may be delivered and not yet in the log. Artemis counts bytes: 1 KB for each.",
        "100",
    ),
    optional(
        DEDUPLICATE,
        OptionKind::Boolean,
        Some("true"),
        "Leaves out a message whose id was seen in the last 24 hours or 5 million messages. For senders that use an id more \
         than once, set it to `false`.",
        "false",
    ),
    optional(
        ID_HEADER,
        OptionKind::Text,
        None,
        "The header with the id by which a message is known. Without it, what keeps an id from one delivery to the next: \
         `message-id` of ActiveMQ Classic; `_AMQ_DUPL_ID` of Artemis, or else its `message-id` with the message's time; \
         `amqp-message-id` of RabbitMQ, which the sender gives. At other servers messages have no id without this option.",
        "order-id",
    ),
    optional(
        "persistent",
        OptionKind::Boolean,
        Some("true"),
        "Messages survive a restart of the server.",
        "false",
    ),
    optional(
        MESSAGE_TYPE,
        OptionKind::OneOf(&["bytes", TEXT]),
        Some("bytes"),
        "What clients of JMS take a message for: a BytesMessage, or a TextMessage (unless a zero byte is in it).",
        TEXT,
    ),
    optional(
        "content-type",
        OptionKind::Text,
        None,
        "The header `content-type` of messages whose row has none in a metadata column.",
        "application/json",
    ),
    DEAD_LETTERS,
    crate::SCAN_RATE_LIMIT,
    crate::SINK_RATE_LIMIT,
];

/// What is wrong with a table beyond what one spec can see.
pub(super) fn problems(table: &TableDefinition, options: &Options, role: Role) -> Vec<ConnectorError> {
    let mut errors = Vec::new();
    let mut problem = |option: &str, message: String| errors.push(option_problem(table, option, message));
    let has = |key: &str| options.text(key).is_some();
    let is_named = |key: &&str| options.text(key).is_some_and(|name| !name.is_empty());
    if [QUEUE, TOPIC, DESTINATION].iter().filter(|key| is_named(key)).count() != 1 {
        let message =
            "a table needs one of 'queue', 'topic' and 'destination'; for example 'queue' = 'orders'";
        problem("connector", message.into());
    }
    let reads_topic = role != Role::Sink && (has(TOPIC) || has(DESTINATION));
    for key in [SUBSCRIPTION, CLIENT_ID] {
        if has(key) && !reads_topic {
            problem(key, format!("'{key}' is for tables that read a 'topic'"));
        }
        if options.text(key).is_some_and(str::is_empty) {
            problem(key, format!("'{key}' is empty"));
        }
    }
    for key in [SELECTOR, ID_HEADER] {
        if has(key) && role == Role::Sink {
            problem(key, format!("'{key}' is for tables that are read"));
        }
    }
    errors
}
