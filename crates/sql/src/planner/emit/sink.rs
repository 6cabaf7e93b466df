//! What reaches a sink: a query that updates must fit what its table takes.
//!
//! A table that updates by its primary key gets the rows as they are where the query updates by the same key. Where
//! the query's key is a part of it, a row that goes is a deletion of its own (-U is needed). Where it is neither, the
//! rows of each primary key are kept in front of the sink and the latest is shown.

use super::Emitter;
use crate::binder::{BoundTable, Column, Materialize};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::span::Span;
use dataflow::plan::{Changelog, NodeId, NodeKind};
use std::collections::BTreeSet;

impl Emitter<'_> {
    /// What reaches a sink: the rows as they are, or the latest of each primary key.
    pub(super) fn changes_for(
        &mut self,
        table: &BoundTable,
        input: NodeId,
        columns: &[Column],
        span: Span,
    ) -> Result<(NodeId, Changelog), Box<Diagnostic>> {
        let takes = table.connector.sink_changelog(&table.definition);
        let given = self.facts[input.0].changes;
        match takes {
            Changelog::Retract => Ok((input, Changelog::Retract)),
            Changelog::Insert if given == Changelog::Insert => Ok((input, Changelog::Insert)),
            Changelog::Insert => {
                let node = self.updating_node(input);
                Err(Box::new(
                    Diagnostic::invalid(
                        span,
                        format!(
                            "table sink '{}' does not support consuming update changes, which are produced by \
                             {node}",
                            table.name
                        ),
                    )
                    .with_hint(
                        "write into a table that takes updates, such as 'connector' = 'upsert-kafka' or 'jdbc' \
                         with a PRIMARY KEY, or aggregate over windows",
                    ),
                ))
            }
            Changelog::Upsert => {
                let Some(key) = primary_key(table) else {
                    return Err(Box::new(Diagnostic::invalid(
                        span,
                        format!("table sink '{}' takes updates by its PRIMARY KEY, and has none", table.name),
                    )));
                };
                let primary: BTreeSet<usize> = key.iter().copied().collect();
                let facts = &self.facts[input.0];
                let keeps = match self.settings.materialize {
                    Materialize::Auto => given != Changelog::Insert && !facts.has_key_within(&primary),
                    Materialize::Force => true,
                    Materialize::None => false,
                };
                if !keeps {
                    let is_same = facts.has_key(&primary);
                    return Ok((input, if is_same { Changelog::Upsert } else { Changelog::Retract }));
                }
                let text = format!("UpsertMaterialize {key:?}");
                let kind = NodeKind::UpsertMaterialize { keys: key };
                Ok((self.node(kind, vec![input], columns, text)?, Changelog::Upsert))
            }
        }
    }

    /// Flink 2.3 wants to be told what happens where rows of different keys have one primary key; up to 2.2 it kept the
    /// latest without a word, as this does.
    pub(super) fn advise_conflict(&mut self, table: &BoundTable, input: NodeId, span: Span) {
        if table.connector.sink_changelog(&table.definition) != Changelog::Upsert {
            return;
        }
        let Some(key) = primary_key(table) else { return };
        let facts = &self.facts[input.0];
        if facts.has_key_within(&key.iter().copied().collect()) {
            return;
        }
        let schema = &self.plan.node(input).schema;
        let names = |key: &BTreeSet<usize>| {
            let names: Vec<&str> = key.iter().map(|column| schema.field(*column).name().as_str()).collect();
            format!("({})", names.join(", "))
        };
        let by = facts.keys.first().map_or("has no key".into(), |key| format!("updates by {}", names(key)));
        self.advice.push(
            Diagnostic::warning(
                DiagnosticKind::Invalid,
                span,
                format!(
                    "Flink 2.3 refuses this INSERT without ON CONFLICT: the query {by}, the table by its primary \
                     key {}",
                    names(&key.into_iter().collect())
                ),
            )
            .with_hint(
                "ON CONFLICT DO DEDUPLICATE behind the query says what happens here: the latest row of each key \
                 stays",
            ),
        );
    }

    /// The name of the nearest node that makes updates.
    pub(super) fn updating_node(&self, mut id: NodeId) -> String {
        loop {
            let node = self.plan.node(id);
            let below = node.inputs.iter().find(|input| self.facts[input.0].changes != Changelog::Insert);
            let passes = matches!(
                node.kind,
                NodeKind::Project { .. }
                    | NodeKind::Filter { .. }
                    | NodeKind::Watermark { .. }
                    | NodeKind::ProcessingTime
                    | NodeKind::Unnest(_)
                    | NodeKind::Union
                    | NodeKind::ChangelogNormalize { .. }
            );
            match below {
                Some(below) if passes => id = *below,
                _ => return self.plan.describe_node(node),
            }
        }
    }
}

/// The columns of the primary key, by number.
fn primary_key(table: &BoundTable) -> Option<Vec<usize>> {
    let definition = &table.definition;
    let key = definition.primary_key.iter().map(|name| definition.schema.index_of(name).ok());
    key.collect::<Option<Vec<usize>>>().filter(|key| !key.is_empty())
}
