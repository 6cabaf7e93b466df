//! GROUPING, GROUPING_ID and GROUP_ID: which of the grouping sets a row is of.
//!
//! A call is bound to a placeholder, as an aggregate is. Once the sets are known it is a number for each of them, which
//! the number of the set chooses.

use super::expression::make_case;
use super::query::GroupingKey;
use super::scope::Scope;
use super::{Binder, Bound, boxed, operator};
use crate::ast::{BinaryOperator, FunctionCall};
use crate::diagnostic::Diagnostic;
use crate::expression::Scalar;
use crate::span::Span;
use crate::types::TypeKind;
use arrow_array::Int64Array;
use std::sync::Arc;

/// Placeholders are numbered from here; those of OVER windows are greater.
pub(super) const GROUPING_BASE: usize = (1 << 41) + (1 << 40);

#[derive(Debug)]
pub(super) struct PendingGrouping {
    /// None of GROUP_ID.
    arguments: Option<Vec<Scalar>>,
    span: Span,
}

/// Whether a function says of which grouping set a row is.
pub(super) fn is_grouping(name: &str) -> bool {
    matches!(name, "GROUPING" | "GROUPING_ID" | "GROUP_ID")
}

impl Binder<'_> {
    pub(super) fn grouping_call(&mut self, call: &FunctionCall, name: &str, scope: &Scope) -> Bound<Scalar> {
        let span = call.span;
        let arguments = self.arguments(call, name, scope)?;
        let takes_any = name != "GROUP_ID";
        if takes_any == arguments.is_empty() {
            let wanted = if takes_any { "one grouping key at least" } else { "no arguments" };
            return boxed(Diagnostic::invalid(span, format!("{name} takes {wanted}")));
        }
        if arguments.len() > 62 {
            return boxed(Diagnostic::unsupported(
                span,
                format!("{name} of more than 62 keys is not supported"),
            ));
        }
        let Some(collector) = self.collector.as_mut().filter(|collector| !collector.inside) else {
            return boxed(
                Diagnostic::invalid(span, format!("{name} cannot stand here"))
                    .with_hint("it stands in SELECT and HAVING, beside GROUP BY"),
            );
        };
        collector.groupings.push(PendingGrouping { arguments: takes_any.then_some(arguments), span });
        let place = GROUPING_BASE + collector.groupings.len() - 1;
        Ok(Scalar::column(place, format!("{name}(…)"), TypeKind::BigInt.not_null()))
    }

    /// What the calls are over groups. `keys` and `sets` are those of GROUP BY; `number` is the column of the set's
    /// number, where there are several.
    pub(super) fn groupings(
        &mut self,
        pending: Vec<PendingGrouping>,
        keys: &[GroupingKey],
        sets: &[Vec<usize>],
        number: Option<Scalar>,
    ) -> Bound<Vec<Scalar>> {
        pending.into_iter().map(|one| self.grouping(one, keys, sets, number.as_ref())).collect()
    }

    fn grouping(
        &mut self,
        pending: PendingGrouping,
        keys: &[GroupingKey],
        sets: &[Vec<usize>],
        number: Option<&Scalar>,
    ) -> Bound<Scalar> {
        let span = pending.span;
        if keys.is_empty() {
            return boxed(
                Diagnostic::invalid(span, "GROUPING, GROUPING_ID and GROUP_ID need GROUP BY")
                    .with_hint("group by GROUPING SETS, ROLLUP or CUBE"),
            );
        }
        let in_set = |key: &GroupingKey, set: &[usize]| {
            key.places.is_empty() || key.places.iter().any(|place| set.contains(place))
        };
        let members = |set: &[usize]| keys.iter().map(|key| in_set(key, set)).collect::<Vec<bool>>();
        let mut wanted: Vec<usize> = Vec::new();
        for argument in pending.arguments.iter().flatten() {
            let identity = argument.identity();
            match keys.iter().position(|key| key.identity == identity) {
                Some(place) => wanted.push(place),
                None => {
                    return boxed(
                        Diagnostic::invalid(
                            span,
                            format!("the argument {} of GROUPING is not being grouped", argument.describe()),
                        )
                        .with_hint("it takes expressions of GROUP BY"),
                    );
                }
            }
        }
        let values: Vec<i64> = sets
            .iter()
            .enumerate()
            .map(|(at, set)| match pending.arguments {
                Some(_) => {
                    let own = members(set);
                    wanted.iter().fold(0, |bits, key| bits << 1 | i64::from(!own[*key]))
                }
                None => {
                    let own = members(set);
                    sets[..at].iter().filter(|other| members(other) == own).count() as i64
                }
            })
            .collect();
        let first = values.first().copied().unwrap_or(0);
        let Some(number) = number.filter(|_| values.iter().any(|value| *value != first)) else {
            return Ok(integer(first));
        };
        let zone = self.settings.zone;
        let mut conditions = Vec::new();
        for set in 0..values.len() - 1 {
            conditions.push(operator::binary(
                BinaryOperator::Equal,
                number.clone(),
                integer(set as i64),
                span,
                zone,
            )?);
        }
        let results = values.into_iter().map(integer).collect();
        Ok(make_case(conditions, results, &TypeKind::BigInt.not_null(), zone))
    }
}

fn integer(value: i64) -> Scalar {
    Scalar::literal(Arc::new(Int64Array::from(vec![value])), value.to_string(), TypeKind::BigInt.not_null())
}
