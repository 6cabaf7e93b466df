//! `exec`: the lines that a command writes as records, and rows as lines that a command reads.
//!
//! A command is code that runs as the node's user, so a node runs none unless whoever starts it says so (`--allow-exec`).

mod child;
mod feed;
mod options;
mod sink;

#[cfg(test)]
mod tests;

use crate::kafka::{Node, landed_source};
use crate::messages::{MessageEncoder, RefusedMessages, written_problems};
use crate::option_problem;
use crate::positions::Positions;
use crate::table_format::{self, Checked, Formats};
use crate::text_stream;
use base::ErrorKind;
use dataflow::connector::{Connector, ConnectorError, ConnectorSpec, Probed, Role, SourceRequest};
use dataflow::feed::{Feed, FeedRequest};
use dataflow::plan::Changelog;
use dataflow::sink::Sink;
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use options::Settings;
use std::sync::Arc;

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "exec",
    doc: "A command of this machine: the lines that it writes are records, or rows are lines that it reads. It runs only on a \
          node that was started with `--allow-exec`.",
    options: options::OPTIONS,
    formats: text_stream::FORMATS,
    reads: true,
    writes: true,
    source_guarantee: "at most once (what the command has written and is not in the log when the node dies is lost); exactly once \
                       with 'scan.replays', where it writes the same from its beginning whenever it is run",
    sink_guarantee: "at least once with 'sink.confirm' = 'exit' (exit status 0 confirms a commit); with 'write' what lies in the \
                     command's pipe when it ends is lost, and what was written when the node dies is written again",
};

pub(crate) struct Exec {
    node: Node,
}

impl Exec {
    pub(crate) fn new(node: Node) -> Exec {
        Exec { node }
    }

    fn checked(
        &self,
        table: &TableDefinition,
        role: Role,
    ) -> Result<(Checked, Settings), Vec<ConnectorError>> {
        let checked = table_format::check(table, options::OPTIONS, Formats::One)?;
        let settings = Settings::new(&checked.options);
        let mut errors = settings.problems(table);
        errors.extend(text_stream::format_problem(table, &checked));
        if role == Role::Sink {
            errors.extend(written_problems(table, &[]));
        }
        errors.extend(checked.value.schema_problem(table, &table.schema, &[], role));
        if errors.is_empty() { Ok((checked, settings)) } else { Err(errors) }
    }

    /// The same where the first problem is enough, on a node that may run it.
    fn ready(&self, table: &TableDefinition, role: Role) -> Result<(Checked, Settings), ConnectorError> {
        let ready = self.checked(table, role).map_err(|mut errors| errors.remove(0))?;
        match self.forbidden(table) {
            Some(error) => Err(error),
            None => Ok(ready),
        }
    }

    fn forbidden(&self, table: &TableDefinition) -> Option<ConnectorError> {
        (!self.node.os().permits.exec).then(|| {
            let message =
                "this node runs no commands for its jobs; if the jobs that it runs may, start it with --allow-exec";
            ConnectorError { kind: ErrorKind::Invalid, ..option_problem(table, "connector", message) }
        })
    }
}

impl Connector for Exec {
    fn spec(&self) -> &'static ConnectorSpec {
        &SPEC
    }

    fn check(&self, table: &TableDefinition, role: Role) -> Result<(), Vec<ConnectorError>> {
        self.checked(table, role).map(drop)
    }

    fn is_bounded(&self, _table: &TableDefinition) -> bool {
        false
    }

    fn source_changelog(&self, table: &TableDefinition) -> Changelog {
        table_format::changelog(table, &["format"])
    }

    fn sink_changelog(&self, table: &TableDefinition) -> Changelog {
        table_format::changelog(table, &["format"])
    }

    fn lands(&self, _table: &TableDefinition) -> bool {
        true
    }

    fn feed(&self, request: FeedRequest) -> Result<Box<dyn Feed>, ConnectorError> {
        let table = request.table;
        let (checked, settings) = self.ready(&table, Role::Source)?;
        let form = text_stream::form(&table, &checked)?;
        Ok(Box::new(feed::CommandFeed::new(table, self.node.os().clone(), settings, form)))
    }

    /// Whether the node may run it; it is not run.
    fn probe(&self, table: &TableDefinition, role: Role, _timeout_ms: u64) -> Vec<Probed> {
        match self.checked(table, role) {
            Err(errors) => errors.into_iter().map(|error| Probed::failed("declared", error)).collect(),
            Ok((_, settings)) => vec![match (self.forbidden(table), &settings.folder) {
                (Some(error), _) => Probed::failed("may be run", error),
                (None, Some(folder)) if !folder.is_dir() => {
                    Probed::failed("may be run", format!("'{}' is no folder", folder.display()))
                }
                (None, _) => Probed::well("may be run", "it was not tried"),
            }],
        }
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        let (checked, _) =
            self.checked(&request.table, Role::Source).map_err(|mut errors| errors.remove(0))?;
        let log = self.node.log(&request.table)?;
        landed_source(log, request, checked, Vec::new())
    }

    fn sink(&self, table: &Arc<TableDefinition>, job: &str) -> Result<Sink, ConnectorError> {
        let log = self.node.log(table)?;
        let (checked, settings) = self.ready(table, Role::Sink)?;
        let rows = MessageEncoder::new(table, &checked)?;
        let os = self.node.os().clone();
        let positions = Positions::new(os.clone(), log, format!("exec/{job}"));
        let (splitter, _) = text_stream::form(table, &checked)?;
        let refused = RefusedMessages::new(table, &checked.options, "");
        let form = (splitter, refused);
        Ok(Sink::Outbox(Box::new(sink::CommandSink::new(table.clone(), os, settings, rows, positions, form))))
    }
}
