//! Windows, and aggregates over them.

use super::{Emitted, Emitter, Written};
use crate::binder::{Relation, RelationId, RelationKind};
use crate::diagnostic::Diagnostic;
use crate::expression::{Scalar, ScalarKind};
use crate::span::Span;
use crate::types::{LogicalType, TypeKind};
use dataflow::plan::{NodeKind, WindowKind};
use std::sync::Arc;

impl Emitter<'_> {
    pub(super) fn window_assign(
        &mut self,
        relation: &Relation,
        time_column: usize,
        window: WindowKind,
        shift_ms: i64,
        phase: u32,
    ) -> Written {
        let input = self.relation(relation.inputs[0], phase)?;
        let time_column = input.place(time_column);
        let old = relation.columns.len() - 3;
        let new = input.columns.len();
        let mut columns = input.columns.clone();
        columns.extend(relation.columns[old..].iter().cloned());
        let text = format!("WindowAssign {time_column} {window:?}");
        let kind = NodeKind::WindowAssign { time_column, window };
        let node = self.node(kind, vec![input.node], &columns, text)?;
        let mut places = input.places.clone();
        places.extend((0..3).map(|bound| (old + bound, new + bound)));
        self.shifted(Emitted { node, columns, places }, new, shift_ms)
    }

    /// Moves the window's bounds, which the engine computes in UTC, to the session's clock.
    fn shifted(&mut self, emitted: Emitted, first: usize, shift_ms: i64) -> Written {
        if shift_ms == 0 {
            return Ok(emitted);
        }
        let items = emitted
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let scalar = column.scalar(index);
                let moved =
                    if index == first || index == first + 1 { plus_ms(scalar, shift_ms) } else { scalar };
                (column.clone(), moved)
            })
            .collect();
        let (node, columns) = self.project(&emitted, items)?;
        Ok(Emitted { node, columns, ..emitted })
    }

    pub(super) fn window_aggregate(&mut self, id: RelationId, relation: &Relation, phase: u32) -> Written {
        let RelationKind::WindowAggregate { time_column, window, shift_ms, keys, aggregates } =
            &relation.kind
        else {
            return Err(Box::new(Diagnostic::invalid(Span::default(), "no window aggregate")));
        };
        let input = self.relation(relation.inputs[0], phase)?;
        let (calls, new_keys, mut columns, mut places) = self.calls(id, relation, &input, keys, aggregates);
        let bounds = relation.columns.len() - 3;
        let first = columns.len();
        for bound in 0..3 {
            places.insert(bounds + bound, columns.len());
            columns.push(relation.columns[bounds + bound].clone());
        }
        let time_column = input.place(*time_column);
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let text = format!("WindowAggregate {time_column} {window:?} {new_keys:?} {calls:?} {names:?}");
        let kind =
            NodeKind::WindowAggregate { time_column, window: *window, keys: new_keys, aggregates: calls };
        let node = self.node(kind, vec![input.node], &columns, text)?;
        self.shifted(Emitted { node, columns, places }, first, *shift_ms)
    }
}

fn plus_ms(scalar: Scalar, ms: i64) -> Scalar {
    let interval = Scalar::literal(
        Arc::new(arrow_array::Int64Array::from(vec![ms])),
        format!("INTERVAL '{}' SECOND", ms / 1_000),
        TypeKind::IntervalDayTime.not_null(),
    );
    let data_type: LogicalType = scalar.data_type.clone();
    Scalar {
        kind: ScalarKind::AddInterval {
            operand: Box::new(scalar),
            interval: Box::new(interval),
            subtract: false,
        },
        data_type,
    }
}
