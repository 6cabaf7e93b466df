//! `mongodb`: documents of a collection, written and looked up, under the option names of Flink's connector.
//!
//! With a primary key a row sets the declared fields of the document under its key, and -D removes it: what is sent again
//! leaves the same document. Without one each row is a document of its own, whose `_id` is made of its place in the outbox:
//! what is sent again is there already.

mod lookup;
mod options;
mod session;
mod store;
mod writes;

pub(crate) use options::{OPTION_NAMES, TIMEOUT, collection_problem};
pub(crate) use session::{Session, server_error};

use crate::blackhole::cannot_read;
use crate::kafka::Node;
use crate::lookup_options;
use crate::positions::Positions;
use crate::store::StoreSink;
use dataflow::connector::{Connector, ConnectorError, ConnectorSpec, Probed, Role, SourceRequest};
use dataflow::lookup::{Lookup, LookupRequest};
use dataflow::plan::{Changelog, LookupCache};
use dataflow::sink::Sink;
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use options::Checked;
use std::sync::Arc;
use std::time::Duration;

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "mongodb",
    doc: "Documents of a collection in MongoDB: the target of INSERT INTO, or looked up by key in a join FOR SYSTEM_TIME AS OF a \
          processing time. With a primary key, its value is the document's `_id` (several columns are an embedded document; a \
          text of 24 hexadecimal digits is an ObjectId), and the declared fields are set there, or the document is deleted; \
          without one each row is a new document. A missing collection is made by the first row.",
    options: options::OPTIONS,
    formats: &[],
    reads: false,
    writes: true,
    source_guarantee: "",
    sink_guarantee: "effectively once (with a primary key by it, else by ids of the outbox's offset)",
};

pub(crate) struct MongoDb {
    node: Node,
}

impl MongoDb {
    pub(crate) fn new(node: Node) -> MongoDb {
        MongoDb { node }
    }

    fn session(&self, checked: &Checked, timeout: Duration) -> Session {
        Session::new(self.node.os(), checked.address.clone(), &checked.database, &checked.collection, timeout)
    }
}

impl Connector for MongoDb {
    fn spec(&self) -> &'static ConnectorSpec {
        &SPEC
    }

    fn check(&self, table: &TableDefinition, role: Role) -> Result<(), Vec<ConnectorError>> {
        match role {
            Role::Source => Err(vec![cannot_read(&SPEC, table)]),
            Role::Sink => Checked::of(table, role).map(drop),
            Role::Lookup => {
                let checked = Checked::of(table, role)?;
                lookup_options::cache(table, &checked.options).map(drop).map_err(|error| vec![error])
            }
        }
    }

    fn looks_up(&self, _table: &TableDefinition) -> bool {
        true
    }

    fn lookup_cache(&self, table: &TableDefinition) -> Result<Option<LookupCache>, ConnectorError> {
        let checked = Checked::of(table, Role::Lookup).map_err(|mut errors| errors.remove(0))?;
        lookup_options::cache(table, &checked.options)
    }

    fn lookup(&self, request: LookupRequest) -> Result<Box<dyn Lookup>, ConnectorError> {
        let checked = Checked::of(&request.table, Role::Lookup).map_err(|mut errors| errors.remove(0))?;
        let session = self.session(&checked, Duration::from_millis(request.timeout_ms.max(1)));
        Ok(Box::new(lookup::MongoLookup::new(request, &checked.options, session)))
    }

    fn is_bounded(&self, _table: &TableDefinition) -> bool {
        true
    }

    fn sink_changelog(&self, table: &TableDefinition) -> Changelog {
        if table.primary_key.is_empty() { Changelog::Insert } else { Changelog::Upsert }
    }

    fn probe(&self, table: &TableDefinition, role: Role, timeout_ms: u64) -> Vec<Probed> {
        let checked = match role {
            Role::Source => Err(vec![cannot_read(&SPEC, table)]),
            Role::Sink | Role::Lookup => Checked::of(table, role),
        };
        match checked {
            Err(mut errors) => vec![Probed::failed("declared", errors.remove(0))],
            Ok(checked) => self.session(&checked, Duration::from_millis(timeout_ms)).probe(role),
        }
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        Err(cannot_read(&SPEC, &request.table))
    }

    fn sink(&self, table: &Arc<TableDefinition>, job: &str) -> Result<Sink, ConnectorError> {
        let log = self.node.log(table)?;
        let checked = Checked::of(table, Role::Sink).map_err(|mut errors| errors.remove(0))?;
        let os = self.node.os();
        let positions = Positions::new(os.clone(), log, format!("{}/{job}", SPEC.name));
        let session = self.session(&checked, checked.timeout);
        let bounds = (checked.bounds(), checked.patience());
        let store = store::Documents::new(table, session, os.clock.clone(), job);
        Ok(Sink::Outbox(Box::new(StoreSink::new(table.clone(), &checked.options, positions, bounds, store))))
    }
}
