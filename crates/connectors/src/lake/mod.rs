//! What tables of lakes share as targets: files of Parquet that metadata name, put where the lake lies (ADR 0042).
//!
//! Rows wait in files that nobody sees. A commit makes the files whole, and then one put of metadata adds them to the table,
//! together with the outbox offset behind their rows: all of it is there, or nothing. A format of lakes says how its
//! metadata are read and put ([`LakeTable`]); the rest is the same.

pub(crate) mod columns;
mod data_files;
pub(crate) mod options;
mod sink;
pub(crate) mod storage;
pub(crate) mod transforms;
pub(crate) mod values;

pub(crate) use data_files::DataFile;
pub(crate) use sink::{LakeSink, Policy, identity, outbox_rows};

use crate::option_problem;
use crate::service::{Done, ServiceError};
use arrow_schema::{Field, Fields};
use base::ErrorKind;
use dataflow::connector::ConnectorError;
use dataflow::table::TableDefinition;
use parquet::basic::Compression;
use std::collections::VecDeque;
use storage::Stores;
use transforms::Transform;

/// A table of a lake as the sink needs it.
pub(crate) trait LakeTable: Send {
    /// For messages.
    fn place(&self) -> String;

    /// Finds the table, or makes it; answers how its files are, and the outbox offset of the first record that it does not have.
    fn open(&mut self, stores: &mut Stores) -> Done<Opened>;

    /// Adds files, and the offset behind their rows, at once.
    fn commit(&mut self, stores: &mut Stores, files: &[DataFile], next_offset: i64) -> Done<()>;

    /// For how many ms more a server wants to be left alone, as it has said.
    fn pause_ms(&self) -> Option<u64> {
        None
    }

    /// What may be done behind a commit, and need not.
    fn tidy(&mut self, _stores: &mut Stores) {}
}

pub(crate) struct Opened {
    pub next_offset: i64,
    pub layout: Layout,
}

/// How the files of a table are.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// The columns of a file, with their ids where the table gives them some.
    pub fields: Fields,
    pub parts: Vec<Part>,
    /// Below which the files lie.
    pub folder: String,
    pub compression: Compression,
    pub row_group_bytes: usize,
}

/// One of the values by which rows lie in different files.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// What its folder is called.
    pub name: String,
    /// The table's column; its rows are NULL where it is not declared.
    pub field: Field,
    pub transform: Transform,
}

/// Somebody else has gone on under our name.
pub(crate) fn fenced(place: &str) -> ServiceError {
    ServiceError::new(
        ErrorKind::Fenced,
        format!("another node goes on with this job's rows in {place}: stop one of them"),
    )
}

/// The table is not as it was when it was opened: whoever opens it again sees how it is.
pub(crate) fn changed(place: &str) -> ServiceError {
    ServiceError::new(ErrorKind::Retry, format!("{place} was changed meanwhile, and is looked at anew"))
}

/// Commits of this process that have had no answer: one that is found done later is no other node's.
#[derive(Debug)]
pub(crate) struct Unanswered<T>(VecDeque<T>);

/// A commit is made or refused within a few tries of the next ones.
const UNANSWERED_MAX: usize = 64;

impl<T> Default for Unanswered<T> {
    fn default() -> Unanswered<T> {
        Unanswered(VecDeque::new())
    }
}

impl<T> Unanswered<T> {
    pub(crate) fn push(&mut self, id: T) {
        if self.0.len() == UNANSWERED_MAX {
            self.0.pop_front();
        }
        self.0.push_back(id);
    }

    pub(crate) fn any(&self, is_it: impl FnMut(&T) -> bool) -> bool {
        self.0.iter().any(is_it)
    }
}

pub(crate) fn corrupt(message: impl Into<String>) -> ServiceError {
    ServiceError::new(ErrorKind::Corrupt, message)
}

/// A UUID of version 4 from random bytes.
pub(crate) fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// What no table of a lake takes.
pub(crate) fn declared_problems(table: &TableDefinition) -> Vec<ConnectorError> {
    let mut errors = Vec::new();
    if !table.primary_key.is_empty() {
        let message = "rows are only added, so that the table can have no PRIMARY KEY; leave it out";
        errors.push(option_problem(table, "connector", message));
    }
    if table.metadata.iter().any(|column| !column.is_virtual) {
        let message = "there is no metadata that can be written; declare it VIRTUAL";
        errors.push(option_problem(table, "connector", message));
    }
    let fields = table.schema.fields();
    for (at, field) in fields.iter().enumerate() {
        if let Some(other) = fields[..at].iter().find(|other| other.name().eq_ignore_ascii_case(field.name()))
        {
            let message = format!(
                "the columns '{}' and '{}' differ in their case alone, which readers of lakes do not see",
                other.name(),
                field.name()
            );
            errors.push(option_problem(table, "connector", message));
        }
    }
    errors
}
