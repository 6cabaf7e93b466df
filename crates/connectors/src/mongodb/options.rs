//! The options of `mongodb`, under the names of Flink's connector.

use crate::flush_policy::WAITING_BYTES_MAX;
use crate::jdbc::key_columns;
use crate::messages::options::PASSWORD_SPEC;
use crate::store::{
    Bounds, DEAD_LETTERS, DELIVERY_GUARANTEE, PARALLELISM, Patience, count, partition_problem,
};
use crate::{CONNECTOR, SINK_RATE_LIMIT, lookup_options, option_problem, optional, plain_options};
use arrow_schema::DataType;
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::{ConnectorError, Role};
use dataflow::table::TableDefinition;
use formats::bson::bson_problem;
use mongo_client::{Address, OptionNames};
use std::time::Duration;

const URI: &str = "uri";
const DATABASE: &str = "database";
const COLLECTION: &str = "collection";
const MAX_ROWS: &str = "sink.buffer-flush.max-rows";
const INTERVAL: &str = "sink.buffer-flush.interval";
const RETRIES: &str = "sink.max-retries";
const RETRY_INTERVAL: &str = "sink.retry.interval";

/// Names that messages use of this connector and of `mongodb-cdc`.
pub(crate) const OPTION_NAMES: OptionNames = OptionNames { password: "'password'", address: URI };
pub(super) const ID: &str = "_id";

/// For a server that keeps silent, where the connection string does not say.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
/// A longer name there cannot be.
const NAME_BYTES_MAX: usize = 255;

pub(super) const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    OptionSpec {
        key: URI,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "Where the servers are, as all drivers write it: mongodb://HOST:PORT,HOST:PORT/?replicaSet=NAME. The one that takes \
              writes is found among them. `tls=true` speaks TLS, by the authorities in `tlsCAFile=PEM` or else the system's; \
              `authSource` names the database that knows the user (`admin`); `w` says how many servers have a write before it \
              counts (`majority`); `connectTimeoutMS` and `socketTimeoutMS` how long a server may take (30 s).",
        example: "mongodb://db-1:27017,db-2:27017/?replicaSet=shop",
    },
    OptionSpec {
        key: DATABASE,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "The database.",
        example: "shop",
    },
    OptionSpec {
        key: COLLECTION,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "The collection.",
        example: "orders",
    },
    optional("username", OptionKind::Text, None, "The user, in place of one in `uri`.", "shop"),
    PASSWORD_SPEC,
    optional(
        MAX_ROWS,
        OptionKind::Integer { min: -1, max: 100_000 },
        Some("1000"),
        "A group of rows is written as soon as so many wait, and has no more; 0 or -1 leaves it to the interval, and to their size \
         of 8 MB.",
        "5000",
    ),
    optional(
        INTERVAL,
        OptionKind::Duration,
        Some("1 s"),
        "A group is written when a row has waited so long; 0 leaves it to the number of rows.",
        "200 ms",
    ),
    optional(
        RETRIES,
        OptionKind::Integer { min: 0, max: 100 },
        Some("3"),
        "How often what the server does not take for now is sent again before the job's restart strategy decides.",
        "10",
    ),
    optional(
        RETRY_INTERVAL,
        OptionKind::Duration,
        Some("1 s"),
        "The pause before that. All of them together are no longer than 10 s.",
        "100 ms",
    ),
    optional(
        "sink.ordered-writes",
        OptionKind::Boolean,
        None,
        "Accepted for Flink's sake: rows of one key are always written in their order, and others at once.",
        "true",
    ),
    optional(
        "sink.bypass-document-validation",
        OptionKind::Boolean,
        Some("false"),
        "Accepted for Flink's sake, but must be false: what the collection's rules refuse is refused.",
        "false",
    ),
    DELIVERY_GUARANTEE,
    DEAD_LETTERS,
    SINK_RATE_LIMIT,
    PARALLELISM,
    optional(
        "scan.*",
        OptionKind::Text,
        None,
        "Accepted for Flink's sake: it is for scans, which are not supported, and not for writing and lookup joins. `mongodb-cdc` \
         reads collections.",
        "1000",
    ),
    optional(
        "filter.handling.policy",
        OptionKind::Text,
        None,
        "Accepted for Flink's sake: it is for scans, which are not supported.",
        "always",
    ),
    lookup_options::CACHE,
    lookup_options::MAX_ROWS,
    lookup_options::AFTER_WRITE,
    lookup_options::AFTER_ACCESS,
    lookup_options::MISSING_KEY,
    lookup_options::RETRIES,
    optional(
        "lookup.retry.interval",
        OptionKind::Duration,
        None,
        "Accepted for Flink's sake; the pause doubles each time.",
        "1 s",
    ),
];

/// What a table says, once it is found to be right.
pub(super) struct Checked {
    pub options: Options,
    pub address: Address,
    pub database: String,
    pub collection: String,
    pub timeout: Duration,
}

impl Checked {
    pub(super) fn of(table: &TableDefinition, role: Role) -> Result<Checked, Vec<ConnectorError>> {
        let options = plain_options(table, OPTIONS)?;
        let mut errors = Vec::new();
        let mut problem = |option: &str, message: String| errors.push(option_problem(table, option, message));
        let parsed = Address::parse(options.text(URI).unwrap_or_default(), OPTION_NAMES);
        let (user, password) = (options.text("username"), options.text("password"));
        match &parsed {
            Err(message) => problem(URI, format!("'{URI}': {message}")),
            Ok(parsed) => {
                if user.is_some() && parsed.address.user.is_some() {
                    problem("username", format!("there is a user in '{URI}' already"));
                }
                if password.is_some() && user.is_none() && parsed.address.user.is_none() {
                    problem("password", "'password' needs 'username'".into());
                }
            }
        }
        let (database, collection) =
            (options.text(DATABASE).unwrap_or_default(), options.text(COLLECTION).unwrap_or_default());
        if let Err(message) = collection_problem(database, collection) {
            problem(message.0, message.1);
        }
        if options.boolean("sink.bypass-document-validation") {
            let key = "sink.bypass-document-validation";
            problem(key, format!("'{key}' can be false alone: what a collection's rules refuse is refused"));
        }
        if role == Role::Sink {
            sink_problems(table).into_iter().for_each(|message| problem("connector", message));
        }
        errors.extend(partition_problem(table));
        match parsed {
            Ok(parsed) if errors.is_empty() => {
                let mut address = parsed.address;
                address.user = user.map(str::to_string).or(address.user);
                address.password = password.map(str::to_string).or(address.password);
                let (database, collection) = (database.to_string(), collection.to_string());
                Ok(Checked {
                    options,
                    address,
                    database,
                    collection,
                    timeout: parsed.timeout.unwrap_or(TIMEOUT),
                })
            }
            _ => Err(errors),
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            rows_max: count(&self.options, MAX_ROWS),
            bytes_max: WAITING_BYTES_MAX,
            interval_ms: self.options.duration_ms(INTERVAL).unwrap_or(0),
        }
    }

    pub(super) fn patience(&self) -> Patience {
        let pause = Duration::from_millis(self.options.duration_ms(RETRY_INTERVAL).unwrap_or(0));
        Patience { tries: count(&self.options, RETRIES) as u32, pause, doubles: false }
    }
}

/// What is wrong with the name of a collection: the option, and why.
pub(crate) fn collection_problem(database: &str, collection: &str) -> Result<(), (&'static str, String)> {
    if database.is_empty()
        || database.len() > 63
        || database.contains(['/', '\\', '.', ' ', '"', '$', '*', '<', '>', ':', '|', '?', '\0'])
    {
        return Err((
            DATABASE,
            format!("'{DATABASE}' is the name of one database, without signs such as . $ * |"),
        ));
    }
    if collection.is_empty() || collection.len() > NAME_BYTES_MAX || collection.contains(['$', '\0']) {
        return Err((COLLECTION, format!("'{COLLECTION}' is the name of one collection, without $")));
    }
    Ok(())
}

/// What cannot be written of a table.
fn sink_problems(table: &TableDefinition) -> Vec<String> {
    let mut problems = Vec::new();
    for field in table.schema.fields() {
        let name = field.name();
        if name.is_empty() || name.starts_with('$') || name.contains(['.', '\0']) {
            problems.push(format!(
                "the column '{name}' has a name that no field can be set by: no '.', no '$' at its begin"
            ));
        }
        if let Some(problem) = bson_problem(field.data_type()) {
            problems.push(format!("the column '{name}': {problem}"));
        }
    }
    let key = key_columns(table);
    let has_id = table.schema.index_of(ID).is_ok();
    if has_id && table.primary_key != [ID] {
        problems.push(format!(
            "there is a column '{ID}' that is not the primary key: declare PRIMARY KEY ({ID}) NOT ENFORCED, or call it otherwise"
        ));
    }
    for field in key.iter().map(|column| table.schema.field(*column)) {
        if let Some(problem) = key_problem(field.data_type()) {
            problems.push(format!("the column '{}' of the primary key {problem}", field.name()));
        }
    }
    problems
}

/// Why no document can be asked for by a key of a type.
fn key_problem(data_type: &DataType) -> Option<&'static str> {
    fn is_asked_by(data_type: &DataType) -> bool {
        match data_type {
            DataType::Map(..) => false,
            DataType::Struct(fields) => {
                fields.iter().all(|field| !field.name().starts_with('$') && is_asked_by(field.data_type()))
            }
            DataType::List(item) => is_asked_by(item.data_type()),
            _ => true,
        }
    }
    if matches!(data_type, DataType::List(_)) {
        return Some("is an ARRAY, which no '_id' can be");
    }
    (!is_asked_by(data_type)).then_some(
        "is a MAP, or has a MAP or a field with a '$' at its begin within, which would be read as an operator; take other columns, or \
         cast it to STRING",
    )
}
