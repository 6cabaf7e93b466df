//! Aggregates OVER windows.

use super::group::moved_call;
use super::{Emitted, Emitter, Written};
use crate::binder::{AggregateCall, Column, OverTime, Relation, RelationId, RelationKind};
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::types::TimeAttribute;
use dataflow::plan::{
    Aggregate, AggregateFunction, AggregateOptions, Changelog, NodeKind, OverFrame, OverOrder, SortKey,
};

impl Emitter<'_> {
    pub(super) fn over(&mut self, id: RelationId, relation: &Relation, phase: u32) -> Written {
        let RelationKind::Over { partition, order, frame, aggregates, span } = &relation.kind else {
            return Err(Box::new(Diagnostic::invalid(self.span, "no OVER")));
        };
        let input = self.relation(relation.inputs[0], phase)?;
        let input = self.narrowed(input, relation.inputs[0])?;
        let before = relation.columns.len() - aggregates.len();
        let wanted: Vec<(usize, &AggregateCall)> = aggregates
            .iter()
            .enumerate()
            .map(|(number, call)| (before + number, call))
            .filter(|(column, _)| self.required[id].contains(column))
            .collect();
        let columns: Vec<(usize, Column)> =
            wanted.iter().map(|(column, _)| (*column, relation.columns[*column].clone())).collect();
        let calls = wanted.iter().map(|(_, call)| moved_call(call, &input)).collect();
        let partition: Vec<usize> = partition.iter().map(|column| input.place(*column)).collect();
        let order = match order {
            OverTime::Time { column } => OverOrder::Time { column: input.place(*column) },
            OverTime::Arrival => OverOrder::Arrival,
            OverTime::Column { column } => self.by_column(&input, &partition, input.place(*column)),
        };
        self.over_node(&input, (partition, order, *frame), calls, columns, *span)
    }

    /// ROW_NUMBER without a bound on its number: how many rows stand up to each.
    pub(super) fn all_numbers(&mut self, id: RelationId, relation: &Relation, phase: u32) -> Written {
        let RelationKind::RowNumber { partition, order, first, last, span, .. } = &relation.kind else {
            return Err(Box::new(Diagnostic::invalid(self.span, "no row number")));
        };
        let [key] = order.as_slice() else { return Err(unbounded_number(*span)) };
        if key.descending || !key.nulls_first || *first > 1 || last.is_some() {
            return Err(unbounded_number(*span));
        }
        let input = self.relation(relation.inputs[0], phase)?;
        let input = self.narrowed(input, relation.inputs[0])?;
        let number = relation.columns.len() - 1;
        if !self.required[id].contains(&number) {
            return Ok(input);
        }
        let partition: Vec<usize> = partition.iter().map(|column| input.place(*column)).collect();
        let column = input.place(key.column);
        let order = match input.columns[column].attribute {
            TimeAttribute::RowTime => OverOrder::Time { column },
            TimeAttribute::ProcessingTime => OverOrder::Arrival,
            TimeAttribute::None => self.by_column(&input, &partition, column),
        };
        let count = Aggregate {
            function: AggregateFunction::Count,
            argument: None,
            distinct: false,
            filter: None,
            options: AggregateOptions::default(),
            data_type: relation.columns[number].data_type.to_arrow(),
        };
        let frame = OverFrame { rows: true, preceding: None };
        let columns = vec![(number, relation.columns[number].clone())];
        self.over_node(&input, (partition, order, frame), vec![count], columns, *span)
    }

    /// An order by a column. Of rows that change, their key says which of equal ones stands first: which came first
    /// depends on how many changes a step took together.
    fn by_column(&self, input: &Emitted, partition: &[usize], column: usize) -> OverOrder {
        let key = SortKey { column, descending: false, nulls_first: true };
        let mut order = vec![key];
        if self.facts[input.node.0].changes != Changelog::Insert {
            self.break_ties(input, partition, &mut order);
        }
        OverOrder::Columns { keys: vec![key], ties: order[1..].iter().map(|key| key.column).collect() }
    }

    fn over_node(
        &mut self,
        input: &Emitted,
        (partition, order, frame): (Vec<usize>, OverOrder, OverFrame),
        aggregates: Vec<Aggregate>,
        results: Vec<(usize, Column)>,
        span: Span,
    ) -> Written {
        if aggregates.is_empty() {
            return Ok(input.clone());
        }
        let keeps = !matches!(order, OverOrder::Columns { .. });
        if keeps && self.facts[input.node.0].changes != Changelog::Insert {
            return Err(Box::new(
                Diagnostic::unsupported(
                    span,
                    "OVER an order of times is not supported over rows that change",
                )
                .with_label("these rows change")
                .with_hint("order by an ordinary column: CAST(time AS TIMESTAMP(3))"),
            ));
        }
        let mut columns: Vec<Column> = input
            .columns
            .iter()
            .map(|column| match keeps {
                true => column.clone(),
                false => Column { attribute: TimeAttribute::None, window: None, ..column.clone() },
            })
            .collect();
        let mut places = input.places.clone();
        for (old, column) in results {
            places.insert(old, columns.len());
            columns.push(column);
        }
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let text = format!("Over {partition:?} {order:?} {frame:?} {aggregates:?} {names:?}");
        let kind = NodeKind::Over { partition, order, frame, aggregates };
        let node = self.node(kind, vec![input.node], &columns, text)?;
        Ok(Emitted { node, columns, places })
    }
}

fn unbounded_number(span: Span) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::unsupported(
            span,
            "ROW_NUMBER without a bound on its number is supported in the order of one column, ascending",
        )
        .with_label("which rows are wanted?")
        .with_hint("keep the first ones outside: … WHERE n <= 10"),
    )
}
