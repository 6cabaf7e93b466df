//! The options of `mqtt`: the names of Redpanda Connect's `mqtt`, with hyphens, and of MQTT itself.

use super::packets::{Version, is_filter, is_topic};
use crate::landed::HEADERS;
use crate::messages::options::{
    CERT_SPEC, DEAD_LETTERS, HEARTBEAT_SPEC, KEY_SPEC, PASSWORD_SPEC, ROOT_CAS_SPEC, TIMEOUT_SPEC, URL,
    USERNAME_SPEC,
};
use crate::table_format::FORMAT;
use crate::{CONNECTOR, option_problem, optional};
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::{ConnectorError, Role};
use dataflow::table::TableDefinition;

pub(super) const TOPICS: &str = "topics";
pub(super) const TOPIC: &str = "topic";
pub(super) const QOS: &str = "qos";
pub(super) const CLIENT: &str = "client-id";
pub(super) const VERSION: &str = "protocol-version";
pub(super) const CLEAN: &str = "clean-start";
pub(super) const EXPIRY: &str = "session-expiry";
pub(super) const LOST_SESSION: &str = "session-lost";
pub(super) const RECEIVE_MAX: &str = "receive-max";
pub(super) const RETAIN: &str = "retain";

pub(super) const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    OptionSpec {
        key: URL,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "Where the server is: `mqtt://USER:PASSWORD@HOST:PORT`, with `mqtts` over TLS; all but the host may be left out. \
              Several nodes of a cluster are parted by commas, and the first that answers is taken.",
        example: "mqtt://localhost:1883",
    },
    FORMAT,
    optional(
        TOPICS,
        OptionKind::Text,
        None,
        "What a source subscribes to, parted by semicolons: topics, filters with the wildcards `+` and `#`, and shared \
         subscriptions `$share/GROUP/FILTER`, whose messages go to one of the group's clients each.",
        "sensors/+/temperature;$share/reports/orders/#",
    ),
    optional(
        TOPIC,
        OptionKind::Text,
        None,
        "Where a sink publishes, unless a row has another topic in the metadata column `topic`.",
        "sensors/alarms",
    ),
    optional(
        QOS,
        OptionKind::OneOf(&["0", "1", "2"]),
        Some("1"),
        "The quality of service. A source is sent each message at most (0), at least (1) or exactly (2) once, and so is the \
         server by a sink.",
        "2",
    ),
    optional(
        VERSION,
        OptionKind::OneOf(&["5", "3.1.1"]),
        Some("5"),
        "The version of the protocol. 3.1.1 has no user properties, and no reasons why the server refuses something.",
        "3.1.1",
    ),
    optional(
        CLIENT,
        OptionKind::Text,
        None,
        "The client id, by which the server knows the session again. No other client may have it; each table of each job \
         makes one of its own.",
        "reports-1",
    ),
    USERNAME_SPEC,
    PASSWORD_SPEC,
    ROOT_CAS_SPEC,
    CERT_SPEC,
    KEY_SPEC,
    HEARTBEAT_SPEC,
    TIMEOUT_SPEC,
    optional(
        CLEAN,
        OptionKind::Boolean,
        Some("false"),
        "Whether each connection of a source begins a new session: what is published while there is no connection is then \
         missed.",
        "true",
    ),
    optional(
        EXPIRY,
        OptionKind::Duration,
        Some("7 d"),
        "How long the server keeps the session, and what is published meanwhile, while there is no connection: version 5 \
         alone, in 3.1.1 the server decides.",
        "1 d",
    ),
    optional(
        LOST_SESSION,
        OptionKind::OneOf(&["fail", "continue"]),
        Some("fail"),
        "What happens when the server does not know the session any more, so that messages may be missing: `fail` ends the \
         job, `continue` goes on with what is published from then on.",
        "continue",
    ),
    optional(
        RECEIVE_MAX,
        OptionKind::Integer { min: 1, max: 65_535 },
        Some("20"),
        "So many messages may be sent to a source and not yet be in the log (the receive maximum): version 5 alone, in 3.1.1 \
         the server decides. More are faster, where the server allows it.",
        "100",
    ),
    optional(
        RETAIN,
        OptionKind::Boolean,
        Some("false"),
        "Whether the server keeps the last message of each topic of a sink for who subscribes later.",
        "true",
    ),
    DEAD_LETTERS,
    crate::SCAN_RATE_LIMIT,
    crate::SINK_RATE_LIMIT,
];

pub(super) fn version(options: &Options) -> Version {
    if options.text(VERSION) == Some("3.1.1") { Version::Four } else { Version::Five }
}

pub(super) fn qos(options: &Options) -> u8 {
    options.text(QOS).and_then(|qos| qos.parse().ok()).unwrap_or(1)
}

pub(super) fn filters(options: &Options) -> Vec<String> {
    options.text(TOPICS).unwrap_or_default().split(';').map(|filter| filter.trim().to_string()).collect()
}

/// What is wrong with a table beyond what one spec can see.
pub(super) fn problems(table: &TableDefinition, options: &Options, role: Role) -> Vec<ConnectorError> {
    let mut errors = Vec::new();
    let mut problem = |option: &str, message: String| errors.push(option_problem(table, option, message));
    let writes_topic = table.metadata.iter().any(|column| column.key == "topic" && !column.is_virtual);
    match role {
        Role::Source if options.text(TOPICS).is_none() => {
            problem(
                "connector",
                "a table that is read needs 'topics'; for example 'topics' = 'sensors/#'".into(),
            );
        }
        Role::Sink if options.text(TOPIC).is_none() && !writes_topic => {
            problem(
                "connector",
                "a table that is written needs 'topic', or the metadata column 'topic'; for example 'topic' = 'sensors/alarms'"
                    .into(),
            );
        }
        _ => {}
    }
    if options.text(TOPICS).is_some()
        && let Some(wrong) = filters(options).iter().find(|filter| !is_filter(filter))
    {
        let shown = wrong.escape_debug();
        problem(
            TOPICS,
            format!(
                "'{shown}' in '{TOPICS}' cannot be subscribed to: a '+' has to be a level of its own, a '#' the last one, and a \
                 group to stand in '$share/GROUP/FILTER'"
            ),
        );
    }
    if options.text(TOPIC).is_some_and(|topic| !is_topic(topic)) {
        problem(TOPIC, format!("'{TOPIC}' may not be empty, nor have the wildcards '+' and '#'"));
    }
    if options.text(CLIENT).is_some_and(|id| id.is_empty() || id.len() > u16::MAX.into()) {
        problem(CLIENT, format!("'{CLIENT}' has to have 1 to 65535 bytes"));
    }
    if role == Role::Sink && version(options) == Version::Four {
        let of_five =
            |key: &str| [HEADERS, "content-type", "response-topic", "message-expiry"].contains(&key);
        for column in table.metadata.iter().filter(|column| !column.is_virtual && of_five(&column.key)) {
            let message = format!("MQTT 3.1.1 cannot carry the metadata '{}'; version 5 can", column.key);
            problem(VERSION, message);
        }
    }
    if role == Role::Source && options.boolean(CLEAN) && qos(options) == 2 {
        problem(
            CLEAN,
            format!("'{QOS}' = '2' is exactly once only in a session that is kept: leave '{CLEAN}' away"),
        );
    }
    errors
}
