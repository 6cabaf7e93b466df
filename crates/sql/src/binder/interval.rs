//! Interval joins: conditions that bound the event time of one side by that of the other.
//!
//! Flink's rule: one equality of the two times, or one bound from below and one from above. Such a join forgets rows that
//! can match no more, keeps event time, and adds rows only.

use super::relation::{JoinManner, RelationKind};
use super::scope::Scope;
use super::{Binder, RelationId};
use crate::expression::compare::Comparison;
use crate::expression::{Scalar, ScalarKind};
use crate::types::{TimeAttribute, TypeKind};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;

/// What conditions say of the times of both sides, and the rest of them.
pub(super) struct Interval {
    pub(super) manner: JoinManner,
    pub(super) rest: Vec<Scalar>,
}

/// `left + by_ms compared right`, both row times.
struct TimeBound {
    times: [usize; 2],
    comparison: Comparison,
    by_ms: i64,
}

/// The interval join that some conditions make of two relations, of which the first has `split` columns.
pub(super) fn interval_of(conditions: &[Scalar], scope: &Scope, split: usize) -> Option<Interval> {
    let mut rest = Vec::new();
    let mut bounds: Vec<TimeBound> = Vec::new();
    for part in conditions.iter().flat_map(|condition| condition.clone().into_conjuncts()) {
        match bound_of(&part, scope, split) {
            Some(bound) => bounds.push(bound),
            None => rest.push(part),
        }
    }
    let first = bounds.first()?.times;
    if bounds.iter().any(|bound| bound.times != first) {
        return None;
    }
    let (mut lower, mut upper) = (Vec::new(), Vec::new());
    for bound in &bounds {
        // left - right compared -by
        let value = -bound.by_ms;
        match bound.comparison {
            Comparison::Equal => {
                lower.push(value);
                upper.push(value);
            }
            Comparison::Greater => lower.push(value + 1),
            Comparison::GreaterOrEqual => lower.push(value),
            Comparison::Less => upper.push(value - 1),
            Comparison::LessOrEqual => upper.push(value),
            Comparison::NotEqual => {}
        }
    }
    let ([lower_ms], [upper_ms]) = (lower.as_slice(), upper.as_slice()) else { return None };
    let manner = JoinManner::Interval { times: first, lower_ms: *lower_ms, upper_ms: *upper_ms };
    (lower_ms <= upper_ms).then_some(Interval { manner, rest })
}

fn bound_of(part: &Scalar, scope: &Scope, split: usize) -> Option<TimeBound> {
    let ScalarKind::Compare { comparison, left, right } = &part.kind else { return None };
    if *comparison == Comparison::NotEqual {
        return None;
    }
    let ((one, one_ms), (other, other_ms)) = (moved_time(left, scope)?, moved_time(right, scope)?);
    if one < split && other >= split {
        let times = [one, other - split];
        return Some(TimeBound { times, comparison: *comparison, by_ms: one_ms - other_ms });
    }
    if one >= split && other < split {
        let times = [other, one - split];
        return Some(TimeBound { times, comparison: comparison.mirrored(), by_ms: other_ms - one_ms });
    }
    None
}

/// A row time, and by how many ms it is moved.
fn moved_time(scalar: &Scalar, scope: &Scope) -> Option<(usize, i64)> {
    match &scalar.kind {
        ScalarKind::Column { index, .. } => {
            let attribute = scope.by_index(*index)?.column.attribute;
            (attribute == TimeAttribute::RowTime).then_some((*index, 0))
        }
        ScalarKind::AddInterval { operand, interval, subtract } => {
            let (column, before) = moved_time(operand, scope)?;
            if interval.data_type.kind != TypeKind::IntervalDayTime {
                return None;
            }
            let folded = interval.folded();
            let literal = folded.as_ref().and_then(Scalar::as_literal).or_else(|| interval.as_literal())?;
            let ms = literal.as_primitive_opt::<Int64Type>()?.value(0);
            Some((column, if *subtract { before.checked_sub(ms)? } else { before.checked_add(ms)? }))
        }
        _ => None,
    }
}

impl Binder<'_> {
    /// Where WHERE makes an interval join of two tables that FROM names side by side: that join, and its scope.
    pub(super) fn interval_by_where(
        &mut self,
        input: RelationId,
        scope: &Scope,
        predicates: &[Scalar],
    ) -> Option<(RelationId, Scope)> {
        let relation = &self.graph.relations[input];
        let RelationKind::Join { kind, manner: JoinManner::Regular, condition, span, .. } =
            relation.kind.clone()
        else {
            return None;
        };
        if kind != dataflow::plan::JoinKind::Inner {
            return None;
        }
        let inputs = [relation.inputs[0], relation.inputs[1]];
        let split = self.graph.columns(inputs[0]).len();
        let both = self.graph.columns(inputs[0]).iter().chain(self.graph.columns(inputs[1]));
        let mut scope = scope.clone();
        for (index, column) in both.enumerate() {
            for known in scope.columns.iter_mut().filter(|known| known.index == index) {
                (known.column.attribute, known.column.window) = (column.attribute, column.window);
            }
        }
        let conditions: Vec<Scalar> = condition.into_iter().chain(predicates.iter().cloned()).collect();
        interval_of(&conditions, &scope, split)?;
        Some(self.joined(kind, inputs, scope, conditions, span))
    }
}
