//! Scripts: statements up to their semicolons, and going on behind a wrong one.

use super::{Parsed, Parser};
use crate::ast::{DataType, Expression, ObjectName, Query, Statement};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::lexer::{DIAGNOSTICS_MAX, TokenKind, lex};
use crate::source::{SOURCE_BYTES_MAX, SourceText};
use crate::span::Span;

/// A parsed script.
#[derive(Debug, Default)]
pub struct Script {
    /// Every statement that is well-formed.
    pub statements: Vec<Statement>,
    /// Everything that is wrong.
    pub diagnostics: Vec<Diagnostic>,
    /// The tables and views that the statements with something wrong would have created.
    pub broken: Vec<ObjectName>,
}

/// Parses a script: every statement that is well-formed, and everything that is wrong.
pub fn parse_script(source: &SourceText) -> (Vec<Statement>, Vec<Diagnostic>) {
    let script = parse_whole_script(source);
    (script.statements, script.diagnostics)
}

/// Parses a script for a check that goes on behind what is wrong.
pub fn parse_whole_script(source: &SourceText) -> Script {
    if let Some(diagnostic) = too_large(source) {
        return Script { diagnostics: vec![diagnostic], ..Script::default() };
    }
    let (tokens, lexical) = lex(source);
    let mut parser = Parser::new(source, &tokens);
    let mut statements = Vec::new();
    let mut diagnostics = Vec::new();
    let mut broken = Vec::new();
    // A set whose beginning was wrong still ends: its END is no mistake of its own.
    let mut broken_set = false;
    loop {
        while parser.take(TokenKind::Semicolon) || (broken_set && parser.take_word("END")) {}
        if parser.is(TokenKind::End) || diagnostics.len() + lexical.len() > DIAGNOSTICS_MAX {
            break;
        }
        let start = parser.at;
        parser.bare_alias = None;
        let result = parser.statement().and_then(|statement| parser.end_of_statement().map(|()| statement));
        let mut found = std::mem::take(&mut parser.diagnostics);
        let failed = result.is_err() || !found.is_empty();
        match result {
            Ok(statement) if !failed => statements.push(statement),
            Ok(_) => {}
            Err(error) => {
                found.push(*error);
                parser.skip_statement();
                broken_set |= parser.has_words_since(start, &["STATEMENT", "SET"]);
            }
        }
        if failed {
            broken.extend(parser.created_name(start));
        }
        // Text that is no token has been reported; what the parser makes of it says nothing more.
        let range = parser.token_span(tokens[start]).to(parser.span());
        let lexed = lexical.iter().any(|d| d.span.start >= range.start && d.span.start <= range.end);
        if !lexed {
            diagnostics.append(&mut found);
        }
    }
    diagnostics.extend(lexical);
    diagnostics.sort_by_key(|diagnostic| diagnostic.span);
    diagnostics.truncate(DIAGNOSTICS_MAX);
    Script { statements, diagnostics, broken }
}

/// Parses a text that is one expression.
pub fn parse_expression(source: &SourceText) -> Result<Expression, Vec<Diagnostic>> {
    parse_whole(source, |parser| parser.expression())
}

/// Parses a text that is one query.
pub fn parse_query(source: &SourceText) -> Result<Query, Vec<Diagnostic>> {
    parse_whole(source, |parser| parser.query())
}

/// Parses a text that is one type.
pub fn parse_data_type(source: &SourceText) -> Result<DataType, Vec<Diagnostic>> {
    parse_whole(source, |parser| parser.data_type())
}

fn parse_whole<T>(
    source: &SourceText,
    parse: impl FnOnce(&mut Parser<'_>) -> Parsed<T>,
) -> Result<T, Vec<Diagnostic>> {
    if let Some(diagnostic) = too_large(source) {
        return Err(vec![diagnostic]);
    }
    let (tokens, lexical) = lex(source);
    if !lexical.is_empty() {
        return Err(lexical);
    }
    let mut parser = Parser::new(source, &tokens);
    let parsed = parse(&mut parser).map_err(|error| vec![*error])?;
    if !parser.is(TokenKind::End) {
        return Err(vec![*parser.expected("the end of the text")]);
    }
    Ok(parsed)
}

fn too_large(source: &SourceText) -> Option<Diagnostic> {
    let bytes = source.text().len();
    (bytes > SOURCE_BYTES_MAX).then(|| {
        Diagnostic::new(
            DiagnosticKind::Limit,
            Span::at(0),
            format!("the script has {bytes} bytes; at most {SOURCE_BYTES_MAX} are read"),
        )
        .with_hint("split it into several scripts; data belongs into files or topics")
    })
}

/// What other databases write behind a query or a declaration, and what to do instead.
const FOREIGN_CLAUSES: &[(&[&str], &str)] = &[
    (&["ON", "DUPLICATE"], "a table with a PRIMARY KEY NOT ENFORCED takes the last row of each key"),
    (&["EMIT"], "leave it out: every query over a stream gives its changes"),
    (&["CHANGES"], "leave EMIT CHANGES out: every query over a stream gives its changes"),
    (&["FOR", "UPDATE"], "leave it out: nothing is locked"),
    (&["ENGINE"], "options stand in WITH ('connector' = '…', …)"),
    (&["RETURNING"], "leave it out, and read the table that is written"),
    (&["SETTINGS"], "write SET 'key' = 'value' before the statement"),
    (&["PARTITION", "BY"], "a table is PARTITIONED BY (columns)"),
];

impl Parser<'_> {
    /// A statement ends at a semicolon or with the text.
    pub(super) fn end_of_statement(&mut self) -> Parsed<()> {
        match self.kind(0) {
            TokenKind::Semicolon | TokenKind::End => Ok(()),
            _ => {
                let mut error = self.expected("the end of the statement");
                let span = self.span();
                let begins_line = self.previous().is_some_and(|previous| {
                    let end = self.token_span(previous).end;
                    self.source.position(end).line < self.source.position(span.start).line
                });
                let foreign = FOREIGN_CLAUSES.iter().find(|(words, _)| {
                    words.iter().enumerate().all(|(ahead, word)| self.is_word_at(ahead, word))
                });
                if let Some((_, hint)) = foreign {
                    error.hint = Some((*hint).into());
                }
                if begins_line && error.hint.is_none() && self.begins_statement() {
                    error.hint = Some("is a `;` missing before it?".into());
                }
                Err(error)
            }
        }
    }

    fn has_words_since(&self, start: usize, words: &[&str]) -> bool {
        self.tokens[start..self.at].windows(words.len()).any(|tokens| {
            tokens.iter().zip(words).all(|(token, word)| self.token_text(*token).eq_ignore_ascii_case(word))
        })
    }

    /// The name behind CREATE TABLE or CREATE VIEW, where a statement that could not be parsed begins so.
    fn created_name(&mut self, start: usize) -> Option<ObjectName> {
        let end = std::mem::replace(&mut self.at, start);
        let name = self.read_created_name();
        self.at = end;
        name
    }

    fn read_created_name(&mut self) -> Option<ObjectName> {
        if !self.take_word("CREATE") {
            return None;
        }
        self.take_words(&["OR", "REPLACE"]);
        self.take_word("TEMPORARY");
        if !self.take_word("TABLE") && !self.take_word("VIEW") {
            return None;
        }
        self.take_words(&["IF", "NOT", "EXISTS"]);
        self.table_name("a name").ok()
    }

    /// Goes to the next semicolon.
    pub(super) fn skip_statement(&mut self) {
        while !matches!(self.kind(0), TokenKind::Semicolon | TokenKind::End) {
            self.advance();
        }
    }
}
