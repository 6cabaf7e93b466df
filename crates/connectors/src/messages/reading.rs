//! What both feeds have: a table, and a connection while it is of use.

use super::error::ServerError;
use super::told;
use base::ErrorKind;
use dataflow::source::SourceError;
use dataflow::table::TableDefinition;
use std::sync::Arc;

pub(crate) struct Reading<C> {
    pub table: Arc<TableDefinition>,
    connection: Option<C>,
}

impl<C> Reading<C> {
    pub(crate) fn new(table: Arc<TableDefinition>) -> Reading<C> {
        Reading { table, connection: None }
    }

    pub(crate) fn close(&mut self) {
        self.connection = None;
    }

    pub(crate) fn open(&mut self, opened: Result<C, ServerError>) -> Result<(), SourceError> {
        self.connection = Some(opened.map_err(|error| self.error(error))?);
        Ok(())
    }

    pub(crate) fn error(&self, error: ServerError) -> SourceError {
        let (kind, message) = told(&self.table, error);
        SourceError { kind, message }
    }

    /// With an error the connection is of no more use.
    pub(crate) fn with<T>(
        &mut self,
        call: impl FnOnce(&mut C) -> Result<T, ServerError>,
    ) -> Result<T, SourceError> {
        let not_open = || ServerError::new(ErrorKind::Unavailable, "the server is not connected");
        let called = self.connection.as_mut().ok_or_else(not_open).and_then(call);
        called.map_err(|error| {
            self.close();
            self.error(error)
        })
    }
}
