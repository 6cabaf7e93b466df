//! Comparisons with ANY, SOME and ALL.
//!
//! `x > ANY S` is TRUE where x is greater than the least value of S. Where it is not, NULLs among the values, or a NULL on
//! the left, make the answer unknown unless S has no rows. `x > ALL S` is the opposite of `x <= ANY S`.

use super::correlation::key_items;
use super::relation::AggregateCall;
use super::scope::Scope;
use super::subquery::{Test, ValueQuery};
use super::subquery_value::{Planned, Use, call, count_at, is_positive, one_column};
use super::{Binder, Bound, boxed, operator, shown};
use crate::ast::{self, BinaryOperator, QuantifiedOperand, Query};
use crate::diagnostic::Diagnostic;
use crate::expression::compare::Comparison;
use crate::expression::{Scalar, ScalarKind};
use crate::span::Span;
use crate::types::TypeKind;
use dataflow::plan::AggregateFunction;

/// `x operator ANY S` is the opposite of `x opposite ALL S`.
fn opposite(operator: BinaryOperator) -> Option<BinaryOperator> {
    use BinaryOperator::*;
    Some(match operator {
        Equal => NotEqual,
        NotEqual => Equal,
        Less => GreaterOrEqual,
        LessOrEqual => Greater,
        Greater => LessOrEqual,
        GreaterOrEqual => Less,
        _ => return None,
    })
}

impl Binder<'_> {
    pub(super) fn quantified(
        &mut self,
        left: &ast::Expression,
        operator: BinaryOperator,
        all: bool,
        right: &QuantifiedOperand,
        scope: &Scope,
        span: Span,
    ) -> Bound<Scalar> {
        use BinaryOperator::{And, Equal, NotEqual, Or};
        let Some(opposite) = opposite(operator) else {
            return boxed(Diagnostic::invalid(
                span,
                format!("'{}' is no comparison for ANY, SOME and ALL", operator.symbol()),
            ));
        };
        let query = match right {
            QuantifiedOperand::Query(query) => query,
            QuantifiedOperand::List(list) => {
                let value = self.expression(left, scope)?;
                let zone = self.settings.zone;
                let mut whole: Option<Scalar> = None;
                for item in self.expressions(list, scope)? {
                    let part = operator::binary(operator, value.clone(), item, span, zone)?;
                    let joined_by = if all { And } else { Or };
                    whole = Some(match whole {
                        None => part,
                        Some(whole) => operator::binary(joined_by, whole, part, span, zone)?,
                    });
                }
                return whole.map_or_else(
                    || boxed(Diagnostic::invalid(span, "ANY, SOME and ALL need values to compare with")),
                    Ok,
                );
            }
        };
        if matches!((operator, all), (Equal, false) | (NotEqual, true)) {
            let test = Test { negated: all, operand: Some(left), query, span };
            return self.test_value(&test, scope);
        }
        let value = self.expression(left, scope)?;
        let operator = if all { opposite } else { operator };
        let any = self.apart(span, |binder| binder.compared_to_any(value, operator, query, scope, span))?;
        if !all {
            return Ok(any);
        }
        let data_type = any.data_type.clone();
        Ok(Scalar { kind: ScalarKind::Not(Box::new(any)), data_type })
    }

    fn compared_to_any(
        &mut self,
        value: Scalar,
        operator: BinaryOperator,
        query: &Query,
        scope: &Scope,
        span: Span,
    ) -> Bound<Planned> {
        let rows = self.rows_of(query, scope)?;
        let Ok([item]) = <[Scalar; 1]>::try_from(rows.items.clone()) else {
            return one_column(rows.items.len(), span);
        };
        let zone = self.settings.zone;
        let (value, item) =
            operator::bring_together(value, item, &format!("'{}'", operator.symbol()), span, zone)?;
        if !item.data_type.kind.has_order() || item.data_type.kind == TypeKind::Boolean {
            return boxed(
                Diagnostic::unsupported(
                    span,
                    format!("values of {} are not compared with ANY, SOME or ALL", shown(&item.data_type)),
                )
                .with_hint("compare in EXISTS (SELECT 1 … WHERE …)"),
            );
        }
        let data_type = TypeKind::Boolean.with_nullable(value.data_type.nullable || item.data_type.nullable);
        let bound = item.data_type.as_nullable();
        let on = rows.on();
        let mut items = key_items(&rows.keys);
        let (keys, place) = (items.len(), items.len());
        items.push(("$value".into(), item));
        let projected = self.graph.project(rows.relation, items);
        let count = |argument: Option<usize>, text: &str| AggregateCall {
            argument,
            ..call(AggregateFunction::Count, TypeKind::BigInt.not_null(), text, span)
        };
        let least = AggregateCall {
            argument: Some(place),
            ..call(AggregateFunction::Min, bound.clone(), "MIN($value)", span)
        };
        let greatest = AggregateCall {
            argument: Some(place),
            ..call(AggregateFunction::Max, bound.clone(), "MAX($value)", span)
        };
        let calls = vec![count(None, "COUNT(*)"), count(Some(place), "COUNT($value)"), least, greatest];
        let relation = self.aggregated(projected, keys, calls);
        let finish: Use = Box::new(move |value, places| {
            let [all, values, least, greatest] = [0, 1, 2, 3].map(|at| places[0] + keys + at);
            let unknown = Scalar::null(&TypeKind::Boolean.nullable());
            let certain = |kind| Scalar { kind, data_type: TypeKind::Boolean.not_null() };
            let compared = |comparison, place| {
                let right = Box::new(Scalar::column(place, "$bound", bound.clone()));
                let kind = ScalarKind::Compare { comparison, left: Box::new(value.clone()), right };
                Scalar { kind, data_type: TypeKind::Boolean.nullable() }
            };
            use BinaryOperator::*;
            let found = match operator {
                Less => compared(Comparison::Less, greatest),
                LessOrEqual => compared(Comparison::LessOrEqual, greatest),
                Greater => compared(Comparison::Greater, least),
                GreaterOrEqual => compared(Comparison::GreaterOrEqual, least),
                _ => {
                    let sides = [least, greatest].map(|place| compared(Comparison::NotEqual, place));
                    Scalar { kind: ScalarKind::Or(sides.into()), data_type: TypeKind::Boolean.nullable() }
                }
            };
            let fewer = ScalarKind::Compare {
                comparison: Comparison::Less,
                left: Box::new(count_at(values)),
                right: Box::new(count_at(all)),
            };
            let no_rows = certain(ScalarKind::Not(Box::new(is_positive(all))));
            let is_null = certain(ScalarKind::IsNull { operand: Box::new(value.clone()), negated: false });
            let branches = vec![
                (no_rows, Scalar::boolean(false)),
                (is_null, unknown.clone()),
                (found, Scalar::boolean(true)),
                (Scalar { kind: fewer, data_type: TypeKind::Boolean.nullable() }, unknown),
            ];
            let otherwise = Box::new(Scalar::boolean(false));
            Scalar { kind: ScalarKind::Case { branches, otherwise }, data_type }
        });
        Ok((value, vec![ValueQuery { relation, on, span }], finish))
    }
}
