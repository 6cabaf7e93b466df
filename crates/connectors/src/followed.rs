//! The connector of what is followed over a connection of HTTP, message by message: a source alone, whose records land.

use crate::http::access::Access;
use crate::kafka::{Node, landed_source};
use crate::messages::options::{DEAD_LETTER_TOPIC, URL};
use crate::option_problem;
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

/// What tells one protocol from another.
pub(crate) trait Followed: Send + Sync + 'static {
    const SPEC: &'static ConnectorSpec;

    fn metadata() -> Vec<MetadataSpec>;

    /// What is wrong with a table beyond what the specs of its options can see.
    fn problems(table: &TableDefinition, checked: &Checked) -> Vec<ConnectorError>;

    /// From options that are right.
    fn access(os: &Os, options: &Options) -> Result<Access, String>;

    fn feed(table: Arc<TableDefinition>, access: Access, options: &Options) -> Box<dyn Feed>;

    /// Connects, and takes nothing.
    fn probe(access: &Access, options: &Options) -> Vec<Probed>;
}

pub(crate) struct FollowedConnector<F> {
    node: Node,
    protocol: PhantomData<F>,
}

impl<F: Followed> FollowedConnector<F> {
    pub(crate) fn new(node: Node) -> FollowedConnector<F> {
        FollowedConnector { node, protocol: PhantomData }
    }

    fn checked(&self, table: &TableDefinition, role: Role) -> Result<Checked, Vec<ConnectorError>> {
        if role != Role::Source {
            return Err(vec![self.cannot_write(table)]);
        }
        let mut checked = table_format::check(table, F::SPEC.options, Formats::Message)?;
        let mut errors = F::problems(table, &checked);
        let keeps_going = checked.value.ignores_errors() || checked.options.text(DEAD_LETTER_TOPIC).is_some();
        let subject = format!("{}-value", table.name);
        errors.extend(self.node.give_registry(table, &mut checked.value, subject, keeps_going).err());
        errors.extend(checked.value.schema_problem(table, &table.schema, &[], role));
        if errors.is_empty() { Ok(checked) } else { Err(errors) }
    }

    /// The same where the first problem is enough, and how the server is reached.
    fn ready(&self, table: &TableDefinition, role: Role) -> Result<(Checked, Access), ConnectorError> {
        let checked = self.checked(table, role).map_err(|mut errors| errors.remove(0))?;
        let access = F::access(self.node.os(), &checked.options);
        let access = access.map_err(|message| option_problem(table, URL, message))?;
        Ok((checked, access))
    }

    fn cannot_write(&self, table: &TableDefinition) -> ConnectorError {
        let name = F::SPEC.name;
        ConnectorError {
            kind: ErrorKind::Invalid,
            message: format!(
                "table '{}': what '{name}' follows can be read, not written, nor asked for single rows",
                table.name
            ),
            option: None,
        }
    }
}

impl<F: Followed> Connector for FollowedConnector<F> {
    fn spec(&self) -> &'static ConnectorSpec {
        F::SPEC
    }

    fn metadata(&self) -> Vec<MetadataSpec> {
        F::metadata()
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

    fn probe(&self, table: &TableDefinition, role: Role, timeout_ms: u64) -> Vec<Probed> {
        match self.ready(table, role) {
            Err(error) => vec![Probed::failed("declared", error)],
            Ok((checked, access)) => {
                F::probe(&access.within(Duration::from_millis(timeout_ms.max(1))), &checked.options)
            }
        }
    }

    fn lands(&self, _table: &TableDefinition) -> bool {
        true
    }

    fn feed(&self, request: FeedRequest) -> Result<Box<dyn Feed>, ConnectorError> {
        let (checked, access) = self.ready(&request.table, Role::Source)?;
        Ok(F::feed(request.table, access, &checked.options))
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        let checked = self.checked(&request.table, Role::Source).map_err(|mut errors| errors.remove(0))?;
        let log = self.node.log(&request.table)?;
        landed_source(log, request, checked, F::metadata())
    }

    fn sink(&self, table: &Arc<TableDefinition>, _job: &str) -> Result<Sink, ConnectorError> {
        Err(self.cannot_write(table))
    }
}
