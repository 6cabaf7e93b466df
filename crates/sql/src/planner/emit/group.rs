//! Group aggregates and Top-N.

use super::{Emitted, Emitter, Written};
use crate::binder::{AggregateCall, Column, Relation, RelationId, RelationKind, WindowEnd};
use crate::diagnostic::Diagnostic;
use crate::expression::Scalar;
use crate::types::TimeAttribute;
use dataflow::plan::{Aggregate, AggregateOptions, Changelog, Keep, NodeKind, SortKey};
use std::collections::BTreeMap;

impl Emitter<'_> {
    pub(super) fn aggregate(
        &mut self,
        id: RelationId,
        relation: &Relation,
        (keys, aggregates, ttl_ms): (&[usize], &[AggregateCall], Option<u64>),
        phase: u32,
    ) -> Written {
        let input = self.relation(relation.inputs[0], phase)?;
        let (calls, new_keys, columns, places) = self.calls(id, relation, &input, keys, aggregates);
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let text = format!("GroupAggregate {ttl_ms:?} {new_keys:?} {calls:?} {names:?}");
        let kind = NodeKind::GroupAggregate { keys: new_keys, aggregates: calls };
        let node = self.node(kind, vec![input.node], &columns, text)?;
        self.plan.nodes[node.0].hinted_ttls_ms = [ttl_ms, None];
        Ok(Emitted { node, columns, places })
    }

    /// The calls and keys of an aggregate, its columns so far, and where the old ones went.
    #[allow(clippy::type_complexity, reason = "four parts of one thing, taken apart at once")]
    pub(super) fn calls(
        &self,
        id: RelationId,
        relation: &Relation,
        input: &Emitted,
        keys: &[usize],
        aggregates: &[AggregateCall],
    ) -> (Vec<Aggregate>, Vec<usize>, Vec<Column>, BTreeMap<usize, usize>) {
        let new_keys: Vec<usize> = keys.iter().map(|key| input.place(*key)).collect();
        let mut columns: Vec<Column> = relation.columns[..keys.len()].to_vec();
        let mut places: BTreeMap<usize, usize> = (0..keys.len()).map(|key| (key, key)).collect();
        let mut calls = Vec::new();
        for (number, aggregate) in aggregates.iter().enumerate() {
            let old = keys.len() + number;
            if !self.required[id].contains(&old) {
                continue;
            }
            places.insert(old, columns.len());
            columns.push(relation.columns[old].clone());
            calls.push(moved_call(aggregate, input));
        }
        (calls, new_keys, columns, places)
    }

    pub(super) fn rank(&mut self, id: RelationId, relation: &Relation, phase: u32) -> Written {
        let RelationKind::RowNumber { partition, order, first, last, window, .. } = &relation.kind else {
            return Err(Box::new(Diagnostic::invalid(self.span, "no row number")));
        };
        let Some(last) = last.filter(|last| last >= first) else {
            return self.all_numbers(id, relation, phase);
        };
        let input = self.relation(relation.inputs[0], phase)?;
        let input = self.narrowed(input, relation.inputs[0])?;
        let number = relation.columns.len() - 1;
        let with_number = self.required[id].contains(&number);
        let partition: Vec<usize> = partition.iter().map(|column| input.place(*column)).collect();
        let mut order: Vec<SortKey> =
            order.iter().map(|key| SortKey { column: input.place(key.column), ..*key }).collect();
        let mut columns: Vec<Column> = input
            .columns
            .iter()
            .map(|column| match window {
                Some(_) => column.clone(),
                None => Column { attribute: TimeAttribute::None, window: None, ..column.clone() },
            })
            .collect();
        let mut places = input.places.clone();
        if with_number {
            places.insert(number, columns.len());
            columns.push(relation.columns[number].clone());
        }
        // Of rows with equal times Flink keeps the last where the latest row alone is asked for.
        let by_time = |key: &SortKey| input.columns[key.column].attribute != TimeAttribute::None;
        let only_inserts = self.facts[input.node.0].changes == Changelog::Insert;
        let one_latest = matches!(order.as_slice(), [key] if key.descending && by_time(key));
        let latest_first = one_latest && only_inserts && (*first, last) == (1, 1);
        if let Some(WindowEnd { column, zone }) = window {
            let end_column = input.place(*column);
            let text = format!(
                "WindowRank {end_column} {zone} {partition:?} {order:?} {first} {last} {with_number} {latest_first}"
            );
            let kind = NodeKind::WindowRank {
                end_column,
                zone: *zone,
                partition,
                order,
                first: *first,
                last,
                with_number,
                latest_first,
            };
            let node = self.node(kind, vec![input.node], &columns, text)?;
            return Ok(Emitted { node, columns, places });
        }
        let keep = match order.as_slice() {
            [key] if !key.descending => match input.columns[key.column].attribute {
                TimeAttribute::ProcessingTime => Some(Keep::First),
                TimeAttribute::RowTime => Some(Keep::Earliest(key.column)),
                TimeAttribute::None => None,
            },
            _ => None,
        };
        if let Some(keep) = keep.filter(|_| only_inserts && (*first, last) == (1, 1)) {
            let text = format!("Deduplicate {partition:?} {keep:?}");
            let kind = NodeKind::Deduplicate { keys: partition, keep };
            let node = self.node(kind, vec![input.node], &input.columns, text)?;
            let mut items: Vec<(Column, Scalar)> = columns
                .iter()
                .take(input.columns.len())
                .cloned()
                .enumerate()
                .map(|(at, column)| {
                    let scalar = column.scalar(at);
                    (column, scalar)
                })
                .collect();
            if let Some(number) = columns.get(input.columns.len()) {
                items.push((number.clone(), Scalar::big_integer(1)));
            }
            let emitted = Emitted { node, ..input };
            let (node, columns) = self.project(&emitted, items)?;
            return Ok(Emitted { node, columns, places });
        }
        if !only_inserts {
            self.break_ties(&input, &partition, &mut order);
        }
        let text = format!("Rank {partition:?} {order:?} {first} {last} {with_number} {latest_first}");
        let kind = NodeKind::Rank { partition, order, first: *first, last, with_number, latest_first };
        let node = self.node(kind, vec![input.node], &columns, text)?;
        Ok(Emitted { node, columns, places })
    }

    /// Rows that compare equal stand in the order of their arrival. Of rows that change that order depends on how many
    /// changes a step took together, so here their key decides; where there is none, all that they hold.
    pub(super) fn break_ties(&self, input: &Emitted, partition: &[usize], order: &mut Vec<SortKey>) {
        let keys = &self.facts[input.node.0].keys;
        let columns = match keys.iter().min_by_key(|key| key.len()) {
            Some(key) => key.iter().copied().collect::<Vec<usize>>(),
            None => (0..input.columns.len()).collect(),
        };
        for column in columns {
            let is_fixed = partition.contains(&column) || order.iter().any(|key| key.column == column);
            if !is_fixed && !input.columns[column].data_type.kind.is_constructed() {
                order.push(SortKey { column, descending: false, nulls_first: true });
            }
        }
    }
}

/// A call over the columns of the input as it was written.
pub(super) fn moved_call(call: &AggregateCall, input: &Emitted) -> Aggregate {
    let place = |column: usize| input.place(column);
    Aggregate {
        function: call.function,
        argument: call.argument.map(place),
        distinct: call.distinct,
        filter: call.filter.map(place),
        options: AggregateOptions { default: call.options.default.map(place), ..call.options.clone() },
        data_type: call.data_type.to_arrow(),
    }
}
