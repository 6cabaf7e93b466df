//! Joins: of two changelogs, or of a stream with a table that is read to its end first.
//!
//! Equalities across the sides become keys; what else the condition says is decided pair by pair. Event time does not
//! go through: its columns are plain timestamps behind a join, as in Flink.

use super::{Emitted, Emitter, Written, compiled_over, schema};
use crate::binder::{Column, JoinManner, Relation, RelationId, RelationKind, SideHints};
use crate::diagnostic::Diagnostic;
use crate::expression::compare::Comparison;
use crate::expression::{Scalar, ScalarKind};
use crate::span::Span;
use crate::types::{RowField, TimeAttribute, TypeKind};
use dataflow::plan::{JoinKind, NodeKind};
use std::collections::BTreeMap;

impl Emitter<'_> {
    pub(super) fn join(
        &mut self,
        relation: &Relation,
        (kind, manner, hinted): (JoinKind, JoinManner, SideHints),
        condition: Option<&Scalar>,
        span: Span,
        phase: u32,
    ) -> Written {
        if let JoinManner::Lookup { asks: Some(asks) } = manner {
            return self.lookup(relation, (kind, asks), condition, span, phase);
        }
        let (left, right) = (relation.inputs[0], relation.inputs[1]);
        let split = self.graph.columns(left).len();
        let (mut left_keys, mut right_keys, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        let parts = condition.cloned().map(Scalar::into_conjuncts).unwrap_or_default();
        for part in &parts {
            let same = || if manner == JoinManner::Regular { sameness(part, split) } else { None };
            match equality(part, split).or_else(same) {
                Some((a, b)) => {
                    left_keys.push(a);
                    right_keys.push(b);
                }
                None => rest.push(part.clone()),
            }
        }
        refuse_random(&rest, "the condition of a join that shows rows without a partner", span)?;
        let table_side = self.graph.table_side(left, right, (kind, manner), hinted);
        if matches!(manner, JoinManner::Lookup { .. }) && left_keys.is_empty() {
            return Err(Box::new(
                Diagnostic::invalid(span, "a lookup join needs an equality between its two sides")
                    .with_hint("write ON o.x = t.key, where x is a column of the stream"),
            ));
        }
        let table_side = table_side.filter(|_| !left_keys.is_empty());
        if table_side.is_none() && manner == JoinManner::Regular {
            self.refuse_interval(&parts, left, right, span)?;
        }
        let table_is_left = table_side == Some(true);
        let (left_phase, right_phase) = match table_side {
            None => (phase, phase),
            Some(true) => (phase + self.depth(right) + 1, phase),
            Some(false) => (phase, phase + self.depth(left) + 1),
        };
        let (left_id, right_id) = (left, right);
        let left = self.relation(left, left_phase)?;
        let right = match manner {
            JoinManner::Versions { .. } => self.versions(right, right_phase, span)?,
            _ => self.relation(right, right_phase)?,
        };
        let (left, right) = (self.narrowed(left, left_id)?, self.narrowed(right, right_id)?);
        let (left, left_keys) = self.with_keys(left, left_keys)?;
        let (right, right_keys) = self.with_keys(right, right_keys)?;
        // The engine's input 0 is the stream.
        let (stream, table, stream_keys, table_keys) = if table_is_left {
            (&right, &left, right_keys, left_keys)
        } else {
            (&left, &right, left_keys, right_keys)
        };
        let mut columns: Vec<Column> = Vec::new();
        for (side, input) in [stream, table].into_iter().enumerate() {
            for column in &input.columns {
                let mut column = column.clone();
                let keeps_time = match manner {
                    JoinManner::Regular => false,
                    JoinManner::Lookup { .. } | JoinManner::Versions { .. } => side == 0,
                    JoinManner::Interval { .. } => !kind.pads(1 - side),
                };
                if !keeps_time {
                    (column.attribute, column.window) = (TimeAttribute::None, None);
                }
                column.data_type.nullable |= kind.pads(1 - side);
                columns.push(column);
            }
        }
        let offset = stream.columns.len();
        let mut places = BTreeMap::new();
        for (old, new) in &left.places {
            places.insert(*old, if table_is_left { new + offset } else { *new });
        }
        for (old, new) in &right.places {
            places.insert(old + split, if table_is_left { *new } else { new + offset });
        }
        let residual = Scalar::all_of(rest).map(|mut residual| {
            residual.remap(&|column| places.get(&column).copied().unwrap_or(column));
            residual
        });
        let text = format!(
            "{} {kind:?} {manner:?} {:?} {stream_keys:?} {table_keys:?} {}",
            if table_side.is_some() { "BoundedJoin" } else { "Join" },
            hinted.ttls_ms,
            residual.as_ref().map(Scalar::identity).unwrap_or_default()
        );
        let joined = schema(&columns);
        let residual = residual.map(|residual| compiled_over(residual, &joined));
        if kind.tests_left() {
            columns.truncate(offset);
            places.retain(|old, _| *old < split);
        }
        let node_kind = match table_side {
            Some(_) => NodeKind::BoundedJoin { kind, stream_keys, table_keys, residual },
            None => match manner {
                JoinManner::Interval { times, lower_ms, upper_ms } => NodeKind::IntervalJoin {
                    kind,
                    times: [stream.place(times[0]), table.place(times[1])],
                    lower_ms,
                    upper_ms,
                    left_keys: stream_keys,
                    right_keys: table_keys,
                    residual,
                },
                JoinManner::Versions { times } => NodeKind::TemporalJoin {
                    kind,
                    times: [stream.place(times[0]), table.place(times[1])],
                    left_keys: stream_keys,
                    right_keys: table_keys,
                    residual,
                },
                _ => NodeKind::Join { kind, left_keys: stream_keys, right_keys: table_keys, residual },
            },
        };
        let is_regular = matches!(node_kind, NodeKind::Join { .. });
        let inputs = vec![stream.node, table.node];
        let node = self.node(node_kind, inputs, &columns, text)?;
        if is_regular {
            self.plan.nodes[node.0].hinted_ttls_ms = hinted.ttls_ms;
        }
        Ok(Emitted { node, columns, places })
    }

    /// A join of windows: both sides stream, and every equality is a key.
    pub(super) fn window_join(&mut self, relation: &Relation, phase: u32) -> Written {
        let RelationKind::WindowJoin { kind, condition, ends, zone } = &relation.kind else {
            return Err(Box::new(Diagnostic::invalid(self.span, "no window join")));
        };
        let (left_id, right_id) = (relation.inputs[0], relation.inputs[1]);
        let split = self.graph.columns(left_id).len();
        let (mut left_keys, mut right_keys, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for part in condition.clone().map(Scalar::into_conjuncts).unwrap_or_default() {
            match equality(&part, split) {
                Some((a, b)) => {
                    left_keys.push(a);
                    right_keys.push(b);
                }
                None => rest.push(part),
            }
        }
        let left = self.relation(left_id, phase)?;
        let right = self.relation(right_id, phase)?;
        let (left, right) = (self.narrowed(left, left_id)?, self.narrowed(right, right_id)?);
        let (left, left_keys) = self.with_keys(left, left_keys)?;
        let (right, right_keys) = self.with_keys(right, right_keys)?;
        let ends = [left.place(ends[0]), right.place(ends[1])];
        let offset = left.columns.len();
        let mut places: BTreeMap<usize, usize> = left.places.clone();
        places.extend(right.places.iter().map(|(old, new)| (old + split, new + offset)));
        let mut columns: Vec<Column> = Vec::new();
        for (side, input) in [&left, &right].into_iter().enumerate() {
            for column in &input.columns {
                let mut column = column.clone();
                if kind.pads(1 - side) {
                    column.data_type.nullable = true;
                    column.attribute = TimeAttribute::None;
                    column.window = None;
                }
                columns.push(column);
            }
        }
        let residual = Scalar::all_of(rest).map(|mut residual| {
            residual.remap(&|column| places.get(&column).copied().unwrap_or(column));
            residual
        });
        let text = format!(
            "WindowJoin {kind:?} {ends:?} {zone} {left_keys:?} {right_keys:?} {}",
            residual.as_ref().map(Scalar::identity).unwrap_or_default()
        );
        let joined = schema(&columns);
        let residual = residual.map(|residual| compiled_over(residual, &joined));
        if kind.tests_left() {
            columns.truncate(offset);
            places.retain(|old, _| *old < split);
        }
        let kind = NodeKind::WindowJoin { kind: *kind, ends, zone: *zone, left_keys, right_keys, residual };
        let node = self.node(kind, vec![left.node, right.node], &columns, text)?;
        Ok(Emitted { node, columns, places })
    }

    /// How many phases lie one over the other in a relation: its own table sides are read before the rest of it, and
    /// the table that it is joined with before all of them.
    fn depth(&mut self, id: RelationId) -> u32 {
        if let Some(known) = self.depths.get(&id) {
            return *known;
        }
        let relation = &self.graph.relations[id];
        let inputs: Vec<u32> = relation.inputs.iter().map(|input| self.depth(*input)).collect();
        let reads_first = match (&relation.kind, relation.inputs.as_slice()) {
            (RelationKind::Join { kind, manner, hinted, .. }, [left, right]) => {
                self.graph.table_side(*left, *right, (*kind, *manner), *hinted).is_some()
            }
            _ => false,
        };
        let depth = match reads_first {
            true => inputs.iter().sum::<u32>() + 1,
            false => inputs.into_iter().max().unwrap_or(0),
        };
        self.depths.insert(id, depth);
        depth
    }

    /// Flink's rule: a condition that bounds the event time of one side by that of the other makes an interval join,
    /// which keeps event time and forgets rows that can match no more. Run as a regular join it would keep all.
    fn refuse_interval(
        &self,
        parts: &[Scalar],
        left: RelationId,
        right: RelationId,
        span: Span,
    ) -> Result<(), Box<Diagnostic>> {
        let split = self.graph.columns(left).len();
        let row_time = |scalar: &Scalar| {
            let columns = scalar.columns();
            let mut times = columns.iter().filter(|column| {
                let (side, column) =
                    if **column < split { (left, **column) } else { (right, **column - split) };
                self.graph.columns(side)[column].attribute == TimeAttribute::RowTime
            });
            times.next().copied()
        };
        let (mut equal, mut less, mut greater) = (0, 0, 0);
        for part in parts {
            let ScalarKind::Compare { comparison, left, right } = &part.kind else { continue };
            let (Some(one), Some(other)) = (row_time(left), row_time(right)) else { continue };
            if (one < split) == (other < split) {
                continue;
            }
            let comparison = if one < split { *comparison } else { comparison.mirrored() };
            match comparison {
                Comparison::Equal => equal += 1,
                Comparison::Less | Comparison::LessOrEqual => less += 1,
                Comparison::Greater | Comparison::GreaterOrEqual => greater += 1,
                Comparison::NotEqual => {}
            }
        }
        if matches!((equal, less, greater), (1, 0, 0) | (0, 1, 1)) {
            return Err(Box::new(
                Diagnostic::unsupported(span, "this condition on the event times of both sides is not supported yet")
                    .with_label("it bounds one event time by the other")
                    .with_hint(
                        "write the bounds as a.ts BETWEEN b.ts - INTERVAL '1' HOUR AND b.ts + INTERVAL '1' HOUR; for a join that keeps all rows cast one of the two, as in CAST(ts AS TIMESTAMP(3))",
                    ),
            ));
        }
        Ok(())
    }

    /// The columns of the keys; what is no column is computed before the join.
    pub(super) fn with_keys(
        &mut self,
        input: Emitted,
        keys: Vec<Scalar>,
    ) -> Result<(Emitted, Vec<usize>), Box<Diagnostic>> {
        let keys: Vec<Scalar> = keys.iter().map(|key| input.moved(key)).collect();
        if let Some(columns) = keys.iter().map(Scalar::as_column).collect::<Option<Vec<usize>>>() {
            return Ok((input, columns));
        }
        let mut items: Vec<(Column, Scalar)> = input
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| (column.clone(), column.scalar(at)))
            .collect();
        let mut places = Vec::new();
        for key in keys {
            places.push(match key.as_column() {
                Some(column) => column,
                None => {
                    items.push((Column::new(key.describe(), key.data_type.clone()), key));
                    items.len() - 1
                }
            });
        }
        let (node, columns) = self.project(&input, items)?;
        Ok((Emitted { node, columns, places: input.places }, places))
    }
}

/// Random values are drawn by projections and filters alone, which know the places of their rows.
pub(super) fn refuse_random(parts: &[Scalar], what: &str, span: Span) -> Result<(), Box<Diagnostic>> {
    if !parts.iter().any(Scalar::is_random) {
        return Ok(());
    }
    Err(Box::new(
        Diagnostic::unsupported(span, format!("RAND, RAND_INTEGER and UUID cannot stand in {what}"))
            .with_hint("take the value in a sub-query of FROM, as a column"),
    ))
}

/// `left = right` across the sides of a join.
pub(super) fn equality(part: &Scalar, split: usize) -> Option<(Scalar, Scalar)> {
    match &part.kind {
        ScalarKind::Compare { comparison: Comparison::Equal, left, right } => across(left, right, split),
        _ => None,
    }
}

/// `left IS NOT DISTINCT FROM right` across the sides: as rows of one field, which are the same if both are NULL.
fn sameness(part: &Scalar, split: usize) -> Option<(Scalar, Scalar)> {
    let ScalarKind::Distinct { left, right, negated: true } = &part.kind else { return None };
    let (left, right) = across(left, right, split)?;
    if left.data_type.kind != right.data_type.kind || left.data_type.kind.is_constructed() {
        return None;
    }
    if !left.data_type.nullable && !right.data_type.nullable {
        return Some((left, right));
    }
    let row = |value: Scalar| {
        let field = RowField { name: "value".into(), data_type: value.data_type.as_nullable() };
        let data_type = TypeKind::Row(vec![field]).not_null();
        Scalar { kind: ScalarKind::Row(vec![value]), data_type }
    };
    Some((row(left), row(right)))
}

/// Two values, that of the left side first and the other over the right side alone.
fn across(left: &Scalar, right: &Scalar, split: usize) -> Option<(Scalar, Scalar)> {
    let (a, b) = (left.columns(), right.columns());
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let to_right = |scalar: &Scalar| {
        let mut scalar = scalar.clone();
        scalar.remap(&|column| column - split);
        scalar
    };
    if a.iter().all(|column| *column < split) && b.iter().all(|column| *column >= split) {
        return Some((left.clone(), to_right(right)));
    }
    if b.iter().all(|column| *column < split) && a.iter().all(|column| *column >= split) {
        return Some((right.clone(), to_right(left)));
    }
    None
}
