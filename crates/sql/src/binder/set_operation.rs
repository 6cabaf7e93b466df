//! UNION, INTERSECT and EXCEPT.
//!
//! Rows are compared whole, and NULLs as equal values. INTERSECT and EXCEPT are a semi and an anti join, of which each row
//! is shown once. With ALL they count how often each row is there on either side, and copy it as often as is right.

use super::relation::{AggregateCall, Column, RelationId, RelationKind};
use super::scope::Scope;
use super::{Binder, Bound, boxed, operator, shown};
use crate::ast::SetOperator;
use crate::diagnostic::Diagnostic;
use crate::expression::arithmetic::Operation;
use crate::expression::compare::Comparison;
use crate::expression::{Scalar, ScalarKind};
use crate::span::Span;
use crate::types::{RowField, TimeAttribute, TypeKind, common_type};
use dataflow::plan::{AggregateFunction, AggregateOptions, JoinKind};

impl SetOperator {
    fn name(self) -> &'static str {
        match self {
            SetOperator::Union => "UNION",
            SetOperator::Intersect => "INTERSECT",
            SetOperator::Except => "EXCEPT",
        }
    }
}

impl Binder<'_> {
    pub(super) fn set_operation(
        &mut self,
        operator: SetOperator,
        all: bool,
        sides: [RelationId; 2],
        span: Span,
    ) -> Bound<RelationId> {
        let (sides, columns) = self.aligned(operator, sides, span)?;
        let relation = match (operator, all) {
            (SetOperator::Union, _) => self.graph.add(RelationKind::Union, sides.to_vec(), columns),
            (SetOperator::Intersect, false) => self.rows_of_other(JoinKind::Semi, sides, span),
            (SetOperator::Except, false) => self.rows_of_other(JoinKind::Anti, sides, span),
            (_, true) => self.counted(operator, sides, columns, span),
        };
        Ok(if all { relation } else { self.distinct(relation, None) })
    }

    /// Both sides with the types that hold the values of both.
    fn aligned(
        &mut self,
        operator: SetOperator,
        [left, right]: [RelationId; 2],
        span: Span,
    ) -> Bound<([RelationId; 2], Vec<Column>)> {
        let name = operator.name();
        let (a, b) = (self.graph.columns(left).to_vec(), self.graph.columns(right).to_vec());
        if a.len() != b.len() {
            return boxed(
                Diagnostic::mistyped(span, format!("{name} of {} columns with {}", a.len(), b.len()))
                    .with_label("both sides need the same number of columns"),
            );
        }
        let mut columns = Vec::new();
        for (number, (x, y)) in a.iter().zip(&b).enumerate() {
            let Some(common) = common_type(&x.data_type, &y.data_type) else {
                return boxed(
                    Diagnostic::mistyped(
                        span,
                        format!(
                            "type mismatch in column {} of {name}: {} {} and {} {}",
                            number + 1,
                            x.name,
                            shown(&x.data_type),
                            y.name,
                            shown(&y.data_type)
                        ),
                    )
                    .with_hint("cast one side to the type of the other"),
                );
            };
            let attribute = if x.attribute == y.attribute { x.attribute } else { TimeAttribute::None };
            columns.push(Column { name: x.name.clone(), data_type: common, attribute, window: None });
        }
        let sides = [self.cast_columns(left, &a, &columns), self.cast_columns(right, &b, &columns)];
        Ok((sides, columns))
    }

    /// Gives a relation the types of other columns.
    fn cast_columns(&mut self, input: RelationId, from: &[Column], to: &[Column]) -> RelationId {
        if from.iter().zip(to).all(|(x, y)| x.data_type.kind == y.data_type.kind) {
            return input;
        }
        let zone = self.settings.zone;
        let items = from
            .iter()
            .zip(to)
            .enumerate()
            .map(|(index, (x, y))| (y.name.clone(), operator::coerce(x.scalar(index), &y.data_type, zone)))
            .collect();
        self.graph.project(input, items)
    }

    /// Rows of the left side that are, or are not, on the right one.
    fn rows_of_other(&mut self, kind: JoinKind, sides: [RelationId; 2], span: Span) -> RelationId {
        let width = self.graph.columns(sides[0]).len();
        // A ROW is never NULL, so that its NULLs are compared as values.
        let whole = |columns: &[Column], first: usize| {
            let part = |(at, column): (usize, &Column)| {
                Scalar::column(first + at, &column.name, column.data_type.as_nullable())
            };
            let parts: Vec<Scalar> = columns.iter().enumerate().map(part).collect();
            let field = |(at, part): (usize, &Scalar)| RowField {
                name: format!("f{at}"),
                data_type: part.data_type.clone(),
            };
            let fields = parts.iter().enumerate().map(field).collect();
            Scalar { kind: ScalarKind::Row(parts), data_type: TypeKind::Row(fields).not_null() }
        };
        let [left, right] = sides.map(|side| self.graph.columns(side).to_vec());
        let equal = Scalar {
            kind: ScalarKind::Compare {
                comparison: Comparison::Equal,
                left: Box::new(whole(&left, 0)),
                right: Box::new(whole(&right, width)),
            },
            data_type: TypeKind::Boolean.not_null(),
        };
        let scope = Scope::of(None, &left).join(Scope::of(None, &right));
        self.joined(kind, sides, scope, vec![equal], span).0
    }

    /// Each row as often as both sides together say.
    fn counted(
        &mut self,
        operator: SetOperator,
        sides: [RelationId; 2],
        columns: Vec<Column>,
        span: Span,
    ) -> RelationId {
        let width = columns.len();
        let number = Scalar::big_integer;
        let plain =
            |column: &Column| Column { attribute: TimeAttribute::None, window: None, ..column.clone() };
        let columns: Vec<Column> = columns.iter().map(plain).collect();
        let mut marked = Vec::new();
        for (side, relation) in sides.into_iter().enumerate() {
            let own = self.graph.columns(relation).to_vec();
            let mut items: Vec<(String, Scalar)> = own
                .iter()
                .enumerate()
                .map(|(at, column)| (columns[at].name.clone(), column.scalar(at)))
                .collect();
            items.push(("$left".into(), number(i64::from(side == 0))));
            items.push(("$right".into(), number(i64::from(side == 1))));
            marked.push(self.graph.project(relation, items));
        }
        let count = |name: &str| Column::new(name, TypeKind::BigInt.not_null());
        let with_counts: Vec<Column> =
            columns.iter().cloned().chain([count("$left"), count("$right")]).collect();
        let union = self.graph.add(RelationKind::Union, marked, with_counts);
        let sum = |at: usize, text: &str| AggregateCall {
            function: AggregateFunction::Sum,
            argument: Some(width + at),
            options: AggregateOptions::default(),
            distinct: false,
            filter: None,
            data_type: TypeKind::BigInt.nullable(),
            text: text.into(),
            span,
        };
        let sums = vec![sum(0, "SUM($left)"), sum(1, "SUM($right)")];
        let mut grouped = columns.clone();
        grouped.extend(sums.iter().map(|call| Column::new(&call.text, call.data_type.clone())));
        let kind = RelationKind::Aggregate { keys: (0..width).collect(), aggregates: sums, ttl_ms: None };
        let grouped = self.graph.add(kind, vec![union], grouped);
        let [left, right] = [0, 1].map(|at| self.graph.columns(grouped)[width + at].scalar(width + at));
        let truth = TypeKind::Boolean.nullable();
        let copies = match operator {
            SetOperator::Except => ScalarKind::Arithmetic {
                operation: Operation::Subtract,
                left: Box::new(left),
                right: Box::new(right),
            },
            _ => {
                let less = ScalarKind::Compare {
                    comparison: Comparison::Less,
                    left: Box::new(left.clone()),
                    right: Box::new(right.clone()),
                };
                ScalarKind::Case {
                    branches: vec![(Scalar { kind: less, data_type: truth }, left)],
                    otherwise: Box::new(right),
                }
            }
        };
        let copies = Scalar { kind: copies, data_type: TypeKind::BigInt.nullable() };
        let mut items: Vec<(String, Scalar)> =
            columns.iter().enumerate().map(|(at, column)| (column.name.clone(), column.scalar(at))).collect();
        items.push(("$copies".into(), copies));
        let counted = self.graph.project(grouped, items);
        self.graph.add(RelationKind::Replicate, vec![counted], columns)
    }
}
