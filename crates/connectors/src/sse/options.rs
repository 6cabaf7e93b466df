//! The options of `sse`; what it has in common with `http` has the names that it has there.

use crate::http::access;
use crate::json_slices::CURSOR_BYTES_MAX;
use crate::messages::options::{CERT_SPEC, DEAD_LETTERS, KEY_SPEC, ROOT_CAS_SPEC, TIMEOUT_SPEC, URL};
use crate::table_format::FORMAT;
use crate::{CONNECTOR, SCAN_RATE_LIMIT, option_problem, optional};
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::ConnectorError;
use dataflow::table::TableDefinition;

pub(super) const TYPES: &str = "events";
pub(super) const INITIAL: &str = "last-event-id";
pub(super) const DEDUPLICATE: &str = "deduplicate";
pub(super) const IDLE: &str = "idle-timeout";

pub(super) const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    OptionSpec {
        key: URL,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "The stream, `http://HOST:PORT/PATH?QUERY` or the same with `https`. Redirects are not followed.",
        example: "https://shop.example/events",
    },
    FORMAT,
    optional(
        TYPES,
        OptionKind::Text,
        None,
        "The types of the events that are read, parted by `,`; others are left out, but their ids count. Without it all are.",
        "message,order",
    ),
    optional(
        INITIAL,
        OptionKind::Text,
        None,
        "The id behind which a new job begins. Without it that is the server's choice.",
        "4711",
    ),
    optional(
        DEDUPLICATE,
        OptionKind::Boolean,
        Some("false"),
        "Leaves out an event whose id was seen in the last 24 hours or 5 million events. For servers that send the last event once \
         more, and give each an id of its own.",
        "true",
    ),
    optional(
        IDLE,
        OptionKind::Duration,
        Some("5 min"),
        "When nothing has come for so long, not even a comment, the connection counts as lost and is made anew. 0 never.",
        "45 s",
    ),
    optional(
        "http.source.header.*",
        OptionKind::Text,
        None,
        "A header of each request, by its name. `${env:NAME}` or `${file:PATH}` keeps a secret out of the job's file, and is read \
         for each request anew.",
        "${env:SHOP_KEY}",
    ),
    access::USERNAME_SPEC,
    access::PASSWORD_SPEC,
    access::TOKEN_SPEC,
    ROOT_CAS_SPEC,
    CERT_SPEC,
    KEY_SPEC,
    TIMEOUT_SPEC,
    DEAD_LETTERS,
    SCAN_RATE_LIMIT,
];

/// What is wrong with a table beyond what one spec can see.
pub(super) fn problems(table: &TableDefinition, options: &Options) -> Vec<ConnectorError> {
    let mut errors = Vec::new();
    let initial = options.text(INITIAL).unwrap_or_default();
    if initial.len() > CURSOR_BYTES_MAX || initial.contains(['\r', '\n', '\0']) {
        let message = format!("'{INITIAL}' is one line of up to {CURSOR_BYTES_MAX} bytes");
        errors.push(option_problem(table, INITIAL, message));
    }
    if types(options).is_some_and(|types| types.iter().any(String::is_empty)) {
        errors.push(option_problem(
            table,
            TYPES,
            format!("'{TYPES}' has an empty name: events without one are 'message'"),
        ));
    }
    errors
}

/// The types that are read, if not all are.
pub(super) fn types(options: &Options) -> Option<Vec<String>> {
    let types = options.text(TYPES)?;
    Some(types.split(',').map(|name| name.trim().to_string()).collect())
}
