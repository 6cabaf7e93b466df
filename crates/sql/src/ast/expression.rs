//! Expressions as written: precedence is in the tree, so parentheses leave no node.
//!
//! The special forms (`SUBSTRING(x FROM 1 FOR 2)`, `POSITION(a IN b)`, `OVERLAY(x PLACING y FROM 1)`) become
//! ordinary calls with their arguments in Flink's order; forms that take a keyword as an argument have a node.

use super::{DataType, Identifier, ObjectName, OrderItem, Query, TimeUnit};
use crate::span::Span;
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

#[derive(Debug, Clone)]
pub struct Expression {
    pub kind: ExpressionKind,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum ExpressionKind {
    Literal(Literal),
    /// `a`, `t.a`, `t.a.b`: which part is the table and which the field is for the binder to find out.
    Column(Vec<Identifier>),
    /// A field of something that is not a plain name: `f(x).a`, `a[1].b`, `(row_column).c`.
    Field {
        base: Box<Expression>,
        field: Identifier,
    },
    /// `array[1]`, `map['k']`.
    Index {
        base: Box<Expression>,
        index: Box<Expression>,
    },
    Unary {
        operator: UnaryOperator,
        operand: Box<Expression>,
    },
    Binary {
        left: Box<Expression>,
        operator: BinaryOperator,
        operator_span: Span,
        right: Box<Expression>,
    },
    Between {
        operand: Box<Expression>,
        negated: bool,
        symmetric: bool,
        low: Box<Expression>,
        high: Box<Expression>,
    },
    InList {
        operand: Box<Expression>,
        negated: bool,
        /// Never empty.
        list: Vec<Expression>,
    },
    InSubquery {
        operand: Box<Expression>,
        negated: bool,
        query: Box<Query>,
    },
    /// `x = ANY (…)`, `x > ALL (…)`; SOME is ANY.
    Quantified {
        left: Box<Expression>,
        operator: BinaryOperator,
        all: bool,
        right: QuantifiedOperand,
    },
    Exists(Box<Query>),
    Subquery(Box<Query>),
    Like {
        operand: Box<Expression>,
        negated: bool,
        kind: LikeKind,
        pattern: Box<Expression>,
        escape: Option<Box<Expression>>,
    },
    Is {
        operand: Box<Expression>,
        negated: bool,
        test: IsTest,
    },
    IsDistinctFrom {
        left: Box<Expression>,
        negated: bool,
        right: Box<Expression>,
    },
    Case {
        operand: Option<Box<Expression>>,
        /// Never empty.
        branches: Vec<CaseBranch>,
        otherwise: Option<Box<Expression>>,
    },
    Cast {
        operand: Box<Expression>,
        data_type: DataType,
        /// TRY_CAST: NULL instead of a failure.
        lenient: bool,
    },
    Call(Box<FunctionCall>),
    Extract {
        unit: TimeUnit,
        operand: Box<Expression>,
    },
    /// `FLOOR(x TO unit)`, `CEIL(x TO unit)`.
    RoundTo {
        up: bool,
        operand: Box<Expression>,
        unit: TimeUnit,
    },
    TimestampAdd {
        unit: TimeUnit,
        count: Box<Expression>,
        operand: Box<Expression>,
    },
    /// `(left - right) from [TO to]` of two points in time.
    IntervalBetween {
        left: Box<Expression>,
        right: Box<Expression>,
        from: TimeUnit,
        to: Option<TimeUnit>,
    },
    /// `TIMESTAMPDIFF(unit, from, to)`.
    TimestampDiff {
        unit: TimeUnit,
        from: Box<Expression>,
        to: Box<Expression>,
    },
    /// `TRIM([side] [characters] FROM operand)`; `TRIM(x)` is both sides and spaces.
    Trim {
        side: TrimSide,
        characters: Option<Box<Expression>>,
        operand: Box<Expression>,
    },
    /// `ROW(a, b)`, or `(a, b)` with two or more items.
    Row(Vec<Expression>),
    Array(Vec<Expression>),
    Map(Vec<(Expression, Expression)>),
    /// `(start, end) OVERLAPS (start, end)`.
    Overlaps {
        left: Box<Expression>,
        right: Box<Expression>,
    },
    Json(Box<JsonCall>),
}

#[derive(Debug, Clone)]
pub enum Literal {
    Null,
    Boolean(bool),
    /// A boolean NULL, written UNKNOWN.
    Unknown,
    /// Digits with an optional decimal point, as written: `12`, `1.50`, `.5`. No sign.
    Exact(String),
    /// With an exponent, as written: `1e10`. No sign.
    Approximate(String),
    String(String),
    Binary(Vec<u8>),
    Date(NaiveDate),
    /// The precision is the number of fractional digits written, 0 to 9.
    Time {
        value: NaiveTime,
        precision: u8,
    },
    Timestamp {
        value: NaiveDateTime,
        precision: u8,
    },
    /// `TIMESTAMP WITH LOCAL TIME ZONE '…'`: the wall clock of the session's zone.
    TimestampLtz {
        value: NaiveDateTime,
        precision: u8,
    },
    Interval(IntervalLiteral),
}

/// `INTERVAL '1 02:03' DAY TO MINUTE`, read and checked.
#[derive(Debug, Clone)]
pub struct IntervalLiteral {
    /// The text in quotes, without the sign.
    pub text: String,
    pub negative: bool,
    pub from: TimeUnit,
    /// Digits of the leading field where written: `DAY(3)`.
    pub precision: Option<u8>,
    pub to: Option<TimeUnit>,
    /// Digits of the fraction where written: `SECOND(3)`.
    pub fraction: Option<u8>,
    /// With the sign.
    pub value: IntervalValue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntervalValue {
    Months(i64),
    /// Flink's day-time intervals are in milliseconds; further digits are cut.
    Milliseconds(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnaryOperator {
    Not,
    Plus,
    Minus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BinaryOperator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Concatenate,
}

impl BinaryOperator {
    /// The canonical spelling (`<>` for `!=`).
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOperator::Or => "OR",
            BinaryOperator::And => "AND",
            BinaryOperator::Equal => "=",
            BinaryOperator::NotEqual => "<>",
            BinaryOperator::Less => "<",
            BinaryOperator::LessOrEqual => "<=",
            BinaryOperator::Greater => ">",
            BinaryOperator::GreaterOrEqual => ">=",
            BinaryOperator::Add => "+",
            BinaryOperator::Subtract => "-",
            BinaryOperator::Multiply => "*",
            BinaryOperator::Divide => "/",
            BinaryOperator::Modulo => "%",
            BinaryOperator::Concatenate => "||",
        }
    }
}

#[derive(Debug, Clone)]
pub enum QuantifiedOperand {
    List(Vec<Expression>),
    Query(Box<Query>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LikeKind {
    Like,
    SimilarTo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsTest {
    Null,
    True,
    False,
    Unknown,
    /// `IS JSON`, which is the same as `IS JSON VALUE`.
    Json,
    JsonObject,
    JsonArray,
    JsonScalar,
}

#[derive(Debug, Clone)]
pub struct CaseBranch {
    pub when: Expression,
    pub then: Expression,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrimSide {
    Both,
    Leading,
    Trailing,
}

/// A function call of any kind: scalar, aggregate, over a window, or in FROM.
#[derive(Debug, Clone)]
pub struct FunctionCall {
    pub name: ObjectName,
    /// False for `CURRENT_TIMESTAMP` and the other functions written without parentheses.
    pub parenthesized: bool,
    pub quantifier: Option<SetQuantifier>,
    pub arguments: Vec<Argument>,
    /// `ORDER BY` inside the parentheses of an aggregate.
    pub order_by: Vec<OrderItem>,
    pub within_group: Vec<OrderItem>,
    pub filter: Option<Box<Expression>>,
    pub nulls: Option<NullTreatment>,
    pub over: Option<Over>,
    pub span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetQuantifier {
    All,
    Distinct,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NullTreatment {
    Respect,
    Ignore,
}

#[derive(Debug, Clone)]
pub struct Argument {
    /// `name => value`.
    pub name: Option<Identifier>,
    pub value: ArgumentValue,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum ArgumentValue {
    Expression(Expression),
    /// `*` of `COUNT(*)`.
    Star,
    /// `DEFAULT`: the argument is left out.
    Default,
    Table(TableArgument),
    /// `MODEL name`, as ML_PREDICT takes it.
    Model(ObjectName),
    Descriptor(Vec<Identifier>),
}

/// `TABLE t`, `TABLE t PARTITION BY k ORDER BY o`, `(SELECT …) PARTITION BY k` as an argument.
#[derive(Debug, Clone)]
pub struct TableArgument {
    pub input: TableArgumentInput,
    pub partition_by: Vec<Expression>,
    pub order_by: Vec<OrderItem>,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum TableArgumentInput {
    Name(ObjectName),
    Query(Box<Query>),
}

#[derive(Debug, Clone)]
pub enum Over {
    /// A window of the WINDOW clause.
    Named(Identifier),
    Window(WindowSpecification),
}

#[derive(Debug, Clone)]
pub struct WindowSpecification {
    /// A named window that this one refines.
    pub base: Option<Identifier>,
    pub partition_by: Vec<Expression>,
    pub order_by: Vec<OrderItem>,
    pub frame: Option<Frame>,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub struct Frame {
    pub unit: FrameUnit,
    pub start: FrameBound,
    /// Only with BETWEEN; without it the frame ends at the current row.
    pub end: Option<FrameBound>,
    pub span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameUnit {
    Rows,
    Range,
}

#[derive(Debug, Clone)]
pub enum FrameBound {
    UnboundedPreceding,
    Preceding(Box<Expression>),
    CurrentRow,
    Following(Box<Expression>),
    UnboundedFollowing,
}

/// The SQL/JSON functions with their own clauses.
#[derive(Debug, Clone)]
pub enum JsonCall {
    Value {
        input: Expression,
        path: Expression,
        returning: Option<DataType>,
        on_empty: Option<JsonBehavior>,
        on_error: Option<JsonBehavior>,
    },
    Query {
        input: Expression,
        path: Expression,
        returning: Option<DataType>,
        wrapper: Option<JsonWrapper>,
        on_empty: Option<JsonBehavior>,
        on_error: Option<JsonBehavior>,
    },
    Exists {
        input: Expression,
        path: Expression,
        on_error: Option<JsonBehavior>,
    },
    Object {
        entries: Vec<(Expression, Expression)>,
        on_null: Option<JsonOnNull>,
    },
    Array {
        elements: Vec<Expression>,
        on_null: Option<JsonOnNull>,
    },
    ObjectAggregate {
        key: Expression,
        value: Expression,
        on_null: Option<JsonOnNull>,
        filter: Option<Expression>,
    },
    ArrayAggregate {
        element: Expression,
        on_null: Option<JsonOnNull>,
        filter: Option<Expression>,
    },
}

#[derive(Debug, Clone)]
pub enum JsonBehavior {
    Null,
    Error,
    True,
    False,
    Unknown,
    EmptyArray,
    EmptyObject,
    Default(Expression),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonWrapper {
    Without,
    Unconditional,
    Conditional,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonOnNull {
    Null,
    Absent,
}
