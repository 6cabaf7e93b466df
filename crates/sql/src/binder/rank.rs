//! ROW_NUMBER: the number of a row in the order of its partition, which a Top-N is made of.

use super::relation::{Column, RelationId, RelationKind, WindowColumn, WindowEnd};
use super::scope::Scope;
use super::widened::Widened;
use super::{Binder, Bound, boxed};
use crate::ast::{FunctionCall, Over};
use crate::diagnostic::Diagnostic;
use crate::expression::Scalar;
use crate::span::Span;
use crate::types::{TimeAttribute, TypeKind};
use dataflow::plan::SortKey;

/// The placeholder of a row number while its SELECT is bound.
const PLACEHOLDER: usize = 1 << 41;

pub(super) const TOP_N_HINT: &str = "Top-N works: SELECT … FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC) AS n FROM t) WHERE n <= 10";

/// A ROW_NUMBER that was found in the SELECT being bound.
#[derive(Debug)]
pub(super) struct PendingNumber {
    pub(super) partition: Vec<Scalar>,
    /// Each with whether it descends, and whether NULLs come first.
    pub(super) order: Vec<(Scalar, bool, bool)>,
    identity: String,
    pub(super) span: Span,
}

impl Binder<'_> {
    /// Whether a ROW_NUMBER may become a Top-N: nothing else stands OVER a window so far.
    pub(super) fn numbers_alone(&self, call: &FunctionCall) -> bool {
        let others = self.collector.as_ref().is_some_and(|collector| !collector.overs.calls.is_empty());
        !others && matches!(&call.over, Some(Over::Window(window)) if window.base.is_none())
    }

    pub(super) fn row_number(&mut self, call: &FunctionCall, scope: &Scope) -> Bound<Scalar> {
        let span = call.span;
        let Some(Over::Window(window)) = &call.over else {
            return boxed(
                Diagnostic::unsupported(span, "named windows are not supported yet")
                    .with_hint("write the window itself behind OVER"),
            );
        };
        if let Some(frame) = &window.frame {
            return boxed(Diagnostic::invalid(frame.span, "ROW_NUMBER takes no frame (ROWS or RANGE)"));
        }
        if !call.arguments.is_empty() {
            return boxed(Diagnostic::invalid(span, "ROW_NUMBER takes no arguments"));
        }
        if window.order_by.is_empty() {
            return boxed(
                Diagnostic::invalid(window.span, "ROW_NUMBER needs ORDER BY behind OVER")
                    .with_hint(TOP_N_HINT),
            );
        }
        // Neither aggregates nor other row numbers stand inside.
        let (collector, numbers) = (self.collector.take(), self.numbers.take());
        let bound = self.number_window(window, scope, span);
        (self.collector, self.numbers) = (collector, numbers);
        let pending = bound?;
        let Some(numbers) = &mut self.numbers else {
            return boxed(
                Diagnostic::invalid(span, "ROW_NUMBER stands in SELECT only")
                    .with_hint("number the rows in a sub-query and compare the number outside"),
            );
        };
        match numbers.first() {
            Some(first) if first.identity != pending.identity => {
                return boxed(Diagnostic::unsupported(
                    span,
                    "two different ROW_NUMBERs in one SELECT are not supported yet",
                ));
            }
            Some(_) => {}
            None => numbers.push(pending),
        }
        Ok(Scalar::column(PLACEHOLDER, "ROW_NUMBER()", TypeKind::BigInt.not_null()))
    }

    fn number_window(
        &mut self,
        window: &crate::ast::WindowSpecification,
        scope: &Scope,
        span: Span,
    ) -> Bound<PendingNumber> {
        let partition = self.expressions(&window.partition_by, scope);
        let ordered = |item: &crate::ast::OrderItem| {
            let scalar = self.expression(&item.expression, scope)?;
            Ok((scalar, item.descending, item.puts_nulls_first()))
        };
        let order = window.order_by.iter().map(ordered).collect();
        let order = self.all(order);
        let (partition, order) = self.both(partition, order)?;
        let texts = |scalars: Vec<&Scalar>| scalars.into_iter().map(Scalar::identity).collect::<Vec<_>>();
        let identity = format!(
            "{:?} {:?} {:?}",
            texts(partition.iter().collect()),
            texts(order.iter().map(|(scalar, ..)| scalar).collect()),
            order.iter().map(|(_, descending, first)| (*descending, *first)).collect::<Vec<_>>()
        );
        Ok(PendingNumber { partition, order, identity, span })
    }

    /// The input with the number as its last column.
    pub(super) fn numbered(&mut self, input: RelationId, pending: PendingNumber) -> RelationId {
        let mut widened = Widened::new(&self.graph, input);
        let partition: Vec<usize> =
            pending.partition.into_iter().map(|scalar| widened.place(scalar)).collect();
        let order = pending
            .order
            .into_iter()
            .map(|(scalar, descending, nulls_first)| SortKey {
                column: widened.place(scalar),
                descending,
                nulls_first,
            })
            .collect();
        let input = widened.relation(&mut self.graph);
        let window = self.partition_window(input, &partition);
        let plain = |column: &Column| match window {
            Some(_) => column.clone(),
            None => Column { attribute: TimeAttribute::None, window: None, ..column.clone() },
        };
        let mut columns: Vec<Column> = self.graph.columns(input).iter().map(plain).collect();
        columns.push(Column::new("ROW_NUMBER()", TypeKind::BigInt.not_null()));
        let kind =
            RelationKind::RowNumber { partition, order, first: 1, last: None, window, span: pending.span };
        self.graph.add(kind, vec![input], columns)
    }
}

impl Binder<'_> {
    /// The window whose bounds are among the columns of a partition.
    fn partition_window(&self, input: RelationId, partition: &[usize]) -> Option<WindowEnd> {
        let columns = self.graph.columns(input);
        let bound = |wanted: WindowColumn, id: Option<RelationId>| {
            partition.iter().find_map(|column| match columns[*column].window {
                Some((own, bound)) if bound == wanted && id.is_none_or(|id| id == own) => {
                    Some((*column, own))
                }
                _ => None,
            })
        };
        let (column, id) = bound(WindowColumn::End, None)?;
        bound(WindowColumn::Start, Some(id))?;
        Some(WindowEnd { column, zone: self.windows.get(&id)?.zone })
    }
}

/// Puts the column of the number in the place of its placeholder.
pub(super) fn place_number(scalar: &mut Scalar, number: usize) {
    scalar.remap(&|column| if column == PLACEHOLDER { number } else { column });
}
