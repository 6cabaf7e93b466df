//! One connection: who is on the other end, and its statements one after another.
//!
//! `startup` lets the client in, `extended` keeps prepared statements and portals, `statements` runs what is no query.

mod budget;
mod extended;
mod gone;
mod interrupt;
mod link;
mod login;
mod rows;
mod statements;

pub(crate) use gone::Gone;
pub use interrupt::Sessions;

use crate::copy;
use crate::engine::{Ends, Planned, Scope, Session};
use crate::error::{Code, PgError};
use crate::server::{Node, Peer};
use crate::statement::{self, CopyFormat, CopyOptions, Statement};
use crate::tables::Places;
use crate::wire::{Column, Format, MESSAGE_BYTES_MAX, Request, TransactionStatus};
use broker::security::Visitor;
pub(crate) use budget::Budget;
use bytes::BytesMut;
use datafusion::scalar::ScalarValue;
use extended::{Portal, Prepared};
use interrupt::{Interrupt, deadline_after};
use link::{Link, LinkError};
use rows::write_row;
pub(crate) use rows::{Rows, columns};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::Instant;

/// Statements of one message; each is answered.
const STATEMENTS_MAX: usize = 1_000;

/// What a statement comes to.
enum Outcome {
    /// Rows to be sent: all of them, or so many; with the words that complete them.
    Rows {
        rows: Rows,
        tag: &'static str,
    },
    Fetched {
        cursor: String,
        count: u64,
        is_move: bool,
    },
    Copied {
        rows: Rows,
        options: CopyOptions,
    },
    Done(String),
}

/// A cursor of DECLARE.
struct Cursor {
    rows: Rows,
    hold: bool,
}

struct Transaction {
    status: TransactionStatus,
    /// What all its queries see, from the first one on.
    seen: Option<(Arc<Ends>, Option<views::Snapshot>)>,
    /// What the settings go back to if it is given up.
    before: Option<crate::settings::Settings>,
}

pub(crate) struct Client<S> {
    node: Arc<Node>,
    link: Link<S>,
    session: Session,
    host: std::net::IpAddr,
    visitor: Visitor,
    interrupt: Arc<Interrupt>,
    stop: watch::Receiver<bool>,
    statements: HashMap<String, Arc<Prepared>>,
    portals: HashMap<String, Portal>,
    cursors: BTreeMap<String, Cursor>,
    transaction: Transaction,
    places: Places,
    budget: Arc<Budget>,
    /// An error came inside of extended queries: what follows up to the next Sync is left out.
    skips: bool,
}

/// Serves a client until it goes; `read` is what was read of its stream already.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    read: BytesMut,
    node: Arc<Node>,
    peer: Peer,
    stop: watch::Receiver<bool>,
) {
    let mut link = Link::new(stream, read);
    let login = match login::log_in(&mut link, &node, &peer).await {
        Ok(Some(login)) => login,
        Ok(None) => return,
        Err(error) => {
            if let LinkError::Wire(error) = &error {
                node.tell(&format!("a client broke the protocol: peer={}: {error}", peer.host));
                link.answer().error(&PgError::new(Code::PROTOCOL_VIOLATION, error.to_string()).fatal());
                link.end().await;
            }
            return;
        }
    };
    let budget = Budget::new(node.engine.memory());
    link.count(budget.nothing());
    let interrupt = Arc::new(Interrupt::new(peer.gone, stop.clone()));
    let secret = login.secret;
    let process = node.sessions.enter(secret, interrupt.clone());
    let mut session = login.session;
    session.process = process;
    let mut client = Client {
        node: node.clone(),
        link,
        session,
        host: peer.host,
        visitor: login.visitor,
        interrupt,
        stop,
        statements: HashMap::new(),
        portals: HashMap::new(),
        cursors: BTreeMap::new(),
        transaction: Transaction { status: TransactionStatus::Idle, seen: None, before: None },
        places: node.places.session(),
        budget,
        skips: false,
    };
    let ended = client.run(secret).await;
    node.sessions.leave(process);
    match ended {
        Ok(()) => client.link.end().await,
        Err(LinkError::Wire(error)) => {
            node.tell(&format!("a client broke the protocol: peer={}: {error}", peer.host));
            client.link.answer().error(&PgError::new(Code::PROTOCOL_VIOLATION, error.to_string()).fatal());
            client.link.end().await;
        }
        Err(LinkError::Memory(error)) => {
            client.link.answer().error(&error.fatal());
            client.link.end().await;
        }
        // The client's affair: there is nothing to undo.
        Err(LinkError::Io(_) | LinkError::Gone) => {}
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn run(&mut self, secret: u32) -> Result<(), LinkError> {
        let reported: Vec<_> = self.session.settings.reported().collect();
        for (name, value) in reported {
            self.link.answer().parameter_status(name, &value);
        }
        self.link.answer().backend_key(self.session.process, secret);
        self.link.answer().ready(self.transaction.status);
        self.link.flush().await?;
        while let Some((kind, message)) = self.next_message().await? {
            let request = Request::parse(kind, message)?;
            if self.skips && request != Request::Sync && request != Request::Terminate {
                continue;
            }
            match request {
                Request::Terminate => return Ok(()),
                Request::Query(text) => {
                    self.simple(&text).await?;
                    self.ready().await?;
                }
                Request::Sync => {
                    self.skips = false;
                    self.end_of_implicit_transaction();
                    self.ready().await?;
                }
                Request::Flush => self.link.flush().await?,
                // What a client still sends of a COPY that was refused.
                Request::Copy => {}
                Request::Password(_) => {
                    self.fail(
                        PgError::new(Code::PROTOCOL_VIOLATION, "a password came after the log-in"),
                        true,
                    );
                }
                Request::Function => {
                    let error = PgError::new(Code::FEATURE_NOT_SUPPORTED, "function calls are not served");
                    self.fail(error.hint("write SELECT f(…)"), false);
                    self.ready().await?;
                }
                request => {
                    if let Err(error) = self.extended(request).await? {
                        self.fail(error, true);
                    }
                    // Where the next message is there already, its answer goes along.
                    if self.link.has_more() {
                        self.link.flush_much().await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The next message, as long as the session may be idle.
    async fn next_message(&mut self) -> Result<Option<(u8, bytes::Bytes)>, LinkError> {
        let settings = &self.session.settings;
        let (idle_ms, code, words) = match self.transaction.status {
            TransactionStatus::Idle => (
                settings.idle_timeout_ms(),
                Code::IDLE_SESSION_TIMEOUT,
                "terminating connection due to idle-session timeout",
            ),
            _ => (
                settings.idle_in_transaction_ms(),
                Code::IDLE_IN_TRANSACTION_TIMEOUT,
                "terminating connection due to idle-in-transaction timeout",
            ),
        };
        let deadline = deadline_after(idle_ms).filter(|_| !self.skips);
        let over = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let (code, words) = tokio::select! {
            message = self.link.message(MESSAGE_BYTES_MAX) => return message,
            () = over => (code, words),
            _ = self.stop.wait_for(|stop| *stop) => {
                (Code::ADMIN_SHUTDOWN, "terminating connection due to administrator command")
            }
        };
        self.link.answer().error(&PgError::new(code, words).fatal());
        Ok(None)
    }

    async fn ready(&mut self) -> Result<(), LinkError> {
        self.link.answer().ready(self.transaction.status);
        self.link.flush().await
    }

    /// Tells the client; an open transaction has failed with it.
    fn fail(&mut self, error: PgError, skips: bool) {
        self.node.counters.failed();
        self.link.answer().error(&error);
        if self.transaction.status == TransactionStatus::Open {
            self.transaction.status = TransactionStatus::Failed;
        }
        self.skips |= skips;
    }

    /// Statements outside of BEGIN and COMMIT are a transaction each; portals go with it.
    fn end_of_implicit_transaction(&mut self) {
        if self.transaction.status == TransactionStatus::Idle {
            self.portals.clear();
            self.cursors.retain(|_, cursor| cursor.hold);
        }
    }

    /// All statements of a text; an error ends them.
    async fn simple(&mut self, text: &str) -> Result<(), LinkError> {
        self.statements.remove("");
        self.portals.remove("");
        let statements = match statement::split(text) {
            Ok(statements) if statements.len() > STATEMENTS_MAX => {
                let error = PgError::new(Code::LIMIT_EXCEEDED, "a message has too many statements");
                self.fail(error.hint(format!("send at most {STATEMENTS_MAX} at once")), false);
                return Ok(());
            }
            Ok(statements) => statements,
            Err(error) => {
                self.fail(error, false);
                return Ok(());
            }
        };
        if statements.is_empty() {
            self.link.answer().empty_query();
            return Ok(());
        }
        for (start, part) in statements {
            let begun = self.node.now_ns();
            let done = self.simple_statement(part).await?;
            self.node.counters.answered(self.node.now_ns().saturating_sub(begun));
            if let Err(mut error) = done {
                // Positions are those of the whole message.
                let before = text[..start].chars().count();
                error.position = error.position.map(|position| position + before);
                self.fail(error, false);
                break;
            }
        }
        self.end_of_implicit_transaction();
        Ok(())
    }

    async fn simple_statement(&mut self, text: &str) -> Result<Result<(), PgError>, LinkError> {
        let deadline = self.begin_statement();
        let parsed = match statement::parse(text) {
            Ok(parsed) => parsed,
            Err(error) => return Ok(Err(error)),
        };
        let interrupt = self.interrupt.clone();
        let run = async {
            let visitor = self.rights();
            let planned = match &parsed {
                Statement::Query(text) => {
                    self.may_run(&parsed)?;
                    Some(self.node.engine.plan(text, &[], &self.session, &visitor).await?)
                }
                _ => None,
            };
            self.execute(&parsed, planned.as_deref(), Vec::new()).await
        };
        match interrupt.guard(deadline, run).await {
            Ok(outcome) => self.send(outcome, &[], true, deadline).await,
            Err(error) => Ok(Err(error)),
        }
    }

    /// When the statement that begins now must have ended.
    fn begin_statement(&mut self) -> Option<Instant> {
        self.interrupt.clear();
        deadline_after(self.session.settings.statement_timeout_ms())
    }

    /// In a transaction that has failed, only its end is taken.
    fn may_run(&self, statement: &Statement) -> Result<(), PgError> {
        let ends =
            matches!(statement, Statement::Commit | Statement::Rollback | Statement::Savepoint("ROLLBACK"));
        if self.transaction.status == TransactionStatus::Failed && !ends && *statement != Statement::Empty {
            let words = "current transaction is aborted, commands ignored until end of transaction block";
            return Err(PgError::new(Code::FAILED_TRANSACTION, words));
        }
        Ok(())
    }

    /// Sends what a statement came to, and that it is complete.
    async fn send(
        &mut self,
        outcome: Outcome,
        formats: &[Format],
        describes: bool,
        deadline: Option<Instant>,
    ) -> Result<Result<(), PgError>, LinkError> {
        match outcome {
            Outcome::Done(tag) => {
                self.complete(&tag);
                Ok(Ok(()))
            }
            Outcome::Rows { mut rows, tag } => {
                let columns = columns(&rows.schema, formats);
                if describes {
                    self.link.answer().row_description(&columns);
                }
                match self.send_rows(&mut rows, &columns, u64::MAX, deadline).await? {
                    Ok((count, _)) => {
                        let tag = if tag == "SELECT" { format!("SELECT {count}") } else { tag.to_string() };
                        self.complete(&tag);
                        Ok(Ok(()))
                    }
                    Err(error) => Ok(Err(error)),
                }
            }
            Outcome::Fetched { cursor: name, count, is_move } => {
                let Some(mut cursor) = self.cursors.remove(&name) else {
                    return Ok(Err(statements::no_cursor(&name)));
                };
                let columns = columns(&cursor.rows.schema, formats);
                if describes && !is_move {
                    self.link.answer().row_description(&columns);
                }
                let sent = self.fetch(&mut cursor, &columns, count, is_move, deadline).await?;
                self.cursors.insert(name, cursor);
                match sent {
                    Ok(count) => {
                        self.complete(&format!("{} {count}", if is_move { "MOVE" } else { "FETCH" }));
                        Ok(Ok(()))
                    }
                    Err(error) => Ok(Err(error)),
                }
            }
            Outcome::Copied { rows, options } => self.copy(rows, &options, deadline).await,
        }
    }

    fn complete(&mut self, tag: &str) {
        match tag {
            "" => self.link.answer().empty_query(),
            tag => self.link.answer().complete(tag),
        }
    }

    /// Sends up to so many rows: how many they were, and whether there are no more.
    async fn send_rows(
        &mut self,
        rows: &mut Rows,
        columns: &[Column],
        rows_max: u64,
        deadline: Option<Instant>,
    ) -> Result<Result<(u64, bool), PgError>, LinkError> {
        let style = self.session.settings.style();
        let interrupt = self.interrupt.clone();
        let mut sent = 0;
        while sent < rows_max {
            if rows.available() == 0 {
                // What is ready need not wait for what may come late.
                if rows.is_live {
                    self.link.flush().await?;
                } else {
                    self.link.flush_much().await?;
                }
                match rows.ready(&interrupt, deadline).await {
                    Ok(true) => {}
                    Ok(false) => return Ok(Ok((sent, true))),
                    Err(error) => return Ok(Err(error)),
                }
            }
            while sent < rows_max && rows.available() > 0 {
                let (arrays, row) = rows.take();
                write_row(self.link.out(), arrays, row, columns, &style);
                sent += 1;
                if self.link.out().len() >= link::FLUSH_BYTES {
                    self.link.flush().await?;
                }
            }
        }
        Ok(Ok((sent, false)))
    }

    async fn fetch(
        &mut self,
        cursor: &mut Cursor,
        columns: &[Column],
        count: u64,
        is_move: bool,
        deadline: Option<Instant>,
    ) -> Result<Result<u64, PgError>, LinkError> {
        let is_live = cursor.rows.is_live;
        if !is_live && !is_move {
            let sent = self.send_rows(&mut cursor.rows, columns, count, deadline).await?;
            return Ok(sent.map(|(count, _)| count));
        }
        let interrupt = self.interrupt.clone();
        let style = self.session.settings.style();
        let mut fetched = 0;
        while fetched < count {
            // Of what never ends, a fetch waits for something and gives what is there.
            if cursor.rows.available() == 0 && !(is_live && fetched > 0) {
                match cursor.rows.ready(&interrupt, deadline).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => return Ok(Err(error)),
                }
            }
            if cursor.rows.available() == 0 {
                break;
            }
            let (arrays, row) = cursor.rows.take();
            fetched += 1;
            if !is_move {
                write_row(self.link.out(), arrays, row, columns, &style);
                self.link.flush_much().await?;
            }
        }
        Ok(Ok(fetched))
    }

    async fn copy(
        &mut self,
        mut rows: Rows,
        options: &CopyOptions,
        deadline: Option<Instant>,
    ) -> Result<Result<(), PgError>, LinkError> {
        let format = if options.format == CopyFormat::Binary { Format::Binary } else { Format::Text };
        let columns = columns(&rows.schema, &[format]);
        let style = self.session.settings.style();
        let interrupt = self.interrupt.clone();
        self.link.answer().copy_out(format, columns.len());
        let mut head = BytesMut::new();
        copy::begin(options, &columns, &mut head);
        if !head.is_empty() {
            self.link.answer().copy_data(|out| out.extend_from_slice(&head));
        }
        let mut count = 0_u64;
        loop {
            if rows.available() == 0 {
                // A subscription's rows go out as they come.
                self.link.flush().await?;
                match rows.ready(&interrupt, deadline).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => return Ok(Err(error)),
                }
            }
            while rows.available() > 0 {
                let (arrays, row) = rows.take();
                self.link.answer().copy_data(|out| copy::row(options, arrays, row, &columns, &style, out));
                count += 1;
                if self.link.out().len() >= link::FLUSH_BYTES {
                    self.link.flush().await?;
                }
            }
        }
        let mut tail = BytesMut::new();
        copy::end(options, &mut tail);
        if !tail.is_empty() {
            self.link.answer().copy_data(|out| out.extend_from_slice(&tail));
        }
        self.link.answer().copy_done();
        self.complete(&format!("COPY {count}"));
        Ok(Ok(()))
    }

    /// What queries see from now on: in a transaction all see the same.
    fn rights(&mut self) -> Visitor {
        self.visitor = self.node.broker.rights_again(&self.visitor, self.host);
        self.visitor.clone()
    }

    fn scope(&mut self) -> Scope {
        let visitor = self.rights();
        let relations = self.node.engine.relations();
        let views_now = || relations.views.as_ref().map(views::Views::snapshot);
        let (ends, views) = match self.transaction.status {
            TransactionStatus::Idle => (Arc::new(Ends::default()), views_now()),
            _ => {
                let all = || (Arc::new(Ends::of_all(&relations.log)), views_now());
                self.transaction.seen.get_or_insert_with(all).clone()
            }
        };
        Scope { visitor, ends, views, places: self.places.clone(), database: self.session.database.clone() }
    }

    /// Waits until what a query sees has everything up to a place of the log.
    async fn come_to(&mut self, after: base::Lsn, views: &[String]) -> Result<(), PgError> {
        if let Some((_, seen)) = &self.transaction.seen {
            let is_older = seen.as_ref().is_some_and(|seen| seen.lsn() < after);
            if is_older {
                let words = "the transaction sees the node as it was at its first query, which is before the position";
                return Err(PgError::new(Code::ACTIVE_TRANSACTION, words)
                    .hint("set the position before the transaction"));
            }
            return Ok(());
        }
        let timeout_ms = self.session.settings.read_timeout_ms();
        if !self.node.has_come_to(after, Some(timeout_ms), views, true).await? {
            return Err(statements::not_come_to(after, timeout_ms));
        }
        Ok(())
    }

    /// Waits as the session has been told to, for what reads these views.
    async fn read_after(&mut self, views: &[String]) -> Result<(), PgError> {
        match self.session.settings.read_after() {
            base::Lsn(0) => Ok(()),
            after => self.come_to(after, views).await,
        }
    }

    async fn query(&mut self, planned: &Planned, values: Vec<ScalarValue>) -> Result<Rows, PgError> {
        self.read_after(&planned.views).await?;
        let scope = self.scope();
        let stream = self.node.engine.run(planned, values, scope).await?;
        Ok(Rows::new(planned.text.clone(), stream, self.budget.nothing()))
    }
}
