//! EXPLAIN: the plan as a tree, and what its tables promise.

use crate::ast::ExplainDetail;
use crate::binder::{BoundTable, Graph, RelationKind};
use crate::diagnostic::Diagnostic;
use dataflow::plan::{Changelog, NodeId, NodeKind, Plan, tree};
use std::collections::{BTreeMap, BTreeSet};

/// The tables that a job reads and writes, for the section on guarantees.
#[derive(Debug, Default, Clone)]
pub struct Tables {
    sources: BTreeMap<String, String>,
    sinks: BTreeMap<String, String>,
}

impl Tables {
    pub fn of(graph: &Graph) -> Tables {
        let mut tables = Tables::default();
        let asked = graph.asked_scans();
        for (id, relation) in graph.relations.iter().enumerate() {
            match &relation.kind {
                // The plan holds the rows of VALUES itself.
                RelationKind::Scan { table }
                    if table
                        .definition
                        .options
                        .get("connector")
                        .is_some_and(|name| name == dataflow::values::NAME) => {}
                // It can only be asked.
                RelationKind::Scan { table } if asked.contains(&id) => {
                    let text = format!(
                        "{}, looked up: each answer counts once (it lies in the job's log)",
                        connector(table)
                    );
                    tables.sources.insert(table.name.clone(), text);
                }
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

/// What EXPLAIN shows of a job.
pub struct Explained<'a> {
    pub plan: &'a Plan,
    /// By node, the sets of columns that tell its rows apart.
    pub keys: &'a [Vec<BTreeSet<usize>>],
    pub tables: &'a Tables,
    pub advice: &'a [Diagnostic],
}

impl Explained<'_> {
    pub fn text(&self, details: &[ExplainDetail]) -> String {
        let with_modes = details.contains(&ExplainDetail::ChangelogMode);
        let mut text = String::from("== Optimized Execution Plan ==\n");
        text += &tree::tree(self.plan, with_modes);
        if !with_modes {
            text += "\n== Changelog ==\n";
            text += &tree::changelog(self.plan);
        }
        text += "\n== Guarantees ==\n";
        for (name, promise) in &self.tables.sources {
            text += &format!("source `{name}` ({promise})\n");
        }
        for (name, promise) in &self.tables.sinks {
            text += &format!("sink `{name}` ({promise})\n");
        }
        text += "\n== State ==\n";
        text += &self.state();
        if details.contains(&ExplainDetail::EstimatedCost) {
            text += "\n== Cost ==\nnothing is estimated: there are no statistics before a job runs; \
                     `eventwright explain --analyze JOB` measures a running one\n";
        }
        if !self.advice.is_empty() {
            text += "\n== Advice ==\n";
            for diagnostic in self.advice {
                text += &format!("- {}\n", diagnostic.message);
                if let Some(hint) = &diagnostic.hint {
                    text += &format!("  {hint}\n");
                }
            }
        } else if details.contains(&ExplainDetail::PlanAdvice) {
            text += "\n== Advice ==\nno advice\n";
        }
        if details.contains(&ExplainDetail::JsonExecutionPlan) {
            text += "\n== Physical Execution Plan ==\n";
            text += &self.json();
        }
        text
    }

    /// What is kept, and by which keys rows are told apart where they change.
    fn state(&self) -> String {
        let mut text = String::new();
        for (index, node) in self.plan.nodes.iter().enumerate() {
            let kept = self.plan.kept(NodeId(index));
            let updates = node.changelog != Changelog::Insert && !matches!(node.kind, NodeKind::Sink { .. });
            let keys = self.key_names(index);
            let keys = keys.first().filter(|_| updates).map(|key| match key.is_empty() {
                true => "updates its one row".to_string(),
                false => format!("updates by ({})", key.join(", ")),
            });
            let parts: Vec<String> = kept.map(|kept| kept.to_string()).into_iter().chain(keys).collect();
            if !parts.is_empty() {
                let line = tree::line(self.plan, node);
                let name = line.split('(').next().unwrap_or_default();
                text += &format!("#{index} {name}: {}\n", parts.join("; "));
            }
        }
        if text.is_empty() { "none: no operator keeps rows\n".into() } else { text }
    }

    fn key_names(&self, node: usize) -> Vec<Vec<&str>> {
        let schema = &self.plan.nodes[node].schema;
        let name = |column: &usize| schema.fields().get(*column).map_or("?", |field| field.name().as_str());
        let keys = self.keys.get(node).map_or(&[][..], Vec::as_slice);
        keys.iter().map(|key| key.iter().map(name).collect()).collect()
    }

    /// The nodes, as Flink's JSON plan has them, with what EXPLAIN knows beside it.
    pub fn json(&self) -> String {
        let modes = tree::modes(self.plan);
        let list = |items: Vec<String>| format!("[{}]", items.join(", "));
        let nodes = self.plan.nodes.iter().enumerate().map(|(index, node)| {
            let line = tree::line(self.plan, node);
            let kind = line.split('(').next().unwrap_or_default();
            let pact = match node.kind {
                NodeKind::Scan { .. } => "Data Source",
                NodeKind::Sink { .. } => "Data Sink",
                _ => "Operator",
            };
            let inputs = node.inputs.iter().map(|input| format!("{{\"id\": {}}}", input.0)).collect();
            let keys = self.key_names(index).into_iter();
            let keys = keys.map(|key| list(key.into_iter().map(quoted).collect())).collect();
            let modes = modes[index].split(',').map(quoted).collect();
            let mut fields = vec![
                format!("\"id\": {index}"),
                format!("\"type\": {}", quoted(kind)),
                format!("\"pact\": {}", quoted(pact)),
                format!("\"contents\": {}", quoted(&line)),
                format!("\"changelog_mode\": {}", list(modes)),
                format!("\"upsert_keys\": {}", list(keys)),
                format!("\"predecessors\": {}", list(inputs)),
            ];
            if let Some(kept) = self.plan.kept(NodeId(index)) {
                let by = kept.by.iter().map(|name| quoted(name)).collect();
                fields.push(format!(
                    "\"state\": {{\"kept\": {}, \"by\": {}, \"until\": {}}}",
                    quoted(&kept.what),
                    list(by),
                    quoted(&kept.until.to_string())
                ));
            }
            format!("    {{{}}}", fields.join(", "))
        });
        format!("{{\n  \"nodes\": [\n{}\n  ]\n}}\n", nodes.collect::<Vec<_>>().join(",\n"))
    }
}

/// A JSON text.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            letter if letter.is_control() => out += &format!("\\u{:04x}", letter as u32),
            letter => out.push(letter),
        }
    }
    out + "\""
}
