//! Tables over topics: as a message of a document, and as a statement made of one.

use crate::schema::{self, Columns};
use serde_json::Value;
use sql::ast::{ColumnKind, CreateTable, Identifier, StatementKind, TableElement};
use sql::source::SourceText;
use sql::unparse::{literal, quoted};

/// A declared table whose records lie in a topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub name: String,
    /// `CREATE TABLE …`, without what is secret.
    pub statement: String,
    pub topic: String,
    /// JSON Schemas of its rows, and of the keys of records where a format writes them; none for other formats.
    pub payload: Option<Value>,
    pub key: Option<Value>,
    pub content_type: Option<&'static str>,
}

impl Table {
    /// None where it reads no topic of the node's own log.
    pub fn of(create: &CreateTable) -> Option<Table> {
        let option = |key: &str| {
            let found = create.options.iter().find(|pair| pair.key.value == key);
            found.map(|pair| pair.value.value.as_str())
        };
        if !matches!(option("connector"), Some("kafka" | "upsert-kafka"))
            || option("properties.bootstrap.servers").is_some()
        {
            return None;
        }
        // Several topics, or a pattern of their names, are none that a document could name.
        let topic = option("topic").filter(|topic| !topic.contains([';', ',']))?.to_string();
        let mut shown = create.clone();
        shown.options.retain(|pair| {
            let (key, value) = (pair.key.value.as_str(), pair.value.value.as_str());
            base::secrets::shown(key, value) == value
        });
        let value_format = option("value.format").or_else(|| option("format")).unwrap_or_default();
        let key_format = option("key.format").unwrap_or_default();
        let key_fields = option("key.fields").unwrap_or_default();
        let is_key = |name: &str| match option("connector") {
            Some("upsert-kafka") => primary_key(create).any(|key| key == name),
            _ => key_fields.split(';').any(|key| key == name),
        };
        let leaves_out = option("value.fields-include") == Some("EXCEPT_KEY");
        let payload = value_format == "json";
        let payload = payload.then(|| rows(create, |name| !(leaves_out && is_key(name))));
        let key = (key_format == "json").then(|| rows(create, is_key));
        let content_type = match value_format {
            "json" => Some("application/json"),
            "csv" => Some("text/csv"),
            "avro" | "avro-confluent" => Some("application/vnd.apache.avro"),
            "protobuf" | "protobuf-confluent" => Some("application/x-protobuf"),
            "cloudevents" => Some("application/cloudevents+json"),
            _ => None,
        };
        let name = create.name.values().collect::<Vec<_>>().join(".");
        Some(Table { name, statement: shown.to_string(), topic, payload, key, content_type })
    }

    /// Of a statement that a document brings: one CREATE TABLE over a topic, and nothing else.
    pub(crate) fn of_statement(text: &str) -> Result<Table, String> {
        let source = SourceText::new("document", text);
        let (statements, diagnostics) = sql::parser::parse_script(&source);
        if let Some(diagnostic) = diagnostics.first() {
            return Err(diagnostic.message.clone());
        }
        let [statement] = statements.as_slice() else {
            return Err("there must be one statement, CREATE TABLE".into());
        };
        let StatementKind::CreateTable(create) = &statement.kind else {
            return Err("the statement must be CREATE TABLE".into());
        };
        if create.query.is_some() {
            return Err("CREATE TABLE must have no AS: a document declares, and runs nothing".into());
        }
        Table::of(create).ok_or_else(|| "the table does not read a topic of the node".into())
    }

    /// Made for a message that says what its records are.
    pub(crate) fn of_columns(
        name: &str,
        topic: &str,
        format: &[(&str, &str)],
        columns: Columns,
    ) -> Result<Table, String> {
        let column = |(name, data_type, comment): (String, String, Option<String>)| {
            let comment = comment.map_or_else(String::new, |text| format!(" COMMENT {}", literal(&text)));
            format!("  {} {data_type}{comment}", quoted(&name))
        };
        let columns: Vec<String> = columns?.into_iter().map(column).collect();
        let fixed = [("connector", "kafka"), ("topic", topic), ("scan.startup.mode", "earliest-offset")];
        let options = fixed.iter().chain(format);
        let options: Vec<String> =
            options.map(|(key, value)| format!("  {} = {}", literal(key), literal(value))).collect();
        let statement = format!(
            "CREATE TABLE {} (\n{}\n) WITH (\n{}\n)",
            quoted(name),
            columns.join(",\n"),
            options.join(",\n")
        );
        Table::of_statement(&statement)
    }
}

fn primary_key(create: &CreateTable) -> impl Iterator<Item = &str> {
    create.elements.iter().flat_map(names_of_key).map(|name| name.value.as_str())
}

fn names_of_key(element: &TableElement) -> &[Identifier] {
    match element {
        TableElement::PrimaryKey(key) => &key.columns,
        TableElement::Column(column)
            if matches!(column.kind, ColumnKind::Physical { primary_key: Some(_), .. }) =>
        {
            std::slice::from_ref(&column.name)
        }
        _ => &[],
    }
}

/// What a record holds: the physical columns. Those of the primary key are never null, as Flink has it.
fn rows(create: &CreateTable, wanted: impl Fn(&str) -> bool) -> Value {
    let mut columns = Vec::new();
    for element in &create.elements {
        let TableElement::Column(column) = element else { continue };
        let ColumnKind::Physical { data_type, .. } = &column.kind else { continue };
        let name = column.name.value.as_str();
        if wanted(name) {
            let mut data_type = data_type.clone();
            data_type.nullable &= !primary_key(create).any(|key| key == name);
            columns.push((name, data_type, column.comment.as_ref().map(|text| text.value.as_str())));
        }
    }
    schema::object(columns.iter().map(|(name, data_type, comment)| (*name, data_type, *comment)), false)
}
