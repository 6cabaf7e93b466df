//! Primaries: literals, names, calls, parentheses, constructors.

use super::{Parsed, Parser};
use crate::ast::*;
use crate::diagnostic::Diagnostic;
use crate::keyword::{is_reserved, is_structural};
use crate::lexer::TokenKind;
use crate::span::Span;

/// Functions that are called without parentheses.
const WITHOUT_PARENTHESES: &[&str] = &[
    "CURRENT_CATALOG",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "CURRENT_USER",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "SESSION_USER",
    "SYSTEM_USER",
    "USER",
];

/// What may stand behind `(a - b)`.
const INTERVAL_UNITS: &[&str] = &["YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND"];

impl Parser<'_> {
    pub(super) fn primary(&mut self) -> Parsed<Expression> {
        match self.kind(0) {
            TokenKind::Exact
            | TokenKind::Approximate
            | TokenKind::String
            | TokenKind::BinaryString
            | TokenKind::UnicodeString => self.literal(),
            TokenKind::LeftParen => self.parenthesized(),
            TokenKind::QuotedWord => self.name_or_call(),
            TokenKind::Word => {
                let word = self.upper_word().unwrap_or_default();
                match self.keyword_primary(&word)? {
                    Some(expression) => Ok(expression),
                    None => self.name_or_call(),
                }
            }
            _ => Err(self.expected("an expression")),
        }
    }

    /// A primary that begins with a keyword; None when the word is a name or an ordinary function.
    fn keyword_primary(&mut self, word: &str) -> Parsed<Option<Expression>> {
        let called = self.kind(1) == TokenKind::LeftParen;
        let text_follows = self.kind(1) == TokenKind::String;
        let expression = match word {
            "NULL" => self.constant(Literal::Null),
            "TRUE" => self.constant(Literal::Boolean(true)),
            "FALSE" => self.constant(Literal::Boolean(false)),
            "UNKNOWN" => self.constant(Literal::Unknown),
            "DATE" | "TIME" if text_follows => self.temporal_literal(word)?,
            "TIMESTAMP" if text_follows || self.is_word_at(1, "WITH") => self.temporal_literal(word)?,
            "INTERVAL" => self.interval_literal()?,
            "CASE" => self.case()?,
            "CAST" | "TRY_CAST" | "SAFE_CAST" if called => self.cast(word)?,
            "EXISTS" if called => self.exists()?,
            "ROW" if called => self.row_constructor()?,
            "ARRAY" => self.array_constructor()?,
            "MAP" if self.kind(1) == TokenKind::LeftBracket => self.map_constructor()?,
            "MULTISET" if self.kind(1) == TokenKind::LeftBracket => {
                return self.unsupported(self.span(), "a MULTISET constructor", "COLLECT makes a multiset");
            }
            "CURSOR" | "UNIQUE" | "PERIOD" if called => {
                return self.unsupported(self.span(), &format!("{word} in an expression"), "");
            }
            _ if !called && WITHOUT_PARENTHESES.contains(&word) => self.call_without_parentheses(),
            _ if called => match self.special_form(word)? {
                Some(expression) => expression,
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        Ok(Some(expression))
    }

    fn constant(&mut self, literal: Literal) -> Expression {
        let span = self.span();
        self.advance();
        Expression { kind: ExpressionKind::Literal(literal), span }
    }

    fn call_without_parentheses(&mut self) -> Expression {
        let span = self.span();
        let token = self.advance();
        let value = self.token_text(token).to_string();
        let name = ObjectName { parts: vec![Identifier { value, quoted: false, span }], span };
        let call = FunctionCall::plain(name, Vec::new(), span);
        let call = FunctionCall { parenthesized: false, ..call };
        Expression { kind: ExpressionKind::Call(Box::new(call)), span }
    }

    /// `a`, `t.a.b`, `f(…)`, `database.f(…)`.
    fn name_or_call(&mut self) -> Parsed<Expression> {
        let token = self.token(0);
        let text = self.token_text(token);
        let reserved = token.kind == TokenKind::Word && is_reserved(text);
        // Some reserved words are functions: ABS, COUNT, LEFT, …
        let upper = self.upper_word().unwrap_or_default();
        let callable = !is_structural(text) || matches!(upper.as_str(), "LEFT" | "RIGHT");
        if reserved
            && self.kind(1) == TokenKind::LeftParen
            && super::data_type::is_type_word(&upper)
            && upper != "CHAR"
        {
            let message = format!("`{text}` is a type, not a function");
            return Err(Box::new(
                Diagnostic::syntax(self.span(), message).with_hint(format!("write CAST(value AS {upper})")),
            ));
        }
        if reserved && callable && self.kind(1) == TokenKind::LeftParen {
            let span = self.span();
            self.advance();
            let part = Identifier { value: text.to_string(), quoted: false, span };
            return self.call(ObjectName { parts: vec![part], span });
        }
        if reserved {
            return Err(self.expected_expression_not_keyword(text));
        }
        let mut parts = vec![self.identifier("an expression")?];
        while self.is(TokenKind::Dot) && self.kind(1) != TokenKind::Star {
            self.check_chain(parts.len())?;
            self.advance();
            parts.push(self.identifier("a name behind the dot")?);
        }
        let span = parts[0].span.to(parts[parts.len() - 1].span);
        if self.is(TokenKind::LeftParen) {
            return self.call(ObjectName { parts, span });
        }
        Ok(Expression { kind: ExpressionKind::Column(parts), span })
    }

    fn expected_expression_not_keyword(&self, text: &str) -> Box<Diagnostic> {
        if is_structural(text) {
            return self.expected("an expression");
        }
        let message = format!("expected an expression, but `{text}` is a reserved word");
        Box::new(Diagnostic::syntax(self.span(), message).with_hint(super::back_quotes(text)))
    }

    /// Whether a query begins here, without a parenthesis before it.
    pub(super) fn begins_query(&self) -> bool {
        self.begins_query_at(0)
    }

    pub(super) fn begins_query_at(&self, ahead: usize) -> bool {
        ["SELECT", "WITH", "VALUES"].iter().any(|word| self.is_word_at(ahead, word))
    }

    /// `(expression)`, `(a, b)` or `(query)`.
    fn parenthesized(&mut self) -> Parsed<Expression> {
        let open = self.expect(TokenKind::LeftParen, "`(`")?;
        if self.begins_query() {
            let query = Box::new(self.query()?);
            let end = self.close(open)?;
            return Ok(Expression { kind: ExpressionKind::Subquery(query), span: open.to(end) });
        }
        let first = self.first_in_parentheses()?;
        if !self.is(TokenKind::Comma) {
            let end = self.close(open)?;
            if let ExpressionKind::Binary { operator: BinaryOperator::Subtract, .. } = &first.kind
                && INTERVAL_UNITS.iter().any(|unit| self.is_word_at(0, unit))
            {
                return self.interval_between(first, open);
            }
            return Ok(Expression { kind: first.kind, span: open.to(end) });
        }
        let mut items = vec![first];
        while self.take(TokenKind::Comma) {
            items.push(self.expression()?);
        }
        let end = self.close(open)?;
        Ok(Expression { kind: ExpressionKind::Row(items), span: open.to(end) })
    }

    /// The unit behind the difference of two points in time.
    fn interval_between(&mut self, difference: Expression, open: Span) -> Parsed<Expression> {
        let qualifier = self.interval_qualifier()?;
        let span = self.since(open);
        let ExpressionKind::Binary { left, right, .. } = difference.kind else { return Ok(difference) };
        let (from, to) = (qualifier.from, qualifier.to);
        Ok(Expression { kind: ExpressionKind::IntervalBetween { left, right, from, to }, span })
    }

    /// `((SELECT …) UNION …)` is a query and `((SELECT …) + 1)` is not: which of them is known only behind the
    /// inner parenthesis, so the inner one is parsed once and then continued as what it is.
    fn first_in_parentheses(&mut self) -> Parsed<Expression> {
        if !self.is(TokenKind::LeftParen) {
            return self.expression();
        }
        self.nested(|parser| {
            let inner = parser.parenthesized()?;
            let inner_span = inner.span;
            match inner.kind {
                ExpressionKind::Subquery(query) if parser.continues_query() => {
                    let query = parser.continue_query(*query)?;
                    let span = query.span;
                    Ok(Expression { kind: ExpressionKind::Subquery(Box::new(query)), span })
                }
                kind => {
                    let operand = parser.continue_postfix(Expression { kind, span: inner_span })?;
                    parser.continue_expression(operand, 0)
                }
            }
        })
    }

    fn case(&mut self) -> Parsed<Expression> {
        let start = self.expect_word("CASE")?;
        let operand = match self.is_word("WHEN") {
            true => None,
            false => Some(Box::new(self.expression()?)),
        };
        let mut branches = Vec::new();
        while self.take_word("WHEN") {
            // `CASE a WHEN 1, 2 THEN x` is a branch for each of the values.
            let values = match operand {
                Some(_) => self.list(Parser::expression)?,
                None => vec![self.expression()?],
            };
            self.expect_word("THEN")?;
            let then = self.expression()?;
            branches.extend(values.into_iter().map(|when| CaseBranch { when, then: then.clone() }));
        }
        if branches.is_empty() {
            return Err(self.expected("WHEN"));
        }
        let otherwise = match self.take_word("ELSE") {
            true => Some(Box::new(self.expression()?)),
            false => None,
        };
        if !self.is_word("END") {
            return Err(self.expected("END of the CASE"));
        }
        self.advance();
        let kind = ExpressionKind::Case { operand, branches, otherwise };
        Ok(Expression { kind, span: self.since(start) })
    }

    fn cast(&mut self, word: &str) -> Parsed<Expression> {
        let start = self.span();
        if word == "SAFE_CAST" {
            return self.unsupported(start, "SAFE_CAST", "write TRY_CAST");
        }
        self.advance();
        let open = self.expect(TokenKind::LeftParen, "`(`")?;
        let operand = Box::new(self.expression()?);
        if !self.take_word("AS") {
            return Err(self.expected("AS and the type to cast to"));
        }
        let data_type = self.data_type()?;
        self.close(open)?;
        let kind = ExpressionKind::Cast { operand, data_type, lenient: word == "TRY_CAST" };
        Ok(Expression { kind, span: self.since(start) })
    }

    fn exists(&mut self) -> Parsed<Expression> {
        let start = self.expect_word("EXISTS")?;
        let open = self.expect(TokenKind::LeftParen, "`(`")?;
        let query = Box::new(self.query()?);
        self.close(open)?;
        Ok(Expression { kind: ExpressionKind::Exists(query), span: self.since(start) })
    }

    fn row_constructor(&mut self) -> Parsed<Expression> {
        let start = self.expect_word("ROW")?;
        let items = self.parenthesized_list(Parser::expression)?;
        Ok(Expression { kind: ExpressionKind::Row(items), span: self.since(start) })
    }

    fn array_constructor(&mut self) -> Parsed<Expression> {
        let start = self.expect_word("ARRAY")?;
        if self.is(TokenKind::LeftParen) {
            return self.unsupported(
                start,
                "ARRAY over a query",
                "ARRAY_AGG collects a column into an array",
            );
        }
        self.expect(TokenKind::LeftBracket, "`[` behind ARRAY")?;
        let items = match self.is(TokenKind::RightBracket) {
            true => Vec::new(),
            false => self.list(Parser::expression)?,
        };
        self.expect(TokenKind::RightBracket, "`]`")?;
        Ok(Expression { kind: ExpressionKind::Array(items), span: self.since(start) })
    }

    fn map_constructor(&mut self) -> Parsed<Expression> {
        let start = self.expect_word("MAP")?;
        self.expect(TokenKind::LeftBracket, "`[`")?;
        let mut entries = Vec::new();
        if !self.is(TokenKind::RightBracket) {
            entries = self.list(|parser| {
                let key = parser.expression()?;
                parser.expect(TokenKind::Comma, "`,` and the value of the key")?;
                Ok((key, parser.expression()?))
            })?;
        }
        self.expect(TokenKind::RightBracket, "`]`")?;
        Ok(Expression { kind: ExpressionKind::Map(entries), span: self.since(start) })
    }
}

impl FunctionCall {
    /// A call with arguments and nothing else.
    pub fn plain(name: ObjectName, arguments: Vec<Argument>, span: Span) -> FunctionCall {
        FunctionCall {
            name,
            parenthesized: true,
            quantifier: None,
            arguments,
            order_by: Vec::new(),
            within_group: Vec::new(),
            filter: None,
            nulls: None,
            over: None,
            span,
        }
    }
}
