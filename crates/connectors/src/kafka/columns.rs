//! Which columns of a table lie in a record's key and which in its value.

use super::Mode;
use crate::option_problem;
use crate::table_format::Checked;
use arrow_schema::{Fields, Schema, SchemaRef};
use dataflow::connector::ConnectorError;
use dataflow::table::TableDefinition;
use std::sync::Arc;

/// Physical columns as indices into the table's schema.
pub(super) struct Columns {
    pub key: Vec<usize>,
    pub value: Vec<usize>,
    /// What the names of the key's columns begin with in the table, but not in the record.
    key_prefix: String,
}

impl Columns {
    pub(super) fn new(
        table: &TableDefinition,
        checked: &Checked,
        mode: Mode,
    ) -> Result<Columns, ConnectorError> {
        let all = 0..table.schema.fields().len();
        if checked.key.is_none() {
            return Ok(Columns { key: Vec::new(), value: all.collect(), key_prefix: String::new() });
        }
        let key_prefix = checked.options.text("key.fields-prefix").unwrap_or_default();
        let (names, option): (Vec<&str>, _) = match mode {
            Mode::Append => {
                let fields = checked.options.text("key.fields").unwrap_or_default();
                (fields.split(';').map(str::trim).filter(|name| !name.is_empty()).collect(), "key.fields")
            }
            Mode::Upsert => (table.primary_key.iter().map(String::as_str).collect(), "key.fields-prefix"),
        };
        let mut key = Vec::new();
        for name in names {
            let Some(index) = all.clone().find(|index| table.schema.field(*index).name() == name) else {
                let names = table.schema.fields().iter().map(|field| field.name().as_str());
                let near = base::nearest(name, names);
                let hint = near.map_or(String::new(), |near| format!("; did you mean '{near}'?"));
                return Err(option_problem(table, option, format!("there is no column '{name}'{hint}")));
            };
            if !name.starts_with(key_prefix) {
                let message =
                    format!("the column '{name}' does not begin with 'key.fields-prefix' = '{key_prefix}'");
                return Err(option_problem(table, option, message));
            }
            key.push(index);
        }
        let without_key = checked.options.text("value.fields-include") == Some("EXCEPT_KEY");
        let value = all.filter(|index| !without_key || !key.contains(index)).collect();
        Ok(Columns { key, value, key_prefix: key_prefix.to_string() })
    }

    /// The key's columns, named as in the record.
    pub(super) fn key_schema(&self, table: &TableDefinition) -> SchemaRef {
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
    pub(super) fn value_schema(&self, table: &TableDefinition) -> SchemaRef {
        let fields = self.value.iter().map(|index| table.schema.field(*index).clone());
        Arc::new(Schema::new(fields.collect::<Fields>()))
    }
}
