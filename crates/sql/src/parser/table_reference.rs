//! FROM: tables, sub-queries, table functions, UNNEST, joins, aliases.

use super::{Parsed, Parser};
use crate::ast::*;
use crate::diagnostic::Diagnostic;
use crate::lexer::TokenKind;
use crate::span::Span;

impl Parser<'_> {
    pub(super) fn tables(&mut self) -> Parsed<TableReference> {
        let mut left = self.joined_table()?;
        let mut length = 0;
        while self.is(TokenKind::Comma) {
            length += 1;
            self.check_chain(length)?;
            let keyword_span = self.expect(TokenKind::Comma, "`,`")?;
            let right = self.joined_table()?;
            left = join(left, JoinKind::Comma, false, right, JoinConstraint::None, keyword_span);
        }
        Ok(left)
    }

    fn joined_table(&mut self) -> Parsed<TableReference> {
        let left = self.nested(Parser::table_primary)?;
        self.continue_joins(left)
    }

    fn continue_joins(&mut self, left: TableReference) -> Parsed<TableReference> {
        let mut left = left;
        let mut length = 0;
        loop {
            let start = self.span();
            let Some((kind, natural)) = self.join_words()? else { return Ok(left) };
            let keyword_span = self.since(start);
            length += 1;
            self.check_chain(length)?;
            let right = self.nested(Parser::table_primary)?;
            let constraint = self.join_constraint(kind, natural, keyword_span)?;
            left = join(left, kind, natural, right, constraint, keyword_span);
        }
    }

    /// `[NATURAL] [INNER | LEFT [OUTER] | …] JOIN`.
    fn join_words(&mut self) -> Parsed<Option<(JoinKind, bool)>> {
        let start = self.span();
        let natural = self.take_word("NATURAL");
        let kind = if self.take_word("INNER") {
            JoinKind::Inner
        } else if self.take_word("LEFT") {
            JoinKind::Left
        } else if self.take_word("RIGHT") {
            JoinKind::Right
        } else if self.take_word("FULL") {
            JoinKind::Full
        } else if self.take_word("CROSS") {
            JoinKind::Cross
        } else if self.is_word("JOIN") || natural {
            self.expect_word("JOIN")?;
            return Ok(Some((JoinKind::Inner, natural)));
        } else if self.is_word_at(0, "OUTER") {
            return Err(self.expected("LEFT, RIGHT or FULL before OUTER JOIN"));
        } else {
            return Ok(None);
        };
        if matches!(kind, JoinKind::Left | JoinKind::Right | JoinKind::Full) {
            self.take_word("OUTER");
        }
        for (word, hint) in
            [("SEMI", "write WHERE EXISTS (…) or IN (…)"), ("ANTI", "write WHERE NOT EXISTS (…)")]
        {
            if self.is_word_at(0, word) {
                let span = start.to(self.span());
                return self.unsupported(span, &format!("a {word} JOIN"), hint);
            }
        }
        if self.is_word_at(0, "APPLY") {
            let hint = "write CROSS JOIN LATERAL TABLE(f(…)) or LEFT JOIN LATERAL TABLE(f(…)) ON TRUE";
            return self.unsupported(start.to(self.span()), "APPLY", hint);
        }
        self.expect_word("JOIN")?;
        if kind == JoinKind::Cross && natural {
            let message = "a CROSS JOIN has no condition, so it cannot be NATURAL";
            return Err(Box::new(Diagnostic::syntax(self.since(start), message)));
        }
        Ok(Some((kind, natural)))
    }

    fn join_constraint(&mut self, kind: JoinKind, natural: bool, keywords: Span) -> Parsed<JoinConstraint> {
        if kind == JoinKind::Cross {
            return Ok(JoinConstraint::None);
        }
        if natural {
            return Ok(JoinConstraint::None);
        }
        if self.take_word("ON") {
            return self.expression().map(JoinConstraint::On);
        }
        if self.take_word("USING") {
            return self.column_names().map(JoinConstraint::Using);
        }
        let error = self.expected("ON or USING and the condition of the JOIN");
        // What stands here may well be right; it is the join that lacks something.
        if error.hint.is_some() {
            return Err(error);
        }
        Err(Box::new(
            Diagnostic::syntax(keywords, "this JOIN has no condition")
                .with_hint("add ON condition or USING (columns); every pair of rows is CROSS JOIN"),
        ))
    }

    fn table_primary(&mut self) -> Parsed<TableReference> {
        let start = self.span();
        let lateral = self.take_word("LATERAL");
        let kind = if self.is(TokenKind::LeftParen) {
            if !lateral && !self.begins_query_at(1) {
                return self.parenthesized_tables();
            }
            let open = self.expect(TokenKind::LeftParen, "`(`")?;
            let query = Box::new(self.query()?);
            self.close(open)?;
            TableReferenceKind::Subquery { query, lateral }
        } else if self.is_word_at(0, "UNNEST") {
            self.unnest(lateral)?
        } else if self.is_word_at(0, "TABLE") && self.kind(1) == TokenKind::LeftParen {
            self.table_function(lateral)?
        } else {
            self.named_table(lateral)?
        };
        let mut kind = self.with_pattern(kind, None, start)?;
        self.refuse_suffixes()?;
        let mut alias = self.table_alias()?;
        if alias.is_some() && self.is_word_at(0, "MATCH_RECOGNIZE") {
            kind = self.with_pattern(kind, alias.take(), start)?;
            alias = self.table_alias()?;
        }
        self.refuse_suffixes()?;
        if self.is(TokenKind::HintStart) {
            let message = "these hints stand in the wrong place";
            return Err(Box::new(
                Diagnostic::syntax(self.span(), message)
                    .with_hint("hints of a table stand right behind its name, before an alias"),
            ));
        }
        Ok(TableReference { kind, alias, span: self.since(start) })
    }

    /// `(a JOIN b …)` or `((SELECT …) UNION …)`: which one is known behind the inner parenthesis.
    fn parenthesized_tables(&mut self) -> Parsed<TableReference> {
        let open = self.expect(TokenKind::LeftParen, "`(`")?;
        let first_token = self.at;
        self.tables_in_parentheses(open).map_err(|error| match self.misspelt_select(first_token) {
            Some(better) => better,
            None => error,
        })
    }

    /// `(SELEC a FROM t)` reads as a table called SELEC until FROM shows what it was.
    fn misspelt_select(&self, first_token: usize) -> Option<Box<Diagnostic>> {
        let token = self.tokens[first_token];
        let text = self.token_text(token);
        let near = base::nearest(text, ["SELECT", "VALUES"]).filter(|_| self.is_word_at(0, "FROM"))?;
        let diagnostic = Diagnostic::syntax(self.token_span(token), format!("`{text}` is not a keyword"));
        Some(Box::new(diagnostic.with_hint(format!("did you mean {near}?"))))
    }

    fn tables_in_parentheses(&mut self, open: Span) -> Parsed<TableReference> {
        let first = self.nested(Parser::table_primary)?;
        let bare_query = first.alias.is_none()
            && matches!(first.kind, TableReferenceKind::Subquery { lateral: false, .. });
        let kind = match first.kind {
            TableReferenceKind::Subquery { query, .. } if bare_query && self.continues_query() => {
                let query = Box::new(self.continue_query(*query)?);
                self.close(open)?;
                TableReferenceKind::Subquery { query, lateral: false }
            }
            kind => {
                let first = TableReference { kind, alias: first.alias, span: first.span };
                let mut inside = self.continue_joins(first)?;
                while self.is(TokenKind::Comma) {
                    let span = self.expect(TokenKind::Comma, "`,`")?;
                    let right = self.joined_table()?;
                    inside = join(inside, JoinKind::Comma, false, right, JoinConstraint::None, span);
                }
                let end = self.close(open)?;
                if !matches!(inside.kind, TableReferenceKind::Join(_) | TableReferenceKind::Subquery { .. }) {
                    let message = "only a query or a join stands in parentheses";
                    return Err(Box::new(
                        Diagnostic::syntax(open.to(end), message).with_hint("remove the parentheses"),
                    ));
                }
                let alias = self.table_alias()?;
                if alias.is_none() {
                    return Ok(TableReference { span: open.to(end), ..inside });
                }
                if inside.alias.is_some() || matches!(inside.kind, TableReferenceKind::Join(_)) {
                    let message = "tables in parentheses cannot be renamed together";
                    return Err(Box::new(
                        Diagnostic::syntax(self.since(open), message)
                            .with_hint("write (SELECT * FROM …) AS name"),
                    ));
                }
                return Ok(TableReference { kind: inside.kind, alias, span: self.since(open) });
            }
        };
        let alias = self.table_alias()?;
        Ok(TableReference { kind, alias, span: self.since(open) })
    }

    fn unnest(&mut self, lateral: bool) -> Parsed<TableReferenceKind> {
        self.advance();
        let arguments = self.parenthesized_list(Parser::expression)?;
        let with_ordinality = self.take_word("WITH");
        if with_ordinality {
            self.expect_word("ORDINALITY")?;
        }
        Ok(TableReferenceKind::Unnest { arguments, with_ordinality, lateral })
    }

    /// `TABLE(f(…))`.
    fn table_function(&mut self, lateral: bool) -> Parsed<TableReferenceKind> {
        self.advance();
        let open = self.expect(TokenKind::LeftParen, "`(`")?;
        if self.begins_query() {
            return Err(Box::new(
                Diagnostic::syntax(self.span(), "TABLE( takes a table function, not a query")
                    .with_hint("write the query in parentheses alone: (SELECT …)"),
            ));
        }
        let name = self.function_name("a table function such as TUMBLE(…)")?;
        if !self.is(TokenKind::LeftParen) {
            return Err(self.expected("`(` and the arguments of the table function"));
        }
        let call = Box::new(self.function_call(name)?);
        self.close(open)?;
        Ok(TableReferenceKind::Function { call, lateral })
    }

    /// A function's name may be a reserved word.
    fn function_name(&mut self, what: &str) -> Parsed<ObjectName> {
        if self.is(TokenKind::Word) && self.kind(1) == TokenKind::LeftParen {
            let span = self.span();
            let token = self.advance();
            let value = self.token_text(token).to_string();
            return Ok(ObjectName { parts: vec![Identifier { value, quoted: false, span }], span });
        }
        self.table_name(what)
    }

    fn named_table(&mut self, lateral: bool) -> Parsed<TableReferenceKind> {
        let name = self.table_name("a table's name")?;
        if self.is(TokenKind::LeftParen) {
            let call = Box::new(self.function_call(name)?);
            return Ok(TableReferenceKind::Function { call, lateral });
        }
        if lateral {
            let message = "LATERAL takes a sub-query or a table function";
            return Err(Box::new(
                Diagnostic::syntax(name.span, message).with_hint("a table is joined without LATERAL"),
            ));
        }
        let hints = self.hints()?;
        let as_of = match self.take_words(&["FOR", "SYSTEM_TIME"]) {
            true => {
                self.expect_words(&["AS", "OF"])?;
                Some(self.expression()?)
            }
            false => None,
        };
        Ok(TableReferenceKind::Table { name, hints, as_of })
    }

    /// MATCH_RECOGNIZE stands behind a table or a sub-query.
    fn with_pattern(
        &mut self,
        kind: TableReferenceKind,
        alias: Option<TableAlias>,
        start: Span,
    ) -> Parsed<TableReferenceKind> {
        let at = self.span();
        let input = TableReference { kind, alias, span: self.since(start) };
        let Some(clause) = self.match_recognize()? else { return Ok(input.kind) };
        match input.kind {
            TableReferenceKind::Table { .. } | TableReferenceKind::Subquery { .. } => {
                Ok(TableReferenceKind::MatchRecognize { input: Box::new(input), clause: Box::new(clause) })
            }
            _ => {
                let message = "MATCH_RECOGNIZE stands behind a table or a sub-query";
                Err(Box::new(
                    Diagnostic::syntax(at, message).with_hint("write (SELECT * FROM …) MATCH_RECOGNIZE (…)"),
                ))
            }
        }
    }

    fn refuse_suffixes(&self) -> Parsed<()> {
        for (word, what, hint) in [
            ("TABLESAMPLE", "TABLESAMPLE", "filter with RAND() < 0.1"),
            ("PIVOT", "PIVOT", "write aggregates with FILTER (WHERE …)"),
            ("UNPIVOT", "UNPIVOT", "write CROSS JOIN UNNEST(ARRAY[…])"),
        ] {
            if self.is_word_at(0, word) {
                return self.unsupported(self.span(), what, hint);
            }
        }
        Ok(())
    }

    fn table_alias(&mut self) -> Parsed<Option<TableAlias>> {
        let Some(name) = self.alias("a name for the table")? else { return Ok(None) };
        let columns = match self.is(TokenKind::LeftParen) {
            true => self.column_names()?,
            false => Vec::new(),
        };
        Ok(Some(TableAlias { name, columns }))
    }
}

fn join(
    left: TableReference,
    kind: JoinKind,
    natural: bool,
    right: TableReference,
    constraint: JoinConstraint,
    keyword_span: Span,
) -> TableReference {
    let mut span = left.span.to(right.span);
    if let JoinConstraint::On(condition) = &constraint {
        span = span.to(condition.span);
    }
    let join = Join { left, kind, natural, right, constraint, keyword_span };
    TableReference { kind: TableReferenceKind::Join(Box::new(join)), alias: None, span }
}
