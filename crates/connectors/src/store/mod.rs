//! Stores of documents and rows as targets: OpenSearch, ClickHouse, MongoDB.
//!
//! What they share is here once: a sink whose changes wait and are written in groups, of which the store says change by change
//! what became of it ([`StoreSink`]), and a client of servers that are asked over HTTP ([`Web`]). A system adds its options,
//! what a row becomes, and the trait [`Store`].

mod sink;
mod web;

pub(crate) use sink::{Bounds, Change, Encoded, Patience, Store, StoreSink, Verdict};
pub(crate) use web::{Ask, Web, urls, words};

use crate::{option_problem, optional};
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::ConnectorError;
use dataflow::table::TableDefinition;

/// What a store is asked to promise: the least that its sink keeps, whatever is said.
pub(crate) const DELIVERY_GUARANTEE: OptionSpec = optional(
    "sink.delivery-guarantee",
    OptionKind::OneOf(&["none", "at-least-once", "NONE", "AT_LEAST_ONCE"]),
    Some("at-least-once"),
    "Accepted for Flink's sake. What is not confirmed is always sent again; `none` changes nothing.",
    "at-least-once",
);

pub(crate) const PARALLELISM: OptionSpec = optional(
    "sink.parallelism",
    OptionKind::Integer { min: 1, max: 128 },
    None,
    "Accepted for Flink's sake; rows are written in one order.",
    "1",
);

pub(crate) const DEAD_LETTERS: OptionSpec = optional(
    crate::messages::options::DEAD_LETTER_TOPIC,
    OptionKind::Text,
    None,
    "Rows that the server refuses for good go to this topic of the embedded log as they were sent, with the reason in a \
     header, and the job goes on. Without it such a row fails the job.",
    "orders-rejected",
);

/// A number that is 0 where it is not said, or said to be without bound (`-1`).
pub(crate) fn count(options: &Options, key: &str) -> u64 {
    options.integer(key).and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
}

/// No store keeps the rows of a partition apart.
pub(crate) fn partition_problem(table: &TableDefinition) -> Option<ConnectorError> {
    let message = "the table cannot be partitioned; leave PARTITIONED BY out";
    (!table.partition_keys.is_empty()).then(|| option_problem(table, "connector", message))
}
