//! What CREATE TABLE and ALTER TABLE define: columns, constraints, watermarks, LIKE, distribution.

use super::{DataType, Expression, Identifier, ObjectName, OptionPair, Query, Text};
use crate::span::Span;

#[derive(Debug, Clone)]
pub struct CreateTable {
    pub or_replace: bool,
    pub temporary: bool,
    pub if_not_exists: bool,
    pub name: ObjectName,
    pub elements: Vec<TableElement>,
    pub comment: Option<Text>,
    pub distribution: Option<Distribution>,
    pub partitioned_by: Vec<Identifier>,
    pub options: Vec<OptionPair>,
    pub like: Option<TableLike>,
    /// `AS SELECT …`.
    pub query: Option<Box<Query>>,
}

#[derive(Debug, Clone)]
pub enum TableElement {
    Column(ColumnDefinition),
    /// A name alone, as CREATE TABLE AS takes it to reorder the query's columns.
    ColumnName(Identifier),
    Watermark(WatermarkDefinition),
    PrimaryKey(PrimaryKeyDefinition),
}

#[derive(Debug, Clone)]
pub struct ColumnDefinition {
    pub name: Identifier,
    pub kind: ColumnKind,
    pub comment: Option<Text>,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum ColumnKind {
    Physical {
        data_type: DataType,
        /// `PRIMARY KEY NOT ENFORCED` written at the column.
        primary_key: Option<Span>,
    },
    Computed {
        expression: Expression,
    },
    Metadata {
        data_type: DataType,
        /// FROM; without it the key is the column's name.
        key: Option<Text>,
        is_virtual: bool,
    },
}

/// `WATERMARK FOR column AS expression`; the column may be a nested field.
#[derive(Debug, Clone)]
pub struct WatermarkDefinition {
    pub column: ObjectName,
    pub expression: Expression,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub struct PrimaryKeyDefinition {
    pub constraint_name: Option<Identifier>,
    pub columns: Vec<Identifier>,
    pub span: Span,
}

/// `DISTRIBUTED BY [HASH|RANGE] (columns) [INTO n BUCKETS]` or `DISTRIBUTED INTO n BUCKETS`.
#[derive(Debug, Clone)]
pub struct Distribution {
    pub kind: DistributionKind,
    pub columns: Vec<Identifier>,
    pub bucket_count: Option<u32>,
    pub span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DistributionKind {
    /// The connector chooses.
    Unspecified,
    Hash,
    Range,
}

#[derive(Debug, Clone)]
pub struct TableLike {
    pub source: ObjectName,
    pub options: Vec<LikeOption>,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub struct LikeOption {
    pub merging: MergingStrategy,
    pub feature: LikeFeature,
    pub span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergingStrategy {
    Including,
    Excluding,
    Overwriting,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LikeFeature {
    All,
    Constraints,
    Distribution,
    Generated,
    Metadata,
    Options,
    Partitions,
    Watermarks,
}

#[derive(Debug, Clone)]
pub struct AlterTable {
    pub name: ObjectName,
    pub if_exists: bool,
    pub action: AlterTableAction,
}

#[derive(Debug, Clone)]
pub enum AlterTableAction {
    RenameTo(ObjectName),
    RenameColumn { from: ObjectName, to: Identifier },
    Add(Vec<AlteredElement>),
    Modify(Vec<AlteredElement>),
    DropColumns(Vec<Identifier>),
    DropPrimaryKey,
    DropConstraint(Identifier),
    DropWatermark,
    DropDistribution,
    Set(Vec<OptionPair>),
    Reset(Vec<Text>),
}

/// One item of `ALTER TABLE … ADD (…)` or `MODIFY (…)`.
#[derive(Debug, Clone)]
pub enum AlteredElement {
    Column { column: ColumnDefinition, position: Option<ColumnPosition> },
    Watermark(WatermarkDefinition),
    PrimaryKey(PrimaryKeyDefinition),
    Distribution(Distribution),
}

#[derive(Debug, Clone)]
pub enum ColumnPosition {
    First,
    After(Identifier),
}
