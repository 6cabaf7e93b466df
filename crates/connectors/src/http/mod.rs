//! `http`: servers of HTTP. Rows are sent as requests from an outbox; lookup joins ask for the rows of a key;
//! scans ask again and again, and what is answered lands in the log.

pub(crate) mod access;
pub(crate) mod codes;
mod lookup;
pub(crate) mod options;
mod poll;
mod sink;

use crate::kafka::{Node, landed_source, of_events, written_by_format};
use crate::landed::{HEADERS, headers_type};
use crate::messages::options::{DEAD_LETTER_TOPIC, URL};
use crate::messages::{MessageEncoder, written_problems};
use crate::positions::Positions;
use crate::table_format::{self, Checked, Formats};
use crate::{lookup_options, option_problem};
use access::Access;
use dataflow::connector::{
    Connector, ConnectorError, ConnectorSpec, MetadataSpec, Probed, Role, SourceRequest,
};
use dataflow::feed::{Feed, FeedRequest};
use dataflow::lookup::{Lookup, LookupRequest};
use dataflow::plan::{Changelog, LookupCache};
use dataflow::sink::Sink;
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use std::sync::Arc;
use std::time::Duration;

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "http",
    doc: "A server of HTTP: each row, or an array of them, is a request. CloudEvents go out in any mode of their HTTP \
          binding. A join FOR SYSTEM_TIME AS OF a processing time asks it for the rows of a key; a scan asks for what is new, again \
          and again.",
    options: options::OPTIONS,
    formats: formats::FormatKind::names(),
    reads: true,
    writes: true,
    source_guarantee: "with a cursor exactly once (the cursor in the job's journal); with ids effectively once (left out for 24 \
                       hours or 5 million records); else at least once",
    sink_guarantee: "at least once; what is sent again has the same `Idempotency-Key` (job, sink and the outbox's offset)",
};

pub(crate) struct Http {
    node: Node,
}

impl Http {
    pub(crate) fn new(node: Node) -> Http {
        Http { node }
    }

    fn checked(&self, table: &TableDefinition, role: Role) -> Result<Checked, Vec<ConnectorError>> {
        let mut checked = table_format::check(table, options::OPTIONS, Formats::Message)?;
        let mut errors = options::problems(table, &checked, role);
        if role == Role::Sink {
            errors.extend(written_problems(table, &self.metadata()));
        }
        let keeps_going = checked.value.ignores_errors() || checked.options.text(DEAD_LETTER_TOPIC).is_some();
        let subject = format!("{}-value", table.name);
        errors.extend(self.node.give_registry(table, &mut checked.value, subject, keeps_going).err());
        let written = if role == Role::Sink { written_by_format(table) } else { Vec::new() };
        errors.extend(checked.value.schema_problem(table, &table.schema, &written, role));
        if errors.is_empty() { Ok(checked) } else { Err(errors) }
    }

    /// The same where the first problem is enough, and how the server is reached.
    fn ready(&self, table: &TableDefinition, role: Role) -> Result<(Checked, Access), ConnectorError> {
        let checked = self.checked(table, role).map_err(|mut errors| errors.remove(0))?;
        let headers = match role {
            Role::Source => options::SOURCE_HEADERS,
            Role::Lookup => options::LOOKUP_HEADERS,
            Role::Sink => options::SINK_HEADERS,
        };
        let access = Access::new(self.node.os(), &checked.options, headers);
        let access = access.map_err(|message| option_problem(table, URL, message))?;
        Ok((checked, access))
    }
}

impl Connector for Http {
    fn spec(&self) -> &'static ConnectorSpec {
        &SPEC
    }

    fn metadata(&self) -> Vec<MetadataSpec> {
        let headers = MetadataSpec {
            key: HEADERS,
            data_type: headers_type(),
            nullable: false,
            writable: true,
            doc: "Headers of the row's own request, instead of those of the options that have the same name.",
        };
        [vec![headers], of_events()].concat()
    }

    fn check(&self, table: &TableDefinition, role: Role) -> Result<(), Vec<ConnectorError>> {
        match role {
            Role::Source | Role::Sink => self.checked(table, role).map(drop),
            Role::Lookup => {
                let checked = self.checked(table, role)?;
                lookup_options::cache(table, &checked.options).map(drop).map_err(|error| vec![error])
            }
        }
    }

    fn looks_up(&self, _table: &TableDefinition) -> bool {
        true
    }

    fn lookup_cache(&self, table: &TableDefinition) -> Result<Option<LookupCache>, ConnectorError> {
        let checked = self.checked(table, Role::Lookup).map_err(|mut errors| errors.remove(0))?;
        lookup_options::cache(table, &checked.options)
    }

    fn lookup(&self, request: LookupRequest) -> Result<Box<dyn Lookup>, ConnectorError> {
        let (checked, access) = self.ready(&request.table, Role::Lookup)?;
        let lookup = lookup::HttpLookup::new(&request, &checked, access);
        Ok(Box::new(lookup.map_err(|message| option_problem(&request.table, URL, message))?))
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

    fn probe(&self, table: &TableDefinition, role: Role, timeout_ms: u64) -> Vec<Probed> {
        match self.ready(table, role) {
            Err(error) => vec![Probed::failed("declared", error)],
            Ok((_, access)) => access.within(Duration::from_millis(timeout_ms.max(1))).probe(),
        }
    }

    fn lands(&self, _table: &TableDefinition) -> bool {
        true
    }

    fn feed(&self, request: FeedRequest) -> Result<Box<dyn Feed>, ConnectorError> {
        let (checked, access) = self.ready(&request.table, Role::Source)?;
        Ok(Box::new(poll::PollFeed::new(request.table, &checked.options, access)))
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        let checked = self.checked(&request.table, Role::Source).map_err(|mut errors| errors.remove(0))?;
        let log = self.node.log(&request.table)?;
        landed_source(log, request, checked, self.metadata())
    }

    fn sink(&self, table: &Arc<TableDefinition>, job: &str) -> Result<Sink, ConnectorError> {
        let log = self.node.log(table)?;
        let (checked, access) = self.ready(table, Role::Sink)?;
        let rows = MessageEncoder::new(table, &checked)?;
        let positions = Positions::new(self.node.os().clone(), log, format!("{}/{job}", SPEC.name));
        let sink = sink::HttpSink::new(table.clone(), access, rows, positions, &checked, job);
        Ok(Sink::Outbox(Box::new(sink.map_err(|message| option_problem(table, URL, message))?)))
    }
}
