//! From bound relations to the engine's plan.
//!
//! 1. `push_down` moves predicates towards the scans and turns WHERE equalities into join keys.
//! 2. `prune` finds out which columns each relation must give, over all its readers at once.
//! 3. `changelog` follows which changes flow, and by which keys.
//! 4. `emit` writes the plan's nodes; equal nodes are written once. The table side of a join is written apart from
//!    the stream side (`phase`), because it is read to its end first.

mod advice;
mod changelog;
mod emit;
mod explain;
mod lint;
mod prune;
mod push_down;

pub use explain::{Explained, Tables};
pub use lint::lint;

use crate::binder::{BindSettings, Graph};
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use dataflow::plan::Plan;
use std::collections::BTreeSet;

/// A plan, and what is to be said of it.
pub struct Planned {
    pub plan: Plan,
    /// What whoever runs it should know.
    pub warnings: Vec<Diagnostic>,
    /// What could be better.
    pub advice: Vec<Diagnostic>,
    /// By node, the sets of columns that tell its rows apart.
    pub keys: Vec<Vec<BTreeSet<usize>>>,
}

/// Plans the sinks of a graph; `span` is the statement.
pub fn plan(graph: Graph, settings: BindSettings, span: Span) -> Result<Planned, Box<Diagnostic>> {
    let graph = push_down::run(graph)?;
    let required = prune::run(&graph);
    let (mut plan, facts, warnings) = emit::run(&graph, &required, settings, span)?;
    plan.state_ttl_ms = (settings.state_ttl_ms > 0).then_some(settings.state_ttl_ms);
    let advice = advice::advise(&graph, &plan, &facts, span);
    let keys = facts.into_iter().map(|facts| facts.keys).collect();
    Ok(Planned { plan, warnings, advice, keys })
}
