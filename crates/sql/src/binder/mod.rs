//! From syntax to meaning: names become columns, expressions get types, queries become relations.
//!
//! A statement set is bound into one `Graph`: a table or view that is named twice is bound once, so that what two
//! INSERTs share is computed once. The planner then optimises the graph and emits the engine's plan.

mod aggregate;
mod aggregate_call;
mod call;
mod correlation;
mod expression;
mod grouping;
mod hint;
mod insert;
mod interval;
mod json;
mod literal;
mod lookup;
mod match_recognize;
mod match_relation;
mod on;
mod operator;
mod order;
mod over;
mod problems;
mod quantified;
mod query;
mod rank;
mod relation;
mod scope;
mod set_operation;
mod source;
mod subquery;
mod subquery_value;
mod table;
mod time;
mod ttl;
mod unnest;
mod values;
mod widened;
mod window;

pub use lookup::{LOOKUP_OPTIONS, LookupOption, LookupSettings};
pub use match_relation::{MatchMeasure, MatchPattern, MatchValue, MatchVariable};
pub use relation::{
    AggregateCall, Asks, Column, Graph, JoinManner, OverTime, Relation, RelationId, RelationKind, SideHints,
    WindowColumn, WindowEnd,
};
pub use table::{BoundTable, BoundView, ColumnSource, TableColumn, bind_table, bind_view_columns};
pub use window::plus_ms;

use crate::ast;
use crate::diagnostic::Diagnostic;
use crate::expression::Scalar;
use crate::functions::Function;
use crate::types::LogicalType;
use base::Zone;
use scope::Scope;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A result of binding; boxed, because diagnostics are large.
pub type Bound<T> = Result<T, Box<Diagnostic>>;

/// What a name in FROM or INSERT INTO stands for.
#[derive(Clone)]
pub enum Named {
    Table(Arc<BoundTable>),
    View(Arc<BoundView>),
}

/// The tables and views that a statement can name.
pub trait Relations {
    fn find(&self, name: &ast::ObjectName) -> Option<Named>;
    /// A function that was declared.
    fn function(&self, _name: &ast::ObjectName) -> Option<&'static Function> {
        None
    }
    /// All names, for "did you mean".
    fn names(&self) -> Vec<String>;
    /// The current database.
    fn database(&self) -> &str {
        "default_database"
    }
}

/// What SET changes about binding.
#[derive(Debug, Clone, Copy, Default)]
pub struct BindSettings {
    /// `table.local-time-zone`.
    pub zone: Zone,
    /// `table.exec.sink.not-null-enforcer` is `DROP`.
    pub drops_nulls: bool,
    /// `table.exec.sink.upsert-materialize`.
    pub materialize: Materialize,
    /// `table.exec.source.cdc-events-duplicate`.
    pub changes_repeat: bool,
    /// `table.exec.source.idle-timeout`, in milliseconds.
    pub idle_ms: Option<u64>,
    /// `table.exec.state.ttl`, in milliseconds; 0 is for ever.
    pub state_ttl_ms: u64,
    /// `table.exec.async-lookup.*`.
    pub lookups: LookupSettings,
}

/// When the rows of a primary key are kept in front of a sink that updates by it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Materialize {
    /// When the query updates by another key.
    #[default]
    Auto,
    None,
    Force,
}

/// Binds the statements of one job into one graph.
pub struct Binder<'a> {
    relations: &'a dyn Relations,
    settings: BindSettings,
    pub graph: Graph,
    /// Relations bound already, by full name.
    tables: BTreeMap<String, RelationId>,
    views: BTreeMap<String, RelationId>,
    /// Views being bound, to stop at a cycle.
    open_views: Vec<String>,
    /// The WITH tables in reach, the innermost last.
    common_tables: Vec<(String, RelationId)>,
    pub warnings: Vec<Diagnostic>,
    /// Aggregates of the SELECT being bound; none where they cannot stand.
    collector: Option<aggregate::Collector>,
    /// Row numbers of the SELECT being bound; none where they cannot stand.
    numbers: Option<Vec<rank::PendingNumber>>,
    /// What the SELECT being bound computes behind its items.
    behind: order::Behind,
    /// The items of the SELECT being bound by name, while ORDER BY or QUALIFY is.
    aliases: Vec<(String, Scalar)>,
    /// Sub-queries that stand for values in what is being bound; none where they cannot stand.
    values: Option<subquery::Values>,
    /// The relation whose rows need the sub-query being bound.
    values_input: Option<RelationId>,
    /// A query is being bound to see whether it stands alone.
    is_trial: bool,
    /// How many calls of RAND() and its kin were bound.
    random_calls: i64,
    /// What names mean in a condition or a measure of MATCH_RECOGNIZE; none elsewhere.
    pattern: Option<match_recognize::PatternScope>,
    /// The windows that columns name as theirs.
    windows: BTreeMap<RelationId, window::Shape>,
    /// What is wrong with the statement so far.
    problems: Vec<Diagnostic>,
    /// Relations that stand for what could not be bound.
    broken: BTreeSet<RelationId>,
    /// The LOOKUP hints of the SELECT whose FROM is being bound.
    lookups: Vec<lookup::LookupHint>,
    /// The STATE_TTL hints of the SELECT being bound.
    ttls: ttl::TtlHints,
    /// Its hints that choose which side of a join is read first.
    read_first: hint::ReadFirst,
}

impl<'a> Binder<'a> {
    pub fn new(relations: &'a dyn Relations, settings: BindSettings) -> Binder<'a> {
        Binder {
            relations,
            settings,
            graph: Graph::default(),
            tables: BTreeMap::new(),
            views: BTreeMap::new(),
            open_views: Vec::new(),
            common_tables: Vec::new(),
            warnings: Vec::new(),
            collector: None,
            numbers: None,
            behind: order::Behind::default(),
            aliases: Vec::new(),
            values: None,
            values_input: None,
            is_trial: false,
            random_calls: 0,
            pattern: None,
            windows: BTreeMap::new(),
            problems: Vec::new(),
            broken: BTreeSet::new(),
            lookups: Vec::new(),
            ttls: ttl::TtlHints::default(),
            read_first: hint::ReadFirst::default(),
        }
    }

    /// Binds an expression over the columns of a table, as computed columns and watermarks have them. With `open` some
    /// columns are missing, because their declarations are wrong.
    fn over(&mut self, expression: &ast::Expression, columns: &[Column], open: bool) -> Bound<Scalar> {
        let mut scope = Scope::of(None, columns);
        scope.open = open;
        self.expression(expression, &scope)
    }

    /// Binds an expression that reads no column.
    fn constant(&mut self, expression: &ast::Expression) -> Bound<Scalar> {
        self.expression(expression, &Scope::default())
    }

    /// Binds one expression over columns; what is wrong with it first.
    pub fn bind_over(&mut self, expression: &ast::Expression, columns: &[Column]) -> Bound<Scalar> {
        let bound = self.over(expression, columns, false);
        self.settled(bound).map_err(|mut problems| Box::new(problems.swap_remove(0)))
    }

    /// Binds one expression that reads no column; what is wrong with it first.
    pub fn bind_constant(&mut self, expression: &ast::Expression) -> Bound<Scalar> {
        self.bind_over(expression, &[])
    }
}

fn boxed<T>(diagnostic: Diagnostic) -> Bound<T> {
    Err(Box::new(diagnostic))
}

/// The type for messages: as the user would write it.
fn shown(data_type: &LogicalType) -> String {
    data_type.summary()
}
