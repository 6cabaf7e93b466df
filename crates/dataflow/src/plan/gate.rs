//! What a node keeps rows from going on, for those who ask why nothing comes out.

use super::{NodeKind, OverOrder};

/// Why a node that takes rows in may give none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Where rows come from.
    Source,
    /// It gives something for what it takes in.
    Open,
    /// Rows for which a condition is not true end here.
    Condition,
    /// Rows wait for the watermark.
    Watermark,
    /// Rows need a partner on the other side.
    Partner,
    /// Rows wait for an outside system's answer.
    Answer,
}

impl NodeKind {
    pub fn gate(&self) -> Gate {
        match self {
            NodeKind::Scan { .. } | NodeKind::LookupAnswers => Gate::Source,
            NodeKind::Filter { .. } => Gate::Condition,
            NodeKind::WindowAggregate { .. }
            | NodeKind::SessionWindow { .. }
            | NodeKind::SessionAggregate { .. }
            | NodeKind::WindowRank { .. }
            | NodeKind::WindowJoin { .. }
            | NodeKind::TemporalJoin { .. }
            | NodeKind::TemporalSort { .. }
            | NodeKind::MatchRecognize { .. }
            | NodeKind::ConflictMaterialize { .. } => Gate::Watermark,
            NodeKind::Over { order: OverOrder::Time { .. }, .. } => Gate::Watermark,
            NodeKind::Over { order: OverOrder::Arrival | OverOrder::Columns { .. }, .. } => Gate::Open,
            NodeKind::BoundedJoin { .. } | NodeKind::IntervalJoin { .. } | NodeKind::Join { .. } => {
                Gate::Partner
            }
            NodeKind::LookupJoin(_) => Gate::Answer,
            NodeKind::Watermark { .. }
            | NodeKind::ProcessingTime
            | NodeKind::Project { .. }
            | NodeKind::WindowAssign { .. }
            | NodeKind::Unnest(_)
            | NodeKind::Deduplicate { .. }
            | NodeKind::Replicate
            | NodeKind::Union
            | NodeKind::GroupAggregate { .. }
            | NodeKind::Rank { .. }
            | NodeKind::ChangelogNormalize { .. }
            | NodeKind::UpsertMaterialize { .. }
            | NodeKind::Sink { .. } => Gate::Open,
        }
    }
}
