//! EXPLAIN of a materialized table: its plan, and what becomes of the table of that name that is there.

use super::{Executed, JobRequest, NewView, Outcome, Session};
use crate::ast::Statement;
use dataflow::plan::{NodeId, NodeKind, tree};

impl Session {
    /// The plan of a materialized table, and what becomes of the one that is there. Nothing is declared.
    pub(super) fn explain_materialized(&mut self, statement: &Statement) -> Executed {
        let before = self.declarations.clone();
        let outcome = self.execute_materialized(std::slice::from_ref(statement));
        self.declarations = before;
        match outcome? {
            Outcome::Job(job) => {
                let change = self.change_of(&job);
                Ok(Outcome::Explain(format!("{}\n== Change ==\n{change}", job.explain)))
            }
            other => Ok(other),
        }
    }

    /// What becomes of each operator where the job's materialized tables are there already. A table whose definition is
    /// another one is made anew as a whole: its readers must see all rows of the new query, and none of the old one.
    fn change_of(&self, job: &JobRequest) -> String {
        let Some(known) = &self.known_views else {
            return "whether the table is there, only a node can tell\n".into();
        };
        let there: Vec<&NewView> = job.views.iter().filter(|view| known.contains_key(&view.name)).collect();
        let is_same = |view: &&NewView| known.get(&view.name) == Some(&view.statement);
        let (fate, reason) = match there.is_empty() {
            true => ("new", "the table is not there: its sources are read from where they begin"),
            false if there.iter().all(is_same) => {
                ("kept", "the definition is the same: the job goes on as it is")
            }
            false if there.iter().all(|view| view.or_alter) => (
                "rebuilt",
                "the definition is another one: the rows go, and all is made from the sources, read again from where \
                 they begin",
            ),
            false => {
                ("impossible", "the table is there with another definition; CREATE OR ALTER replaces it")
            }
        };
        let shown = (0..job.plan.nodes.len()).map(NodeId).filter(|id| {
            let node = job.plan.node(*id);
            matches!(node.kind, NodeKind::Scan { .. } | NodeKind::Sink { .. }) || job.plan.kept(*id).is_some()
        });
        let line = |id: NodeId| {
            let operator = tree::line(&job.plan, job.plan.node(id));
            format!("  {fate:<10} #{} {operator}\n             {reason}\n", id.0)
        };
        shown.map(line).collect()
    }
}
