//! The options of `prometheus`, under the names of Flink's connector.

use super::samples::Columns;
use crate::flush_policy::WAITING_BYTES_MAX;
use crate::http::access;
use crate::messages::options::{CERT_SPEC, DEAD_LETTERS, KEY_SPEC, ROOT_CAS_SPEC, TIMEOUT_SPEC};
use crate::store::{Bounds, DELIVERY_GUARANTEE, PARALLELISM, Patience, count, partition_problem};
use crate::{CONNECTOR, SINK_RATE_LIMIT, option_problem, optional, plain_options};
use arrow_schema::DataType;
use auth::https::Url;
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::ConnectorError;
use dataflow::plan::type_name;
use dataflow::table::TableDefinition;
use std::time::Duration;

pub(super) const ENDPOINT: &str = "metric.endpoint-url";
const NAME: &str = "metric.name";
const NAME_FIXED: &str = "metric.name.fixed";
const LABELS: &str = "metric.label.keys";
const VALUE: &str = "metric.sample.key";
const TIMESTAMP: &str = "metric.sample.timestamp";
const BATCH_SIZE: &str = "sink.batch.max-size";
const INTERVAL: &str = "sink.flush-buffer.timeout";
const RETRIES: &str = "sink.max-retries";
/// The first pause before samples are sent again.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    OptionSpec {
        key: ENDPOINT,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "Where remote-write is taken: `http://HOST:PORT/PATH` or the same with `https`. Prometheus itself takes it at \
              `/api/v1/write`, when it is started with `--web.enable-remote-write-receiver`.",
        example: "https://prometheus.example/api/v1/write",
    },
    optional(NAME, OptionKind::Text, None, "The column with the metric's name.", "metric"),
    optional(
        NAME_FIXED,
        OptionKind::Text,
        None,
        "The metric's name itself, where it is the same for all rows; in place of `metric.name`.",
        "shop_orders_total",
    ),
    optional(
        LABELS,
        OptionKind::Text,
        None,
        "The columns that are the series' labels, under their own names, parted by `;` or as `[a,b]`. Where one is NULL the series \
         is without it.",
        "shop;region",
    ),
    OptionSpec {
        key: VALUE,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "The column with the sample's value, a number of any type.",
        example: "orders",
    },
    OptionSpec {
        key: TIMESTAMP,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "The column with the sample's time: a TIMESTAMP, a TIMESTAMP_LTZ, or a BIGINT of milliseconds since 1970.",
        example: "window_end",
    },
    optional(
        BATCH_SIZE,
        OptionKind::Integer { min: 1, max: 10_000 },
        Some("500"),
        "A request is sent as soon as so many samples wait, and has no more.",
        "2000",
    ),
    optional(
        INTERVAL,
        OptionKind::Duration,
        Some("5 s"),
        "A request is sent when a sample has waited so long.",
        "1 s",
    ),
    optional(
        "sink.requests.max-inflight",
        OptionKind::Integer { min: 1, max: 1 },
        Some("1"),
        "One request follows the other, as the protocol wants for the samples of a series.",
        "1",
    ),
    optional(
        RETRIES,
        OptionKind::Integer { min: 0, max: 100 },
        Some("5"),
        "How often samples are sent again at once, after pauses that double, because the server does not take them for now (429, \
         5XX). Then the job's restart strategy decides.",
        "10",
    ),
    optional(
        "http.sink.header.*",
        OptionKind::Text,
        None,
        "A header of each request, by its name. `${env:NAME}` or `${file:PATH}` keeps a secret out of the job's file, and is read \
         for each request anew.",
        "tenant-1",
    ),
    access::USERNAME_SPEC,
    access::PASSWORD_SPEC,
    access::TOKEN_SPEC,
    ROOT_CAS_SPEC,
    CERT_SPEC,
    KEY_SPEC,
    TIMEOUT_SPEC,
    DELIVERY_GUARANTEE,
    DEAD_LETTERS,
    SINK_RATE_LIMIT,
    PARALLELISM,
];

/// What a table says, once it is found to be right.
pub(super) struct Checked {
    pub options: Options,
    pub columns: Columns,
}

impl Checked {
    pub(super) fn of(table: &TableDefinition) -> Result<Checked, Vec<ConnectorError>> {
        let options = plain_options(table, OPTIONS)?;
        let url = Url::parse(options.text(ENDPOINT).unwrap_or_default());
        let is_plain = url.as_ref().is_ok_and(|url| !url.tls);
        let mut errors = access::login_problems(table, &options, is_plain, "https");
        let mut problem = |option: &str, message: String| errors.push(option_problem(table, option, message));
        if let Err(error) = url {
            problem(ENDPOINT, format!("'{ENDPOINT}': {error}"));
        }
        let mut column = |option: &'static str, name: &str| match table.schema.index_of(name) {
            Ok(column) => column,
            Err(_) => {
                let names = table.schema.fields().iter().map(|field| field.name().as_str());
                let hint = base::nearest(name, names)
                    .map_or_else(String::new, |nearest| format!("; did you mean '{nearest}'?"));
                problem(option, format!("'{option}': there is no column '{}'{hint}", name.escape_debug()));
                0
            }
        };
        let name = options.text(NAME).map(|name| column(NAME, name));
        let labels: Vec<usize> = labels(&options).map(|name| column(LABELS, name)).collect();
        let value = column(VALUE, options.text(VALUE).unwrap_or_default());
        let timestamp = column(TIMESTAMP, options.text(TIMESTAMP).unwrap_or_default());
        let fixed = options.text(NAME_FIXED).map(str::to_string);
        let columns = Columns { fixed, name, labels, value, timestamp };
        if errors.is_empty() {
            errors.extend(type_problems(table, &columns));
        }
        let mut problem = |option: &str, message: String| errors.push(option_problem(table, option, message));
        if columns.name.is_some() == columns.fixed.is_some() {
            problem(
                NAME,
                format!("a metric has one name: give either '{NAME}', its column, or '{NAME_FIXED}'"),
            );
        }
        if columns.fixed.as_ref().is_some_and(|name| !is_name(name, true)) {
            problem(
                NAME_FIXED,
                format!("'{NAME_FIXED}' is the name of no metric: it has letters, digits, _ and :"),
            );
        }
        for name in self::labels(&options) {
            if !is_name(name, false) || name.starts_with("__") {
                let name = name.escape_debug();
                problem(
                    LABELS,
                    format!(
                        "the column '{name}' has the name of no label: letters, digits and _, no __ first"
                    ),
                );
            }
        }
        errors.extend(partition_problem(table));
        match errors.is_empty() {
            true => Ok(Checked { options, columns }),
            false => Err(errors),
        }
    }

    pub(super) fn url(&self) -> &str {
        self.options.text(ENDPOINT).unwrap_or_default()
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            rows_max: count(&self.options, BATCH_SIZE),
            bytes_max: WAITING_BYTES_MAX,
            interval_ms: self.options.duration_ms(INTERVAL).unwrap_or(0),
        }
    }

    pub(super) fn patience(&self) -> Patience {
        Patience { tries: count(&self.options, RETRIES) as u32, pause: PAUSE, doubles: true }
    }
}

/// A list as Flink has it: `a;b`, or `[a,b]`.
fn labels(options: &Options) -> impl Iterator<Item = &str> {
    let text = options.text(LABELS).unwrap_or_default().trim();
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    inner.split([';', ',']).map(|name| name.trim().trim_matches(['\'', '"'])).filter(|name| !name.is_empty())
}

/// What Prometheus' data model has for a name, before it took any.
fn is_name(name: &str, has_colons: bool) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (byte == b':' && has_colons);
    !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(is_part)
}

fn type_problems(table: &TableDefinition, columns: &Columns) -> Vec<ConnectorError> {
    let type_of = |column: usize| table.schema.field(column).data_type();
    let mut errors = Vec::new();
    let mut check = |option: &str, column: usize, fits: bool, wanted: &str| {
        if !fits {
            let (name, here) = (table.schema.field(column).name(), type_name(type_of(column)));
            let message = format!("'{option}': the column '{name}' is {here}, and has to be {wanted}");
            errors.push(option_problem(table, option, message));
        }
    };
    if let Some(name) = columns.name {
        check(NAME, name, type_of(name) == &DataType::Utf8, "STRING");
    }
    for label in &columns.labels {
        let is_scalar = !type_of(*label).is_nested() && type_of(*label) != &DataType::Binary;
        check(LABELS, *label, is_scalar, "a text, a number, a time or a BOOLEAN");
    }
    check(VALUE, columns.value, type_of(columns.value).is_numeric(), "a number");
    let is_time = matches!(type_of(columns.timestamp), DataType::Timestamp(..) | DataType::Int64);
    check(TIMESTAMP, columns.timestamp, is_time, "a TIMESTAMP or a BIGINT of milliseconds");
    errors
}
