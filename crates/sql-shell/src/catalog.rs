//! What `\d` asks the server's catalog, and what completion does.

use crate::complete::{Name, written};
use crate::session::{Failure, Session};
use pg_client::{Report, literal};

/// Columns that completion knows.
const NAMES_MAX: usize = 20_000;

pub const LIST: &str = "SELECT table_schema AS \"Schema\", table_name AS \"Name\", \
     CASE table_schema WHEN 'topics' THEN 'topic' ELSE 'view' END AS \"Type\" \
     FROM information_schema.tables ORDER BY 1, 2";

/// For completion, which must not wait for ever.
pub fn names(session: &mut Session) -> Result<Vec<Name>, Failure> {
    let rows = session.ask_briefly(&format!(
        "SELECT table_schema, table_name, column_name FROM information_schema.columns LIMIT {NAMES_MAX}"
    ))?;
    let name = |row: Vec<Option<String>>| match <[Option<String>; 3]>::try_from(row) {
        Ok([Some(schema), Some(table), Some(column)]) => Some(Name { schema, table, column }),
        _ => None,
    };
    Ok(rows.unwrap_or_default().into_iter().filter_map(name).collect())
}

/// A view or a topic as `\d` shows it.
pub struct Relation {
    pub title: String,
    /// Gives its columns.
    pub columns: String,
    pub key: Vec<String>,
}

/// The parts of `schema.name`, with the letters folded where they are not quoted.
fn parts(name: &str) -> Vec<String> {
    let (mut parts, mut part, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = name.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => part.extend(characters.next()),
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(std::mem::take(&mut part)),
            other if quoted => part.push(other),
            other => part.extend(other.to_lowercase()),
        }
    }
    parts.push(part);
    parts
}

/// None where nothing has this name.
pub fn relation(session: &mut Session, name: &str) -> Result<Result<Option<Relation>, Report>, Failure> {
    let parts = parts(name);
    let (schema, table) = match parts.as_slice() {
        [table] => (None, table),
        [schema, table] => (Some(schema), table),
        _ => return Ok(Ok(None)),
    };
    let in_schema = schema.map_or(String::new(), |schema| format!("AND n.nspname = {} ", literal(schema)));
    // A name without a schema is a view's before it is a topic's.
    let found = session.ask(&format!(
        "SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relname = {} AND c.relkind = 'r' {in_schema}ORDER BY 2 LIMIT 1",
        literal(table)
    ))?;
    let rows = match found {
        Ok(rows) => rows,
        Err(report) => return Ok(Err(report)),
    };
    let row = rows.into_iter().next().map(<[Option<String>; 3]>::try_from);
    let Some(Ok([Some(oid), Some(schema), Some(table)])) = row else { return Ok(Ok(None)) };
    let key = session.ask(&format!(
        "SELECT column_name FROM information_schema.key_column_usage \
         WHERE table_schema = {} AND table_name = {} ORDER BY ordinal_position",
        literal(&schema),
        literal(&table)
    ))?;
    let key = match key {
        Ok(rows) => rows.into_iter().flatten().flatten().map(|column| written(&column)).collect(),
        Err(report) => return Ok(Err(report)),
    };
    let kind = if schema == "topics" { "Topic" } else { "View" };
    Ok(Ok(Some(Relation {
        title: format!("{kind} \"{schema}.{table}\""),
        columns: format!(
            "SELECT a.attname AS \"Column\", pg_catalog.format_type(a.atttypid, a.atttypmod) AS \"Type\", \
             CASE WHEN a.attnotnull THEN 'not null' ELSE '' END AS \"Nullable\" \
             FROM pg_catalog.pg_attribute a WHERE a.attrelid = {oid} AND a.attnum > 0 ORDER BY a.attnum"
        ),
        key,
    })))
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn names_are_folded_unless_they_are_quoted() {
        assert_eq!(parts("Topics.\"My.\"\"Orders\""), ["topics", "My.\"Orders"]);
        assert_eq!(parts("sales"), ["sales"]);
    }
}
