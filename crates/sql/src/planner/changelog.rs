//! Which changes flow through a plan, and by which keys.
//!
//! 1. While nodes are written, `Facts` say what changes a node may give and by which columns its rows are
//!    told apart (upsert keys).
//! 2. A sink that updates by its primary key gets an `UpsertMaterialize` in front where the query updates by
//!    another key; one that only takes inserts refuses a query that updates.
//! 3. At the end `resolve` goes from the sinks to the scans: -U is left out where no reader needs it.

use dataflow::plan::{Changelog, JoinKind, Keep, NodeId, NodeKind, OverOrder, Plan};
use std::collections::BTreeSet;

/// What is known of the rows that leave a node.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// The most that the node gives.
    pub(super) changes: Changelog,
    /// Sets of columns that tell its rows apart, at every place of the changelog: the row that goes stands before the
    /// row that comes in its place.
    pub(super) keys: Vec<BTreeSet<usize>>,
}

/// More candidate keys than this are not followed.
const KEYS_MAX: usize = 8;

impl Facts {
    /// Of a node over its inputs. `picks` says, for a projection, which input column each column is.
    pub(super) fn of(kind: &NodeKind, inputs: &[&Facts], widths: &[usize], picks: &[Option<usize>]) -> Facts {
        let first = inputs.first().copied().cloned().unwrap_or_default();
        let least =
            |changes: Changelog| if changes == Changelog::Insert { changes } else { Changelog::Retract };
        let reads_first = matches!(kind, NodeKind::BoundedJoin { .. });
        match kind {
            NodeKind::Scan { .. } | NodeKind::LookupAnswers => Facts::default(),
            NodeKind::Watermark { .. }
            | NodeKind::ProcessingTime
            | NodeKind::Filter { .. }
            | NodeKind::Sink { .. } => first,
            NodeKind::Project { .. } => {
                let moved = |key: &BTreeSet<usize>| {
                    let place = |column: &usize| picks.iter().position(|pick| *pick == Some(*column));
                    key.iter().map(place).collect::<Option<BTreeSet<usize>>>()
                };
                Facts { changes: first.changes, keys: first.keys.iter().filter_map(moved).collect() }
            }
            NodeKind::Union => Facts {
                changes: least(inputs.iter().map(|input| input.changes).max().unwrap_or_default()),
                keys: Vec::new(),
            },
            NodeKind::Unnest(unnest) => {
                let place = |column: &usize| unnest.kept.iter().position(|kept| kept == column);
                let elements = unnest.element_types().map_or(0, |types| types.len());
                let number = unnest.with_ordinality.then_some(unnest.kept.len() + elements);
                let moved = |key: &BTreeSet<usize>| {
                    let key: Option<BTreeSet<usize>> = key.iter().map(place).collect();
                    Some(key?.into_iter().chain([number?]).collect())
                };
                Facts { changes: least(first.changes), keys: first.keys.iter().filter_map(moved).collect() }
            }
            NodeKind::TemporalSort { .. } => first,
            NodeKind::Replicate => Facts { changes: least(first.changes), keys: Vec::new() },
            NodeKind::WindowAssign { .. }
            | NodeKind::SessionWindow { .. }
            | NodeKind::MatchRecognize { .. } => Facts::default(),
            NodeKind::WindowRank { partition, first: from, last, with_number, .. } => {
                let width = widths.first().copied().unwrap_or(0);
                let partition: BTreeSet<usize> = partition.iter().copied().collect();
                let mut keys: Vec<BTreeSet<usize>> = first.keys;
                if *with_number {
                    keys.push(partition.iter().copied().chain([width]).collect());
                }
                if from == last {
                    keys.push(partition);
                }
                Facts { changes: Changelog::Insert, keys }
            }
            NodeKind::LookupJoin(join) => {
                let schema = &join.table.schema;
                let key: Option<Vec<usize>> =
                    join.table.primary_key.iter().map(|name| schema.index_of(name).ok()).collect();
                // One match at most: the stream's key is enough.
                let is_unique = key.is_some_and(|key| {
                    !key.is_empty() && key.iter().all(|column| join.table_keys.contains(column))
                });
                Facts { changes: Changelog::Insert, keys: if is_unique { first.keys } else { Vec::new() } }
            }
            // Each row of the left side leaves once at most.
            NodeKind::TemporalJoin { .. } => first,
            NodeKind::Deduplicate { keys, keep } => {
                // Older rows of a key stay, where others replace them.
                let key = (!matches!(keep, Keep::NotOlderThan(_))).then(|| keys.iter().copied().collect());
                Facts { changes: Changelog::Insert, keys: first.keys.into_iter().chain(key).collect() }
            }
            NodeKind::WindowJoin { kind, .. } | NodeKind::IntervalJoin { kind, .. } => {
                let second = inputs.get(1).copied().cloned().unwrap_or_default();
                let width = widths.first().copied().unwrap_or(0);
                let keys = match kind {
                    JoinKind::Semi | JoinKind::Anti => first.keys,
                    _ => {
                        let right = |key: &BTreeSet<usize>| key.iter().map(|column| column + width).collect();
                        let rights: Vec<BTreeSet<usize>> = second.keys.iter().map(right).collect();
                        let pairs =
                            first.keys.iter().flat_map(|left| rights.iter().map(move |right| left | right));
                        pairs.take(KEYS_MAX).collect()
                    }
                };
                Facts { changes: Changelog::Insert, keys }
            }
            NodeKind::WindowAggregate { keys, aggregates, .. }
            | NodeKind::SessionAggregate { keys, aggregates, .. } => {
                let bounds = keys.len() + aggregates.len();
                let key = (0..keys.len()).chain([bounds, bounds + 1]).collect();
                Facts { changes: Changelog::Insert, keys: vec![key] }
            }
            NodeKind::GroupAggregate { keys, aggregates } => Facts {
                // Without aggregates a group never changes, it only appears.
                changes: if aggregates.is_empty() { least(first.changes) } else { Changelog::Retract },
                keys: vec![(0..keys.len()).collect()],
            },
            NodeKind::Join { kind, left_keys, right_keys, .. }
            | NodeKind::BoundedJoin { kind, stream_keys: left_keys, table_keys: right_keys, .. } => {
                let second = inputs.get(1).copied().cloned().unwrap_or_default();
                let width = widths.first().copied().unwrap_or(0);
                let changes = match kind {
                    _ if reads_first => Changelog::Insert,
                    JoinKind::Inner | JoinKind::Semi => least(first.changes.max(second.changes)),
                    _ => Changelog::Retract,
                };
                let is_unique =
                    |facts: &Facts, keys: &[usize]| facts.has_key_within(&keys.iter().copied().collect());
                let to_right = |key: &BTreeSet<usize>| key.iter().map(|column| column + width).collect();
                if kind.tests_left() {
                    return Facts { changes, keys: first.keys };
                }
                let mut keys: Vec<BTreeSet<usize>> = Vec::new();
                // One match at most: the other side's key is enough, if all rows have it.
                if matches!(kind, JoinKind::Inner | JoinKind::Left) && is_unique(&second, right_keys) {
                    keys.extend(first.keys.iter().cloned());
                }
                if *kind == JoinKind::Inner && is_unique(&first, left_keys) {
                    keys.extend(second.keys.iter().map(to_right));
                }
                for left in &first.keys {
                    for right in &second.keys {
                        let right: BTreeSet<usize> = to_right(right);
                        keys.push(left.union(&right).copied().collect());
                    }
                }
                keys.truncate(KEYS_MAX);
                Facts { changes, keys }
            }
            NodeKind::Rank { partition, order, first: from, last, with_number, latest_first } => {
                let width = widths.first().copied().unwrap_or(0);
                let partition: BTreeSet<usize> = partition.iter().copied().collect();
                let mut keys: Vec<BTreeSet<usize>> = Vec::new();
                if *with_number {
                    keys.push(partition.iter().copied().chain([width]).collect());
                }
                if from == last {
                    keys.push(partition.clone());
                }
                if !*with_number {
                    // A partition emits its net change at the place of its last row, so a row that moves to another
                    // partition may come there before it goes here; within one partition rows go first. With a
                    // number a row may come under its new number before it goes under the old one.
                    keys.extend(first.keys.iter().filter(|key| partition.is_subset(key)).cloned());
                }
                // In the order of arrival nothing takes the place of what is shown.
                let adds_only = order.is_empty() && first.changes == Changelog::Insert && !latest_first;
                Facts { changes: if adds_only { Changelog::Insert } else { Changelog::Retract }, keys }
            }
            NodeKind::Over { partition, order, .. } => match order {
                OverOrder::Time { .. } | OverOrder::Arrival => {
                    Facts { changes: Changelog::Insert, keys: first.keys }
                }
                OverOrder::Columns { .. } => {
                    // As with a Top-N, a row that moves to another partition may come there before it goes here.
                    let partition: BTreeSet<usize> = partition.iter().copied().collect();
                    let stays = |key: &BTreeSet<usize>| {
                        first.changes == Changelog::Insert || partition.is_subset(key)
                    };
                    let keys = first.keys.iter().filter(|key| stays(key)).cloned().collect();
                    Facts { changes: Changelog::Retract, keys }
                }
            },
            NodeKind::ChangelogNormalize { keys }
            | NodeKind::UpsertMaterialize { keys }
            | NodeKind::ConflictMaterialize { keys, .. } => {
                Facts { changes: Changelog::Retract, keys: vec![keys.iter().copied().collect()] }
            }
        }
    }

    /// Whether rows are told apart by exactly these columns.
    pub(super) fn has_key(&self, columns: &BTreeSet<usize>) -> bool {
        self.keys.contains(columns)
    }

    /// Whether rows are told apart by some of these columns.
    pub(super) fn has_key_within(&self, columns: &BTreeSet<usize>) -> bool {
        self.keys.iter().any(|key| key.is_subset(columns))
    }
}

/// Whether a node only understands inserts.
pub(super) fn takes_only_inserts(kind: &NodeKind) -> bool {
    matches!(
        kind,
        NodeKind::WindowAssign { .. }
            | NodeKind::SessionWindow { .. }
            | NodeKind::SessionAggregate { .. }
            | NodeKind::WindowAggregate { .. }
            | NodeKind::WindowRank { .. }
            | NodeKind::WindowJoin { .. }
            | NodeKind::IntervalJoin { .. }
            | NodeKind::Deduplicate { .. }
            | NodeKind::TemporalSort { .. }
            | NodeKind::BoundedJoin { .. }
            | NodeKind::LookupJoin(_)
            | NodeKind::MatchRecognize { .. }
    )
}

/// Says of every node what leaves it. `sinks` says what each sink wants of changes.
pub(super) fn resolve(plan: &mut Plan, facts: &[Facts], sinks: &[(NodeId, Changelog)]) {
    let mut needs = vec![Changelog::Insert; plan.nodes.len()];
    for (sink, wanted) in sinks {
        needs[sink.0] = *wanted;
    }
    for index in (0..plan.nodes.len()).rev() {
        let need = match &plan.nodes[index].kind {
            NodeKind::Sink { .. }
            | NodeKind::Project { .. }
            | NodeKind::Watermark { .. }
            | NodeKind::ProcessingTime => needs[index],
            // It must see the old row to know whether it was let through; two inputs may share a key.
            NodeKind::Filter { .. } | NodeKind::Union => Changelog::Retract,
            NodeKind::ChangelogNormalize { .. } | NodeKind::TemporalJoin { .. } => Changelog::Upsert,
            _ => Changelog::Retract,
        };
        for input in plan.nodes[index].inputs.clone() {
            needs[input.0] = needs[input.0].max(need);
        }
    }
    for index in 0..plan.nodes.len() {
        let node = &plan.nodes[index];
        let arriving = node.inputs.iter().map(|input| plan.nodes[input.0].changelog).max();
        let changelog = match &node.kind {
            NodeKind::Scan { .. } | NodeKind::LookupAnswers => facts[index].changes,
            NodeKind::Project { .. }
            | NodeKind::Filter { .. }
            | NodeKind::Watermark { .. }
            | NodeKind::ProcessingTime
            | NodeKind::Unnest(_)
            | NodeKind::Union
            | NodeKind::Sink { .. } => arriving.unwrap_or_default(),
            _ if facts[index].changes == Changelog::Insert => Changelog::Insert,
            _ => needs[index].max(Changelog::Upsert),
        };
        plan.nodes[index].changelog = changelog;
    }
}
