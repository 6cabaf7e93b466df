//! What becomes of each operator when a job's statement changes. Pure: it looks at what the journal knows of the old
//! plan, at the new plan, and at what it is told of the inputs.
//!
//! 1. Sinks are matched by what they write, scans by what they read, all others by their identities: see [`Matched`].
//! 2. An operator with state that nobody of the old plan matches is made anew: from the log if the job has read some of
//!    its input already, else with the rows to come.
//! 3. What is read by an operator that is rebuilt runs again for it, from the beginning; so its own state is rebuilt too,
//!    and that of all who read it: both sides of an operator must have seen the same rows in the same order.
//! 4. An operator of a family whose state can be made of what is there gets it from that, and reads nothing again.
//! 5. State of the old plan that nobody takes is dropped. Where an operator of the same kind in front of the same sink is
//!    rebuilt in its place nothing is lost; else its owner must have agreed.

use super::matched::Matched;
use crate::journal::JournalState;
use crate::operators::{self, OperatorRecord, Role};
use dataflow::plan::{NodeId, NodeKind, Plan};
use state::Rewrite;
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It goes on with what it has.
    Kept,
    /// Its state is made of that of its predecessor.
    Migrated,
    /// Its state is made from the input that the job has read, which is read again.
    Rebuilt,
    /// It begins with the rows that come from now on.
    New,
    /// Nobody takes its place.
    Dropped,
    /// The change cannot be made.
    Impossible,
}

impl Fate {
    pub fn name(self) -> &'static str {
        match self {
            Fate::Kept => "kept",
            Fate::Migrated => "migrated",
            Fate::Rebuilt => "rebuilt",
            Fate::New => "new",
            Fate::Dropped => "dropped",
            Fate::Impossible => "impossible",
        }
    }
}

/// One operator of the new plan, or one of the old plan that is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorChange {
    /// Its number in the new plan; none for one that is dropped.
    pub node: Option<u32>,
    /// As EXPLAIN has it.
    pub operator: String,
    pub fate: Fate,
    /// Why, and what can be done about it.
    pub reason: String,
    /// Something is lost, which its owner must have agreed to.
    pub needs_consent: bool,
}

/// What becomes of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Those of the new plan that read, write or keep something, in its order; then those that are dropped.
    pub operators: Vec<OperatorChange>,
    /// By node of the new plan.
    pub(crate) tags: Vec<u32>,
    pub(crate) next_tag: u32,
    /// They go on from the old snapshot; the migrated ones are among them.
    pub(crate) kept: Vec<NodeId>,
    /// What becomes of their tables, by number.
    pub(crate) migrated: BTreeMap<NodeId, BTreeMap<u32, Rewrite>>,
    pub(crate) rebuilt: Vec<NodeId>,
    /// Scans whose splits are not known yet.
    pub(crate) new_scans: Vec<NodeId>,
}

impl Comparison {
    pub fn is_possible(&self) -> bool {
        self.operators.iter().all(|operator| operator.fate != Fate::Impossible)
    }

    pub fn needs_consent(&self) -> bool {
        self.operators.iter().any(|operator| operator.needs_consent)
    }

    /// The sentences about operators of one fate, or about those that need consent.
    pub(crate) fn reasons(&self, wanted: impl Fn(&OperatorChange) -> bool) -> String {
        let told = self.operators.iter().filter(|operator| wanted(operator));
        let told = told.map(|operator| {
            let name = operator.operator.split(['(', ' ']).next().unwrap_or_default();
            let number = operator.node.map_or(String::new(), |node| format!("#{node} "));
            format!("{number}{name}: {}", operator.reason)
        });
        told.collect::<Vec<_>>().join("; ")
    }
}

/// Whether what a scan has read can be read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Again {
    Whole,
    /// The text says what is gone.
    Partly(String),
    /// The text says why not.
    No(String),
}

/// What is known of a scan that the job goes on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScanFacts {
    pub(crate) again: Again,
    /// No row follows in any of its splits.
    pub(crate) finished: bool,
}

/// Compares a job with a plan. `facts` tells of a scan of the new plan that has the tag of an old one; `has_outbox` of a
/// tag whether rows may wait there for an outside target.
pub(crate) fn compare(
    state: &JournalState,
    plan: &Plan,
    facts: &dyn Fn(NodeId, u32) -> ScanFacts,
    has_outbox: &dyn Fn(u32) -> bool,
) -> Comparison {
    let mut matched = Matched::new(state, plan, has_outbox);
    let (kept, rebuilt, fresh) = matched.divide(plan, &operators::of_plan(plan));
    matched.migrated.retain(|id, _| kept.contains(id));
    // What is made anew must not lie where the old is.
    for id in &rebuilt {
        matched.tags[id.0] = matched.next_tag;
        matched.next_tag += 1;
    }
    let new = operators::of_plan(&plan.with_tags(matched.tags.clone()));
    let scans: BTreeMap<NodeId, ScanFacts> =
        plan.scans().into_iter().filter_map(|scan| Some((scan, facts(scan, matched.old[scan.0]?)))).collect();
    let look = Look { state, plan, matched: &matched, new: &new, rebuilt: &rebuilt, scans: &scans };
    let mut operators = Vec::new();
    for (index, record) in new.iter().enumerate() {
        let id = NodeId(index);
        let (fate, reason, needs_consent) = match record.role {
            Role::Stateless => continue,
            Role::Scan => look.scan(id),
            Role::Sink => look.sink(id),
            Role::State | Role::Time if rebuilt.contains(&id) => look.rebuilt(id),
            Role::State if fresh.contains(&id) => {
                (Fate::New, "begins empty: none of its input has been read yet".to_string(), false)
            }
            Role::Time if fresh.contains(&id) => continue,
            Role::State => match matched.migrated.get(&id) {
                Some(tables) => (Fate::Migrated, what_migrates(tables), false),
                None => (Fate::Kept, "goes on with its state".to_string(), false),
            },
            Role::Time => continue,
        };
        operators.push(OperatorChange {
            node: Some(index as u32),
            operator: record.text.clone(),
            fate,
            reason,
            needs_consent,
        });
    }
    operators.extend(look.dropped(has_outbox));
    let new_scans = plan.scans().into_iter().filter(|scan| matched.old[scan.0].is_none()).collect();
    Comparison {
        operators,
        next_tag: matched.next_tag,
        tags: matched.tags.clone(),
        kept: kept.into_iter().collect(),
        migrated: matched.migrated.clone(),
        rebuilt: rebuilt.into_iter().collect(),
        new_scans,
    }
}

/// Whether the job's own statement reads and writes where it did: its text does not say all that its tables do.
pub(crate) fn is_at_its_tables(state: &JournalState, plan: &Plan) -> bool {
    let new = operators::of_plan(plan);
    let is_there = |(known, now): (&OperatorRecord, &OperatorRecord)| {
        let of = |record: &OperatorRecord| (record.of_table.address, record.of_table.layout);
        !matches!(now.role, Role::Scan | Role::Sink) || of(known) == of(now)
    };
    state.operators.len() != new.len() || state.operators.iter().zip(&new).all(is_there)
}

/// What the reasons are found from.
pub(super) struct Look<'a> {
    pub(super) state: &'a JournalState,
    pub(super) plan: &'a Plan,
    pub(super) matched: &'a Matched,
    pub(super) new: &'a [OperatorRecord],
    rebuilt: &'a BTreeSet<NodeId>,
    pub(super) scans: &'a BTreeMap<NodeId, ScanFacts>,
}

/// What the state of an operator is made of, and what is different from then on.
fn what_migrates(tables: &BTreeMap<u32, Rewrite>) -> String {
    let mut parts = Vec::new();
    if tables.values().any(|rewrite| rewrite.columns.is_some()) {
        parts.push("its state is made of what the old one has of its aggregates");
    }
    let times = tables.values().map(|rewrite| (rewrite.old_ttl_ms, rewrite.ttl_ms));
    let other_times = times.filter(|(old, new)| old != new).collect::<BTreeSet<_>>();
    parts.extend(other_times.into_iter().map(|times| match times {
        (_, None) => "what is there is not forgotten any more",
        (None, Some(_)) => "what is not written for its time to live is forgotten, counted from now",
        (Some(_), Some(_)) => "its new time to live counts from when its state was last written",
    }));
    parts.join("; ")
}

type Told = (Fate, String, bool);

impl Look<'_> {
    fn scan(&self, id: NodeId) -> Told {
        let known = "is read on from where the job is";
        let new = "is read from where its table says ('scan.startup.mode')";
        match self.scans.get(&id) {
            Some(_) => match self.caution_of_known(id) {
                Some(caution) => (Fate::Kept, format!("{known}, but {caution}"), true),
                None => (Fate::Kept, known.into(), false),
            },
            None => match self.caution_of_new(id) {
                Some(caution) => (Fate::New, caution, true),
                None => (Fate::New, new.into(), false),
            },
        }
    }

    fn sink(&self, id: NodeId) -> Told {
        let below = self.plan.with_inputs(&[id]);
        let read_before = self.scans.keys().any(|scan| below[scan.0]);
        let others = self.rebuilt.iter().chain(self.matched.migrated.keys());
        let mut others = others.filter(|other| self.new[other.0].role == Role::State);
        let behind_another = others.any(|other| below[other.0]);
        match (self.matched.old[id.0], read_before) {
            (Some(_), _) if behind_another => (
                Fate::Kept,
                "keeps what it has been given, and gets the changes of the new query from now on".into(),
                false,
            ),
            (Some(_), _) => (Fate::Kept, "goes on where it is".into(), false),
            (None, true) => (
                Fate::New,
                "gets what comes from now on; to have the results of earlier rows too, write it in a job of its own"
                    .into(),
                false,
            ),
            (None, false) => (Fate::New, "gets all that its query gives".into(), false),
        }
    }

    fn rebuilt(&self, id: NodeId) -> Told {
        if let Some(reason) = self.why_not(id) {
            return (Fate::Impossible, reason, false);
        }
        let why = match self.matched.old[id.0] {
            None => "is another than before".to_string(),
            Some(_) => "has its state made anew together with what reads it or is read by it".to_string(),
        };
        let below = self.plan.with_inputs(&[id]);
        let mut lost: Vec<String> = Vec::new();
        for (scan, facts) in self.scans.iter().filter(|(scan, _)| below[scan.0]) {
            if let Again::Partly(gone) = &facts.again {
                lost.push(format!("{gone} of '{}'", self.new[scan.0].table));
            }
        }
        let forgets = (0..self.plan.nodes.len()).map(NodeId).find(|node| {
            below[node.0]
                && self.new[node.0].role == Role::State
                && self.plan.ttls_ms(*node).iter().any(Option::is_some)
        });
        if let Some(node) = forgets {
            lost.push(format!(
                "#{} forgets what was not written for a while, and what it had forgotten comes back: its time begins anew",
                node.0
            ));
        }
        let from = "is made from the input that the job has read, read again";
        lost.extend(self.caution_of_rebuilt(id).filter(|_| self.new[id.0].role == Role::State));
        match lost.is_empty() {
            true => (Fate::Rebuilt, format!("{why}: it {from}"), false),
            false => (Fate::Rebuilt, format!("{why}: it {from}, but {}", lost.join(", ")), true),
        }
    }

    /// Why an operator cannot be made from input that is read again.
    fn why_not(&self, id: NodeId) -> Option<String> {
        let advice = "put it into a job of its own, or end the job (`eventwright job end`) and run it anew";
        let below = self.plan.with_inputs(&[id]);
        for index in (0..self.plan.nodes.len()).filter(|index| below[*index]) {
            let (node, record) = (NodeId(index), &self.new[index]);
            if !self.plan.is_repeatable(node) {
                let what = match &self.plan.node(node).kind {
                    NodeKind::LookupJoin(_) | NodeKind::LookupAnswers => {
                        "asks an outside system, which answers otherwise today"
                    }
                    NodeKind::ProcessingTime => "follows the clock, which shows another time today",
                    _ => "depends on the clock or on chance",
                };
                return Some(format!("#{index} {what}, so it cannot be made anew from old input; {advice}"));
            }
            if let NodeKind::Watermark { idle_ms: Some(_), .. } = &self.plan.node(node).kind {
                return Some(format!(
                    "splits that fall idle (#{index}) are not known again when input is read again; {advice}"
                ));
            }
            if let Some(ScanFacts { again: Again::No(reason), .. }) = self.scans.get(&node) {
                return Some(format!("the input '{}' {reason}; {advice}", record.table));
            }
        }
        self.unread_tables(&below).map(|table| {
            format!(
                "the table '{table}' of a join is read before all others, and not all of it has been read; run the old \
                 statement until it is, or {advice}"
            )
        })
    }

    /// A table that must be read to its end before what the job has read already.
    fn unread_tables(&self, below: &[bool]) -> Option<String> {
        if !self.plan.nodes.iter().any(|node| matches!(node.kind, NodeKind::BoundedJoin { .. })) {
            return None;
        }
        let of_node = |scan: &NodeId| below[scan.0];
        let last = self.scans.keys().filter(|scan| of_node(scan)).map(|scan| self.plan.phase(*scan)).max()?;
        let open = self.plan.scans().into_iter().find(|scan| {
            self.plan.phase(*scan) < last && self.scans.get(scan).is_none_or(|facts| !facts.finished)
        });
        open.map(|scan| self.new[scan.0].table.clone())
    }

    /// What nobody takes.
    fn dropped(&self, has_outbox: &dyn Fn(u32) -> bool) -> Vec<OperatorChange> {
        let taken: BTreeSet<u32> = self.matched.old.iter().flatten().copied().collect();
        // Those that come in the place of others, each for one.
        let mut replacing: Vec<&OperatorRecord> = self
            .rebuilt
            .iter()
            .filter(|id| self.matched.old[id.0].is_none())
            .map(|id| &self.new[id.0])
            .filter(|record| record.role == Role::State)
            .collect();
        let mut dropped = Vec::new();
        for record in self.state.operators.iter().filter(|record| !taken.contains(&record.tag)) {
            let (reason, needs_consent) = match record.role {
                Role::Stateless | Role::Time => continue,
                Role::Scan if record.kind() == "LookupAnswers" => continue,
                Role::Scan => ("is read no more".to_string(), false),
                Role::Sink if self.matched.outgrown.contains(&record.tag) => {
                    let reason = "its columns or keys are others now, and what may still wait in its outbox was written for \
                                  the old ones: it goes, and the sink begins anew; run the old statement until nothing \
                                  waits, then agree";
                    (reason.to_string(), true)
                }
                Role::Sink if has_outbox(record.tag) => {
                    ("gets nothing any more, not even what may still wait in its outbox".to_string(), true)
                }
                Role::Sink => ("gets nothing any more; what it has been given stays".to_string(), false),
                Role::State => {
                    let takes_place = |other: &&OperatorRecord| {
                        other.kind() == record.kind()
                            && other.sinks.iter().any(|sink| record.sinks.contains(sink))
                    };
                    match replacing.iter().position(takes_place) {
                        Some(place) => {
                            replacing.remove(place);
                            continue;
                        }
                        None => ("is not in the statement any more: its state goes".to_string(), true),
                    }
                }
            };
            dropped.push(OperatorChange {
                node: None,
                operator: record.text.clone(),
                fate: Fate::Dropped,
                reason,
                needs_consent,
            });
        }
        dropped
    }
}
