//! What could be better about a plan that is right: state that only grows, joins that pair too much, copies that need
//! not be.
//!
//! It is said by EXPLAIN and by `check`, and not to those who run the job: what is needed is needed.

use super::changelog::Facts;
use crate::binder::{Graph, JoinManner, RelationKind};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::expression::{Scalar, ScalarKind};
use crate::span::Span;
use dataflow::plan::{NodeId, NodeKind, Plan, tree};
use std::collections::BTreeSet;

pub(super) fn advise(graph: &Graph, plan: &Plan, facts: &[Facts], span: Span) -> Vec<Diagnostic> {
    let mut advice = Vec::new();
    let mut add = |span: Span, message: String, hint: &str| {
        advice.push(Diagnostic::warning(DiagnosticKind::Invalid, span, message).with_hint(hint));
    };
    for relation in &graph.relations {
        match &relation.kind {
            RelationKind::Watermark { column, watermark } if is_ahead(watermark, *column) => {
                let name = &relation.columns[*column].name;
                add(
                    span,
                    format!("the watermark of '{name}' is ahead of the column, so every row is late"),
                    "subtract the delay: WATERMARK FOR ts AS ts - INTERVAL '5' SECOND",
                );
            }
            RelationKind::Join { condition: None, manner: JoinManner::Interval { .. }, span: at, .. } => add(
                *at,
                "the interval join has no key: every row is paired with all rows of the other side whose time is close"
                    .into(),
                "join on an equality too, as in ON a.id = b.id AND a.ts BETWEEN …",
            ),
            RelationKind::Join { condition: None, span: at, .. } => add(
                *at,
                "every row of one side is paired with every row of the other, and both sides are kept".into(),
                "join on an equality, as in ON a.id = b.id",
            ),
            _ => {}
        }
    }
    let named = |id: usize| {
        let line = tree::line(plan, &plan.nodes[id]);
        format!("{} #{id}", line.split('(').next().unwrap_or_default())
    };
    let unbounded = |id: usize| {
        let scans = plan.scans_of(NodeId(id));
        scans.iter().any(|scan| matches!(plan.node(*scan).kind, NodeKind::Scan { bounded: false, .. }))
    };
    let grows = |id: &usize| {
        let kept = plan.kept(NodeId(*id));
        kept.is_some_and(|kept| kept.until.is_forever() && !kept.by.is_empty()) && unbounded(*id)
    };
    let growing: Vec<String> = (0..plan.nodes.len()).filter(grows).map(named).collect();
    if !growing.is_empty() {
        add(
            span,
            format!("the state of {} is kept for ever and grows with the number of keys", growing.join(", ")),
            "SET 'table.exec.state.ttl' = '1 d' forgets what was not written for so long; windows, interval joins and \
             Top-N of windows forget by the watermark",
        );
    }
    let waits = |scan: NodeId| {
        let ids = (0..plan.nodes.len()).map(NodeId);
        ids.into_iter().any(|id| plan.waits_for_watermark(id) && plan.scans_of(id).contains(&scan))
    };
    for scan in plan.scans() {
        let NodeKind::Scan { table, bounded: false, .. } = &plan.node(scan).kind else { continue };
        let has_partitions = table.options.get("connector").is_some_and(|name| name.ends_with("kafka"));
        if has_partitions && waits(scan) && plan.idle_ms(scan).is_none() {
            add(
                span,
                format!(
                    "a partition of '{}' from which nothing comes holds the watermark back, if its topic has several",
                    table.name
                ),
                "'scan.watermark.idle-timeout' = '30 s' in the table, or SET 'table.exec.source.idle-timeout' = '30 s', \
                 no longer waits for such a partition until a record comes of it",
            );
        }
    }
    for (id, node) in plan.nodes.iter().enumerate() {
        match &node.kind {
            NodeKind::Join { left_keys, right_keys, .. } if !left_keys.is_empty() => {
                let unique = |side: usize, keys: &[usize]| {
                    let keys: BTreeSet<usize> = keys.iter().copied().collect();
                    node.inputs.get(side).is_some_and(|input| facts[input.0].has_key_within(&keys))
                };
                if !unique(0, left_keys) && !unique(1, right_keys) {
                    add(
                        span,
                        format!(
                            "neither side of {} is unique by the join's keys: a row may match any number of rows, and \
                             each change is joined with all of them",
                            named(id)
                        ),
                        "join with a side that has one row for each key: a table with that PRIMARY KEY, an aggregate, \
                         or ROW_NUMBER() … = 1",
                    );
                }
            }
            NodeKind::ChangelogNormalize { .. } if unbounded(id) => add(
                span,
                format!(
                    "{} keeps the last row of each key, because the source does not say what an update replaces",
                    named(id)
                ),
                "what repeats the old row needs no copy: the formats 'debezium-json', 'canal-json' and 'maxwell-json', or \
                 'changelog-mode' = 'all' of 'postgres-cdc'",
            ),
            NodeKind::UpsertMaterialize { keys } => {
                let input = node.inputs.first().map(|input| &plan.node(*input).schema);
                let name = |column: &usize| input.map_or("?", |schema| schema.field(*column).name().as_str());
                let names: Vec<&str> = keys.iter().map(name).collect();
                add(
                    span,
                    format!(
                        "{} keeps all rows of each primary key ({}), because the query updates by another key",
                        named(id),
                        names.join(", ")
                    ),
                    "declare the key that the query updates by (its GROUP BY, the keys of its joins) as the sink's \
                     PRIMARY KEY",
                );
            }
            _ => {}
        }
    }
    advice
}

/// `column + interval`.
fn is_ahead(watermark: &Scalar, column: usize) -> bool {
    match &watermark.kind {
        ScalarKind::AddInterval { operand, subtract: false, .. } => operand.as_column() == Some(column),
        ScalarKind::Cast { operand, .. } => is_ahead(operand, column),
        _ => false,
    }
}
