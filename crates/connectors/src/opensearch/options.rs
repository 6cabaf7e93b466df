//! The options of `opensearch` and `elasticsearch-7`, under the names of Flink's connectors.

use super::hosts;
use super::index::Index;
use crate::jdbc::key_columns;
use crate::messages::options::{CERT_SPEC, KEY_SPEC, PASSWORD_SPEC, ROOT_CAS_SPEC, tls_problems};
use crate::store::{
    Bounds, DEAD_LETTERS, DELIVERY_GUARANTEE, PARALLELISM, Patience, count, partition_problem,
};
use crate::table_format::{self, FORMAT, Formats, TableFormat};
use crate::{CONNECTOR, SINK_RATE_LIMIT, option_problem, optional};
use arrow_schema::DataType;
use auth::https::Url;
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::{ConnectorError, Role};
use dataflow::table::TableDefinition;
use formats::FormatKind;
use std::time::Duration;

pub(super) const HOSTS: &str = "hosts";
const INDEX: &str = "index";
const PREFIX: &str = "connection.path-prefix";
const DELIMITER: &str = "document-id.key-delimiter";
const MAX_ACTIONS: &str = "sink.bulk-flush.max-actions";
const MAX_SIZE: &str = "sink.bulk-flush.max-size";
const INTERVAL: &str = "sink.bulk-flush.interval";
const BACKOFF: &str = "sink.bulk-flush.backoff.strategy";
const BACKOFF_RETRIES: &str = "sink.bulk-flush.backoff.max-retries";
const BACKOFF_DELAY: &str = "sink.bulk-flush.backoff.delay";
const SOCKET_TIMEOUT: &str = "socket.timeout";

pub(super) const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    OptionSpec {
        key: HOSTS,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "The servers of the cluster, with a `;` in between. Where one cannot be reached the next one is asked.",
        example: "https://search-1:9200;https://search-2:9200",
    },
    OptionSpec {
        key: INDEX,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "The index. `{column}` is a column's value, `{column|yyyy-MM-dd}` that of a date or a time in a pattern, and \
              `{now()|yyyy-MM-dd}` the time at which the row is written; times are in UTC. With a primary key the index should \
              depend on nothing but its columns: a document does not move.",
        example: "orders-{ordered_at|yyyy.MM}",
    },
    optional(
        DELIMITER,
        OptionKind::Text,
        Some("_"),
        "Between the columns of a primary key in a document's id.",
        "$",
    ),
    optional("username", OptionKind::Text, None, "The user. Without one, requests name nobody.", "shop"),
    PASSWORD_SPEC,
    optional(
        PREFIX,
        OptionKind::Text,
        None,
        "What stands before the path of each request, where a proxy wants it.",
        "/search",
    ),
    optional(
        MAX_ACTIONS,
        OptionKind::Integer { min: -1, max: 1_000_000 },
        Some("1000"),
        "A request is sent as soon as so many rows wait, and has no more; 0 or -1 leaves it to the size and the interval.",
        "5000",
    ),
    optional(
        MAX_SIZE,
        OptionKind::Size,
        Some("2 mb"),
        "A request is sent as soon as so much waits, and has about that; 8 MB at most.",
        "5 mb",
    ),
    optional(
        INTERVAL,
        OptionKind::Duration,
        Some("1 s"),
        "A request is sent when a row has waited so long; 0 leaves it to the number of rows and their size.",
        "200 ms",
    ),
    optional(
        BACKOFF,
        OptionKind::OneOf(&["EXPONENTIAL", "CONSTANT", "DISABLED", "NONE"]),
        Some("EXPONENTIAL"),
        "What happens with rows that the cluster does not take for now (429, 5xx): they are sent again after pauses that double, \
         or are equal; with DISABLED or NONE the job's restart strategy decides at once.",
        "CONSTANT",
    ),
    optional(
        BACKOFF_RETRIES,
        OptionKind::Integer { min: 0, max: 100 },
        Some("5"),
        "How often they are sent again before the job's restart strategy decides.",
        "8",
    ),
    optional(
        BACKOFF_DELAY,
        OptionKind::Duration,
        Some("100 ms"),
        "The first pause. All of them together are no longer than 10 s.",
        "50 ms",
    ),
    optional(
        SOCKET_TIMEOUT,
        OptionKind::Duration,
        Some("30 s"),
        "How long a server may take to answer, or to be connected to. Then the request is sent again by the job's restart \
         strategy.",
        "10 s",
    ),
    optional(
        "connection.timeout",
        OptionKind::Duration,
        None,
        "Accepted for Flink's sake; `socket.timeout` says how long a server may take.",
        "5 s",
    ),
    optional(
        "connection.request-timeout",
        OptionKind::Duration,
        None,
        "Accepted for Flink's sake; a sink has one connection and waits for no other.",
        "5 s",
    ),
    FORMAT,
    ROOT_CAS_SPEC,
    CERT_SPEC,
    KEY_SPEC,
    DELIVERY_GUARANTEE,
    DEAD_LETTERS,
    SINK_RATE_LIMIT,
    PARALLELISM,
];

/// What a table says, once it is found to be right.
pub(super) struct Checked {
    pub options: Options,
    pub format: TableFormat,
    pub hosts: Vec<Url>,
    pub index: Index,
    /// Begins with `/`, or is empty.
    pub prefix: String,
    /// The key's columns, and what stands between their texts.
    pub key: Vec<usize>,
    pub delimiter: String,
}

impl Checked {
    pub(super) fn of(table: &TableDefinition) -> Result<Checked, Vec<ConnectorError>> {
        // Flink's connectors write JSON where nothing is said, and nothing else.
        let mut with_format = table.clone();
        with_format.options.entry("format".into()).or_insert_with(|| FormatKind::Json.name().into());
        let checked = table_format::check(&with_format, OPTIONS, Formats::Message)?;
        let (options, format) = (checked.options, checked.value);
        let mut errors = Vec::new();
        let mut problem = |option: &str, message: String| errors.push(option_problem(table, option, message));
        if format.kind() != FormatKind::Json {
            problem("format", "documents are JSON; leave 'format' out, or say 'json'".into());
        }
        let hosts = hosts(options.text(HOSTS).unwrap_or_default());
        if let Err(message) = &hosts {
            problem(HOSTS, message.clone());
        }
        let is_plain = hosts.as_ref().is_ok_and(|hosts| hosts.iter().any(|host| !host.tls));
        for (option, message) in tls_problems(&options, is_plain, "'https://…' in 'hosts'") {
            problem(option, message);
        }
        if options.text("password").is_some() && options.text("username").is_none() {
            problem("password", "'password' needs 'username'".into());
        }
        let key = key_columns(table);
        let index = Index::parse(options.text(INDEX).unwrap_or_default(), &table.schema, !key.is_empty());
        if let Err(message) = &index {
            problem(INDEX, format!("'{INDEX}': {message}"));
        }
        let prefix = options.text(PREFIX).unwrap_or_default().trim_end_matches('/').to_string();
        let is_path = prefix.starts_with('/') && prefix.bytes().all(|byte| byte.is_ascii_graphic());
        if !prefix.is_empty() && (!is_path || prefix.contains(['?', '#'])) {
            problem(PREFIX, format!("'{PREFIX}' has to begin with '/', and holds no blanks and no '?'"));
        }
        for field in key.iter().map(|column| table.schema.field(*column)) {
            if matches!(
                field.data_type(),
                DataType::Binary | DataType::List(_) | DataType::Map(..) | DataType::Struct(_)
            ) {
                let message = format!(
                    "the column '{}' of the primary key has no text that could be an id; choose another key",
                    field.name()
                );
                problem("connector", message);
            }
        }
        errors.extend(partition_problem(table));
        errors.extend(format.schema_problem(table, &table.schema, &[], Role::Sink));
        match (hosts, index) {
            (Ok(hosts), Ok(index)) if errors.is_empty() => {
                let delimiter = options.text(DELIMITER).unwrap_or("_").to_string();
                Ok(Checked { options, format, hosts, index, prefix, key, delimiter })
            }
            _ => Err(errors),
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.options.duration_ms(SOCKET_TIMEOUT).unwrap_or(0))
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            rows_max: count(&self.options, MAX_ACTIONS),
            bytes_max: self.options.bytes(MAX_SIZE).map_or(0, |bytes| bytes as usize),
            interval_ms: self.options.duration_ms(INTERVAL).unwrap_or(0),
        }
    }

    pub(super) fn patience(&self) -> Patience {
        let strategy = self.options.text(BACKOFF).unwrap_or_default();
        let tries = match strategy {
            "DISABLED" | "NONE" => 0,
            _ => count(&self.options, BACKOFF_RETRIES) as u32,
        };
        let pause = Duration::from_millis(self.options.duration_ms(BACKOFF_DELAY).unwrap_or(0));
        Patience { tries, pause, doubles: strategy == "EXPONENTIAL" }
    }
}
