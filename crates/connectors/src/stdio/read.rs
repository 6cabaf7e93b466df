//! `stdin`: the records that come over the standard input of the process; the table ends with it.
//!
//! One thread reads, and what it has read waits in a queue of some megabytes, so that who writes is held back by the pipe.

use crate::arrivals::Arrivals;
use crate::kafka::{Node, landed_source};
use crate::landed::Landing;
use crate::messages::HAUL_BYTES_MAX;
use crate::messages::options::DEAD_LETTER_TOPIC;
use crate::table_format::{self, Checked, FORMAT, Formats};
use crate::text_stream::{self, Heard, RECORD_BYTES_SPEC, Records, read_all};
use crate::{CONNECTOR, option_problem, optional};
use base::ErrorKind;
use base::options::{OptionKind, OptionSpec};
use dataflow::connector::{Connector, ConnectorError, ConnectorSpec, Role, SourceRequest};
use dataflow::feed::{Feed, FeedRecord, FeedRequest, Haul};
use dataflow::plan::Changelog;
use dataflow::sink::Sink;
use dataflow::source::{Source, SourceError};
use dataflow::table::TableDefinition;
use os::Os;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const BOUNDED: &str = "scan.bounded";
/// What was read and nobody has taken.
const WAITING_BYTES_MAX: usize = 4 << 20;

const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    FORMAT,
    optional(
        BOUNDED,
        OptionKind::Boolean,
        Some("false"),
        "Says that the input ends, for statements that need an end, such as `ORDER BY` without a time. It is read in the same way.",
        "true",
    ),
    RECORD_BYTES_SPEC,
    optional(
        DEAD_LETTER_TOPIC,
        OptionKind::Text,
        None,
        "Records that are too long or cannot be read by the format go to this topic of the embedded log, with their bytes and the \
         reason in a header, and the job goes on. Without it such a record fails the job.",
        "lines-rejected",
    ),
    crate::SCAN_RATE_LIMIT,
];

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "stdin",
    doc: "The standard input of `eventwright run`, a record on each line; the table ends with it. One table of a run can read it.",
    options: OPTIONS,
    formats: text_stream::FORMATS,
    reads: true,
    writes: false,
    source_guarantee: "at most once (what was read and is not in the log when the node dies is lost)",
    sink_guarantee: "",
};

/// Who reads the standard input, of which a process has one, and what has come over it.
static TAKEN: Mutex<Option<(String, Arc<Arrivals<Heard>>)>> = Mutex::new(None);

pub(crate) struct Stdin {
    node: Node,
}

impl Stdin {
    pub(crate) fn new(node: Node) -> Stdin {
        Stdin { node }
    }

    fn checked(&self, table: &TableDefinition, role: Role) -> Result<Checked, Vec<ConnectorError>> {
        if role != Role::Source {
            return Err(vec![not_written(table)]);
        }
        let checked = table_format::check(table, OPTIONS, Formats::One)?;
        let problems = [
            text_stream::format_problem(table, &checked),
            checked.value.schema_problem(table, &table.schema, &[], role),
        ];
        let errors: Vec<ConnectorError> = problems.into_iter().flatten().collect();
        if errors.is_empty() { Ok(checked) } else { Err(errors) }
    }

    fn ready(&self, table: &TableDefinition) -> Result<Checked, ConnectorError> {
        self.checked(table, Role::Source).map_err(|mut errors| errors.remove(0))
    }
}

fn not_written(table: &TableDefinition) -> ConnectorError {
    option_problem(table, "connector", "the connector 'stdin' can be read, not written; see 'stdout'")
}

impl Connector for Stdin {
    fn spec(&self) -> &'static ConnectorSpec {
        &SPEC
    }

    fn check(&self, table: &TableDefinition, role: Role) -> Result<(), Vec<ConnectorError>> {
        self.checked(table, role).map(drop)
    }

    fn is_bounded(&self, table: &TableDefinition) -> bool {
        table.options.get(BOUNDED).is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    fn source_changelog(&self, table: &TableDefinition) -> Changelog {
        table_format::changelog(table, &["format"])
    }

    fn lands(&self, _table: &TableDefinition) -> bool {
        true
    }

    fn feed(&self, request: FeedRequest) -> Result<Box<dyn Feed>, ConnectorError> {
        let FeedRequest { table, identity } = request;
        let checked = self.ready(&table)?;
        if !self.node.os().permits.stdin {
            let message = "the connector 'stdin' reads the standard input of 'eventwright run', and this node was not started so";
            return Err(option_problem(&table, "connector", message));
        }
        let (splitter, bytes_max) = text_stream::form(&table, &checked)?;
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let arrivals = match &*taken {
            // The job begins anew; what has come in between is there.
            Some((who, arrivals)) if *who == identity => arrivals.clone(),
            Some(_) => {
                let message = "another table reads the standard input already; copy its rows into a topic, and read that";
                return Err(option_problem(&table, "connector", message));
            }
            None => {
                let arrivals = Arrivals::new(WAITING_BYTES_MAX);
                begin(std::io::stdin(), Records::new(splitter, bytes_max), &arrivals).map_err(|error| {
                    let message = format!("the standard input cannot be read: {error}");
                    ConnectorError {
                        kind: ErrorKind::Unavailable,
                        ..option_problem(&table, "connector", message)
                    }
                })?;
                *taken = Some((identity, arrivals.clone()));
                arrivals
            }
        };
        Ok(Box::new(InputFeed::new(table, self.node.os().clone(), arrivals)))
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        let checked = self.ready(&request.table)?;
        let log = self.node.log(&request.table)?;
        landed_source(log, request, checked, Vec::new())
    }

    fn sink(&self, table: &Arc<TableDefinition>, _job: &str) -> Result<Sink, ConnectorError> {
        Err(not_written(table))
    }
}

/// Reads in a thread, which nothing can interrupt and which ends with the input.
pub(super) fn begin(
    mut input: impl Read + Send + 'static,
    records: Records,
    arrivals: &Arc<Arrivals<Heard>>,
) -> std::io::Result<()> {
    let arrivals = arrivals.clone();
    let work = move || read_all(&mut input, records, &arrivals);
    std::thread::Builder::new().name("stdin".into()).spawn(work).map(drop)
}

pub(super) struct InputFeed {
    table: Arc<TableDefinition>,
    os: Os,
    arrivals: Arc<Arrivals<Heard>>,
    has_ended: bool,
}

impl InputFeed {
    pub(super) fn new(table: Arc<TableDefinition>, os: Os, arrivals: Arc<Arrivals<Heard>>) -> InputFeed {
        InputFeed { table, os, arrivals, has_ended: false }
    }
}

impl Feed for InputFeed {
    fn open(&mut self, _position: Option<&[u8]>) -> Result<(), SourceError> {
        Ok(())
    }

    fn poll(&mut self, wait_ms: u64) -> Result<Haul, SourceError> {
        let mut haul = Haul { ended: self.has_ended, ..Haul::default() };
        let (mut wait, mut bytes) = (Duration::from_millis(wait_ms), 0);
        while bytes < HAUL_BYTES_MAX && !haul.ended {
            match self.arrivals.take(wait) {
                Some(Heard::Record(framed)) => {
                    let mut landing = Landing::new(&self.table);
                    if let Some(problem) = &framed.problem {
                        landing.unreadable(problem);
                    }
                    bytes += framed.bytes.len() + 64;
                    haul.records.push(FeedRecord {
                        timestamp_ms: self.os.clock.now_ms(),
                        value: Some(framed.bytes),
                        headers: landing.finish(),
                        ..FeedRecord::default()
                    });
                }
                Some(Heard::End(None)) => haul.ended = true,
                Some(Heard::End(Some(problem))) => {
                    return Err(SourceError {
                        kind: ErrorKind::Invalid,
                        message: format!("table '{}': stdin: cannot be read: {problem}", self.table.name),
                    });
                }
                None => break,
            }
            // What else has come is taken as well.
            wait = Duration::ZERO;
        }
        self.has_ended = haul.ended;
        Ok(haul)
    }
}
