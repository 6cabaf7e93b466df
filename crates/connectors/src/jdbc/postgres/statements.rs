//! The statements of a sink, made from the table's definition and from what the database says of the table.

use super::target::Table;
use super::{list, types};
use crate::jdbc::sqlite::quoted;
use crate::jdbc::target::{DatabaseError, OFFSETS_TABLE};
use arrow_schema::Field;
use base::ErrorKind;

/// Names of the prepared statements.
pub(super) const MOVE: &str = "move";
pub(super) const WRITE: &str = "write";
pub(super) const DELETE: &str = "delete";

/// Offsets that were reported must not be taken back by a crash of the server, whatever the user's settings are.
pub(super) const DURABLE: &str = "SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') \
     WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)";

/// The columns of a table: schema, name, type (that of a domain), its name, whether it is generated, the type of its items,
/// whether it is of several fields, and whether the table of the offsets lies beside it.
pub(super) const DESCRIBE: &str = "SELECT n.nspname, a.attname, coalesce(nullif(t.typbasetype, 0), t.oid), \
     format_type(a.atttypid, -1), a.attgenerated <> '', CASE t.typcategory WHEN 'A' THEN t.typelem END, t.typtype = 'c', \
     to_regclass(format('%I.%I', n.nspname, 'eventwright_offsets')) IS NOT NULL \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
     JOIN pg_type t ON t.oid = a.atttypid WHERE c.oid = to_regclass($1)";

pub(super) const OFFSETS_COLUMNS: &str = "job text, sink text, outbox_offset bigint NOT NULL, epoch bigint NOT NULL, \
     PRIMARY KEY (job, sink)";

pub(super) struct Statements {
    /// Where the table of the offsets is missing.
    pub create_offsets: Option<String>,
    /// Counts an opening, and answers the offset and the count.
    pub open: String,
    pub stored: String,
    /// Moves the offset; fails where it is not as expected.
    pub move_offset: String,
    /// A COPY, or with a key what takes an array for each column.
    pub write: String,
    pub delete: String,
}

/// What the database says of a column.
struct Column<'a> {
    name: &'a str,
    oid: u32,
    type_name: &'a str,
    is_generated: bool,
    item: Option<u32>,
    is_composite: bool,
}

impl<'a> Column<'a> {
    fn read(row: &'a [Option<String>]) -> Option<Column<'a>> {
        let text = |place: usize| row.get(place).and_then(Option::as_deref);
        Some(Column {
            name: text(1)?,
            oid: text(2)?.parse().ok()?,
            type_name: text(3)?,
            is_generated: text(4)? == "t",
            item: text(5).and_then(|oid| oid.parse().ok()),
            is_composite: text(6)? == "t",
        })
    }

    /// How an array of values comes, and how a value is taken from it. An array of arrays would be taken apart into its
    /// innermost items, and a value of several fields into these.
    fn array(&self, place: usize) -> (String, String) {
        let name = format!("v.c{place}");
        match self.item.is_some() || self.is_composite {
            true => (format!("${place}::text[]"), format!("{name}::{}", self.type_name)),
            false => (format!("${place}::{}[]", self.type_name), name),
        }
    }
}

impl Statements {
    /// `rows` are those of [`DESCRIBE`].
    pub(super) fn new(table: &Table, rows: &[Vec<Option<String>>]) -> Result<Statements, DatabaseError> {
        let found: Vec<Column<'_>> = rows.iter().filter_map(|row| Column::read(row)).collect();
        if found.is_empty() {
            let message = format!("there is no table {}; create it with: {}", table.place, create(table));
            return Err(DatabaseError::new(ErrorKind::NotFound, message));
        }
        let mut columns = Vec::with_capacity(table.fields.len());
        for field in &table.fields {
            columns.push(checked(table, field, &found)?);
        }
        let schema = rows.first().and_then(|row| row.first()?.as_deref()).unwrap_or("public");
        let has_offsets = rows.first().and_then(|row| row.get(7)?.as_deref()) == Some("t");
        let offsets = format!("{}.{}", quoted(schema), quoted(OFFSETS_TABLE));
        let all = list(&table.columns.all);
        Ok(Statements {
            create_offsets: (!has_offsets).then(|| format!("CREATE TABLE {offsets} ({OFFSETS_COLUMNS})")),
            open: format!(
                "INSERT INTO {offsets} AS o (job, sink, outbox_offset, epoch) VALUES ($1, $2, 0, 1) \
                 ON CONFLICT (job, sink) DO UPDATE SET epoch = o.epoch + 1 RETURNING outbox_offset, epoch"
            ),
            stored: format!("SELECT outbox_offset, epoch FROM {offsets} WHERE job = $1 AND sink = $2"),
            move_offset: format!(
                "WITH moved AS (UPDATE {offsets} SET outbox_offset = $1::bigint WHERE job = $2 AND sink = $3 AND \
                 outbox_offset = $4::bigint AND epoch = $5::bigint RETURNING 1) SELECT 1 / count(*) FROM moved"
            ),
            write: match table.columns.key.is_empty() {
                true => format!("COPY {} ({all}) FROM STDIN", table.relation),
                false => {
                    format!(
                        "INSERT INTO {} ({all}) {} ON CONFLICT ({}) {}",
                        table.relation,
                        select(&columns),
                        list(&table.columns.key),
                        conflict(table)
                    )
                }
            },
            delete: delete(table, &columns),
        })
    }
}

/// The rows that arrays make, a column each.
fn select(columns: &[&Column<'_>]) -> String {
    let arrays: Vec<(String, String)> =
        columns.iter().enumerate().map(|(place, column)| column.array(place + 1)).collect();
    let joined = |part: fn(&(String, String)) -> &String| {
        arrays.iter().map(|array| part(array).as_str()).collect::<Vec<_>>().join(", ")
    };
    let names: Vec<String> = (1..=columns.len()).map(|place| format!("c{place}")).collect();
    format!(
        "SELECT {} FROM unnest({}) AS v({})",
        joined(|array| &array.1),
        joined(|array| &array.0),
        names.join(", ")
    )
}

fn conflict(table: &Table) -> String {
    let others = table.columns.all.iter().filter(|column| !table.columns.key.contains(column));
    let sets: Vec<String> = others.map(|column| format!("{0} = excluded.{0}", quoted(column))).collect();
    if sets.is_empty() { "DO NOTHING".into() } else { format!("DO UPDATE SET {}", sets.join(", ")) }
}

fn delete(table: &Table, columns: &[&Column<'_>]) -> String {
    let key: Vec<&Column<'_>> = table
        .columns
        .key
        .iter()
        .filter_map(|name| columns.iter().find(|column| column.name == name).copied())
        .collect();
    let names: Vec<String> = (1..=key.len()).map(|place| format!("k{place}")).collect();
    let conditions: Vec<String> = key
        .iter()
        .zip(&names)
        .map(|(column, name)| format!("t.{} = k.{name}", quoted(column.name)))
        .collect();
    format!(
        "DELETE FROM {} AS t USING ({}) AS k({}) WHERE {}",
        table.relation,
        select(&key),
        names.join(", "),
        conditions.join(" AND ")
    )
}

/// The column for a declared one.
fn checked<'f, 'a>(
    table: &Table,
    field: &Field,
    found: &'f [Column<'a>],
) -> Result<&'f Column<'a>, DatabaseError> {
    let name = field.name();
    let invalid = |message: String| Err(DatabaseError::new(ErrorKind::Invalid, message));
    let Some(column) = found.iter().find(|column| column.name == name) else {
        let names: Vec<&str> = found.iter().map(|column| column.name).collect();
        let message = format!(
            "the table {} has no column '{name}'; it has {}; add it with ALTER TABLE, or declare the table as it is there",
            table.place,
            names.join(", ")
        );
        return Err(DatabaseError::new(ErrorKind::NotFound, message));
    };
    if column.is_generated {
        return invalid(format!(
            "the column '{name}' of the table {} is generated and cannot be written; leave it out",
            table.place
        ));
    }
    if !types::takes(field.data_type(), column.oid, column.item) {
        return invalid(format!(
            "the column '{name}' of the table {} is declared {} and is {}; declare it as it is there, or change it with \
             ALTER TABLE",
            table.place,
            dataflow::plan::type_name(field.data_type()),
            column.type_name
        ));
    }
    Ok(column)
}

/// What creates the table, for messages.
fn create(table: &Table) -> String {
    let mut parts: Vec<String> = table
        .fields
        .iter()
        .map(|field| {
            let data_type = types::declared(field.data_type()).unwrap_or_else(|| "text".into());
            let not_null = if field.is_nullable() { "" } else { " NOT NULL" };
            format!("{} {data_type}{not_null}", quoted(field.name()))
        })
        .collect();
    if !table.columns.key.is_empty() {
        parts.push(format!("PRIMARY KEY ({})", list(&table.columns.key)));
    }
    format!("CREATE TABLE {} ({})", table.relation, parts.join(", "))
}
