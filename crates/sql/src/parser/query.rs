//! Queries: WITH, set operations, SELECT and its clauses, VALUES, ORDER BY, LIMIT.

use super::{Parsed, Parser};
use crate::ast::*;
use crate::diagnostic::Diagnostic;
use crate::lexer::TokenKind;
use crate::span::Span;

impl Parser<'_> {
    /// A query with its WITH, ORDER BY and LIMIT.
    pub(super) fn query(&mut self) -> Parsed<Query> {
        self.nested(|parser| {
            let start = parser.span();
            let with = match parser.take_word("WITH") {
                true => parser.common_tables()?,
                false => Vec::new(),
            };
            let body = parser.query_body(0)?;
            parser.query_tail(start, with, body)
        })
    }

    fn common_tables(&mut self) -> Parsed<Vec<CommonTable>> {
        if self.is_word_at(0, "RECURSIVE") {
            return self.unsupported(self.span(), "WITH RECURSIVE", "");
        }
        self.list(|parser| {
            let name = parser.identifier("the name of a WITH table")?;
            let columns = match parser.is(TokenKind::LeftParen) {
                true => parser.column_names()?,
                false => Vec::new(),
            };
            parser.expect_word("AS")?;
            let open = parser.expect(TokenKind::LeftParen, "`(` and a query")?;
            let query = parser.query()?;
            parser.close(open)?;
            Ok(CommonTable { name, columns, query })
        })
    }

    /// Whether what stands behind a query in parentheses makes it a part of a larger query.
    pub(super) fn continues_query(&self) -> bool {
        ["UNION", "INTERSECT", "EXCEPT", "MINUS", "ORDER", "LIMIT", "OFFSET", "FETCH"]
            .iter()
            .any(|word| self.is_word_at(0, word))
    }

    /// Goes on behind a query in parentheses.
    pub(super) fn continue_query(&mut self, query: Query) -> Parsed<Query> {
        let start = query.span;
        let body = unwrapped(query, start);
        let body = self.continue_query_body(body, 0)?;
        self.query_tail(start, Vec::new(), body)
    }

    fn query_tail(&mut self, start: Span, with: Vec<CommonTable>, body: QueryBody) -> Parsed<Query> {
        let order_by = match self.take_words(&["ORDER", "BY"]) {
            true => self.list(Parser::order_item)?,
            false => Vec::new(),
        };
        let (mut offset, mut limit) = (None, None);
        let mut limited = false;
        loop {
            if !limited && self.take_word("LIMIT") {
                limited = true;
                if self.is_word_at(0, "ALL") {
                    self.advance();
                    continue;
                }
                limit = Some(self.row_count()?);
                if offset.is_none() && self.take(TokenKind::Comma) {
                    // LIMIT start, count
                    offset = limit.take();
                    limit = Some(self.row_count()?);
                }
            } else if offset.is_none() && self.take_word("OFFSET") {
                offset = Some(self.row_count()?);
                let _ = self.take_word("ROWS") || self.take_word("ROW");
            } else if !limited && self.take_word("FETCH") {
                limited = true;
                if !self.take_word("FIRST") && !self.take_word("NEXT") {
                    return Err(self.expected("FIRST or NEXT"));
                }
                limit = Some(self.row_count()?);
                if !self.take_word("ROWS") && !self.take_word("ROW") {
                    return Err(self.expected("ROWS ONLY"));
                }
                self.expect_word("ONLY")?;
            } else {
                break;
            }
        }
        Ok(Query { with, body, order_by, offset, limit, span: self.since(start) })
    }

    /// LIMIT, OFFSET and FETCH take a number as it stands.
    fn row_count(&mut self) -> Parsed<Expression> {
        match self.kind(0) {
            TokenKind::Exact => self.literal(),
            _ => Err(self.expected("a number of rows")),
        }
    }

    /// Set operations that bind at least as tightly as `least`: INTERSECT is 2, UNION and EXCEPT are 1.
    fn query_body(&mut self, least: u8) -> Parsed<QueryBody> {
        let left = self.query_primary()?;
        self.continue_query_body(left, least)
    }

    fn continue_query_body(&mut self, left: QueryBody, least: u8) -> Parsed<QueryBody> {
        let mut left = left;
        let mut length = 0;
        loop {
            let operator_span = self.span();
            let (operator, binding) = if self.is_word("UNION") {
                (SetOperator::Union, 1)
            } else if self.is_word("EXCEPT") {
                (SetOperator::Except, 1)
            } else if self.is_word("INTERSECT") {
                (SetOperator::Intersect, 2)
            } else if self.is_word_at(0, "MINUS") {
                return self.unsupported(operator_span, "MINUS", "write EXCEPT");
            } else {
                return Ok(left);
            };
            if binding < least {
                return Ok(left);
            }
            length += 1;
            self.check_chain(length)?;
            self.advance();
            let all = self.take_word("ALL");
            if !all {
                self.take_word("DISTINCT");
            }
            let right = self.nested(|parser| parser.query_body(binding + 1))?;
            let span = left.span.to(right.span);
            let (left_box, right) = (Box::new(left), Box::new(right));
            let kind = QueryBodyKind::SetOperation { left: left_box, operator, all, operator_span, right };
            left = QueryBody { kind, span };
        }
    }

    fn query_primary(&mut self) -> Parsed<QueryBody> {
        let start = self.span();
        if self.is(TokenKind::LeftParen) {
            let open = self.expect(TokenKind::LeftParen, "`(`")?;
            let query = self.query()?;
            let end = self.close(open)?;
            return Ok(unwrapped(query, open.to(end)));
        }
        let kind = if self.take_word("SELECT") {
            QueryBodyKind::Select(Box::new(self.select(start)?))
        } else if self.take_word("VALUES") {
            QueryBodyKind::Values(self.list(Parser::values_row)?)
        } else if self.is_word_at(0, "TABLE") {
            self.advance();
            QueryBodyKind::Table(self.table_name("the name of a table")?)
        } else {
            return Err(self.expected("a query (SELECT, VALUES or WITH)"));
        };
        Ok(QueryBody { kind, span: self.since(start) })
    }

    fn values_row(&mut self) -> Parsed<ValuesRow> {
        let start = self.span();
        let values = if self.is(TokenKind::LeftParen) && !self.begins_query_at(1) {
            // As in Calcite, `(ROW(1, 2))` has two columns and `((1, 2))` has one.
            let row_within = self.is_word_at(1, "ROW");
            let mut values = self.parenthesized_list(Parser::expression)?;
            match values.as_mut_slice() {
                [Expression { kind: ExpressionKind::Row(items), .. }] if row_within => std::mem::take(items),
                _ => values,
            }
        } else {
            let row = self.expression()?;
            match row.kind {
                ExpressionKind::Row(values) => values,
                kind => vec![Expression { kind, span: row.span }],
            }
        };
        Ok(ValuesRow { values, span: self.since(start) })
    }

    /// A SELECT behind its keyword.
    fn select(&mut self, start: Span) -> Parsed<Select> {
        let hints = self.hints()?;
        let quantifier = if self.take_word("DISTINCT") {
            Some(SetQuantifier::Distinct)
        } else if self.is_word_at(0, "ALL") {
            self.advance();
            Some(SetQuantifier::All)
        } else {
            None
        };
        let items = self.list(Parser::select_item)?;
        let from = match self.take_word("FROM") {
            true => Some(self.tables()?),
            false => None,
        };
        let filtered = ["WHERE", "GROUP", "HAVING", "WINDOW", "QUALIFY"];
        if from.is_none() && filtered.iter().any(|word| self.is_word_at(0, word)) {
            return Err(self.expected("FROM before it"));
        }
        let selection = self.clause("WHERE")?;
        let group_by = match self.take_word("GROUP") {
            true => Some(self.group_by()?),
            false => None,
        };
        let having = self.clause("HAVING")?;
        let windows = match self.take_word("WINDOW") {
            true => self.list(Parser::named_window)?,
            false => Vec::new(),
        };
        let qualify = self.clause("QUALIFY")?;
        self.misplaced_clause(&group_by, &having)?;
        let span = self.since(start);
        Ok(Select { hints, quantifier, items, from, selection, group_by, having, windows, qualify, span })
    }

    fn clause(&mut self, word: &'static str) -> Parsed<Option<Expression>> {
        match self.take_word(word) {
            true => self.expression().map(Some),
            false => Ok(None),
        }
    }

    /// A clause of SELECT that comes too late gets a message of its own.
    fn misplaced_clause(&self, group_by: &Option<GroupBy>, having: &Option<Expression>) -> Parsed<()> {
        let hint = if self.is_word_at(0, "WHERE") {
            if having.is_some() || group_by.is_some() {
                "WHERE stands before GROUP BY"
            } else {
                return Ok(());
            }
        } else if self.is_word_at(0, "GROUP") && having.is_some() {
            "GROUP BY stands before HAVING"
        } else if self.is_word_at(0, "FROM") {
            "FROM stands right behind the selected columns, once"
        } else {
            return Ok(());
        };
        Err(Box::new(
            Diagnostic::syntax(
                self.span(),
                format!("{} comes too late", self.token_text(self.token(0)).to_ascii_uppercase()),
            )
            .with_hint(hint),
        ))
    }

    fn select_item(&mut self) -> Parsed<SelectItem> {
        let start = self.span();
        if self.take(TokenKind::Star) {
            return Ok(SelectItem { kind: SelectItemKind::Star { qualifier: Vec::new() }, span: start });
        }
        let expression = self.expression()?;
        if self.is(TokenKind::Dot) && self.kind(1) == TokenKind::Star {
            self.advance();
            let star = self.expect(TokenKind::Star, "`*`")?;
            let ExpressionKind::Column(qualifier) = expression.kind else {
                let message = "only a table or a column can stand before `.*`";
                return Err(Box::new(Diagnostic::syntax(expression.span, message)));
            };
            return Ok(SelectItem { kind: SelectItemKind::Star { qualifier }, span: start.to(star) });
        }
        let alias = self.alias("a name for the column")?;
        let kind = SelectItemKind::Expression { expression, alias };
        Ok(SelectItem { kind, span: self.since(start) })
    }

    /// `[AS] name`.
    pub(super) fn alias(&mut self, what: &str) -> Parsed<Option<Identifier>> {
        if self.take_word("AS") {
            if self.is(TokenKind::String) {
                let text = self.text_literal(what)?;
                return Err(Box::new(
                    Diagnostic::syntax(text.span, "an alias is a name, not a string")
                        .with_hint(format!("write `{}`", text.value)),
                ));
            }
            return self.identifier(what).map(Some);
        }
        if !self.is_name() {
            return Ok(None);
        }
        if self.is(TokenKind::Word) {
            self.bare_alias = Some(self.at);
        }
        self.identifier(what).map(Some)
    }

    fn group_by(&mut self) -> Parsed<GroupBy> {
        let start = self.previous().map_or(self.span(), |token| self.token_span(token));
        self.expect_word("BY")?;
        let quantifier = if self.take_word("DISTINCT") {
            Some(SetQuantifier::Distinct)
        } else if self.is_word_at(0, "ALL") {
            self.advance();
            Some(SetQuantifier::All)
        } else {
            None
        };
        let elements = self.list(Parser::grouping_element)?;
        Ok(GroupBy { quantifier, elements, span: self.since(start) })
    }

    fn grouping_element(&mut self) -> Parsed<GroupingElement> {
        let open = self.kind(1) == TokenKind::LeftParen;
        if open && self.is_word_at(0, "ROLLUP") {
            self.advance();
            return self.grouping_steps().map(GroupingElement::Rollup);
        }
        if open && self.is_word_at(0, "CUBE") {
            self.advance();
            return self.grouping_steps().map(GroupingElement::Cube);
        }
        if self.take_words(&["GROUPING", "SETS"]) {
            let sets = self.nested(|parser| parser.parenthesized_list(Parser::grouping_element))?;
            return Ok(GroupingElement::GroupingSets(sets));
        }
        if self.is(TokenKind::LeftParen) && self.kind(1) == TokenKind::RightParen {
            self.advance();
            self.advance();
            return Ok(GroupingElement::Set(Vec::new()));
        }
        let in_parentheses = self.is(TokenKind::LeftParen);
        let expression = self.expression()?;
        Ok(match expression.kind {
            ExpressionKind::Row(items) if in_parentheses => GroupingElement::Set(items),
            kind => GroupingElement::Expression(Expression { kind, span: expression.span }),
        })
    }

    /// The steps of ROLLUP and CUBE: an expression, or several in parentheses.
    fn grouping_steps(&mut self) -> Parsed<Vec<Vec<Expression>>> {
        self.parenthesized_list(|parser| {
            let in_parentheses = parser.is(TokenKind::LeftParen);
            let expression = parser.expression()?;
            Ok(match expression.kind {
                ExpressionKind::Row(items) if in_parentheses => items,
                kind => vec![Expression { kind, span: expression.span }],
            })
        })
    }

    fn named_window(&mut self) -> Parsed<NamedWindow> {
        let name = self.identifier("the name of a window")?;
        self.expect_word("AS")?;
        Ok(NamedWindow { name, window: self.window_specification()? })
    }

    pub(super) fn order_item(&mut self) -> Parsed<OrderItem> {
        let start = self.span();
        let expression = self.expression()?;
        let descending = self.take_word("DESC");
        if !descending {
            self.take_word("ASC");
        }
        let nulls_first = if self.take_words(&["NULLS", "FIRST"]) {
            Some(true)
        } else if self.take_word("NULLS") {
            self.expect_word("LAST")?;
            Some(false)
        } else {
            None
        };
        Ok(OrderItem { expression, descending, nulls_first, span: self.since(start) })
    }
}

/// A query in parentheses as a body: the body alone where the parentheses hold nothing else.
fn unwrapped(query: Query, span: Span) -> QueryBody {
    let plain =
        query.with.is_empty() && query.order_by.is_empty() && query.offset.is_none() && query.limit.is_none();
    if plain { query.body } else { QueryBody { kind: QueryBodyKind::Query(Box::new(query)), span } }
}
