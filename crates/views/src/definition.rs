//! What a view is: its name, columns and key, and where its rows come from.

use arrow_schema::SchemaRef;

/// A view as it was declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewDefinition {
    pub name: String,
    /// The columns as rows have them; `NOT NULL` is a field that is not nullable.
    pub schema: SchemaRef,
    /// The columns' types as Flink SQL writes them (`DECIMAL(10, 2)`), without NOT NULL.
    pub types: Vec<String>,
    pub key: ViewKey,
    /// The statement that made it, as `SHOW CREATE MATERIALIZED TABLE` shows it.
    pub statement: String,
    pub comment: Option<String>,
    /// The job that keeps it.
    pub job: String,
    /// The topic of the log that its changes lie in.
    pub topic: String,
}

/// What tells the rows of a view apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViewKey {
    /// The last row under the values of these columns, by index; no columns: one row.
    Columns(Vec<usize>),
    /// Every row stays, and has the place at which it came.
    Place,
}

impl ViewDefinition {
    /// The names of the key's columns; empty where the view has one row, or keeps every row.
    pub fn primary_key(&self) -> Vec<&str> {
        match &self.key {
            ViewKey::Columns(columns) => {
                columns.iter().map(|column| self.schema.field(*column).name().as_str()).collect()
            }
            ViewKey::Place => Vec::new(),
        }
    }

    /// Whether every row stays, so that the view only grows.
    pub fn keeps_every_row(&self) -> bool {
        self.key == ViewKey::Place
    }
}
