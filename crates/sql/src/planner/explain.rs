//! EXPLAIN: the plan as a tree, and what its tables promise.

use super::explain_tree;
use crate::binder::{BoundTable, Graph, RelationKind};
use crate::diagnostic::Diagnostic;
use dataflow::plan::Plan;
use std::collections::BTreeMap;

/// The tables that a job reads and writes, for the section on guarantees.
#[derive(Debug, Default, Clone)]
pub struct Tables {
    sources: BTreeMap<String, String>,
    sinks: BTreeMap<String, String>,
}

impl Tables {
    pub fn of(graph: &Graph) -> Tables {
        let mut tables = Tables::default();
        for relation in &graph.relations {
            match &relation.kind {
                // The plan holds the rows of VALUES itself.
                RelationKind::Scan { table }
                    if table
                        .definition
                        .options
                        .get("connector")
                        .is_some_and(|name| name == dataflow::values::NAME) => {}
                RelationKind::Scan { table } => {
                    let bounded = if table.bounded { "bounded" } else { "unbounded" };
                    let text = format!(
                        "{}, {bounded}: {}",
                        connector(table),
                        table.connector.spec().source_guarantee
                    );
                    tables.sources.insert(table.name.clone(), text);
                }
                RelationKind::Sink { table, .. } => {
                    let text = format!("{}: {}", connector(table), table.connector.spec().sink_guarantee);
                    tables.sinks.insert(table.name.clone(), text);
                }
                _ => {}
            }
        }
        tables
    }
}

fn connector(table: &BoundTable) -> &'static str {
    table.connector.spec().name
}

/// The text of EXPLAIN; `with_modes` for `EXPLAIN CHANGELOG_MODE`.
pub fn explain(plan: &Plan, tables: &Tables, advice: &[Diagnostic], with_modes: bool) -> String {
    let mut text = String::from("== Optimized Execution Plan ==\n");
    text += &explain_tree::tree(plan, with_modes);
    if !with_modes {
        text += "\n== Changelog ==\n";
        text += &explain_tree::changelog(plan);
    }
    text += "\n== Guarantees ==\n";
    for (name, promise) in &tables.sources {
        text += &format!("source `{name}` ({promise})\n");
    }
    for (name, promise) in &tables.sinks {
        text += &format!("sink `{name}` ({promise})\n");
    }
    if !advice.is_empty() {
        text += "\n== Advice ==\n";
        for diagnostic in advice {
            text += &format!("{diagnostic}\n");
        }
    }
    text
}
