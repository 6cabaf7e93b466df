//! Queries as written: SELECT with all its clauses, VALUES, set operations, FROM with its joins.

use super::{
    Expression, FunctionCall, Identifier, MatchRecognize, ObjectName, OptionPair, SetQuantifier,
    WindowSpecification,
};
use crate::span::Span;

#[derive(Debug, Clone)]
pub struct Query {
    /// WITH.
    pub with: Vec<CommonTable>,
    pub body: QueryBody,
    pub order_by: Vec<OrderItem>,
    pub offset: Option<Expression>,
    /// LIMIT or FETCH; `LIMIT ALL` leaves none.
    pub limit: Option<Expression>,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub struct CommonTable {
    pub name: Identifier,
    pub columns: Vec<Identifier>,
    pub query: Query,
}

#[derive(Debug, Clone)]
pub struct QueryBody {
    pub kind: QueryBodyKind,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum QueryBodyKind {
    Select(Box<Select>),
    /// Rows of one or more expressions; never empty.
    Values(Vec<ValuesRow>),
    SetOperation {
        left: Box<QueryBody>,
        operator: SetOperator,
        all: bool,
        operator_span: Span,
        right: Box<QueryBody>,
    },
    /// In parentheses, with its own WITH, ORDER BY or LIMIT.
    Query(Box<Query>),
    /// `TABLE t`.
    Table(ObjectName),
}

#[derive(Debug, Clone)]
pub struct ValuesRow {
    pub values: Vec<Expression>,
    pub span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetOperator {
    Union,
    Intersect,
    Except,
}

#[derive(Debug, Clone)]
pub struct Select {
    pub hints: Vec<Hint>,
    pub quantifier: Option<SetQuantifier>,
    pub items: Vec<SelectItem>,
    /// None: one row without columns.
    pub from: Option<TableReference>,
    pub selection: Option<Expression>,
    pub group_by: Option<GroupBy>,
    pub having: Option<Expression>,
    pub windows: Vec<NamedWindow>,
    pub qualify: Option<Expression>,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub struct SelectItem {
    pub kind: SelectItemKind,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum SelectItemKind {
    /// `*`, or `t.*` with a qualifier; the qualifier may also be a ROW column.
    Star {
        qualifier: Vec<Identifier>,
    },
    Expression {
        expression: Expression,
        alias: Option<Identifier>,
    },
}

#[derive(Debug, Clone)]
pub struct GroupBy {
    pub quantifier: Option<SetQuantifier>,
    pub elements: Vec<GroupingElement>,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum GroupingElement {
    Expression(Expression),
    /// `()` or `(a, b)`.
    Set(Vec<Expression>),
    /// Each entry is one step of the ROLLUP or CUBE: `ROLLUP (a, (b, c))` has two.
    Rollup(Vec<Vec<Expression>>),
    Cube(Vec<Vec<Expression>>),
    GroupingSets(Vec<GroupingElement>),
}

#[derive(Debug, Clone)]
pub struct NamedWindow {
    pub name: Identifier,
    pub window: WindowSpecification,
}

#[derive(Debug, Clone)]
pub struct OrderItem {
    pub expression: Expression,
    pub descending: bool,
    /// NULLS FIRST is `Some(true)`. Unwritten: first when ascending, last when descending, as in Flink.
    pub nulls_first: Option<bool>,
    pub span: Span,
}

impl OrderItem {
    /// Where NULLs stand, Flink's default applied.
    pub fn puts_nulls_first(&self) -> bool {
        self.nulls_first.unwrap_or(!self.descending)
    }
}

#[derive(Debug, Clone)]
pub struct TableReference {
    pub kind: TableReferenceKind,
    pub alias: Option<TableAlias>,
    /// Covers the alias too.
    pub span: Span,
}

#[derive(Debug, Clone)]
pub struct TableAlias {
    pub name: Identifier,
    pub columns: Vec<Identifier>,
}

#[derive(Debug, Clone)]
pub enum TableReferenceKind {
    Table {
        name: ObjectName,
        hints: Vec<Hint>,
        /// `FOR SYSTEM_TIME AS OF`.
        as_of: Option<Expression>,
    },
    Subquery {
        query: Box<Query>,
        lateral: bool,
    },
    /// `TABLE(f(…))`, `LATERAL TABLE(f(…))`, or `f(…)` alone.
    Function {
        call: Box<FunctionCall>,
        lateral: bool,
    },
    Unnest {
        arguments: Vec<Expression>,
        with_ordinality: bool,
        lateral: bool,
    },
    Join(Box<Join>),
    /// Patterns in the rows of a table or a sub-query.
    MatchRecognize {
        input: Box<TableReference>,
        clause: Box<MatchRecognize>,
    },
}

/// A join; `a JOIN (b JOIN c …) …` is a join whose right side is a join.
#[derive(Debug, Clone)]
pub struct Join {
    pub left: TableReference,
    pub kind: JoinKind,
    pub natural: bool,
    pub right: TableReference,
    pub constraint: JoinConstraint,
    /// The words between the two sides.
    pub keyword_span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
    Cross,
    /// `FROM a, b`: means the same as CROSS.
    Comma,
}

#[derive(Debug, Clone)]
pub enum JoinConstraint {
    None,
    On(Expression),
    Using(Vec<Identifier>),
}

/// One hint of `/*+ NAME('k' = 'v'), NAME(a, b), NAME */`.
#[derive(Debug, Clone)]
pub struct Hint {
    pub name: Identifier,
    pub arguments: HintArguments,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum HintArguments {
    /// Also of a hint without parentheses.
    None,
    Options(Vec<OptionPair>),
    /// Table names, numbers or texts: `BROADCAST(t1, t2)`.
    Names(Vec<Identifier>),
}
