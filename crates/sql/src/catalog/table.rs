//! Tables and views as the catalog keeps them: the syntax, merged and checked, with nothing bound.

use crate::ast::*;
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use std::sync::Arc;

/// A table: what LIKE, ALTER and a primary key at a column say is merged in.
#[derive(Debug, Clone)]
pub struct CatalogTable {
    /// In order; the columns of the primary key are NOT NULL, and no column carries the key itself.
    pub columns: Vec<ColumnDefinition>,
    pub watermark: Option<WatermarkDefinition>,
    pub primary_key: Option<PrimaryKey>,
    pub distribution: Option<Distribution>,
    pub partition_keys: Vec<Identifier>,
    /// In the order written; each key once.
    pub options: Vec<OptionPair>,
    pub comment: Option<Text>,
    /// Where the table's name stood when it was created.
    pub span: Span,
}

#[derive(Debug, Clone)]
pub struct PrimaryKey {
    /// Given, or made of the columns as Flink does: `PK_a_b`.
    pub constraint_name: String,
    pub columns: Vec<Identifier>,
    pub span: Span,
}

/// A view: its query with full names.
#[derive(Debug, Clone)]
pub struct CatalogView {
    /// Empty: the query's own.
    pub columns: Vec<Identifier>,
    pub query: Query,
    pub comment: Option<Text>,
    pub span: Span,
    /// Of a materialized table: what it was created by, with its full name.
    pub materialized: Option<Arc<CreateMaterializedTable>>,
}

impl CatalogTable {
    /// An option's value.
    pub fn option(&self, key: &str) -> Option<&str> {
        self.options.iter().find(|pair| pair.key.value == key).map(|pair| pair.value.value.as_str())
    }

    pub fn column(&self, name: &str) -> Option<&ColumnDefinition> {
        self.columns.iter().find(|column| column.name.value == name)
    }

    /// As a statement without LIKE and AS: what there is to bind.
    pub fn to_create(&self, name: ObjectName, temporary: bool) -> CreateTable {
        let mut elements: Vec<TableElement> =
            self.columns.iter().cloned().map(TableElement::Column).collect();
        elements.extend(self.watermark.iter().cloned().map(TableElement::Watermark));
        elements.extend(self.primary_key.iter().map(|key| {
            TableElement::PrimaryKey(PrimaryKeyDefinition {
                constraint_name: Some(Identifier {
                    value: key.constraint_name.clone(),
                    quoted: true,
                    span: key.span,
                }),
                columns: key.columns.clone(),
                span: key.span,
            })
        }));
        CreateTable {
            or_replace: false,
            temporary,
            if_not_exists: false,
            name,
            elements,
            comment: self.comment.clone(),
            distribution: self.distribution.clone(),
            partitioned_by: self.partition_keys.clone(),
            options: self.options.clone(),
            like: None,
            query: None,
        }
    }

    /// Sets the primary key and makes its columns NOT NULL.
    pub(super) fn set_primary_key(
        &mut self,
        name: Option<&Identifier>,
        columns: Vec<Identifier>,
        span: Span,
    ) {
        let constraint_name = match name {
            Some(name) => name.value.clone(),
            None => {
                let names: Vec<&str> = columns.iter().map(|column| column.value.as_str()).collect();
                format!("PK_{}", names.join("_"))
            }
        };
        for column in &mut self.columns {
            if let ColumnKind::Physical { data_type, .. } = &mut column.kind
                && columns.iter().any(|key| key.value == column.name.value)
            {
                data_type.nullable = false;
            }
        }
        self.primary_key = Some(PrimaryKey { constraint_name, columns, span });
    }

    /// That keys, partitions and the watermark name columns that are there and fit.
    pub(super) fn check(&self) -> Result<(), Box<Diagnostic>> {
        if let Some(key) = &self.primary_key {
            for name in &key.columns {
                let column = self.known_column(name, "primary key")?;
                if !matches!(column.kind, ColumnKind::Physical { .. }) {
                    let message =
                        format!("column `{}` of the primary key is not a physical column", name.value);
                    return Err(Box::new(
                        Diagnostic::invalid(name.span, message)
                            .with_hint("computed and metadata columns cannot be part of the key"),
                    ));
                }
            }
            self.check_repeated(&key.columns)?;
        }
        for name in &self.partition_keys {
            self.known_column(name, "partition")?;
        }
        self.check_repeated(&self.partition_keys)?;
        for name in self.distribution.iter().flat_map(|distribution| &distribution.columns) {
            self.known_column(name, "distribution")?;
        }
        if let Some(watermark) = &self.watermark {
            self.known_column(&watermark.column.parts[0], "watermark")?;
        }
        if !self.columns.iter().any(|column| !matches!(column.kind, ColumnKind::Computed { .. })) {
            let message = "a table needs at least one column that is not computed";
            return Err(Box::new(Diagnostic::invalid(self.span, message)));
        }
        Ok(())
    }

    fn known_column(&self, name: &Identifier, what: &str) -> Result<&ColumnDefinition, Box<Diagnostic>> {
        self.column(&name.value).ok_or_else(|| {
            let message = format!("column `{}` of the {what} is not declared", name.value);
            let names = self.columns.iter().map(|column| column.name.value.as_str());
            Box::new(Diagnostic::unknown(name.span, message).with_nearest(&name.value, names))
        })
    }

    fn check_repeated(&self, names: &[Identifier]) -> Result<(), Box<Diagnostic>> {
        for (index, name) in names.iter().enumerate() {
            if names[..index].iter().any(|earlier| earlier.value == name.value) {
                let message = format!("column `{}` is named twice", name.value);
                return Err(Box::new(Diagnostic::invalid(name.span, message)));
            }
        }
        Ok(())
    }
}
