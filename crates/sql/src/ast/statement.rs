//! Statements as written.

use super::{
    AlterTable, ColumnDefinition, CreateTable, Distribution, Expression, Identifier, ObjectName, OptionPair,
    PrimaryKeyDefinition, Query, Text,
};
use crate::span::Span;

#[derive(Debug, Clone)]
pub struct Statement {
    pub kind: StatementKind,
    /// Without the semicolon.
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum StatementKind {
    Query(Box<Query>),
    Insert(Box<Insert>),
    /// `EXECUTE STATEMENT SET BEGIN … END` or `BEGIN STATEMENT SET; … END`.
    StatementSet(Vec<SetMember>),
    Explain(Explain),

    CreateTable(Box<CreateTable>),
    AlterTable(Box<AlterTable>),
    CreateView(Box<CreateView>),
    AlterView(Box<AlterView>),
    CreateMaterializedTable(Box<CreateMaterializedTable>),
    AlterMaterializedTable {
        name: ObjectName,
        action: AlterMaterializedTableAction,
    },
    CreateFunction(Box<CreateFunction>),
    CreateModel(Box<CreateModel>),
    CreateCatalog(CreateCatalog),
    AlterCatalog {
        name: Identifier,
        action: AlterCatalogAction,
    },
    CreateDatabase(CreateDatabase),
    AlterDatabase {
        name: ObjectName,
        options: Vec<OptionPair>,
    },
    Drop(DropStatement),

    UseCatalog(Identifier),
    UseDatabase(ObjectName),
    UseModules(Vec<Identifier>),
    Show(Show),
    Describe(Describe),

    /// `SET 'key' = 'value'`; without a pair it lists the settings.
    Set(Option<OptionPair>),
    /// `RESET 'key'`; without a key it resets everything.
    Reset(Option<Text>),
}

#[derive(Debug, Clone)]
pub struct SetMember {
    pub insert: Insert,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub struct Insert {
    pub overwrite: bool,
    pub table: ObjectName,
    /// Hints on the target: `INSERT INTO t /*+ OPTIONS(…) */`.
    pub hints: Vec<super::Hint>,
    /// `PARTITION (day = '2026-01-01')`.
    pub partition: Vec<PartitionValue>,
    /// Empty: all columns, in order.
    pub columns: Vec<Identifier>,
    pub query: Query,
    pub on_conflict: Option<OnConflict>,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub struct PartitionValue {
    pub column: Identifier,
    /// None for a dynamic partition column.
    pub value: Option<Expression>,
}

#[derive(Debug, Clone)]
pub struct OnConflict {
    pub action: ConflictAction,
    pub span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConflictAction {
    Deduplicate,
    Nothing,
    Error,
}

#[derive(Debug, Clone)]
pub struct Explain {
    /// In the order written; empty for `EXPLAIN` and `EXPLAIN PLAN FOR`.
    pub details: Vec<ExplainDetail>,
    /// A query, an INSERT or a statement set.
    pub statement: Box<Statement>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExplainDetail {
    EstimatedCost,
    ChangelogMode,
    JsonExecutionPlan,
    PlanAdvice,
}

#[derive(Debug, Clone)]
pub struct CreateView {
    pub or_replace: bool,
    pub temporary: bool,
    pub if_not_exists: bool,
    pub name: ObjectName,
    pub columns: Vec<Identifier>,
    pub comment: Option<Text>,
    pub query: Query,
}

#[derive(Debug, Clone)]
pub struct AlterView {
    pub name: ObjectName,
    pub action: AlterViewAction,
}

#[derive(Debug, Clone)]
pub enum AlterViewAction {
    RenameTo(ObjectName),
    As(Box<Query>),
}

#[derive(Debug, Clone)]
pub struct CreateMaterializedTable {
    pub or_alter: bool,
    pub if_not_exists: bool,
    pub name: ObjectName,
    /// Either full definitions or, as names alone, an order of the query's columns.
    pub columns: Vec<ColumnDefinition>,
    pub column_names: Vec<Identifier>,
    pub watermark: Option<super::WatermarkDefinition>,
    pub primary_key: Option<PrimaryKeyDefinition>,
    pub comment: Option<Text>,
    pub distribution: Option<Distribution>,
    pub partitioned_by: Vec<Identifier>,
    pub options: Vec<OptionPair>,
    /// `FRESHNESS = INTERVAL '…' unit`.
    pub freshness: Option<Expression>,
    pub refresh_mode: Option<RefreshMode>,
    pub query: Query,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshMode {
    Full,
    Continuous,
}

#[derive(Debug, Clone)]
pub enum AlterMaterializedTableAction {
    Suspend,
    Resume(Vec<OptionPair>),
    Refresh(Vec<PartitionValue>),
    As(Box<Query>),
}

#[derive(Debug, Clone)]
pub struct CreateFunction {
    pub temporary: bool,
    pub system: bool,
    pub if_not_exists: bool,
    pub name: ObjectName,
    /// The class or the path of the function.
    pub class: Text,
    pub language: FunctionLanguage,
    /// `USING JAR '…'` and its kin: the kind in upper case and the path.
    pub resources: Vec<FunctionResource>,
    pub options: Vec<OptionPair>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionLanguage {
    Java,
    Scala,
    Python,
    Sql,
    Wasm,
}

#[derive(Debug, Clone)]
pub struct FunctionResource {
    pub kind: String,
    pub path: Text,
}

#[derive(Debug, Clone)]
pub struct CreateModel {
    pub or_replace: bool,
    pub temporary: bool,
    pub if_not_exists: bool,
    pub name: ObjectName,
    pub input: Vec<ColumnDefinition>,
    pub output: Vec<ColumnDefinition>,
    pub comment: Option<Text>,
    pub options: Vec<OptionPair>,
    pub query: Option<Box<Query>>,
}

#[derive(Debug, Clone)]
pub struct CreateCatalog {
    pub if_not_exists: bool,
    pub name: Identifier,
    pub comment: Option<Text>,
    pub options: Vec<OptionPair>,
}

#[derive(Debug, Clone)]
pub enum AlterCatalogAction {
    Set(Vec<OptionPair>),
    Reset(Vec<Text>),
    Comment(Text),
}

#[derive(Debug, Clone)]
pub struct CreateDatabase {
    pub if_not_exists: bool,
    pub name: ObjectName,
    pub comment: Option<Text>,
    pub options: Vec<OptionPair>,
}

#[derive(Debug, Clone)]
pub struct DropStatement {
    pub object: DropObject,
    pub temporary: bool,
    pub if_exists: bool,
    pub name: ObjectName,
    /// Of DROP DATABASE; RESTRICT, the default, is false.
    pub cascade: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropObject {
    Table,
    View,
    MaterializedTable,
    Function,
    SystemFunction,
    Model,
    Database,
    Catalog,
}

#[derive(Debug, Clone)]
pub struct Show {
    pub target: ShowTarget,
    pub like: Option<ShowLike>,
}

#[derive(Debug, Clone)]
pub enum ShowTarget {
    Tables { database: Option<ObjectName> },
    Views { database: Option<ObjectName> },
    MaterializedTables { database: Option<ObjectName> },
    Functions { user_only: bool, database: Option<ObjectName> },
    Models { database: Option<ObjectName> },
    Databases { catalog: Option<Identifier> },
    Catalogs,
    CurrentCatalog,
    CurrentDatabase,
    Columns { table: ObjectName },
    Partitions { table: ObjectName, partition: Vec<PartitionValue> },
    CreateTable(ObjectName),
    CreateView(ObjectName),
    CreateMaterializedTable(ObjectName),
    CreateModel(ObjectName),
    CreateCatalog(Identifier),
    Jobs,
    Modules { full: bool },
}

/// `[NOT] LIKE 'pattern'` of SHOW.
#[derive(Debug, Clone)]
pub struct ShowLike {
    pub negated: bool,
    pub case_sensitive: bool,
    pub pattern: Text,
}

#[derive(Debug, Clone)]
pub struct Describe {
    pub object: DescribeObject,
    pub extended: bool,
    pub name: ObjectName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DescribeObject {
    /// A table or a view.
    Table,
    Catalog,
    Database,
    Function,
    Model,
    Job,
}
