//! `sse`: a stream of Server-Sent Events that is followed for ever. Its events land in the log, with the id behind which a server
//! goes on.

mod events;
mod feed;
mod options;

use crate::followed::Followed;
use crate::http::access::{self, Access};
use crate::http::options::SOURCE_HEADERS;
use crate::kafka::of_events;
use crate::table_format::Checked;
use arrow_schema::DataType;
use base::options::Options;
use dataflow::connector::{ConnectorError, ConnectorSpec, MetadataSpec, Probed};
use dataflow::feed::Feed;
use dataflow::table::TableDefinition;
use os::Os;
use std::sync::Arc;

const EVENT: &str = "event";
const ID: &str = "id";

pub(crate) struct Events;

impl Followed for Events {
    const SPEC: &'static ConnectorSpec = &ConnectorSpec {
        name: "sse",
        doc: "A stream of Server-Sent Events (`text/event-stream`): the data of each event is a record. It is followed for ever; where \
              it ends, or the job begins again, the server is told the last id (`Last-Event-ID`).",
        options: options::OPTIONS,
        formats: formats::FormatKind::names(),
        reads: true,
        writes: false,
        source_guarantee: "from a server that goes on behind `Last-Event-ID` exactly once where each event has an id of its own (in \
                           the job's journal), and at least once for events without one among them; from others at most once: \
                           what is sent while nobody is connected is lost",
        sink_guarantee: "",
    };

    fn metadata() -> Vec<MetadataSpec> {
        let spec = |key, nullable, doc| MetadataSpec {
            key,
            data_type: DataType::Utf8,
            nullable,
            writable: false,
            doc,
        };
        let own = vec![
            spec(EVENT, false, "The event's type; `message` where it names none."),
            spec(ID, true, "The event's id, or the last one before it; NULL where there was none."),
        ];
        [own, of_events()].concat()
    }

    fn problems(table: &TableDefinition, checked: &Checked) -> Vec<ConnectorError> {
        let mut errors = access::problems(table, &checked.options);
        errors.extend(options::problems(table, &checked.options));
        errors
    }

    fn access(os: &Os, options: &Options) -> Result<Access, String> {
        Access::new(os, options, SOURCE_HEADERS)
    }

    fn feed(table: Arc<TableDefinition>, access: Access, options: &Options) -> Box<dyn Feed> {
        Box::new(feed::EventFeed::new(table, access, options))
    }

    fn probe(access: &Access, options: &Options) -> Vec<Probed> {
        feed::probe(access, options)
    }
}
