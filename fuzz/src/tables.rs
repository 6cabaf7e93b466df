//! The table that files and databases are read as.

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use dataflow::table::TableDefinition;
use std::sync::Arc;

pub fn table(options: &[(&str, &str)]) -> Arc<TableDefinition> {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let fields = vec![
        field("id", DataType::Int64),
        field("name", DataType::Utf8),
        field("price", DataType::Decimal128(10, 2)),
        field("at_time", DataType::Timestamp(TimeUnit::Millisecond, None)),
    ];
    Arc::new(TableDefinition {
        name: "t".into(),
        schema: Arc::new(Schema::new(fields)),
        metadata: Vec::new(),
        primary_key: Vec::new(),
        partition_keys: Vec::new(),
        options: options.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
    })
}

pub fn all_columns(table: &TableDefinition) -> Vec<usize> {
    (0..table.schema.fields().len()).collect()
}
