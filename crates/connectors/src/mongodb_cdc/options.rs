//! The options of `mongodb-cdc`, under the names of Flink CDC.

use crate::mongodb::{OPTION_NAMES, TIMEOUT, collection_problem};
use crate::row_changes::options::{self as common, ANY, required};
use crate::store::partition_problem;
use crate::{CONNECTOR, option_problem, optional, plain_options};
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::ConnectorError;
use dataflow::table::TableDefinition;
use formats::bson::BsonColumns;
use mongo_client::Address;
use std::time::Duration;

const MODE: &str = "scan.startup.mode";
const FROM_MS: &str = "scan.startup.timestamp-millis";
const BATCH: &str = "batch.size";
const HEARTBEAT: &str = "heartbeat.interval.ms";
const CONNECTION: &str = "connection.options";
pub(super) const ID: &str = "_id";

pub(super) const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    optional(
        "scheme",
        OptionKind::OneOf(&["mongodb", "mongodb+srv"]),
        Some("mongodb"),
        "How the servers are named: `mongodb`, in `hosts`. `mongodb+srv`, by which they are looked up, is refused.",
        "mongodb",
    ),
    required(
        "hosts",
        "The servers of the replica set, or routers of the cluster, with a comma in between.",
        "db-1:27017,db-2:27017",
    ),
    optional(
        "username",
        OptionKind::Text,
        None,
        "A user with `find` and `changeStream` on the collection, as the role `read` has them. Without one nobody logs in.",
        "shop",
    ),
    optional(
        "password",
        OptionKind::Text,
        None,
        "The password. `${env:NAME}` or `${file:PATH}` keeps it out of the job's file, and is read for each connection anew.",
        "${env:SHOP_PASSWORD}",
    ),
    required("database", "The database: one name, no regular expression.", "shop"),
    required(
        "collection",
        "The collection: one name, no regular expression. A table reads one collection; UNION ALL puts several together.",
        "orders",
    ),
    optional(
        CONNECTION,
        OptionKind::Text,
        None,
        "Options of the connection, as they stand behind the `?` of a connection string: `replicaSet`, `authSource`, `tls`, \
         `tlsCAFile`, `connectTimeoutMS`, `socketTimeoutMS` (30 s) and others.",
        "replicaSet=shop&tls=true",
    ),
    optional(
        MODE,
        OptionKind::OneOf(&["initial", "latest-offset", "timestamp"]),
        Some("initial"),
        "`initial`: all documents, then the changes. `latest-offset`: the changes from now on. `timestamp`: those from a moment \
         on, as far back as the server's oplog reaches.",
        "latest-offset",
    ),
    optional(FROM_MS, ANY, None, "The moment for `timestamp`, in milliseconds since 1970.", "1700000000000"),
    optional(
        BATCH,
        OptionKind::Integer { min: 1, max: 100_000 },
        Some("1024"),
        "So many documents or changes are asked for at once at most.",
        "4096",
    ),
    optional(
        HEARTBEAT,
        OptionKind::Integer { min: 0, max: 86_400_000 },
        Some("30000"),
        "While the collection does not change but others do, the place in the changes is kept this often, in milliseconds, so that \
         a job that is started again still finds it in the oplog; 0 keeps it with changes alone.",
        "10000",
    ),
    optional(
        "scan.cursor.no-timeout",
        OptionKind::Boolean,
        Some("true"),
        "Accepted for Flink's sake: a cursor that the server has forgotten is opened anew behind the last document that was read.",
        "false",
    ),
    common::DEAD_LETTER,
    optional(
        "scan.full-changelog",
        OptionKind::Boolean,
        Some("false"),
        "Accepted for Flink's sake: a job remembers the rows of a query that needs to know what they were, so the server has to \
         keep no images of documents before their changes.",
        "true",
    ),
    common::INCREMENTAL,
    optional(
        "scan.incremental.snapshot.*",
        OptionKind::Text,
        None,
        "Accepted for Flink's sake; documents are read in the order of their `_id`, without chunks.",
        "64",
    ),
    optional(
        "scan.incremental.close-idle-reader.enabled",
        OptionKind::Boolean,
        None,
        "Accepted for Flink's sake; there is one reader.",
        "true",
    ),
    optional(
        "initial.snapshotting.*",
        OptionKind::Text,
        None,
        "Accepted for Flink's sake; documents are read by one reader. `initial.snapshotting.pipeline` is refused: filter in the \
         query.",
        "4",
    ),
    optional("poll.max.batch.size", ANY, None, "Accepted for Flink's sake; `batch.size` says it.", "1024"),
    optional(
        "poll.await.time.ms",
        ANY,
        None,
        "Accepted for Flink's sake; changes come as soon as the server tells them.",
        "1000",
    ),
    crate::SCAN_RATE_LIMIT,
];

/// What a table wants, checked.
pub(super) struct Settings {
    pub address: Address,
    pub database: String,
    pub collection: String,
    pub startup: Startup,
    pub batch_size: i32,
    /// None where the place is kept with changes alone.
    pub heartbeat: Option<Duration>,
    pub timeout: Duration,
    pub dead_letter_topic: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Startup {
    Initial,
    Latest,
    /// Seconds since 1970.
    At(u32),
}

/// Options of Flink CDC that are refused.
const REFUSED: &[(&str, &str)] = &[
    ("initial.snapshotting.pipeline", "filter in the query"),
    ("copy.existing", "it is called 'initial.snapshotting…' since Flink CDC 3"),
    ("errors.", "keep what cannot be read with 'dead-letter.topic'"),
    ("debezium.", "there is no Debezium here; leave it out"),
    ("scan.newly-added-table.", "a table reads one collection"),
];

/// Everything that is wrong with a table at once.
pub(super) fn checked(table: &TableDefinition) -> Result<Settings, Vec<ConnectorError>> {
    let (mut known, mut errors) = common::refused(table, OPTIONS, REFUSED);
    if known.options.contains_key(REFUSED[0].0) {
        known.options.remove(REFUSED[0].0);
        let message = format!("'{}' is not supported: {}", REFUSED[0].0, REFUSED[0].1);
        errors.push(option_problem(table, REFUSED[0].0, message));
    }
    let options = match plain_options(&known, OPTIONS) {
        Ok(options) => options,
        Err(more) => {
            errors.extend(more);
            return Err(errors);
        }
    };
    let mut problem = |key: &str, message: String| errors.push(option_problem(table, key, message));
    let text = |key: &str| options.text(key).unwrap_or_default();
    let hosts = text("hosts");
    if text("scheme") == "mongodb+srv" {
        problem(
            "scheme",
            "'scheme' = 'mongodb+srv' is not supported: name the servers, which `dig +short SRV _mongodb._tcp.HOST` shows, in \
             'hosts', and add 'tls=true' to the options of the connection"
                .into(),
        );
    }
    let is_plain = !hosts.contains(['@', '/', '?']);
    let address = match is_plain {
        true => Address::parse(&format!("mongodb://{hosts}"), OPTION_NAMES),
        false => {
            Err("it is a list of HOST:PORT; what else a connection needs are options of their own".into())
        }
    };
    if let Err(message) = &address {
        problem("hosts", format!("'hosts': {message}"));
    }
    let address = address.ok().and_then(|parsed| {
        let parsed = parsed.with_options(text(CONNECTION));
        parsed.map_err(|message| problem(CONNECTION, format!("'{CONNECTION}': {message}"))).ok()
    });
    if options.text("password").is_some() && options.text("username").is_none() {
        problem("password", "'password' needs 'username'".into());
    }
    if let Err((key, message)) = collection_problem(text("database"), text("collection")) {
        problem(key, message);
    }
    if text("collection").contains(['*', '+', '(', '|', '[', '^', '\\']) {
        problem(
            "collection",
            "'collection' is one name, and regular expressions are not supported; UNION ALL puts collections together".into(),
        );
    }
    let from_ms = options.integer(FROM_MS);
    let startup = match (text(MODE), from_ms) {
        ("timestamp", Some(ms)) => match u32::try_from(ms.div_euclid(1000)) {
            Ok(seconds) => Startup::At(seconds),
            Err(_) => {
                problem(FROM_MS, format!("'{FROM_MS}' is no moment of a server's log"));
                Startup::Latest
            }
        },
        ("timestamp", None) => {
            problem(MODE, format!("'{MODE}' = 'timestamp' wants '{FROM_MS}'"));
            Startup::Latest
        }
        ("latest-offset", _) => Startup::Latest,
        _ => Startup::Initial,
    };
    if from_ms.is_some() && text(MODE) != "timestamp" {
        problem(FROM_MS, format!("'{FROM_MS}' wants '{MODE}' = 'timestamp'"));
    }
    if table.primary_key != [ID] {
        problem(
            "connector",
            format!("changes are told by '{ID}': declare it, with PRIMARY KEY ({ID}) NOT ENFORCED"),
        );
    }
    let all: Vec<usize> = (0..table.schema.fields().len()).collect();
    if let Err(message) = BsonColumns::new(&table.schema, &all) {
        problem("connector", message);
    }
    errors.extend(partition_problem(table));
    match address {
        Some(parsed) if errors.is_empty() => {
            let timeout = parsed.timeout.unwrap_or(TIMEOUT);
            Ok(settings(&options, parsed.address, timeout, startup))
        }
        _ => Err(errors),
    }
}

fn settings(options: &Options, address: Address, timeout: Duration, startup: Startup) -> Settings {
    let text = |key: &str| options.text(key).map(str::to_string);
    let number = |key: &str| options.integer(key).unwrap_or_default();
    let heartbeat_ms = u64::try_from(number(HEARTBEAT)).unwrap_or(0);
    Settings {
        address: Address { user: text("username"), password: text("password"), ..address },
        database: text("database").unwrap_or_default(),
        collection: text("collection").unwrap_or_default(),
        startup,
        batch_size: i32::try_from(number(BATCH)).unwrap_or(1).max(1),
        heartbeat: (heartbeat_ms > 0).then(|| Duration::from_millis(heartbeat_ms)),
        timeout: timeout.max(Duration::from_millis(1)),
        dead_letter_topic: text("dead-letter.topic"),
    }
}
