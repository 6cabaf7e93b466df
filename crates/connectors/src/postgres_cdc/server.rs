//! What the server must have before anything is read: its settings, the tables, the publication, the slot.

use super::options::{Settings, Startup};
use super::pgoutput::{lsn, shown_lsn};
use super::position::Position;
use crate::jdbc::postgres::keys::{self, KeyColumn};
use crate::jdbc::postgres::types;
use crate::jdbc::postgres::wire::{Connection, WireError, Wired, broken, wrong};
use crate::jdbc::postgres::{literal, quoted};
use crate::row_changes::pieces::Key;
use arrow_schema::{DataType, Field};
use base::ErrorKind;
use dataflow::table::TableDefinition;

/// A table that the patterns name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub schema: String,
    pub name: String,
    /// `d`, `n`, `i` or `f`.
    pub identity: String,
    /// By which its rows are read, and told apart.
    pub key: Vec<KeyColumn>,
}

/// The slot as the server has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// All before it may be forgotten.
    pub confirmed: u64,
}

impl Found {
    /// For SQL.
    pub(super) fn relation(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.name))
    }

    /// The columns of the key as one value.
    pub(super) fn key_columns(&self) -> String {
        keys::columns(&self.key)
    }

    /// A key as one value that is compared as the table's own are.
    pub(super) fn key_value(&self, key: &Key) -> String {
        keys::value(&self.key, key)
    }
}

/// One value of one row.
pub(super) fn only(rows: &[Vec<Option<String>>]) -> Option<&str> {
    rows.first()?.first()?.as_deref()
}

/// What may be done about what the server says.
pub(super) fn with_hint(mut error: WireError, settings: &Settings) -> WireError {
    let hint = match error.state.as_str() {
        "42501" => format!(
            "; the user needs the attribute REPLICATION and SELECT on the tables, and must own them (and have CREATE on \
             the database) for the publication '{}' to be made: its owner can make it beforehand",
            settings.publication
        ),
        "55006" => format!(
            "; another job or program reads the slot '{}': each needs its own 'slot.name'",
            settings.slot
        ),
        "53400" => {
            "; set max_replication_slots or max_wal_senders higher, or drop slots that nobody reads".into()
        }
        "55000" if error.message.contains("wal_level") => {
            "; set wal_level = logical and start the server again".into()
        }
        _ => return error,
    };
    error.message.push_str(&hint);
    error
}

/// Checks the settings; answers the identity of the database system.
pub(super) fn system(connection: &mut Connection) -> Wired<String> {
    let level = connection.query("SHOW wal_level")?;
    if only(&level) != Some("logical") {
        return Err(wrong(format!(
            "the server has wal_level={}; its owner must set wal_level = logical in postgresql.conf (or by ALTER SYSTEM) and \
             start it again",
            only(&level).unwrap_or_default()
        )));
    }
    let system = connection.query("IDENTIFY_SYSTEM")?;
    only(&system).map(str::to_string).ok_or_else(|| broken("the server does not say who it is"))
}

/// The tables that the patterns name, in the order of their names.
pub(super) fn tables(connection: &mut Connection, settings: &Settings) -> Wired<Vec<Found>> {
    let all = connection.query(
        "SELECT n.nspname, c.relname, c.relreplident, c.oid FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p' \
         AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2",
    )?;
    let mut found = Vec::new();
    for row in all {
        let [Some(schema), Some(name), Some(identity), Some(oid)] = row.as_slice() else { continue };
        if !settings.schema.is_match(schema) || !settings.table.is_match(name) {
            continue;
        }
        let index = if identity == "i" { "indisreplident" } else { "indisprimary" };
        let key = keys::of_index(connection, oid, index)?;
        found.push(Found { schema: schema.clone(), name: name.clone(), identity: identity.clone(), key });
    }
    Ok(found)
}

/// Whether the tables are what the declaration says, when a job begins.
pub(super) fn check_tables(
    connection: &mut Connection,
    settings: &Settings,
    table: &TableDefinition,
    found: &[Found],
) -> Wired<()> {
    if found.is_empty() {
        return Err(WireError {
            kind: ErrorKind::NotFound,
            message:
                "no table of the database matches 'schema-name' and 'table-name', or the user may not see it"
                    .into(),
            state: String::new(),
        });
    }
    for one in found {
        let shown = format!("{}.{}", one.schema, one.name);
        let names: Vec<String> = table.schema.fields().iter().map(|field| quoted(field.name())).collect();
        let columns = connection.query(&format!(
            "SELECT a.attname, a.atttypid FROM pg_catalog.pg_attribute a \
             WHERE a.attrelid = {}::regclass AND a.attnum > 0 AND NOT a.attisdropped",
            literal(&one.relation())
        ))?;
        for (field, quoted_name) in table.schema.fields().iter().zip(&names) {
            let oid = columns.iter().find_map(|row| match row.as_slice() {
                [Some(name), Some(oid)] if name == field.name() => oid.parse::<u32>().ok(),
                _ => None,
            });
            let Some(oid) = oid else {
                let names = columns.iter().filter_map(|row| row.first()?.as_deref());
                let near = base::nearest(field.name(), names);
                let hint = near.map_or(String::new(), |near| format!("; did you mean '{near}'?"));
                return Err(wrong(format!("the table {shown} has no column {quoted_name}{hint}")));
            };
            check_type(field, oid, &shown)?;
        }
        check_identity(settings, table, one, &shown)?;
    }
    Ok(())
}

fn check_identity(settings: &Settings, table: &TableDefinition, one: &Found, shown: &str) -> Wired<()> {
    let is_full = one.identity == "f";
    if one.identity == "n" {
        return Err(wrong(format!(
            "the table {shown} has REPLICA IDENTITY NOTHING; ALTER TABLE {} REPLICA IDENTITY FULL",
            one.relation()
        )));
    }
    if !settings.is_upsert && !is_full {
        return Err(wrong(format!(
            "the table {shown} does not tell the rows that were there before a change: ALTER TABLE {} REPLICA IDENTITY \
             FULL, or read it with 'changelog-mode' = 'upsert', which knows rows by the PRIMARY KEY",
            one.relation()
        )));
    }
    if one.key.is_empty() && (settings.startup == Startup::Initial || !is_full) {
        return Err(wrong(format!(
            "the table {shown} has no primary key, by which its rows could be read; add one, or begin with \
             'scan.startup.mode' = 'latest-offset' under REPLICA IDENTITY FULL"
        )));
    }
    let is_known = |name: &String| one.key.iter().any(|column| column.name == *name);
    if settings.is_upsert
        && !is_full
        && let Some(name) = table.primary_key.iter().find(|name| !is_known(name))
    {
        return Err(wrong(format!(
            "the declared PRIMARY KEY has the column '{name}', which is not in the key of the table {shown}: deletions would \
             not tell it; declare the table's own key, or ALTER TABLE {} REPLICA IDENTITY FULL",
            one.relation()
        )));
    }
    Ok(())
}

/// Whether values of a column can be the declared type's; each is looked at when it comes.
pub(super) fn check_type(field: &Field, oid: u32, shown: &str) -> Wired<()> {
    const OWN: u32 = 16_384;
    const NUMBERS: &[u32] = &[20, 21, 23, 700, 701, 1700];
    const WHOLE: &[u32] = &[20, 21, 23];
    let may = match field.data_type() {
        DataType::Utf8 | DataType::List(_) => true,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => WHOLE.contains(&oid),
        DataType::Float32 | DataType::Float64 | DataType::Decimal128(..) => NUMBERS.contains(&oid),
        other => types::fits(other, oid),
    };
    if may || oid >= OWN {
        return Ok(());
    }
    Err(wrong(format!(
        "the column '{}' of the table {shown} is declared {} and is {}; declare it as it is there, or STRING",
        field.name(),
        dataflow::plan::type_name(field.data_type()),
        types::type_name(oid)
    )))
}

/// Makes the publication if it is not there and may be made; looks whether it has the tables, if a job begins. Later it
/// must be there: a publication that is made anew does not hold for what happened before.
pub(super) fn ensure_publication(
    connection: &mut Connection,
    settings: &Settings,
    found: Option<&Vec<Found>>,
) -> Wired<()> {
    let name = &settings.publication;
    let there = connection.query(&format!(
        "SELECT pubinsert AND pubupdate AND pubdelete FROM pg_catalog.pg_publication WHERE pubname = {}",
        literal(name)
    ))?;
    let Some(found) = found else {
        return match only(&there) {
            Some(_) => Ok(()),
            None => Err(wrong(format!(
                "the publication '{name}' is gone, without which the slot cannot be read: begin with a new job and a new slot, \
                 which reads all rows anew"
            ))),
        };
    };
    let list: Vec<String> = found.iter().map(Found::relation).collect();
    let list = list.join(", ");
    let make = format!(
        "CREATE PUBLICATION {} FOR TABLE {list} WITH (publish_via_partition_root = true)",
        quoted(name)
    );
    match only(&there) {
        None if settings.makes_publication => connection.query(&make).map(drop),
        None => Err(wrong(format!("there is no publication '{name}'; its owner can make it: {make}"))),
        Some("t") => {
            let published = connection.query(&format!(
                "SELECT schemaname, tablename FROM pg_catalog.pg_publication_tables WHERE pubname = {}",
                literal(name)
            ))?;
            let has = |one: &&Found| {
                published.iter().any(|row| match row.as_slice() {
                    [Some(schema), Some(table)] => *schema == one.schema && *table == one.name,
                    _ => false,
                })
            };
            match found.iter().find(|one| !has(one)) {
                None => Ok(()),
                Some(one) => Err(wrong(format!(
                    "the publication '{name}' does not have the table {0}; ALTER PUBLICATION {1} ADD TABLE {0}",
                    one.relation(),
                    quoted(name)
                ))),
            }
        }
        Some(_) => Err(wrong(format!(
            "the publication '{name}' leaves out changes; ALTER PUBLICATION {} SET (publish = 'insert, update, delete, \
             truncate')",
            quoted(name)
        ))),
    }
}

/// The slot, if it is there and can be read.
pub(super) fn slot(connection: &mut Connection, settings: &Settings) -> Wired<Option<Slot>> {
    let name = &settings.slot;
    let rows = connection.query(&format!(
        "SELECT plugin, database, active, wal_status, confirmed_flush_lsn FROM pg_catalog.pg_replication_slots \
         WHERE slot_name = {}",
        literal(name)
    ))?;
    let Some(row) = rows.first() else { return Ok(None) };
    let value = |place: usize| row.get(place).and_then(Option::as_deref).unwrap_or_default();
    if value(0) != "pgoutput" || value(1) != settings.address.database {
        return Err(wrong(format!(
            "the slot '{name}' is of the database '{}' and the plugin '{}'; choose another 'slot.name'",
            value(1),
            value(0)
        )));
    }
    if value(3) == "lost" {
        return Err(wrong(format!(
            "the server has removed what the slot '{name}' needs (max_slot_wal_keep_size): changes are lost; drop it with \
             SELECT pg_drop_replication_slot({}) and begin with a new job, which reads all rows anew",
            literal(name)
        )));
    }
    if value(2) == "t" {
        return Err(WireError {
            kind: ErrorKind::Unavailable,
            message: format!(
                "the slot '{name}' is being read: by another job or program, which needs a 'slot.name' of its own, or by a \
                 connection of this job that the server still holds for alive"
            ),
            state: String::new(),
        });
    }
    let confirmed = lsn(value(4)).ok_or_else(|| broken("the server does not say where the slot stands"))?;
    Ok(Some(Slot { confirmed }))
}

/// Makes the slot in the transaction that is open, which has the slot's own view of the tables from then on.
pub(super) fn make_slot(connection: &mut Connection, settings: &Settings) -> Wired<Slot> {
    let command = format!("CREATE_REPLICATION_SLOT {} LOGICAL pgoutput USE_SNAPSHOT", quoted(&settings.slot));
    let made = connection.query(&command)?;
    let confirmed = made.first().and_then(|row| lsn(row.get(1)?.as_deref()?));
    let confirmed = confirmed.ok_or_else(|| broken("the server does not say where the slot stands"))?;
    Ok(Slot { confirmed })
}

/// Whether the slot still has all that follows a position.
pub(super) fn check_slot(
    settings: &Settings,
    system: &str,
    slot: Option<Slot>,
    position: &Position,
) -> Wired<Slot> {
    let name = &settings.slot;
    let anew = "changes are lost; begin with a new job, which reads all rows anew";
    if position.system != system {
        return Err(wrong(format!(
            "the server is another database system than the one that was read (it is {system}, and was {}): {anew}",
            position.system
        )));
    }
    let Some(slot) = slot else {
        return Err(wrong(format!("the slot '{name}' is gone, so {anew}")));
    };
    if slot.confirmed > position.lsn {
        return Err(wrong(format!(
            "the slot '{name}' stands at {}, behind what was read ({}): another program has read it, or it was made anew; {anew}",
            shown_lsn(slot.confirmed),
            shown_lsn(position.lsn)
        )));
    }
    Ok(slot)
}

/// The end of the server's log.
pub(super) fn end_of_log(connection: &mut Connection) -> Wired<u64> {
    let end = connection.query("SELECT pg_catalog.pg_current_wal_insert_lsn()")?;
    only(&end).and_then(lsn).ok_or_else(|| broken("the server does not say where its log ends"))
}
