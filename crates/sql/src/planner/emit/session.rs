//! Aggregates of sessions that need no row of them.
//!
//! An aggregate over a session window is one node with it where every row that comes in counts in the aggregate of its
//! session: projections alone lie between them, nothing is computed of the bounds before the aggregate, and it groups
//! by what tells the sessions apart, and by nothing else. Aggregates that keep their values anyway (DISTINCT, LISTAGG,
//! COLLECT) stay with the rows: each row is written once there, and all values of a session whenever it grows here.

use super::{Emitted, Emitter, Written};
use crate::binder::{AggregateCall, Column, Relation, RelationId, RelationKind};
use crate::diagnostic::Diagnostic;
use crate::expression::Scalar;
use dataflow::plan::{Aggregate, AggregateFunction, NodeKind, WindowKind};
use std::collections::BTreeMap;

/// An aggregate and the session window below it, as one.
pub(super) struct SessionSums {
    session: RelationId,
    /// By grouping key, what it is.
    keys: Vec<GroupedBy>,
    /// By call that is wanted: its number, its argument and its filter, of the session's input.
    calls: Vec<(usize, Option<Scalar>, Option<Scalar>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GroupedBy {
    /// A column of the session's input that it is kept by.
    Key(usize),
    Start,
    End,
}

/// What the node reads: the columns of the session's input, or where something is computed a projection of it.
struct Read<'a> {
    input: &'a Emitted,
    computes: bool,
    items: Vec<(Column, Scalar)>,
}

impl Read<'_> {
    fn column(&mut self, column: usize) -> usize {
        let place = self.input.place(column);
        if !self.computes {
            return place;
        }
        let column = self.input.columns[place].clone();
        let scalar = column.scalar(place);
        self.item(column, scalar)
    }

    fn place(&mut self, scalar: &Scalar) -> usize {
        match scalar.as_column() {
            Some(column) => self.column(column),
            None => {
                let name = format!("$f{}", self.items.len());
                self.item(Column::new(name, scalar.data_type.clone()), self.input.moved(scalar))
            }
        }
    }

    /// Equal expressions stand there once.
    fn item(&mut self, column: Column, scalar: Scalar) -> usize {
        let identity = scalar.identity();
        let known = self.items.iter().position(|(_, item)| item.identity() == identity);
        known.unwrap_or_else(|| {
            self.items.push((column, scalar));
            self.items.len() - 1
        })
    }
}

/// What an expression over the session's input is, put together with the projection below, so that equal ones look
/// alike; but what is drawn there is no other column's draw.
fn expanded(scalar: &Scalar, below: &Relation) -> (bool, String) {
    let mut whole = scalar.clone();
    if let RelationKind::Project { expressions } = &below.kind {
        whole.replace_columns(&|column| expressions[column].clone());
    }
    match whole.is_deterministic() {
        true => (true, whole.identity()),
        false => (false, scalar.identity()),
    }
}

impl Emitter<'_> {
    /// Whether a windowed aggregate is one of sessions that can do without their rows.
    pub(super) fn session_sums(&self, id: RelationId, relation: &Relation) -> Option<SessionSums> {
        let RelationKind::WindowAggregate { window: WindowKind::Attached, keys, aggregates, .. } =
            &relation.kind
        else {
            return None;
        };
        let (session, reads) = self.graph.session_below(relation.inputs[0], false)?;
        let below = self.graph.relations[session].inputs[0];
        let width = self.graph.columns(below).len();
        let RelationKind::SessionWindow { keys: kept_by, .. } = &self.graph.relations[session].kind else {
            return None;
        };
        let below = &self.graph.relations[below];
        let kept_as: Vec<(bool, String)> =
            kept_by.iter().map(|key| expanded(&below.columns[*key].scalar(*key), below)).collect();
        // Two keys may be the same.
        let one_of = |place: usize| kept_as.iter().position(|kept| *kept == kept_as[place]).unwrap_or(place);
        let grouped_by = |key: &usize| {
            let scalar = &reads[*key];
            match scalar.as_column() {
                Some(column) if column == width => return Some(GroupedBy::Start),
                Some(column) if column == width + 1 => return Some(GroupedBy::End),
                _ => {}
            }
            let is_of_rows =
                scalar.is_deterministic() && scalar.columns().iter().all(|column| *column < width);
            let identity = is_of_rows.then(|| expanded(scalar, below))?;
            kept_as.iter().position(|kept| *kept == identity).map(|place| GroupedBy::Key(kept_by[place]))
        };
        let keys: Vec<GroupedBy> = keys.iter().map(grouped_by).collect::<Option<_>>()?;
        let all_of_session = (0..kept_by.len()).map(|place| GroupedBy::Key(kept_by[one_of(place)]));
        if !all_of_session.chain([GroupedBy::Start, GroupedBy::End]).all(|key| keys.contains(&key)) {
            return None;
        }
        let is_read = |column: &usize| {
            let scalar = &reads[*column];
            scalar.is_deterministic() && scalar.columns().iter().all(|column| *column < width)
        };
        let mut calls = Vec::new();
        for (number, call) in aggregates.iter().enumerate() {
            if !self.required[id].contains(&(keys.len() + number)) {
                continue;
            }
            if keeps_values(call) || ![call.argument, call.filter].iter().flatten().all(is_read) {
                return None;
            }
            let read = |column: Option<usize>| column.map(|column| reads[column].clone());
            calls.push((number, read(call.argument), read(call.filter)));
        }
        Some(SessionSums { session, keys, calls })
    }

    pub(super) fn session_aggregate(
        &mut self,
        relation: &Relation,
        sums: SessionSums,
        phase: u32,
    ) -> Written {
        let session = &self.graph.relations[sums.session];
        let (
            RelationKind::WindowAggregate { aggregates, .. },
            RelationKind::SessionWindow { time_column, gap_ms, zone, .. },
        ) = (&relation.kind, &session.kind)
        else {
            return Err(Box::new(Diagnostic::invalid(self.span, "no aggregate of sessions")));
        };
        let input = self.relation(session.inputs[0], phase)?;
        let read = sums.calls.iter().flat_map(|(_, argument, filter)| [argument, filter]).flatten();
        let computes = read.into_iter().any(|scalar| scalar.as_column().is_none());
        let mut read = Read { input: &input, computes, items: Vec::new() };
        let time_column = read.column(*time_column);
        let (mut keys, mut columns, mut places) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (old, key) in sums.keys.iter().enumerate() {
            let GroupedBy::Key(column) = key else { continue };
            let column = read.column(*column);
            let new = keys.iter().position(|known| *known == column).unwrap_or(keys.len());
            if new == keys.len() {
                keys.push(column);
                columns.push(relation.columns[old].clone());
            }
            places.insert(old, new);
        }
        let mut calls = Vec::new();
        for (number, argument, filter) in sums.calls {
            let call = &aggregates[number];
            calls.push(Aggregate {
                function: call.function,
                argument: argument.map(|argument| read.place(&argument)),
                distinct: call.distinct,
                filter: filter.map(|filter| read.place(&filter)),
                options: call.options.clone(),
                data_type: call.data_type.to_arrow(),
            });
            let old = sums.keys.len() + number;
            places.insert(old, columns.len());
            columns.push(relation.columns[old].clone());
        }
        let bounds = relation.columns.len() - 3;
        for (old, key) in sums.keys.iter().enumerate() {
            match key {
                GroupedBy::Key(_) => {}
                GroupedBy::Start => drop(places.insert(old, columns.len())),
                GroupedBy::End => drop(places.insert(old, columns.len() + 1)),
            }
        }
        places.extend((0..3).map(|bound| (bounds + bound, columns.len() + bound)));
        columns.extend(relation.columns[bounds..].iter().cloned());
        let node = if computes { self.project(&input, read.items)?.0 } else { input.node };
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let text = format!("SessionAggregate {time_column} {gap_ms} {zone} {keys:?} {calls:?} {names:?}");
        let (gap_ms, zone) = (*gap_ms, *zone);
        let kind = NodeKind::SessionAggregate { time_column, gap_ms, zone, keys, aggregates: calls };
        let node = self.node(kind, vec![node], &columns, text)?;
        Ok(Emitted { node, columns, places })
    }
}

fn keeps_values(call: &AggregateCall) -> bool {
    use AggregateFunction::{
        ArrayAgg, Collect, FirstValue, JsonArrayAgg, JsonObjectAgg, LastValue, ListAgg, Max, Min, Percentile,
    };
    match call.function {
        ListAgg | ArrayAgg | JsonArrayAgg | JsonObjectAgg | Collect | Percentile => true,
        Min | Max | FirstValue | LastValue => call.options.default.is_some(),
        _ => call.distinct || call.options.default.is_some(),
    }
}
