//! Expressions by precedence climbing, with the precedences of Calcite, which Flink parses with.
//!
//! From loose to tight: OR, AND, NOT, IS, comparisons, BETWEEN/IN/LIKE, `+ -`, `* / % ||`, signs, `.` and `[]`.
//! Chains of AND and of OR become balanced trees: both are associative, and a filter over thousands of values
//! must not become a tree thousands of levels high.

use super::{Parsed, Parser};
use crate::ast::*;
use crate::lexer::TokenKind;
use crate::span::Span;

mod precedence {
    pub(super) const OR: u8 = 22;
    pub(super) const AND: u8 = 24;
    pub(super) const NOT: u8 = 26;
    pub(super) const IS: u8 = 28;
    pub(super) const COMPARISON: u8 = 30;
    pub(super) const BETWEEN: u8 = 32;
    pub(super) const SUM: u8 = 40;
    pub(super) const PRODUCT: u8 = 60;
    pub(super) const SIGN: u8 = 80;
}

/// What may follow an operand.
enum Operator {
    Binary(BinaryOperator, u8),
    Is,
    /// BETWEEN, IN, LIKE, SIMILAR TO, perhaps behind NOT.
    Predicate,
    Overlaps,
}

impl Operator {
    fn precedence(&self) -> u8 {
        match self {
            Operator::Binary(_, precedence) => *precedence,
            Operator::Is => precedence::IS,
            Operator::Predicate => precedence::BETWEEN,
            Operator::Overlaps => precedence::COMPARISON,
        }
    }
}

impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Parsed<Expression> {
        self.expression_above(0)
    }

    /// An expression whose operators bind at least as tightly as `least`.
    fn expression_above(&mut self, least: u8) -> Parsed<Expression> {
        self.nested(|parser| {
            let left = parser.prefix()?;
            parser.continue_expression(left, least)
        })
    }

    fn prefix(&mut self) -> Parsed<Expression> {
        let start = self.span();
        let (operator, least) = match self.kind(0) {
            TokenKind::Plus => (UnaryOperator::Plus, precedence::SIGN),
            TokenKind::Minus => (UnaryOperator::Minus, precedence::SIGN),
            TokenKind::Word if self.is_word_at(0, "NOT") => (UnaryOperator::Not, precedence::NOT + 1),
            _ => return self.postfix(),
        };
        self.advance();
        let operand = Box::new(self.expression_above(least)?);
        let span = start.to(operand.span);
        Ok(Expression { kind: ExpressionKind::Unary { operator, operand }, span })
    }

    /// Goes on behind an operand that has been parsed.
    pub(super) fn continue_expression(&mut self, left: Expression, least: u8) -> Parsed<Expression> {
        let mut left = left;
        let mut length = 0;
        while let Some(operator) = self.operator() {
            if operator.precedence() < least {
                break;
            }
            length += 1;
            self.check_chain(length)?;
            left = match operator {
                Operator::Binary(operator @ (BinaryOperator::And | BinaryOperator::Or), binding) => {
                    self.junction(left, operator, binding)?
                }
                Operator::Binary(operator, binding) => self.binary(left, operator, binding)?,
                Operator::Is => self.is_test(left)?,
                Operator::Predicate => self.predicate(left)?,
                Operator::Overlaps => {
                    self.advance();
                    let right = self.expression_above(precedence::COMPARISON + 1)?;
                    let span = left.span.to(right.span);
                    let kind = ExpressionKind::Overlaps { left: Box::new(left), right: Box::new(right) };
                    Expression { kind, span }
                }
            };
        }
        Ok(left)
    }

    fn operator(&self) -> Option<Operator> {
        use BinaryOperator::*;
        use precedence::{AND, COMPARISON, OR, PRODUCT, SUM};
        let binary = |operator, precedence| Some(Operator::Binary(operator, precedence));
        match self.kind(0) {
            TokenKind::Equal => binary(Equal, COMPARISON),
            TokenKind::NotEqual => binary(NotEqual, COMPARISON),
            TokenKind::Less => binary(Less, COMPARISON),
            TokenKind::LessOrEqual => binary(LessOrEqual, COMPARISON),
            TokenKind::Greater => binary(Greater, COMPARISON),
            TokenKind::GreaterOrEqual => binary(GreaterOrEqual, COMPARISON),
            TokenKind::Plus => binary(Add, SUM),
            TokenKind::Minus => binary(Subtract, SUM),
            TokenKind::Star => binary(Multiply, PRODUCT),
            TokenKind::Slash => binary(Divide, PRODUCT),
            TokenKind::Percent => binary(Modulo, PRODUCT),
            TokenKind::Concatenate => binary(Concatenate, PRODUCT),
            TokenKind::Word => {
                if self.is_word("AND") {
                    return binary(And, AND);
                }
                if self.is_word("OR") {
                    return binary(Or, OR);
                }
                if self.is_word("IS") {
                    return Some(Operator::Is);
                }
                if self.is_word("OVERLAPS") {
                    return Some(Operator::Overlaps);
                }
                let ahead = usize::from(self.is_word_at(0, "NOT"));
                let begins = PREDICATES.iter().any(|word| self.is_word_at(ahead, word));
                if !begins && ahead == 0 {
                    for word in &PREDICATES[..4] {
                        self.is_word(word);
                    }
                }
                begins.then_some(Operator::Predicate)
            }
            _ => None,
        }
    }

    fn binary(&mut self, left: Expression, operator: BinaryOperator, binding: u8) -> Parsed<Expression> {
        let operator_span = self.span();
        self.advance();
        for (word, all) in [("ANY", false), ("SOME", false), ("ALL", true)] {
            if binding == precedence::COMPARISON
                && self.is_word_at(0, word)
                && self.kind(1) == TokenKind::LeftParen
            {
                self.advance();
                return self.quantified(left, operator, all);
            }
        }
        let right = self.expression_above(binding + 1)?;
        Ok(binary(left, operator, operator_span, right))
    }

    /// All the operands of one chain of AND or OR.
    fn junction(&mut self, left: Expression, operator: BinaryOperator, binding: u8) -> Parsed<Expression> {
        let word = operator.symbol();
        let mut operands = vec![left];
        let mut spans = Vec::new();
        while self.is_word(word) {
            spans.push(self.span());
            self.advance();
            operands.push(self.expression_above(binding + 1)?);
        }
        let mut operands = operands.into_iter();
        Ok(balanced(&mut operands, &spans, operator))
    }

    fn quantified(&mut self, left: Expression, operator: BinaryOperator, all: bool) -> Parsed<Expression> {
        let open = self.expect(TokenKind::LeftParen, "`(`")?;
        let right = if self.begins_query() {
            QuantifiedOperand::Query(Box::new(self.query()?))
        } else {
            QuantifiedOperand::List(self.list(Parser::expression)?)
        };
        let end = self.close(open)?;
        let span = left.span.to(end);
        Ok(Expression {
            kind: ExpressionKind::Quantified { left: Box::new(left), operator, all, right },
            span,
        })
    }

    fn is_test(&mut self, operand: Expression) -> Parsed<Expression> {
        let start = operand.span;
        self.advance();
        let negated = self.take_word("NOT");
        if self.take_words(&["DISTINCT", "FROM"]) {
            let right = self.expression_above(precedence::COMPARISON + 1)?;
            let span = start.to(right.span);
            let kind =
                ExpressionKind::IsDistinctFrom { left: Box::new(operand), negated, right: Box::new(right) };
            return Ok(Expression { kind, span });
        }
        let test = if self.take_word("NULL") {
            IsTest::Null
        } else if self.take_word("TRUE") {
            IsTest::True
        } else if self.take_word("FALSE") {
            IsTest::False
        } else if self.take_word("UNKNOWN") {
            IsTest::Unknown
        } else if self.take_word("JSON") {
            self.json_test()
        } else {
            let what = "NULL, TRUE, FALSE, UNKNOWN, DISTINCT FROM or JSON behind IS";
            return Err(self.expected(what));
        };
        let kind = ExpressionKind::Is { operand: Box::new(operand), negated, test };
        Ok(Expression { kind, span: self.since(start) })
    }

    fn json_test(&mut self) -> IsTest {
        if self.take_word("OBJECT") {
            IsTest::JsonObject
        } else if self.take_word("ARRAY") {
            IsTest::JsonArray
        } else if self.take_word("SCALAR") {
            IsTest::JsonScalar
        } else {
            self.take_word("VALUE");
            IsTest::Json
        }
    }

    /// `[NOT] BETWEEN | IN | LIKE | SIMILAR TO`, the left side given.
    fn predicate(&mut self, operand: Expression) -> Parsed<Expression> {
        let start = operand.span;
        let negated = self.take_word("NOT");
        let operand = Box::new(operand);
        let kind = if self.take_word("BETWEEN") {
            let symmetric = self.take_word("SYMMETRIC");
            if !symmetric {
                self.take_word("ASYMMETRIC");
            }
            let low = Box::new(self.expression_above(precedence::AND + 1)?);
            self.expect_word("AND")?;
            let high = Box::new(self.expression_above(precedence::BETWEEN + 1)?);
            ExpressionKind::Between { operand, negated, symmetric, low, high }
        } else if self.take_word("IN") {
            self.in_predicate(operand, negated)?
        } else if self.take_word("LIKE") {
            self.like(operand, negated, LikeKind::Like)?
        } else if self.take_word("SIMILAR") {
            self.expect_word("TO")?;
            self.like(operand, negated, LikeKind::SimilarTo)?
        } else if self.is_word("ILIKE") {
            return self.unsupported(self.span(), "ILIKE", "write LOWER(value) LIKE 'pattern'");
        } else {
            return self.unsupported(self.span(), "RLIKE", "write REGEXP(value, 'pattern')");
        };
        Ok(Expression { kind, span: self.since(start) })
    }

    fn in_predicate(&mut self, operand: Box<Expression>, negated: bool) -> Parsed<ExpressionKind> {
        let open = self.expect(TokenKind::LeftParen, "`(` behind IN")?;
        if self.begins_query() {
            let query = Box::new(self.query()?);
            self.close(open)?;
            return Ok(ExpressionKind::InSubquery { operand, negated, query });
        }
        let mut list = self.list(Parser::expression)?;
        self.close(open)?;
        // `IN ((SELECT …))`: the inner parentheses say nothing.
        if matches!(list.as_slice(), [Expression { kind: ExpressionKind::Subquery(_), .. }])
            && let Some(Expression { kind: ExpressionKind::Subquery(query), .. }) = list.pop()
        {
            return Ok(ExpressionKind::InSubquery { operand, negated, query });
        }
        Ok(ExpressionKind::InList { operand, negated, list })
    }

    fn like(&mut self, operand: Box<Expression>, negated: bool, kind: LikeKind) -> Parsed<ExpressionKind> {
        let pattern = Box::new(self.expression_above(precedence::BETWEEN + 1)?);
        let escape = match self.take_word("ESCAPE") {
            true => Some(Box::new(self.expression_above(precedence::BETWEEN + 1)?)),
            false => None,
        };
        Ok(ExpressionKind::Like { operand, negated, kind, pattern, escape })
    }

    /// A primary with the fields and elements taken from it.
    fn postfix(&mut self) -> Parsed<Expression> {
        let primary = self.primary()?;
        self.continue_postfix(primary)
    }

    pub(super) fn continue_postfix(&mut self, primary: Expression) -> Parsed<Expression> {
        let mut expression = primary;
        let mut length = 0;
        loop {
            length += 1;
            self.check_chain(length)?;
            if self.is(TokenKind::Dot) && self.kind(1) != TokenKind::Star {
                self.advance();
                let field = self.identifier("a field's name behind the dot")?;
                let span = expression.span.to(field.span);
                let kind = ExpressionKind::Field { base: Box::new(expression), field };
                expression = Expression { kind, span };
            } else if self.take(TokenKind::LeftBracket) {
                let index = Box::new(self.expression()?);
                let end = self.expect(TokenKind::RightBracket, "`]`")?;
                let span = expression.span.to(end);
                let kind = ExpressionKind::Index { base: Box::new(expression), index };
                expression = Expression { kind, span };
            } else {
                return Ok(expression);
            }
        }
    }
}

/// The words that begin a predicate; the first four are suggested for misspelt ones.
const PREDICATES: &[&str] = &["BETWEEN", "LIKE", "IN", "SIMILAR", "ILIKE", "RLIKE"];

fn binary(left: Expression, operator: BinaryOperator, operator_span: Span, right: Expression) -> Expression {
    let span = left.span.to(right.span);
    let (left, right) = (Box::new(left), Box::new(right));
    Expression { kind: ExpressionKind::Binary { left, operator, operator_span, right }, span }
}

/// `spans.len() + 1` operands as a tree of logarithmic height.
fn balanced(
    operands: &mut std::vec::IntoIter<Expression>,
    spans: &[Span],
    operator: BinaryOperator,
) -> Expression {
    if spans.is_empty() {
        return operands.next().expect("a chain has one operand more than operators");
    }
    let middle = spans.len() / 2;
    let left = balanced(operands, &spans[..middle], operator);
    let right = balanced(operands, &spans[middle + 1..], operator);
    binary(left, operator, spans[middle], right)
}
