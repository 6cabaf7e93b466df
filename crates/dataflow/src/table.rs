//! What a connector needs to know of a declared table.

use arrow_schema::{DataType, SchemaRef};
use std::collections::BTreeMap;

/// A `CREATE TABLE` after binding: physical columns as Arrow fields, the rest as options.
#[derive(Debug, Clone)]
pub struct TableDefinition {
    /// The name as declared, for messages (`flights`, or `catalog.database.flights`).
    pub name: String,
    /// The physical columns in declared order: what the format reads and writes. `NOT NULL` is a
    /// field that is not nullable.
    pub schema: SchemaRef,
    /// The columns declared `METADATA`, in declared order.
    pub metadata: Vec<MetadataColumn>,
    /// Column names of `PRIMARY KEY (…) NOT ENFORCED`; empty when there is none.
    pub primary_key: Vec<String>,
    /// Column names of `PARTITIONED BY (…)`.
    pub partition_keys: Vec<String>,
    /// Everything in `WITH (…)`, `connector` included.
    pub options: BTreeMap<String, String>,
}

/// `name TYPE METADATA [FROM 'key'] [VIRTUAL]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataColumn {
    pub name: String,
    /// The connector's name of it: `timestamp`, `offset`, `headers`, …
    pub key: String,
    pub data_type: DataType,
    /// A virtual column is read but never written.
    pub is_virtual: bool,
}
