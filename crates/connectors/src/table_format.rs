//! The format of a table: its name and options, split off from the connector's own.
//!
//! Format options are prefixed by the format's name (`json.ignore-parse-errors`); with `value.format`
//! and `key.format` also by `value.` and `key.`, as in Flink.

use crate::{option_error, option_problem};
use arrow_schema::SchemaRef;
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::{ConnectorError, Role};
use dataflow::table::TableDefinition;
use formats::{FormatKind, RowDecoder, RowEncoder};
use std::collections::BTreeMap;

pub(crate) const FORMAT: OptionSpec = OptionSpec {
    key: "format",
    kind: OptionKind::Text,
    required: false,
    default: None,
    doc: "How the bytes are read and written: json, csv or raw.",
    example: "json",
};

/// A format with its checked options.
#[derive(Debug, Clone)]
pub(crate) struct TableFormat {
    kind: FormatKind,
    options: Options,
    /// What the format's options begin with: `json.`, `value.json.`.
    prefix: String,
}

/// The connector's own options and the formats of a table, all checked.
pub(crate) struct Checked {
    pub options: Options,
    pub key: Option<TableFormat>,
    pub value: TableFormat,
}

impl TableFormat {
    pub(crate) fn decoder(
        &self,
        schema: &SchemaRef,
        projection: &[usize],
    ) -> Result<Box<dyn RowDecoder>, String> {
        self.kind.decoder(&self.options, schema, projection).map_err(|error| error.to_string())
    }

    pub(crate) fn encoder(&self, schema: &SchemaRef) -> Result<Box<dyn RowEncoder>, String> {
        self.kind.encoder(&self.options, schema).map_err(|error| error.to_string())
    }

    /// Whether records that cannot be read are skipped.
    pub(crate) fn ignores_errors(&self) -> bool {
        self.options.boolean("ignore-parse-errors")
    }

    /// The option that makes it skip them, as it is written in the table's options.
    pub(crate) fn ignore_option(&self) -> String {
        format!("{}ignore-parse-errors", self.prefix)
    }

    pub(crate) fn kind(&self) -> FormatKind {
        self.kind
    }
}

/// Checks all options of a table whose connector takes formats. `keyed` allows `key.format` and `value.format`.
pub(crate) fn check(
    table: &TableDefinition,
    specs: &[OptionSpec],
    keyed: bool,
    role: Role,
) -> Result<Checked, Vec<ConnectorError>> {
    let mut own = table.options.clone();
    let mut errors = Vec::new();
    let value_key = if keyed && own.contains_key("value.format") { "value.format" } else { "format" };
    let value = take(table, &mut own, value_key, &mut errors);
    let key = if keyed { take(table, &mut own, "key.format", &mut errors) } else { None };
    if value.is_none() && !table.options.contains_key(value_key) {
        let names = FormatKind::names().join("', '");
        errors.push(option_problem(
            table,
            "connector",
            format!(
                "the option 'format' is missing; the formats are '{names}', for example 'format' = 'json'"
            ),
        ));
    }
    let options = match Options::check(&own, specs) {
        Ok(options) => Some(options),
        Err(found) => {
            errors.extend(found.iter().map(|error| option_error(table, error)));
            None
        }
    };
    match (options, value) {
        (Some(options), Some(value)) if errors.is_empty() => {
            let checked = Checked { options, key, value };
            match schema_problem(table, &checked, role) {
                None => Ok(checked),
                Some(problem) => Err(vec![problem]),
            }
        }
        _ => Err(errors),
    }
}

/// Takes a format and its options out of `own`.
fn take(
    table: &TableDefinition,
    own: &mut BTreeMap<String, String>,
    format_key: &str,
    errors: &mut Vec<ConnectorError>,
) -> Option<TableFormat> {
    let name = own.get(format_key)?.clone();
    let kind = match FormatKind::lookup(&name) {
        Some(kind) => kind,
        None => {
            let hint = match base::nearest(&name, FormatKind::names().iter().copied()) {
                Some(nearest) => format!("did you mean '{nearest}'?"),
                None => format!("the formats are '{}'", FormatKind::names().join("', '")),
            };
            errors.push(option_problem(table, format_key, format!("there is no format '{name}'; {hint}")));
            return None;
        }
    };
    own.remove(format_key);
    let prefix = match format_key.strip_suffix("format") {
        Some("") | None => format!("{name}."),
        Some(role) => format!("{role}{name}."),
    };
    let mut given = BTreeMap::new();
    own.retain(|key, value| match key.strip_prefix(&prefix) {
        Some(rest) => {
            given.insert(rest.to_string(), value.clone());
            false
        }
        None => true,
    });
    match Options::check(&given, kind.specs()) {
        Ok(options) => Some(TableFormat { kind, options, prefix }),
        Err(found) => {
            errors.extend(found.iter().map(|error| ConnectorError {
                option: Some(format!("{prefix}{}", error.key())),
                ..option_problem(table, format_key, format!("format '{name}': {error}"))
            }));
            None
        }
    }
}

/// A column whose type the format does not take.
fn schema_problem(table: &TableDefinition, checked: &Checked, role: Role) -> Option<ConnectorError> {
    let problem = match role {
        Role::Source => {
            let projection: Vec<usize> = (0..table.schema.fields().len()).collect();
            checked.value.decoder(&table.schema, &projection).err()
        }
        Role::Sink => checked.value.encoder(&table.schema).err(),
    };
    problem.map(|message| option_problem(table, "format", message))
}
