//! The options of `stomp`.

use crate::messages::options::{
    CERT_SPEC, DEAD_LETTERS, HEARTBEAT_SPEC, KEY_SPEC, PASSWORD_SPEC, ROOT_CAS_SPEC, TIMEOUT_SPEC, URL,
    USERNAME_SPEC, place_problems,
};
pub(super) use crate::messages::options::{CLIENT_ID, QUEUE, SUBSCRIPTION, TOPIC};
use crate::table_format::FORMAT;
use crate::{CONNECTOR, optional};
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::{ConnectorError, Role};
use dataflow::table::TableDefinition;

pub(super) const DESTINATION: &str = "destination";
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
         `/exchange/orders/new` of RabbitMQ. What begins with `/topic/` or `/exchange/` is read by a durable subscription, as a \
         `topic` is.",
        "/amq/queue/orders",
    ),
    optional(
        SUBSCRIPTION,
        OptionKind::Text,
        None,
        "What the durable subscription of a `topic` or a `destination` is called; by the job without it. It is made when it is first read, and \
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
    place_problems(table, options, role, (&[QUEUE, TOPIC, DESTINATION], &[SELECTOR, ID_HEADER]))
}
