//! The columns that an expression can name, and how names find them.
//!
//! Names are case-sensitive and never folded. `a.b` is first column b of a table called a, then field b of a
//! column a; whether some view is called a as well does not matter, as in Flink.

use super::expression::access_field;
use super::problems::consequence;
use super::relation::Column;
use super::{Bound, boxed};
use crate::ast::Identifier;
use crate::diagnostic::Diagnostic;
use crate::expression::Scalar;
use crate::span::Span;

#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    pub(super) columns: Vec<ScopeColumn>,
    /// What is around a sub-query: its columns are found where there are none here.
    around: Option<Box<Scope>>,
    /// Something that belongs here could not be bound, so that a name may stand for what is not known.
    pub(super) open: bool,
    /// GROUP BY has a window that could not be bound.
    pub(super) lacks_window: bool,
}

#[derive(Debug, Clone)]
pub(super) struct ScopeColumn {
    /// The table's alias or name.
    pub(super) table: Option<String>,
    pub(super) column: Column,
    /// The number in the input relation.
    pub(super) index: usize,
    /// Columns of legacy group windows cannot be named.
    pub(super) hidden: bool,
    /// Another column stands for it and its like on the other side of a join (USING); its table must be named with it.
    pub(super) merged: bool,
}

impl ScopeColumn {
    /// Whether the column is one of a table, or without a table one that stands alone.
    pub(super) fn is_meant(&self, table: Option<&str>) -> bool {
        match table {
            Some(table) => self.table.as_deref() == Some(table),
            None => !self.merged,
        }
    }
}

impl Scope {
    pub(super) fn of(table: Option<&str>, columns: &[Column]) -> Scope {
        let columns = columns
            .iter()
            .enumerate()
            .map(|(index, column)| ScopeColumn {
                table: table.map(str::to_string),
                column: column.clone(),
                index,
                hidden: false,
                merged: false,
            })
            .collect();
        Scope { columns, ..Scope::default() }
    }

    /// The columns of a sub-query beside those around it, which come first by their numbers.
    pub(super) fn within(&self, around: &Scope, width: usize) -> Scope {
        let moved = |column: &ScopeColumn| ScopeColumn { index: column.index + width, ..column.clone() };
        Scope {
            columns: self.columns.iter().map(moved).collect(),
            around: Some(Box::new(around.clone())),
            open: self.open || around.open,
            lacks_window: false,
        }
    }

    /// The same where something could not be bound.
    pub(super) fn opened(mut self) -> Scope {
        self.open = true;
        self
    }

    /// The columns from a number on, taken out of a scope.
    pub(super) fn split_off(self, width: usize) -> Scope {
        Scope { columns: self.columns.into_iter().filter(|column| column.index >= width).collect(), ..self }
    }

    /// With columns around it that have the numbers in front of its own.
    pub(super) fn around_by(self, around: &Scope) -> Scope {
        Scope { around: Some(Box::new(around.clone())), ..self }
    }

    /// Puts another scope's columns behind these.
    pub(super) fn join(mut self, right: Scope) -> Scope {
        let offset = self.columns.len();
        self.open |= right.open;
        self.columns.extend(
            right.columns.into_iter().map(|column| ScopeColumn { index: column.index + offset, ..column }),
        );
        self
    }

    pub(super) fn visible(&self) -> impl Iterator<Item = &ScopeColumn> {
        self.columns.iter().filter(|column| !column.hidden)
    }

    pub(super) fn by_index(&self, index: usize) -> Option<&ScopeColumn> {
        self.columns.iter().find(|column| column.index == index)
    }

    pub(super) fn has_table(&self, name: &str) -> bool {
        self.visible().any(|column| column.table.as_deref() == Some(name))
    }

    /// The column that a name stands for, its fields taken.
    pub(super) fn resolve(&self, parts: &[Identifier], span: Span) -> Bound<Scalar> {
        let name = parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>();
        if let [table, column, rest @ ..] = parts {
            let found = self.matching(Some(&table.value), &column.value);
            if !found.is_empty() {
                return self.only(&found, &name, span).and_then(|scalar| fields(scalar, rest));
            }
        }
        let Some((first, rest)) = parts.split_first() else {
            return boxed(Diagnostic::invalid(span, "an empty name"));
        };
        let found = self.matching(None, &first.value);
        if !found.is_empty() {
            return self.only(&found, &name, span).and_then(|scalar| fields(scalar, rest));
        }
        match &self.around {
            Some(around) => around.resolve(parts, span).or_else(|_| self.unknown(parts, span)),
            None => self.unknown(parts, span),
        }
    }

    fn matching(&self, table: Option<&str>, name: &str) -> Vec<&ScopeColumn> {
        self.visible()
            .filter(|column| column.column.name == name)
            .filter(|column| column.is_meant(table))
            .collect()
    }

    fn only(&self, found: &[&ScopeColumn], name: &[&str], span: Span) -> Bound<Scalar> {
        if let [only] = found {
            return Ok(only.column.scalar(only.index));
        }
        let tables: Vec<String> = found
            .iter()
            .filter_map(|column| column.table.as_ref().map(|table| format!("{table}.{}", column.column.name)))
            .collect();
        let diagnostic = Diagnostic::invalid(span, format!("column '{}' is ambiguous", name.join(".")))
            .with_label("which one?");
        boxed(match tables.is_empty() {
            true => diagnostic.with_hint("give the columns of the sub-query different names"),
            false => diagnostic.with_hint(format!("write {}", tables.join(" or "))),
        })
    }

    fn unknown(&self, parts: &[Identifier], span: Span) -> Bound<Scalar> {
        let name = parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".");
        if let [table, column, ..] = parts {
            if self.has_table(&table.value) {
                let columns: Vec<&str> = self
                    .visible()
                    .filter(|candidate| candidate.table.as_deref() == Some(&table.value))
                    .map(|candidate| candidate.column.name.as_str())
                    .collect();
                return boxed(
                    Diagnostic::unknown(
                        column.span,
                        format!("column '{}' not found in table '{}'", column.value, table.value),
                    )
                    .with_label("no such column")
                    .with_nearest_or_list(&column.value, &columns),
                );
            }
            if self.open {
                return Err(consequence());
            }
            let tables: Vec<&str> = self.visible().filter_map(|column| column.table.as_deref()).collect();
            return boxed(
                Diagnostic::unknown(table.span, format!("table '{}' not found in FROM", table.value))
                    .with_label("no such table or column")
                    .with_nearest_or_list(&table.value, &tables),
            );
        }
        if self.open {
            return Err(consequence());
        }
        let columns: Vec<&str> = self.visible().map(|column| column.column.name.as_str()).collect();
        let diagnostic = Diagnostic::unknown(span, format!("column '{name}' not found in any table"));
        if columns.is_empty() {
            return boxed(
                diagnostic.with_label("there is no table here").with_hint("a text stands in single quotes"),
            );
        }
        boxed(diagnostic.with_label("no such column").with_nearest_or_list(&name, &columns))
    }
}

fn fields(mut scalar: Scalar, rest: &[Identifier]) -> Bound<Scalar> {
    for part in rest {
        scalar = access_field(scalar, part)?;
    }
    Ok(scalar)
}

pub(super) trait NearestOrList: Sized {
    fn with_nearest_or_list(self, name: &str, candidates: &[&str]) -> Self;
}

/// More names than this make no hint.
const NAMES_SHOWN_MAX: usize = 12;

impl NearestOrList for Diagnostic {
    /// The nearest name, or all of them when they are few.
    fn with_nearest_or_list(self, name: &str, candidates: &[&str]) -> Diagnostic {
        let diagnostic = self.with_nearest(name, candidates.iter().copied());
        if diagnostic.hint.is_some() || candidates.is_empty() {
            return diagnostic;
        }
        let mut seen: Vec<&str> = Vec::new();
        for candidate in candidates {
            if !seen.contains(candidate) {
                seen.push(candidate);
            }
        }
        let more = if seen.len() > NAMES_SHOWN_MAX { ", …" } else { "" };
        seen.truncate(NAMES_SHOWN_MAX);
        diagnostic.with_hint(format!("there are: {}{more}", seen.join(", ")))
    }
}
