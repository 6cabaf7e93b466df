//! Plans: what the planner hands to the engine. Pure data over compiled expressions.
//!
//! Nodes are listed in topological order; a node's inputs come before it. The canonical text of a
//! plan (its `describe`) is what its fingerprint is taken from; EXPLAIN shows a shorter one.

mod aggregate;
mod describe;
mod gate;
mod identity;
mod kept;
mod lookup;
mod pattern;
pub mod tree;
mod validate;

pub use aggregate::{Aggregate, AggregateFunction, AggregateOptions, OverFrame, OverOrder};
pub use describe::type_name;
pub use gate::Gate;
pub use identity::{Identities, Table};
pub use kept::{Kept, Until};
pub use lookup::{LookupAsking, LookupCache, LookupJoin, LookupRetry, answers_schema};
pub use pattern::{AfterMatch, MatchExpression, MatchInput, RowPattern, RowVariable};

use crate::expression::Expression;
use crate::table::TableDefinition;
use arrow_schema::{DataType, SchemaRef};
use base::Zone;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The index of a node in its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// One job: all the INSERTs of a statement set share one plan, and a table scanned twice with the
/// same columns is scanned once.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    pub nodes: Vec<Node>,
    /// State that was not written for this long (by the clock of the steps) is forgotten, in silence;
    /// `None` keeps it for ever.
    pub state_ttl_ms: Option<u64>,
    /// By node, under what lies on disk what belongs to it; empty where that is the node's number. See [`Plan::tag`].
    pub tags: Arc<[u32]>,
}

#[derive(Debug, Clone)]
pub struct Node {
    pub kind: NodeKind,
    pub inputs: Vec<NodeId>,
    /// The columns that leave the node.
    pub schema: SchemaRef,
    /// The kinds of rows that leave the node.
    pub changelog: Changelog,
    /// By input, what goes before the state ttl of the plan; 0 is for ever. Of regular joins and group aggregates.
    pub hinted_ttls_ms: [Option<u64>; 2],
}

/// Which changes a flow of rows may hold, from the least to the most that a reader must understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Changelog {
    /// Only +I.
    #[default]
    Insert,
    /// +I, +U and -D. An update is known by its key only: the row before it is not repeated, and a -D
    /// may hold nothing but the key.
    Upsert,
    /// +I, -U, +U and -D: every row that goes is repeated in full.
    Retract,
}

#[derive(Debug, Clone)]
pub enum NodeKind {
    /// Reads the physical columns `projection` (indices into the table's schema), then the metadata
    /// columns `metadata` (indices into the table's metadata), in this order.
    Scan {
        table: Arc<TableDefinition>,
        projection: Vec<usize>,
        metadata: Vec<usize>,
        bounded: bool,
    },
    /// Declares the row time: `watermark` is evaluated per row; the running maximum within a split
    /// and the minimum across splits is the watermark (ms). A NULL in `column` fails the job. A split from which
    /// nothing came for more than `idle_ms` is left out of the minimum until a row comes; `None` waits for ever.
    Watermark {
        column: usize,
        watermark: Arc<dyn Expression>,
        idle_ms: Option<u64>,
    },
    /// The clock of the steps is the time of the nodes above: the watermark is one ms behind it, and the
    /// end of time once all scans below have ended.
    ProcessingTime,
    Project {
        expressions: Vec<Arc<dyn Expression>>,
    },
    /// Keeps the rows for which the predicate is TRUE.
    Filter {
        predicate: Arc<dyn Expression>,
    },
    /// A window table function without an aggregate: appends window_start, window_end (both
    /// TIMESTAMP(3)) and window_time to each row, once per window that the row is in. Windows of instants
    /// (a time column with a zone) are cut on the wall clock of `zone`, here and below; so a day may have 23 hours.
    WindowAssign {
        time_column: usize,
        window: WindowKind,
        zone: Zone,
    },
    /// Windowed group aggregate. The output columns are: the keys, the aggregates, window_start,
    /// window_end, window_time. Emits when the watermark passes `window end - 1 ms`. A row is late
    /// for a window, and dropped for it and counted, when `window end - 1 ms <= watermark before the row`.
    /// A window's last millisecond has passed when the clocks of `zone` will not show it again.
    WindowAggregate {
        time_column: usize,
        window: WindowKind,
        zone: Zone,
        keys: Vec<usize>,
        aggregates: Vec<Aggregate>,
    },
    /// Each row once per element of a collection that is computed from it. The output columns are the input's
    /// `kept`, then the element (the fields of a row, the key and the value of a map's entry), then the element's
    /// number if it is wanted. Kinds pass through.
    Unnest(Unnest),
    /// Joins (INNER or LEFT) a stream (input 0) with a bounded table (input 1), which is read to its end first. The
    /// output columns are those of input 0, then those of input 1. NULL keys never match.
    BoundedJoin {
        kind: JoinKind,
        stream_keys: Vec<usize>,
        table_keys: Vec<usize>,
        residual: Option<Arc<dyn Expression>>,
    },
    /// Joins a stream with rows that an outside system is asked for; input 1 are the answers.
    LookupJoin(Box<LookupJoin>),
    /// The answers to the questions of a lookup join, which alone reads them: a scan that ends when nothing waits for
    /// an answer any more.
    LookupAnswers,
    /// Session windows: each row is kept until its session's time has passed, and then leaves with
    /// window_start, window_end and window_time. A session of the rows of one key ends where no row
    /// came for `gap_ms`; what has left is forgotten, so that a row after it begins a new session.
    SessionWindow {
        time_column: usize,
        gap_ms: i64,
        zone: Zone,
        keys: Vec<usize>,
    },
    /// An aggregate over the rows of each session, in place of a `WindowAggregate` over a `SessionWindow`: sessions keep
    /// what the aggregates need, not their rows. The output columns are: the keys, the aggregates, window_start,
    /// window_end, window_time.
    SessionAggregate {
        time_column: usize,
        gap_ms: i64,
        zone: Zone,
        keys: Vec<usize>,
        aggregates: Vec<Aggregate>,
    },
    /// Top-N of each window and partition, emitted once the window's time has passed. `partition` holds
    /// the window's bounds. `end_column` is its end, a TIMESTAMP on the wall clock of `zone`. The
    /// other fields are as in `Rank`.
    WindowRank {
        end_column: usize,
        zone: Zone,
        partition: Vec<usize>,
        order: Vec<SortKey>,
        first: u64,
        last: u64,
        with_number: bool,
        latest_first: bool,
    },
    /// Joins the rows of two inputs that lie in the same window, once its time has passed. The keys hold
    /// the window's bounds; `ends` are the columns of its end on either side, on the wall clock of `zone`.
    /// The output columns are those of input 0, then those of input 1, but only those of input 0 for
    /// SEMI and ANTI. NULL keys never match.
    WindowJoin {
        kind: JoinKind,
        ends: [usize; 2],
        zone: Zone,
        left_keys: Vec<usize>,
        right_keys: Vec<usize>,
        residual: Option<Arc<dyn Expression>>,
    },
    /// Joins rows of two inputs (INNER, LEFT, RIGHT, FULL) whose row times, the columns `times`, are close:
    /// `right + lower_ms <= left <= right + upper_ms`. Rows are kept until the watermark says that nothing can match
    /// them; what is padded leaves then. The output columns are those of input 0, then those of input 1; the watermark
    /// behind the join is held back by the greater of the bounds. NULL keys never match.
    IntervalJoin {
        kind: JoinKind,
        times: [usize; 2],
        lower_ms: i64,
        upper_ms: i64,
        left_keys: Vec<usize>,
        right_keys: Vec<usize>,
        residual: Option<Arc<dyn Expression>>,
    },
    /// Joins each row of input 0 (INNER or LEFT) with the version of its key in input 1 that was valid at its row time,
    /// once the watermark has reached that; `times` are the row times by side. Input 1 may be Insert, Upsert or Retract:
    /// a row is valid from its time on, a -D ends what was valid before, a -U says nothing. The output columns are
    /// those of input 0, then those of input 1. NULL keys never match.
    TemporalJoin {
        kind: JoinKind,
        times: [usize; 2],
        left_keys: Vec<usize>,
        right_keys: Vec<usize>,
        residual: Option<Arc<dyn Expression>>,
    },
    /// Lets some of the inserts of each key through, as they are.
    Deduplicate {
        keys: Vec<usize>,
        keep: Keep,
    },
    /// Brings inserts into the order of a row time, and where that is equal into the other order, once the watermark has
    /// reached it. Rows that are not later than what has left are dropped and counted as late.
    TemporalSort {
        time_column: usize,
        order: Vec<SortKey>,
    },
    /// Copies of each row, as many as its last column, a BIGINT, says; that column does not leave.
    Replicate,
    /// Looks for a pattern in the rows of each partition, in the order of `time` and then of `order`, and emits a row
    /// for each match: the partition's columns, then the measures. On event time rows wait for the watermark; late ones
    /// are dropped and counted. On processing time the time is the clock, and rows are looked at as they come unless
    /// `order` has columns.
    MatchRecognize {
        pattern: Arc<RowPattern>,
        partition: Vec<usize>,
        /// `None` on processing time.
        time_column: Option<usize>,
        order: Vec<SortKey>,
        measures: Vec<MatchExpression>,
    },
    /// UNION ALL.
    Union,
    /// Group aggregate without windows, over a changelog (Insert or Retract). The output columns are
    /// the keys, then the aggregates. A step emits at most one change per key: the difference between
    /// the key's row before the step and after it. A key whose last row was retracted is deleted,
    /// also the one key of an aggregate without key columns. -U is left out where the node's changelog
    /// is Upsert.
    GroupAggregate {
        keys: Vec<usize>,
        aggregates: Vec<Aggregate>,
    },
    /// Aggregates OVER a frame of rows that ends at each row. The output columns are those of the input, then
    /// the aggregates. What `order` says decides when rows leave and which changes do; see there. Over an
    /// order of times rows that are late are dropped and counted.
    Over {
        partition: Vec<usize>,
        order: OverOrder,
        frame: OverFrame,
        aggregates: Vec<Aggregate>,
    },
    /// Joins two changelogs (Insert or Retract); both are kept. The output columns are those of input
    /// 0, then those of input 1, but only those of input 0 for SEMI and ANTI. NULL keys never match; no keys
    /// at all pair every row with every row. An INNER JOIN emits the kinds of the rows that come in (where the
    /// node's changelog is Upsert, -D for -U, because nothing says that the pair comes back); the others emit
    /// +I and -D only.
    Join {
        kind: JoinKind,
        left_keys: Vec<usize>,
        right_keys: Vec<usize>,
        residual: Option<Arc<dyn Expression>>,
    },
    /// Top-N: of each partition the rows whose number in the order is `first..=last` (from 1). Rows
    /// that compare equal stand in the order of their arrival, or with `latest_first` in the opposite
    /// one: Flink keeps the last of equal rows where the latest row of each key by event time is wanted. With `with_number` the number is
    /// appended as a BIGINT column, and every row whose number changed is emitted again: -U and +U by
    /// number, -U left out where the node's changelog is Upsert. Without it rows go by -D and come by
    /// +I. A step emits at most one net difference per partition. The input is Insert or Retract.
    Rank {
        partition: Vec<usize>,
        order: Vec<SortKey>,
        first: u64,
        last: u64,
        with_number: bool,
        latest_first: bool,
    },
    /// Makes a Retract (or Insert) changelog of an Upsert one, or of one that may repeat changes (the rows before updates
    /// are not looked at): the last row of each key is kept.
    /// Updates that change nothing and deletions of keys that are not there are dropped.
    ChangelogNormalize {
        keys: Vec<usize>,
    },
    /// In front of a sink whose primary key `keys` is not the key by which the changelog updates: keeps
    /// the rows of each primary key in the order of their arrival, and shows the latest that is left.
    UpsertMaterialize {
        keys: Vec<usize>,
    },
    /// The same, where two rows that have one primary key when the watermark moves are a conflict. `own_key` tells the
    /// rows of the input apart; if it is empty, whole rows do.
    ConflictMaterialize {
        keys: Vec<usize>,
        own_key: Vec<usize>,
        on_conflict: OnConflict,
    },
    /// The end of the road: rows in the order of the table's physical columns, followed by its
    /// persisted (not virtual) metadata columns.
    Sink {
        table: Arc<TableDefinition>,
    },
}

/// What happens where several rows have one primary key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// The job fails.
    Error,
    /// The first one stays.
    Nothing,
}

impl OnConflict {
    /// As SQL has it.
    pub fn name(self) -> &'static str {
        match self {
            OnConflict::Error => "ERROR",
            OnConflict::Nothing => "NOTHING",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Unnest {
    pub collection: Arc<dyn Expression>,
    pub elements: Elements,
    /// A row whose collection is empty or NULL leaves once, with NULL for the element.
    pub keeps_empty: bool,
    /// The last column numbers the elements of each collection, from 1, as an INT.
    pub with_ordinality: bool,
    pub kept: Vec<usize>,
}

impl Unnest {
    /// The columns that an element becomes.
    pub fn element_types(&self) -> Result<Vec<DataType>, String> {
        let fields = |item: &DataType| match item {
            DataType::Struct(fields) => fields.iter().map(|field| field.data_type().clone()).collect(),
            other => vec![other.clone()],
        };
        let wrong = || format!("{} cannot be taken apart so", type_name(self.collection.data_type()));
        match (self.elements, self.collection.data_type()) {
            (Elements::OfArray, DataType::List(item)) => Ok(fields(item.data_type())),
            (Elements::OfMap | Elements::OfMultiset, DataType::Map(entries, _)) => {
                match entries.data_type() {
                    DataType::Struct(pair) if pair.len() == 2 => match self.elements {
                        Elements::OfMap => Ok(fields(entries.data_type())),
                        _ if pair[1].data_type() == &DataType::Int32 => Ok(fields(pair[0].data_type())),
                        _ => Err(wrong()),
                    },
                    _ => Err(wrong()),
                }
            }
            _ => Err(wrong()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Elements {
    OfArray,
    OfMap,
    /// As often as they are in it; a multiset is a map from its elements to how often they are in it.
    OfMultiset,
}

/// Which rows of a key are let through; the columns are row times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The first to come.
    First,
    /// All that are not older than any before them: each of them was the latest for a while.
    NotOlderThan(usize),
    /// The earliest, once the watermark has reached its time. What comes behind the watermark is late.
    Earliest(usize),
}

/// One column of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortKey {
    pub column: usize,
    pub descending: bool,
    pub nulls_first: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowKind {
    /// Sizes and offsets in ms.
    Tumble { size_ms: i64, offset_ms: i64 },
    /// The size is a multiple of the slide.
    Hop { size_ms: i64, slide_ms: i64, offset_ms: i64 },
    /// Windows of one, two, … steps that begin together; the longest has `size_ms`, which is a multiple
    /// of the step.
    Cumulate { size_ms: i64, step_ms: i64, offset_ms: i64 },
    /// The rows have their windows: the time column is the window's last millisecond, and the keys hold
    /// its bounds; both are on the wall clock.
    Attached,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
    /// Rows of the left side that match.
    Semi,
    /// Rows of the left side that do not.
    Anti,
}

impl JoinKind {
    pub fn name(self) -> &'static str {
        match self {
            JoinKind::Inner => "INNER",
            JoinKind::Left => "LEFT",
            JoinKind::Right => "RIGHT",
            JoinKind::Full => "FULL",
            JoinKind::Semi => "SEMI",
            JoinKind::Anti => "ANTI",
        }
    }

    /// Whether rows of a side (0 or 1) leave without a match too, with NULLs for the other side.
    pub fn pads(self, side: usize) -> bool {
        match side {
            0 => matches!(self, JoinKind::Left | JoinKind::Full),
            _ => matches!(self, JoinKind::Right | JoinKind::Full),
        }
    }

    /// Only rows of the left side leave, and none of them more than once.
    pub fn tests_left(self) -> bool {
        matches!(self, JoinKind::Semi | JoinKind::Anti)
    }
}

impl NodeKind {
    /// Whether rows come in here from outside of the plan.
    pub fn is_scan(&self) -> bool {
        matches!(self, NodeKind::Scan { .. } | NodeKind::LookupAnswers)
    }

    /// Whether rows that come too late are dropped, and counted.
    pub fn drops_late_rows(&self) -> bool {
        matches!(
            self,
            NodeKind::WindowAggregate { .. }
                | NodeKind::SessionWindow { .. }
                | NodeKind::SessionAggregate { .. }
                | NodeKind::WindowRank { .. }
                | NodeKind::WindowJoin { .. }
        )
    }
}

impl Node {
    /// A node that only inserts leave.
    pub fn new(kind: NodeKind, inputs: Vec<NodeId>, schema: SchemaRef) -> Node {
        Node { kind, inputs, schema, changelog: Changelog::Insert, hinted_ttls_ms: [None; 2] }
    }
}

impl Plan {
    pub fn new(nodes: Vec<Node>) -> Plan {
        Plan { nodes, ..Plan::default() }
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The number that a node keeps when the job's statement changes, and with it the numbers of its nodes: tables of
    /// state, splits and positions, feeds, outboxes and counts lie under it.
    pub fn tag(&self, id: NodeId) -> u32 {
        self.tags.get(id.0).copied().unwrap_or(id.0 as u32)
    }

    /// The node of a tag, if it has one.
    pub fn tagged(&self, tag: u32) -> Option<NodeId> {
        (0..self.nodes.len()).map(NodeId).find(|id| self.tag(*id) == tag)
    }

    /// The same plan with these tags, one for each node.
    pub fn with_tags(&self, tags: Vec<u32>) -> Plan {
        Plan { tags: tags.into(), ..self.clone() }
    }

    /// After how long a node forgets what it keeps of an input, if ever.
    pub fn ttl_ms(&self, id: NodeId, input: usize) -> Option<u64> {
        let hinted = self.node(id).hinted_ttls_ms.get(input).copied().flatten();
        hinted.map_or(self.state_ttl_ms, |ttl_ms| (ttl_ms > 0).then_some(ttl_ms))
    }

    /// The nodes of one kind, in plan order.
    fn ids(&self, wanted: impl Fn(&NodeKind) -> bool) -> Vec<NodeId> {
        let nodes = self.nodes.iter().enumerate();
        nodes.filter(|(_, node)| wanted(&node.kind)).map(|(index, _)| NodeId(index)).collect()
    }

    pub fn scans(&self) -> Vec<NodeId> {
        self.ids(NodeKind::is_scan)
    }

    pub fn sinks(&self) -> Vec<NodeId> {
        self.ids(|kind| matches!(kind, NodeKind::Sink { .. }))
    }

    pub fn watermark_nodes(&self) -> Vec<NodeId> {
        self.ids(|kind| matches!(kind, NodeKind::Watermark { .. }))
    }

    /// After how long without rows a split of the scan is idle, if ever.
    pub fn idle_ms(&self, scan: NodeId) -> Option<u64> {
        let of_scan = |id: &NodeId| self.watermark_scan(*id).is_ok_and(|own| own == scan);
        let nodes = self.watermark_nodes().into_iter().filter(of_scan);
        let idle = nodes.filter_map(|id| match self.node(id).kind {
            NodeKind::Watermark { idle_ms, .. } => idle_ms,
            _ => None,
        });
        idle.min()
    }

    /// The lookup joins, each with the node of its answers.
    pub fn lookups(&self) -> Vec<(NodeId, NodeId, &LookupJoin)> {
        let lookup = |(index, node): (usize, &'_ Node)| match &node.kind {
            NodeKind::LookupJoin(_) => node.inputs.get(1).map(|answers| (NodeId(index), *answers)),
            _ => None,
        };
        let found: Vec<_> = self.nodes.iter().enumerate().filter_map(lookup).collect();
        let with_spec = |(join, answers): (NodeId, NodeId)| match &self.node(join).kind {
            NodeKind::LookupJoin(spec) => Some((join, answers, spec.as_ref())),
            _ => None,
        };
        found.into_iter().filter_map(with_spec).collect()
    }

    /// The scans that feed a node, in plan order.
    pub fn scans_of(&self, id: NodeId) -> BTreeSet<NodeId> {
        let mut scans = BTreeSet::new();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            let node = self.node(id);
            if node.kind.is_scan() {
                scans.insert(id);
            }
            open.extend(&node.inputs);
        }
        scans
    }

    /// Which nodes are among these, or are read by them directly or not.
    pub fn with_inputs(&self, nodes: &[NodeId]) -> Vec<bool> {
        let mut found = vec![false; self.nodes.len()];
        let mut open = nodes.to_vec();
        while let Some(id) = open.pop() {
            if !std::mem::replace(&mut found[id.0], true) {
                open.extend(&self.node(id).inputs);
            }
        }
        found
    }

    /// Whether what leaves a node depends on its input alone, and not on when a step is run: no clock, nothing random,
    /// nobody outside who is asked.
    pub fn is_repeatable(&self, id: NodeId) -> bool {
        let all = |expressions: &[Arc<dyn Expression>]| expressions.iter().all(|one| one.is_deterministic());
        match &self.node(id).kind {
            NodeKind::ProcessingTime | NodeKind::LookupJoin(_) | NodeKind::LookupAnswers => false,
            NodeKind::Project { expressions } => all(expressions),
            NodeKind::Filter { predicate } => predicate.is_deterministic(),
            NodeKind::Watermark { watermark, .. } => watermark.is_deterministic(),
            NodeKind::Unnest(unnest) => unnest.collection.is_deterministic(),
            NodeKind::BoundedJoin { residual, .. }
            | NodeKind::WindowJoin { residual, .. }
            | NodeKind::IntervalJoin { residual, .. }
            | NodeKind::TemporalJoin { residual, .. }
            | NodeKind::Join { residual, .. } => residual.iter().all(|one| one.is_deterministic()),
            NodeKind::MatchRecognize { time_column, .. } => time_column.is_some(),
            _ => true,
        }
    }

    /// When a scan is read: all scans of a smaller phase are read to their end first. Scans that feed
    /// the table side of a join have phase 0, the others 1; a join inside the table side of another
    /// join adds phases in between. The answers of a lookup join have the phase of the last scan that
    /// asks, for they end behind it; they are read as soon as there are some.
    pub fn phase(&self, scan: NodeId) -> u32 {
        let phases = self.phases();
        phases.get(&scan).copied().unwrap_or(1)
    }

    /// The phase of every scan. A plan that is valid has no cycle among the joins' demands; one that
    /// is not gets some finite answer.
    pub(crate) fn phases(&self) -> BTreeMap<NodeId, u32> {
        let joins: Vec<_> = self
            .nodes
            .iter()
            .filter(|node| matches!(node.kind, NodeKind::BoundedJoin { .. }) && node.inputs.len() == 2)
            .map(|node| (self.scans_of(node.inputs[0]), self.scans_of(node.inputs[1])))
            .collect();
        let lookups: Vec<_> = self
            .lookups()
            .into_iter()
            .map(|(join, answers, _)| (answers, self.scans_of(self.node(join).inputs[0])))
            .collect();
        let mut phases: BTreeMap<NodeId, u32> = self.scans().into_iter().map(|scan| (scan, 0)).collect();
        for _ in 0..phases.len() {
            for (answers, asking) in &lookups {
                let last = asking.iter().filter_map(|scan| phases.get(scan)).max().copied().unwrap_or(0);
                phases.entry(*answers).and_modify(|phase| *phase = last.max(*phase));
            }
            for (streams, tables) in &joins {
                let after =
                    tables.iter().filter_map(|table| phases.get(table)).max().map_or(0, |phase| phase + 1);
                for stream in streams {
                    phases.entry(*stream).and_modify(|phase| *phase = after.max(*phase));
                }
            }
        }
        let last = phases.values().copied().max().unwrap_or(0).max(1);
        for (scan, phase) in &mut phases {
            if !joins.iter().any(|(_, tables)| tables.contains(scan)) {
                *phase = last;
            }
        }
        phases
    }

    /// The hash of the canonical text; a job resumes only under the plan that began it.
    pub fn fingerprint(&self) -> u64 {
        state::hash(self.describe().as_bytes())
    }
}
