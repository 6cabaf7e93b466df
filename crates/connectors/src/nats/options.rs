//! The options of `nats`: the names of Redpanda Connect's `nats_jetstream` and of NATS, with hyphens; where reading begins is
//! said as in Flink's `kafka`.

use super::frames::{is_filter, is_subject};
use crate::messages::options::{
    CERT_SPEC, DEAD_LETTERS, HEARTBEAT_SPEC, KEY_SPEC, PASSWORD_SPEC, ROOT_CAS_SPEC, TIMEOUT_SPEC, URL,
    USERNAME_SPEC,
};
use crate::table_format::FORMAT;
use crate::{CONNECTOR, option_problem, optional};
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::{ConnectorError, Role};
use dataflow::table::TableDefinition;

pub(super) const STREAM: &str = "stream";
pub(super) const SUBJECT: &str = "subject";
pub(super) const DURABLE: &str = "durable";
pub(super) const LOST_SEQUENCES: &str = "auto.offset.reset";
pub(super) const STARTUP: &str = "scan.startup.mode";
pub(super) const TIMESTAMP: &str = "scan.startup.timestamp-millis";
pub(super) const SEQUENCE: &str = "scan.startup.sequence";
pub(super) const TOKEN: &str = "token";
pub(super) const NKEY: &str = "nkey";
pub(super) const CREDENTIALS: &str = "credentials-file";
pub(super) const DOMAIN: &str = "jetstream.domain";
pub(super) const ACK_WAIT: &str = "ack-wait";
pub(super) const ACK_PENDING: &str = "max-ack-pending";

pub(super) const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    OptionSpec {
        key: URL,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "Where the server is: `nats://USER:PASSWORD@HOST:PORT`, with `tls` over TLS; all but the host may be left out. A \
              user without a password is a token. Several nodes of a cluster are parted by commas, and the first that \
              answers is taken.",
        example: "nats://localhost:4222",
    },
    OptionSpec {
        key: STREAM,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "The stream; it must be there.",
        example: "ORDERS",
    },
    FORMAT,
    optional(
        SUBJECT,
        OptionKind::Text,
        None,
        "A source reads only the stream's messages with this subject, which may have the wildcards `*` and `>`. A sink needs \
         it: it publishes there, unless a row has another in the metadata column `subject`.",
        "orders.new",
    ),
    USERNAME_SPEC,
    PASSWORD_SPEC,
    optional(
        TOKEN,
        OptionKind::Text,
        None,
        "A token in place of user and password; `${env:NAME}` or `${file:PATH}` keeps it out of the job's file.",
        "${env:NATS_TOKEN}",
    ),
    optional(
        NKEY,
        OptionKind::Text,
        None,
        "The seed of an NKey, with which the server's challenge is signed.",
        "${file:/etc/shop/user.nk}",
    ),
    optional(
        CREDENTIALS,
        OptionKind::Text,
        None,
        "A file of credentials, as `nsc` makes them: a token that names the user, and a seed.",
        "/etc/shop/user.creds",
    ),
    ROOT_CAS_SPEC,
    CERT_SPEC,
    KEY_SPEC,
    HEARTBEAT_SPEC,
    TIMEOUT_SPEC,
    optional(
        DOMAIN,
        OptionKind::Text,
        None,
        "The domain of JetStream, where the server is a leaf of another.",
        "hub",
    ),
    optional(
        DURABLE,
        OptionKind::Text,
        None,
        "Reads by a durable pull consumer of this name, which is made if it is not there, and which jobs and others may \
         share. Streams that are work queues can be read in no other way. Without it the job remembers the sequence itself, \
         and the server keeps nothing for it.",
        "reports",
    ),
    optional(
        ACK_WAIT,
        OptionKind::Duration,
        Some("30 s"),
        "After this time without an acknowledgement a message comes again: for a durable consumer that is made. While a \
         message is held, the server is told so.",
        "2 min",
    ),
    optional(
        ACK_PENDING,
        OptionKind::Integer { min: 1, max: 1_000_000 },
        Some("1000"),
        "So many messages may be delivered and not yet in the log: for a durable consumer that is made.",
        "100",
    ),
    optional(
        STARTUP,
        OptionKind::OneOf(&["earliest-offset", "latest-offset", "timestamp", "specific-offsets"]),
        Some("earliest-offset"),
        "Where a new job, or a durable consumer that is made, begins to read; a job that goes on continues where it was.",
        "latest-offset",
    ),
    optional(
        TIMESTAMP,
        OptionKind::Integer { min: 0, max: 253_402_300_799_999 },
        None,
        "For the startup mode `timestamp`: milliseconds since the epoch.",
        "1357000000000",
    ),
    optional(
        SEQUENCE,
        OptionKind::Integer { min: 1, max: i64::MAX },
        None,
        "For the startup mode `specific-offsets`: the sequence of the first message.",
        "42",
    ),
    optional(
        LOST_SEQUENCES,
        OptionKind::OneOf(&["none", "earliest"]),
        Some("none"),
        "What happens when the stream has lost messages before they were read: `none` ends the job, `earliest` goes on behind \
         them.",
        "earliest",
    ),
    DEAD_LETTERS,
    crate::SCAN_RATE_LIMIT,
    crate::SINK_RATE_LIMIT,
];

/// What is wrong with a table beyond what one spec can see.
pub(super) fn problems(table: &TableDefinition, options: &Options, role: Role) -> Vec<ConnectorError> {
    let mut errors = Vec::new();
    let mut problem = |option: &str, message: String| errors.push(option_problem(table, option, message));
    for key in [STREAM, DURABLE] {
        let is_name = |name: &str| {
            !name.is_empty()
                && !name
                    .chars()
                    .any(|letter| letter.is_whitespace() || letter.is_control() || ".*>/\\".contains(letter))
        };
        if options.text(key).is_some_and(|name| !is_name(name)) {
            problem(key, format!("'{key}' may not be empty, nor have spaces, dots, slashes or wildcards"));
        }
    }
    match (role, options.text(SUBJECT)) {
        (Role::Sink, None) => {
            problem(
                "connector",
                "a table that is written needs 'subject'; for example 'subject' = 'orders.new'".into(),
            );
        }
        (Role::Sink, Some(subject)) if !is_subject(subject) => {
            problem(
                SUBJECT,
                "'subject' has to be tokens with dots between them, and no wildcards in a sink".into(),
            );
        }
        (_, Some(subject)) if !is_filter(subject) => {
            problem(SUBJECT, "'subject' has to be tokens with dots between them".into());
        }
        _ => {}
    }
    let logins =
        [TOKEN, NKEY, CREDENTIALS, "username"].iter().filter(|key| options.text(key).is_some()).count();
    if logins > 1 {
        problem(TOKEN, format!("log in by one of 'username', '{TOKEN}', '{NKEY}' and '{CREDENTIALS}'"));
    }
    for (mode, key) in [("timestamp", TIMESTAMP), ("specific-offsets", SEQUENCE)] {
        if options.text(STARTUP) == Some(mode) && options.integer(key).is_none() {
            problem(STARTUP, format!("'{STARTUP}' = '{mode}' needs '{key}'"));
        }
    }
    errors
}
