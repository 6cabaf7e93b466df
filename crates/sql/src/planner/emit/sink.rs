//! What reaches a sink: a query that updates must fit what its table takes.
//!
//! A table that updates by its primary key gets the rows as they are where the query updates by the same key. Where
//! the query's key is a part of it, a row that goes is a deletion of its own (-U is needed). Where it is neither, the
//! rows of each primary key are kept in front of the sink and the latest is shown, or what ON CONFLICT says.

use super::Emitter;
use crate::ast::{self, ConflictAction};
use crate::binder::{BoundTable, Column, Materialize};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::span::Span;
use dataflow::plan::{Changelog, NodeId, NodeKind, OnConflict};
use dataflow::table::TableDefinition;
use std::collections::BTreeSet;

impl Emitter<'_> {
    /// What reaches a sink: the rows as they are, or one of each primary key.
    pub(super) fn changes_for(
        &mut self,
        table: &BoundTable,
        input: NodeId,
        (columns, conflict): (&[Column], Option<ConflictAction>),
        span: Span,
    ) -> Result<(NodeId, Changelog), Box<Diagnostic>> {
        let takes = table.connector.sink_changelog(&table.definition);
        let given = self.facts[input.0].changes;
        if takes == Changelog::Insert && given != Changelog::Insert {
            let node = self.updating_node(input);
            return Err(Box::new(
                Diagnostic::invalid(
                    span,
                    format!(
                        "table sink '{}' does not support consuming update changes, which are produced by {node}",
                        table.name
                    ),
                )
                .with_hint(
                    "write into a table that takes updates, such as 'connector' = 'upsert-kafka' or 'jdbc' with a \
                     PRIMARY KEY, or aggregate over windows",
                ),
            ));
        }
        let key = match (takes, primary_key(table)) {
            (Changelog::Insert, _) | (Changelog::Retract, None) => return Ok((input, takes)),
            // A table that takes every change and is given inserts is written as one that takes no others.
            (Changelog::Retract, _)
                if given == Changelog::Insert && self.settings.materialize != Materialize::Force =>
            {
                return Ok((input, takes));
            }
            (Changelog::Upsert, None) => {
                return Err(Box::new(Diagnostic::invalid(
                    span,
                    format!("table sink '{}' takes updates by its PRIMARY KEY, and has none", table.name),
                )));
            }
            (_, Some(key)) => key,
        };
        let primary: BTreeSet<usize> = key.iter().copied().collect();
        let facts = &self.facts[input.0];
        let on_conflict = match conflict {
            Some(ConflictAction::Nothing) => Some(OnConflict::Nothing),
            Some(ConflictAction::Error) => Some(OnConflict::Error),
            Some(ConflictAction::Deduplicate) | None => None,
        };
        let keeps = match self.settings.materialize {
            // The latest of rows that only come is the last to come.
            Materialize::Auto if on_conflict.is_none() && given == Changelog::Insert => false,
            Materialize::Auto => !facts.has_key_within(&primary),
            Materialize::Force => true,
            Materialize::None => false,
        };
        if !keeps {
            let by_same_key = takes == Changelog::Upsert && facts.has_key(&primary);
            return Ok((input, if by_same_key { Changelog::Upsert } else { Changelog::Retract }));
        }
        let Some(on_conflict) = on_conflict else {
            let text = format!("UpsertMaterialize {key:?}");
            let kind = NodeKind::UpsertMaterialize { keys: key };
            return Ok((self.node(kind, vec![input], columns, text)?, takes));
        };
        let own_key = facts.keys.iter().min_by_key(|key| (key.len(), *key));
        let own_key: Vec<usize> = own_key.into_iter().flatten().copied().collect();
        let mut input = input;
        if !self.plan.has_watermark(input) {
            // Rows of VALUES: nothing comes behind them.
            input = self.node(NodeKind::ProcessingTime, vec![input], columns, "ProcessingTime".into())?;
        }
        let text = format!("ConflictMaterialize {key:?} {own_key:?} {}", on_conflict.name());
        let kind = NodeKind::ConflictMaterialize { keys: key, own_key, on_conflict };
        Ok((self.node(kind, vec![input], columns, text)?, takes))
    }

    /// Refuses ON CONFLICT where Flink does.
    pub(super) fn check_conflict(
        &self,
        table: &BoundTable,
        input: NodeId,
        conflict: &ast::OnConflict,
    ) -> Result<(), Box<Diagnostic>> {
        let takes = table.connector.sink_changelog(&table.definition);
        let only_inserts = self.facts[input.0].changes == Changelog::Insert && takes == Changelog::Retract;
        if takes == Changelog::Insert || only_inserts {
            return Err(Box::new(
                Diagnostic::invalid(
                    conflict.span,
                    format!(
                        "ON CONFLICT is for a table that updates rows by its PRIMARY KEY; '{}' only appends these",
                        table.name
                    ),
                )
                .with_hint("leave ON CONFLICT out, or write into 'upsert-kafka' or 'jdbc' with a PRIMARY KEY"),
            ));
        }
        let action = match conflict.action {
            ConflictAction::Deduplicate => return Ok(()),
            ConflictAction::Nothing => "NOTHING",
            ConflictAction::Error => "ERROR",
        };
        let scans = self.plan.scans_of(input);
        let marked: BTreeSet<NodeId> = (0..self.plan.nodes.len())
            .filter(|id| matches!(self.plan.nodes[*id].kind, NodeKind::Watermark { .. }))
            .flat_map(|id| self.plan.scans_of(NodeId(id)))
            .collect();
        let is_table = |table: &TableDefinition| {
            table.options.get("connector").is_none_or(|name| name != dataflow::values::NAME)
        };
        let unmarked = scans.difference(&marked).filter_map(|scan| match &self.plan.node(*scan).kind {
            NodeKind::Scan { table, .. } if is_table(table) => Some(table.name.as_str()),
            _ => None,
        });
        let unmarked: Vec<&str> = unmarked.collect();
        if unmarked.is_empty() {
            return Ok(());
        }
        Err(Box::new(
            Diagnostic::invalid(
                conflict.span,
                format!(
                    "ON CONFLICT DO {action} is decided when the watermark moves, and there is none of {}",
                    unmarked.join(", ")
                ),
            )
            .with_hint(
                "declare WATERMARK FOR a time column of every table that the query reads, or write DO DEDUPLICATE",
            ),
        ))
    }

    /// Flink 2.3 wants to be told what happens where rows of different keys have one primary key; up to 2.2 it kept the
    /// latest without a word, as this does.
    pub(super) fn advise_conflict(&mut self, table: &BoundTable, input: NodeId, span: Span) {
        let takes = table.connector.sink_changelog(&table.definition);
        let updates_by_key = match takes {
            Changelog::Insert => false,
            Changelog::Upsert => true,
            Changelog::Retract => self.facts[input.0].changes != Changelog::Insert,
        };
        if self.settings.materialize != Materialize::Auto || !updates_by_key {
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
                 stays; DO NOTHING keeps the first, DO ERROR fails the job",
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
