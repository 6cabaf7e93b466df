//! What both feeds have: a table, and a connection while it is of use.

use super::error::AmqpError;
use super::told;
use base::ErrorKind;
use dataflow::source::SourceError;
use dataflow::table::TableDefinition;
use std::sync::Arc;

pub(super) struct Reading<C> {
    pub table: Arc<TableDefinition>,
    connection: Option<C>,
}

impl<C> Reading<C> {
    pub(super) fn new(table: Arc<TableDefinition>) -> Reading<C> {
        Reading { table, connection: None }
    }

    pub(super) fn close(&mut self) {
        self.connection = None;
    }

    pub(super) fn open(&mut self, opened: Result<C, AmqpError>) -> Result<(), SourceError> {
        self.connection = Some(opened.map_err(|error| self.error(error))?);
        Ok(())
    }

    pub(super) fn error(&self, error: AmqpError) -> SourceError {
        let (kind, message) = told(&self.table.name, error);
        SourceError { kind, message }
    }

    /// With an error the connection is of no more use.
    pub(super) fn with<T>(
        &mut self,
        call: impl FnOnce(&mut C) -> Result<T, AmqpError>,
    ) -> Result<T, SourceError> {
        let not_open = || AmqpError::new(ErrorKind::Unavailable, "the server is not connected");
        let called = self.connection.as_mut().ok_or_else(not_open).and_then(call);
        called.map_err(|error| {
            self.close();
            self.error(error)
        })
    }
}
