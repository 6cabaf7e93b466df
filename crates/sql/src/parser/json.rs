//! The SQL/JSON functions: RETURNING, wrappers, ON EMPTY, ON ERROR, ON NULL.

use super::{Parsed, Parser};
use crate::ast::*;
use crate::lexer::TokenKind;
use crate::span::Span;

impl Parser<'_> {
    pub(super) fn json_call(&mut self, word: &str) -> Parsed<ExpressionKind> {
        let (_, open) = self.open_form()?;
        let call = match word {
            "JSON_VALUE" => self.json_value(open)?,
            "JSON_QUERY" => self.json_query(open)?,
            "JSON_EXISTS" => self.json_exists(open)?,
            "JSON_OBJECT" => self.json_object(open)?,
            "JSON_ARRAY" => self.json_array(open)?,
            "JSON_OBJECTAGG" => {
                let (key, value) = self.json_entry()?;
                let on_null = self.json_on_null()?;
                self.close(open)?;
                JsonCall::ObjectAggregate { key, value, on_null, filter: self.filter()? }
            }
            _ => {
                let element = self.expression()?;
                let on_null = self.json_on_null()?;
                self.close(open)?;
                JsonCall::ArrayAggregate { element, on_null, filter: self.filter()? }
            }
        };
        Ok(ExpressionKind::Json(Box::new(call)))
    }

    fn json_input_and_path(&mut self) -> Parsed<(Expression, Expression)> {
        let input = self.expression()?;
        self.expect(TokenKind::Comma, "`,` and a JSON path")?;
        Ok((input, self.expression()?))
    }

    fn json_returning(&mut self) -> Parsed<Option<DataType>> {
        if !self.take_word("RETURNING") {
            return Ok(None);
        }
        self.data_type().map(Some)
    }

    fn json_value(&mut self, open: Span) -> Parsed<JsonCall> {
        let (input, path) = self.json_input_and_path()?;
        let returning = self.json_returning()?;
        let (on_empty, on_error) = self.json_behaviors()?;
        self.close(open)?;
        Ok(JsonCall::Value { input, path, returning, on_empty, on_error })
    }

    fn json_query(&mut self, open: Span) -> Parsed<JsonCall> {
        let (input, path) = self.json_input_and_path()?;
        let returning = self.json_returning()?;
        let wrapper = if self.take_word("WITHOUT") {
            self.take_word("ARRAY");
            self.expect_word("WRAPPER")?;
            Some(JsonWrapper::Without)
        } else if self.take_word("WITH") {
            let conditional = self.take_word("CONDITIONAL");
            if !conditional {
                self.take_word("UNCONDITIONAL");
            }
            self.take_word("ARRAY");
            self.expect_word("WRAPPER")?;
            Some(if conditional { JsonWrapper::Conditional } else { JsonWrapper::Unconditional })
        } else {
            None
        };
        let (on_empty, on_error) = self.json_behaviors()?;
        self.close(open)?;
        Ok(JsonCall::Query { input, path, returning, wrapper, on_empty, on_error })
    }

    fn json_exists(&mut self, open: Span) -> Parsed<JsonCall> {
        let (input, path) = self.json_input_and_path()?;
        let behavior = self.json_behavior()?;
        if behavior.is_some() {
            self.expect_words(&["ON", "ERROR"])?;
        }
        self.close(open)?;
        Ok(JsonCall::Exists { input, path, on_error: behavior })
    }

    /// `behavior ON EMPTY`, `behavior ON ERROR`, in this order, each at most once.
    fn json_behaviors(&mut self) -> Parsed<(Option<JsonBehavior>, Option<JsonBehavior>)> {
        let (mut on_empty, mut on_error) = (None, None);
        while let Some(behavior) = self.json_behavior()? {
            self.expect_word("ON")?;
            if on_empty.is_none() && on_error.is_none() && self.take_word("EMPTY") {
                on_empty = Some(behavior);
            } else if on_error.is_none() && self.take_word("ERROR") {
                on_error = Some(behavior);
            } else {
                return Err(self.expected("EMPTY or ERROR, each once and in this order"));
            }
        }
        Ok((on_empty, on_error))
    }

    fn json_behavior(&mut self) -> Parsed<Option<JsonBehavior>> {
        Ok(Some(if self.take_word("NULL") {
            JsonBehavior::Null
        } else if self.take_word("ERROR") {
            JsonBehavior::Error
        } else if self.take_word("TRUE") {
            JsonBehavior::True
        } else if self.take_word("FALSE") {
            JsonBehavior::False
        } else if self.take_word("UNKNOWN") {
            JsonBehavior::Unknown
        } else if self.take_words(&["EMPTY", "OBJECT"]) {
            JsonBehavior::EmptyObject
        } else if self.take_word("EMPTY") {
            self.take_word("ARRAY");
            JsonBehavior::EmptyArray
        } else if self.take_word("DEFAULT") {
            JsonBehavior::Default(self.expression()?)
        } else {
            return Ok(None);
        }))
    }

    /// `[KEY] key VALUE value` or `key : value`.
    fn json_entry(&mut self) -> Parsed<(Expression, Expression)> {
        // KEY is no reserved word: it is the keyword only where the key itself follows.
        let key_follows = !matches!(
            self.kind(1),
            TokenKind::Dot
                | TokenKind::LeftParen
                | TokenKind::Colon
                | TokenKind::Comma
                | TokenKind::RightParen
        ) && !self.is_word_at(1, "VALUE");
        if self.is_word_at(0, "KEY") && key_follows {
            self.advance();
        }
        let key = self.expression()?;
        if !self.take(TokenKind::Colon) && !self.take_word("VALUE") && !self.take(TokenKind::Comma) {
            return Err(self.expected("VALUE and the value of the key"));
        }
        Ok((key, self.expression()?))
    }

    fn json_object(&mut self, open: Span) -> Parsed<JsonCall> {
        let entries = match self.is(TokenKind::RightParen) {
            true => Vec::new(),
            false => self.list(Parser::json_entry)?,
        };
        let on_null = self.json_on_null()?;
        self.close(open)?;
        Ok(JsonCall::Object { entries, on_null })
    }

    fn json_array(&mut self, open: Span) -> Parsed<JsonCall> {
        let elements = match self.is(TokenKind::RightParen) {
            true => Vec::new(),
            false => self.list(Parser::expression)?,
        };
        let on_null = self.json_on_null()?;
        self.close(open)?;
        Ok(JsonCall::Array { elements, on_null })
    }

    fn json_on_null(&mut self) -> Parsed<Option<JsonOnNull>> {
        let on_null = if self.take_word("NULL") {
            JsonOnNull::Null
        } else if self.take_word("ABSENT") {
            JsonOnNull::Absent
        } else {
            return Ok(None);
        };
        self.expect_words(&["ON", "NULL"])?;
        Ok(Some(on_null))
    }
}
