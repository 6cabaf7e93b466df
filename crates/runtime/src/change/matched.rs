//! Which nodes of a plan are those of the old one.
//!
//! 1. Sinks first, by what they write: they tell the scans of one table apart, and what they have been given is what
//!    must not be given twice.
//! 2. Then scans, by what they read. Of several that read one table the best goes first: the same use of its rows, the
//!    same sinks, the same readers, the same place to begin, the same name. Where that does not decide and it matters,
//!    because the old ones are at different places, the match is unsure.
//! 3. All others by their identities, or where their state can be made of another's by their families, and by the scans
//!    below them, the sinks that they lead to, and their order.

use crate::journal::JournalState;
use crate::operators::{self, OperatorRecord, Role};
use crate::startup;
use dataflow::engine::rewrites;
use dataflow::plan::{NodeId, NodeKind, Plan};
use state::Rewrite;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

pub(super) struct Matched {
    pub(super) tags: Vec<u32>,
    /// By node, the old tag.
    pub(super) old: Vec<Option<u32>>,
    /// Nodes whose state is made of the old one: what becomes of each table.
    pub(super) migrated: BTreeMap<NodeId, BTreeMap<u32, Rewrite>>,
    pub(super) next_tag: u32,
    /// By node, the sink of the old plan that wrote to the same place, if it is the same one or not.
    pub(super) former: Vec<Option<u32>>,
    /// Scans that may be another one of the old plan too.
    pub(super) unsure: BTreeSet<NodeId>,
    /// Old sinks that go because bytes wait for them which their successor would not understand.
    pub(super) outgrown: BTreeSet<u32>,
}

/// How well two scans of one table fit; the greatest is the best. The columns come last and decide nothing alone.
type Fit = ([bool; 6], bool);

/// Whether an operator of the old plan is one of the new.
type IsSame<'a> = &'a dyn Fn(&OperatorRecord, &OperatorRecord) -> bool;

impl Matched {
    pub(super) fn new(state: &JournalState, plan: &Plan, has_outbox: &dyn Fn(u32) -> bool) -> Matched {
        let mut matched = Matched {
            tags: Vec::new(),
            old: vec![None; plan.nodes.len()],
            migrated: BTreeMap::new(),
            next_tag: state.next_tag,
            former: vec![None; plan.nodes.len()],
            unsure: BTreeSet::new(),
            outgrown: BTreeSet::new(),
        };
        let new = operators::of_plan(plan);
        matched.sinks(state, &new, has_outbox);
        matched.scans(state, plan, &new);
        matched.others(state, plan, &new);
        let tag = |known: &Option<u32>| {
            known.unwrap_or_else(|| {
                matched.next_tag += 1;
                matched.next_tag - 1
            })
        };
        matched.tags = matched.old.iter().map(tag).collect();
        matched
    }

    fn sinks(&mut self, state: &JournalState, new: &[OperatorRecord], has_outbox: &dyn Fn(u32) -> bool) {
        let is_sink = |record: &&OperatorRecord| record.role == Role::Sink;
        let mut taken: BTreeSet<u32> = BTreeSet::new();
        let same = |a: &OperatorRecord, b: &OperatorRecord| a.identity == b.identity;
        let fits =
            |a: &OperatorRecord, b: &OperatorRecord| same(a, b) && a.of_table.layout == b.of_table.layout;
        let given = |a: &OperatorRecord, b: &OperatorRecord| fits(a, b) && a.uses == b.uses;
        let address = |a: &OperatorRecord, b: &OperatorRecord| a.of_table.address == b.of_table.address;
        let levels: [(IsSame<'_>, bool); 4] =
            [(&given, true), (&fits, true), (&same, true), (&address, false)];
        for (is_it, is_same) in levels {
            for (index, record) in new.iter().enumerate().filter(|(_, record)| is_sink(record)) {
                if self.former[index].is_some() {
                    continue;
                }
                let known = state.operators.iter().filter(is_sink);
                let mut known = known.filter(|known| is_it(known, record));
                let free = known.clone().find(|known| !taken.contains(&known.tag));
                // Two that write to one place in another way than before write behind the same old one.
                let Some(known) = (if is_same { free } else { free.or_else(|| known.next()) }) else {
                    continue;
                };
                self.former[index] = Some(known.tag);
                taken.insert(known.tag);
                let waits = !fits(known, record) && has_outbox(known.tag);
                if is_same && !waits {
                    self.old[index] = Some(known.tag);
                } else if is_same {
                    self.outgrown.insert(known.tag);
                }
            }
        }
    }

    fn scans(&mut self, state: &JournalState, plan: &Plan, new: &[OperatorRecord]) {
        let mut pairs: Vec<(Fit, usize, &OperatorRecord)> = Vec::new();
        for (index, record) in new.iter().enumerate().filter(|(_, record)| record.role == Role::Scan) {
            if matches!(plan.nodes[index].kind, NodeKind::LookupAnswers) {
                continue;
            }
            let known = state.operators.iter();
            let known = known.filter(|known| known.role == Role::Scan && known.identity == record.identity);
            pairs.extend(known.map(|known| (self.fit(plan, new, index, known), index, known)));
        }
        // Sorting is stable: what fits equally well stays in the order of the plans.
        pairs.sort_by_key(|(fit, ..)| Reverse(*fit));
        let mut taken: BTreeMap<u32, [bool; 6]> = BTreeMap::new();
        let mut chosen: Vec<(usize, [bool; 6], &OperatorRecord)> = Vec::new();
        for ((fit, _), index, known) in &pairs {
            if self.old[*index].is_none() && !taken.contains_key(&known.tag) {
                self.old[*index] = Some(known.tag);
                taken.insert(known.tag, *fit);
                chosen.push((*index, *fit, known));
            }
        }
        for (index, fit, known) in chosen.into_iter().filter(|(_, [is_used_alike, ..], _)| !is_used_alike) {
            let is_other = |((of_other, _), at, other): &&(Fit, usize, &OperatorRecord)| {
                *at == index
                    && other.tag != known.tag
                    && *of_other == fit
                    && taken.get(&other.tag).is_none_or(|better| *better <= fit)
                    && !are_at_one_place(state, known.tag, other.tag)
            };
            if pairs.iter().any(|pair| is_other(&pair)) {
                self.unsure.insert(NodeId(index));
            }
        }
    }

    fn fit(&self, plan: &Plan, new: &[OperatorRecord], index: usize, known: &OperatorRecord) -> Fit {
        let record = &new[index];
        let [all_sinks, one_sink] = self.same_sinks(plan, index, known);
        let fit = [
            record.uses == known.uses,
            all_sinks,
            one_sink,
            record.readers == known.readers,
            record.of_table.startup == known.of_table.startup,
            record.table == known.table,
        ];
        (fit, record.columns == known.columns)
    }

    fn others(&mut self, state: &JournalState, plan: &Plan, new: &[OperatorRecord]) {
        // A lookup join stands behind its answers, which are matched with it.
        let answers: BTreeMap<usize, usize> =
            plan.lookups().into_iter().map(|(join, answers, _)| (answers.0, join.0)).collect();
        for (index, known) in self.pairs(state, plan, new, &answers) {
            self.old[index] = Some(known.tag);
            if known.identity != new[index].identity
                && let Some(rewrites) = rewrites(&known.layout, &new[index].layout)
            {
                self.migrated.insert(NodeId(index), rewrites);
            }
            if let NodeKind::LookupJoin(_) = &plan.nodes[index].kind
                && let Some(answers) = plan.nodes[index].inputs.get(1)
            {
                let of_join = |other: &&OperatorRecord| {
                    other.role == Role::Scan
                        && known.scans.contains(&other.tag)
                        && is_answers(state, other.tag)
                        && other.identity == new[answers.0].identity
                };
                self.old[answers.0] = state.operators.iter().find(of_join).map(|found| found.tag);
            }
        }
    }

    /// Nodes that are neither scans nor sinks, each with an old operator over the same scans that it is, or whose state its
    /// own can be made of. Of several the best goes first: the same one, the one for the same sinks, the one that lives as
    /// long. In a family that forgets the sinks come first, because two that forget in another way hold other rows, and
    /// what stands behind them, which is told apart by its sinks, has been given those.
    fn pairs<'a>(
        &self,
        state: &'a JournalState,
        plan: &Plan,
        new: &[OperatorRecord],
        answers: &BTreeMap<usize, usize>,
    ) -> Vec<(usize, &'a OperatorRecord)> {
        let times =
            |record: &OperatorRecord| record.layout.iter().map(|table| table.ttl_ms).collect::<Vec<_>>();
        let forgetting =
            state.operators.iter().chain(new).filter(|record| times(record).iter().any(Option::is_some));
        let forgetting: BTreeSet<u64> = forgetting.map(|record| record.family).collect();
        let mut pairs: Vec<([bool; 5], usize, &OperatorRecord)> = Vec::new();
        for (index, record) in new.iter().enumerate() {
            if matches!(record.role, Role::Scan | Role::Sink) {
                continue;
            }
            let Some(scans) = scans_below(plan, NodeId(index), &self.old, answers) else { continue };
            for known in state.operators.iter().filter(|known| known.role == record.role) {
                let is_same = known.identity == record.identity;
                let is_made_of =
                    known.family == record.family && rewrites(&known.layout, &record.layout).is_some();
                let known_scans = known.scans.iter().copied().filter(|tag| !is_answers(state, *tag));
                if !(is_same || is_made_of) || known_scans.collect::<BTreeSet<u32>>() != scans {
                    continue;
                }
                let [all_sinks, one_sink] = self.same_sinks(plan, index, known);
                let forgets = forgetting.contains(&record.family);
                let fit = [forgets && all_sinks, is_same, all_sinks, one_sink, times(known) == times(record)];
                pairs.push((fit, index, known));
            }
        }
        // Sorting is stable: what fits equally well stays in the order of the plans.
        pairs.sort_by_key(|(fit, ..)| Reverse(*fit));
        let (mut found, mut taken) = (BTreeSet::new(), BTreeSet::new());
        pairs.retain(|(_, index, known)| {
            let is_free = !found.contains(index) && !taken.contains(&known.tag);
            is_free && found.insert(*index) && taken.insert(known.tag)
        });
        pairs.into_iter().map(|(_, index, known)| (index, known)).collect()
    }

    /// Whether a node's rows reach the sinks that those of an old one reached: all of them and no others, or one of them.
    fn same_sinks(&self, plan: &Plan, index: usize, known: &OperatorRecord) -> [bool; 2] {
        let reached = plan.sinks().into_iter().filter(|sink| plan.with_inputs(&[*sink])[index]);
        let sinks: BTreeSet<Option<u32>> = reached.map(|sink| self.former[sink.0]).collect();
        let before: BTreeSet<Option<u32>> = known.sinks.iter().map(|tag| Some(*tag)).collect();
        [sinks == before, sinks.iter().any(|sink| before.contains(sink))]
    }

    /// The nodes with state: those that are kept, those that are rebuilt, those that begin empty.
    pub(super) fn divide(
        &self,
        plan: &Plan,
        new: &[OperatorRecord],
    ) -> (BTreeSet<NodeId>, BTreeSet<NodeId>, BTreeSet<NodeId>) {
        let has_state = |index: usize| matches!(new[index].role, Role::State | Role::Time);
        let (mut rebuilt, mut fresh) = (BTreeSet::new(), BTreeSet::new());
        for index in (0..plan.nodes.len()).filter(|index| has_state(*index) && self.old[*index].is_none()) {
            let was_read = plan.scans_of(NodeId(index)).iter().any(|scan| self.old[scan.0].is_some());
            if was_read {
                rebuilt.insert(NodeId(index))
            } else {
                fresh.insert(NodeId(index))
            };
        }
        // What the clock or the watermark has come to is the same however often it is read.
        let is_state = |index: usize| new[index].role == Role::State;
        loop {
            let below = plan.with_inputs(&rebuilt.iter().copied().collect::<Vec<_>>());
            let mut more: BTreeSet<NodeId> = (0..plan.nodes.len())
                .filter(|index| below[*index] && is_state(*index))
                .map(NodeId)
                .filter(|id| !rebuilt.contains(id) && !fresh.contains(id))
                .collect();
            for index in (0..plan.nodes.len()).filter(|index| is_state(*index)) {
                let id = NodeId(index);
                let read = plan.with_inputs(&[id]);
                let reads_rebuilt = rebuilt
                    .iter()
                    .any(|other| *other != id && read[other.0] && new[other.0].role == Role::State);
                if reads_rebuilt && !rebuilt.contains(&id) && !fresh.contains(&id) {
                    more.insert(id);
                }
            }
            if more.is_empty() {
                break;
            }
            rebuilt.extend(more);
        }
        let kept = (0..plan.nodes.len())
            .filter(|index| has_state(*index) && self.old[*index].is_some())
            .map(NodeId)
            .filter(|id| !rebuilt.contains(id));
        (kept.collect(), rebuilt, fresh)
    }
}

/// Whether two scans of a job have read the same and go on with the same.
fn are_at_one_place(state: &JournalState, one: u32, other: u32) -> bool {
    let splits = |tag: u32| state.scans.iter().find(|scan| scan.scan == tag).map(|scan| &scan.splits);
    let places = |tag: u32| {
        let splits = splits(tag).into_iter().flatten();
        (0..)
            .zip(splits)
            .map(|(index, split)| (split.id.clone(), split.start, startup::place(state, tag, index)))
            .collect::<Vec<_>>()
    };
    places(one) == places(other)
}

/// The old tags of the scans below a node, answers aside; none where one of them is new.
fn scans_below(
    plan: &Plan,
    id: NodeId,
    old: &[Option<u32>],
    answers: &BTreeMap<usize, usize>,
) -> Option<BTreeSet<u32>> {
    let scans = plan.scans_of(id).into_iter().filter(|scan| !answers.contains_key(&scan.0));
    scans.map(|scan| old[scan.0]).collect()
}

fn is_answers(state: &JournalState, tag: u32) -> bool {
    state.operators.iter().any(|known| known.tag == tag && known.kind() == "LookupAnswers")
}
