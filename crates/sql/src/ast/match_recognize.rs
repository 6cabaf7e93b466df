//! MATCH_RECOGNIZE as written. What Flink refuses (alternatives, PERMUTE, exclusions, anchors, SUBSET, ALL ROWS) is
//! refused where it is parsed, so a pattern is a sequence of variables.

use super::{Expression, Identifier, OrderItem};
use crate::span::Span;

#[derive(Debug, Clone)]
pub struct MatchRecognize {
    pub partition_by: Vec<Expression>,
    pub order_by: Vec<OrderItem>,
    pub measures: Vec<Measure>,
    /// None where nothing is written.
    pub after: Option<AfterMatch>,
    /// In their order; never empty.
    pub pattern: Vec<PatternVariable>,
    pub pattern_span: Span,
    pub within: Option<Expression>,
    pub definitions: Vec<Definition>,
    pub span: Span,
}

/// `expression AS name`.
#[derive(Debug, Clone)]
pub struct Measure {
    pub expression: Expression,
    pub name: Identifier,
}

/// `variable AS condition`.
#[derive(Debug, Clone)]
pub struct Definition {
    pub variable: Identifier,
    pub condition: Expression,
}

/// AFTER MATCH SKIP …
#[derive(Debug, Clone)]
pub enum AfterMatch {
    PastLastRow,
    ToNextRow,
    ToFirst(Identifier),
    /// Also of `SKIP TO variable`.
    ToLast(Identifier),
}

#[derive(Debug, Clone)]
pub struct PatternVariable {
    pub name: Identifier,
    pub quantifier: PatternQuantifier,
    /// Covers the quantifier too.
    pub span: Span,
}

/// How often a variable may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatternQuantifier {
    pub least: u32,
    /// None: without limit.
    pub most: Option<u32>,
    /// Takes as few rows as it can.
    pub reluctant: bool,
}

impl PatternQuantifier {
    /// Of a variable without one.
    pub const ONCE: PatternQuantifier = PatternQuantifier { least: 1, most: Some(1), reluctant: false };
}
