//! The parts of table definitions.

use super::{commas, comment, separated, word_if};
use crate::ast::*;
use std::fmt::{self, Display, Formatter};

/// `(\n  a,\n  b\n)` as Flink lays out tables.
pub(super) fn indented<T: Display>(f: &mut Formatter<'_>, items: &[T]) -> fmt::Result {
    f.write_str("(\n  ")?;
    separated(f, items, ",\n  ")?;
    f.write_str("\n)")
}

/// What stands behind the columns of a table; each part on its own line.
pub(super) fn table_tail(
    f: &mut Formatter<'_>,
    table_comment: &Option<Text>,
    distribution: &Option<Distribution>,
    partitioned_by: &[Identifier],
    options: &[OptionPair],
) -> fmt::Result {
    if let Some(text) = table_comment {
        write!(f, "\nCOMMENT {text}")?;
    }
    if let Some(distribution) = distribution {
        write!(f, "\nDISTRIBUTED{distribution}")?;
    }
    if !partitioned_by.is_empty() {
        write!(f, "\nPARTITIONED BY ({})", commas(partitioned_by))?;
    }
    if !options.is_empty() {
        f.write_str("\nWITH ")?;
        indented(f, options)?;
    }
    Ok(())
}

impl Display for CreateTable {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("CREATE")?;
        word_if(f, self.or_replace, "OR REPLACE")?;
        word_if(f, self.temporary, "TEMPORARY")?;
        f.write_str(" TABLE")?;
        word_if(f, self.if_not_exists, "IF NOT EXISTS")?;
        write!(f, " {}", self.name)?;
        if !self.elements.is_empty() {
            f.write_str(" ")?;
            indented(f, &self.elements)?;
        }
        table_tail(f, &self.comment, &self.distribution, &self.partitioned_by, &self.options)?;
        if let Some(like) = &self.like {
            write!(f, "\n{like}")?;
        }
        match &self.query {
            Some(query) => write!(f, "\nAS {query}"),
            None => Ok(()),
        }
    }
}

impl Display for TableElement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            TableElement::Column(column) => write!(f, "{column}"),
            TableElement::ColumnName(name) => write!(f, "{name}"),
            TableElement::Watermark(watermark) => write!(f, "{watermark}"),
            TableElement::PrimaryKey(key) => write!(f, "{key}"),
        }
    }
}

impl Display for ColumnDefinition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.kind)?;
        comment(f, &self.comment)
    }
}

impl Display for ColumnKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            ColumnKind::Physical { data_type, primary_key } => {
                write!(f, "{data_type}")?;
                word_if(f, primary_key.is_some(), "PRIMARY KEY NOT ENFORCED")
            }
            ColumnKind::Computed { expression } => write!(f, "AS {expression}"),
            ColumnKind::Metadata { data_type, key, is_virtual } => {
                write!(f, "{data_type} METADATA")?;
                if let Some(key) = key {
                    write!(f, " FROM {key}")?;
                }
                word_if(f, *is_virtual, "VIRTUAL")
            }
        }
    }
}

impl Display for WatermarkDefinition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "WATERMARK FOR {} AS {}", self.column, self.expression)
    }
}

impl Display for PrimaryKeyDefinition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.constraint_name {
            write!(f, "CONSTRAINT {name} ")?;
        }
        write!(f, "PRIMARY KEY ({}) NOT ENFORCED", commas(&self.columns))
    }
}

/// What stands behind DISTRIBUTED or DISTRIBUTION, a space first.
impl Display for Distribution {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.columns.is_empty() {
            f.write_str(match self.kind {
                DistributionKind::Unspecified => " BY ",
                DistributionKind::Hash => " BY HASH",
                DistributionKind::Range => " BY RANGE",
            })?;
            write!(f, "({})", commas(&self.columns))?;
        }
        match self.bucket_count {
            Some(count) => write!(f, " INTO {count} BUCKETS"),
            None => Ok(()),
        }
    }
}

impl Display for TableLike {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "LIKE {}", self.source)?;
        if self.options.is_empty() {
            return Ok(());
        }
        f.write_str(" (")?;
        separated(f, &self.options, " ")?;
        f.write_str(")")
    }
}

impl Display for LikeOption {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self.merging {
            MergingStrategy::Including => "INCLUDING ",
            MergingStrategy::Excluding => "EXCLUDING ",
            MergingStrategy::Overwriting => "OVERWRITING ",
        })?;
        f.write_str(match self.feature {
            LikeFeature::All => "ALL",
            LikeFeature::Constraints => "CONSTRAINTS",
            LikeFeature::Distribution => "DISTRIBUTION",
            LikeFeature::Generated => "GENERATED",
            LikeFeature::Metadata => "METADATA",
            LikeFeature::Options => "OPTIONS",
            LikeFeature::Partitions => "PARTITIONS",
            LikeFeature::Watermarks => "WATERMARKS",
        })
    }
}

impl Display for AlterTable {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("ALTER TABLE")?;
        word_if(f, self.if_exists, "IF EXISTS")?;
        write!(f, " {} ", self.name)?;
        match &self.action {
            AlterTableAction::RenameTo(name) => write!(f, "RENAME TO {name}"),
            AlterTableAction::RenameColumn { from, to } => write!(f, "RENAME {from} TO {to}"),
            AlterTableAction::Add(elements) => altered(f, "ADD", elements),
            AlterTableAction::Modify(elements) => altered(f, "MODIFY", elements),
            AlterTableAction::DropColumns(columns) => write!(f, "DROP ({})", commas(columns)),
            AlterTableAction::DropPrimaryKey => f.write_str("DROP PRIMARY KEY"),
            AlterTableAction::DropConstraint(name) => write!(f, "DROP CONSTRAINT {name}"),
            AlterTableAction::DropWatermark => f.write_str("DROP WATERMARK"),
            AlterTableAction::DropDistribution => f.write_str("DROP DISTRIBUTION"),
            AlterTableAction::Set(options) => write!(f, "SET ({})", commas(options)),
            AlterTableAction::Reset(keys) => write!(f, "RESET ({})", commas(keys)),
        }
    }
}

/// A distribution stands alone, everything else in parentheses.
fn altered(f: &mut Formatter<'_>, verb: &str, elements: &[AlteredElement]) -> fmt::Result {
    match elements {
        [only @ AlteredElement::Distribution(_)] => write!(f, "{verb} {only}"),
        several => write!(f, "{verb} ({})", commas(several)),
    }
}

impl Display for AlteredElement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            AlteredElement::Column { column, position } => {
                write!(f, "{column}")?;
                match position {
                    Some(ColumnPosition::First) => f.write_str(" FIRST"),
                    Some(ColumnPosition::After(name)) => write!(f, " AFTER {name}"),
                    None => Ok(()),
                }
            }
            AlteredElement::Watermark(watermark) => write!(f, "{watermark}"),
            AlteredElement::PrimaryKey(key) => write!(f, "{key}"),
            AlteredElement::Distribution(distribution) => write!(f, "DISTRIBUTION{distribution}"),
        }
    }
}
