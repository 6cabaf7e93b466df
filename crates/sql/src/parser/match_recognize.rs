//! MATCH_RECOGNIZE: the clauses in the order in which Flink takes them, and patterns.
//!
//! What Flink parses and then refuses is refused here.

use super::{Parsed, Parser};
use crate::ast::*;
use crate::diagnostic::Diagnostic;
use crate::lexer::TokenKind;
use crate::span::Span;

/// A hint of several refusals.
const TWO_QUERIES: &str = "write a MATCH_RECOGNIZE for each alternative and join them by UNION ALL";

impl Parser<'_> {
    /// Behind a table or a query, if it stands there.
    pub(super) fn match_recognize(&mut self) -> Parsed<Option<MatchRecognize>> {
        let start = self.span();
        if !self.take_word("MATCH_RECOGNIZE") {
            return Ok(None);
        }
        let open = self.expect(TokenKind::LeftParen, "`(` and the clauses of MATCH_RECOGNIZE")?;
        let partition_by = match self.take_words(&["PARTITION", "BY"]) {
            true => self.list(Parser::expression)?,
            false => Vec::new(),
        };
        let order_by = match self.take_words(&["ORDER", "BY"]) {
            true => self.list(Parser::order_item)?,
            false => Vec::new(),
        };
        let measures = match self.take_word("MEASURES") {
            true => self.list(Parser::measure)?,
            false => Vec::new(),
        };
        self.rows_per_match()?;
        let after = self.after_match()?;
        if !self.take_word("PATTERN") {
            return Err(self.expected("PATTERN (variables)"));
        }
        let pattern_open = self.expect(TokenKind::LeftParen, "`(` and the pattern")?;
        let mut pattern = Vec::new();
        self.refuse_anchor(TokenKind::Caret)?;
        self.pattern(&mut pattern)?;
        self.refuse_anchor(TokenKind::Dollar)?;
        let pattern_span = pattern_open.to(self.close(pattern_open)?);
        let within = match self.take_word("WITHIN") {
            true if self.is_word_at(0, "INTERVAL") => Some(self.interval_literal()?),
            true => return Err(self.expected("an interval such as INTERVAL '1' HOUR")),
            false => None,
        };
        if self.is_word_at(0, "SUBSET") {
            let hint = "name the variables that are meant, one by one";
            return self.unsupported(self.span(), "SUBSET", hint);
        }
        if !self.take_word("DEFINE") {
            return Err(self.expected("DEFINE and the condition of a variable: DEFINE a AS a.x > 1"));
        }
        let definitions = self.list(Parser::definition)?;
        self.close(open)?;
        Ok(Some(MatchRecognize {
            partition_by,
            order_by,
            measures,
            after,
            pattern,
            pattern_span,
            within,
            definitions,
            span: self.since(start),
        }))
    }

    fn measure(&mut self) -> Parsed<Measure> {
        if self.is_word_at(0, "RUNNING") {
            return self.unsupported(
                self.span(),
                "RUNNING",
                "a measure is that of the whole match: leave the word out",
            );
        }
        self.take_word("FINAL");
        let expression = self.expression()?;
        if !self.take_word("AS") {
            return Err(self.expected("AS and the name of the measure"));
        }
        Ok(Measure { expression, name: self.identifier("the name of the measure")? })
    }

    fn definition(&mut self) -> Parsed<Definition> {
        let variable = self.identifier("a variable of the pattern")?;
        if !self.take_word("AS") {
            return Err(self.expected("AS and the condition of the variable"));
        }
        if self.is_word_at(0, "FINAL") || self.is_word_at(0, "RUNNING") {
            let message = "FINAL and RUNNING stand in MEASURES only";
            return Err(Box::new(Diagnostic::invalid(self.span(), message).with_hint("leave the word out")));
        }
        Ok(Definition { variable, condition: self.expression()? })
    }

    fn rows_per_match(&mut self) -> Parsed<()> {
        if self.is_words(&["ALL", "ROWS"]) {
            let start = self.span();
            self.advance();
            self.advance();
            self.expect_words(&["PER", "MATCH"])?;
            let hint = "ONE ROW PER MATCH gives a row with the MEASURES";
            return self.unsupported(self.since(start), "ALL ROWS PER MATCH", hint);
        }
        if self.take_word("ONE") {
            self.expect_words(&["ROW", "PER", "MATCH"])?;
        }
        Ok(())
    }

    fn after_match(&mut self) -> Parsed<Option<AfterMatch>> {
        if !self.take_word("AFTER") {
            return Ok(None);
        }
        self.expect_words(&["MATCH", "SKIP"])?;
        if self.take_word("PAST") {
            self.expect_words(&["LAST", "ROW"])?;
            return Ok(Some(AfterMatch::PastLastRow));
        }
        self.expect_word("TO")?;
        if self.take_words(&["NEXT", "ROW"]) {
            return Ok(Some(AfterMatch::ToNextRow));
        }
        let ends = !self.is_name_at(1);
        if !ends && self.take_word("FIRST") {
            return Ok(Some(AfterMatch::ToFirst(self.identifier("a variable of the pattern")?)));
        }
        if !ends {
            self.take_word("LAST");
        }
        Ok(Some(AfterMatch::ToLast(self.identifier("NEXT ROW, or FIRST or LAST and a variable")?)))
    }

    /// Variables one behind the other; parentheses that say nothing are taken away.
    fn pattern(&mut self, variables: &mut Vec<PatternVariable>) -> Parsed<()> {
        let mut length = 0;
        loop {
            length += 1;
            self.check_chain(length)?;
            self.nested(|parser| parser.pattern_factor(variables))?;
            if self.is(TokenKind::Pipe) {
                return self.unsupported(self.span(), "an alternative in a PATTERN", TWO_QUERIES);
            }
            if matches!(self.kind(0), TokenKind::RightParen | TokenKind::Dollar | TokenKind::End) {
                return Ok(());
            }
        }
    }

    fn pattern_factor(&mut self, variables: &mut Vec<PatternVariable>) -> Parsed<()> {
        let start = self.span();
        if self.is_word_at(0, "PERMUTE") && self.kind(1) == TokenKind::LeftParen {
            return self.unsupported(start, "PERMUTE", TWO_QUERIES);
        }
        if self.is(TokenKind::LeftBrace) {
            let hint = "name the variable without braces, and leave it out of the MEASURES";
            return self.unsupported(start, "an exclusion {- … -} in a PATTERN", hint);
        }
        if self.is(TokenKind::LeftParen) {
            let open = self.expect(TokenKind::LeftParen, "`(`")?;
            self.pattern(variables)?;
            self.close(open)?;
            if self.pattern_quantifier()?.is_some() {
                let hint = "a quantifier stands behind a single variable";
                return self.unsupported(self.since(start), "a group with a quantifier in a PATTERN", hint);
            }
            return Ok(());
        }
        let name = self.identifier("a variable of the pattern")?;
        let quantifier = self.pattern_quantifier()?.unwrap_or(PatternQuantifier::ONCE);
        variables.push(PatternVariable { name, quantifier, span: self.since(start) });
        Ok(())
    }

    fn pattern_quantifier(&mut self) -> Parsed<Option<PatternQuantifier>> {
        let start = self.span();
        let (least, most) = match self.kind(0) {
            TokenKind::Star => (0, None),
            TokenKind::Plus => (1, None),
            TokenKind::Question => (0, Some(1)),
            TokenKind::LeftBrace if self.kind(1) != TokenKind::Minus => {
                let bounds = self.pattern_bounds()?;
                return self.reluctance(start, bounds).map(Some);
            }
            _ => return Ok(None),
        };
        self.advance();
        self.reluctance(start, (least, most)).map(Some)
    }

    fn reluctance(&mut self, start: Span, (least, most): (u32, Option<u32>)) -> Parsed<PatternQuantifier> {
        let reluctant = self.take(TokenKind::Question);
        if let Some(most) = most.filter(|most| *most < least || *most == 0) {
            let message = format!("a variable cannot stand {least} to {most} times");
            return Err(Box::new(
                Diagnostic::invalid(self.since(start), message)
                    .with_hint("write {n}, {n,}, {n,m} or {,m} with m of at least 1 and at least n"),
            ));
        }
        Ok(PatternQuantifier { least, most, reluctant })
    }

    /// `{n}`, `{n,}`, `{n,m}` or `{,m}`.
    fn pattern_bounds(&mut self) -> Parsed<(u32, Option<u32>)> {
        self.expect(TokenKind::LeftBrace, "`{`")?;
        let bounds = if self.take(TokenKind::Comma) {
            (0, Some(self.whole_number("the greatest number of rows")?))
        } else {
            let least = self.whole_number("a number of rows, or `,` and the greatest one")?;
            match self.take(TokenKind::Comma) {
                false => (least, Some(least)),
                true if self.is(TokenKind::RightBrace) => (least, None),
                true => (least, Some(self.whole_number("the greatest number of rows")?)),
            }
        };
        self.expect(TokenKind::RightBrace, "`}`")?;
        Ok(bounds)
    }

    fn refuse_anchor(&self, anchor: TokenKind) -> Parsed<()> {
        if self.is(anchor) {
            let hint = "a partition of a stream has no first and no last row; leave the anchor out";
            return self.unsupported(self.span(), "an anchor in a PATTERN", hint);
        }
        Ok(())
    }
}
