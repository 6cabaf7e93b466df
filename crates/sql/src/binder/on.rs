//! ON with sub-queries that stand for values.

use super::relation::RelationId;
use super::scope::Scope;
use super::subquery::{Test, ValueKey};
use super::{Binder, Bound, boxed, operator};
use crate::ast;
use crate::diagnostic::Diagnostic;
use crate::expression::Scalar;
use dataflow::plan::JoinKind;

/// What ON has come to so far.
pub(super) struct OnCondition<'q> {
    pub(super) right: RelationId,
    pub(super) scope: Scope,
    pub(super) conditions: Vec<Scalar>,
    /// What is tested behind the join.
    pub(super) tests: Vec<&'q ast::Expression>,
}

impl Binder<'_> {
    /// A part of ON. Where the rows of both sides are in the result only if it is true, a part with a sub-query is a
    /// condition behind the join. Else the sub-query's value is joined to the right side (`split` tells it from the left).
    pub(super) fn on_part<'q>(
        &mut self,
        part: &'q ast::Expression,
        on: &mut OnCondition<'q>,
        split: Option<usize>,
        kind: JoinKind,
    ) -> Bound<()> {
        let width = on.scope.columns.len();
        let scope = on.scope.clone();
        let (bound, values) = self.collect_values(None, width, |binder| {
            let scalar = binder.expression(part, &scope)?;
            operator::boolean(scalar, "ON", part.span)
        });
        let is_test = Test::of(part).is_some();
        if kind == JoinKind::Inner && (is_test || !values.is_empty()) {
            on.tests.push(part);
            return Ok(());
        }
        let scalar = bound?;
        if values.is_empty() {
            on.conditions.push(scalar);
            return Ok(());
        }
        let of_right = |key: &ValueKey| match split {
            Some(split) => key.outer.columns().iter().all(|column| (split..width).contains(column)),
            None => false,
        };
        let Some(split) = split.filter(|_| values.iter().flat_map(|query| &query.on).all(of_right)) else {
            return boxed(
                Diagnostic::unsupported(
                    part.span,
                    "a sub-query in ON of an outer join can name columns of its right side only",
                )
                .with_hint("take the value in a sub-query of FROM, and join with that"),
            );
        };
        for mut query in values {
            query.on.iter_mut().for_each(|key| key.outer.remap(&|column| column - split));
            let scope = Scope::of(None, self.graph.columns(on.right));
            let first = scope.columns.len();
            (on.right, _) = self.attach(on.right, scope, vec![query]);
            let mut hidden = Scope::of(None, &self.graph.columns(on.right)[first..]);
            hidden.columns.iter_mut().for_each(|column| column.hidden = true);
            on.scope = std::mem::take(&mut on.scope).join(hidden);
        }
        on.conditions.push(scalar);
        Ok(())
    }
}
