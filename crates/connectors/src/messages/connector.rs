//! The connector of a system of messages: what all of them check and make in the same way.

use super::encoder::MessageEncoder;
use super::options::{DEAD_LETTER_TOPIC, URL, login_problems, written_problems};
use super::server::{Access, Scheme};
use crate::kafka::{Node, landed_source};
use crate::option_problem;
use crate::positions::Positions;
use crate::table_format::{self, Checked, Formats};
use base::options::Options;
use dataflow::connector::{Connector, ConnectorError, ConnectorSpec, MetadataSpec, Role, SourceRequest};
use dataflow::feed::{Feed, FeedRequest};
use dataflow::plan::Changelog;
use dataflow::sink::{OutboxSink, Sink};
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use std::marker::PhantomData;
use std::sync::Arc;

/// What tells one system from another.
pub(crate) trait System: Send + Sync + 'static {
    const SPEC: &'static ConnectorSpec;
    const SCHEME: &'static Scheme;

    fn metadata() -> Vec<MetadataSpec>;

    /// What the subjects of a schema registry are named after.
    fn subject(options: &Options) -> &str;

    /// What is wrong with a table beyond what the specs of its options can see, and beyond what all systems have.
    fn problems(table: &TableDefinition, options: &Options, role: Role) -> Vec<ConnectorError>;

    /// `identity` tells this scan of this job from all others.
    fn feed(table: Arc<TableDefinition>, access: Access, options: &Options, identity: &str) -> Box<dyn Feed>;

    fn sink(parts: SinkParts) -> Box<dyn OutboxSink>;
}

/// What a sink is made of.
pub(crate) struct SinkParts {
    pub table: Arc<TableDefinition>,
    pub access: Access,
    pub rows: MessageEncoder,
    pub options: Options,
    /// For targets that store no offset.
    pub positions: Positions,
    /// Tells this sink of this job from all others.
    pub job: String,
}

pub(crate) struct MessageConnector<S> {
    node: Node,
    system: PhantomData<S>,
}

impl<S: System> MessageConnector<S> {
    pub(crate) fn new(node: Node) -> MessageConnector<S> {
        MessageConnector { node, system: PhantomData }
    }

    fn checked(&self, table: &TableDefinition, role: Role) -> Result<Checked, Vec<ConnectorError>> {
        let mut checked = table_format::check(table, S::SPEC.options, Formats::Message)?;
        let options = &checked.options;
        let mut errors = login_problems(table, options, S::SCHEME);
        errors.extend(S::problems(table, options, role));
        if role == Role::Sink {
            errors.extend(written_problems(table, &S::metadata()));
        }
        let keeps_going = checked.value.ignores_errors() || options.text(DEAD_LETTER_TOPIC).is_some();
        let subject = format!("{}-value", S::subject(options));
        errors.extend(self.node.give_registry(table, &mut checked.value, subject, keeps_going).err());
        errors.extend(checked.value.schema_problem(table, &table.schema, &[], role));
        if errors.is_empty() { Ok(checked) } else { Err(errors) }
    }

    /// The same where the first problem is enough, and how the server is reached.
    fn ready(&self, table: &TableDefinition, role: Role) -> Result<(Checked, Access), ConnectorError> {
        let checked = self.checked(table, role).map_err(|mut errors| errors.remove(0))?;
        let access = Access::new(self.node.os(), &checked.options, S::SCHEME);
        let access = access.map_err(|message| option_problem(table, URL, message))?;
        Ok((checked, access))
    }
}

impl<S: System> Connector for MessageConnector<S> {
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
        true
    }

    fn feed(&self, request: FeedRequest) -> Result<Box<dyn Feed>, ConnectorError> {
        let FeedRequest { table, identity } = request;
        let (checked, access) = self.ready(&table, Role::Source)?;
        Ok(S::feed(table, access, &checked.options, &identity))
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        let checked = self.checked(&request.table, Role::Source).map_err(|mut errors| errors.remove(0))?;
        let log = self.node.log(&request.table)?;
        landed_source(log, request, checked, S::metadata())
    }

    fn sink(&self, table: &Arc<TableDefinition>, job: &str) -> Result<Sink, ConnectorError> {
        let log = self.node.log(table)?;
        let (checked, access) = self.ready(table, Role::Sink)?;
        let rows = MessageEncoder::new(table, &checked)?;
        let positions = Positions::new(self.node.os().clone(), log, format!("{}/{job}", S::SPEC.name));
        let parts = SinkParts {
            table: table.clone(),
            access,
            rows,
            options: checked.options,
            positions,
            job: job.to_string(),
        };
        Ok(Sink::Outbox(S::sink(parts)))
    }
}
