//! Runs a statement up to where its rows can be sent.

use super::{Client, Cursor, Outcome, Rows};
use crate::engine::Planned;
use crate::error::{Code, PgError};
use crate::lsn;
use crate::statement::{FetchCount, Source, Statement};
use crate::wire::TransactionStatus;
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use base::Lsn;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::scalar::ScalarValue;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// Cursors of a session that are open.
const CURSORS_MAX: usize = 1_000;

pub(super) fn no_cursor(name: &str) -> PgError {
    PgError::new(Code::INVALID_CURSOR_NAME, format!("cursor \"{name}\" does not exist"))
}

pub(super) fn not_come_to(lsn: Lsn, waited_ms: u64) -> PgError {
    let message = format!("timed out while waiting for target LSN {}", lsn::shown(lsn));
    PgError::new(Code::QUERY_CANCELED, message)
        .hint(format!("{waited_ms} ms were waited; a position that the node never gave out is never reached"))
}

/// The columns of a statement that is no query and has rows.
pub(super) fn columns_of(statement: &Statement) -> Option<SchemaRef> {
    let texts = |names: &[&str]| -> SchemaRef {
        Arc::new(Schema::new(
            names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect::<Vec<_>>(),
        ))
    };
    match statement {
        Statement::Show(name) => Some(texts(&[name])),
        Statement::ShowAll => Some(texts(&["name", "setting", "description"])),
        Statement::WaitForLsn { .. } => Some(texts(&["status"])),
        _ => None,
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// `planned` is there for a query.
    pub(super) async fn execute(
        &mut self,
        statement: &Statement,
        planned: Option<&Planned>,
        values: Vec<ScalarValue>,
    ) -> Result<Outcome, PgError> {
        self.may_run(statement)?;
        let done = |tag: &str| Ok(Outcome::Done(tag.to_string()));
        match statement {
            Statement::Empty => done(""),
            Statement::Query(text) => {
                let own;
                let planned = match planned {
                    Some(planned) => planned,
                    None => {
                        let visitor = self.rights();
                        own = self.node.engine.plan(text, &[], &self.session, &visitor).await?;
                        &*own
                    }
                };
                let tag = if is_explain(text) { "EXPLAIN" } else { "SELECT" };
                Ok(Outcome::Rows { rows: self.query(planned, values).await?, tag })
            }
            Statement::Set { name, value, is_local } => {
                if *is_local && self.transaction.status == TransactionStatus::Idle {
                    self.warn(Code::NO_TRANSACTION, "SET LOCAL can only be used in transaction blocks");
                    return done("SET");
                }
                self.set(name, value.as_deref(), *is_local)?;
                done("SET")
            }
            Statement::Reset(None) => {
                self.session.settings.reset_all();
                self.report_all();
                done("RESET")
            }
            Statement::Reset(Some(name)) => {
                self.set(name, None, false)?;
                done("RESET")
            }
            Statement::Show(name) => {
                let value = self.session.settings.get(name)?;
                self.texts(statement, vec![vec![value]], "SHOW")
            }
            Statement::ShowAll => {
                let rows = self
                    .session
                    .settings
                    .all()
                    .into_iter()
                    .map(|(name, value)| vec![name, value, String::new()]);
                let rows = rows.collect();
                self.texts(statement, rows, "SHOW")
            }
            Statement::Begin => {
                if self.transaction.status == TransactionStatus::Idle {
                    self.transaction.status = TransactionStatus::Open;
                    self.transaction.before = Some(self.session.settings.clone());
                } else {
                    self.warn(Code::ACTIVE_TRANSACTION, "there is already a transaction in progress");
                }
                done("BEGIN")
            }
            Statement::Commit => {
                if self.transaction.status == TransactionStatus::Idle {
                    self.warn(Code::NO_TRANSACTION, "there is no transaction in progress");
                }
                let has_failed = self.transaction.status == TransactionStatus::Failed;
                self.end_transaction(has_failed);
                done(if has_failed { "ROLLBACK" } else { "COMMIT" })
            }
            Statement::Rollback => {
                if self.transaction.status == TransactionStatus::Idle {
                    self.warn(Code::NO_TRANSACTION, "there is no transaction in progress");
                }
                self.end_transaction(true);
                done("ROLLBACK")
            }
            Statement::Savepoint(tag) => {
                if self.transaction.status == TransactionStatus::Idle {
                    let message = format!("{tag} can only be used in transaction blocks");
                    return Err(PgError::new(Code::NO_TRANSACTION, message));
                }
                // Nothing was written, so there is nothing to go back to.
                if self.transaction.status == TransactionStatus::Failed {
                    self.transaction.status = TransactionStatus::Open;
                }
                done(tag)
            }
            Statement::Declare { name, hold, source } => {
                self.declare(name, *hold, source).await?;
                done("DECLARE CURSOR")
            }
            Statement::Fetch { name, count, is_move } => {
                if !self.cursors.contains_key(name) {
                    return Err(no_cursor(name));
                }
                let count = match count {
                    FetchCount::All => u64::MAX,
                    FetchCount::Rows(count) => *count,
                };
                Ok(Outcome::Fetched { cursor: name.clone(), count, is_move: *is_move })
            }
            Statement::Close(None) => {
                self.cursors.clear();
                done("CLOSE CURSOR ALL")
            }
            Statement::Close(Some(name)) => {
                self.cursors.remove(name).map(drop).ok_or_else(|| no_cursor(name))?;
                done("CLOSE CURSOR")
            }
            Statement::Copy { source, options } => {
                let rows = self.source(source).await?;
                Ok(Outcome::Copied { rows, options: options.clone() })
            }
            Statement::Subscribe(subscribe) => {
                let rows = self.source(&Source::Subscribe(subscribe.clone())).await?;
                Ok(Outcome::Rows { rows, tag: "SUBSCRIBE" })
            }
            Statement::WaitForLsn { lsn, timeout_ms, is_error } => {
                let target = lsn::parse(lsn).ok_or_else(|| {
                    PgError::new(
                        Code::INVALID_TEXT,
                        format!("invalid input syntax for type pg_lsn: \"{lsn}\""),
                    )
                })?;
                let timeout_ms = timeout_ms.filter(|ms| *ms > 0);
                let all = self.node.engine.relations().all_views();
                let has_come = self.node.has_come_to(target, timeout_ms, &all, false).await?;
                if !has_come && *is_error {
                    return Err(not_come_to(target, timeout_ms.unwrap_or_default()));
                }
                let status = if has_come { "success" } else { "timeout" };
                self.texts(statement, vec![vec![status.into()]], "WAIT")
            }
            Statement::Discard => {
                self.statements.clear();
                self.portals.clear();
                self.cursors.clear();
                self.session.settings.reset_all();
                self.report_all();
                done("DISCARD ALL")
            }
            Statement::Deallocate(None) => {
                self.statements.clear();
                done("DEALLOCATE ALL")
            }
            Statement::Deallocate(Some(name)) => match self.statements.remove(name) {
                Some(_) => done("DEALLOCATE"),
                None => {
                    let message = format!("prepared statement \"{name}\" does not exist");
                    Err(PgError::new(Code::INVALID_STATEMENT_NAME, message))
                }
            },
            Statement::Nothing(tag) => done(tag),
        }
    }

    fn warn(&mut self, code: Code, words: &str) {
        self.link.answer().notice(&PgError::new(code, words));
    }

    fn set(&mut self, name: &str, value: Option<&str>, is_local: bool) -> Result<(), PgError> {
        if let Some((name, value)) = self.session.settings.set(name, value, is_local)? {
            self.link.answer().parameter_status(name, &value);
        }
        Ok(())
    }

    fn report_all(&mut self) {
        let reported: Vec<_> = self.session.settings.reported().collect();
        for (name, value) in reported {
            self.link.answer().parameter_status(name, &value);
        }
    }

    fn end_transaction(&mut self, is_given_up: bool) {
        let before = self.transaction.before.take();
        match before.filter(|_| is_given_up) {
            Some(before) => self.session.settings.roll_back(before),
            None => self.session.settings.end_transaction(),
        }
        self.transaction.status = TransactionStatus::Idle;
        self.transaction.seen = None;
        self.portals.clear();
        self.cursors.retain(|_, cursor| cursor.hold);
    }

    async fn declare(&mut self, name: &str, hold: bool, source: &Source) -> Result<(), PgError> {
        if self.transaction.status == TransactionStatus::Idle && !hold {
            let error =
                PgError::new(Code::NO_TRANSACTION, "DECLARE CURSOR can only be used in transaction blocks");
            return Err(error.hint("BEGIN first, or declare it WITH HOLD"));
        }
        if self.cursors.contains_key(name) {
            return Err(PgError::new(Code::DUPLICATE_CURSOR, format!("cursor \"{name}\" already exists")));
        }
        if self.cursors.len() >= CURSORS_MAX {
            return Err(PgError::new(Code::LIMIT_EXCEEDED, "too many cursors are open")
                .hint("CLOSE those that are done"));
        }
        let rows = self.source(source).await?;
        self.cursors.insert(name.to_string(), Cursor { rows, hold });
        Ok(())
    }

    /// The rows of a cursor, a copy or a subscription.
    async fn source(&mut self, source: &Source) -> Result<Rows, PgError> {
        match source {
            Source::Query(text) => {
                let visitor = self.rights();
                let planned = self.node.engine.plan(text, &[], &self.session, &visitor).await?;
                if !planned.parameters.is_empty() {
                    return Err(PgError::new(Code::UNDEFINED_PARAMETER, "there is no parameter $1 here"));
                }
                self.query(&planned, Vec::new()).await
            }
            Source::Subscribe(subscribe) => {
                let visitor = self.rights();
                let view = self.node.engine.subscribed(subscribe, &visitor)?;
                self.read_after(std::slice::from_ref(&view.name)).await?;
                let scope = self.scope();
                let (node, host) = (self.node.clone(), self.host);
                let rights = Box::new(move || node.broker.rights_again(&visitor, host));
                let (schema, stream) = self.node.engine.subscribe(subscribe, &view, &scope, rights)?;
                let stream = Box::pin(RecordBatchStreamAdapter::new(schema, stream));
                let mut rows = Rows::new("".into(), stream, self.budget.nothing());
                rows.is_live = true;
                Ok(rows)
            }
        }
    }

    /// Rows of texts that are there.
    fn texts(
        &self,
        statement: &Statement,
        rows: Vec<Vec<String>>,
        tag: &'static str,
    ) -> Result<Outcome, PgError> {
        let schema = columns_of(statement).unwrap_or_else(|| Arc::new(Schema::empty()));
        let columns = (0..schema.fields().len()).map(|column| {
            let texts = rows.iter().map(|row| row.get(column).map(String::as_str));
            Arc::new(texts.collect::<StringArray>()) as ArrayRef
        });
        let batch = RecordBatch::try_new(schema.clone(), columns.collect());
        let batch = batch.map_err(|error| PgError::new(Code::INTERNAL, error.to_string()))?;
        let stream = futures::stream::iter([Ok(batch)]);
        let stream = Box::pin(RecordBatchStreamAdapter::new(schema, stream));
        let rows = Rows::new("".into(), stream, self.budget.nothing());
        Ok(Outcome::Rows { rows, tag })
    }
}

fn is_explain(text: &str) -> bool {
    text.trim_start().get(..7).is_some_and(|word| word.eq_ignore_ascii_case("explain"))
}
