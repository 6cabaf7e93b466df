//! Which columns of each relation its readers need, from the sinks down.
//!
//! All readers are looked at together, so that a shared relation gives the union of what they want.

use crate::binder::{Graph, JoinManner, RelationId, RelationKind};
use crate::expression::Scalar;
use std::collections::BTreeSet;

/// The needed columns, by relation; empty for relations that lead to no sink.
pub(super) type Required = Vec<BTreeSet<usize>>;

pub(super) fn run(graph: &Graph) -> Required {
    let mut required: Required = vec![BTreeSet::new(); graph.relations.len()];
    for sink in &graph.sinks {
        required[*sink].extend(0..graph.columns(*sink).len());
    }
    let reached = reach(graph);
    // Inputs have smaller numbers than their readers.
    for id in (0..graph.relations.len()).rev().filter(|id| reached[*id]) {
        let relation = &graph.relations[id];
        let wanted = required[id].clone();
        match &relation.kind {
            RelationKind::Scan { .. } => {}
            RelationKind::Sink { .. } | RelationKind::Union | RelationKind::ProcessingTime => {
                for input in &relation.inputs {
                    required[*input].extend(&wanted);
                }
            }
            RelationKind::TemporalSort { time_column, order } => {
                let input = &mut required[relation.inputs[0]];
                input.extend(wanted);
                input.insert(*time_column);
                input.extend(order.iter().map(|key| key.column));
            }
            RelationKind::Replicate => {
                let input = &mut required[relation.inputs[0]];
                input.extend(wanted);
                input.insert(relation.columns.len());
            }
            RelationKind::Watermark { column, watermark } => {
                let input = &mut required[relation.inputs[0]];
                input.extend(wanted);
                input.insert(*column);
                watermark.collect_columns(input);
            }
            RelationKind::Project { expressions } => {
                let input = &mut required[relation.inputs[0]];
                for column in wanted {
                    expressions[column].collect_columns(input);
                }
            }
            RelationKind::Filter { predicate } => {
                let input = &mut required[relation.inputs[0]];
                input.extend(wanted);
                predicate.collect_columns(input);
            }
            RelationKind::Unnest { collection, .. } => {
                let width = graph.columns(relation.inputs[0]).len();
                let input = &mut required[relation.inputs[0]];
                input.extend(wanted.into_iter().filter(|column| *column < width));
                collection.collect_columns(input);
            }
            RelationKind::WindowAssign { time_column, .. } => {
                let bounds = relation.columns.len() - 3;
                let input = &mut required[relation.inputs[0]];
                input.extend(wanted.into_iter().filter(|column| *column < bounds));
                input.insert(*time_column);
            }
            RelationKind::SessionWindow { time_column, keys, .. } => {
                let bounds = relation.columns.len() - 3;
                let input = &mut required[relation.inputs[0]];
                input.extend(wanted.into_iter().filter(|column| *column < bounds));
                input.insert(*time_column);
                input.extend(keys);
            }
            RelationKind::WindowAggregate { time_column, keys, aggregates, .. } => {
                let input = &mut required[relation.inputs[0]];
                input.insert(*time_column);
                input.extend(keys);
                for (number, aggregate) in aggregates.iter().enumerate() {
                    if wanted.contains(&(keys.len() + number)) {
                        input.extend(aggregate.argument);
                        input.extend(aggregate.filter);
                    }
                }
            }
            RelationKind::MatchRecognize { pattern, partition, time_column, order, measures, .. } => {
                let input = &mut required[relation.inputs[0]];
                input.extend(partition);
                input.insert(*time_column);
                input.extend(order.iter().map(|key| key.column));
                pattern.collect_columns(input);
                for (number, measure) in measures.iter().enumerate() {
                    if wanted.contains(&(partition.len() + number)) {
                        measure.collect_columns(input);
                    }
                }
            }
            RelationKind::Aggregate { keys, aggregates, .. } => {
                let input = &mut required[relation.inputs[0]];
                input.extend(keys);
                for (number, aggregate) in aggregates.iter().enumerate() {
                    if wanted.contains(&(keys.len() + number)) {
                        input.extend(aggregate.argument);
                        input.extend(aggregate.filter);
                    }
                }
            }
            RelationKind::RowNumber { partition, order, .. } => {
                let number = relation.columns.len() - 1;
                let input = &mut required[relation.inputs[0]];
                input.extend(wanted.into_iter().filter(|column| *column < number));
                input.extend(partition);
                input.extend(order.iter().map(|key| key.column));
            }
            RelationKind::Over { partition, order, aggregates, .. } => {
                let before = relation.columns.len() - aggregates.len();
                let input = &mut required[relation.inputs[0]];
                input.extend(wanted.iter().filter(|column| **column < before));
                input.extend(partition);
                input.extend(order.column());
                for (number, aggregate) in aggregates.iter().enumerate() {
                    if wanted.contains(&(before + number)) {
                        input.extend(aggregate.argument);
                        input.extend(aggregate.filter);
                        input.extend(aggregate.options.default);
                    }
                }
            }
            RelationKind::Join { condition, .. } | RelationKind::WindowJoin { condition, .. } => {
                let split = graph.columns(relation.inputs[0]).len();
                let mut both = wanted;
                if let RelationKind::Join {
                    manner: JoinManner::Interval { times, .. } | JoinManner::Versions { times },
                    ..
                } = &relation.kind
                {
                    both.extend([times[0], times[1] + split]);
                }
                if let Some(condition) = condition {
                    Scalar::collect_columns(condition, &mut both);
                }
                for column in both {
                    if column < split {
                        required[relation.inputs[0]].insert(column);
                    } else {
                        required[relation.inputs[1]].insert(column - split);
                    }
                }
            }
        }
    }
    required
}

fn reach(graph: &Graph) -> Vec<bool> {
    let mut reached = vec![false; graph.relations.len()];
    let mut open: Vec<RelationId> = graph.sinks.clone();
    while let Some(id) = open.pop() {
        if !std::mem::replace(&mut reached[id], true) {
            open.extend(&graph.relations[id].inputs);
        }
    }
    reached
}
