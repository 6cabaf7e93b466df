//! MATCH_RECOGNIZE.

use super::{Emitted, Emitter, Written, compiled_over};
use crate::binder::{Column, MatchMeasure, MatchValue, Relation, RelationId, RelationKind};
use crate::diagnostic::Diagnostic;
use crate::expression::Scalar;
use crate::span::Span;
use crate::types::TimeAttribute;
use arrow_schema::Schema;
use dataflow::plan::{MatchExpression, MatchInput, NodeKind, RowPattern, RowVariable, SortKey};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Emitter<'_> {
    pub(super) fn match_recognize(&mut self, id: RelationId, relation: &Relation, phase: u32) -> Written {
        let RelationKind::MatchRecognize { pattern, partition, time_column, on_clock, order, measures } =
            &relation.kind
        else {
            return Err(Box::new(Diagnostic::invalid(Span::default(), "no pattern")));
        };
        let input = self.relation(relation.inputs[0], phase)?;
        let is_shown = |number: &usize| self.required[id].contains(&(partition.len() + number));
        let shown: Vec<usize> = (0..measures.len()).filter(is_shown).collect();
        // Rows are kept, so only what is needed of them.
        let mut wanted: BTreeSet<usize> = partition.iter().copied().collect();
        wanted.extend(order.iter().map(|key| key.column));
        pattern.collect_columns(&mut wanted);
        shown.iter().for_each(|number| measures[*number].collect_columns(&mut wanted));
        if !on_clock {
            wanted.insert(*time_column);
        }
        let wanted: Vec<usize> = wanted.into_iter().collect();
        let columns: Vec<Column> =
            wanted.iter().map(|old| input.columns[input.place(*old)].clone()).collect();
        let below = self.exactly(&input, &wanted, &columns)?;
        let place = |column: usize| wanted.iter().position(|old| *old == column).unwrap_or(column);
        let schema = self.plan.node(below).schema.clone();
        let variables = pattern.variables.iter().map(|variable| RowVariable {
            name: variable.name.clone(),
            least: variable.least,
            most: variable.most,
            greedy: variable.greedy,
            row_condition: variable.row_condition.clone().map(|mut condition| {
                condition.remap(&place);
                compiled_over(condition, &schema)
            }),
            condition: variable.condition.as_ref().map(|condition| compiled(condition, &place, &schema)),
        });
        let row_pattern = RowPattern {
            variables: variables.collect(),
            after_match: pattern.after_match,
            within_ms: pattern.within_ms,
        };
        let kept = shown.iter().map(|number| partition.len() + number);
        let outputs: Vec<usize> = (0..partition.len()).chain(kept).collect();
        let output_columns: Vec<Column> = outputs
            .iter()
            .map(|old| Column { attribute: TimeAttribute::None, ..relation.columns[*old].clone() })
            .collect();
        let kind = NodeKind::MatchRecognize {
            pattern: Arc::new(row_pattern),
            partition: partition.iter().map(|column| place(*column)).collect(),
            time_column: (!on_clock).then(|| place(*time_column)),
            order: order.iter().map(|key| SortKey { column: place(key.column), ..*key }).collect(),
            measures: shown.iter().map(|number| compiled(&measures[*number], &place, &schema)).collect(),
        };
        // No two are equal, so that the long text is not needed.
        let text = format!("MatchRecognize {id} {phase}");
        let node = self.node(kind, vec![below], &output_columns, text)?;
        let places: BTreeMap<usize, usize> =
            outputs.iter().enumerate().map(|(new, old)| (*old, new)).collect();
        let columns = outputs.iter().map(|old| relation.columns[*old].clone()).collect();
        Ok(Emitted { node, columns, places })
    }
}

fn compiled(measure: &MatchMeasure, place: &dyn Fn(usize) -> usize, schema: &Schema) -> MatchExpression {
    let input = |input: &MatchValue| match input {
        MatchValue::Row { variable, from_first, offset, column } => MatchInput::Row {
            variable: *variable,
            from_first: *from_first,
            offset: *offset,
            column: place(*column),
        },
        MatchValue::Aggregate { variable, function, argument, options, data_type } => {
            let columns: Vec<usize> = argument.iter().flat_map(Scalar::columns).map(place).collect();
            let fields: Vec<_> = columns.iter().map(|column| schema.field(*column).clone()).collect();
            let argument = argument.clone().map(|mut argument| {
                argument.remap(&|column| {
                    let column = place(column);
                    columns.iter().position(|own| *own == column).unwrap_or(column)
                });
                compiled_over(argument, &Schema::new(fields))
            });
            MatchInput::Aggregate {
                variable: *variable,
                function: *function,
                columns,
                argument,
                options: options.clone(),
                data_type: data_type.to_arrow(),
            }
        }
        MatchValue::RowTime { data_type } => MatchInput::RowTime { data_type: data_type.to_arrow() },
    };
    MatchExpression {
        inputs: measure.inputs.iter().map(input).collect(),
        expression: measure.scalar.clone().compile(),
    }
}
