//! CREATE TABLE … LIKE: what is inherited, what may be overwritten, and the elements added to it.
//!
//! As in Flink (FLIP-110): everything is included unless said otherwise; generated and metadata columns, options
//! and the watermark may be overwritten; INCLUDING refuses a conflict. Physical columns are always inherited, the
//! comment never. EXCLUDING PARTITIONS leaves out the partition keys, as Flink's documentation says (2.3.0 keeps
//! them).

use super::{Catalog, CatalogTable, Prepared};
use crate::ast::*;
use crate::diagnostic::Diagnostic;

/// How one part of the source is merged.
struct Merging<'a>(&'a TableLike);

impl Merging<'_> {
    /// The last option for the feature, else for ALL, else Flink's default.
    fn of(&self, feature: LikeFeature) -> MergingStrategy {
        let find = |wanted| self.0.options.iter().rev().find(|option| option.feature == wanted);
        match find(feature).or_else(|| find(LikeFeature::All)) {
            Some(option) => option.merging,
            None => match feature {
                LikeFeature::Options => MergingStrategy::Overwriting,
                _ => MergingStrategy::Including,
            },
        }
    }

    fn takes(&self, feature: LikeFeature) -> bool {
        self.of(feature) != MergingStrategy::Excluding
    }
}

/// What the new table takes from its source.
pub(super) fn inherited(source: &CatalogTable, like: &TableLike, empty: CatalogTable) -> CatalogTable {
    let merging = Merging(like);
    let columns = source.columns.iter().filter(|column| match column.kind {
        ColumnKind::Physical { .. } => true,
        ColumnKind::Computed { .. } => merging.takes(LikeFeature::Generated),
        ColumnKind::Metadata { .. } => merging.takes(LikeFeature::Metadata),
    });
    let part = |feature, taken: bool| taken && merging.takes(feature);
    CatalogTable {
        columns: columns.cloned().collect(),
        watermark: source.watermark.clone().filter(|_| part(LikeFeature::Watermarks, true)),
        primary_key: source.primary_key.clone().filter(|_| part(LikeFeature::Constraints, true)),
        distribution: source.distribution.clone().filter(|_| part(LikeFeature::Distribution, true)),
        partition_keys: if part(LikeFeature::Partitions, true) {
            source.partition_keys.clone()
        } else {
            Vec::new()
        },
        options: if part(LikeFeature::Options, true) { source.options.clone() } else { Vec::new() },
        ..empty
    }
}

impl Catalog {
    /// Adds what CREATE TABLE declares to what it inherits.
    pub(super) fn add_elements(&self, table: &mut CatalogTable, create: &CreateTable) -> Prepared<()> {
        let merging = create.like.as_ref().map(Merging);
        let strategy =
            |feature| merging.as_ref().map_or(MergingStrategy::Including, |merging| merging.of(feature));
        for element in &create.elements {
            match element {
                TableElement::Column(column) => add_column(table, column, &strategy)?,
                TableElement::ColumnName(name) => {
                    let message = format!("column `{}` has no type", name.value);
                    return Err(Box::new(Diagnostic::invalid(name.span, message)));
                }
                TableElement::Watermark(watermark) => {
                    if table.watermark.is_some()
                        && strategy(LikeFeature::Watermarks) != MergingStrategy::Overwriting
                    {
                        return Err(inherited_twice(watermark.span, "watermark", "WATERMARKS", true));
                    }
                    table.watermark = Some(watermark.clone());
                }
                TableElement::PrimaryKey(key) => {
                    if table.primary_key.is_some() {
                        return Err(inherited_twice(key.span, "primary key", "CONSTRAINTS", false));
                    }
                    table.set_primary_key(key.constraint_name.as_ref(), key.columns.clone(), key.span);
                }
            }
        }
        // A key declared before its columns' names were all there.
        if let Some(key) = table.primary_key.take() {
            let name = Identifier { value: key.constraint_name, quoted: true, span: key.span };
            table.set_primary_key(Some(&name), key.columns, key.span);
        }
        if let Some(distribution) = &create.distribution {
            if table.distribution.is_some() {
                return Err(inherited_twice(distribution.span, "distribution", "DISTRIBUTION", false));
            }
            table.distribution = Some(distribution.clone());
        }
        if let Some(first) = create.partitioned_by.first() {
            if !table.partition_keys.is_empty() {
                return Err(inherited_twice(first.span, "partitioning", "PARTITIONS", false));
            }
            table.partition_keys = create.partitioned_by.clone();
        }
        for pair in &create.options {
            match table.options.iter_mut().find(|other| other.key.value == pair.key.value) {
                None => table.options.push(pair.clone()),
                Some(other) if strategy(LikeFeature::Options) == MergingStrategy::Overwriting => {
                    *other = pair.clone()
                }
                Some(_) => {
                    let message = format!("the option '{}' is set in the source table", pair.key.value);
                    return Err(Box::new(
                        Diagnostic::invalid(pair.key.span, message)
                            .with_hint("add OVERWRITING OPTIONS or EXCLUDING OPTIONS behind LIKE"),
                    ));
                }
            }
        }
        table.comment = create.comment.clone();
        Ok(())
    }
}

fn add_column(
    table: &mut CatalogTable,
    column: &ColumnDefinition,
    strategy: &dyn Fn(LikeFeature) -> MergingStrategy,
) -> Prepared<()> {
    let mut column = column.clone();
    let mut key = None;
    if let ColumnKind::Physical { primary_key, .. } = &mut column.kind {
        key = primary_key.take();
    }
    let place = table.columns.iter_mut().find(|other| other.name.value == column.name.value);
    match place {
        None => table.columns.push(column.clone()),
        Some(other) => {
            let feature = match (&other.kind, &column.kind) {
                (ColumnKind::Computed { .. }, ColumnKind::Computed { .. }) => Some(LikeFeature::Generated),
                (ColumnKind::Metadata { .. }, ColumnKind::Metadata { .. }) => Some(LikeFeature::Metadata),
                _ => None,
            };
            if feature.is_none_or(|feature| strategy(feature) != MergingStrategy::Overwriting) {
                let message = format!("column `{}` exists already in the source table", column.name.value);
                let error = Diagnostic::invalid(column.name.span, message);
                return Err(Box::new(match feature {
                    Some(LikeFeature::Generated) => error.with_hint("add OVERWRITING GENERATED behind LIKE"),
                    Some(_) => error.with_hint("add OVERWRITING METADATA behind LIKE"),
                    None => error,
                }));
            }
            *other = column.clone();
        }
    }
    if let Some(span) = key {
        if table.primary_key.is_some() {
            return Err(inherited_twice(span, "primary key", "CONSTRAINTS", false));
        }
        table.set_primary_key(None, vec![column.name.clone()], span);
    }
    Ok(())
}

fn inherited_twice(
    span: crate::span::Span,
    what: &str,
    feature: &str,
    overwritable: bool,
) -> Box<Diagnostic> {
    let hint = match overwritable {
        true => format!("add OVERWRITING {feature} or EXCLUDING {feature} behind LIKE"),
        false => format!("add EXCLUDING {feature} behind LIKE"),
    };
    Box::new(Diagnostic::invalid(span, format!("the source table already has a {what}")).with_hint(hint))
}
