//! What reaches a sink: a query that updates must fit what its table takes.
//!
//! A table that updates by its primary key gets the rows as they are where the query updates by the same key. Where
//! the query's key is a part of it, a row that goes is a deletion of its own (-U is needed). Where it is neither, the
//! rows of each primary key are kept in front of the sink and the latest is shown.

use super::Emitter;
use crate::binder::{BoundTable, Column, Materialize};
use crate::diagnostic::Diagnostic;
use dataflow::plan::{Changelog, NodeId, NodeKind};
use std::collections::BTreeSet;

impl Emitter<'_> {
    /// What reaches a sink: the rows as they are, or the latest of each primary key.
    pub(super) fn changes_for(
        &mut self,
        table: &BoundTable,
        input: NodeId,
        columns: &[Column],
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
                        self.span,
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
                let schema = &table.definition.schema;
                let key = table.definition.primary_key.iter().map(|name| schema.index_of(name).ok());
                let Some(key) = key.collect::<Option<Vec<usize>>>().filter(|key| !key.is_empty()) else {
                    return Err(Box::new(Diagnostic::invalid(
                        self.span,
                        format!("table sink '{}' takes updates by its PRIMARY KEY, and has none", table.name),
                    )));
                };
                let primary: BTreeSet<usize> = key.iter().copied().collect();
                let facts = &self.facts[input.0];
                let keeps = match self.materialize {
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
