//! Statements: which one it is, and the short ones: INSERT, statement sets, EXPLAIN, SET, USE.

use super::{Parsed, Parser};
use crate::ast::*;
use crate::diagnostic::Diagnostic;
use crate::lexer::{TokenKind, unquote};
use crate::span::Span;

/// The words that begin a statement, for spelling hints.
const BEGINNINGS: &[&str] = &[
    "SELECT", "INSERT", "CREATE", "ALTER", "DROP", "SHOW", "DESCRIBE", "EXPLAIN", "EXECUTE", "SET", "RESET",
    "USE", "WITH", "VALUES", "BEGIN",
];

/// Statements of Flink or of other databases that are not run here: the words, what to call it, what to do.
const UNSUPPORTED: &[(&[&str], &str, &str)] = &[
    (
        &["DELETE"],
        "DELETE",
        "a stream is not edited: write the rows to keep with INSERT INTO … SELECT … WHERE",
    ),
    (&["UPDATE"], "UPDATE", "a stream is not edited: compute the new rows with INSERT INTO … SELECT"),
    (&["MERGE"], "MERGE", "INSERT INTO a table with a PRIMARY KEY updates rows by their key"),
    (&["TRUNCATE"], "TRUNCATE TABLE", "a topic is emptied by deleting it: `eventwright topic delete`"),
    (&["UPSERT"], "UPSERT", "INSERT INTO a table with a PRIMARY KEY updates rows by their key"),
    (&["CALL"], "CALL", "there are no procedures"),
    (&["ANALYZE"], "ANALYZE TABLE", "statistics are gathered while a job runs"),
    (&["COMPILE"], "COMPILE PLAN", "EXPLAIN shows the plan; a job keeps its own"),
    (&["EXECUTE", "PLAN"], "EXECUTE PLAN", "run the statements themselves"),
    (&["LOAD"], "LOAD MODULE", "the built-in functions are always there"),
    (&["UNLOAD"], "UNLOAD MODULE", "the built-in functions are always there"),
    (&["ADD"], "ADD JAR", "there is no JVM to load it into"),
    (&["REMOVE"], "REMOVE JAR", "there is no JVM to load it into"),
    (
        &["STOP"],
        "STOP JOB",
        "`eventwright job stop JOB` ends a running job; `eventwright savepoint create JOB` before it keeps its state apart",
    ),
    (&["GRANT"], "GRANT", "access rules are set with Kafka's tools (kafka-acls), see the guide to security"),
    (
        &["REVOKE"],
        "REVOKE",
        "access rules are set with Kafka's tools (kafka-acls), see the guide to security",
    ),
    (&["COMMIT"], "COMMIT", "every step commits by itself"),
    (&["ROLLBACK"], "ROLLBACK", "every step commits by itself"),
    (&["REPLACE"], "REPLACE", "INSERT INTO a table with a PRIMARY KEY updates rows by their key"),
    (&["BEGIN", "TRANSACTION"], "BEGIN TRANSACTION", "every step commits by itself"),
    (&["COPY"], "COPY", "declare the file as a table with 'connector' = 'filesystem' and INSERT INTO it"),
];

/// The statements that are refused: what they are called, and what to do instead.
pub fn unsupported() -> impl Iterator<Item = (&'static str, &'static str)> {
    UNSUPPORTED.iter().map(|(_, name, instead)| (*name, *instead))
}

impl Parser<'_> {
    pub(super) fn statement(&mut self) -> Parsed<Statement> {
        let start = self.span();
        let kind = self.statement_kind()?;
        Ok(Statement { kind, span: self.since(start) })
    }

    fn statement_kind(&mut self) -> Parsed<StatementKind> {
        self.refuse_unsupported()?;
        if self.is(TokenKind::LeftParen) || self.begins_query() || self.is_word_at(0, "TABLE") {
            return Ok(StatementKind::Query(Box::new(self.query()?)));
        }
        let Some(word) = self.upper_word() else {
            return Err(self.expected("a statement"));
        };
        match word.as_str() {
            "INSERT" => Ok(StatementKind::Insert(Box::new(self.insert()?))),
            "EXECUTE" => self.execute(),
            // As EXPLAIN takes it.
            "STATEMENT" if self.depth > 0 => self.execute_statement_set(),
            "BEGIN" => {
                self.advance();
                self.expect_words(&["STATEMENT", "SET"])?;
                self.expect(TokenKind::Semicolon, "`;` behind BEGIN STATEMENT SET")?;
                self.set_members()
            }
            "END" => Err(Box::new(
                Diagnostic::syntax(self.span(), "END without the beginning of a statement set")
                    .with_hint("a set begins with EXECUTE STATEMENT SET BEGIN"),
            )),
            "EXPLAIN" => self.explain(),
            "CREATE" => self.create(),
            "ALTER" => self.alter(),
            "DROP" => self.drop_object(),
            "SHOW" => self.show(),
            "DESCRIBE" | "DESC" => self.describe(),
            "USE" => self.use_object(),
            "SET" => self.set(),
            "RESET" => self.reset(),
            _ => {
                for beginning in BEGINNINGS {
                    self.is_word(beginning);
                }
                let mut error = self.expected("a statement");
                error.hint.get_or_insert("statements begin with SELECT, INSERT, CREATE, SET, …".into());
                Err(error)
            }
        }
    }

    pub(super) fn begins_statement(&self) -> bool {
        BEGINNINGS.iter().any(|word| self.is_word_at(0, word))
    }

    fn refuse_unsupported(&self) -> Parsed<()> {
        for (words, what, hint) in UNSUPPORTED {
            if words.iter().enumerate().all(|(ahead, word)| self.is_word_at(ahead, word)) {
                let end = self.token_span(self.token(words.len() - 1));
                return self.unsupported(self.span().to(end), what, hint);
            }
        }
        Ok(())
    }

    /// `INSERT INTO | OVERWRITE [TABLE] t …`.
    fn insert(&mut self) -> Parsed<Insert> {
        let start = self.expect_word("INSERT")?;
        let overwrite = self.take_word("OVERWRITE");
        if !overwrite && !self.take_word("INTO") {
            return Err(self.expected("INTO or OVERWRITE"));
        }
        if self.is_word_at(0, "TABLE") {
            self.advance();
        }
        let table = self.table_name("the name of the table to insert into")?;
        let hints = self.hints()?;
        let mut partition = Vec::new();
        if self.take_word("PARTITION") {
            partition = self.parenthesized_list(Parser::partition_value)?;
        }
        let mut columns = Vec::new();
        if self.is(TokenKind::LeftParen) && !self.begins_query_at(1) && self.kind(1) != TokenKind::LeftParen {
            columns = self.column_names()?;
        }
        if self.is_word_at(0, "VALUES") || self.begins_query() || self.is(TokenKind::LeftParen) {
            let query = self.query()?;
            let on_conflict = self.on_conflict()?;
            let span = self.since(start);
            return Ok(Insert { overwrite, table, hints, partition, columns, query, on_conflict, span });
        }
        self.is_word("SELECT");
        self.is_word("VALUES");
        Err(self.expected("SELECT, VALUES or WITH"))
    }

    /// `column = value`, or a column alone.
    pub(super) fn partition_value(&mut self) -> Parsed<PartitionValue> {
        let column = self.identifier("a partition column")?;
        let value = match self.take(TokenKind::Equal) {
            true => Some(self.expression()?),
            false => None,
        };
        Ok(PartitionValue { column, value })
    }

    fn on_conflict(&mut self) -> Parsed<Option<OnConflict>> {
        let start = self.span();
        if !self.take_words(&["ON", "CONFLICT"]) {
            return Ok(None);
        }
        self.expect_word("DO")?;
        let action = if self.take_word("DEDUPLICATE") {
            ConflictAction::Deduplicate
        } else if self.take_word("NOTHING") {
            ConflictAction::Nothing
        } else if self.take_word("ERROR") {
            ConflictAction::Error
        } else {
            return Err(self.expected("DEDUPLICATE, NOTHING or ERROR"));
        };
        Ok(Some(OnConflict { action, span: self.since(start) }))
    }

    /// `EXECUTE STATEMENT SET BEGIN …`, `EXECUTE INSERT …`, `EXECUTE SELECT …`.
    fn execute(&mut self) -> Parsed<StatementKind> {
        self.advance();
        if self.is_word("STATEMENT") {
            return self.execute_statement_set();
        }
        if self.is_word("INSERT") {
            return Ok(StatementKind::Insert(Box::new(self.insert()?)));
        }
        if self.begins_query() || self.is(TokenKind::LeftParen) {
            return Ok(StatementKind::Query(Box::new(self.query()?)));
        }
        Err(self.expected("STATEMENT SET, INSERT or SELECT behind EXECUTE"))
    }

    fn execute_statement_set(&mut self) -> Parsed<StatementKind> {
        self.expect_words(&["STATEMENT", "SET", "BEGIN"])?;
        self.set_members()
    }

    /// The members of a statement set up to END; a wrong one does not hide the mistakes of the next.
    fn set_members(&mut self) -> Parsed<StatementKind> {
        let begin = self.previous().map_or(self.span(), |token| self.token_span(token));
        let mut members = Vec::new();
        loop {
            while self.take(TokenKind::Semicolon) {}
            if self.take_word("END") {
                break;
            }
            if self.is(TokenKind::End) {
                return Err(Box::new(
                    Diagnostic::syntax(self.span(), "this statement set has no END")
                        .with_hint(format!("it begins in line {}", self.source.position(begin.start).line)),
                ));
            }
            match self.set_member() {
                Ok(member) => members.push(member),
                Err(error) => {
                    self.diagnostics.push(*error);
                    if !self.is_word("END") {
                        self.skip_statement();
                    }
                }
            }
        }
        if members.is_empty() && self.diagnostics.is_empty() {
            return Err(Box::new(Diagnostic::invalid(self.since(begin), "this statement set is empty")));
        }
        Ok(StatementKind::StatementSet(members))
    }

    fn set_member(&mut self) -> Parsed<SetMember> {
        let start = self.span();
        if !self.is_word("INSERT") {
            if self.upper_word().is_some_and(|word| BEGINNINGS.contains(&word.as_str())) {
                return Err(Box::new(
                    Diagnostic::syntax(start, "only INSERT can stand in a statement set")
                        .with_hint("put it before the set, or close the set with END"),
                ));
            }
            return Err(self.expected("INSERT or END"));
        }
        let insert = self.insert()?;
        if !self.is(TokenKind::Semicolon) {
            // The last member's semicolon is often forgotten.
            if self.is_word("END") {
                return Err(Box::new(
                    Diagnostic::syntax(self.span(), "expected `;` behind the INSERT, found END")
                        .with_hint("every INSERT of a statement set ends with `;`"),
                ));
            }
            return Err(self.expected("`;` behind the INSERT"));
        }
        Ok(SetMember { insert, span: self.since(start) })
    }

    /// `EXPLAIN [PLAN FOR | details] statement`.
    fn explain(&mut self) -> Parsed<StatementKind> {
        self.advance();
        let mut details = Vec::new();
        if !self.take_words(&["PLAN", "FOR"]) {
            while let Some(detail) = self.explain_detail() {
                details.push(detail);
                if !self.take(TokenKind::Comma) {
                    break;
                }
            }
        }
        let start = self.span();
        let statement = self.nested(Parser::statement)?;
        match statement.kind {
            StatementKind::Query(_) | StatementKind::Insert(_) | StatementKind::StatementSet(_) => {}
            StatementKind::CreateTable(ref table) if table.query.is_some() => {}
            StatementKind::CreateMaterializedTable(_) | StatementKind::AlterMaterializedTable { .. } => {}
            _ => {
                return Err(Box::new(
                    Diagnostic::unsupported(start, "EXPLAIN of this statement is not supported").with_hint(
                        "EXPLAIN takes a query, an INSERT, a statement set or a materialized table",
                    ),
                ));
            }
        }
        Ok(StatementKind::Explain(Explain { details, statement: Box::new(statement) }))
    }

    fn explain_detail(&mut self) -> Option<ExplainDetail> {
        if self.take_word("ESTIMATED_COST") {
            Some(ExplainDetail::EstimatedCost)
        } else if self.take_word("CHANGELOG_MODE") {
            Some(ExplainDetail::ChangelogMode)
        } else if self.take_word("JSON_EXECUTION_PLAN") {
            Some(ExplainDetail::JsonExecutionPlan)
        } else if self.take_word("PLAN_ADVICE") {
            Some(ExplainDetail::PlanAdvice)
        } else {
            None
        }
    }

    fn use_object(&mut self) -> Parsed<StatementKind> {
        self.advance();
        if self.take_word("CATALOG") {
            return self.identifier("the name of a catalog").map(StatementKind::UseCatalog);
        }
        if self.is_word_at(0, "MODULES") && self.is_name_at(1) {
            self.advance();
            return self.list(|parser| parser.identifier("a module")).map(StatementKind::UseModules);
        }
        self.table_name("the name of a database").map(StatementKind::UseDatabase)
    }

    /// `SET`, `SET 'key' = 'value'`, `SET key = value`.
    fn set(&mut self) -> Parsed<StatementKind> {
        self.advance();
        if matches!(self.kind(0), TokenKind::Semicolon | TokenKind::End) {
            return Ok(StatementKind::Set(None));
        }
        let key = self.setting_key(TokenKind::Equal)?;
        self.expect(TokenKind::Equal, "`=` and the value of the setting")?;
        let value = self.setting_value()?;
        Ok(StatementKind::Set(Some(OptionPair { key, value })))
    }

    /// `RESET`, `RESET 'key'`, `RESET key`.
    fn reset(&mut self) -> Parsed<StatementKind> {
        self.advance();
        if matches!(self.kind(0), TokenKind::Semicolon | TokenKind::End) {
            return Ok(StatementKind::Reset(None));
        }
        self.setting_key(TokenKind::Semicolon).map(|key| StatementKind::Reset(Some(key)))
    }

    /// A key in quotes, or bare up to `end`.
    fn setting_key(&mut self, end: TokenKind) -> Parsed<Text> {
        if self.is(TokenKind::String) {
            return self.text_literal("the name of a setting");
        }
        let first = self.at;
        while matches!(self.kind(0), TokenKind::Word | TokenKind::Dot | TokenKind::Minus) {
            self.advance();
        }
        if self.at == first || !(self.is(end) || self.is(TokenKind::End)) {
            return Err(self.expected("the name of a setting as a string in quotes"));
        }
        Ok(self.raw_text(first))
    }

    /// A value in quotes, or everything up to the semicolon.
    fn setting_value(&mut self) -> Parsed<Text> {
        if self.is(TokenKind::String) && matches!(self.kind(1), TokenKind::Semicolon | TokenKind::End) {
            return self.text_literal("the value of the setting");
        }
        let first = self.at;
        while !matches!(
            self.kind(0),
            TokenKind::Semicolon | TokenKind::End | TokenKind::Equal | TokenKind::String
        ) {
            self.advance();
        }
        if self.at == first || !matches!(self.kind(0), TokenKind::Semicolon | TokenKind::End) {
            return Err(self.expected("the value of the setting as a string in quotes"));
        }
        Ok(self.raw_text(first))
    }

    /// The text from a token to the last one taken, as it stands.
    fn raw_text(&self, first: usize) -> Text {
        let (start, end) = (self.tokens[first].start, self.tokens[self.at - 1].end);
        let text = &self.text[start as usize..end as usize];
        let value = if text.starts_with('`') { unquote(text) } else { text.to_string() };
        Text { value, span: self.source.original_span(Span::new(start, end)) }
    }
}
