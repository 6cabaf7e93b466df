//! The connector of a service: what all of them check and make in the same way.

use super::batches::{BatchSink, BatchTarget};
use super::{Access, Client, Done};
use crate::kafka::{Node, landed_source};
use crate::messages::options::DEAD_LETTER_TOPIC;
use crate::messages::{MessageEncoder, written_problems};
use crate::option_problem;
use crate::positions::Positions;
use crate::table_format::{self, Checked, Formats};
use base::ErrorKind;
use base::options::Options;
use dataflow::connector::{
    Connector, ConnectorError, ConnectorSpec, MetadataSpec, Probed, Role, SourceRequest,
};
use dataflow::feed::{Feed, FeedRequest};
use dataflow::plan::Changelog;
use dataflow::sink::Sink;
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use os::Os;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// What tells one service from another.
pub(crate) trait Service: Send + Sync + 'static {
    type Target: BatchTarget + 'static;

    const SPEC: &'static ConnectorSpec;
    /// The option that names what is read or written.
    const PLACE: &'static str;
    /// The option by which it is reached, where its name does not say that.
    const REACHED_BY: &'static str;

    fn metadata() -> Vec<MetadataSpec>;

    /// What is wrong with a table beyond what the specs of its options can see, and beyond what all services have.
    fn problems(table: &TableDefinition, options: &Options, role: Role) -> Vec<ConnectorError>;

    /// The queue's or the topic's name, for the subjects of a schema registry.
    fn name(options: &Options, role: Role) -> Result<String, String>;

    fn access(os: &Os, options: &Options) -> Result<Access, String>;

    fn feed(_table: Arc<TableDefinition>, _access: Access, _options: &Options) -> Option<Box<dyn Feed>> {
        None
    }

    fn target(table: &TableDefinition, options: &Options, job: &str) -> Self::Target;

    /// The columns that are a record's key, and what stands between them.
    fn key(_table: &TableDefinition, _options: &Options) -> Option<(Vec<usize>, String)> {
        None
    }

    /// Asks for what it says of itself: the name of the step, and what is found.
    fn look(client: &mut Client, options: &Options, role: Role) -> (&'static str, Done<String>);
}

pub(crate) struct ServiceConnector<S> {
    node: Node,
    service: PhantomData<S>,
}

impl<S: Service> ServiceConnector<S> {
    pub(crate) fn new(node: Node) -> ServiceConnector<S> {
        ServiceConnector { node, service: PhantomData }
    }

    fn checked(&self, table: &TableDefinition, role: Role) -> Result<Checked, Vec<ConnectorError>> {
        let mut checked = table_format::check(table, S::SPEC.options, Formats::Message)?;
        let mut errors = S::problems(table, &checked.options, role);
        let name = S::name(&checked.options, role);
        let name = name.map_err(|message| errors.push(option_problem(table, S::PLACE, message)));
        if role == Role::Sink {
            errors.extend(written_problems(table, &S::metadata()));
        }
        let letters = checked.options.text(DEAD_LETTER_TOPIC);
        let keeps_going = checked.value.ignores_errors() || letters.is_some();
        let subject = format!("{}-value", name.unwrap_or_default());
        errors.extend(self.node.give_registry(table, &mut checked.value, subject, keeps_going).err());
        errors.extend(checked.value.schema_problem(table, &table.schema, &[], role));
        if errors.is_empty() { Ok(checked) } else { Err(errors) }
    }

    /// The same where the first problem is enough, and how the service is reached.
    fn ready(&self, table: &TableDefinition, role: Role) -> Result<(Checked, Access), ConnectorError> {
        let checked = self.checked(table, role).map_err(|mut errors| errors.remove(0))?;
        let access = S::access(self.node.os(), &checked.options);
        let access = access.map_err(|message| option_problem(table, S::REACHED_BY, message))?;
        Ok((checked, access))
    }
}

impl<S: Service> Connector for ServiceConnector<S> {
    fn spec(&self) -> &'static ConnectorSpec {
        S::SPEC
    }

    fn metadata(&self) -> Vec<MetadataSpec> {
        S::metadata()
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
        S::SPEC.reads
    }

    fn feed(&self, request: FeedRequest) -> Result<Box<dyn Feed>, ConnectorError> {
        let (checked, access) = self.ready(&request.table, Role::Source)?;
        let name = request.table.name.clone();
        S::feed(request.table, access, &checked.options).ok_or_else(|| ConnectorError {
            kind: ErrorKind::Invalid,
            message: format!("table '{name}': '{}' can be written only", S::SPEC.name),
            option: None,
        })
    }

    fn probe(&self, table: &TableDefinition, role: Role, timeout_ms: u64) -> Vec<Probed> {
        match self.ready(table, role) {
            Err(error) => vec![Probed::failed("declared", error)],
            Ok((checked, access)) => {
                let access = access.with_timeout(Duration::from_millis(timeout_ms));
                match access.client(1) {
                    Err(error) => vec![Probed::failed("reached", error.message)],
                    Ok(mut client) => {
                        let (step, found) = S::look(&mut client, &checked.options, role);
                        vec![Probed { step, found: found.map_err(|error| error.message) }]
                    }
                }
            }
        }
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        let checked = self.checked(&request.table, Role::Source).map_err(|mut errors| errors.remove(0))?;
        let log = self.node.log(&request.table)?;
        landed_source(log, request, checked, S::metadata())
    }

    fn sink(&self, table: &Arc<TableDefinition>, job: &str) -> Result<Sink, ConnectorError> {
        let log = self.node.log(table)?;
        let (checked, access) = self.ready(table, Role::Sink)?;
        let options = checked.options.clone();
        let rows = MessageEncoder::new(table, &checked)?;
        let rows = match S::key(table, &options) {
            Some((columns, delimiter)) => rows.with_key(columns, delimiter),
            None => rows,
        };
        let positions = Positions::new(self.node.os().clone(), log, format!("{}/{job}", S::SPEC.name));
        let target = S::target(table, &options, job);
        let sink = BatchSink::new(table.clone(), access, rows, positions, &options, target);
        Ok(Sink::Outbox(Box::new(sink)))
    }
}
