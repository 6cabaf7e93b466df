//! Windows, and aggregates over them.

use super::{Emitted, Emitter, Written};
use crate::binder::{Column, Relation, RelationId, RelationKind};
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use base::Zone;
use dataflow::plan::{NodeKind, WindowKind};
use std::collections::BTreeMap;

impl Emitter<'_> {
    pub(super) fn window_assign(
        &mut self,
        relation: &Relation,
        time_column: usize,
        window: WindowKind,
        zone: Zone,
        phase: u32,
    ) -> Written {
        let input = self.relation(relation.inputs[0], phase)?;
        let time_column = input.place(time_column);
        let old = relation.columns.len() - 3;
        let new = input.columns.len();
        let mut columns = input.columns.clone();
        columns.extend(relation.columns[old..].iter().cloned());
        let text = format!("WindowAssign {time_column} {window:?} {zone}");
        let kind = NodeKind::WindowAssign { time_column, window, zone };
        let node = self.node(kind, vec![input.node], &columns, text)?;
        let mut places = input.places.clone();
        places.extend((0..3).map(|bound| (old + bound, new + bound)));
        Ok(Emitted { node, columns, places })
    }

    pub(super) fn session_window(&mut self, id: RelationId, relation: &Relation, phase: u32) -> Written {
        let RelationKind::SessionWindow { time_column, gap_ms, zone, keys } = &relation.kind else {
            return Err(Box::new(Diagnostic::invalid(Span::default(), "no session window")));
        };
        let input = self.relation(relation.inputs[0], phase)?;
        // Rows are kept, so only what is needed of them; the time and the keys are.
        let mut wanted: Vec<usize> =
            self.required[id].iter().copied().filter(|column| *column < relation.columns.len() - 3).collect();
        wanted.extend([*time_column].iter().chain(keys));
        wanted.sort_unstable();
        wanted.dedup();
        let columns: Vec<Column> =
            wanted.iter().map(|old| input.columns[input.place(*old)].clone()).collect();
        let node = self.exactly(&input, &wanted, &columns)?;
        let mut places: BTreeMap<usize, usize> =
            wanted.iter().enumerate().map(|(new, old)| (*old, new)).collect();
        let place = |column: &usize| places.get(column).copied().unwrap_or(*column);
        let (time_column, keys) = (place(time_column), keys.iter().map(place).collect::<Vec<usize>>());
        let old = relation.columns.len() - 3;
        let new = columns.len();
        let mut columns = columns;
        columns.extend(relation.columns[old..].iter().cloned());
        let text = format!("SessionWindow {time_column} {gap_ms} {zone} {keys:?}");
        let kind = NodeKind::SessionWindow { time_column, gap_ms: *gap_ms, zone: *zone, keys };
        let node = self.node(kind, vec![node], &columns, text)?;
        places.extend((0..3).map(|bound| (old + bound, new + bound)));
        Ok(Emitted { node, columns, places })
    }

    pub(super) fn window_aggregate(&mut self, id: RelationId, relation: &Relation, phase: u32) -> Written {
        let RelationKind::WindowAggregate { time_column, window, zone, keys, aggregates } = &relation.kind
        else {
            return Err(Box::new(Diagnostic::invalid(Span::default(), "no window aggregate")));
        };
        if let Some(sums) = self.session_sums(id, relation) {
            return self.session_aggregate(relation, sums, phase);
        }
        let input = self.relation(relation.inputs[0], phase)?;
        let (calls, new_keys, mut columns, mut places) = self.calls(id, relation, &input, keys, aggregates);
        let bounds = relation.columns.len() - 3;
        for bound in 0..3 {
            places.insert(bounds + bound, columns.len());
            columns.push(relation.columns[bounds + bound].clone());
        }
        let time_column = input.place(*time_column);
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let text =
            format!("WindowAggregate {time_column} {window:?} {zone} {new_keys:?} {calls:?} {names:?}");
        let kind = NodeKind::WindowAggregate {
            time_column,
            window: *window,
            zone: *zone,
            keys: new_keys,
            aggregates: calls,
        };
        let node = self.node(kind, vec![input.node], &columns, text)?;
        Ok(Emitted { node, columns, places })
    }
}
