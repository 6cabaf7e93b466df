//! `websocket`: messages of a server that is followed over a WebSocket (RFC 6455). They land in the log, with the cursor from which
//! a server goes on that knows one.

mod connection;
mod feed;
mod frames;
mod options;

use crate::followed::Followed;
use crate::http::access::Access;
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

const MESSAGE_TYPE: &str = "message-type";

pub(crate) struct Messages;

impl Followed for Messages {
    const SPEC: &'static ConnectorSpec = &ConnectorSpec {
        name: "websocket",
        doc: "A server of WebSocket: each message that it sends, text or binary, is a record. It may be told first what is wanted \
              (`open-message`), and a server that knows a cursor is asked for what came behind the last record.",
        options: options::OPTIONS,
        formats: formats::FormatKind::names(),
        reads: true,
        writes: false,
        source_guarantee: "at most once: what is sent while nobody is connected is lost. With a cursor, from a server that goes on \
                           behind it, exactly once where each message says a cursor of its own (in the job's journal), and at \
                           least once for others; of messages with ids one that comes again is left out for 24 hours or 5 million \
                           records",
        sink_guarantee: "",
    };

    fn metadata() -> Vec<MetadataSpec> {
        let own = MetadataSpec {
            key: MESSAGE_TYPE,
            data_type: DataType::Utf8,
            nullable: false,
            writable: false,
            doc: "`text` or `binary`.",
        };
        [vec![own], of_events()].concat()
    }

    fn problems(table: &TableDefinition, checked: &Checked) -> Vec<ConnectorError> {
        options::problems(table, checked)
    }

    fn access(os: &Os, options: &Options) -> Result<Access, String> {
        Access::of(os, options, &options::url_of_http(options)?, SOURCE_HEADERS)
    }

    fn feed(table: Arc<TableDefinition>, access: Access, options: &Options) -> Box<dyn Feed> {
        Box::new(feed::MessageFeed::new(table, access, options))
    }

    fn probe(access: &Access, options: &Options) -> Vec<Probed> {
        connection::probe(access, options)
    }
}
