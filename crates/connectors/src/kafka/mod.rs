//! `kafka`: topics of the embedded log, under the option names of Flink's Kafka connector.
//!
//! Without `properties.bootstrap.servers` a table lies in the node's own log: reading is exactly
//! once by journalled offsets, writing by being part of the step's record. The same table with the
//! option set is Flink's, on an outside cluster.

mod metadata;
mod options;
mod sink;
mod source;
mod startup;

use crate::option_problem;
use crate::table_format::{self, Checked};
use arrow_schema::{Fields, Schema, SchemaRef};
use base::ErrorKind;
use dataflow::connector::{Connector, ConnectorError, ConnectorSpec, MetadataSpec, Role, SourceRequest};
use dataflow::sink::Sink;
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use eventlog::EventLog;
use std::sync::Arc;

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "kafka",
    doc: "A topic of the embedded log, which every Kafka client sees as well.",
    options: options::SPECS,
    formats: &["json", "csv", "raw"],
    reads: true,
    writes: true,
    source_guarantee: "exactly once (offsets in the job's journal)",
    sink_guarantee: "exactly once (records commit with the step)",
};

pub(crate) struct Kafka {
    log: Option<EventLog>,
}

impl Kafka {
    pub(crate) fn new(log: Option<EventLog>) -> Kafka {
        Kafka { log }
    }

    fn log(&self, table: &TableDefinition) -> Result<EventLog, ConnectorError> {
        self.log.clone().ok_or_else(|| ConnectorError {
            kind: ErrorKind::Unavailable,
            message: format!("table '{}': there is no node to read or write the topic", table.name),
            option: None,
        })
    }
}

impl Connector for Kafka {
    fn spec(&self) -> &'static ConnectorSpec {
        &SPEC
    }

    fn metadata(&self) -> Vec<MetadataSpec> {
        metadata::specs()
    }

    fn check(&self, table: &TableDefinition, role: Role) -> Result<(), Vec<ConnectorError>> {
        let checked = table_format::check(table, options::SPECS, true, role)?;
        let errors = options::problems(table, &checked, role);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn is_bounded(&self, table: &TableDefinition) -> bool {
        table.options.get("scan.bounded.mode").is_some_and(|mode| mode != "unbounded")
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        let table = request.table.clone();
        let checked = checked(&table, Role::Source)?;
        Ok(Box::new(source::KafkaSource::new(self.log(&table)?, request, checked)?))
    }

    fn sink(&self, table: &Arc<TableDefinition>, _job: &str) -> Result<Sink, ConnectorError> {
        self.log(table)?;
        Ok(Sink::Topic(Box::new(sink::KafkaSink::new(table.clone(), checked(table, Role::Sink)?)?)))
    }
}

fn checked(table: &TableDefinition, role: Role) -> Result<Checked, ConnectorError> {
    let checked =
        table_format::check(table, options::SPECS, true, role).map_err(|mut errors| errors.remove(0))?;
    match options::problems(table, &checked, role).into_iter().next() {
        None => Ok(checked),
        Some(problem) => Err(problem),
    }
}

/// Which physical columns lie in the key and which in the value, as indices into the table's schema.
pub(crate) struct Columns {
    pub key: Vec<usize>,
    pub value: Vec<usize>,
    /// What the names of the key's columns begin with in the table, but not in the record.
    key_prefix: String,
}

impl Columns {
    /// The key's columns, named as in the record.
    fn key_schema(&self, table: &TableDefinition) -> SchemaRef {
        let field = |index: &usize| {
            let field = table.schema.field(*index).clone();
            match field.name().strip_prefix(&self.key_prefix) {
                Some(name) => field.clone().with_name(name),
                None => field,
            }
        };
        Arc::new(Schema::new(self.key.iter().map(field).collect::<Fields>()))
    }

    /// The value's columns.
    fn value_schema(&self, table: &TableDefinition) -> SchemaRef {
        let fields = self.value.iter().map(|index| table.schema.field(*index).clone());
        Arc::new(Schema::new(fields.collect::<Fields>()))
    }
}

fn columns(table: &TableDefinition, checked: &Checked) -> Result<Columns, ConnectorError> {
    let all = 0..table.schema.fields().len();
    if checked.key.is_none() {
        return Ok(Columns { key: Vec::new(), value: all.collect(), key_prefix: String::new() });
    }
    let fields = checked.options.text("key.fields").unwrap_or_default();
    let key_prefix = checked.options.text("key.fields-prefix").unwrap_or_default();
    let mut key = Vec::new();
    for name in fields.split(';').map(str::trim).filter(|name| !name.is_empty()) {
        let Some(index) = all.clone().find(|index| table.schema.field(*index).name() == name) else {
            let names = table.schema.fields().iter().map(|field| field.name().as_str());
            let hint =
                base::nearest(name, names).map_or(String::new(), |near| format!("; did you mean '{near}'?"));
            return Err(option_problem(table, "key.fields", format!("there is no column '{name}'{hint}")));
        };
        if !name.starts_with(key_prefix) {
            let message =
                format!("the column '{name}' does not begin with 'key.fields-prefix' = '{key_prefix}'");
            return Err(option_problem(table, "key.fields", message));
        }
        key.push(index);
    }
    let without_key = checked.options.text("value.fields-include") == Some("EXCEPT_KEY");
    let value = all.filter(|index| !without_key || !key.contains(index)).collect();
    Ok(Columns { key, value, key_prefix: key_prefix.to_string() })
}
