//! The options of `rabbitmq`: the names of Redpanda Connect's `amqp_0_9` and of RabbitMQ, with hyphens.

use crate::messages::options::{
    CERT_SPEC, DEAD_LETTER_TOPIC, HEARTBEAT_SPEC, KEY_SPEC, PASSWORD_SPEC, ROOT_CAS_SPEC, TIMEOUT_SPEC, URL,
};
use crate::table_format::FORMAT;
use crate::{CONNECTOR, option_problem, optional};
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::{ConnectorError, Role};
use dataflow::table::TableDefinition;

pub(super) const QUEUE: &str = "queue";
pub(super) const EXCHANGE: &str = "exchange";
pub(super) const ROUTING_KEY: &str = "routing-key";
pub(super) const QUEUE_ARGUMENTS: &str = "queue-declare.arguments.";
pub(super) const MECHANISM: &str = "auth-mechanism";

/// `guest` is RabbitMQ's own user for those who have none.
pub(super) const USERNAME: OptionSpec = optional(
    "username",
    OptionKind::Text,
    None,
    "The user, where the URL names none; `guest` without both, whom a server lets in from its own machine only.",
    "shop",
);
pub(super) const VIRTUAL_HOST_SPEC: OptionSpec = optional(
    "virtual-host",
    OptionKind::Text,
    None,
    "The virtual host, where the URL names none; `/` without both.",
    "shop",
);
pub(super) const MECHANISM_SPEC: OptionSpec = optional(
    MECHANISM,
    OptionKind::OneOf(&["PLAIN", "EXTERNAL"]),
    Some("PLAIN"),
    "PLAIN logs in with user and password, EXTERNAL with the certificate in `tls.cert-file`, for which the server needs its \
     plugin `rabbitmq_auth_mechanism_ssl`.",
    "EXTERNAL",
);

/// The options of `rabbitmq`.
pub(super) const QUEUES: &[OptionSpec] = &[
    CONNECTOR,
    OptionSpec {
        key: URL,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "Where the server is: `amqp://USER:PASSWORD@HOST:PORT/VIRTUAL-HOST`, with `amqps` over TLS; all but the host may \
              be left out. Several nodes of a cluster are parted by commas, and the first that answers is taken.",
        example: "amqp://localhost:5672",
    },
    FORMAT,
    USERNAME,
    PASSWORD_SPEC,
    VIRTUAL_HOST_SPEC,
    MECHANISM_SPEC,
    ROOT_CAS_SPEC,
    CERT_SPEC,
    KEY_SPEC,
    HEARTBEAT_SPEC,
    TIMEOUT_SPEC,
    optional(
        QUEUE,
        OptionKind::Text,
        None,
        "The queue, classic or quorum, that is read; a source needs it. A sink without `exchange` writes to it. It must be \
         there, unless `queue-declare.enabled` makes it.",
        "orders",
    ),
    optional(
        "queue-declare.enabled",
        OptionKind::Boolean,
        Some("false"),
        "Makes the queue, durable, if it is not there. One that is there must have the same type and arguments.",
        "true",
    ),
    optional(
        "queue-declare.type",
        OptionKind::OneOf(&["quorum", "classic"]),
        Some("quorum"),
        "The type of a queue that is made.",
        "classic",
    ),
    optional(
        "queue-declare.arguments.*",
        OptionKind::Text,
        None,
        "An argument of a queue that is made, as RabbitMQ names it: `queue-declare.arguments.x-dead-letter-exchange`. Whole \
         numbers are sent as numbers.",
        "rejected",
    ),
    optional(
        "prefetch-count",
        OptionKind::Integer { min: 1, max: 65_535 },
        Some("1000"),
        "So many messages may be delivered and not yet in the log.",
        "100",
    ),
    optional(
        "consumer-tag",
        OptionKind::Text,
        None,
        "How the consumer is called in the server's lists; by the job without it.",
        "reports",
    ),
    optional(
        "deduplicate",
        OptionKind::Boolean,
        Some("true"),
        "Leaves out a message whose property `message-id` was seen in the last 24 hours or 5 million messages. For \
         publishers that use an id more than once, set it to `false`.",
        "false",
    ),
    optional(
        EXCHANGE,
        OptionKind::Text,
        None,
        "The exchange that a sink publishes to; it must be there. Without it, the default exchange, which takes the routing \
         key for the name of a queue.",
        "orders",
    ),
    optional(
        ROUTING_KEY,
        OptionKind::Text,
        None,
        "The routing key of messages whose row has none in the metadata column `routing-key`; without it the name in `queue`, \
         or else nothing.",
        "orders.new",
    ),
    optional(
        "mandatory",
        OptionKind::Boolean,
        Some("true"),
        "A message that is routed to no queue is refused: it goes to `dead-letter.topic`, or fails the job. With `false` the \
         server drops it.",
        "false",
    ),
    optional(
        "persistent",
        OptionKind::Boolean,
        Some("true"),
        "Messages survive a restart of the server in queues that do.",
        "false",
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
        "Messages that cannot be read, and those that a sink cannot route, go to this topic of the embedded log with the \
         reason in a header, and the job goes on. Without it they fail the job.",
        "orders-rejected",
    ),
    crate::SCAN_RATE_LIMIT,
    crate::SINK_RATE_LIMIT,
];

/// What is wrong with a table beyond what one spec can see.
pub(super) fn problems(table: &TableDefinition, options: &Options, role: Role) -> Vec<ConnectorError> {
    let mut errors = Vec::new();
    let mut problem = |option: &str, message: String| errors.push(option_problem(table, option, message));
    let queue = options.text(QUEUE).filter(|name| !name.is_empty());
    match role {
        Role::Source | Role::Lookup if queue.is_none() => {
            problem("connector", "a table that is read needs 'queue'; for example 'queue' = 'orders'".into());
        }
        Role::Sink
            if queue.is_none() && options.text(EXCHANGE).is_none() && options.text(ROUTING_KEY).is_none() =>
        {
            let message = "a table that is written needs 'queue', 'exchange' or 'routing-key', so that messages go somewhere";
            problem("connector", message.into());
        }
        _ => {}
    }
    if options.boolean("queue-declare.enabled") && queue.is_none() {
        problem(
            "queue-declare.enabled",
            "'queue-declare.enabled' needs 'queue', the name of what it makes".into(),
        );
    }
    for key in [QUEUE, EXCHANGE, ROUTING_KEY, "consumer-tag", "content-type"] {
        if options.text(key).is_some_and(|text| text.len() > u8::MAX.into()) {
            problem(key, format!("'{key}' is longer than the 255 bytes that AMQP has for it"));
        }
    }
    if options.text(MECHANISM) == Some("EXTERNAL") && options.text("tls.cert-file").is_none() {
        let message = "'auth-mechanism' = 'EXTERNAL' logs in with a certificate: give 'tls.cert-file', 'tls.key-file' and \
                       'tls.root-cas-file'";
        problem(MECHANISM, message.into());
    }
    errors
}
