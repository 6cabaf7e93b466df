//! What the server must have before anything is read: its settings, the tables, a place in its log.

use super::gtid::Gtids;
use super::options::{Settings, Startup};
use super::position::Place;
use super::values;
use crate::jdbc::mysql::keys;
use crate::jdbc::mysql::types::{self, TableColumn};
use crate::jdbc::mysql::wire::{Connection, WireError, Wired, broken, wrong};
use crate::jdbc::mysql::{identifier, literal};
use crate::row_changes::pieces::Key;
use arrow_schema::{DataType, Field};
use base::ErrorKind;
use dataflow::table::TableDefinition;
use std::collections::BTreeMap;

/// The first event of a file lies behind its magic number.
pub(super) const FILE_BEGIN: u64 = 4;

/// How long a MySQL may take to be locked for a snapshot: who waits for that lock lets nobody write either.
const LOCK_WAIT_S: u64 = 10;

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    /// What tells it from others.
    pub id: String,
    /// Its transactions have numbers that they keep on other servers.
    pub has_gtids: bool,
}

/// A table that the patterns name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Found {
    pub database: String,
    pub name: String,
    pub columns: Vec<TableColumn>,
    /// By which its rows are read, and told apart: the columns of its primary key.
    pub key: Vec<TableColumn>,
    /// It keeps rows that are no more, which are in the log, too.
    pub is_versioned: bool,
    /// Where it has no transactions.
    pub plain_engine: Option<String>,
    /// A foreign key by which the server changes rows without a word in its log.
    pub cascade: Option<String>,
}

impl Found {
    pub(super) fn shown(&self) -> String {
        format!("{}.{}", self.database, self.name)
    }

    /// For SQL.
    pub(super) fn relation(&self) -> String {
        format!("{}.{}", identifier(&self.database), identifier(&self.name))
    }

    /// Whether the log tells its changes as they are.
    pub(super) fn check(&self) -> Wired<()> {
        if self.is_versioned {
            return Err(wrong(format!(
                "the table {} is WITH SYSTEM VERSIONING, and its log holds rows of its history as well; read a table that is not",
                self.shown()
            )));
        }
        match &self.cascade {
            None => Ok(()),
            Some(name) => Err(wrong(format!(
                "the table {} has the foreign key '{name}' with a rule (CASCADE, SET NULL) by which the server changes its rows \
                 without a word in its log; make it RESTRICT or NO ACTION, and change the rows yourself",
                self.shown()
            ))),
        }
    }

    pub(super) fn column(&self, name: &str) -> Option<&TableColumn> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }

    pub(super) fn key_columns(&self) -> Vec<String> {
        keys::names(&self.key)
    }

    /// A key as values that are compared as the table's own are.
    pub(super) fn key_values(&self, key: &Key) -> Vec<String> {
        keys::values(&self.key, key)
    }
}

/// What may be done about what the server says.
pub(super) fn with_hint(mut error: WireError) -> WireError {
    let hint = match error.code {
        1227 | 1044 | 1142 | 1143 => {
            "; the user needs SELECT on the tables, REPLICATION SLAVE, and REPLICATION CLIENT (with MariaDB BINLOG MONITOR); \
             for 'scan.startup.mode' = 'initial' at a MySQL RELOAD, too"
        }
        1236 => {
            // Asking again does not help.
            error.kind = ErrorKind::Invalid;
            let is_said = |part: &str| error.message.contains(part);
            if is_said("with the same server") {
                "; another job or a replica has this 'server-id', and each needs its own"
            } else if is_said("not in the master's binlog") && is_said("diverged") {
                "; changes differ from those that were read: begin with a new job, which reads all rows anew"
            } else if is_said("not in the master's binlog") {
                error.kind = ErrorKind::Unavailable;
                BEHIND
            } else if ["first log file", "impossible position", "purged"].iter().any(|part| is_said(part)) {
                "; the server has removed what follows in its binary log, or it was begun anew: changes are lost. Have it keep \
                 its log for longer than jobs rest (binlog_expire_logs_seconds, or expire_logs_days), and begin with a new \
                 job, which reads all rows anew"
            } else {
                return error;
            }
        }
        _ => return error,
    };
    error.message.push_str(hint);
    error
}

/// A server that was a replica of the one before lacks what was read there.
const BEHIND: &str = "; this server has not what was read of the one before: let it catch up with it, or begin with a new job \
     where that is lost";

/// Checks the settings; answers who the server is.
pub(super) fn identity(connection: &mut Connection) -> Wired<Server> {
    let found = connection.query(
        "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('server_uuid', 'server_id', 'log_bin', 'binlog_format', \
         'binlog_row_image', 'binlog_row_value_options', 'binlog_transaction_compression', 'log_bin_compress', \
         'encrypt_binlog', 'gtid_mode')",
    )?;
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    for row in 0..found.rows.len() {
        if let (Some(name), Some(value)) = (found.text(row, 0), found.text(row, 1)) {
            variables.insert(name.to_ascii_lowercase(), value.to_string());
        }
    }
    let value = |name: &str| variables.get(name).map(String::as_str);
    let wanted = [
        ("log_bin", "ON"),
        ("binlog_format", "ROW"),
        ("binlog_row_image", "FULL"),
        ("binlog_row_value_options", ""),
        ("binlog_transaction_compression", "OFF"),
        ("log_bin_compress", "OFF"),
        ("encrypt_binlog", "OFF"),
    ];
    for (name, wanted) in wanted {
        // What a server does not know it does not do.
        if let Some(found) = value(name).filter(|found| !found.eq_ignore_ascii_case(wanted)) {
            return Err(wrong(format!(
                "the server has {name}={found}; its owner must set {name} = {} in its configuration, and start it again",
                if wanted.is_empty() { "''" } else { wanted }
            )));
        }
    }
    let id = match (value("server_uuid"), value("server_id")) {
        (Some(uuid), _) => uuid.to_string(),
        (None, Some(id)) => format!("server_id={id}"),
        _ => return Err(broken("the server does not say who it is")),
    };
    // MariaDB always has them.
    let has_gtids =
        connection.is_mariadb() || value("gtid_mode").is_some_and(|mode| mode.eq_ignore_ascii_case("ON"));
    Ok(Server { id, has_gtids })
}

/// Whether a server has all transactions that another one had.
pub(super) fn check_has(connection: &mut Connection, gtids: &Gtids) -> Wired<()> {
    // MariaDB looks itself when it is asked for its log.
    let Gtids::MySql(_) = gtids else { return Ok(()) };
    let set = literal(&gtids.to_string());
    let answer = connection.query(&format!("SELECT GTID_SUBSET({set}, @@global.gtid_executed)"))?;
    match answer.text(0, 0) {
        Some("1") => Ok(()),
        _ => Err(broken(format!("the transactions {gtids} were read{BEHIND}"))),
    }
}

/// The kind of a MariaDB's table that keeps the rows which it had.
const VERSIONED: &str = "SYSTEM VERSIONED";

/// The tables that the patterns name, in the order of their names.
pub(super) fn tables(connection: &mut Connection, settings: &Settings) -> Wired<Vec<Found>> {
    let all = connection.query(
        "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
         WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND TABLE_SCHEMA NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys') ORDER BY 1, 2",
    )?;
    let mut found = Vec::new();
    for row in 0..all.rows.len() {
        let (Some(database), Some(name)) = (all.text(row, 0), all.text(row, 1)) else { continue };
        if settings.is_wanted(database, name) {
            found.push(table(connection, database, name)?);
        }
    }
    Ok(found)
}

/// A table as it is now; without columns where there is none.
pub(super) fn table(connection: &mut Connection, database: &str, name: &str) -> Wired<Found> {
    let columns = types::columns(connection, &literal(database), name)?;
    let key = keys::primary(connection, &literal(database), name, &columns)?;
    let kinds = connection.query(&format!(
        "SELECT t.TABLE_TYPE, t.ENGINE, e.TRANSACTIONS FROM information_schema.TABLES t \
         LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE \
         WHERE t.TABLE_SCHEMA = {} AND t.TABLE_NAME = {}",
        literal(database),
        literal(name)
    ))?;
    let mut found = Found { database: database.into(), name: name.into(), columns, key, ..Found::default() };
    found.is_versioned = kinds.text(0, 0) == Some(VERSIONED);
    let has_transactions = kinds.text(0, 2) == Some("YES");
    found.plain_engine = kinds.text(0, 1).filter(|_| !has_transactions).map(str::to_string);
    if !found.columns.is_empty() {
        // `information_schema` tells of constraints only those who may do more than read.
        let shown = connection.query(&format!("SHOW CREATE TABLE {}", found.relation()))?;
        found.cascade = shown.text(0, 1).and_then(cascade);
    }
    Ok(found)
}

/// The first foreign key of a table's definition by which the server changes its rows.
fn cascade(definition: &str) -> Option<String> {
    let constraints = definition.lines().filter_map(|line| line.trim().strip_prefix("CONSTRAINT `"));
    let changes = |line: &&str| {
        let rules = line.rsplit_once(')').map_or("", |(_, rules)| rules);
        line.contains(" FOREIGN KEY (")
            && ["CASCADE", "SET NULL", "SET DEFAULT"].iter().any(|rule| rules.contains(rule))
    };
    constraints.into_iter().find(changes).and_then(|line| Some(line.split_once('`')?.0.to_string()))
}

/// Whether the tables are what the declaration says, when a job begins.
pub(super) fn check_tables(settings: &Settings, table: &TableDefinition, found: &[Found]) -> Wired<()> {
    if found.is_empty() {
        let message = "no table matches 'database-name' and 'table-name', or the user may not see it";
        return Err(WireError { kind: ErrorKind::NotFound, ..wrong(message) });
    }
    for one in found {
        for field in table.schema.fields() {
            let Some(column) = one.column(field.name()) else {
                let names = one.columns.iter().map(|column| column.name.as_str());
                let near = base::nearest(field.name(), names);
                let hint = near.map_or(String::new(), |near| format!("; did you mean '{near}'?"));
                return Err(wrong(format!(
                    "the table {} has no column '{}'{hint}",
                    one.shown(),
                    field.name()
                )));
            };
            check_column(field, column, &one.shown())?;
        }
        if settings.startup == Startup::Initial {
            check_whole(one)?;
        }
    }
    Ok(())
}

/// Whether a table can be read whole.
fn check_whole(one: &Found) -> Wired<()> {
    if let Some(engine) = &one.plain_engine {
        return Err(wrong(format!(
            "the table {} has ENGINE={engine}, of which no snapshot shows the rows as they were; change it to InnoDB, or begin \
             with 'scan.startup.mode' = 'latest-offset'",
            one.shown()
        )));
    }
    if one.key.is_empty() {
        return Err(wrong(format!(
            "the table {} has no primary key, by which its rows could be read; add one, or begin with 'scan.startup.mode' = \
             'latest-offset'",
            one.shown()
        )));
    }
    match one.key.iter().find(|column| !keys::orders(column) || values::unread(column).is_some()) {
        None => Ok(()),
        Some(column) => Err(wrong(format!(
            "the table {} has the column '{}' of type {} in its primary key, in whose order its rows cannot be read; begin \
             with 'scan.startup.mode' = 'latest-offset'",
            one.shown(),
            column.name,
            column.whole
        ))),
    }
}

/// Whether values of a column can be the declared type's; each is looked at when it comes.
pub(super) fn check_column(field: &Field, column: &TableColumn, shown: &str) -> Wired<()> {
    if let Some(reason) = values::unread(column) {
        return Err(wrong(format!("the column '{}' of the table {shown} {reason}", column.name)));
    }
    const NUMBERS: &[&str] =
        &["tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double", "year"];
    let may = match field.data_type() {
        DataType::Utf8 => true,
        DataType::Float32 | DataType::Float64 | DataType::Decimal128(..) => {
            NUMBERS.contains(&column.kind.as_str())
        }
        other => types::takes(other, column),
    };
    if may {
        return Ok(());
    }
    Err(wrong(format!(
        "the column '{}' of the table {shown} is declared {} and is {}; declare it as it is there, or STRING",
        field.name(),
        dataflow::plan::type_name(field.data_type()),
        column.whole
    )))
}

/// A place in the log, and the transactions before it by their numbers.
pub(super) type Known = (Place, Option<Gtids>);

/// Begins a transaction that sees the tables as they are now; answers the place in the log that this is.
pub(super) fn snapshot(connection: &mut Connection, server: &Server) -> Wired<Known> {
    const BEGIN: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT";
    connection.query("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")?;
    connection.query(BEGIN)?;
    // MariaDB knows the place of a snapshot.
    let told = connection.query("SHOW STATUS LIKE 'binlog_snapshot_%'")?;
    let mut place = Place::default();
    for row in 0..told.rows.len() {
        let value = told.text(row, 1).unwrap_or_default();
        match told.text(row, 0).map(str::to_ascii_lowercase).as_deref() {
            Some("binlog_snapshot_file") => place.file = value.into(),
            Some("binlog_snapshot_position") => place.at = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    if !place.file.is_empty() && place.at >= FILE_BEGIN {
        let gtids = gtids_at(connection, &place)?;
        return Ok((place, gtids));
    }
    // With another server nothing may be written between the snapshot and the look at the log: for that moment all is locked.
    connection.query("ROLLBACK")?;
    connection.query(&format!("SET lock_wait_timeout = {LOCK_WAIT_S}"))?;
    connection.query("FLUSH TABLES WITH READ LOCK").map_err(|mut error| {
        if error.kind == ErrorKind::Retry {
            error.message.push_str(
                "; a statement or transaction that takes long is in the way of FLUSH TABLES WITH READ LOCK",
            );
        }
        error
    })?;
    let begun = connection.query(BEGIN).and_then(|_| end_of_log(connection, server));
    let unlocked = connection.query("UNLOCK TABLES");
    let known = begun?;
    unlocked?;
    connection.query("SET lock_wait_timeout = DEFAULT").map(|_| known)
}

/// Where the log ends.
pub(super) fn end_of_log(connection: &mut Connection, server: &Server) -> Wired<Known> {
    let found = match connection.query("SHOW MASTER STATUS") {
        // MySQL has another name for it since 8.4.
        Err(error) if error.code == 1064 => connection.query("SHOW BINARY LOG STATUS"),
        found => found,
    }?;
    let place = place(found.text(0, 0), found.text(0, 1))?;
    let gtids = match connection.is_mariadb() {
        true => gtids_at(connection, &place)?,
        false => found.text(0, 4).filter(|_| server.has_gtids).and_then(|set| Gtids::parse(set, false)),
    };
    Ok((place, gtids))
}

/// Where the log begins that the server still has.
pub(super) fn begin_of_log(connection: &mut Connection, server: &Server) -> Wired<Known> {
    let found = connection.query("SHOW BINARY LOGS")?;
    let place = place(found.text(0, 0), Some("4"))?;
    let gtids = match connection.is_mariadb() {
        true => gtids_at(connection, &place)?,
        false if server.has_gtids => {
            let purged = connection.query("SELECT @@global.gtid_purged")?;
            purged.text(0, 0).and_then(|set| Gtids::parse(set, false))
        }
        false => None,
    };
    Ok((place, gtids))
}

/// The transactions before a place; MySQL does not tell them of any.
pub(super) fn gtids_at(connection: &mut Connection, place: &Place) -> Wired<Option<Gtids>> {
    if !connection.is_mariadb() {
        return Ok(None);
    }
    let Place { file, at } = place;
    let found = connection.query(&format!("SELECT BINLOG_GTID_POS({}, {at})", literal(file)))?;
    Ok(found.text(0, 0).and_then(|set| Gtids::parse(set, true)))
}

fn place(file: Option<&str>, at: Option<&str>) -> Wired<Place> {
    match (file, at.and_then(|at| at.parse().ok())) {
        (Some(file), Some(at)) => Ok(Place { file: file.into(), at }),
        _ => Err(broken("the server does not say where its binary log stands")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_keys_that_change_rows_are_found() {
        let told = |rules: &str| {
            cascade(&format!(
                "CREATE TABLE `c` (\n  `id` bigint(20) NOT NULL COMMENT ') ON DELETE CASCADE',\n  PRIMARY KEY (`id`),\n  \
                 CONSTRAINT `a` FOREIGN KEY (`p`) REFERENCES `p` (`id`),\n  \
                 CONSTRAINT `b` FOREIGN KEY (`p`) REFERENCES `p` (`id`){rules},\n  \
                 CONSTRAINT `CASCADE` CHECK (`id` > 0)\n) ENGINE=InnoDB"
            ))
        };
        for rules in [
            " ON DELETE CASCADE",
            " ON DELETE SET NULL",
            " ON UPDATE CASCADE",
            " ON DELETE NO ACTION ON UPDATE SET NULL",
        ] {
            assert_eq!(told(rules).as_deref(), Some("b"), "{rules}");
        }
        for rules in ["", " ON DELETE RESTRICT", " ON DELETE NO ACTION ON UPDATE NO ACTION"] {
            assert_eq!(told(rules), None, "{rules}");
        }
    }
}
