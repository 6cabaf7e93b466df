//! What each operator keeps, by which key, and until when: for EXPLAIN and for those who look at a running job.

use super::tree::duration;
use super::{AggregateFunction, Changelog, Keep, Node, NodeId, NodeKind, OverOrder, Plan};
use std::fmt;

/// State of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub what: String,
    /// Names of the columns that make the key; none where there is one key for all rows.
    pub by: Vec<String>,
    pub until: Until,
}

/// When state goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Until {
    /// The watermark says that nothing can need it any more; the text says which moment it must pass.
    Watermark(String),
    /// It was not written for so long (ms), by the clock of the steps.
    Unwritten(u64),
    /// As the hint STATE_TTL says: the time of a group, or of each side of a join; `None` is for ever.
    Hinted(Vec<Option<u64>>),
    /// The input says so (a deletion), or never.
    Forever,
    /// The answer is there.
    Answered,
    /// The cache is this old (ms), by the clock of the steps.
    Expired(u64),
    /// It is part of the job and as large as the table it is made of.
    End,
}

impl Until {
    /// Whether something of it never goes by itself.
    pub fn is_forever(&self) -> bool {
        match self {
            Until::Forever => true,
            Until::Hinted(times) => times.contains(&None),
            _ => false,
        }
    }
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Until::Watermark(moment) => write!(f, "until the watermark passes {moment}"),
            Until::Unwritten(ms) => {
                let time = duration(i64::try_from(*ms).unwrap_or(i64::MAX));
                write!(f, "until it was not written for {time} ('table.exec.state.ttl')")
            }
            Until::Hinted(times) => {
                let time = |ms: &Option<u64>| match ms {
                    Some(ms) => {
                        let time = duration(i64::try_from(*ms).unwrap_or(i64::MAX));
                        format!("until it was not written for {time}")
                    }
                    None => "for ever".into(),
                };
                match times.as_slice() {
                    [left, right] => write!(f, "left {}, right {} (STATE_TTL)", time(left), time(right)),
                    times => {
                        let times: Vec<String> = times.iter().map(time).collect();
                        write!(f, "{} (STATE_TTL)", times.join(", "))
                    }
                }
            }
            Until::Answered => f.write_str("until it was used"),
            Until::Expired(ms) => {
                let time = duration(i64::try_from(*ms).unwrap_or(i64::MAX));
                write!(f, "until it is {time} old")
            }
            Until::Forever => f.write_str("for ever"),
            Until::End => f.write_str("until the job ends"),
        }
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.by.is_empty() {
            true => write!(f, "{}, {}", self.what, self.until),
            false => write!(f, "{} by ({}), {}", self.what, self.by.join(", "), self.until),
        }
    }
}

impl Plan {
    /// What a node keeps; none where it remembers no rows.
    pub fn kept(&self, id: NodeId) -> Option<Kept> {
        let node = self.node(id);
        let names = |side: usize, columns: &[usize]| self.input_names(node, side, columns);
        let ttl = self.state_ttl_ms.map_or(Until::Forever, Until::Unwritten);
        let hinted = |inputs: usize| match node.hinted_ttls_ms {
            [None, None] => ttl.clone(),
            _ => Until::Hinted((0..inputs).map(|input| self.ttl_ms(id, input)).collect()),
        };
        let changes = |side: usize| {
            node.inputs.get(side).is_some_and(|input| self.node(*input).changelog != Changelog::Insert)
        };
        let (what, by, until) = match &node.kind {
            NodeKind::Scan { .. }
            | NodeKind::LookupAnswers
            | NodeKind::Watermark { .. }
            | NodeKind::ProcessingTime
            | NodeKind::Project { .. }
            | NodeKind::Filter { .. }
            | NodeKind::WindowAssign { .. }
            | NodeKind::Union
            | NodeKind::Unnest(_)
            | NodeKind::Replicate
            | NodeKind::Sink { .. } => return None,
            NodeKind::WindowAggregate { keys, .. } => (
                "the aggregates of each window".to_string(),
                names(0, keys),
                Until::Watermark("the window's end".into()),
            ),
            NodeKind::SessionWindow { keys, .. } => (
                "the rows of each session".into(),
                names(0, keys),
                Until::Watermark("the session's end".into()),
            ),
            NodeKind::SessionAggregate { keys, .. } => (
                "the aggregates of each session".into(),
                names(0, keys),
                Until::Watermark("the session's end".into()),
            ),
            NodeKind::WindowRank { partition, last, .. } => (
                format!("{} of each window", first_rows(*last)),
                names(0, partition),
                Until::Watermark("the window's end".into()),
            ),
            NodeKind::WindowJoin { left_keys, .. } => (
                "the rows of both sides in each window".into(),
                names(0, left_keys),
                Until::Watermark("the window's end".into()),
            ),
            NodeKind::IntervalJoin { left_keys, lower_ms, upper_ms, .. } => {
                let bound = |ms: i64| duration(ms.max(0));
                let moment = format!(
                    "a left row's time by {} and a right row's by {}",
                    bound(-*lower_ms),
                    bound(*upper_ms)
                );
                ("the rows of both sides".into(), names(0, left_keys), Until::Watermark(moment))
            }
            NodeKind::BoundedJoin { table_keys, .. } => {
                ("the rows of the table".into(), names(1, table_keys), Until::End)
            }
            NodeKind::LookupJoin(join) => {
                let what = match join.cache {
                    None => "the rows that wait for an answer",
                    Some(_) => "the rows that wait for an answer, and the answers that are cached",
                };
                let until = join.cache.and_then(|cache| cache.expire_after_write_ms).map(Until::Expired);
                (what.into(), names(0, &join.stream_keys), until.unwrap_or(Until::Answered))
            }
            NodeKind::GroupAggregate { keys, aggregates } => {
                let distinct = aggregates.iter().any(|call| call.distinct);
                let ordered = changes(0)
                    && aggregates
                        .iter()
                        .any(|call| matches!(call.function, AggregateFunction::Min | AggregateFunction::Max));
                let what = match (aggregates.is_empty(), distinct || ordered) {
                    (true, _) => "that each group is there",
                    (false, false) => "the aggregates of each group",
                    (false, true) => {
                        "the aggregates of each group, and the values behind DISTINCT, MIN and MAX"
                    }
                };
                (what.into(), names(0, keys), hinted(1))
            }
            NodeKind::Join { left_keys, .. } => {
                let what = match left_keys.is_empty() {
                    true => "all rows of both sides",
                    false => "the rows of both sides",
                };
                (what.into(), names(0, left_keys), hinted(2))
            }
            NodeKind::Rank { partition, last, .. } => {
                // A row that goes makes room for one that was not shown.
                let what = if changes(0) { "all rows".to_string() } else { first_rows(*last) };
                (what, names(0, partition), ttl)
            }
            NodeKind::TemporalJoin { left_keys, .. } => (
                "the rows that wait for their time, and of each key the versions that one can still need, at least the \
                 latest"
                    .into(),
                names(0, left_keys),
                ttl,
            ),
            NodeKind::Deduplicate { keys, .. } => ("which keys have been seen".into(), names(0, keys), ttl),
            NodeKind::TemporalSort { .. } => (
                "the rows that wait for their time".into(),
                Vec::new(),
                Until::Watermark("their time".into()),
            ),
            NodeKind::MatchRecognize { partition, .. } => (
                "the rows that wait for their time or are part of an open match".into(),
                names(0, partition),
                Until::Watermark("the end of their matches".into()),
            ),
            NodeKind::Over { partition, .. } => {
                ("the rows that a frame can still reach".into(), names(0, partition), ttl)
            }
            NodeKind::ChangelogNormalize { keys } => ("the last row of each key".into(), names(0, keys), ttl),
            NodeKind::UpsertMaterialize { keys } => {
                ("the rows of each primary key".into(), names(0, keys), ttl)
            }
            NodeKind::ConflictMaterialize { keys, .. } => {
                ("the row of each primary key, and the changes since the watermark moved".into(), names(0, keys), ttl)
            }
        };
        Some(Kept { what, by, until })
    }

    /// After how long a node forgets what was not written, by input; none of a node that forgets in another way.
    pub fn ttls_ms(&self, id: NodeId) -> Vec<Option<u64>> {
        let forgets = self.kept(id).is_some_and(|kept| {
            matches!(kept.until, Until::Unwritten(_) | Until::Hinted(_) | Until::Forever)
        });
        let inputs = if forgets { self.node(id).inputs.len() } else { 0 };
        (0..inputs).map(|side| self.ttl_ms(id, side)).collect()
    }

    /// Whether rows wait in a node until the watermark moves.
    pub fn waits_for_watermark(&self, id: NodeId) -> bool {
        match &self.node(id).kind {
            NodeKind::TemporalJoin { .. } | NodeKind::ConflictMaterialize { .. } => true,
            NodeKind::Over { order, .. } => matches!(order, OverOrder::Time { .. }),
            NodeKind::Deduplicate { keep, .. } => matches!(keep, Keep::Earliest(_)),
            _ => self.kept(id).is_some_and(|kept| matches!(kept.until, Until::Watermark(_))),
        }
    }

    fn input_names(&self, node: &Node, side: usize, columns: &[usize]) -> Vec<String> {
        let Some(input) = node.inputs.get(side) else { return Vec::new() };
        let schema = &self.node(*input).schema;
        let name = |column: &usize| schema.fields().get(*column).map(|field| field.name().clone());
        columns.iter().filter_map(name).collect()
    }
}

fn first_rows(last: u64) -> String {
    if last == 1 { "the first row".into() } else { format!("the first {last} rows") }
}
