//! Prepared statements and portals: Parse, Bind, Describe, Execute, Close.

use super::budget::Held;
use super::statements::columns_of;
use super::{Client, LinkError, Outcome, Rows, columns};
use crate::engine::Planned;
use crate::error::{Code, PgError};
use crate::statement::{self, Statement};
use crate::types;
use crate::wire::{Bind, Format, Parse, Request, Target};
use arrow_schema::SchemaRef;
use datafusion::scalar::ScalarValue;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// Named statements, and portals, of a session.
const STATEMENTS_MAX: usize = 5_000;
const PORTALS_MAX: usize = 1_000;

pub(super) struct Prepared {
    statement: Statement,
    /// Of a query.
    planned: Option<Arc<Planned>>,
    _held: Held,
}

pub(super) struct Portal {
    prepared: Arc<Prepared>,
    values: Vec<ScalarValue>,
    formats: Vec<Format>,
    state: State,
    /// For the values; rows count their own.
    _held: Held,
}

enum State {
    Bound,
    /// Some rows have been taken.
    Begun(Box<Rows>, &'static str),
    Done,
}

impl Prepared {
    fn columns(&self) -> Option<SchemaRef> {
        match &self.planned {
            Some(planned) => Some(planned.columns.clone()),
            None => columns_of(&self.statement),
        }
    }

    fn parameters(&self) -> &[u32] {
        self.planned.as_ref().map_or(&[], |planned| &planned.parameters)
    }
}

fn no_statement(name: &str) -> PgError {
    PgError::new(Code::INVALID_STATEMENT_NAME, format!("prepared statement \"{name}\" does not exist"))
}

fn no_portal(name: &str) -> PgError {
    PgError::new(Code::INVALID_CURSOR_NAME, format!("portal \"{name}\" does not exist"))
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(super) async fn extended(&mut self, request: Request) -> Result<Result<(), PgError>, LinkError> {
        Ok(match request {
            Request::Parse(parse) => self.parse(parse).await,
            Request::Bind(bind) => self.bind(bind),
            Request::Describe(target) => self.describe(&target),
            Request::Execute { portal, rows_max } => {
                let begun = self.node.now_ns();
                let done = self.execute_portal(&portal, rows_max).await?;
                self.node.counters.answered(self.node.now_ns().saturating_sub(begun));
                done
            }
            Request::Close(target) => {
                match target {
                    Target::Statement(name) => drop(self.statements.remove(&name)),
                    Target::Portal(name) => drop(self.portals.remove(&name)),
                }
                self.link.answer().close_complete();
                Ok(())
            }
            // The caller answers all others.
            _ => Ok(()),
        })
    }

    async fn parse(&mut self, parse: Parse) -> Result<(), PgError> {
        let Parse { statement: name, text, types } = parse;
        if !name.is_empty() && self.statements.contains_key(&name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(PgError::new(Code::DUPLICATE_STATEMENT, message));
        }
        if self.statements.len() >= STATEMENTS_MAX {
            let error = PgError::new(Code::LIMIT_EXCEEDED, "too many statements are prepared");
            return Err(error.hint("DEALLOCATE those that are not needed"));
        }
        let parts = statement::split(&text)?;
        let statement = match parts.as_slice() {
            [] => Statement::Empty,
            [(_, one)] => statement::parse(one)?,
            _ => {
                let message = "cannot insert multiple commands into a prepared statement";
                return Err(PgError::new(Code::SYNTAX_ERROR, message));
            }
        };
        self.may_run(&statement)?;
        let held = self.budget.hold_statement(&text)?;
        let deadline = self.begin_statement();
        let planned = match &statement {
            Statement::Query(text) => {
                let visitor = self.rights();
                let plan = self.node.engine.plan(text, &types, &self.session, &visitor);
                Some(self.interrupt.guard(deadline, plan).await?)
            }
            _ => None,
        };
        self.statements.insert(name, Arc::new(Prepared { statement, planned, _held: held }));
        self.link.answer().parse_complete();
        Ok(())
    }

    fn bind(&mut self, bind: Bind) -> Result<(), PgError> {
        let prepared =
            self.statements.get(&bind.statement).ok_or_else(|| no_statement(&bind.statement))?.clone();
        if self.portals.len() >= PORTALS_MAX && !self.portals.contains_key(&bind.portal) {
            return Err(PgError::new(Code::LIMIT_EXCEEDED, "too many portals are open")
                .hint("close those that are done"));
        }
        if !bind.portal.is_empty() && self.portals.contains_key(&bind.portal) {
            return Err(PgError::new(
                Code::DUPLICATE_CURSOR,
                format!("cursor \"{}\" already exists", bind.portal),
            ));
        }
        let wanted = prepared.parameters();
        if bind.values.len() != wanted.len() {
            let message = format!(
                "bind message supplies {} parameters, but prepared statement \"{}\" requires {}",
                bind.values.len(),
                bind.statement,
                wanted.len()
            );
            return Err(PgError::new(Code::PROTOCOL_VIOLATION, message));
        }
        if !matches!(bind.formats.len(), 0 | 1) && bind.formats.len() != bind.values.len() {
            return Err(PgError::new(
                Code::PROTOCOL_VIOLATION,
                "there are not as many formats as parameters",
            ));
        }
        let style = self.session.settings.style();
        let format = |index: usize| match bind.formats.as_slice() {
            [] => Format::Text,
            [all] => *all,
            each => each.get(index).copied().unwrap_or(Format::Text),
        };
        let values = bind.values.iter().zip(wanted).enumerate().map(|(index, (value, oid))| {
            types::decode(index + 1, value.as_ref(), *oid, format(index), &style)
        });
        let values = values.collect::<Result<Vec<_>, _>>()?;
        let held = self.budget.hold(values.iter().map(ScalarValue::size).sum())?;
        let formats = bind.result_formats;
        let portal = Portal { prepared, values, formats, state: State::Bound, _held: held };
        self.portals.insert(bind.portal, portal);
        self.link.answer().bind_complete();
        Ok(())
    }

    fn describe(&mut self, target: &Target) -> Result<(), PgError> {
        let (prepared, formats) = match target {
            Target::Statement(name) => {
                let prepared = self.statements.get(name).ok_or_else(|| no_statement(name))?.clone();
                self.link.answer().parameter_description(prepared.parameters());
                (prepared, Vec::new())
            }
            // A cursor is a portal with a name.
            Target::Portal(name) if !self.portals.contains_key(name) && self.cursors.contains_key(name) => {
                let columns = self.cursors.get(name).map(|cursor| columns(&cursor.rows.schema, &[]));
                self.link.answer().row_description(&columns.unwrap_or_default());
                return Ok(());
            }
            Target::Portal(name) => {
                let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
                (portal.prepared.clone(), portal.formats.clone())
            }
        };
        let schema = match &prepared.statement {
            Statement::Fetch { name, is_move: false, .. } => Some(
                self.cursors.get(name).ok_or_else(|| super::statements::no_cursor(name))?.rows.schema.clone(),
            ),
            _ => prepared.columns(),
        };
        match schema {
            Some(schema) => {
                let columns = columns(&schema, &formats);
                self.link.answer().row_description(&columns);
            }
            None => self.link.answer().no_data(),
        }
        Ok(())
    }

    async fn execute_portal(&mut self, name: &str, rows_max: u32) -> Result<Result<(), PgError>, LinkError> {
        // It is out of the map while it runs, so that the end of a transaction does not take it away.
        let Some(mut portal) = self.portals.remove(name) else { return Ok(Err(no_portal(name))) };
        let deadline = self.begin_statement();
        let (mut rows, tag) = match std::mem::replace(&mut portal.state, State::Done) {
            State::Done => {
                self.portals.insert(name.to_string(), portal);
                self.complete("SELECT 0");
                return Ok(Ok(()));
            }
            State::Begun(rows, tag) => (rows, tag),
            State::Bound => {
                let prepared = portal.prepared.clone();
                let values = std::mem::take(&mut portal.values);
                let interrupt = self.interrupt.clone();
                let run = self.execute(&prepared.statement, prepared.planned.as_deref(), values);
                match interrupt.guard(deadline, run).await {
                    Err(error) => return Ok(Err(error)),
                    Ok(Outcome::Rows { rows, tag }) => (Box::new(rows), tag),
                    Ok(other) => {
                        let sent = self.send(other, &portal.formats, false, deadline).await?;
                        self.portals.insert(name.to_string(), portal);
                        return Ok(sent);
                    }
                }
            }
        };
        let columns = columns(&rows.schema, &portal.formats);
        let most = if rows_max == 0 { u64::MAX } else { rows_max.into() };
        match self.send_rows(&mut rows, &columns, most, deadline).await? {
            Err(error) => Ok(Err(error)),
            Ok((count, true)) => {
                let tag = if tag == "SELECT" { format!("SELECT {count}") } else { tag.to_string() };
                self.complete(&tag);
                self.portals.insert(name.to_string(), portal);
                Ok(Ok(()))
            }
            Ok((_, false)) => {
                self.link.answer().suspended();
                portal.state = State::Begun(rows, tag);
                self.portals.insert(name.to_string(), portal);
                Ok(Ok(()))
            }
        }
    }
}
