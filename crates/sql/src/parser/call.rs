//! Function calls: arguments of every kind, and the clauses of aggregates and OVER windows.

use super::{Parsed, Parser};
use crate::ast::*;
use crate::diagnostic::Diagnostic;
use crate::lexer::TokenKind;

impl Parser<'_> {
    /// A call whose name has been parsed.
    pub(super) fn call(&mut self, name: ObjectName) -> Parsed<Expression> {
        let call = self.function_call(name)?;
        let span = call.span;
        Ok(Expression { kind: ExpressionKind::Call(Box::new(call)), span })
    }

    pub(super) fn function_call(&mut self, name: ObjectName) -> Parsed<FunctionCall> {
        let start = name.span;
        let open = self.expect(TokenKind::LeftParen, "`(`")?;
        let mut call = FunctionCall::plain(name, Vec::new(), start);
        if self.take_word("DISTINCT") {
            call.quantifier = Some(SetQuantifier::Distinct);
        } else if self.is_word("ALL") {
            self.advance();
            call.quantifier = Some(SetQuantifier::All);
        }
        if call.quantifier.is_some() || !self.is(TokenKind::RightParen) {
            call.arguments = self.list(Parser::argument)?;
        }
        call.nulls = self.null_treatment();
        if self.take_words(&["ORDER", "BY"]) {
            call.order_by = self.list(Parser::order_item)?;
        }
        self.close(open)?;
        self.call_clauses(&mut call)?;
        call.span = self.since(start);
        Ok(call)
    }

    /// `IGNORE NULLS`, `WITHIN GROUP (…)`, `FILTER (…)`, `OVER …`.
    pub(super) fn call_clauses(&mut self, call: &mut FunctionCall) -> Parsed<()> {
        if call.nulls.is_none() {
            call.nulls = self.null_treatment();
        }
        if self.take_word("WITHIN") {
            self.expect_word("GROUP")?;
            let open = self.expect(TokenKind::LeftParen, "`(`")?;
            self.expect_words(&["ORDER", "BY"])?;
            call.within_group = self.list(Parser::order_item)?;
            self.close(open)?;
        }
        call.filter = self.filter()?.map(Box::new);
        if self.take_word("OVER") {
            call.over = Some(self.over()?);
        }
        Ok(())
    }

    /// Inside the parentheses, or behind them.
    fn null_treatment(&mut self) -> Option<NullTreatment> {
        if self.take_words(&["IGNORE", "NULLS"]) {
            return Some(NullTreatment::Ignore);
        }
        self.take_words(&["RESPECT", "NULLS"]).then_some(NullTreatment::Respect)
    }

    /// `FILTER (WHERE condition)`.
    pub(super) fn filter(&mut self) -> Parsed<Option<Expression>> {
        if !self.take_word("FILTER") {
            return Ok(None);
        }
        let open = self.expect(TokenKind::LeftParen, "`(` behind FILTER")?;
        self.expect_word("WHERE")?;
        let condition = self.expression()?;
        self.close(open)?;
        Ok(Some(condition))
    }

    fn argument(&mut self) -> Parsed<Argument> {
        let start = self.span();
        let mut name = None;
        if self.kind(1) == TokenKind::Arrow {
            // A parameter may be called like a reserved word (`SIZE => …`, `ON_TIME => …`).
            name = Some(self.parameter_name()?);
            self.advance();
        }
        let value = self.argument_value()?;
        Ok(Argument { name, value, span: self.since(start) })
    }

    fn parameter_name(&mut self) -> Parsed<Identifier> {
        if self.is(TokenKind::Word) {
            let span = self.span();
            let token = self.advance();
            return Ok(Identifier { value: self.token_text(token).to_string(), quoted: false, span });
        }
        self.identifier("the name of a parameter")
    }

    fn argument_value(&mut self) -> Parsed<ArgumentValue> {
        if self.take(TokenKind::Star) {
            return Ok(ArgumentValue::Star);
        }
        if self.is_word_at(0, "DEFAULT") {
            self.advance();
            return Ok(ArgumentValue::Default);
        }
        if self.is_word_at(0, "TABLE") {
            return Ok(ArgumentValue::Table(self.table_argument()?));
        }
        if self.is_word_at(0, "MODEL") && self.is_name_at(1) {
            self.advance();
            return Ok(ArgumentValue::Model(self.table_name("the name of a model")?));
        }
        if self.is_word_at(0, "DESCRIPTOR") && self.kind(1) == TokenKind::LeftParen {
            self.advance();
            return Ok(ArgumentValue::Descriptor(self.column_names()?));
        }
        // A query in parentheses is a table argument, where what stands behind it says so.
        let expression = self.expression()?;
        let partitioned = self.is_words(&["PARTITION", "BY"]);
        match expression.kind {
            ExpressionKind::Subquery(query) if partitioned || self.is_words(&["ORDER", "BY"]) => {
                let start = expression.span;
                Ok(ArgumentValue::Table(self.table_argument_tail(start, TableArgumentInput::Query(query))?))
            }
            kind => Ok(ArgumentValue::Expression(Expression { kind, span: expression.span })),
        }
    }

    fn table_argument(&mut self) -> Parsed<TableArgument> {
        let start = self.expect_word("TABLE")?;
        if !self.is(TokenKind::LeftParen) {
            let name = self.table_name("the name of a table")?;
            return self.table_argument_tail(start, TableArgumentInput::Name(name));
        }
        let open = self.expect(TokenKind::LeftParen, "`(`")?;
        let query = Box::new(self.query()?);
        self.close(open)?;
        self.table_argument_tail(start, TableArgumentInput::Query(query))
    }

    fn table_argument_tail(
        &mut self,
        start: crate::span::Span,
        input: TableArgumentInput,
    ) -> Parsed<TableArgument> {
        let partition_by = self.partition_by()?;
        let order_by = match self.take_words(&["ORDER", "BY"]) {
            true if self.is(TokenKind::LeftParen) => self.parenthesized_list(Parser::order_item)?,
            true => vec![self.order_item()?],
            false => Vec::new(),
        };
        Ok(TableArgument { input, partition_by, order_by, span: self.since(start) })
    }

    /// Behind a table argument several columns stand in parentheses: a comma ends the argument.
    fn partition_by(&mut self) -> Parsed<Vec<Expression>> {
        if !self.take_words(&["PARTITION", "BY"]) {
            return Ok(Vec::new());
        }
        let key = self.expression()?;
        Ok(match key.kind {
            ExpressionKind::Row(keys) => keys,
            kind => vec![Expression { kind, span: key.span }],
        })
    }

    fn over(&mut self) -> Parsed<Over> {
        if self.is(TokenKind::LeftParen) {
            return Ok(Over::Window(self.window_specification()?));
        }
        self.identifier("`(` or the name of a window behind OVER").map(Over::Named).map_err(|mut error| {
            error.hint.get_or_insert("write OVER (PARTITION BY … ORDER BY …)".into());
            error
        })
    }

    /// `([base] [PARTITION BY …] [ORDER BY …] [ROWS|RANGE …])`.
    pub(super) fn window_specification(&mut self) -> Parsed<WindowSpecification> {
        let open = self.expect(TokenKind::LeftParen, "`(`")?;
        let base = match self.is_name() {
            true => Some(self.identifier("the name of a window")?),
            false => None,
        };
        let partition_by = match self.take_words(&["PARTITION", "BY"]) {
            true => self.list(Parser::expression)?,
            false => Vec::new(),
        };
        let order_by = match self.take_words(&["ORDER", "BY"]) {
            true => self.list(Parser::order_item)?,
            false => Vec::new(),
        };
        let frame = self.frame()?;
        let end = self.close(open)?;
        Ok(WindowSpecification { base, partition_by, order_by, frame, span: open.to(end) })
    }

    fn frame(&mut self) -> Parsed<Option<Frame>> {
        let start = self.span();
        let unit = if self.take_word("ROWS") {
            FrameUnit::Rows
        } else if self.take_word("RANGE") {
            FrameUnit::Range
        } else if self.is_word_at(0, "GROUPS") {
            return self.unsupported(start, "a window frame of GROUPS", "use ROWS or RANGE");
        } else {
            return Ok(None);
        };
        let (first, end) = match self.take_word("BETWEEN") {
            true => {
                let first = self.frame_bound()?;
                self.expect_word("AND")?;
                (first, Some(self.frame_bound()?))
            }
            false => (self.frame_bound()?, None),
        };
        let span = self.since(start);
        if matches!(first, FrameBound::UnboundedFollowing)
            || matches!(end, Some(FrameBound::UnboundedPreceding))
        {
            return Err(Box::new(Diagnostic::invalid(span, "this window frame ends before it begins")));
        }
        Ok(Some(Frame { unit, start: first, end, span }))
    }

    fn frame_bound(&mut self) -> Parsed<FrameBound> {
        if self.take_words(&["CURRENT", "ROW"]) {
            return Ok(FrameBound::CurrentRow);
        }
        if self.take_words(&["UNBOUNDED", "PRECEDING"]) {
            return Ok(FrameBound::UnboundedPreceding);
        }
        if self.take_words(&["UNBOUNDED", "FOLLOWING"]) {
            return Ok(FrameBound::UnboundedFollowing);
        }
        let distance = Box::new(self.expression()?);
        if self.take_word("PRECEDING") {
            Ok(FrameBound::Preceding(distance))
        } else if self.take_word("FOLLOWING") {
            Ok(FrameBound::Following(distance))
        } else {
            Err(self.expected("PRECEDING or FOLLOWING"))
        }
    }
}
