//! Lookup joins with outside tables: the right side is not read, so all that stands between its table and the join is
//! decided behind the answers.

use super::join::{equality, refuse_random};
use super::{Emitted, Emitter, Written, compiled_over, schema};
use crate::binder::{Asks, BoundTable, Column, Relation, RelationId, RelationKind};
use crate::diagnostic::Diagnostic;
use crate::expression::Scalar;
use crate::span::Span;
use crate::types::TimeAttribute;
use dataflow::plan::{JoinKind, LookupJoin, NodeKind, answers_schema};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The right side of a lookup join, over the columns of its table's scan.
struct Outside {
    scan: RelationId,
    table: Arc<BoundTable>,
    /// The columns of the right side.
    columns: Vec<Scalar>,
    /// What its rows must fulfil.
    conditions: Vec<Scalar>,
}

impl Emitter<'_> {
    pub(super) fn lookup(
        &mut self,
        relation: &Relation,
        (kind, asks): (JoinKind, Asks),
        condition: Option<&Scalar>,
        span: Span,
        phase: u32,
    ) -> Written {
        let (left_id, right_id) = (relation.inputs[0], relation.inputs[1]);
        let split = self.graph.columns(left_id).len();
        let Some(outside) = self.outside(right_id) else {
            return Err(Box::new(
                Diagnostic::unsupported(
                    span,
                    "the right side of this lookup join is no table that can be asked",
                )
                .with_hint("join with the table itself, and compute behind the join"),
            ));
        };
        let shifted = |scalar: &Scalar| {
            let mut scalar = scalar.clone();
            scalar.remap(&|column| column + split);
            scalar
        };
        // The condition over the columns of the stream and, behind them, those of the table.
        let over_scan = |part: &Scalar| {
            let mut part = part.clone();
            part.replace_columns(&|column| match column.checked_sub(split) {
                None => self.graph.columns(left_id)[column].scalar(column),
                Some(column) => shifted(&outside.columns[column]),
            });
            part
        };
        let parts = condition.cloned().map(Scalar::into_conjuncts).unwrap_or_default();
        let (mut left_keys, mut table_keys, mut rest): (Vec<Scalar>, Vec<usize>, Vec<Scalar>) =
            Default::default();
        for part in parts.iter().map(over_scan) {
            let key = equality(&part, split).and_then(|(left, right)| Some((left, right.as_column()?)));
            match key.filter(|(_, column)| !table_keys.contains(column)) {
                Some((left, column)) => {
                    left_keys.push(left);
                    table_keys.push(column);
                }
                None => rest.push(part),
            }
        }
        rest.extend(outside.conditions.iter().map(shifted));
        refuse_random(&rest, "the condition of a lookup join", span)?;
        if left_keys.is_empty() {
            return Err(Box::new(
                Diagnostic::invalid(
                    span,
                    "a lookup join needs an equality with a column of the table that is looked up",
                )
                .with_hint("write ON o.x = t.key; where the types differ, cast o.x and not t.key"),
            ));
        }
        let left = self.relation(left_id, phase)?;
        let left = self.narrowed(left, left_id)?;
        let (left, stream_keys) = self.with_keys(left, left_keys)?;
        let wanted: Vec<usize> = self.required[outside.scan].iter().copied().collect();
        let offset = left.columns.len();
        let scan_columns = self.graph.columns(outside.scan);
        let mut columns = left.columns.clone();
        columns.extend(wanted.iter().map(|column| {
            let mut column = scan_columns[*column].clone();
            (column.attribute, column.window) = (TimeAttribute::None, None);
            column.data_type.nullable |= kind == JoinKind::Left;
            column
        }));
        let place = |column: usize| match column.checked_sub(split) {
            None => left.place(column),
            Some(column) => offset + wanted.iter().position(|wanted| *wanted == column).unwrap_or(0),
        };
        let residual = Scalar::all_of(rest).map(|mut residual| {
            residual.remap(&place);
            residual
        });
        let text = format!(
            "LookupJoin {kind:?} {asks:?} {} {:?} {stream_keys:?} {table_keys:?} {wanted:?} {}",
            outside.table.name,
            outside.table.definition.options,
            residual.as_ref().map(Scalar::identity).unwrap_or_default()
        );
        let joined = schema(&columns);
        let definition = &outside.table.definition;
        let cache = outside.table.connector.lookup_cache(definition);
        let join = LookupJoin {
            kind,
            table: definition.clone(),
            projection: wanted.clone(),
            stream_keys,
            table_keys,
            residual: residual.map(|residual| compiled_over(residual, &joined)),
            ordered: asks.ordered,
            cache: cache.map_err(|error| Box::new(Diagnostic::invalid(span, error.message)))?,
            asking: asks.asking,
        };
        let answers = self.answers(&format!("{text} of {:?}", left.node))?;
        let node =
            self.node(NodeKind::LookupJoin(Box::new(join)), vec![left.node, answers], &columns, text)?;
        let emitted = Emitted { node, columns, places: BTreeMap::new() };
        self.shown(emitted, &left, (right_id, split, kind, span), &|column| {
            let mut scalar = outside.columns[column].clone();
            scalar.remap(&|column| place(column + split));
            scalar
        })
    }

    /// The columns of the right side, computed where they are no columns of its table.
    fn shown(
        &mut self,
        joined: Emitted,
        left: &Emitted,
        (right_id, split, kind, span): (RelationId, usize, JoinKind, Span),
        scalar_of: &dyn Fn(usize) -> Scalar,
    ) -> Written {
        let wanted: Vec<usize> = self.required[right_id].iter().copied().collect();
        let scalars: Vec<Scalar> = wanted.iter().map(|column| scalar_of(*column)).collect();
        let mut places = left.places.clone();
        if let Some(picks) = scalars.iter().map(Scalar::as_column).collect::<Option<Vec<usize>>>() {
            places.extend(wanted.iter().zip(picks).map(|(column, place)| (column + split, place)));
            return Ok(Emitted { places, ..joined });
        }
        if kind == JoinKind::Left {
            return Err(Box::new(
                Diagnostic::unsupported(span, "computed columns of a table that is looked up by LEFT JOIN")
                    .with_hint("compute them behind the join, where a row without a match is known"),
            ));
        }
        let stream =
            (0..left.columns.len()).map(|at| (joined.columns[at].clone(), joined.columns[at].scalar(at)));
        let mut items: Vec<(Column, Scalar)> = stream.collect();
        for (column, scalar) in wanted.iter().zip(scalars) {
            places.insert(column + split, items.len());
            items.push((self.graph.columns(right_id)[*column].clone(), scalar));
        }
        let (node, columns) = self.project(&joined, items)?;
        Ok(Emitted { node, columns, places })
    }

    /// The answers of the lookup join that `text` describes; nobody else reads them.
    fn answers(&mut self, text: &str) -> Result<dataflow::plan::NodeId, Box<Diagnostic>> {
        let node = self.node(NodeKind::LookupAnswers, Vec::new(), &[], format!("LookupAnswers {text}"))?;
        self.plan.nodes[node.0].schema = answers_schema();
        Ok(node)
    }

    fn outside(&self, id: RelationId) -> Option<Outside> {
        let relation = &self.graph.relations[id];
        let below = || self.outside(relation.inputs[0]);
        match &relation.kind {
            RelationKind::Scan { table } => {
                let columns = relation.columns.iter().enumerate();
                Some(Outside {
                    scan: id,
                    table: table.clone(),
                    columns: columns.map(|(at, column)| column.scalar(at)).collect(),
                    conditions: Vec::new(),
                })
            }
            RelationKind::Watermark { .. } | RelationKind::ProcessingTime => below(),
            RelationKind::Filter { predicate } => {
                let mut outside = below()?;
                let mut predicate = predicate.clone();
                predicate.replace_columns(&|column| outside.columns[column].clone());
                outside.conditions.push(predicate);
                Some(outside)
            }
            RelationKind::Project { expressions } => {
                let outside = below()?;
                let columns = expressions.iter().cloned().map(|mut expression| {
                    expression.replace_columns(&|column| outside.columns[column].clone());
                    expression
                });
                let columns = columns.collect();
                Some(Outside { columns, ..outside })
            }
            _ => None,
        }
    }
}
