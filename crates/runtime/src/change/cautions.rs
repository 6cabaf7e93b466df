//! What a change would do behind the back of whoever reads a sink: rows that come twice, or never. It is not done
//! unless its owner agrees, in a sentence that says what and how to go round it.

use super::compare::Look;
use crate::operators::{OperatorRecord, Role};
use dataflow::plan::{AggregateFunction, Gate, Keep, NodeId, NodeKind, OverOrder};

impl Look<'_> {
    /// Of a scan that goes on where one of the old plan is: that it may be another.
    pub(super) fn caution_of_known(&self, id: NodeId) -> Option<String> {
        self.matched.unsure.contains(&id).then(|| {
            format!(
                "the old statement reads '{}' more than once, at different places, and nothing says which of them this \
                 is: rows may come twice or be missing; let it write the sink that it wrote before, or agree",
                self.new[id.0].table
            )
        })
    }

    /// Of a scan that begins: that its rows have been given to a sink already, or are given to it twice.
    pub(super) fn caution_of_new(&self, id: NodeId) -> Option<String> {
        let address = self.new[id.0].of_table.address;
        let is_alike =
            |known: &&OperatorRecord| known.role == Role::Scan && known.of_table.address == address;
        let alike: Vec<&OperatorRecord> = self.state.operators.iter().filter(is_alike).collect();
        let sink =
            self.former_sinks(id).find(|(_, former)| alike.iter().any(|known| known.sinks.contains(former)));
        sink.map(|(sink, _)| {
            let taken = alike.iter().all(|known| self.matched.old.contains(&Some(known.tag)));
            let why = match taken {
                true => "is read once more",
                false => "is read in another way than before (its options or columns are others)",
            };
            format!(
                "{why}, from where its table says ('scan.startup.mode'), though '{}' has been given what the job has read \
                 of it: rows come there twice, or are missing; leave the table as it was, write another sink, or agree",
                self.new[sink.0].table
            )
        })
    }

    /// Of an operator that is rebuilt: what it gives in silence while its input is read again.
    pub(super) fn caution_of_rebuilt(&self, id: NodeId) -> Option<String> {
        let (sink, _) = self.former_sinks(id).next()?;
        let sink = &self.new[sink.0].table;
        let kind = &self.plan.node(id).kind;
        if self.matched.old[id.0].is_none() {
            return gives_by_time(kind).then(|| {
                format!(
                    "what it gives up to the watermark of the change is not given to '{sink}': results are missing there \
                     for the time between the last ones that the old statement gave and that watermark; and where it \
                     waits longer than the old operator did, results of the time before the change come once more"
                )
            });
        }
        let below = self.plan.with_inputs(&[id]);
        let scans =
            self.scans.keys().filter(|scan| below[scan.0]).filter_map(|scan| self.matched.old[scan.0]);
        let splits: usize = scans
            .filter_map(|tag| self.state.scans.iter().find(|scan| scan.scan == tag))
            .map(|scan| scan.splits.len())
            .sum();
        (splits > 1 && depends_on_order(kind)).then(|| {
            format!(
                "its {splits} splits are not read in the order in which they were read first, on which its state depends: \
                 it may differ from what '{sink}' has been given"
            )
        })
    }

    /// The sinks behind a node that write where one of the old plan did, with that one's tag.
    fn former_sinks(&self, id: NodeId) -> impl Iterator<Item = (NodeId, u32)> {
        let reached = move |sink: &NodeId| self.plan.with_inputs(&[*sink])[id.0];
        let sinks = self.plan.sinks().into_iter().filter(reached);
        sinks.filter_map(move |sink| Some((sink, self.matched.former[sink.0]?)))
    }
}

/// Whether results fall due when time passes.
fn gives_by_time(kind: &NodeKind) -> bool {
    kind.gate() == Gate::Watermark
        || matches!(
            kind,
            NodeKind::IntervalJoin { .. } | NodeKind::Deduplicate { keep: Keep::Earliest(_), .. }
        )
}

/// Whether rows of several splits in another order make another state or other results; late rows are others then.
fn depends_on_order(kind: &NodeKind) -> bool {
    match kind {
        NodeKind::Deduplicate { .. }
        | NodeKind::Rank { .. }
        | NodeKind::ChangelogNormalize { .. }
        | NodeKind::UpsertMaterialize { .. } => true,
        NodeKind::Over { order, .. } => !matches!(order, OverOrder::Columns { .. }),
        NodeKind::GroupAggregate { aggregates, .. } => aggregates.iter().any(|call| {
            !matches!(
                call.function,
                AggregateFunction::Count
                    | AggregateFunction::Sum
                    | AggregateFunction::Min
                    | AggregateFunction::Max
                    | AggregateFunction::Avg
                    | AggregateFunction::Collect
                    | AggregateFunction::Percentile
                    | AggregateFunction::SquaredDeviations
            )
        }),
        kind => gives_by_time(kind),
    }
}
