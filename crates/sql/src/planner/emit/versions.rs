//! The right side of a temporal join: the versions of a table as they come, not the latest of each key.
//!
//! A table is read without being made complete (`ChangelogNormalize`), because an update that a step folds away was valid
//! for a while. A view that keeps the latest row of each key lets all rows through that were the latest for a while.

use super::{Emitted, Emitter, Written};
use crate::binder::{RelationId, RelationKind};
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use dataflow::plan::{Changelog, Keep, NodeKind};

impl Emitter<'_> {
    pub(super) fn versions(&mut self, id: RelationId, phase: u32, span: Span) -> Written {
        let graph = self.graph;
        let relation = &graph.relations[id];
        match &relation.kind {
            RelationKind::Scan { table } => Ok(self.plain_scan(id, relation, table, phase)?.0),
            RelationKind::Watermark { column, watermark } => {
                let input = self.versions(relation.inputs[0], phase, span)?;
                self.watermark(input, *column, watermark)
            }
            RelationKind::Project { expressions } => {
                let input = self.versions(relation.inputs[0], phase, span)?;
                self.projected(id, &input, expressions)
            }
            RelationKind::RowNumber { partition, order, first: 1, last: Some(1), window: None, .. } => {
                let time = graph.version_columns(relation.inputs[0]).0;
                let [by] = order.as_slice() else { return no_versions(span) };
                let shows_number = self.required[id].contains(&(relation.columns.len() - 1));
                if shows_number || !by.descending || Some(by.column) != time {
                    return no_versions(span);
                }
                let input = self.relation(relation.inputs[0], phase)?;
                if self.facts[input.node.0].changes != Changelog::Insert {
                    return no_versions(span);
                }
                let keys: Vec<usize> = partition.iter().map(|column| input.place(*column)).collect();
                let keep = Keep::NotOlderThan(input.place(by.column));
                let text = format!("Deduplicate {keys:?} {keep:?}");
                let kind = NodeKind::Deduplicate { keys, keep };
                let node = self.node(kind, vec![input.node], &input.columns, text)?;
                Ok(Emitted { node, ..input })
            }
            RelationKind::Filter { .. } => Err(Box::new(
                Diagnostic::invalid(
                    span,
                    "filter is not allowed for right changelog input of event time temporal join, it will corrupt the versioning of data",
                )
                .with_hint("put the condition into ON or into WHERE behind the join"),
            )),
            _ => no_versions(span),
        }
    }
}

fn no_versions(span: Span) -> Written {
    Err(Box::new(
        Diagnostic::unsupported(span, "the right side of this temporal join has no versions")
            .with_hint(
                "it is a table with PRIMARY KEY and WATERMARK, or a view of one: SELECT … FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY row_time DESC) AS n FROM t) WHERE n = 1",
            ),
    ))
}
