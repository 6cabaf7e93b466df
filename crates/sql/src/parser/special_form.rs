//! Functions with a syntax of their own: EXTRACT, TRIM, SUBSTRING, POSITION, OVERLAY, FLOOR … TO, TIMESTAMPADD.

use super::{Parsed, Parser};
use crate::ast::*;
use crate::diagnostic::Diagnostic;
use crate::lexer::TokenKind;
use crate::span::Span;

impl Parser<'_> {
    /// A special form whose name is the current word and whose parenthesis follows; None for any other function.
    pub(super) fn special_form(&mut self, word: &str) -> Parsed<Option<Expression>> {
        let start = self.span();
        let kind = match word {
            "EXTRACT" => self.extract()?,
            "TRIM" => self.trim()?,
            "SUBSTRING" => self.substring()?,
            "POSITION" => self.position()?,
            "OVERLAY" => self.overlay()?,
            "FLOOR" | "CEIL" | "CEILING" => self.round_to(word)?,
            "TIMESTAMPADD" => self.timestamp_add()?,
            "TIMESTAMPDIFF" => self.timestamp_difference()?,
            "JSON_VALUE" | "JSON_QUERY" | "JSON_EXISTS" | "JSON_OBJECT" | "JSON_ARRAY" | "JSON_OBJECTAGG"
            | "JSON_ARRAYAGG" => self.json_call(word)?,
            "CONVERT" => {
                return self.unsupported(start, "CONVERT", "write CAST(value AS type)");
            }
            _ => return Ok(None),
        };
        Ok(Some(Expression { kind, span: self.since(start) }))
    }

    /// Takes the name and the opening parenthesis.
    pub(super) fn open_form(&mut self) -> Parsed<(Identifier, Span)> {
        let span = self.span();
        let token = self.advance();
        let name = Identifier { value: self.token_text(token).to_string(), quoted: false, span };
        let open = self.expect(TokenKind::LeftParen, "`(`")?;
        Ok((name, open))
    }

    /// `EXTRACT(unit FROM x)`.
    fn extract(&mut self) -> Parsed<ExpressionKind> {
        let (_, open) = self.open_form()?;
        let unit = self.time_unit()?;
        self.expect_word("FROM")?;
        let operand = Box::new(self.expression()?);
        self.close(open)?;
        Ok(ExpressionKind::Extract { unit, operand })
    }

    /// `TRIM([BOTH|LEADING|TRAILING] [characters] [FROM] x)`.
    fn trim(&mut self) -> Parsed<ExpressionKind> {
        let (_, open) = self.open_form()?;
        let side = if self.take_word("LEADING") {
            Some(TrimSide::Leading)
        } else if self.take_word("TRAILING") {
            Some(TrimSide::Trailing)
        } else {
            self.take_word("BOTH").then_some(TrimSide::Both)
        };
        let mut characters = None;
        if side.is_some() && self.take_word("FROM") {
            let operand = Box::new(self.expression()?);
            self.close(open)?;
            return Ok(ExpressionKind::Trim { side: side.unwrap_or(TrimSide::Both), characters, operand });
        }
        let mut operand = Box::new(self.expression()?);
        if self.take_word("FROM") {
            characters = Some(operand);
            operand = Box::new(self.expression()?);
        } else if side.is_some() {
            return Err(self.expected("FROM and the text to trim"));
        }
        self.close(open)?;
        Ok(ExpressionKind::Trim { side: side.unwrap_or(TrimSide::Both), characters, operand })
    }

    /// `SUBSTRING(x FROM a [FOR b])` or with commas.
    fn substring(&mut self) -> Parsed<ExpressionKind> {
        let (name, open) = self.open_form()?;
        let mut arguments = vec![self.expression()?];
        if self.take_word("FROM") || self.take(TokenKind::Comma) {
            arguments.push(self.expression()?);
            if self.take_word("FOR") || self.take(TokenKind::Comma) {
                arguments.push(self.expression()?);
            }
        } else {
            return Err(self.expected("FROM or `,` and where the part begins"));
        }
        self.close(open)?;
        Ok(plain_call(name, arguments, self.since(open)))
    }

    /// `POSITION(a IN b [FROM n])`.
    fn position(&mut self) -> Parsed<ExpressionKind> {
        let (name, open) = self.open_form()?;
        // IN would be taken for the predicate: the needle is a primary or stands in parentheses.
        let needle = self.primary()?;
        let needle = self.continue_postfix(needle)?;
        self.expect_word("IN")?;
        let mut arguments = vec![needle, self.expression()?];
        if self.take_word("FROM") {
            arguments.push(self.expression()?);
        }
        self.close(open)?;
        Ok(plain_call(name, arguments, self.since(open)))
    }

    /// `OVERLAY(x PLACING y FROM a [FOR b])`.
    fn overlay(&mut self) -> Parsed<ExpressionKind> {
        let (name, open) = self.open_form()?;
        let mut arguments = vec![self.expression()?];
        self.expect_word("PLACING")?;
        arguments.push(self.expression()?);
        self.expect_word("FROM")?;
        arguments.push(self.expression()?);
        if self.take_word("FOR") {
            arguments.push(self.expression()?);
        }
        self.close(open)?;
        Ok(plain_call(name, arguments, self.since(open)))
    }

    /// `FLOOR(x)`, `FLOOR(x TO unit)`.
    fn round_to(&mut self, word: &str) -> Parsed<ExpressionKind> {
        let (name, open) = self.open_form()?;
        let operand = self.expression()?;
        if self.take_word("TO") {
            let unit = self.time_unit()?;
            self.close(open)?;
            return Ok(ExpressionKind::RoundTo { up: word != "FLOOR", operand: Box::new(operand), unit });
        }
        self.close(open)?;
        Ok(plain_call(name, vec![operand], self.since(open)))
    }

    /// `TIMESTAMPADD(unit, n, x)`.
    fn timestamp_add(&mut self) -> Parsed<ExpressionKind> {
        let (unit, count, operand) = self.timestamp_form()?;
        Ok(ExpressionKind::TimestampAdd { unit, count, operand })
    }

    /// `TIMESTAMPDIFF(unit, from, to)`.
    fn timestamp_difference(&mut self) -> Parsed<ExpressionKind> {
        let (unit, from, to) = self.timestamp_form()?;
        Ok(ExpressionKind::TimestampDiff { unit, from, to })
    }

    fn timestamp_form(&mut self) -> Parsed<(TimeUnit, Box<Expression>, Box<Expression>)> {
        let (_, open) = self.open_form()?;
        let unit = self.time_unit()?;
        self.expect(TokenKind::Comma, "`,`")?;
        let first = Box::new(self.expression()?);
        self.expect(TokenKind::Comma, "`,`")?;
        let second = Box::new(self.expression()?);
        self.close(open)?;
        Ok((unit, first, second))
    }

    /// A unit as a word; the `SQL_TSI_` spellings of JDBC too.
    fn time_unit(&mut self) -> Parsed<TimeUnit> {
        let Some(word) = self.upper_word() else {
            return Err(self.expected("a unit of time such as DAY, HOUR or MINUTE"));
        };
        let name = word.strip_prefix("SQL_TSI_").unwrap_or(&word);
        if let Some(unit) = TimeUnit::ALL.iter().find(|unit| unit.name() == name) {
            self.advance();
            return Ok(*unit);
        }
        let alias = match name {
            "DAYOFWEEK" => Some(TimeUnit::DayOfWeek),
            "DAYOFYEAR" => Some(TimeUnit::DayOfYear),
            "FRAC_SECOND" => Some(TimeUnit::Microsecond),
            _ => None,
        };
        if let Some(unit) = alias {
            self.advance();
            return Ok(unit);
        }
        let message = format!("`{}` is not a unit of time", self.token_text(self.token(0)));
        Err(Box::new(
            Diagnostic::syntax(self.span(), message)
                .with_hint(
                    "the units are YEAR, QUARTER, MONTH, WEEK, DAY, HOUR, MINUTE, SECOND, MILLISECOND, …",
                )
                .with_nearest(&word, TimeUnit::ALL.iter().map(|unit| unit.name())),
        ))
    }
}

fn plain_call(name: Identifier, arguments: Vec<Expression>, parentheses: Span) -> ExpressionKind {
    let arguments = arguments
        .into_iter()
        .map(|value| Argument { name: None, span: value.span, value: ArgumentValue::Expression(value) })
        .collect();
    let span = name.span.to(parentheses);
    let name = ObjectName { span: name.span, parts: vec![name] };
    ExpressionKind::Call(Box::new(FunctionCall::plain(name, arguments, span)))
}
