//! Advice about a plan that is right and may still not be what was meant.

use crate::binder::{Graph, RelationId, RelationKind};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::span::Span;

/// Warnings about a bound job; `span` is the statement.
pub fn lint(graph: &Graph, span: Span) -> Vec<Diagnostic> {
    let mut advice = Vec::new();
    for relation in &graph.relations {
        if let RelationKind::Watermark { watermark, column } = &relation.kind
            && watermark.as_column() == Some(*column)
        {
            let name = &relation.columns[*column].name;
            advice.push(
                Diagnostic::warning(
                    DiagnosticKind::Invalid,
                    span,
                    format!(
                        "the watermark of '{name}' has no delay, so every row that comes out of order is late"
                    ),
                )
                .with_hint(format!("allow some delay: WATERMARK FOR {name} AS {name} - INTERVAL '5' SECOND")),
            );
        }
        if let RelationKind::Sink { table, .. } = &relation.kind {
            let reads_itself = relation.inputs.iter().any(|input| reads(graph, *input, &table.name));
            if reads_itself {
                advice.push(Diagnostic::warning(
                    DiagnosticKind::Invalid,
                    span,
                    format!("the job reads `{}`, which it writes: its rows come back to it", table.name),
                ));
            }
        }
    }
    advice
}

fn reads(graph: &Graph, id: RelationId, name: &str) -> bool {
    let relation = &graph.relations[id];
    match &relation.kind {
        RelationKind::Scan { table } => table.name == name,
        _ => relation.inputs.iter().any(|input| reads(graph, *input, name)),
    }
}
