//! A relation with columns more: what an operator needs as columns and a query has written as expressions.

use super::relation::{Graph, RelationId};
use crate::expression::Scalar;

pub(super) struct Widened {
    input: RelationId,
    items: Vec<(String, Scalar)>,
    before: usize,
}

impl Widened {
    pub(super) fn new(graph: &Graph, input: RelationId) -> Widened {
        let columns = graph.columns(input).iter().enumerate();
        let items: Vec<_> =
            columns.map(|(index, column)| (column.name.clone(), column.scalar(index))).collect();
        Widened { input, before: items.len(), items }
    }

    /// The column of an expression, which is added unless it is there.
    pub(super) fn place(&mut self, scalar: Scalar) -> usize {
        if let Some(column) = scalar.as_column() {
            return column;
        }
        let identity = scalar.identity();
        let known = self.items.iter().position(|(_, item)| item.identity() == identity);
        known.unwrap_or_else(|| {
            self.items.push((format!("$o{}", self.items.len()), scalar));
            self.items.len() - 1
        })
    }

    pub(super) fn relation(self, graph: &mut Graph) -> RelationId {
        if self.items.len() > self.before { graph.project(self.input, self.items) } else { self.input }
    }
}
