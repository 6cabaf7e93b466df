//! Bound relations: a graph of logical operators over numbered columns.

use super::match_relation::{MatchMeasure, MatchPattern};
use super::table::BoundTable;
use crate::ast::OnConflict;
use crate::expression::Scalar;
use crate::span::Span;
use crate::types::{LogicalType, TimeAttribute};
use base::Zone;
use dataflow::plan::{
    AggregateFunction, AggregateOptions, Changelog, Elements, JoinKind, LookupAsking, OverFrame, SortKey,
    WindowKind,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The number of a relation in its graph.
pub type RelationId = usize;

/// A column of a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub data_type: LogicalType,
    pub attribute: TimeAttribute,
    /// Which bound of which window it is.
    pub window: Option<(RelationId, WindowColumn)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowColumn {
    Start,
    End,
    Time,
}

impl Column {
    pub fn new(name: impl Into<String>, data_type: LogicalType) -> Column {
        Column { name: name.into(), data_type, attribute: TimeAttribute::None, window: None }
    }

    pub fn scalar(&self, index: usize) -> Scalar {
        Scalar::column(index, &self.name, self.data_type.clone())
    }
}

#[derive(Debug, Clone)]
pub struct Relation {
    pub kind: RelationKind,
    pub inputs: Vec<RelationId>,
    pub columns: Vec<Column>,
}

/// What hints say of the sides of a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SideHints {
    /// How long a regular join keeps their rows; 0 is for ever.
    pub ttls_ms: [Option<u64>; 2],
    /// Which side is read to its end first, where either could be: whether it is the left one.
    pub table_is_left: Option<bool>,
}

#[derive(Debug, Clone)]
pub enum RelationKind {
    /// All physical columns, then all metadata columns.
    Scan {
        table: Arc<BoundTable>,
    },
    Watermark {
        column: usize,
        watermark: Scalar,
    },
    /// The clock of the steps is the time of what stands above.
    ProcessingTime,
    Project {
        expressions: Vec<Scalar>,
    },
    Filter {
        predicate: Scalar,
    },
    /// Appends window_start, window_end and window_time. Windows of instants lie on the wall clock of `zone`.
    WindowAssign {
        time_column: usize,
        window: WindowKind,
        zone: Zone,
    },
    /// Keeps rows until their session's time has passed, then appends window_start, window_end and window_time.
    SessionWindow {
        time_column: usize,
        gap_ms: i64,
        zone: Zone,
        keys: Vec<usize>,
    },
    /// The columns are the keys, the aggregates, window_start, window_end, window_time. Where the rows have their
    /// windows already (`Attached`) the bounds are among the keys.
    WindowAggregate {
        time_column: usize,
        window: WindowKind,
        zone: Zone,
        keys: Vec<usize>,
        aggregates: Vec<AggregateCall>,
    },
    /// The columns are the keys, then the aggregates.
    Aggregate {
        keys: Vec<usize>,
        aggregates: Vec<AggregateCall>,
        /// What a hint says of how long groups are kept; 0 is for ever.
        ttl_ms: Option<u64>,
    },
    /// Appends the number of each row in the order of its partition; only rows numbered `first..=last`
    /// are wanted, as far as conditions above have said so.
    RowNumber {
        partition: Vec<usize>,
        order: Vec<SortKey>,
        first: u64,
        last: Option<u64>,
        /// The window that each partition lies in, if it lies in one.
        window: Option<WindowEnd>,
        span: Span,
    },
    /// Appends aggregates over a frame of rows that ends at each row.
    Over {
        partition: Vec<usize>,
        order: OverTime,
        frame: OverFrame,
        aggregates: Vec<AggregateCall>,
        span: Span,
    },
    Join {
        kind: JoinKind,
        manner: JoinManner,
        condition: Option<Scalar>,
        hinted: SideHints,
        span: Span,
    },
    /// Joins rows of the same window. `ends`: the columns of its end, by side.
    WindowJoin {
        kind: JoinKind,
        condition: Option<Scalar>,
        ends: [usize; 2],
        zone: Zone,
    },
    /// Each row once per element of a collection. The columns are the input's, the element's, and its number.
    Unnest {
        collection: Scalar,
        elements: Elements,
        keeps_empty: bool,
        with_ordinality: bool,
    },
    /// A row for each match of a pattern: the columns of `partition`, then the measures.
    MatchRecognize {
        pattern: MatchPattern,
        partition: Vec<usize>,
        time_column: usize,
        /// The time is a processing time.
        on_clock: bool,
        /// Among rows of one time.
        order: Vec<SortKey>,
        measures: Vec<MatchMeasure>,
    },
    Union,
    /// Rows in the order of a row time, then of other columns.
    TemporalSort {
        time_column: usize,
        order: Vec<SortKey>,
    },
    /// As many copies of each row as its last column says, which does not leave.
    Replicate,
    Sink {
        table: Arc<BoundTable>,
        drops_nulls: bool,
        /// The statement says what happens to rows of one primary key (ON CONFLICT).
        on_conflict: Option<OnConflict>,
        /// Where the table is named.
        span: Span,
    },
}

/// What the rows of an OVER window are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverTime {
    /// An event time, or for a range a processing time: rows leave when it has passed.
    Time { column: usize },
    /// A processing time: rows leave as they come.
    Arrival,
    /// Another column, ascending.
    Column { column: usize },
}

impl OverTime {
    pub fn column(self) -> Option<usize> {
        match self {
            OverTime::Time { column } | OverTime::Column { column } => Some(column),
            OverTime::Arrival => None,
        }
    }
}

/// When the rows of a join meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinManner {
    /// Whenever they come, as long as they are kept.
    Regular,
    /// A row of the left side looks at the right one as it is: FOR SYSTEM_TIME AS OF a processing time. `asks` says how
    /// an outside system is asked for its rows; without it the right side is read to its end first.
    Lookup { asks: Option<Asks> },
    /// Rows whose event times are close: `right + lower_ms <= left <= right + upper_ms`, of the columns `times`.
    Interval { times: [usize; 2], lower_ms: i64, upper_ms: i64 },
    /// A row of the left side looks at the version of the right one that was valid at its event time; `times` are the
    /// columns of both.
    Versions { times: [usize; 2] },
}

/// How a lookup join asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asks {
    pub asking: LookupAsking,
    /// Rows leave in the order in which they came.
    pub ordered: bool,
}

/// The column of a window's end, and the zone on whose wall clock it lies.
#[derive(Debug, Clone, Copy)]
pub struct WindowEnd {
    pub column: usize,
    pub zone: Zone,
}

/// An aggregate over columns of its input.
#[derive(Debug, Clone)]
pub struct AggregateCall {
    pub function: AggregateFunction,
    pub argument: Option<usize>,
    pub distinct: bool,
    pub filter: Option<usize>,
    /// Its columns are of the input too.
    pub options: AggregateOptions,
    pub data_type: LogicalType,
    /// As written, for EXPLAIN.
    pub text: String,
    pub span: Span,
}

#[derive(Debug, Clone, Default)]
pub struct Graph {
    pub relations: Vec<Relation>,
    /// The sinks, in the order of the statements.
    pub sinks: Vec<RelationId>,
}

impl Graph {
    pub fn add(&mut self, kind: RelationKind, inputs: Vec<RelationId>, columns: Vec<Column>) -> RelationId {
        self.relations.push(Relation { kind, inputs, columns });
        self.relations.len() - 1
    }

    pub fn columns(&self, id: RelationId) -> &[Column] {
        &self.relations[id].columns
    }

    /// The session window of which a relation is a projection, with `filtered` of some of its rows, and each column of
    /// the relation as an expression over the columns of that.
    pub fn session_below(&self, id: RelationId, filtered: bool) -> Option<(RelationId, Vec<Scalar>)> {
        let mut session = id;
        loop {
            let relation = &self.relations[session];
            match &relation.kind {
                RelationKind::SessionWindow { .. } => break,
                RelationKind::Project { .. } => session = relation.inputs[0],
                RelationKind::Filter { .. } if filtered => session = relation.inputs[0],
                _ => return None,
            }
        }
        let columns = self.columns(id).iter().enumerate();
        let mut scalars: Vec<Scalar> = columns.map(|(index, column)| column.scalar(index)).collect();
        let mut below = id;
        while below != session {
            let relation = &self.relations[below];
            if let RelationKind::Project { expressions } = &relation.kind {
                let replace = |column: usize| expressions[column].clone();
                scalars.iter_mut().for_each(|scalar| scalar.replace_columns(&replace));
            }
            below = relation.inputs[0];
        }
        Some((session, scalars))
    }

    /// Whether every scan below ends by itself.
    pub fn is_bounded(&self, id: RelationId) -> bool {
        let relation = &self.relations[id];
        match &relation.kind {
            RelationKind::Scan { table } => table.bounded,
            RelationKind::Join { manner: JoinManner::Lookup { asks: Some(_) }, .. } => {
                self.is_bounded(relation.inputs[0])
            }
            _ => relation.inputs.iter().all(|input| self.is_bounded(*input)),
        }
    }

    /// Whether the relation depends on event time.
    pub fn uses_event_time(&self, id: RelationId) -> bool {
        let relation = &self.relations[id];
        matches!(
            relation.kind,
            RelationKind::Watermark { .. }
                | RelationKind::ProcessingTime
                | RelationKind::WindowAssign { .. }
                | RelationKind::SessionWindow { .. }
                | RelationKind::WindowJoin { .. }
                | RelationKind::WindowAggregate { .. }
                | RelationKind::MatchRecognize { .. }
        ) || relation.inputs.iter().any(|input| self.uses_event_time(*input))
    }

    /// Whether rows that were given may change or go.
    pub fn updates(&self, id: RelationId) -> bool {
        let relation = &self.relations[id];
        let below = || relation.inputs.iter().any(|input| self.updates(*input));
        match &relation.kind {
            RelationKind::Scan { table } => {
                table.connector.source_changelog(&table.definition) != Changelog::Insert
            }
            RelationKind::Aggregate { aggregates, .. } => !aggregates.is_empty() || below(),
            RelationKind::RowNumber { window, .. } => window.is_none() || below(),
            RelationKind::Over { order, .. } => matches!(order, OverTime::Column { .. }) || below(),
            RelationKind::Join { kind, manner, hinted, .. } => {
                let (left, right) = (relation.inputs[0], relation.inputs[1]);
                if let JoinManner::Versions { .. } | JoinManner::Lookup { asks: Some(_) } = manner {
                    return self.updates(left);
                }
                let reads_first = self.table_side(left, right, (*kind, *manner), *hinted).is_some();
                let adds_only =
                    matches!(kind, JoinKind::Inner | JoinKind::Semi) || *manner != JoinManner::Regular;
                !reads_first && (!adds_only || below())
            }
            _ => below(),
        }
    }

    /// The table that a relation shows, where it can be asked for single rows.
    pub fn looked_up(&self, id: RelationId) -> Option<&Arc<BoundTable>> {
        match &self.relations[self.shown_scan(id)?].kind {
            RelationKind::Scan { table } => table.connector.looks_up(&table.definition).then_some(table),
            _ => None,
        }
    }

    /// The scan whose rows a relation shows, each by itself.
    fn shown_scan(&self, id: RelationId) -> Option<RelationId> {
        let relation = &self.relations[id];
        match &relation.kind {
            RelationKind::Scan { .. } => Some(id),
            RelationKind::Project { .. }
            | RelationKind::Filter { .. }
            | RelationKind::Watermark { .. }
            | RelationKind::ProcessingTime => self.shown_scan(relation.inputs[0]),
            _ => None,
        }
    }

    /// The scans that are never read, but asked for single rows.
    pub fn asked_scans(&self) -> BTreeSet<RelationId> {
        let joins = self.relations.iter().filter(|relation| {
            matches!(relation.kind, RelationKind::Join { manner: JoinManner::Lookup { asks: Some(_) }, .. })
        });
        joins.filter_map(|join| self.shown_scan(join.inputs[1])).collect()
    }

    /// The column by whose time the rows of a relation are versions, if it has one: the event time of a table, or that by
    /// which a view keeps the latest row of each key. With the columns that tell its keys apart.
    pub fn version_columns(&self, id: RelationId) -> (Option<usize>, Vec<usize>) {
        let relation = &self.relations[id];
        let below = || self.version_columns(relation.inputs[0]);
        match &relation.kind {
            RelationKind::Scan { table } => {
                let key = table.definition.primary_key.iter();
                let key = key.filter_map(|name| table.definition.schema.index_of(name).ok()).collect();
                (None, key)
            }
            RelationKind::Watermark { column, .. } => (Some(*column), below().1),
            RelationKind::Filter { .. } | RelationKind::ProcessingTime => below(),
            RelationKind::Project { expressions } => {
                let (time, key) = below();
                let place = |wanted: usize| expressions.iter().position(|e| e.as_column() == Some(wanted));
                let whole: Option<Vec<usize>> = key.into_iter().map(place).collect();
                (time.and_then(place), whole.unwrap_or_default())
            }
            RelationKind::RowNumber { partition, .. } => (below().0, partition.clone()),
            _ => (None, Vec::new()),
        }
    }

    /// The side of a join that is read to its end first, if one can be: whether it is the left one.
    /// Then every row of the other side is joined once, and nothing that was given ever changes.
    pub fn table_side(
        &self,
        left: RelationId,
        right: RelationId,
        (kind, manner): (JoinKind, JoinManner),
        hinted: SideHints,
    ) -> Option<bool> {
        match manner {
            JoinManner::Lookup { asks: None } => return Some(false),
            JoinManner::Lookup { .. } | JoinManner::Interval { .. } | JoinManner::Versions { .. } => {
                return None;
            }
            JoinManner::Regular => {}
        }
        if self.updates(left) || self.updates(right) {
            return None;
        }
        match (self.is_bounded(left), self.is_bounded(right), kind) {
            (_, true, JoinKind::Left) => Some(false),
            (true, false, JoinKind::Inner) => Some(true),
            (false, true, JoinKind::Inner) => Some(false),
            // If no hint says so, the side with event time streams; else the right one is the table.
            (true, true, JoinKind::Inner) => {
                let is_timeless = || self.uses_event_time(right) && !self.uses_event_time(left);
                Some(hinted.table_is_left.unwrap_or_else(is_timeless))
            }
            _ => None,
        }
    }

    /// Gives a regular join what hints say of its sides; others do not ask. A RIGHT join is a LEFT one with its
    /// sides exchanged, below a projection.
    pub fn set_hints(&mut self, join: RelationId, given: SideHints) {
        let relation = &mut self.relations[join];
        match &mut relation.kind {
            RelationKind::Join { manner: JoinManner::Regular, hinted, .. } => *hinted = given,
            RelationKind::Project { .. } => {
                let exchanged = relation.inputs[0];
                let [left, right] = given.ttls_ms;
                let table_is_left = given.table_is_left.map(|is_left| !is_left);
                self.set_hints(exchanged, SideHints { ttls_ms: [right, left], table_is_left });
            }
            _ => {}
        }
    }

    /// Adds a projection; columns that pass through keep what they are.
    pub fn project(&mut self, input: RelationId, items: Vec<(String, Scalar)>) -> RelationId {
        let columns = items
            .iter()
            .map(|(name, scalar)| match scalar.as_column() {
                Some(index) => Column {
                    name: name.clone(),
                    data_type: scalar.data_type.clone(),
                    ..self.relations[input].columns[index].clone()
                },
                None if scalar.is_processing_time() => Column {
                    attribute: TimeAttribute::ProcessingTime,
                    ..Column::new(name.clone(), scalar.data_type.clone())
                },
                None => Column::new(name.clone(), scalar.data_type.clone()),
            })
            .collect();
        let expressions = items.into_iter().map(|(_, scalar)| scalar).collect();
        self.add(RelationKind::Project { expressions }, vec![input], columns)
    }

    pub fn filter(&mut self, input: RelationId, predicate: Scalar) -> RelationId {
        let columns = self.relations[input].columns.clone();
        self.add(RelationKind::Filter { predicate }, vec![input], columns)
    }
}
