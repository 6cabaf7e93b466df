//! Questions from within the node, a statement each, answered in lines of JSON: what the console shows.
//!
//! The first line has the columns, those behind it rows, and the last one says why nothing follows: `ended` or `error`.
//! What a question sees is what its visitor may read, as with a client of the port.

use crate::engine::{Ends, Planned, Scope, Session};
use crate::error::{Code, PgError};
use crate::server::Node;
use crate::session::{Budget, Rows, columns};
use crate::settings::{SERVER_VERSION, Settings};
use crate::statement::{self, Statement, Subscribe};
use crate::tables::{Relation, RelationKind};
use crate::types::{self, Style};
use arrow_array::{Array, ArrayRef};
use arrow_schema::SchemaRef;
use broker::security::{Operation, ResourceType, Visitor};
use bytes::{Bytes, BytesMut};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};

/// Questions that are answered at once, and views that are followed.
const QUERIES_MAX: usize = 8;
const FOLLOWERS_MAX: usize = 64;
const TEXT_BYTES_MAX: usize = 256 << 10;
pub const ROWS_MAX: usize = 10_000;
/// Of all rows of an answer, as they are sent.
const BYTES_MAX: usize = 8 << 20;
/// More of a value is not shown.
const CELL_CHARS_MAX: usize = 4_096;
/// What each value counts at least: a line of nothing but NULL has a size, too.
const CELL_BYTES_MIN: usize = 4;
/// Of a row that has more, the values behind are cut to nothing.
const ROW_BYTES_MAX: usize = 1 << 20;
const LINE_BYTES: usize = 64 << 10;
const TIME_MAX: Duration = Duration::from_secs(60);
/// Then whoever follows asks again, and is let in anew.
const LIFE_MAX: Duration = Duration::from_secs(600);
/// An empty line goes out after so long without rows, so that nobody on the way takes the connection for dead.
const BEAT: Duration = Duration::from_secs(15);

pub struct Question {
    pub visitor: Visitor,
    pub text: String,
    /// Of several statements the one is asked that this character, counted from 0, is in.
    pub at: usize,
    /// How it would be answered is asked, and not the answer.
    pub explains: bool,
    pub rows_max: usize,
}

/// Which relations are named.
pub enum Wanted {
    Named(Vec<String>),
    /// Those whose names begin so, in small or large letters.
    Beginning(String),
}

/// Asks the node; cheap to clone.
#[derive(Clone)]
pub struct Asker {
    node: Arc<Node>,
    /// Of the port: its threads have the stacks that planning takes.
    runtime: Handle,
    queries: Arc<Semaphore>,
    followers: Arc<Semaphore>,
}

/// Why an answer has no further rows.
enum Ended {
    All,
    /// There are more.
    Rows,
    Bytes,
    Time,
}

impl Ended {
    fn name(&self) -> &'static str {
        match self {
            Ended::All => "all",
            Ended::Rows => "rows",
            Ended::Bytes => "bytes",
            Ended::Time => "time",
        }
    }
}

/// The lines on their way, and what they have come to.
struct Lines {
    sender: mpsc::Sender<Bytes>,
    rows: usize,
    bytes: usize,
    /// Which statement of the text is asked, in characters of the text; null before that is known.
    statement: Value,
}

impl Asker {
    pub(crate) fn new(node: Arc<Node>, runtime: Handle) -> Asker {
        Asker {
            node,
            runtime,
            queries: Arc::new(Semaphore::new(QUERIES_MAX)),
            followers: Arc::new(Semaphore::new(FOLLOWERS_MAX)),
        }
    }

    /// Lines of JSON, made as they are taken. Nothing more is done for an answer whose receiver is gone.
    pub fn ask(&self, question: Question) -> mpsc::Receiver<Bytes> {
        let (sender, lines) = mpsc::channel(1);
        let asker = self.clone();
        self.runtime.spawn(async move {
            let begun_ns = asker.node.now_ns();
            let gone = sender.clone();
            let mut lines = Lines { sender, rows: 0, bytes: 0, statement: Value::Null };
            let answered = tokio::select! {
                biased;
                () = gone.closed() => return,
                answered = asker.answer(&question, &mut lines) => answered,
            };
            let ms = asker.node.now_ns().saturating_sub(begun_ns) / 1_000_000;
            let last = match answered {
                Ok(ended) => json!({ "ended": ended.name(), "count": lines.rows, "ms": ms }),
                Err(error) => json!({ "error": of_error(&error), "statement": lines.statement.take() }),
            };
            lines.send(&last).await;
        });
        lines
    }

    async fn answer(&self, question: &Question, lines: &mut Lines) -> Result<Ended, PgError> {
        if question.text.len() > TEXT_BYTES_MAX {
            let words = format!("a question has at most {TEXT_BYTES_MAX} bytes");
            return Err(PgError::new(Code::LIMIT_EXCEEDED, words));
        }
        let (start, text) = statement_at(&question.text, question.at)?;
        let before = question.text[..start].chars().count();
        let blank = text.len() - text.trim_start().len();
        lines.statement = json!({
            "at": before + text[..blank].chars().count(),
            "length": text.trim().chars().count(),
        });
        let prefix = if question.explains { EXPLAIN } else { "" };
        let answered = match statement::parse(&format!("{prefix}{text}")) {
            Ok(Statement::Query(text)) => self.query(question, &text, lines).await,
            Ok(Statement::Subscribe(subscribe)) => self.follow(question, &subscribe, lines).await,
            Ok(Statement::Empty) => Err(PgError::new(Code::SYNTAX_ERROR, "there is no statement")),
            Ok(_) => Err(PgError::new(
                Code::FEATURE_NOT_SUPPORTED,
                "here are asked SELECT, VALUES, TABLE, EXPLAIN and SUBSCRIBE",
            )
            .hint("settings, transactions, cursors and COPY are for a session: `eventwright sql`, or psql")),
            Err(error) => Err(error),
        };
        // Positions are those of the whole text.
        answered.map_err(|mut error| {
            error.position = error.position.map(|position| (position + before).saturating_sub(prefix.len()));
            error
        })
    }

    async fn query(&self, question: &Question, text: &str, lines: &mut Lines) -> Result<Ended, PgError> {
        let _place = self.queries.try_acquire().map_err(|_| busy("other queries are under way"))?;
        let rows_max = question.rows_max.clamp(1, ROWS_MAX);
        let answered = async {
            let session = session(&self.node, &question.visitor);
            let planned: Arc<Planned> = self.node.engine.plan(text, &[], &session, &question.visitor).await?;
            if !planned.parameters.is_empty() {
                let error = PgError::new(Code::UNDEFINED_PARAMETER, "there is no parameter $1 here");
                return Err(error.hint("write its value"));
            }
            let stream = self.node.engine.run(&planned, Vec::new(), self.scope(&question.visitor)).await?;
            let held = Budget::new(self.node.engine.memory()).nothing();
            let mut rows = Rows::new(planned.text.clone(), stream, held);
            lines.columns(&rows.schema, false).await;
            loop {
                if !rows.reach().await? {
                    return Ok(Ended::All);
                }
                if lines.rows >= rows_max {
                    return Ok(Ended::Rows);
                }
                if lines.bytes >= BYTES_MAX {
                    return Ok(Ended::Bytes);
                }
                lines.rows(&mut rows, rows_max).await;
            }
        };
        tokio::time::timeout(TIME_MAX, answered).await.unwrap_or(Ok(Ended::Time))
    }

    /// The rows of a view and then its changes, for as long as they are taken.
    async fn follow(
        &self,
        question: &Question,
        subscribe: &Subscribe,
        lines: &mut Lines,
    ) -> Result<Ended, PgError> {
        let _place = self.followers.try_acquire().map_err(|_| busy("too many follow views"))?;
        let scope = self.scope(&question.visitor);
        if let (true, Some(name)) = (subscribe.snapshot, subscribe.relation.last()) {
            let view = scope.views.as_ref().and_then(|views| views.view(name).ok());
            let count = view.filter(|_| scope.may_read(name)).map_or(0, views::View::rows);
            if count > ROWS_MAX {
                let words =
                    format!("\"{name}\" has {count} rows, and one of at most {ROWS_MAX} is followed here");
                return Err(PgError::new(Code::LIMIT_EXCEEDED, words).hint(
                    "SUBSCRIBE … WITH (SNAPSHOT = false) shows what changes from now on; `eventwright sql` follows all of it",
                ));
            }
        }
        let view = self.node.engine.subscribed(subscribe, &question.visitor)?;
        let (node, visitor) = (self.node.clone(), question.visitor.clone());
        let rights = Box::new(move || node.broker.rights_now(&visitor));
        let (schema, stream) = self.node.engine.subscribe(subscribe, &view, &scope, rights)?;
        let held = Budget::new(self.node.engine.memory()).nothing();
        let mut rows = Rows::new("".into(), Box::pin(RecordBatchStreamAdapter::new(schema, stream)), held);
        let followed = async {
            lines.columns(&rows.schema, true).await;
            loop {
                match tokio::time::timeout(BEAT, rows.reach()).await {
                    Ok(Ok(true)) => lines.rows(&mut rows, usize::MAX).await,
                    Ok(Ok(false)) => return Ok(Ended::All),
                    Ok(Err(error)) => return Err(error),
                    Err(_) => lines.send(&json!({})).await,
                }
            }
        };
        tokio::time::timeout(LIFE_MAX, followed).await.unwrap_or(Ok(Ended::Time))
    }

    fn scope(&self, visitor: &Visitor) -> Scope {
        Scope {
            visitor: visitor.clone(),
            ends: Arc::new(Ends::default()),
            views: self.node.engine.relations().views.as_ref().map(views::Views::snapshot),
            places: self.node.places.session(),
            database: DATABASE.into(),
        }
    }

    /// Views and topics that the visitor may read, with their columns.
    pub fn relations(&self, visitor: &Visitor, wanted: &Wanted, max: usize) -> Value {
        let relations = self.node.engine.relations();
        let may = |relation: &Relation| visitor.may(Operation::Read, ResourceType::Topic, relation.right());
        let mut found: Vec<Relation> = match wanted {
            Wanted::Named(names) => {
                names.iter().take(max).filter_map(|name| relations.find(None, name)).filter(may).collect()
            }
            Wanted::Beginning(prefix) => {
                let prefix = prefix.to_lowercase();
                let begins = |relation: &Relation| relation.name.to_lowercase().starts_with(&prefix);
                relations.all().into_iter().filter(|one| begins(one) && may(one)).take(max + 1).collect()
            }
        };
        let has_more = found.len() > max;
        found.truncate(max);
        let shown = |relation: &Relation| {
            let columns = relation.columns.fields().iter().map(|field| {
                let column = types::column_of(field, crate::wire::Format::Text);
                json!({ "name": column.name, "type": types::sql_name(column.oid, column.modifier) })
            });
            json!({
                "name": relation.name,
                "schema": relation.schema_name(),
                "is_view": matches!(relation.kind, RelationKind::View(_)),
                "columns": columns.collect::<Vec<_>>(),
            })
        };
        json!({ "relations": found.iter().map(shown).collect::<Vec<_>>(), "more": has_more })
    }
}

const DATABASE: &str = "eventwright";
const EXPLAIN: &str = "EXPLAIN ";

fn session(node: &Node, visitor: &Visitor) -> Session {
    let user = visitor.shown();
    Session {
        settings: Settings::new(&user),
        user,
        database: DATABASE.into(),
        version: format!("PostgreSQL {SERVER_VERSION} (Eventwright {})", node.version),
        process: 0,
    }
}

fn busy(words: &str) -> PgError {
    PgError::new(Code::TOO_MANY_CONNECTIONS, words).hint("ask again in a moment")
}

/// The statement that a character is in, or that ends before it where no other one begins; and its first byte.
fn statement_at(text: &str, at: usize) -> Result<(usize, &str), PgError> {
    let at = text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte);
    let statements = statement::split(text)?;
    let begin = |(start, part): &(usize, &str)| start + part.len() - part.trim_start().len();
    let before = statements.iter().rev().find(|statement| begin(statement) <= at);
    let found = before.or_else(|| statements.first());
    found.copied().ok_or_else(|| PgError::new(Code::SYNTAX_ERROR, "there is no statement"))
}

fn of_error(error: &PgError) -> Value {
    json!({
        "code": error.code.0,
        "message": error.message,
        "detail": error.detail,
        "hint": error.hint,
        // From 0, as pages count.
        "position": error.position.map(|position| position.saturating_sub(1)),
    })
}

impl Lines {
    /// Who is gone is found out by the other end.
    async fn send(&mut self, line: &Value) {
        let line = Bytes::from(format!("{line}\n"));
        self.bytes += line.len();
        let _ = self.sender.send(line).await;
    }

    async fn columns(&mut self, schema: &SchemaRef, is_live: bool) {
        let columns = columns(schema, &[]);
        let shown = columns.iter().map(|column| {
            let is_number = types::by_oid(column.oid).is_some_and(|known| known.category == 'N');
            json!({
                "name": column.name,
                "type": types::sql_name(column.oid, column.modifier),
                "is_number": is_number,
            })
        });
        let (columns, statement) = (shown.collect::<Vec<_>>(), self.statement.take());
        self.send(&json!({ "columns": columns, "live": is_live, "statement": statement })).await;
    }

    /// What is there, up to a line.
    async fn rows(&mut self, rows: &mut Rows, rows_max: usize) {
        let (mut line, mut bytes) = (Vec::new(), 0);
        while rows.available() > 0 && self.rows < rows_max && bytes < LINE_BYTES {
            let (arrays, row) = rows.take();
            let mut of_row = 0;
            line.push(arrays.iter().map(|array| cell(array, row, &mut of_row)).collect::<Vec<_>>());
            bytes += of_row;
            self.rows += 1;
        }
        self.send(&json!({ "rows": line })).await;
    }
}

/// A value as a text; of a long one the beginning. `bytes` are those of the row so far.
fn cell(array: &ArrayRef, row: usize, bytes: &mut usize) -> Value {
    let chars_max = if *bytes < ROW_BYTES_MAX { CELL_CHARS_MAX } else { 0 };
    *bytes += CELL_BYTES_MIN;
    if array.is_null(row) {
        return Value::Null;
    }
    let mut out = BytesMut::new();
    types::write_text(array, row, &Style::default(), &mut out);
    let text = String::from_utf8_lossy(&out);
    let Some((end, _)) = text.char_indices().nth(chars_max) else {
        *bytes += text.len();
        return Value::String(text.into_owned());
    };
    *bytes += end;
    json!({ "cut": text[..end], "characters": text.chars().count() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_is_the_one_at_the_cursor() {
        let text = "SELECT 'ä;b';\n  SELECT 2 ; SELECT 3;\n";
        let at = |at: usize| statement_at(text, at).expect("a statement").1.trim();
        for (place, wanted) in [(0, "SELECT 'ä;b'"), (13, "SELECT 'ä;b'"), (16, "SELECT 2"), (26, "SELECT 2")]
        {
            assert_eq!(at(place), wanted, "{place}");
        }
        assert_eq!((at(27), at(999)), ("SELECT 3", "SELECT 3"));
        assert_eq!(statement_at(";; SELECT 1", 0).expect("a statement").1, " SELECT 1");
        assert!(statement_at(" ; ", 0).is_err() && statement_at("SELECT 'open", 3).is_err());
    }
}
