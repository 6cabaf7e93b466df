//! The options of `amqp`.

use crate::messages::options::{
    CERT_SPEC, DEAD_LETTERS, HEARTBEAT_SPEC, KEY_SPEC, PASSWORD_SPEC, ROOT_CAS_SPEC, TIMEOUT_SPEC, URL,
    USERNAME_SPEC, place_problems,
};
pub(super) use crate::messages::options::{CLIENT_ID, QUEUE, SUBSCRIPTION, TOPIC};
use crate::table_format::FORMAT;
use crate::{CONNECTOR, option_problem, optional};
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::{ConnectorError, Role};
use dataflow::table::TableDefinition;

pub(super) const SELECTOR: &str = "selector";
pub(super) const MECHANISM: &str = "auth-mechanism";
pub(super) const PREFETCH: &str = "prefetch-count";

pub(super) const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    OptionSpec {
        key: URL,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "Where the server is: `amqp://USER:PASSWORD@HOST:PORT`, with `amqps` over TLS; all but the host may be left out. \
              Several, of which one is up, are parted by commas, and the first that answers is taken.",
        example: "amqp://localhost:5672",
    },
    FORMAT,
    USERNAME_SPEC,
    PASSWORD_SPEC,
    optional(
        MECHANISM,
        OptionKind::OneOf(&["PLAIN", "ANONYMOUS", "EXTERNAL"]),
        None,
        "PLAIN logs in with user and password, EXTERNAL with the certificate in `tls.cert-file`, ANONYMOUS as nobody. Without \
         it, PLAIN where there is a user, or else ANONYMOUS.",
        "EXTERNAL",
    ),
    ROOT_CAS_SPEC,
    CERT_SPEC,
    KEY_SPEC,
    HEARTBEAT_SPEC,
    TIMEOUT_SPEC,
    optional(
        QUEUE,
        OptionKind::Text,
        None,
        "The queue that is read or written. A subscription of a topic of Azure Service Bus is read as the queue \
         `TOPIC/Subscriptions/NAME`.",
        "orders",
    ),
    optional(
        TOPIC,
        OptionKind::Text,
        None,
        "The topic that is read by a durable subscription, or written.",
        "prices",
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
        "Whose subscription it is (the container-id of AMQP): with `subscription` it names what the server keeps. One \
         connection can have it at a time.",
        "shop",
    ),
    optional(
        SELECTOR,
        OptionKind::Text,
        None,
        "Which messages are wanted, as JMS writes it, by their application properties; for servers that have selectors.",
        "region = 'north'",
    ),
    optional(
        PREFETCH,
        OptionKind::Integer { min: 1, max: 65_535 },
        Some("1000"),
        "So many messages may be delivered and not yet in the log.",
        "100",
    ),
    optional(
        "deduplicate",
        OptionKind::Boolean,
        Some("true"),
        "Leaves out a message whose property `message-id` was seen in the last 24 hours or 5 million messages. For \
         senders that use an id more than once, set it to `false`.",
        "false",
    ),
    optional(
        "persistent",
        OptionKind::Boolean,
        Some("true"),
        "Messages are sent as durable: they survive a restart of the server.",
        "false",
    ),
    optional(
        "content-type",
        OptionKind::Text,
        None,
        "The property `content-type` of messages whose row has none in a metadata column. Clients of JMS take a message \
         with a textual one, such as `application/json`, for a TextMessage, and for a BytesMessage without it.",
        "application/json",
    ),
    DEAD_LETTERS,
    crate::SCAN_RATE_LIMIT,
    crate::SINK_RATE_LIMIT,
];

/// What is wrong with a table beyond what one spec can see.
pub(super) fn problems(table: &TableDefinition, options: &Options, role: Role) -> Vec<ConnectorError> {
    let mut errors = place_problems(table, options, role, (&[QUEUE, TOPIC], &[SELECTOR]));
    if options.text(MECHANISM) == Some("EXTERNAL") && options.text("tls.cert-file").is_none() {
        let message = "'auth-mechanism' = 'EXTERNAL' logs in with a certificate: give 'tls.cert-file', 'tls.key-file' and \
                       'tls.root-cas-file'";
        errors.push(option_problem(table, MECHANISM, message));
    }
    errors
}
